"""The queue of work: keys, not events. One worker per key at a time; news about a busy key is looked at right after.

Each key has its own timer and its own backoff. What a key's work raises is settled here, and only here.
"""

from __future__ import annotations

import asyncio
import random
import traceback
from collections.abc import Awaitable, Callable

import structlog

from zanith.controller.cache import Key

log = structlog.get_logger(__name__)

MAX_BACKOFF_S = 60.0
Work = Callable[[Key], Awaitable[float | None]]
"""Works on a key; returns in how many seconds to look again, or None where it is done with."""
Report = Callable[[Key, str], Awaitable[None]]
"""Tells, on the key's resource, that work on it failed for a reason nobody foresaw: the class of the error."""


class WorkQueue:
    """Keys that want to be looked at."""

    def __init__(self, work: Work, report: Report, *, chance: random.Random, backoff_s: float = 1.0) -> None:
        self._work = work
        self._report = report
        self._chance = chance
        self._backoff_s = backoff_s
        self._ready: asyncio.Queue[Key] = asyncio.Queue()
        self._waiting: set[Key] = set()
        self._busy: set[Key] = set()
        self._dirty: set[Key] = set()
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._failures: dict[Key, int] = {}

    def put(self, key: Key) -> None:
        """Look at a key as soon as a worker is free."""
        self._cancel_timer(key)
        if key in self._busy:
            self._dirty.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._ready.put_nowait(key)

    def put_within(self, key: Key, delay_s: float) -> None:
        """Look at a key in this time, if nothing asks for it sooner."""
        if key in self._waiting or key in self._dirty:
            return
        at = asyncio.get_running_loop().time() + delay_s
        timer = self._timers.get(key)
        if timer is not None and timer.when() <= at:
            return
        self._cancel_timer(key)
        self._timers[key] = asyncio.get_running_loop().call_at(at, self.put, key)

    async def run_worker(self) -> None:
        """One worker, for ever."""
        while True:
            key = await self._ready.get()
            self._waiting.discard(key)
            self._busy.add(key)
            try:
                delay_s = await self._settled(key)
            finally:
                self._busy.discard(key)
            if key in self._dirty:
                self._dirty.discard(key)
                self.put(key)
            elif delay_s is not None:
                self.put_within(key, delay_s)

    async def _settled(self, key: Key) -> float | None:
        """Work on a key; whatever goes wrong, it is tried again, ever more slowly."""
        try:
            delay_s = await self._work(key)
        except Exception as error:  # noqa: BLE001 -- the one place where the outcome of reconciling is settled
            failures = self._failures[key] = self._failures.get(key, 0) + 1
            delay_s = min(self._backoff_s * 2.0 ** min(failures, 10), MAX_BACKOFF_S) * self._chance.uniform(0.5, 1.0)
            log.warning("reconcile_failed", migration=str(key), retry_in_s=round(delay_s, 3), **_told(error))
            await self._reported(key, error)
            return delay_s
        self._failures.pop(key, None)
        return delay_s

    async def _reported(self, key: Key, error: Exception) -> None:
        """What was foreseen heals by itself; the rest has to be seen by somebody."""
        if hasattr(error, "message"):
            return
        try:
            await self._report(key, type(error).__name__)
        except Exception as again:  # noqa: BLE001 -- telling of a failure must not end the worker
            log.warning("report_failed", migration=str(key), **_told(again))

    def _cancel_timer(self, key: Key) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()


def _told(error: Exception) -> dict[str, object]:
    """What may be said of an error: our own have messages made for it; of others only what it is and where."""
    message = getattr(error, "message", None)
    if isinstance(message, str):
        return {"error": type(error).__name__, "message": message}
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    return {
        "error": type(error).__name__,
        "at": [f"{f.filename.rsplit('/', 1)[-1]}:{f.lineno} {f.name}" for f in frames],
    }
