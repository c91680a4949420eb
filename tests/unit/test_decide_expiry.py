"""What becomes of artifacts whose life ends: told once, kept or purged, never in the way of being ready."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from decide_builders import NOW, UID, ago, applied, artifact, ended, job, observed, reverted, spec
from decide_rows import REVERTED
from zanith.api.conditions import Reason
from zanith.api.status import ArtifactState, ArtifactStatus
from zanith.controller.decide import Observed, PostEvent, StartJob, StopJob, decide, situation_of
from zanith.controller.decide.attempts import job_name, run_hash
from zanith.controller.decide.observed import JobAction, JobState, JobView

PURGE = spec(expiryPolicy="Purge")
EXPIRED = artifact("email", ArtifactState.EXPIRED, days=-1)
WHAT = hashlib.sha256(b"email").hexdigest()[:16]


def expired(**changes: Any) -> Observed:
    """An applied migration with an artifact that has expired, and a policy to purge it."""
    its = {"of": PURGE, "ledger": applied(PURGE, artifacts=(EXPIRED,)), **changes}
    return observed(**its)


def purging(**changes: Any) -> JobView:
    """An active Job that purges it."""
    its = {"action": JobAction.PURGE, "plan_hash": WHAT, "run_hash": run_hash(PURGE), "mark": "3.0.0"}
    return job(2, **{**its, **changes})


def purged(exit_code: int | None, **changes: Any) -> JobView:
    """Such a Job that failed."""
    its = {"action": JobAction.PURGE, "plan_hash": WHAT, "run_hash": run_hash(PURGE), "mark": "3.0.0"}
    return ended(exit_code, 2, **{**its, **changes})


def test_what_has_expired_is_purged_by_a_job_of_its_own_name() -> None:
    situation = situation_of(expired(jobs=(job(1, state=JobState.SUCCEEDED),)))
    assert situation.reason is Reason.APPLIED
    assert situation.start == StartJob(
        name=job_name("m", UID, WHAT, 2),
        attempt=2,
        action=JobAction.PURGE,
        generation=3,
        plan_hash=WHAT,
        run_hash=run_hash(PURGE),
        retry="",
        mark="3.0.0",
        failure_seen="",
        tries=0,
        crashes=0,
    )


def test_two_operators_name_the_same_purge_alike_and_another_one_otherwise() -> None:
    def name(*names: str) -> str:
        gone = tuple(artifact(n, ArtifactState.EXPIRED, days=-1) for n in names)
        start = situation_of(expired(ledger=applied(PURGE, artifacts=gone))).start
        assert start is not None
        return start.name

    assert name("a", "b") == name("b", "a")
    assert len({name("a"), name("a", "b"), name("b")}) == 3


@pytest.mark.parametrize(
    ("seen", "started"),
    [
        (expired(), True),
        (expired(hold=True), False),
        (expired(of=spec()), False),
        (expired(of=spec(expiryPolicy="Purge", suspend=True)), False),
        (expired(ledger=applied(PURGE, artifacts=(artifact("a", ArtifactState.EXPIRING, days=1),))), False),
        (expired(ledger=applied(PURGE)), False),
        (expired(jobs=(job(),)), False),
        (expired(jobs=(job(deleting_since=ago(seconds=20)),)), False),
        (expired(jobs=(purging(),)), False),
        (expired(jobs=(purged(137, finished_at=NOW),)), False),
        (expired(jobs=(purged(137),)), True),
        (expired(jobs=(purged(None),)), True),
        (expired(jobs=(purged(137, crashes=9),)), False),
        (expired(jobs=(purged(20, message="a view needs it"),)), False),
        (expired(jobs=(purged(20, message="a view needs it"),), retry="now"), True),
        (expired(jobs=(purged(20, plan_hash="something else"),)), True),
        (expired(waits_for="shop/a"), False),
        (expired(job_problem="quota"), True),
        (expired(of=spec(expiryPolicy="Purge", state="Reverted"), ledger=reverted(artifacts=(EXPIRED,))), True),
        (expired(of=REVERTED, ledger=reverted(REVERTED, artifacts=(EXPIRED,))), False),
    ],
)
def test_a_purge_is_started_where_policy_says_so_and_nothing_is_in_the_way(seen: Observed, started: bool) -> None:
    situation = situation_of(seen)
    assert (situation.start is not None) is started
    assert situation.reason in (Reason.APPLIED, Reason.REVERTED)
    assert situation.recheck_s > 0


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (expired(), "applied 2026-03-28T11:55:00Z; purging what has expired"),
        (expired(jobs=(purging(),)), "; purging what has expired"),
        (expired(waits_for="shop/a"), "; the purge of what has expired waits for shop/a"),
        (expired(job_problem="quota"), ", the purge: quota"),
        (
            expired(jobs=(purged(20, message="a view needs it"),)),
            "not purged yet: a view needs it; to try again: kubectl -n shop annotate zm m",
        ),
        (
            expired(jobs=(purged(None, finished_at=NOW),)),
            "not purged yet: attempt 2 ended (its pod was lost); trying again",
        ),
        (
            expired(jobs=(purged(None, finished_at=NOW, run_hash="old"),)),
            "not purged yet: attempt 2 ended (its pod was lost); trying again",
        ),
        (expired(jobs=(purged(137, crashes=5),)), "not purged yet: 6 attempts in a row ended without progress"),
    ],
)
def test_a_migration_stays_ready_while_it_is_purged_and_says_how_that_goes(seen: Observed, words: str) -> None:
    ready = decide(seen).status.condition("Ready")
    assert ready is not None
    assert (ready.status, words in ready.message) == ("True", True), ready.message


def test_whoever_waits_with_a_purge_stands_in_line() -> None:
    assert situation_of(expired(waits_for="shop/a")).queued


def test_a_purge_that_is_forbidden_meanwhile_is_stopped() -> None:
    assert StopJob("m-2") in decide(expired(hold=True, jobs=(purging(),))).actions
    assert StopJob("m-2") not in decide(expired(jobs=(purging(),))).actions
    assert StopJob("m-2") in decide(expired(of=REVERTED, jobs=(purging(),))).actions


def test_a_purge_that_has_ended_is_not_begun_again() -> None:
    gone = artifact("email", ArtifactState.PURGED, days=-1)
    assert situation_of(expired(ledger=applied(PURGE, artifacts=(gone,)), jobs=(purging(),))).start is None


def told(before: tuple[ArtifactStatus, ...], after: tuple[ArtifactStatus, ...], **changes: Any) -> list[PostEvent]:
    """Events about artifacts, of a migration whose status had the first and whose ledger has the second."""
    seen = observed(**{"of": spec(), "ledger": applied(artifacts=before), **changes})
    seen = replace(seen, previous=decide(seen).status, ledger=applied(artifacts=after))
    posted = [a for a in decide(seen).actions if isinstance(a, PostEvent)]
    return [e for e in posted if e.reason.startswith("Artifacts")]


LIVE, SOON = artifact("email", days=31), artifact("email", ArtifactState.EXPIRING, days=1)
GONE, BACK = artifact("email", ArtifactState.PURGED, days=-1), artifact("email", ArtifactState.RESTORED, days=-1)


@pytest.mark.parametrize(
    ("before", "after", "reasons"),
    [
        (LIVE, LIVE, []),
        (LIVE, SOON, ["ArtifactsExpiring"]),
        (SOON, SOON, []),
        (SOON, EXPIRED, ["ArtifactsExpired"]),
        (LIVE, EXPIRED, ["ArtifactsExpired"]),
        (EXPIRED, EXPIRED, []),
        (EXPIRED, GONE, ["ArtifactsPurged"]),
        (SOON, BACK, []),
        (GONE, GONE, []),
    ],
)
def test_each_state_of_an_artifact_is_told_once(
    before: ArtifactStatus, after: ArtifactStatus, reasons: list[str]
) -> None:
    assert [e.reason for e in told((before,), (after,))] == reasons


def test_one_that_is_new_is_told_where_there_is_something_to_do() -> None:
    assert [e.reason for e in told((), (SOON,))] == ["ArtifactsExpiring"]
    assert told((), (GONE,)) == told((), (LIVE,)) == []


def test_a_status_that_cannot_hold_all_artifacts_is_no_reason_to_tell_of_the_rest_for_ever() -> None:
    many = tuple(artifact(f"c{n:03}", ArtifactState.EXPIRING, days=1) for n in range(150))
    assert told(many, many) == []


def test_without_a_spec_nothing_is_told() -> None:
    seen = replace(observed(spec=None, spec_problem="broken", ledger=None), previous=decide(expired()).status)
    assert [a for a in decide(seen).actions if isinstance(a, PostEvent)] == [
        PostEvent("Warning", "InvalidPlan", "broken")
    ]


def test_an_event_names_the_artifact_its_date_and_what_to_do() -> None:
    (kept,) = told((LIVE,), (SOON,))
    assert kept == PostEvent(
        "Warning",
        "ArtifactsExpiring",
        "users.email (email), expiry 2026-03-29T12:00:00Z; the data is kept after that, for spec.expiryPolicy is "
        "Retain; to bring it back: zanith recover",
    )
    (goes,) = told((LIVE,), (SOON,), of=PURGE)
    assert "then it is purged; to keep it: kubectl -n shop annotate zm m zanith.io/hold=true;" in goes.note
    (over,) = told((LIVE,), (EXPIRED,), of=PURGE, hold=True)
    assert over.note.endswith(
        "kept, for the annotation zanith.io/hold is set; to remove it for good: zanith recover purge"
    )
    (now,) = told((LIVE,), (EXPIRED,), of=PURGE)
    assert now.note.endswith("it is purged by a Job, for spec.expiryPolicy is Purge")
    (gone,) = told((EXPIRED,), (GONE.model_copy(update={"expires_at": None}),))
    assert gone.note == "users.email (email); the data is gone for good"


def test_many_at_once_are_one_event() -> None:
    many = tuple(artifact(name, ArtifactState.EXPIRING, days=1) for name in "abcde")
    (event,) = told((), many)
    assert event.note.startswith("users.a (a), expiry 2026-03-29T12:00:00Z, users.b (b)")
    assert ", and 2 more; " in event.note


@pytest.mark.parametrize(
    ("seen", "kind", "words"),
    [
        (expired(), "ArtifactsExpiring", "1 artifact, expired 2026-03-27; to be purged"),
        (
            expired(hold=True),
            "Recoverable",
            "1 artifact, expired 2026-03-27; kept, for the annotation zanith.io/hold is",
        ),
        (
            expired(ledger=applied(PURGE, artifacts=(SOON,))),
            "ArtifactsExpiring",
            "1 artifact, expires 2026-03-29; purged then",
        ),
        (
            expired(of=spec(expiryPolicy="Purge", suspend=True)),
            "Recoverable",
            "kept, for spec.suspend is true",
        ),
        (
            expired(ledger=applied(PURGE, artifacts=(EXPIRED, LIVE))),
            "Recoverable",
            "2 artifacts, the first expires 2026-03-27",
        ),
    ],
)
def test_conditions_say_what_becomes_of_them(seen: Observed, kind: str, words: str) -> None:
    found = decide(seen).status.condition(kind)
    assert found is not None
    assert (found.status, words in found.message) == ("True", True), found.message
