"""Throw-away PostgreSQL servers for tests, the demo and benchmarks. Real ones: nothing here imitates a database."""

from servers.databases import Database, create_database, create_template, drop_database
from servers.postgres import SERVER_VERSIONS, PostgresServer, ServerProblem, binaries
from servers.waiting import wait_until

__all__ = [
    "SERVER_VERSIONS",
    "Database",
    "PostgresServer",
    "ServerProblem",
    "binaries",
    "create_database",
    "create_template",
    "drop_database",
    "wait_until",
]
