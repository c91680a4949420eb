"""Listening: one connection per database with an active Job, for hints that the ledger has news.

A hint is only a reason to look. Losing the connection loses nothing: the ledger is read every few seconds anyway.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import psycopg
import structlog
from psycopg import AsyncConnection, sql

from zanith.controller.cache import Key
from zanith.controller.databases import APPLICATION_NAME
from zanith.execution.assignment import NOTIFY_CHANNEL
from zanith.postgres.connecting import ConnectionSettings

log = structlog.get_logger(__name__)

_CONNECT_TIMEOUT_S = 5
_RETRY_S = 10.0


class Listeners:
    """A task per database that somebody follows."""

    def __init__(self, wake: Callable[[Key], None]) -> None:
        self._wake = wake
        self._followers: dict[str, set[Key]] = {}
        self._tasks: dict[str, tuple[str, asyncio.Task[None]]] = {}
        """By database: the connection string it listens with, and the task."""

    def follow(self, key: Key, database: str, settings: ConnectionSettings) -> None:
        """Wake the key when its database has news."""
        for other in [d for d, keys in self._followers.items() if key in keys and d != database]:
            self._leave(key, other)
        self._followers.setdefault(database, set()).add(key)
        conninfo, task = self._tasks.get(database, ("", None))
        if task is not None and (task.done() or conninfo != settings.conninfo):
            task.cancel()
            task = None
        if task is None:
            task = asyncio.create_task(self._listen(database, settings), name=f"listener {database}")
            self._tasks[database] = (settings.conninfo, task)

    def unfollow(self, key: Key) -> None:
        """No longer wake the key; the last one turns off the light."""
        for database in [d for d, keys in self._followers.items() if key in keys]:
            self._leave(key, database)

    async def close(self) -> None:
        """End every connection."""
        tasks = [task for _, task in self._tasks.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _leave(self, key: Key, database: str) -> None:
        self._followers[database].discard(key)
        if not self._followers[database]:
            del self._followers[database]
            _, task = self._tasks.pop(database)
            task.cancel()

    async def _listen(self, database: str, settings: ConnectionSettings) -> None:
        while True:
            try:
                await self._until_lost(database, settings)
            except (psycopg.Error, OSError) as error:
                log.debug("listener_lost", database=database, error=type(error).__name__)
            await asyncio.sleep(_RETRY_S)

    async def _until_lost(self, database: str, settings: ConnectionSettings) -> None:
        conn = await AsyncConnection.connect(
            settings.conninfo,
            autocommit=True,
            connect_timeout=_CONNECT_TIMEOUT_S,
            application_name=APPLICATION_NAME,
            keepalives_idle=10,
            keepalives_interval=5,
            keepalives_count=3,
        )
        async with conn:
            await conn.execute(sql.SQL("LISTEN {}").format(sql.Identifier(NOTIFY_CHANNEL)))
            async for _ in conn.notifies():
                for key in list(self._followers.get(database, ())):
                    self._wake(key)
