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

    `beat` runs in another thread and must not use `conn`.
    """
    finished = threading.Event()
    thread = threading.Thread(target=_watch, args=(conn, stop, finished, beat), name="watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        finished.set()
        thread.join()


def _watch(conn: Connection[Any], stop: threading.Event, finished: threading.Event, beat: Beat | None) -> None:
    next_beat = time.monotonic() + HEARTBEAT_AFTER_S
    next_cancel = 0.0
    while not finished.wait(LOOK_EVERY_S):
        now = time.monotonic()
        if stop.is_set() and now >= next_cancel:
            next_cancel = now + CANCEL_AGAIN_S
            # Gone already, or the server is: either way there is nothing left to cancel.
            with suppress(psycopg.Error):
                conn.cancel_safe(timeout=2.0)
        if beat is not None and now >= next_beat:
            next_beat = now + HEARTBEAT_EVERY_S
            # A missed heartbeat is not worth failing a migration for.
            with suppress(psycopg.Error, ZanithError):
                beat()
