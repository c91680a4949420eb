"""Marks: a short look at many migrations finds whatever somebody else has changed of one, and nothing where nothing was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from operations_harness.driving import Driver, spec_of
from servers import Database
from zanith.execution.purging import purge
from zanith.execution.recovering import restore
from zanith.execution.session import Session
from zanith.ledger.marks import Mark, mark_of, read_marks
from zanith.ledger.records import Artifact
from zanith.postgres.connecting import connect

USERS = "CREATE TABLE users (id bigint PRIMARY KEY, email text); INSERT INTO users VALUES (1, 'a')"
SOFT_DROP: list[dict[str, Any]] = [{"softDropColumn": {"table": "users", "column": "email"}}]


def looked_at(driver: Driver) -> Mark:
    """What a short look says of the migration, asked about together with one that is not there."""
    with connect(driver.settings, application_name="test") as conn:
        found = read_marks(conn, "public", [driver.spec.migration_id, "another"])
    assert found["another"] == Mark()
    return found[driver.spec.migration_id]


def kept(pg: Database) -> Driver:
    pg.execute(USERS)
    driver = Driver(pg, spec_of(SOFT_DROP, retention="30d"))
    driver.apply()
    return driver


def test_without_the_five_tables_nothing_is_known(pg18: Database) -> None:
    driver = Driver(pg18, spec_of(SOFT_DROP))
    assert looked_at(driver) == mark_of(driver.record()) == Mark()


def _with_artifact(work: Callable[[Session, Artifact], Any]) -> Callable[[Driver], None]:
    def change(driver: Driver) -> None:
        session = driver.session()
        with session.conn:
            work(session, driver.record().artifacts[0])

    return change


def _postponed(driver: Driver) -> None:
    driver.database.execute("UPDATE _zanith_migration_artifacts SET expires_at = expires_at + interval '1 day'")


def _reverted(driver: Driver) -> None:
    driver.apply(action="revert")


@pytest.mark.parametrize(
    "change",
    [_with_artifact(restore), _with_artifact(purge), _postponed, _reverted],
    ids=["restored", "purged", "postponed", "taken back"],
)
def test_a_change_by_somebody_else_is_seen(pg: Database, change: Callable[[Driver], None]) -> None:
    driver = kept(pg)
    before = mark_of(driver.record())
    assert looked_at(driver) == before
    change(driver)
    assert looked_at(driver) == mark_of(driver.record()) != before
