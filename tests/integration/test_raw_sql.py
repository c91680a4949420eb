"""rawSql on a real server: what a crash leaves, what doneWhen is asked, how opaque code waits for its locks."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from operations_harness.cases import NAMINGS, PLAIN, Case
from operations_harness.driving import Driver, Recorder, prepare
from operations_harness.processes import start_runner, wait_until
from servers import Database
from zanith.core.errors import Conflict, NotYet, StepFailed
from zanith.core.identifiers import TableKey
from zanith.core.statement import Lock, QueryIsTrue, Statement
from zanith.execution.outside import happened, oids_before
from zanith.postgres.connecting import connect

USERS = TableKey("public", "users")


def driver_of(pg: Database, *steps: dict[str, Any]) -> Driver:
    return prepare(pg, Case("raw", [{"rawSql": step} for step in steps], setup=PLAIN), NAMINGS["ordinary"])


@pytest.mark.parametrize("at", range(1, 9))
def test_a_runner_killed_at_any_event_reaches_the_same_end(pg18: Database, tmp_path: Path, at: int) -> None:
    driver = driver_of(
        pg18,
        {"sql": "ALTER TABLE users ADD COLUMN n integer NOT NULL DEFAULT 0; UPDATE users SET n = n + 1; SELECT count(*) FROM users"},
        {"sql": "CREATE INDEX CONCURRENTLY by_n ON users (n)"},
        {"sql": "DO $$ BEGIN UPDATE users SET n = n + 1; END $$"},
    )  # fmt: skip
    start_runner(driver, tmp_path, kill_at=at).communicate(timeout=60)
    driver.apply()
    assert pg18.rows("SELECT n, count(*) FROM users GROUP BY n") == [(2, 250)]
    assert [i.name for t in driver.graph().tables for i in t.indexes] == ["by_n"]


@pytest.mark.parametrize(
    ("done_when", "returncode", "runs"),
    [(None, 20, False), ("SELECT true", 0, False), ("SELECT count(*) > 1000 FROM users", 0, True)],
)
def test_what_ran_when_the_runner_died_is_asked_about_and_never_guessed(
    pg: Database, tmp_path: Path, done_when: str | None, returncode: int, runs: bool
) -> None:
    driver = driver_of(pg, {"sql": "VACUUM users", **({"doneWhen": done_when} if done_when else {})})
    with pg.connect() as blocker:
        blocker.execute("BEGIN")
        blocker.execute("LOCK TABLE users IN SHARE UPDATE EXCLUSIVE MODE")
        process = start_runner(driver, tmp_path)
        waiting = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'users'::regclass"
        wait_until(lambda: pg.rows(waiting), "VACUUM waits for the lock")
        process.kill()
        process.communicate(timeout=30)
        again = start_runner(driver, tmp_path, attempt=2)
        if runs:
            wait_until(lambda: pg.rows(waiting), "VACUUM is run again, and waits again")
            blocker.execute("ROLLBACK")
        _, said = again.communicate(timeout=60)
    assert again.returncode == returncode, said
    if returncode:
        assert "nothing can tell whether its statement happened" in said


@pytest.mark.parametrize(("query", "answer"), [("SELECT 1 < 2", True), ("SELECT false", False)])
def test_done_when_answers(pg18: Database, query: str, answer: bool) -> None:
    driver = driver_of(pg18, {"sql": "SELECT 1"})
    statement = Statement("VACUUM users", Lock.NONE, transactional=False, done_when=QueryIsTrue(query))
    with connect(driver.settings, application_name="test") as conn:
        assert oids_before(conn, statement) == []
        assert happened(conn, statement, [], 1) is answer


@pytest.mark.parametrize(
    ("query", "error", "message"),
    [
        ("SELECT 1", Conflict, "does not answer with one boolean"),
        ("SELECT NULL::boolean", Conflict, "does not answer with one boolean"),
        ("SELECT true WHERE false", Conflict, "does not answer with one boolean"),
        ("SELECT true FROM users", Conflict, "does not answer with one boolean"),
        ("SELECT nextval('users_id_seq') > 0", Conflict, "does not answer with one boolean"),
        ("SELECT true FROM nothing", StepFailed, "undefined_table"),
    ],
)
def test_done_when_that_gives_no_answer_settles_nothing(
    pg18: Database, query: str, error: type[Exception], message: str
) -> None:
    driver = driver_of(pg18, {"sql": "SELECT 1"})
    statement = Statement("VACUUM users", Lock.NONE, transactional=False, done_when=QueryIsTrue(query))
    with connect(driver.settings, application_name="test") as conn, pytest.raises(error, match=message):
        happened(conn, statement, [], 1)


def test_code_nobody_can_see_into_waits_for_its_locks_as_everything_does(pg18: Database) -> None:
    """Its tables are not known, so nobody can look who is in the way; but it gives up its place in the queue soon."""
    driver = driver_of(pg18, {"sql": "DO $$ BEGIN ALTER TABLE users ADD COLUMN a text; END $$"})
    longest = 0.0
    applied = threading.Event()
    with pg18.connect() as reader, pg18.connect() as application:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM users")
        report = Recorder()
        runner = threading.Thread(target=lambda: applied.set() if driver.apply(report) else None)
        runner.start()
        began = time.monotonic()
        while not applied.is_set() and time.monotonic() - began < 30:
            asked = time.monotonic()
            application.execute("SELECT count(*) FROM users")
            longest = max(longest, time.monotonic() - asked)
            if time.monotonic() - began > 1.5 and reader.info.transaction_status:
                reader.execute("ROLLBACK")
        runner.join()
    assert applied.is_set()
    assert report.count("waiting") >= 1
    assert longest < 1.0, f"an application waited {longest:.2f} s"
    assert pg18.value("SELECT count(*) FROM information_schema.columns WHERE column_name = 'a'") == 1


def test_a_long_statement_is_given_the_time_it_needs(pg18: Database) -> None:
    """The limit on brief statements, a few seconds, is not for code whose length nobody can tell."""
    driver = driver_of(pg18, {"sql": "DO $$ BEGIN PERFORM pg_sleep(4); UPDATE users SET age = 7; END $$"})
    assert driver.apply().applied_at is not None
    assert pg18.value("SELECT count(*) FROM users WHERE age = 7") == 250


def test_a_failing_statement_leaves_nothing_of_its_step(pg: Database) -> None:
    driver = driver_of(pg, {"sql": "ALTER TABLE users ADD COLUMN a text; INSERT INTO users (age) VALUES (NULL)"})
    before = driver.graph()
    with pytest.raises(StepFailed, match="not_null_violation"):
        driver.apply()
    assert driver.graph() == before


STEALING = "DO $$ BEGIN EXECUTE 'SELECT pg_advis' || 'ory_unlock_all()'; END $$"


def test_code_that_releases_the_runners_lock_is_rolled_back(pg18: Database) -> None:
    driver = driver_of(pg18, {"sql": f"CREATE TABLE made (id bigint); {STEALING}"})
    with pytest.raises(StepFailed, match="released the advisory lock that makes this the only runner"):
        driver.apply()
    assert pg18.value("SELECT to_regclass('made')::text") is None


def test_a_lock_that_is_lost_between_steps_ends_the_attempt(pg18: Database) -> None:
    """Outside of a transaction nothing can be taken back: the next attempt takes the lock anew, and goes on."""
    driver = driver_of(pg18, {"sql": "REINDEX TABLE CONCURRENTLY lured"}, {"sql": "CREATE TABLE made (id bigint)"})
    pg18.execute(
        "CREATE FUNCTION lure(bigint) RETURNS bigint IMMUTABLE LANGUAGE plpgsql AS "
        "'BEGIN EXECUTE ''SELECT pg_advisory_'' || ''unlock_all()''; RETURN $1; END';"
        "CREATE TABLE lured (id bigint); CREATE INDEX ON lured (lure(id)); INSERT INTO lured VALUES (1)"
    )
    with pytest.raises(NotYet, match="was lost before step 2; the attempt ends") as caught:
        driver.apply()
    assert caught.value.exit_code == 10
    assert driver.apply().applied_at is not None
    assert pg18.value("SELECT to_regclass('made')::text") == "made"


def test_settings_that_a_step_leaves_behind_are_gone_at_the_next(pg: Database) -> None:
    leaving = (
        "DO $$ BEGIN EXECUTE 'SET search_path = pg_catalog'; EXECUTE 'SET TimeZone = ''Asia/Tokyo'''; "
        "EXECUTE 'SET row_security = on'; EXECUTE 'SET app.leftover = ''here'''; END $$"
    )
    told = "current_setting('timezone') AS a, current_setting('row_security') AS b, current_setting('app.leftover', true) AS c"
    driver = driver_of(pg, {"sql": leaving}, {"sql": f"CREATE TABLE told AS SELECT {told}"})
    driver.apply()
    assert pg.rows("SELECT * FROM public.told") == [("UTC", "off", "")]


@pytest.mark.parametrize(
    "query", ["UPDATE users SET age = 1 RETURNING true", "SELECT true FROM users LIMIT 1 FOR UPDATE"]
)
def test_done_when_cannot_change_anything_however_it_came_into_the_plan(pg18: Database, query: str) -> None:
    driver = driver_of(pg18, {"sql": "SELECT 1"})
    statement = Statement("VACUUM users", Lock.NONE, transactional=False, done_when=QueryIsTrue(query))
    with connect(driver.settings, application_name="test") as conn, pytest.raises(Conflict, match="one boolean"):
        happened(conn, statement, [], 1)
    assert pg18.value("SELECT count(*) FROM users WHERE age = 1") == 1, "as before"
