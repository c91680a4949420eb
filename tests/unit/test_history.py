"""History as text and JSON, from rows alone."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from zanith.ledger.history import (
    History,
    HistoryStep,
    MigrationHistory,
    StepAttemptRow,
    duration_text,
    history_json,
    history_text,
    printable,
    steps_of,
    told_apart,
)

AT = datetime(2026, 3, 28, 10, 0, tzinfo=UTC)
S = timedelta(seconds=1)


def attempt(
    step_index: int,
    status: str,
    *,
    kind: str = "backfill",
    level: str = "medium",
    error: str | None = None,
    after_s: int = 0,
    took_s: float | None = 2,
) -> StepAttemptRow:
    started_at = AT + after_s * S
    finished_at = None if took_s is None else started_at + took_s * S
    return StepAttemptRow(step_index, kind, level, 35, status, error, started_at, finished_at)


def text_of(
    applied: list[MigrationHistory], rest: list[MigrationHistory], *, verbose: bool = True, timings: bool = False
) -> str:
    history = History(len(applied), applied, len(rest), rest)
    return "\n".join(history_text(history, verbose=verbose, timings=timings)) + "\n"


@pytest.mark.parametrize(
    ("statuses", "sigil"),
    [
        (["done"], "✓"),
        (["interrupted", "done"], "↻"),
        (["failed", "done"], "↻"),
        (["interrupted", "failed", "interrupted", "done"], "↻"),
        (["failed"], "✗"),
        (["interrupted", "failed"], "✗"),
        (["running"], "·"),
        (["interrupted"], "·"),
        (["done", "reverted"], "↶"),
    ],
)
def test_the_sigil_is_that_of_the_latest_attempt(statuses: list[str], sigil: str) -> None:
    (step,) = steps_of([attempt(1, status, after_s=n) for n, status in enumerate(statuses)])
    assert step.sigil == sigil
    assert step.attempts == len(statuses)


def test_a_step_nobody_began_is_pending_with_the_risk_of_the_plan() -> None:
    steps = steps_of(
        [attempt(1, "done", kind="addColumn", level="safe")], [("addColumn", "safe"), ("alterColumnNullable", "high")]
    )
    assert steps[1] == HistoryStep(2, "alterColumnNullable", "high", 60, "pending", 0)
    assert steps[1].sigil == "·"
    assert steps_of([attempt(2, "done")], [("addColumn", "safe"), ("backfill", "medium")])[0].kind == "addColumn"


def test_an_attempt_that_began_before_is_counted_in_time_and_start() -> None:
    (step,) = steps_of([attempt(1, "interrupted", took_s=4), attempt(1, "done", after_s=60, took_s=2)])
    assert (step.started_at, step.finished_at, step.took) == (AT, AT + 62 * S, 6 * S)


def test_an_attempt_without_an_end_adds_no_time() -> None:
    (lost,) = steps_of([attempt(1, "interrupted", took_s=4), attempt(1, "running", after_s=60, took_s=None)])
    assert lost.took == 4 * S
    (found,) = steps_of([attempt(1, "interrupted", took_s=None), attempt(1, "done", after_s=60)])
    assert found.took == 2 * S


def test_a_refusal_to_take_a_step_back_leaves_it_as_it_stands_and_is_told() -> None:
    steps = steps_of([attempt(1, "done"), attempt(1, "failed", error="refused — undo: it was purged", after_s=9)])
    text = text_of([MigrationHistory("a", AT, steps)], [])
    assert text.splitlines()[2:] == ["  ✓ step 1: [medium] backfill", "    refused — undo: it was purged"]
    back = steps_of(
        [attempt(1, "done"), attempt(1, "reverted", after_s=5), attempt(1, "failed", error="refused — x", after_s=9)]
    )
    assert back[0].sigil == "✗", "of a step that is not done, it is the step itself that is refused"


def test_restores_and_purges_are_not_attempts_at_a_step() -> None:
    rows = [attempt(1, "done"), attempt(1, "done", kind="restoreColumn", after_s=5)]
    attempts, recoveries = told_apart(rows)
    found = MigrationHistory("a", AT, steps_of(attempts), recoveries=recoveries)
    assert [(s.sigil, s.attempts) for s in found.steps] == [("✓", 1)]
    (migration,) = json.loads("".join(history_json(History(1, [found], 0, []))))["applied"]
    assert migration["recoveries"] == [
        {
            "step": 1,
            "kind": "restoreColumn",
            "state": "Done",
            "startedAt": "2026-03-28T10:00:05+00:00",
            "finishedAt": "2026-03-28T10:00:07+00:00",
            "error": None,
        }
    ]


def test_ids_only_without_verbose() -> None:
    text = text_of([MigrationHistory("a", AT, models=1)], [MigrationHistory("b", None)], verbose=False)
    assert text == "Applied migrations (1):\n▸ a\nNot applied (1):\n▸ b\n"


def test_an_empty_ledger() -> None:
    assert text_of([], []) == "Applied migrations (0):\n"


def test_refusals_and_failures_say_why_on_one_harmless_line() -> None:
    steps = steps_of([attempt(1, "failed", error="step 1:\nno\x1b[31m")])
    text = text_of([], [MigrationHistory("b\x1b", None, steps)])
    assert text.splitlines()[2:] == ["▸ b ", "  ✗ step 1: [medium] backfill", "    step 1: no [31m"]


def test_an_error_of_an_attempt_that_will_be_repeated_is_not_shown() -> None:
    steps = steps_of([attempt(1, "interrupted", error="the connection was lost")])
    assert text_of([], [MigrationHistory("b", None, steps)]).splitlines()[-1] == "  · step 1: [medium] backfill"


def test_timings_follow_after_two_spaces() -> None:
    steps = steps_of([attempt(1, "done", took_s=0.612), attempt(2, "running", took_s=None)])
    text = text_of([MigrationHistory("a", AT, steps, models=14)], [], timings=True)
    assert text.splitlines()[2:] == [
        "  ✓ step 1: [medium] backfill  612 ms",
        "  · step 2: [medium] backfill",
        "  snapshot: 14 model(s)",
    ]


def test_no_snapshot_line_for_what_is_not_applied_or_was_not_captured() -> None:
    text = text_of([MigrationHistory("a", AT)], [MigrationHistory("b", None, models=3)])
    assert "snapshot" not in text


def test_json_holds_everything_and_is_one_document() -> None:
    steps = steps_of([attempt(1, "interrupted"), attempt(1, "done", after_s=9)])
    applied = [
        MigrationHistory("a", AT, steps, models=14, relations=3, captured_at=AT),
        MigrationHistory("ä", AT),
    ]
    waiting = steps_of([], [("addColumn", "safe")])
    rest = [MigrationHistory("b", None, waiting)]
    document = json.loads("".join(history_json(History(2, applied, 1, rest))))
    assert [m["migrationId"] for m in document["applied"]] == ["a", "ä"]
    assert document["applied"][0] == {
        "migrationId": "a",
        "appliedAt": "2026-03-28T10:00:00+00:00",
        "steps": [
            {
                "index": 1,
                "kind": "backfill",
                "state": "Done",
                "riskLevel": "medium",
                "riskScore": 35,
                "attempts": 2,
                "startedAt": "2026-03-28T10:00:00+00:00",
                "finishedAt": "2026-03-28T10:00:11+00:00",
                "tookSeconds": 4.0,
                "error": None,
            }
        ],
        "snapshot": {"models": 14, "relations": 3, "capturedAt": "2026-03-28T10:00:00+00:00"},
        "recoveries": [],
    }
    assert document["applied"][1]["snapshot"] is None
    assert document["notApplied"][0]["steps"][0]["state"] == "Pending"
    assert document["notApplied"][0]["steps"][0]["tookSeconds"] is None


def test_json_of_nothing() -> None:
    assert json.loads("".join(history_json(History(0, [], 0, [])))) == {"applied": [], "notApplied": []}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (-1, "0 ms"),
        (0.612, "612 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.0 s"),
        (3.44, "3.4 s"),
        (59.96, "1 min"),
        (60, "1 min"),
        (725, "12 min 5 s"),
        (3600, "1 h"),
        (12_000, "3 h 20 min"),
        (86_400 * 29 + 4 * 3600, "29 d 4 h"),
    ],
)
def test_durations_have_two_units_at_most(seconds: float, text: str) -> None:
    assert duration_text(timedelta(seconds=seconds)) == text


def test_printable_text_is_left_alone() -> None:
    assert printable("refused — max risk 60 ✓") == "refused — max risk 60 ✓"
