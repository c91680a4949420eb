"""Ways to come to a row of the condition table where the spec says `state: Reverted`, and from there back again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from decide_builders import (
    NOW,
    ago,
    applied,
    begun,
    ended,
    history,
    job,
    ledger,
    observed,
    pod,
    reverted,
    spec,
    walking,
)
from decide_rows import REVERTED, UNREACHABLE, was
from zanith.api.conditions import Reason
from zanith.api.status import StepState
from zanith.controller.decide import Observed
from zanith.controller.decide.attempts import run_hash
from zanith.controller.decide.observed import JobAction, JobState, JobView, Trouble

FORBIDDEN = "refused — undo: the values of before are not kept (step 2 backfill)"
REFUSED: dict[str, Any] = {"reason": "ProbeFailed", "message": FORBIDDEN}
HALF = spec(state="Reverted", suspend=True)


def back(of: Any = REVERTED, **changes: Any) -> Observed:
    """A migration that is to be taken back; by default it is applied."""
    return observed(of, **{"ledger": applied(of), **changes})


def returning(attempt: int = 2, **changes: Any) -> JobView:
    """An active Job that takes the steps back."""
    its = {"action": JobAction.REVERT, "generation": 3, "run_hash": run_hash(REVERTED)}
    return job(attempt, **{**its, **changes})


def returned(exit_code: int | None, attempt: int = 2, **changes: Any) -> JobView:
    """Such a Job that failed."""
    its = {"action": JobAction.REVERT, "generation": 3, "run_hash": run_hash(REVERTED)}
    return ended(exit_code, attempt, **{**its, **changes})


HALF_BACK = begun(steps=(history(1), history(2), history(3, StepState.REVERTED)))

ON_THE_WAY_BACK: dict[str, tuple[Observed, Reason, str]] = {
    "applied, and to be taken back": (
        back(),
        Reason.REVERTING,
        "starting attempt 1: the steps are taken back",
    ),
    "nobody has to approve that": (
        back(spec(state="Reverted", gates={"approval": "Required", "maxRisk": 0})),
        Reason.REVERTING,
        "starting attempt 1",
    ),
    "begun, and to be taken back": (back(ledger=begun(done=2)), Reason.REVERTING, "starting attempt 1"),
    "never begun: there is nothing to do": (back(ledger=ledger()), Reason.REVERTED, "it never began"),
    "taken back": (back(ledger=reverted()), Reason.REVERTED, "every step is taken back"),
    "taken back while its Job is ending": (
        back(ledger=reverted(), jobs=(returning(),)),
        Reason.REVERTED,
        "every step is taken back",
    ),
    "taken back but for a backfill that was cut short": (
        back(ledger=reverted(backfills=(walking(),))),
        Reason.REVERTING,
        "starting attempt 1",
    ),
    "taken back but for half a step": (back(ledger=reverted(half_done=1)), Reason.REVERTING, "starting attempt 1"),
    "taken back although the last Job failed": (
        back(ledger=reverted(), jobs=(returned(1),)),
        Reason.REVERTED,
        "every step",
    ),
    "taken back, and an outage undoes nothing": (
        back(ledger=None, ledger_trouble=UNREACHABLE, previous=was(Reason.REVERTED)),
        Reason.REVERTED,
        "taken back",
    ),
    "an outage before it is taken back": (
        back(ledger=None, ledger_trouble=UNREACHABLE, previous=was(Reason.APPLIED)),
        Reason.DATABASE_UNREACHABLE,
        "cannot be reached",
    ),
    "taken back, but what is there now is another thing": (
        back(ledger=None, ledger_trouble=Trouble(Reason.LEDGER_CONFLICT, "column"), previous=was(Reason.REVERTED)),
        Reason.LEDGER_CONFLICT,
        "column",
    ),
    "its ledger has not been looked at": (back(ledger=None), Reason.PLANNING, "reading the ledger"),
    "it belongs to another, who is there": (
        back(ledger=applied(owner=("shop", "other")), owner_lives=True),
        Reason.LEDGER_CONFLICT,
        "belongs to ZanithMigration shop/other",
    ),
    "it belongs to another, who has taken it back": (
        back(ledger=reverted(owner=("shop", "other")), owner_lives=True),
        Reason.LEDGER_CONFLICT,
        "belongs to ZanithMigration shop/other",
    ),
    "the plan of before cannot be read": (back(ledger=applied(plan=None)), Reason.REVERTING, "starting attempt 1"),
    "suspended on the way back": (back(HALF, jobs=(returning(),)), Reason.SUSPENDED, "stopping"),
    "another works on the database meanwhile": (
        back(waits_for="shop/a, which is working on the same database"),
        Reason.QUEUED,
        "waits for shop/a",
    ),
    "the API server refuses the Job that takes back": (back(job_problem="quota"), Reason.POD_NOT_STARTING, "quota"),
    # The Job.
    "still being applied": (
        back(ledger=begun(done=1), jobs=(job(),)),
        Reason.REVERTING,
        "attempt 1 was started to apply and stops after its batch; then the steps are taken back",
    ),
    "still being applied, nothing done yet": (back(ledger=begun(), jobs=(job(),)), Reason.REVERTING, "stops after"),
    "still being applied, nothing begun yet": (back(ledger=ledger(), jobs=(job(),)), Reason.REVERTING, "stops after"),
    "the Job that applied is leaving": (
        back(ledger=begun(done=1), jobs=(job(deleting_since=ago(seconds=20)),)),
        Reason.RETRYING,
        "attempt 1 is stopping",
    ),
    "being taken back": (
        back(ledger=HALF_BACK, jobs=(returning(),)),
        Reason.REVERTING,
        "step 2/3 backfill, attempt 2",
    ),
    "being taken back, and waiting": (
        back(ledger=replace(HALF_BACK, waiting="a lock"), jobs=(returning(),)),
        Reason.REVERTING,
        "step 2/3 backfill, attempt 2; waits: a lock",
    ),
    "being taken back, the ledger not looked at": (
        back(ledger=None, jobs=(returning(),)),
        Reason.REVERTING,
        "attempt 2 is running",
    ),
    "being taken back by what the spec said before": (
        back(jobs=(returning(run_hash="old"),)),
        Reason.REVERTING,
        "the spec changed",
    ),
    "being taken back, and silent": (
        back(ledger=replace(HALF_BACK, heartbeat=ago(hours=1)), jobs=(returning(pod=pod(started_at=ago(hours=2))),)),
        Reason.PROGRESS_DEADLINE_EXCEEDED,
        "no sign of life",
    ),
    # After an attempt.
    "a step has no way back": (
        back(jobs=(returned(20, **REFUSED),)),
        Reason.PROBE_FAILED,
        f"{FORBIDDEN}; to try again: kubectl -n shop annotate zm m --overwrite zanith.io/retry=",
    ),
    "a step has no way back, a person asks again": (
        back(jobs=(returned(20, **REFUSED),), retry="now"),
        Reason.REVERTING,
        "starting attempt 3",
    ),
    "a step had no way back, and it was set to Applied and back": (
        back(jobs=(returned(20, **REFUSED, generation=1),)),
        Reason.REVERTING,
        "starting attempt 3",
    ),
    "a step is half done": (
        back(ledger=begun(done=1, half_done=2), jobs=(returned(20, reason="StepFailed", message="half done"),)),
        Reason.STEP_FAILED,
        "half done; to try again",
    ),
    "what was kept is not what it was": (
        back(jobs=(returned(20, reason="ChecksumMismatch", message="archive checksum changed"),)),
        Reason.STEP_FAILED,
        "archive checksum changed",
    ),
    "its node is lost on the way back": (
        back(jobs=(returned(None, finished_at=NOW),)),
        Reason.RETRYING,
        "attempt 2 ended (its pod was lost); trying again",
    ),
    "its node was lost, a while ago": (back(jobs=(returned(None),)), Reason.REVERTING, "starting attempt 3"),
    "its pod crashes again and again": (
        back(jobs=(returned(137, 7, crashes=5, mark="3.0.0"),)),
        Reason.RUNNER_CRASH_LOOPING,
        "6 attempts in a row",
    ),
    "it succeeded with the ledger behind it": (
        back(jobs=(returning(state=JobState.SUCCEEDED, finished_at=NOW),)),
        Reason.RETRYING,
        "the ledger does not have what it said it did",
    ),
    "how applying failed says nothing about taking back": (
        back(ledger=begun(done=1), jobs=(ended(20, reason="StepFailed", message="no", finished_at=NOW),)),
        Reason.REVERTING,
        "starting attempt 2",
    ),
    # And forth again.
    "to be applied after all, before anything was taken back": (
        observed(ledger=applied(), jobs=(returned(20, **REFUSED),)),
        Reason.APPLIED,
        "applied 2026-03-28T11:55:00Z",
    ),
    "to be applied after all, while a Job takes back": (
        observed(ledger=applied(), jobs=(returning(),)),
        Reason.RUNNING,
        "attempt 2 was started to revert and stops after its batch; then the migration goes on",
    ),
    "to be applied after all, that Job is leaving": (
        observed(ledger=applied(), jobs=(returning(deleting_since=ago(seconds=20)),)),
        Reason.RETRYING,
        "attempt 2 is stopping",
    ),
    "to be applied after all, half a step being taken back": (
        observed(ledger=applied(half_undone=3)),
        Reason.RUNNING,
        "starting attempt 1",
    ),
    "to be applied again": (
        observed(ledger=reverted(), jobs=(returned(None, finished_at=NOW),)),
        Reason.RUNNING,
        "starting attempt 3",
    ),
    "to be applied again, with an approval for the plan of then": (
        observed(spec(gates={"approval": "Required"}), ledger=reverted()),
        Reason.RUNNING,
        "starting attempt 1",
    ),
}
