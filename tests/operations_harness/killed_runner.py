"""Run as a program: a runner that kills itself with SIGKILL at its n-th event, so that nothing can be cleaned up.

    python -m operations_harness.killed_runner DSN SPEC.json N ATTEMPT ACTION

N = 0 never kills. Exits 0 when the migration is applied.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import cast

from zanith.api.spec import parse_spec
from zanith.core.errors import ZanithError
from zanith.execution.assignment import Action, Assignment, Progress
from zanith.execution.runner import run_migration
from zanith.postgres.connecting import ConnectionSettings


def main(dsn: str, spec_file: str, at: int, attempt: int = 1, action: Action = "apply") -> int:
    spec = parse_spec(json.loads(Path(spec_file).read_text()), name="case")
    seen = 0

    def report(progress: Progress) -> None:
        nonlocal seen
        if progress.event == "waiting":
            return
        seen += 1
        if seen == at:
            os.kill(os.getpid(), signal.SIGKILL)

    settings = ConnectionSettings.from_dsn(dsn, spec.database.schema_name)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    try:
        run_migration(
            settings, Assignment(spec=spec, action=action, uid="uid-1", attempt=attempt), stop=stop, report=report
        )
    except ZanithError as error:
        sys.stderr.write(f"{error.reason}: {error.message}\n")
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    dsn, spec_file, at, attempt, action = sys.argv[1:]
    sys.exit(main(dsn, spec_file, int(at), int(attempt), cast("Action", action)))
