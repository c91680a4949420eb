"""The run lock, fencing, and who is in the way, asked while real sessions hold real locks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest
from psycopg import Connection, errors, sql

from servers import Database, wait_until
from zanith.core.errors import StepFailed
from zanith.core.identifiers import TableKey
from zanith.core.statement import Lock
from zanith.postgres.connecting import ConnectionSettings, connect, session_name
from zanith.postgres.locks import (
    being_built,
    blockers_of,
    drop_index_concurrently,
    index_oids,
    index_state,
    lower_attempts,
    older_writers,
    terminate_lower_attempts,
    try_run_lock,
)

USERS = TableKey("public", "users")
HELD = [mode for mode in Lock if mode is not Lock.NONE]

Open = Callable[..., Connection[Any]]


@pytest.fixture
def opened(pg: Database) -> Iterator[Open]:
    """Opens sessions as the runner does; all are closed at the end."""
    with ExitStack() as stack:

        def open_one(name: str = "test", dsn: str = "") -> Connection[Any]:
            settings = ConnectionSettings.from_dsn(dsn or pg.dsn, "public")
            return stack.enter_context(connect(settings, application_name=name))

        yield open_one


def begin(conn: Connection[Any], *statements: str) -> Connection[Any]:
    """A transaction left open."""
    for statement in ("BEGIN", *statements):
        conn.execute(statement.encode())
    return conn


def test_one_session_of_a_database_has_the_run_lock_until_it_ends(opened: Open) -> None:
    first, second = opened(), opened()
    assert try_run_lock(first)
    assert not try_run_lock(second)
    first.close()
    wait_until(lambda: try_run_lock(second), "the lock is free")


def test_the_run_lock_is_the_databases_own(pg: Database, opened: Open) -> None:
    assert try_run_lock(opened())
    assert try_run_lock(opened(dsn=pg.server.uri("postgres")))


def test_lower_attempts_of_the_same_resource_are_ended_lanes_included(opened: Open) -> None:
    mine = opened(session_name("uid-a", 10, "m", "pod"))
    lower = [opened(session_name("uid-a", n, "m", "pod", lane)) for n, lane in ((9, ""), (9, "lane 1"), (2, ""))]
    others = [
        opened(session_name("uid-a", 10, "m", "twin")),
        opened(session_name("uid-a", 11, "m")),
        opened(session_name("uid-b", 1, "m")),
        opened("zanith:cli"),
        opened(session_name("uid-a", 10, "m").replace(":10:", ":x:")),
    ]
    pids = {conn.info.backend_pid for conn in lower}
    assert {s.pid for s in terminate_lower_attempts(mine, "uid-a", 10)} == pids
    wait_until(lambda: not lower_attempts(mine, "uid-a", 10), "the sessions are gone")
    for conn in lower:
        with pytest.raises(psycopg.OperationalError):
            conn.execute("SELECT 1")
    assert [conn.execute("SELECT 1").fetchone() for conn in others] == [(1,)] * len(others)


def test_the_cli_ends_nobody(opened: Open) -> None:
    left = opened(session_name("", 1, "m"))
    assert terminate_lower_attempts(opened(), "", 9) == ()
    assert left.execute("SELECT 1").fetchone() == (1,)


def test_a_session_of_another_role_is_seen_but_left(pg: Database, opened: Open) -> None:
    left = opened(session_name("uid", 1, "m"))
    seen = terminate_lower_attempts(opened(dsn=pg.create_login()), "uid", 2)
    assert [s.pid for s in seen] == [left.info.backend_pid]
    assert left.execute("SELECT 1").fetchone() == (1,)


def test_what_blocks_is_exactly_what_postgres_waits_for(pg: Database, opened: Open) -> None:
    """Every pair of modes, against the server's own answer."""
    pg.execute("CREATE TABLE users (id int)")
    holder, asker, looker = opened(), opened(), opened()
    wrong = []
    for held in HELD:
        lock = sql.SQL("LOCK TABLE users IN {} MODE NOWAIT")
        holder.execute("BEGIN")
        holder.execute(lock.format(sql.SQL(held.value)))
        for asked in HELD:
            asker.execute("BEGIN")
            try:
                asker.execute(lock.format(sql.SQL(asked.value)))
                waits = False
            except errors.LockNotAvailable:
                waits = True
            asker.execute("ROLLBACK")
            if bool(blockers_of(looker, [USERS], asked)) is not waits:
                wrong.append((held, asked))
        holder.execute("ROLLBACK")
    assert wrong == []


def test_a_blocker_has_pid_mode_table_and_age(pg: Database, opened: Open) -> None:
    pg.execute('CREATE TABLE users (id int); CREATE SCHEMA "My App"; CREATE TABLE "My App"."Order" (id int)')
    holder, looker = opened(), opened()
    assert blockers_of(looker, ["My App.Order"], Lock.ACCESS_EXCLUSIVE) == ()
    begin(holder, 'LOCK TABLE "My App"."Order" IN SHARE MODE')
    (found,) = blockers_of(looker, ["public.users", "My App.Order"], Lock.ACCESS_EXCLUSIVE)
    assert (found.pid, found.table, found.lock) == (holder.info.backend_pid, ("My App", "Order"), Lock.SHARE)
    assert (found.granted, found.autovacuum) == (True, False)
    assert 0 < found.transaction_age_s < 60
    assert blockers_of(holder, ["My App.Order"], Lock.ACCESS_EXCLUSIVE) == ()
    assert blockers_of(looker, ["My App.Order"], Lock.NONE) == ()


def test_who_queues_is_in_the_way_too(pg: Database, opened: Open) -> None:
    pg.execute("CREATE TABLE users (id int)")
    holder, queued, looker = opened(), opened(), opened()
    begin(holder, "LOCK TABLE users IN ACCESS SHARE MODE")
    begin(queued)
    waiting = threading.Thread(target=queued.execute, args=["LOCK TABLE users"])
    waiting.start()
    try:
        (found,) = wait_until(lambda: blockers_of(looker, [USERS], Lock.ACCESS_SHARE), "somebody queues")
        assert (found.pid, found.lock, found.granted) == (queued.info.backend_pid, Lock.ACCESS_EXCLUSIVE, False)
    finally:
        holder.execute("ROLLBACK")
        waiting.join()


def test_locks_on_partitions_and_children_count(pg: Database, opened: Open) -> None:
    pg.execute(
        "CREATE TABLE users (id int) PARTITION BY LIST (id); CREATE TABLE p PARTITION OF users FOR VALUES IN (1)"
        " PARTITION BY LIST (id); CREATE TABLE leaf PARTITION OF p FOR VALUES IN (1);"
        "CREATE TABLE old (id int); CREATE TABLE child () INHERITS (old)"
    )
    holder, looker = opened(), opened()
    begin(holder, "INSERT INTO leaf VALUES (1)", "INSERT INTO child VALUES (1)")
    assert {b.table.name for b in blockers_of(looker, [USERS], Lock.SHARE)} == {"leaf"}
    assert len(older_writers(looker, USERS)) == 1
    assert older_writers(looker, USERS) == older_writers(looker, TableKey("public", "old"))


def test_the_age_of_strangers_is_unknown_without_the_right_to_see_it(pg: Database, opened: Open) -> None:
    pg.execute("CREATE TABLE users (id int)")
    begin(opened(), "INSERT INTO users VALUES (1)")
    blind, seeing = opened(dsn=pg.create_login()), opened(dsn=pg.create_login(member_of="pg_read_all_stats"))
    ages = [blockers_of(c, [USERS], Lock.SHARE)[0].transaction_age_s for c in (blind, seeing)]
    assert ages[0] == 0
    assert ages[1] > 0


def test_older_writers_are_those_that_wrote_before_and_have_not_ended(pg: Database, opened: Open) -> None:
    pg.execute("CREATE TABLE users (id int); CREATE TABLE other (id int)")
    writer, late, reader, elsewhere, looker = (opened() for _ in range(5))
    begin(reader, "SELECT * FROM users")
    begin(elsewhere, "INSERT INTO other VALUES (1)")
    assert older_writers(looker, USERS) == frozenset()
    begin(writer, "INSERT INTO users VALUES (1)")
    waited_for = older_writers(looker, USERS)
    assert len(waited_for) == 1
    begin(late, "INSERT INTO users VALUES (2)")
    assert waited_for & older_writers(looker, USERS) == waited_for
    # The same session goes on writing, in another transaction: that one is not waited for.
    writer.execute("COMMIT")
    begin(writer, "INSERT INTO users VALUES (3)")
    assert len(older_writers(looker, USERS)) == 2
    assert waited_for & older_writers(looker, USERS) == frozenset()


@pytest.fixture
def two_phase(pg: Database) -> Iterator[None]:
    """The server lets transactions be prepared; the one called `p` is taken back at the end, whatever happened."""
    pg.server.configure({"max_prepared_transactions": "5"})
    pg.server.restart()
    yield
    if pg.rows("SELECT 1 FROM pg_prepared_xacts"):
        pg.execute("ROLLBACK PREPARED 'p'")
    pg.server.configure({})
    pg.server.restart()


@pytest.mark.usefixtures("two_phase")
def test_a_prepared_transaction_is_a_writer_without_a_process(pg: Database, opened: Open) -> None:
    pg.execute("CREATE TABLE users (id int)")
    begin(opened(), "INSERT INTO users VALUES (1)", "PREPARE TRANSACTION 'p'")
    looker = opened()
    assert len(older_writers(looker, USERS)) == 1
    assert [b.pid for b in blockers_of(looker, [USERS], Lock.SHARE)] == [0]


@pytest.mark.parametrize("member_of", ["", "pg_read_all_stats"])
def test_an_autovacuum_is_told_from_people(pg: Database, opened: Open, member_of: str) -> None:
    """A real worker, made to come at once and to work slowly; known also to a role that may not see what it does."""
    pg.execute(
        "CREATE TABLE users (id int) WITH (autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1,"
        "autovacuum_vacuum_threshold = 1, autovacuum_vacuum_scale_factor = 0);"
        "INSERT INTO users SELECT generate_series(1, 50000); DELETE FROM users WHERE id % 2 = 0"
    )
    looker = opened(dsn=pg.create_login(member_of=member_of))
    pg.server.configure({"autovacuum_naptime": "1s"})
    pg.execute("SELECT pg_reload_conf()")
    try:
        # DELETE's counts reach the statistics when its session ends, the worker comes within a second.
        (found,) = wait_until(lambda: blockers_of(looker, [USERS], Lock.SHARE), "autovacuum works on the table")
        assert (found.lock, found.autovacuum) == (Lock.SHARE_UPDATE_EXCLUSIVE, True)
    finally:
        pg.server.configure({})
        pg.execute("SELECT pg_reload_conf(); DROP TABLE users")


def test_an_index_that_is_being_built_is_told_from_one_left_over(pg: Database, opened: Open) -> None:
    pg.execute("CREATE TABLE users (id int, a int); INSERT INTO users VALUES (1, 1), (2, 1)")
    looker, stranger = opened(), opened(dsn=pg.create_login())
    before = index_oids(looker, USERS)
    assert (before, index_state(looker, "public", "by_a")) == ([], None)
    blocker = begin(opened(), "INSERT INTO users VALUES (3, 3)")
    builder = opened()
    builder.execute("SET lock_timeout = 0")
    failed: list[psycopg.Error] = []
    building = threading.Thread(target=_build, args=(builder, failed))
    building.start()
    state = wait_until(lambda: index_state(looker, "public", "by_a"), "the index is in the catalog")
    assert (state.table, state.valid) == (USERS, False)
    assert index_oids(looker, USERS) == [state.oid]
    assert being_built(looker, state.oid)
    assert being_built(stranger, state.oid)
    blocker.execute("COMMIT")
    building.join()
    assert [type(e) for e in failed] == [errors.UniqueViolation]
    left = index_state(looker, "public", "by_a")
    assert left is not None
    assert (left.oid, left.valid) == (state.oid, False)
    assert not being_built(looker, left.oid)
    drop_index_concurrently(looker, "public", "by_a")
    assert index_state(looker, "public", "by_a") is None


def _build(conn: Connection[Any], failed: list[psycopg.Error]) -> None:
    try:
        conn.execute("CREATE UNIQUE INDEX CONCURRENTLY by_a ON users (a)")
    except psycopg.Error as error:
        failed.append(error)


def test_a_plain_vacuum_is_not_taken_for_a_build(pg: Database, opened: Open) -> None:
    pg.execute(
        "CREATE TABLE users (id int PRIMARY KEY); INSERT INTO users SELECT generate_series(1, 50000); DELETE FROM users"
    )
    vacuum, looker = opened(), opened()
    vacuum.execute("SET vacuum_cost_delay = '100ms'; SET vacuum_cost_limit = 1")
    oid = index_oids(looker, USERS)[0]
    working = threading.Thread(target=_until_cancelled, args=(vacuum, "VACUUM users"))
    working.start()
    try:
        wait_until(lambda: pg.rows("SELECT 1 FROM pg_stat_progress_vacuum"), "the vacuum works")
        assert blockers_of(looker, [USERS], Lock.SHARE_UPDATE_EXCLUSIVE)
        assert not being_built(looker, oid)
    finally:
        vacuum.cancel_safe()
        working.join()


def _until_cancelled(conn: Connection[Any], statement: str) -> None:
    try:
        conn.execute(statement.encode())
    except errors.QueryCanceled:
        return


def test_dropping_an_index_that_cannot_be_dropped_names_it(pg: Database, opened: Open) -> None:
    pg.execute("CREATE TABLE users (id int PRIMARY KEY)")
    with pytest.raises(StepFailed, match=r"dropping index public\.users_pkey: dependent_objects_still_exist"):
        drop_index_concurrently(opened(), "public", "users_pkey")


def test_an_index_of_hostile_names_is_found(pg: Database, opened: Open) -> None:
    pg.execute(
        'CREATE SCHEMA "My App"; CREATE TABLE "My App"."Order" (id int); CREATE INDEX "I ""1" ON "My App"."Order" (id)'
    )
    found = index_state(opened(), "My App", 'I "1')
    assert found is not None
    assert (found.table, found.valid, found.ready) == (TableKey("My App", "Order"), True, True)
