"""Ways to come to a row of the condition table while a Job is at work, and after it."""

from __future__ import annotations

from dataclasses import replace

from decide_builders import (
    NOW,
    ago,
    begun,
    ended,
    job,
    observed,
    plan,
    pod,
    spec,
    walking,
)
from decide_rows import (
    FAILURE,
    LOW_BUDGET,
    NULLS,
    REFUSED,
    UNREACHABLE,
)
from zanith.api.conditions import Reason
from zanith.controller.decide import Observed
from zanith.controller.decide.observed import JobState
from zanith.core.risk import RiskLevel

WITH_A_JOB: dict[str, tuple[Observed, Reason, str]] = {
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
