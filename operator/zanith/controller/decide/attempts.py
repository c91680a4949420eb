"""Attempts: how the last one ended, whether it made progress, and when and as what the next one starts."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timedelta
from enum import StrEnum

from zanith.api.spec import MigrationSpec
from zanith.controller.decide.decision import StartJob
from zanith.controller.decide.observed import JobAction, JobState, JobView, LedgerView, Observed
from zanith.core.errors import ExitCode

MAX_DELAY_S = 60.0
_NAME_LIMIT = 63
_DIGEST_LENGTH = 10
_RUN_FIELDS = frozenset({"migration_id", "database", "steps", "gates", "retention", "state"})


class Outcome(StrEnum):
    """How an attempt ended."""

    SUCCEEDED = "succeeded"
    TRY_AGAIN = "try again"
    FINAL = "final"
    STOPPED = "stopped"
    LOST = "lost"
    """Evicted, drained, its node gone: says nothing about the migration."""
    CRASHED = "crashed"
    """Ended without a verdict."""


_BY_EXIT_CODE = {
    int(ExitCode.APPLIED): Outcome.SUCCEEDED,
    int(ExitCode.TRY_AGAIN): Outcome.TRY_AGAIN,
    int(ExitCode.REFUSED_OR_FAILED): Outcome.FINAL,
    int(ExitCode.STOPPED): Outcome.STOPPED,
}


def outcome_of(job: JobView) -> Outcome:
    """How a Job that is over ended. A verdict of the runner counts even where the pod was then taken away."""
    if job.state is JobState.SUCCEEDED:
        return Outcome.SUCCEEDED
    if job.pod is None or job.pod.exit_code is None:
        return Outcome.LOST
    verdict = _BY_EXIT_CODE.get(job.pod.exit_code)
    if verdict is not None:
        return verdict
    return Outcome.LOST if job.pod.disrupted else Outcome.CRASHED


def made_progress(job: JobView, ledger: LedgerView | None) -> bool:
    """Whether the ledger is further than when the Job was started."""
    return ledger is not None and ledger.mark != job.mark


def tries_after(job: JobView, ledger: LedgerView | None) -> int:
    """Attempts in a row without progress, this one included; what the backoff goes by."""
    return 1 if made_progress(job, ledger) else job.tries + 1


def crashes_after(job: JobView, ledger: LedgerView | None) -> int:
    """Crashes in a row without progress, this one included where it is one."""
    if outcome_of(job) is not Outcome.CRASHED:
        return 0 if made_progress(job, ledger) else job.crashes
    return 1 if made_progress(job, ledger) else job.crashes + 1


def next_try_at(job: JobView, ledger: LedgerView | None) -> datetime:
    """When the attempt after this one may start: 1, 2, 4 ... 60 s later, spread by the Job's name."""
    exponent = min(tries_after(job, ledger), 7)
    delay_s = 1.0 if outcome_of(job) is Outcome.STOPPED else min(2.0**exponent, MAX_DELAY_S)
    spread = 0.5 + int(hashlib.sha256(job.name.encode()).hexdigest()[:4], 16) / 0x20000
    return (job.finished_at or job.created_at) + timedelta(seconds=delay_s * spread)


def asked_again(observed: Observed) -> bool:
    """Whether a person asked for another try since the last Job was started."""
    last = observed.newest
    return bool(observed.retry) and (last is None or last.retry != observed.retry)


def in_line(observed: Observed, action: JobAction) -> JobView | None:
    """The last Job, where the next one of this action would go on from it.

    Taking back is asked for by an edit of the spec, so a Job of an earlier generation answered an earlier question.
    """
    last = observed.newest
    if last is None or last.action is not action:
        return None
    return None if action is JobAction.REVERT and last.generation != observed.generation else last


def run_hash(spec: MigrationSpec) -> str:
    """Over what a runner is given and cannot re-read while it works. Defaults spelt out or left out are the same."""
    content = spec.model_dump(mode="json", by_alias=True, exclude_defaults=True, include=set(_RUN_FIELDS))
    content["job"] = spec.execution.job.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:16]


def job_name(migration: str, uid: str, plan_hash: str, attempt: int) -> str:
    """The same for the same attempt at the same plan, so that creating it twice creates one. At most 63 characters."""
    digest = hashlib.sha256(f"{uid}/{plan_hash}/{attempt}".encode()).hexdigest()[:_DIGEST_LENGTH]
    return f"{migration[: _NAME_LIMIT - _DIGEST_LENGTH - 1].rstrip('-.')}-{digest}"


def next_start(
    observed: Observed, spec: MigrationSpec, plan_hash: str, action: JobAction = JobAction.APPLY
) -> StartJob:
    """The attempt after the last; a person's retry, or another thing to do, starts the counts anew."""
    last, ledger = in_line(observed, action), observed.ledger
    attempt = 1 + max(
        observed.newest.attempt if observed.newest is not None else 0,
        observed.previous.job.attempt if observed.previous.job is not None else 0,
    )
    anew = last is None or asked_again(observed)
    return StartJob(
        name=job_name(observed.name, observed.uid, plan_hash, attempt),
        attempt=attempt,
        action=action,
        generation=observed.generation,
        plan_hash=plan_hash,
        run_hash=run_hash(spec),
        retry=observed.retry,
        mark=ledger.mark if ledger is not None else "",
        failure_seen=ledger.failure.key if ledger is not None and ledger.failure is not None else "",
        tries=0 if anew or last is None else tries_after(last, ledger),
        crashes=0 if anew or last is None else crashes_after(last, ledger),
    )
