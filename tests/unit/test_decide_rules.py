"""Which row of the condition table holds. One row of a table here per way to come to it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from decide_builders import (
    NOW,
    ago,
    applied,
    artifact,
    begun,
    ended,
    history,
    job,
    ledger,
    observed,
    plan,
    pod,
    spec,
    walking,
)
from zanith.api.conditions import Condition, ConditionStatus, Reason, ready_conditions
from zanith.api.status import ArtifactState, JobStatus, MigrationStatus, StepState, StepStatus
from zanith.controller.decide import Observed, situation_of, wants_plan
from zanith.controller.decide.observed import Dependency, Failure, JobState, RecordedRefusal, Trouble
from zanith.core.risk import RiskLevel
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


ROWS: dict[str, tuple[Observed, Reason, str]] = {
    "a spec that cannot be read": (
        observed(spec=None, spec_problem="spec.steps: is required"),
        Reason.INVALID_PLAN,
        "spec.steps: is required",
    ),
    "Reverted is for another day": (observed(REVERTED), Reason.INVALID_PLAN, "not supported by this version"),
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
    # A Job is active.
    "a Job runs": (observed(ledger=begun(done=1), jobs=(job(),)), Reason.RUNNING, "step 2/3 backfill, attempt 1"),
    "its last step is done, the ledger not yet": (
        observed(ledger=begun(done=3), jobs=(job(),)),
        Reason.RUNNING,
        "attempt 1 is finishing",
    ),
    "it waits for a lock": (
        observed(ledger=begun(waiting="the ACCESS EXCLUSIVE lock was not free"), jobs=(job(),)),
        Reason.RUNNING,
        "step 1/3 addColumn, attempt 1; waits: the ACCESS EXCLUSIVE lock was not free",
    ),
    "a Job runs, the ledger has not been looked at": (
        observed(ledger=None, jobs=(job(),)),
        Reason.RUNNING,
        "attempt 1 is running",
    ),
    "a Job runs, the database is away": (
        observed(ledger=None, ledger_trouble=UNREACHABLE, jobs=(job(),)),
        Reason.DATABASE_UNREACHABLE,
        "attempt 1 goes on by itself",
    ),
    "a Job of another spec runs": (
        observed(jobs=(job(run_hash="other"),)),
        Reason.RUNNING,
        "the spec changed: attempt 1 stops",
    ),
    "the image cannot be pulled": (
        observed(jobs=(job(pod=pod(waiting="ImagePullBackOff", started_at=None)),)),
        Reason.POD_NOT_STARTING,
        "ImagePullBackOff",
    ),
    "no pod yet": (observed(jobs=(job(pod=None, created_at=ago(seconds=5)),)), Reason.RUNNING, "step 1/3"),
    "no pod for long": (observed(jobs=(job(pod=None),)), Reason.POD_NOT_STARTING, "has no pod yet"),
    "its pod is being made": (
        observed(jobs=(job(pod=pod(started_at=None, created_at=ago(seconds=5))),)),
        Reason.RUNNING,
        "step 1/3",
    ),
    "its pod does not start": (
        observed(jobs=(job(pod=pod(started_at=None)),)),
        Reason.POD_NOT_STARTING,
        "has not started",
    ),
    "its pod has ended, the Job does not know yet": (
        observed(jobs=(job(pod=pod(started_at=None, exit_code=0)),)),
        Reason.RUNNING,
        "step 1/3",
    ),
    "a backfill holds back": (
        observed(ledger=begun(done=1, backfills=(walking(throttled="ReplicaLag"),)), jobs=(job(),)),
        Reason.THROTTLED,
        "step 2 holds back: ReplicaLag",
    ),
    "a backfill that is done holds nothing back": (
        observed(ledger=begun(done=2, backfills=(walking(throttled="ReplicaLag"),)), jobs=(job(),)),
        Reason.RUNNING,
        "step 3/3",
    ),
    # The progress deadline, by signs of life.
    "no sign of life for long": (
        observed(ledger=begun(heartbeat=ago(hours=1)), jobs=(job(pod=pod(started_at=ago(hours=2))),)),
        Reason.PROGRESS_DEADLINE_EXCEEDED,
        "no sign of life for 30m; see pod m-1-abcde",
    ),
    "a sign of life": (
        observed(ledger=begun(heartbeat=ago(minutes=1)), jobs=(job(pod=pod(started_at=ago(hours=2))),)),
        Reason.RUNNING,
        "step 1/3",
    ),
    "silent, but it could not have made progress until a minute ago": (
        observed(
            ledger=begun(heartbeat=ago(hours=1)),
            jobs=(job(pod=pod(started_at=ago(hours=2))),),
            still_until=ago(minutes=1),
        ),
        Reason.RUNNING,
        "step 1/3",
    ),
    "silent, but it has only just started": (
        observed(ledger=begun(heartbeat=ago(hours=1)), jobs=(job(),)),
        Reason.RUNNING,
        "step 1/3",
    ),
    "silent by the database's clock, which is behind": (
        observed(
            ledger=begun(now=ago(hours=3), heartbeat=ago(hours=3, minutes=1)),
            jobs=(job(pod=pod(started_at=ago(hours=2))),),
        ),
        Reason.RUNNING,
        "step 1/3",
    ),
    # Refused: recorded by a Job, also where it is known before.
    "refused, not recorded yet": (
        observed(LOW_BUDGET, plan=plan(LOW_BUDGET)),
        Reason.RUNNING,
        "starting attempt 1",
    ),
    "refused and waiting for an approval: it is recorded all the same": (
        observed(spec(gates={"maxRisk": 20, "approval": "Required"}), plan=plan()),
        Reason.RUNNING,
        "starting attempt 1",
    ),
    "refused": (
        observed(LOW_BUDGET, plan=plan(LOW_BUDGET), refusal=REFUSED, jobs=(ended(20, of=LOW_BUDGET),)),
        Reason.RISK_BUDGET_EXCEEDED,
        "above spec.gates.maxRisk 20",
    ),
    "refused, its Job is gone": (
        observed(LOW_BUDGET, plan=plan(LOW_BUDGET), refusal=REFUSED),
        Reason.RISK_BUDGET_EXCEEDED,
        "refused — max risk 20",
    ),
    "destructive": (
        observed(
            plan=plan(worst=RiskLevel.DESTRUCTIVE),
            of=(loose := spec(gates={"maxRisk": 100})),
            refusal=replace(REFUSED, reason=Reason.DESTRUCTIVE_NOT_ALLOWED),
            jobs=(ended(20, of=loose),),
        ),
        Reason.DESTRUCTIVE_NOT_ALLOWED,
        "allowDestructive is false",
    ),
    "a forbidden reason": (
        observed(spec(gates={"forbidReasons": ["requires_backfill"]}), plan=plan(), refusal=REFUSED),
        Reason.REASON_FORBIDDEN,
        "requires_backfill",
    ),
    "refused, then the gate was opened": (
        observed(plan=plan(), refusal=REFUSED, jobs=(ended(20, of=LOW_BUDGET),)),
        Reason.RUNNING,
        "starting attempt 2",
    ),
    "refused by the runner although the gates here agree": (
        observed(plan=plan(), refusal=REFUSED, jobs=(ended(20),)),
        Reason.RISK_BUDGET_EXCEEDED,
        "refused — max risk 20: step 2 backfill",
    ),
    "a probe found rows": (
        observed(plan=plan(), refusal=NULLS, jobs=(ended(20),)),
        Reason.PROBE_FAILED,
        "has NULLs: step 2 backfill of public.users #2; to try again: kubectl -n shop annotate zm m",
    ),
    "a probe found rows in a step that is no longer": (
        observed(plan=plan(), refusal=replace(NULLS, step=9)),
        Reason.PROBE_FAILED,
        "step 2 backfill",
    ),
    # Failed for good.
    "a step failed": (
        observed(ledger=begun(done=1, failure=FAILURE), jobs=(ended(20),)),
        Reason.STEP_FAILED,
        "division_by_zero (22012); to try again: kubectl -n shop annotate zm m --overwrite zanith.io/retry=",
    ),
    "a step failed, its Job is gone": (
        observed(ledger=begun(done=1, failure=FAILURE)),
        Reason.STEP_FAILED,
        "division_by_zero",
    ),
    "a step failed, a person asks for another try": (
        observed(ledger=begun(done=1, failure=FAILURE), jobs=(ended(20, 4),), retry="now"),
        Reason.RUNNING,
        "starting attempt 5",
    ),
    "a step failed, its Job is gone, a person asked for another try": (
        observed(ledger=begun(done=1, failure=FAILURE), retry="now"),
        Reason.RUNNING,
        "starting attempt 1",
    ),
    "that try was lost before it came as far": (
        observed(
            ledger=begun(done=1, failure=FAILURE),
            jobs=(ended(None, 5, retry="now", failure_seen="2/then", mark="1.0.0"),),
            retry="now",
        ),
        Reason.RUNNING,
        "starting attempt 6",
    ),
    "that try failed as well": (
        observed(
            ledger=begun(done=1, failure=replace(FAILURE, key="2/later")),
            jobs=(ended(20, 5, retry="now", failure_seen="2/then"),),
            retry="now",
        ),
        Reason.STEP_FAILED,
        "division_by_zero",
    ),
    "a probe stopped a step in the middle": (
        observed(ledger=begun(done=1, failure=replace(FAILURE, reason=Reason.PROBE_FAILED)), jobs=(ended(20),)),
        Reason.PROBE_FAILED,
        "to try again",
    ),
    "the runner said no": (
        observed(plan=plan(), jobs=(ended(20, reason="UnsupportedDatabase", message="the server is a standby"),)),
        Reason.UNSUPPORTED_DATABASE,
        "the server is a standby; to try again",
    ),
    "the runner said no in words nobody knows": (
        observed(plan=plan(), jobs=(ended(20, reason="Whatever", message="no"),)),
        Reason.STEP_FAILED,
        "no; to try again",
    ),
    "the runner said no without a word": (
        observed(plan=plan(), jobs=(ended(20),)),
        Reason.STEP_FAILED,
        "without a word",
    ),
    "the runner said no to another plan": (
        observed(plan=plan(text="new"), jobs=(ended(20, reason="LedgerConflict", message="no"),)),
        Reason.RUNNING,
        "starting attempt 2",
    ),
    "the runner said no to another spec": (
        observed(plan=plan(), jobs=(ended(20, run_hash="old", reason="LedgerConflict", message="no"),)),
        Reason.RUNNING,
        "starting attempt 2",
    ),
    "the runner lacks its Secret: that heals": (
        observed(plan=plan(), jobs=(ended(20, reason="SecretNotFound", message="no key uri", finished_at=NOW),)),
        Reason.SECRET_NOT_FOUND,
        "no key uri",
    ),
    "the runner wants an approval that is here by now": (
        observed(plan=plan(), jobs=(ended(20, reason="AwaitingApproval", message="waits", finished_at=NOW),)),
        Reason.RETRYING,
        "attempt 1 ended (waits); trying again",
    ),
    # To be tried again.
    "the runner wants another try": (
        observed(plan=plan(), jobs=(ended(10, reason="DatabaseUnreachable", message="away", finished_at=NOW),)),
        Reason.DATABASE_UNREACHABLE,
        "attempt 1 ended (away); trying again",
    ),
    "another try, after the backoff": (
        observed(plan=plan(), jobs=(ended(10, message="away"),)),
        Reason.RUNNING,
        "starting attempt 2",
    ),
    "another try at once, a person asks": (
        observed(plan=plan(), jobs=(ended(10, finished_at=NOW),), retry="now"),
        Reason.RUNNING,
        "starting attempt 2",
    ),
    "the node is lost": (
        observed(ledger=begun(), jobs=(ended(None, finished_at=NOW),)),
        Reason.RETRYING,
        "attempt 1 ended (its pod was lost); trying again",
    ),
    "the pod is gone": (
        observed(ledger=begun(), jobs=(job(state=JobState.FAILED, pod=None, finished_at=NOW),)),
        Reason.RETRYING,
        "its pod was lost",
    ),
    "evicted": (
        observed(ledger=begun(), jobs=(ended(137, pod={"disrupted": True}, finished_at=NOW, crashes=5),)),
        Reason.RETRYING,
        "its pod was lost",
    ),
    "stopped by a drain": (
        observed(ledger=begun(), jobs=(ended(30, finished_at=NOW),)),
        Reason.RETRYING,
        "stopped on request",
    ),
    "crashed": (
        observed(ledger=begun(), jobs=(ended(137, pod={"killed": "OOMKilled"}, finished_at=NOW),)),
        Reason.RETRYING,
        "exit code 137 (OOMKilled)",
    ),
    "crashed too often without progress": (
        observed(ledger=begun(), jobs=(ended(1, 7, crashes=5),)),
        Reason.RUNNER_CRASH_LOOPING,
        "6 attempts in a row ended without progress, the last with exit code 1; to try again",
    ),
    "crashed often, but it gets further each time": (
        observed(ledger=begun(done=1), jobs=(ended(1, 7, crashes=5),)),
        Reason.RUNNING,
        "starting attempt 8",
    ),
    "crashed too often, a person asks for another try": (
        observed(ledger=begun(), jobs=(ended(1, 7, crashes=5),), retry="now"),
        Reason.RUNNING,
        "starting attempt 8",
    ),
}


@pytest.mark.parametrize("case", ROWS)
def test_a_situation_has_its_row_of_the_table(case: str) -> None:
    seen, reason, words = ROWS[case]
    situation = situation_of(seen)
    assert (situation.reason, words in situation.message) == (reason, True), situation.message
    assert situation.recheck_s > 0


def test_every_row_that_can_occur_is_reached() -> None:
    later = {Reason.NOT_YET_OBSERVED, Reason.REVERTING, Reason.REVERTED, Reason.SCHEMA_READY}
    assert {reason for _, reason, _ in ROWS.values()} == set(Reason) - later


SCHEMA_READY = spec(
    readyWhen="SchemaReady", steps=[spec().model_dump(by_alias=True, exclude_none=True)["steps"][i] for i in (0, 2, 1)]
)


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (observed(SCHEMA_READY, ledger=begun(SCHEMA_READY, done=2), jobs=(job(of=SCHEMA_READY),)), Reason.SCHEMA_READY),
        (observed(SCHEMA_READY, ledger=begun(SCHEMA_READY, done=1), jobs=(job(of=SCHEMA_READY),)), Reason.RUNNING),
        (observed(SCHEMA_READY, ledger=begun(SCHEMA_READY, done=2)), Reason.SCHEMA_READY),
        (observed(SCHEMA_READY, plan=plan(SCHEMA_READY)), Reason.RUNNING),
        (observed(SCHEMA_READY, ledger=begun(SCHEMA_READY, done=2, failure=FAILURE)), Reason.STEP_FAILED),
        (observed(ledger=begun(SCHEMA_READY, done=2), digests=spec_digests(SCHEMA_READY)), Reason.RUNNING),
    ],
)
def test_a_schema_is_ready_when_only_backfills_are_left(seen: Observed, reason: Reason) -> None:
    assert situation_of(seen).reason is reason


@pytest.mark.parametrize(
    ("left", "began", "reason"),
    [
        ("backfill", True, Reason.SCHEMA_READY),
        ("addIndex", True, Reason.DATABASE_UNREACHABLE),
        ("backfill", False, Reason.DATABASE_UNREACHABLE),
    ],
)
def test_an_outage_takes_no_readiness_away(left: str, began: bool, reason: Reason) -> None:
    before = was(
        Reason.SCHEMA_READY,
        started_at=ago(hours=1) if began else None,
        steps=(
            StepStatus(index=1, kind="addColumn", state=StepState.DONE),
            StepStatus(index=2, kind=left, state=StepState.RUNNING),
        ),
    )
    seen = observed(SCHEMA_READY, ledger=None, ledger_trouble=UNREACHABLE, previous=before)
    assert situation_of(seen).reason is reason


@pytest.mark.parametrize(
    ("seen", "wanted"),
    [
        (observed(), True),
        (observed(LONGER, ledger=begun()), True),
        (observed(jobs=(ended(20),)), True),
        (observed(ledger=begun()), False),
        (observed(ledger=applied()), False),
        (observed(ledger=None), False),
        (observed(spec=None), False),
        (observed(SUSPENDED), False),
        (observed(jobs=(job(),)), False),
        (observed(dependencies=(Dependency("a", "pending"),)), False),
    ],
)
def test_a_plan_is_made_only_where_something_could_start(seen: Observed, wanted: bool) -> None:
    assert wants_plan(seen) is wanted


def test_appended_steps_are_planned_before_they_run() -> None:
    seen = observed(LONGER, ledger=begun())
    assert situation_of(seen).reason is Reason.PLANNING
    start = situation_of(replace(seen, plan=plan(LONGER))).start
    assert start is not None
    assert start.plan_hash == plan(LONGER).hash != plan().hash


@pytest.mark.parametrize(
    ("artifacts", "recheck_s"),
    [
        ((), 3600),
        ((artifact("a"),), 3600),
        ((artifact("a", days=30),), 3600),
        ((artifact("a", days=30), artifact("b", days=3 + 100 / 86400)), 101),
        ((artifact("a", ArtifactState.EXPIRING, days=60 / 86400),), 61),
        ((artifact("a", ArtifactState.EXPIRED, days=-1),), 3600),
    ],
)
def test_an_applied_migration_is_looked_at_again_when_an_artifact_changes(
    artifacts: tuple[Any, ...], recheck_s: float
) -> None:
    assert situation_of(observed(ledger=applied(artifacts=artifacts))).recheck_s == pytest.approx(recheck_s)


def test_suspending_stops_every_active_job() -> None:
    seen = observed(SUSPENDED, jobs=(job(1), job(2, deleting_since=ago(seconds=20)), job(3)))
    assert situation_of(seen).stop == ("m-1", "m-3")


def test_a_changed_spec_stops_the_job_that_runs_the_old_one() -> None:
    assert situation_of(observed(jobs=(job(run_hash="old"),))).stop == ("m-1",)


def test_the_wait_before_another_try_ends_when_its_time_has_come() -> None:
    last = ended(10, finished_at=ago(seconds=1), tries=3)
    situation = situation_of(observed(ledger=begun(), jobs=(last,)))
    later = situation_of(
        replace(observed(ledger=begun(), jobs=(last,)), now=NOW + timedelta(seconds=situation.recheck_s))
    )
    assert situation.start is None
    assert 7 <= situation.recheck_s <= 15
    assert later.start is not None


def test_the_history_of_another_step_is_no_failure() -> None:
    seen = observed(
        ledger=begun(steps=(history(1, StepState.FAILED),)),
        previous=was(Reason.RUNNING, job=JobStatus(name="m-9", attempt=9)),
    )
    start = situation_of(seen).start
    assert start is not None
    assert start.attempt == 10


def test_only_a_condition_that_is_true_keeps_an_applied_migration_ready() -> None:
    before = MigrationStatus(applied_at=ago(days=1))
    seen = observed(ledger=None, ledger_trouble=UNREACHABLE, previous=before)
    assert situation_of(seen).reason is Reason.DATABASE_UNREACHABLE
    assert ConditionStatus.TRUE in {c.status for c in ready(Reason.APPLIED)}


def test_a_ledger_without_a_frozen_plan_cannot_say_that_the_schema_is_ready() -> None:
    grown = spec(readyWhen="SchemaReady", steps=spec().model_dump(by_alias=True, exclude_none=True)["steps"])
    seen = observed(grown, ledger=replace(begun(done=1), plan=None, digests=spec_digests(grown)[:1]))
    assert situation_of(seen).reason is Reason.PLANNING
    assert ledger().plan is None
