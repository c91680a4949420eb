"""decide: the situation, the status it gives, and what to do about it."""

from __future__ import annotations

from typing import Any

from zanith.api.conditions import ConditionStatus, ConditionType, Reason
from zanith.api.status import DisplayStatus, MigrationStatus
from zanith.controller.decide import expiry
from zanith.controller.decide.decision import (
    Action,
    Decision,
    DeleteJob,
    PostEvent,
    Situation,
    StopJob,
    SyncExecution,
)
from zanith.controller.decide.observed import Observed
from zanith.controller.decide.projection import status_of
from zanith.controller.decide.rules import situation_of

_QUIET = frozenset({Reason.PLANNING, Reason.THROTTLED})
"""Come and go many times in the life of a migration: shown on the resource, not told as events."""
_AT_WORK = frozenset({Reason.RUNNING, Reason.REVERTING})


def decide(observed: Observed) -> Decision:
    """What the status of a migration is and what to do next."""
    situation = situation_of(observed)
    status = status_of(observed, situation)
    return Decision(
        situation=situation,
        status=status,
        actions=_actions(observed, situation, status),
        recheck_s=situation.recheck_s,
    )


def only_progress_differs(before: MigrationStatus, after: MigrationStatus) -> bool:
    """Whether all that is new is how far it is and how that is said: worth a write every few seconds only."""
    return _without_progress(before) == _without_progress(after)


def _without_progress(status: MigrationStatus) -> dict[str, Any]:
    display = (status.display or DisplayStatus()).model_copy(update={"progress": ""})
    conditions = tuple(c.model_copy(update={"message": ""}) for c in status.conditions)
    return status.model_copy(update={"progress": None, "display": display, "conditions": conditions}).to_wire()


def _actions(observed: Observed, situation: Situation, status: MigrationStatus) -> tuple[Action, ...]:
    actions: list[Action] = [StopJob(name) for name in situation.stop]
    superseded = [job.name for job in observed.jobs[:-1] if not job.deleting]
    actions += [DeleteJob(name) for name in superseded if name not in situation.stop]
    newest = observed.newest
    if newest is not None and newest.active and not situation.stop and not observed.execution_synced:
        actions.append(SyncExecution())
    if situation.start is not None:
        actions.append(situation.start)
    event = _event(observed, situation)
    if event is not None:
        actions.append(event)
    return (*actions, *expiry.events(observed, status.artifacts))


def _event(observed: Observed, situation: Situation) -> PostEvent | None:
    """Of a transition to another reason; that it is at work is told of each attempt once."""
    ready = observed.previous.condition(ConditionType.READY)
    known = ready.reason if ready is not None else ""
    if situation.start is not None and not observed.job_problem:
        return PostEvent("Normal", "AttemptStarted", situation.note or situation.message)
    if situation.reason in _QUIET or situation.reason in _AT_WORK or situation.reason == known:
        return None
    warning = situation.reason.row.stalled is ConditionStatus.TRUE
    return PostEvent("Warning" if warning else "Normal", situation.reason, situation.message)
