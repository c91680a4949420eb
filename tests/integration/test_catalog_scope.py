"""What read_facts leaves out, and what its answer does not depend on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from psycopg import Connection

from servers import Database
from zanith.core.errors import SpecError
from zanith.core.graph import Facts, SchemaGraph
from zanith.core.identifiers import TableKey
from zanith.postgres.catalog import read_facts, read_identity
from zanith.postgres.connecting import ConnectionSettings, connect


@pytest.fixture
def conn(pg: Database) -> Iterator[Connection[Any]]:
    """A session as the runner opens it."""
    with connect(ConnectionSettings.from_dsn(pg.dsn, "public"), application_name="test") as conn:
        yield conn


def facts_of(conn: Connection[Any], schema: str = "public") -> Facts:
    return read_facts(conn, schema)


def test_an_empty_database_is_an_empty_graph(conn: Connection[Any]) -> None:
    assert facts_of(conn).graph == SchemaGraph()


def test_what_is_ours_or_on_its_way_out_is_left_out(pg: Database, conn: Connection[Any]) -> None:
    pg.execute("CREATE TABLE users (id int PRIMARY KEY, email text)")
    before = facts_of(conn)
    pg.execute(
        """
        CREATE TABLE _zanith_migrations (id text); CREATE TABLE _zanith_migration_steps (id text);
        CREATE TABLE _zanith_schema_snapshots (id text); CREATE TABLE _zanith_migration_artifacts (id text);
        CREATE TABLE _zanith_migration_checkpoints (id text);
        CREATE TABLE _zanith_dropped_old (id int PRIMARY KEY);
        CREATE SCHEMA _zanith_shadow; CREATE TABLE _zanith_shadow.users (id int);
        CREATE VIEW _zanith_shadow.v AS SELECT 1; CREATE TYPE _zanith_shadow.e AS ENUM ('x');
        ALTER TABLE users ADD _zanith_dropped_age int NOT NULL;
        ALTER TABLE users ADD CONSTRAINT adult CHECK (_zanith_dropped_age > 17);
        ALTER TABLE users ADD CONSTRAINT u UNIQUE (_zanith_dropped_age, id);
        CREATE INDEX by_age ON users (_zanith_dropped_age);
        CREATE INDEX young ON users (id) WHERE _zanith_dropped_age < 30;
        CREATE INDEX _zanith_temporary ON users (email);
        ALTER TABLE users ADD CONSTRAINT _zanith_not_null CHECK (email IS NOT NULL) NOT VALID;
        CREATE FUNCTION _zanith_shadow.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
        CREATE TRIGGER _zanith_sync BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION _zanith_shadow.f();
        CREATE DOMAIN _zanith_shadow.d AS text CHECK (VALUE <> ''); CREATE SEQUENCE _zanith_shadow.s;
        CREATE SEQUENCE _zanith_numbers; CREATE DOMAIN _zanith_text AS text;
        """
    )
    after = facts_of(conn)
    assert after.graph == before.graph
    assert set(after.sizes) == set(before.sizes)


def test_a_view_on_a_soft_dropped_column_does_not_name_it(pg: Database, conn: Connection[Any]) -> None:
    pg.execute("CREATE TABLE t (id int, a int); CREATE VIEW v AS SELECT id, a FROM t")
    pg.execute("ALTER TABLE t RENAME a TO _zanith_dropped_a")
    (view,) = facts_of(conn).graph.views
    assert view.depends_on == ((TableKey("public", "t"), "id"),)


def test_members_of_extensions_and_temporary_tables_are_left_out(pg: Database, conn: Connection[Any]) -> None:
    pg.execute(
        "CREATE TABLE member (id int); CREATE TYPE label AS ENUM ('a'); CREATE VIEW seen AS SELECT 1;"
        "CREATE DOMAIN made AS text; CREATE SEQUENCE counted; CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'"
    )
    # Any extension will do: what is a member of one comes and goes with it.
    pg.execute(
        "ALTER EXTENSION plpgsql ADD TABLE member; ALTER EXTENSION plpgsql ADD TYPE label;"
        "ALTER EXTENSION plpgsql ADD VIEW seen; ALTER EXTENSION plpgsql ADD DOMAIN made;"
        "ALTER EXTENSION plpgsql ADD SEQUENCE counted; ALTER EXTENSION plpgsql ADD FUNCTION f()"
    )
    with pg.connect() as other:
        other.execute("CREATE TEMPORARY TABLE passing (id int)")
        assert facts_of(conn).graph == SchemaGraph()


def test_identity_is_the_same_by_whatever_way_it_is_reached(pg: Database, conn: Connection[Any]) -> None:
    facts = facts_of(conn)
    with pg.connect() as by_socket:
        assert read_identity(by_socket) == facts.database
    assert facts.database.name == pg.name
    assert facts.server_version // 10000 == pg.version
    assert facts.database.oid == pg.value("SELECT oid FROM pg_database WHERE datname = current_database()")


def test_a_schema_that_does_not_exist_is_named(conn: Connection[Any]) -> None:
    with pytest.raises(SpecError, match=r"spec\.database\.schema: schema shop does not exist"):
        facts_of(conn, "shop")


def test_the_graph_does_not_depend_on_the_search_path(pg: Database, conn: Connection[Any]) -> None:
    pg.execute(
        'CREATE SCHEMA "App"; CREATE TABLE "App".a (id int PRIMARY KEY); CREATE TABLE b (id int REFERENCES "App".a);'
        "CREATE VIEW v AS SELECT id FROM b"
    )
    graph = facts_of(conn).graph
    with connect(ConnectionSettings.from_dsn(pg.dsn, "App"), application_name="test") as other:
        assert facts_of(other, "App").graph == graph
    assert conn.execute("SHOW search_path").fetchone() == ('"public", "pg_temp"',)
