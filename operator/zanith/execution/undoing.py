"""Takes steps back, from the frozen plan in the ledger: never from the spec.

What cannot be undone is refused before anything is touched. An undone step gets an audit row of its own, ending
`reverted`; its checkpoints go with it, so that applying again begins at the first statement. A restore is the same work
for one artifact, but leaves the step done: its audit row is of a kind of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from zanith.core.errors import Conflict, NotYet, Refusal, Stopped, ZanithError
from zanith.core.identifiers import TableKey
from zanith.core.statement import Probe
from zanith.execution.assignment import Progress
from zanith.execution.probing import ask, ask_all, counted
from zanith.execution.sealing import put_aside, verify
from zanith.execution.session import Session
from zanith.execution.steps import StepRun
from zanith.execution.still_there import check_back, check_kept, check_same_table, oid_of_table
from zanith.ledger.records import Artifact
from zanith.operations.step_context import Undo
from zanith.operations.undo_renamed import undo_renamed
from zanith.planning.plan import PlannedStep
from zanith.postgres.sqlstates import translated

UNDO_LANE = -2
"""The statement cursor of an undo, beside -1, the step's own."""
RESTORE_LANE = -3
"""That of a restore."""
_CHOICE = 10
"""Times a cursor's lane: its `choice_lane`."""


def kept_by(session: Session, step: PlannedStep) -> tuple[Artifact, ...]:
    """What the step kept when it was applied last, whatever has become of it since."""
    drafts = [s.artifact.identifier(session.migration_id) for s in step.statements if s.artifact is not None]
    return tuple(session.ledger.artifacts_of(session.migration_id, drafts)) if drafts else ()


def check_undoable(session: Session, step: PlannedStep) -> None:
    """What is known without a look at the data: raises Refusal where there is no way back, or nothing to go back with,
    and Conflict where what was kept is not what it was."""
    kept = kept_by(session, step)
    drafts = [s.artifact for s in step.statements if s.artifact is not None]
    if len(kept) < len(drafts):
        raise Conflict(
            f"what step {step.index} {step.kind} of {session.migration_id} kept is not in _zanith_migration_artifacts any "
            "more; nothing can be compared with what was recorded, so nothing was touched: put the row back, or bring it "
            "back by hand",
            step=step.index,
        )
    for artifact in kept:
        if artifact.physical_name is None and artifact.restored_at is None:
            raise _refused(step, f"what it kept was purged ({artifact.id})")
    if step.undo.refused and step.undo.unless is None:
        raise _refused(step, step.undo.refused)
    for artifact in kept:
        if artifact.holds_data:
            verify(session.conn, artifact, step.undo)


def way_back(session: Session, step: PlannedStep) -> Undo:
    """The way back as it was planned, before the data says which of its alternatives fits; an empty one where
    `zanith recover` has brought back already what the step took away."""
    kept = kept_by(session, step)
    if kept and all(artifact.restored_at is not None for artifact in kept):
        return Undo()
    return _of_renamed(step, kept)


def chosen_undo(session: Session, step: PlannedStep, lane: int = UNDO_LANE) -> Undo:
    """The way back that fits the data as it is now; the one that was begun, where one was. Raises Refusal where there is
    none, Conflict where what was kept is not there any more, or its place is taken."""
    kept = kept_by(session, step)
    found = session.ledger.read_checkpoint(session.migration_id, step.index, lane)
    begun = found is not None and found.has_moved
    check_kept(session.conn, kept, begun=begun, step=step.index)
    check_undoable(session, step)
    undo, oid = _of_renamed(step, kept), oid_of_table(session.conn, kept)
    choice = session.ledger.open_checkpoint(
        session.migration_id, step.index, choice_lane(lane), {"otherwise": 0, "oid": oid}
    ).cursor
    if begun:
        check_same_table(choice.get("oid"), oid, kept, step.index)
        return _alternative(undo, choice["otherwise"])
    if kept and all(artifact.restored_at is not None for artifact in kept):
        return Undo()  # `zanith recover` has brought it back already
    undo, taken = _fitting(session, step, undo, aloud=True)
    chosen = {"otherwise": taken, "oid": oid}
    if chosen != choice:
        session.ledger.move_checkpoint(session.migration_id, step.index, choice_lane(lane), old=choice, new=chosen)
    return undo


def check_fits(session: Session, step: PlannedStep) -> None:
    """What `chosen_undo` would refuse by a look at catalog and data as they are now; nothing is written."""
    kept = kept_by(session, step)
    if kept and all(artifact.restored_at is not None for artifact in kept):
        return
    check_kept(session.conn, kept, begun=False, step=step.index)
    _fitting(session, step, _of_renamed(step, kept), aloud=False)


def choice_lane(lane: int) -> int:
    """Beside a cursor's lane: the one that says which way back was chosen, and into which table."""
    return lane * _CHOICE


def _fitting(session: Session, step: PlannedStep, undo: Undo, *, aloud: bool) -> tuple[Undo, int]:
    """The alternative that the data allows, and its number."""
    taken = 0
    while undo.unless is not None and undo.otherwise is not None and ask(session, undo.unless, step):
        if undo.otherwise.says and aloud:
            _say(session, step, undo.unless, undo.otherwise.says)
        undo, taken = undo.otherwise, taken + 1
    if undo.refused:
        raise _refused(step, undo.refused)
    ask_all(session, step, undo.probes)
    return undo, taken


def undo_step(session: Session, step: PlannedStep) -> None:
    """Take one done step back. Raises Refusal, NotYet, StepFailed, Conflict or Stopped."""

    def settle() -> None:
        session.ledger.forget_applied(session.migration_id, step.index)

    with translated(f"undoing step {step.index} {step.kind}", step=step.index):
        _go_back(session, step, UNDO_LANE, step.kind, "reverted", settle)


def restore_step(session: Session, step: PlannedStep, kind: str) -> None:
    """Bring back what a done step kept; the step stays done. `kind` is that of the audit row. Raises as `undo_step`."""

    def settle() -> None:
        session.ledger.forget_lanes(session.migration_id, step.index, below=UNDO_LANE)

    with translated(f"restoring what step {step.index} {step.kind} kept", step=step.index):
        begun = session.ledger.read_checkpoint(session.migration_id, step.index, UNDO_LANE)
        if begun is not None and begun.has_moved:
            raise Conflict(
                f"step {step.index} {step.kind} of {session.migration_id} is being reverted; let that come to its end",
                step=step.index,
            )
        _go_back(session, step, RESTORE_LANE, kind, "done", settle)


def restore_alone(session: Session, back: PlannedStep, artifact: Artifact) -> None:
    """Bring an artifact back by a step made for it alone. Raises as `undo_step`."""

    def settle() -> None:
        session.ledger.forget_lanes(session.migration_id, back.index, below=UNDO_LANE)

    with translated(f"restoring {artifact.id}", step=back.index):
        begun = session.ledger.read_checkpoint(session.migration_id, back.index, RESTORE_LANE)
        if begun is not None and begun.has_moved:
            # Its cursor is another restore's: going on from there would skip the statement that is all there is.
            raise Conflict(
                f"a restore of what step {back.index} of {session.migration_id} kept is under way; finish that one first",
                step=back.index,
            )
        session.ledger.interrupt_leftovers()
        _carry_out(session, back, (artifact,), RESTORE_LANE, "done", settle)


def _go_back(
    session: Session, step: PlannedStep, lane: int, kind: str, outcome: str, settle_more: Callable[[], None]
) -> None:
    session.ledger.interrupt_leftovers()
    undo = chosen_undo(session, step, lane)
    back = replace(step, kind=kind, statements=undo.statements, probes=_asked_again(undo))
    _carry_out(session, back, kept_by(session, step), lane, outcome, settle_more)


def _carry_out(
    session: Session,
    back: PlannedStep,
    kept: tuple[Artifact, ...],
    lane: int,
    outcome: str,
    settle_more: Callable[[], None],
) -> None:
    ledger = session.ledger
    attempt = ledger.start_attempt(session.migration_id, back)

    def settle() -> None:
        for artifact in kept:
            if artifact.holds_data:
                check_back(session.conn, artifact)
                ledger.restored(artifact.id)
                put_aside(session, artifact)
        ledger.finish_attempt(attempt, outcome)
        settle_more()

    try:
        StepRun(session, back, settle, lane=lane).run()
    except ZanithError as error:
        if not session.conn.broken:
            goes_on = isinstance(error, NotYet | Stopped)
            ledger.finish_attempt(attempt, "interrupted" if goes_on else "failed", error.message)
        raise


def _of_renamed(step: PlannedStep, kept: tuple[Artifact, ...]) -> Undo:
    """The way back under the name the table has by now: a later migration may have renamed it."""
    drafts = [s.artifact for s in step.statements if s.artifact is not None and s.artifact.source_column is not None]
    for draft in drafts:
        for artifact in kept:
            if (artifact.source_schema, artifact.source_column) == (draft.source_schema, draft.source_column):
                return undo_renamed(step.undo, TableKey(draft.source_schema, draft.source_table), artifact.source_table)
    return step.undo


def _asked_again(undo: Undo) -> tuple[Probe, ...]:
    """What has to hold under the lock too: else rows written since would be lost."""
    asked = (undo.unless, *undo.probes)
    return tuple(probe for probe in asked if probe is not None and probe.under_lock)


def _alternative(undo: Undo, number: int) -> Undo:
    for _ in range(number):
        assert undo.otherwise is not None
        undo = undo.otherwise
    return undo


def _refused(step: PlannedStep, why: str) -> Refusal:
    recorded = f"refused — undo: {why}"
    return Refusal(
        f"{recorded} (step {step.index} {step.kind})", recorded=recorded, reason="ProbeFailed", step=step.index
    )


def _say(session: Session, step: PlannedStep, probe: Probe, says: str) -> None:
    """Tell what is lost by the second-best way, with the number of rows that are to blame."""
    rows = ""
    count = counted(session, probe, step)
    if count is not None:
        rows = f" ({count} row{'s' if count != 1 else ''})"
    message = f"{says}: {probe.question}{rows}"
    session.tell(Progress("notice", step_index=step.index, kind=step.kind, target=step.target, message=message))
