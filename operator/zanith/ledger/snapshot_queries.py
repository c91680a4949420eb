"""Reads snapshots of the schema: of a migration, at a moment, or of the database as it is now. Writes nothing.

What is asked for is given exactly or not at all: another format, an id that is not there, a time before the first
snapshot are errors that say what there is instead.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection

from zanith.core.errors import Conflict, SpecError
from zanith.core.graph import SchemaGraph
from zanith.core.graph_json import graph_from_json
from zanith.core.identifiers import text_problem
from zanith.ledger.history import printable
from zanith.ledger.named_queries import query
from zanith.ledger.records import REFUSED_PREFIX
from zanith.postgres.catalog import read_facts

LIVE = "live"
"""What the database as it is now is called."""

_PHASES = ("after", "baseline")
_NEAREST = 3
"""So many ids are offered where none is as it was given."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The shape of the database at one moment; without a migration, of the live database."""

    graph: SchemaGraph
    captured_at: datetime
    migration_id: str | None = None
    phase: str = "after"

    @property
    def title(self) -> str:
        """`after 20260401_normalize_email`, `before 20260328_add_index`, `live`."""
        if self.migration_id is None:
            return LIVE
        return f"{'before' if self.phase == 'baseline' else 'after'} {self.migration_id}"


@dataclass(frozen=True, slots=True)
class Later:
    """A migration that worked on the database after a snapshot."""

    migration_id: str
    overwritten_at: datetime | None
    """When the snapshot it left was replaced, for it was taken back and applied again since; None where it was not."""


def read_snapshot(conn: Connection[Any], schema: str, name: str) -> Snapshot:
    """The snapshot `ID`, `ID@after` or `ID@baseline` of the ledger. Raises SpecError where there is none of that name,
    Conflict where it is of a newer format or no snapshot."""
    with _one_moment(conn):
        found = _shape(conn, schema, name)
        if found is None:
            raise _unknown(conn, schema, name)
        return found


def read_snapshot_at(conn: Connection[Any], schema: str, at: datetime) -> Snapshot:
    """The last snapshot taken at or before a moment. Raises SpecError where there is none yet, and as above."""
    with _one_moment(conn):
        row = conn.execute(query("snapshots", "latest_shape", schema), {"at": at}).fetchone()
        if row is not None:
            return _snapshot(*row)
        first = conn.execute(query("snapshots", "first_shape", schema)).fetchone()
    said = "there is none" if first is None else f"the first is {_named(*first[:2])} of {_moment(first[2])}"
    raise SpecError(f"no snapshot was taken at or before {_moment(at)}; {said}")


def read_live(conn: Connection[Any], schema: str) -> Snapshot:
    """The shape of the database as it is now. Needs no ledger."""
    graph = read_facts(conn, schema).graph
    row = conn.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None  # a function without arguments
    return Snapshot(graph, row[0])


def changed_since(conn: Connection[Any], schema: str, snapshot: Snapshot, at: datetime) -> list[Later]:
    """Migrations that worked on the database after the snapshot and up to that moment."""
    given = {
        "at": at,
        "captured_at": snapshot.captured_at,
        "id": snapshot.migration_id,
        "phase": snapshot.phase,
        "refused": REFUSED_PREFIX,
    }
    return [Later(*row) for row in conn.execute(query("snapshots", "changed_since", schema), given)]


@contextmanager
def _one_moment(conn: Connection[Any]) -> Iterator[None]:
    with conn.transaction():
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


def _shape(conn: Connection[Any], schema: str, name: str) -> Snapshot | None:
    """By the whole name as an id first: an id may have an @ in it."""
    if text_problem(name):
        return None
    for migration_id, phase in _readings(name):
        given = {"id": migration_id, "phase": phase}
        row = conn.execute(query("snapshots", "shape", schema), given).fetchone()
        if row is not None:
            return _snapshot(*row)
    return None


def _readings(name: str) -> Iterator[tuple[str, str]]:
    yield name, "after"
    migration_id, at, phase = name.rpartition("@")
    if at and phase in _PHASES:
        yield migration_id, phase


def _snapshot(migration_id: str, phase: str, captured_at: datetime, content: Any) -> Snapshot:
    named = _named(migration_id, phase)
    version = content.get("formatVersion") if isinstance(content, dict) else None
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise Conflict(
            f"snapshot {named} does not say its format; it is not what Zanith writes, was _zanith_schema_snapshots edited?"
        )
    try:
        return Snapshot(graph_from_json(content), captured_at, migration_id, phase)
    except Conflict as error:
        raise Conflict(f"snapshot {named}: {error.message}") from None


def _unknown(conn: Connection[Any], schema: str, name: str) -> SpecError:
    """Why there is no such snapshot, and what there is."""
    if problem := text_problem(name):
        return SpecError(f"there is no such snapshot: its name {problem}")
    there: list[tuple[str, str]] = conn.execute(query("snapshots", "shapes", schema)).fetchall()
    migration_id, phase = list(_readings(name))[-1]
    others = [p for i, p in there if i == migration_id]
    if others:
        return SpecError(
            f"migration {printable(migration_id)} has no snapshot {phase}; it has {_named(migration_id, others[0])}"
            + _baseline_hint(there, phase)
        )
    row = conn.execute(query("snapshots", "known", schema), {"id": migration_id}).fetchone()
    if row is not None and row[0]:
        return SpecError(
            f"migration {printable(migration_id)} is not applied, so it has no snapshot yet; "
            f"{LIVE} is the database as it is" + _baseline_hint(there, phase)
        )
    return SpecError(f"there is no snapshot of a migration {printable(migration_id)}{_nearest(migration_id, there)}")


def _baseline_hint(there: Sequence[tuple[str, str]], phase: str) -> str:
    baselines = [i for i, p in there if p == "baseline"] if phase == "baseline" else []
    return f"; the baseline is {_named(baselines[0], 'baseline')}" if baselines else ""


def _nearest(migration_id: str, there: Sequence[tuple[str, str]]) -> str:
    """Ids that are spelled much like it; else how many there are."""
    ids = list(dict.fromkeys(i for i, p in there if p == "after"))
    close = difflib.get_close_matches(migration_id, ids, n=_NEAREST, cutoff=0.6)
    if close:
        return f"; did you mean {' or '.join(map(printable, close))}?"
    if not ids:
        return f"; there is none at all yet, and {LIVE} is the database as it is"
    return f"; the last of {len(ids)} is {printable(ids[-1])}"


def _named(migration_id: str, phase: str) -> str:
    return printable(migration_id if phase == "after" else f"{migration_id}@{phase}")


def _moment(at: datetime) -> str:
    return at.isoformat(sep=" ", timespec="seconds")
