"""Where a ledger stands (`migrate status`) and what it keeps (`recover list`), as lines and as JSON. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from zanith.ledger.history import HistoryStep, MigrationHistory, duration_text, moment_text, printable
from zanith.ledger.records import REFUSED_PREFIX

EXPIRY_WARNING = timedelta(hours=72)
"""How long before its expiry an artifact is Expiring: the default of `spec.expiryWarning`, which no table holds."""
_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB")


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
class KeptArtifact:
    """A row of `_zanith_migration_artifacts`, with what it takes; `now` is the clock it expires by."""

    id: str
    migration_id: str
    artifact_type: str
    source_schema: str
    source_table: str
    source_column: str | None
    physical_name: str | None
    row_count: int | None
    size: int | None
    """Bytes of the table that holds it; None where it shares one with what is in use, or is gone."""
    created_at: datetime
    expires_at: datetime | None
    restored_at: datetime | None
    now: datetime
    missing: bool = False
    """Whether what it holds is not where it was put any more: somebody dropped it, or brought it back, by hand."""

    @property
    def source(self) -> str:
        """`schema.table` or `schema.table.column`."""
        return ".".join(n for n in (self.source_schema, self.source_table, self.source_column) if n is not None)

    @property
    def state(self) -> str:
        """In the words of the resource's status: Live, Expiring, Expired, Restored or Purged, of which the first three hold
        data; or Missing, where nobody knows what became of it."""
        if self.restored_at is not None:
            return "Restored"
        if self.physical_name is None:
            return "Purged"
        if self.missing:
            return "Missing"
        if self.expires_at is None or self.expires_at > self.now + EXPIRY_WARNING:
            return "Live"
        return "Expiring" if self.expires_at > self.now else "Expired"


def status_text(status: LedgerStatus) -> str:
    """Status for people: what is applied in one line, then a line for each migration that is not."""
    lines = [f"Applied migrations: {status.applied_count}"]
    if status.last_applied is not None:
        last = status.last_applied
        lines[0] += f", the last {printable(last.id)} at {clock(last.applied_at)}"
    if status.not_applied_count:
        lines.append(f"Not applied: {status.not_applied_count}")
    lines += [f"▸ {printable(m.id)}: {printable(_standing(m, status))}" for m in status.not_applied]
    untold = status.not_applied_count - len(status.not_applied)
    if untold:
        lines.append(f"and {untold} more")
    return "\n".join(lines)


def _standing(migration: MigrationHistory, status: LedgerStatus) -> str:
    step = _current(migration)
    done = sum(1 for s in migration.steps if s.status == "done")
    if step is None:
        return f"reverted, but for {done} of {len(migration.steps)} steps" if done else "reverted"
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


def kept_text(artifacts: Sequence[KeptArtifact], *, everything: bool = False) -> str:
    """Artifacts as a table."""
    title = f"{'Artifacts' if everything else 'Recoverable artifacts'} ({len(artifacts)}):"
    if not artifacts:
        return title
    head = ("ID", "TYPE", "STATE", "SOURCE", "ROWS", "SIZE", "CREATED", "EXPIRES")
    rows = [
        (
            printable(a.id),
            printable(a.artifact_type),
            a.state,
            printable(a.source),
            "?" if a.row_count is None else str(a.row_count),
            size_text(a.size),
            clock(a.created_at),
            expiry_text(a),
        )
        for a in artifacts
    ]
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (head, *rows)]
    return "\n".join([title, *(line.rstrip() for line in table)])


def expiry_text(artifact: KeptArtifact) -> str:
    """Until when it can be brought back, or when that ended."""
    match artifact.state:
        case "Restored":
            assert artifact.restored_at is not None
            return f"restored {clock(artifact.restored_at)}"
        case "Purged":
            return "purged, gone for good"
        case "Missing":
            return "gone, or brought back, by hand"
    if artifact.expires_at is None:
        return "never"
    if artifact.state == "Expired":
        return f"{clock(artifact.expires_at)} (expired, data kept)"
    return f"{clock(artifact.expires_at)} (in {duration_text(artifact.expires_at - artifact.now)})"


def size_text(size: int | None) -> str:
    """`8192 bytes`, `120 kB`, `14 MB`, as `pg_size_pretty` has it; `-` where there is none."""
    if size is None:
        return "-"
    number, unit = size, 0
    while number >= 10240 and unit < len(_UNITS) - 1:
        number, unit = (number + 512) // 1024, unit + 1
    return f"{number} {_UNITS[unit]}"


def kept_json(artifacts: Sequence[KeptArtifact]) -> str:
    """Artifacts for programs."""
    return _json([artifact_json(a) for a in artifacts])


def artifact_json(artifact: KeptArtifact) -> dict[str, Any]:
    """One of them; keys as in the resource's status."""
    return {
        "id": artifact.id,
        "migrationId": artifact.migration_id,
        "type": artifact.artifact_type,
        "source": artifact.source,
        "physicalName": artifact.physical_name,
        "rowCount": artifact.row_count,
        "sizeBytes": artifact.size,
        "createdAt": moment_text(artifact.created_at),
        "expiresAt": moment_text(artifact.expires_at),
        "restoredAt": moment_text(artifact.restored_at),
        "state": artifact.state,
    }


def clock(moment: datetime) -> str:
    """To the minute, in UTC, as every session of ours reads it."""
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _json(content: Any) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False)
