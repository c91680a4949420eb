"""Rounds: every so often one short look at each database with migrations at rest, for what others have changed there.

A restore, a purge or a `migrate down` by hand starts no Job of ours, and a connection that listens is not kept for an
idle database. The look says only which migrations are worth reading again; reading them is the queue's work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from zanith.controller.cache import Key
from zanith.controller.databases import Databases
from zanith.ledger.marks import Mark
from zanith.postgres.connecting import ConnectionSettings

log = structlog.get_logger(__name__)

_SIDE_BY_SIDE = 4
Place = tuple[str, str]
"""A database, and the schema of its ledger."""


@dataclass(frozen=True, slots=True)
class AtRest:
    """A migration at rest, as it was read last."""

    place: Place
    connection: ConnectionSettings
    migration_id: str
    mark: Mark


class Rounds:
    """The migrations at rest, by key."""

    def __init__(self, databases: Databases, wake: Callable[[Key], None]) -> None:
        self._databases = databases
        self._wake = wake
        self._at_rest: dict[Key, AtRest] = {}

    def join(self, key: Key, seen: AtRest) -> None:
        """Look after a migration, from what was just read of it."""
        self._at_rest[key] = seen

    def leave(self, key: Key) -> None:
        """No longer: it is at work, and read often enough, or gone."""
        self._at_rest.pop(key, None)

    async def run(self, *, every_s: float) -> None:
        """For ever."""
        while True:
            await asyncio.sleep(every_s)
            await self.once()

    async def once(self) -> None:
        """One round, few databases side by side."""
        places: dict[Place, dict[Key, AtRest]] = {}
        for key, seen in self._at_rest.items():
            places.setdefault(seen.place, {})[key] = seen
        few = asyncio.Semaphore(_SIDE_BY_SIDE)

        async def look(its: dict[Key, AtRest]) -> None:
            async with few:
                await self._look(its)

        await asyncio.gather(*(look(its) for its in places.values()))

    async def _look(self, its: dict[Key, AtRest]) -> None:
        latest, newest = next(reversed(its.items()))
        found = await self._databases.marks(newest.connection, {seen.migration_id for seen in its.values()})
        if found is None:
            # Whoever is read again finds out what is the matter, a new password of the Secret included. It joins again
            # once it was read; until then the connection of another is tried.
            if self._at_rest.get(latest) is newest:
                self.leave(latest)
            self._wake(latest)
            return
        for key, seen in its.items():
            if found[seen.migration_id] != seen.mark and self._at_rest.get(key) is seen:
                log.info("changed_by_others", migration=str(key))
                self._wake(key)
