"""Constraints and indexes while runners die and an application works: one end, no error, no long wait."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

from operations_harness.driving import Driver, spec_of
from operations_harness.processes import start_runner, wait_until
from servers import Database

ADD_FOREIGN_KEY = {
    "addForeignKey": {
        "table": "orders",
        "columns": ["user_id"],
        "referencesTable": "users",
        "referencesColumns": ["id"],
    }
}
SHOP = """
CREATE TABLE users (id integer PRIMARY KEY, email text);
CREATE TABLE orders (id integer PRIMARY KEY, user_id integer, note text);
INSERT INTO users SELECT n, 'value ' || n FROM generate_series(1, 20) n;
INSERT INTO orders SELECT n, n, 'note ' || n FROM generate_series(1, 20) n;
"""


def driven(pg: Database, *steps: dict[str, Any], setup: str = SHOP) -> Driver:
    pg.execute(setup)
    return Driver(pg, spec_of(list(steps), gates={"maxRisk": 100, "allowDestructive": True}))


EVERYTHING = (
    {"addUnique": {"table": "users", "columns": ["email"]}},
    ADD_FOREIGN_KEY,
    {"dropIndex": {"name": "old"}},
    {"dropForeignKey": {"table": "orders", "name": "gone"}},
    {"dropUnique": {"table": "users", "name": "spare"}},
    {"addUnique": {"table": "orders", "columns": ["user_id", "note"], "deferrable": True}},
)
CROWDED = SHOP + (
    "CREATE INDEX old ON orders (note); ALTER TABLE users ADD CONSTRAINT spare UNIQUE (id, email);"
    "ALTER TABLE orders ADD CONSTRAINT gone FOREIGN KEY (id) REFERENCES users;"
)
END = [
    ("orders_user_id_fkey", "FOREIGN KEY (user_id) REFERENCES users(id)", True),
    ("orders_user_id_note_key", "UNIQUE (user_id, note) DEFERRABLE", True),
    ("users_email_key", "UNIQUE (email)", True),
]
_CONSTRAINTS = (
    "SELECT conname, pg_get_constraintdef(oid), convalidated FROM pg_constraint "
    "WHERE conrelid IN ('users'::regclass, 'orders'::regclass) AND contype IN ('u', 'f') ORDER BY conname"
)


def assert_right_end(pg: Database) -> None:
    assert pg.rows(_CONSTRAINTS) == END
    assert pg.rows("SELECT relname FROM pg_class WHERE relname = 'old'") == []
    assert pg.value("SELECT count(*) FROM pg_index WHERE NOT indisvalid") == 0
    done = "SELECT step_index, count(*) FROM _zanith_migration_steps WHERE status = 'done' GROUP BY 1 ORDER BY 1"
    assert pg.rows(done) == [(index, 1) for index in range(1, 7)]


@pytest.mark.parametrize("at", range(1, 32))
def test_a_runner_killed_at_any_event_reaches_the_same_end(pg18: Database, tmp_path: Path, at: int) -> None:
    driver = driven(pg18, *EVERYTHING, setup=CROWDED)
    process = start_runner(driver, tmp_path, kill_at=at)
    process.communicate(timeout=60)
    driver.apply()
    assert_right_end(pg18)
    if process.returncode == 0:
        assert at > 25, "a run has more events than this"


def test_a_runner_killed_again_and_again_reaches_the_same_end(pg: Database, tmp_path: Path) -> None:
    driver = driven(pg, *EVERYTHING, setup=CROWDED)
    for attempt in range(1, 100):
        process = start_runner(driver, tmp_path, kill_at=2 + attempt % 4, attempt=attempt)
        process.communicate(timeout=60)
        if process.returncode == 0:
            break
    assert attempt >= 5
    assert_right_end(pg)


def test_a_drop_that_was_cut_off_half_way_is_finished(pg: Database, tmp_path: Path) -> None:
    driver = driven(pg, {"dropIndex": {"name": "old"}}, setup=SHOP + "CREATE INDEX old ON orders (note)")
    state = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'old'::regclass"
    with pg.connect() as reader:
        reader.execute("BEGIN")
        reader.execute("LOCK TABLE orders IN ROW EXCLUSIVE MODE")
        process = start_runner(driver, tmp_path)
        wait_until(lambda: pg.rows(state) == [(False,)], "the index is on its way out")
        process.kill()
        process.communicate()
        second = start_runner(driver, tmp_path, attempt=2)
        wait_until(lambda: len(driver.record().attempts) == 2, "the second attempt has begun")
        reader.execute("COMMIT")
    _, said = second.communicate(timeout=60)
    assert second.returncode == 0, said
    assert pg.rows("SELECT FROM pg_class WHERE relname = 'old'") == []


def test_an_application_sees_no_error_and_waits_no_longer_than_the_rules_allow(pg: Database) -> None:
    driver = driven(pg, *EVERYTHING, setup=CROWDED)
    stop, waits, errors = threading.Event(), [0.0], list[str]()
    clients = [threading.Thread(target=_client, args=(pg, n, stop, waits, errors)) for n in range(3)]
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
    assert errors == [], pg.server.log_tail(80)
    assert max(waits) < 2.0, "lockTimeout is the ceiling"
    assert_right_end(pg)


def _client(pg: Database, number: int, stop: threading.Event, waits: list[float], errors: list[str]) -> None:
    """Writes the parent first and then the child, reads both, and deletes the child first: as applications do."""
    with pg.connect() as conn:
        for turn in range(1_000_000):
            if stop.is_set():
                return
            key = 1_000_000 * (number + 1) + turn
            began = time.monotonic()
            try:
                with conn.transaction():
                    conn.execute("INSERT INTO users VALUES (%s, %s)", [key, f"mail {key}"])
                    conn.execute("INSERT INTO orders VALUES (%s, %s, %s)", [key, key, "note"])
                conn.execute(
                    "SELECT count(*) FROM orders JOIN users ON users.id = user_id WHERE orders.id > %s", [key - 9]
                )
                with conn.transaction():
                    conn.execute("DELETE FROM orders WHERE id = %s", [key])
                    conn.execute("DELETE FROM users WHERE id = %s", [key])
            except psycopg.Error as error:
                errors.append(type(error).__name__)
            waits.append(time.monotonic() - began)
            stop.wait(0.01)  # as much load as an application makes, not as the server can bear


def test_an_application_that_locks_the_tables_the_other_way_round_is_never_the_victim(pg18: Database) -> None:
    """It holds the child and then asks for the parent, each time we hold the parent and wait for the child."""
    driver = driven(pg18, ADD_FOREIGN_KEY)
    applied: list[Any] = []
    runner = threading.Thread(target=lambda: applied.append(driver.apply()))
    runner.start()
    with pg18.connect() as conn:
        for key in range(1, 8):
            with conn.transaction():
                conn.execute("DELETE FROM orders WHERE id = %s", [key])
                wait_until(lambda: pg18.rows(_PARENT_TAKEN), "the parent is locked")
                conn.execute("DELETE FROM users WHERE id = %s", [key])
            wait_until(lambda: not pg18.rows(_PARENT_TAKEN), "the parent is free again")
    runner.join(60)
    assert applied and applied[0].applied_at is not None
    assert "deadlock" not in pg18.server.log_tail(50)


_PARENT_TAKEN = "SELECT FROM pg_locks WHERE relation = 'users'::regclass AND mode = 'ShareRowExclusiveLock' AND granted"
