"""`migrate history`, `migrate status` and `recover list` on seeded ledgers, compared character by character."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from seeded_ledger import SAMPLE, START, seed_the_sample, seeded
from servers import Database
from zanith.core.risk import RiskLevel
from zanith.ledger.history import history_text
from zanith.ledger.history_queries import read_history
from zanith.main import main

OPERATOR = Path(__file__).resolve().parents[2] / "operator"
DAY = timedelta(days=1)

Zanith = Callable[..., str]


@pytest.fixture
def zanith(pg: Database, capsys: pytest.CaptureFixture[str]) -> Zanith:
    """Runs a command on the test's database; what it printed. It has to end well."""

    def run(*arguments: str) -> str:
        assert main([*arguments, "--dsn", pg.dsn]) == 0
        return capsys.readouterr().out

    return run


def test_history_is_the_sample_of_the_design_to_the_letter(pg: Database, zanith: Zanith) -> None:
    with seeded(pg) as ledger:
        seed_the_sample(ledger)
    assert zanith("migrate", "history", "--verbose") == SAMPLE


def test_timings_follow_the_lines(pg: Database, zanith: Zanith) -> None:
    with seeded(pg) as ledger:
        seed_the_sample(ledger)
    lines = zanith("migrate", "history", "--timings").splitlines()
    assert [line for line in lines if " step " in line] == [
        "  ✓ step 1: [low] addIndex  612 ms",
        "  ✓ step 1: [safe] addColumn  612 ms",
        "  ↻ step 2: [medium] backfill  1.2 s",
        "  ✗ step 1: [destructive] dropColumn  0 ms",
    ]


def test_ids_only_without_verbose(pg: Database, zanith: Zanith) -> None:
    with seeded(pg) as ledger:
        seed_the_sample(ledger)
    assert zanith("migrate", "history") == (
        "Applied migrations (2):\n▸ 20260328_add_index\n▸ 20260401_normalize_email\n"
        "Not applied (1):\n▸ 20260402_drop_legacy_uuid\n"
    )


def test_one_migration_and_what_is_recent(pg: Database, zanith: Zanith) -> None:
    now = datetime.now(UTC)
    with seeded(pg) as ledger:
        for days in (1, 8):
            ledger.applied(f"applied {days} days ago", now - days * DAY)
            ledger.attempt(f"tried {days} days ago", 1, "addIndex", status="failed", started_at=now - days * DAY)
    assert zanith("migrate", "history", "--since", "7d") == (
        "Applied migrations (1):\n▸ applied 1 days ago\nNot applied (1):\n▸ tried 1 days ago\n"
    )
    assert zanith("migrate", "history", "--id", "applied 8 days ago") == (
        "Applied migrations (1):\n▸ applied 8 days ago\n"
    )
    assert zanith("migrate", "history", "--id", "tried 8 days ago") == (
        "Applied migrations (0):\nNot applied (1):\n▸ tried 8 days ago\n"
    )
    assert zanith("migrate", "history", "--id", "unknown") == "Applied migrations (0):\n"


def test_steps_that_have_not_begun_come_from_the_frozen_plan(pg: Database, zanith: Zanith) -> None:
    with seeded(pg) as ledger:
        ledger.frozen(
            "m", ("addColumn", RiskLevel.SAFE), ("backfill", RiskLevel.MEDIUM), ("alterColumnNullable", RiskLevel.HIGH)
        )
        ledger.attempt("m", 1, "addColumn")
        ledger.attempt("m", 2, "backfill", level=RiskLevel.MEDIUM, status="running", took=None)
        ledger.frozen("not even begun", ("dropColumn", RiskLevel.DESTRUCTIVE))
        ledger.frozen("taken back", ("addColumn", RiskLevel.SAFE))
        ledger.attempt("taken back", 1, "addColumn", started_at=START + DAY)
        ledger.attempt("taken back", 1, "addColumn", status="reverted", started_at=START + 2 * DAY)
    assert (
        zanith("migrate", "history", "--verbose")
        == """\
Applied migrations (0):
Not applied (3):
▸ m
  ✓ step 1: [safe] addColumn
  · step 2: [medium] backfill
  · step 3: [high] alterColumnNullable
▸ taken back
  ↶ step 1: [safe] addColumn
▸ not even begun
  · step 1: [destructive] dropColumn
"""
    )


def test_history_as_json_holds_what_the_text_shows(pg: Database, zanith: Zanith) -> None:
    with seeded(pg) as ledger:
        seed_the_sample(ledger)
    document = json.loads(zanith("migrate", "history", "--json"))
    first, second = document["applied"]
    assert [s["attempts"] for s in second["steps"]] == [1, 2]
    assert first["snapshot"] == {"models": 14, "relations": 3, "capturedAt": START.isoformat()}
    (refused,) = document["notApplied"]
    assert refused["steps"][0]["state"] == "Failed"
    assert refused["steps"][0]["error"] == "refused — max risk 60"


def test_what_was_only_purged_is_no_migration_that_was_tried(pg: Database, zanith: Zanith) -> None:
    with seeded(pg) as ledger:
        ledger.applied("m")
        ledger.attempt("m", 1, "archiveColumn", level=RiskLevel.MEDIUM)
        ledger.attempt("m", 1, "purgeArtifact", level=RiskLevel.DESTRUCTIVE, started_at=START + DAY)
        ledger.attempt("gone", 1, "purgeArtifact", level=RiskLevel.DESTRUCTIVE)
    assert zanith("migrate", "history", "--verbose") == (
        "Applied migrations (1):\n▸ m\n  ✓ step 1: [medium] archiveColumn\n  snapshot: 14 model(s)\n"
    )
    (migration,) = json.loads(zanith("migrate", "history", "--json"))["applied"]
    assert [(r["kind"], r["state"]) for r in migration["recoveries"]] == [("purgeArtifact", "Done")]
    assert len(migration["steps"]) == 1


def test_recoveries_of_what_is_not_applied_are_listed_too(pg: Database, zanith: Zanith) -> None:
    with seeded(pg) as ledger:
        ledger.frozen("m", ("softDropColumn", RiskLevel.MEDIUM), ("addIndex", RiskLevel.LOW))
        ledger.attempt("m", 1, "softDropColumn", level=RiskLevel.MEDIUM)
        ledger.attempt("m", 1, "restoreColumn", started_at=START + DAY, status="failed", error="no")
    (migration,) = json.loads(zanith("migrate", "history", "--json"))["notApplied"]
    assert [(s["state"], s["error"]) for s in migration["steps"]] == [("Done", None), ("Pending", None)]
    assert [(r["state"], r["error"]) for r in migration["recoveries"]] == [("Failed", "no")]


def test_an_empty_ledger_and_none_at_all(pg: Database, capsys: pytest.CaptureFixture[str]) -> None:
    none = "zanith: no migration has run here yet: schema public has no ledger (another one? give --schema)\n"
    commands: list[tuple[list[str], str, object]] = [
        (["migrate", "history"], "Applied migrations (0):\n", {"applied": [], "notApplied": []}),
        (["migrate", "status"], "Applied migrations: 0\n", None),
        (["recover", "list"], "Recoverable artifacts (0):\n", []),
    ]
    for command, empty, as_json in commands:
        assert main([*command, "--dsn", pg.dsn]) == 0
        captured = capsys.readouterr()
        assert (captured.out, captured.err) == ("", none)
        assert main([*command, "--json", "--dsn", pg.dsn]) == 0
        printed = json.loads(capsys.readouterr().out)
        assert as_json is None or printed == as_json
        with seeded(pg, "public"):
            assert main([*command, "--dsn", pg.dsn]) == 0
            assert capsys.readouterr() == (empty, "")
        pg.execute("DROP TABLE _zanith_migrations, _zanith_migration_steps, _zanith_schema_snapshots")
        pg.execute("DROP TABLE _zanith_migration_artifacts, _zanith_migration_checkpoints")


def test_a_ledger_in_another_schema(pg: Database, zanith: Zanith) -> None:
    with seeded(pg, "Shop Schema") as ledger:
        ledger.applied("there")
    assert zanith("migrate", "history", "--schema", "Shop Schema") == "Applied migrations (1):\n▸ there\n"


def test_foreign_tables_of_our_names_are_told_and_left_alone(pg: Database, capsys: pytest.CaptureFixture[str]) -> None:
    pg.execute("CREATE TABLE _zanith_migrations (id text PRIMARY KEY, password text)")
    for command in (["migrate", "history"], ["migrate", "status"], ["recover", "list"]):
        assert main([*command, "--dsn", pg.dsn]) == 20
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith("zanith: table public._zanith_migrations is not the ledger's: column ")
        assert captured.err.count("\n") == 1


def test_a_ledger_that_lost_a_table_is_told(pg: Database, capsys: pytest.CaptureFixture[str]) -> None:
    with seeded(pg):
        pg.execute("DROP TABLE _zanith_schema_snapshots")
    assert main(["migrate", "history", "--dsn", pg.dsn]) == 20
    assert capsys.readouterr().err == (
        "zanith: table public._zanith_schema_snapshots of the ledger is missing; restore it from a backup\n"
    )


def test_status_says_how_far_each_one_is(pg: Database, zanith: Zanith) -> None:
    with seeded(pg) as ledger:
        seed_the_sample(ledger)
        ledger.frozen("moving", ("addColumn", RiskLevel.SAFE), ("backfill", RiskLevel.MEDIUM))
        ledger.attempt("moving", 1, "addColumn", started_at=START + 9 * DAY)
        ledger.attempt("moving", 2, "backfill", status="running", started_at=START + 9 * DAY, took=None)
        ledger.lane("moving", 2, -1, 0, None)
        ledger.lane("moving", 2, 0, 400, 1000)
        ledger.lane("moving", 2, 1, 220, 1000)
    assert (
        zanith("migrate", "status")
        == """\
Applied migrations: 2, the last 20260401_normalize_email at 2026-04-01 10:00 UTC
Not applied: 2
▸ 20260402_drop_legacy_uuid: step 1 dropColumn: refused — max risk 60
▸ moving: step 2/2 backfill running, 620 of about 2000 rows (31 %)
"""
    )
    document = json.loads(zanith("migrate", "status", "--id", "moving", "--json"))
    assert (document["applied"], document["notApplied"]) == (0, 1)
    assert (document["migrations"][0]["rowsDone"], document["migrations"][0]["stepsTotal"]) == (620, 2)


def test_recover_list_shows_all_that_holds_data_with_its_expiry(pg: Database, zanith: Zanith) -> None:
    now = datetime.now(UTC)
    pg.execute("CREATE SCHEMA _zanith_shadow; CREATE TABLE _zanith_shadow.kept_legacy_code (); CREATE TABLE kept_ ()")
    pg.execute("CREATE TABLE p5_legacy (); CREATE TABLE users (kept_email text)")
    with seeded(pg) as ledger:
        ledger.artifact("a::archive_column::p5_legacy.legacy_code", created_at=START)
        ledger.artifact("b::soft_drop_column::users.email", created_at=START + DAY, expires_at=now + 30.02 * DAY)
        ledger.artifact("c::soft_drop_table::old", created_at=START + 2 * DAY, expires_at=START + 3 * DAY)
        ledger.artifact("d::soft_drop_column::users.name", expires_at=now, restored_at=now)
        ledger.artifact("e::soft_drop_column::users.town", expires_at=now, physical_name=None)
    title, head, *lines = zanith("recover", "list").splitlines()
    assert title == "Recoverable artifacts (3):"
    assert head.split() == ["ID", "TYPE", "STATE", "SOURCE", "ROWS", "SIZE", "CREATED", "EXPIRES"]
    assert [(line.split()[0], line.rpartition("UTC")[2] or line.split()[-1]) for line in lines] == [
        ("c::soft_drop_table::old", " (expired, data kept)"),
        ("b::soft_drop_column::users.email", " (in 30 d)"),
        ("a::archive_column::p5_legacy.legacy_code", "  never"),
    ]
    document = json.loads(zanith("recover", "list", "--json"))
    assert [(a["source"], a["state"], a["expiresAt"] is None) for a in document] == [
        ("public.old", "Expired", False),
        ("public.users.email", "Live", False),
        ("public.p5_legacy.legacy_code", "Live", True),
    ]


def test_a_reader_that_stops_early_ends_the_command_too(pg: Database) -> None:
    with seeded(pg) as ledger, ledger.conn.transaction():
        for n in range(3000):
            ledger.applied(f"migration {n:05}", START + n * timedelta(seconds=1), models=None)
            ledger.attempt(f"migration {n:05}", 1, "addColumn")
    command = f'"{sys.executable}" -m zanith.main migrate history --verbose | head -n 2'
    done = subprocess.run(
        ["sh", "-c", command],
        env=os.environ | {"PYTHONPATH": str(OPERATOR), "ZANITH_DSN": pg.dsn},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("Applied migrations (3000):\n▸ migration 00000\n", "")


def test_a_long_history_needs_no_memory(pg: Database) -> None:
    with seeded(pg) as ledger:
        ledger.conn.execute(
            "INSERT INTO _zanith_migrations SELECT format('m%s', lpad(i::text, 5, '0')), now() FROM generate_series(1, 5000) i"
        )
        ledger.conn.execute(
            """
            INSERT INTO _zanith_migration_steps
            SELECT m.id, s, 'addColumn', repeat('SQL', 1000), 'safe', 5, 'done', NULL, now(), now()
            FROM _zanith_migrations m, generate_series(1, 10) s
            """
        )
        tracemalloc.start()
        try:
            with read_history(ledger.conn, "public") as history:
                lines = sum(part.count("\n") + 1 for part in history_text(history, verbose=True))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert lines == 1 + 5000 * 11
    assert peak < 2_000_000, f"{peak} bytes at the most"


def test_nothing_reads_the_sql_of_steps(pg: Database, capsys: pytest.CaptureFixture[str]) -> None:
    with seeded(pg) as ledger:
        seed_the_sample(ledger)
    dsn = pg.create_login()
    pg.execute(
        """
        GRANT SELECT ON _zanith_migrations, _zanith_schema_snapshots, _zanith_migration_artifacts,
                        _zanith_migration_checkpoints TO ROLE;
        GRANT SELECT (migration_id, step_index, operation_kind, risk_level, risk_score, status, error, started_at,
                      finished_at) ON _zanith_migration_steps TO ROLE
        """.replace("ROLE", pg.roles[-1])
    )
    for command in (["migrate", "history", "--verbose"], ["migrate", "status"], ["recover", "list"]):
        assert main([*command, "--dsn", dsn]) == 0, capsys.readouterr().err
