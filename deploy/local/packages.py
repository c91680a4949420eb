"""What the native cluster takes from the distribution. Debian and Ubuntu are served; elsewhere the lack is named."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .commands import attempt, found, run
from .console import step
from .errors import Missing

CNI_PLUGINS = Path("/usr/lib/cni")

NODE = {
    "ip": "iproute2",
    "nsenter": "util-linux",
    "openssl": "openssl",
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    str(CNI_PLUGINS / "bridge"): "containernetworking-plugins",
    "iptables": "iptables",
    "nft": "nftables",
    "conntrack": "conntrack",
}
DEBIAN_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
IMAGE = {"buildah": "buildah"}
BASE_IMAGE = {"debootstrap": "debootstrap", DEBIAN_KEYRING: "debian-archive-keyring"}

_POLICY = Path("/usr/sbin/policy-rc.d")


def ensure(needed: dict[str, str]) -> None:
    """Install the packages of the programs and files that are not there."""
    absent = {name: package for name, package in needed.items() if not _present(name)}
    if not absent:
        return
    packages = sorted(set(absent.values()))
    if not found("apt-get"):
        raise Missing(f"this machine lacks {', '.join(sorted(absent))}; install them (on Debian: {' '.join(packages)})")
    with step(f"installing with apt-get: {' '.join(packages)}"), _no_service_starts():
        if _install(packages) != 0:
            run("apt-get", "update", timeout_s=300)
            if _install(packages) != 0:
                raise Missing(f"apt-get cannot install {' '.join(packages)}; it was asked twice, the lists are fresh")
    if "containerd" in packages:
        # The package enables a service that is not wanted: our containerd has its own root, state and socket.
        attempt("systemctl", "disable", "--quiet", "containerd")


def _present(name: str) -> bool:
    return Path(name).exists() if name.startswith("/") else found(name)


def _install(packages: list[str]) -> int:
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_SUSPEND": "1"}
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *packages]
    return attempt(*command, env=quiet, timeout_s=900).returncode


@contextmanager
def _no_service_starts() -> Iterator[None]:
    """Debian's switch for this: a policy that forbids maintainer scripts to start anything."""
    before = _POLICY.read_bytes() if _POLICY.exists() else None
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        if before is None:
            _POLICY.unlink()
        else:
            _POLICY.write_bytes(before)
