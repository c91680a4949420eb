"""What was last seen of migrations, Jobs and pods: fed by the watches, the resync and our own writes.

Older news never replaces newer: objects are compared by resourceVersion, which orders them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

from zanith.api.names import API_VERSION, KIND
from zanith.controller.decide.observed import JobView
from zanith.controller.job_view import database_of, is_at_work, job_view
from zanith.kube.client import Body

_JOB_NAME = "batch.kubernetes.io/job-name"
_BURIED = 10_000


class Key(NamedTuple):
    """A migration, by namespace and name: what work is queued by."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class Cache:
    """Objects by namespace and name. Bodies are shared with nobody who changes them."""

    def __init__(self) -> None:
        self._migrations: dict[Key, Body] = {}
        self._jobs: dict[Key, Body] = {}
        self._pods: dict[Key, Body] = {}
        self._jobs_of: dict[Key, set[Key]] = {}
        self._pods_of: dict[Key, set[Key]] = {}
        self._dependents: dict[Key, set[Key]] = {}
        self._gone: OrderedDict[str, None] = OrderedDict()

    def put_migration(self, body: Body) -> Key | None:
        """Remember a migration; the key of its work, if that is news."""
        key = key_of(body)
        before = self._migrations.get(key)
        if not self._is_news(body, before):
            return None
        for dependency in _depends_on(before):
            _discard(self._dependents, dependency, key)
        self._migrations[key] = _trimmed(body)
        for dependency in _depends_on(body):
            self._dependents.setdefault(dependency, set()).add(key)
        return key

    def drop_migration(self, body: Body) -> Key:
        """Forget a migration that is gone; another one of its name stays."""
        key = key_of(body)
        self._bury(body)
        before = self._migrations.get(key)
        if before is not None and before["metadata"]["uid"] == body["metadata"]["uid"]:
            for dependency in _depends_on(before):
                _discard(self._dependents, dependency, key)
            del self._migrations[key]
        return key

    def put_job(self, body: Body) -> Key | None:
        """Remember a Job; the key of the migration it works for, if that is news."""
        key, owner = key_of(body), _migration_of(body)
        if owner is None or not self._is_news(body, self._jobs.get(key)):
            return None
        self._jobs[key] = _trimmed(body)
        self._jobs_of.setdefault(owner, set()).add(key)
        return owner

    def drop_job(self, body: Body) -> Key | None:
        """Forget a Job that is gone."""
        self._bury(body)
        key, owner = key_of(body), _migration_of(body)
        before = self._jobs.get(key)
        if before is not None and before["metadata"]["uid"] == body["metadata"]["uid"]:
            del self._jobs[key]
            _discard(self._jobs_of, owner, key)
        return owner

    def put_pod(self, body: Body) -> Key | None:
        """Remember a pod; the key of the migration it works for, if that is news."""
        key, job = key_of(body), _job_of(body)
        if not self._is_news(body, self._pods.get(key)):
            return None
        self._pods[key] = _trimmed(body)
        self._pods_of.setdefault(job, set()).add(key)
        return self._owner_of_job(job)

    def drop_pod(self, body: Body) -> Key | None:
        """Forget a pod that is gone; with it goes how it ended."""
        self._bury(body)
        key, job = key_of(body), _job_of(body)
        before = self._pods.get(key)
        if before is not None and before["metadata"]["uid"] == body["metadata"]["uid"]:
            del self._pods[key]
            _discard(self._pods_of, job, key)
        return self._owner_of_job(job)

    def migration(self, key: Key) -> Body | None:
        """The migration, if it exists."""
        return self._migrations.get(key)

    def migrations(self) -> Iterable[Key]:
        """Every migration there is."""
        return list(self._migrations)

    def dependencies(self, key: Key) -> list[str]:
        """Names of the migrations this one depends on, as its spec has them."""
        return [dependency.name for dependency in _depends_on(self._migrations.get(key))]

    def dependents(self, key: Key) -> Iterable[Key]:
        """Migrations that depend on this one."""
        return list(self._dependents.get(key, ()))

    def jobs(self, key: Key) -> list[Body]:
        """The Jobs of a migration of that name, whichever its uid."""
        return [self._jobs[job] for job in self._jobs_of.get(key, ()) if job in self._jobs]

    def job_views(self, key: Key, uid: str) -> tuple[JobView, ...]:
        """The attempts of this very migration, in order."""
        views = [
            job_view(job, [self._pods[pod] for pod in self._pods_of.get(key_of(job), ()) if pod in self._pods])
            for job in self.jobs(key)
            if owner_uid_of(job) == uid
        ]
        return tuple(sorted(views, key=lambda v: (v.attempt, v.created_at)))

    def jobs_at_work(self, now: datetime) -> Iterator[tuple[Key, str]]:
        """Migration and database of every Job whose runner may be at work."""
        for owner, jobs in self._jobs_of.items():
            for job in jobs:
                body = self._jobs.get(job)
                if body is not None and is_at_work(body, now):
                    yield owner, database_of(body)

    def versions(self) -> dict[tuple[str, Key], tuple[str, int]]:
        """Uid and resourceVersion of everything, by kind and key: to compare with a list."""
        kinds = {"migrations": self._migrations, "jobs": self._jobs, "pods": self._pods}
        return {(kind, key): version_of(body) for kind, bodies in kinds.items() for key, body in bodies.items()}

    def forget(self, kind: str, key: Key) -> Key | None:
        """Forget an object of which no watch has said that it is gone."""
        drops: dict[str, tuple[dict[Key, Body], Callable[[Body], Key | None]]] = {
            "migrations": (self._migrations, self.drop_migration),
            "jobs": (self._jobs, self.drop_job),
            "pods": (self._pods, self.drop_pod),
        }
        bodies, drop = drops[kind]
        body = bodies.get(key)
        return drop(body) if body is not None else None

    def is_gone(self, body: Body) -> bool:
        """Whether it was deleted a while ago: late news of it are no news."""
        return str(body["metadata"]["uid"]) in self._gone

    def _is_news(self, body: Body, before: Body | None) -> bool:
        if self.is_gone(body):
            return False
        return before is None or version_of(body)[1] > version_of(before)[1]

    def _bury(self, body: Body) -> None:
        self._gone[str(body["metadata"]["uid"])] = None
        while len(self._gone) > _BURIED:
            self._gone.popitem(last=False)

    def _owner_of_job(self, job: Key) -> Key | None:
        body = self._jobs.get(job)
        return _migration_of(body) if body is not None else None


def key_of(body: Body) -> Key:
    """Namespace and name of an object."""
    return Key(str(body["metadata"]["namespace"]), str(body["metadata"]["name"]))


def version_of(body: Body) -> tuple[str, int]:
    """Uid and resourceVersion. Since Kubernetes 1.35 versions are documented to order as integers do."""
    version = str(body["metadata"].get("resourceVersion", ""))
    return str(body["metadata"]["uid"]), int(version) if version.isdecimal() else 0


def owner_uid_of(body: Body) -> str:
    """Uid of the migration that controls an object."""
    return next((str(o.get("uid")) for o in _owners(body)), "")


def _discard(index: dict[Key, set[Key]], under: Key | None, key: Key) -> None:
    keys = index.get(under, set()) if under is not None else set()
    keys.discard(key)
    if under is not None and not keys:
        index.pop(under, None)


def _owners(body: Body) -> list[dict[str, Any]]:
    references = body["metadata"].get("ownerReferences") or []
    return [
        o for o in references if o.get("controller") and (o.get("apiVersion"), o.get("kind")) == (API_VERSION, KIND)
    ]


def _migration_of(job: Body) -> Key | None:
    namespace = str(job["metadata"]["namespace"])
    return next((Key(namespace, str(o.get("name"))) for o in _owners(job)), None)


def _job_of(pod: Body) -> Key:
    labels = pod["metadata"].get("labels") or {}
    return Key(str(pod["metadata"]["namespace"]), str(labels.get(_JOB_NAME, "")))


def _depends_on(body: Body | None) -> list[Key]:
    """As written; a spec of another shape depends on nothing we could follow."""
    spec = (body or {}).get("spec")
    named = spec.get("dependsOn") if isinstance(spec, dict) else None
    if body is None or not isinstance(named, list):
        return []
    return [Key(str(body["metadata"]["namespace"]), name) for name in named if isinstance(name, str)]


def _trimmed(body: Body) -> Body:
    """Without what only the API server needs, which is half of the bytes."""
    metadata = {k: v for k, v in body["metadata"].items() if k != "managedFields"}
    return {**body, "metadata": metadata}
