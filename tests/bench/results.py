"""RESULTS.md: sections written by benchmarks, each with the machine, the date and the commit. No figure by hand."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "RESULTS.md"
HEAD = (
    "# Results\n\nMeasured on real servers by the commands named. Each section is written by its benchmark, never by hand;\n"
    "run it on your own machine to compare.\n"
)


def write_section(title: str, command: str, body: str, *, first: bool = False, file: Path = RESULTS) -> None:
    """Put a section in the place of the one of this title, or at the end; `first` before all others."""
    section = f"## {title}\n\n`{command}`, {_where()}\n\n{body.strip()}\n"
    text = file.read_text() if file.exists() else HEAD
    found = re.search(rf"^## {re.escape(title)}\n.*?(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    if first:
        others = text if found is None else text[: found.start()] + text[found.end() :]
        head, mark, rest = others.partition("\n## ")
        file.write_text(f"{head.rstrip()}\n\n{section}{mark}{rest}".rstrip() + "\n")
        return
    if found is None:
        file.write_text(f"{text.rstrip()}\n\n{section}")
        return
    rest = text[found.end() :]
    file.write_text(f"{text[: found.start()]}{section}{chr(10) if rest else ''}{rest}")


def _where() -> str:
    """Machine, date and commit."""
    dirty = " with changes" if _git("status", "--porcelain", "--", ".", f":!{RESULTS.name}") else ""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    load = os.getloadavg()[1]
    return (
        f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()}, load average {load:.1f} over "
        f"the last five minutes; {datetime.now(UTC):%Y-%m-%d}, commit {_git('rev-parse', '--short', 'HEAD')}{dirty}"
    )


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
