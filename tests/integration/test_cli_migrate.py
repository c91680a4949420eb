"""`migrate plan` and `migrate up` on manifest files and real servers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from seeded_ledger import seeded
from servers import Database
from servers.waiting import wait_until
from zanith.core.risk import RiskLevel
from zanith.main import main

OPERATOR = Path(__file__).resolve().parents[2] / "operator"
USERS = "CREATE TABLE users (id bigint PRIMARY KEY, email text); INSERT INTO users SELECT i, 'A' || i FROM generate_series(1, 1000) i"

ADD = {"addColumn": {"table": "users", "column": "email_normalized", "type": "text"}}
FILL = {
    "backfill": {"table": "users", "set": {"email_normalized": "lower(email)"}, "where": "email_normalized IS NULL"}
}
NOT_NULL = {"alterColumnNullable": {"table": "users", "column": "email_normalized", "nullable": False}}
INDEX = {"addIndex": {"table": "users", "columns": ["email"]}}
DROP = {"dropColumn": {"table": "users", "column": "email"}}


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
        assert "password" not in captured.out + captured.err
        assert pg.server.password not in captured.out + captured.err
        return Said(code, captured.out, captured.err)

    return run


def write(folder: Path, name: str, *steps: dict[str, Any], **spec: Any) -> Path:
    """A manifest file."""
    document = {
        "apiVersion": "zanith.io/v1alpha1",
        "kind": "ZanithMigration",
        "metadata": {"name": name},
        "spec": {"database": {"secretRef": {"name": "shop-db"}}, "steps": list(steps)} | spec,
    }
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(document))
    return file


def test_a_folder_is_planned_and_brought_about_in_order(pg: Database, zanith: Zanith, tmp_path: Path) -> None:
    pg.execute(USERS)
    write(tmp_path, "a-last", NOT_NULL, dependsOn=["b-first"])
    write(tmp_path, "b-first", ADD, FILL, migrationId="b_first")

    planned = zanith("migrate", "plan", "-f", tmp_path)
    assert (planned.code, planned.err) == (0, "")
    assert (
        planned.out
        == """\
Migration plan — 2 pending migration(s):
Worst risk: high
Total risk score: 100
By level: safe=1, medium=1, high=1
▸ b_first
  · [safe] addColumn
  · [medium] backfill
▸ a-last
  · [high] alterColumnNullable
"""
    )
    assert pg.rows("SELECT relname FROM pg_class WHERE relname LIKE '\\_zanith%'") == [], "a plan writes nothing"

    done = zanith("migrate", "up", "-f", tmp_path)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[:2] == ["▸ b_first", "  · step 1/2: [safe] addColumn public.users.email_normalized"]
    assert lines[-1] == "Applied 2 migration(s); 0 were applied before."
    assert pg.value("SELECT count(*) FROM users WHERE email_normalized = lower(email)") == 1000

    assert zanith("migrate", "plan", "-f", tmp_path).out == "Migration plan — 0 pending migration(s):\n"
    assert zanith("migrate", "up", "-f", tmp_path).out == "Applied 0 migration(s); 2 were applied before.\n"
    assert (
        zanith("migrate", "history", "--verbose").out
        == """\
Applied migrations (2):
▸ b_first
  ✓ step 1: [safe] addColumn
  ✓ step 2: [medium] backfill
  snapshot: 1 model(s)
▸ a-last
  ✓ step 1: [high] alterColumnNullable
  snapshot: 1 model(s)
"""
    )


def test_a_refusal_ends_with_20_and_says_why_in_one_line(pg: Database, zanith: Zanith, tmp_path: Path) -> None:
    pg.execute(USERS)
    write(tmp_path, "20260402-drop", DROP, migrationId="20260402_drop")
    write(tmp_path, "20260403-after", ADD)
    planned = zanith("migrate", "plan", "-f", tmp_path)
    assert planned.code == 20
    assert "▸ 20260402_drop\n  · [destructive] dropColumn\n  refused — max risk 60\n▸ 20260403-after" in planned.out
    assert planned.err.startswith("zanith: 20260402_drop: refused — max risk 60: step 1 dropColumn of ")
    assert planned.err.count("\n") == 1

    refused = zanith("migrate", "up", "-f", tmp_path)
    assert refused.code == 20
    assert refused.err == planned.err
    assert "20260403-after" not in refused.out, "nothing is run after the first that does not succeed"
    assert pg.rows("SELECT migration_id, status, error FROM _zanith_migration_steps") == [
        ("20260402_drop", "failed", "refused — max risk 60")
    ]


def test_a_probe_refuses_too(pg: Database, zanith: Zanith, tmp_path: Path) -> None:
    pg.execute("CREATE TABLE users (id bigint PRIMARY KEY, email_normalized text); INSERT INTO users VALUES (1)")
    refused = zanith("migrate", "up", "-f", write(tmp_path, "strict", NOT_NULL))
    assert refused.code == 20
    assert refused.err.startswith("zanith: strict: refused — nulls: ")
    assert refused.err.count("\n") == 1


def test_a_failure_ends_with_20(pg: Database, zanith: Zanith, tmp_path: Path) -> None:
    pg.execute(USERS + "; UPDATE users SET email = 'same secret value'")
    unique = {"addIndex": {"table": "users", "columns": ["email"], "unique": True}}
    failed = zanith("migrate", "up", "-f", write(tmp_path, "unique", unique))
    assert failed.code == 20
    assert failed.err.startswith("zanith: unique: ")
    assert failed.err.count("\n") == 1
    assert "same secret value" not in failed.err


def test_an_approval_names_the_hash_of_the_plan(pg: Database, zanith: Zanith, tmp_path: Path) -> None:
    pg.execute(USERS)
    file = write(tmp_path, "careful", ADD, gates={"approval": "Required"})
    planned = json.loads(zanith("migrate", "plan", "-f", file, "--json").out)
    (migration,) = planned["migrations"]
    assert migration["waitsForApproval"] is True
    assert f"plan hash: {migration['planHash']} (waits for approval)" in zanith("migrate", "plan", "-f", file).out

    waiting = zanith("migrate", "up", "-f", file)
    assert waiting.code == 20
    assert waiting.err.startswith(f"zanith: careful: plan {migration['planHash']} waits for an approval")
    other = zanith("migrate", "up", "-f", file, "--approve", "0" * 32)
    assert other.code == 20
    assert "another plan was approved" in other.err
    assert zanith("migrate", "up", "-f", file, "--approve", migration["planHash"]).code == 0


def test_each_migration_is_planned_on_what_those_before_it_leave_behind(
    pg: Database, zanith: Zanith, tmp_path: Path
) -> None:
    create = {
        "createTable": {
            "table": "users",
            "columns": [{"name": "id", "type": "bigint", "nullable": False}, {"name": "email", "type": "text"}],
            "primaryKey": ["id"],
        }
    }
    write(tmp_path, "1-create", create)
    write(tmp_path, "2-index", INDEX, dependsOn=["1-create"])
    script = zanith("migrate", "plan", "-f", tmp_path, "--sql")
    assert script.code == 0
    assert script.out.index("CREATE TABLE") < script.out.index("CREATE INDEX CONCURRENTLY")
    alone = zanith("migrate", "plan", "-f", write(tmp_path, "2-index", INDEX))
    assert alone.code == 20
    assert alone.err.startswith("zanith: 2-index: spec.steps[0].addIndex: table public.users does not exist")


def test_tables_of_another_schema(pg: Database, zanith: Zanith, tmp_path: Path) -> None:
    pg.execute("CREATE SCHEMA shop; CREATE TABLE shop.users (id bigint PRIMARY KEY, email text)")
    pg.execute("CREATE TABLE users (id bigint PRIMARY KEY, email text)")
    database = {"secretRef": {"name": "shop-db"}, "schema": "shop"}
    write(tmp_path, "1-there", ADD, database=database)
    write(tmp_path, "2-here", ADD)
    write(tmp_path, "3-there", FILL, database=database, dependsOn=["1-there"])
    assert zanith("migrate", "plan", "-f", tmp_path).code == 0
    assert zanith("migrate", "up", "-f", tmp_path).code == 0
    listed = zanith("migrate", "history", "--schema", "shop").out
    assert listed == "Applied migrations (2):\n▸ 1-there\n▸ 3-there\n"
    assert zanith("migrate", "history").out == "Applied migrations (1):\n▸ 2-here\n"


def test_a_dependency_may_be_applied_already_by_id_or_by_the_name_of_its_resource(
    pg: Database, zanith: Zanith, tmp_path: Path
) -> None:
    pg.execute(USERS)
    earlier = write(tmp_path, "earlier", ADD)
    later = write(tmp_path, "later", FILL, dependsOn=["earlier"])
    missing = zanith("migrate", "up", "-f", later)
    assert missing.code == 20
    assert missing.err == (
        "zanith: later: spec.dependsOn: earlier is neither among the given files nor applied in schema public; "
        "give its file too\n"
    )
    assert zanith("migrate", "up", "-f", earlier).code == 0
    assert zanith("migrate", "plan", "-f", later).code == 0
    pg.execute("UPDATE _zanith_migrations SET id = 'earlier_id'")
    pg.execute(
        "UPDATE _zanith_schema_snapshots SET migration_id = 'earlier_id', "
        """graph = graph || '{"owner": {"namespace": "shop", "name": "earlier"}}' WHERE phase = 'plan'"""
    )
    assert zanith("migrate", "up", "-f", later).code == 0


def test_what_was_changed_after_it_was_applied_is_refused(pg: Database, zanith: Zanith, tmp_path: Path) -> None:
    pg.execute(USERS)
    file = write(tmp_path, "m", ADD)
    assert zanith("migrate", "up", "-f", file).code == 0
    for steps in ([ADD, FILL], [FILL]):
        write(tmp_path, "m", *steps)
        for verb in ("plan", "up"):
            changed = zanith("migrate", verb, "-f", file)
            assert (changed.code, changed.out) == (20, "")
            assert changed.err.startswith("zanith: m: its steps are not what they were when it was applied")


def test_what_was_changed_after_it_began_is_refused(pg: Database, zanith: Zanith, tmp_path: Path) -> None:
    pg.execute(USERS)
    with seeded(pg) as ledger:
        ledger.frozen("m", ("addColumn", RiskLevel.SAFE))
    changed = zanith("migrate", "plan", "-f", write(tmp_path, "m", ADD))
    assert changed.code == 20
    assert changed.err.startswith("zanith: m: its steps are not what they were when it began")


@pytest.mark.parametrize(
    ("spec", "code", "said"),
    [
        ({"suspend": True}, 30, "spec.suspend is true"),
        ({"state": "Reverted"}, 20, "spec.state: Reverted is not supported by this version; set it to Applied"),
    ],
)
def test_what_is_not_to_run_is_not_run(
    pg: Database, zanith: Zanith, tmp_path: Path, spec: dict[str, Any], code: int, said: str
) -> None:
    pg.execute(USERS)
    done = zanith("migrate", "up", "-f", write(tmp_path, "m", ADD, **spec))
    assert (done.code, done.err) == (code, f"zanith: m: {said}\n")
    assert pg.value("SELECT to_regclass('_zanith_migrations')") is None


def test_a_database_that_cannot_be_reached_ends_with_10(
    pg: Database, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = write(tmp_path, "m", ADD)
    assert main(["migrate", "plan", "-f", str(file), "--dsn", pg.server.uri("nowhere")]) == 10
    captured = capsys.readouterr()
    assert captured.err == "zanith: the database cannot be reached: its database does not exist (3D000)\n"


def test_ctrl_c_stops_after_a_batch_and_the_next_run_goes_on(pg: Database, zanith: Zanith, tmp_path: Path) -> None:
    pg.execute("CREATE TABLE users (id bigint PRIMARY KEY, email text)")
    pg.execute("INSERT INTO users SELECT i, 'A' || i FROM generate_series(1, 200000) i; ANALYZE users")
    # A migration that is slow enough to be stopped in its middle: batches stay small.
    slow = {"throttle": {"targetBatch": "1ms"}}
    file = write(tmp_path, "m", ADD, FILL, NOT_NULL, execution=slow)
    for number in (signal.SIGINT, signal.SIGTERM):
        code, err = interrupted(pg, file, number)
        assert (code, err) == (30, "zanith: m: migration m was asked to stop; it goes on from its checkpoint\n")
    half = zanith("migrate", "plan", "-f", file).out
    assert half.splitlines()[4:] == [
        "▸ m",
        "  ✓ [safe] addColumn",
        "  · [medium] backfill",
        "  · [high] alterColumnNullable",
    ]
    assert "step 2/3 backfill interrupted, " in zanith("migrate", "status").out
    write(tmp_path, "m", ADD, FILL, NOT_NULL, INDEX)
    assert zanith("migrate", "plan", "-f", file).out.splitlines()[-1] == "  · [low] addIndex"
    assert zanith("migrate", "up", "-f", file).code == 0
    assert "  ↻ step 2: [medium] backfill\n" in zanith("migrate", "history", "--verbose").out
    assert pg.value("SELECT count(*) FROM users WHERE email_normalized = lower(email)") == 200_000


def interrupted(pg: Database, file: Path, number: signal.Signals) -> tuple[int, str]:
    """Exit code and errors of an `up` that gets a signal once its backfill moves."""
    before = rows_moved(pg)
    with subprocess.Popen(
        [sys.executable, "-m", "zanith.main", "migrate", "up", "-f", str(file)],
        env=os.environ | {"PYTHONPATH": str(OPERATOR), "ZANITH_DSN": pg.dsn},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        try:
            wait_until(lambda: rows_moved(pg) > before or running.poll() is not None, "the backfill moves")
            running.send_signal(number)
            _, err = running.communicate(timeout=30)
        finally:
            running.kill()
    return running.returncode, err


def rows_moved(pg: Database) -> int:
    """Rows the backfill's checkpoints have counted."""
    if pg.value("SELECT to_regclass('_zanith_migration_checkpoints')") is None:
        return 0
    return int(pg.value("SELECT coalesce(sum(processed_rows), 0) FROM _zanith_migration_checkpoints"))
