"""How a brief statement gets its strong lock without making others queue behind it for long.

Attempts wait 100, 200, 400 ms with jitter, up to `execution.lockTimeout`, which is a ceiling and never exceeded. No
attempt is made while a transaction older than a second holds a lock in the way: it would only queue, and everyone else
behind it. Where only autovacuum is in the way the whole ceiling is used, for it yields after deadlock_timeout. A
statement that locks several tables waits less than deadlock_timeout for each, so that no application is the victim.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from psycopg import errors

from zanith.core.identifiers import TableKey
from zanith.core.statement import Lock
from zanith.execution.session import Session
from zanith.postgres.locks import blockers_of

FIRST_WAIT_S = 0.1
OLD_TRANSACTION_S = 1.0
FULL_WAIT_EVERY = 10
STATEMENT_GRACE_S = 1.0
DEADLOCK_SHARE = 0.5
"""How much of deadlock_timeout a statement that locks several tables may wait for one of them."""
RETRIED = (errors.LockNotAvailable, errors.DeadlockDetected, errors.SerializationFailure)


def with_lock_attempts(
    session: Session,
    tables: tuple[TableKey, ...],
    lock: Lock,
    waiting: Callable[[str], Any],
    attempt: Callable[[bool], None],
) -> None:
    """Run `attempt`, a whole transaction, until its locks were free in time. Raises Stopped, or psycopg's other errors.

    `attempt` is told whether the statement may take as long as it needs once it has its locks: so after one that took
    too long with nobody in its way (an event trigger, thousands of partitions). `waiting` is told in words why it is
    not running yet.
    """
    tries, patient = 0, False
    while True:
        session.check_stop()
        tries += 1
        wait_s = _wait_s(session, tables, lock, tries, waiting)
        try:
            _limit(session, wait_s)
            attempt(patient)
            return
        except errors.QueryCanceled:
            session.check_stop()
            patient = patient or not blockers_of(session.conn, tables, lock)
            waiting(f"the statement under {lock.value} on {_names(tables)} took longer than it may wait; trying again")
            session.sleep(min(0.1 * tries, 1.0))
        except RETRIED:
            session.check_stop()
            waiting(f"the {lock.value} lock on {_names(tables)} was not free within {round(wait_s * 1000)} ms")
            session.sleep(min(0.1 * tries, 1.0) * random.uniform(0.5, 1.5))
        finally:
            session.limits_off()


def _wait_s(
    session: Session, tables: tuple[TableKey, ...], lock: Lock, tries: int, waiting: Callable[[str], Any]
) -> float:
    if not lock.blocks_writes:
        return session.lock_timeout_s
    ceiling_s = _ceiling_s(session, tables)
    pause_s = 0.1
    while True:
        found = blockers_of(session.conn, tables, lock)
        if found and all(b.autovacuum for b in found):
            return session.lock_timeout_s
        old = [b for b in found if b.transaction_age_s > OLD_TRANSACTION_S and not b.autovacuum]
        if not old:
            break
        oldest = max(old, key=lambda b: b.transaction_age_s)
        waiting(
            f"the {lock.value} lock on {_names(tables)} is not asked for while pid {oldest.pid} holds one in its way, in "
            f"a transaction of {round(oldest.transaction_age_s)} s"
        )
        session.sleep(pause_s)
        pause_s = min(pause_s * 1.5, 1.0)
    if tries % FULL_WAIT_EVERY == 0:
        return ceiling_s
    return float(min(ceiling_s, FIRST_WAIT_S * 2 ** min(tries - 1, 6) * random.uniform(0.75, 1.25)))


def _ceiling_s(session: Session, tables: tuple[TableKey, ...]) -> float:
    """The longest wait for one lock. Who holds one table and waits for another may be waiting for an application that
    waits for the first: we give up before PostgreSQL looks for a deadlock, whose victim could be the application."""
    if len(tables) < 2:
        return session.lock_timeout_s
    asked = "SELECT extract(epoch FROM current_setting('deadlock_timeout')::interval)::float8"
    row = session.conn.execute(asked).fetchone()
    assert row is not None  # a SELECT without FROM has one row
    return min(session.lock_timeout_s, DEADLOCK_SHARE * float(row[0]))


def _limit(session: Session, wait_s: float) -> None:
    # lock_timeout counts per lock: on a partitioned table they add up, so the whole statement is limited as well.
    session.set("lock_timeout", f"{max(1, round(wait_s * 1000))}ms")
    session.set("statement_timeout", f"{max(1, round((wait_s + STATEMENT_GRACE_S) * 1000))}ms")


def _names(tables: tuple[TableKey, ...]) -> str:
    return ", ".join(str(t) for t in tables) or "no table"
