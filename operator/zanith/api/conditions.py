"""Conditions: their types, every reason with its row of (Ready, Reconciling, Stalled), and the phase derived from it.

Reasons and types are contract with users, Argo CD health checks and kstatus: never rename one. Nothing here looks at a
clock: `lastTransitionTime` is given, and moves only when the `status` of a condition changes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema
from pydantic.alias_generators import to_camel

MESSAGE_LIMIT = 1024


def _to_second(value: datetime) -> datetime:
    """Whole seconds in UTC: what the API stores, so that a status read back equals the one written."""
    aware = value if value.tzinfo else value.replace(tzinfo=UTC)
    return aware.astimezone(UTC).replace(microsecond=0)


def wire_time(value: datetime) -> str:
    """RFC 3339 with a `Z`, as Kubernetes writes times."""
    return _to_second(value).strftime("%Y-%m-%dT%H:%M:%SZ")


Timestamp = Annotated[
    datetime,
    AfterValidator(_to_second),
    PlainSerializer(wire_time, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]


class StatusModel(BaseModel):
    """Base of everything under `.status`: frozen, camelCase on the wire, keys of a newer version are passed over."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
    )


class ConditionType(StrEnum):
    """The conditions, in the order they are listed. The first three follow kstatus."""

    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    PLANNED = "Planned"
    RISK_ACCEPTED = "RiskAccepted"
    APPROVED = "Approved"
    APPLIED = "Applied"
    BACKFILL_PROGRESSING = "BackfillProgressing"
    THROTTLED = "Throttled"
    RECOVERABLE = "Recoverable"
    ARTIFACTS_EXPIRING = "ArtifactsExpiring"


class ConditionStatus(StrEnum):
    """The three values of a condition."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Phase(StrEnum):
    """One word for people; nothing decides by it."""

    PENDING = "Pending"
    QUEUED = "Queued"
    AWAITING_APPROVAL = "AwaitingApproval"
    RUNNING = "Running"
    SUSPENDED = "Suspended"
    APPLIED = "Applied"
    REVERTING = "Reverting"
    REVERTED = "Reverted"
    REFUSED = "Refused"
    FAILED = "Failed"


class Reason(StrEnum):
    """What the situation of a migration is: the reason of Ready, and of Reconciling or Stalled where one is True."""

    NOT_YET_OBSERVED = "NotYetObserved"
    # Work goes on, or heals by waiting.
    PLANNING = "Planning"
    DEPENDENCY_PENDING = "DependencyPending"
    DEPENDENCY_MISSING = "DependencyMissing"
    QUEUED = "Queued"
    RUNNING = "Running"
    RETRYING = "Retrying"
    THROTTLED = "Throttled"
    DATABASE_UNREACHABLE = "DatabaseUnreachable"
    SECRET_NOT_FOUND = "SecretNotFound"  # noqa: S105 -- a condition's reason, not a secret
    POD_NOT_STARTING = "PodNotStarting"
    REVERTING = "Reverting"
    # A person was asked for, or asked to wait.
    AWAITING_APPROVAL = "AwaitingApproval"
    SUSPENDED = "Suspended"
    # A person has to act.
    INVALID_PLAN = "InvalidPlan"
    RISK_BUDGET_EXCEEDED = "RiskBudgetExceeded"
    DESTRUCTIVE_NOT_ALLOWED = "DestructiveNotAllowed"
    REASON_FORBIDDEN = "ReasonForbidden"
    PROBE_FAILED = "ProbeFailed"
    STEP_FAILED = "StepFailed"
    CHANGED_AFTER_APPLY = "ChangedAfterApply"
    LEDGER_CONFLICT = "LedgerConflict"
    DEPENDENCY_FAILED = "DependencyFailed"
    DEPENDENCY_CYCLE = "DependencyCycle"
    SECRET_FORBIDDEN = "SecretForbidden"  # noqa: S105 -- a condition's reason, not a secret
    UNSUPPORTED_DATABASE = "UnsupportedDatabase"
    RUNNER_CRASH_LOOPING = "RunnerCrashLooping"
    PROGRESS_DEADLINE_EXCEEDED = "ProgressDeadlineExceeded"
    # It is as asked.
    APPLIED = "Applied"
    SCHEMA_READY = "SchemaReady"
    REVERTED = "Reverted"

    @property
    def row(self) -> Row:
        """How Ready, Reconciling and Stalled stand for it."""
        return _ROWS[self]


class Detail(StrEnum):
    """Reasons of the conditions beside Ready, Reconciling and Stalled, where those have words of their own."""

    NOT_STALLED = "NotStalled"
    NOT_RECONCILING = "NotReconciling"
    PLANNED = "Planned"
    WITHIN_BUDGET = "WithinBudget"
    NOT_REQUIRED = "NotRequired"
    APPROVED = "Approved"
    AWAITING_APPROVAL = "AwaitingApproval"
    PLAN_CHANGED = "PlanChanged"
    NOT_STARTED = "NotStarted"
    BACKFILLING = "Backfilling"
    NO_BACKFILL = "NoBackfill"
    PAUSED = "Paused"
    FINISHED = "Finished"
    NOT_THROTTLED = "NotThrottled"
    REPLICA_LAG = "ReplicaLag"
    WAL_BACKLOG = "WALBacklog"
    AUTOVACUUM = "Autovacuum"
    LONG_TRANSACTION = "LongTransaction"
    ACTIVE_SESSIONS = "ActiveSessions"
    QUERY = "Query"
    ARTIFACTS_LIVE = "ArtifactsLive"
    NO_ARTIFACTS = "NoArtifacts"
    EXPIRED = "Expired"
    PURGED = "Purged"
    RESTORED = "Restored"
    EXPIRES_SOON = "ExpiresSoon"
    NONE_EXPIRING = "NoneExpiring"


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the condition table. Reconciling and Stalled are never True together."""

    ready: ConditionStatus
    reconciling: ConditionStatus
    stalled: ConditionStatus
    phase: Phase


def _rows() -> dict[Reason, Row]:
    true, false, unknown = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN

    def going(phase: Phase) -> Row:
        return Row(false, true, false, phase)

    def waiting(phase: Phase) -> Row:
        return Row(false, false, false, phase)

    def stalled(phase: Phase) -> Row:
        return Row(false, false, true, phase)

    def ready(phase: Phase) -> Row:
        return Row(true, false, false, phase)

    return {
        Reason.NOT_YET_OBSERVED: Row(unknown, unknown, unknown, Phase.PENDING),
        Reason.PLANNING: going(Phase.PENDING),
        Reason.DEPENDENCY_PENDING: going(Phase.PENDING),
        Reason.DEPENDENCY_MISSING: going(Phase.PENDING),
        Reason.QUEUED: going(Phase.QUEUED),
        Reason.RUNNING: going(Phase.RUNNING),
        Reason.RETRYING: going(Phase.RUNNING),
        Reason.THROTTLED: going(Phase.RUNNING),
        Reason.DATABASE_UNREACHABLE: going(Phase.PENDING),
        Reason.SECRET_NOT_FOUND: going(Phase.PENDING),
        Reason.POD_NOT_STARTING: going(Phase.PENDING),
        Reason.REVERTING: going(Phase.REVERTING),
        Reason.AWAITING_APPROVAL: waiting(Phase.AWAITING_APPROVAL),
        Reason.SUSPENDED: waiting(Phase.SUSPENDED),
        Reason.INVALID_PLAN: stalled(Phase.FAILED),
        Reason.RISK_BUDGET_EXCEEDED: stalled(Phase.REFUSED),
        Reason.DESTRUCTIVE_NOT_ALLOWED: stalled(Phase.REFUSED),
        Reason.REASON_FORBIDDEN: stalled(Phase.REFUSED),
        Reason.PROBE_FAILED: stalled(Phase.REFUSED),
        Reason.STEP_FAILED: stalled(Phase.FAILED),
        Reason.CHANGED_AFTER_APPLY: stalled(Phase.FAILED),
        Reason.LEDGER_CONFLICT: stalled(Phase.FAILED),
        Reason.DEPENDENCY_FAILED: stalled(Phase.FAILED),
        Reason.DEPENDENCY_CYCLE: stalled(Phase.FAILED),
        Reason.SECRET_FORBIDDEN: stalled(Phase.FAILED),
        Reason.UNSUPPORTED_DATABASE: stalled(Phase.FAILED),
        Reason.RUNNER_CRASH_LOOPING: stalled(Phase.FAILED),
        Reason.PROGRESS_DEADLINE_EXCEEDED: stalled(Phase.FAILED),
        Reason.APPLIED: ready(Phase.APPLIED),
        Reason.SCHEMA_READY: ready(Phase.RUNNING),
        Reason.REVERTED: ready(Phase.REVERTED),
    }


_ROWS = _rows()


def phase_of(reason: Reason, *, began: bool, back: bool = False) -> Phase:
    """The word for people: what waits before the migration began is Pending, after it Running, on its way back Reverting."""
    phase = reason.row.phase
    if back and began and phase in (Phase.PENDING, Phase.RUNNING):
        return Phase.REVERTING
    return Phase.RUNNING if began and phase is Phase.PENDING else phase


class Condition(StatusModel):
    """One condition, as every Kubernetes resource has them."""

    type: str = Field(max_length=316)
    """The condition's name."""
    status: ConditionStatus
    """`True`, `False` or `Unknown`."""
    observed_generation: int = Field(0, ge=0)
    """The generation of the spec it speaks of."""
    last_transition_time: Timestamp
    """When `status` last changed."""
    reason: str = Field(min_length=1, max_length=100, pattern=r"^[A-Za-z]([A-Za-z0-9]*)$")
    """One stable word."""
    message: str = Field("", max_length=MESSAGE_LIMIT)
    """A sentence for people."""


def clip(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """The text, or its beginning and an ellipsis where it is longer than the API takes."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def ready_conditions(reason: Reason, message: str, *, generation: int, now: datetime) -> tuple[Condition, ...]:
    """Ready, Reconciling and Stalled for one situation; where one of the latter is True it has the same reason."""
    row = reason.row

    def condition(kind: ConditionType, status: ConditionStatus, otherwise: Detail) -> Condition:
        speaks = kind is ConditionType.READY or status is not ConditionStatus.FALSE
        return Condition(
            type=kind,
            status=status,
            observed_generation=generation,
            last_transition_time=now,
            reason=reason if speaks else otherwise,
            message=clip(message) if speaks else "",
        )

    return (
        condition(ConditionType.READY, row.ready, Detail.NOT_STALLED),
        condition(ConditionType.RECONCILING, row.reconciling, Detail.NOT_RECONCILING),
        condition(ConditionType.STALLED, row.stalled, Detail.NOT_STALLED),
    )


def settle(previous: Iterable[Condition], wanted: Iterable[Condition]) -> tuple[Condition, ...]:
    """The wanted conditions; each keeps the time of the previous one of its type while its status is the same."""
    before = {c.type: c for c in previous}
    settled = []
    for condition in wanted:
        old = before.get(condition.type)
        if old is not None and old.status is condition.status:
            condition = condition.model_copy(update={"last_transition_time": old.last_transition_time})
        settled.append(condition)
    return tuple(settled)
