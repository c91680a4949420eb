"""Each program from the first source that has it: the user's folder, upstream's release, or a build from Go modules.

The results stand in the cache by version, outside the checkout; `bin/` of the state folder holds links to the chosen ones.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from . import releases, toolchain
from .console import note
from .errors import Missing, SourceRefused
from .programs import Program
from .settings import Settings, architecture, operating_system


def ensure(settings: Settings, programs: Sequence[Program]) -> None:
    """Have all of them behind links in `settings.bin`."""
    chosen = {program: from_user for program in programs if (from_user := _of_the_user(settings, program))}
    absent = [p for p in programs if p not in chosen and not cached(settings, p).exists()]
    if absent:
        absent = _download(settings, absent)
    if absent:
        _build(settings, absent)
    settings.bin.mkdir(parents=True, exist_ok=True)
    for program in programs:
        _link(settings.bin / program.name, chosen.get(program) or cached(settings, program))


def cached(settings: Settings, program: Program) -> Path:
    """Where it stands once it was downloaded or built."""
    file = f"{program.name}-{program.version}-{operating_system()}-{architecture()}"
    return settings.cache / "programs" / file


def _of_the_user(settings: Settings, program: Program) -> Path | None:
    if settings.binaries is None:
        return None
    if not settings.binaries.is_dir():
        raise Missing(f"ZANITH_KUBE_BINARIES names {settings.binaries}, which is not a folder")
    candidate = settings.binaries / program.name
    return candidate if os.access(candidate, os.X_OK) else None


def _download(settings: Settings, programs: Sequence[Program]) -> list[Program]:
    """Those that could not be downloaded. A host that does not answer is asked once."""
    if settings.downloads == "off":
        return list(programs)
    left: list[Program] = []
    refused: set[str] = set()
    for program in programs:
        source = releases.host(settings.downloads, program)
        if source not in refused:
            try:
                releases.fetch(settings.downloads, program, cached(settings, program))
                continue
            except SourceRefused as reason:
                note(f"{program.name}: no release download ({reason})")
                refused.add(source)
        left.append(program)
    return left


def _build(settings: Settings, programs: Sequence[Program]) -> None:
    go = toolchain.find_or_fetch(settings)
    for module in dict.fromkeys(program.module for program in programs):
        wanted = [program for program in programs if program.module == module]
        scratch = settings.cache / "programs" / f".{module}.{os.getpid()}"
        scratch.mkdir(parents=True, exist_ok=True)
        try:
            for program, built in zip(wanted, toolchain.build(go, wanted, scratch), strict=True):
                target = cached(settings, program)
                target.parent.mkdir(parents=True, exist_ok=True)
                built.replace(target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _link(link: Path, target: Path) -> None:
    if link.is_symlink() and Path(os.readlink(link)) == target:
        return
    link.unlink(missing_ok=True)
    link.symlink_to(target)
