"""What is done about a situation: attempts with names that repeat, stops, clean-up, and events on transitions only."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from decide_builders import NOW, UID, ago, applied, begun, ended, job, observed, plan, pod, reverted, spec
from decide_rows_back import back, returned, returning
from zanith.api.conditions import Reason
from zanith.api.status import JobStatus, MigrationStatus
from zanith.controller.decide import DeleteJob, Observed, PostEvent, StartJob, StopJob, SyncExecution, decide
from zanith.controller.decide.attempts import (
    Outcome,
    crashes_after,
    job_name,
    next_try_at,
    outcome_of,
    run_hash,
    tries_after,
)
from zanith.controller.decide.observed import Failure, JobAction, JobState, JobView, RecordedRefusal, Trouble

FAILURE = Failure(2, Reason.STEP_FAILED, "no", "2/then")
UNREACHABLE = Trouble(Reason.DATABASE_UNREACHABLE, "away")


def events(seen: Observed) -> list[tuple[str, str]]:
    return [(a.type, a.reason) for a in decide(seen).actions if isinstance(a, PostEvent)]


def followed_by(before: Observed, after: Observed) -> list[tuple[str, str]]:
    return events(replace(after, previous=decide(before).status))


def test_the_first_attempt_knows_everything_the_next_operator_needs() -> None:
    assert decide(observed(plan=plan())).situation.start == StartJob(
        name=job_name("m", UID, plan().hash, 1),
        attempt=1,
        action=JobAction.APPLY,
        generation=3,
        plan_hash=plan().hash,
        run_hash=run_hash(spec()),
        retry="",
        mark="0.0.0",
        failure_seen="",
        tries=0,
        crashes=0,
    )


def test_the_next_attempt_counts_on() -> None:
    last = ended(137, 4, tries=2, crashes=1, mark="1.0.0")
    start = decide(observed(ledger=begun(done=1), jobs=(last,))).situation.start
    assert start is not None
    assert (start.attempt, start.tries, start.crashes, start.mark) == (5, 3, 2, "1.0.0")


def test_a_person_s_retry_counts_anew_and_remembers_the_failure_it_is_for() -> None:
    last = ended(20, 4, tries=2, crashes=1)
    start = decide(observed(ledger=begun(failure=FAILURE), jobs=(last,), retry="again")).situation.start
    assert start is not None
    assert (start.attempt, start.tries, start.crashes, start.retry) == (5, 0, 0, "again")
    assert start.failure_seen == "2/then"


def test_an_attempt_whose_job_is_gone_is_not_used_again() -> None:
    before = MigrationStatus(job=JobStatus(name="m-7", attempt=7))
    start = decide(observed(ledger=begun(), previous=before)).situation.start
    assert start is not None
    assert start.attempt == 8


def test_the_way_back_counts_anew_and_goes_by_the_plan_that_was_agreed() -> None:
    start = decide(back(jobs=(ended(137, 4, tries=2, crashes=1),), retry="x")).situation.start
    assert start is not None
    assert (start.attempt, start.tries, start.crashes) == (5, 0, 0)
    assert (start.action, start.generation, start.plan_hash) == (JobAction.REVERT, 3, plan().hash)
    again = decide(back(jobs=(returned(137, 4, tries=2, crashes=1, mark="3.0.0"),))).situation.start
    assert again is not None
    assert (again.attempt, again.tries, again.crashes) == (5, 3, 2)


def test_names_repeat_and_fit() -> None:
    long = "x" * 51 + "-" + "y" * 20
    assert job_name("m", UID, "h", 1) == job_name("m", UID, "h", 1) != job_name("m", UID, "h", 2)
    assert len(job_name(long, UID, "h", 1)) <= 63
    assert not job_name(long, UID, "h", 1).startswith("x" * 51 + "--")


@pytest.mark.parametrize(
    ("last", "outcome"),
    [
        (job(state=JobState.SUCCEEDED), Outcome.SUCCEEDED),
        (ended(0), Outcome.SUCCEEDED),
        (ended(10), Outcome.TRY_AGAIN),
        (ended(20), Outcome.FINAL),
        (ended(20, pod={"disrupted": True}), Outcome.FINAL),
        (ended(30), Outcome.STOPPED),
        (ended(None), Outcome.LOST),
        (job(state=JobState.FAILED, pod=None), Outcome.LOST),
        (ended(143, pod={"disrupted": True}), Outcome.LOST),
        (ended(137), Outcome.CRASHED),
    ],
)
def test_how_an_attempt_ended(last: JobView, outcome: Outcome) -> None:
    assert outcome_of(last) is outcome


@pytest.mark.parametrize(
    ("last", "done", "tries", "crashes"),
    [
        (ended(137, tries=3, crashes=3), 0, 4, 4),
        (ended(137, tries=3, crashes=3), 1, 1, 1),
        (ended(10, tries=3, crashes=3), 0, 4, 3),
        (ended(10, tries=3, crashes=3), 1, 1, 0),
    ],
)
def test_progress_is_what_ends_a_count(last: JobView, done: int, tries: int, crashes: int) -> None:
    view = begun(done=done)
    assert (tries_after(last, view), crashes_after(last, view)) == (tries, crashes)


def test_without_a_ledger_there_is_no_progress_to_be_seen() -> None:
    assert tries_after(ended(10, tries=1), None) == 2


@pytest.mark.parametrize(("tries", "least_s", "most_s"), [(0, 1, 2), (3, 8, 16), (5, 30, 60), (50, 30, 60)])
def test_waits_grow_to_a_minute(tries: int, least_s: float, most_s: float) -> None:
    wait_s = (next_try_at(ended(10, tries=tries, finished_at=NOW), begun()) - NOW).total_seconds()
    assert least_s <= wait_s <= most_s


def test_who_was_asked_to_stop_goes_on_at_once() -> None:
    assert next_try_at(ended(30, tries=9, finished_at=NOW), begun()) <= NOW + timedelta(seconds=1)


def test_a_job_that_does_not_say_when_it_ended_is_counted_from_its_start() -> None:
    assert next_try_at(ended(10, finished_at=None), begun()) < NOW


def test_what_a_runner_cannot_re_read_makes_the_hash() -> None:
    assert run_hash(spec()) == run_hash(spec(gates={"maxRisk": 60}, suspend=True, dependsOn=["a"]))
    assert run_hash(spec()) == run_hash(spec(execution={"throttle": {"lanes": 4}}))
    others = (
        spec(),
        spec(retention="30d"),
        spec(gates={"maxRisk": 10}),
        spec(execution={"job": {"nodeSelector": {"a": "b"}}}),
    )
    assert len({run_hash(s) for s in others}) == 4


@pytest.mark.parametrize(("minutes", "stopped"), [(2, False), (11, True)])
def test_a_pod_that_does_not_start_is_replaced_after_a_while(minutes: int, stopped: bool) -> None:
    stuck = job(created_at=ago(minutes=minutes), pod=pod(waiting="ImagePullBackOff"))
    assert (StopJob("m-1") in decide(observed(jobs=(stuck,))).actions) is stopped


def test_superseded_jobs_go_and_the_last_stays() -> None:
    seen = observed(ledger=applied(), jobs=(ended(10, 1), job(2, deleting_since=ago(seconds=20)), ended(10, 3)))
    assert [a for a in decide(seen).actions if not isinstance(a, PostEvent)] == [DeleteJob("m-1")]


def test_a_job_is_not_deleted_twice() -> None:
    seen = observed(spec(suspend=True), jobs=(job(1), job(2)))
    assert decide(seen).actions[:2] == (StopJob("m-1"), StopJob("m-2"))
    assert DeleteJob("m-1") not in decide(seen).actions


@pytest.mark.parametrize(
    ("seen", "synced"),
    [
        (observed(jobs=(job(),), execution_synced=False), True),
        (observed(jobs=(job(),)), False),
        (observed(jobs=(ended(10),), execution_synced=False), False),
        (observed(execution_synced=False), False),
        (observed(spec(suspend=True), jobs=(job(),), execution_synced=False), False),
    ],
)
def test_what_a_job_re_reads_is_kept_up_to_date(seen: Observed, synced: bool) -> None:
    assert (SyncExecution() in decide(seen).actions) is synced


def test_the_job_is_started_before_it_is_told_of() -> None:
    kinds = [type(a) for a in decide(observed(plan=plan())).actions]
    assert kinds == [StartJob, PostEvent]


RUNNING = observed(ledger=begun(), jobs=(job(),))
BACK = returning()
REFUSAL = RecordedRefusal(2, "refused — max risk 20", Reason.RISK_BUDGET_EXCEEDED, ago(minutes=1))


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (observed(), observed(plan=plan()), [("Normal", "AttemptStarted")]),
        (observed(plan=plan()), RUNNING, []),
        (RUNNING, RUNNING, []),
        (RUNNING, observed(ledger=applied(), jobs=(job(),)), [("Normal", "Applied")]),
        (observed(ledger=applied()), observed(ledger=applied()), []),
        (
            RUNNING,
            observed(ledger=None, ledger_trouble=UNREACHABLE, jobs=(job(),)),
            [("Normal", "DatabaseUnreachable")],
        ),
        (RUNNING, observed(ledger=begun(failure=FAILURE), jobs=(ended(20),)), [("Warning", "StepFailed")]),
        (observed(), observed(jobs=(job(deleting_since=ago(seconds=20)),)), [("Normal", "Retrying")]),
        (observed(plan=plan()), observed(plan=plan(), job_problem="quota"), [("Normal", "PodNotStarting")]),
        (observed(ledger=applied()), back(), [("Normal", "AttemptStarted")]),
        (back(), back(jobs=(BACK,)), []),
        (back(jobs=(BACK,)), back(ledger=reverted(), jobs=(BACK,)), [("Normal", "Reverted")]),
        (
            back(jobs=(BACK,)),
            back(jobs=(returned(20, reason="ProbeFailed", message="no"),)),
            [("Warning", "ProbeFailed")],
        ),
        (
            observed(),
            observed(spec(gates={"maxRisk": 20}), plan=plan(), refusal=REFUSAL),
            [("Warning", "RiskBudgetExceeded")],
        ),
    ],
)
def test_only_transitions_are_told(before: Observed, after: Observed, told: list[tuple[str, str]]) -> None:
    assert followed_by(before, after) == told
