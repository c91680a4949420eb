"""The native one-node cluster: start what does not run, wait until it is really usable, and leave nothing behind.

`up` is also the cure: a program that died, or whose command line has changed since, is started again; what lives stays.
"""

from __future__ import annotations

import json
import os
import shutil
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from . import binaries, components, leftovers, network, node_images, packages, pause, processes
from .commands import attempt, run, wait_for
from .components import Layout
from .console import step
from .credentials import ADMIN, TESTER
from .errors import ClusterError
from .programs import CLIENT, NODE
from .settings import API_SERVER, CLUSTER, NODE_ADDRESS, SERVICE_ADDRESS, Settings

ROOT_OF_TESTER = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRoleBinding",
    "metadata": {"name": "zanith-testers"},
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
    "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group} for group in TESTER.groups],
}


class NativeCluster:
    """Processes of this machine, as root, in a network namespace."""

    kind = "local"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._layout = Layout(settings.node, settings.bin)
        self._processes = processes.Processes(settings.node)

    def up(self) -> None:
        packages.ensure(packages.NODE)
        binaries.ensure(self._settings, (*NODE, *CLIENT))
        network.ensure(self._settings.state)
        self._layout.credentials.ensure()
        components.write_files(self._layout)
        self._layout.credentials.write_kubeconfig(ADMIN, self._settings.kubeconfig)
        self._layout.credentials.write_kubeconfig(TESTER, self._settings.tester_kubeconfig)
        self._start_all()
        self._wait_until_usable()

    def down(self) -> None:
        """The node's programs first, or they would start pods again while these are ended. Nothing of it is kept."""
        ours = network.exists() and network.owner() in (None, self._settings.state)
        if not ours and not self._settings.node.exists():
            return
        with step("ending the cluster's programs, pods, mounts and network"):
            for name in reversed(components.NAMES):
                self._processes.stop(name, grace_s=0)
            leftovers.remove(self._settings.node, self._layout.socket)
            if ours:
                processes.end(network.pids(), grace_s=3)  # what a test or a person put there with `exec`
                network.remove()
            shutil.rmtree(self._settings.node, ignore_errors=True)
            for path in (self._settings.kubeconfig, self._settings.tester_kubeconfig):
                path.unlink(missing_ok=True)

    def environment(self) -> dict[str, str]:
        return {
            "KUBECONFIG": str(self._settings.kubeconfig),
            "ZANITH_KUBE_KIND": self.kind,
            "ZANITH_POSTGRES_HOST": NODE_ADDRESS,
            "ZANITH_NETNS": str(network.NAMESPACE),
            "ZANITH_KUBE_BIN": str(self._settings.bin),
            "ZANITH_AUDIT_LOG": str(self._layout.audit_log),
            "ZANITH_TESTER_KUBECONFIG": str(self._settings.tester_kubeconfig),
        }

    def exec(self, command: list[str]) -> None:
        if not network.exists():
            raise ClusterError("the cluster is not up: run `deploy/cluster up`")
        argv = network.inside(command)
        os.execvp(argv[0], argv)

    def load(self, archive: Path, tag: str, digest: str) -> None:
        """Import an image archive into the node, unless this very one is there."""
        loaded = self._layout.folder / "images" / tag.replace("/", "_")
        if loaded.exists() and loaded.read_text() == digest:
            return
        with step(f"loading {tag} into the node"):
            node_images.load(self._ctr(), archive, tag)
        loaded.parent.mkdir(parents=True, exist_ok=True)
        loaded.write_text(digest)

    def start(self, name: str) -> None:
        if self._processes.running(name):
            return
        with self._starting([name]):
            if name == "apiserver":
                self._wait("/readyz", self._apiserver_ready, name, timeout_s=60)

    def stop(self, name: str, *, kill: bool) -> None:
        with step(f"{'killing' if kill else 'stopping'} {name}"):
            self._processes.stop(name, grace_s=0 if kill else 10)

    def status(self) -> Iterator[str]:
        yield f"native cluster, state in {self._settings.node}"
        for name in components.NAMES:
            record = self._processes.running(name)
            state = f"pid {record.pid}, {_resident_mb(record.pid)} MB" if record else "not running"
            yield f"  {name:<20} {state}"
        yield f"  {'network namespace':<20} {network.NAMESPACE if network.exists() else 'absent'}"
        if not self._processes.running("apiserver"):
            return
        yield f"  {'node':<20} {'Ready' if self._node_ready() else 'not ready'}"
        pods = self._get("/api/v1/pods") or {"items": []}
        yield f"  {'pods':<20} {sum(p['status'].get('phase') == 'Running' for p in pods['items'])} running"
        folder = self._layout.folder / "images"
        yield f"  {'images loaded':<20} {', '.join(sorted(p.name for p in folder.iterdir())) if folder.exists() else '-'}"

    # -- starting ------------------------------------------------------------------------------------------------------

    def _start_all(self) -> None:
        wanted = components.components(self._layout)
        stale = [name for name in components.NAMES if not self._runs_as(name, wanted[name].fingerprint)]
        if not stale:
            return
        for name in stale:
            self._processes.stop(name)
        if {"etcd", "containerd"} & set(stale):
            with self._starting([name for name in ("etcd", "containerd") if name in stale]):
                wait_for("containerd's socket", self._containerd_answers, timeout_s=30, hint=self._log("containerd"))
                self._import_pause()
        if "apiserver" in stale:
            self.start("apiserver")
        if rest := [name for name in stale if name not in ("etcd", "containerd", "apiserver")]:
            with self._starting(rest):
                pass

    @contextmanager
    def _starting(self, names: list[str]) -> Iterator[None]:
        with step(f"starting {', '.join(names)}"):
            for name in names:
                self._start(name)
            yield

    def _start(self, name: str) -> None:
        component = components.components(self._layout)[name]
        self._processes.start(name, component.command, component.fingerprint)

    def _runs_as(self, name: str, fingerprint: str) -> bool:
        record = self._processes.running(name)
        return record is not None and record.fingerprint == fingerprint

    def _containerd_answers(self) -> bool:
        return attempt(*self._ctr("version"), timeout_s=5).returncode == 0

    def _import_pause(self) -> None:
        if pause.PAUSE_IMAGE in run(*self._ctr("images", "list", "--quiet")):
            return
        archive = self._layout.folder / "pause.tar"
        archive.write_bytes(pause.archive())
        run(*self._ctr("images", "import", str(archive)))

    def _ctr(self, *arguments: str) -> list[str]:
        return ["ctr", "--address", str(self._layout.socket), "--namespace", "k8s.io", *arguments]

    # -- waiting -------------------------------------------------------------------------------------------------------

    def _wait_until_usable(self) -> None:
        checks: tuple[tuple[str, Callable[[], bool], str], ...] = (
            ("the API server to be ready", self._apiserver_ready, "apiserver"),
            ("the default ServiceAccount", self._default_account_exists, "controller-manager"),
            ("the node to be Ready", self._node_ready, "kubelet"),
            (f"the API server behind its Service address {SERVICE_ADDRESS}", self._service_reachable, "kube-proxy"),
        )
        for what, ready, component in checks:
            if not ready():
                with step(f"waiting for {what}"):
                    self._wait(what, ready, component, timeout_s=90)
        self._let_the_tester_in()

    def _wait(self, what: str, ready: Callable[[], bool], component: str, *, timeout_s: float) -> None:
        wait_for(what, lambda: self._alive_and(ready), timeout_s=timeout_s, hint=self._log(component))

    def _alive_and(self, ready: Callable[[], bool]) -> bool:
        """No waiting for what can no longer come: a program that ended is reported at once."""
        for name in components.NAMES:
            if self._processes.recorded(name) and not self._processes.running(name):
                raise ClusterError(f"{name} ended by itself; {self._log(name)}")
        return ready()

    def _log(self, name: str) -> str:
        return f"its output is in {self._processes.log(name)}"

    def _apiserver_ready(self) -> bool:
        return self._request("/readyz") == b"ok"

    def _default_account_exists(self) -> bool:
        return self._get("/api/v1/namespaces/default/serviceaccounts/default") is not None

    def _node_ready(self) -> bool:
        node = self._get(f"/api/v1/nodes/{CLUSTER}")
        conditions = node["status"].get("conditions", []) if node else []
        reported = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
        # What the node last reported outlives its kubelet by 50 s, so ask that too.
        return reported and self._request(f"/api/v1/nodes/{CLUSTER}/proxy/healthz") == b"ok"

    def _service_reachable(self) -> bool:
        """Asked from inside, with TLS verified, as a pod would: kube-proxy's rules stand."""
        command = [f"{self._layout.bin}/kubectl", "--kubeconfig", str(self._settings.kubeconfig)]
        command += ["--server", f"https://{SERVICE_ADDRESS}", "--request-timeout=3s", "get", "--raw", "/readyz"]
        return attempt(*network.inside(command), timeout_s=10).stdout == "ok"

    def _let_the_tester_in(self) -> None:
        path = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
        if self._get(f"{path}/zanith-testers") is None:
            self._request(path, body=ROOT_OF_TESTER)

    def _get(self, path: str) -> Any:
        answer = self._request(path)
        return None if answer is None else json.loads(answer)

    def _request(self, path: str, body: object = None) -> bytes | None:
        """The API server's answer, or None while there is none of use."""
        try:
            verified = ssl.create_default_context(cafile=str(self._layout.credentials.certificate))
            headers = {"Authorization": f"Bearer {self._layout.credentials.token(ADMIN)}"}
            data = None if body is None else json.dumps(body).encode()
            if data:
                headers["Content-Type"] = "application/json"
            request = urllib.request.Request(API_SERVER + path, data=data, headers=headers)
            opener = urllib.request.build_opener(
                urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=verified)
            )
            with opener.open(request, timeout=5) as response:
                content: bytes = response.read()
                return content
        except (OSError, urllib.error.HTTPError):
            return None


def _resident_mb(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 2**20
