"""The image ours is built on. Where it cannot be pulled, one of the same name is made from Debian packages.

The stand-in has what the Dockerfile asks for, python3 with venv and certificates, and the same version of Python.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from . import packages
from .buildah import Buildah
from .commands import run
from .console import note, step
from .errors import ClusterError
from .settings import Settings

DEFAULT = "docker.io/library/python:3.11-slim"
_SUITE = "bookworm"
_PACKAGES = "python3,python3-venv,ca-certificates"
_KEY_LABEL = "io.zanith.base-image"
_PULL_TIMEOUT_S = 120
_UNNEEDED = (
    "usr/share/doc",
    "usr/share/locale",
    "usr/share/man",
    "usr/share/info",
    "var/cache/apt",
    "var/lib/apt/lists",
)
_OF_THE_HOST = ("etc/resolv.conf", "etc/hostname", "var/log/bootstrap.log", "var/log/dpkg.log")


def ensure(settings: Settings) -> str:
    """The reference to build on; there afterwards."""
    buildah = Buildah(settings)
    reference = settings.base_image or DEFAULT
    if buildah.label(reference, _KEY_LABEL) in ("", _key(settings)):
        return reference
    with step(f"pulling {reference}"):
        pulled = buildah.succeeds("pull", "--quiet", reference, timeout_s=_PULL_TIMEOUT_S)
        if not pulled:
            note("it cannot be pulled here")
    if not pulled and settings.base_image:
        raise ClusterError(f"ZANITH_BASE_IMAGE names {reference}, which cannot be pulled")
    if not pulled:
        _bootstrap(settings, buildah)
    return reference


def rebuild(settings: Settings) -> None:
    """Make the stand-in anew, whether there is one or not."""
    _bootstrap(settings, Buildah(settings))


def _key(settings: Settings) -> str:
    return hashlib.sha256(f"{_SUITE} {_PACKAGES} {settings.debian_mirror} 1".encode()).hexdigest()[:16]


def _bootstrap(settings: Settings, buildah: Buildah) -> None:
    packages.ensure({**packages.IMAGE, **packages.BASE_IMAGE})
    with step(f"making a stand-in for {DEFAULT} from Debian {_SUITE} packages"):
        container = buildah.run("from", "scratch").strip()
        try:
            root = Path(buildah.run("mount", container).strip())
            _debootstrap(settings, root)
            for name in _UNNEEDED:
                shutil.rmtree(root / name, ignore_errors=True)
            for name in _OF_THE_HOST:
                (root / name).unlink(missing_ok=True)
            buildah.run("umount", container)
            buildah.run("config", "--cmd", "python3", "--label", f"{_KEY_LABEL}={_key(settings)}", container)
            buildah.run("commit", "--quiet", container, DEFAULT)
        finally:
            buildah.run("rm", container)


def _debootstrap(settings: Settings, root: Path) -> None:
    source = [settings.debian_mirror] if settings.debian_mirror else []
    options = ["--variant=minbase", f"--include={_PACKAGES}", f"--keyring={packages.DEBIAN_KEYRING}"]
    run("debootstrap", *options, _SUITE, root, *source, timeout_s=1200)
