"""Ctrl-C and SIGTERM: work ends at the next safe place, and the command says how to go on."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from zanith.cli.outcome import warn
from zanith.core.errors import ExitCode


@contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set: whoever works then stops at the next safe place."""
    stop = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def stopped(what_is: str) -> int:
    """Say that it was stopped and that nothing is lost; the exit code."""
    warn(f"stopped: {what_is}; run the same command again to go on")
    return int(ExitCode.STOPPED)
