"""A long history: 10,000 migrations and 100,000 steps, told by `history --verbose`, in how much time and memory.

On a real server, by the functions the command calls; the command as a whole, from process start to end, stands beside
it, and so do two measures of what cannot be saved: the same rows read plainly by psycopg, and the rows counted by the
server alone. Figures are the median of several runs, and the best beside it. Nothing is written by hand.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # `make bench-history`; pytest sets the path itself
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from psycopg import Connection

from bench.results import write_section
from servers import Database, PostgresServer, create_database
from zanith.ledger.history import history_json, history_text
from zanith.ledger.history_queries import read_history
from zanith.ledger.writing import Ledger

MIGRATIONS = 10_000
STEPS = 100_000
RUNS = 7
GOAL_MS = 500
MEMORY_GOAL_MB = 2
OPERATOR = Path(__file__).resolve().parents[2] / "operator"

# A tenth of the steps took two attempts; errors, SQL and artifacts of restores as they are.
FILL = """
INSERT INTO _zanith_migrations
SELECT 'm' || lpad(m::text, 5, '0'), now() - (10001 - m) * interval '1 h' FROM generate_series(1, 9900) AS m;
INSERT INTO _zanith_migration_steps
SELECT 'm' || lpad(m::text, 5, '0'), s, (ARRAY['addColumn', 'backfill', 'addIndex', 'alterColumnNullable'])[s % 4 + 1],
       repeat('ALTER TABLE users ADD COLUMN x text; ', 20), (ARRAY['safe', 'medium', 'low', 'high'])[s % 4 + 1],
       (ARRAY[5, 35, 15, 60])[s % 4 + 1],
       CASE WHEN attempt = 0 THEN 'interrupted' WHEN m > 9900 AND s = 10 THEN 'failed' ELSE 'done' END,
       CASE WHEN attempt = 0 THEN 'the connection was lost' WHEN m > 9900 AND s = 10 THEN 'refused — max risk 60' END,
       now() - (10001 - m) * interval '1 h' + s * interval '1 s' + attempt * interval '1 ms',
       now() - (10001 - m) * interval '1 h' + s * interval '1 s' + attempt * interval '500 ms'
FROM generate_series(1, 10000) AS m, generate_series(1, 10) AS s, generate_series(0, 1) AS attempt
WHERE attempt = 1 OR s = 3;
INSERT INTO _zanith_schema_snapshots
SELECT id, 'summary', '{"models": 1000, "relations": 3967, "hash": "0123456789abcdef"}', applied_at FROM _zanith_migrations;
ANALYZE
"""
PLAIN = """
SELECT migration_id, step_index, operation_kind, risk_level, risk_score, status, error
FROM _zanith_migration_steps ORDER BY migration_id, step_index, started_at
"""
COUNTED = "SELECT count(*) FROM _zanith_migration_steps"


@dataclass(frozen=True)
class Figure:
    """One line of the results; `goal` in the same unit, None where there is none."""

    name: str
    median: float
    best: float
    cpu: float | None
    """CPU of our process, in the same unit; what the server and the rest of the machine did is not in it."""
    unit: str
    goal: float | None = None

    @property
    def met(self) -> bool:
        return self.goal is None or self.median < self.goal

    def line(self) -> str:
        goal = "" if self.goal is None else f"< {self.goal:g} {self.unit}"
        met = "" if self.goal is None else "met" if self.met else "missed"
        cpu = "" if self.cpu is None else f"{self.cpu:.0f} {self.unit}"
        return f"| {self.name} | {self.median:.4g} {self.unit} | {self.best:.4g} {self.unit} | {cpu} | {goal} | {met} |"


def measure() -> tuple[list[Figure], str]:
    """The figures, and a sentence on what they are of."""
    with PostgresServer(18) as server:
        database = create_database(server)
        with database.connect() as conn:
            Ledger(conn, "public").create_tables()
            conn.execute(FILL.encode())
            (rows,), (migrations,) = (
                conn.execute(q).fetchone() or (0,)
                for q in (COUNTED.encode(), b"SELECT count(DISTINCT migration_id) FROM _zanith_migration_steps")
            )
            assert (migrations, rows) == (MIGRATIONS, STEPS + STEPS // 10)
            figures = [
                _timed("`history --verbose`, read and told", lambda: _told(conn), GOAL_MS),
                _timed("with `--timings`", lambda: _told(conn, times=True)),
                _timed("`history --json`, everything", lambda: _as_json(conn)),
                _timed("the command, from its start to its end", lambda: _command(database)),
                _timed("the same rows of one table, read by psycopg", lambda: _plain(conn)),
                _timed("the same rows, counted by the server", lambda: _counted(conn)),
                _memory(conn),
            ]
    what = (
        f"{migrations:,} migrations, {STEPS:,} steps, {rows:,} attempts, PostgreSQL 18; median and best of {RUNS} runs, "
        f"on {os.cpu_count()} CPUs at a load of {os.getloadavg()[0]:.1f}."
    )
    return figures, what


def markdown(figures: list[Figure], what: str) -> str:
    """The section of RESULTS.md, without its heading."""
    lines = [what, "", "| | median | best | own CPU | goal | |", "| --- | ---: | ---: | ---: | ---: | --- |"]
    return "\n".join([*lines, *(f.line() for f in figures)]) + "\n"


def _told(conn: Connection[Any], *, times: bool = False) -> None:
    with read_history(conn, "public", times=times) as history:
        lines = sum(part.count("\n") + 1 for part in history_text(history, verbose=True, timings=times))
    assert lines == 2 + MIGRATIONS + STEPS + 9900 + 100  # headings, ids, steps, snapshots, refusals


def _as_json(conn: Connection[Any]) -> None:
    with read_history(conn, "public", recoveries=True) as history:
        assert sum(len(part) for part in history_json(history)) > STEPS * 100


def _command(database: Database) -> None:
    command = [sys.executable, "-m", "zanith.main", "migrate", "history", "--verbose"]
    environment = os.environ | {"PYTHONPATH": str(OPERATOR), "ZANITH_DSN": database.dsn}
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True, timeout=60)


def _plain(conn: Connection[Any]) -> None:
    assert sum(1 for _ in conn.cursor().stream(PLAIN.encode(), binary=True)) == STEPS + STEPS // 10


def _counted(conn: Connection[Any]) -> None:
    conn.execute(COUNTED.encode()).fetchall()


def _memory(conn: Connection[Any]) -> Figure:
    tracemalloc.start()
    try:
        _told(conn)
        peak = tracemalloc.get_traced_memory()[1] / 1_000_000
    finally:
        tracemalloc.stop()
    return Figure("memory of Python at the most, `--verbose`", peak, peak, None, "MB", MEMORY_GOAL_MB)


def _timed(name: str, act: Callable[[], None], goal: float | None = None) -> Figure:
    """A first run is not counted."""
    act()
    took = []
    for _ in range(RUNS):
        began, cpu = time.perf_counter(), time.process_time()
        act()
        took.append(((time.perf_counter() - began) * 1000, (time.process_time() - cpu) * 1000))
    wall, own = zip(*took, strict=True)
    return Figure(name, statistics.median(wall), min(wall), statistics.median(own), "ms", goal)


def main() -> int:
    """Write the section; 1 where a goal is missed."""
    figures, what = measure()
    body = markdown(figures, what)
    print(body, end="")
    write_section("History", "make bench-history", body)
    return 0 if all(f.met for f in figures) else 1


if __name__ == "__main__":
    raise SystemExit(main())
