"""What the ledger's rows mean for a decision: MigrationRecord -> LedgerView. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from zanith.api.conditions import Reason, clip
from zanith.api.spec import MigrationSpec, seconds
from zanith.api.status import TEXT_LIMIT, ArtifactState, ArtifactStatus, SnapshotStatus, StepState
from zanith.controller.decide.observed import BackfillView, Failure, LedgerView, RecordedRefusal, StepHistory
from zanith.core.graph import DatabaseIdentity
from zanith.ledger.records import (
    Artifact,
    Checkpoint,
    MigrationRecord,
    StepAttempt,
    refusal_key,
    refusal_reason,
)

_CURSOR_LANE = -1
_STATES = {
    "running": StepState.RUNNING,
    "interrupted": StepState.RUNNING,
    "done": StepState.DONE,
    "failed": StepState.FAILED,
    "reverted": StepState.REVERTED,
}


def view_of(record: MigrationRecord, spec: MigrationSpec) -> LedgerView:
    """The view of one migration, expiry judged by the database's clock."""
    attempts = [a for a in record.attempts if a.refused_plan is None]
    steps = tuple(_history(index, rows) for index, rows in _by_step(attempts))
    done = frozenset(s.index for s in steps if s.state is StepState.DONE)
    frozen = record.frozen
    return LedgerView(
        database_name=record.database.name,
        now=record.now,
        began_at=frozen.captured_at if frozen is not None else None,
        applied_at=record.applied_at,
        plan=frozen.plan if frozen is not None else None,
        digests=frozen.digests if frozen is not None else (),
        owner=(frozen.owner.namespace, frozen.owner.name) if frozen is not None else ("", ""),
        steps=steps,
        backfills=_backfills(record.checkpoints),
        failure=_failure(attempts),
        waiting=_waiting(record.checkpoints, done),
        heartbeat=_heartbeat(record, attempts),
        mark=_mark(done, record.checkpoints),
        artifacts=tuple(_artifact(a, record, spec) for a in record.artifacts),
        snapshot=SnapshotStatus(
            models=record.summary.models, relations=record.summary.relations, captured_at=record.summary.captured_at
        )
        if record.summary is not None
        else None,
    )


def recorded_refusal(record: MigrationRecord, plan_hash: str, retry: str) -> RecordedRefusal | None:
    """The refusal of this very plan for this very retry value, if a runner has written it down."""
    key = refusal_key(plan_hash, retry)
    row = next((a for a in reversed(record.attempts) if a.refused_plan == key), None)
    if row is None or row.error is None:
        return None
    return RecordedRefusal(
        step=row.step_index,
        error=row.error,
        reason=Reason(refusal_reason(row.error)),
        at=row.finished_at or row.started_at,
    )


def database_key(database: DatabaseIdentity) -> str:
    """Names a database as a label value can: whatever address it is reached by, without saying which it is."""
    return hashlib.sha256(f"{database.system_identifier}/{database.oid}".encode()).hexdigest()[:16]


def _by_step(attempts: Iterable[StepAttempt]) -> list[tuple[int, list[StepAttempt]]]:
    rows: dict[int, list[StepAttempt]] = {}
    for attempt in attempts:
        rows.setdefault(attempt.step_index, []).append(attempt)
    return sorted(rows.items())


def _history(index: int, rows: list[StepAttempt]) -> StepHistory:
    newest = rows[-1]
    over = newest.status not in ("running", "interrupted")
    return StepHistory(
        index=index,
        state=_STATES[newest.status],
        attempts=sum(1 for r in rows if r.status != "reverted"),
        started_at=rows[0].started_at,
        finished_at=newest.finished_at if over else None,
        error=newest.error if newest.status == "failed" else None,
    )


def _failure(attempts: list[StepAttempt]) -> Failure | None:
    """Of the step that was tried last."""
    newest = max(attempts, key=lambda a: a.started_at, default=None)
    if newest is None or newest.status != "failed":
        return None
    error = newest.error or "failed"
    return Failure(
        step=newest.step_index,
        reason=Reason(refusal_reason(error)) if newest.refused else Reason.STEP_FAILED,
        error=error,
        key=f"{newest.step_index}/{newest.started_at.isoformat()}",
    )


def _backfills(checkpoints: Iterable[Checkpoint]) -> tuple[BackfillView, ...]:
    lanes: dict[int, list[Checkpoint]] = {}
    for checkpoint in checkpoints:
        if checkpoint.lane != _CURSOR_LANE:
            lanes.setdefault(checkpoint.step_index, []).append(checkpoint)
    return tuple(_backfill(step, rows) for step, rows in sorted(lanes.items()))


def _backfill(step: int, rows: list[Checkpoint]) -> BackfillView:
    estimates = [r.cursor.get("estimated") for r in rows]
    known = [e for e in estimates if isinstance(e, int)]
    held = next((r.cursor.get("throttled") for r in rows if r.cursor.get("throttled")), "")
    return BackfillView(
        step=step,
        rows_done=sum(r.processed_rows for r in rows),
        rows_estimated=sum(known) if known else None,
        rows_per_second=sum(_whole(r.cursor.get("rate")) for r in rows if r.status != "done"),
        updated_at=max(r.updated_at for r in rows),
        throttled=str(held),
    )


def _whole(value: Any) -> int:
    return max(0, int(value)) if isinstance(value, (int, float)) else 0


def _waiting(checkpoints: Iterable[Checkpoint], done: frozenset[int]) -> str:
    cursors = (c for c in checkpoints if c.lane == _CURSOR_LANE and c.step_index not in done)
    return next((str(c.cursor["waiting"]) for c in cursors if c.cursor.get("waiting")), "")


def _heartbeat(record: MigrationRecord, attempts: list[StepAttempt]) -> Any:
    signs = [c.updated_at for c in record.checkpoints]
    signs += [at for a in attempts for at in (a.started_at, a.finished_at) if at is not None]
    return max(signs, default=None)


def _mark(done: frozenset[int], checkpoints: Iterable[Checkpoint]) -> str:
    """Steps done, statements passed and rows changed. Signs of life alone do not move it."""
    open_cursors = [c for c in checkpoints if c.lane == _CURSOR_LANE and c.step_index not in done]
    statements = sum(_whole(c.cursor.get("statement")) for c in open_cursors)
    return f"{len(done)}.{statements}.{sum(c.processed_rows for c in checkpoints)}"


def _artifact(artifact: Artifact, record: MigrationRecord, spec: MigrationSpec) -> ArtifactStatus:
    return ArtifactStatus(
        id=artifact.id[:400],
        type=artifact.artifact_type,
        source=clip(artifact.source, TEXT_LIMIT),
        row_count=artifact.row_count,
        created_at=artifact.created_at,
        expires_at=artifact.expires_at,
        state=_artifact_state(artifact, record, timedelta(seconds=seconds(spec.expiry_warning))),
    )


def _artifact_state(artifact: Artifact, record: MigrationRecord, warning: timedelta) -> ArtifactState:
    if artifact.restored_at is not None:
        return ArtifactState.RESTORED
    if artifact.physical_name is None:
        return ArtifactState.PURGED
    if artifact.expires_at is None or artifact.expires_at - warning > record.now:
        return ArtifactState.LIVE
    return ArtifactState.EXPIRED if artifact.expires_at <= record.now else ArtifactState.EXPIRING
