"""What the ledger's rows mean for a decision: MigrationRecord -> LedgerView. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from zanith.api.conditions import Reason, clip
from zanith.api.spec import DesiredState, MigrationSpec, seconds
from zanith.api.status import TEXT_LIMIT, ArtifactState, ArtifactStatus, SnapshotStatus, StepState
from zanith.controller.decide.observed import BackfillView, Failure, LedgerView, RecordedRefusal, StepHistory
from zanith.core.graph import DatabaseIdentity
from zanith.ledger.records import (
    REFUSED_PREFIX,
    Artifact,
    Checkpoint,
    MigrationRecord,
    StepAttempt,
    refusal_key,
    refusal_reason,
)

_CURSOR_LANE = -1
_UNDO_LANE = -2
_FIRST_WALK_OF_UNDO, _LAST_WALK_OF_UNDO = -201, -299
"""Lanes as the runner counts them: 0 and above are key ranges of a backfill, those of an undo are below its cursor."""
_NOTHING_MOVED = (1, "pending")
_UNDO_REFUSED = f"{REFUSED_PREFIX}undo: "
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
    lives = {index: _life(rows) for index, rows in _by_step(attempts)}
    back = spec.state is DesiredState.REVERTED
    steps = tuple(_history(index, life, back=back) for index, life in lives.items())
    done = record.done
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
        failure=_failure(attempts, lives),
        half_done=next((c.step_index for c in record.checkpoints if _is_half_done(c, done)), None),
        half_undone=next((c.step_index for c in record.checkpoints if _is_half_undone(c, done)), None),
        waiting=_waiting(record.checkpoints, done),
        heartbeat=_heartbeat(record, attempts),
        mark=_mark(done, record),
        artifacts=tuple(_artifact(a, record, spec) for a in record.artifacts),
        snapshot=SnapshotStatus(
            models=record.summary.models, relations=record.summary.relations, captured_at=record.summary.captured_at
        )
        if record.summary is not None
        else None,
    )


def recorded_refusal(record: MigrationRecord, plan_hash: str, retry: str) -> RecordedRefusal | None:
    """The refusal of this very plan for this very retry value, if a runner has written it down."""
    return _recorded(record, refusal_key(plan_hash, retry), undo=False)


def recorded_undo_refusal(record: MigrationRecord, retry: str) -> RecordedRefusal | None:
    """That a step of a migration that began cannot be taken back."""
    if record.frozen is None:
        return None
    return _recorded(record, refusal_key(record.frozen.plan.hash, retry), undo=True)


def _recorded(record: MigrationRecord, key: str, *, undo: bool) -> RecordedRefusal | None:
    """The newest of these. A refusal to take back says nothing against applying, nor the other way round."""
    rows = [a for a in record.attempts if a.refused_plan == key and (a.error or "").startswith(_UNDO_REFUSED) is undo]
    row = max(rows, key=lambda a: a.started_at, default=None)
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


@dataclass(frozen=True, slots=True)
class _Life:
    """Rows of a step since it was last taken back: attempts to apply it, and then to take it back again."""

    forth: tuple[StepAttempt, ...]
    back: tuple[StepAttempt, ...]


def _life(rows: list[StepAttempt]) -> _Life:
    """A step that is done is tried again only to take it back."""
    forth: list[StepAttempt] = []
    back: list[StepAttempt] = []
    for row in rows:
        if back and back[-1].status == "reverted":
            forth, back = [], []
        goes_back = row.status == "reverted" or (forth and forth[-1].status == "done")
        (back if goes_back else forth).append(row)
    return _Life(tuple(forth), tuple(back))


def _history(index: int, life: _Life, *, back: bool) -> StepHistory:
    """`back`: whether it is to be taken back. Else an undo that was given up, or refused, leaves the step done."""
    undoing = bool(life.back) and life.back[-1].status != "reverted"
    given_up = undoing and not back and life.back[-1].status != "running"
    rows = life.forth if given_up else (*life.forth, *life.back)
    newest = rows[-1]
    over = newest.status not in ("running", "interrupted")
    return StepHistory(
        index=index,
        state=_STATES[newest.status],
        attempts=len(life.forth),
        started_at=rows[0].started_at,
        finished_at=newest.finished_at if over else None,
        error=newest.error if newest.status == "failed" else None,
        undoing=undoing,
    )


def _failure(attempts: list[StepAttempt], lives: Mapping[int, _Life]) -> Failure | None:
    """Of the step that was tried last; one that could not be taken back has not failed to be applied."""
    newest = max(attempts, key=lambda a: a.started_at, default=None)
    if newest is None or newest.status != "failed" or newest in lives[newest.step_index].back:
        return None
    error = newest.error or "failed"
    return Failure(
        step=newest.step_index,
        reason=Reason(refusal_reason(error)) if newest.refused else Reason.STEP_FAILED,
        error=error,
        key=f"{newest.step_index}/{newest.started_at.isoformat()}",
    )


def _is_half_done(checkpoint: Checkpoint, done: frozenset[int]) -> bool:
    """Whether a step that is not done stopped between two of its statements, as the runner asks before it goes back."""
    if checkpoint.lane != _CURSOR_LANE or checkpoint.step_index in done:
        return False
    return (checkpoint.cursor.get("statement"), checkpoint.cursor.get("state")) != _NOTHING_MOVED


def _is_half_undone(checkpoint: Checkpoint, done: frozenset[int]) -> bool:
    """Whether some of a done step is taken back already: statements of its undo, or rows."""
    if checkpoint.step_index not in done:
        return False
    if _LAST_WALK_OF_UNDO <= checkpoint.lane <= _FIRST_WALK_OF_UNDO:
        return True
    cursor = (checkpoint.cursor.get("statement"), checkpoint.cursor.get("state"))
    return checkpoint.lane == _UNDO_LANE and cursor != _NOTHING_MOVED


def _backfills(checkpoints: Iterable[Checkpoint]) -> tuple[BackfillView, ...]:
    lanes: dict[int, list[Checkpoint]] = {}
    for checkpoint in checkpoints:
        if checkpoint.lane > _CURSOR_LANE:
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
    cursors = (c for c in checkpoints if _is_open_cursor(c, done))
    return next((str(c.cursor["waiting"]) for c in cursors if c.cursor.get("waiting")), "")


def _is_open_cursor(checkpoint: Checkpoint, done: frozenset[int]) -> bool:
    """The cursor of a step that is being applied, or taken back."""
    return checkpoint.lane == (_UNDO_LANE if checkpoint.step_index in done else _CURSOR_LANE)


def _heartbeat(record: MigrationRecord, attempts: list[StepAttempt]) -> Any:
    signs = [c.updated_at for c in record.checkpoints]
    signs += [at for a in attempts for at in (a.started_at, a.finished_at) if at is not None]
    return max(signs, default=None)


def _mark(done: frozenset[int], record: MigrationRecord) -> str:
    """Steps done, statements passed, rows changed, artifacts gone. Signs of life alone do not move it."""
    statements = sum(_whole(c.cursor.get("statement")) for c in record.checkpoints if _is_open_cursor(c, done))
    rows = sum(c.processed_rows for c in record.checkpoints)
    return f"{len(done)}.{statements}.{rows}.{sum(not a.holds_data for a in record.artifacts)}"


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
