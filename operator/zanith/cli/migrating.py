"""`zanith migrate plan` and `up`: what is pending, and bringing it about. Returns exit codes, prints the outcome."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Sequence

from zanith.cli.answers import with_answers
from zanith.cli.manifests import Manifest, read_manifests
from zanith.cli.outcome import say, warn
from zanith.cli.pending import MigrationProblem, find_pending, plan_pending
from zanith.cli.progress import progress_report
from zanith.cli.stopping import stop_on_signals
from zanith.cli.target import Target
from zanith.core.errors import ExitCode, SpecError, Stopped, ZanithError
from zanith.execution.assignment import Assignment
from zanith.execution.runner import run_migration
from zanith.planning.rendering import plan_json, plan_sql, plan_text


def plan(files: Sequence[str], dsn: str, *, sql: bool, as_json: bool, verbose: bool, probe: bool) -> int:
    """Print the plan of what is pending; 20 where a gate, or with `probe` the data, refuses it. Writes nothing."""
    if sql and as_json:
        raise SpecError("--sql and --json: give one of them")
    manifests = read_manifests(files, note=warn)
    with Target(dsn) as target:
        try:
            wanted = find_pending(target, manifests)
            planned = plan_pending(target, wanted)
            if probe:
                planned = with_answers(target, wanted, planned, keys=sys.stdout.isatty())
        except MigrationProblem as problem:
            return say(problem.error, subject=problem.name)
    pending = [p for p, _ in planned]
    if as_json:
        print(json.dumps(plan_json(pending), indent=2, ensure_ascii=False))
    elif sql:
        print(plan_sql(pending))
    else:
        print(plan_text(pending, verbose=verbose))
    codes = [say(refused, subject=p.plan.migration_id) for p, refused in planned if refused is not None]
    return max(codes, default=int(ExitCode.APPLIED))


def up(files: Sequence[str], dsn: str, *, approve: str) -> int:
    """Bring everything pending about, in order; the first that does not succeed ends it, with its exit code."""
    manifests = read_manifests(files, note=warn)
    with Target(dsn) as target:
        try:
            pending = find_pending(target, manifests)
        except MigrationProblem as problem:
            return say(problem.error, subject=problem.name)
        applied_before = len(manifests) - len(pending)
        with stop_on_signals() as stop:
            for manifest in pending:
                try:
                    _run(target, manifest, approve=approve, stop=stop)
                except ZanithError as error:
                    return say(error, subject=manifest.spec.migration_id)
    print(f"Applied {len(pending)} migration(s); {applied_before} were applied before.")
    return int(ExitCode.APPLIED)


def _run(target: Target, manifest: Manifest, *, approve: str, stop: threading.Event) -> None:
    spec = manifest.spec
    if spec.suspend:
        raise Stopped("spec.suspend is true")
    if stop.is_set():
        raise Stopped("was asked to stop before it began")
    print(f"▸ {spec.migration_id}", flush=True)
    with progress_report(sys.stdout) as report:
        run_migration(
            target.settings(spec.database.schema_name),
            Assignment(spec, approved_hash=approve),
            stop=stop,
            report=report,
        )
