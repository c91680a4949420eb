"""`zanith run`: what the Job's container executes. Reads its files, runs the migration, says how it ended.

Started for every attempt of every migration, so it imports as little as it can: no CLI framework, no settings library.
The last word goes to the termination log as JSON {exitCode, reason, message, step}: the operator reads it where the
ledger cannot tell (a database that was never reached).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zanith.api.spec import Execution, parse_spec
from zanith.core.errors import ExitCode, SpecError, ZanithError
from zanith.execution.assignment import Action, Assignment, Progress, ReadExecution
from zanith.execution.runner import run_migration
from zanith.ledger.records import Owner
from zanith.postgres.connecting import ConnectionSettings

TERMINATION_LOG = Path("/dev/termination-log")
MAX_MESSAGE = 2000
CRASHED = 1
BATCH_LOG_EVERY_S = 5.0
_ACTIONS: dict[str, Action] = {"apply": "apply", "revert": "revert", "purge": "purge"}
_DONE: dict[Action, str] = {"apply": "Applied", "revert": "Reverted", "purge": "Purged"}


def main(argv: Sequence[str]) -> int:
    """Run one attempt; the exit code of core.errors.ExitCode."""
    options = _parser().parse_args(argv)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        return _run(options, stop)
    except ZanithError as error:
        _end(options.termination_log, error.exit_code, error.reason, error.message, error.step)
        return int(error.exit_code)
    except Exception as error:  # noqa: BLE001 -- the end of the process: a traceback could hold row values
        where = traceback.extract_tb(error.__traceback__)[-1]
        message = f"an error nobody foresaw: {type(error).__name__} in {Path(where.filename).name}:{where.lineno}"
        _end(options.termination_log, CRASHED, "Retrying", message, None)
        return CRASHED


def _run(options: argparse.Namespace, stop: threading.Event) -> int:
    assignment = _assignment(options.migration)
    credentials = {p.name: p.read_text(encoding="utf-8") for p in options.credentials.iterdir() if p.is_file()}
    settings = ConnectionSettings.from_secret(
        credentials, assignment.spec.database.schema_name, ca_directory=str(options.scratch)
    )
    log = _Log(assignment)
    read = _execution_reader(options.execution, assignment.spec.execution)
    run_migration(settings, assignment, stop=stop, report=log, read_execution=read)
    _end(options.termination_log, ExitCode.APPLIED, _DONE[assignment.action], "", None)
    return int(ExitCode.APPLIED)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="zanith run", description="Run one attempt at a migration; what the Job does."
    )
    parser.add_argument("--migration", type=Path, required=True, help="JSON file: what to do, written by the operator")
    parser.add_argument("--execution", type=Path, required=True, help="JSON file: spec.execution, read again meanwhile")
    parser.add_argument("--credentials", type=Path, required=True, help="folder with the Secret's keys as files")
    parser.add_argument("--scratch", type=Path, default=Path("/tmp"), help="writable folder")
    parser.add_argument("--termination-log", type=Path, default=TERMINATION_LOG, help="where the last word goes")
    return parser


def _assignment(path: Path) -> Assignment:
    try:
        given: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return Assignment(
            spec=parse_spec(given["spec"], name=given["name"]),
            action=_ACTIONS[given.get("action", "apply")],
            owner=Owner(given["namespace"], given["name"]),
            uid=given["uid"],
            attempt=int(given["attempt"]),
            job=os.environ.get("ZANITH_JOB", ""),
            pod=os.environ.get("POD_NAME", ""),
            expected_plan_hash=given["planHash"],
            approved_hash=given.get("approvedHash", ""),
            retry=given.get("retry", ""),
        )
    except (OSError, ValueError, KeyError) as error:
        raise SpecError(
            f"{path.name} cannot be read ({type(error).__name__}); the operator and image differ in version"
        ) from error


def _execution_reader(path: Path, default: Execution) -> ReadExecution:
    """Reads the mounted file again; what cannot be read or parsed leaves the last good settings in force."""
    latest = default

    def read() -> Execution:
        nonlocal latest
        try:
            latest = Execution.model_validate_json(path.read_bytes())
        except (OSError, ValueError):
            return latest
        return latest

    return read


class _Log:
    """Progress as JSON lines on standard output; batches at most every few seconds."""

    def __init__(self, assignment: Assignment) -> None:
        self._fields = {"migration": assignment.spec.migration_id, "attempt": assignment.attempt}
        self._batch_logged = 0.0
        self._cpu_told = False

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.event == "batch":
            if now - self._batch_logged < BATCH_LOG_EVERY_S:
                return
            self._batch_logged = now
        fields: dict[str, Any] = {
            "step": progress.step_index,
            "kind": progress.kind,
            "target": progress.target,
            "statement": progress.statement,
            "rows_done": progress.rows_done,
            "rows_estimated": progress.rows_estimated,
            "rows_per_second": progress.rows_per_second,
            "took_s": round(progress.took_s, 3),
            "message": progress.message,
        }
        if progress.event == "statement_started" and not self._cpu_told:
            # What starting cost, from the process' first instruction to its first statement: kept in view.
            self._cpu_told = True
            fields["cpu_s"] = round(time.process_time(), 3)
        write_line(progress.event, **self._fields, **{k: v for k, v in fields.items() if v})


def write_line(event: str, **fields: Any) -> None:
    """One event as a JSON line."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    sys.stdout.write(json.dumps({"timestamp": stamp, "event": event, **fields}, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def _end(path: Path, code: int, reason: str, message: str, step: int | None) -> None:
    """The last word, to the log and to the termination log where there is one."""
    last = {"exitCode": int(code), "reason": reason, "message": message[:MAX_MESSAGE], "step": step}
    write_line("ended", **last)
    if path.exists():
        path.write_text(json.dumps(last, ensure_ascii=False), encoding="utf-8")
