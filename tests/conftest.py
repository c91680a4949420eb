"""Fixtures of every tier: real PostgreSQL servers, one per version and session, and a database per test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from servers import SERVER_VERSIONS, Database, PostgresServer, create_database, drop_database


@pytest.fixture(scope="session")
def postgres_15() -> Iterator[PostgresServer]:
    """A running PostgreSQL 15, the oldest that is supported."""
    with PostgresServer(15) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_18() -> Iterator[PostgresServer]:
    """A running PostgreSQL 18."""
    with PostgresServer(18) as server:
        yield server


@pytest.fixture(params=SERVER_VERSIONS, ids=lambda version: f"postgres{version}")
def pg(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A fresh database, on each version."""
    yield from _database(request.getfixturevalue(f"postgres_{request.param}"))


@pytest.fixture
def pg18(postgres_18: PostgresServer) -> Iterator[Database]:
    """A fresh database on PostgreSQL 18 only."""
    yield from _database(postgres_18)


def _database(server: PostgresServer) -> Iterator[Database]:
    server.start()  # a test before may have left it down
    database = create_database(server)
    yield database
    drop_database(database)
