"""What PostgreSQL's errors become: real errors about real rows, of which no value may come through."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import Connection, errors

from servers import Database, wait_until
from zanith.core.errors import ExitCode, NotYet, StepFailed, ZanithError
from zanith.postgres.connecting import ConnectionSettings, connect
from zanith.postgres.sqlstates import MEANINGS, condition, meaning_of, translate, translated

VALUE = "s3cr3t-v4lue"
NUMBER = "8675309"

SETUP = f"""
CREATE TABLE users (id int PRIMARY KEY, email text NOT NULL UNIQUE, age int CHECK (age > 0), note text);
INSERT INTO users VALUES ({NUMBER}, '{VALUE}', 1, NULL), (2, 'b', 1, '{VALUE}'), (3, 'c', 1, '{VALUE}');
CREATE TABLE orders (user_id int REFERENCES users, span int4range, EXCLUDE USING gist (span WITH &&));
INSERT INTO orders VALUES (2, '[8675309,8675310)');
CREATE TABLE loose (user_id int); INSERT INTO loose VALUES ({NUMBER}), (99);
CREATE DOMAIN short AS text CHECK (length(value) < 3);
CREATE TABLE parts (a text) PARTITION BY LIST (a);
CREATE TABLE shown (note text); CREATE VIEW v AS SELECT note FROM shown;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE EXCEPTION 'no %', new.note USING ERRCODE = '23505', DETAIL = new.note, HINT = new.note, COLUMN = new.note,
        TABLE = new.note, CONSTRAINT = new.note, DATATYPE = new.note, SCHEMA = new.note; END $$;
CREATE FUNCTION stumble() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    EXECUTE format('SELECT %L::int', new.note); RETURN new; END $$;
CREATE TABLE guarded (note text); CREATE TRIGGER t BEFORE INSERT ON guarded FOR EACH ROW EXECUTE FUNCTION refuse();
CREATE TABLE shaky (note text); CREATE TRIGGER t BEFORE INSERT ON shaky FOR EACH ROW EXECUTE FUNCTION stumble();
"""

# Statement, and what is said of it between `doing: ` and the advice.
ERRORS = {
    "duplicate": (
        f"INSERT INTO users VALUES (9, '{VALUE}', 1)",
        "unique_violation (23505) on constraint users_email_key of table public.users",
    ),
    "unique index": (
        "CREATE UNIQUE INDEX notes ON users (note)",
        "unique_violation (23505) on constraint notes of table public.users",
    ),
    "null": (
        f"INSERT INTO users VALUES (9, NULL, {NUMBER})",
        "not_null_violation (23502) on column email of table public.users",
    ),
    "set not null": (
        "ALTER TABLE users ALTER note SET NOT NULL",
        "not_null_violation (23502) on column note of table public.users",
    ),
    "check": (
        f"INSERT INTO users VALUES ({NUMBER}1, '{VALUE}2', -1)",
        "check_violation (23514) on constraint users_age_check of table public.users",
    ),
    "add check": (
        f"ALTER TABLE users ADD CONSTRAINT other CHECK (id <> {NUMBER})",
        "check_violation (23514) on constraint other of table public.users",
    ),
    "orphan": (
        f"INSERT INTO orders VALUES ({NUMBER}7)",
        "foreign_key_violation (23503) on constraint orders_user_id_fkey of table public.orders",
    ),
    "add foreign key": (
        "ALTER TABLE loose ADD CONSTRAINT fk FOREIGN KEY (user_id) REFERENCES users",
        "foreign_key_violation (23503) on constraint fk of table public.loose",
    ),
    "exclusion": (
        "INSERT INTO orders VALUES (2, '[8675309,8675319)')",
        "exclusion_violation (23P01) on constraint orders_span_excl of table public.orders",
    ),
    "no partition": (
        f"INSERT INTO parts VALUES ('{VALUE}')",
        "check_violation (23514) on table public.parts",
    ),
    "domain": (f"SELECT '{VALUE}'::short", "check_violation (23514) on constraint short_check, data type short"),
    "change of type": (
        "ALTER TABLE users ALTER note TYPE int USING note::int",
        "invalid_text_representation (22P02)",
    ),
    "too long": ("ALTER TABLE users ALTER note TYPE varchar(3)", "string_data_right_truncation (22001)"),
    "out of range": ("ALTER TABLE loose ALTER user_id TYPE smallint", "numeric_value_out_of_range (22003)"),
    "not a date": ("SELECT note::date FROM users WHERE id = 2", "invalid_datetime_format (22007)"),
    "not json": ("SELECT note::jsonb FROM users WHERE id = 2", "invalid_text_representation (22P02)"),
    "division": ("SELECT id / 0 FROM users", "division_by_zero (22012)"),
    "raised": (
        f"INSERT INTO guarded VALUES ('{VALUE}')",
        "unique_violation (23505), raised by a function of the database",
    ),
    "within a function": (f"INSERT INTO shaky VALUES ('{VALUE}')", "invalid_text_representation (22P02)"),
    "no such column": ("SELECT nope FROM users", "undefined_column (42703) at character 8"),
    "no such table": ("SELECT 1 FROM nope", "undefined_table (42P01) at character 15"),
    "syntax": (f"SELECT '{VALUE}' '{VALUE}'", "syntax_error (42601) at character 23"),
    "dependents": ("ALTER TABLE shown DROP COLUMN note", "dependent_objects_still_exist (2BP01)"),
    "exists": ("CREATE TABLE users (id int)", "duplicate_table (42P07)"),
    "read-only view": ("DELETE FROM pg_stat_activity", "object_not_in_prerequisite_state (55000)"),
}


@pytest.fixture
def conn(pg: Database) -> Iterator[Connection[Any]]:
    with connect(ConnectionSettings.from_dsn(pg.dsn, "public"), application_name="test") as conn:
        yield conn


def failing(conn: Connection[Any], statement: str, *, step: int | None = 3) -> ZanithError:
    """What the statement's error is translated to."""
    with pytest.raises(ZanithError) as caught, translated("working on users", step=step):
        conn.execute(statement.encode())
    return caught.value


def test_errors_about_rows_name_objects_and_no_values(pg: Database, conn: Connection[Any]) -> None:
    pg.execute(SETUP)
    said, leaks = {}, []
    for name, (statement, _) in ERRORS.items():
        error = failing(conn, statement)
        said[name] = (type(error), error.message.removeprefix("working on users: ").split("; ")[0])
        shown = error.message + repr(error) + "".join(traceback.format_exception(error)).replace(statement, "")
        leaks += [name for secret in (VALUE, NUMBER) if secret in shown]
    assert said == {name: (StepFailed, words) for name, (_, words) in ERRORS.items()}
    assert leaks == []


def test_the_errors_of_the_fixture_do_carry_values_in_postgres_own_words(pg: Database) -> None:
    """Else the test above would prove nothing."""
    pg.execute(SETUP)
    carrying = 0
    with pg.connect() as raw:
        for statement, _ in ERRORS.values():
            with pytest.raises(psycopg.Error) as caught:
                raw.execute(statement.encode())
            diag = caught.value.diag
            text = f"{diag.message_primary} {diag.message_detail} {diag.context} {diag.column_name}"
            carrying += VALUE in text or NUMBER in text
    assert carrying >= 12


def test_a_final_error_says_what_to_do_next(pg: Database, conn: Connection[Any]) -> None:
    pg.execute(SETUP)
    error = failing(conn, ERRORS["unique index"][0])
    assert error.message == (
        "working on users: unique_violation (23505) on constraint notes of table public.users; "
        "remove the duplicates, then set the annotation zanith.io/retry"
    )
    assert (error.step, error.reason, error.exit_code) == (3, "StepFailed", ExitCode.REFUSED_OR_FAILED)


def test_missing_rights_are_final_and_ask_for_a_grant(pg: Database) -> None:
    pg.execute(SETUP)
    settings = ConnectionSettings.from_dsn(pg.create_login(), "public")
    with connect(settings, application_name="test") as login:
        error = failing(login, "ALTER TABLE users ADD x int")
    assert isinstance(error, StepFailed)
    assert "insufficient_privilege (42501); grant the migration's role what it needs" in error.message


def test_locks_and_timeouts_are_tried_again(pg: Database, conn: Connection[Any]) -> None:
    pg.execute(SETUP)
    with pg.connect() as other, other.transaction():
        other.execute("LOCK TABLE users")
        conn.execute("SET lock_timeout = '50ms'")
        locked = failing(conn, "SELECT 1 FROM users")
    conn.execute("SET statement_timeout = '50ms'")
    cancelled = failing(conn, "SELECT pg_sleep(60)")
    assert [(type(e), e.reason, e.exit_code) for e in (locked, cancelled)] == [
        (NotYet, "Retrying", ExitCode.TRY_AGAIN)
    ] * 2
    assert "lock_not_available (55P03)" in locked.message
    assert "query_canceled (57014)" in cancelled.message


def test_a_deadlock_is_tried_again(pg: Database, conn: Connection[Any]) -> None:
    pg.execute("CREATE TABLE a (x int); CREATE TABLE b (x int)")
    conn.execute("SET deadlock_timeout = '100ms'")
    with pg.connect() as other, other.transaction():
        # It is ours that notices, for the other one does not look so early.
        other.execute("SET LOCAL deadlock_timeout = '10s'; LOCK TABLE a")
        conn.execute("BEGIN; LOCK TABLE b")
        waiting = threading.Thread(target=other.execute, args=["LOCK TABLE b"])
        waiting.start()
        queued = "SELECT count(*) FROM pg_locks WHERE relation = 'b'::regclass AND NOT granted"
        wait_until(lambda: pg.value(queued) == 1, "the other session waits for b")
        error = failing(conn, "LOCK TABLE a")
        conn.execute("ROLLBACK")
        waiting.join()
    assert isinstance(error, NotYet)
    assert "deadlock_detected (40P01)" in error.message


def test_a_lost_connection_is_an_outage(pg: Database, conn: Connection[Any]) -> None:
    with pg.connect() as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [conn.info.backend_pid])
    first, second = failing(conn, "SELECT 1"), failing(conn, "SELECT 1")
    assert "admin_shutdown (57P01)" in first.message
    assert "the connection to the database was lost" in second.message
    assert [(type(e), e.reason) for e in (first, second)] == [(NotYet, "DatabaseUnreachable")] * 2


def test_a_killed_server_is_an_outage(pg: Database, conn: Connection[Any]) -> None:
    pg.server.kill()
    error = failing(conn, "SELECT 1")
    assert (type(error), error.reason) == (NotYet, "DatabaseUnreachable")


def test_what_the_client_library_refuses_is_final_and_unquoted(conn: Connection[Any]) -> None:
    with pytest.raises(StepFailed) as caught, translated("asking"):
        conn.execute("SELECT %s", [f"{VALUE}\x00"])
    assert caught.value.message == "asking: the client library refused (DataError); correct the step"


@pytest.mark.parametrize(
    ("sqlstate", "heals", "reason"),
    [
        ("08006", True, "DatabaseUnreachable"),
        ("08P01", False, ""),
        ("25006", True, "DatabaseUnreachable"),
        ("28P01", True, "DatabaseUnreachable"),
        ("3D000", True, "DatabaseUnreachable"),
        ("40001", True, "Retrying"),
        ("42601", False, ""),
        ("53100", True, "Retrying"),
        ("53300", True, "DatabaseUnreachable"),
        ("57P02", True, "DatabaseUnreachable"),
        ("57P03", True, "DatabaseUnreachable"),
        ("57P04", False, ""),
        ("XX001", False, ""),
        ("ZZ999", False, ""),
    ],
)
def test_codes_mean_what_heals_and_what_does_not(sqlstate: str, heals: bool, reason: str) -> None:
    meaning = meaning_of(sqlstate)
    assert meaning.heals is heals
    assert not heals or meaning.reason == reason


def test_every_entry_has_advice() -> None:
    assert [code for code, meaning in MEANINGS.items() if len(meaning.advice) < 10] == []


def test_conditions_are_spelled_as_in_the_manual() -> None:
    codes = ("23505", "42P01", "40P01", "XX000", "55P03", "22P02", "ZZ999")
    assert [condition(c) for c in codes] == [
        "unique_violation",
        "undefined_table",
        "deadlock_detected",
        "internal_error",
        "lock_not_available",
        "invalid_text_representation",
        "error",
    ]


def test_an_unknown_code_is_not_retried(conn: Connection[Any]) -> None:
    error = failing(conn, "DO $$ BEGIN RAISE 'x' USING ERRCODE = 'ZZ999'; END $$", step=None)
    assert isinstance(error, StepFailed)
    assert error.message == (
        "working on users: error (ZZ999), raised by a function of the database; "
        "it is not tried again by itself; look into the server's log"
    )


def test_translations_do_not_chain_postgres_own_error() -> None:
    with pytest.raises(StepFailed) as caught, translated("x"):
        raise errors.UniqueViolation(VALUE)
    assert caught.value.__suppress_context__
    assert translate(errors.UniqueViolation(VALUE), doing="x").message.startswith("x: unique_violation (23505)")
