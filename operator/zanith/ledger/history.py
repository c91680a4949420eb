"""What the ledger tells, as lines for people and JSON for programs. Pure: rows in, text out; reads nothing.

The words and signs of `history --verbose` are a contract. Everything comes as an iterator and leaves as one, a piece
per migration, so a long history needs no memory.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from zanith.core.risk import RiskLevel
from zanith.ledger.records import PURGING, REFUSED_PREFIX, RESTORE_COLUMN, RESTORE_TABLE

_UNITS = ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"))
_STATES = {"done": "Done", "failed": "Failed", "reverted": "Reverted", "running": "Running"}
_RECOVERIES = frozenset({RESTORE_COLUMN, RESTORE_TABLE, PURGING})


class HistoryStep(NamedTuple):
    """A step as history shows it: its latest attempt, and how many there were. A tuple, for there are many of them."""

    step_index: int
    kind: str
    risk_level: str
    risk_score: int
    status: str
    """Of the latest attempt; `pending` where there is none."""
    attempts: int
    error: str | None = None
    started_at: datetime | None = None
    """When it was first started."""
    finished_at: datetime | None = None
    took: timedelta | None = None
    """Time spent in all its attempts."""

    @property
    def sigil(self) -> str:
        """✓ done at the first attempt, ↻ done after an earlier one, ✗ failed or refused, ↶ reverted, · not yet."""
        if self.status == "done":
            return "✓" if self.attempts == 1 else "↻"
        return {"failed": "✗", "reverted": "↶"}.get(self.status, "·")


@dataclass(frozen=True, slots=True)
class MigrationHistory:
    """One migration of the ledger; `applied_at` is None where it is not applied."""

    id: str
    applied_at: datetime | None
    steps: tuple[HistoryStep, ...] = ()
    begun: bool = True
    """Whether its plan was frozen, so that `steps` are all its steps; a refusal does not begin a migration."""
    models: int | None = None
    relations: int | None = None
    captured_at: datetime | None = None
    recoveries: tuple[StepAttemptRow, ...] = ()
    """Restores and purges of what its steps kept, where they were asked for."""


@dataclass(frozen=True, slots=True)
class History:
    """All of it: counts first, for the headings; the migrations of both parts are read as they are asked for, in turn."""

    applied_count: int
    applied: Iterable[MigrationHistory]
    not_applied_count: int
    not_applied: Iterable[MigrationHistory]


class StepAttemptRow(NamedTuple):
    """What history needs of one row of `_zanith_migration_steps`."""

    step_index: int
    kind: str
    risk_level: str
    risk_score: int
    status: str
    error: str | None
    started_at: datetime | None
    finished_at: datetime | None


def told_apart(
    attempts: Iterable[StepAttemptRow],
) -> tuple[list[StepAttemptRow], tuple[StepAttemptRow, ...]]:
    """The rows of a migration: attempts at its steps, and restores and purges of what they kept."""
    rows = list(attempts)
    return [r for r in rows if r.kind not in _RECOVERIES], tuple(r for r in rows if r.kind in _RECOVERIES)


def steps_of(attempts: Iterable[StepAttemptRow], planned: Sequence[tuple[str, str]] = ()) -> tuple[HistoryStep, ...]:
    """Steps from their attempts, which come in order of (step, start); `planned` adds those that have none yet.

    `planned` holds (kind, risk level) of every step of the frozen plan, in order.
    """
    steps: list[HistoryStep] = []
    for row in attempts:
        took = None if row.started_at is None or row.finished_at is None else row.finished_at - row.started_at
        if steps and steps[-1].step_index == row.step_index:
            steps[-1] = _with_later_attempt(steps[-1], row, took)
        else:
            steps.append(HistoryStep(*row[:5], 1, *row[5:], took))
    begun = {step.step_index for step in steps}
    waiting = [
        HistoryStep(index, kind, level, RiskLevel(level).score, "pending", 0)
        for index, (kind, level) in enumerate(planned, start=1)
        if index not in begun
    ]
    return tuple(sorted([*steps, *waiting], key=lambda step: step.step_index) if waiting else steps)


def _with_later_attempt(step: HistoryStep, row: StepAttemptRow, took: timedelta | None) -> HistoryStep:
    if step.status == "done" and row.error is not None and row.error.startswith(REFUSED_PREFIX):
        return step._replace(error=row.error)  # taking it back was refused and nothing touched: it stands as it stood
    spans = [span for span in (step.took, took) if span is not None]
    return HistoryStep(
        *row[:5],
        attempts=step.attempts + 1,
        error=row.error,
        started_at=step.started_at,
        finished_at=row.finished_at,
        took=sum(spans, timedelta()) if spans else None,
    )


def history_text(history: History, *, verbose: bool = False, timings: bool = False) -> Iterator[str]:
    """History for people, a piece of whole lines per migration, without the last newline."""
    yield f"Applied migrations ({history.applied_count}):"
    for migration in history.applied:
        yield _migration_text(migration, verbose=verbose, timings=timings)
    if history.not_applied_count:
        yield f"Not applied ({history.not_applied_count}):"
        for migration in history.not_applied:
            yield _migration_text(migration, verbose=verbose, timings=timings)


def _migration_text(migration: MigrationHistory, *, verbose: bool, timings: bool) -> str:
    lines = [f"▸ {printable(migration.id)}"]
    if not verbose:
        return lines[0]
    for step in migration.steps:
        took = f"  {duration_text(step.took)}" if timings and step.took is not None else ""
        lines.append(f"  {step.sigil} step {step.step_index}: [{step.risk_level}] {step.kind}{took}")
        if step.error and step.status in ("failed", "done"):
            lines.append(f"    {printable(step.error)}")
    if migration.applied_at is not None and migration.models is not None:
        lines.append(f"  snapshot: {migration.models} model(s)")
    return "\n".join(lines)


def history_json(history: History) -> Iterator[str]:
    """History as one JSON document, always with everything, in pieces to be written one after the other."""
    yield '{"applied": ['
    yield from _json_items(history.applied)
    yield '], "notApplied": ['
    yield from _json_items(history.not_applied)
    yield "]}\n"


def _json_items(migrations: Iterable[MigrationHistory]) -> Iterator[str]:
    separator = "\n  "
    for migration in migrations:
        yield separator + json.dumps(_migration_json(migration), ensure_ascii=False)
        separator = ",\n  "


def _migration_json(migration: MigrationHistory) -> dict[str, Any]:
    snapshot = None
    if migration.applied_at is not None and migration.models is not None:
        snapshot = {
            "models": migration.models,
            "relations": migration.relations,
            "capturedAt": moment_text(migration.captured_at),
        }
    return {
        "migrationId": migration.id,
        "appliedAt": moment_text(migration.applied_at),
        "steps": [_step_json(step) for step in migration.steps],
        "snapshot": snapshot,
        "recoveries": [_recovery_json(row) for row in migration.recoveries],
    }


def _recovery_json(row: StepAttemptRow) -> dict[str, Any]:
    return {
        "step": row.step_index,
        "kind": row.kind,
        "state": _STATES.get(row.status, "Pending"),
        "startedAt": moment_text(row.started_at),
        "finishedAt": moment_text(row.finished_at),
        "error": row.error,
    }


def _step_json(step: HistoryStep) -> dict[str, Any]:
    return {
        "index": step.step_index,
        "kind": step.kind,
        "state": _STATES.get(step.status, "Pending"),
        "riskLevel": step.risk_level,
        "riskScore": step.risk_score,
        "attempts": step.attempts,
        "startedAt": moment_text(step.started_at),
        "finishedAt": moment_text(step.finished_at),
        "tookSeconds": None if step.took is None else step.took.total_seconds(),
        "error": step.error,
    }


def moment_text(moment: datetime | None) -> str | None:
    """ISO 8601, as it stands in JSON."""
    return None if moment is None else moment.isoformat()


def duration_text(duration: timedelta) -> str:
    """`612 ms`, `3.4 s`, `12 min 5 s`, `3 h 20 min`, `29 d 4 h`: two units at most."""
    seconds = max(duration.total_seconds(), 0.0)
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    size, unit, smaller_size, smaller = next(u for u in _UNITS if whole >= u[0])
    rest = whole % size // smaller_size
    return f"{whole // size} {unit} {rest} {smaller}" if rest else f"{whole // size} {unit}"


def printable(text: str) -> str:
    """On one line and harmless to a terminal: what the ledger holds may come from anywhere."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else " " for c in text)
