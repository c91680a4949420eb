"""The rules of `spec.state: Reverted`: the first that has something to say is the situation of the migration.

Taking back goes by the ledger alone, so there is no plan to make, to hold against gates or to approve. What cannot be
taken back is refused by the runner, which has looked at the data.
"""

from __future__ import annotations

from zanith.api.conditions import Reason
from zanith.api.spec import MigrationSpec
from zanith.controller.decide import expiry
from zanith.controller.decide.attempts import in_line, next_start
from zanith.controller.decide.decision import Situation
from zanith.controller.decide.either_way import (
    belongs_to_another,
    job_active,
    job_leaving,
    queued,
    starting,
    suspended,
    unread_but_ready,
    unreadable,
)
from zanith.controller.decide.last_attempt import verdict_on
from zanith.controller.decide.observed import JobAction, Observed


def situation(observed: Observed, spec: MigrationSpec) -> Situation:
    """Which row of the condition table holds for a migration that is to be taken back."""
    for rule in _RULES:
        found = rule(observed, spec)
        if found is not None:
            return found
    start = next_start(observed, spec, _plan_hash(observed), JobAction.REVERT)
    return starting(observed, start, Reason.REVERTING, f"starting attempt {start.attempt}: the steps are taken back")


def _reverted(observed: Observed, spec: MigrationSpec) -> Situation | None:
    """Only the ledger says it, and only while nobody is at work on the opposite."""
    ledger = observed.ledger
    if observed.at_work(JobAction.APPLY):
        return None
    if ledger is None:
        return unread_but_ready(observed, Reason.REVERTED, "taken back")
    if not ledger.taken_back:
        return None
    words = "every step is taken back" if observed.began else "it never began: there is nothing to take back"
    return belongs_to_another(observed, spec) or expiry.at_rest(
        observed, spec, Situation(Reason.REVERTED, words, expiry.recheck_s(ledger, spec))
    )


def _job_active(observed: Observed, spec: MigrationSpec) -> Situation | None:
    return job_active(observed, spec, JobAction.REVERT)


def _last_attempt(observed: Observed, spec: MigrationSpec) -> Situation | None:
    """A refusal stands until the annotation zanith.io/retry is new, or the spec is edited: to Applied and back, say."""
    return verdict_on(observed, spec, in_line(observed, JobAction.REVERT), _plan_hash(observed))


def _plan_hash(observed: Observed) -> str:
    """Of the plan that was agreed when it began."""
    assert observed.ledger is not None, "the rules above ask for the ledger first"
    plan = observed.ledger.plan
    return plan.hash if plan is not None else ""


_RULES = (
    _reverted,
    suspended,
    _job_active,
    job_leaving,
    unreadable,
    belongs_to_another,
    _last_attempt,
    queued,
)
