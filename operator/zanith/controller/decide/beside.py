"""The conditions beside Ready, Reconciling and Stalled, each answering one question."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from zanith.api.conditions import Condition, ConditionStatus, ConditionType, Detail, Reason, clip, wire_time
from zanith.api.spec import Approval, MigrationSpec
from zanith.api.status import ArtifactState, ArtifactStatus, MigrationStatus
from zanith.controller.decide import expiry
from zanith.controller.decide.decision import Situation
from zanith.controller.decide.observed import LedgerView, Observed
from zanith.controller.decide.running import step_at, throttled
from zanith.planning.gates import refusal
from zanith.planning.plan import Plan

_TRUE, _FALSE, _UNKNOWN = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN
_THROTTLES = {
    d.value: d
    for d in (
        Detail.REPLICA_LAG,
        Detail.WAL_BACKLOG,
        Detail.AUTOVACUUM,
        Detail.LONG_TRANSACTION,
        Detail.ACTIVE_SESSIONS,
        Detail.QUERY,
    )
}


@dataclass(frozen=True, slots=True)
class _Answer:
    status: ConditionStatus
    reason: Reason | Detail
    message: str = ""


def conditions(observed: Observed, situation: Situation, status: MigrationStatus) -> tuple[Condition, ...]:
    """All of them, in their order. What cannot be known now stands as it stood before."""
    spec = observed.spec
    answers: dict[ConditionType, _Answer | None] = {
        ConditionType.PLANNED: _planned(situation, status),
        ConditionType.RISK_ACCEPTED: _risk_accepted(observed, spec) if spec is not None else None,
        ConditionType.APPROVED: _approved(observed, spec) if spec is not None else None,
        ConditionType.APPLIED: _applied(observed, situation, status),
        ConditionType.BACKFILL_PROGRESSING: _backfilling(observed, situation, status),
        ConditionType.THROTTLED: _throttled(observed.ledger),
        ConditionType.RECOVERABLE: _recoverable(observed),
        ConditionType.ARTIFACTS_EXPIRING: _expiring(observed),
    }
    return tuple(_condition(kind, answer, observed) for kind, answer in answers.items())


def _condition(kind: ConditionType, answer: _Answer | None, observed: Observed) -> Condition:
    before = observed.previous.condition(kind)
    if answer is None and before is not None:
        return before
    told = answer or _Answer(_UNKNOWN, Reason.NOT_YET_OBSERVED)
    return Condition(
        type=kind,
        status=told.status,
        observed_generation=observed.generation,
        last_transition_time=observed.now,
        reason=told.reason,
        message=clip(told.message),
    )


def _planned(situation: Situation, status: MigrationStatus) -> _Answer | None:
    if situation.reason is Reason.INVALID_PLAN:
        return _Answer(_FALSE, Reason.INVALID_PLAN, situation.message)
    if not status.plan_hash:
        return None
    return _Answer(_TRUE, Detail.PLANNED, f"plan {status.plan_hash}")


def _risk_accepted(observed: Observed, spec: MigrationSpec) -> _Answer | None:
    plan = observed.agreed_plan
    if plan is None:
        return None
    worst = plan.worst_step
    words = f"{worst.level.value} ({worst.score}), step {worst.index} {worst.kind}"
    if observed.plan is None:
        return _Answer(_TRUE, Detail.WITHIN_BUDGET, words)  # it began, so it was accepted
    no = refusal(observed.plan, spec.gates)
    if no is not None:
        return _Answer(_FALSE, Reason(no.reason), words)
    if observed.refusal is not None and observed.refusal.reason is Reason.PROBE_FAILED:
        return _Answer(_FALSE, Reason.PROBE_FAILED, observed.refusal.error)
    return _Answer(_TRUE, Detail.WITHIN_BUDGET, words)


def _approved(observed: Observed, spec: MigrationSpec) -> _Answer | None:
    if spec.gates.approval is not Approval.REQUIRED:
        return _Answer(_TRUE, Detail.NOT_REQUIRED)
    plan: Plan | None = observed.agreed_plan
    if plan is None:
        return None
    if observed.plan is None or observed.approve == plan.hash:
        return _Answer(_TRUE, Detail.APPROVED, f"plan {plan.hash}")
    if observed.approve:
        return _Answer(_FALSE, Detail.PLAN_CHANGED, f"another plan was approved; this one is {plan.hash}")
    return _Answer(_FALSE, Detail.AWAITING_APPROVAL, f"plan {plan.hash} waits for an approval by that hash")


def _applied(observed: Observed, situation: Situation, status: MigrationStatus) -> _Answer:
    if status.applied_at is not None:
        return _Answer(_TRUE, Reason.APPLIED, f"applied {wire_time(status.applied_at)}")
    return _Answer(_FALSE, situation.reason, "" if situation.reason is Reason.REVERTED else step_at(observed))


def _backfilling(observed: Observed, situation: Situation, status: MigrationStatus) -> _Answer | None:
    ledger = observed.ledger
    if ledger is None:
        return None
    backfills = [s.index for s in status.steps if s.kind == "backfill"]
    if not backfills:
        return _Answer(_FALSE, Detail.NO_BACKFILL)
    if all(index in ledger.done for index in backfills):
        return _Answer(_FALSE, Detail.FINISHED)
    running = next((b for b in ledger.backfills if b.step not in ledger.done), None)
    if running is None:
        return _Answer(_FALSE, Detail.NOT_STARTED)
    if situation.reason in (Reason.RUNNING, Reason.SCHEMA_READY) and not running.throttled:
        return _Answer(_TRUE, Detail.BACKFILLING, f"step {running.step}")
    return _Answer(_FALSE, Detail.PAUSED, f"step {running.step}")


def _throttled(ledger: LedgerView | None) -> _Answer | None:
    if ledger is None:
        return None
    held = throttled(ledger)
    if held is None:
        return _Answer(_FALSE, Detail.NOT_THROTTLED)
    return _Answer(_TRUE, _THROTTLES.get(held.throttled, Reason.THROTTLED), f"step {held.step}")


def _fate(observed: Observed, otherwise: str) -> str:
    """What becomes of an artifact at its expiry."""
    assert observed.spec is not None, "without a spec there is no ledger to look at"
    kept = expiry.kept_because(observed, observed.spec)
    return f"kept, for {kept}" if kept else otherwise


def _recoverable(observed: Observed) -> _Answer | None:
    ledger = observed.ledger
    if ledger is None:
        return None
    live = _in_state(ledger, ArtifactState.LIVE, ArtifactState.EXPIRING)
    expired = _in_state(ledger, ArtifactState.EXPIRED)
    if live:
        return _Answer(_TRUE, Detail.ARTIFACTS_LIVE, _counted([*live, *expired]))
    if expired:
        return _Answer(_TRUE, Detail.EXPIRED, f"{_counted(expired)}; {_fate(observed, 'to be purged')}")
    if not ledger.artifacts:
        return _Answer(_FALSE, Detail.NO_ARTIFACTS)
    purged = _in_state(ledger, ArtifactState.PURGED)
    return _Answer(_FALSE, Detail.PURGED if purged else Detail.RESTORED)


def _expiring(observed: Observed) -> _Answer | None:
    ledger = observed.ledger
    if ledger is None:
        return None
    expiring = _in_state(ledger, ArtifactState.EXPIRING)
    if expiring:
        return _Answer(_TRUE, Detail.EXPIRES_SOON, f"{_counted(expiring)}; {_fate(observed, 'purged then')}")
    expired = _in_state(ledger, ArtifactState.EXPIRED)
    if expired:
        return _Answer(_TRUE, Detail.EXPIRED, f"{_counted(expired)}; {_fate(observed, 'to be purged')}")
    return _Answer(_FALSE, Detail.NONE_EXPIRING)


def _in_state(ledger: LedgerView, *states: ArtifactState) -> list[ArtifactStatus]:
    return [a for a in ledger.artifacts if a.state in states]


def _counted(artifacts: list[ArtifactStatus]) -> str:
    """`2 artifacts, the first expires 2026-04-28`."""
    count = f"{len(artifacts)} artifact{'s' if len(artifacts) != 1 else ''}"
    ends: list[datetime] = [a.expires_at for a in artifacts if a.expires_at is not None]
    if not ends:
        return f"{count}, kept for ever"
    over = all(a.state is ArtifactState.EXPIRED for a in artifacts)
    verb = "expired" if over else "expires"
    verb = f"the first {verb}" if len(artifacts) > 1 else verb
    return f"{count}, {verb} {min(ends).date().isoformat()}"
