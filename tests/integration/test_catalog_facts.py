"""Facts about what stands around tables, read as the observer reads them, and held against what PostgreSQL does."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from psycopg import sql

from servers import Database, PostgresServer
from servers.waiting import wait_until
from zanith.core.graph import Extension, Facts
from zanith.core.identifiers import TableKey
from zanith.core.surroundings import FunctionBody, Publication, TriggerBody
from zanith.postgres import catalog
from zanith.postgres.catalog import read_facts
from zanith.postgres.connecting import ConnectionSettings, connect

SHOP = """
CREATE EXTENSION citext; CREATE EXTENSION cube; CREATE EXTENSION earthdistance; CREATE EXTENSION pg_trgm;
CREATE TABLE users (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email citext DEFAULT 'x'::citext, tags citext[]);
CREATE TABLE orders (id serial PRIMARY KEY, user_id bigint REFERENCES users, who users);
CREATE TABLE "Other" (id int DEFAULT nextval('orders_id_seq'), name text);
CREATE INDEX by_name ON "Other" USING gin (name gin_trgm_ops);
CREATE VIEW v AS SELECT email FROM users;
CREATE FUNCTION f(users) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION g() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN new.email := lower(new.email); RETURN new; END';
CREATE FUNCTION tracked() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM orders; END;
CREATE TRIGGER lowered BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION g();
CREATE TRIGGER off AFTER INSERT ON users FOR EACH ROW EXECUTE FUNCTION g();
ALTER TABLE users DISABLE TRIGGER off;
CREATE TABLE pol (id int); CREATE POLICY p ON pol USING (EXISTS (SELECT FROM users WHERE users.id = pol.id));
CREATE TABLE child () INHERITS (users);
CREATE TABLE _zanith_dropped_old (user_id bigint REFERENCES users);
CREATE TABLE member (id int); ALTER EXTENSION cube ADD TABLE member;
ALTER TABLE users ADD COLUMN _zanith_dropped_n int UNIQUE;
"""
USERS = TableKey("public", "users")
ORDERS = TableKey("public", "orders")


def facts_of(dsn: str) -> Facts:
    with connect(ConnectionSettings.from_dsn(dsn, "public"), application_name="test") as conn:
        return read_facts(conn, "public")


@pytest.fixture
def observed(pg: Database) -> Facts:
    """What a role with nothing but pg_read_all_stats knows of the shop."""
    pg.execute(SHOP)
    return facts_of(pg.create_login(member_of="pg_read_all_stats"))


def test_the_observer_knows_what_the_owner_knows(pg: Database, observed: Facts) -> None:
    assert facts_of(pg.dsn) == observed


def test_extensions_and_who_needs_them(pg: Database, observed: Facts) -> None:
    installed = [tuple(row) for row in pg.rows(
        "SELECT extname, nspname, extversion FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace "
        "WHERE extname <> 'plpgsql' ORDER BY extname"
    )]  # fmt: skip
    assert observed.graph.extensions == tuple(Extension(*row) for row in installed)
    assert {name: tuple(map(str, users)) for name, users in observed.extension_users.items()} == {
        "citext": (
            "default value for public.child.email",
            "default value for public.users.email",
            "column public.child.email",
            "column public.child.tags",
            "column public.users.email",
            "column public.users.tags",
            "view public.v",
        ),
        "cube": ("extension earthdistance",),
        "pg_trgm": ("index public.by_name",),
    }
    assert observed.extension_tables == {TableKey("public", "member"): "cube"}
    assert {"similarity", "show_trgm"} <= observed.extension_functions["pg_trgm"]


def test_what_the_server_can_install(pg: Database, observed: Facts) -> None:
    assert observed.available_extensions == dict(pg.rows("SELECT name, default_version FROM pg_available_extensions"))
    needed = observed.extension_versions["earthdistance", observed.available_extensions["earthdistance"]]
    assert (needed.requires, needed.untrusted, needed.schema) == (("cube",), True, None)
    assert observed.extension_versions["plpgsql", "1.0"].schema == "pg_catalog"


def test_dependents_are_those_postgresql_refuses_a_drop_for(pg: Database, observed: Facts) -> None:
    assert {key: tuple(map(str, found)) for key, found in observed.dependents.items()} == {
        ORDERS: ("default value for public.\"Other\".id", "function public.tracked()"),
        USERS: (
            "function public.f(public.users)",
            "policy p on public.pol",
            "table public.child",
            "column public.orders.who",
            "table constraint _zanith_dropped_old_user_id_fkey on public._zanith_dropped_old",
        ),
    }  # fmt: skip
    with pg.connect() as conn:
        for key in (t.key for t in observed.graph.tables):
            shown = any(read == key for v in observed.graph.views for read, _ in v.depends_on)
            shown = shown or any(t.key != key for t, _ in observed.graph.incoming_foreign_keys(key))
            assert _refused(conn, key) is bool(shown or observed.dependents.get(key)), key


def _refused(conn: psycopg.Connection[Any], key: TableKey) -> bool:
    with conn.transaction(force_rollback=True):
        try:
            conn.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(*key)))
        except psycopg.errors.DependentObjectsStillExist:
            return True
    return False


def test_sources_sequences_and_indexes_that_are_out_of_sight(pg: Database, observed: Facts) -> None:
    body = "BEGIN new.email := lower(new.email); RETURN new; END"
    assert observed.functions == (FunctionBody("public.f", "SELECT 1"), FunctionBody("public.g", body))
    assert observed.trigger_bodies == {USERS: (TriggerBody("lowered", body),)}
    assert observed.sequences == {USERS: ("users_id_seq",), ORDERS: ("orders_id_seq",)}
    assert observed.hidden_indexes == {USERS: ("users__zanith_dropped_n_key",)}
    assert {"pg_monitor", "postgres"} <= observed.roles


PUBLISHED = """
CREATE TABLE keyed (id int PRIMARY KEY, a int NOT NULL UNIQUE, b int);
CREATE TABLE plain (id int, a int); CREATE TABLE whole (id int, a int); ALTER TABLE whole REPLICA IDENTITY FULL;
CREATE TABLE chosen (id int PRIMARY KEY, a int NOT NULL); CREATE UNIQUE INDEX by_a ON chosen (a);
ALTER TABLE chosen REPLICA IDENTITY USING INDEX by_a;
CREATE TABLE nothing (id int PRIMARY KEY); ALTER TABLE nothing REPLICA IDENTITY NOTHING;
CREATE TABLE late (id int PRIMARY KEY DEFERRABLE, a int);
CREATE TABLE filtered (id int PRIMARY KEY, a int); CREATE TABLE listed (id int PRIMARY KEY, a int);
CREATE TABLE full_listed (id int, a int); ALTER TABLE full_listed REPLICA IDENTITY FULL;
CREATE TABLE inserts (id int); CREATE UNLOGGED TABLE fast (id int);
CREATE TABLE parted (id int, a int) PARTITION BY RANGE (id);
CREATE TABLE low PARTITION OF parted FOR VALUES FROM (0) TO (10);
CREATE TABLE high PARTITION OF parted FOR VALUES FROM (10) TO (20); ALTER TABLE high ADD PRIMARY KEY (id);
CREATE TABLE untouched (id int);
CREATE SCHEMA news; CREATE TABLE news.papers (id int);
CREATE PUBLICATION p FOR TABLE keyed, plain, whole, chosen, nothing, late, filtered WHERE (a > 1), listed (a), parted;
CREATE PUBLICATION q FOR TABLE full_listed (id, a), keyed (id, a);
CREATE PUBLICATION new_ones FOR TABLE inserts WITH (publish = 'insert');
CREATE PUBLICATION of_schema FOR TABLES IN SCHEMA news;
"""


def test_what_is_published_and_where_an_update_fails(pg: Database) -> None:
    pg.execute(PUBLISHED)
    known = facts_of(pg.create_login(member_of="pg_read_all_stats"))
    tables = [t.key for t in known.graph.tables]
    assert known.published == set(tables) - {TableKey("public", "untouched"), TableKey("public", "fast")}
    assert known.publications[TableKey("public", "keyed")] == (Publication("p"), Publication("q", ("id", "a")))
    assert known.publications[TableKey("public", "filtered")] == (Publication("p", (), "(a > 1)"),)
    assert known.publications[TableKey("news", "papers")] == (Publication("of_schema"),)
    with pg.connect() as conn:
        for key in tables:
            if key != TableKey("public", "parted"):  # fails in one of its partitions only
                assert (key in known.without_replica_identity) is _update_fails(conn, key), key
    assert TableKey("public", "parted") in known.without_replica_identity


def _update_fails(conn: psycopg.Connection[Any], key: TableKey) -> bool:
    with conn.transaction(force_rollback=True):
        try:
            conn.execute(sql.SQL("UPDATE {} SET id = id").format(sql.Identifier(*key)))
        except psycopg.errors.ObjectNotInPrerequisiteState:
            return True
        except psycopg.errors.InvalidColumnReference:  # the replica identity does not cover filter or list
            return True
    return False


def test_a_publication_of_all_tables_has_the_logged_ones(pg: Database) -> None:
    pg.execute("CREATE TABLE a (id int); CREATE UNLOGGED TABLE b (id int); CREATE PUBLICATION p FOR ALL TABLES")
    known = facts_of(pg.dsn)
    assert known.published == known.without_replica_identity == {TableKey("public", "a")}


def test_standbys_are_counted(postgres_18: PostgresServer, pg18: Database) -> None:
    login = pg18.create_login(member_of="pg_read_all_stats")
    with PostgresServer.standby_of(postgres_18):
        wait_until(lambda: facts_of(pg18.dsn).standbys == 1, "the standby streams")
        assert facts_of(login).standbys == 1
        assert facts_of(pg18.create_login()).standbys == 0, "who may not see them sees none"


def test_more_tables_ask_no_more_questions(pg18: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    ask = catalog._ask

    def counted(cursor: Any, query: str, *parameters: Any) -> Any:
        asked.append(query)
        return ask(cursor, query, *parameters)

    monkeypatch.setattr(catalog, "_ask", counted)
    facts_of(pg18.dsn)
    few = len(asked)
    pg18.execute(SHOP)
    facts_of(pg18.dsn)
    assert len(asked) == 2 * few
