"""What was seen: Jobs and pods as views, the cache that never goes back in time, turns, and what a resync finds missing."""

from __future__ import annotations

import itertools
import json
from datetime import timedelta
from typing import Any

import pytest

from decide_builders import NOW, UID
from zanith.controller.cache import Cache, Key
from zanith.controller.decide.observed import JobAction, JobState, Verdict
from zanith.controller.job_view import job_view
from zanith.controller.resync import missed
from zanith.controller.turns import Turns

_versions = itertools.count(1)
KEY = Key("shop", "m")


def meta(name: str, *, uid: str = "", **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "namespace": "shop",
        "uid": uid or f"uid-{name}",
        "resourceVersion": str(next(_versions)),
        "creationTimestamp": "2026-03-28T12:00:00Z",
        **more,
    }


def migration(name: str = "m", *, uid: str = UID, depends_on: Any = (), **more: Any) -> dict[str, Any]:
    return {"metadata": meta(name, uid=uid, managedFields=[{}], **more), "spec": {"dependsOn": list(depends_on)}}


def job_body(
    name: str = "m-1", *, owner: str = "m", database: str = "d", uid: str = UID, **more: Any
) -> dict[str, Any]:
    reference = {
        "apiVersion": "zanith.io/v1alpha1",
        "kind": "ZanithMigration",
        "name": owner,
        "uid": uid,
        "controller": True,
    }
    labels = {"zanith.io/attempt": name.rsplit("-", 1)[-1], "zanith.io/database": database}
    return {"metadata": meta(name, ownerReferences=[reference], labels=labels), "status": {}, **more}


def pod_body(
    name: str = "m-1-x", *, job: str = "m-1", status: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    return {"metadata": meta(name, labels={"batch.kubernetes.io/job-name": job}, **more), "status": status or {}}


def finished(kind: str) -> dict[str, Any]:
    return {"conditions": [{"type": kind, "status": "True", "lastTransitionTime": "2026-03-28T12:01:00Z"}]}


def container(**state: Any) -> dict[str, Any]:
    return {"containerStatuses": [{"state": state}]}


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ({}, JobState.ACTIVE),
        ({"conditions": [{"type": "Complete", "status": "False"}]}, JobState.ACTIVE),
        ({"conditions": [{"type": "Suspended", "status": "True"}]}, JobState.ACTIVE),
        (finished("Complete"), JobState.SUCCEEDED),
        (finished("Failed"), JobState.FAILED),
        (finished("FailureTarget"), JobState.FAILED),
    ],
)
def test_a_job_is_over_when_it_says_so(status: dict[str, Any], state: JobState) -> None:
    view = job_view(job_body(status=status), [])
    assert view.state is state
    assert (view.finished_at is not None) is (state is not JobState.ACTIVE)


def test_the_notes_on_a_job_are_read_back() -> None:
    body = job_body("m-3")
    body["metadata"]["annotations"] = {"zanith.io/crashes": "2", "zanith.io/tries": "x", "zanith.io/retry-used": "r"}
    view = job_view(body, [])
    assert (view.attempt, view.crashes, view.tries, view.retry, view.plan_hash) == (3, 2, 0, "r", "")
    assert (view.action, view.generation) == (JobAction.APPLY, 0)


@pytest.mark.parametrize(
    ("action", "seen"), [("revert", JobAction.REVERT), ("purge", JobAction.PURGE), ("dance", JobAction.APPLY)]
)
def test_what_a_job_is_for_is_read_back(action: str, seen: JobAction) -> None:
    body = job_body()
    body["metadata"]["annotations"] = {"zanith.io/action": action, "zanith.io/generation": "7"}
    view = job_view(body, [])
    assert (view.action, view.generation) == (seen, 7)


LAST_WORDS = json.dumps({"exitCode": 20, "reason": "LedgerConflict", "message": "m" * 2000, "step": 2})


@pytest.mark.parametrize(
    ("message", "verdict"),
    [
        (LAST_WORDS, Verdict("LedgerConflict", "m" * 800, 2)),
        ('{"step": "x"}', Verdict()),
        ("", Verdict()),
        (None, Verdict()),
        ("Traceback (most recent call last)", Verdict()),
        ("[1]", Verdict()),
    ],
)
def test_last_words_are_those_of_the_runner_or_none(message: str | None, verdict: Verdict) -> None:
    pod = pod_body(status=container(terminated={"exitCode": 20, "reason": "Error", "message": message}))
    view = job_view(job_body(), [pod]).pod
    assert view is not None
    assert (view.exit_code, view.verdict, view.killed) == (20, verdict, "")


@pytest.mark.parametrize(
    ("status", "waiting"),
    [
        ({}, ""),
        (container(waiting={"reason": "ContainerCreating"}), ""),
        (container(waiting={"reason": "ImagePullBackOff", "message": "secret?"}), "ImagePullBackOff"),
        (
            {
                "conditions": [
                    {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no node"}
                ]
            },
            "Unschedulable: no node",
        ),
        ({"conditions": [{"type": "PodScheduled", "status": "True"}]}, ""),
    ],
)
def test_why_a_pod_waits_is_told_where_it_will_not_pass(status: dict[str, Any], waiting: str) -> None:
    view = job_view(job_body(), [pod_body(status=status)]).pod
    assert view is not None
    assert view.waiting == waiting


@pytest.mark.parametrize(
    ("pod", "disrupted"),
    [
        (pod_body(), False),
        (pod_body(deletionTimestamp="2026-03-28T12:00:00Z"), True),
        (pod_body(status={"reason": "Evicted"}), True),
        (pod_body(status={"conditions": [{"type": "DisruptionTarget", "status": "True"}]}), True),
        (pod_body(status={"conditions": [{"type": "DisruptionTarget", "status": "False"}]}), False),
    ],
)
def test_what_befalls_a_pod_is_not_the_migration_s_fault(pod: dict[str, Any], disrupted: bool) -> None:
    view = job_view(job_body(), [pod]).pod
    assert view is not None
    assert view.disrupted is disrupted


def test_a_killed_container_says_by_what() -> None:
    ended = {"exitCode": 137, "reason": "OOMKilled", "startedAt": "2026-03-28T12:00:05Z"}
    view = job_view(job_body(), [pod_body(status=container(terminated=ended))]).pod
    assert view is not None
    assert (view.killed, view.started_at is not None) == ("OOMKilled", True)


def test_the_cache_does_not_go_back_in_time() -> None:
    cache = Cache()
    old, new = migration(), migration()
    assert cache.put_migration(new) == KEY
    assert cache.put_migration(old) is None
    assert cache.put_migration(new) is None
    found = cache.migration(KEY)
    assert found is not None
    assert found["metadata"]["resourceVersion"] == new["metadata"]["resourceVersion"]
    assert "managedFields" not in found["metadata"]


def test_late_news_of_what_is_gone_are_no_news() -> None:
    cache = Cache()
    body = migration()
    cache.put_migration(body)
    cache.drop_migration(body)
    cache.put_migration(migration())
    assert cache.migration(KEY) is None
    cache.put_migration(migration(uid="another"))
    assert cache.migration(KEY) is not None


def test_the_end_of_an_object_does_not_take_its_namesake_away() -> None:
    cache = Cache()
    gone = migration(uid="before")
    cache.put_migration(migration())
    cache.drop_migration(gone)
    assert cache.migration(KEY) is not None


def test_jobs_and_pods_find_their_migration() -> None:
    cache = Cache()
    assert cache.put_pod(pod_body()) is None
    job = job_body()
    assert cache.put_job(job) == KEY
    assert cache.put_job(job) is None
    pod = pod_body()
    assert cache.put_pod(pod) == KEY
    assert cache.put_pod(pod) is None
    (view,) = cache.job_views(KEY, UID)
    assert view.pod is not None
    assert cache.job_views(KEY, "another") == ()
    assert cache.drop_pod(pod_body()) == KEY
    assert cache.job_views(KEY, UID)[0].pod is None
    assert cache.drop_job(job_body()) == KEY
    assert cache.jobs(KEY) == []


def test_foreign_jobs_are_nobody_s() -> None:
    assert Cache().put_job({"metadata": meta("x")}) is None


def test_attempts_are_in_order() -> None:
    cache = Cache()
    for number in (10, 2, 1):
        cache.put_job(job_body(f"m-{number}"))
    assert [v.attempt for v in cache.job_views(KEY, UID)] == [1, 2, 10]


def test_dependents_follow_the_spec() -> None:
    cache = Cache()
    cache.put_migration(migration("b", uid="b", depends_on=["m", 7]))
    assert list(cache.dependents(KEY)) == [Key("shop", "b")]
    assert cache.dependencies(Key("shop", "b")) == ["m"]
    changed = migration("b", uid="b")
    changed["spec"] = {"dependsOn": "m"}
    cache.put_migration(changed)
    assert list(cache.dependents(KEY)) == []
    cache.put_migration({"metadata": meta("b", uid="b"), "spec": None})
    cache.drop_migration({"metadata": meta("b", uid="b")})
    assert list(cache.migrations()) == []


def test_one_job_at_a_time_per_database_first_come_first_served() -> None:
    cache = Cache()
    turns = Turns(cache, job_limit=10)
    a, b, c = (Key("shop", name) for name in "abc")
    cache.put_job(job_body("a-1", owner="a"))
    assert turns.waits_for(a, "d", NOW) == ""
    assert turns.waits_for(b, "d", NOW) == "shop/a, which is working on the same database"
    assert turns.waits_for(b, "other", NOW) == ""
    for key in (b, c, b):
        turns.wait(key, "d")
    done = job_body("a-1", owner="a", status=finished("Complete"))
    cache.put_job(done)
    assert turns.first_in_line() == [b]
    assert turns.waits_for(c, "d", NOW) == "shop/b, which is first in line for the same database"
    assert turns.waits_for(b, "d", NOW) == ""
    turns.reserve(b, "d")
    assert turns.leave(b) == [c]
    assert turns.waits_for(c, "d", NOW) == "shop/b, which is working on the same database"
    turns.release(b)
    assert turns.waits_for(c, "d", NOW) == ""
    assert turns.leave(c) == []
    assert turns.first_in_line() == []


def test_a_job_being_deleted_still_has_its_database() -> None:
    cache = Cache()
    leaving = job_body("a-1", owner="a")
    leaving["metadata"]["deletionTimestamp"] = "2026-03-28T12:00:00Z"
    cache.put_job(leaving)
    turns = Turns(cache, job_limit=10)
    assert turns.waits_for(KEY, "d", NOW)
    assert turns.waits_for(KEY, "d", NOW + timedelta(minutes=3)) == ""  # its node is lost: the runner is fenced off


def test_there_are_only_so_many_jobs_at_a_time() -> None:
    cache = Cache()
    cache.put_job(job_body("a-1", owner="a", database="x"))
    turns = Turns(cache, job_limit=1)
    assert turns.waits_for(KEY, "d", NOW) == "one of the 1 Jobs that may run at a time"
    assert turns.waits_for(Key("shop", "a"), "d", NOW) == ""


def test_a_resync_finds_what_no_watch_has_shown() -> None:
    cache = Cache()
    known, stale, gone, deleted = (migration(n, uid=n) for n in ("known", "stale", "gone", "deleted"))
    for body in (known, stale, gone, deleted):
        cache.put_migration(body)
    before = cache.versions()
    newer, new = migration("stale", uid="stale"), migration("new", uid="new")
    bodies = (known, newer, new, deleted)
    listed = {("migrations", Key("shop", b["metadata"]["name"])): b for b in bodies}
    cache.drop_migration(deleted)
    found = missed(before, listed, cache)
    assert sorted(key.name for _, key in found) == ["gone", "new", "stale"]
    cache.put_migration(newer)
    cache.put_migration(new)
    assert cache.forget("migrations", Key("shop", "gone")) == Key("shop", "gone")
    assert cache.forget("migrations", Key("shop", "gone")) is None
    assert missed(before, listed, cache) == []
