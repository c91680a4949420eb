"""What becomes of artifacts whose life ends, while the migration is at rest: told, kept, or purged by a Job.

Every date is held against the database's clock. Who purges is the runner, which asks that clock again: an operator whose
own clock is wrong, or that was away when something expired, wakes at the wrong moment and does the right thing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace

from zanith.api.conditions import wire_time
from zanith.api.names import HOLD
from zanith.api.spec import ExpiryPolicy, MigrationSpec, seconds
from zanith.api.status import ArtifactState, ArtifactStatus
from zanith.controller.decide.attempts import in_line, next_start
from zanith.controller.decide.decision import PostEvent, Situation
from zanith.controller.decide.either_way import SOON_S
from zanith.controller.decide.last_attempt import verdict_on
from zanith.controller.decide.observed import JobAction, LedgerView, Observed
from zanith.controller.decide.running import POLL_S

SETTLED_S = 3600.0
"""How often a migration at rest is looked at where nothing asks for it."""
_TOLD = 3


def recheck_s(ledger: LedgerView, spec: MigrationSpec) -> float:
    """Seconds until an artifact changes its state, an hour at most.

    By the state it has: dates are cut to the second, so the one a change is waited for may have passed, if not by much.
    """
    before_s = {ArtifactState.LIVE: seconds(spec.expiry_warning), ArtifactState.EXPIRING: 0.0}
    ahead_s = [
        max(0.0, (a.expires_at - ledger.now).total_seconds() - before_s[a.state])
        for a in ledger.artifacts
        if a.expires_at is not None and a.state in before_s
    ]
    return min([*ahead_s, SETTLED_S - 1]) + 1


def kept_because(observed: Observed, spec: MigrationSpec) -> str:
    """Why nothing is purged, or nothing."""
    if spec.expiry_policy is ExpiryPolicy.RETAIN:
        return "spec.expiryPolicy is Retain"
    if observed.hold:
        return f"the annotation {HOLD} is set"
    return "spec.suspend is true" if spec.suspend else ""


def at_rest(observed: Observed, spec: MigrationSpec, rest: Situation) -> Situation:
    """A migration that is as asked, and what is purged of it by the way: it stays as ready as it is."""
    assert observed.ledger is not None, "only the ledger says that it is at rest"
    expired = sorted(a.id for a in observed.ledger.artifacts if a.state is ArtifactState.EXPIRED)
    purging = next((j for j in observed.jobs if j.active and j.action is JobAction.PURGE), None)
    if kept_because(observed, spec):
        return replace(rest, stop=(purging.name,)) if purging is not None else rest
    if not expired:
        return rest
    if purging is not None:
        return replace(rest, message=f"{rest.message}; purging what has expired", recheck_s=POLL_S)
    if observed.at_work(*JobAction):
        return replace(rest, recheck_s=min(rest.recheck_s, SOON_S))
    return _purge(observed, spec, rest, hashlib.sha256("\n".join(expired).encode()).hexdigest()[:16])


def _purge(observed: Observed, spec: MigrationSpec, rest: Situation, what: str) -> Situation:
    """Named by what is to go, so that it is begun once; tried again as any other attempt is."""
    found = verdict_on(observed, spec, in_line(observed, JobAction.PURGE), what)
    if found is not None:
        message = f"{rest.message}; what has expired is not purged yet: {found.message}"
        return replace(rest, message=message, recheck_s=min(found.recheck_s, rest.recheck_s))
    if observed.waits_for:
        message = f"{rest.message}; the purge of what has expired waits for {observed.waits_for}"
        return replace(rest, message=message, recheck_s=SOON_S, queued=True)
    start = next_start(observed, spec, what, JobAction.PURGE)
    if observed.job_problem:
        message = f"{rest.message}; the API server refused Job {start.name}, the purge: {observed.job_problem}"
        return replace(rest, message=message, recheck_s=SOON_S, start=start)
    note = f"starting attempt {start.attempt}: what has expired is purged"
    message = f"{rest.message}; purging what has expired"
    return replace(rest, message=message, recheck_s=SOON_S, start=start, note=note)


def events(observed: Observed, after: Iterable[ArtifactStatus]) -> list[PostEvent]:
    """What artifacts have become since the status was written last: told once, whoever wrote it."""
    spec = observed.spec
    if spec is None:
        return []
    before = {a.id: a.state for a in observed.previous.artifacts}
    became: dict[ArtifactState, list[ArtifactStatus]] = {}
    for artifact in after:
        if artifact.state is not before.get(artifact.id):
            became.setdefault(artifact.state, []).append(artifact)
    told = []
    if soon := became.get(ArtifactState.EXPIRING):
        told.append(PostEvent("Warning", "ArtifactsExpiring", f"{_named(soon)}; {_what_to_do(observed, spec)}"))
    if over := became.get(ArtifactState.EXPIRED):
        told.append(PostEvent("Warning", "ArtifactsExpired", f"{_named(over)}; {_what_next(observed, spec)}"))
    if gone := [a for a in became.get(ArtifactState.PURGED, ()) if a.id in before]:
        told.append(PostEvent("Normal", "ArtifactsPurged", f"{_named(gone)}; the data is gone for good"))
    return told


def _what_to_do(observed: Observed, spec: MigrationSpec) -> str:
    kept = kept_because(observed, spec)
    if kept:
        return f"the data is kept after that, for {kept}; to bring it back: zanith recover"
    return f"then it is purged; to keep it: {_hold(observed)}; to bring it back: zanith recover"


def _what_next(observed: Observed, spec: MigrationSpec) -> str:
    kept = kept_because(observed, spec)
    if kept:
        return f"the data is kept, for {kept}; to remove it for good: zanith recover purge"
    return "it is purged by a Job, for spec.expiryPolicy is Purge"


def _hold(observed: Observed) -> str:
    return f"kubectl -n {observed.namespace} annotate zm {observed.name} {HOLD}=true"


def _named(artifacts: list[ArtifactStatus]) -> str:
    """`users.email (ID), expiry 2026-04-28T12:00:00Z`, and how many more."""
    shown = [f"{a.source} ({a.id}){_until(a)}" for a in artifacts[:_TOLD]]
    more = len(artifacts) - len(shown)
    return ", ".join(shown) + (f", and {more} more" if more else "")


def _until(artifact: ArtifactStatus) -> str:
    return f", expiry {wire_time(artifact.expires_at)}" if artifact.expires_at is not None else ""
