"""rawSql: what is refused, how statements share a transaction, what may be undone, what later steps see."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from unit.builders import MIGRATION, brief, plan
from unit.corpus import KNOWN
from zanith.core.errors import SpecError
from zanith.core.graph import Column, Constraint, Index, SchemaGraph
from zanith.core.identifiers import TableKey
from zanith.core.statement import IndexIsAbsent, IndexIsValid, Lock, QueryIsTrue, Statement, Work
from zanith.operations.raw_sql import RawSql
from zanith.operations.step_context import StepContext
from zanith.planning.plan import Plan
from zanith.planning.rendering import PendingMigration, plan_text

USERS, ORDERS, ALONE = TableKey("public", "users"), TableKey("public", "orders"), TableKey("public", "alone")


def here(**changes: Any) -> StepContext:
    return StepContext(replace(KNOWN, **changes), MIGRATION, 1, KNOWN.graph)


def problems(sql: str, **more: Any) -> list[str]:
    return list(RawSql.model_validate({"sql": sql, **more}).problems(here()))


def statements(sql: str, **more: Any) -> tuple[Statement, ...]:
    return RawSql.model_validate({"sql": sql, **more}).statements(here())


def findings(sql: str, **more: Any) -> list[tuple[str, str]]:
    return brief(RawSql.model_validate({"sql": sql, **more}).findings(here()))


def after(sql: str, **more: Any) -> SchemaGraph:
    return RawSql.model_validate({"sql": sql, **more}).project(here())


def planned(*sql: str | dict[str, Any]) -> Plan:
    return plan(*({"rawSql": {"sql": s}} if isinstance(s, str) else s for s in sql), of=KNOWN)


@pytest.mark.parametrize(
    ("sql", "because"),
    [
        ("BEGIN", "BEGIN is refused: transactions are the runner's"),
        ("SELECT 1; COMMIT", "statement 2: COMMIT is refused"),
        ("SAVEPOINT a", "SAVEPOINT is refused"),
        ("PREPARE TRANSACTION 'a'", "PREPARE is refused: transactions"),
        ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "SET is refused"),
        ("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "SET is refused: the runner pins"),
        ("RESET ALL", "SET is refused: the runner pins"),
        ("SET lock_timeout = '1s'", "lock_timeout is pinned"),
        ("SET LOCAL search_path = a", "search_path is pinned"),
        ("SET ROLE postgres", "role is pinned"),
        ("SET SESSION AUTHORIZATION postgres", "session_authorization is pinned"),
        ("SET LOCAL session_replication_role = replica", "session_replication_role is pinned"),
        ("SET LOCAL TIME ZONE 'Europe/Berlin'", "timezone is pinned"),
        ("SET work_mem = '1GB'", "write SET LOCAL work_mem"),
        ("SELECT set_config('search_path', 'a', false)", "set_config() changes settings"),
        ("SELECT pg_advisory_unlock_all()", "pg_advisory_unlock_all() could take its lock"),
        ("SELECT pg_terminate_backend(1)", "pg_terminate_backend() could take"),
        ("PREPARE a AS SELECT 1", "PREPARE is refused: it outlives"),
        ("EXECUTE a", "EXECUTE is refused"),
        ("LISTEN a", "LISTEN is refused"),
        ("DISCARD ALL", "DISCARD is refused"),
        ("EXPLAIN ANALYZE DELETE FROM users", "EXPLAIN is refused"),
        ("COPY users FROM STDIN", "COPY from STDIN or to STDOUT needs a client"),
        ("COPY users FROM PROGRAM 'ls'", "runs a program on the database's server"),
        ("CREATE DATABASE other", "a migration is about the database it runs in"),
        ("CREATE SCHEMA a CREATE TABLE b (c integer)", "needs statements of its own"),
        ("CREATE ROLE a PASSWORD 'b'", "a password has no place in it"),
        ("CREATE USER MAPPING FOR a SERVER b OPTIONS (password 'c')", "a password has no place in it"),
        ("CREATE SUBSCRIPTION a CONNECTION 'password=b' PUBLICATION c", "connection string may hold a password"),
        ("ALTER SUBSCRIPTION a CONNECTION 'password=b'", "connection string may hold a password"),
        ("UPDATE users SET email = $1", "parameters ($1) have no value here"),
        ("DELETE FROM _zanith_migrations", "_zanith_migrations is Zanith's own"),
        ("DROP TABLE users, public._zanith_dropped_a_b", "_zanith_dropped_a_b is Zanith's own"),
        ("DROP SCHEMA _zanith_shadow CASCADE", "_zanith_shadow is Zanith's own"),
        ("WITH a AS (DELETE FROM _zanith_migrations RETURNING 1) SELECT * FROM a", "is Zanith's own"),
    ],
)
def test_what_has_no_place_in_a_migration_is_refused_with_the_reason(sql: str, because: str) -> None:
    assert because in problems(sql)[0]


@pytest.mark.parametrize(
    ("sql", "missing"),
    [
        ("ALTER TABLE userz ADD COLUMN a text", "table public.userz does not exist (did you mean users?)"),
        ("CREATE INDEX ON attic.thing (id)", "table attic.thing does not exist (did you mean things?)"),
        ("DROP TABLE nothing", "table public.nothing does not exist"),
        ("DROP INDEX nothing", "index nothing does not exist"),
        ("TRUNCATE nothing", "table public.nothing does not exist"),
        ("LOCK nothing", "table public.nothing does not exist"),
        ("ALTER TABLE nothing RENAME TO something", "table public.nothing does not exist"),
        ("ALTER TABLE users VALIDATE CONSTRAINT nothing", "constraint nothing of public.users does not exist"),
    ],
)
def test_what_does_not_exist_is_said_before(sql: str, missing: str) -> None:
    assert problems(sql) == [missing]


@pytest.mark.parametrize(
    "sql",
    [
        "ALTER TABLE IF EXISTS nothing ADD COLUMN a text",
        "DROP TABLE IF EXISTS nothing",
        "DROP INDEX IF EXISTS nothing",
        "CREATE INDEX ON totals (total)",
        "LOCK adults",
        "ALTER TABLE tickets OWNER TO corpus_reader",
        "SELECT * FROM _zanith_migrations",
        "CREATE TABLE fresh (id bigint); ALTER TABLE fresh ADD COLUMN a text",
        "DO $$ BEGIN END $$; ALTER TABLE made_by_it ADD COLUMN a text",
        "SET LOCAL work_mem = '64MB'; SET LOCAL app.actor = 'me'; UPDATE users SET old = 'x' WHERE id = 1",
        "SET CONSTRAINTS ALL DEFERRED",
        "CREATE FUNCTION f(a integer) RETURNS integer LANGUAGE sql RETURN $1 + 1",
        "ALTER SUBSCRIPTION a DISABLE",
        "DROP SUBSCRIPTION a",
        "CREATE SERVER a FOREIGN DATA WRAPPER b OPTIONS (host 'c')",
        "ALTER TABLE pg_catalog.pg_class SET (fillfactor = 80)",
    ],
)
def test_what_may_be_done_is_not_refused(sql: str) -> None:
    assert problems(sql) == []


@pytest.mark.parametrize(
    ("given", "because"),
    [
        ({"sql": ""}, "must not be empty"),
        ({"sql": " -- nothing"}, "must not be empty"),
        ({"sql": "SELEC 1"}, "is not valid SQL"),
        ({"sql": "SELECT 1\x00"}, "NUL"),
        ({"sql": "SELECT 1;" * 101}, "has 101 statements; at most 100"),
        ({"sql": f"SELECT {' + '.join(['1'] * 200)}"}, "nested too deeply"),
        ({"sql": "SELECT 1", "undo": "oh"}, "is not valid SQL"),
        ({"sql": "VACUUM users", "doneWhen": "SELECT 1; SELECT 2"}, "a single query that answers one boolean"),
        ({"sql": "VACUUM users", "doneWhen": "SELECT 1, 2"}, "a single query that answers one boolean"),
        ({"sql": "VACUUM users", "doneWhen": "DROP TABLE users"}, "a single query that answers one boolean"),
        ({"sql": "VACUUM users", "doneWhen": "SELECT true INTO a"}, "must only ask"),
        ({"sql": "VACUUM users", "doneWhen": "SELECT true FROM users FOR UPDATE"}, "must only ask"),
        ({"sql": "VACUUM users", "doneWhen": "SELECT $1"}, "must not use parameters"),
        ({"sql": "VACUUM users", "doneWhen": "WITH a AS (DELETE FROM users RETURNING 1) SELECT true"}, "must only ask"),
    ],
)
def test_text_that_is_not_what_it_has_to_be_is_refused_when_read(given: dict[str, Any], because: str) -> None:
    with pytest.raises(ValidationError, match=because):
        RawSql.model_validate(given)


def test_statements_keep_their_text_without_what_surrounds_it() -> None:
    made = statements("-- first\n ALTER TABLE alone /* inner */ ADD \"ü\" text; ; SELECT 'é;' -- last\n;")
    assert [s.sql for s in made] == ['ALTER TABLE alone /* inner */ ADD "ü" text', "SELECT 'é;'"]


def test_all_statements_of_a_step_are_one_transaction() -> None:
    made = statements("ALTER TABLE alone ADD a text; ALTER TABLE alone ADD b text; COMMENT ON TABLE alone IS 'x'")
    assert [s.with_previous for s in made] == [False, True, True]
    assert [s.lock for s in made] == [Lock.ACCESS_EXCLUSIVE, Lock.ACCESS_EXCLUSIVE, Lock.SHARE_UPDATE_EXCLUSIVE]


def test_work_done_while_a_lock_is_held_counts_as_done_under_it() -> None:
    _, working = statements("ALTER TABLE alone ADD a text; UPDATE users SET old = 'x'")
    assert (working.lock, working.work, working.on[0]) == (Lock.ACCESS_EXCLUSIVE, Work.SCAN, USERS)
    assert ALONE in working.on
    assert ("high", "full_scan_under_lock") in findings("ALTER TABLE alone ADD a text; UPDATE users SET old = 'x'")


def test_a_table_made_by_the_step_makes_nobody_wait() -> None:
    sql = "CREATE TABLE fresh (id bigint); CREATE INDEX ON fresh (id); ALTER TABLE fresh ALTER id SET NOT NULL"
    assert [(s.lock, s.on) for s in statements(sql)] == [(Lock.NONE, ())] * 3
    assert "full_scan_under_lock" not in {reason for _, reason in findings(sql)}


def test_a_renamed_table_is_locked_under_the_name_it_had() -> None:
    first, second = statements("ALTER TABLE alone RENAME TO lonely; ALTER TABLE lonely ADD COLUMN a text")
    assert (first.on, second.on) == ((ALONE,), (ALONE,))
    assert first.renames == (ALONE, TableKey("public", "lonely"))
    assert RawSql(sql="ALTER TABLE alone RENAME TO b; ALTER TABLE b SET SCHEMA attic").moves(here()) == {
        ALONE: TableKey("attic", "b")
    }


def test_what_cannot_run_in_a_transaction_stands_alone() -> None:
    assert problems("SELECT 1; VACUUM users") == [
        "statement 2: VACUUM cannot run in a transaction; give it a rawSql step of its own"
    ]
    assert "qualify its names" in problems("VACUUM things", schema="attic")[0]


def test_after_a_crash_done_when_or_the_catalog_tells_whether_it_happened() -> None:
    (vacuum,) = statements("VACUUM users", doneWhen="SELECT true")
    assert (vacuum.transactional, vacuum.done_when) == (False, QueryIsTrue("SELECT true"))
    (build,) = statements("CREATE INDEX CONCURRENTLY i ON users (age)")
    assert build.done_when == IndexIsValid("public", "i", "users")
    (drop,) = statements("DROP INDEX CONCURRENTLY users_age_idx")
    assert drop.done_when == IndexIsAbsent("public", "users_age_idx", "users")
    (unnamed,) = statements("CREATE INDEX CONCURRENTLY ON users (age)")
    assert unnamed.done_when is None
    assert findings("CREATE INDEX CONCURRENTLY ON users (age)")[-1] == ("medium", "raw_sql")
    assert findings("VACUUM users", doneWhen="SELECT true") == [("low", "raw_sql")]


def test_done_when_is_refused_where_it_would_never_be_asked() -> None:
    assert (
        "asked only of a statement that cannot run in a transaction" in problems("SELECT 1", doneWhen="SELECT true")[0]
    )
    told = problems("CREATE INDEX CONCURRENTLY i ON users (age)", doneWhen="SELECT true")
    assert told == ["of CREATE INDEX CONCURRENTLY the catalog tells by itself whether it happened; leave doneWhen out"]


def test_undo_is_judged_against_what_the_step_leaves_behind() -> None:
    made = RawSql(sql="CREATE TABLE fresh (id bigint)", undo_sql="DROP TABLE fresh").undo(here())
    assert [(s.sql, s.on) for s in made.statements] == [("DROP TABLE fresh", (TableKey("public", "fresh"),))]
    assert problems("CREATE TABLE fresh (id bigint)", undo="DROP TABLE freshly") == [
        "undo: table public.freshly does not exist (did you mean fresh?)"
    ]
    assert problems("DO $$ BEGIN END $$", undo="DROP TABLE made_by_it") == []
    assert problems("SELECT 1", undo="COMMIT")[0].startswith("undo: COMMIT is refused")
    assert "undo: VACUUM cannot run in a transaction" in problems("SELECT 1", undo="VACUUM users")[0]
    assert problems("CREATE INDEX i ON users (age)", undo="DROP INDEX CONCURRENTLY i") == []


def test_without_undo_it_cannot_be_taken_back() -> None:
    assert RawSql(sql="SELECT 1").undo(here()).refused == "a rawSql without `undo` cannot be taken back"


def test_names_are_looked_for_in_the_migrations_schema_then_in_public() -> None:
    attic = replace(KNOWN, default_schema="attic")
    found = RawSql(sql="LOCK things; LOCK users").statements(StepContext(attic, MIGRATION, 1, attic.graph))
    assert [s.on for s in found] == [(TableKey("attic", "things"),), (USERS,)]


def test_another_schema_is_set_for_the_transaction() -> None:
    path, lock = statements("LOCK things", schema="attic")
    assert path.sql == 'SET LOCAL search_path = "attic", public, pg_temp'
    assert (lock.on, lock.with_previous) == ((TableKey("attic", "things"),), True)
    assert len(statements("LOCK users", schema="public")) == 1


def test_the_target_is_the_authors_words_or_the_commands_and_tables() -> None:
    def target(**given: Any) -> str:
        return RawSql.model_validate(given).target(here())

    assert target(sql="SELECT 1", target="what it is about") == "what it is about"
    assert target(sql="COMMENT ON TABLE users IS 'x'; GRANT SELECT ON users TO a") == "COMMENT, GRANT (public.users)"
    assert target(sql="NOTIFY a") == "NOTIFY"
    many = "; ".join(f"CREATE TABLE {'t' * 50}{n} (id bigint REFERENCES users)" for n in range(5))
    assert target(sql=many) == "CREATE TABLE (public.users)"
    everything = (
        "TRUNCATE alone, attic.things, base, derived, events, fleeting, logs, numbered, orders, stray, users CASCADE"
    )
    assert len(target(sql=everything)) == 200


def test_later_steps_see_what_the_text_makes() -> None:
    made = planned(
        "CREATE TABLE fresh (id bigint PRIMARY KEY, email text)",
        {"addIndex": {"table": "fresh", "columns": ["email"]}},
        {"alterColumnNullable": {"table": "fresh", "column": "email", "nullable": False}},
    )
    assert [s.kind for s in made.steps] == ["rawSql", "addIndex", "alterColumnNullable"]


def test_what_opaque_code_makes_is_for_a_migration_of_its_own() -> None:
    with pytest.raises(SpecError, match="step 1 changes what cannot be seen before: what needs that belongs into a"):
        planned("DO $$ BEGIN END $$", {"addIndex": {"table": "made_by_it", "columns": ["email"]}})
    with pytest.raises(SpecError, match="steps 1, 2 change what cannot be seen before"):
        planned("CALL work()", "CALL work()", {"addIndex": {"table": "made_by_it", "columns": ["email"]}})


def test_the_plan_says_where_it_cannot_say() -> None:
    text = plan_text([PendingMigration(planned("CALL work()"))], verbose=True)
    assert "lock: ACCESS EXCLUSIVE on tables that cannot be told before" in text
    assert "raw_sql: CALL takes ACCESS EXCLUSIVE on tables that cannot be told before" in text
    assert "opaque_code: what the code of CALL work() does cannot be seen" in text


def test_a_materialised_view_counts_as_big_for_its_size_is_not_known() -> None:
    assert ("high", "full_scan_under_lock") in findings("CREATE INDEX ON totals (total)")
    assert ("high", "full_scan_under_lock") not in findings("REFRESH MATERIALIZED VIEW CONCURRENTLY totals")


def test_a_table_that_is_there_without_a_size_counts_as_big() -> None:
    assert findings("CREATE INDEX ON users (age)")[-1] == ("high", "full_scan_under_lock")


def test_the_graph_after_a_created_table() -> None:
    graph = after(
        "CREATE TABLE fresh (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, parent bigint NOT NULL REFERENCES users, "
        "label varchar(20) DEFAULT 'x' UNIQUE, other bigint NULL, CONSTRAINT c CHECK (other > 0), UNIQUE (parent, label), "
        "FOREIGN KEY (other) REFERENCES orders (id) ON DELETE CASCADE)"
    )
    table = graph.table(TableKey("public", "fresh"))
    assert table is not None
    assert [c.name for c in table.constraints] == [
        "c", "fresh_label_key", "fresh_other_fkey", "fresh_parent_fkey", "fresh_parent_label_key", "fresh_pkey",
    ]  # fmt: skip
    assert [(c.type, c.not_null, c.identity) for c in table.columns][:2] == [
        ("bigint", True, "always"),
        ("bigint", True, None),
    ]


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE fresh (LIKE users)",
        "CREATE TABLE fresh (id bigint CHECK (id > 0))",
        "CREATE TABLE fresh (id bigint, EXCLUDE (id WITH =))",
        "CREATE TABLE fresh (id bigint, id bigint)",
        'CREATE TABLE fresh (id text COLLATE "C")',
        "CREATE TABLE fresh (id bigint) INHERITS (base)",
        "CREATE TABLE fresh (id bigint CONSTRAINT nn NOT NULL)",
        "CREATE TABLE fresh (id bigint GENERATED BY DEFAULT AS IDENTITY, a integer GENERATED ALWAYS AS (1) STORED)",
    ],
)
def test_a_table_no_kind_could_make_is_there_all_the_same(sql: str) -> None:
    assert after(sql).table(TableKey("public", "fresh")) is not None


def test_a_temporary_table_is_nobody_elses() -> None:
    assert after("CREATE TEMP TABLE fresh (id bigint)") == KNOWN.graph
    assert after("CREATE TABLE users (id bigint)") == KNOWN.graph


def test_names_postgresql_gives_are_cut_as_postgresql_cuts_them() -> None:
    long = "t" * 60
    graph = after(
        f"CREATE TABLE {long} (id bigint PRIMARY KEY, c{'c' * 50} text); CREATE INDEX ON {long} (c{'c' * 50})"
    )
    table = graph.table(TableKey("public", long))
    assert table is not None
    assert [c.name for c in table.constraints] == ["t" * 58 + "_pkey"]
    assert [i.name for i in table.indexes] == ["t" * 29 + "_" + "c" * 29 + "_idx"]


@pytest.mark.parametrize(
    "sql",
    [
        "ALTER TABLE users RENAME COLUMN nothing TO something",
        "ALTER TABLE users RENAME CONSTRAINT nothing TO something",
        "ALTER INDEX nothing RENAME TO something",
        "ALTER TYPE mood RENAME TO moods",
        "ALTER VIEW adults SET SCHEMA attic",
        "ALTER SEQUENCE tickets SET SCHEMA attic",
        "ALTER TABLE nothing SET SCHEMA attic",
        "ALTER VIEW adults RENAME TO grown_ups",
        "CREATE INDEX ON nothing (a)",
        "COMMENT ON TABLE nothing IS 'x'",
        "COMMENT ON COLUMN nothing.a IS 'x'",
        "COMMENT ON FUNCTION touch() IS 'x'",
        "DROP INDEX IF EXISTS nothing",
        "ALTER TABLE users ALTER COLUMN nothing SET DEFAULT 1",
        "ALTER TABLE users ADD COLUMN extra integer DEFAULT count(*)",
    ],
)
def test_what_is_not_there_or_not_shown_changes_no_graph(sql: str) -> None:
    assert after(sql) == KNOWN.graph


def test_renamed_parts_of_a_table() -> None:
    graph = after(
        "ALTER TABLE users RENAME COLUMN email TO mail; ALTER INDEX users_email RENAME TO users_mail;"
        "ALTER INDEX users_pkey RENAME TO users_key"
    )
    table = graph.table(USERS)
    assert table is not None
    assert table.column("mail") is not None and table.column("email") is None
    assert {i.name: i.columns for i in table.indexes}["users_mail"] == ("mail",)
    assert table.primary_key is not None and table.primary_key.name == "users_key"


def test_partitions_and_foreign_keys_follow_a_renamed_table() -> None:
    graph = after("ALTER TABLE users RENAME TO people; ALTER TABLE events RENAME TO happenings")
    orders = graph.table(ORDERS)
    assert orders is not None
    assert {c.references for c in orders.constraints} == {None, TableKey("public", "people")}
    assert len(graph.partitions(TableKey("public", "happenings"))) == 3


def test_what_a_dropped_table_takes_along() -> None:
    graph = after("DROP TABLE users CASCADE; DROP VIEW adults; DROP SCHEMA attic CASCADE; DROP TABLE events")
    orders = graph.table(ORDERS)
    assert orders is not None
    assert [c.name for c in orders.constraints] == ["orders_pkey"]
    assert not [t for t in graph.tables if t.schema == "attic" or (t.name.startswith("events_202") and t.partition_of)]
    assert not [v for v in graph.views if v.name == "adults"]


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("COPY users FROM '/tmp/users'", "opaque_code"),
        ("COPY (SELECT 1) TO '/tmp/users'", "opaque_code"),
        ("ALTER EXTENSION a UPDATE", "opaque_code"),
        ("ALTER EXTENSION a ADD TABLE users", "opaque_code"),
        ("REASSIGN OWNED BY a TO b", "opaque_code"),
        ("ALTER TABLE ALL IN TABLESPACE a SET TABLESPACE b", "opaque_code"),
        ("UPDATE users SET old = gen_random_uuid()::text", "requires_backfill"),
        ("INSERT INTO alone SELECT make_things()", "opaque_code"),
        ("CREATE EXTENSION a", "adds_extension"),
        ("DROP EXTENSION a", "drops_extension"),
        ("DROP PUBLICATION news", "replication_impact"),
        ("CREATE PUBLICATION p FOR TABLE base", "published_without_replica_identity"),
        ("CREATE PUBLICATION p FOR ALL TABLES", "replication_impact"),
        ("MERGE INTO alone USING users u ON alone.id = u.id WHEN MATCHED THEN DELETE", "deletes_rows"),
        ("MERGE INTO alone USING users u ON alone.id = u.id WHEN NOT MATCHED THEN INSERT (id) VALUES (1)", "raw_sql"),
        ("DROP INDEX users_age_idx CASCADE", "drops_index"),
        ("CREATE TRIGGER t AFTER UPDATE ON users EXECUTE FUNCTION touch()", "user_triggers_fire"),
        ("UPDATE orders SET note = 'x' WHERE id = 1", "user_triggers_fire"),
        ("ALTER TABLE users ADD CONSTRAINT p PRIMARY KEY USING INDEX users_code", "full_scan_under_lock"),
        ("ALTER TABLE orders ADD PRIMARY KEY USING INDEX nothing", "full_scan_under_lock"),
        ("ALTER TABLE users ADD COLUMN extra integer NOT NULL", "adds_required_column_without_default"),
        ("ALTER INDEX users_age_idx SET TABLESPACE a", "table_rewrite"),
        ("VACUUM FULL", "table_rewrite"),
        ("VACUUM (FULL true) users", "table_rewrite"),
        ("VACUUM (FULL 1) users", "table_rewrite"),
        ("VACUUM (FULL on) users", "table_rewrite"),
        ("VACUUM (FULL off) users", "raw_sql"),
        ("ALTER TABLE users SET WITHOUT OIDS", "opaque_code"),
        ("ALTER TABLE users ADD COLUMN extra integer DEFAULT count(*)", "table_rewrite"),
        ("ALTER FUNCTION touch() SET SCHEMA attic", "raw_sql"),
        ("CREATE TABLE fresh (id bigint PRIMARY KEY, parent bigint REFERENCES fresh)", "adds_table"),
    ],
)
def test_reasons(sql: str, reason: str) -> None:
    known = replace(KNOWN, volatile_functions=KNOWN.volatile_functions | {"make_things"})
    found = brief(RawSql(sql=sql).findings(StepContext(known, MIGRATION, 1, known.graph)))
    assert reason in {r for _, r in found}


def test_a_hot_index_is_said_to_be_one() -> None:
    hot = here(index_scans={("public", "users_age_idx"): 7})
    assert ("medium", "drops_hot_index") in brief(RawSql(sql="DROP INDEX users_age_idx").findings(hot))


@pytest.mark.parametrize(
    ("sql", "lock", "tables"),
    [
        ("ALTER INDEX nothing SET (fillfactor = 80)", Lock.ACCESS_EXCLUSIVE, set()),
        ("ALTER MATERIALIZED VIEW totals SET (fillfactor = 80)", Lock.ACCESS_EXCLUSIVE, {"totals"}),
        ("ALTER VIEW adults SET (security_barrier)", Lock.ACCESS_EXCLUSIVE, {"adults"}),
        ("ALTER TABLE ONLY events ADD CONSTRAINT c CHECK (id > 0) NO INHERIT", Lock.ACCESS_EXCLUSIVE, {"events"}),
        ("ALTER INDEX events_pkey ATTACH PARTITION events_2026_pkey", Lock.ACCESS_EXCLUSIVE, {"events"}),
        ("ALTER TABLE logs DETACH PARTITION logs_2024", Lock.ACCESS_EXCLUSIVE, {"logs", "logs_2024"}),
        ("ALTER TABLE logs DETACH PARTITION logs_2024 FINALIZE", Lock.ACCESS_EXCLUSIVE, {"logs", "logs_2024"}),
        ("ALTER TABLE users DROP CONSTRAINT nothing", Lock.ACCESS_EXCLUSIVE, {"users"}),
        ("ALTER TABLE users DROP CONSTRAINT users_age_not_null", Lock.ACCESS_EXCLUSIVE, {"users"}),
        ("REINDEX SCHEMA public", Lock.ACCESS_EXCLUSIVE, set()),
        ("REINDEX TABLE events", Lock.ACCESS_EXCLUSIVE, {"events", "events_2024", "events_2025", "events_rest"}),
        ("REINDEX INDEX nothing", Lock.ACCESS_EXCLUSIVE, set()),
        ("REINDEX INDEX attic.things_pkey", Lock.ACCESS_EXCLUSIVE, {"things"}),
        ("CLUSTER", Lock.ACCESS_EXCLUSIVE, set()),
        ("CREATE CONSTRAINT TRIGGER t AFTER INSERT ON users FROM alone FOR EACH ROW EXECUTE FUNCTION touch()",
         Lock.SHARE_ROW_EXCLUSIVE, {"users", "alone"}),
        ("UPDATE nothing SET a = 1", Lock.ACCESS_EXCLUSIVE, set()),
        ("COPY users FROM '/tmp/a'", Lock.ROW_EXCLUSIVE, {"users"}),
        ("ALTER SEQUENCE tickets RESTART", Lock.SHARE_ROW_EXCLUSIVE, {"tickets"}),
        ("ALTER TABLE tickets RENAME TO numbers", Lock.ACCESS_EXCLUSIVE, {"tickets"}),
        ("ALTER TABLE users_age_idx RENAME TO by_age", Lock.ACCESS_EXCLUSIVE, {"users"}),
        ("ALTER TABLE users_age_idx SET (fillfactor = 80)", Lock.ACCESS_EXCLUSIVE, {"users"}),
        ("ALTER INDEX alone RENAME TO lonely", Lock.ACCESS_EXCLUSIVE, {"alone"}),
        ("ALTER SEQUENCE tickets OWNER TO corpus_reader", Lock.ACCESS_EXCLUSIVE, {"tickets"}),
        ("DROP VIEW adults", Lock.ACCESS_EXCLUSIVE, {"adults"}),
        ("LOCK adults IN EXCLUSIVE MODE", Lock.EXCLUSIVE, {"adults", "users"}),
        ("ALTER TYPE shape RENAME ATTRIBUTE a TO b", Lock.NONE, set()),
        ("SELECT * FROM adults", Lock.ACCESS_SHARE, {"users"}),
        ("CREATE ROLE a", Lock.NONE, set()),
        ("CHECKPOINT", Lock.NONE, set()),
        ("ALTER TABLE users ALTER COLUMN id TYPE integer", Lock.ACCESS_EXCLUSIVE, {"users", "orders"}),
    ],
)  # fmt: skip
def test_locks(sql: str, lock: Lock, tables: set[str]) -> None:
    known = here(not_null_names={(USERS, "age"): "users_age_not_null"})
    (found,) = RawSql(sql=sql).statements(known)
    assert (found.lock, {t.name for t in found.on}) == (lock, tables)


@pytest.mark.parametrize(
    ("sql", "safer"),
    [
        ("UPDATE users SET (email, old) = ('a', 'b')", "backfill changes rows in batches"),
        ("UPDATE orders SET note = u.email FROM users u", "backfill changes rows in batches"),
        ("UPDATE users SET email = 'a' WHERE id = 1 OR true", '- backfill: {table: users, set: {email: "\'a\'"}, where: "id = 1 OR true"}'),
        ("CREATE INDEX ON attic.things (id)", "- addIndex: {schema: attic, table: things, columns: [id]}"),
        ("CREATE INDEX ON users USING hash (\"order\") WHERE age > 1", '- addIndex: {table: users, columns: [order], method: hash, where: "age > 1"}'),
        ("CREATE INDEX ON events (what)", "CREATE INDEX ON ONLY the partitioned table"),
        ("DROP INDEX attic.things_pkey", "- dropIndex: {schema: attic, name: things_pkey}"),
        ("ALTER TABLE users ADD COLUMN \"null\" uuid NOT NULL DEFAULT gen_random_uuid()",
         '- addColumn: {table: users, column: "null", type: uuid, default: "gen_random_uuid()", nullable: false}'),
    ],
)  # fmt: skip
def test_the_safer_way(sql: str, safer: str) -> None:
    assert [f.safer for f in RawSql(sql=sql).findings(here()) if f.safer.startswith(safer)]


@pytest.mark.parametrize(
    ("change", "work"),
    [
        ("born TYPE timestamp(3)", Work.REWRITE),
        ("old TYPE text", Work.CATALOG),
        ("nothing TYPE text", Work.REWRITE),
        ("email TYPE varchar", Work.BUILD),
        ("label TYPE varchar(50)", Work.SCAN),
        ("mood TYPE text", Work.REWRITE),
        ("price TYPE numeric(5,2)", Work.REWRITE),
        ("amount TYPE public.wide", Work.CATALOG),
        ("amount TYPE wide", Work.REWRITE),
        ("name TYPE varchar(50) USING name", Work.CATALOG),
    ],
)
def test_work_of_type_changes(change: str, work: Work) -> None:
    (found,) = statements(f"ALTER TABLE users ALTER COLUMN {change}")
    assert found.work is work


def test_bits_and_addresses_and_expressions_over_a_column() -> None:
    users = KNOWN.graph.table(USERS)
    assert users is not None
    extra = (
        Column("b", "bit varying(5)"),
        Column("n", "cidr"),
        Column("w", "text"),
        Column("g", "geometry(Point,4326)"),
    )
    index = Index("by_w", "CREATE INDEX by_w ON public.users USING btree (lower(w))", ("w",))
    known = replace(
        KNOWN, graph=KNOWN.graph.with_table(replace(users, columns=(*users.columns, *extra)).with_index(index))
    )

    def work(change: str) -> Work:
        ctx = StepContext(known, MIGRATION, 1, known.graph)
        return RawSql(sql=f"ALTER TABLE users ALTER COLUMN {change}").statements(ctx)[0].work

    assert work("b TYPE bit varying(9)") is Work.CATALOG
    assert work("n TYPE inet") is Work.CATALOG
    assert work("w TYPE varchar") is Work.BUILD
    assert work("g TYPE geometry(Point,4326)") is Work.REWRITE


def test_what_foreign_keys_reach_is_locked_however_far_and_in_circles() -> None:
    users, orders = KNOWN.graph.table(USERS), KNOWN.graph.table(ORDERS)
    assert users is not None and orders is not None
    back = Constraint("back", "foreign_key", "FOREIGN KEY (age) REFERENCES orders(id)", ("age",), references=ORDERS)
    silent = replace(orders, triggers=tuple(replace(t, enabled=False) for t in orders.triggers))
    circle = KNOWN.graph.with_table(users.with_constraint(back)).with_table(silent)
    ctx = StepContext(replace(KNOWN, graph=circle), MIGRATION, 1, circle)
    deleting = RawSql(sql="DELETE FROM orders")
    assert set(deleting.statements(ctx)[0].on) == {USERS, ORDERS}
    assert "user_triggers_fire" not in {reason for _, reason in brief(deleting.findings(ctx))}


def test_labels_of_an_enum_in_their_order() -> None:
    graph = after(
        "CREATE TYPE size AS ENUM ('m'); ALTER TYPE size ADD VALUE 's' BEFORE 'm'; ALTER TYPE size ADD VALUE 'l' AFTER 'm';"
        "ALTER TYPE size ADD VALUE IF NOT EXISTS 'l'; ALTER TYPE size ADD VALUE 'xl'; ALTER TYPE size RENAME VALUE 'm' TO 'M'"
    )
    assert {e.name: e.labels for e in graph.enums} == {"mood": ("sad", "happy"), "size": ("s", "M", "l", "xl")}
