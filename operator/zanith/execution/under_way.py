"""Says whether a restore or an undo of a step stands half-way: what else is about the same artifact has to wait for it.

Reads checkpoints only.
"""

from __future__ import annotations

from zanith.core.errors import Conflict
from zanith.execution.session import Session
from zanith.execution.steps import walk_lane
from zanith.execution.still_there import oid_of_table
from zanith.execution.undoing import RESTORE_LANE, UNDO_LANE, choice_lane, kept_by
from zanith.ledger.records import Artifact
from zanith.planning.plan import PlannedStep


def check_not_being_restored(session: Session, step: PlannedStep) -> None:
    """Raises Conflict where a restore of what the step kept has begun and not ended."""
    if _has_begun(session, step.index, RESTORE_LANE):
        kept = kept_by(session, step)
        held = next((a for a in kept if a.holds_data), None)
        raise Conflict(_restore_first(held, step), step=step.index)


def check_may_go(session: Session, step: PlannedStep, artifact: Artifact) -> None:
    """Raises Conflict where the artifact is being brought back, which could not come to its end without it. One begun on
    a table that is gone by now never can."""
    for lane in (RESTORE_LANE, UNDO_LANE):
        if not _has_begun(session, step.index, lane) or _is_void(session, step, lane, artifact):
            continue
        if lane == RESTORE_LANE:
            raise Conflict(_restore_first(artifact, step), step=step.index)
        raise Conflict(
            f"step {step.index} {step.kind} of {artifact.migration_id} is being taken back, with what {artifact.id} "
            f"keeps; finish it with `zanith migrate down --id {artifact.migration_id}`",
            step=step.index,
        )


def _has_begun(session: Session, step_index: int, lane: int) -> bool:
    """Whether it has passed a statement, or rows of its first one."""
    ledger, migration_id = session.ledger, session.migration_id
    found = ledger.read_checkpoint(migration_id, step_index, lane)
    if found is None:
        return False
    return found.has_moved or ledger.read_checkpoint(migration_id, step_index, walk_lane(lane, 1)) is not None


def _is_void(session: Session, step: PlannedStep, lane: int, artifact: Artifact) -> bool:
    choice = session.ledger.read_checkpoint(session.migration_id, step.index, choice_lane(lane))
    begun_on = None if choice is None else choice.cursor.get("oid")
    return begun_on is not None and begun_on != oid_of_table(session.conn, [artifact])


def _restore_first(artifact: Artifact | None, step: PlannedStep) -> str:
    if artifact is None:
        return f"a restore of what step {step.index} {step.kind} kept is under way; run `zanith recover` again to finish it"
    kind = "table" if artifact.source_column is None else "column"
    name = f"{artifact.source_schema}.{artifact.source}"
    return f"a restore of {name} is under way; finish it with `zanith recover restore-{kind} {name}`"
