"""Asks a step's probes: read-only questions whose answer may refuse the step. Rows found are looked at by nobody."""

from __future__ import annotations

from collections.abc import Iterable

import psycopg

from zanith.core.errors import Refusal
from zanith.core.identifiers import TableKey
from zanith.core.sql import raw
from zanith.core.statement import Probe
from zanith.execution.session import Session
from zanith.execution.watching import watched
from zanith.planning.plan import Plan, PlannedStep


def ask(session: Session, probe: Probe, step: PlannedStep) -> bool:
    """Whether the probe finds a row. Cancelled on stop."""
    try:
        with watched(session.conn, session.stop, lambda: session.beat(step.index)):
            return session.conn.execute(raw(probe.sql)).fetchone() is not None
    except psycopg.Error as error:
        session.fail(error, f"asking whether {probe.question}", step.index)


def ask_all(session: Session, step: PlannedStep, probes: Iterable[Probe]) -> None:
    """Raises Refusal (ProbeFailed) at the first probe that finds a row."""
    for probe in probes:
        if ask(session, probe, step):
            raise refused(step, probe)


def refused(step: PlannedStep, probe: Probe) -> Refusal:
    """The refusal a probe's find means."""
    recorded = f"refused — {probe.kind.value}: {probe.question}"
    return Refusal(
        f"{recorded} (step {step.index} {step.kind}); {probe.remedy}",
        recorded=recorded,
        reason="ProbeFailed",
        step=step.index,
    )


def askable_at_once(plan: Plan) -> list[tuple[PlannedStep, Probe]]:
    """Probes whose answer no earlier step of the plan can change: they refuse before anything has begun."""
    touched: set[TableKey] = set()
    created: list[str] = []
    found: list[tuple[PlannedStep, Probe]] = []
    for step in plan.steps:
        tables = {table for s in step.statements for table in s.on}
        if not (tables & touched) and not any(str(table) in created for table in tables):
            found += [(step, probe) for probe in step.probes]
        touched |= tables | {s.renames[1] for s in step.statements if s.renames is not None}
        created.append(step.target)  # creating a table locks none: its name is the step's target
    return found
