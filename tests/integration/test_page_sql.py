"""The audit page's three statements, verbatim, on the five tables, with the page's own answers."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from psycopg import Connection

from seeded_ledger import SeededLedger, seeded
from servers import Database
from zanith.core.risk import RiskLevel

PAGE = """\
SELECT migration_id, operation_kind, error, finished_at
FROM _zanith_migration_steps
WHERE status = 'failed'
AND finished_at > now() - interval '7 days'
ORDER BY finished_at DESC;

SELECT operation_kind,
round(avg(extract(epoch FROM finished_at - started_at) * 1000)) AS avg_ms,
count(*) AS runs
FROM _zanith_migration_steps
WHERE status = 'done'
GROUP BY operation_kind
ORDER BY avg_ms DESC
LIMIT 10;

SELECT id, artifact_type, source_table, row_count, created_at
FROM _zanith_migration_artifacts
WHERE expires_at IS NULL
ORDER BY created_at DESC;
"""

BROKE, SLOWEST, RECOVERABLE = PAGE.strip().split("\n\n")

POST_MORTEM = Path(__file__).resolve().parents[2] / "docs" / "post-mortem.sql"

SECOND = timedelta(seconds=1)


def answer(conn: Connection[Any], statement: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Names of the columns, and the rows."""
    cursor = conn.execute(statement.encode())
    assert cursor.description is not None
    return [column.name for column in cursor.description], cursor.fetchall()


def now_of(ledger: SeededLedger) -> datetime:
    row = ledger.conn.execute("SELECT now()").fetchone()
    assert row is not None
    found: datetime = row[0]
    return found


def test_the_file_in_docs_holds_the_three_statements_verbatim() -> None:
    kept = re.sub(r"(?m)^--.*\n", "", POST_MORTEM.read_text(encoding="utf-8"))
    assert kept.strip() == PAGE.strip()


def test_what_broke_this_week(pg: Database) -> None:
    with seeded(pg) as ledger:
        now = now_of(ledger)
        refused: dict[str, Any] = {"level": RiskLevel.DESTRUCTIVE, "status": "failed", "error": "refused — max risk 60"}
        ledger.attempt(
            "20260402_drop_legacy_uuid", 1, "dropColumn", started_at=now - 3 * SECOND, took=SECOND, **refused
        )
        ledger.attempt("20260301_older", 1, "dropColumn", started_at=now - timedelta(days=8), **refused)
        ledger.attempt("20260401_normalize_email", 1, "addColumn", started_at=now - 9 * SECOND)
        ledger.attempt("20260403_running", 1, "backfill", status="running", started_at=now, took=None)
        columns, rows = answer(ledger.conn, BROKE)
    assert columns == ["migration_id", "operation_kind", "error", "finished_at"]
    assert rows == [("20260402_drop_legacy_uuid", "dropColumn", "refused — max risk 60", now - 2 * SECOND)]


def test_which_kinds_are_slowest(pg: Database) -> None:
    with seeded(pg) as ledger:
        for kind, avg_ms, runs in (("addIndex", 612, 14), ("backfill", 178, 6), ("addColumn", 84, 22)):
            for n in range(runs):
                # Spread around the average, so that it is one.
                took = timedelta(milliseconds=avg_ms + (n - (runs - 1) / 2) * 2)
                ledger.attempt(f"m{n:02}", 1, kind, started_at=now_of(ledger), took=took)
        ledger.attempt("z", 1, "backfill", status="interrupted", took=timedelta(hours=1))
        ledger.attempt("z", 2, "dropColumn", status="failed", error="refused — max risk 60", took=timedelta(hours=1))
        columns, rows = answer(ledger.conn, SLOWEST)
    assert columns == ["operation_kind", "avg_ms", "runs"]
    assert [(kind, int(avg_ms), runs) for kind, avg_ms, runs in rows] == [
        ("addIndex", 612, 14),
        ("backfill", 178, 6),
        ("addColumn", 84, 22),
    ]


def test_what_is_still_recoverable(pg: Database) -> None:
    kept = "20260330_archive_legacy::archive_column::p5_legacy.legacy_code"
    with seeded(pg) as ledger:
        now = now_of(ledger)
        ledger.artifact(kept, created_at=now)
        ledger.artifact("20260331_a::soft_drop_column::users.email", expires_at=now + timedelta(days=30))
        ledger.artifact("20260331_b::soft_drop_column::users.name", expires_at=now, restored_at=now)
        ledger.artifact("20260331_c::soft_drop_table::old", expires_at=now, physical_name=None)
        columns, rows = answer(ledger.conn, RECOVERABLE)
    assert columns == ["id", "artifact_type", "source_table", "row_count", "created_at"]
    assert rows == [(kept, "archive_column", "p5_legacy", 5, now)]
