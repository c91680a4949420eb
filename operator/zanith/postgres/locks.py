"""Locks and sessions: the one runner, who is in the way, who writes, who builds an index.

Every question here is one look that does not wait: whoever asks decides how long to go on looking.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import Connection, sql
from psycopg.rows import DictRow, dict_row

from zanith.core.identifiers import TableKey, ident
from zanith.core.statement import Lock
from zanith.postgres.connecting import session_prefix
from zanith.postgres.queries import named_queries
from zanith.postgres.sqlstates import translated

RUN_LOCK_KEY = 0x7A616E697468
"""`zanith` in ASCII. An advisory lock belongs to a database, so there is one runner per database."""

_SHARE_AND_UP = (Lock.SHARE, Lock.SHARE_ROW_EXCLUSIVE, Lock.EXCLUSIVE, Lock.ACCESS_EXCLUSIVE)
_WRITING = (Lock.ROW_EXCLUSIVE, Lock.SHARE_ROW_EXCLUSIVE, Lock.EXCLUSIVE, Lock.ACCESS_EXCLUSIVE)

# Which modes wait for each other (manual, table 13.2).
_CONFLICTS: dict[Lock, tuple[Lock, ...]] = {
    Lock.NONE: (),
    Lock.ACCESS_SHARE: (Lock.ACCESS_EXCLUSIVE,),
    Lock.ROW_SHARE: (Lock.EXCLUSIVE, Lock.ACCESS_EXCLUSIVE),
    Lock.ROW_EXCLUSIVE: _SHARE_AND_UP,
    Lock.SHARE_UPDATE_EXCLUSIVE: (Lock.SHARE_UPDATE_EXCLUSIVE, *_SHARE_AND_UP),
    Lock.SHARE: (Lock.SHARE_UPDATE_EXCLUSIVE, *_WRITING),
    Lock.SHARE_ROW_EXCLUSIVE: (Lock.ROW_EXCLUSIVE, Lock.SHARE_UPDATE_EXCLUSIVE, *_SHARE_AND_UP),
    Lock.EXCLUSIVE: tuple(m for m in Lock if m not in (Lock.NONE, Lock.ACCESS_SHARE)),
    Lock.ACCESS_EXCLUSIVE: tuple(m for m in Lock if m is not Lock.NONE),
}


@dataclass(frozen=True, slots=True)
class Session:
    """A server process and the name its client gave it."""

    pid: int
    application_name: str


@dataclass(frozen=True, slots=True)
class Blocker:
    """A lock of somebody else's, held or queued for, that ours would wait behind."""

    pid: int
    """0 for a prepared transaction, which has no process."""
    table: TableKey
    lock: Lock
    granted: bool
    transaction_age_s: float
    """Seconds since its transaction began; 0 where our role may not see that (it lacks pg_read_all_stats)."""
    autovacuum: bool
    """An autovacuum that PostgreSQL cancels when somebody waits for it: one against wraparound is not."""


@dataclass(frozen=True, slots=True)
class IndexState:
    """An index as the catalog has it: not `valid` while it is built concurrently, and for ever if that failed."""

    oid: int
    table: TableKey
    valid: bool
    ready: bool


def try_run_lock(conn: Connection[Any]) -> bool:
    """Become the one runner of this database, if there is none; until this session ends.

    Polled and never waited for in the server: a waiter there deadlocks with the holder's CREATE INDEX CONCURRENTLY.
    Not to be asked again by the session that holds it: the server would count that.
    """
    (row,) = _ask(conn, "try_run_lock", {"key": RUN_LOCK_KEY})
    return bool(row["locked"])


def holds_run_lock(conn: Connection[Any]) -> bool:
    """Whether this session still is the one runner: SQL of others may have released the lock."""
    (row,) = _ask(conn, "holds_run_lock", {"key": RUN_LOCK_KEY})
    return bool(row["held"])


def lower_attempts(conn: Connection[Any], uid: str, attempt: int) -> tuple[Session, ...]:
    """Sessions left of attempts before this one of the same resource; none for the CLI, which has no uid."""
    if not uid:
        return ()
    rows = _ask(conn, "lower_attempts", {"prefix": session_prefix(uid), "attempt": attempt})
    return tuple(Session(r["pid"], r["application_name"]) for r in rows)


def terminate_lower_attempts(conn: Connection[Any], uid: str, attempt: int) -> tuple[Session, ...]:
    """Tell them to end, and return them; they are gone when `lower_attempts` is empty.

    One of a role we may not signal stays: it is waited for like any other holder of the run lock.
    """
    found = lower_attempts(conn, uid, attempt)
    for session in found:
        parameters = {"pid": session.pid, "application_name": session.application_name}
        with translated("ending sessions of earlier attempts"):
            try:
                conn.execute(_queries()["terminate"], parameters)
            except psycopg.errors.InsufficientPrivilege:
                continue
    return found


def blockers_of(conn: Connection[Any], tables: Iterable[TableKey | str], lock: Lock) -> tuple[Blocker, ...]:
    """Who a statement taking `lock` on these tables ("schema.table") and their partitions would wait for now."""
    return tuple(
        Blocker(
            pid=r["pid"] or 0,
            table=TableKey(r["schema"], r["name"]),
            lock=_MODES[r["mode"]],
            granted=r["granted"],
            transaction_age_s=r["age_s"] or 0.0,
            autovacuum=bool(r["autovacuum"] and not r["against_wraparound"]),
        )
        for r in _table_locks(conn, tables, _CONFLICTS[lock])
    )


def older_writers(conn: Connection[Any], table: TableKey) -> frozenset[str]:
    """Transactions of others that have written to the table or its partitions, or may have, and have not ended.

    To wait for the older ones: ask once, then again until none of the first answer is left in the new one. A session's
    next transaction has another name.
    """
    return frozenset(r["transaction"] for r in _table_locks(conn, [table], _WRITING) if r["granted"])


def index_state(conn: Connection[Any], schema: str, name: str) -> IndexState | None:
    """The index of this name, or None."""
    rows = _ask(conn, "index_state", {"schema": schema, "name": name})
    if not rows:
        return None
    (row,) = rows
    return IndexState(row["oid"], TableKey(row["table_schema"], row["table_name"]), row["valid"], row["ready"])


def index_oids(conn: Connection[Any], table: TableKey) -> list[int]:
    """The indexes a table has, to tell later which of them was not there before."""
    return [r["oid"] for r in _ask(conn, "index_oids", {"schema": table.schema, "table": table.name})]


def being_built(conn: Connection[Any], index_oid: int) -> bool:
    """Whether another session builds this index, or may: in doubt, yes. An INVALID index is dropped only after a no."""
    return bool(_ask(conn, "index_builders", {"index": index_oid}))


def drop_index_concurrently(conn: Connection[Any], schema: str, name: str) -> None:
    """Drop it without making writers wait. Cannot run in a transaction."""
    with translated(f"dropping index {schema}.{name}"):
        conn.execute(sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(ident(schema, name)))


def _table_locks(conn: Connection[Any], tables: Iterable[TableKey | str], modes: Sequence[Lock]) -> list[DictRow]:
    parameters = {"tables": [str(t) for t in tables], "modes": [_pg_mode(m) for m in modes]}
    return _ask(conn, "table_locks", parameters)


def _pg_mode(lock: Lock) -> str:
    """As pg_locks spells it: ROW EXCLUSIVE is RowExclusiveLock."""
    return "".join(word.capitalize() for word in lock.value.split()) + "Lock"


_MODES = {_pg_mode(lock): lock for lock in Lock if lock is not Lock.NONE}


def _ask(conn: Connection[Any], query: str, parameters: Mapping[str, Any]) -> list[DictRow]:
    with translated("looking at locks"), conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_queries()[query], parameters).fetchall()


def _queries() -> Mapping[str, bytes]:
    return named_queries("zanith.postgres", "locks.sql")
