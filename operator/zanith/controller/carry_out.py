"""Carry out: the actions of a decision, each idempotent, in order. Decides nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import structlog

from zanith.api.spec import MigrationSpec
from zanith.controller.cache import Cache, Key, key_of, owner_uid_of
from zanith.controller.decide import DeleteJob, PostEvent, StartJob, StopJob, SyncExecution
from zanith.controller.decide.decision import Action
from zanith.kube.client import Body, Forbidden, Invalid, KubeClient
from zanith.kube.configmaps import execution_config_map, migration_config_map
from zanith.kube.events import event
from zanith.kube.job import AttemptNotes, job
from zanith.kube.metadata import Owner
from zanith.kube.writing import (
    Taken,
    create_job,
    delete_config_map,
    delete_job,
    post_event,
    put_immutable,
    put_mutable,
)
from zanith.settings import Settings

log = structlog.get_logger(__name__)


class JobRefused(Exception):
    """The API server does not take the Job; the message says why, for the status."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True, slots=True)
class Hands:
    """What actions are carried out with."""

    kube: KubeClient
    cache: Cache
    settings: Settings


@dataclass(frozen=True, slots=True)
class Subject:
    """The migration that is acted for."""

    key: Key
    body: Body
    spec: MigrationSpec | None
    database: str
    approve: str

    @property
    def owner(self) -> Owner:
        return Owner(self.key.namespace, self.key.name, str(self.body["metadata"]["uid"]))


async def carry_out(hands: Hands, subject: Subject, action: Action, now: datetime) -> None:
    """Do one thing. Raises JobRefused, KubeError."""
    match action:
        case StartJob():
            await _start(hands, subject, action)
        case StopJob(name) | DeleteJob(name):
            await _delete(hands, subject, name)
        case SyncExecution():
            await _sync_execution(hands, subject)
        case PostEvent():
            await _tell(hands, subject, action, now)


async def delete_orphans(hands: Hands, key: Key, uid: str) -> None:
    """Stop the Jobs of a migration of this name that is gone: their runners end after the current batch."""
    for body in hands.cache.jobs(key):
        if owner_uid_of(body) != uid and not body["metadata"].get("deletionTimestamp"):
            job_key = key_of(body)
            await delete_job(hands.kube, job_key.namespace, job_key.name, str(body["metadata"]["uid"]))
            log.info("job_stopped", migration=str(key), job=job_key.name, why="the migration was deleted")


async def _start(hands: Hands, subject: Subject, start: StartJob) -> None:
    """The two ConfigMaps first, so that the pod finds them; the Job last."""
    spec, owner, settings = subject.spec, subject.owner, hands.settings
    assert spec is not None, "only a migration with a spec is started"
    told = migration_config_map(
        owner,
        name=start.name,
        attempt=start.attempt,
        action=start.action,
        plan_hash=start.plan_hash,
        approved_hash=subject.approve,
        retry=start.retry,
        spec=subject.body["spec"],
    )
    notes = AttemptNotes(
        action=start.action,
        generation=start.generation,
        plan_hash=start.plan_hash,
        run_hash=start.run_hash,
        retry=start.retry,
        mark=start.mark,
        failure_seen=start.failure_seen,
        tries=start.tries,
        crashes=start.crashes,
        database=subject.database,
    )
    wanted = job(
        owner,
        name=start.name,
        attempt=start.attempt,
        notes=notes,
        secret=spec.database.secret_ref.name,
        image=settings.image,
        pull_policy=settings.image_pull_policy,
        settings=spec.execution.job,
    )
    try:
        await put_immutable(hands.kube, told)
        await put_mutable(hands.kube, execution_config_map(owner, spec.execution))
        created = await create_job(hands.kube, wanted)
    except (Forbidden, Invalid, Taken) as error:
        raise JobRefused(error.message) from error
    hands.cache.put_job(created)
    log.info(
        "attempt_started", migration=str(subject.key), job=start.name, attempt=start.attempt, action=start.action.value
    )


async def _delete(hands: Hands, subject: Subject, name: str) -> None:
    body = next((j for j in hands.cache.jobs(subject.key) if key_of(j).name == name), None)
    if body is None:
        return
    await delete_config_map(hands.kube, subject.key.namespace, name, subject.owner.uid)
    await delete_job(hands.kube, subject.key.namespace, name, str(body["metadata"]["uid"]))
    log.info("job_deleted", migration=str(subject.key), job=name)


async def _sync_execution(hands: Hands, subject: Subject) -> None:
    assert subject.spec is not None, "only a migration with a spec has a Job"
    await put_mutable(hands.kube, execution_config_map(subject.owner, subject.spec.execution))


async def _tell(hands: Hands, subject: Subject, told: PostEvent, now: datetime) -> None:
    """An event that cannot be posted is no reason to hold anything up."""
    made = event(
        subject.owner,
        type=told.type,
        reason=told.reason,
        note=told.note,
        now=now,
        instance=hands.settings.pod_name,
    )
    try:
        await post_event(hands.kube, made)
    except (Forbidden, Invalid) as error:
        log.warning("event_not_posted", migration=str(subject.key), message=error.message)
