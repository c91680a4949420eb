"""Progress on stderr, one line for each thing that is really done, with its duration; stdout stays for answers."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

_open_line = False


def note(text: str) -> None:
    """A line of its own, also in the middle of a step."""
    global _open_line
    print(("\n" if _open_line else "") + f"  {text}", file=sys.stderr, flush=True)
    _open_line = False


@contextmanager
def step(text: str) -> Iterator[None]:
    """Name what is being done before it is done, then say how long it took."""
    global _open_line
    print(f"• {text} …", end="", file=sys.stderr, flush=True)
    _open_line = True
    started = time.monotonic()
    try:
        yield
    except BaseException:
        print(" failed" if _open_line else f"• {text}: failed", file=sys.stderr, flush=True)
        _open_line = False
        raise
    took = f"{time.monotonic() - started:.1f} s"
    print(f" {took}" if _open_line else f"• {text}: {took}", file=sys.stderr, flush=True)
    _open_line = False
