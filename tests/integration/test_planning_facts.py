"""What a plan knows of the database, held against what PostgreSQL then does: rules, publications, heirs, tables read."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from operations_harness.driving import Driver, spec_of
from servers import Database
from servers.waiting import wait_until
from zanith.core.errors import SpecError, StepFailed
from zanith.core.identifiers import TableKey
from zanith.core.risk import ReasonCode, RiskLevel
from zanith.postgres.catalog import read_facts
from zanith.postgres.connecting import ConnectionSettings, connect
from zanith.postgres.sqlstates import translated

NOT_NULL = {"alterColumnNullable": {"table": "users", "column": "email", "nullable": False}}


def driver(database: Database, *steps: dict[str, Any], **spec: Any) -> Driver:
    return Driver(database, spec_of(list(steps), migration_id="m", **spec))


def test_a_column_that_a_rule_uses_is_not_dropped(pg: Database) -> None:
    pg.execute(
        "CREATE TABLE users (id int PRIMARY KEY, email text, note text); CREATE TABLE log (note text);"
        "CREATE RULE kept AS ON DELETE TO users DO ALSO INSERT INTO log VALUES (old.email)"
    )
    gates = {"maxRisk": 100, "allowDestructive": True}
    drop = {"dropColumn": {"table": "users", "column": "email"}}
    with pytest.raises(SpecError, match=r"rule kept on public.users uses public.users.email; drop it first"):
        driver(pg, drop, gates=gates).apply()
    other = {"dropColumn": {"table": "users", "column": "note"}}
    assert driver(pg, other, gates=gates).apply().applied_at is not None


def test_a_name_that_two_sessions_take_at_once_is_no_matter_of_duplicate_rows(pg: Database) -> None:
    with pg.connect() as first, pg.connect() as second:
        first.execute("BEGIN")
        first.execute("CREATE TABLE taken (id int)")
        second.execute("SET lock_timeout = '10s'")
        found: list[StepFailed] = []

        def create() -> None:
            try:
                with translated("creating table public.taken"):
                    second.execute("CREATE TABLE IF NOT EXISTS taken (id int)")
            except StepFailed as error:
                found.append(error)

        running = threading.Thread(target=create)
        running.start()
        wait_until(lambda: pg.rows("SELECT 1 FROM pg_locks WHERE NOT granted"), "the second waits for the first")
        first.execute("COMMIT")
        running.join(20)
    (error,) = found
    assert "another session made something of the same name meanwhile" in error.message
    assert "duplicates" not in error.message


@pytest.mark.parametrize("publication", ["FOR ALL TABLES", "FOR TABLES IN SCHEMA public"])
def test_a_new_table_that_is_published_from_the_start_needs_a_key(pg: Database, publication: str) -> None:
    pg.execute(f"CREATE PUBLICATION everything {publication}")
    columns = [{"name": "id", "type": "bigint"}]
    keyless, keyed = (
        driver(pg, {"createTable": {"table": "t", "columns": columns, **key}}).plan().steps[0]
        for key in ({}, {"primaryKey": ["id"]})
    )
    assert [(f.level, f.reason) for f in keyless.findings][1:] == [
        (RiskLevel.HIGH, ReasonCode.PUBLISHED_WITHOUT_REPLICA_IDENTITY)
    ]
    assert [f.reason for f in keyed.findings] == [ReasonCode.ADDS_TABLE]


def test_tables_that_inherit_are_known(pg: Database) -> None:
    pg.execute("CREATE TABLE a (id int); CREATE TABLE b () INHERITS (a); CREATE TABLE c () INHERITS (b, a)")
    pg.execute("CREATE TABLE p (id int) PARTITION BY LIST (id); CREATE TABLE p1 PARTITION OF p DEFAULT")
    with connect(ConnectionSettings.from_dsn(pg.dsn, "public"), application_name="test") as conn:
        known = read_facts(conn, "public").inheritors
    a, b, c = (TableKey("public", name) for name in "abc")
    assert known == {a: (b, c), b: (c,)}


def test_what_a_type_change_works_through_is_what_was_declared(pg: Database) -> None:
    """Both ends of a foreign key: whoever references is read, whoever is only looked up is not."""
    pg.execute(
        "CREATE TABLE parent (id int PRIMARY KEY, v varchar(9) UNIQUE); CREATE TABLE child (id int PRIMARY KEY, "
        "p int REFERENCES parent, v varchar(9) REFERENCES parent (v), n int);"
        "INSERT INTO parent SELECT i, i FROM generate_series(1, 500) AS i;"
        "INSERT INTO child SELECT i, i % 500 + 1, i % 500 + 1 FROM generate_series(1, 2000) AS i; ANALYZE"
    )
    changes = [
        ("parent", "id", "bigint", {"parent", "child"}),
        ("parent", "v", "text", set()),
        ("child", "p", "bigint", {"child"}),
        ("child", "v", "text", set()),
        ("child", "n", "bigint", {"child"}),
    ]
    for table, column, kind, expected in changes:
        step = {"alterColumnType": {"table": table, "column": column, "type": kind}}
        (planned,) = driver(pg, step).plan().steps
        alter = next(s for s in planned.statements if " TYPE " in s.sql)
        assert {w.table.name for w in alter.works_on} == expected, (table, column)
        assert read_by(pg, alter.sql) >= {t for t in expected if t != table}, (table, column)
        if not expected:
            assert read_by(pg, alter.sql) == set(), (table, column)


def read_by(pg: Database, statement: str) -> set[str]:
    """Tables of which every row is read, looked at in the statement's own transaction, which is rolled back."""
    with pg.connect() as conn, conn.transaction(force_rollback=True):
        conn.execute(statement.encode())
        return {name for (name,) in conn.execute(
            "SELECT s.relname FROM pg_stat_xact_user_tables AS s JOIN pg_class AS c ON c.oid = s.relid "
            "WHERE s.seq_tup_read >= c.reltuples AND c.reltuples > 0"
        ).fetchall()}  # fmt: skip


def test_not_null_of_a_partitioned_table_reads_no_partition_under_a_strong_lock(pg: Database) -> None:
    pg.execute(
        "CREATE TABLE users (id int, email text) PARTITION BY RANGE (id); CREATE TABLE users_1 PARTITION OF users DEFAULT;"
        "INSERT INTO users SELECT i, 'x' FROM generate_series(1, 1000) AS i; ANALYZE users, users_1"
    )
    (step,) = driver(pg, NOT_NULL).plan().steps
    assert [f for f in step.findings if f.blocked_s is not None] == []
    strong = [s for s in step.statements if s.lock.blocks_writes]
    assert strong
    for statement in step.statements:
        if statement.lock.blocks_writes:
            assert read_by(pg, statement.sql) == set(), statement.sql
        pg.execute(statement.sql)
