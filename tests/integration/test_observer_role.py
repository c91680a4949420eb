"""The shipped role zanith_observer sees enough to plan and to throttle by, and nothing of anyone's rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import errors

from servers import SERVER_VERSIONS, PostgresServer

SCRIPT = Path(__file__).resolve().parents[2] / "deploy" / "sql" / "zanith_observer.sql"


@pytest.fixture(scope="module", params=SERVER_VERSIONS)
def server(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    """A server of its own, for roles belong to the whole server."""
    with PostgresServer(request.param) as server:
        with server.connect() as conn:
            conn.execute(SCRIPT.read_bytes())
            conn.execute("CREATE TABLE public.users (id int PRIMARY KEY, email text)")
            conn.execute("CREATE ROLE shop_observer LOGIN PASSWORD 'pw' IN ROLE zanith_observer")
        yield server


@pytest.fixture
def observer(server: PostgresServer) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    with psycopg.connect(server.uri(user="shop_observer", password="pw"), autocommit=True) as conn:
        yield conn


def test_running_the_script_again_changes_nothing(server: PostgresServer) -> None:
    with server.connect() as conn:
        conn.execute(SCRIPT.read_bytes())
        roles = conn.execute("SELECT rolname, rolcanlogin FROM pg_roles WHERE rolname = 'zanith_observer'").fetchall()
    assert roles == [("zanith_observer", False)]


def test_it_sees_the_activity_of_others(
    server: PostgresServer, observer: psycopg.Connection[tuple[object, ...]]
) -> None:
    with server.connect() as other:
        other.execute("SELECT 42")
        seen = observer.execute("SELECT query FROM pg_stat_activity WHERE pid = %s", [other.info.backend_pid])
        assert seen.fetchall() == [("SELECT 42",)]


def test_it_reads_the_catalog_and_the_sizes(observer: psycopg.Connection[tuple[object, ...]]) -> None:
    found = observer.execute("SELECT pg_total_relation_size(oid) > 0 FROM pg_class WHERE relname = 'users'")
    assert found.fetchall() == [(True,)]


def test_it_reads_no_row(observer: psycopg.Connection[tuple[object, ...]]) -> None:
    with pytest.raises(errors.InsufficientPrivilege):
        observer.execute("SELECT FROM public.users")


def test_it_creates_nothing(observer: psycopg.Connection[tuple[object, ...]]) -> None:
    with pytest.raises(errors.InsufficientPrivilege):
        observer.execute("CREATE TABLE public.mine (id int)")
