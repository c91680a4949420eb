"""How fast PostgreSQL scans, indexes and rewrites a table here: what `planning/cost.py` predicts waiting by."""

from __future__ import annotations

import statistics
import time

from servers import Database, PostgresServer
from zanith.core.graph import TableSize
from zanith.core.identifiers import TableKey
from zanith.core.statement import Work
from zanith.planning.cost import BYTES_PER_S, ROWS_PER_S, predicted_s
from zanith.postgres.catalog import read_facts
from zanith.postgres.connecting import ConnectionSettings, connect

RUNS = 3
WORK = {
    Work.SCAN: "ALTER TABLE accounts ALTER COLUMN note SET NOT NULL",
    Work.BUILD: "CREATE INDEX rate_of ON accounts (email)",
    Work.REWRITE: "ALTER TABLE accounts ALTER COLUMN code TYPE bigint",
}


def rates_section(server: PostgresServer, template: str) -> str:
    """Measured on the template itself, taken back each time, with nothing else going on in the server."""
    database = Database(server, template)
    size = _size(database)
    assert size.rows is not None
    lines = [
        f"A table of {size.rows:,} rows and {size.bytes / 2**20:.0f} MiB with its indexes, warm; medians of {RUNS} runs.",
        "`planning/cost.py` predicts waiting with the rates assumed: the slower of rows and bytes.",
        "",
        "| Work | Statement | Took | Rows/s | assumed | MB/s | assumed | Predicted |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for work, statement in WORK.items():
        took = statistics.median(_timed(database, statement) for _ in range(RUNS))
        lines.append(
            f"| {work.value} | `{statement}` | {took:.2f} s | {size.rows / took:,.0f} | {ROWS_PER_S[work]:,} | "
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
