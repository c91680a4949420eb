"""`migrate down` on real servers: the last steps taken back from the ledger, or refused before anything is touched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from operations_harness.driving import Driver, spec_of
from servers import Database
from servers.waiting import wait_until
from zanith.main import main

OPERATOR = Path(__file__).resolve().parents[2] / "operator"
USERS = """
CREATE TABLE users (id bigint PRIMARY KEY, email text, age int NOT NULL DEFAULT 0);
INSERT INTO users SELECT n, 'user' || n, n FROM generate_series(1, 100) n; ANALYZE users
"""
ADD = {"addColumn": {"table": "users", "column": "town", "type": "text"}}
INDEX = {"addIndex": {"table": "users", "columns": ["email"], "name": "by_email"}}
SOFT_DROP = {"softDropColumn": {"table": "users", "column": "age"}}
DROP = {"dropColumn": {"table": "users", "column": "age"}}
FILL = {"backfill": {"table": "users", "set": {"email": "upper(email)"}, "where": "true"}}


@dataclass
class Said:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str


Zanith = Callable[..., Said]


@pytest.fixture
def zanith(pg: Database, capsys: pytest.CaptureFixture[str]) -> Zanith:
    """Runs a command on the test's database."""

    def run(*arguments: object) -> Said:
        code = main([*(str(a) for a in arguments), "--dsn", pg.dsn])
        captured = capsys.readouterr()
        return Said(code, captured.out, captured.err)

    return run


def applied(pg: Database, migration_id: str, *steps: dict[str, Any]) -> Driver:
    """A migration of these steps."""
    gates = {"maxRisk": 100, "allowDestructive": True}
    driver = Driver(pg, spec_of(list(steps), migration_id=migration_id, gates=gates))
    driver.apply()
    return driver


def test_the_last_steps_go_first_over_several_migrations(pg: Database, zanith: Zanith) -> None:
    pg.execute(USERS)
    driver = applied(pg, "first", INDEX)
    middle = driver.graph()
    applied(pg, "second", ADD, SOFT_DROP)

    one = zanith("migrate", "down", "--steps", "1")
    assert (one.code, one.err) == (0, "")
    assert one.out.splitlines()[0] == "  · undoing step 2/2: [medium] softDropColumn public.users.age"
    assert one.out.splitlines()[1].startswith("  ↶ step 2/2: [medium] softDropColumn  ")
    assert one.out.splitlines()[-1] == "Took back 1 step of 1 migration(s)."
    status = zanith("migrate", "status").out
    assert "▸ second: reverted, but for 1 of 2 steps" in status

    two = zanith("migrate", "down", "--steps", "2")
    assert two.out.splitlines()[-1] == "Took back 2 steps of 2 migration(s)."
    assert driver.graph() != middle, "the index is gone too"
    assert zanith("migrate", "history", "--verbose").out == (
        "Applied migrations (0):\nNot applied (2):\n"
        "▸ first\n  ↶ step 1: [low] addIndex\n▸ second\n  ↶ step 1: [safe] addColumn\n  ↶ step 2: [medium] softDropColumn\n"
    )
    assert zanith("migrate", "down", "--steps", "9").out == "Nothing to take back.\n"


def test_a_rehearsal_shows_the_statements_and_touches_nothing(pg: Database, zanith: Zanith) -> None:
    pg.execute(USERS)
    driver = applied(pg, "first", INDEX)
    applied(pg, "second", ADD, SOFT_DROP)
    graph, rows = driver.graph(), _steps(pg)
    said = zanith("migrate", "down", "--steps", "3", "--dry-run")
    assert (said.code, said.err) == (0, "")
    lines = said.out.splitlines()
    heads = [line for line in lines if line.startswith(("▸", "  ↶", "  ✗"))]
    assert heads == [
        "▸ second",
        "  ↶ step 2: [medium] softDropColumn public.users.age",
        "  ↶ step 1: [safe] addColumn public.users.town",
        "▸ first",
        "  ↶ step 1: [low] addIndex public.users (email)",
    ]
    assert '    DROP INDEX CONCURRENTLY "public"."by_email";' in lines
    assert any('RENAME COLUMN "_zanith_dropped_age_second" TO "age";' in line for line in lines)
    assert (driver.graph(), _steps(pg)) == (graph, rows)


def _steps(pg: Database) -> list[tuple[Any, ...]]:
    return pg.rows("SELECT to_jsonb(s)::text FROM _zanith_migration_steps s ORDER BY 1")


def test_what_cannot_be_taken_back_is_told_before_anything_is_touched(pg: Database, zanith: Zanith) -> None:
    pg.execute(USERS)
    driver = applied(pg, "first", INDEX, DROP, FILL)
    applied(pg, "second", ADD)
    graph, rows = driver.graph(), _steps(pg)
    for options in (["--dry-run"], []):
        said = zanith("migrate", "down", "--steps", "4", *options)
        assert said.code == 20
        by_step = [line.split(": ")[1] for line in said.err.splitlines()]
        assert by_step == ["first, step 3 backfill", "first, step 2 dropColumn"]
        assert all(": refused — undo: " in line for line in said.err.splitlines())
        assert (driver.graph(), _steps(pg)) == (graph, rows)
    rehearsed = zanith("migrate", "down", "--steps", "4", "--dry-run").out
    assert "  ✗ step 2: [destructive] dropColumn public.users.age\n    refused — undo: " in rehearsed
    assert "  ↶ step 1: [safe] addColumn public.users.town\n" in rehearsed
    assert zanith("migrate", "down", "--steps", "1").code == 0, "the last one can be"


def test_one_migration_by_its_id(pg: Database, zanith: Zanith) -> None:
    pg.execute(USERS)
    applied(pg, "first", ADD, SOFT_DROP)
    applied(pg, "second", INDEX)
    said = zanith("migrate", "down", "--id", "first", "--all")
    assert (said.code, said.err) == (
        0,
        "zanith: done after it, and perhaps built on it: second; these stay\n",
    )
    assert said.out.splitlines()[-1] == "Took back 2 steps of 1 migration(s)."
    unknown = zanith("migrate", "down", "--id", "other", "--steps", "1")
    assert (unknown.code, "no step of migration other is done here" in unknown.err) == (20, True)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "say how much: --steps N, or --id ID with --all"),
        (("--steps", "1", "--all", "--id", "x"), "say how much"),
        (("--all",), "--all: say of which migration, with --id ID"),
    ],
)
def test_how_much_has_to_be_said(zanith: Zanith, options: tuple[str, ...], said: str) -> None:
    refused = zanith("migrate", "down", *options)
    assert (refused.code, said in refused.err) == (20, True)


def test_a_step_whose_artifact_was_purged_is_refused_and_its_history_stays(pg: Database, zanith: Zanith) -> None:
    pg.execute(USERS)
    applied(pg, "m", SOFT_DROP)
    assert zanith("recover", "purge", "users.age", "--yes").code == 0
    refused = zanith("migrate", "down", "--steps", "1")
    assert refused.code == 20
    assert "what it kept was purged (m::soft_drop_column::users.age)" in refused.err
    assert "  ✓ step 1: [medium] softDropColumn\n" in zanith("migrate", "history", "--verbose").out


def test_a_refusal_by_the_data_is_recorded_and_leaves_the_step_done(pg: Database, zanith: Zanith) -> None:
    pg.execute(USERS)
    nullable = {"alterColumnNullable": {"table": "users", "column": "age", "nullable": True}}
    applied(pg, "m", nullable)
    pg.execute("UPDATE users SET age = NULL WHERE id = 1")
    refused = zanith("migrate", "down", "--steps", "1")
    assert refused.code == 20
    assert pg.value("SELECT count(*) FROM _zanith_migrations") == 1
    lines = zanith("migrate", "history", "--verbose").out.splitlines()
    assert lines[:3] == ["Applied migrations (1):", "▸ m", "  ✓ step 1: [low] alterColumnNullable"]
    assert lines[3].startswith("    refused — ")


def test_ctrl_c_stops_between_batches_and_the_same_command_goes_on(pg18: Database) -> None:
    pg18.execute(USERS.replace("(1, 100)", "(1, 20000)"))
    applied(pg18, "m", {"archiveColumn": {"table": "users", "column": "email"}})
    pg18.execute(
        """
        CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.001); RETURN NEW; END';
        CREATE TRIGGER slow BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION slow()
        """
    )
    command = [sys.executable, "-m", "zanith.main", "migrate", "down", "--steps", "1"]
    environment = os.environ | {"PYTHONPATH": str(OPERATOR), "ZANITH_DSN": pg18.dsn}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    moved = "SELECT coalesce(sum(processed_rows), 0) FROM _zanith_migration_checkpoints WHERE lane < -1"
    wait_until(lambda: pg18.value(moved) > 0 or process.poll() is not None, "a batch", deadline_s=30)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 30
    assert err.endswith("run the same command again to go on\n")
    assert 0 < pg18.value(moved) < 20_000
    pg18.execute("ALTER TABLE users DISABLE TRIGGER slow")
    assert main(["migrate", "down", "--steps", "1", "--dsn", pg18.dsn]) == 0
    assert pg18.value("SELECT count(*) FROM users WHERE email = 'user' || id") == 20_000
    assert pg18.value("SELECT count(*) FROM _zanith_migrations") == 0
