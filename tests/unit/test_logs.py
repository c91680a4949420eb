"""Log lines: JSON objects, ours with all their fields, those of libraries cut short and without a traceback."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from zanith.logs import configure_logs


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """Where the lines go; what was set before is set again afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    stream = io.StringIO()
    configure_logs("INFO", stream)
    yield stream
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def parsed(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_our_lines_are_events_with_fields(lines: io.StringIO) -> None:
    structlog.get_logger("zanith.controller").info("attempt_started", migration="shop/m", attempt=2)
    (line,) = parsed(lines)
    assert (line["event"], line["migration"], line["attempt"], line["level"]) == (
        "attempt_started",
        "shop/m",
        2,
        "info",
    )
    assert "timestamp" in line


def test_lines_below_the_level_are_not_written(lines: io.StringIO) -> None:
    structlog.get_logger("zanith.controller").debug("listener_lost")
    logging.getLogger("kopf.objects").info("Handler succeeded.")
    assert parsed(lines) == []


def test_a_library_s_line_is_cut_and_its_exception_is_named_only(lines: io.StringIO) -> None:
    try:
        raise ValueError("password=hunter2")
    except ValueError:
        logging.getLogger("aiohttp.client").exception("Body: %s", "x" * 1000, extra={"body": "secret"})
    (line,) = parsed(lines)
    assert (len(line["event"]), line["error"], line["logger"]) == (301, "ValueError", "aiohttp.client")
    assert "hunter2" not in lines.getvalue()
    assert "secret" not in lines.getvalue()


def test_a_library_s_short_line_is_whole(lines: io.StringIO) -> None:
    logging.getLogger("kopf").warning("Watching %s", "pods")
    (line,) = parsed(lines)
    assert (line["event"], "error" in line) == ("Watching pods", False)
