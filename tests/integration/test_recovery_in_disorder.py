"""Restores, undos and purges that meet what somebody left half done, or did by hand: said in words, nothing touched."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from operations_harness.driving import Driver, spec_of
from operations_harness.processes import start_runner
from recovery_setting import ARCHIVE, SHADOW_COPY, SOFT_DROP, SOFT_DROP_TABLE, Zanith, applied, commands_on, ledger
from servers import Database
from zanith.core.errors import Conflict, Refusal
from zanith.core.statement import Lock, Statement
from zanith.execution.assignment import Progress, ignore
from zanith.execution.recovering import restore
from zanith.execution.session import open_recovery
from zanith.execution.undoing import restore_alone
from zanith.ledger.records import undo_checksum
from zanith.main import main
from zanith.operations.step_context import Undo
from zanith.planning.plan import PlannedStep


class CutShort(Exception):
    """The test has seen enough."""


@pytest.fixture
def zanith(pg: Database, capfdbinary: pytest.CaptureFixture[bytes]) -> Zanith:
    """Runs a command on the test's database."""
    return commands_on(pg, capfdbinary)


def half_restored(pg: Database, *, statements: int = 1) -> Driver:
    """An archived column whose restore died after so many statements, its attempt still called running."""
    driver = applied(pg, ARCHIVE)
    seen = 0

    def until(progress: Progress) -> None:
        nonlocal seen
        seen += progress.event == "statement_finished"
        if seen == statements:
            raise CutShort("enough")

    session = open_recovery(driver.settings, "m", application_name="test", stop=threading.Event(), report=until)
    with session.conn, pytest.raises(CutShort):
        restore(session, driver.record().artifacts[0])
    assert pg.value("SELECT count(*) FROM _zanith_migration_steps WHERE status = 'running'") == 1
    return driver


FINISH = (
    "a restore of public.users.email is under way; finish it with `zanith recover restore-column public.users.email`"
)


def test_a_purge_waits_for_a_half_finished_restore(pg: Database, zanith: Zanith) -> None:
    half_restored(pg)
    refused = zanith("recover", "purge", "users.email", "--yes")
    assert (refused.code, refused.err) == (20, f"zanith: {FINISH}\n")
    assert zanith("recover", "restore-column", "users.email").code == 0
    assert zanith("recover", "purge", "users.email", "--yes").code == 0


def test_a_purge_waits_for_a_half_finished_undo(pg: Database, zanith: Zanith) -> None:
    driver = applied(pg, ARCHIVE)

    def until(progress: Progress) -> None:
        if progress.event == "statement_finished":
            raise CutShort("enough")

    with pytest.raises(CutShort):
        driver.apply(until, action="revert")
    refused = zanith("recover", "purge", "users.email", "--yes")
    assert refused.code == 20
    assert "step 1 archiveColumn of m is being taken back" in refused.err
    assert driver.apply(action="revert").done == frozenset()


def test_an_attempt_that_died_does_not_keep_a_purge_of_the_same_step(pg: Database, zanith: Zanith) -> None:
    applied(pg, SOFT_DROP)
    pg.execute("UPDATE _zanith_migration_artifacts SET expires_at = now() - interval '2 d'")
    pg.execute(
        """INSERT INTO _zanith_migration_steps (migration_id, step_index, operation_kind, sql, risk_level, risk_score, status,
           started_at) SELECT migration_id, step_index, 'restoreColumn', sql, risk_level, risk_score, 'running', now()
           FROM _zanith_migration_steps"""
    )
    done = zanith("recover", "cleanup", "--older-than", "1d", "--yes")
    assert (done.code, done.err) == (0, "")
    assert pg.value("SELECT count(*) FROM _zanith_migration_steps WHERE status = 'interrupted'") == 1


def test_nothing_is_taken_back_while_a_restore_is_under_way(pg: Database, zanith: Zanith) -> None:
    driver = half_restored(pg)
    for options in (["--dry-run"], []):
        refused = zanith("migrate", "down", "--steps", "1", *options)
        assert refused.code == 20
        assert FINISH in refused.err
    with pytest.raises(Conflict, match=r"a restore of public.users.email is under way"):
        driver.apply(action="revert")
    assert zanith("recover", "restore-column", "users.email").code == 0
    assert driver.apply(action="revert").done == frozenset()
    assert pg.value("SELECT count(*) FROM users WHERE email = 'user' || id") == 100


def test_an_archive_that_died_before_its_seal_has_to_come_to_its_end(pg18: Database, tmp_path: Path) -> None:
    """Killed at every event: the column is gone and sealed, or a restore says what comes first."""
    pg18.execute("CREATE TABLE users (id bigint PRIMARY KEY, email text); INSERT INTO users VALUES (1, 'user1')")
    driver = Driver(pg18, spec_of([ARCHIVE], migration_id="m"))
    met = False
    for at in range(1, 40):
        process = start_runner(driver, tmp_path, kill_at=at)
        process.communicate(timeout=60)
        if process.returncode == 0 or driver.record().done:
            break
        if driver.record().artifacts:
            met = True
            before = pg18.value("SELECT physical_name FROM _zanith_migration_artifacts")
            with pytest.raises(Conflict, match="migration m has not come to its end: step 1 archiveColumn"):
                _restore(driver)
            assert pg18.value("SELECT physical_name FROM _zanith_migration_artifacts") == before
            break
    assert met
    driver.apply()
    assert main(["recover", "restore-column", "users.email", "--dsn", pg18.dsn]) == 0
    assert pg18.rows("SELECT * FROM users") == [(1, "user1")]


def _restore(driver: Driver) -> Any:
    session = open_recovery(driver.settings, "m", application_name="test", stop=threading.Event(), report=ignore)
    with session.conn:
        return restore(session, driver.record().artifacts[0])


def test_recovery_sql_of_an_archive_runs_before_the_copy_is_put_aside(pg: Database, zanith: Zanith) -> None:
    """The plan is gone, so the recovery SQL is all there is."""
    applied(pg, ARCHIVE)
    pg.execute(
        f"""DELETE FROM _zanith_schema_snapshots WHERE phase = 'plan';
            UPDATE _zanith_migration_artifacts SET checksum = left(checksum, -16) || '{undo_checksum(Undo())}'"""
    )
    said = zanith("recover", "restore-column", "users.email")
    assert (said.code, said.err) == (0, "")
    assert pg.value("SELECT count(*) FROM users WHERE email = 'user' || id") == 100


def test_a_table_made_anew_is_not_called_restored(pg: Database, zanith: Zanith) -> None:
    half_restored(pg)
    pg.execute("DROP TABLE users; CREATE TABLE users (id bigint PRIMARY KEY); INSERT INTO users VALUES (1)")
    refused = zanith("recover", "restore-column", "users.email")
    assert refused.code == 20
    assert "column public.users.email, which was half-way back, was dropped meanwhile" in refused.err
    pg.execute("ALTER TABLE users ADD COLUMN email text")
    refused = zanith("recover", "restore-column", "users.email")
    assert refused.code == 20
    assert "table public.users is another one than when this began" in refused.err
    assert pg.value("SELECT count(*) FROM _zanith_migration_artifacts WHERE restored_at IS NULL") == 1
    assert zanith("recover", "purge", "users.email", "--yes").code == 0, "its restore can never end"


def test_what_the_data_refuses_is_refused_before_the_first_step_is_touched(pg: Database, zanith: Zanith) -> None:
    pg.execute("CREATE TABLE a (id int PRIMARY KEY)")
    create = {"createTable": {"table": "n", "columns": [{"name": "id", "type": "bigint"}], "primaryKey": ["id"]}}
    add = {"addColumn": {"table": "a", "column": "z", "type": "text"}}
    driver = applied(pg, create, add, setup="")
    pg.execute("INSERT INTO n VALUES (1)")
    before = driver.graph()
    for options in (["--dry-run"], []):
        refused = zanith("migrate", "down", "--steps", "2", *options)
        assert refused.code == 20
        assert "step 1 createTable" in refused.err
        assert driver.graph() == before
    with pytest.raises(Refusal, match="step 1 createTable"):
        driver.apply(action="revert")
    assert driver.graph() == before
    pg.execute("DELETE FROM n")
    assert zanith("migrate", "down", "--steps", "2").code == 0


def test_it_is_asked_over_several_migrations_too(pg: Database, zanith: Zanith) -> None:
    nullable = {"alterColumnNullable": {"table": "users", "column": "age", "nullable": True}}
    pg.execute("CREATE TABLE users (id bigint PRIMARY KEY, age int NOT NULL); CREATE TABLE other (id int)")
    applied(pg, nullable, migration_id="first", setup="")
    driver = applied(
        pg, {"addColumn": {"table": "other", "column": "z", "type": "text"}}, migration_id="second", setup=""
    )
    pg.execute("INSERT INTO users VALUES (1, NULL)")
    before = driver.graph()
    refused = zanith("migrate", "down", "--steps", "2")
    assert (refused.code, driver.graph()) == (20, before)
    assert refused.err.startswith("zanith: first, step 1 alterColumnNullable: refused — ")


def test_what_a_step_before_it_in_the_list_changes_is_asked_later(pg: Database, zanith: Zanith) -> None:
    """The column is in the way until the second step is taken back."""
    again = {"addColumn": {"table": "users", "column": "age", "type": "text"}}
    drop = {"softDropTable": {"table": "old"}}
    create = {"createTable": {"table": "old", "columns": [{"name": "id", "type": "bigint"}]}}
    applied(pg, SOFT_DROP, again, drop, create)
    assert zanith("migrate", "down", "--steps", "4", "--dry-run").code == 0
    assert zanith("migrate", "down", "--steps", "4").code == 0
    assert pg.value("SELECT count(age) FROM users") == 100
    assert pg.value("SELECT count(note) FROM old") == 10


def test_a_purge_drops_no_name_that_is_not_ours(pg: Database, zanith: Zanith) -> None:
    applied(pg, SOFT_DROP_TABLE)
    pg.execute("CREATE TABLE precious (id int); UPDATE _zanith_migration_artifacts SET physical_name = 'precious'")
    for options in (["--dry-run"], ["--yes"]):
        refused = zanith("recover", "purge", "old", *options)
        assert refused.code == 20
        assert "the row of artifact m::soft_drop_table::old was changed" in refused.err
    assert pg.value("SELECT to_regclass('precious') IS NOT NULL")


def test_what_was_dropped_by_hand_is_missing_and_is_settled(pg: Database, zanith: Zanith) -> None:
    applied(pg, ARCHIVE, SOFT_DROP, SOFT_DROP_TABLE)
    pg.execute(f"DROP TABLE {SHADOW_COPY}")
    by_hand = pg.value("SELECT recovery_sql FROM _zanith_migration_artifacts WHERE source_column = 'age'")
    pg.execute(by_hand)
    listed = {a["source"]: a["state"] for a in json.loads(zanith("recover", "list", "--json").out)}
    assert listed == {"public.users.email": "Missing", "public.users.age": "Missing", "public.old": "Live"}
    before = ledger(pg)
    for name in ("users.email", "users.age"):
        for options in (["--dry-run"], []):
            lost = zanith("recover", "restore-column", name, *options)
            assert (lost.code, "is not there any more" in lost.err) == (20, True)
    down = zanith("migrate", "down", "--id", "m", "--all", "--dry-run")
    assert (down.code, down.err.count("is not there any more")) == (20, 2), down.err
    assert ledger(pg) == before
    for name in ("users.email", "users.age"):
        settled = zanith("recover", "purge", name, "--yes")
        assert (settled.code, "nothing was dropped" in settled.out) == (0, True)
    assert pg.value("SELECT count(age) FROM users") == 100


@pytest.mark.parametrize("step", [ARCHIVE, SOFT_DROP], ids=["archived", "soft_dropped"])
def test_a_table_that_is_gone_and_a_column_that_is_there_are_named(
    pg: Database, zanith: Zanith, step: dict[str, Any]
) -> None:
    (operation,) = step.values()
    column = operation["column"]
    applied(pg, step)
    pg.execute(f"ALTER TABLE users ADD COLUMN {column} int")
    for command in (["recover", "restore-column", f"users.{column}"], ["migrate", "down", "--steps", "1"]):
        for options in (["--dry-run"], []):
            refused = zanith(*command, *options)
            assert refused.code == 20
            assert (
                f"column public.users.{column} is there already: the application, or recovery SQL run by hand"
                in refused.err
            )
    pg.execute("DROP TABLE users")
    for command in (["recover", "restore-column", f"users.{column}"], ["migrate", "down", "--steps", "1"]):
        for options in (["--dry-run"], []):
            refused = zanith(*command, *options)
            assert refused.code == 20
            assert "table public.users does not exist any more" in refused.err


def test_a_database_that_quotes_all_identifiers(pg: Database, zanith: Zanith) -> None:
    pg.execute(f"ALTER DATABASE {pg.name} SET quote_all_identifiers = on")
    driver = applied(pg, ARCHIVE, SOFT_DROP)
    assert zanith("recover", "restore-column", "users.email").code == 0
    assert driver.apply(action="revert").done == frozenset()


def test_a_restore_by_recovery_sql_does_not_go_on_from_another_ones_cursor(pg: Database, zanith: Zanith) -> None:
    """What an undo kept has no step of its own, and its restore the cursor of step 1, where another one stands half-way."""
    driver = half_restored(pg)
    artifact = replace(driver.record().artifacts[0], id="other")
    session = open_recovery(driver.settings, "m", application_name="test", stop=threading.Event(), report=ignore)
    statement = Statement(sql="SELECT 1", lock=Lock.NONE)
    back = PlannedStep(1, "restoreColumn", "public.users.town", "", (statement,), ())
    with session.conn, pytest.raises(Conflict, match="a restore of what step 1 of m kept is under way"):
        restore_alone(session, back, artifact)
    assert pg.value("SELECT count(*) FROM _zanith_migration_artifacts WHERE restored_at IS NOT NULL") == 0
    assert zanith("recover", "restore-column", "users.email").code == 0


def test_a_shape_that_was_overwritten_is_said_to_be(pg: Database, zanith: Zanith) -> None:
    """Applied, taken back and applied again: of the time between the first two no snapshot is left."""
    driver = applied(pg, SOFT_DROP)
    between = pg.value("SELECT clock_timestamp()::text")
    driver.apply(action="revert")
    driver.apply()
    said = zanith("migrate", "show", "--at", between)
    assert (said.code, said.out.startswith("Schema before m (")) == (0, True)
    again = pg.value(
        """SELECT to_char(captured_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') FROM _zanith_schema_snapshots
           WHERE phase = 'after'"""
    )
    assert said.err == (
        "zanith: m worked on the database after this snapshot and up to that time, and no later one is left, for one was "
        f"overwritten when it was applied again: that of m at {again} UTC: it may have looked otherwise\n"
    )
