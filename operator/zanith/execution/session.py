"""One attempt's session: the connection that holds the advisory lock and runs everything, and how it waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, NoReturn

import psycopg
from psycopg import Connection, sql

from zanith.api.spec import Execution, seconds
from zanith.core.errors import NotYet, Stopped
from zanith.core.identifiers import TableKey, table_ident
from zanith.core.sql import raw
from zanith.core.statement import Lock
from zanith.execution.assignment import NOTIFY_CHANNEL, Assignment, Progress, ReadExecution, Report
from zanith.ledger.writing import Ledger
from zanith.postgres.connecting import LOCK_TIMEOUT, ConnectionSettings, connect, pin_again
from zanith.postgres.locks import holds_run_lock, terminate_lower_attempts, try_run_lock
from zanith.postgres.sqlstates import translate, translated

LOCK_PATIENCE_S = 600.0
"""How long a runner waits for another one to end before it gives its pod back."""
NOTIFY_EVERY_S = 1.0
EXECUTION_READ_EVERY_S = 10.0


@dataclass(slots=True)
class Session:
    """The working connection and what belongs to one attempt. The advisory lock is held by this very connection:
    whoever loses it can commit nothing more."""

    conn: Connection[Any]
    settings: ConnectionSettings
    migration_id: str
    stop: threading.Event
    report: Report
    read_execution: ReadExecution = Execution
    steps_total: int = 0
    retention: timedelta | None = None
    """Life of the artifacts it makes; None is for ever."""
    _notified: float = 0.0
    _execution: Execution | None = None
    _execution_read: float = field(default=0.0)

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.conn, self.settings.schema)

    @property
    def execution(self) -> Execution:
        """The settings that may change while a migration runs; read again every few seconds."""
        now = time.monotonic()
        if self._execution is None or now - self._execution_read >= EXECUTION_READ_EVERY_S:
            self._execution_read = now
            self._execution = self.read_execution()
        return self._execution

    @property
    def lock_timeout_s(self) -> float:
        return seconds(self.execution.lock_timeout)

    @property
    def probe_timeout_s(self) -> float:
        return seconds(self.execution.probe_timeout)

    def tell(self, progress: Progress) -> None:
        """Tell whoever watches; the operator gets a hint at most once a second."""
        self.report(replace(progress, steps_total=progress.steps_total or self.steps_total))

    def notify(self, *, now: bool = False) -> None:
        """A hint to listeners that the ledger has moved, in a transaction of its own."""
        if not now and time.monotonic() - self._notified < NOTIFY_EVERY_S:
            return
        self._notified = time.monotonic()
        self.conn.execute("SELECT pg_notify(%s, %s)", [NOTIFY_CHANNEL, self.migration_id])

    def check_stop(self) -> None:
        """Raises Stopped once a stop was asked for."""
        if self.stop.is_set():
            raise Stopped(f"migration {self.migration_id} was asked to stop; it goes on from its checkpoint")

    def sleep(self, for_s: float) -> None:
        """Wait, but not past a stop. Raises Stopped."""
        self.stop.wait(for_s)
        self.check_stop()

    def set(self, name: str, value: str) -> None:
        """SET for the session."""
        self.conn.execute("SELECT set_config(%s, %s, false)", [name, value])

    def renew(self) -> None:
        """Every setting as the session began, whatever SQL of an earlier step has set."""
        pin_again(self.conn, self.settings.schema)

    def holds_lock(self) -> bool:
        """Whether it still is the one runner: SQL of a step could have released the advisory lock."""
        return holds_run_lock(self.conn)

    def limits_off(self) -> None:
        """Back to the limits a session begins with; a connection that is gone needs none."""
        if not (self.conn.closed or self.conn.broken):
            self.set("lock_timeout", LOCK_TIMEOUT)
            self.set("statement_timeout", "0")

    def no_limits_here(self) -> None:
        """No time limit for the rest of the open transaction; what it needs is locked already."""
        self.conn.execute("SET LOCAL statement_timeout = 0")

    def lock_table(self, table: TableKey, lock: Lock) -> None:
        """LOCK TABLE, inside the open transaction."""
        self.conn.execute(sql.SQL("LOCK TABLE {} IN {} MODE").format(table_ident(table), raw(lock.value)))

    def beat(self, step_index: int) -> None:
        """A heartbeat from a connection of its own; safe to call from another thread."""
        with connect(self.settings, application_name="zanith heartbeat", connect_timeout_s=3) as conn:
            # Never queue: where the row is held, its holder is alive.
            conn.execute("SET lock_timeout = '200ms'")
            Ledger(conn, self.settings.schema).heartbeat(self.migration_id, step_index)

    def fail(self, error: psycopg.Error, doing: str, step: int | None = None) -> NoReturn:
        """Raise what a psycopg error means; Stopped where we cancelled the statement ourselves."""
        if self.stop.is_set() and isinstance(error, psycopg.errors.QueryCanceled):
            self.check_stop()
        raise translate(error, doing=doing, step=step) from None


def open_session(
    settings: ConnectionSettings,
    assignment: Assignment,
    *,
    application_name: str,
    stop: threading.Event,
    report: Report,
    read_execution: ReadExecution | None,
) -> Session:
    """Connect, fence off lower attempts of the same resource, and take the advisory lock.

    Polled, never waited for in the server: a waiter there deadlocks with CREATE INDEX CONCURRENTLY of the holder.
    Raises NotYet, SpecError (UnsupportedDatabase) or Stopped.
    """
    spec = assignment.spec
    session = Session(
        connect(settings, application_name=application_name),
        settings,
        spec.migration_id,
        stop,
        report,
        read_execution or (lambda: spec.execution),
        steps_total=len(spec.steps),
        retention=spec.retention_period,
    )
    return _locked(session, lambda: terminate_lower_attempts(session.conn, assignment.uid, assignment.attempt))


def open_recovery(
    settings: ConnectionSettings, migration_id: str, *, application_name: str, stop: threading.Event, report: Report
) -> Session:
    """The same for work on what an earlier migration left, by somebody who has no spec of it. Raises as `open_session`."""
    conn = connect(settings, application_name=application_name)
    return _locked(Session(conn, settings, migration_id, stop, report), lambda: None)


def _locked(session: Session, fence: Callable[[], object]) -> Session:
    try:
        with translated("taking the advisory lock"):
            _take_lock(session, fence)
    except BaseException:
        session.conn.close()
        raise
    return session


def _take_lock(session: Session, fence: Callable[[], object]) -> None:
    started, pause_s, told = time.monotonic(), 0.05, False
    while True:
        fence()
        if try_run_lock(session.conn):
            return
        if not told:
            session.tell(Progress("waiting", message="another runner is at work on this database"))
            told = True
        if time.monotonic() - started > LOCK_PATIENCE_S:
            raise NotYet("another runner is at work on this database", retry_in_s=30.0)
        session.sleep(pause_s)
        pause_s = min(pause_s * 1.5, 1.0)
