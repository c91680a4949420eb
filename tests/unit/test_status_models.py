"""The status on the wire, and the conditions' rules: rows of the table, times that move with the status only."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from pydantic import ValidationError

from zanith.api.conditions import (
    Condition,
    ConditionStatus,
    ConditionType,
    Phase,
    Reason,
    clip,
    phase_of,
    ready_conditions,
    settle,
    wire_time,
)
from zanith.api.status import MigrationStatus, StepState, StepStatus, parse_status

NOW = datetime(2026, 3, 28, 12, 0, 0, 123456, tzinfo=UTC)


def test_no_reason_is_both_reconciling_and_stalled() -> None:
    for reason in Reason:
        row = reason.row
        assert [row.ready, row.reconciling, row.stalled].count(ConditionStatus.TRUE) <= 1, reason


@pytest.mark.parametrize(
    ("reason", "rows"),
    [
        (Reason.QUEUED, [("False", "Queued", "m"), ("True", "Queued", "m"), ("False", "NotStalled", "")]),
        (Reason.SUSPENDED, [("False", "Suspended", "m"), ("False", "NotReconciling", ""), ("False", "NotStalled", "")]),
        (
            Reason.STEP_FAILED,
            [("False", "StepFailed", "m"), ("False", "NotReconciling", ""), ("True", "StepFailed", "m")],
        ),
        (Reason.APPLIED, [("True", "Applied", "m"), ("False", "NotReconciling", ""), ("False", "NotStalled", "")]),
    ],
)
def test_a_reason_gives_its_row(reason: Reason, rows: list[tuple[str, str, str]]) -> None:
    made = ready_conditions(reason, "m", generation=2, now=NOW)
    assert [(c.status.value, c.reason, c.message) for c in made] == rows
    assert {c.observed_generation for c in made} == {2}


@pytest.mark.parametrize(
    ("reason", "began", "phase"),
    [
        (Reason.PLANNING, False, Phase.PENDING),
        (Reason.DATABASE_UNREACHABLE, True, Phase.RUNNING),
        (Reason.QUEUED, True, Phase.QUEUED),
        (Reason.PROBE_FAILED, False, Phase.REFUSED),
        (Reason.LEDGER_CONFLICT, False, Phase.FAILED),
        (Reason.SCHEMA_READY, True, Phase.RUNNING),
    ],
)
def test_the_word_for_people(reason: Reason, began: bool, phase: Phase) -> None:
    assert phase_of(reason, began=began) is phase


def condition(status: ConditionStatus, at: datetime, message: str = "") -> Condition:
    return Condition(
        type=ConditionType.READY, status=status, last_transition_time=at, reason="Because", message=message
    )


def test_a_time_moves_when_the_status_does() -> None:
    later = NOW + timedelta(hours=1)
    before = [condition(ConditionStatus.FALSE, NOW)]
    (same,) = settle(before, [condition(ConditionStatus.FALSE, later, "another reason to say so")])
    (changed,) = settle(before, [condition(ConditionStatus.TRUE, later)])
    (new,) = settle([], [condition(ConditionStatus.TRUE, later)])
    at = NOW.replace(microsecond=0)
    assert (same.last_transition_time, same.message) == (at, "another reason to say so")
    assert changed.last_transition_time == new.last_transition_time == at + timedelta(hours=1)


def test_times_are_whole_seconds_in_utc() -> None:
    assert wire_time(datetime(2026, 3, 28, 14, 0, 0, 9, tzinfo=timezone(timedelta(hours=2)))) == "2026-03-28T12:00:00Z"
    assert wire_time(datetime(2026, 3, 28, 12, 0, 0)) == "2026-03-28T12:00:00Z"


def test_a_status_comes_back_as_it_was_written() -> None:
    status = MigrationStatus(
        observed_generation=4,
        started_at=NOW,
        steps=(StepStatus(index=1, kind="addColumn", state=StepState.DONE, started_at=NOW),),
        conditions=ready_conditions(Reason.RUNNING, "m", generation=4, now=NOW),
    )
    assert parse_status(status.to_wire()) == status
    assert parse_status(status.to_wire()).to_wire() == status.to_wire()


@pytest.mark.parametrize("found", [None, {}, {"observedGeneration": -1}, {"steps": "nonsense"}, {"phase": "Dancing"}])
def test_a_status_nobody_of_us_wrote_is_an_empty_one(found: Any) -> None:
    assert parse_status(found) == MigrationStatus()


def test_keys_of_a_newer_version_are_passed_over() -> None:
    assert parse_status({"migrationId": "m", "moonPhase": "full"}).migration_id == "m"


def test_texts_are_bounded() -> None:
    with pytest.raises(ValidationError):
        condition(ConditionStatus.TRUE, NOW, "x" * 1025)
    assert clip("x" * 2000) == "x" * 1023 + "…"
    assert clip("short") == "short"


def test_a_condition_is_found_by_its_type() -> None:
    status = MigrationStatus(conditions=(condition(ConditionStatus.TRUE, NOW),))
    assert status.condition("Ready") is not None
    assert status.condition("Stalled") is None
