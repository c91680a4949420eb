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
    spec,
)
from decide_rows import (
    BEFORE_A_JOB,
    FAILURE,
    LONGER,
    REVERTED,
    SUSPENDED,
    UNREACHABLE,
    ready,
    was,
)
from decide_rows_attempts import WITH_A_JOB
from decide_rows_back import ON_THE_WAY_BACK
from zanith.api.conditions import ConditionStatus, Reason
from zanith.api.status import ArtifactState, JobStatus, MigrationStatus, StepState, StepStatus
from zanith.controller.decide import Observed, situation_of, wants_plan
from zanith.controller.decide.observed import Dependency
from zanith.planning.planner import spec_digests

ROWS = {**BEFORE_A_JOB, **WITH_A_JOB, **ON_THE_WAY_BACK}


@pytest.mark.parametrize("case", ROWS)
def test_a_situation_has_its_row_of_the_table(case: str) -> None:
    seen, reason, words = ROWS[case]
    situation = situation_of(seen)
    assert (situation.reason, words in situation.message) == (reason, True), situation.message
    assert situation.recheck_s > 0


def test_every_row_that_can_occur_is_reached() -> None:
    later = {Reason.NOT_YET_OBSERVED, Reason.SCHEMA_READY}
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
        (observed(REVERTED), False),
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
        # Dates are cut to the second: the moment has come by the status, but not by the database.
        ((artifact("a", days=3),), 1),
        ((artifact("a", days=3 - 0.9 / 86400),), 1),
        ((artifact("a", ArtifactState.EXPIRING, days=0),), 1),
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
