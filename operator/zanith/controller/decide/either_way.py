"""Rules that hold whichever way a migration goes, forth or back: suspended, stopping, unreadable, queued, starting."""

from __future__ import annotations

from zanith.api.conditions import ConditionStatus, ConditionType, Reason
from zanith.api.spec import MigrationSpec
from zanith.controller.decide import running
from zanith.controller.decide.attempts import run_hash
from zanith.controller.decide.decision import Situation, StartJob
from zanith.controller.decide.observed import JobAction, Observed

SOON_S = 10.0
LATER_S = 60.0
RARELY_S = 300.0

_KEPT_WHILE_UNREADABLE = frozenset(
    {Reason.DATABASE_UNREACHABLE, Reason.SECRET_NOT_FOUND, Reason.SECRET_FORBIDDEN, Reason.RETRYING}
)


def unread_but_ready(observed: Observed, reason: Reason, message: str) -> Situation | None:
    """While the ledger cannot be read, what it said before stands: an outage undoes nothing."""
    trouble, ready = observed.ledger_trouble, observed.previous.condition(ConditionType.READY)
    if ready is None or (ready.status, ready.reason) != (ConditionStatus.TRUE, reason):
        return None
    if trouble is None or trouble.reason not in _KEPT_WHILE_UNREADABLE:
        return None
    return Situation(reason, message, LATER_S)


def suspended(observed: Observed, spec: MigrationSpec) -> Situation | None:
    """A person asked it to stand still."""
    if not spec.suspend:
        return None
    active = tuple(j.name for j in observed.jobs if j.active)
    if active or any(j.stopping(observed.now) for j in observed.jobs):
        message = "stopping: the runner finishes its batch; set spec.suspend to false to go on"
    else:
        message = "suspended; set spec.suspend to false to go on"
    return Situation(Reason.SUSPENDED, message, RARELY_S, stop=active)


def job_active(observed: Observed, spec: MigrationSpec, action: JobAction) -> Situation | None:
    """Its Job is at work, or at what is not wanted any more."""
    last = observed.newest
    if last is None or not last.active:
        return None
    going = Reason.REVERTING if action is JobAction.REVERT else Reason.RUNNING
    if last.action is not action:
        message = (
            f"attempt {last.attempt} was started to {last.action} and stops after its batch; then {_VERBS[action]}"
        )
        return Situation(going, message, SOON_S, stop=(last.name,))
    if last.run_hash != run_hash(spec):
        return Situation(
            going,
            f"the spec changed: attempt {last.attempt} stops after its batch, the next goes on with the new one",
            SOON_S,
            stop=(last.name,),
        )
    return running.situation(observed, spec, last)


_VERBS = {
    JobAction.APPLY: "the migration goes on",
    JobAction.REVERT: "the steps are taken back",
}


def job_leaving(observed: Observed, spec: MigrationSpec) -> Situation | None:
    """A Job was deleted, and its runner may still be at work."""
    leaving = next((j for j in observed.jobs if j.stopping(observed.now)), None)
    if leaving is None:
        return None
    return Situation(Reason.RETRYING, f"attempt {leaving.attempt} is stopping", SOON_S)


def unreadable(observed: Observed, spec: MigrationSpec) -> Situation | None:
    """Without the ledger nothing is decided."""
    if observed.ledger_trouble is not None:
        trouble = observed.ledger_trouble
        return Situation(trouble.reason, trouble.message, recheck_s(trouble.reason))
    if observed.ledger is None:
        return Situation(Reason.PLANNING, "reading the ledger", SOON_S)
    return None


def belongs_to_another(observed: Observed, spec: MigrationSpec, *, edited: bool = False) -> Situation | None:
    """The id was begun by another resource that is there, or that had other steps."""
    ledger = observed.ledger
    if ledger is None or not all(ledger.owner) or ledger.owner == (observed.namespace, observed.name):
        return None
    if not (observed.owner_lives or edited):
        return None
    return Situation(
        Reason.LEDGER_CONFLICT,
        f"migration id {spec.migration_id} of this database belongs to ZanithMigration {'/'.join(ledger.owner)}; "
        "give this one another spec.migrationId",
        RARELY_S,
    )


def queued(observed: Observed, spec: MigrationSpec) -> Situation | None:
    """It is somebody else's turn."""
    if not observed.waits_for:
        return None
    return Situation(Reason.QUEUED, f"waits for {observed.waits_for}", SOON_S, queued=True)


def starting(observed: Observed, start: StartJob, reason: Reason, message: str) -> Situation:
    """Nothing is in the way of a Job, but perhaps the API server."""
    if observed.job_problem:
        message = f"the API server refused Job {start.name}: {observed.job_problem}"
        return Situation(Reason.POD_NOT_STARTING, message, SOON_S, start=start)
    return Situation(reason, message, SOON_S, start=start)


def recheck_s(reason: Reason) -> float:
    """No watch tells of Secrets, rights or catalogs that were put right."""
    if reason.row.stalled is ConditionStatus.TRUE and reason is not Reason.SECRET_FORBIDDEN:
        return LATER_S
    return SOON_S
