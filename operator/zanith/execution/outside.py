"""Statements that cannot run in a transaction: what the catalog tells about them after a crash, and what they leave.

An INVALID index is ours only if it was not there when the statement was recorded as started.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg import Connection, errors, sql

from zanith.core.errors import Conflict
from zanith.core.identifiers import TableKey
from zanith.core.sql import raw
from zanith.core.statement import IndexIsAbsent, IndexIsValid, QueryIsTrue, Statement
from zanith.postgres.locks import IndexState, index_oids, index_state
from zanith.postgres.sqlstates import translated

ANSWER_WITHIN = "60s"
"""A question about the catalog is answered at once; one that is not was not meant to be asked here."""


def oids_before(conn: Connection[Any], statement: Statement) -> list[int]:
    """The indexes the table has now: none of these is ours."""
    asked = statement.done_when
    if asked is None or isinstance(asked, QueryIsTrue):
        return []
    return index_oids(conn, TableKey(asked.schema, asked.table))


def happened(conn: Connection[Any], statement: Statement, not_ours: Sequence[int], step: int) -> bool:
    """Whether a statement that was recorded as started was completed. Raises Conflict where nothing can tell."""
    asked = statement.done_when
    if asked is None:
        raise Conflict(
            f"step {step} was begun, and nothing can tell whether its statement happened; look at the database, then "
            "settle it by hand",
            reason="StepFailed",
            step=step,
        )
    if isinstance(asked, QueryIsTrue):
        return _answer(conn, asked, step)
    state = index_state(conn, asked.schema, asked.index)
    match asked:
        case IndexIsValid():
            return state is not None and state.valid and state.oid not in not_ours
        case IndexIsAbsent():
            return state is None


def _answer(conn: Connection[Any], asked: QueryIsTrue, step: int) -> bool:
    """What the author's own query says, asked read-only. Raises Conflict where it says neither true nor false."""
    with translated(f"asking doneWhen of step {step}", step=step), conn.transaction():
        conn.execute("SET TRANSACTION READ ONLY")
        conn.execute(sql.SQL("SET LOCAL statement_timeout = {}").format(ANSWER_WITHIN))
        try:
            rows = conn.execute(raw(asked.sql)).fetchmany(2)
        except errors.ReadOnlySqlTransaction:
            # Not a failover, which it means elsewhere: we asked for a transaction that takes no writes.
            rows = []
    match rows:
        case [(bool(answer),)]:
            return answer
        case _:
            raise Conflict(
                f"doneWhen of step {step} does not answer with one boolean; look at the database, then settle it by hand",
                reason="StepFailed",
                step=step,
            )


def leftover(conn: Connection[Any], statement: Statement, not_ours: Sequence[int]) -> IndexState | None:
    """The INVALID index a build that failed or died left behind, if it is ours."""
    asked = statement.done_when
    if not isinstance(asked, IndexIsValid):
        return None
    state = index_state(conn, asked.schema, asked.index)
    if state is None or state.valid or state.oid in not_ours:
        return None
    return state
