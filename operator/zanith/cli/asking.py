"""`zanith migrate status`, `migrate history` and `recover list`: what the five tables say. Reads only."""

from __future__ import annotations

import re
import sys
from datetime import timedelta

from zanith.cli.outcome import warn
from zanith.cli.target import Target
from zanith.core.errors import ExitCode, SpecError
from zanith.ledger.history import History, history_json, history_text
from zanith.ledger.history_queries import five_tables_exist, read_history, read_kept, read_status
from zanith.ledger.overview import LedgerStatus, kept_json, kept_text, status_json, status_text
from zanith.postgres.sqlstates import translated

_SINCE = re.compile(r"^([0-9]{1,6})([smhd])$")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def parse_since(text: str, option: str = "--since") -> timedelta:
    """`7d` as a timedelta. Raises SpecError."""
    match = _SINCE.match(text)
    if match is None:
        raise SpecError(f"{option}: must be a number and a unit, s, m, h or d, such as 7d")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def history(
    dsn: str, schema: str, *, migration_id: str | None, since: str | None, verbose: bool, timings: bool, as_json: bool
) -> int:
    """Print the history as it is read."""
    period = None if since is None else parse_since(since)
    steps = verbose or timings or as_json
    with Target(dsn) as target:
        conn = target.connection(schema)
        with translated("reading the history"):
            if not has_ledger(target, schema):
                if as_json:
                    sys.stdout.writelines(history_json(History(0, (), 0, ())))
                return int(ExitCode.APPLIED)
            with read_history(
                conn,
                schema,
                migration_id=migration_id,
                since=period,
                steps=steps,
                times=timings or as_json,
                recoveries=as_json,
            ) as found:
                if as_json:
                    sys.stdout.writelines(history_json(found))
                else:
                    sys.stdout.writelines(f"{part}\n" for part in history_text(found, verbose=steps, timings=timings))
    return int(ExitCode.APPLIED)


def status(dsn: str, schema: str, *, migration_id: str | None, as_json: bool) -> int:
    """Print how many migrations are applied, and where the others stand."""
    with Target(dsn) as target, translated("reading the ledger"):
        if has_ledger(target, schema):
            found = read_status(target.connection(schema), schema, migration_id=migration_id)
        elif as_json:
            found = LedgerStatus(0, None, 0)
        else:
            return int(ExitCode.APPLIED)
    print(status_json(found) if as_json else status_text(found))
    return int(ExitCode.APPLIED)


def kept(dsn: str, schema: str, *, everything: bool, migration_id: str | None, as_json: bool) -> int:
    """Print every artifact that still holds data; with `everything`, those that were restored or purged too."""
    with Target(dsn) as target, translated("reading the artifacts"):
        if has_ledger(target, schema):
            found = read_kept(target.connection(schema), schema, everything=everything, migration_id=migration_id)
        elif as_json:
            found = []
        else:
            return int(ExitCode.APPLIED)
    print(kept_json(found) if as_json else kept_text(found, everything=everything))
    return int(ExitCode.APPLIED)


def has_ledger(target: Target, schema: str) -> bool:
    """Whether there is one; where not, it is said on stderr, for nothing is wrong."""
    if five_tables_exist(target.connection(schema), schema):
        return True
    warn(f"no migration has run here yet: schema {schema} has no ledger (another one? give --schema)")
    return False
