"""Three questions more, as files that psql runs as they are: on a seeded ledger, and while a runner is at work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from operations_harness.driving import Driver, spec_of
from seeded_ledger import START, SeededLedger, seeded
from servers import Database
from zanith.core.risk import RiskLevel
from zanith.postgres.locks import try_run_lock

DOCS = Path(__file__).resolve().parents[2] / "docs"
MIN = timedelta(minutes=1)
DAY = timedelta(days=1)


def answer(database: Database, file: str) -> list[dict[str, Any]]:
    """The file as it stands, in one go, as psql sends it."""
    with database.connect() as conn:
        cursor = conn.cursor(row_factory=dict_row)
        return cursor.execute((DOCS / file).read_bytes()).fetchall()


@contextmanager
def at_work(pg: Database) -> Iterator[SeededLedger]:
    """A ledger, and a session that holds the runner's lock."""
    with seeded(pg) as ledger, pg.connect() as runner:
        assert try_run_lock(runner)
        yield ledger


def checkpoint(ledger: SeededLedger, step: int, lane: int, rows: int, cursor: dict[str, Any]) -> None:
    ledger.conn.execute(
        "INSERT INTO _zanith_migration_checkpoints VALUES ('m', %s, %s, %s, %s, 'running', now() - interval '90 s')",
        [step, lane, Jsonb(cursor), rows],
    )


def walk(last: int | None, **more: Any) -> dict[str, Any]:
    return {
        "last": None if last is None else [str(last)],
        "until": ["1000"],
        "pass": 1,
        "estimated": 1000,
        "rate": 9,
    } | more


def test_what_is_running_and_at_which_row(pg: Database) -> None:
    with at_work(pg) as ledger:
        now = ledger.conn.execute("SELECT now()").fetchall()[0][0]
        ledger.attempt("m", 1, "addColumn")
        ledger.attempt("m", 2, "backfill", status="interrupted", error="lost", started_at=now - 90 * MIN)
        ledger.attempt("m", 2, "backfill", status="running", started_at=now - 5 * MIN, took=None)
        checkpoint(ledger, 2, -1, 0, {"statement": 1, "state": "pending", "waiting": "the lock"})
        checkpoint(ledger, 2, 0, 400, walk(400))
        checkpoint(ledger, 2, 1, 220, walk(720, throttled="ReplicaLag"))
        rows = answer(pg, "running-or-stuck.sql")
    assert [(r["step_index"], r["lane"], r["last_key"], r["rows_done"], r["rows_estimated"]) for r in rows] == [
        (2, 0, '["400"]', 400, 1000),
        (2, 1, '["720"]', 220, 1000),
    ]
    assert {r["state"] for r in rows} == {"running, waits: the lock"}
    assert all(MIN < r["silent_for"] < 4 * MIN < r["since"] < 9 * MIN for r in rows)


def test_what_is_stuck_because_nobody_is_at_work(pg: Database) -> None:
    with seeded(pg) as ledger:
        ledger.attempt("m", 1, "addIndex", status="interrupted", error="the connection was lost")
        checkpoint(ledger, 1, -1, 0, {"statement": 1, "state": "started"})
        ledger.attempt("m", 2, "addColumn", status="failed", error="refused — max risk 60")
    (row,) = answer(pg, "running-or-stuck.sql")
    assert (row["state"], row["lane"], row["last_key"], row["last_error"]) == (
        "stuck: no runner is at work",
        -1,
        None,
        "the connection was lost",
    )


def test_an_undo_and_a_restore_are_shown_where_they_are(pg: Database) -> None:
    with at_work(pg) as ledger:
        for step, kind, base in ((1, "archiveColumn", -2), (2, "restoreColumn", -3)):
            ledger.attempt("m", step, kind, status="running", took=None)
            checkpoint(ledger, step, -1, 0, {"statement": 9, "state": "pending"})
            checkpoint(ledger, step, 0, 1000, walk(1000))
            checkpoint(ledger, step, base, 0, {"statement": 2, "state": "pending"})
            checkpoint(ledger, step, base * 10, 0, {"otherwise": 0})
            checkpoint(ledger, step, 100 * base - 2, 7, walk(77, throttled="WALBacklog"))
        rows = answer(pg, "running-or-stuck.sql")
    assert [(r["operation_kind"], r["rows_done"], r["last_key"], r["state"]) for r in rows] == [
        ("archiveColumn", 7, '["77"]', "running, throttled: WALBacklog"),
        ("restoreColumn", 7, '["77"]', "running, throttled: WALBacklog"),
    ]


def test_a_live_backfill_is_told_with_its_row(pg: Database) -> None:
    """Against what the runner itself writes, from inside one of its batches."""
    pg.execute(
        "CREATE TABLE t (id int PRIMARY KEY, a int); INSERT INTO t SELECT i FROM generate_series(1, 5000) i; ANALYZE t"
    )
    seen: list[dict[str, Any]] = []

    def look(progress: Any) -> None:
        if progress.event == "batch" and not seen:
            seen.extend(answer(pg, "running-or-stuck.sql"))

    driver = Driver(pg, spec_of([{"backfill": {"table": "t", "set": {"a": "id"}, "where": "true"}}], migration_id="m"))
    driver.apply(look)
    (row,) = seen
    assert (row["migration_id"], row["state"], row["rows_done"]) == ("m", "running", 1000)
    assert row["last_key"] == '["1000"]'
    assert answer(pg, "running-or-stuck.sql") == []


def test_which_migrations_were_riskiest(pg: Database) -> None:
    with seeded(pg) as ledger:
        ledger.applied("mixed")
        ledger.attempt("mixed", 1, "addColumn")
        ledger.attempt("mixed", 2, "backfill", level=RiskLevel.MEDIUM, status="interrupted")
        ledger.attempt("mixed", 2, "backfill", level=RiskLevel.MEDIUM, started_at=START + DAY)
        ledger.attempt("mixed", 2, "restoreColumn", level=RiskLevel.DESTRUCTIVE, started_at=START + 2 * DAY)
        refused: dict[str, Any] = {"status": "failed", "error": "refused — max risk 60"}
        ledger.attempt("drops", 3, "dropColumn", level=RiskLevel.DESTRUCTIVE, **refused)
        ledger.attempt("back", 1, "addIndex", level=RiskLevel.LOW, status="reverted")
    rows = answer(pg, "riskiest-migrations.sql")
    assert [(r["migration_id"], r["worst_score"], r["worst_level"], r["worst_kind"]) for r in rows] == [
        ("drops", 80, "destructive", "dropColumn"),
        ("mixed", 35, "medium", "backfill"),
        ("back", 15, "low", "addIndex"),
    ]
    assert [(r["total_score"], r["steps"], r["outcome"]) for r in rows] == [
        (80, 1, "refused"),
        (40, 2, "applied"),
        (15, 1, "reverted"),
    ]


@pytest.mark.parametrize("retention", ["forever", "30d"])
def test_what_the_archive_costs_and_when_it_goes(pg: Database, retention: str) -> None:
    pg.execute(
        """
        CREATE TABLE users (id int PRIMARY KEY, email text, note text);
        INSERT INTO users SELECT i, 'user' || i, repeat('x', 100) FROM generate_series(1, 1000) i;
        CREATE TABLE old (id int) PARTITION BY RANGE (id); CREATE TABLE old_1 PARTITION OF old FOR VALUES FROM (0) TO (9999);
        INSERT INTO old SELECT generate_series(1, 5000); ANALYZE
        """
    )
    steps: list[dict[str, Any]] = [
        {"archiveColumn": {"table": "users", "column": "email"}},
        {"softDropColumn": {"table": "users", "column": "note"}},
        {"archiveTable": {"table": "old"}},
    ]
    Driver(pg, spec_of(steps, migration_id="m", retention=retention)).apply()
    rows = {r["artifact_type"]: r for r in answer(pg, "archive-cost.sql")}
    assert list(rows) == sorted(rows, key=lambda kind: -rows[kind]["bytes"])
    copy = "_zanith_shadow._zanith_archived_public_users_email_m"
    assert rows["archive_column"]["bytes"] == pg.value(f"SELECT pg_total_relation_size('{copy}')")
    assert rows["archive_table"]["bytes"] >= 5000 * 24
    assert 80_000 < rows["soft_drop_column"]["bytes"] < 120_000
    total = sum(r["bytes"] for r in rows.values())
    for row in rows.values():
        assert row["of_all"] == total
        assert row["goes"] == "never" if retention == "forever" else row["goes"].startswith("in 29 days 23:5")

    pg.execute("UPDATE _zanith_migration_artifacts SET expires_at = now() WHERE artifact_type = 'archive_table'")
    pg.execute("UPDATE _zanith_migration_artifacts SET restored_at = now() WHERE artifact_type <> 'archive_table'")
    goes = {r["artifact_type"]: r["goes"] for r in answer(pg, "archive-cost.sql")}
    assert goes == {
        "archive_table": "expired, kept until it is purged",
        "archive_column": "restored; this is what is left of it",
    }
