"""A column of 1 million rows archived, tampered with, refused, and restored: times, and the longest lock on the table.

On PostgreSQL 18 with four clients at work on the table, by the runner itself; medians of three runs on fresh databases.
The limit beside it: the same copy and the same refill as one statement each, with nobody else in the way.
"""

from __future__ import annotations

import statistics
import sys
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # `make bench-archive`; pytest sets the path itself
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.lock_cases import SETUP
from bench.locks import SETTINGS, load
from bench.results import write_section
from bench.sampling import Sampler
from operations_harness.driving import Driver, spec_of
from servers import Database, PostgresServer, create_database, drop_database
from zanith.core.errors import Conflict
from zanith.execution.assignment import ignore
from zanith.execution.recovering import restore
from zanith.execution.session import open_recovery

ROWS = 1_000_000
RUNS = 3
COPY = "_zanith_shadow._zanith_archived_public_accounts_code_20260101_case"


@dataclass(frozen=True)
class Timed:
    """One act: seconds in all, the longest time a strong lock stood on the table, the application's longest wait."""

    total_s: float
    held_s: float = 0.0
    wait_s: float = 0.0


def main() -> int:
    """Measure, check every value, write the section."""
    with PostgresServer(18, settings=SETTINGS) as server:
        runs = [_one_run(server) for _ in range(RUNS)]
        limits = [_limits(server) for _ in range(RUNS)]
    lines = [
        f"`code` of a table of {ROWS:,} rows on PostgreSQL 18, four clients reading and writing; medians of {RUNS} runs. *Held*",
        "is the longest time a lock of SHARE or above stood on the table, *longest wait* that of the application's slowest",
        "statement. The application does not name the column. Durability is off (`fsync`), as in all tests.",
        "",
        "| Act | Total | Held | Longest wait | One statement, alone | Ratio |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for number, name in enumerate(
        ("`archiveColumn`", "restore after one byte was changed: refused", "restore, every value compared")
    ):
        times = [run[number] for run in runs]
        total, held, wait = (statistics.median(getattr(t, f) for t in times) for f in ("total_s", "held_s", "wait_s"))
        limit = {0: statistics.median(x for x, _ in limits), 2: statistics.median(x for _, x in limits)}.get(number)
        against = "|  |  |" if limit is None else f"| {limit:.1f} s | {total / limit:.1f}× |"
        lines.append(f"| {name} | {total:.1f} s | {held * 1000:.0f} ms | {wait * 1000:.0f} ms {against}")
    print("\n".join(lines))
    write_section("A column archived and restored", "make bench-archive", "\n".join(lines))
    return 0


def _one_run(server: PostgresServer) -> tuple[Timed, Timed, Timed]:
    database = _prepared(server)
    driver = Driver(database, spec_of([{"archiveColumn": {"table": "accounts", "column": "code"}}]))
    archived = _timed(database, driver.apply)
    database.execute(f"UPDATE {COPY} SET code = 8 WHERE id = 7")
    refused = _timed(database, lambda: _refused(driver), under_load=False)
    database.execute(f"UPDATE {COPY} SET code = 7 WHERE id = 7")
    restored = _timed(database, lambda: _restore(driver))
    wrong = database.value("SELECT count(*) FROM accounts WHERE code IS DISTINCT FROM id")
    assert wrong == 0, f"{wrong} values are not what they were"
    drop_database(database)
    return archived, refused, restored


def _limits(server: PostgresServer) -> tuple[float, float]:
    """The copy and the refill as one statement each, alone."""
    database = _prepared(server)
    copy = "CREATE TABLE kept AS SELECT id, code FROM accounts; ALTER TABLE kept ADD PRIMARY KEY (id)"
    copied = _timed(database, lambda: database.execute(copy), under_load=False)
    database.execute("ALTER TABLE accounts DROP COLUMN code, ADD COLUMN code integer; ANALYZE kept")
    refill = "UPDATE accounts a SET code = k.code FROM kept k WHERE k.id = a.id"
    refilled = _timed(database, lambda: database.execute(refill), under_load=False)
    drop_database(database)
    return copied.total_s, refilled.total_s


def _prepared(server: PostgresServer) -> Database:
    database = create_database(server)
    for statement in SETUP.replace("2000000", str(ROWS)).split(";"):
        if statement.strip():
            database.execute(statement)
    return database


def _timed(database: Database, act: Callable[[], Any], *, under_load: bool = True) -> Timed:
    with load(database) if under_load else nullcontext({"longest_s": 0.0}) as told, Sampler(database) as sampler:
        began = time.perf_counter()
        act()
        total_s = time.perf_counter() - began
    return Timed(total_s, max(sampler.held.values(), default=0.0), told["longest_s"])


def _restore(driver: Driver) -> None:
    session = open_recovery(
        driver.settings, driver.spec.migration_id, application_name="bench", stop=threading.Event(), report=ignore
    )
    (artifact,) = driver.record().artifacts
    with session.conn:
        restore(session, artifact)


def _refused(driver: Driver) -> None:
    said = ""
    try:
        _restore(driver)
    except Conflict as refused:
        said = refused.message
    assert said.startswith("archive checksum changed since archive time"), f"a changed archive was not refused: {said}"


if __name__ == "__main__":
    sys.exit(main())
