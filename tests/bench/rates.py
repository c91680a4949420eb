"""How fast PostgreSQL scans, indexes and rewrites a table here: what `planning/cost.py` predicts waiting by."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from servers import Database, PostgresServer
from zanith.core.graph import TableSize
from zanith.core.identifiers import TableKey
from zanith.core.statement import Work
from zanith.planning.cost import BYTES_PER_S, ROWS_PER_S, predicted_s
from zanith.postgres.catalog import read_facts
from zanith.postgres.connecting import ConnectionSettings, connect

RUNS = 3
Load = Callable[[Database], AbstractContextManager[Any]]
WORK = {
    Work.SCAN: "ALTER TABLE accounts ALTER COLUMN note SET NOT NULL",
    Work.BUILD: "CREATE INDEX rate_of ON accounts (email)",
    Work.REWRITE: "ALTER TABLE accounts ALTER COLUMN code TYPE bigint",
}


def rates_section(server: PostgresServer, template: str, load: Load) -> str:
    """Measured on the template itself, taken back each time: with nothing else going on, and with an application."""
    database = Database(server, template)
    size = _size(database)
    assert size.rows is not None
    lines = [
        f"A table of {size.rows:,} rows and {size.bytes / 2**20:.0f} MiB with its indexes, warm; medians of {RUNS} runs.",
        "`planning/cost.py` predicts waiting with the rates assumed: the slower of rows and bytes. Nobody migrates an idle",
        "database, and few have durability off, so what is assumed is meant to be no faster than what is measured under load.",
        "",
        "| Work | Statement | Idle | Under load | Rows/s under load | assumed | MB/s under load | assumed | Predicted |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for work, statement in WORK.items():
        idle = statistics.median(_timed(database, statement) for _ in range(RUNS))
        with load(database):
            took = statistics.median(_timed(database, statement) for _ in range(RUNS))
        lines.append(
            f"| {work.value} | `{statement}` | {idle:.2f} s | {took:.2f} s | {size.rows / took:,.0f} | {ROWS_PER_S[work]:,} | "
            f"{size.bytes / took / 1e6:.0f} | {BYTES_PER_S[work] / 1e6:.0f} | {predicted_s(work, size):.2f} s |"
        )
    return "\n".join(lines)


def _size(database: Database) -> TableSize:
    settings = ConnectionSettings.from_dsn(database.dsn, "public")
    with connect(settings, application_name="bench") as conn:
        return read_facts(conn, "public").sizes[TableKey("public", "accounts")]


def _timed(database: Database, statement: str) -> float:
    with database.connect() as conn:
        conn.execute("BEGIN")
        began = time.perf_counter()
        conn.execute(statement.encode())
        took = time.perf_counter() - began
        conn.execute("ROLLBACK")
    return took
