"""The seven programs of the native node: their command lines and configuration files, as data.

Why the unusual values are there is said beside each; local development and containers without all of root's powers
are what they are for, never production.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .credentials import ADMIN, CONTROLLER_MANAGER, KUBE_PROXY, KUBELET, SCHEDULER, Credentials
from .network import BRIDGE, inside
from .packages import CNI_PLUGINS
from .pause import PAUSE_IMAGE
from .settings import CLUSTER, NODE_ADDRESS, POD_RANGE, SERVICE_RANGE

NAMES = ("etcd", "containerd", "apiserver", "controller-manager", "scheduler", "kubelet", "kube-proxy")
"""In the order in which they are started. The words of `deploy/cluster stop`."""

_ETCD = "http://127.0.0.1:2379"


@dataclass(frozen=True)
class Layout:
    """Where the node's files are. Short names: a socket's path may have 107 bytes."""

    folder: Path
    bin: Path

    @property
    def credentials(self) -> Credentials:
        return Credentials(self.folder / "pki")

    @property
    def config(self) -> Path:
        return self.folder / "config"

    @property
    def containerd(self) -> Path:
        return self.folder / "containerd"

    @property
    def socket(self) -> Path:
        return self.containerd / "run/containerd.sock"

    @property
    def kubelet(self) -> Path:
        return self.folder / "kubelet"

    @property
    def audit_log(self) -> Path:
        return self.folder / "logs/audit.log"

    def kubeconfig(self, user: str) -> Path:
        return self.config / f"{user.rpartition(':')[2]}.kubeconfig"


@dataclass(frozen=True)
class Component:
    """One program as it should run: when either part changes, what runs is out of date."""

    command: tuple[str, ...]
    configuration: Path | None = None

    @property
    def fingerprint(self) -> str:
        content = self.configuration.read_bytes() if self.configuration else b""
        return hashlib.sha256(json.dumps(self.command).encode() + content).hexdigest()


def write_files(layout: Layout) -> None:
    """All configuration files. One that is right is not touched: kube-proxy ends when its file is written."""
    for folder in (layout.config / "cni", layout.audit_log.parent, layout.socket.parent, layout.kubelet):
        folder.mkdir(parents=True, exist_ok=True)
    for identity in (ADMIN, CONTROLLER_MANAGER, SCHEDULER, KUBELET, KUBE_PROXY):
        layout.credentials.write_kubeconfig(identity, layout.kubeconfig(identity.user))
    files = {
        "audit-policy.json": json.dumps(_audit_policy(), indent=2),
        "cni/10-zanith.conflist": json.dumps(_cni(layout), indent=2),
        "kubelet.json": json.dumps(_kubelet(layout), indent=2),
        "kube-proxy.json": json.dumps(_kube_proxy(layout), indent=2),
        "containerd.toml": _containerd(layout),
        # There is no DNS: everything is found by address. A name fails at once instead of after five seconds.
        "resolv.conf": "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n",
    }
    for name, content in files.items():
        path = layout.config / name
        if not path.exists() or path.read_text() != content:
            path.write_text(content)


def components(layout: Layout) -> Mapping[str, Component]:
    """Each of `NAMES` as it should run, in the namespace."""
    config = layout.config
    kubelet = [f"--config={config}/kubelet.json", f"--kubeconfig={layout.kubeconfig(KUBELET.user)}"]
    # The kubelet refuses a loopback address, and without an InternalIP `kubectl logs` and `exec` fail.
    kubelet += [f"--root-dir={layout.kubelet}", f"--cert-dir={layout.kubelet}/pki"]
    kubelet += [f"--hostname-override={CLUSTER}", f"--node-ip={NODE_ADDRESS}"]
    scheduler = [f"--kubeconfig={layout.kubeconfig(SCHEDULER.user)}", *_alone_on_loopback()]

    def kubernetes(name: str, flags: list[str], configuration: Path | None = None) -> Component:
        return Component(tuple(inside([f"{layout.bin}/{name}", *flags])), configuration)

    containerd = config / "containerd.toml"
    return {
        "etcd": kubernetes("etcd", _etcd_flags(layout)),
        "containerd": Component(tuple(inside(["containerd", "--config", str(containerd)])), containerd),
        "apiserver": kubernetes("kube-apiserver", _apiserver_flags(layout), config / "audit-policy.json"),
        "controller-manager": kubernetes("kube-controller-manager", _controller_manager_flags(layout)),
        "scheduler": kubernetes("kube-scheduler", scheduler),
        "kubelet": kubernetes("kubelet", kubelet, config / "kubelet.json"),
        "kube-proxy": kubernetes("kube-proxy", [f"--config={config}/kube-proxy.json"], config / "kube-proxy.json"),
    }


def _etcd_flags(layout: Layout) -> list[str]:
    return [
        f"--data-dir={layout.folder}/etcd",
        f"--listen-client-urls={_ETCD}",
        f"--advertise-client-urls={_ETCD}",
        "--listen-peer-urls=http://127.0.0.1:2380",
        "--unsafe-no-fsync",  # a lost machine loses the cluster, which a test makes anew anyhow
        "--log-level=warn",
    ]


def _apiserver_flags(layout: Layout) -> list[str]:
    pki = layout.credentials
    return [
        f"--etcd-servers={_ETCD}",
        "--bind-address=0.0.0.0",
        "--secure-port=6443",
        f"--advertise-address={NODE_ADDRESS}",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        f"--tls-cert-file={pki.certificate}",
        f"--tls-private-key-file={pki.key}",
        f"--token-auth-file={pki.tokens}",
        f"--kubelet-client-certificate={pki.kubelet_client_certificate}",
        f"--kubelet-client-key={pki.kubelet_client_key}",
        "--kubelet-preferred-address-types=InternalIP",
        f"--service-account-key-file={pki.signing_key}",
        f"--service-account-signing-key-file={pki.signing_key}",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged",
        f"--audit-policy-file={layout.config}/audit-policy.json",
        f"--audit-log-path={layout.audit_log}",
        "--audit-log-maxsize=200",
        "--audit-log-maxbackup=1",
    ]


def _controller_manager_flags(layout: Layout) -> list[str]:
    kubeconfig = layout.kubeconfig(CONTROLLER_MANAGER.user)
    return [
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        f"--root-ca-file={layout.credentials.certificate}",  # what pods verify the API server with
        f"--service-account-private-key-file={layout.credentials.signing_key}",
        "--use-service-account-credentials",
        *_alone_on_loopback(),
    ]


def _alone_on_loopback() -> list[str]:
    return ["--leader-elect=false", "--bind-address=127.0.0.1"]


def _audit_policy() -> dict[str, object]:
    """Who did what, for tests that count an operator's requests; bodies only of our own resources, never of Secrets."""
    writes = ["create", "update", "patch", "delete", "deletecollection"]
    system = ["system:apiserver", *(who.user for who in (KUBELET, CONTROLLER_MANAGER, SCHEDULER, KUBE_PROXY))]
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            {"level": "None", "users": system},
            {"level": "None", "userGroups": ["system:serviceaccounts:kube-system"]},
            {
                "level": "None",
                "nonResourceURLs": ["/readyz*", "/livez*", "/healthz*", "/openapi/*", "/api*", "/version"],
            },
            {"level": "Request", "verbs": writes, "resources": [{"group": "zanith.io"}]},
            {"level": "Metadata"},
        ],
    }


def _cni(layout: Layout) -> dict[str, object]:
    bridge = {
        "type": "bridge",
        "bridge": BRIDGE,
        "isDefaultGateway": True,
        "hairpinMode": True,
        "ipam": {"type": "host-local", "dataDir": f"{layout.folder}/cni", "ranges": [[{"subnet": POD_RANGE}]]},
    }
    return {"cniVersion": "1.0.0", "name": CLUSTER, "plugins": [bridge]}


def _kubelet(layout: Layout) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": False},
            "x509": {"clientCAFile": str(layout.credentials.kubelet_client_certificate)},
        },
        "authorization": {"mode": "AlwaysAllow"},  # of those who hold that one certificate: the API server
        "containerRuntimeEndpoint": f"unix://{layout.socket}",
        "cgroupDriver": "cgroupfs",
        "failCgroupV1": False,
        "failSwapOn": False,
        "resolvConf": f"{layout.config}/resolv.conf",
        "podLogsDir": f"{layout.folder}/pod-logs",
        "volumePluginDir": f"{layout.kubelet}/volume-plugins",
        "enforceNodeAllocatable": [],
        "evictionHard": {},
        "localStorageCapacityIsolation": False,
        # An image that was loaded by hand cannot be pulled again, however full the disk is.
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "maxPods": 200,
        "serializeImagePulls": False,
        "eventRecordQPS": 0,
    }


def _kube_proxy(layout: Layout) -> dict[str, object]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "hostnameOverride": CLUSTER,
        "bindAddress": "0.0.0.0",
        "metricsBindAddress": "127.0.0.1:10249",
        "clusterCIDR": POD_RANGE,
        "clientConnection": {"kubeconfig": str(layout.kubeconfig(KUBE_PROXY.user))},
        # Conntrack's size belongs to the host and is read-only in a container.
        "conntrack": {"maxPerCore": 0, "min": 0},
    }


def _containerd(layout: Layout) -> str:
    """Only what differs from the defaults; version 2 of the file is read by containerd 1.6 to 2.x."""
    return f"""version = 2
root = "{layout.containerd}/root"
state = "{layout.containerd}/run"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing",
]

[grpc]
address = "{layout.socket}"

[plugins."io.containerd.internal.v1.opt"]
path = "{layout.containerd}/opt"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE_IMAGE}"
# Without CAP_SYS_RESOURCE a lower score is refused, and each container dies of it.
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
disable_apparmor = true

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
Root = "{layout.containerd}/runc"

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{CNI_PLUGINS}"
conf_dir = "{layout.config}/cni"
"""
