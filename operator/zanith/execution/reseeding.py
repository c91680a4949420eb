"""Moves the sequences of a table on, after rows came that did not ask them: restored, imported, copied ones.

A sequence is never moved back, and never while somebody takes a value of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import psycopg

from zanith.core.errors import SpecError, StepFailed
from zanith.core.identifiers import TableKey
from zanith.core.statement import Lock
from zanith.execution.assignment import Progress
from zanith.execution.lock_attempts import with_lock_attempts
from zanith.execution.session import Session
from zanith.execution.watching import watched
from zanith.postgres.sequences import (
    OwnedSequence,
    hold,
    last_in_column,
    next_value,
    owned_sequences,
    set_last,
    tables_named,
)


@dataclass(frozen=True, slots=True)
class Reseeded:
    """A sequence and its next value, before and after; both the same where it was beyond already."""

    column: str
    sequence: str
    old: int
    new: int


def reseed(session: Session, name: str, schema: str, *, dry_run: bool = False) -> list[Reseeded]:
    """Put every sequence of the table's columns beyond the greatest value of its column. Nothing is done in a rehearsal.

    Raises SpecError where there is no such table, StepFailed where a sequence ends before that value, NotYet or Stopped.
    """
    doing = f"reseeding {name}"
    try:
        table = _table(session, name, schema)
        moved = []
        for sequence in owned_sequences(session.conn, table):
            with watched(session.conn, session.stop):
                last = last_in_column(session.conn, table, sequence)
            moved.append(_moved(session, table, sequence, last, dry_run=dry_run))
        return moved
    except psycopg.Error as error:
        session.fail(error, doing)


def _table(session: Session, name: str, schema: str) -> TableKey:
    found = tables_named(session.conn, schema, name)
    match found:
        case [table]:
            return table
        case []:
            raise SpecError(f"table {name} does not exist; name it as table, or as schema.table")
        case _:
            raise SpecError(f"{name} can be {' or '.join(map(str, found))}; give another --schema")


def _moved(session: Session, table: TableKey, sequence: OwnedSequence, last: int | None, *, dry_run: bool) -> Reseeded:
    old = next_value(session.conn, sequence)
    if last is None or sequence.beyond(last, old):
        return Reseeded(sequence.column, str(sequence.key), old, old)
    if not sequence.fits(last):
        raise StepFailed(
            f"sequence {sequence.key} ends at {sequence.greatest if sequence.increment > 0 else sequence.least}, and "
            f"column {table}.{sequence.column} has a value beyond what it can give; give it a greater type or range first"
        )
    if dry_run:
        return Reseeded(sequence.column, str(sequence.key), old, last + sequence.increment)

    def advanced(_patient: bool) -> None:
        with session.conn.transaction():
            hold(session.conn, sequence)
            if not sequence.beyond(last, next_value(session.conn, sequence)):
                set_last(session.conn, sequence, last)

    with_lock_attempts(
        session,
        (sequence.key,),
        Lock.SHARE_ROW_EXCLUSIVE,
        lambda why: session.tell(Progress("waiting", message=why)),
        advanced,
    )
    return Reseeded(sequence.column, str(sequence.key), old, next_value(session.conn, sequence))
