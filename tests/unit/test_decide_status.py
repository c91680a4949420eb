"""The status: what the ledger, the plan and the Job say, projected; and what stays while they cannot be read."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
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
    reverted,
    spec,
    walking,
)
from decide_rows import REVERTED
from decide_rows_back import back, returned, returning
from zanith.api.conditions import Condition, ConditionStatus, Detail, Phase, Reason
from zanith.api.spec import MigrationSpec
from zanith.api.status import (
    ArtifactState,
    DisplayStatus,
    JobStatus,
    MigrationStatus,
    ProgressStatus,
    SnapshotStatus,
    StepState,
    StepStatus,
)
from zanith.controller.decide import decide
from zanith.controller.decide.observed import LedgerView, Observed, RecordedRefusal, Trouble
from zanith.controller.decide.verdict import only_progress_differs

UNREACHABLE = Trouble(Reason.DATABASE_UNREACHABLE, "the database cannot be reached")
REFUSED = RecordedRefusal(2, "refused — max risk 20", Reason.RISK_BUDGET_EXCEEDED, ago(minutes=1))


def status(seen: Observed) -> MigrationStatus:
    return decide(seen).status


def condition(seen: Observed, kind: str) -> tuple[str, str, str]:
    found = status(seen).condition(kind)
    assert found is not None
    return found.status.value, found.reason, found.message


def test_a_finished_migration_is_told_whole() -> None:
    artifacts = (artifact("email", days=31), artifact("gone", ArtifactState.PURGED, days=-3), artifact("old"))
    snapshot = SnapshotStatus(models=14, relations=3, captured_at=ago(minutes=5))
    view = applied(
        backfills=(walking(rows_done=1000),), heartbeat=ago(minutes=5), artifacts=artifacts, snapshot=snapshot
    )
    wire = status(observed(ledger=view, jobs=(job(2),))).to_wire()
    conditions = {c["type"]: (c["status"], c["reason"], c["message"]) for c in wire.pop("conditions")}
    steps = wire.pop("steps")
    assert wire == {
        "observedGeneration": 3,
        "migrationId": "m",
        "startedAt": "2026-03-28T11:00:00Z",
        "appliedAt": "2026-03-28T11:55:00Z",
        "planHash": plan().hash,
        "risk": {"level": "medium", "score": 35, "totalScore": 55, "reasons": ["requires_backfill"]},
        "progress": {
            "stepsDone": 3,
            "stepsTotal": 3,
            "rowsDone": 1000,
            "rowsEstimated": 1000,
            "percent": 100,
            "lastProgressTime": "2026-03-28T11:55:00Z",
        },
        "artifacts": [
            a.model_dump(mode="json", by_alias=True, exclude_none=True)
            for a in (artifacts[0], artifacts[2], artifacts[1])
        ],
        "snapshot": {"models": 14, "relations": 3, "capturedAt": "2026-03-28T11:55:00Z"},
        "job": {"name": "m-2", "attempt": 2},
        "phase": "Applied",
        "display": {
            "steps": "3/3",
            "risk": "medium (35)",
            "progress": "100%",
            "recoverableUntil": "2026-04-28",
            "database": "shop",
        },
    }
    assert steps[1] == {
        "index": 2,
        "kind": "backfill",
        "target": "public.users #2",
        "state": "Done",
        "riskLevel": "medium",
        "riskScore": 35,
        "attempts": 1,
        "resumed": False,
        "startedAt": "2026-03-28T11:40:00Z",
        "finishedAt": "2026-03-28T11:50:00Z",
    }
    assert conditions == {
        "Ready": ("True", "Applied", "applied 2026-03-28T11:55:00Z"),
        "Reconciling": ("False", "NotReconciling", ""),
        "Stalled": ("False", "NotStalled", ""),
        "Planned": ("True", "Planned", f"plan {plan().hash}"),
        "RiskAccepted": ("True", "WithinBudget", "medium (35), step 2 backfill"),
        "Approved": ("True", "NotRequired", ""),
        "Applied": ("True", "Applied", "applied 2026-03-28T11:55:00Z"),
        "BackfillProgressing": ("False", "Finished", ""),
        "Throttled": ("False", "NotThrottled", ""),
        "Recoverable": ("True", "ArtifactsLive", "2 artifacts, the first expires 2026-04-28"),
        "ArtifactsExpiring": ("False", "NoneExpiring", ""),
    }


def test_what_cannot_be_read_stays_as_it_was() -> None:
    before = status(observed(ledger=begun(done=1, backfills=(walking(),)), jobs=(job(),)))
    seen = observed(ledger=None, ledger_trouble=UNREACHABLE, jobs=(job(),), previous=before)
    after = status(replace(seen, now=NOW + timedelta(minutes=1)))
    changed = {"conditions": (), "phase": Phase.RUNNING}
    assert after.model_copy(update=changed) == before.model_copy(update=changed)
    assert after.condition("Ready") != before.condition("Ready")
    kept = [c for c in after.conditions if c.type not in ("Ready", "Reconciling", "Stalled", "Applied")]
    assert kept == [c for c in before.conditions if c.type not in ("Ready", "Reconciling", "Stalled", "Applied")]


def test_a_spec_nobody_can_read_says_so_and_keeps_the_rest() -> None:
    before = status(observed(ledger=begun(done=1), jobs=(job(),)))
    after = status(observed(spec=None, ledger=None, spec_problem="spec.steps: is required", previous=before))
    assert after.steps == before.steps
    assert after.phase is Phase.FAILED
    planned = after.condition("Planned")
    assert planned is not None
    assert (planned.status, planned.message) == (ConditionStatus.FALSE, "spec.steps: is required")


def test_the_first_look_at_a_broken_spec_knows_nothing_else() -> None:
    after = status(observed(spec=None, ledger=None, spec_problem="broken"))
    assert after.to_wire()["display"] == {
        "steps": "",
        "risk": "",
        "progress": "",
        "recoverableUntil": "",
        "database": "",
    }
    assert {c.type: c.status for c in after.conditions}["Approved"] is ConditionStatus.UNKNOWN


def test_steps_keep_what_the_plan_said_of_them_while_there_is_none() -> None:
    planned = status(observed(plan=plan()))
    running = status(observed(jobs=(job(),), previous=planned))
    assert [s.target for s in running.steps] == [f"public.users #{i}" for i in (1, 2, 3)]
    assert running.plan_hash == plan().hash
    other = spec(steps=[{"addIndex": {"table": "users", "columns": ["id"]}}])
    assert [s.target for s in status(observed(other, jobs=(job(of=other),), previous=planned)).steps] == [""]


def test_attempts_and_failures_of_steps_are_told() -> None:
    steps = (history(1, attempts=2), history(2, StepState.FAILED, error="no " * 500))
    first, second, third = status(observed(ledger=begun(steps=steps))).steps
    assert (first.state, first.attempts, first.resumed) == (StepState.DONE, 2, True)
    assert second.state is StepState.FAILED
    assert second.error is not None
    assert len(second.error) == 1000
    assert third.state is StepState.PENDING


def test_a_refused_step_is_shown_failed_but_not_begun() -> None:
    strict = spec(gates={"maxRisk": 20})
    refused = status(observed(strict, plan=plan(), refusal=REFUSED, jobs=(ended(20, of=strict),)))
    assert (refused.phase, refused.started_at) == (Phase.REFUSED, None)
    step = refused.steps[1]
    assert (step.state, step.error, step.attempts) == (StepState.FAILED, "refused — max risk 20", 0)
    assert step.finished_at == REFUSED.at


@pytest.mark.parametrize(
    ("view", "percent"),
    [
        (begun(), 0),
        (begun(done=1), 0),
        (begun(done=1, backfills=(walking(),)), 25),
        (begun(done=1, backfills=(walking(rows_done=5000),)), 99),
        (begun(done=1, backfills=(walking(rows_estimated=None),)), 0),
        (begun(done=1, backfills=(walking(rows_estimated=0),)), 0),
        (begun(done=2), 99),
        (begun(done=3), 100),
    ],
)
def test_percent_is_the_share_of_the_backfills_rows(view: LedgerView, percent: int) -> None:
    told = status(observed(ledger=view, jobs=(job(),))).progress
    assert told is not None
    assert told.percent == percent


def test_without_a_backfill_percent_is_the_share_of_the_steps() -> None:
    plain = spec(steps=[{"addIndex": {"table": "users", "columns": ["id"]}}] * 3)
    told = status(observed(plain, ledger=begun(plain, done=1), jobs=(job(of=plain),))).progress
    assert told is not None
    assert told.percent == 33


@pytest.mark.parametrize(
    ("changes", "eta"),
    [
        ({}, ago(seconds=2) + timedelta(seconds=15)),
        ({"rows_done": 2000}, ago(seconds=2)),
        ({"rows_per_second": 0}, None),
        ({"rows_estimated": None}, None),
    ],
)
def test_the_end_is_expected_from_the_last_batch_on(changes: dict[str, Any], eta: datetime | None) -> None:
    told = status(observed(ledger=begun(done=1, backfills=(walking(**changes),)), jobs=(job(),))).progress
    assert told is not None
    assert told.eta == eta


@pytest.mark.parametrize(
    ("artifacts", "until"),
    [
        ((), ""),
        ((artifact("a"),), "forever"),
        ((artifact("a"), artifact("b", ArtifactState.EXPIRING, days=2)), "2026-03-30"),
        ((artifact("a", ArtifactState.EXPIRED, days=-1),), "2026-03-27"),
        ((artifact("a", ArtifactState.RESTORED, days=-1),), ""),
    ],
)
def test_recoverable_until_is_the_first_day_something_ends(artifacts: tuple[Any, ...], until: str) -> None:
    display = status(observed(ledger=applied(artifacts=artifacts))).display
    assert display is not None
    assert display.recoverable_until == until


def test_a_migration_under_way_is_running_even_while_it_waits() -> None:
    away = observed(ledger=begun(), plan_trouble=None, jobs=())
    before = status(away)
    assert status(observed(ledger=None, ledger_trouble=UNREACHABLE, previous=before)).phase is Phase.RUNNING
    assert status(observed(ledger=None, ledger_trouble=UNREACHABLE)).phase is Phase.PENDING


def test_times_move_only_with_the_status_of_a_condition() -> None:
    first = status(observed(ledger=begun(done=1), jobs=(job(),)))
    later = NOW + timedelta(minutes=5)
    running = status(replace(observed(ledger=begun(done=2), jobs=(job(),)), previous=first, now=later))
    done = status(replace(observed(ledger=applied()), previous=running, now=later))

    def moved(of: MigrationStatus) -> set[str]:
        return {c.type for c in of.conditions if c.last_transition_time == later}

    assert moved(running) == set()
    assert moved(done) == {"Ready", "Reconciling", "Applied"}


def test_a_decision_made_twice_is_the_same() -> None:
    seen = observed(ledger=begun(done=1, backfills=(walking(),)), jobs=(job(),))
    first = decide(seen)
    wire = first.status.to_wire()
    again = decide(replace(seen, previous=MigrationStatus.model_validate(wire), now=NOW + timedelta(minutes=1)))
    assert again.status.to_wire() == wire


def told(specced: MigrationSpec | None = None, **changes: Any) -> MigrationStatus:
    return status(observed(specced, ledger=begun(done=1, **changes), jobs=(job(),)))


@pytest.mark.parametrize(
    ("after", "only"),
    [
        (told(backfills=(walking(rows_done=500),)), True),
        (told(backfills=(walking(),), heartbeat=NOW), True),
        (told(backfills=(walking(),), waiting="a lock"), True),
        (told(backfills=(walking(throttled="Query"),)), False),
        (status(observed(ledger=begun(done=2, backfills=(walking(),)), jobs=(job(),))), False),
        (status(observed(ledger=applied())), False),
    ],
)
def test_progress_alone_is_told_apart_from_news(after: MigrationStatus, only: bool) -> None:
    assert only_progress_differs(told(backfills=(walking(),)), after) is only


def test_progress_of_a_status_without_columns_is_told_apart_as_well() -> None:
    bare = MigrationStatus(progress=ProgressStatus(percent=1))
    assert only_progress_differs(bare, MigrationStatus(display=DisplayStatus(progress="7%")))


def test_the_job_of_before_is_remembered_when_it_is_gone() -> None:
    before = MigrationStatus(job=JobStatus(name="m-4", attempt=4))
    assert status(observed(spec(suspend=True), previous=before)).job == before.job
    refused = status(observed(plan=plan(), previous=before, job_problem="quota"))
    assert refused.job == before.job


def test_more_artifacts_than_fit_are_cut() -> None:
    many = tuple(artifact(f"a{n:03}") for n in range(150))
    seen = observed(ledger=ledger(artifacts=many))
    assert len(status(seen).artifacts) == 100
    assert condition(seen, "Recoverable")[2] == "150 artifacts, kept for ever"


def test_reasons_and_details_are_words_the_api_takes() -> None:
    for word in (*Reason, *Detail):
        Condition(type="Ready", status=ConditionStatus.TRUE, last_transition_time=NOW, reason=word)


def test_a_step_of_the_status_before_that_is_of_another_kind_lends_nothing() -> None:
    before = MigrationStatus(steps=(StepStatus(index=1, kind="dropColumn", target="x", state=StepState.DONE),))
    assert status(observed(previous=before)).steps[0].target == ""


def test_on_the_way_back_the_status_counts_down() -> None:
    rows = (history(1), history(2, StepState.RUNNING), history(3, StepState.REVERTED))
    seen = back(ledger=begun(REVERTED, steps=(rows[0], replace(rows[1], undoing=True), rows[2])), jobs=(returning(),))
    after = status(seen)
    assert (after.phase, [s.state.value for s in after.steps]) == (Phase.REVERTING, ["Done", "Running", "Reverted"])
    assert after.display is not None
    assert (after.display.steps, after.applied_at) == ("2/3", None)
    assert condition(seen, "Ready") == ("False", "Reverting", "step 2/3 backfill, attempt 2")
    assert condition(seen, "Applied") == ("False", "Reverting", "step 2/3 backfill")


@pytest.mark.parametrize(
    ("seen", "phase"),
    [
        (back(ledger=reverted(REVERTED)), Phase.REVERTED),
        (back(ledger=ledger()), Phase.REVERTED),
        (back(jobs=(returned(20, reason="ProbeFailed", message="no"),)), Phase.REFUSED),
        (back(jobs=(returned(20, reason="StepFailed", message="no"),)), Phase.FAILED),
        (back(jobs=(returned(None, finished_at=NOW),)), Phase.REVERTING),
        (back(waits_for="shop/a"), Phase.QUEUED),
        (back(job_problem="quota"), Phase.REVERTING),
    ],
)
def test_the_way_back_has_words_of_its_own(seen: Observed, phase: Phase) -> None:
    assert status(seen).phase is phase


def test_what_is_taken_back_is_told_whole() -> None:
    cut_short = reverted(REVERTED, steps=(history(1, StepState.REVERTED), history(2, StepState.RUNNING)))
    seen = back(ledger=cut_short)
    after = status(seen)
    assert [s.state.value for s in after.steps] == ["Reverted", "Pending", "Pending"]
    assert condition(seen, "Ready") == ("True", "Reverted", "every step is taken back")
    assert condition(seen, "Applied") == ("False", "Reverted", "")


def test_a_step_that_is_not_taken_back_says_why_and_stays_done() -> None:
    no = RecordedRefusal(2, "refused — undo: no way back", Reason.PROBE_FAILED, ago(minutes=1))
    seen = back(refusal=no, jobs=(returned(20, reason="ProbeFailed", message="no way back"),))
    assert [(s.state.value, s.error) for s in status(seen).steps] == [
        ("Done", None),
        ("Done", "refused — undo: no way back"),
        ("Done", None),
    ]
