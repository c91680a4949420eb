"""What read_facts makes of domains, sequences, functions, views and comments, on PostgreSQL 15 and 18."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from psycopg import Connection

from servers import Database
from zanith.core.graph import Index, SchemaGraph, Trigger
from zanith.core.graph_objects import Domain, DomainCheck, Sequence
from zanith.core.identifiers import TableKey
from zanith.postgres.catalog import read_facts
from zanith.postgres.connecting import ConnectionSettings, connect


@pytest.fixture
def conn(pg: Database) -> Iterator[Connection[Any]]:
    with connect(ConnectionSettings.from_dsn(pg.dsn, "public"), application_name="test") as conn:
        yield conn


def graph_of(conn: Connection[Any]) -> SchemaGraph:
    return read_facts(conn, "public").graph


def test_domains_with_everything_they_have(pg: Database, conn: Connection[Any]) -> None:
    pg.execute(
        """
        CREATE DOMAIN percentage AS numeric(5,2) DEFAULT 0 NOT NULL CHECK (VALUE <= 100) CONSTRAINT above CHECK (VALUE >= 0);
        CREATE DOMAIN "Half" AS percentage CHECK (VALUE <= 50);
        ALTER DOMAIN "Half" ADD CONSTRAINT late CHECK (VALUE <> 13) NOT VALID;
        CREATE DOMAIN code AS varchar(3)[] COLLATE "C";
        COMMENT ON DOMAIN percentage IS 'of the whole';
        COMMENT ON CONSTRAINT above ON DOMAIN percentage IS 'it''s none'
        """
    )
    assert graph_of(conn).domains == (
        Domain(
            "public",
            "Half",
            "public.percentage",
            default="0",
            checks=(
                DomainCheck("Half_check", "CHECK (((VALUE)::numeric <= (50)::numeric))"),
                DomainCheck("late", "CHECK (((VALUE)::numeric <> (13)::numeric)) NOT VALID", validated=False),
            ),
        ),
        Domain("public", "code", "character varying(3)[]", collation='"C"'),
        Domain(
            "public",
            "percentage",
            "numeric(5,2)",
            not_null=True,
            default="0",
            checks=(
                DomainCheck("above", "CHECK ((VALUE >= (0)::numeric))", comment="it's none"),
                DomainCheck("percentage_check", "CHECK ((VALUE <= (100)::numeric))"),
            ),
            comment="of the whole",
        ),
    )


def test_sequences_that_belong_to_no_column(pg: Database, conn: Connection[Any]) -> None:
    pg.execute(
        """
        CREATE SEQUENCE plain;
        CREATE UNLOGGED SEQUENCE down AS smallint INCREMENT BY -2 START WITH 7 MAXVALUE 9 CACHE 3 CYCLE;
        CREATE SEQUENCE taken; CREATE SEQUENCE left_behind;
        CREATE TABLE t (a serial, b int GENERATED ALWAYS AS IDENTITY, c int DEFAULT nextval('taken'));
        ALTER SEQUENCE taken OWNED BY t.c; ALTER SEQUENCE left_behind OWNED BY t.c; ALTER SEQUENCE left_behind OWNED BY NONE;
        SELECT nextval('plain'); COMMENT ON SEQUENCE plain IS 'of nothing'
        """
    )
    assert graph_of(conn).sequences == (
        Sequence(
            "public", "down", "smallint", start=7, increment=-2, minimum=-32768, maximum=9, cache=3, cycle=True,
            persistence="unlogged",
        ),
        Sequence("public", "left_behind"),
        Sequence("public", "plain", comment="of nothing"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "options", "kept"),
    [
        ("integer", "", None),
        ("smallint", "(MAXVALUE 32767 START 1 INCREMENT 1)", None),
        ("bigint", "(INCREMENT BY -1)", "INCREMENT BY -1"),
        ("integer", "(START 5)", "START WITH 5"),
        ("bigint", "(MINVALUE 10)", "MINVALUE 10"),
        ("bigint", "(START 100 INCREMENT 10 MINVALUE 0 MAXVALUE 999 CACHE 5 CYCLE)",
         "START WITH 100 INCREMENT BY 10 MINVALUE 0 MAXVALUE 999 CACHE 5 CYCLE"),
    ],
)  # fmt: skip
def test_options_of_identity_columns(
    pg: Database, conn: Connection[Any], kind: str, options: str, kept: str | None
) -> None:
    pg.execute(f"CREATE TABLE t (gone int, id {kind} GENERATED ALWAYS AS IDENTITY {options}, s serial)")
    pg.execute("ALTER TABLE t DROP gone; SELECT 1")
    (table,) = graph_of(conn).tables
    assert [(c.name, c.identity_options) for c in table.columns] == [("id", kept), ("s", None)]
    if kept is not None:
        pg.execute(f"CREATE TABLE again (id {kind} GENERATED ALWAYS AS IDENTITY ({kept}))")
        assert graph_of(conn).tables[0].columns[0].identity_options == kept


def test_a_wider_identity_has_the_options_it_had(pg: Database, conn: Connection[Any]) -> None:
    pg.execute("CREATE TABLE t (a int GENERATED ALWAYS AS IDENTITY (START 5), b int GENERATED ALWAYS AS IDENTITY)")
    pg.execute("ALTER TABLE t ALTER a TYPE bigint, ALTER b TYPE bigint")
    (table,) = graph_of(conn).tables
    assert [c.identity_options for c in table.columns] == ["START WITH 5", None]


def test_functions_by_the_types_of_their_arguments(pg: Database, conn: Connection[Any]) -> None:
    pg.execute(
        """
        CREATE TYPE mood AS ENUM ('ok');
        CREATE FUNCTION f(a int, b text[] DEFAULT '{}', OUT c int) LANGUAGE sql AS 'SELECT 1';
        CREATE FUNCTION f(mood, VARIADIC varchar[]) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';
        CREATE PROCEDURE p(INOUT done bool) LANGUAGE plpgsql AS 'BEGIN done := true; END';
        CREATE FUNCTION more(int, int) RETURNS int IMMUTABLE LANGUAGE internal AS 'int4pl';
        CREATE AGGREGATE total(int) (SFUNC = more, STYPE = int, INITCOND = '0');
        COMMENT ON FUNCTION f(int, text[]) IS 'it''s one';
        COMMENT ON AGGREGATE total(int) IS 'all of them'
        """
    )
    found = graph_of(conn).functions
    assert [(f.name, f.arguments, f.kind, f.language, f.comment) for f in found] == [
        ("f", "integer, text[]", "function", "sql", "it's one"),
        ("f", "public.mood, character varying[]", "function", "plpgsql", None),
        ("more", "integer, integer", "function", "internal", None),
        ("p", "boolean", "procedure", "plpgsql", None),
        ("total", "integer", "aggregate", "internal", "all of them"),
    ]
    assert len({f.definition_hash for f in found}) == 5
    assert {len(f.definition_hash) for f in found} == {32}


BODIES = """
CREATE FUNCTION text_body() RETURNS int LANGUAGE sql AS 'SELECT 1 -- (ARRAY[a])::text[]';
CREATE FUNCTION tree_body(v varchar) RETURNS bool LANGUAGE sql RETURN v IN ('a', 'b');
CREATE FUNCTION state(int, int) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE AGGREGATE total(int) (SFUNC = state, STYPE = int);
"""


@pytest.mark.parametrize(
    ("name", "change"),
    [
        (
            "text_body",
            "CREATE OR REPLACE FUNCTION text_body() RETURNS int LANGUAGE sql AS 'SELECT 1 -- ARRAY[(a)::text]'",
        ),
        ("text_body", "ALTER FUNCTION text_body() SECURITY DEFINER"),
        ("text_body", "ALTER FUNCTION text_body() SET search_path = public, pg_temp"),
        (
            "tree_body",
            "CREATE OR REPLACE FUNCTION tree_body(v varchar) RETURNS bool LANGUAGE sql RETURN v IN ('a', 'c')",
        ),
        ("total", "CREATE OR REPLACE AGGREGATE total(int) (SFUNC = state, STYPE = int, INITCOND = '1')"),
    ],
)
def test_the_hash_is_of_all_that_defines_it(pg: Database, conn: Connection[Any], name: str, change: str) -> None:
    pg.execute(BODIES)
    before = {f.name: f for f in graph_of(conn).functions}
    pg.execute(change)
    after = {f.name: f for f in graph_of(conn).functions}
    assert {n for n in after if after[n] != before[n]} == {name}


def test_one_that_is_made_anew_as_it_was_is_the_same(pg: Database, conn: Connection[Any]) -> None:
    pg.execute(BODIES)
    before = graph_of(conn)
    pg.execute("DROP AGGREGATE total(int); DROP FUNCTION state, tree_body, text_body")
    pg.execute(BODIES)
    assert graph_of(conn) == before


def test_views_with_options_indexes_triggers_and_comments(pg: Database, conn: Connection[Any]) -> None:
    pg.execute(
        """
        CREATE TABLE t (id int, name text);
        CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
        CREATE VIEW v WITH (security_invoker, security_barrier = on) AS SELECT id FROM t WHERE id > 0;
        CREATE TRIGGER t INSTEAD OF UPDATE ON v FOR EACH ROW EXECUTE FUNCTION f();
        CREATE MATERIALIZED VIEW m AS SELECT id, name FROM t;
        CREATE UNIQUE INDEX m_id ON m (id); CREATE INDEX a_name ON m (lower(name));
        COMMENT ON VIEW v IS 'seen'; COMMENT ON MATERIALIZED VIEW m IS 'kept'; COMMENT ON INDEX m_id IS 'for refreshes';
        COMMENT ON TRIGGER t ON v IS 'writes'
        """
    )
    m, v = graph_of(conn).views
    assert (v.options, v.comment, v.indexes) == (("security_barrier=on", "security_invoker=true"), "seen", ())
    each = "CREATE TRIGGER t INSTEAD OF UPDATE ON public.v FOR EACH ROW EXECUTE FUNCTION public.f()"
    assert v.triggers == (Trigger("t", each, on_update=True, comment="writes"),)
    assert (m.options, m.comment, m.triggers) == ((), "kept", ())
    assert m.indexes == (
        Index("a_name", "CREATE INDEX a_name ON public.m USING btree (lower(name))"),
        Index("m_id", "CREATE UNIQUE INDEX m_id ON public.m USING btree (id)", unique=True, comment="for refreshes"),
    )


def test_comments_on_what_a_table_has(pg: Database, conn: Connection[Any]) -> None:
    pg.execute(
        """
        CREATE TYPE mood AS ENUM ('ok');
        CREATE TABLE t (id int CONSTRAINT positive CHECK (id > 0), a text);
        CREATE INDEX i ON t (a);
        CREATE TRIGGER b BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
        CREATE POLICY p ON t;
        COMMENT ON TYPE mood IS 'm'; COMMENT ON CONSTRAINT positive ON t IS 'c'; COMMENT ON INDEX i IS 'i';
        COMMENT ON TRIGGER b ON t IS 't'; COMMENT ON POLICY p ON t IS 'p'
        """
    )
    graph = graph_of(conn)
    table = graph.table(TableKey("public", "t"))
    assert table is not None
    parts: tuple[Any, ...] = (*table.constraints, *table.indexes, *table.triggers, *table.policies, *graph.enums)
    assert [part.comment for part in parts] == ["c", "i", "t", "p", "m"]


def test_a_definition_is_read_as_it_stays(pg: Database, conn: Connection[Any]) -> None:
    """PostgreSQL prints a list of values of a varchar otherwise once the constraint was made anew."""
    pg.execute("CREATE TABLE t (state varchar(9) CHECK (state IN ('a', 'b')))")
    before = graph_of(conn)
    pg.execute("ALTER TABLE t ALTER state TYPE varchar(10); ALTER TABLE t ALTER state TYPE varchar(9)")
    assert graph_of(conn) == before
    ((definition,),) = [[c.definition for c in t.constraints] for t in before.tables]
    assert (
        definition
        == "CHECK (((state)::text = ANY (ARRAY[('a'::character varying)::text, ('b'::character varying)::text])))"
    )
    pg.execute(f"ALTER TABLE t DROP CONSTRAINT t_state_check; ALTER TABLE t ADD CONSTRAINT t_state_check {definition}")
    assert graph_of(conn) == before
