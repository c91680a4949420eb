"""The programs from upstream: which, in which version, and where upstream publishes them.

The versions stand in the `go.mod` files, which is where the third source needs them; the others follow.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from .settings import architecture, operating_system

MODULES = Path(__file__).parent / "go"


@dataclass(frozen=True)
class Program:
    """One executable and how each source calls it."""

    name: str
    module: str
    """The folder below `go/` whose go.mod builds it."""
    package: str
    """The Go package of its main function; the last part is what `go build` calls the result."""
    versioned_by: str
    """The Go module whose version is the program's."""
    release: str
    """Where upstream publishes it: an executable, or a .tar.gz that holds one."""
    checksums: str
    """The published SHA-256: a bare digest, or lines of digest and file name."""

    @property
    def version(self) -> str:
        return _required(self.module, self.versioned_by)

    def release_url(self) -> str:
        return self._fill(self.release)

    def checksums_url(self) -> str:
        return self._fill(self.checksums)

    def _fill(self, url: str) -> str:
        return url.format(name=self.name, version=self.version, os=operating_system(), arch=architecture())


def link_values(module: str) -> dict[str, str]:
    """What upstream's own builds write into their programs, by variable: without it they do not know their version."""
    match module:
        case "kubernetes":
            version = _required(module, "k8s.io/kubernetes")
            major, minor, _ = version.removeprefix("v").split(".", 2)
            values = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
            return {f"k8s.io/component-base/version.{name}": value for name, value in values.items()}
        case "helm":
            # The Kubernetes that `helm template` and `helm lint` assume is the one of its client library: v0.34 is 1.34.
            values = {"k8sVersionMajor": "1", "k8sVersionMinor": _required(module, "k8s.io/client-go").split(".")[1]}
            packages = ("lint/rules", "chartutil")
            assumed = {f"helm.sh/helm/v3/pkg/{p}.{name}": value for p in packages for name, value in values.items()}
            return {"helm.sh/helm/v3/internal/version.version": _required(module, "helm.sh/helm/v3"), **assumed}
        case _:
            return {"main.version": _required(module, "github.com/yannh/kubeconform")}


def _required(module: str, dependency: str) -> str:
    """The version a go.mod of ours requires."""
    requirement = re.compile(rf"^(?:require )?\s*{re.escape(dependency)} (v\S+)", re.MULTILINE)
    match = requirement.search((MODULES / module / "go.mod").read_text())
    assert match, f"{dependency} is not in {module}/go.mod"
    return match[1]


def _kubernetes(name: str) -> Program:
    release = "https://dl.k8s.io/release/{version}/bin/{os}/{arch}/{name}"
    return Program(
        name, "kubernetes", f"k8s.io/kubernetes/cmd/{name}", "k8s.io/kubernetes", release, release + ".sha256"
    )


_ETCD = "https://github.com/etcd-io/etcd/releases/download/{version}"
_KUBECONFORM = "https://github.com/yannh/kubeconform/releases/download/{version}"

NODE = (
    Program(
        name="etcd",
        module="kubernetes",
        package="go.etcd.io/etcd/server/v3",
        versioned_by="go.etcd.io/etcd/server/v3",
        release=_ETCD + "/etcd-{version}-{os}-{arch}.tar.gz",
        checksums=_ETCD + "/SHA256SUMS",
    ),
    *(
        _kubernetes(name)
        for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")
    ),
)
CLIENT = (
    _kubernetes("kubectl"),
    Program(
        name="helm",
        module="helm",
        package="helm.sh/helm/v3/cmd/helm",
        versioned_by="helm.sh/helm/v3",
        release="https://get.helm.sh/helm-{version}-{os}-{arch}.tar.gz",
        checksums="https://get.helm.sh/helm-{version}-{os}-{arch}.tar.gz.sha256sum",
    ),
)
OPTIONAL = (
    Program(
        name="kubeconform",
        module="kubeconform",
        package="github.com/yannh/kubeconform/cmd/kubeconform",
        versioned_by="github.com/yannh/kubeconform",
        release=_KUBECONFORM + "/kubeconform-{os}-{arch}.tar.gz",
        checksums=_KUBECONFORM + "/CHECKSUMS",
    ),
)
BY_NAME = {program.name: program for program in (*NODE, *CLIENT, *OPTIONAL)}
