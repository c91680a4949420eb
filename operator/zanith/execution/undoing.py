"""Takes steps back, last one first, from the frozen plan in the ledger: never from the spec.

What cannot be undone is refused before anything is touched. Each undone step gets an audit row of its own, ending
`reverted`; its checkpoints go with it, so that applying again begins at the first statement.
"""

from __future__ import annotations

from dataclasses import replace

from zanith.core.errors import Refusal, ZanithError
from zanith.execution.probing import ask, ask_all
from zanith.execution.session import Session
from zanith.execution.steps import StepRun
from zanith.operations.step_context import Undo
from zanith.planning.plan import PlannedStep
from zanith.postgres.sqlstates import translated

UNDO_LANE = -2
"""The statement cursor of an undo, beside -1, the step's own."""


def chosen_undo(session: Session, step: PlannedStep) -> Undo:
    """The way back that fits the data as it is now. Raises Refusal where there is none."""
    undo = step.undo
    while undo.unless is not None and undo.otherwise is not None and ask(session, undo.unless, step):
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
    undo = chosen_undo(session, step)
    back = replace(step, statements=undo.statements, probes=())
    ledger = session.ledger
    with translated(f"undoing step {step.index} {step.kind}", step=step.index):
        attempt = ledger.start_attempt(session.migration_id, back)

        def settle() -> None:
            ledger.finish_attempt(attempt, "reverted")
            ledger.forget_applied(session.migration_id, step.index)

        try:
            StepRun(session, back, settle, lane=UNDO_LANE).run()
        except ZanithError as error:
            if not session.conn.broken:
                ledger.finish_attempt(attempt, "failed", error.message)
            raise
