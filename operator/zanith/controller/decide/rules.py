"""The rules, in order: the first that has something to say is the situation of the migration.

Each rule is one question. A rule that needs what is not known (the ledger, the plan) comes after the one that says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from zanith.api.conditions import ConditionStatus, ConditionType, Reason, wire_time
from zanith.api.spec import DesiredState, MigrationSpec, ReadyWhen, seconds
from zanith.api.status import StepState
from zanith.controller.decide import last_attempt, running
from zanith.controller.decide.attempts import next_start, run_hash
from zanith.controller.decide.decision import Situation
from zanith.controller.decide.observed import LedgerView, Observed
from zanith.planning.gates import approval_needed, refusal

_SOON_S = 10.0
_LATER_S = 60.0
_RARELY_S = 300.0
_SETTLED_S = 3600.0

Rule = Callable[[Observed, MigrationSpec], Situation | None]

_KEPT_WHILE_UNREADABLE = frozenset(
    {Reason.DATABASE_UNREACHABLE, Reason.SECRET_NOT_FOUND, Reason.SECRET_FORBIDDEN, Reason.RETRYING}
)


def situation_of(observed: Observed) -> Situation:
    """Which row of the condition table holds, and what follows from it."""
    if observed.spec is None:
        return Situation(Reason.INVALID_PLAN, observed.spec_problem, _RARELY_S)
    for rule in _RULES:
        found = rule(observed, observed.spec)
        if found is not None:
            return _schema_ready(observed, observed.spec, found)
    return _schema_ready(observed, observed.spec, _start(observed, observed.spec))


def wants_plan(observed: Observed) -> bool:
    """Whether a plan from the live catalog is needed: nothing runs, and the migration has not begun or has grown."""
    if observed.spec is None or observed.ledger is None or (observed.began and not observed.appended):
        return False
    return all(rule(observed, observed.spec) is None for rule in _BEFORE_PLANNING)


def _not_supported(observed: Observed, spec: MigrationSpec) -> Situation | None:
    if spec.state is DesiredState.REVERTED:
        return Situation(
            Reason.INVALID_PLAN, "spec.state: Reverted is not supported by this version; set it to Applied", _RARELY_S
        )
    return None


def _applied(observed: Observed, spec: MigrationSpec) -> Situation | None:
    """Only the ledger says it; while it cannot be read, what it said before stands: an outage undoes nothing."""
    ledger = observed.ledger
    if ledger is None:
        return _applied_before(observed)
    if ledger.applied_at is None:
        return None
    return _disagreement(observed, spec) or Situation(
        Reason.APPLIED, f"applied {wire_time(ledger.applied_at)}", _until_next_expiry(ledger, spec)
    )


def _applied_before(observed: Observed) -> Situation | None:
    at, trouble = observed.previous.applied_at, observed.ledger_trouble
    ready = observed.previous.condition(ConditionType.READY)
    if at is None or ready is None or ready.status is not ConditionStatus.TRUE:
        return None
    if trouble is None or trouble.reason not in _KEPT_WHILE_UNREADABLE:
        return None
    return Situation(Reason.APPLIED, f"applied {wire_time(at)}", _LATER_S)


def _suspended(observed: Observed, spec: MigrationSpec) -> Situation | None:
    if not spec.suspend:
        return None
    active = tuple(j.name for j in observed.jobs if j.active)
    if active or any(j.stopping(observed.now) for j in observed.jobs):
        message = "stopping: the runner finishes its batch; set spec.suspend to false to go on"
    else:
        message = "suspended; set spec.suspend to false to go on"
    return Situation(Reason.SUSPENDED, message, _RARELY_S, stop=active)


def _job_active(observed: Observed, spec: MigrationSpec) -> Situation | None:
    last = observed.newest
    if last is None or not last.active:
        return None
    if last.run_hash != run_hash(spec):
        return Situation(
            Reason.RUNNING,
            f"the spec changed: attempt {last.attempt} stops after its batch, the next goes on with the new one",
            _SOON_S,
            stop=(last.name,),
        )
    return running.situation(observed, spec, last)


def _job_leaving(observed: Observed, spec: MigrationSpec) -> Situation | None:
    leaving = next((j for j in observed.jobs if j.stopping(observed.now)), None)
    if leaving is None:
        return None
    return Situation(Reason.RETRYING, f"attempt {leaving.attempt} is stopping", _SOON_S)


def _unreadable(observed: Observed, spec: MigrationSpec) -> Situation | None:
    if observed.ledger_trouble is not None:
        trouble = observed.ledger_trouble
        return Situation(trouble.reason, trouble.message, _recheck_s(trouble.reason))
    if observed.ledger is None:
        return Situation(Reason.PLANNING, "reading the ledger", _SOON_S)
    return None


def _disagreement(observed: Observed, spec: MigrationSpec) -> Situation | None:
    """The steps and the owner of a migration that began against those of this resource."""
    ledger = observed.ledger
    if ledger is None or ledger.began_at is None:
        return None
    begun = ledger.digests
    edited = next((i for i, digest in enumerate(begun, start=1) if digest not in observed.digests[i - 1 : i]), None)
    theirs = all(ledger.owner) and ledger.owner != (observed.namespace, observed.name)
    if theirs and (observed.owner_lives or edited is not None):
        return Situation(
            Reason.LEDGER_CONFLICT,
            f"migration id {spec.migration_id} of this database belongs to ZanithMigration {'/'.join(ledger.owner)}; "
            "give this one another spec.migrationId",
            _RARELY_S,
        )
    if edited is not None:
        return Situation(
            Reason.CHANGED_AFTER_APPLY,
            f"spec.steps[{edited - 1}] is not what was begun; restore it and put changes into new steps or a new migration",
            _RARELY_S,
        )
    if ledger.applied_at is not None and observed.appended:
        return Situation(
            Reason.CHANGED_AFTER_APPLY,
            f"spec.steps[{len(begun)}] was added after the migration was applied; put it into a new migration",
            _RARELY_S,
        )
    return None


def _dependencies(observed: Observed, spec: MigrationSpec) -> Situation | None:
    if observed.began:
        return None
    if observed.cycle:
        circle = " → ".join([*observed.cycle, observed.cycle[0]])
        return Situation(Reason.DEPENDENCY_CYCLE, f"spec.dependsOn goes round in a circle: {circle}", _RARELY_S)
    for state, reason, words in (
        ("failed", Reason.DEPENDENCY_FAILED, "needs a person first"),
        ("missing", Reason.DEPENDENCY_MISSING, "does not exist in this namespace"),
        ("pending", Reason.DEPENDENCY_PENDING, "is not ready yet"),
    ):
        names = [d.name for d in observed.dependencies if d.state == state]
        if names:
            return Situation(reason, f"{names[0]} {words}{_and_more(names)}", _RARELY_S)
    return None


def _and_more(names: list[str]) -> str:
    return f", and {len(names) - 1} more" if len(names) > 1 else ""


def _unplanned(observed: Observed, spec: MigrationSpec) -> Situation | None:
    if observed.plan_trouble is not None:
        trouble = observed.plan_trouble
        return Situation(trouble.reason, trouble.message, _recheck_s(trouble.reason))
    if observed.agreed_plan is None:
        return Situation(Reason.PLANNING, "planning against the live catalog", _SOON_S)
    return None


def _needs_approval(observed: Observed, spec: MigrationSpec) -> Situation | None:
    """Of a plan not yet begun. One that is refused anyway needs none: its Job only records the refusal."""
    if observed.plan is None or refusal(observed.plan, spec.gates) is not None:
        return None
    needed = approval_needed(observed.plan, spec.gates, observed.approve)
    if needed is None:
        return None
    return Situation(Reason.AWAITING_APPROVAL, needed.message, _RARELY_S)


def _queued(observed: Observed, spec: MigrationSpec) -> Situation | None:
    if not observed.waits_for:
        return None
    return Situation(Reason.QUEUED, f"waits for {observed.waits_for}", _SOON_S, queued=True)


def _start(observed: Observed, spec: MigrationSpec) -> Situation:
    assert observed.agreed_plan is not None, "the rules above ask for a plan first"
    start = next_start(observed, spec, observed.agreed_plan.hash)
    if observed.job_problem:
        message = f"the API server refused Job {start.name}: {observed.job_problem}"
        return Situation(Reason.POD_NOT_STARTING, message, _SOON_S, start=start)
    return Situation(Reason.RUNNING, f"starting attempt {start.attempt}", _SOON_S, start=start)


_BEFORE_PLANNING: tuple[Rule, ...] = (
    _not_supported,
    _applied,
    _suspended,
    _job_active,
    _job_leaving,
    _unreadable,
    _disagreement,
    _dependencies,
)
_RULES: tuple[Rule, ...] = (
    *_BEFORE_PLANNING,
    _unplanned,
    last_attempt.situation,
    _needs_approval,
    _queued,
)


def _schema_ready(observed: Observed, spec: MigrationSpec, found: Situation) -> Situation:
    """Ready all the same, where only backfills are left and that is enough; what goes on stands in the message."""
    if spec.ready_when is not ReadyWhen.SCHEMA_READY or found.reason.row.reconciling is not ConditionStatus.TRUE:
        return found
    if not _only_backfills_left(observed):
        return found
    return replace(found, reason=Reason.SCHEMA_READY, message=f"the schema is ready; {found.message}")


def _only_backfills_left(observed: Observed) -> bool:
    ledger, before = observed.ledger, observed.previous
    if ledger is None:
        left = [s.kind for s in before.steps if s.state is not StepState.DONE]
        return before.started_at is not None and all(kind == "backfill" for kind in left)
    plan = observed.agreed_plan
    if ledger.began_at is None or plan is None:
        return False
    return all(step.is_backfill for step in plan.steps if step.index not in ledger.done)


def _until_next_expiry(ledger: LedgerView, spec: MigrationSpec) -> float:
    """Seconds until an artifact changes its state, an hour at most."""
    warning_s = seconds(spec.expiry_warning)
    left_s = [(a.expires_at - ledger.now).total_seconds() for a in ledger.artifacts if a.expires_at is not None]
    ahead_s = [s for s in (*left_s, *(s - warning_s for s in left_s)) if s > 0]
    return min([*ahead_s, _SETTLED_S - 1]) + 1


def _recheck_s(reason: Reason) -> float:
    """No watch tells of Secrets, rights or catalogs that were put right."""
    if reason.row.stalled is ConditionStatus.TRUE and reason is not Reason.SECRET_FORBIDDEN:
        return _LATER_S
    return _SOON_S
