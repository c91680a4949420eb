"""Connecting to real servers: what a session is set to, and what is refused or told when it cannot be had."""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from psycopg import Connection

from servers import Database, PostgresServer, wait_until
from zanith.core.errors import ExitCode, NotYet, SpecError, StepFailed
from zanith.postgres.connecting import ConnectionSettings, connect, server_problem, session_name


def opened(dsn: str, schema: str = "public", name: str = "test") -> Connection[Any]:
    return connect(ConnectionSettings.from_dsn(dsn, schema), application_name=name, connect_timeout_s=3)


def shown(conn: Connection[Any], *settings: str) -> dict[str, str]:
    names = list(settings)
    rows = conn.execute("SELECT n, current_setting(n, true) FROM unnest(%s::text[]) AS u (n)", [names]).fetchall()
    return dict(rows)


def test_a_session_is_pinned_whatever_the_role_the_database_and_the_dsn_say(pg: Database) -> None:
    login = pg.create_login()
    settings = (
        "search_path = elsewhere", "timezone = 'Asia/Tokyo'", "datestyle = 'German'", "statement_timeout = '5s'",
        "default_transaction_read_only = on", "bytea_output = escape", "intervalstyle = iso_8601",
        "extra_float_digits = -15", "default_transaction_isolation = serializable", "row_security = on",
        "idle_in_transaction_session_timeout = '1s'",
    )  # fmt: skip
    targets = (f"ROLE {pg.roles[0]}", f"DATABASE {pg.name}")
    pg.execute("; ".join(f"ALTER {target} SET {setting}" for target in targets for setting in settings))
    expected = {
        "search_path": '"My App", "public", "pg_temp"',
        "TimeZone": "UTC",
        "DateStyle": "ISO, YMD",
        "IntervalStyle": "postgres",
        "extra_float_digits": "1",
        "bytea_output": "hex",
        "standard_conforming_strings": "on",
        "client_encoding": "UTF8",
        "row_security": "off",
        "statement_timeout": "0",
        "idle_in_transaction_session_timeout": "0",
        "default_transaction_isolation": "read committed",
        "default_transaction_read_only": "off",
        "lock_timeout": "10s",
        "client_connection_check_interval": "5s",
        "tcp_keepalives_idle": "10",
        "tcp_user_timeout": "30000",
        "application_name": "test",
    }
    if pg.version >= 17:
        expected["transaction_timeout"] = "0"
    with opened(f"{login}?options=-c%20timezone%3DAsia/Tokyo&application_name=theirs", "My App") as conn:
        assert conn.autocommit
        assert shown(conn, *expected) == expected


def test_functions_of_extensions_in_public_are_found_and_temporary_tables_hide_nothing(pg: Database) -> None:
    pg.execute(
        "CREATE SCHEMA app; CREATE TABLE app.users (id int); INSERT INTO app.users VALUES (1);"
        "CREATE FUNCTION public.helper() RETURNS int LANGUAGE sql AS 'SELECT 42'"
    )
    with opened(pg.dsn, "app") as conn:
        conn.execute("CREATE TEMPORARY TABLE users (id int)")
        assert conn.execute("SELECT helper(), count(*) FROM users").fetchone() == (42, 1)
        conn.execute("CREATE TABLE made (id int)")
    assert pg.value("SELECT relnamespace::regnamespace::text FROM pg_class WHERE relname = 'made'") == "app"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda pg: pg.dsn + "x", "its database does not exist (3D000)"),
        (lambda pg: pg.dsn_as("stranger", "pw-of-stranger"), "the server refuses the user or password (28P01)"),
        (lambda pg: pg.dsn_as("postgres", "pw-wrong"), "the server refuses the user or password (28P01)"),
        (lambda pg: pg.dsn + "?sslmode=require", "the server does not offer TLS and sslmode asks for it"),
        (lambda pg: "host=127.0.0.1 port=1 password=pw-x", "nothing listens at its address (connection refused)"),
        (lambda pg: "host=db.invalid password=pw-x", "its host name cannot be resolved"),
        (lambda pg: "host=/nowhere password=pw-x", "there is no server at its socket"),
    ],
    ids=["database", "user", "password", "tls", "refused", "name", "socket"],
)
def test_a_failed_connection_says_what_kind_of_failure_and_nothing_else(pg: Database, change: Any, words: str) -> None:
    with pytest.raises(NotYet) as caught:
        opened(change(pg))
    assert caught.value.message == f"the database cannot be reached: {words}; it is tried again"
    assert (caught.value.reason, caught.value.exit_code) == ("DatabaseUnreachable", ExitCode.TRY_AGAIN)
    assert caught.value.__suppress_context__


def test_a_server_that_does_not_answer_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        dsn = f"host=127.0.0.1 port={silent.getsockname()[1]}"
        with pytest.raises(NotYet, match="it does not answer in time"):
            opened(dsn)


def test_a_server_that_is_full_is_tried_again(pg18: Database) -> None:
    login = pg18.create_login()
    pg18.execute(f"ALTER ROLE {pg18.roles[0]} CONNECTION LIMIT 1")
    with opened(login), pytest.raises(NotYet) as caught:
        opened(login)
    assert caught.value.reason == "DatabaseUnreachable"


def test_a_server_that_went_away_is_found_again_when_it_is_back(pg: Database) -> None:
    pg.server.stop("immediate")
    with pytest.raises(NotYet, match="nothing listens"):
        opened(pg.dsn)
    pg.server.start()
    opened(pg.dsn).close()


def test_a_standby_is_refused(postgres_18: PostgresServer) -> None:
    with PostgresServer.standby_of(postgres_18) as standby:
        with pytest.raises(SpecError, match="the server is a standby; give the address of the primary") as caught:
            opened(standby.uri())
        assert caught.value.reason == "UnsupportedDatabase"


def test_a_pooler_is_refused(pg: Database) -> None:
    with _pooler(pg.server) as port, pytest.raises(SpecError, match="goes through a pooler") as caught:
        opened(pg.dsn.replace(f":{pg.server.port}/", f":{port}/"))
    assert caught.value.reason == "UnsupportedDatabase"
    wait_until(
        lambda: pg.value("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'test'") == 0,
        "a refused connection is closed",
    )


def test_an_old_server_is_refused() -> None:
    found = server_problem(140012, session_pid=1, announced_pid=1, in_recovery=False)
    assert found == "the server is PostgreSQL 14; at least 15 is needed"
    assert server_problem(150000, session_pid=1, announced_pid=1, in_recovery=False) is None


def test_a_setting_the_server_cannot_take_is_told(pg: Database) -> None:
    """As on a platform without client_connection_check_interval; here a NUL no setting can hold."""
    with pytest.raises(StepFailed, match="opening a session"):
        opened(pg.dsn, "a\x00b")


def test_a_session_whose_client_dies_ends_though_its_statement_runs_on(pg: Database) -> None:
    """Within client_connection_check_interval, 5 s; without it the statement would run for ten minutes."""
    conn = opened(pg.dsn, name="doomed")
    conn.pgconn.send_query(b"SELECT pg_sleep(600)")
    conn.pgconn.flush()
    alive = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'doomed' AND state = 'active'"
    wait_until(lambda: pg.value(alive) == 1, "the statement runs")
    # As when the process is gone: the socket closes and nobody says goodbye.
    with socket.socket(fileno=os.dup(conn.pgconn.socket)) as wire:
        wire.shutdown(socket.SHUT_RDWR)
    wait_until(lambda: pg.value(alive) == 0, "its session has ended")
    conn.close()


def test_session_names_fit_and_find_their_resource(pg: Database) -> None:
    name = session_name("0e6f-uid", 12, "20260328_" + "ü" * 80, "pod-x", "lane 3")
    assert len(name.encode()) == 63
    with opened(pg.dsn, name=name) as conn:
        assert shown(conn, "application_name") == {"application_name": name}
    assert name.split(":")[:3] == session_name("0e6f-uid", 12, "other").split(":")[:3]
    assert name.split(":")[1] != session_name("1f70-uid", 12, "other").split(":")[1]


@contextmanager
def _pooler(server: PostgresServer) -> Iterator[int]:
    """What of a pooler matters here: it stands between, and announces a process of its own (message K)."""
    with socket.create_server(("127.0.0.1", 0)) as door:

        def serve() -> None:
            client, _ = door.accept()
            backend = socket.create_connection(("127.0.0.1", server.port))
            threading.Thread(target=_pump, args=(client, backend), daemon=True).start()
            _pump(backend, client, announce=4711)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield door.getsockname()[1]
        thread.join(10)


def _pump(source: socket.socket, target: socket.socket, *, announce: int | None = None) -> None:
    """Bytes from one side to the other until it closes."""
    try:
        while data := source.recv(65536):
            at = data.find(b"K\x00\x00\x00\x0c") if announce is not None else -1
            if at >= 0 and announce is not None:
                data = data[: at + 5] + struct.pack("!I", announce) + data[at + 9 :]
            target.sendall(data)
    except OSError:
        pass  # the other side hung up first
    finally:
        for side in (source, target):
            side.close()
