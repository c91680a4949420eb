"""Tells people at a terminal, or a log, how a migration goes: a bar that moves, or plain lines now and then."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, TextIO

from zanith.execution.assignment import Progress, Report
from zanith.ledger.history import duration_text
from zanith.ledger.overview import percent

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

PLAIN_LINE_EVERY_S = 5.0


@contextmanager
def progress_report(out: TextIO) -> Iterator[Report]:
    """A Report that writes to `out`: with a bar where it is a terminal, in plain lines elsewhere."""
    if not out.isatty():
        yield PlainReport(out)
        return
    # Imported here: a log needs none of it, and it takes its time.
    from rich.console import Console
    from rich.progress import BarColumn, SpinnerColumn, TextColumn
    from rich.progress import Progress as Bars

    console = Console(file=out, highlight=False, markup=False)
    bars = Bars(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[state]}", markup=False),
        console=console,
        transient=True,
    )
    with bars:
        yield TerminalReport(bars)


class PlainReport:
    """Lines in the words of history; batches at most every few seconds."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._lock = threading.Lock()
        self._batch_told = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        with self._lock:
            line = self._line(progress)
            if line:
                self._out.write(f"  {line}\n")
                self._out.flush()

    def _line(self, progress: Progress) -> str:
        match progress.event:
            case "step_started":
                self._batch_told = time.monotonic()
                return started_text(progress)
            case "step_finished":
                return finished_text(progress)
            case "batch":
                if time.monotonic() - self._batch_told < PLAIN_LINE_EVERY_S:
                    return ""
                self._batch_told = time.monotonic()
                return f"  {rows_text(progress)}"
            case "waiting" | "throttled" | "notice":
                return f"  {progress.event}: {progress.message}"
        return ""


class TerminalReport:
    """A bar for the step at work; what is finished stays above it."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._task: TaskID | None = None

    def __call__(self, progress: Progress) -> None:
        match progress.event:
            case "step_started":
                self._end_task()
                self._task = self._bars.add_task(f"  {started_text(progress)}", total=None, state="")
            case "batch":
                total = progress.rows_estimated and max(progress.rows_estimated, progress.rows_done)
                self._update(rows_text(progress), total=total, completed=progress.rows_done)
            case "waiting" | "throttled":
                if self._task is None:
                    self._bars.console.print(f"  {progress.event}: {progress.message}")
                self._update(f"{progress.event}: {progress.message}")
            case "notice":
                self._bars.console.print(f"  notice: {progress.message}")
            case "statement_started":
                self._update("")
            case "step_finished":
                self._end_task()
                self._bars.console.print(f"  {finished_text(progress)}")

    def _update(self, state: str, *, total: float | None = None, completed: float | None = None) -> None:
        if self._task is not None:
            self._bars.update(self._task, state=state, total=total, completed=completed)

    def _end_task(self) -> None:
        if self._task is not None:
            self._bars.remove_task(self._task)
            self._task = None


def started_text(progress: Progress) -> str:
    """`· step 2/5: [medium] backfill public.users`; of other work, `· undoing step …`, `· restoring public.users.email`."""
    what = f"{_step(progress)} {progress.target}".rstrip()
    match progress.message:
        case "undo":
            return f"· undoing {what}"
        case "restore":
            return f"· restoring {progress.target}"
    return f"· {what}"


def finished_text(progress: Progress) -> str:
    """`✓ step 2/5: [medium] backfill  3.4 s`, `↶ step 2/5: …`."""
    took = duration_text(timedelta(seconds=progress.took_s))
    match progress.message:
        case "undo":
            return f"↶ {_step(progress)}  {took}"
        case "restore":
            return f"✓ restored {progress.target}  {took}"
    return f"✓ {_step(progress)}  {took}"


def _step(progress: Progress) -> str:
    return f"step {progress.step_index}/{progress.steps_total}: [{progress.risk_level}] {progress.kind}"


def rows_text(progress: Progress) -> str:
    """`620000 of about 1000000 rows (62 %), 45000 rows/s, 8.4 s left`, as far as it is known."""
    done, estimated, rate = progress.rows_done, progress.rows_estimated, progress.rows_per_second
    text = f"{done} rows" if not estimated else f"{done} of about {estimated} rows ({percent(done, estimated)} %)"
    if rate:
        text += f", {rate} rows/s"
        if estimated and estimated > done:
            text += f", {duration_text(timedelta(seconds=(estimated - done) / rate))} left"
    return text
