"""How fast PostgreSQL scans, indexes and rewrites a table here: what `planning/cost.py` predicts waiting by.

Part of `make bench-locks`; `make bench-rates` runs it alone, in three minutes. The assumed rates are read, never set.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # `make bench-rates`; pytest sets the path itself
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.results import write_section
from servers import Database, PostgresServer
from zanith.core.graph import TableSize
from zanith.core.identifiers import TableKey
from zanith.core.statement import Work
from zanith.planning.cost import BYTES_PER_S, ROWS_PER_S, predicted_s
from zanith.postgres.catalog import read_facts
from zanith.postgres.connecting import ConnectionSettings, connect

RUNS = 3
Load = Callable[[Database], AbstractContextManager[Any]]
TITLE = "How fast a table is worked through"


@dataclass(frozen=True)
class Measured:
    """A statement, and the table it works through."""

    work: Work
    statement: str
    table: str = "accounts"


STATEMENTS = (
    Measured(Work.SCAN, "ALTER TABLE accounts ALTER COLUMN note SET NOT NULL"),
    Measured(Work.BUILD, "CREATE INDEX rate_of ON accounts (email)"),
    Measured(
        Work.BUILD, "ALTER TABLE spare ADD CONSTRAINT rate_of FOREIGN KEY (account_id) REFERENCES accounts", "spare"
    ),
    Measured(Work.REWRITE, "ALTER TABLE accounts ALTER COLUMN code TYPE bigint"),
)


def rates_section(server: PostgresServer, template: str, load: Load) -> str:
    """Measured on the template itself, taken back each time: with nothing else going on, and with an application."""
    database = Database(server, template)
    sizes = _sizes(database)
    of = ", ".join(f"`{name}` {s.rows:,} rows and {s.bytes / 2**20:.0f} MiB" for name, s in sizes.items())
    lines = [
        f"Tables with their indexes, warm: {of}; medians of {RUNS} runs.",
        "`planning/cost.py` predicts waiting with the rates assumed: the slower of rows and bytes. Nobody migrates an idle",
        "database, and few have durability off, so what is assumed is meant to be no faster than what is measured under load.",
        "",
        "| Work | Statement | Idle | Under load | Rows/s under load | assumed | MB/s under load | assumed | Predicted |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for case in STATEMENTS:
        work, size = case.work, sizes[case.table]
        assert size.rows is not None
        idle = statistics.median(_timed(database, case.statement) for _ in range(RUNS))
        with load(database):
            took = statistics.median(_timed(database, case.statement) for _ in range(RUNS))
        lines.append(
            f"| {work.value} | `{case.statement}` | {idle:.2f} s | {took:.2f} s | {size.rows / took:,.0f} | "
            f"{ROWS_PER_S[work]:,} | {size.bytes / took / 1e6:.0f} | {BYTES_PER_S[work] / 1e6:.0f} | "
            f"{predicted_s(work, size):.2f} s |"
        )
    return "\n".join(lines)


def _sizes(database: Database) -> dict[str, TableSize]:
    settings = ConnectionSettings.from_dsn(database.dsn, "public")
    with connect(settings, application_name="bench") as conn:
        sizes = read_facts(conn, "public").sizes
    return {name: sizes[TableKey("public", name)] for name in dict.fromkeys(case.table for case in STATEMENTS)}


def _timed(database: Database, statement: str) -> float:
    with database.connect() as conn:
        conn.execute("BEGIN")
        began = time.perf_counter()
        conn.execute(statement.encode())
        took = time.perf_counter() - began
        conn.execute("ROLLBACK")
    return took


def main() -> int:
    """Measure the rates alone, and write their section."""
    from bench import locks  # which has the server, the tables and the load, and needs this module itself

    with PostgresServer(18, settings=locks.SETTINGS) as server:
        locks.build_template(server)
        write_section(TITLE, "make bench-rates", rates_section(server, locks.TEMPLATE, locks.load))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
