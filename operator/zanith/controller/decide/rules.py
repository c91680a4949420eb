"""The rules, in order: the first that has something to say is the situation of the migration.

Each rule is one question. A rule that needs what is not known (the ledger, the plan) comes after the one that says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from zanith.api.conditions import ConditionStatus, Reason, wire_time
from zanith.api.spec import DesiredState, MigrationSpec, ReadyWhen
from zanith.api.status import StepState
from zanith.controller.decide import expiry, last_attempt, reverting
from zanith.controller.decide.attempts import next_start
from zanith.controller.decide.decision import Situation
from zanith.controller.decide.either_way import (
    RARELY_S,
    SOON_S,
    belongs_to_another,
    job_active,
    job_leaving,
    queued,
    recheck_s,
    starting,
    suspended,
    unread_but_ready,
    unreadable,
)
from zanith.controller.decide.observed import JobAction, Observed
from zanith.planning.gates import approval_needed, refusal

Rule = Callable[[Observed, MigrationSpec], Situation | None]


def situation_of(observed: Observed) -> Situation:
    """Which row of the condition table holds, and what follows from it."""
    if observed.spec is None:
        return Situation(Reason.INVALID_PLAN, observed.spec_problem, RARELY_S)
    if observed.spec.state is DesiredState.REVERTED:
        return reverting.situation(observed, observed.spec)
    for rule in _RULES:
        found = rule(observed, observed.spec)
        if found is not None:
            return _schema_ready(observed, observed.spec, found)
    return _schema_ready(observed, observed.spec, _start(observed, observed.spec))


def wants_plan(observed: Observed) -> bool:
    """Whether a plan from the live catalog is needed: nothing runs, and the migration has not begun or has grown."""
    if observed.spec is None or observed.ledger is None or (observed.began and not observed.appended):
        return False
    if observed.spec.state is DesiredState.REVERTED:
        return False
    return all(rule(observed, observed.spec) is None for rule in _BEFORE_PLANNING)


def _applied(observed: Observed, spec: MigrationSpec) -> Situation | None:
    """Only the ledger says it; while it cannot be read, what it said before stands. A step that is half taken back is
    not applied, whatever the ledger's row says."""
    ledger = observed.ledger
    if ledger is None:
        at = observed.previous.applied_at
        return unread_but_ready(observed, Reason.APPLIED, f"applied {wire_time(at)}") if at is not None else None
    if ledger.applied_at is None or ledger.half_undone is not None or observed.at_work(JobAction.REVERT):
        return None
    at_rest = Situation(Reason.APPLIED, f"applied {wire_time(ledger.applied_at)}", expiry.recheck_s(ledger, spec))
    return _disagreement(observed, spec) or expiry.at_rest(observed, spec, at_rest)


def _job_active(observed: Observed, spec: MigrationSpec) -> Situation | None:
    return job_active(observed, spec, JobAction.APPLY)


def _disagreement(observed: Observed, spec: MigrationSpec) -> Situation | None:
    """The steps and the owner of a migration that began against those of this resource."""
    ledger = observed.ledger
    if ledger is None or ledger.began_at is None:
        return None
    begun = ledger.digests
    edited = next((i for i, digest in enumerate(begun, start=1) if digest not in observed.digests[i - 1 : i]), None)
    theirs = belongs_to_another(observed, spec, edited=edited is not None)
    if theirs is not None:
        return theirs
    if edited is not None:
        return Situation(
            Reason.CHANGED_AFTER_APPLY,
            f"spec.steps[{edited - 1}] is not what was begun; restore it and put changes into new steps or a new migration",
            RARELY_S,
        )
    if ledger.applied_at is not None and observed.appended:
        return Situation(
            Reason.CHANGED_AFTER_APPLY,
            f"spec.steps[{len(begun)}] was added after the migration was applied; put it into a new migration",
            RARELY_S,
        )
    return None


def _dependencies(observed: Observed, spec: MigrationSpec) -> Situation | None:
    if observed.began:
        return None
    if observed.cycle:
        circle = " → ".join([*observed.cycle, observed.cycle[0]])
        return Situation(Reason.DEPENDENCY_CYCLE, f"spec.dependsOn goes round in a circle: {circle}", RARELY_S)
    for state, reason, words in (
        ("failed", Reason.DEPENDENCY_FAILED, "needs a person first"),
        ("missing", Reason.DEPENDENCY_MISSING, "does not exist in this namespace"),
        ("pending", Reason.DEPENDENCY_PENDING, "is not ready yet"),
        ("reverted", Reason.DEPENDENCY_PENDING, "was taken back; set its spec.state to Applied"),
    ):
        names = [d.name for d in observed.dependencies if d.state == state]
        if names:
            return Situation(reason, f"{names[0]} {words}{_and_more(names)}", RARELY_S)
    return None


def _and_more(names: list[str]) -> str:
    return f", and {len(names) - 1} more" if len(names) > 1 else ""


def _unplanned(observed: Observed, spec: MigrationSpec) -> Situation | None:
    if observed.plan_trouble is not None:
        trouble = observed.plan_trouble
        return Situation(trouble.reason, trouble.message, recheck_s(trouble.reason))
    if observed.agreed_plan is None:
        return Situation(Reason.PLANNING, "planning against the live catalog", SOON_S)
    return None


def _needs_approval(observed: Observed, spec: MigrationSpec) -> Situation | None:
    """Of a plan not yet begun. One that is refused anyway needs none: its Job only records the refusal."""
    if observed.plan is None or refusal(observed.plan, spec.gates) is not None:
        return None
    needed = approval_needed(observed.plan, spec.gates, observed.approve)
    if needed is None:
        return None
    return Situation(Reason.AWAITING_APPROVAL, needed.message, RARELY_S)


def _start(observed: Observed, spec: MigrationSpec) -> Situation:
    assert observed.agreed_plan is not None, "the rules above ask for a plan first"
    start = next_start(observed, spec, observed.agreed_plan.hash)
    return starting(observed, start, Reason.RUNNING, f"starting attempt {start.attempt}")


_BEFORE_PLANNING: tuple[Rule, ...] = (
    _applied,
    suspended,
    _job_active,
    job_leaving,
    unreadable,
    _disagreement,
    _dependencies,
)
_RULES: tuple[Rule, ...] = (
    *_BEFORE_PLANNING,
    _unplanned,
    last_attempt.situation,
    _needs_approval,
    queued,
)


def _schema_ready(observed: Observed, spec: MigrationSpec, found: Situation) -> Situation:
    """Ready all the same, where only backfills are left and that is enough; what goes on stands in the message."""
    if spec.ready_when is not ReadyWhen.SCHEMA_READY or found.reason.row.reconciling is not ConditionStatus.TRUE:
        return found
    if not _only_backfills_left(observed):
        return found
    return replace(found, reason=Reason.SCHEMA_READY, message=f"the schema is ready; {found.message}")


def _only_backfills_left(observed: Observed) -> bool:
    ledger, before = observed.ledger, observed.previous
    if ledger is None:
        left = [s.kind for s in before.steps if s.state is not StepState.DONE]
        return before.started_at is not None and all(kind == "backfill" for kind in left)
    plan = observed.agreed_plan
    if ledger.began_at is None or plan is None:
        return False
    return all(step.is_backfill for step in plan.steps if step.index not in ledger.done)
