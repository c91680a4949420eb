"""The status: what the ledger, the plan and the Job say, projected; where they cannot be read, what stood there before."""

from __future__ import annotations

from datetime import datetime, timedelta

from zanith.api.conditions import clip, phase_of, ready_conditions, settle, wire_time
from zanith.api.spec import DesiredState, MigrationSpec
from zanith.api.status import (
    ARTIFACT_LIMIT,
    ERROR_LIMIT,
    TEXT_LIMIT,
    ArtifactState,
    ArtifactStatus,
    DisplayStatus,
    JobStatus,
    MigrationStatus,
    ProgressStatus,
    RiskStatus,
    StepState,
    StepStatus,
)
from zanith.controller.decide import beside
from zanith.controller.decide.decision import Situation
from zanith.controller.decide.observed import BackfillView, LedgerView, Observed, StepHistory
from zanith.planning.plan import Plan

HOLDING = (ArtifactState.LIVE, ArtifactState.EXPIRING, ArtifactState.EXPIRED)
"""States in which an artifact still has its data."""


def status_of(observed: Observed, situation: Situation) -> MigrationStatus:
    """The whole status for a situation."""
    drafted = _facts(observed)
    drafted = drafted.model_copy(
        update={
            "observed_generation": observed.generation,
            "job": _job(observed, situation),
            "phase": phase_of(situation.reason, began=drafted.started_at is not None, back=_back(observed)),
            "display": _display(drafted, observed.ledger),
        }
    )
    wanted = (
        *ready_conditions(situation.reason, situation.message, generation=observed.generation, now=observed.now),
        *beside.conditions(observed, situation, drafted),
    )
    return drafted.model_copy(update={"conditions": settle(observed.previous.conditions, wanted)})


def _back(observed: Observed) -> bool:
    return observed.spec is not None and observed.spec.state is DesiredState.REVERTED


def _facts(observed: Observed) -> MigrationStatus:
    """All but what follows from the situation. An unreadable ledger leaves what was last read."""
    before, spec, ledger = observed.previous, observed.spec, observed.ledger
    if spec is None or ledger is None:
        return before if spec is None else before.model_copy(update={"migration_id": spec.migration_id})
    plan = observed.agreed_plan
    steps = _steps(observed, spec, plan, ledger)
    return MigrationStatus(
        migration_id=spec.migration_id,
        started_at=ledger.began_at,
        applied_at=ledger.applied_at,
        plan_hash=plan.hash if plan is not None else before.plan_hash,
        risk=_risk(plan) if plan is not None else before.risk,
        progress=_progress(steps, ledger),
        steps=steps,
        artifacts=_artifacts(ledger),
        snapshot=ledger.snapshot,
    )


def _steps(observed: Observed, spec: MigrationSpec, plan: Plan | None, ledger: LedgerView) -> tuple[StepStatus, ...]:
    history = {h.index: h for h in ledger.steps}
    before = {s.index: s for s in observed.previous.steps}
    planned = {p.index: p for p in plan.steps} if plan is not None else {}
    steps = []
    for index, step in enumerate(spec.steps, start=1):
        kind = step.operation.kind
        known, found = before.get(index), planned.get(index)
        drafted = StepStatus(index=index, kind=kind, state=StepState.PENDING)
        if found is not None:
            drafted = drafted.model_copy(
                update={
                    "target": clip(found.target, TEXT_LIMIT),
                    "risk_level": found.level.value,
                    "risk_score": found.score,
                }
            )
        elif known is not None and known.kind == kind:
            kept = {"target": known.target, "risk_level": known.risk_level, "risk_score": known.risk_score}
            drafted = drafted.model_copy(update=kept)
        told = _with_history(drafted, history.get(index), _refused(observed, index))
        steps.append(_at_rest(told) if _back(observed) and ledger.taken_back else told)
    return tuple(steps)


def _at_rest(step: StepStatus) -> StepStatus:
    """Of a migration that is taken back: what was cut short, and left nothing behind, is not under way."""
    return step.model_copy(update={"state": StepState.PENDING}) if step.state is StepState.RUNNING else step


def _with_history(step: StepStatus, history: StepHistory | None, refused: tuple[str, datetime] | None) -> StepStatus:
    if history is not None:
        error = history.error
        if error is None and refused is not None and history.state is StepState.DONE:
            error, _ = refused  # done as before: it is the undo that is refused
        return step.model_copy(
            update={
                "state": history.state,
                "attempts": history.attempts,
                "resumed": history.attempts > 1,
                "started_at": history.started_at,
                "finished_at": history.finished_at,
                "error": clip(error, ERROR_LIMIT) if error is not None else None,
            }
        )
    if refused is not None:
        error, at = refused
        return step.model_copy(update={"state": StepState.FAILED, "error": clip(error, ERROR_LIMIT), "finished_at": at})
    return step


def _refused(observed: Observed, index: int) -> tuple[str, datetime] | None:
    refusal = observed.refusal
    return (refusal.error, refusal.at) if refusal is not None and refusal.step == index else None


def _risk(plan: Plan) -> RiskStatus:
    return RiskStatus(
        level=plan.level.value,
        score=plan.level.score,
        total_score=plan.total_score,
        reasons=tuple(r.value for r in plan.reasons),
    )


def _progress(steps: tuple[StepStatus, ...], ledger: LedgerView) -> ProgressStatus:
    done = ledger.done
    running = next((b for b in ledger.backfills if b.step not in done), None)
    estimates = [b.rows_estimated for b in ledger.backfills if b.rows_estimated is not None]
    return ProgressStatus(
        steps_done=len(done),
        steps_total=len(steps),
        rows_done=sum(b.rows_done for b in ledger.backfills),
        rows_estimated=sum(estimates) if estimates else None,
        percent=_percent(steps, ledger),
        rows_per_second=running.rows_per_second if running is not None else None,
        eta=_eta(running),
        last_progress_time=ledger.heartbeat,
    )


def _percent(steps: tuple[StepStatus, ...], ledger: LedgerView) -> int:
    """Backfills take nearly all of the time, so where there are any the rest counts nothing until it is all done."""
    done = ledger.done
    if len(done) >= len(steps):
        return 100
    backfills = [s.index for s in steps if s.kind == "backfill"]
    if not backfills:
        return len(done) * 100 // len(steps)
    rows = {b.step: b for b in ledger.backfills}
    share = sum(1.0 if index in done else _share(rows.get(index)) for index in backfills) / len(backfills)
    return min(99, int(share * 100))


def _share(backfill: BackfillView | None) -> float:
    if backfill is None or not backfill.rows_estimated:
        return 0.0
    return min(1.0, backfill.rows_done / backfill.rows_estimated)


def _eta(running: BackfillView | None) -> datetime | None:
    """From the last batch on, not from now: it stands still while the backfill does."""
    if running is None or not running.rows_estimated or running.rows_per_second <= 0:
        return None
    left = max(0, running.rows_estimated - running.rows_done)
    return running.updated_at + timedelta(seconds=left / running.rows_per_second)


def _artifacts(ledger: LedgerView) -> tuple[ArtifactStatus, ...]:
    """Those with data first, the first to expire first of all."""

    def order(artifact: ArtifactStatus) -> tuple[bool, bool, str, str]:
        expires = artifact.expires_at
        ends = wire_time(expires) if expires is not None else ""
        return artifact.state not in HOLDING, expires is None, ends, artifact.id

    return tuple(sorted(ledger.artifacts, key=order)[:ARTIFACT_LIMIT])


def _job(observed: Observed, situation: Situation) -> JobStatus | None:
    if situation.start is not None and not observed.job_problem:
        return JobStatus(name=situation.start.name, attempt=situation.start.attempt)
    if observed.newest is not None:
        return JobStatus(name=observed.newest.name, attempt=observed.newest.attempt)
    return observed.previous.job


def _display(status: MigrationStatus, ledger: LedgerView | None) -> DisplayStatus:
    before = status.display or DisplayStatus()
    progress, risk = status.progress, status.risk
    return DisplayStatus(
        steps=f"{progress.steps_done}/{progress.steps_total}" if progress is not None else before.steps,
        risk=f"{risk.level} ({risk.score})" if risk is not None else before.risk,
        progress=f"{progress.percent}%" if progress is not None else before.progress,
        recoverable_until=recoverable_until(ledger) if ledger is not None else before.recoverable_until,
        database=ledger.database_name if ledger is not None else before.database,
    )


def recoverable_until(ledger: LedgerView) -> str:
    """The day the first artifact with data expires, `forever`, or nothing."""
    holding = [a for a in ledger.artifacts if a.state in HOLDING]
    ends = [a.expires_at for a in holding if a.expires_at is not None]
    if ends:
        return min(ends).date().isoformat()
    return "forever" if holding else ""
