"""What the user may choose, read from the environment once and passed on.

Addresses are constants: the node lives in a network namespace of its own, so nothing else on the machine can collide
with them except a route of the same range, which `network` refuses to shadow.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

CLUSTER = "zanith"
POD_RANGE = "10.244.0.0/24"
NODE_ADDRESS = "10.244.0.1"
SERVICE_RANGE = "10.96.0.0/24"
SERVICE_ADDRESS = "10.96.0.1"
API_SERVER = f"https://{NODE_ADDRESS}:6443"
DEFAULT_TAG = "zanith:dev"


@dataclass(frozen=True)
class Settings:
    """Every choice of a run. Paths outside the checkout: `cache` may be deleted at any time, `state` belongs to a cluster."""

    repository: Path
    cache: Path
    state: Path
    kube: str
    """`local`, `kind`, the name of a context, or nothing: choose."""
    binaries: Path | None
    """A folder of the user's with the Kubernetes programs."""
    downloads: str
    """A mirror laid out as `<mirror>/<host>/<path>`, `off`, or nothing: the projects' own release addresses."""
    base_image: str
    debian_mirror: str
    kind_node_image: str
    postgres_host: str

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> Settings:
        home = Path(env.get("HOME") or Path.home())
        cache = env.get("ZANITH_CACHE") or f"{env.get('XDG_CACHE_HOME') or home / '.cache'}/zanith"
        state = env.get("ZANITH_STATE") or f"{env.get('XDG_STATE_HOME') or home / '.local/state'}/zanith"
        return cls(
            repository=Path(__file__).resolve().parents[2],
            cache=Path(cache).absolute(),
            state=Path(state).absolute(),
            kube=env.get("ZANITH_KUBE", ""),
            binaries=Path(env["ZANITH_KUBE_BINARIES"]).absolute() if env.get("ZANITH_KUBE_BINARIES") else None,
            downloads=env.get("ZANITH_DOWNLOADS", "").rstrip("/"),
            base_image=env.get("ZANITH_BASE_IMAGE", ""),
            debian_mirror=env.get("ZANITH_DEBIAN_MIRROR", ""),
            kind_node_image=env.get("ZANITH_KIND_NODE_IMAGE", ""),
            postgres_host=env.get("ZANITH_POSTGRES_HOST", ""),
        )

    @property
    def bin(self) -> Path:
        """Links to the chosen programs, whatever source they came from."""
        return self.state / "bin"

    @property
    def node(self) -> Path:
        """Everything the native cluster writes."""
        return self.state / "node"

    @property
    def kubeconfig(self) -> Path:
        return self.state / "kubeconfig"

    @property
    def tester_kubeconfig(self) -> Path:
        """A second cluster-admin, one whose rights come from RBAC and not from `system:masters`."""
        return self.state / "kubeconfig-tester"


def operating_system() -> str:
    return "darwin" if sys.platform == "darwin" else "linux"


def architecture() -> str:
    """Go's word for this machine's processor."""
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
