"""Asks a step's probes: read-only questions whose answer may refuse the step. Rows found are looked at by nobody.

Each is bounded in time, in a transaction that is read only and rolled back: a question that is not answered refuses the
step as well, and never hangs. Keys of offending rows are read for a person's terminal alone (`zanith.cli`); no message
made here carries any.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import Connection

from zanith.core.errors import Refusal
from zanith.core.identifiers import TableKey
from zanith.core.sql import raw
from zanith.core.statement import Probe
from zanith.execution.session import Session
from zanith.execution.watching import watched
from zanith.planning.plan import PlannedStep


def ask(session: Session, probe: Probe, step: PlannedStep, *, briefly: bool = False) -> bool:
    """Whether the probe finds a row. Cancelled on stop. Raises Refusal where it takes longer than
    `execution.probeTimeout`, or `briefly`, while others wait for a lock of ours, than `execution.lockTimeout`."""
    limit_s = session.lock_timeout_s if briefly else session.probe_timeout_s
    began = time.monotonic()
    try:
        with watched(session.conn, session.stop, lambda: session.beat(step.index)), bounded(session.conn, limit_s):
            return session.conn.execute(raw(probe.sql)).fetchone() is not None
    except psycopg.Error as error:
        if ran_out(error, began, limit_s) and not session.stop.is_set():
            raise unanswered(step, probe, limit_s, setting="lockTimeout" if briefly else "probeTimeout") from None
        session.fail(error, f"asking whether {probe.question}", step.index)


def answer(session: Session, probe: Probe, step: PlannedStep) -> Refusal | None:
    """The refusal that the answer means, or that there is none in time; None where nothing is in the way."""
    try:
        return refused(step, probe) if ask(session, probe, step) else None
    except Refusal as refusal:
        return refusal


def ask_all(session: Session, step: PlannedStep, probes: Iterable[Probe], *, briefly: bool = False) -> None:
    """Raises Refusal (ProbeFailed) at the first probe that finds a row, or takes too long."""
    for probe in probes:
        if ask(session, probe, step, briefly=briefly):
            raise refused(step, probe)


def counted(session: Session, probe: Probe, step: PlannedStep) -> int | None:
    """How many rows the probe is about; None where nobody asks, or it takes too long to count them."""
    if not probe.count_sql:
        return None
    limit_s, began = session.probe_timeout_s, time.monotonic()
    try:
        with watched(session.conn, session.stop, lambda: session.beat(step.index)), bounded(session.conn, limit_s):
            row = session.conn.execute(raw(probe.count_sql)).fetchone()
            return None if row is None else int(row[0])
    except psycopg.Error as error:
        if ran_out(error, began, limit_s) and not session.stop.is_set():
            return None
        session.fail(error, f"counting the rows of which {probe.question}", step.index)


@contextmanager
def bounded(conn: Connection[Any], limit_s: float) -> Iterator[None]:
    """Read only, and each statement no longer than this; what held before holds again at the end, in a transaction too."""
    with conn.transaction(force_rollback=True):
        conn.execute(
            "SELECT set_config('statement_timeout', %s, true), set_config('transaction_read_only', 'on', true)",
            [f"{max(1, round(limit_s * 1000))}ms"],
        )
        yield


def ran_out(error: psycopg.Error, began: float, limit_s: float) -> bool:
    """Whether this is our limit speaking, and not somebody who cancelled the query."""
    return isinstance(error, psycopg.errors.QueryCanceled) and time.monotonic() - began >= limit_s


def refused(step: PlannedStep, probe: Probe) -> Refusal:
    """The refusal a probe's find means."""
    recorded = f"refused — {probe.kind.value}: {probe.question}"
    which = "; zanith migrate plan --probe shows the keys of some" if probe.sample_sql else ""
    return Refusal(
        f"{recorded} (step {step.index} {step.kind}); {probe.remedy}{which}",
        recorded=recorded,
        reason="ProbeFailed",
        step=step.index,
    )


def unanswered(step: PlannedStep, probe: Probe, limit_s: float, *, setting: str = "probeTimeout") -> Refusal:
    """The refusal of a step whose question was not answered in time."""
    recorded = f"refused — {probe.kind.value}: not answered within {_limit(limit_s)}, whether {probe.question}"
    return Refusal(
        f"{recorded} (step {step.index} {step.kind}); raise spec.execution.{setting}, or try when there is less to do",
        recorded=recorded,
        reason="ProbeFailed",
        step=step.index,
    )


def _limit(seconds: float) -> str:
    return f"{seconds:g} s" if seconds >= 1 else f"{seconds * 1000:g} ms"


def askable_at_once(steps: Iterable[PlannedStep]) -> list[tuple[PlannedStep, Probe]]:
    """Probes whose answer no earlier one of these steps can change: they refuse before anything has begun."""
    touched: set[TableKey] = set()
    created: list[str] = []
    found: list[tuple[PlannedStep, Probe]] = []
    for step in steps:
        tables = {table for s in step.statements for table in s.on}
        if not (tables & touched) and not any(str(table) in created for table in tables):
            found += [(step, probe) for probe in step.probes]
        touched |= tables | {s.renames[1] for s in step.statements if s.renames is not None}
        created.append(step.target)  # creating a table locks none: its name is the step's target
    return found
