"""What tests of recovery begin with: two tables, steps that take things away, and the command line run on a database."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from operations_harness.driving import Driver, spec_of
from servers import Database
from zanith.main import main

OPERATOR = Path(__file__).resolve().parents[1] / "operator"
SHADOW_COPY = "_zanith_shadow._zanith_archived_public_users_email_m"
USERS = """
CREATE TABLE users (id bigint PRIMARY KEY, email text, age int);
INSERT INTO users SELECT n, 'user' || n, n FROM generate_series(1, 100) n; ANALYZE users;
CREATE TABLE old (id int PRIMARY KEY, note text); INSERT INTO old SELECT n, 'n' || n FROM generate_series(1, 10) n;
"""
ARCHIVE = {"archiveColumn": {"table": "users", "column": "email"}}
SOFT_DROP = {"softDropColumn": {"table": "users", "column": "age"}}
SOFT_DROP_TABLE = {"softDropTable": {"table": "old"}}
ARCHIVE_TABLE = {"archiveTable": {"table": "old"}}


@dataclass
class Said:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str


Zanith = Callable[..., Said]


def commands_on(pg: Database, capture: pytest.CaptureFixture[bytes]) -> Zanith:
    """Runs commands on the test's database."""

    def run(*arguments: object) -> Said:
        code = main([*(str(a) for a in arguments), "--dsn", pg.dsn])
        captured = capture.readouterr()
        said = Said(code, captured.out.decode(), captured.err.decode())
        assert pg.server.password not in said.out + said.err
        return said

    return run


def applied(pg: Database, *steps: dict[str, Any], migration_id: str = "m", setup: str = USERS, **spec: Any) -> Driver:
    """A migration that took something away."""
    if setup:
        pg.execute(setup)
    driver = Driver(pg, spec_of(list(steps), migration_id=migration_id, gates={"maxRisk": 100}, **spec))
    driver.apply()
    return driver


def ledger(pg: Database) -> list[tuple[Any, ...]]:
    """What a command that only looks must not change."""
    return pg.rows("SELECT to_jsonb(s)::text FROM _zanith_migration_steps s ORDER BY 1") + pg.rows(
        "SELECT to_jsonb(a)::text FROM _zanith_migration_artifacts a ORDER BY 1"
    )


def environment_of(database: Database) -> dict[str, str]:
    """For a process of its own."""
    return os.environ | {"PYTHONPATH": str(OPERATOR), "ZANITH_DSN": database.dsn}
