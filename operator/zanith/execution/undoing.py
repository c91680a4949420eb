"""Takes steps back, last one first, from the frozen plan in the ledger: never from the spec.

What cannot be undone is refused before anything is touched. Each undone step gets an audit row of its own, ending
`reverted`; its checkpoints go with it, so that applying again begins at the first statement.
"""

from __future__ import annotations

from dataclasses import replace

from zanith.core.errors import Refusal, ZanithError
from zanith.core.sql import raw
from zanith.core.statement import Probe
from zanith.execution.assignment import Progress
from zanith.execution.probing import ask, ask_all
from zanith.execution.session import Session
from zanith.execution.steps import StepRun
from zanith.operations.step_context import Undo
from zanith.planning.plan import PlannedStep
from zanith.postgres.sqlstates import translated

UNDO_LANE = -2
"""The statement cursor of an undo, beside -1, the step's own."""


def chosen_undo(session: Session, step: PlannedStep) -> Undo:
    """The way back that fits the data as it is now; the one that was begun, where one was. Raises Refusal where there is
    none."""
    undo = step.undo
    begun = session.ledger.read_checkpoint(session.migration_id, step.index, UNDO_LANE)
    if begun is not None and begun.cursor["statement"] > 1:
        return _begun(undo, begun.cursor["statement"])
    while undo.unless is not None and undo.otherwise is not None and ask(session, undo.unless, step):
        if undo.otherwise.says:
            _say(session, step, undo.unless, undo.otherwise.says)
        undo = undo.otherwise
    if undo.refused:
        recorded = f"refused — undo: {undo.refused}"
        raise Refusal(
            f"{recorded} (step {step.index} {step.kind})", recorded=recorded, reason="ProbeFailed", step=step.index
        )
    ask_all(session, step, undo.probes)
    return undo


def undo_step(session: Session, step: PlannedStep) -> None:
    """Take one done step back. Raises Refusal, NotYet, StepFailed, Conflict or Stopped."""
    with translated(f"undoing step {step.index} {step.kind}", step=step.index):
        session.ledger.interrupt_leftovers()
        undo = chosen_undo(session, step)
        back = replace(step, statements=undo.statements, probes=())
        ledger = session.ledger
        attempt = ledger.start_attempt(session.migration_id, back)

        def settle() -> None:
            for statement in step.statements:
                if statement.artifact is not None:
                    ledger.artifact_restored(session.migration_id, statement.artifact)
            ledger.finish_attempt(attempt, "reverted")
            ledger.forget_applied(session.migration_id, step.index)

        try:
            StepRun(session, back, settle, lane=UNDO_LANE).run()
        except ZanithError as error:
            if not session.conn.broken:
                ledger.finish_attempt(attempt, "failed", error.message)
            raise


def _begun(undo: Undo, statement: int) -> Undo:
    """The way back that was begun, known by how far it got: what it was chosen for may look different by now."""
    while len(undo.statements) < statement and undo.otherwise is not None:
        undo = undo.otherwise
    return undo


def _say(session: Session, step: PlannedStep, probe: Probe, says: str) -> None:
    """Tell what is lost by the second-best way, with the number of rows that are to blame."""
    rows = ""
    if probe.count_sql:
        (count,) = session.conn.execute(raw(probe.count_sql)).fetchone() or (0,)
        rows = f" ({count} row{'s' if count != 1 else ''})"
    message = f"{says}: {probe.question}{rows}"
    session.tell(Progress("notice", step_index=step.index, kind=step.kind, target=step.target, message=message))
