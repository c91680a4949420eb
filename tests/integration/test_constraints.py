"""Constraints and indexes on a real PostgreSQL: what is known of them, refused before, and left behind after a failure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from operations_harness.driving import Driver, spec_of
from servers import Database
from zanith.core.errors import Refusal, SpecError, StepFailed
from zanith.core.graph import Facts, SchemaGraph
from zanith.core.identifiers import TableKey
from zanith.execution.assignment import Progress
from zanith.operations.referencing import comparable
from zanith.operations.uniqueness import UNORDERED_TYPES
from zanith.postgres.catalog import read_facts
from zanith.postgres.connecting import ConnectionSettings, connect

OBSERVER = Path(__file__).resolve().parents[2] / "deploy" / "sql" / "zanith_observer.sql"
TYPES = (
    "smallint", "integer", "bigint", "numeric", "real", "double precision", "text", "character varying", "character",
    "bpchar", "name", "date", "timestamp without time zone", "timestamp with time zone", "time without time zone",
    "time with time zone", "interval", "boolean", "uuid", "bytea", "inet", "cidr", "macaddr", "macaddr8", "money", "bit",
    "bit varying", "jsonb", "integer[]", "text[]", "public.mood",
)  # fmt: skip
SHOP = """
CREATE TABLE users (id integer PRIMARY KEY, email text);
CREATE TABLE orders (id integer PRIMARY KEY, user_id integer, note text);
INSERT INTO users SELECT n, 'value ' || n FROM generate_series(1, 20) n;
INSERT INTO orders SELECT n, n, 'note ' || n FROM generate_series(1, 20) n;
"""
ADD_UNIQUE = {"addUnique": {"table": "users", "columns": ["email"]}}
ADD_FOREIGN_KEY = {
    "addForeignKey": {
        "table": "orders", "columns": ["user_id"], "referencesTable": "users", "referencesColumns": ["id"]
    }
}  # fmt: skip


def facts_of(pg: Database, dsn: str = "") -> Facts:
    with connect(ConnectionSettings.from_dsn(dsn or pg.dsn, "public"), application_name="test") as conn:
        return read_facts(conn, "public")


def driven(pg: Database, *steps: dict[str, Any], setup: str = SHOP) -> Driver:
    pg.execute(setup)
    return Driver(pg, spec_of(list(steps), gates={"maxRisk": 100, "allowDestructive": True}))


def at_statement(number: int, do: Callable[[], None]) -> Callable[[Progress], None]:
    """A Report that does something right before the statement is executed, after the probes."""

    def report(progress: Progress) -> None:
        if (progress.event, progress.statement) == ("statement_started", number):
            do()

    return report


# What PostgreSQL says of types


def test_which_types_can_reference_each_other_is_what_postgresql_says(pg: Database) -> None:
    known = SchemaGraph(enums=facts_of_enum(pg).graph.enums)
    with pg.connect() as conn:
        for theirs in TYPES:
            conn.execute(f"DROP TABLE IF EXISTS child, parent; CREATE TABLE parent (k {theirs} UNIQUE)".encode())
            for ours in TYPES:
                conn.execute(f"DROP TABLE IF EXISTS child; CREATE TABLE child (k {ours})".encode())
                assert comparable(known, ours, theirs) is can_reference(conn), (ours, theirs)


def facts_of_enum(pg: Database) -> Facts:
    pg.execute("CREATE TYPE mood AS ENUM ('sad', 'happy')")
    return facts_of(pg)


def can_reference(conn: psycopg.Connection[Any]) -> bool:
    try:
        conn.execute("ALTER TABLE child ADD FOREIGN KEY (k) REFERENCES parent (k) NOT VALID")
    except psycopg.errors.DatatypeMismatch:
        return False
    return True


def test_the_types_without_an_order_are_what_postgresql_says(pg: Database) -> None:
    with pg.connect() as conn:
        for name in (*sorted(UNORDERED_TYPES), *TYPES[:-1]):
            conn.execute(f"DROP TABLE IF EXISTS t; CREATE TABLE t (c {name})".encode())
            try:
                conn.execute("CREATE UNIQUE INDEX ON t (c)")
            except psycopg.errors.UndefinedObject:
                assert name in UNORDERED_TYPES
            else:
                assert name not in UNORDERED_TYPES


# What is known of indexes


def test_scans_and_uses_of_indexes_are_known(pg: Database) -> None:
    pg.execute(
        "CREATE TABLE parent (a integer NOT NULL, b integer UNIQUE);"
        "CREATE UNIQUE INDEX first ON parent (a); CREATE UNIQUE INDEX second ON parent (a);"
        "CREATE TABLE child (a integer CONSTRAINT c REFERENCES parent (a));"
        "ALTER TABLE parent REPLICA IDENTITY USING INDEX second;"
        "CREATE TABLE whole (a integer UNIQUE) PARTITION BY RANGE (a);"
        "CREATE TABLE part PARTITION OF whole FOR VALUES FROM (0) TO (10);"
        "CREATE INDEX own ON part (a);"
    )
    with pg.connect() as conn:
        conn.execute("SET enable_seqscan = off")
        for _ in range(3):
            conn.execute("SELECT FROM parent WHERE b = 1")
        conn.execute("SELECT pg_stat_force_next_flush()")
        conn.execute("SELECT 1")
    found = facts_of(pg)
    assert found.index_scans[("public", "parent_b_key")] == 3
    assert found.index_scans[("public", "first")] == 0
    assert found.foreign_key_indexes == {(TableKey("public", "child"), "c"): "first"}
    assert found.parent_indexes == {("public", "part_a_key"): "public.whole_a_key"}
    assert found.replica_identities == {("public", "second")}


def test_the_observer_reads_scans_too(pg: Database) -> None:
    pg.execute(OBSERVER.read_text() + "CREATE TABLE t (a integer PRIMARY KEY)")
    with pg.connect() as conn:
        conn.execute("SET enable_seqscan = off; SELECT FROM t WHERE a = 1; SELECT pg_stat_force_next_flush()")
        conn.execute("SELECT 1")
    observer = pg.create_login(member_of="zanith_observer")
    assert facts_of(pg, observer).index_scans == {("public", "t_pkey"): 1}


# Refused before, as PostgreSQL would have refused


@pytest.mark.parametrize(
    ("setup", "step", "statement", "expected"),
    [
        ("CREATE TABLE w (a integer) PARTITION BY RANGE (a); CREATE INDEX i ON w (a);",
         {"dropIndex": {"name": "i"}}, "DROP INDEX CONCURRENTLY i", "which is partitioned"),
        ("CREATE TABLE w (a integer) PARTITION BY RANGE (a); CREATE TABLE p PARTITION OF w DEFAULT; CREATE INDEX i ON w (a);",
         {"dropIndex": {"name": "p_a_idx"}}, "DROP INDEX CONCURRENTLY p_a_idx", "belongs to public.i"),
        ("CREATE TABLE t (a integer UNIQUE);",
         {"dropIndex": {"name": "t_a_key"}}, "DROP INDEX CONCURRENTLY t_a_key", "use dropUnique"),
        ("CREATE TABLE t (a integer); CREATE UNIQUE INDEX i ON t (a); CREATE UNIQUE INDEX j ON t (a);"
         "CREATE TABLE c (a integer CONSTRAINT f REFERENCES t (a));",
         {"dropIndex": {"name": "i"}}, "DROP INDEX CONCURRENTLY i", "foreign key f of public.c needs index public.i"),
        ("CREATE TABLE t (a integer CONSTRAINT u UNIQUE); CREATE TABLE c (a integer CONSTRAINT f REFERENCES t (a));",
         {"dropUnique": {"table": "t", "name": "u"}}, "ALTER TABLE t DROP CONSTRAINT u", "foreign key f of public.c needs"),
        ("CREATE TABLE w (a integer CONSTRAINT u UNIQUE) PARTITION BY RANGE (a); CREATE TABLE p PARTITION OF w DEFAULT;",
         {"dropUnique": {"table": "p", "name": "p_a_key"}}, "ALTER TABLE p DROP CONSTRAINT p_a_key", "is inherited from"),
        ("CREATE TABLE t (a integer UNIQUE);"
         "CREATE TABLE w (a integer CONSTRAINT f REFERENCES t (a)) PARTITION BY RANGE (a); CREATE TABLE p PARTITION OF w DEFAULT;",
         {"dropForeignKey": {"table": "p", "name": "f"}}, "ALTER TABLE p DROP CONSTRAINT f", "is inherited"),
        ("CREATE TABLE w (a integer) PARTITION BY RANGE (a);",
         {"addUnique": {"table": "w", "columns": ["a"]}}, "CREATE UNIQUE INDEX CONCURRENTLY x ON w (a)", "is partitioned"),
        ("CREATE TABLE t (a integer UNIQUE DEFERRABLE); CREATE TABLE c (a integer);",
         {"addForeignKey": {"table": "c", "columns": ["a"], "referencesTable": "t", "referencesColumns": ["a"]}},
         "ALTER TABLE c ADD FOREIGN KEY (a) REFERENCES t (a) NOT VALID", "nothing makes"),
        ("CREATE UNLOGGED TABLE t (a integer UNIQUE); CREATE TABLE c (a integer);",
         {"addForeignKey": {"table": "c", "columns": ["a"], "referencesTable": "t", "referencesColumns": ["a"]}},
         "ALTER TABLE c ADD FOREIGN KEY (a) REFERENCES t (a) NOT VALID", "is unlogged"),
        ("CREATE TABLE t (a integer UNIQUE); CREATE TABLE c (a integer GENERATED ALWAYS AS (1) STORED);",
         {"addForeignKey": {"table": "c", "columns": ["a"], "referencesTable": "t", "referencesColumns": ["a"],
                            "onDelete": "SetNull"}},
         "ALTER TABLE c ADD FOREIGN KEY (a) REFERENCES t (a) ON DELETE SET NULL NOT VALID", "is generated"),
    ],
)  # fmt: skip
def test_what_postgresql_would_refuse_is_said_before(
    pg: Database, setup: str, step: dict[str, Any], statement: str, expected: str
) -> None:
    driver = driven(pg, step, setup=setup)
    with pytest.raises(SpecError, match=expected):
        driver.plan()
    with pg.connect() as conn, pytest.raises(psycopg.Error):
        conn.execute(statement.encode())


def test_only_the_index_a_foreign_key_took_is_kept(pg: Database) -> None:
    setup = (
        "CREATE TABLE t (a integer); CREATE UNIQUE INDEX i ON t (a); CREATE UNIQUE INDEX j ON t (a);"
        "CREATE TABLE c (a integer CONSTRAINT f REFERENCES t (a));"
    )
    driven(pg, {"dropIndex": {"name": "j"}}, setup=setup).apply()
    assert pg.rows("SELECT indexname FROM pg_indexes WHERE tablename = 't'") == [("i",)]


def test_a_partitioned_table_before_18(pg: Database) -> None:
    setup = SHOP + "CREATE TABLE w (a integer) PARTITION BY RANGE (a); CREATE TABLE p PARTITION OF w DEFAULT;"
    driver = driven(
        pg, {"addForeignKey": ADD_FOREIGN_KEY["addForeignKey"] | {"table": "w", "columns": ["a"]}}, setup=setup
    )
    if pg.version >= 18:
        driver.apply()
        return
    with pytest.raises(SpecError, match="is partitioned; PostgreSQL before 18"):
        driver.plan()
    with pg.connect() as conn, pytest.raises(psycopg.errors.WrongObjectType):
        conn.execute("ALTER TABLE w ADD FOREIGN KEY (a) REFERENCES users NOT VALID")


# Probes


@pytest.mark.parametrize(
    ("step", "spoil", "question", "offending"),
    [
        (ADD_UNIQUE, "UPDATE users SET email = 'same' WHERE id IN (3, 7)", "users has duplicates in \\(email\\)", {3, 7}),
        ({"addUnique": {"table": "users", "columns": ["email"], "nullsNotDistinct": True}},
         "UPDATE users SET email = NULL WHERE id IN (4, 5)", "duplicates", {4, 5}),
        ({"addIndex": {"table": "users", "columns": ["lower(email)"], "unique": True, "where": "id < 9"}},
         "UPDATE users SET email = CASE id WHEN 2 THEN 'SAME' ELSE 'same' END WHERE id IN (2, 8, 9)", "duplicates", {2, 8}),
        (ADD_FOREIGN_KEY, "UPDATE orders SET user_id = -1 WHERE id IN (6, 9)",
         "orders \\(user_id\\) has values that are not in public.users \\(id\\)", {6, 9}),
        ({"addForeignKey": {"table": "orders", "columns": ["user_id", "note"], "referencesTable": "users",
                            "referencesColumns": ["id", "email"], "match": "Full"}},
         "ALTER TABLE users ADD UNIQUE (id, email); UPDATE orders SET note = NULL;"
         "UPDATE orders SET user_id = NULL WHERE id <> 11", "has values that are not in", {11}),
    ],
)  # fmt: skip
def test_offending_rows_are_found_before_anything_happens_and_shown_by_key(
    pg: Database, step: dict[str, Any], spoil: str, question: str, offending: set[int]
) -> None:
    pg.execute(SHOP + spoil)
    driver = driven(pg, step, setup="")
    before = driver.graph()
    (probe,) = driver.plan().steps[0].probes
    assert {key for (key,) in pg.rows(probe.sample_sql)} == offending
    with pytest.raises(Refusal, match=question):
        driver.apply()
    assert driver.graph() == before


@pytest.mark.parametrize(
    ("step", "setup"),
    [
        (ADD_UNIQUE, "UPDATE users SET email = NULL"),
        (ADD_FOREIGN_KEY, "UPDATE orders SET user_id = NULL WHERE id < 9"),
        ({"addForeignKey": {"table": "orders", "columns": ["user_id", "note"], "referencesTable": "users",
                            "referencesColumns": ["id", "email"]}},
         "ALTER TABLE users ADD UNIQUE (id, email); UPDATE orders SET note = NULL, user_id = -1"),
    ],
)  # fmt: skip
def test_nulls_offend_nobody(pg: Database, step: dict[str, Any], setup: str) -> None:
    pg.execute(SHOP + setup)
    assert driven(pg, step, setup="").apply().applied_at is not None


# Failures leave nothing behind


def test_a_build_that_fails_leaves_no_index(pg: Database) -> None:
    driver = driven(pg, ADD_UNIQUE)
    before = driver.graph()
    double = at_statement(1, lambda: pg.execute("INSERT INTO users VALUES (21, 'value 1')"))
    with pytest.raises(StepFailed, match="23505"):
        driver.apply(double)
    assert driver.graph() == before
    pg.execute("DELETE FROM users WHERE id = 21")
    driver.apply()
    assert pg.value("SELECT conname FROM pg_constraint WHERE contype = 'u' AND conrelid = 'users'::regclass")


def test_an_index_that_cannot_be_attached_is_dropped(pg: Database) -> None:
    driver = driven(pg, ADD_UNIQUE)
    taken = "ALTER TABLE users ADD CONSTRAINT users_email_key CHECK (id > 0)"
    with pytest.raises(StepFailed, match="pg_constraint"):
        driver.apply(at_statement(2, lambda: pg.execute(taken)))
    assert pg.rows("SELECT indexname FROM pg_indexes WHERE tablename = 'users'") == [("users_pkey",)]
    pg.execute("ALTER TABLE users DROP CONSTRAINT users_email_key")
    driver.apply()
    assert pg.rows("SELECT indexname FROM pg_indexes WHERE tablename = 'users' ORDER BY 1") == [
        ("users_email_key",), ("users_pkey",)
    ]  # fmt: skip


def test_a_foreign_key_that_a_row_fails_is_taken_away_again(pg: Database) -> None:
    driver = driven(pg, ADD_FOREIGN_KEY)
    before = driver.graph()
    orphan = at_statement(1, lambda: pg.execute("INSERT INTO orders VALUES (21, 999)"))
    with pytest.raises(StepFailed, match="23503"):
        driver.apply(orphan)
    assert driver.graph() == before
    pg.execute("DELETE FROM orders WHERE id = 21")
    driver.apply()
    assert pg.rows("SELECT conname, convalidated FROM pg_constraint WHERE contype = 'f'") == [
        ("orders_user_id_fkey", True)
    ]


def test_undoing_a_drop_asks_for_what_came_in_meanwhile(pg: Database) -> None:
    setup = SHOP + "ALTER TABLE users ADD CONSTRAINT u UNIQUE (email); ALTER TABLE orders ADD CONSTRAINT f FOREIGN KEY " \
        "(user_id) REFERENCES users; CREATE UNIQUE INDEX i ON users (lower(email)) WHERE email <> 'x'"  # fmt: skip
    steps = ({"dropUnique": {"table": "users", "name": "u"}}, {"dropForeignKey": {"table": "orders", "name": "f"}},
             {"dropIndex": {"name": "i"}})  # fmt: skip
    driver = driven(pg, *steps, setup=setup)
    before = driver.graph()
    driver.apply()
    pg.execute("INSERT INTO users VALUES (21, 'value 1'); INSERT INTO orders VALUES (21, 999)")
    for number, question in ((3, "duplicates in"), (2, "has values that are not in"), (1, "duplicates in")):
        with pytest.raises(Refusal, match=question):
            driver.undo(number)
    pg.execute("DELETE FROM users WHERE id = 21; DELETE FROM orders WHERE id = 21")
    for number in (3, 2, 1):
        driver.undo(number)
    assert driver.graph() == before


def test_the_replica_identity_comes_back_with_its_index(pg: Database) -> None:
    setup = SHOP + "ALTER TABLE users ALTER email SET NOT NULL; ALTER TABLE users ADD CONSTRAINT u UNIQUE (email);" \
        "ALTER TABLE users REPLICA IDENTITY USING INDEX u"  # fmt: skip
    driver = driven(pg, {"dropUnique": {"table": "users", "name": "u"}}, setup=setup)
    assert [f.reason.value for f in driver.plan().steps[0].findings] == [
        "drops_unique_constraint",
        "replication_impact",
    ]
    driver.apply()
    driver.undo(1)
    assert facts_of(pg).replica_identities == {("public", "u")}
