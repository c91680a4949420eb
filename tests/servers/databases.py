"""A database of its own for each test, cloned from a template, and how to reach it."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import sql

from servers.postgres import PostgresServer

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Database:
    """One database of a running server."""

    server: PostgresServer
    name: str
    roles: list[str] = field(default_factory=list, compare=False)

    @property
    def version(self) -> int:
        """Major version of the server."""
        return self.server.version

    @property
    def dsn(self) -> str:
        """URI of the superuser, with the password, over TCP."""
        return self.server.uri(self.name)

    def dsn_as(self, user: str, password: str) -> str:
        """URI of another role."""
        return self.server.uri(self.name, user=user, password=password)

    def create_login(self, *, member_of: str = "") -> str:
        """A new role that may connect and nothing more; its URI. It goes away with the database."""
        name, password = f"zanith_login_{next(_numbers)}", secrets.token_hex(8)
        with self.connect() as conn:
            conn.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(name), password))
            if member_of:
                conn.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(member_of), sql.Identifier(name)))
        self.roles.append(name)
        return self.dsn_as(name, password)

    def connect(self) -> psycopg.Connection[Any]:
        """An autocommit superuser session; close it, or use it in a `with`."""
        return self.server.connect(self.name)

    def execute(self, statements: str) -> None:
        """Run SQL as the superuser: set-up of a test."""
        with self.connect() as conn:
            conn.execute(statements.encode())

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """The rows of a query, asked as the superuser."""
        with self.connect() as conn:
            return conn.execute(query.encode()).fetchall()

    def value(self, query: str) -> Any:
        """The only value of a query."""
        ((found,),) = self.rows(query)
        return found


def create_database(server: PostgresServer, *, template: str = "template1") -> Database:
    """A fresh database, a copy of `template`."""
    database = Database(server, f"zanith_test_{next(_numbers)}")
    with server.connect() as conn:
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        conn.execute(statement.format(sql.Identifier(database.name), sql.Identifier(template)))
    return database


def drop_database(database: Database) -> None:
    """Remove it with whatever sessions are left in it, and the roles made for it; the server is started if it is down."""
    database.server.start()
    with database.server.connect() as conn:
        conn.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database.name)))
        for role in database.roles:
            conn.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))


def create_template(server: PostgresServer, name: str, build: Callable[[Database], None]) -> str:
    """Build a template once per server and name; later calls find it. For `create_database(template=...)`."""
    with server.connect() as conn:
        if conn.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            return name
        conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(f"{name}_building")))
        build(Database(server, f"{name}_building"))
        # Renamed when finished: a build that failed is never taken for a template.
        rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
        conn.execute(rename.format(sql.Identifier(f"{name}_building"), sql.Identifier(name)))
    return name
