"""While a Job is active: is its pod up, is there a sign of life, does it hold back, which step is it at."""

from __future__ import annotations

from datetime import datetime, timedelta

from zanith.api.conditions import Reason
from zanith.api.spec import DesiredState, MigrationSpec, seconds
from zanith.controller.decide.decision import Situation
from zanith.controller.decide.observed import BackfillView, JobView, LedgerView, Observed

POLL_S = 5.0
"""How often the ledger is read while a Job is active, where no notification comes first."""
_POD_GRACE = timedelta(seconds=60)
_REPLACED_AFTER = timedelta(minutes=10)


def situation(observed: Observed, spec: MigrationSpec, job: JobView) -> Situation:
    """Of a migration whose newest Job is active."""
    at_work = Reason.REVERTING if spec.state is DesiredState.REVERTED else Reason.RUNNING
    if observed.ledger is None:
        trouble = observed.ledger_trouble
        if trouble is None:
            return Situation(at_work, f"attempt {job.attempt} is running", POLL_S)
        return Situation(trouble.reason, f"{trouble.message}; attempt {job.attempt} goes on by itself", POLL_S)
    waiting = _not_starting(observed, job)
    if waiting:
        # A new attempt may find what this one did not: an image that is there by now, a node with room.
        stop = (job.name,) if observed.now - job.created_at > _REPLACED_AFTER else ()
        return Situation(Reason.POD_NOT_STARTING, waiting, POLL_S, stop=stop)
    held = throttled(observed.ledger)
    if held is not None:
        message = f"step {held.step} holds back: {held.throttled}"
        return Situation(Reason.THROTTLED, message, POLL_S)
    silence = _silent_since(observed, observed.ledger, job)
    if silence is not None and observed.now - silence > timedelta(seconds=seconds(spec.execution.progress_deadline)):
        message = (
            f"no sign of life for {spec.execution.progress_deadline}; see pod {_pod_name(job)} and pg_stat_activity"
        )
        return Situation(Reason.PROGRESS_DEADLINE_EXCEEDED, message, POLL_S)
    return Situation(at_work, _step_message(observed, observed.ledger, job), POLL_S)


def throttled(ledger: LedgerView) -> BackfillView | None:
    """The backfill that holds back for something else's sake."""
    return next((b for b in ledger.backfills if b.throttled and b.step not in ledger.done), None)


def step_at(observed: Observed) -> str:
    """`step 2/5 backfill`: the first that is not done, on the way back the last that is; nothing where there is none."""
    if observed.spec is None:
        return ""
    done = observed.ledger.done if observed.ledger is not None else frozenset()
    total = len(observed.spec.steps)
    if observed.spec.state is DesiredState.REVERTED:
        at = next((i for i in range(total, 0, -1) if i in done), None)
    else:
        at = next((i for i in range(1, total + 1) if i not in done), None)
    return "" if at is None else f"step {at}/{total} {observed.spec.steps[at - 1].operation.kind}"


def _step_message(observed: Observed, ledger: LedgerView, job: JobView) -> str:
    at = step_at(observed)
    if not at:
        return f"attempt {job.attempt} is finishing"
    waits = f"; waits: {ledger.waiting}" if ledger.waiting else ""
    return f"{at}, attempt {job.attempt}{waits}"


def _not_starting(observed: Observed, job: JobView) -> str:
    """Why the pod does not start, once that is more than a moment's matter."""
    pod = job.pod
    if pod is None:
        late = observed.now - job.created_at > _POD_GRACE
        return f"Job {job.name} has no pod yet; see its events (quota, admission)" if late else ""
    if pod.waiting:
        return f"pod {pod.name}: {pod.waiting}"
    late = pod.started_at is None and pod.exit_code is None and observed.now - pod.created_at > _POD_GRACE
    return f"pod {pod.name} has not started; see its events (a Secret or volume may be missing)" if late else ""


def _silent_since(observed: Observed, ledger: LedgerView, job: JobView) -> datetime | None:
    """Since when there is neither a heartbeat nor an excuse, by the operator's clock; None before the pod runs."""
    if job.pod is None or job.pod.started_at is None:
        return None
    signs = [job.pod.started_at]
    if ledger.heartbeat is not None:
        signs.append(observed.now - (ledger.now - ledger.heartbeat))
    if observed.still_until is not None:
        signs.append(observed.still_until)
    return max(signs)


def _pod_name(job: JobView) -> str:
    return job.pod.name if job.pod is not None else job.name
