"""Reads what history, status and the list of artifacts show. Rows stream, one per migration, so memory is bounded.

Writes nothing, never reads the SQL of a step, and locks nothing beyond what a SELECT does.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import Any

from psycopg import Connection, capabilities
from psycopg.rows import class_row, namedtuple_row

from zanith.core.errors import Conflict
from zanith.core.risk import RiskLevel
from zanith.ledger.history import History, MigrationHistory, StepAttemptRow, steps_of, told_apart
from zanith.ledger.named_queries import TABLES, query
from zanith.ledger.overview import AppliedMigration, KeptArtifact, LedgerStatus, RowsMoved
from zanith.ledger.reading import check_shape
from zanith.ledger.records import Artifact

ROWS_AT_ONCE = 100
STATUS_LIMIT = 100
"""Migrations that status tells about; the rest are only counted."""


def five_tables_exist(conn: Connection[Any], schema: str) -> bool:
    """Whether there is a ledger here. Raises Conflict where a table of these names has another shape, or one is missing."""
    found = check_shape(conn, schema)
    if not found:
        return False
    missing = [table for word, table in TABLES.items() if word not in found]
    if missing:
        raise Conflict(f"table {schema}.{missing[0]} of the ledger is missing; restore it from a backup")
    return True


@contextmanager
def read_history(
    conn: Connection[Any],
    schema: str,
    *,
    migration_id: str | None = None,
    since: timedelta | None = None,
    steps: bool = True,
    times: bool = True,
    recoveries: bool = False,
) -> Iterator[History]:
    """The history of the ledger, to be consumed inside the `with`: one snapshot of the database, read as it is asked for.

    `steps`, `times` and `recoveries` say whether steps, when they ran, and restores and purges are wanted: what is not
    wanted is not read.
    """
    given = {"id": migration_id, "since": since, "steps": steps, "times": times, "recoveries": recoveries}
    with _one_snapshot(conn):
        count = _value(conn, "count_applied", schema, given)
        unfinished = _unfinished(conn, schema, given)
        # Closed whatever happens: a stream that is left half-read holds the connection, and the rollback would wait.
        with (
            closing(_applied(conn, schema, given)) as applied,
            closing(_not_applied(conn, schema, unfinished, recoveries=recoveries)) as rest,
        ):
            ids_only = (MigrationHistory(i, applied_at=None) for i in unfinished)
            yield History(count, applied, len(unfinished), rest if steps else ids_only)


def read_status(conn: Connection[Any], schema: str, *, migration_id: str | None = None) -> LedgerStatus:
    """How many migrations are applied, and where each of the others stands."""
    given = {"id": migration_id, "since": None}
    with _one_snapshot(conn):
        last = conn.execute(query("history", "last_applied", schema), given).fetchone()
        unfinished = _unfinished(conn, schema, given)
        shown = unfinished[:STATUS_LIMIT]
        moved = conn.execute(query("history", "rows_moved", schema), {"ids": shown})
        return LedgerStatus(
            applied_count=_value(conn, "count_applied", schema, given),
            last_applied=AppliedMigration(*last) if last else None,
            not_applied_count=len(unfinished),
            not_applied=tuple(_not_applied(conn, schema, shown)),
            rows={(row[0], row[1]): RowsMoved(row[2], row[3]) for row in moved},
        )


def read_kept(
    conn: Connection[Any], schema: str, *, everything: bool = False, migration_id: str | None = None
) -> list[KeptArtifact]:
    """Every artifact that still holds data, newest first, expired ones included; with `everything`, those that were
    restored or purged too."""
    given = {"everything": everything, "id": migration_id}
    cursor = conn.cursor(row_factory=class_row(KeptArtifact))
    return cursor.execute(query("history", "kept", schema), given).fetchall()


def artifacts_named(conn: Connection[Any], schema: str, name: str) -> list[Artifact]:
    """The artifacts of `table`, `table.column`, `schema.table` or `schema.table.column`, newest first."""
    given = {"schema": schema, "name": name}
    cursor = conn.cursor(row_factory=class_row(Artifact))
    return cursor.execute(query("history", "artifacts_named", schema), given).fetchall()


def names_kept(conn: Connection[Any], schema: str) -> list[str]:
    """What there are artifacts of, each as `schema.table` or `schema.table.column`."""
    return [name for (name,) in conn.execute(query("history", "names_kept", schema))]


def done_steps(conn: Connection[Any], schema: str) -> list[tuple[str, int]]:
    """(migration, steps of it that are done), what was done last first: the order to take things back in."""
    return conn.execute(query("history", "done_steps", schema)).fetchall()


def applied_digests(
    conn: Connection[Any], schema: str, migration_ids: Sequence[str]
) -> dict[str, tuple[str, ...] | None]:
    """Which of these migrations are applied, with the digests of their steps, where those are known."""
    rows = conn.execute(query("history", "applied_among", schema), {"ids": list(migration_ids)})
    return {row[0]: None if row[1] is None else tuple(row[1]) for row in rows}


def applied_owners(conn: Connection[Any], schema: str, names: Sequence[str]) -> frozenset[str]:
    """Which of these resources began a migration that is applied."""
    rows = conn.execute(query("history", "applied_owners", schema), {"names": list(names)})
    return frozenset(row[0] for row in rows)


@contextmanager
def _one_snapshot(conn: Connection[Any]) -> Iterator[None]:
    with conn.transaction():
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        # Compiling the queries takes longer than running them.
        conn.execute("SET LOCAL jit = off")
        yield


def _value(conn: Connection[Any], name: str, schema: str, given: dict[str, Any]) -> Any:
    row = conn.execute(query("history", name, schema), given).fetchone()
    return None if row is None else row[0]


def _unfinished(conn: Connection[Any], schema: str, given: dict[str, Any]) -> list[str]:
    return [row[0] for row in conn.execute(query("history", "unfinished", schema), given)]


def _stream(conn: Connection[Any], name: str, schema: str, given: dict[str, Any]) -> Generator[Any]:
    """Rows as the server finds them; binary, for arrays are read several times faster so."""
    # From version 17 on, libpq hands over many rows at a time: waiting for each of them cost as much as reading it.
    size = ROWS_AT_ONCE if capabilities.has_stream_chunked() else 1
    cursor = conn.cursor(row_factory=namedtuple_row)
    yield from cursor.stream(query("history", name, schema), given, binary=True, size=size)


def _applied(conn: Connection[Any], schema: str, given: dict[str, Any]) -> Generator[MigrationHistory]:
    with closing(_stream(conn, "applied", schema, given)) as rows:
        for row in rows:
            attempts, recoveries = _told_apart(row, given)
            yield MigrationHistory(
                id=row.id,
                applied_at=row.applied_at,
                steps=steps_of(attempts),
                models=row.models,
                relations=row.relations,
                captured_at=row.captured_at,
                recoveries=recoveries,
            )


def _not_applied(
    conn: Connection[Any], schema: str, ids: list[str], *, recoveries: bool = False
) -> Generator[MigrationHistory]:
    if not ids:
        return
    given = {"ids": ids, "recoveries": recoveries}
    with closing(_stream(conn, "not_applied", schema, given)) as rows:
        for row in rows:
            planned = [
                (kind, _worst(levels))
                for kind, levels in zip(row.planned_kinds or (), row.planned_levels or (), strict=True)
            ]
            attempts, beside = _told_apart(row, given)
            steps = steps_of(attempts, planned)
            yield MigrationHistory(id=row.id, applied_at=None, begun=bool(planned), steps=steps, recoveries=beside)


def _told_apart(row: Any, given: dict[str, Any]) -> tuple[Iterable[StepAttemptRow], tuple[StepAttemptRow, ...]]:
    """Where recoveries were not asked for, there are none among the rows: a long history is not gone through for them."""
    attempts = _attempts(row)
    return told_apart(attempts) if given["recoveries"] else (attempts, ())


def _attempts(row: Any) -> Iterable[StepAttemptRow]:
    """The arrays of a row, turned into the attempts they hold."""
    if row.steps is None:
        return ()
    unread = [None] * len(row.steps)
    times = (row.started or unread, row.finished or unread)
    columns = (row.steps, row.kinds, row.levels, row.scores, row.statuses, row.errors, *times)
    return map(StepAttemptRow._make, zip(*columns, strict=True))


def _worst(levels: str | None) -> str:
    found = [RiskLevel(level) for level in (levels or "").split()]
    return max(found, key=lambda level: level.score, default=RiskLevel.SAFE).value
