"""Reading databases: short connections in threads, so many at a time, one per connection string.

A database that does not answer is not asked again for a while by anyone: a thousand migrations of a dead database must
not keep the others waiting. Nothing here writes, and no connection string is ever shown.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from psycopg import Connection

from zanith.api.conditions import Reason
from zanith.api.spec import MigrationSpec
from zanith.controller.decide.observed import Trouble
from zanith.core.errors import Conflict, NotYet, SpecError, ZanithError
from zanith.ledger.marks import Mark, read_marks
from zanith.ledger.reading import read_migration
from zanith.ledger.records import MigrationRecord
from zanith.planning.plan import Plan
from zanith.planning.planner import extend_plan, plan_migration
from zanith.postgres.catalog import read_facts
from zanith.postgres.connecting import ConnectionSettings, connect
from zanith.postgres.sqlstates import translated

APPLICATION_NAME = "zanith-operator"
_CONNECT_TIMEOUT_S = 5
_REST_S = 5.0
"""How long a database that did not answer is left alone."""
_STATEMENT_TIMEOUT = "30s"

_REASONS = {r.value: r for r in Reason}
WantsPlan = Callable[[MigrationRecord], bool]


@dataclass(frozen=True, slots=True)
class Look:
    """What was found in a database, or why nothing."""

    record: MigrationRecord | None = None
    trouble: Trouble | None = None
    plan: Plan | None = None
    plan_trouble: Trouble | None = None


class Databases:
    """All databases, by their connection string."""

    def __init__(self, *, connections: int) -> None:
        self._threads = ThreadPoolExecutor(connections, thread_name_prefix="database")
        self._turns: dict[str, asyncio.Lock] = {}
        self._resting: dict[str, tuple[float, Trouble]] = {}

    def close(self) -> None:
        """Begin nothing new."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def look(self, settings: ConnectionSettings, spec: MigrationSpec, wants_plan: WantsPlan) -> Look:
        """The ledger of a migration, and its plan from the live catalog where it is wanted."""
        name = _digest(settings)
        async with self._turns.setdefault(name, asyncio.Lock()):
            resting = self._resting.get(name)
            if resting is not None and time.monotonic() < resting[0]:
                return Look(trouble=resting[1])
            loop = asyncio.get_running_loop()
            found = await loop.run_in_executor(self._threads, _look, settings, spec, wants_plan)
            self._resting.pop(name, None)
            if found.trouble is not None and found.trouble.reason is Reason.DATABASE_UNREACHABLE:
                self._resting[name] = (time.monotonic() + _REST_S, found.trouble)
            return found

    async def marks(self, settings: ConnectionSettings, migration_ids: Iterable[str]) -> dict[str, Mark] | None:
        """The marks of migrations at rest; None where they cannot be read. Looks away from a database that rests."""
        name = _digest(settings)
        async with self._turns.setdefault(name, asyncio.Lock()):
            resting = self._resting.get(name)
            if resting is not None and time.monotonic() < resting[0]:
                return None
            return await asyncio.get_running_loop().run_in_executor(
                self._threads, _marks, settings, list(migration_ids)
            )


def trouble_of(error: ZanithError) -> Trouble:
    """The row of the condition table for something that could not be read."""
    if error.reason in _REASONS:
        return Trouble(_REASONS[error.reason], error.message)
    return Trouble(Reason.RETRYING, error.message)


def _look(settings: ConnectionSettings, spec: MigrationSpec, wants_plan: WantsPlan) -> Look:
    """In a thread: one connection, closed at the end."""
    try:
        with _reading(settings) as conn:
            record = read_migration(conn, settings.schema, spec.migration_id)
            if not wants_plan(record):
                return Look(record)
            return _planned(conn, settings, spec, record)
    except (NotYet, Conflict, SpecError) as error:
        return Look(trouble=trouble_of(error))
    except ZanithError as error:
        # PostgreSQL said no to reading: a right is missing, so a person has to look.
        return Look(trouble=Trouble(Reason.LEDGER_CONFLICT, error.message))


def _marks(settings: ConnectionSettings, migration_ids: list[str]) -> dict[str, Mark] | None:
    """In a thread: as `_look`, and shorter."""
    try:
        with _reading(settings) as conn:
            return read_marks(conn, settings.schema, migration_ids)
    except ZanithError:
        return None


@contextmanager
def _reading(settings: ConnectionSettings) -> Iterator[Connection[Any]]:
    with (
        connect(settings, application_name=APPLICATION_NAME, connect_timeout_s=_CONNECT_TIMEOUT_S) as conn,
        translated("reading the ledger"),
    ):
        conn.execute("SELECT set_config('statement_timeout', %s, false)", [_STATEMENT_TIMEOUT])
        yield conn


def _planned(conn: Connection[Any], settings: ConnectionSettings, spec: MigrationSpec, record: MigrationRecord) -> Look:
    facts = read_facts(conn, settings.schema)
    try:
        if record.frozen is None:
            return Look(record, plan=plan_migration(spec, facts))
        return Look(record, plan=extend_plan(record.frozen.plan, spec, facts, done=record.done))
    except SpecError as error:
        return Look(record, plan_trouble=trouble_of(error))


def _digest(settings: ConnectionSettings) -> str:
    return hashlib.sha256(f"{settings.schema}\n{settings.conninfo}".encode()).hexdigest()
