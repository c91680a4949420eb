"""How a command ends: an expected error becomes one line on stderr and the exit code of its class."""

from __future__ import annotations

import sys

from zanith.core.errors import ApprovalNeeded, NotYet, ZanithError

_RETRY_PROMISE = "; it is tried again"


def say(error: ZanithError, *, subject: str = "") -> int:
    """Say why it did not work, in one line, and return the exit code."""
    message = " ".join(error.message.split())
    if isinstance(error, NotYet):
        # The operator tries again by itself; a command that has ended does not.
        message = message.removesuffix(_RETRY_PROMISE)
    elif isinstance(error, ApprovalNeeded):
        message += "; look at it with `plan`, then give `up` that hash with --approve"
    warn(f"{subject}: {message}" if subject else message)
    return int(error.exit_code)


def warn(line: str) -> None:
    """A line on stderr."""
    print(f"zanith: {line}", file=sys.stderr, flush=True)
