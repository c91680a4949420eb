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
    problem: StepFailed | None = None
    """Why it could not be moved; those of other columns are."""


def reseed(session: Session, name: str, schema: str, *, dry_run: bool = False) -> list[Reseeded]:
    """Put every sequence of the table's columns beyond the greatest value of its column. Nothing is done in a rehearsal.

    One that ends before that value, or may not be moved, does not keep the others. Raises SpecError where there is no such
    table, StepFailed, NotYet or Stopped.
    """
    doing = f"reseeding {name}"
    try:
        table = _table(session, name, schema)
        found = owned_sequences(session.conn, table)
        return [_tried(session, table, sequence, dry_run=dry_run) for sequence in found]
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


def _tried(session: Session, table: TableKey, sequence: OwnedSequence, *, dry_run: bool) -> Reseeded:
    try:
        try:
            with watched(session.conn, session.stop):
                last = last_in_column(session.conn, table, sequence)
            return _moved(session, table, sequence, last, dry_run=dry_run)
        except psycopg.Error as error:
            session.fail(error, f"reseeding {sequence.key}")
    except StepFailed as problem:
        return Reseeded(sequence.column, str(sequence.key), 0, 0, problem)


def _moved(session: Session, table: TableKey, sequence: OwnedSequence, last: int | None, *, dry_run: bool) -> Reseeded:
    old = next_value(session.conn, sequence)
    if last is None or sequence.beyond(last, old):
        return Reseeded(sequence.column, str(sequence.key), old, old)
    if not sequence.fits(last):
        end = sequence.greatest if sequence.increment > 0 else sequence.least
        beyond = last > end if sequence.increment > 0 else last < end
        has = "has a value beyond that" if beyond else "has come so far that there is no next one"
        raise StepFailed(
            f"sequence {sequence.key} ends at {end}, and column {table}.{sequence.column} {has}; give it a greater type or "
            "range first"
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
