"""Takes a migration back, or its last steps: last one first, from the ledger, whatever the spec says by now.

Looks at every step before it touches the first: one that cannot be taken back, or whose artifact is gone or was changed,
refuses the whole. What a look at the data decides (NULLs where NOT NULL was) is asked then too, where no step that is taken back before can
change the answer; else when the step's turn comes, for the steps after it are in the way until then.
"""

from __future__ import annotations

import time
from dataclasses import replace

from zanith.core.errors import Conflict, Refusal
from zanith.execution.assignment import Progress
from zanith.execution.backfilling import LANE
from zanith.execution.looking_ahead import LookAhead
from zanith.execution.session import Session
from zanith.execution.steps import CURSOR_LANE, walk_lane
from zanith.execution.still_there import check_kept, check_shadow
from zanith.execution.under_way import check_not_being_restored
from zanith.execution.undoing import UNDO_LANE, check_fits, check_undoable, kept_by, undo_step
from zanith.ledger.reading import check_shape, read_migration
from zanith.ledger.records import Checkpoint, FrozenPlan, MigrationRecord
from zanith.planning.plan import PlannedStep
from zanith.postgres.sqlstates import translated


def revert(session: Session, *, steps: int | None = None, retry: str = "") -> MigrationRecord:
    """Take the last `steps` done steps back, or all; what the ledger then says of the migration.

    Raises Refusal (recorded in the ledger) where a step has no way back, NotYet, StepFailed, Conflict or Stopped.
    """
    record, frozen = _begun(session, settle=True)
    back = steps_back(frozen, record, steps)
    _check_not_half_done(session, frozen, record)
    _check_all(session, frozen, back, retry)
    for step in back:
        session.check_stop()
        began = time.monotonic()
        told = Progress(
            "step_started",
            step_index=step.index,
            steps_total=len(frozen.plan.steps),
            kind=step.kind,
            target=step.target,
            risk_level=step.level.value,
            message="undo",
        )
        session.tell(told)
        try:
            undo_step(session, step)
        except Refusal as refused:
            _record(session, frozen, refused, retry)
            raise
        session.tell(replace(told, event="step_finished", took_s=time.monotonic() - began))
        session.notify(now=True)
    session.tell(Progress("reverted", message=session.migration_id))
    return _read(session)


def look(
    session: Session, *, steps: int | None = None, ahead: LookAhead | None = None, ask_data: bool = True
) -> list[tuple[PlannedStep, Refusal | Conflict | None]]:
    """What `revert` would take back, the last step first, each with what speaks against it; the data is asked where no
    step before it in the list, or in those that `ahead` has seen, can change the answer; not without `ask_data`, where
    `revert` follows at once, which asks the same and records a refusal. Records nothing. Raises Conflict where the
    migration never began, or a step is half done."""
    record, frozen = _begun(session, settle=False)
    _check_not_half_done(session, frozen, record)
    found: list[tuple[PlannedStep, Refusal | Conflict | None]] = []
    ahead = ahead or LookAhead()
    for step in steps_back(frozen, record, steps):
        try:
            _check(session, step, ahead, ask_data=ask_data)
        except (Refusal, Conflict) as error:
            found.append((step, error))
        else:
            found.append((step, None))
    return found


def _begun(session: Session, *, settle: bool) -> tuple[MigrationRecord, FrozenPlan]:
    with translated("reading the five tables"):
        if not check_shape(session.conn, session.settings.schema):
            raise _unknown(session)
        if settle:
            session.ledger.interrupt_leftovers()
        record = _read(session)
    if record.frozen is None:
        raise _unknown(session)
    return record, record.frozen


def steps_back(frozen: FrozenPlan, record: MigrationRecord, count: int | None) -> list[PlannedStep]:
    """The last done steps, the last one first; and a backfill that was cut short: what it did so far is taken back like
    the work of a whole one, or refused like it, and its walk begins anew."""
    walked = {c.step_index for c in record.checkpoints if c.lane >= LANE}
    back = [
        step
        for step in reversed(frozen.plan.steps)
        if step.index in record.done or (step.is_backfill and step.index in walked)
    ]
    return back if count is None else back[:count]


def finish_undo(session: Session, record: MigrationRecord) -> MigrationRecord:
    """Take a step back to its end that is half taken back: neither done nor undone, nothing can be applied after it.

    Raises as `revert`; what the ledger then says of the migration.
    """
    if record.frozen is None:
        return record
    half = {c.step_index for c in record.checkpoints if _has_moved(c)}
    for step in reversed(record.frozen.plan.steps):
        if step.index in half and step.index in record.done:
            undo_step(session, step)
            record = _read(session)
    return record


def _has_moved(checkpoint: Checkpoint) -> bool:
    """Whether an undo has passed a statement, or rows of a walk."""
    if checkpoint.lane == UNDO_LANE:
        return checkpoint.has_moved
    return walk_lane(UNDO_LANE, 99) <= checkpoint.lane < walk_lane(UNDO_LANE, 0)


def _check_not_half_done(session: Session, frozen: FrozenPlan, record: MigrationRecord) -> None:
    """A step that stopped between two of its statements is neither done nor undone. A backfill is both: what it did goes
    with the column, or is refused as the values before it are not kept."""
    for step in frozen.plan.steps:
        if step.index in record.done:
            continue
        found = session.ledger.read_checkpoint(session.migration_id, step.index, CURSOR_LANE)
        if found is not None and found.has_moved:
            raise Conflict(
                f"step {step.index} {step.kind} of {step.target} is half done (statement {found.cursor['statement']} of "
                f"{len(step.statements)}); let it come to its end first: set state: Applied and the annotation "
                "zanith.io/retry, or run `zanith migrate up`",
                reason="StepFailed",
                step=step.index,
            )


def _check_all(session: Session, frozen: FrozenPlan, back: list[PlannedStep], retry: str) -> None:
    ahead = LookAhead()
    for step in back:
        try:
            _check(session, step, ahead, ask_data=True)
        except Refusal as refused:
            _record(session, frozen, refused, retry)
            raise


def _check(session: Session, step: PlannedStep, ahead: LookAhead, *, ask_data: bool) -> None:
    begun = session.ledger.read_checkpoint(session.migration_id, step.index, UNDO_LANE)
    with translated(f"looking at step {step.index} {step.kind}", step=step.index):
        check_not_being_restored(session, step)
        may_ask = ahead.may_ask(step)
        if begun is None or not begun.has_moved:
            # Otherwise it was looked at before, and has begun.
            kept = kept_by(session, step)
            check_shadow(session.conn, kept, step=step.index)
            if may_ask:
                check_kept(session.conn, kept, begun=False, step=step.index)
            check_undoable(session, step)
            if may_ask and ask_data:
                check_fits(session, step)


def _record(session: Session, frozen: FrozenPlan, refused: Refusal, retry: str) -> None:
    assert refused.step is not None
    with translated("recording the refusal"):
        session.ledger.record_refusal(frozen.plan, frozen.plan.steps[refused.step - 1], refused, retry)
        session.notify(now=True)


def _read(session: Session) -> MigrationRecord:
    return read_migration(session.conn, session.settings.schema, session.migration_id)


def _unknown(session: Session) -> Conflict:
    return Conflict(
        f"migration {session.migration_id} never began on this database; there is nothing to take back",
        reason="LedgerConflict",
    )
