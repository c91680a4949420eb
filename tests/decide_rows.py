"""Ways to come to a row of the condition table before a Job is at work, and the pieces they are told with."""

from __future__ import annotations

from typing import Any

from decide_builders import (
    NOW,
    ago,
    applied,
    begun,
    ended,
    job,
    observed,
    plan,
    spec,
)
from zanith.api.conditions import Condition, Reason, ready_conditions
from zanith.api.status import MigrationStatus
from zanith.controller.decide import Observed
from zanith.controller.decide.observed import Dependency, Failure, JobState, RecordedRefusal, Trouble
from zanith.planning.planner import spec_digests

UNREACHABLE = Trouble(Reason.DATABASE_UNREACHABLE, "the database cannot be reached")
REVERTED = spec(state="Reverted")
SUSPENDED = spec(suspend=True)
APPROVED_BY_HAND = spec(gates={"approval": "Required"})
LOW_BUDGET = spec(gates={"maxRisk": 20})
LONGER = spec(
    steps=[
        *spec().model_dump(by_alias=True, exclude_none=True)["steps"],
        {"addIndex": {"table": "users", "columns": ["id"]}},
    ]
)
OTHER_STEPS = ("x", *spec_digests(spec())[1:])
REFUSED = RecordedRefusal(2, "refused — max risk 20", Reason.RISK_BUDGET_EXCEEDED, ago(minutes=1))
NULLS = RecordedRefusal(2, "refused — column public.users.email has NULLs", Reason.PROBE_FAILED, ago(minutes=1))
FAILURE = Failure(2, Reason.STEP_FAILED, "step 2 backfill of public.users: division_by_zero (22012)", "2/then")


def ready(reason: Reason) -> tuple[Condition, ...]:
    return ready_conditions(reason, "", generation=3, now=NOW)


def was(reason: Reason, **changes: Any) -> MigrationStatus:
    return MigrationStatus(observed_generation=3, conditions=ready(reason), **changes)


BEFORE_A_JOB: dict[str, tuple[Observed, Reason, str]] = {
    "a spec that cannot be read": (
        observed(spec=None, spec_problem="spec.steps: is required"),
        Reason.INVALID_PLAN,
        "spec.steps: is required",
    ),
    "the ledger has not been looked at": (observed(ledger=None), Reason.PLANNING, "reading the ledger"),
    "nothing is planned": (observed(), Reason.PLANNING, "planning against the live catalog"),
    "a plan": (observed(plan=plan()), Reason.RUNNING, "starting attempt 1"),
    "the database is away": (observed(ledger=None, ledger_trouble=UNREACHABLE), Reason.DATABASE_UNREACHABLE, "cannot"),
    "the Secret is not there": (
        observed(ledger=None, ledger_trouble=Trouble(Reason.SECRET_NOT_FOUND, "Secret db does not exist")),
        Reason.SECRET_NOT_FOUND,
        "Secret db",
    ),
    "the Secret may not be read": (
        observed(ledger=None, ledger_trouble=Trouble(Reason.SECRET_FORBIDDEN, "kubectl create role")),
        Reason.SECRET_FORBIDDEN,
        "create role",
    ),
    "the plan is wrong": (
        observed(plan_trouble=Trouble(Reason.INVALID_PLAN, "table public.usrs does not exist")),
        Reason.INVALID_PLAN,
        "public.usrs",
    ),
    # Applied comes from the ledger only.
    "applied": (observed(ledger=applied()), Reason.APPLIED, "applied 2026-03-28T11:55:00Z"),
    "applied although its last Job failed": (observed(ledger=applied(), jobs=(ended(1),)), Reason.APPLIED, "applied"),
    "applied although suspended": (observed(SUSPENDED, ledger=applied()), Reason.APPLIED, "applied"),
    "applied, and an outage undoes nothing": (
        observed(ledger=None, ledger_trouble=UNREACHABLE, previous=was(Reason.APPLIED, applied_at=ago(days=1))),
        Reason.APPLIED,
        "applied 2026-03-27",
    ),
    "applied before, but what is there now is another thing": (
        observed(
            ledger=None,
            ledger_trouble=Trouble(Reason.LEDGER_CONFLICT, "column"),
            previous=was(Reason.APPLIED, applied_at=ago(days=1)),
        ),
        Reason.LEDGER_CONFLICT,
        "column",
    ),
    "applied, then changed, then an outage": (
        observed(
            ledger=None,
            ledger_trouble=UNREACHABLE,
            previous=was(Reason.CHANGED_AFTER_APPLY, applied_at=ago(days=1)),
        ),
        Reason.DATABASE_UNREACHABLE,
        "cannot",
    ),
    "a Job that succeeded with the ledger behind it": (
        observed(ledger=begun(done=1), jobs=(job(state=JobState.SUCCEEDED, finished_at=ago(seconds=0.1)),)),
        Reason.RETRYING,
        "the ledger does not have what it said it did",
    ),
    "the same, a while later": (
        observed(ledger=begun(done=1), jobs=(job(state=JobState.SUCCEEDED, finished_at=ago(minutes=2)),)),
        Reason.RUNNING,
        "starting attempt 2",
    ),
    # Whose migration it is, and whether it is still the same.
    "a step was edited after it began": (
        observed(ledger=begun(digests=OTHER_STEPS)),
        Reason.CHANGED_AFTER_APPLY,
        "spec.steps[0]",
    ),
    "a step was taken away": (
        observed(ledger=begun(digests=(*spec_digests(spec()), "gone"))),
        Reason.CHANGED_AFTER_APPLY,
        "spec.steps[3]",
    ),
    "a step was edited after it was applied": (
        observed(ledger=applied(digests=OTHER_STEPS)),
        Reason.CHANGED_AFTER_APPLY,
        "spec.steps[0]",
    ),
    "a step was added after it was applied": (
        observed(LONGER, ledger=applied()),
        Reason.CHANGED_AFTER_APPLY,
        "spec.steps[3] was added after",
    ),
    "begun by the command line with other steps": (
        observed(ledger=begun(owner=("", ""), digests=OTHER_STEPS)),
        Reason.CHANGED_AFTER_APPLY,
        "spec.steps[0]",
    ),
    "begun by the command line with these steps: adopted": (
        observed(ledger=begun(owner=("", ""))),
        Reason.RUNNING,
        "starting attempt 1",
    ),
    "begun by another, who is there": (
        observed(ledger=begun(owner=("shop", "other")), owner_lives=True),
        Reason.LEDGER_CONFLICT,
        "belongs to ZanithMigration shop/other",
    ),
    "begun by another, who is gone, with other steps": (
        observed(ledger=begun(owner=("shop", "other"), digests=OTHER_STEPS)),
        Reason.LEDGER_CONFLICT,
        "shop/other",
    ),
    "begun by another, who is gone, with these steps: adopted": (
        observed(ledger=begun(owner=("shop", "other"))),
        Reason.RUNNING,
        "starting attempt 1",
    ),
    # Dependencies, before it begins only.
    "a dependency is not ready": (
        observed(dependencies=(Dependency("a", "ready"), Dependency("b", "pending"))),
        Reason.DEPENDENCY_PENDING,
        "b is not ready yet",
    ),
    "two are not": (
        observed(dependencies=(Dependency("a", "pending"), Dependency("b", "pending"))),
        Reason.DEPENDENCY_PENDING,
        "a is not ready yet, and 1 more",
    ),
    "a dependency was taken back": (
        observed(dependencies=(Dependency("a", "reverted"),)),
        Reason.DEPENDENCY_PENDING,
        "a was taken back; set its spec.state to Applied",
    ),
    "a dependency is missing": (
        observed(dependencies=(Dependency("a", "missing"),)),
        Reason.DEPENDENCY_MISSING,
        "a does not exist",
    ),
    "a dependency failed": (
        observed(dependencies=(Dependency("a", "missing"), Dependency("b", "failed"))),
        Reason.DEPENDENCY_FAILED,
        "b needs a person first",
    ),
    "dependencies in a circle": (observed(cycle=("m", "a")), Reason.DEPENDENCY_CYCLE, "m → a → m"),
    "all dependencies are ready": (
        observed(dependencies=(Dependency("a", "ready"),), plan=plan()),
        Reason.RUNNING,
        "starting",
    ),
    "once begun, dependencies no longer count": (
        observed(ledger=begun(), dependencies=(Dependency("a", "missing"),)),
        Reason.RUNNING,
        "starting",
    ),
    # Approval, by the hash of the plan.
    "nobody approved": (observed(APPROVED_BY_HAND, plan=plan()), Reason.AWAITING_APPROVAL, "waits for an approval"),
    "another plan was approved": (
        observed(APPROVED_BY_HAND, plan=plan(), approve="0123"),
        Reason.AWAITING_APPROVAL,
        "another plan was approved",
    ),
    "this plan was approved": (
        observed(APPROVED_BY_HAND, plan=plan(), approve=plan().hash),
        Reason.RUNNING,
        "starting",
    ),
    "begun with an approval that was taken away since": (
        observed(APPROVED_BY_HAND, ledger=begun(APPROVED_BY_HAND)),
        Reason.RUNNING,
        "starting",
    ),
    "steps were appended: a new plan, a new approval": (
        observed(APPROVED_BY_HAND, ledger=begun(digests=spec_digests(spec())[:2]), plan=plan(), approve="old"),
        Reason.AWAITING_APPROVAL,
        "another plan was approved",
    ),
    # Whose turn it is.
    "another works on the database": (
        observed(plan=plan(), waits_for="shop/a, which is working on the same database"),
        Reason.QUEUED,
        "waits for shop/a",
    ),
    "the API server refuses the Job": (
        observed(plan=plan(), job_problem="exceeded quota"),
        Reason.POD_NOT_STARTING,
        "exceeded quota",
    ),
    # Suspended.
    "suspended": (observed(SUSPENDED), Reason.SUSPENDED, "suspended; set"),
    "suspended while it runs": (observed(SUSPENDED, jobs=(job(),)), Reason.SUSPENDED, "stopping"),
    "suspended, the Job is leaving": (
        observed(SUSPENDED, jobs=(job(deleting_since=ago(seconds=20)),)),
        Reason.SUSPENDED,
        "stopping",
    ),
    "suspended during an outage": (
        observed(SUSPENDED, ledger=None, ledger_trouble=UNREACHABLE),
        Reason.SUSPENDED,
        "suspended",
    ),
    "resumed before the old Job has left": (
        observed(ledger=begun(), jobs=(job(deleting_since=ago(seconds=20)),)),
        Reason.RETRYING,
        "attempt 1 is stopping",
    ),
    "resumed, the old Job stays with a node that is lost": (
        observed(ledger=begun(), jobs=(job(deleting_since=ago(minutes=3)),)),
        Reason.RUNNING,
        "starting attempt 2",
    ),
    "a superseded Job that does not go away holds nobody up": (
        observed(ledger=begun(), jobs=(ended(None, 1, deleting_since=ago(seconds=5)), ended(10, 2))),
        Reason.RUNNING,
        "starting attempt 3",
    ),
}
