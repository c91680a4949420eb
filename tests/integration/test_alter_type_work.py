"""What a change of type does to a table, measured: no Work that is declared is weaker than what PostgreSQL did.

A rewrite shows as another relfilenode of the table, an index built anew as another one of the index, a scan as rows
read. And of each value that the probe lets pass, the cast gives something that is the same when it is cast back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import psycopg
import pytest

from operations_harness.driving import spec_of
from servers import Database
from zanith.core.graph import Facts
from zanith.core.sql import raw
from zanith.core.statement import Work
from zanith.operations.operation import Operation
from zanith.operations.step_context import StepContext
from zanith.postgres.catalog import read_facts
from zanith.postgres.connecting import ConnectionSettings, connect

ORDER = (Work.CATALOG, Work.SCAN, Work.BUILD, Work.REWRITE)


class Pair(NamedTuple):
    """From one type to another, with a value of the first; `catalog` where it has to be known that no row is touched."""

    old: str
    new: str
    value: str
    using: str | None = None
    catalog: bool = False


TEXT, TIME, UUID = "'a'", "'2026-03-28 12:00:00'", "'b5e3f2a0-0000-0000-0000-000000000000'"
PAIRS = [
    Pair("varchar(20)", "varchar(50)", TEXT, catalog=True),
    Pair("varchar(20)", "varchar", TEXT, catalog=True),
    Pair("varchar(20)", "text", TEXT, catalog=True),
    Pair("varchar", "text", TEXT, catalog=True),
    Pair("text", "varchar", TEXT, catalog=True),
    Pair("varchar(20)", "varchar(50)", TEXT, "c::varchar(50)", catalog=True),
    Pair("text", "varchar(20)", TEXT),
    Pair("text", "varchar(20)", TEXT, "c::varchar(20)"),
    Pair("text", "varchar(20)", TEXT, "left(c, 20)"),
    Pair("varchar(50)", "varchar(20)", TEXT),
    Pair("varchar", "varchar(20)", TEXT),
    Pair("char(10)", "char(20)", TEXT),
    Pair("char(10)", "char(5)", TEXT),
    Pair("char(10)", "varchar(20)", TEXT),
    Pair("char(10)", "text", TEXT),
    Pair("char(10)", "bpchar", TEXT),
    Pair("bpchar", "text", TEXT),
    Pair("text", "char(10)", TEXT),
    Pair("text", "text", TEXT, "lower(c)"),
    Pair("numeric(10,2)", "numeric(12,2)", "1", catalog=True),
    Pair("numeric(10,2)", "numeric", "1", catalog=True),
    Pair("numeric(10)", "numeric(12)", "1", catalog=True),
    Pair("numeric", "numeric(10,2)", "1"),
    Pair("numeric(10,2)", "numeric(12,3)", "1"),
    Pair("numeric(10,2)", "numeric(14,4)", "1"),
    Pair("numeric(10,2)", "numeric(8,2)", "1"),
    Pair("integer", "bigint", "1"),
    Pair("smallint", "integer", "1"),
    Pair("bigint", "integer", "1"),
    Pair("integer", "numeric", "1"),
    Pair("integer", "numeric(12,2)", "1"),
    Pair("numeric", "integer", "1"),
    Pair("integer", "double precision", "1"),
    Pair("double precision", "integer", "1"),
    Pair("real", "double precision", "1"),
    Pair("double precision", "real", "1"),
    Pair("double precision", "numeric", "1"),
    Pair("numeric", "double precision", "1"),
    Pair("integer", "text", "1"),
    Pair("integer", "varchar(5)", "1"),
    Pair("timestamp", "timestamptz", TIME, "c::timestamptz"),
    Pair("timestamptz", "timestamp", TIME, "c::timestamp"),
    Pair("timestamp", "timestamptz", TIME, "c AT TIME ZONE 'UTC'"),
    Pair("timestamp(3)", "timestamp(6)", TIME, catalog=True),
    Pair("timestamp(3)", "timestamp", TIME, catalog=True),
    Pair("timestamp", "timestamp(6)", TIME, catalog=True),
    Pair("timestamptz(3)", "timestamptz", TIME, catalog=True),
    Pair("timestamp", "timestamp(3)", TIME),
    Pair("timestamp", "timestamptz(3)", TIME, "c::timestamptz(3)"),
    Pair("time(3)", "time", "'10:00'", catalog=True),
    Pair("timetz(3)", "timetz", "'10:00'", catalog=True),
    Pair("interval(3)", "interval", "'1s'", catalog=True),
    Pair("interval", "interval(3)", "'1s'"),
    Pair("date", "timestamp", TIME),
    Pair("timestamp", "date", TIME),
    Pair("varbit(5)", "varbit(9)", "B'1'", catalog=True),
    Pair("varbit(5)", "varbit", "B'1'", catalog=True),
    Pair("varbit(9)", "varbit(5)", "B'1'"),
    Pair("cidr", "inet", "'10.0.0.0/8'", catalog=True),
    Pair("inet", "cidr", "'10.0.0.0/8'"),
    Pair("jsonb", "text", "'{}'"),
    Pair("text", "jsonb", "'{}'", "c::jsonb"),
    Pair("text", "uuid", UUID, "c::uuid"),
    Pair("uuid", "text", UUID),
    Pair("text", "integer", "'1'", "c::integer"),
    Pair("text", "boolean", "'t'", "c::boolean"),
    Pair("boolean", "text", "true"),
    Pair("boolean", "integer", "true", "c::integer"),
    Pair("text", "bytea", TEXT, "c::bytea"),
    Pair("text", "mood", TEXT, "c::mood"),
    Pair("mood", "text", TEXT),
    Pair("mood", "varchar(9)", TEXT),
    Pair("text", "plain_domain", TEXT),
    Pair("text", "checked_domain", TEXT),
    Pair("plain_domain", "text", TEXT),
    Pair("checked_domain", "text", TEXT),
    Pair("varchar(20)[]", "text[]", "'{a}'"),
    Pair("integer[]", "bigint[]", "'{1}'"),
]
DRESSES = {
    "bare": "",
    "index": "CREATE INDEX {t}_i ON {t} (c)",
    "partial": "CREATE INDEX {t}_i ON {t} (id) WHERE c IS NOT NULL",
    "expression": "CREATE INDEX {t}_i ON {t} ((c IS NULL), c)",
    "unique": "ALTER TABLE {t} ADD CONSTRAINT {t}_i UNIQUE (c)",
    "check": "ALTER TABLE {t} ADD CHECK (c IS NOT NULL)",
    "unchecked": "ALTER TABLE {t} ADD CHECK (c IS NOT NULL) NOT VALID",
    "other_check": "ALTER TABLE {t} ADD CHECK (id > 0)",
}


@dataclass(frozen=True)
class Measured:
    work: Work
    type: str


def test_declared_work_is_never_weaker_than_measured(pg: Database) -> None:
    assert len(PAIRS) >= 40
    pg.execute(
        "CREATE TYPE mood AS ENUM ('a', 'b'); CREATE DOMAIN plain_domain AS text;"
        "CREATE DOMAIN checked_domain AS text CHECK (value <> 'zz')"
    )
    tables = [(f"t{number}_{dress}", pair, dress) for number, pair in enumerate(PAIRS) for dress in DRESSES]
    for name, pair, dress in tables:
        pg.execute(
            f"CREATE TABLE {name} (id integer, c {pair.old}); INSERT INTO {name} VALUES (1, {pair.value});"
            + DRESSES[dress].format(t=name)
        )
    settings = ConnectionSettings.from_dsn(pg.dsn, "public")
    weaker, heavier = [], []
    with connect(settings, application_name="test") as conn:
        facts = read_facts(conn, "public")
        for name, pair, dress in tables:
            operation = _change(name, pair)
            ctx = _context(facts)
            assert list(operation.problems(ctx)) == [], pair
            declared = operation.statements(ctx)[0].work
            measured = _measure(conn, name, operation.statements(ctx)[0].sql)
            projected = operation.project(ctx).table(ctx.key(None, name))
            assert projected is not None
            assert [c.type for c in projected.columns if c.name == "c"] in (
                [measured.type],
                [f"public.{measured.type}"],
            )
            if ORDER.index(declared) < ORDER.index(measured.work):
                weaker.append((pair, dress, declared, measured.work))
            if pair.catalog and declared is not measured.work:
                heavier.append((pair, dress, declared, measured.work))
    assert weaker == []
    assert heavier == []


def _change(table: str, pair: Pair) -> Operation:
    given = {"table": table, "column": "c", "type": pair.new} | ({"using": pair.using} if pair.using else {})
    return spec_of([{"alterColumnType": given}]).steps[0].operation


def _context(facts: Facts) -> StepContext:
    return StepContext(facts, "20260328_types", 1, facts.graph)


def _measure(conn: psycopg.Connection[Any], table: str, statement: str) -> Measured:
    """What the statement does, looked at in its own transaction, which is rolled back."""
    with conn.transaction(force_rollback=True):
        files, rows = _files(conn, table), _rows_read(conn, table)
        conn.execute(raw(statement))
        changed = {name for name, file in _files(conn, table).items() if files.get(name) != file}
        scanned = _rows_read(conn, table) > rows
        found = conn.execute(
            "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = %s::regclass AND attname = 'c'",
            [table],
        ).fetchone()
    assert found is not None
    work = Work.REWRITE if table in changed else Work.BUILD if changed else Work.SCAN if scanned else Work.CATALOG
    return Measured(work, found[0])


def _files(conn: psycopg.Connection[Any], table: str) -> dict[str, int]:
    query = "SELECT relname, relfilenode FROM pg_class WHERE relname IN (%s, %s)"
    return dict(conn.execute(query, [table, f"{table}_i"]).fetchall())


def _rows_read(conn: psycopg.Connection[Any], table: str) -> int:
    query = "SELECT seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = %s"
    found = conn.execute(query, [table]).fetchone()
    return 0 if found is None else int(found[0])


class Values(NamedTuple):
    """Values that survive a change of type, and values that do not; `since` the version that can be asked."""

    old: str
    new: str
    kept: tuple[str, ...]
    lost: tuple[str, ...]
    using: str | None = None
    since: int = 15


VALUES = [
    Values("varchar(20)", "varchar(3)", ("'abc'", "'äöü'", "NULL"), ("'abcd'", "'abc '")),
    Values("text", "char(3)", ("'abc'", "'a'", "' a'"), ("'abcd'", "'ab '")),
    Values("char(5)", "char(3)", ("'abc'", "'a'"), ("'abcd'",)),
    Values("char(5)", "varchar(3)", ("'abc'",), ("'abcd'",)),
    Values("integer", "varchar(2)", ("99", "-9"), ("100",)),
    Values("bigint", "integer", ("2147483647", "-2147483648"), ("2147483648", "-2147483649")),
    Values("integer", "smallint", ("32767",), ("32768",)),
    Values("numeric", "integer", ("1.00", "-7"), ("1.5", "2147483648", "'NaN'", "'Infinity'")),
    Values("numeric(12,4)", "numeric(5,2)", ("999.99", "-1.2300"), ("1000", "0.001")),
    Values("numeric", "numeric(5,2)", ("999.99", "'NaN'"), ("1000", "0.001", "'Infinity'")),
    Values("integer", "numeric(4,2)", ("99",), ("100",)),
    Values("integer", "numeric(3,-2)", ("1200", "99900"), ("1250", "100000")),
    Values("bigint", "double precision", ("9007199254740992",), ("9007199254740993",)),
    Values("integer", "real", ("16777216",), ("16777217",)),
    Values("double precision", "integer", ("7", "-2147483648"), ("0.5", "2147483648", "'NaN'", "'Infinity'")),
    Values("double precision", "bigint", ("7", "-9223372036854775808"), ("9223372036854775808", "'-Infinity'")),
    Values("double precision", "real", ("0.5", "'NaN'", "'Infinity'", "0"), ("1e39", "1e-50")),
    Values("double precision", "numeric(5,2)", ("999", "'NaN'"), ("1000", "'Infinity'")),
    Values("numeric", "double precision", ("0.5", "'NaN'", "'Infinity'"), ("1e309",)),
    Values("timestamp", "timestamp(0)", (TIME,), ("'2026-03-28 12:00:00.5'",)),
    Values("timestamp", "date", ("'2026-03-28'", "'infinity'"), (TIME,)),
    Values("date", "timestamp", ("'2026-03-28'", "'infinity'"), ("'294277-01-01'",)),
    Values("interval", "interval(0)", ("'1 day'",), ("'0.5s'",)),
    Values("varbit", "varbit(3)", ("B'101'",), ("B'1010'",)),
    Values("inet", "cidr", ("'10.0.0.0/8'",), ("'10.0.0.1/8'",)),
    Values("text", "integer", ("'1'", "' -2 '"), ("'x'", "'1.5'", "''", "'2147483648'"), "c::integer"),
    Values("text", "numeric(5,2)", ("'999.99'", "'1e2'", "'.5'"), ("'x'", "'1000'", "''"), "c::numeric(5,2)"),
    Values("text", "boolean", ("'t'", "' YES '", "'off'"), ("'x'", "'2'", "'o'"), "c::boolean"),
    Values("text", "uuid", (UUID, "'{B5E3F2A0000000000000000000000000}'"), ("'x'", "'b5e3'"), "c::uuid"),
    Values("text", "mood", ("'a'",), ("'c'", "'A'"), "c::mood"),
    Values("text", "date", (TIME, "'today'"), ("'x'", "'2026-02-30'"), "c::date", since=16),
    Values("text", "jsonb", ("'{}'",), ("'{'",), "c::jsonb", since=16),
    Values("text", "varchar(3)[]", ("'{a,b}'",), ("'{'",), "c::varchar(3)[]", since=16),
]  # fmt: skip


@pytest.mark.parametrize("values", VALUES, ids=lambda v: f"{v.old} to {v.new}")
def test_the_probe_finds_exactly_the_values_that_do_not_survive(pg: Database, values: Values) -> None:
    pg.execute("CREATE TYPE mood AS ENUM ('a', 'b')")
    rows = ", ".join(f"({number}, {value})" for number, value in enumerate((*values.kept, *values.lost)))
    pg.execute(f"CREATE TABLE t (id integer PRIMARY KEY, c {values.old}); INSERT INTO t VALUES {rows}")
    operation = _change("t", Pair(values.old, values.new, "", values.using))
    with connect(ConnectionSettings.from_dsn(pg.dsn, "public"), application_name="test") as conn:
        ctx = _context(read_facts(conn, "public"))
        probes = operation.probes(ctx)
        if pg.version < values.since:
            assert probes == ()
            assert "cannot be asked" in " ".join(f.why for f in operation.findings(ctx))
            return
        (probe,) = probes
        for number in range(len(values.kept), len(values.kept) + len(values.lost)):
            assert conn.execute(raw(probe.sql)).fetchone() == (1,)
            assert (number,) in conn.execute(raw(probe.sample_sql)).fetchall()
            conn.execute("DELETE FROM t WHERE id = %s", [number])
        assert conn.execute(raw(probe.sql)).fetchall() == []
        conn.execute(raw(f"ALTER TABLE t ADD old {values.old}"))
        conn.execute("UPDATE t SET old = c")
        conn.execute(raw(operation.statements(ctx)[0].sql))
        assert conn.execute("SELECT count(*) FROM t").fetchone() == (len(values.kept),)
        if not operation.undo(ctx).refused:
            conn.execute(raw(operation.undo(ctx).statements[0].sql))
            assert conn.execute("SELECT c, old FROM t WHERE c <> old").fetchall() == []
