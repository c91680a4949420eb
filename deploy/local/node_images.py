"""Putting an image archive into the native node, sending only the layers it does not have.

Most builds change one small layer of several hundred megabytes. containerd's import looks for a layer in the stream and
then in its own store, so the stream may leave out what is there.
"""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .commands import run
from .errors import ClusterError

_INDEX = "application/vnd.oci.image.index.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"


@dataclass(frozen=True)
class _Image:
    """What a Docker image archive holds: the configuration, and each uncompressed layer's digest and member."""

    config: bytes
    layers: tuple[tuple[str, tarfile.TarInfo], ...]


def load(ctr: Sequence[str], archive: Path, tag: str) -> None:
    """`ctr` is the command with address and namespace."""
    with tarfile.open(archive) as source:
        image = _read(source)
        if image is None:
            run(*ctr, "images", "import", archive, timeout_s=300)
            return
        present = set(run(*ctr, "content", "list", "--quiet").split())
        with subprocess.Popen(
            [*ctr, "images", "import", "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        ) as importing:
            assert importing.stdin is not None
            assert importing.stderr is not None
            with tarfile.open(fileobj=importing.stdin, mode="w|") as target:
                _write(source, image, target, tag, present)
            importing.stdin.close()
            said = importing.stderr.read().decode(errors="replace")
    if importing.returncode != 0:
        raise ClusterError(f"containerd does not take {archive}: {said.strip()}")


def _read(source: tarfile.TarFile) -> _Image | None:
    """None for an archive whose layers are not named by their digests: compressed ones are not what the list says."""
    manifest = json.loads(_content(source, "manifest.json"))[0]
    config = _content(source, manifest["Config"])
    digests = json.loads(config)["rootfs"]["diff_ids"]
    members = [source.getmember(name) for name in manifest["Layers"]]
    named = all(
        member.name == f"{digest.partition(':')[2]}.tar" for digest, member in zip(digests, members, strict=True)
    )
    return _Image(config, tuple(zip(digests, members, strict=True))) if named else None


def _write(source: tarfile.TarFile, image: _Image, target: tarfile.TarFile, tag: str, present: set[str]) -> None:
    """An OCI image layout without the layers that are present."""
    layers = [{"mediaType": _LAYER, "digest": digest, "size": member.size} for digest, member in image.layers]
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": {"mediaType": _CONFIG, "digest": _digest(image.config), "size": len(image.config)},
            "layers": layers,
        }
    ).encode()
    entry = {
        "mediaType": _MANIFEST,
        "digest": _digest(manifest),
        "size": len(manifest),
        "annotations": {"io.containerd.image.name": full_name(tag)},
    }
    _add(target, "oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
    index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": [entry]}
    _add(target, "index.json", json.dumps(index).encode())
    for blob in (image.config, manifest):
        _add(target, _blob_path(_digest(blob)), blob)
    for digest, member in image.layers:
        if digest not in present:
            renamed = tarfile.TarInfo(_blob_path(digest))
            renamed.size = member.size
            target.addfile(renamed, source.extractfile(member))


def full_name(tag: str) -> str:
    """What the kubelet makes of a short name."""
    first, slash, _ = tag.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return tag
    return f"docker.io/{tag}" if slash else f"docker.io/library/{tag}"


def _content(source: tarfile.TarFile, name: str) -> bytes:
    member = source.extractfile(name)
    assert member is not None
    return member.read()


def _add(target: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    target.addfile(member, io.BytesIO(content))


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _blob_path(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"
