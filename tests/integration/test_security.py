"""Row-level security on a real PostgreSQL: what roles see, and that nobody waits or fails while it changes."""

from __future__ import annotations

import threading
import time
from typing import Any

import psycopg
import pytest
from psycopg import errors

from operations_harness.driving import Driver, spec_of
from servers import Database
from servers.waiting import wait_until
from zanith.core.errors import SpecError, StepFailed

DOCUMENTS = """
CREATE TABLE documents (id bigint PRIMARY KEY, owner text NOT NULL DEFAULT CURRENT_USER, state text);
INSERT INTO documents SELECT n, 'somebody', 'open' FROM generate_series(1, 100) n;
"""
OWN = {"createPolicy": {"table": "documents", "name": "own", "using": "owner = current_user"}}
SECURE = {"enableRls": {"table": "documents"}}


def driven(pg: Database, *steps: dict[str, Any], setup: str = DOCUMENTS) -> Driver:
    pg.execute(setup)
    return Driver(pg, spec_of(list(steps), gates={"maxRisk": 100}))


def application(pg: Database) -> str:
    """The URI of a role that may read and write the documents."""
    dsn = pg.create_login()
    pg.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON documents TO {pg.roles[-1]}")
    return dsn


def seen_by(dsn: str) -> int:
    with psycopg.connect(dsn) as conn:
        row = conn.execute("SELECT count(*) FROM documents").fetchone()
    assert row is not None
    return int(row[0])


def test_rows_are_hidden_by_policies_and_open_again_without(pg: Database) -> None:
    driver = driven(pg, OWN, SECURE)
    app = application(pg)
    driver.apply()
    with psycopg.connect(app, autocommit=True) as conn:
        conn.execute("INSERT INTO documents VALUES (1000)")
        with pytest.raises(errors.InsufficientPrivilege):
            conn.execute("INSERT INTO documents VALUES (1001, 'somebody')")
    assert seen_by(app) == 1
    driver.undo(2)
    assert seen_by(app) == 101


def test_a_plan_says_which_step_hides_every_row(pg: Database) -> None:
    hidden, secured = driven(pg, SECURE, OWN).plan(), driven(pg, OWN, SECURE, setup="").plan()
    assert [step.level.value for step in hidden.steps] == ["high", "medium"]
    assert [step.level.value for step in secured.steps] == ["low", "medium"]


def test_a_backfill_by_an_owner_who_is_subject_to_policies_fails_instead_of_changing_half(pg: Database) -> None:
    dsn = pg.create_login()
    role = pg.roles[-1]
    driver = driven(pg, OWN, {"enableRls": {"table": "documents", "force": True}},
                    {"backfill": {"table": "documents", "set": {"state": "'done'"}, "where": "true"}})  # fmt: skip
    pg.execute(f"ALTER TABLE documents OWNER TO {role}; GRANT CREATE ON SCHEMA public TO {role}")
    owned = _Reached(driver, dsn)
    with pytest.raises(StepFailed, match="insufficient_privilege"):
        owned.apply()
    assert pg.value("SELECT count(*) FROM documents WHERE state = 'done'") == 0
    pg.execute(f"DROP OWNED BY {role} CASCADE")


class _Reached(Driver):
    """The same database reached as somebody else."""

    def __init__(self, driver: Driver, dsn: str) -> None:
        super().__init__(driver.database, driver.spec)
        self.dsn = dsn

    @property
    def settings(self) -> Any:
        return type(super().settings).from_dsn(self.dsn, "public")


def test_a_role_that_does_not_exist_fails_the_step_and_leaves_nothing(pg: Database) -> None:
    step = {"createPolicy": {"table": "documents", "name": "p", "using": "true", "roles": ["nobody_at_all"]}}
    driver = driven(pg, step)
    assert "role nobody_at_all does not exist" in driver.plan().steps[0].findings[1].why
    with pytest.raises(StepFailed, match="undefined_object"):
        driver.apply()
    assert pg.rows("SELECT FROM pg_policy") == []


def test_a_dropped_policy_comes_back_word_for_word(pg: Database) -> None:
    policy = (
        "CREATE POLICY own ON documents AS RESTRICTIVE FOR UPDATE TO pg_monitor, pg_checkpoint "
        "USING (owner = current_user AND EXISTS (SELECT FROM documents d WHERE d.id > documents.id)) "
        "WITH CHECK (state <> 'locked''%')"
    )
    driver = driven(pg, {"dropPolicy": {"table": "documents", "name": "own"}}, setup=DOCUMENTS + policy)
    before = driver.graph()
    driver.apply()
    assert driver.graph() != before
    driver.undo(1)
    assert driver.graph() == before


def test_a_policy_may_name_only_what_is_there(pg: Database) -> None:
    driver = driven(pg, {"createPolicy": {"table": "documents", "name": "p", "using": "ownr = current_user"}})
    with pytest.raises(SpecError, match=r"column public\.documents\.ownr does not exist \(did you mean owner\?\)"):
        driver.plan()


def test_an_application_sees_no_error_and_waits_no_longer_than_the_rules_allow(pg: Database) -> None:
    """It reads and writes its own rows all along: they stay visible whatever step is at work."""
    driver = driven(
        pg,
        OWN,
        {"enableRls": {"table": "documents", "force": True}},
        {"createPolicy": {"table": "documents", "name": "open", "using": "state = 'open'", "command": "Select"}},
        {"dropPolicy": {"table": "documents", "name": "open"}},
        {"disableRls": {"table": "documents"}},
        {"dropPolicy": {"table": "documents", "name": "own"}},
    )
    app = application(pg)
    stop, waits, failed = threading.Event(), [0.0], list[str]()
    clients = [threading.Thread(target=_client, args=(app, n, stop, waits, failed)) for n in range(3)]
    for client in clients:
        client.start()
    try:
        wait_until(lambda: len(waits) > 30, "the application is at work")
        driver.apply()
        seen = len(waits)
        wait_until(lambda: len(waits) > seen + 30, "the application is still at work")
    finally:
        stop.set()
        for client in clients:
            client.join()
    assert failed == []
    assert max(waits) < 2.0, "lockTimeout is the ceiling"


def _client(dsn: str, number: int, stop: threading.Event, waits: list[float], failed: list[str]) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        for turn in range(1_000_000):
            if stop.is_set():
                return
            key = 1_000_000 * (number + 1) + turn
            began = time.monotonic()
            try:
                with conn.transaction():
                    conn.execute("INSERT INTO documents VALUES (%s)", [key])
                    found = conn.execute("UPDATE documents SET state = 'x' WHERE id = %s", [key])
                if found.rowcount != 1:
                    failed.append("lost its own row")
            except psycopg.Error as error:
                failed.append(type(error).__name__)
            waits.append(time.monotonic() - began)
