"""Logs: one JSON object a line on standard error, an event with fields. Never a DSN, an API body or a row value.

Libraries log through the standard library. Theirs is cut short and carries no traceback, for both can hold bodies of
API objects; and they are heard from WARNING on only.
"""

from __future__ import annotations

import logging
import sys
from typing import TextIO

import structlog
from structlog.types import EventDict, WrappedLogger

_FOREIGN_LIMIT = 300
_QUIET = ("kopf", "kubernetes", "aiohttp", "aiohttp_retry", "asyncio", "psycopg", "urllib3")


def configure_logs(level: str = "INFO", stream: TextIO = sys.stderr) -> None:
    """Route structlog and the standard library's logging to JSON lines."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared, cut_short],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def cut_short(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """A library's line: the beginning of its message, and what kind of exception there was."""
    text = str(event.get("event", ""))
    short = text if len(text) <= _FOREIGN_LIMIT else f"{text[:_FOREIGN_LIMIT]}…"
    kept = {k: event[k] for k in ("level", "logger", "timestamp", "_record", "_from_structlog") if k in event}
    error = event.get("exc_info")
    kind = error[0].__name__ if isinstance(error, tuple) and error[0] is not None else None
    return {**kept, "event": short, **({"error": kind} if kind else {})}
