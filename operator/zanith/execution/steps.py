"""Executes one step: its statements in order, each exactly once, whatever dies in between.

Lane -1 of the checkpoints is the step's cursor. A transactional statement moves it in its own transaction, so there is
nothing to find out after a crash. A statement that cannot run in a transaction is recorded `started` before and is the
only one the catalog is asked about afterwards.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg

from zanith.core.errors import Conflict, NotYet, StepFailed
from zanith.core.identifiers import TableKey
from zanith.core.sql import raw
from zanith.core.statement import IndexIsValid, Lock, Statement, Work
from zanith.execution import outside
from zanith.execution.assignment import Progress
from zanith.execution.backfilling import run_backfill
from zanith.execution.lock_attempts import with_lock_attempts
from zanith.execution.probing import ask_all
from zanith.execution.sealing import seal
from zanith.execution.session import Session
from zanith.execution.watching import watched
from zanith.operations.step_context import Undo
from zanith.planning.plan import PlannedStep
from zanith.postgres.locks import being_built, drop_index_concurrently

CURSOR_LANE = -1
OUTSIDE_TRIES = 3
WAITING_SAID_EVERY_S = 2.0

Settle = Callable[[], None]


@dataclass(slots=True)
class StepRun:
    """One attempt at one step. `settle` writes what belongs into the last statement's transaction: the done row."""

    session: Session
    step: PlannedStep
    settle: Settle
    lane: int = CURSOR_LANE
    cursor: dict[str, Any] = field(default_factory=dict)
    said: float = float("-inf")

    def run(self) -> None:
        """Execute what is left of the step and settle it. Raises NotYet where another step's SQL released our lock."""
        self.session.renew()
        if not self.session.holds_lock():
            raise NotYet(
                f"the advisory lock that makes this the only runner of the database was lost before step {self.step.index}; "
                "the attempt ends, and the next one takes it anew: look for SQL that calls pg_advisory_unlock_all()",
                step=self.step.index,
            )
        ledger = self.session.ledger
        first = {"statement": 1, "state": "pending"}
        self.cursor = ledger.open_checkpoint(self.session.migration_id, self.step.index, self.lane, first).cursor
        units = [u for u in _numbered(self.step.statements) if u[0] >= self.cursor["statement"]]
        if not units:
            with self.session.conn.transaction():
                self.settle()
            return
        for position, (number, statements) in enumerate(units):
            self._check_same(number, statements[0])
            self._ask(range(number, number + len(statements)))
            self._run_unit(number, statements, last=position == len(units) - 1)
            self.session.notify()

    def _run_unit(self, number: int, statements: tuple[Statement, ...], *, last: bool) -> None:
        told = Progress(
            "statement_started",
            step_index=self.step.index,
            kind=self.step.kind,
            statement=number,
            statements_total=len(self.step.statements),
            sql=";\n".join(s.sql for s in statements),
        )
        self.session.tell(told)
        after = number + len(statements)
        first = statements[0]
        try:
            if first.backfill is not None:
                run_backfill(
                    self.session,
                    self.step,
                    first.backfill,
                    self._waiting,
                    self._going_on,
                    lane=walk_lane(self.lane, number),
                )
                self._advance(after, last=last)
            elif not first.transactional:
                self._run_outside(number, first)
                self._advance(after, last=last)
            else:
                self._run_locked(number, statements, after, last=last)
        except StepFailed:
            self._clean_up(number, first)
            raise
        self.session.tell(replace(told, event="statement_finished"))

    def _run_locked(self, number: int, statements: tuple[Statement, ...], after: int, *, last: bool) -> None:
        """Under a lock that has to be waited for: the ledger first, the statement last, so that it is held for the
        commit only. One that works through the table takes the lock as any other, and then as long as it needs.
        """
        tables = tuple(dict.fromkeys(t for s in statements for t in s.on))
        lock = max((s.lock for s in statements), key=lambda m: m.strength)
        heavy = any(s.work is not Work.CATALOG for s in statements)

        def attempt(patient: bool) -> None:
            after_it = {"statement": after, "state": "pending"}
            with self._cursor_kept(), self.session.conn.transaction():
                if not heavy:
                    self._move(after_it, last=last)
                if heavy or patient:
                    # The first table is the one worked through; what is locked beside it is locked for less.
                    if tables and not any(s.locks_itself for s in statements):
                        self.session.lock_table(tables[0], statements[0].lock)
                    self.session.no_limits_here()
                with self._watched() if heavy else nullcontext():
                    for at, statement in enumerate(statements, start=number):
                        self._ask_under_lock(at, statement, heavy=heavy)
                        self._keep(statement)
                        self._execute(statement)
                        if statement.renames is not None:
                            self.session.ledger.move_artifacts(*statement.renames)
                self._check_unharmed(statements)
                if heavy:
                    # Last: a heartbeat has to reach the row that this takes.
                    self._move(after_it, last=last)

        try:
            with_lock_attempts(self.session, tables, lock, self._waiting, attempt)
        except psycopg.Error as error:
            self._fail(error)

    def _check_unharmed(self, statements: tuple[Statement, ...]) -> None:
        """Inside the open transaction, of SQL of the author's own: nobody else may be at work by now."""
        if any(s.locks_itself for s in statements) and not self.session.holds_lock():
            raise StepFailed(
                f"step {self.step.index} {self.step.kind} of {self.step.target} released the advisory lock that makes this "
                "the only runner of the database; it was rolled back: take pg_advisory_unlock_all() and its like out of "
                "the code it runs",
                step=self.step.index,
            )

    def _run_outside(self, number: int, statement: Statement) -> None:
        """Outside any transaction: recorded as started, and asked about in the catalog if we died meanwhile."""
        conn = self.session.conn
        for remaining in range(OUTSIDE_TRIES, 0, -1):
            if self.cursor["state"] == "started":
                if outside.happened(conn, statement, self.cursor["oids"], self.step.index):
                    return
                self._drop_leftover(statement)
            else:
                oids = outside.oids_before(conn, statement)
                started = {"statement": number, "state": "started", "sqlHash": statement.digest, "oids": oids}
                with conn.transaction():
                    self._move(started, last=False)
            try:
                self.session.set("lock_timeout", "0")
                with self._watched():
                    conn.execute(raw(statement.sql))
                return
            except psycopg.errors.DeadlockDetected as error:
                # Two concurrent builds on one table wait for each other's transactions; PostgreSQL ends one of them.
                if remaining == 1:
                    self._fail(error)
            except psycopg.Error as error:
                # Asked to stop, we have no time to clean up: the cursor says `started`, and the next attempt does it.
                if not conn.broken and not self.session.stop.is_set():
                    self._drop_leftover(statement)
                    with conn.transaction():
                        self._move({"statement": number, "state": "pending"}, last=False)
                self._fail(error)
            finally:
                self.session.limits_off()

    def _drop_leftover(self, statement: Statement) -> None:
        """Away with an INVALID index that our dead attempt left, once nobody builds it."""
        conn, asked = self.session.conn, statement.done_when
        leftover = outside.leftover(conn, statement, self.cursor["oids"])
        if leftover is None or not isinstance(asked, IndexIsValid):
            return
        while being_built(conn, leftover.oid):
            self._waiting(f"index {asked.schema}.{asked.index} is being built by another session")
            self.session.sleep(1.0)
        self.session.set("lock_timeout", "0")
        with self._watched():
            drop_index_concurrently(conn, asked.schema, asked.index)
        self.session.limits_off()

    def _advance(self, after: int, *, last: bool) -> None:
        with self.session.conn.transaction():
            self._move({"statement": after, "state": "pending"}, last=last)

    def _move(self, new: dict[str, Any], *, last: bool) -> None:
        """Move the cursor, inside the open transaction; with the last statement the step is settled as well."""
        self.session.ledger.move_checkpoint(
            self.session.migration_id,
            self.step.index,
            self.lane,
            old=self.cursor,
            new=new,
            status="done" if last else "running",
        )
        self.cursor = new
        if last:
            self.settle()

    @contextmanager
    def _cursor_kept(self) -> Iterator[None]:
        """What was moved in a transaction that did not commit was not moved."""
        before = self.cursor
        try:
            yield
        except BaseException:
            self.cursor = before
            raise

    def _waiting(self, why: str) -> None:
        """Say why nothing happens: to who watches, and as a sign of life in the checkpoint."""
        if time.monotonic() - self.said < WAITING_SAID_EVERY_S:
            return
        self.said = time.monotonic()
        self.session.tell(Progress("waiting", step_index=self.step.index, kind=self.step.kind, message=why))
        with self.session.conn.transaction():
            self._move(self.cursor | {"waiting": why}, last=False)
        self.session.notify()

    def _going_on(self) -> None:
        """What was waited for is over."""
        if "waiting" in self.cursor:
            with self.session.conn.transaction():
                self._move({k: v for k, v in self.cursor.items() if k != "waiting"}, last=False)

    def _execute(self, statement: Statement) -> None:
        if statement.seals:
            seal(self.session, statement)
        else:
            self.session.conn.execute(raw(statement.sql))

    def _keep(self, statement: Statement) -> None:
        draft = statement.artifact
        if draft is None:
            return
        table = TableKey(draft.source_schema, draft.source_table)
        row = self.session.conn.execute(
            "SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass(%s)",
            [".".join(f'"{part.replace(chr(34), chr(34) * 2)}"' for part in table)],
        ).fetchone()
        estimate = row[0] if row is not None and row[0] >= 0 else None
        self.session.ledger.write_artifact(
            self.session.migration_id,
            draft,
            retention=self.session.retention,
            row_count=estimate,
            undo=self.step.undo if self.lane == CURSOR_LANE else Undo(),
        )

    def _ask(self, numbers: range) -> None:
        ask_all(self.session, self.step, (p for p in self.step.probes if p.before_statement in numbers))

    def _ask_under_lock(self, number: int, statement: Statement, *, heavy: bool) -> None:
        """What the statement would not notice by itself, once nobody can write any more; as long as others may wait."""
        probes = [p for p in self.step.probes if p.before_statement == number and p.under_lock]
        if not probes:
            return
        self.session.lock_table(statement.on[0], statement.lock)
        ask_all(self.session, self.step, probes, briefly=not heavy)

    def _clean_up(self, number: int, statement: Statement) -> None:
        """Take back what the failed statement and those that belong to it did, and let a retry begin there; walks on the
        way too, for what they have done is taken back as well."""
        if not statement.cleanup or self.session.conn.broken:
            return

        earlier = [n for n, _ in _numbered(self.step.statements) if n < number]
        again = [1, *earlier][-statement.takes_back :][0] if earlier else 1
        walks = [walk_lane(self.lane, n) for n in range(again, number + 1)]

        def attempt(_patient: bool) -> None:
            with self._cursor_kept(), self.session.conn.transaction():
                for text in statement.cleanup:
                    self.session.conn.execute(raw(text))
                self.session.ledger.forget_walks(self.session.migration_id, self.step.index, walks)
                self._move({"statement": again, "state": "pending"}, last=False)

        try:
            with_lock_attempts(self.session, statement.on, Lock.ACCESS_EXCLUSIVE, self._waiting, attempt)
        except psycopg.Error as error:
            self._fail(error)

    def _check_same(self, number: int, statement: Statement) -> None:
        """A cursor that was started with another statement's text is not ours to go on from."""
        recorded = self.cursor.get("sqlHash")
        if self.cursor["statement"] == number and recorded not in (None, statement.digest):
            raise Conflict(
                f"the checkpoint of step {self.step.index} belongs to another statement; the stored plan was changed",
                step=self.step.index,
            )

    def _watched(self) -> Any:
        return watched(self.session.conn, self.session.stop, lambda: self.session.beat(self.step.index))

    def _fail(self, error: psycopg.Error) -> None:
        self.session.fail(error, f"step {self.step.index} {self.step.kind} of {self.step.target}", self.step.index)


def walk_lane(cursor_lane: int, number: int) -> int:
    """The checkpoint's lane of a walk: of a step's own one 0; an undo may have several, and has them below its cursor's."""
    return 0 if cursor_lane == CURSOR_LANE else 100 * cursor_lane - number


def transactions(statements: tuple[Statement, ...]) -> Iterator[tuple[Statement, ...]]:
    """The statements of a step, those together that are one transaction."""
    start = 0
    for end in range(1, len(statements) + 1):
        if end == len(statements) or not statements[end].with_previous:
            yield statements[start:end]
            start = end


def _numbered(statements: tuple[Statement, ...]) -> Iterator[tuple[int, tuple[Statement, ...]]]:
    """(number of its first statement, a transaction's statements)."""
    number = 1
    for together in transactions(statements):
        yield number, together
        number += len(together)
