"""The controller of one process: wires the parts, watches over the background tasks, and stops when one of them does.

Everything it knows it reads again after a restart, from specs, Jobs and ledgers; so ending is always safe.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import tempfile
from collections.abc import Coroutine
from typing import Any

import structlog

from zanith.controller.cache import Cache, Key
from zanith.controller.carry_out import Hands
from zanith.controller.databases import Databases
from zanith.controller.gather import Sources
from zanith.controller.listening import Listeners
from zanith.controller.reconcile import Reconciler
from zanith.controller.resync import CrdMissing, Resync
from zanith.controller.rounds import Rounds
from zanith.controller.turns import Turns
from zanith.controller.work_queue import WorkQueue
from zanith.kube.client import Body, Forbidden, KubeClient, KubeError
from zanith.settings import Settings

log = structlog.get_logger(__name__)

_PRIME_RETRY_S = 5.0


class CannotStart(Exception):
    """What has to be put right before the operator can run."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Controller:
    """One running operator."""

    def __init__(self, settings: Settings, kube: KubeClient) -> None:
        self._settings = settings
        self._kube = kube
        self._directory = tempfile.TemporaryDirectory(prefix="zanith-ca-")
        self._databases = Databases(connections=settings.database_connections)
        self._cache = Cache()
        self._turns = Turns(self._cache, job_limit=settings.job_limit)
        self._queue = WorkQueue(self._reconcile, self._report, chance=random.Random())
        self._listeners = Listeners(self._queue.put)
        self._resync = Resync(kube, self._cache, settings.namespaces, self._queue.put)
        self._rounds = Rounds(self._databases, self._queue.put)
        self._tasks: list[asyncio.Task[None]] = []
        self._reconciler = Reconciler(
            sources=Sources(self._cache, kube, self._databases, self._directory.name, settings.namespaces),
            hands=Hands(kube, self._cache, settings),
            turns=self._turns,
            follow=self._listeners.follow,
            unfollow=self._listeners.unfollow,
            rounds=self._rounds,
            wake=self._queue.put,
            wake_dependents=self._wake_dependents,
        )
        self.failure = ""

    async def start(self) -> None:
        """List what there is, then begin to work. Raises CannotStart."""
        await self._prime()
        for key in self._cache.migrations():
            self._queue.put(key)
        for number in range(self._settings.workers):
            self._supervise(f"worker {number}", self._queue.run_worker())
        self._supervise(
            "resync", self._resync.run(every_s=self._settings.resync_s, grace_s=self._settings.resync_grace_s)
        )
        self._supervise("rounds", self._rounds.run(every_s=self._settings.look_s))
        log.info("operator_started", namespaces=list(self._settings.namespaces) or "all", image=self._settings.image)

    async def stop(self) -> None:
        """End the tasks and connections; Jobs go on by themselves."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._listeners.close()
        self._databases.close()
        await self._kube.close()
        self._directory.cleanup()
        log.info("operator_stopped")

    def migration_seen(self, body: Body, *, gone: bool) -> None:
        """News of a migration, and so of those that depend on it."""
        key = self._cache.drop_migration(body) if gone else self._cache.put_migration(body)
        if key is not None:
            self._queue.put(key)
            self._wake_dependents(key)

    def job_seen(self, body: Body, *, gone: bool) -> None:
        """News of a Job; perhaps it is somebody else's turn now."""
        self._put(self._cache.drop_job(body) if gone else self._cache.put_job(body))
        for key in self._turns.first_in_line():
            self._queue.put(key)

    def pod_seen(self, body: Body, *, gone: bool) -> None:
        """News of a pod."""
        self._put(self._cache.drop_pod(body) if gone else self._cache.put_pod(body))

    def problem(self) -> str:
        """Why the liveness probe should fail, or nothing."""
        return self.failure or self._resync.problem()

    async def _reconcile(self, key: Key) -> float | None:
        return await self._reconciler.reconcile(key)

    async def _report(self, key: Key, failure: str) -> None:
        await self._reconciler.report(key, failure)

    def _wake_dependents(self, key: Key) -> None:
        for dependent in self._cache.dependents(key):
            self._queue.put(dependent)

    def _put(self, key: Key | None) -> None:
        if key is not None:
            self._queue.put(key)

    async def _prime(self) -> None:
        while True:
            try:
                await self._resync.prime()
                return
            except CrdMissing as error:
                raise CannotStart(error.message) from error
            except Forbidden as error:
                raise CannotStart(f"the operator's ServiceAccount lacks a right: {error.message}") from error
            except KubeError as error:
                log.warning("api_server_not_ready", message=error.message, retry_in_s=_PRIME_RETRY_S)
                await asyncio.sleep(_PRIME_RETRY_S)

    def _supervise(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A background task never ends by itself; where one does, the process is not what it seems to be."""
        if task.cancelled() or self.failure:
            return
        error = task.exception()
        why = getattr(error, "message", type(error).__name__) if error is not None else "it returned"
        self.failure = f"background task {task.get_name()} ended: {why}"
        log.error("operator_failed", message=self.failure)
        os.kill(os.getpid(), signal.SIGTERM)
