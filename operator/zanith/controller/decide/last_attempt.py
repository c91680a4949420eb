"""After an attempt: refused, failed for good, crashing, to be tried again in a while, or free to go on."""

from __future__ import annotations

from zanith.api.conditions import ConditionStatus, Reason
from zanith.api.spec import MigrationSpec
from zanith.controller.decide.attempts import (
    Outcome,
    asked_again,
    crashes_after,
    in_line,
    next_try_at,
    outcome_of,
    run_hash,
)
from zanith.controller.decide.decision import Situation
from zanith.controller.decide.observed import JobAction, JobView, Observed, Verdict
from zanith.planning.gates import refusal

_RARELY_S = 300.0
_REASONS = frozenset(reason.value for reason in Reason)


def situation(observed: Observed, spec: MigrationSpec) -> Situation | None:
    """Of a migration without an active Job, with a plan; None where an attempt may start."""
    assert observed.agreed_plan is not None, "the rules before ask for a plan first"
    last = in_line(observed, JobAction.APPLY)
    return _refused(observed, spec) or _failed(observed) or verdict_on(observed, spec, last, observed.agreed_plan.hash)


def verdict_on(observed: Observed, spec: MigrationSpec, last: JobView | None, plan_hash: str) -> Situation | None:
    """What the last Job of this kind says by itself; None where another may start."""
    if last is None or asked_again(observed):
        return None
    waiting = _waiting(observed, last)
    if (last.plan_hash, last.run_hash) != (plan_hash, run_hash(spec)):
        return waiting  # it did something else than what would be done now
    return _said_no(observed, last) or _crash_looping(observed, spec, last) or waiting


def _refused(observed: Observed, spec: MigrationSpec) -> Situation | None:
    """The refusal is recorded for this plan and retry value. A gate that was opened since gets another Job."""
    recorded, plan, last = observed.refusal, observed.plan, in_line(observed, JobAction.APPLY)
    if recorded is None or plan is None:
        return None
    no = refusal(plan, spec.gates)
    if no is not None:
        return Situation(Reason(no.reason), no.message, _RARELY_S)
    ran_as_is = last is not None and last.run_hash == run_hash(spec)
    if recorded.reason is not Reason.PROBE_FAILED and not ran_as_is:
        return None
    step = plan.steps[recorded.step - 1] if recorded.step <= len(plan.steps) else plan.worst_step
    message = f"{recorded.error}: step {step.index} {step.kind} of {step.target}{_try_again(observed)}"
    return Situation(recorded.reason, message, _RARELY_S)


def _failed(observed: Observed) -> Situation | None:
    """The ledger's last word on a step is `failed`, and no later attempt got as far."""
    failure = observed.ledger.failure if observed.ledger is not None else None
    if failure is None or asked_again(observed):
        return None
    last = in_line(observed, JobAction.APPLY)
    if last is not None and last.failure_seen == failure.key:
        return None
    return Situation(failure.reason, f"{failure.error}{_try_again(observed)}", _RARELY_S)


def _said_no(observed: Observed, last: JobView) -> Situation | None:
    """The runner ended with exit code 20, perhaps before it could write to the ledger."""
    if outcome_of(last) is not Outcome.FINAL:
        return None
    verdict = _verdict(last)
    reason = _reason(verdict, otherwise=Reason.STEP_FAILED)
    if reason.row.stalled is not ConditionStatus.TRUE:
        return None
    words = verdict.message or "the runner gave up without a word; see the log of its pod"
    return Situation(reason, f"{words}{_try_again(observed)}", _RARELY_S)


def _crash_looping(observed: Observed, spec: MigrationSpec, last: JobView) -> Situation | None:
    if outcome_of(last) is not Outcome.CRASHED:
        return None
    crashes = crashes_after(last, observed.ledger)
    if crashes < spec.execution.crash_limit:
        return None
    return Situation(
        Reason.RUNNER_CRASH_LOOPING,
        f"{crashes} attempts in a row ended without progress, the last with {_how(last)}{_try_again(observed)}",
        _RARELY_S,
    )


def _waiting(observed: Observed, last: JobView) -> Situation | None:
    """Until the backoff is over."""
    left_s = (next_try_at(last, observed.ledger) - observed.now).total_seconds()
    if left_s <= 0:
        return None
    verdict = _verdict(last)
    reason = _reason(verdict, otherwise=Reason.RETRYING)
    if reason.row.reconciling is not ConditionStatus.TRUE:
        reason = Reason.RETRYING
    return Situation(reason, f"attempt {last.attempt} ended ({_why(last, verdict)}); trying again", left_s)


def _verdict(job: JobView) -> Verdict:
    return job.pod.verdict if job.pod is not None else Verdict()


def _reason(verdict: Verdict, *, otherwise: Reason) -> Reason:
    return Reason(verdict.reason) if verdict.reason in _REASONS else otherwise


def _how(job: JobView) -> str:
    if job.pod is None or job.pod.exit_code is None:
        return "its pod lost"
    return f"exit code {job.pod.exit_code}{f' ({job.pod.killed})' if job.pod.killed else ''}"


def _why(job: JobView, verdict: Verdict) -> str:
    if verdict.message:
        return verdict.message
    return {
        Outcome.SUCCEEDED: "the ledger does not have what it said it did",
        Outcome.STOPPED: "stopped on request",
        Outcome.LOST: "its pod was lost",
    }.get(outcome_of(job), _how(job))


def _try_again(observed: Observed) -> str:
    return f"; to try again: kubectl -n {observed.namespace} annotate zm {observed.name} --overwrite zanith.io/retry=$(date +%s)"
