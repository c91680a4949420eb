"""Our image: built when one of its inputs changed, kept as an archive in the cache, loaded into whichever cluster is up."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

from . import base_image, docker, packages, pip_settings
from .buildah import Buildah
from .choice import Cluster
from .commands import run
from .console import note, step
from .errors import Missing
from .settings import Settings

_INPUTS = ("Dockerfile", ".dockerignore", "pyproject.toml", "README.md", "LICENSE", "requirements.lock")
_BUILD_TIMEOUT_S = 1800


def build(settings: Settings, tag: str) -> None:
    """Build unless the archive of these very inputs is there."""
    archive, digest = _archive(settings, tag), _digest(settings)
    if archive.exists() and _digest_file(archive).exists() and _digest_file(archive).read_text() == digest:
        note(f"{tag} is up to date")
        return
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="zanith-build-") as folder:
        shared = ["--tag", tag, "--build-arg", f"VERSION={_version(settings)}"]
        shared += [*pip_settings.write(Path(folder)), *pip_settings.proxy_arguments()]
        if docker.answers():
            _build_with_docker(settings, tag, shared, archive)
        elif sys.platform == "linux" and os.geteuid() == 0:
            _build_with_buildah(settings, tag, shared, archive)
        else:
            raise Missing("an image is built by a Docker engine, or by buildah as root on Linux; there is neither")
    _digest_file(archive).write_text(digest)


def load(settings: Settings, cluster: Cluster, tag: str) -> None:
    """Build if need be, then put it where the cluster's pods start from."""
    build(settings, tag)
    archive = _archive(settings, tag)
    cluster.load(archive, tag, _digest_file(archive).read_text())


def clean(settings: Settings) -> None:
    """Nothing of building is left mounted; the cache stays."""
    Buildah(settings).release_mounts()


def _build_with_docker(settings: Settings, tag: str, shared: list[str], archive: Path) -> None:
    base = ["--build-arg", f"BASE_IMAGE={settings.base_image}"] if settings.base_image else []
    with_buildkit = {**os.environ, "DOCKER_BUILDKIT": "1"}
    with step(f"building {tag} with Docker"):
        run("docker", "build", *base, *shared, settings.repository, env=with_buildkit, timeout_s=_BUILD_TIMEOUT_S)
        run("docker", "save", "--output", archive, tag, timeout_s=300)


def _build_with_buildah(settings: Settings, tag: str, shared: list[str], archive: Path) -> None:
    packages.ensure(packages.IMAGE)
    base = base_image.ensure(settings)
    buildah = Buildah(settings)
    try:
        with step(f"building {tag} with buildah"):
            options = ["--isolation", "chroot", "--layers", "--pull-never", "--build-arg", f"BASE_IMAGE={base}"]
            buildah.run("bud", *options, *shared, settings.repository, timeout_s=_BUILD_TIMEOUT_S)
        with step(f"writing {archive.name}"):
            archive.unlink(missing_ok=True)
            buildah.run("push", "--quiet", f"localhost/{tag}", f"docker-archive:{archive}:{tag}")
    finally:
        buildah.release_mounts()


def _archive(settings: Settings, tag: str) -> Path:
    return settings.cache / "images" / f"{tag.replace('/', '_').replace(':', '_')}.tar"


def _digest_file(archive: Path) -> Path:
    return archive.with_suffix(".inputs")


def _digest(settings: Settings) -> str:
    """Of everything the Dockerfile sees: names, contents, and the base."""
    digest = hashlib.sha256(settings.base_image.encode())
    for path in _input_files(settings.repository):
        content = path.read_bytes() if path.exists() else b""
        digest.update(f"{path.relative_to(settings.repository)} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def _input_files(repository: Path) -> Iterator[Path]:
    yield from (repository / name for name in _INPUTS)
    yield repository / "deploy/local/build.lock"
    yield from sorted(p for p in (repository / "operator").rglob("*") if p.is_file() and "__pycache__" not in p.parts)


def _version(settings: Settings) -> str:
    project = tomllib.loads((settings.repository / "pyproject.toml").read_text())["project"]
    return str(project["version"])
