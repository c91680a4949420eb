"""What the ledger's rows mean: states of steps, the failure that stands, signs of life, progress, expiry."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from decide_builders import NOW, ago, plan, spec
from zanith.api.conditions import Reason
from zanith.api.status import ArtifactState, StepState
from zanith.controller.ledger_view import database_key, recorded_refusal, recorded_undo_refusal, view_of
from zanith.core.graph import DatabaseIdentity
from zanith.ledger.records import (
    Artifact,
    Checkpoint,
    FrozenPlan,
    MigrationRecord,
    Owner,
    StepAttempt,
    Summary,
    refusal_key,
)

SHOP = DatabaseIdentity("7", 5, "shop")


def row(step: int, status: Any, *, minutes_ago: float = 10, error: str | None = None, **more: Any) -> StepAttempt:
    at = ago(minutes=minutes_ago)
    over = None if status == "running" else at + timedelta(seconds=30)
    return StepAttempt("m", step, "backfill", "low", 15, status, error, at, over, **more)


def lane(
    step: int, lane: int = 0, *, rows: int = 0, status: str = "running", at: datetime = NOW, **cursor: Any
) -> Checkpoint:
    return Checkpoint(step, lane, cursor, rows, status, at)


def record(**changes: Any) -> MigrationRecord:
    return MigrationRecord(database=SHOP, now=NOW, **changes)


def test_an_empty_ledger_says_nothing() -> None:
    view = view_of(record(), spec())
    assert (view.began_at, view.applied_at, view.steps, view.failure, view.heartbeat) == (None, None, (), None, None)
    assert (view.database_name, view.mark) == ("shop", "0.0.0.0")


def test_what_was_agreed_when_it_began_is_kept() -> None:
    frozen = FrozenPlan(plan(), plan().hash, "s", ("a", "b"), Owner("shop", "m"), ago(hours=1))
    view = view_of(record(frozen=frozen, summary=Summary(14, 3, "h", NOW)), spec())
    assert (view.plan, view.digests, view.owner, view.began_at) == (plan(), ("a", "b"), ("shop", "m"), ago(hours=1))
    assert view.snapshot is not None
    assert (view.snapshot.models, view.snapshot.relations) == (14, 3)


@pytest.mark.parametrize(
    ("rows", "state", "attempts"),
    [
        ([row(1, "running")], StepState.RUNNING, 1),
        ([row(1, "interrupted")], StepState.RUNNING, 1),
        ([row(1, "interrupted"), row(1, "done", minutes_ago=5)], StepState.DONE, 2),
        ([row(1, "failed", error="no")], StepState.FAILED, 1),
        ([row(1, "done"), row(1, "reverted", minutes_ago=5)], StepState.REVERTED, 1),
        ([row(1, "done"), row(1, "running", minutes_ago=5)], StepState.RUNNING, 1),
        ([row(1, "done"), row(1, "interrupted", minutes_ago=5)], StepState.DONE, 1),
        ([row(1, "done"), row(1, "failed", minutes_ago=5, error="no")], StepState.DONE, 1),
        ([row(1, "done"), row(1, "failed", minutes_ago=5), row(1, "reverted", minutes_ago=4)], StepState.REVERTED, 1),
    ],
)
def test_a_step_is_what_its_newest_attempt_is(rows: list[StepAttempt], state: StepState, attempts: int) -> None:
    (step,) = view_of(record(attempts=tuple(rows)), spec()).steps
    assert (step.state, step.attempts, step.started_at) == (state, attempts, rows[0].started_at)
    assert (step.error == "no") is (state is StepState.FAILED)
    assert (step.finished_at is None) is (state is StepState.RUNNING)


def test_a_refusal_is_no_attempt_and_no_failure() -> None:
    refused = row(1, "failed", error="refused — max risk 60", refused_plan="h")
    view = view_of(record(attempts=(refused,)), spec())
    assert (view.steps, view.failure, view.heartbeat) == ((), None, None)


def test_the_failure_that_stands_is_that_of_the_step_tried_last() -> None:
    failed = row(2, "failed", error="division_by_zero (22012)")
    view = view_of(record(attempts=(row(1, "done", minutes_ago=20), failed)), spec())
    assert view.failure is not None
    assert (view.failure.step, view.failure.reason) == (2, Reason.STEP_FAILED)
    again = view_of(record(attempts=(row(1, "done", minutes_ago=20), failed, row(2, "running", minutes_ago=1))), spec())
    assert again.failure is None


def test_a_probe_in_the_middle_of_a_step_stands_as_a_refusal() -> None:
    view = view_of(record(attempts=(row(1, "failed", error="refused — column t.c has NULLs"),)), spec())
    assert view.failure is not None
    assert view.failure.reason is Reason.PROBE_FAILED
    assert view_of(record(attempts=(row(1, "failed"),)), spec()).failure is not None


@pytest.mark.parametrize(
    ("status", "state"),
    [("running", StepState.RUNNING), ("interrupted", StepState.RUNNING), ("failed", StepState.FAILED)],
)
def test_a_step_that_is_being_taken_back_is_done_until_it_is_taken_back(status: str, state: StepState) -> None:
    rows = (row(1, "interrupted", minutes_ago=12), row(1, "done"), row(1, status, minutes_ago=5, error="no"))
    view = view_of(record(attempts=rows), spec(state="Reverted"))
    (step,) = view.steps
    assert (step.state, step.undoing, step.attempts, view.done) == (state, True, 2, frozenset({1}))
    assert not view.taken_back
    assert view_of(record(attempts=(*rows, row(1, "reverted", minutes_ago=1))), spec()).taken_back


def test_a_step_that_is_applied_again_counts_from_there() -> None:
    rows = (row(1, "interrupted", minutes_ago=20), row(1, "done", minutes_ago=15), row(1, "reverted"))
    (step,) = view_of(record(attempts=(*rows, row(1, "done", minutes_ago=2))), spec()).steps
    assert (step.state, step.attempts, step.started_at) == (StepState.DONE, 1, ago(minutes=2))


def test_what_could_not_be_taken_back_has_not_failed_to_be_applied() -> None:
    failed = row(2, "failed", minutes_ago=5, error="no")
    assert view_of(record(attempts=(row(2, "done"), failed)), spec()).failure is None
    taken = (row(1, "done", minutes_ago=20), failed, row(1, "reverted", minutes_ago=1))
    assert view_of(record(attempts=taken), spec()).failure is None


def test_a_step_between_two_of_its_statements_is_neither_done_nor_undone() -> None:
    def half(*checkpoints: Checkpoint, done: bool = False) -> tuple[int | None, int | None]:
        rows = (row(1, "done"),) if done else (row(1, "interrupted"),)
        view = view_of(record(attempts=rows, checkpoints=checkpoints), spec())
        return view.half_done, view.half_undone

    pending: dict[str, Any] = {"statement": 1, "state": "pending"}
    assert half(lane(1, -1, **pending)) == half(lane(1, -1, **pending), lane(1, 0, rows=5)) == (None, None)
    assert (
        half(lane(1, -1, statement=2, state="pending")) == half(lane(1, -1, statement=1, state="started")) == (1, None)
    )
    assert half(lane(1, -1, statement=3, state="pending"), lane(1, -2, **pending), done=True) == (None, None)
    assert half(lane(1, -2, statement=1, state="started"), done=True) == (None, 1)
    assert half(lane(1, -2, **pending), lane(1, -201, rows=5), done=True) == (None, 1)
    assert half(lane(1, -3, statement=2, state="pending"), done=True) == (None, None)


def test_lanes_of_an_undo_are_no_backfill_and_move_the_mark() -> None:
    done = (row(1, "done"),)
    marks = [
        view_of(record(attempts=done, checkpoints=lanes), spec())
        for lanes in ((), (lane(1, -2, statement=2),), (lane(1, -2, statement=2), lane(1, -201, rows=5)))
    ]
    assert [view.backfills for view in marks] == [()] * 3
    assert [view.mark for view in marks] == ["1.0.0.0", "1.2.0.0", "1.2.5.0"]
    assert view_of(record(attempts=done, checkpoints=(lane(1, -2, waiting="a lock"),)), spec()).waiting == "a lock"


def test_a_refusal_to_take_back_says_nothing_against_applying() -> None:
    refused = row(1, "failed", error="refused — undo: no way back", refused_plan=refusal_key(plan().hash, ""))
    frozen = FrozenPlan(plan(), plan().hash, "s", ("a",), Owner("shop", "m"), ago(hours=1))
    found = record(attempts=(refused,), frozen=frozen)
    assert recorded_refusal(found, plan().hash, "") is None
    undo = recorded_undo_refusal(found, "")
    assert undo is not None
    assert (undo.step, undo.error, undo.reason) == (1, "refused — undo: no way back", Reason.PROBE_FAILED)
    assert recorded_undo_refusal(found, "x") is recorded_undo_refusal(record(attempts=(refused,)), "") is None


def test_a_recorded_refusal_is_of_one_plan_and_one_retry_value() -> None:
    first = row(1, "failed", error="refused — max risk 60", refused_plan=refusal_key("h", ""))
    second = row(1, "failed", error="refused — destructive changes are not allowed", refused_plan=refusal_key("h", "x"))
    found = record(attempts=(first, second))
    assert recorded_refusal(found, "other", "") is None
    assert recorded_refusal(found, "h", "y") is None
    plain, retried = recorded_refusal(found, "h", ""), recorded_refusal(found, "h", "x")
    assert plain is not None
    assert retried is not None
    assert (plain.reason, retried.reason) == (Reason.RISK_BUDGET_EXCEEDED, Reason.DESTRUCTIVE_NOT_ALLOWED)


def test_lanes_of_a_backfill_are_one_backfill() -> None:
    lanes = (
        lane(2, 0, rows=100, estimated=500, rate=10, throttled=None, at=ago(seconds=9)),
        lane(2, 1, rows=300, estimated=500, rate=30.5, throttled="ReplicaLag"),
        lane(2, 2, rows=50, status="done", rate=99),
        lane(2, -1, statement=1),
    )
    (backfill,) = view_of(record(checkpoints=lanes), spec()).backfills
    assert (backfill.rows_done, backfill.rows_estimated, backfill.rows_per_second) == (450, 1000, 40)
    assert (backfill.throttled, backfill.updated_at) == ("ReplicaLag", NOW)
    (unknown,) = view_of(record(checkpoints=(lane(2, 0, rate="fast"),)), spec()).backfills
    assert (unknown.rows_estimated, unknown.rows_per_second, unknown.throttled) == (None, 0, "")


def test_progress_moves_the_mark_and_signs_of_life_do_not() -> None:
    def mark(*checkpoints: Checkpoint, done: int = 0) -> str:
        rows = tuple(row(i, "done") for i in range(1, done + 1))
        return view_of(record(attempts=rows, checkpoints=checkpoints), spec()).mark

    still = mark(lane(1, -1, statement=2))
    assert still == mark(lane(1, -1, statement=2, waiting="a lock", at=ago(hours=1)))
    further = {mark(lane(1, -1, statement=3)), mark(lane(1, -1, statement=2), lane(1, 0, rows=5)), mark(done=1), still}
    assert len(further) == 4
    assert mark(lane(1, -1, statement=2), done=1) == mark(done=1)


def test_what_the_runner_waits_for_is_told_until_the_step_is_done() -> None:
    waits = lane(1, -1, statement=1, waiting="a lock")
    assert view_of(record(checkpoints=(waits,)), spec()).waiting == "a lock"
    assert view_of(record(checkpoints=(waits,), attempts=(row(1, "done"),)), spec()).waiting == ""


def test_the_last_sign_of_life_is_the_newest_of_all() -> None:
    view = view_of(record(attempts=(row(1, "running"),), checkpoints=(lane(1, at=ago(seconds=3)),)), spec())
    assert view.heartbeat == ago(seconds=3)


@pytest.mark.parametrize(
    ("days", "changes", "state"),
    [
        (None, {}, ArtifactState.LIVE),
        (30, {}, ArtifactState.LIVE),
        (2, {}, ArtifactState.EXPIRING),
        (-1, {}, ArtifactState.EXPIRED),
        (0, {}, ArtifactState.EXPIRED),
        (-1, {"physical_name": None}, ArtifactState.PURGED),
        (-1, {"restored_at": NOW, "physical_name": None}, ArtifactState.RESTORED),
    ],
)
def test_an_artifact_ends_by_the_database_s_clock(
    days: int | None, changes: dict[str, Any], state: ArtifactState
) -> None:
    given: dict[str, Any] = {"physical_name": "_zanith_dropped_c", "restored_at": None, **changes}
    kept = Artifact(
        id="m::soft_drop_column::t.c",
        migration_id="m",
        artifact_type="soft_drop_column",
        source_schema="public",
        source_table="t",
        source_column="c",
        row_count=5,
        checksum=None,
        recovery_sql="",
        created_at=ago(days=3),
        expires_at=None if days is None else NOW + timedelta(days=days),
        **given,
    )
    (told,) = view_of(record(artifacts=(kept,)), spec()).artifacts
    assert (told.state, told.source, told.row_count) == (state, "t.c", 5)


def test_a_database_is_the_same_by_whatever_address_and_its_key_is_a_label() -> None:
    assert database_key(SHOP) == database_key(DatabaseIdentity("7", 5, "renamed"))
    assert database_key(SHOP) != database_key(DatabaseIdentity("7", 6, "shop"))
    assert len(database_key(SHOP)) == 16
