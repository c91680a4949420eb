"""Gather: everything there is to know about one migration, from the cache, its Secret and its database.

The Jobs are looked at before the ledger: what a Job that has ended wrote is then in the ledger that is read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from zanith.api.conditions import ConditionStatus, ConditionType, Reason
from zanith.api.names import APPROVE, HOLD, RETRY
from zanith.api.spec import DesiredState, MigrationSpec, parse_spec
from zanith.api.status import parse_status
from zanith.controller.cache import Cache, Key
from zanith.controller.credentials import read_credentials
from zanith.controller.databases import Databases, Look
from zanith.controller.decide import Observed, wants_plan
from zanith.controller.decide.observed import Dependency, Trouble
from zanith.controller.ledger_view import database_key, recorded_refusal, recorded_undo_refusal, view_of
from zanith.core.errors import SpecError
from zanith.kube.client import Body, KubeClient
from zanith.ledger.marks import Mark, mark_of
from zanith.ledger.records import MigrationRecord
from zanith.planning.planner import spec_digests
from zanith.postgres.connecting import ConnectionSettings

_ANNOTATION_LIMIT = 200


@dataclass(frozen=True, slots=True)
class Parsed:
    """A spec of one generation, parsed once."""

    uid: str
    generation: int
    spec: MigrationSpec | None
    problem: str
    digests: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Gathered:
    """What was gathered: the values to decide by, and two things to act with."""

    observed: Observed
    database: str = ""
    """Names the database, where it was reached."""
    connection: ConnectionSettings | None = None
    mark: Mark | None = None
    """What others may change of what was read."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where things are gathered from."""

    cache: Cache
    kube: KubeClient
    databases: Databases
    ca_directory: str
    namespaces: tuple[str, ...]


def parse(body: Body) -> Parsed:
    """The spec of a resource, or what is wrong with it."""
    metadata = body["metadata"]
    uid, generation = str(metadata["uid"]), int(metadata.get("generation", 0))
    try:
        spec = parse_spec(body.get("spec"), name=str(metadata["name"]))
    except SpecError as error:
        return Parsed(uid, generation, None, error.message, ())
    return Parsed(uid, generation, spec, "", spec_digests(spec))


def observe(sources: Sources, key: Key, body: Body, parsed: Parsed, now: datetime) -> Observed:
    """What the cache alone says of a migration."""
    annotations = body["metadata"].get("annotations") or {}
    return Observed(
        namespace=key.namespace,
        name=key.name,
        uid=parsed.uid,
        generation=parsed.generation,
        now=now,
        previous=parse_status(body.get("status")),
        spec=parsed.spec,
        spec_problem=parsed.problem,
        approve=str(annotations.get(APPROVE, ""))[:_ANNOTATION_LIMIT].strip(),
        retry=str(annotations.get(RETRY, ""))[:_ANNOTATION_LIMIT].strip(),
        hold=annotations.get(HOLD) == "true",
        digests=parsed.digests,
        dependencies=_dependencies(sources.cache, key, parsed.spec),
        cycle=_cycle(sources.cache, key),
        jobs=sources.cache.job_views(key, parsed.uid),
    )


async def gather(sources: Sources, key: Key, body: Body, parsed: Parsed, now: datetime) -> Gathered:
    """Look at a migration. What only this process knows is added by the caller."""
    observed = observe(sources, key, body, parsed, now)
    if parsed.spec is None:
        return Gathered(observed)
    credentials = await read_credentials(
        sources.kube, key.namespace, parsed.spec.database, ca_directory=sources.ca_directory
    )
    if isinstance(credentials, Trouble):
        return Gathered(replace(observed, ledger_trouble=credentials))
    return await _with_database(sources, observed, parsed.spec, credentials)


async def _with_database(
    sources: Sources, observed: Observed, spec: MigrationSpec, credentials: ConnectionSettings
) -> Gathered:
    def with_ledger(record: MigrationRecord) -> Observed:
        ledger = view_of(record, spec)
        return replace(observed, ledger=ledger, owner_lives=_lives(sources, observed, ledger.owner))

    look: Look = await sources.databases.look(credentials, spec, lambda record: wants_plan(with_ledger(record)))
    if look.record is None:
        return Gathered(replace(observed, ledger_trouble=look.trouble), connection=credentials)
    seen = replace(with_ledger(look.record), plan=look.plan, plan_trouble=look.plan_trouble)
    if spec.state is DesiredState.REVERTED:
        seen = replace(seen, refusal=recorded_undo_refusal(look.record, observed.retry))
    elif look.plan is not None:
        seen = replace(seen, refusal=recorded_refusal(look.record, look.plan.hash, observed.retry))
    return Gathered(seen, database_key(look.record.database), credentials, mark_of(look.record))


def _lives(sources: Sources, observed: Observed, owner: tuple[str, str]) -> bool:
    """Whether another resource that began the migration exists. Where we cannot see it, it does."""
    if not all(owner) or owner == (observed.namespace, observed.name):
        return False
    if sources.namespaces and owner[0] not in sources.namespaces:
        return True
    return sources.cache.migration(Key(*owner)) is not None


def _dependencies(cache: Cache, key: Key, spec: MigrationSpec | None) -> tuple[Dependency, ...]:
    names = spec.depends_on if spec is not None else []
    return tuple(_dependency(cache.migration(Key(key.namespace, name)), name) for name in names)


def _dependency(body: Body | None, name: str) -> Dependency:
    """By its conditions, if they speak of its spec as it is now."""
    if body is None:
        return Dependency(name, "missing")
    status = parse_status(body.get("status"))
    if status.observed_generation != int(body["metadata"].get("generation", 0)):
        return Dependency(name, "pending")
    for kind, state in ((ConditionType.READY, "ready"), (ConditionType.STALLED, "failed")):
        condition = status.condition(kind)
        if condition is not None and condition.status is ConditionStatus.TRUE:
            if condition.reason == Reason.REVERTED:
                return Dependency(name, "reverted")
            return Dependency(name, "ready" if state == "ready" else "failed")
    return Dependency(name, "pending")


def _cycle(cache: Cache, key: Key) -> tuple[str, ...]:
    """The shortest way from a migration over its dependencies back to itself, by name."""
    paths: list[tuple[str, ...]] = [(key.name,)]
    seen: set[str] = set()
    while paths:
        path = paths.pop(0)
        for name in cache.dependencies(Key(key.namespace, path[-1])):
            if name == key.name:
                return path
            if name not in seen:
                seen.add(name)
                paths.append((*path, name))
    return ()
