"""Reading the catalog among others: roles with few rights, sessions that lock, drop and create meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection, sql

from servers import Database
from zanith.core.errors import NotYet, SpecError, StepFailed
from zanith.core.graph import DatabaseIdentity
from zanith.core.identifiers import TableKey
from zanith.postgres.catalog import read_facts, read_identity
from zanith.postgres.connecting import ConnectionSettings, connect

SCHEMA = """
CREATE SCHEMA app;
CREATE TABLE app.users (id int PRIMARY KEY, email text NOT NULL DEFAULT 'x', CHECK (id > 0));
CREATE TABLE app.orders (id int REFERENCES app.users) PARTITION BY LIST (id);
CREATE TABLE app.orders1 PARTITION OF app.orders FOR VALUES IN (1);
CREATE INDEX ON app.users (lower(email));
CREATE VIEW app.v AS SELECT email FROM app.users;
ALTER TABLE app.users ENABLE ROW LEVEL SECURITY;
CREATE POLICY mine ON app.users USING (id > 1);
CREATE FUNCTION app.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
CREATE TRIGGER t BEFORE UPDATE ON app.users FOR EACH ROW EXECUTE FUNCTION app.f();
CREATE TYPE app.mood AS ENUM ('sad');
"""


def opened(dsn: str, schema: str = "public") -> Connection[Any]:
    return connect(ConnectionSettings.from_dsn(dsn, schema), application_name="test")


@pytest.fixture
def conn(pg: Database) -> Iterator[Connection[Any]]:
    with opened(pg.dsn) as conn:
        yield conn


def test_a_role_without_any_right_reads_the_same_as_the_superuser(pg: Database, conn: Connection[Any]) -> None:
    pg.execute(SCHEMA + "REVOKE ALL ON SCHEMA app FROM PUBLIC")
    with opened(pg.create_login(), "app") as login:
        assert read_facts(login, "app") == read_facts(conn, "app")


def test_without_the_right_to_the_system_identifier_the_grant_is_named(pg: Database) -> None:
    pg.execute("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
    with opened(pg.create_login()) as login:
        with pytest.raises(SpecError, match=r"GRANT EXECUTE ON FUNCTION pg_control_system\(\)") as caught:
            read_facts(login, "public")
        assert caught.value.reason == "UnsupportedDatabase"
        with pytest.raises(SpecError):
            read_identity(login)


def test_a_locked_table_is_waited_for_briefly_and_named(pg: Database, conn: Connection[Any]) -> None:
    pg.execute(SCHEMA)
    with pg.connect() as other, other.transaction():
        other.execute("LOCK TABLE app.users")
        with pytest.raises(NotYet, match=r"holds app\.users locked \(ACCESS EXCLUSIVE\)") as caught:
            read_facts(conn, "app")
        assert caught.value.reason == "Retrying"
    assert read_facts(conn, "app").graph.models == 2


def test_no_lock_is_kept_on_any_table(pg: Database, conn: Connection[Any]) -> None:
    pg.execute(SCHEMA)
    read_facts(conn, "app")
    assert conn.info.transaction_status.name == "IDLE"
    held = "SELECT count(*) FROM pg_locks WHERE pid = %s AND locktype = 'relation'"
    with pg.connect() as other:
        assert other.execute(held, [conn.info.backend_pid]).fetchone() == (0,)


def test_settings_of_the_session_come_back(conn: Connection[Any]) -> None:
    names = ("search_path", "lock_timeout", "statement_timeout", "jit", "transaction_isolation")
    ask = sql.SQL("SELECT current_setting(name) FROM unnest(%s::text[]) AS u (name)")
    before = conn.execute(ask, [list(names)]).fetchall()
    read_facts(conn, "public")
    assert conn.execute(ask, [list(names)]).fetchall() == before


def test_it_is_not_read_inside_anothers_transaction(conn: Connection[Any]) -> None:
    with conn.transaction():
        conn.execute("SELECT 1")
        with pytest.raises(StepFailed, match="active_sql_transaction"):
            read_facts(conn, "public")


def test_a_dead_connection_is_an_outage(pg: Database, conn: Connection[Any]) -> None:
    with pg.connect() as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [conn.info.backend_pid])
    with pytest.raises(NotYet) as caught:
        read_facts(conn, "public")
    assert caught.value.reason == "DatabaseUnreachable"


def test_the_number_of_queries_does_not_grow_with_the_schema(
    pg: Database, conn: Connection[Any], tmp_path: Path
) -> None:
    few = _queries_sent(conn, tmp_path / "few")
    with pg.connect() as other:
        for number in range(40):
            table = sql.Identifier(f"t{number}")
            other.execute(sql.SQL("CREATE TABLE {} (id int PRIMARY KEY, a text UNIQUE, CHECK (id > 0))").format(table))
    assert _queries_sent(conn, tmp_path / "many") == few
    assert few <= 45


def _queries_sent(conn: Connection[Any], trace: Path) -> int:
    """Counted on the wire."""
    with trace.open("w") as file:
        conn.pgconn.trace(file.fileno())
        read_facts(conn, "public")
        conn.pgconn.untrace()
    lines = trace.read_text().splitlines()
    return sum("\tF\t" in line and ("\tQuery\t" in line or "\tParse\t" in line) for line in lines)


def test_tables_that_come_and_go_meanwhile_do_no_harm(pg: Database, conn: Connection[Any]) -> None:
    pg.execute(SCHEMA)
    stop = threading.Event()
    failed: list[BaseException] = []
    churn = threading.Thread(target=_churn, args=(pg, stop, failed))
    churn.start()
    try:
        graphs = [_read_or_later(conn) for _ in range(60)]
    finally:
        stop.set()
        churn.join()
    assert not failed
    seen = [graph for graph in graphs if graph is not None]
    assert len(seen) > 30, f"read {len(seen)} of 60 times"
    assert all(TableKey("app", "users") in {t.key for t in graph.tables} for graph in seen)


def _read_or_later(conn: Connection[Any]) -> Any:
    try:
        return read_facts(conn, "app").graph
    except NotYet:
        return None


def _churn(pg: Database, stop: threading.Event, failed: list[BaseException]) -> None:
    """Create and drop, as fast as it goes, one of everything."""
    try:
        with pg.connect() as other:
            while not stop.is_set():
                other.execute("CREATE TABLE app.passing (id int PRIMARY KEY DEFAULT 1, a text CHECK (a > 'x'))")
                other.execute("CREATE INDEX ON app.passing (lower(a))")
                other.execute("CREATE VIEW app.glimpse AS SELECT a FROM app.passing")
                other.execute("CREATE POLICY p ON app.passing USING (id > 1)")
                other.execute("DROP TABLE app.passing CASCADE")
    except BaseException as error:  # noqa: BLE001  # handed to the test, which fails on it
        failed.append(error)


def test_two_databases_of_one_server_have_two_identities(pg: Database, conn: Connection[Any]) -> None:
    mine = read_identity(conn)
    with pg.server.connect("postgres") as other:
        theirs = read_identity(other)
    assert theirs == DatabaseIdentity(mine.system_identifier, theirs.oid, "postgres")
    assert theirs.oid != mine.oid
