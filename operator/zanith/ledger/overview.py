"""Where a ledger stands (`migrate status`) and what it keeps (`recover list`), as lines and as JSON. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from zanith.ledger.history import HistoryStep, MigrationHistory, duration_text, moment_text, printable

REFUSED_PREFIX = "refused — "


@dataclass(frozen=True, slots=True)
class AppliedMigration:
    """A row of `_zanith_migrations`."""

    id: str
    applied_at: datetime


@dataclass(frozen=True, slots=True)
class RowsMoved:
    """Rows a backfill has changed, and is expected to change where somebody knows."""

    done: int
    estimated: int | None


@dataclass(frozen=True, slots=True)
class LedgerStatus:
    """How many migrations are applied, and each that is not; `rows` by (migration id, step index).

    `not_applied_count` may be greater than what `not_applied` tells about.
    """

    applied_count: int
    last_applied: AppliedMigration | None
    not_applied_count: int
    not_applied: tuple[MigrationHistory, ...] = ()
    rows: Mapping[tuple[str, int], RowsMoved] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RecoverableArtifact:
    """A row of `_zanith_migration_artifacts` that still holds data; `now` is the clock it expires by."""

    id: str
    artifact_type: str
    source_schema: str
    source_table: str
    source_column: str | None
    physical_name: str
    row_count: int | None
    created_at: datetime
    expires_at: datetime | None
    now: datetime

    @property
    def source(self) -> str:
        """`schema.table` or `schema.table.column`."""
        return ".".join(n for n in (self.source_schema, self.source_table, self.source_column) if n is not None)

    @property
    def expired(self) -> bool:
        return self.expires_at is not None and self.expires_at <= self.now


def status_text(status: LedgerStatus) -> str:
    """Status for people: what is applied in one line, then a line for each migration that is not."""
    lines = [f"Applied migrations: {status.applied_count}"]
    if status.last_applied is not None:
        last = status.last_applied
        lines[0] += f", the last {printable(last.id)} at {_clock(last.applied_at)}"
    if status.not_applied_count:
        lines.append(f"Not applied: {status.not_applied_count}")
    lines += [f"▸ {printable(m.id)}: {printable(_standing(m, status))}" for m in status.not_applied]
    untold = status.not_applied_count - len(status.not_applied)
    if untold:
        lines.append(f"and {untold} more")
    return "\n".join(lines)


def _standing(migration: MigrationHistory, status: LedgerStatus) -> str:
    step = _current(migration)
    if step is None:
        return "reverted"
    total = f"/{len(migration.steps)}" if migration.begun else ""
    text = f"step {step.step_index}{total} {step.kind}"
    state = _state(step)
    if state == "refused":
        return f"{text}: {step.error}"
    text = f"{text} {state}"
    if state == "failed":
        return f"{text}: {step.error}"
    moved = status.rows.get((migration.id, step.step_index))
    if moved is None:
        return text
    if moved.estimated is None:
        return f"{text}, {moved.done} rows"
    return f"{text}, {moved.done} of about {moved.estimated} rows ({percent(moved.done, moved.estimated)} %)"


def status_json(status: LedgerStatus) -> str:
    """Status for programs."""
    last = status.last_applied
    last_json = None if last is None else {"migrationId": last.id, "appliedAt": moment_text(last.applied_at)}
    return _json(
        {
            "applied": status.applied_count,
            "lastApplied": last_json,
            "notApplied": status.not_applied_count,
            "migrations": [_migration_json(m, status) for m in status.not_applied],
        }
    )


def _migration_json(migration: MigrationHistory, status: LedgerStatus) -> dict[str, Any]:
    step = _current(migration)
    moved = None if step is None else status.rows.get((migration.id, step.step_index))
    return {
        "migrationId": migration.id,
        "state": "reverted" if step is None else _state(step),
        "step": None if step is None else step.step_index,
        "kind": None if step is None else step.kind,
        "stepsDone": sum(1 for s in migration.steps if s.status == "done"),
        "stepsTotal": len(migration.steps) if migration.begun else None,
        "rowsDone": None if moved is None else moved.done,
        "rowsEstimated": None if moved is None else moved.estimated,
        "error": None if step is None or step.status != "failed" else step.error,
    }


def _current(migration: MigrationHistory) -> HistoryStep | None:
    """The step it stands at: the first that is neither done nor reverted."""
    return next((s for s in migration.steps if s.status not in ("done", "reverted")), None)


def _state(step: HistoryStep) -> str:
    if step.status == "failed" and (step.error or "").startswith(REFUSED_PREFIX):
        return "refused"
    return step.status


def percent(done: int, estimated: int) -> int:
    """A whole percentage, 99 at most: estimates are no promise that it is over."""
    return min(99, done * 100 // estimated) if estimated > 0 else 0


def recoverable_text(artifacts: Sequence[RecoverableArtifact]) -> str:
    """Artifacts as a table."""
    title = f"Recoverable artifacts ({len(artifacts)}):"
    if not artifacts:
        return title
    head = ("ID", "TYPE", "SOURCE", "ROWS", "CREATED", "EXPIRES")
    rows = [
        (
            printable(a.id),
            printable(a.artifact_type),
            printable(a.source),
            "?" if a.row_count is None else str(a.row_count),
            _clock(a.created_at),
            _expiry(a),
        )
        for a in artifacts
    ]
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (head, *rows)]
    return "\n".join([title, *(line.rstrip() for line in table)])


def _expiry(artifact: RecoverableArtifact) -> str:
    if artifact.expires_at is None:
        return "never"
    if artifact.expired:
        return f"{_clock(artifact.expires_at)} (expired, data kept)"
    return f"{_clock(artifact.expires_at)} (in {duration_text(artifact.expires_at - artifact.now)})"


def recoverable_json(artifacts: Sequence[RecoverableArtifact]) -> str:
    """Artifacts for programs."""
    return _json(
        [
            {
                "id": a.id,
                "type": a.artifact_type,
                "source": a.source,
                "physicalName": a.physical_name,
                "rowCount": a.row_count,
                "createdAt": moment_text(a.created_at),
                "expiresAt": moment_text(a.expires_at),
                "state": "Expired" if a.expired else "Live",
            }
            for a in artifacts
        ]
    )


def _clock(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _json(content: Any) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False)
