"""Runners as processes of their own, to be killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from operations_harness.driving import Driver

ROOT = Path(__file__).resolve().parents[2]


def start_runner(
    driver: Driver, folder: Path, *, kill_at: int = 0, attempt: int = 1, action: str = "apply"
) -> subprocess.Popen[str]:
    """A runner on the driver's database; with `kill_at` it kills itself at that event."""
    spec = folder / "spec.json"
    spec.write_text(json.dumps(driver.spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)))
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'operator'}:{ROOT / 'tests'}"}
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "operations_harness.killed_runner",
            driver.database.dsn,
            spec,
            str(kill_at),
            str(attempt),
            action,
        ],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until(condition: Callable[[], Any], what: str, *, deadline_s: float = 20.0) -> Any:
    """The first true answer; fails with what was waited for and the last answer."""
    deadline = time.monotonic() + deadline_s
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"{what}: not within {deadline_s} s; last seen: {found!r}"
        time.sleep(0.01)
