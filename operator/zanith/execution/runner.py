"""The runner: one attempt at one migration, under the advisory lock, from wherever the ledger says it stands."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace

import psycopg

from zanith.core.errors import Conflict, NotYet, Refusal, StepFailed, Stopped, ZanithError
from zanith.execution.assignment import Assignment, Progress, ReadExecution, Report
from zanith.execution.probing import answer, askable_at_once
from zanith.execution.purging import purge_expired
from zanith.execution.reverting import finish_undo, revert
from zanith.execution.session import Session, open_session
from zanith.execution.steps import StepRun
from zanith.ledger.named_queries import TABLES
from zanith.ledger.reading import check_shape, read_migration
from zanith.ledger.records import FrozenPlan, MigrationRecord, Owner
from zanith.ledger.writing import Attempt
from zanith.planning.gates import approval_needed, refusal
from zanith.planning.plan import Plan, PlannedStep
from zanith.planning.planner import extend_plan, plan_migration, spec_digests, spec_hash
from zanith.postgres.catalog import read_facts
from zanith.postgres.connecting import ConnectionSettings, session_name
from zanith.postgres.rehearsing import rehearse
from zanith.postgres.sqlstates import translated

OUTAGE_PATIENCE_S = 60.0
"""How long an outage is waited out in the pod before it is given back."""
ALL_TABLES = frozenset(TABLES)
WAITED_OUT = frozenset({"DatabaseUnreachable"})


def run_migration(
    settings: ConnectionSettings,
    assignment: Assignment,
    *,
    stop: threading.Event,
    report: Report,
    read_execution: ReadExecution | None = None,
) -> MigrationRecord:
    """Bring the migration to its end and return what the ledger then says of it (applied before: at once); or take it
    back, or purge what it kept, by `assignment.action`.

    Raises SpecError, Refusal (recorded in the ledger), NotYet, StepFailed, Conflict, or Stopped where `stop` was set.
    """
    name = session_name(assignment.uid, assignment.attempt, assignment.spec.migration_id, assignment.pod)
    outage_since: float | None = None
    pause_s = 0.2
    while True:
        try:
            session = open_session(
                settings, assignment, application_name=name, stop=stop, report=report, read_execution=read_execution
            )
            outage_since, pause_s = None, 0.2
            with session.conn, translated(f"running migration {assignment.spec.migration_id}"):
                match assignment.action:
                    case "apply":
                        return _Run(session, assignment).run()
                    case "revert":
                        return revert(session, retry=assignment.retry)
                    case "purge":
                        return purge_expired(session)
        except NotYet as error:
            now = time.monotonic()
            outage_since = outage_since if outage_since is not None else now
            if error.reason not in WAITED_OUT or now - outage_since > OUTAGE_PATIENCE_S:
                raise
            report(Progress("waiting", message=error.message))
            if stop.wait(pause_s):
                raise Stopped(f"migration {assignment.spec.migration_id} was asked to stop") from None
            pause_s = min(pause_s * 1.7, 5.0)


@dataclass(slots=True)
class _Run:
    """One session's work on one migration."""

    session: Session
    assignment: Assignment

    def run(self) -> MigrationRecord:
        session = self.session
        with translated("reading and preparing the five tables"):
            if check_shape(session.conn, session.settings.schema) != ALL_TABLES:
                session.ledger.create_tables()
            session.ledger.grant_observer()
            session.ledger.interrupt_leftovers()
            record = self._read()
        self._check_ours(record.frozen)
        record = finish_undo(session, record)
        if record.applied_at is not None and not self._appended(record.frozen):
            return record
        if record.applied_at is not None:
            raise Conflict(
                f"migration {session.migration_id} is applied; steps cannot be added to it: write another migration",
                reason="ChangedAfterApply",
            )
        plan = self._plan(record)
        session.tell(Progress("planned", steps_total=len(plan.steps), message=plan.hash))
        self._execute(plan, record.done)
        return self._read()

    def _read(self) -> MigrationRecord:
        return read_migration(self.session.conn, self.session.settings.schema, self.session.migration_id)

    def _check_ours(self, frozen: FrozenPlan | None) -> None:
        """Whether what was begun is what the spec still says. The same digests are the same migration, whoever owns it."""
        if frozen is None:
            return
        digests = spec_digests(self.assignment.spec)
        if digests[: len(frozen.digests)] == frozen.digests:
            return
        owner = self.assignment.owner
        if frozen.owner not in (owner, Owner()) and owner != Owner():
            raise Conflict(
                f"migration id {self.session.migration_id} belongs to ZanithMigration "
                f"{frozen.owner.namespace}/{frozen.owner.name}; give this one another spec.migrationId"
            )
        number = next(
            (n for n, (old, new) in enumerate(zip(frozen.digests, digests, strict=False), 1) if old != new),
            len(digests) + 1,
        )
        raise Conflict(
            f"step {number} of {self.session.migration_id} was changed after the migration began; put it back as it "
            "was, and append steps or write another migration instead",
            reason="ChangedAfterApply",
            step=number,
        )

    def _appended(self, frozen: FrozenPlan | None) -> bool:
        return frozen is not None and len(self.assignment.spec.steps) > len(frozen.digests)

    def _plan(self, record: MigrationRecord) -> Plan:
        """The frozen plan, or a new one that passed the expected hash, the gates, the approval and the probes."""
        session, assignment = self.session, self.assignment
        frozen = record.frozen
        if frozen is not None and not self._appended(frozen):
            return frozen.plan
        with translated("reading the catalog"):
            facts = read_facts(session.conn, session.settings.schema)
            session.ledger.write_baseline(session.migration_id, facts.graph)
        if frozen is None:
            plan = plan_migration(assignment.spec, facts)
        else:
            plan = extend_plan(frozen.plan, assignment.spec, facts, done=record.done)
        if assignment.expected_plan_hash not in ("", plan.hash):
            raise NotYet(f"the plan changed to {plan.hash} meanwhile; it is looked at again", reason="Retrying")
        refused_by = refusal(plan, assignment.spec.gates)
        if refused_by is not None:
            self._refuse(plan, refused_by)
        needed = approval_needed(plan, assignment.spec.gates, assignment.approved_hash)
        if needed is not None:
            raise needed
        begun = 0 if frozen is None else len(frozen.plan.steps)
        rehearse(session.conn, assignment.spec, facts, first=begun + 1, done=record.done)
        for step, probe in askable_at_once(plan.steps):
            if step.index > begun and (refused_by := answer(session, probe, step)) is not None:
                self._refuse(plan, refused_by)
        with translated("writing the plan"):
            session.ledger.write_plan(
                plan,
                spec_hash=spec_hash(assignment.spec),
                digests=spec_digests(assignment.spec),
                owner=assignment.owner if frozen is None else frozen.owner,
            )
            session.notify(now=True)
        return plan

    def _refuse(self, plan: Plan, why: Refusal) -> None:
        assert why.step is not None
        with translated("recording the refusal"):
            self.session.ledger.record_refusal(plan, plan.steps[why.step - 1], why, self.assignment.retry)
            self.session.notify(now=True)
        raise why

    def _execute(self, plan: Plan, done: frozenset[int]) -> None:
        for step in plan.steps:
            last = step.index == len(plan.steps)
            if step.index not in done:
                self._run_step(step, last=last)
            elif last:
                # Steps that were appended and taken back again, or a ledger row that somebody deleted.
                self._finish(None)

    def _run_step(self, step: PlannedStep, *, last: bool) -> None:
        session = self.session
        doing = f"step {step.index} {step.kind} of {step.target}"
        with translated(doing, step=step.index):
            session.check_stop()
            attempt = session.ledger.start_attempt(session.migration_id, step)
            session.notify(now=True)
        told = Progress(
            "step_started", step_index=step.index, kind=step.kind, target=step.target, risk_level=step.level.value
        )
        session.tell(told)
        began = time.monotonic()

        def settle() -> None:
            if not last:
                session.ledger.finish_attempt(attempt, "done")

        try:
            with translated(doing, step=step.index):
                StepRun(session, step, settle).run()
                if last:
                    self._finish(attempt)
                session.notify(now=True)
        except ZanithError as error:
            self._settle_failed(attempt, error)
            raise
        session.tell(replace(told, event="step_finished", took_s=time.monotonic() - began))
        if last:
            session.tell(Progress("applied", message=session.migration_id))

    def _finish(self, attempt: Attempt | None) -> None:
        """The last transaction: the last done row, the ledger row, `after` and `summary`, together and synchronously.

        Apart from the last statement's own transaction, so that reading the whole schema holds no lock of it.
        """
        session = self.session
        graph = read_facts(session.conn, session.settings.schema).graph
        with session.conn.transaction():
            if attempt is not None:
                session.ledger.finish_attempt(attempt, "done")
            session.ledger.write_applied(session.migration_id, graph)

    def _settle_failed(self, attempt: Attempt, error: ZanithError) -> None:
        """Settle the audit row, as far as the connection still allows; a successor settles what is left running."""
        if error.reason == "Fenced" or self.session.conn.closed or self.session.conn.broken:
            return
        match error:
            case Refusal():
                status, text = "failed", error.recorded
            case StepFailed() | Conflict():
                status, text = "failed", error.message
            case _:
                status, text = "interrupted", error.message
        try:
            self.session.ledger.finish_attempt(attempt, status, text)
            self.session.notify(now=True)
        except (psycopg.Error, Conflict):
            # The first error is the one to tell; the row is settled by the next holder of the lock.
            return
