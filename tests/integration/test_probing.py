"""Questions to the data: bounded in time, asked again where it matters, and what they find is told to nobody but who asks."""

from __future__ import annotations

import io
import json
import os
import pty
import select
import subprocess
import sys
import threading
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import yaml

from operations_harness.driving import Driver, Recorder, spec_of
from servers import Database
from servers.waiting import wait_until
from zanith.core.errors import NotYet, Refusal
from zanith.execution.entry import main as run_entry
from zanith.main import main

OPERATOR = Path(__file__).resolve().parents[2] / "operator"
SECRET = "no-8471-of-mrs-doe"
"""A key that is a person's: it must turn up at a terminal only."""
NOT_NULL = {"alterColumnNullable": {"table": "users", "column": "email", "nullable": False}}
UNIQUE = {"addUnique": {"table": "users", "columns": ["email"]}}
NARROWER = {"alterColumnType": {"table": "users", "column": "price", "type": "numeric(10,2)"}}
# `using` is asked of every row before; a function that says IMMUTABLE is taken at its word.
SLOW = {"alterColumnType": {"table": "users", "column": "id", "type": "text", "using": "slow(id)"}}
SLOW_FUNCTION = (
    "CREATE FUNCTION slow(bigint) RETURNS text IMMUTABLE LANGUAGE plpgsql AS "
    "$$ BEGIN PERFORM pg_sleep(30); RETURN $1::text; END $$"
)


def driver(database: Database, *steps: dict[str, Any], **spec: Any) -> Driver:
    return Driver(database, spec_of(list(steps), migration_id="m", **spec))


def manifest(folder: Path, *steps: dict[str, Any], name: str = "m", **spec: Any) -> Path:
    document = {
        "apiVersion": "zanith.io/v1alpha1",
        "kind": "ZanithMigration",
        "metadata": {"name": name},
        "spec": {"database": {"secretRef": {"name": "shop-db"}}, "steps": list(steps)} | spec,
    }
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(document))
    return file


def test_a_question_that_is_not_answered_in_time_refuses_the_step(pg: Database) -> None:
    pg.execute(f"{SLOW_FUNCTION}; CREATE TABLE users (id bigint PRIMARY KEY); INSERT INTO users VALUES (1)")
    began = time.monotonic()
    with pytest.raises(Refusal) as refused:
        driver(pg, SLOW, execution={"probeTimeout": "300ms"}).apply()
    assert time.monotonic() - began < 10
    words = "refused — misfits: not answered within 300 ms, whether `using` makes NULL of values of public.users.id"
    assert refused.value.recorded.startswith(words)
    assert "raise spec.execution.probeTimeout" in refused.value.message
    assert pg.rows("SELECT status, error FROM _zanith_migration_steps") == [("failed", refused.value.recorded)]


def test_a_question_that_somebody_cancels_is_asked_again(pg18: Database) -> None:
    pg18.execute(f"{SLOW_FUNCTION}; CREATE TABLE users (id bigint PRIMARY KEY); INSERT INTO users VALUES (1)")
    asking = (
        "FROM pg_stat_activity WHERE query LIKE 'SELECT 1 FROM%slow%' AND state = 'active' AND pid <> pg_backend_pid()"
    )
    found: list[BaseException] = []

    def apply() -> None:
        try:
            driver(pg18, SLOW).apply()
        except NotYet as error:
            found.append(error)

    running = threading.Thread(target=apply)
    running.start()
    wait_until(lambda: pg18.rows(f"SELECT pg_cancel_backend(pid) {asking}"), "the question is being asked")
    running.join(20)
    assert [type(error) for error in found] == [NotYet]


def test_what_a_statement_would_not_notice_is_asked_again_under_its_lock(pg: Database) -> None:
    """numeric(10,4) to numeric(10,2) rounds without a word: a row that comes in after the first look has to be seen."""
    pg.execute("CREATE TABLE users (id int PRIMARY KEY, price numeric(10,4)); INSERT INTO users VALUES (1, 1.5)")
    found: list[Refusal] = []
    seen = Recorder()

    def apply() -> None:
        try:
            driver(pg, NARROWER).apply(report=seen)
        except Refusal as error:
            found.append(error)

    with pg.connect() as application:
        application.execute("BEGIN")
        application.execute("INSERT INTO users VALUES (2, 0.1234)")
        running = threading.Thread(target=apply)
        running.start()
        wait_until(lambda: seen.count("waiting"), "the statement waits for its lock; the first look found nothing")
        application.execute("COMMIT")
        running.join(20)
    assert [error.recorded for error in found] == [
        "refused — misfits: column public.users.price has values that do not survive as numeric(10,2)"
    ]
    assert [str(price) for (price,) in pg.rows("SELECT price FROM users ORDER BY id")] == ["1.5000", "0.1234"]


def test_it_is_asked_under_the_lock_of_the_table_it_is_about(pg: Database) -> None:
    """Where a referenced table is locked first, the question is still of the referencing one."""
    pg.execute("CREATE TABLE parent (id numeric(10,4) PRIMARY KEY); INSERT INTO parent VALUES (1)")
    pg.execute("CREATE TABLE users (id int PRIMARY KEY, price numeric(10,4) REFERENCES parent)")
    with_parent = driver(pg, NARROWER)
    (step,) = with_parent.plan().steps
    assert [s.on[0].name for s in step.statements] == ["parent", "users", "users"]
    assert [(p.before_statement, p.under_lock) for p in step.probes] == [(2, True)]
    assert with_parent.apply().applied_at is not None


def test_an_undo_asks_again_under_its_lock(pg: Database) -> None:
    create = {"createTable": {"table": "orders", "columns": [{"name": "id", "type": "bigint"}]}}
    made = driver(pg, create)
    made.apply()
    found: list[Refusal] = []

    def undo() -> None:
        try:
            made.undo(1)
        except Refusal as error:
            found.append(error)

    with pg.connect() as application:
        application.execute("BEGIN")
        application.execute("INSERT INTO orders VALUES (1)")
        running = threading.Thread(target=undo)
        running.start()
        waiting = "SELECT 1 FROM _zanith_migration_checkpoints WHERE lane < -1 AND cursor ? 'waiting'"
        wait_until(lambda: pg.rows(waiting), "the undo waits for its lock; the first look found no row")
        application.execute("COMMIT")
        running.join(20)
    assert [error.recorded for error in found] == ["refused — populated_table: table public.orders has rows"]
    assert pg.value("SELECT count(*) FROM orders") == 1


DUPLICATES = (
    "CREATE TABLE users (name text PRIMARY KEY, email text);"
    f"INSERT INTO users VALUES ('{SECRET}', 'same'), ('{SECRET} too', 'same'), ('other', 'another')"
)


def at_a_terminal(pg: Database, *arguments: object) -> tuple[int, str]:
    """What a command shows at a terminal, and its exit code."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "zanith.main", *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(OPERATOR), "ZANITH_DSN": pg.dsn, "COLUMNS": "200"},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    ) as running:
        os.close(theirs)
        shown = b""
        try:
            while select.select([ours], [], [], 30)[0]:
                try:
                    shown += os.read(ours, 65536)
                except OSError:  # the other end is closed: Linux says EIO
                    break
            code = running.wait(30)
        finally:
            running.kill()
            os.close(ours)
    return code, shown.decode().replace("\r\n", "\n")


def test_keys_of_rows_in_the_way_are_shown_at_the_terminal_of_who_asks_and_nowhere_else(
    pg: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pg.execute(DUPLICATES)
    file = manifest(tmp_path, UNIQUE)
    code, shown = at_a_terminal(pg, "migrate", "plan", "-f", file, "--probe")
    assert code == 20
    assert "      data: public.users has duplicates in (email): yes\n" in shown
    assert f"      rows by key: name = {SECRET}; name = {SECRET} too\n" in shown
    assert "  refused — duplicates: public.users has duplicates in (email)\n" in shown

    for more in ([], ["--json"], ["--verbose"]):
        assert main(["migrate", "plan", "-f", str(file), "--probe", "--dsn", pg.dsn, *more]) == 20
        piped = capsys.readouterr()
        assert SECRET not in piped.out + piped.err
    assert json.loads(_json(pg, file))["migrations"][0]["steps"][0]["probes"][0]["answer"] == "yes"
    assert pg.value("SELECT to_regclass('_zanith_migrations')") is None, "a plan writes nothing"


def _json(pg: Database, file: Path) -> str:
    out = io.StringIO()
    with redirect_stdout(out):
        main(["migrate", "plan", "-f", str(file), "--probe", "--json", "--dsn", pg.dsn])
    return out.getvalue()


def test_no_key_reaches_ledger_log_or_error(pg: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pg.execute(DUPLICATES)
    given = {"spec": yaml.safe_load(manifest(tmp_path, UNIQUE).read_text())["spec"]} | {
        "name": "m", "namespace": "shop", "uid": "u", "attempt": 1, "planHash": "",
    }  # fmt: skip
    (tmp_path / "migration.json").write_text(json.dumps(given))
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "uri").write_text(pg.dsn)
    (tmp_path / "last-word").touch()
    code = run_entry(
        [
            *("--migration", str(tmp_path / "migration.json"), "--execution", str(tmp_path / "none")),
            *("--credentials", str(tmp_path / "credentials"), "--termination-log", str(tmp_path / "last-word")),
        ]
    )
    log = capsys.readouterr()
    assert code == 20
    assert "has duplicates in (email)" in (tmp_path / "last-word").read_text()
    tables = [
        name for (name,) in pg.rows("SELECT relname FROM pg_class WHERE relname LIKE '\\_zanith%' AND relkind = 'r'")
    ]
    assert len(tables) == 5
    ledger = "".join(str(pg.rows(f"SELECT t::text FROM {table} AS t")) for table in tables)
    assert "has duplicates in (email)" in ledger
    for text in (ledger, log.out, log.err, (tmp_path / "last-word").read_text()):
        assert SECRET not in text


def test_a_plan_asks_what_no_earlier_step_changes(
    pg: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pg.execute("CREATE TABLE users (id int PRIMARY KEY, email text); INSERT INTO users VALUES (1)")
    pg.execute("CREATE TABLE orders (id int PRIMARY KEY, user_id int); INSERT INTO orders VALUES (1, 1)")
    fill = {"backfill": {"table": "users", "set": {"email": "''"}, "where": "email IS NULL"}}
    foreign = {"addForeignKey": {"table": "orders", "columns": ["user_id"], "referencesTable": "users",
                                 "referencesColumns": ["id"]}}  # fmt: skip
    required = {"alterColumnNullable": {"table": "orders", "column": "user_id", "nullable": False}}
    manifest(tmp_path, required, fill, NOT_NULL, name="1")
    manifest(tmp_path, foreign, name="2")
    assert main(["migrate", "plan", "-f", str(tmp_path), "--probe", "--verbose", "--dsn", pg.dsn]) == 0
    data = [line.strip() for line in capsys.readouterr().out.splitlines() if line.strip().startswith("data:")]
    assert data == [
        "data: column public.orders.user_id has NULLs: no",
        "data: column public.users.email has NULLs: asked once the steps before are done",
        "data: public.orders (user_id) has values that are not in public.users (id): asked once the steps before are done",
    ]


def test_a_plan_does_not_wait_for_an_answer_for_ever(
    pg18: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pg18.execute(f"{SLOW_FUNCTION}; CREATE TABLE users (id bigint PRIMARY KEY); INSERT INTO users VALUES (1)")
    file = manifest(tmp_path, SLOW, execution={"probeTimeout": "200ms"})
    assert main(["migrate", "plan", "-f", str(file), "--probe", "--dsn", pg18.dsn]) == 20
    shown = capsys.readouterr()
    assert "which is NOT NULL: not answered in time" in shown.out
    assert "  refused — misfits: not answered within 200 ms" in shown.out
    assert main(["migrate", "plan", "-f", str(file), "--sql", "--json", "--dsn", pg18.dsn]) == 20
    assert capsys.readouterr().err == "zanith: --sql and --json: give one of them\n"
