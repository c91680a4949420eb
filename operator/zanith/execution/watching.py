"""Watches over a statement that may take long: cancels it when asked to stop, and gives signs of life meanwhile.

The session that works holds the lock and is busy; heartbeats go by a connection of their own, opened only when a
statement takes longer than a few seconds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg import Connection

from zanith.core.errors import ZanithError

HEARTBEAT_AFTER_S = 5.0
HEARTBEAT_EVERY_S = 10.0
LOOK_EVERY_S = 0.1
CANCEL_AGAIN_S = 1.0

Beat = Callable[[], None]


@contextmanager
def watched(conn: Connection[Any], stop: threading.Event, beat: Beat | None = None) -> Iterator[None]:
    """While the body runs a statement on `conn`: cancel it once `stop` is set, call `beat` from time to time.

    `beat` runs in another thread and must not use `conn`. It is not waited for at the end: the body may hold locks, and a
    heartbeat may hang. After the end nothing is cancelled any more.
    """
    watch = _Watch(conn, stop, beat)
    threading.Thread(target=watch.run, name="watch", daemon=True).start()
    try:
        yield
    finally:
        watch.end()


class _Watch:
    """The thread beside a statement."""

    def __init__(self, conn: Connection[Any], stop: threading.Event, beat: Beat | None) -> None:
        self._conn, self._stop, self._beat = conn, stop, beat
        self._ended = threading.Event()
        self._cancelling = threading.Lock()

    def end(self) -> None:
        """No more cancelling: the next statement on the connection is somebody else's."""
        with self._cancelling:
            self._ended.set()

    def run(self) -> None:
        next_beat = time.monotonic() + HEARTBEAT_AFTER_S
        next_cancel = 0.0
        while not self._ended.wait(LOOK_EVERY_S):
            now = time.monotonic()
            if self._stop.is_set() and now >= next_cancel:
                next_cancel = now + CANCEL_AGAIN_S
                self._cancel()
            if self._beat is not None and now >= next_beat and not self._stop.is_set():
                next_beat = now + HEARTBEAT_EVERY_S
                # A missed heartbeat is not worth failing a migration for.
                with suppress(psycopg.Error, ZanithError):
                    self._beat()

    def _cancel(self) -> None:
        # The server may be gone already: either way there is nothing left to cancel.
        with self._cancelling, suppress(psycopg.Error):
            if not self._ended.is_set():
                self._conn.cancel_safe(timeout=2.0)
