"""What a decision consists of: the status to write, and actions as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from zanith.api.conditions import Reason
from zanith.api.status import MigrationStatus
from zanith.controller.decide.observed import JobAction


@dataclass(frozen=True, slots=True)
class StartJob:
    """Create one attempt. All but its name goes onto the Job, to be read back after a restart."""

    name: str
    attempt: int
    action: JobAction
    generation: int
    plan_hash: str
    run_hash: str
    retry: str
    mark: str
    failure_seen: str
    tries: int
    crashes: int


@dataclass(frozen=True, slots=True)
class StopJob:
    """Delete a running Job in the foreground: its runner stops after the current batch."""

    name: str


@dataclass(frozen=True, slots=True)
class DeleteJob:
    """Delete a Job that a later attempt has superseded, and its ConfigMap."""

    name: str


@dataclass(frozen=True, slots=True)
class SyncExecution:
    """Write `spec.execution` where the running Job reads it."""


@dataclass(frozen=True, slots=True)
class PostEvent:
    """Tell of a transition."""

    type: Literal["Normal", "Warning"]
    reason: str
    note: str


Action = StartJob | StopJob | DeleteJob | SyncExecution | PostEvent


@dataclass(frozen=True, slots=True)
class Situation:
    """The row of the condition table that holds, what to say, what to do, and when to look again at the latest."""

    reason: Reason
    message: str
    recheck_s: float
    start: StartJob | None = None
    stop: tuple[str, ...] = ()
    note: str = ""
    """What is told of `start`; nothing: the message."""
    queued: bool = False
    """Whether it could start but for another migration."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The status, the actions in order, and when to look again even if nothing happens."""

    situation: Situation
    status: MigrationStatus
    actions: tuple[Action, ...]
    recheck_s: float
