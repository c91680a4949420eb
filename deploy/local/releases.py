"""Upstream's own release downloads, each verified against the SHA-256 published beside it.

That digest guards against a broken transfer and a stale mirror. A network that does not answer within seconds is taken as
a "no": the next source is asked.
"""

from __future__ import annotations

import hashlib
import http.client
import io
import re
import tarfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from .console import note, step
from .errors import SourceRefused
from .programs import Program

_CONNECT_S = 5
_STALL_S = 30
_CHUNK = 1 << 20
_NOTE_EVERY_S = 5


def address(mirror: str, url: str) -> str:
    """The address on the user's mirror, laid out as `<mirror>/<host>/<path>`, if there is one."""
    return f"{mirror}/{url.removeprefix('https://')}" if mirror else url


def host(mirror: str, program: Program) -> str:
    """Who would be asked: programs of one host share its refusal."""
    return urlsplit(program.release_url()).netloc + mirror


def fetch(mirror: str, program: Program, target: Path) -> None:
    """Download, verify, unpack, and put in place in one move."""
    url = address(mirror, program.release_url())
    expected = _published_digest(address(mirror, program.checksums_url()), url.rpartition("/")[2])
    with step(f"downloading {program.name} {program.version}"):
        content = _read(url, timeout_s=_STALL_S, progress=True)
        found = hashlib.sha256(content).hexdigest()
        if found != expected:
            raise SourceRefused(f"{url} has SHA-256 {found}, its publisher says {expected}")
        executable = _unpacked(content, program.name) if url.endswith(".tar.gz") else content
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.partial")
        partial.write_bytes(executable)
        partial.chmod(0o755)
        partial.replace(target)


def _published_digest(url: str, file_name: str) -> str:
    """From a file that holds one digest, or one line `digest  file name` for each of a release's files."""
    text = _read(url, timeout_s=_CONNECT_S).decode(errors="replace")
    for line in text.splitlines():
        match = re.fullmatch(r"([0-9a-f]{64})(?:\s+\*?(\S+))?", line.strip())
        if match and (match[2] is None or match[2].rpartition("/")[2] == file_name):
            return match[1]
    raise SourceRefused(f"{url} names no SHA-256 for {file_name}")


def _read(url: str, *, timeout_s: float, progress: bool = False) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as response:
            content = bytearray()
            noted = time.monotonic()
            while chunk := response.read(_CHUNK):
                content += chunk
                if progress and time.monotonic() - noted > _NOTE_EVERY_S:
                    noted = time.monotonic()
                    note(f"{len(content) // _CHUNK} MB of {int(response.headers.get('Content-Length') or 0) // _CHUNK}")
            return bytes(content)
    except urllib.error.HTTPError as answer:
        raise SourceRefused(f"{url} answers {answer.code}") from answer
    except (OSError, http.client.HTTPException) as failure:
        raise SourceRefused(f"{url}: {getattr(failure, 'reason', failure)}") from failure


def _unpacked(archive: bytes, name: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        for member in tar:
            if member.isfile() and member.name.rpartition("/")[2] == name:
                content = tar.extractfile(member)
                assert content is not None
                return content.read()
    raise SourceRefused(f"the archive holds no {name}")
