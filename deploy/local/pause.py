"""The image that holds a pod's namespaces open: one program that sleeps, written as machine code, so no compiler is needed.

It is process 1 of its namespace, where signals without a handler are ignored; containerd ends it with SIGKILL.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import tarfile

from .settings import architecture

PAUSE_IMAGE = "zanith.io/pause:1"

_CODE = {
    # again: mov eax, 34 (pause); syscall; jmp again
    "amd64": bytes.fromhex("b822000000 0f05 ebf7"),
    # again: mov x8, #73 (ppoll); mov x0..x4, #0; svc #0; b again
    "arm64": struct.pack(
        "<8I", 0xD2800928, 0xD2800000, 0xD2800001, 0xD2800002, 0xD2800003, 0xD2800004, 0xD4000001, 0x17FFFFF9
    ),
}
_MACHINE = {"amd64": 62, "arm64": 183}
_LOAD_ADDRESS = 0x400000
_HEADERS = 64 + 56


def archive() -> bytes:
    """A Docker image archive: a manifest, a configuration, one layer with one file."""
    layer = _tar({"pause": (_executable(), 0o755)})
    config = {
        "architecture": architecture(),
        "os": "linux",
        "config": {"Entrypoint": ["/pause"], "User": "65535:65535"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [PAUSE_IMAGE], "Layers": ["layer.tar"]}]
    return _tar(
        {
            "manifest.json": (json.dumps(manifest).encode(), 0o644),
            "config.json": (json.dumps(config).encode(), 0o644),
            "layer.tar": (layer, 0o644),
        }
    )


def _executable() -> bytes:
    """An ELF file of one segment: its headers and the code."""
    code = _CODE[architecture()]
    entry, size = _LOAD_ADDRESS + _HEADERS, _HEADERS + len(code)
    ident = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)  # 64 bit, little endian, version 1
    header = ident + struct.pack("<HHIQQQIHHHHHH", 2, _MACHINE[architecture()], 1, entry, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    readable_executable = 5
    segment = struct.pack("<IIQQQQQQ", 1, readable_executable, 0, _LOAD_ADDRESS, _LOAD_ADDRESS, size, size, 0x1000)
    return header + segment + code


def _tar(files: dict[str, tuple[bytes, int]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, (content, mode) in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), mode
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()
