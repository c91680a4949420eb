"""What only PostgreSQL knows is found out on empty copies, before anything is begun; the user's tables are not touched."""

from __future__ import annotations

from typing import Any

import pytest

from operations_harness.driving import Driver, spec_of
from servers import Database
from zanith.core.errors import SpecError
from zanith.postgres.catalog import read_facts
from zanith.postgres.connecting import ConnectionSettings, connect
from zanith.postgres.rehearsing import rehearse

TABLE = (
    "CREATE TYPE mood AS ENUM ('fine');"
    'CREATE TABLE "Users" (id bigint PRIMARY KEY, n integer CONSTRAINT positive CHECK (n > 0), a text, at timestamptz,'
    " doc json, tags text[]);"
    'CREATE INDEX by_next ON "Users" ((n + 1));'
    "INSERT INTO \"Users\" VALUES (1, 1, 'x', now())"
)

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"alterColumnDefault": {"column": "n", "default": "'q'"}}, "default of public.Users.n: invalid input syntax for type integer"),
    ({"alterColumnDefault": {"column": "n", "default": "now()"}}, "default of public.Users.n: column .n. is of type integer"),
    ({"addColumn": {"column": "m", "type": "mood", "default": "'sad'"}}, "default of public.Users.m: invalid input value for enum"),
    (
        {"addColumn": {"column": "m", "type": "numeric(4,2)", "default": "12345"}},
        "default of public.Users.m: numeric field overflow",
    ),
    ({"addColumn": {"column": "m", "type": "nowhere"}}, "column public.Users.m: type .nowhere. does not exist"),
    ({"addGeneratedColumn": {"column": "g", "type": "text", "expression": "(at)::text", "storage": "Stored"}},
     "column public.Users.g: generation expression is not immutable"),
    ({"addGeneratedColumn": {"column": "g", "type": "integer", "expression": "a", "storage": "Stored"}},
     "column public.Users.g: column .g. is of type integer"),
    ({"addIndex": {"columns": ["((at)::date)"]}}, "index Users_expr_idx of public.Users: functions in index expression"),
    ({"addIndex": {"columns": ["a"], "method": "gin"}}, "index Users_a_idx of public.Users: data type text has no default"),
    ({"alterColumnType": {"column": "n", "type": "text"}}, "constraint positive of public.Users: operator does not exist"),
    ({"alterColumnType": {"column": "a", "type": "integer", "using": "at"}}, "changing the type of public.Users.a: "),
    ({"createPolicy": {"name": "p", "using": "n"}}, "policy p of public.Users: argument of POLICY must be type boolean"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("step", "why"), REFUSED, ids=lambda value: next(iter(value)) if isinstance(value, dict) else ""
)
def test_what_postgresql_would_refuse_is_refused_before_anything_is_begun(
    pg: Database, step: dict[str, Any], why: str
) -> None:
    driver = _driver(pg, [{"addColumn": {"table": "Users", "column": "first", "type": "text"}}, step])
    before = driver.graph()
    kind = next(iter(step))
    with pytest.raises(SpecError, match=rf"spec\.steps\[1\]\.{kind}: PostgreSQL refuses {why}"):
        driver.apply()
    assert driver.graph() == before
    assert driver.record().frozen is None
    assert driver.record().attempts == ()


def test_a_created_table_is_rehearsed_whole(pg: Database) -> None:
    columns = [{"name": "id", "type": "bigint"}, {"name": "doc", "type": "json", "default": "'{'"}]
    table = {"table": "made", "columns": columns, "primaryKey": ["id"]}
    with pytest.raises(SpecError, match=r"default of public\.made\.doc: invalid_text_representation"):
        _driver(pg, [{"createTable": table}]).apply()
    columns[1] = {"name": "doc", "type": "json"}
    with pytest.raises(SpecError, match=r"constraint made_doc_key of public\.made: data type json has no default"):
        _driver(pg, [{"createTable": table | {"uniques": [{"columns": ["doc"]}]}}]).apply()
    with pytest.raises(SpecError, match=r"constraint c of public\.made: operator does not exist"):
        _driver(pg, [{"createTable": table | {"checks": [{"name": "c", "expression": "id > 'x'::text"}]}}]).apply()


def test_the_table_itself_is_not_locked(pg18: Database) -> None:
    driver = _driver(pg18, [REFUSED[0][0]])
    facts = _facts(driver)
    with pg18.connect() as blocker, connect(driver.settings, application_name="test") as conn:
        blocker.execute("BEGIN")
        blocker.execute('LOCK TABLE "Users" IN ACCESS EXCLUSIVE MODE')
        conn.execute("SET statement_timeout = '2s'")
        with pytest.raises(SpecError):
            rehearse(conn, driver.spec, facts)


def test_what_an_earlier_step_makes_unseen_is_not_missed(pg18: Database) -> None:
    made = {"rawSql": {"sql": "CREATE DOMAIN short AS varchar(5)", "undo": "DROP DOMAIN short"}}
    driver = _driver(pg18, [made, {"addColumn": {"table": "Users", "column": "s", "type": "short"}}])
    driver.apply()
    assert pg18.value("SELECT count(*) FROM pg_attribute WHERE attname = 's' AND atttypid = 'short'::regtype") == 1


def test_a_generated_column_of_a_soft_dropped_one_is_no_hindrance(pg18: Database) -> None:
    pg18.execute("CREATE TABLE t (id bigint PRIMARY KEY, n integer, twice integer GENERATED ALWAYS AS (n * 2) STORED)")
    steps = [
        {"softDropColumn": {"table": "t", "column": "n"}},
        {"renameTable": {"table": "t", "newName": "u"}},
        {"addColumn": {"table": "u", "column": "m", "type": "integer", "default": "'5'"}},
    ]
    _driver(pg18, steps).apply()
    assert pg18.value("SELECT count(*) FROM pg_attribute WHERE attrelid = 'u'::regclass AND attname = 'm'") == 1


def test_what_a_function_says_of_rows_is_not_repeated(pg18: Database) -> None:
    pg18.execute(
        TABLE.replace("'x'", "'a secret'") + ";CREATE FUNCTION told() RETURNS text STABLE LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION '%', (SELECT a FROM \"Users\"); END $$"
    )
    with pytest.raises(SpecError, match=r"default of public\.Users\.m: raise_exception") as caught:
        _driver(pg18, [{"addColumn": {"column": "m", "type": "text", "default": "told()"}}]).apply()
    assert "secret" not in str(caught.value)


def test_where_no_temporary_table_can_be_made_nothing_is_asked(pg18: Database) -> None:
    driver = _driver(pg18, [{"alterColumnDefault": {"column": "n", "default": "'q'"}}])
    pg18.execute(f'REVOKE TEMP ON DATABASE "{pg18.name}" FROM PUBLIC; GRANT USAGE ON SCHEMA public TO PUBLIC')
    facts = _facts(driver)
    with connect(ConnectionSettings.from_dsn(pg18.create_login(), "public"), application_name="test") as conn:
        rehearse(conn, driver.spec, facts)


def _driver(database: Database, steps: list[dict[str, Any]]) -> Driver:
    if database.value("SELECT to_regclass('\"Users\"')") is None:
        database.execute(TABLE)
    given = [
        {k: {"table": "Users", **v} if k not in ("rawSql", "createTable") else v}
        for step in steps
        for k, v in step.items()
    ]
    return Driver(database, spec_of(given, gates={"maxRisk": 100, "allowDestructive": True}))


def _facts(driver: Driver) -> Any:
    with connect(driver.settings, application_name="test") as conn:
        return read_facts(conn, "public")
