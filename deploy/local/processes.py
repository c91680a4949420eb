"""Long-running programs, remembered by pid *and* start time, so a number used again is never mistaken for ours."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .commands import search_path


@dataclass(frozen=True)
class Recorded:
    """What was started: enough to find it again and to see that it should now be started differently."""

    pid: int
    start_time: str
    fingerprint: str

    @property
    def alive(self) -> bool:
        return start_time(self.pid) == self.start_time


class Processes:
    """The programs of one cluster: records in `run/`, output in `logs/`."""

    def __init__(self, folder: Path) -> None:
        self._run = folder / "run"
        self._logs = folder / "logs"

    def log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def recorded(self, name: str) -> Recorded | None:
        try:
            raw = json.loads((self._run / f"{name}.json").read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        return Recorded(raw["pid"], raw["start_time"], raw["fingerprint"])

    def running(self, name: str) -> Recorded | None:
        record = self.recorded(name)
        return record if record is not None and record.alive else None

    def start(self, name: str, command: Sequence[str], fingerprint: str) -> None:
        """Detached, with an environment of its own: a proxy or a certificate variable of the caller would mislead it."""
        self._run.mkdir(parents=True, exist_ok=True)
        self._logs.mkdir(parents=True, exist_ok=True)
        with self.log(name).open("ab") as output:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd="/",
                env={"PATH": search_path(), "HOME": "/root"},
                start_new_session=True,
            )
        record = {"pid": child.pid, "start_time": start_time(child.pid), "fingerprint": fingerprint}
        (self._run / f"{name}.json").write_text(json.dumps(record))

    def stop(self, name: str, *, grace_s: float = 10) -> bool:
        """Ask, then insist. Says whether there was anything to stop."""
        record = self.running(name)
        if record is not None:
            end([record.pid], grace_s=grace_s)
        (self._run / f"{name}.json").unlink(missing_ok=True)
        return record is not None


def start_time(pid: int) -> str:
    """Ticks since boot at which the process started; empty if there is none or it is only a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def all_pids() -> list[int]:
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]


def command_line(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
    except (FileNotFoundError, ProcessLookupError):
        return []


def with_descendants(roots: Iterable[int]) -> list[int]:
    """The given processes and everything below them."""
    children: dict[int, list[int]] = {}
    for pid in all_pids():
        try:
            parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        children.setdefault(parent, []).append(pid)
    found: list[int] = []
    queue = list(roots)
    while queue:
        pid = queue.pop()
        found.append(pid)
        queue.extend(children.get(pid, ()))
    return found


def end(pids: Sequence[int], *, grace_s: float) -> None:
    """SIGTERM, wait, SIGKILL, wait; with no grace the SIGKILL comes at once."""
    started = {pid: start_time(pid) for pid in pids}
    for chosen, patience_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, 5.0)):
        if chosen is signal.SIGTERM and not grace_s:
            continue
        left = [pid for pid, ticks in started.items() if ticks and start_time(pid) == ticks]
        for pid in left:
            _send(pid, chosen)
        deadline = time.monotonic() + patience_s
        while any(start_time(pid) == started[pid] for pid in left) and time.monotonic() < deadline:
            time.sleep(0.05)


def _send(pid: int, chosen: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, chosen)
