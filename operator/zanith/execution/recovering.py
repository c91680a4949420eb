"""Brings an artifact back on request: what `zanith recover` does, resumable like everything else.

The checksum is compared first, and nothing is touched where it differs. The step that took the thing away stays done.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg import Connection, sql

from zanith.core.errors import Conflict
from zanith.core.identifiers import TableKey, ident, table_ident
from zanith.core.risk import Finding, ReasonCode, RiskLevel
from zanith.core.statement import Lock, Statement, Work
from zanith.execution.purging import step_of
from zanith.execution.sealing import verify
from zanith.execution.session import Session
from zanith.execution.steps import CURSOR_LANE
from zanith.execution.still_there import check_alone
from zanith.execution.undoing import RESTORE_LANE, chosen_undo, restore_alone, restore_step
from zanith.ledger.reading import read_migration
from zanith.ledger.records import RESTORE_COLUMN, RESTORE_TABLE, Artifact
from zanith.operations.keep_table import SHADOW
from zanith.operations.step_context import Undo
from zanith.planning.plan import PlannedStep
from zanith.postgres.sqlstates import translated


@dataclass(frozen=True, slots=True)
class RestoredRows:
    """What became of an archived column's values."""

    archived: int
    """Values that were kept."""
    unmatched: int
    """Of these, those whose row was deleted or re-keyed since: they stay in the archive until it is purged."""
    newer: int
    """Rows inserted or re-keyed since, that the archive has no value for."""
    other: int = 0
    """Rows that have another value than the archive: written by applications since, or kept back by a trigger."""


def restore(session: Session, artifact: Artifact) -> RestoredRows | None:
    """Bring the artifact back; the numbers of an archived column's rows. Raises Refusal, Conflict (ChecksumMismatch among
    them), NotYet, StepFailed or Stopped."""
    _check(artifact)
    step = _step(session, artifact)
    kind = RESTORE_COLUMN if artifact.source_column is not None else RESTORE_TABLE
    if step is not None:
        restore_step(session, step, kind)
    else:
        _check_alone(session, artifact)
        restore_alone(session, _by_hand(artifact, kind), artifact)
    session.notify(now=True)
    return _numbers(session, artifact)


def rehearse(session: Session, artifact: Artifact) -> tuple[Statement, ...]:
    """What `restore` would execute, after the same checks; nothing is changed. Raises as `restore`."""
    _check(artifact)
    step = _step(session, artifact)
    if step is None:
        _check_alone(session, artifact)
        return _by_hand(artifact, RESTORE_COLUMN).statements
    with translated("looking at what would be restored"), session.conn.transaction(force_rollback=True):
        return chosen_undo(session, step, RESTORE_LANE).statements


def _check(artifact: Artifact) -> None:
    if artifact.restored_at is not None:
        raise Conflict(f"{artifact.id} was restored already, at {artifact.restored_at:%Y-%m-%d %H:%M} UTC")
    if artifact.physical_name is None:
        raise Conflict(f"{artifact.id} was purged; its data is gone for good")


def _step(session: Session, artifact: Artifact) -> PlannedStep | None:
    with translated("reading the five tables"):
        record = read_migration(session.conn, session.settings.schema, artifact.migration_id)
    step = step_of(record.frozen, artifact)
    if step is None or step.index in record.done:
        return step
    cursor = next((c for c in record.checkpoints if (c.step_index, c.lane) == (step.index, CURSOR_LANE)), None)
    if cursor is not None and cursor.has_moved:
        raise Conflict(
            f"migration {artifact.migration_id} has not come to its end: step {step.index} {step.kind} of {step.target} is "
            "half done; run it again first (`zanith migrate up`, or the operator does), then restore",
            step=step.index,
        )
    return None  # the step was taken back, and an undo kept this


def _check_alone(session: Session, artifact: Artifact) -> None:
    with translated(f"looking at {artifact.id}"):
        check_alone(session.conn, artifact)
        verify(session.conn, artifact, Undo())


def _by_hand(artifact: Artifact, kind: str) -> PlannedStep:
    """The recovery SQL as a step: of what an undo kept, of which there is no undo."""
    table = TableKey(artifact.source_schema, artifact.source_table)
    kept_in = artifact.kept_in
    assert kept_in is not None
    statement = Statement(
        sql=artifact.recovery_sql,
        lock=Lock.ACCESS_EXCLUSIVE,
        on=(kept_in if artifact.source_column is None else table,),
        # What has to be copied is worked through; and the copy is put aside only after that.
        work=Work.SCAN if artifact.artifact_type == "archive_column" else Work.CATALOG,
    )
    finding = Finding(RiskLevel.LOW, ReasonCode.RENAME_COLUMN, f"{artifact.source} comes back")
    return PlannedStep(1, kind, f"{table}.{artifact.source_column}", "", (statement,), (finding,))


def _numbers(session: Session, artifact: Artifact) -> RestoredRows | None:
    """Counted once it is back, by the key of the copy."""
    if artifact.artifact_type != "archive_column":
        return None
    with translated("counting what was restored"):
        (now,) = session.ledger.artifacts_of(artifact.migration_id, [artifact.identifier])
        assert now.physical_name is not None
        copy, table = TableKey(SHADOW, now.physical_name), TableKey(now.source_schema, now.source_table)
        return RestoredRows(
            archived=now.row_count or 0,
            unmatched=_without_partner(session.conn, copy, table, key_of(session.conn, copy)),
            newer=_without_partner(session.conn, table, copy, key_of(session.conn, copy)),
            other=_with_other_value(session.conn, table, copy, now.source_column or ""),
        )


def key_of(conn: Connection[Any], table: TableKey) -> list[str]:
    """The columns of a table's primary key, in its order; none where it has no primary key."""
    rows = conn.execute(
        "SELECT a.attname FROM pg_catalog.pg_index AS i "
        "CROSS JOIN unnest(i.indkey::int2[]) WITH ORDINALITY AS k (number, place) "
        "JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.number "
        "JOIN pg_catalog.pg_class AS c ON c.oid = i.indrelid JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace "
        "WHERE n.nspname = %s AND c.relname = %s AND i.indisprimary ORDER BY k.place",
        [table.schema, table.name],
    )
    return [name for (name,) in rows]


def _with_other_value(conn: Connection[Any], table: TableKey, copy: TableKey, column: str) -> int:
    """By their text: not every type has an equality."""
    same = sql.SQL(" AND ").join(sql.SQL("theirs.{0} = ours.{0}").format(ident(key)) for key in key_of(conn, copy))
    question = sql.SQL(
        "SELECT count(*) FROM {} AS ours JOIN {} AS theirs ON {} WHERE ours.{column}::text IS DISTINCT FROM theirs.{column}::text"
    ).format(table_ident(table), table_ident(copy), same, column=ident(column))
    row = conn.execute(question).fetchone()
    assert row is not None
    return int(row[0])


def _without_partner(conn: Connection[Any], table: TableKey, other: TableKey, key: list[str]) -> int:
    same = sql.SQL(" AND ").join(sql.SQL("theirs.{0} = ours.{0}").format(ident(column)) for column in key)
    question = sql.SQL("SELECT count(*) FROM {} AS ours WHERE NOT EXISTS (SELECT 1 FROM {} AS theirs WHERE {})").format(
        table_ident(table), table_ident(other), same
    )
    row = conn.execute(question).fetchone()
    assert row is not None
    return int(row[0])
