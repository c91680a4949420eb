"""Waiting for something to become true, with a deadline and the last state seen."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def wait_until(look: Callable[[], Any], what: str, *, deadline_s: float = 20.0, every_s: float = 0.02) -> Any:
    """Look until the answer is true, and return it; after the deadline fail with the last answer."""
    deadline = time.monotonic() + deadline_s
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {deadline_s} s in vain: {what}; last seen {seen!r}")
        time.sleep(every_s)
