"""The resync: list everything now and then, and compare with what the watches have shown.

What was missed is put right at once. Two lists in a row with something missed mean that a watch is deaf: then the
liveness probe fails and the process is started anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import structlog

from zanith.controller.cache import Cache, Key, key_of, version_of
from zanith.kube.client import Body, KubeClient, KubeError, NotFound
from zanith.kube.reading import JOBS, MIGRATIONS, PODS, Kind, list_objects

log = structlog.get_logger(__name__)

KINDS: dict[str, Kind] = {"migrations": MIGRATIONS, "jobs": JOBS, "pods": PODS}
MISSES_ALLOWED = 1

Listed = dict[tuple[str, Key], Body]
Versions = dict[tuple[str, Key], tuple[str, int]]


class CrdMissing(Exception):
    """The kind ZanithMigration is not known to the API server."""

    message = (
        "the CustomResourceDefinition zanithmigrations.zanith.io is not installed: apply crds/zanithmigrations.yaml "
        "or install the chart, then start the operator again"
    )


@dataclass
class Resync:
    """Lists, compares, heals, and counts what it had to heal."""

    kube: KubeClient
    cache: Cache
    namespaces: tuple[str, ...]
    wake: Callable[[Key], None]
    misses: int = 0

    async def prime(self) -> None:
        """Fill the cache before any work begins. Raises CrdMissing, KubeError."""
        for (kind, _), body in (await self._list()).items():
            self._put(kind, body)

    async def run(self, *, every_s: float, grace_s: float) -> None:
        """For ever. Raises CrdMissing where the kind went away."""
        while True:
            await asyncio.sleep(every_s)
            try:
                await self.once(grace_s=grace_s)
            except KubeError as error:
                log.warning("resync_failed", message=error.message)

    async def once(self, *, grace_s: float) -> None:
        """One list; the watches then have a moment to show the same."""
        before = self.cache.versions()
        listed = await self._list()
        if missed(before, listed, self.cache):
            await asyncio.sleep(grace_s)
        found = missed(before, listed, self.cache)
        self.misses = self.misses + 1 if found else 0
        if found:
            log.warning("watch_missed", objects=[f"{kind} {key}" for kind, key in found[:10]], in_a_row=self.misses)
        for item in found:
            self._heal(item, listed.get(item))

    def problem(self) -> str:
        """Why the process should be started anew, or nothing."""
        if self.misses > MISSES_ALLOWED:
            return f"the watches missed changes {self.misses} times in a row"
        return ""

    def _heal(self, item: tuple[str, Key], body: Body | None) -> None:
        kind, key = item
        owner = self.cache.forget(kind, key) if body is None else self._put(kind, body)
        if owner is not None:
            self.wake(owner)

    def _put(self, kind: str, body: Body) -> Key | None:
        puts = {"migrations": self.cache.put_migration, "jobs": self.cache.put_job, "pods": self.cache.put_pod}
        return puts[kind](body)

    async def _list(self) -> Listed:
        """Jobs before pods, so that a pod finds its Job."""
        listed: Listed = {}
        namespaces: Iterable[str | None] = self.namespaces or (None,)
        for kind, where in KINDS.items():
            for namespace in namespaces:
                try:
                    async for body in list_objects(self.kube, where, namespace):
                        listed[kind, key_of(body)] = body
                except NotFound as error:
                    raise CrdMissing(CrdMissing.message) from error
        return listed


def missed(before: Versions, listed: Listed, cache: Cache) -> list[tuple[str, Key]]:
    """What the list shows and the cache does not: newer versions, and objects that were gone already at the list."""
    now = cache.versions()
    late = [
        item
        for item, body in listed.items()
        if now.get(item, ("", -1))[1] < version_of(body)[1] and not cache.is_gone(body)
    ]
    left = [item for item, version in before.items() if item not in listed and now.get(item) == version]
    return late + left
