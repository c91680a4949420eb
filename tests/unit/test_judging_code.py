"""rawSql: code behind a statement's text, rows it keeps locked, and names that are not what the statement calls them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from unit.builders import MIGRATION
from unit.corpus import KNOWN
from zanith.core.graph import Constraint, Facts, TableSize, View
from zanith.core.identifiers import TableKey
from zanith.core.risk import ReasonCode, RiskLevel
from zanith.core.statement import Work
from zanith.operations.raw_sql import RawSql
from zanith.operations.step_context import StepContext

ALONE, USERS, STAMPED = TableKey("public", "alone"), TableKey("public", "users"), TableKey("public", "stamped")
SMALL = replace(KNOWN, sizes=dict.fromkeys([t.key for t in KNOWN.graph.tables], TableSize(rows=10, bytes=8192)))
LOCKED = {ReasonCode.REQUIRES_BACKFILL, ReasonCode.LOCKS_ROWS}


def ctx(known: Facts = SMALL) -> StepContext:
    return StepContext(known, MIGRATION, 1, known.graph)


def problems(sql: str, **more: str) -> list[str]:
    return list(RawSql.model_validate({"sql": sql, **more}).problems(ctx()))


def unseen(sql: str, known: Facts = SMALL) -> list[str]:
    """What the findings say of code that cannot be seen into."""
    return [f.why for f in RawSql(sql=sql).findings(ctx(known)) if f.reason is ReasonCode.OPAQUE_CODE]


def rows_locked(sql: str, known: Facts) -> list[RiskLevel]:
    return [f.level for f in RawSql(sql=sql).findings(ctx(known)) if f.reason in LOCKED]


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE users SET old = set_config('search_path', 'a', false) WHERE id = 1",
        "INSERT INTO alone (id) SELECT pg_try_advisory_lock(1)::int",
        "DELETE FROM alone WHERE pg_advisory_unlock(1)",
        "CREATE TABLE fresh AS SELECT pg_advisory_unlock_all()",
        "CREATE VIEW asking AS SELECT pg_advisory_xact_lock(1)",
        "CREATE TABLE fresh (a text DEFAULT set_config('a', 'b', false))",
        "ALTER TABLE users ADD COLUMN a text DEFAULT set_config('a', 'b', false)",
        "COPY (SELECT pg_cancel_backend(1)) TO '/dev/null'",
        "CALL work(set_config('a', 'b', false))",
        "DO $$ BEGIN PERFORM pg_catalog.set_config('a', 'b', false); END $$",
        "DO LANGUAGE plpgsql 'BEGIN PERFORM PG_ADVISORY_UNLOCK_ALL(); END'",
        'DO $$ BEGIN DELETE FROM "_zanith_migrations"; END $$',
        "ALTER TABLE users RENAME TO _zanith_migrations",
        "ALTER TABLE users SET SCHEMA _zanith_shadow",
        "ALTER SCHEMA attic RENAME TO _zanith_shadow",
        "CREATE SCHEMA _zanith_shadow",
        "CREATE TABLE _zanith_migrations (id text)",
        "CREATE TABLE _zanith_fresh AS SELECT 1",
        "SELECT 1 INTO _zanith_fresh",
        "CREATE SEQUENCE _zanith_numbers",
        "ALTER TABLE users DROP COLUMN _zanith_dropped_email",
        "UPDATE users SET _zanith_dropped_email = NULL",
        "DROP TRIGGER _zanith_sync ON users",
        "UPDATE pg_class SET relname = 'a'",
        "DELETE FROM pg_catalog.pg_depend",
        "MERGE INTO pg_class USING users ON true WHEN MATCHED THEN DELETE",
        "WITH a AS (INSERT INTO pg_class VALUES (1) RETURNING 1) SELECT * FROM a",
        "TRUNCATE pg_catalog.pg_depend",
        "COPY pg_authid FROM '/tmp/a'",
        "LOCK TABLE pg_class",
        "CREATE TABLE fresh AS EXECUTE prepared",
        "ALTER SYSTEM SET work_mem = '1GB'",
        "ALTER DATABASE shop RENAME TO store",
        "ALTER DATABASE shop ALLOW_CONNECTIONS false",
    ],
)
def test_wherever_it_stands_it_is_refused(sql: str) -> None:
    assert " is refused: " in problems(sql)[0]


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'SELECT pg_advisory_unlock_all()'",
        "CREATE FUNCTION f() RETURNS void LANGUAGE sql BEGIN ATOMIC SELECT id FROM _zanith_migrations; END",
        "COMMENT ON TABLE users IS '_zanith_ stands in the text only'",
        "SELECT relname FROM pg_class",
        "DO $$ BEGIN PERFORM 1; END $$",
    ],
)
def test_what_only_names_it_is_not(sql: str) -> None:
    assert problems(sql) == []


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SELECT do_things()", "function do_things()"),
        ("SELECT public.lower('A')", "function public.lower()"),
        ("SELECT pg_sleep(1)", "function pg_sleep()"),
        ("UPDATE users SET old = made_up(old) WHERE id = 1", "function made_up()"),
        ("UPDATE users SET age = 1 WHERE code === 1", "operator ==="),
        ("UPDATE users SET age = 1 WHERE code OPERATOR(public.=) 1", "operator public.="),
        ("SELECT 1 WHERE 1 === ANY (SELECT 1)", "operator ==="),
        ("SELECT id FROM users ORDER BY code USING ===", "operator ==="),
        ("SELECT users.do_things FROM users", "function do_things()"),
        ("SELECT (users).do_things FROM users", "function do_things()"),
        ("SELECT n FROM counted", "function public.ask() in view public.counted"),
        ("CREATE TABLE fresh AS SELECT n FROM counted", "function public.ask() in view public.counted"),
        ("SELECT id FROM nothing", "relation public.nothing, which an earlier statement or step has to make"),
        ("INSERT INTO stamped (id) VALUES (1)", "function public.stamp() in the default of public.stamped.at"),
        ("UPDATE stamped SET at = DEFAULT", "function public.stamp() in the default of public.stamped.at"),
        ("INSERT INTO stamped (id, at) VALUES (1, 'x')", "function public.ask() in asked of public.stamped"),
        ("DELETE FROM stray", "rules of public.stray may make something else of it"),
        ("DELETE FROM adults", "public.adults is a view: which rows of which tables change cannot be seen"),
        ("ALTER TABLE users ADD CHECK (do_things() > 0)", "function do_things()"),
        ("CREATE TABLE fresh PARTITION OF logs FOR VALUES FROM (stamp()) TO ('2027-01-01')", "function stamp()"),
        ("CREATE FUNCTION lower(integer) RETURNS text LANGUAGE sql AS 'x'", "PostgreSQL has a lower of its own"),
        ("CREATE AGGREGATE sum(mood) (sfunc = f, stype = integer)", "PostgreSQL has a sum of its own"),
        ("ALTER FUNCTION do_things() RENAME TO lower", "PostgreSQL's own lower"),
        ("ALTER FUNCTION attic.lower(mood) SET SCHEMA public", "PostgreSQL's own lower"),
        ("CREATE CAST (mood AS text) WITH INOUT AS ASSIGNMENT", "statements that do not name it use it"),
        ("CREATE FUNCTION g() RETURNS integer LANGUAGE sql AS 'SELECT 1'; SELECT users.g FROM users", "function g()"),
    ],
)  # fmt: skip
def test_code_that_cannot_be_seen_into_is_named(sql: str, code: str) -> None:
    assert code in " ".join(unseen(sql))


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT lower(email), pg_catalog.md5(old), count(*), nextval('tickets'), now() FROM users GROUP BY 1, 2",
        "SELECT id FROM users WHERE id BETWEEN 1 AND 2 AND id IN (1, 2) AND email LIKE 'a%' ORDER BY id",
        "WITH picked AS (SELECT id FROM users) SELECT picked.id FROM picked, adults WHERE adults.id = picked.id",
        "SELECT u.email FROM users u FOR UPDATE OF u",
        "INSERT INTO alone (id, value) VALUES (1, DEFAULT)",
        "SELECT relname FROM pg_catalog.pg_class",
        "UPDATE users SET age = CASE WHEN age > 1 THEN 1 ELSE 2 END WHERE id = 1",
        "ALTER TABLE users ADD CHECK (do_things() > 0) NOT VALID",
        "CREATE FUNCTION f(integer) RETURNS text LANGUAGE sql AS 'x'",
        "ALTER FUNCTION do_things() RENAME TO did_things",
        "ALTER FUNCTION do_things() SET SCHEMA attic",
        "ALTER TYPE mood SET SCHEMA attic",
        "CREATE CAST (mood AS text) WITH INOUT",
        "CREATE COLLATION c (locale = 'C')",
        "CREATE TEMP TABLE fresh (id bigint); INSERT INTO fresh VALUES (1); SELECT id FROM fresh",
        "CREATE TEMP TABLE fresh AS SELECT 1 AS id; UPDATE fresh SET id = 2",
        "SELECT 1 AS id INTO TEMP fresh; SELECT id FROM fresh",
        "SELECT 1 AS id INTO fresh; SELECT id FROM fresh",
        "CREATE TABLE fresh AS SELECT 1 AS id; UPDATE fresh SET id = 2",
    ],
)
def test_what_is_known_is_not_called_opaque(sql: str) -> None:
    assert unseen(sql) == []


def test_a_function_of_the_users_in_the_search_path_makes_the_name_doubtful() -> None:
    def shadowed(schema: str, *, trusted: bool, sql: str = "SELECT lower('A')") -> list[str]:
        code = replace(SMALL.code, other_functions={(schema, "lower"): trusted})
        return unseen(sql, replace(SMALL, code=code))

    assert shadowed("public", trusted=False)
    assert not shadowed("public", trusted=True), "an extension's"
    assert not shadowed("attic", trusted=False), "not in the search_path"
    assert not shadowed("public", trusted=False, sql="SELECT pg_catalog.lower('A')")


def test_an_attribute_that_is_a_column_somewhere_is_no_call() -> None:
    code = replace(SMALL.code, other_functions={("public", "email"): False})
    assert unseen("SELECT users.email FROM users", replace(SMALL, code=code)) == []


def test_a_view_whose_query_is_not_known_is_not_seen_into() -> None:
    for views in ({}, {TableKey("public", "counted"): f"SELECT {' + '.join(['1'] * 200)}"}):
        known = replace(SMALL, code=replace(SMALL.code, views=views))
        assert unseen("SELECT n FROM counted", known) == ["what it runs cannot be seen into: view public.counted"]


def test_a_view_is_looked_into_once_and_through_others() -> None:
    wider = View("public", "wider", False, "x", ((TableKey("public", "counted"), "n"), (USERS, "id")))
    graph = replace(SMALL.graph, views=(*SMALL.graph.views, wider))
    views = {**SMALL.code.views, TableKey("public", "wider"): "SELECT n FROM public.counted, public.users"}
    known = replace(SMALL, graph=graph, code=replace(SMALL.code, views=views))
    (said,) = unseen("SELECT 1 FROM wider AS a, wider AS b, counted", known)
    assert said.count("public.ask()") == 1
    assert RawSql(sql="LOCK wider").statements(ctx(known))[0].on == (TableKey("public", "wider"), USERS)


def test_expressions_deeper_than_the_parser_goes_are_not_seen_into() -> None:
    deep = " + ".join(["1"] * 200)
    stamped = SMALL.graph.table(STAMPED)
    assert stamped is not None
    check = Constraint("asked", "check", f"CHECK (({deep} > 0))")
    columns = tuple(replace(c, default=deep) if c.name == "at" else c for c in stamped.columns)
    known = replace(SMALL, graph=SMALL.graph.with_table(replace(stamped, columns=columns).with_constraint(check)))
    assert unseen("INSERT INTO stamped (id) VALUES (1)", known) == [
        "what it runs cannot be seen into: an expression that is nested too deeply in the default of public.stamped.at"
    ]


def test_more_code_than_one_reads_is_counted() -> None:
    (said,) = unseen("SELECT a(), b(), c(), d(), e(), f(), g()")
    assert said.endswith("function e() and 2 more")


@pytest.mark.parametrize(
    ("sql", "bounded"),
    [
        ("UPDATE users SET old = 'x' WHERE id = 1", True),
        ("UPDATE users SET old = 'x' WHERE 1 = users.id AND age > 3", True),
        ("UPDATE users SET old = 'x' WHERE public.users.id = '1'::bigint", True),
        ("UPDATE users AS u SET old = 'x' FROM alone a WHERE u.id = 1 AND a.id = 1", True),
        ("UPDATE users SET old = 'x' FROM alone WHERE alone.id = 1", False),
        ("UPDATE users u SET old = 'x' FROM users other WHERE other.id = 1", False),
        ("UPDATE users u SET old = 'x' FROM users WHERE users.id = 1 AND u.code > 1", False),
        ("UPDATE users SET old = 'x' WHERE id = 1 OR id > 1", False),
        ("UPDATE users SET old = 'x' WHERE NOT id = 1", False),
        ("UPDATE users SET old = 'x' WHERE id = code", False),
        ("UPDATE users SET old = 'x' WHERE id OPERATOR(public.=) 1", False),
        ("UPDATE users SET old = 'x' WHERE made_up = 1", False),
        ("UPDATE users SET old = 'x' WHERE true", False),
        ("UPDATE users SET old = 'x' WHERE 1 = 1", False),
        ("UPDATE events SET what = 'x' WHERE id = 1", False),
        ("UPDATE events SET what = 'x' WHERE id = 1 AND at = '2024-01-01'", True),
        ("UPDATE alone SET value = 'x' WHERE value = 'a' AND id = 3", True),
        ("UPDATE base SET value = 'x' WHERE id = 1", False),
        ("DELETE FROM users USING alone WHERE alone.id = 1", False),
        ("DELETE FROM alone WHERE id = 1", True),
        ("INSERT INTO alone (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET value = 'x'", True),
        ("INSERT INTO alone (id) SELECT id FROM users ON CONFLICT (id) DO UPDATE SET value = 'x'", False),
        ("INSERT INTO alone (id) SELECT id FROM users ON CONFLICT DO NOTHING", True),
        ("INSERT INTO alone (id) SELECT id FROM users FOR UPDATE", False),
        ("MERGE INTO users u USING alone a ON u.id = 1 WHEN MATCHED THEN UPDATE SET old = 'x'", True),
        ("MERGE INTO users u USING alone a ON a.id = 1 WHEN MATCHED THEN UPDATE SET old = 'x'", False),
        ("MERGE INTO users u USING alone a ON u.id = 1 WHEN NOT MATCHED BY SOURCE THEN UPDATE SET old = 'x'", False),
        ("MERGE INTO users u USING alone a ON u.id = a.id WHEN NOT MATCHED THEN INSERT (id) VALUES (1)", True),
        ("MERGE INTO users u USING alone a ON u.id = a.id WHEN MATCHED THEN DELETE", False),
        ("SELECT id FROM users WHERE id = 1 FOR UPDATE", True),
        ("SELECT u.id FROM users u, alone a WHERE a.id = 1 FOR UPDATE", False),
        ("SELECT u.id FROM users u, alone a WHERE a.id = 1 FOR SHARE OF a", True),
        ("SELECT id FROM (SELECT id FROM users FOR KEY SHARE SKIP LOCKED) AS picked", False),
        ("SELECT id FROM adults FOR UPDATE", False),
        ("CREATE TABLE fresh AS SELECT id FROM users FOR UPDATE", False),
    ],
)
def test_rows_are_locked_for_long_where_nothing_bounds_them_and_the_table_is_big(sql: str, bounded: bool) -> None:
    big = replace(
        KNOWN, sizes=dict.fromkeys([t.key for t in KNOWN.graph.tables], TableSize(rows=10**8, bytes=20 << 30))
    )
    wide = replace(
        KNOWN, sizes=dict.fromkeys([t.key for t in KNOWN.graph.tables], TableSize(rows=None, bytes=20 << 30))
    )
    for known in (big, wide, KNOWN):
        assert (RiskLevel.HIGH in rows_locked(sql, known)) is not bounded


def test_a_small_table_is_changed_at_once_and_a_new_one_is_nobodys() -> None:
    assert rows_locked("UPDATE users SET old = 'x' WHERE age > 1", SMALL) == [RiskLevel.MEDIUM]
    assert rows_locked("DELETE FROM users", SMALL) == []
    new = "CREATE TABLE fresh (id bigint PRIMARY KEY); UPDATE fresh SET id = 2; DELETE FROM fresh WHERE id > 1"
    assert rows_locked(new, KNOWN) == []


def test_a_renamed_table_is_as_big_as_before() -> None:
    big = replace(SMALL, sizes={**SMALL.sizes, ALONE: TableSize(rows=10**8, bytes=1)})
    sql = "ALTER TABLE alone RENAME TO lonely; UPDATE lonely SET value = 'x' WHERE value > 'a'"
    assert RiskLevel.HIGH in rows_locked(sql, big)


@pytest.mark.parametrize(
    ("sql", "work"),
    [
        ("UPDATE users SET old = 'x' WHERE id = 1", Work.CATALOG),
        ("UPDATE users SET id = 2 WHERE id = 1", Work.SCAN),
        ("DELETE FROM users WHERE id = 1", Work.SCAN),
        ("DELETE FROM alone WHERE id = 1", Work.CATALOG),
        ("INSERT INTO alone (id) VALUES (1)", Work.CATALOG),
        ("INSERT INTO alone (id) VALUES ((SELECT max(id) FROM users))", Work.SCAN),
        ("UPDATE users SET old = do_things()::text WHERE id = 1", Work.CATALOG),
        ("UPDATE users SET old = do_things()::text WHERE age = 1", Work.SCAN),
    ],
)
def test_few_rows_are_an_instants_work_unless_others_are_looked_up_for_them(sql: str, work: Work) -> None:
    assert RawSql(sql=sql).statements(ctx())[0].work is work


@pytest.mark.parametrize(
    ("sql", "safer"),
    [
        ("UPDATE users SET old = 'x' WHERE age > 1", "- backfill: {table: users, set: {old: \"'x'\"}, where: \"age > 1\"}"),
        ("UPDATE users AS u SET old = 'x' WHERE u.age > 1", "backfill changes rows in batches"),
        ("UPDATE ONLY users SET old = 'x'", "backfill changes rows in batches"),
        ("UPDATE users SET old = DEFAULT", "backfill changes rows in batches"),
        ("UPDATE adults SET email = 'x'", "backfill changes rows in batches"),
    ],
)  # fmt: skip
def test_the_way_round_long_row_locks(sql: str, safer: str) -> None:
    assert next(f.safer for f in RawSql(sql=sql).findings(ctx()) if f.reason in LOCKED).startswith(safer)


def test_a_default_that_nobody_knows_may_differ_from_row_to_row() -> None:
    made = "CREATE FUNCTION g() RETURNS integer LANGUAGE sql AS 'SELECT 1'; ALTER TABLE alone ADD COLUMN a integer DEFAULT g()"
    assert RawSql(sql=made).statements(ctx())[1].work is Work.REWRITE
    assert (
        RawSql(sql="ALTER TABLE alone ADD COLUMN a integer DEFAULT made_up()").statements(ctx())[0].work is Work.REWRITE
    )
    steady = replace(SMALL, volatile_functions=frozenset())
    (found,) = RawSql(sql="ALTER TABLE alone ADD COLUMN a integer DEFAULT do_things()").statements(ctx(steady))
    assert found.work is Work.CATALOG


@pytest.mark.parametrize(
    ("sql", "level", "says"),
    [
        ("ALTER INDEX alone RENAME TO lonely", "high", "public.alone, a table whatever the statement calls it"),
        ("ALTER INDEX tickets RENAME TO numbers", "medium", "nextval('tickets')"),
        ("ALTER TABLE totals RENAME TO sums", "high", "public.totals, a matview"),
        ("ALTER TABLE tickets SET SCHEMA attic", "medium", "find public.tickets in its schema"),
        ("ALTER TYPE shape DROP ATTRIBUTE b CASCADE", "destructive", "attribute b of shape, in public.shaped"),
        ("ALTER TYPE public.shape ADD ATTRIBUTE c text CASCADE", "medium", "public.shaped of type shape changes with it"),
        ("ALTER TYPE shape ADD ATTRIBUTE c text", "medium", "ALTER TYPE locks no table"),
        ("ALTER TYPE pair ALTER ATTRIBUTE one TYPE bigint", "high", "attribute one of pair gets another type"),
        ("ALTER TYPE pair DROP ATTRIBUTE one", "destructive", "attribute one of pair, wherever it is used, is gone for good"),
        ("ALTER TYPE pair RENAME ATTRIBUTE one TO uno", "high", "name attribute one of public.pair fail"),
        ("ALTER TABLE orders DISABLE TRIGGER USER", "high", "the triggers of public.orders fire no longer"),
        ("ALTER MATERIALIZED VIEW totals SET (fillfactor = 80)", "medium", "ACCESS EXCLUSIVE on public.totals"),
        ("ALTER ROLE corpus_reader RESET ALL", "high", "all settings changes for every new session of role corpus_reader"),
        ("ALTER ROLE ALL SET work_mem = '1MB'", "high", "new session of role ALL"),
        ("ALTER DATABASE shop SET work_mem = '1MB'", "high", "new session of database shop"),
        ("ALTER ROLE corpus_reader RENAME TO reader", "high", "RENAME ROLE"),
        ("ALTER ROLE corpus_reader SUPERUSER", "high", "may see and change everything"),
        ("GRANT pg_execute_server_program TO corpus_reader", "high", "members of pg_execute_server_program"),
        ("GRANT corpus_reader TO corpus_writer", "medium", "GRANT or REVOKE ROLE"),
        ("IMPORT FOREIGN SCHEMA a FROM SERVER b INTO attic", "medium", "IMPORT FOREIGN SCHEMA"),
        ("CREATE FOREIGN TABLE far (id bigint) SERVER b", "low", "CREATE FOREIGN TABLE"),
        ("COPY users TO '/dev/null'", "high", "a file of the database's server is written"),
        ("ALTER TABLE users ALTER CONSTRAINT made_up DEFERRABLE", "medium", "ACCESS EXCLUSIVE on public.users"),
        ("ALTER TABLE made_up ALTER CONSTRAINT made_up NOT ENFORCED", "medium", "rows may point to nothing"),
    ],
)  # fmt: skip
def test_levels_of_what_changes_something_else_than_it_seems_to(sql: str, level: str, says: str) -> None:
    found = list(RawSql(sql=sql).findings(ctx()))
    assert max(found, key=lambda f: f.level.score).level is RiskLevel(level)
    assert says in " ".join(f.why for f in found)


def test_a_table_renamed_by_alter_index_is_found_under_its_new_name() -> None:
    raw = RawSql(sql="ALTER INDEX alone RENAME TO lonely")
    assert raw.moves(ctx()) == {ALONE: TableKey("public", "lonely")}
    assert raw.project(ctx()).table(TableKey("public", "lonely")) is not None


def test_a_table_made_by_a_query_is_there_for_later_steps() -> None:
    for sql in ("CREATE TABLE fresh AS SELECT 1", "SELECT 1 INTO fresh"):
        assert RawSql(sql=sql).project(ctx()).table(TableKey("public", "fresh")) is not None
    for sql in (
        "CREATE TABLE users AS SELECT 1",
        "CREATE TEMP TABLE fresh AS SELECT 1",
        "CREATE MATERIALIZED VIEW v AS SELECT 1",
    ):
        assert RawSql(sql=sql).project(ctx()) == SMALL.graph


@pytest.mark.parametrize(
    ("done_when", "problem"),
    [
        (
            "SELECT do_things() > 0",
            "doneWhen must only ask, and what it runs cannot be seen into: function do_things()",
        ),
        ("SELECT pg_advisory_unlock(1)", "cannot be seen into: function pg_advisory_unlock()"),
        ("SELECT set_config('a', 'b', false) = 'b'", "cannot be seen into: function set_config()"),
        ("SELECT n = 1 FROM counted", "function public.ask() in view public.counted"),
    ],
)
def test_done_when_runs_nothing_that_cannot_be_seen_into(done_when: str, problem: str) -> None:
    assert problem in problems("VACUUM users", doneWhen=done_when)[0]
    assert problems("VACUUM users", doneWhen="SELECT count(*) > 0 FROM pg_stat_user_tables") == []


def test_a_check_that_calls_nothing_volatile_is_no_news() -> None:
    alone = SMALL.graph.table(ALONE)
    assert alone is not None
    check = Constraint("lowered", "check", "CHECK ((value = lower(value)))")
    known = replace(SMALL, graph=SMALL.graph.with_table(alone.with_constraint(check)))
    assert unseen("INSERT INTO alone (id) VALUES (1)", known) == []
