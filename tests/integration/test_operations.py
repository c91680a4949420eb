"""Every operation kind through the harness, on PostgreSQL 15 and 18, with ordinary and hostile names."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from psycopg import sql

from operations_harness.all_cases import CASES
from operations_harness.cases import NAMINGS, Case
from operations_harness.driving import Driver, Recorder, prepare
from servers import Database
from zanith.core.errors import Refusal
from zanith.core.graph import Facts, SchemaGraph
from zanith.core.identifiers import TableKey, fit, table_ident
from zanith.core.risk import RiskLevel
from zanith.core.sql import raw
from zanith.core.statement import Lock, Statement
from zanith.execution.steps import transactions
from zanith.operations.step_context import StepContext
from zanith.planning.plan import Plan
from zanith.postgres.catalog import read_facts
from zanith.postgres.connecting import connect

EXPAND = next(c for c in CASES if c.name == "expand")
every_case = pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
# Versions differ in their forms, namings in what is quoted: each case on both versions, by two of the namings each.
PLACES = [(18, "ordinary"), (18, "long"), (15, "mixed_case"), (15, "reserved")]
every_place = pytest.mark.parametrize(
    ("pg", "naming"),
    [(version, NAMINGS[naming]) for version, naming in PLACES],
    indirect=["pg"],
    ids=[f"postgres{version}-{naming}" for version, naming in PLACES],
)


@every_case
@every_place
def test_apply_gives_the_projected_schema_resuming_nothing_and_undo_the_schema_of_before(
    pg: Database, case: Case, naming: dict[str, str]
) -> None:
    driver = prepare(pg, case, naming)
    before, projected = driver.graph(), _projected(driver)
    plan = driver.plan()
    driver.apply()
    assert driver.graph() == projected
    assert _kept_or_said(driver, plan, before)
    pg.execute("DELETE FROM _zanith_migrations")
    again = Recorder()
    assert driver.apply(again).applied_at is not None
    assert again.count("statement_started") == 0

    if case.undo_refused and case.undo_refused != "soft":
        with pytest.raises(Refusal, match=case.undo_refused):
            driver.undo(len(case.steps))
        return
    for number in range(len(case.steps), 0, -1):
        driver.undo(number)
    assert _without_column_order(driver.graph()) == _without_column_order(before)
    assert driver.record().applied_at is None
    if case.undo_refused == "soft":
        kept = pg.rows("SELECT attname FROM pg_attribute WHERE attname LIKE '\\_zanith\\_dropped\\_%'")
        assert kept, "a column that holds data by now is kept aside, not dropped"


@every_case
@every_place
def test_locks_are_no_stronger_than_declared(pg: Database, case: Case, naming: dict[str, str]) -> None:
    driver = prepare(pg, case, naming)
    with pg.connect() as conn:
        for step in driver.plan().steps:
            for statements in transactions(step.statements):
                declared = {table: s.lock for s in sorted(statements, key=_strength) for table in s.on}
                anywhere = max([Lock.ACCESS_SHARE, *(s.elsewhere for s in statements)], key=lambda m: m.strength)
                for table, seen in _locks_taken(pg, conn, statements):
                    assert seen.strength <= declared.get(table, anywhere).strength, (statements, table, seen)


def _strength(statement: Statement) -> int:
    return statement.lock.strength


def _locks_taken(
    pg: Database, conn: psycopg.Connection[Any], statements: tuple[Statement, ...]
) -> list[tuple[TableKey, Lock]]:
    """What the transaction locks of tables that were there before it; what it creates itself, or an earlier statement of
    its step in the schema that is ours, blocks nobody."""
    # By the name it had then: the transaction may rename it.
    before = {oid: TableKey(schema, name) for oid, schema, name in pg.rows(_TABLES)}
    if not statements[0].transactional:
        return _locks_taken_outside(pg, conn, statements[0], before)
    with conn.transaction():
        for statement in statements:
            conn.execute(raw(statement.sql))
        rows = conn.execute(_LOCKS, [conn.info.backend_pid, list(before)]).fetchall()
    return [(before[oid], _lock(mode)) for oid, mode in rows]


def _locks_taken_outside(
    pg: Database, conn: psycopg.Connection[Any], statement: Statement, before: dict[int, TableKey]
) -> list[tuple[TableKey, Lock]]:
    """A concurrent build waits for a transaction that has written to the table: then its locks can be looked at."""
    (table,) = statement.on
    with pg.connect() as writer, pg.connect() as observer:
        writer.execute("BEGIN")
        writer.execute(sql.SQL("LOCK TABLE {} IN ROW EXCLUSIVE MODE").format(table_ident(table)))
        building = threading.Thread(target=lambda: conn.execute(raw(statement.sql)))
        building.start()
        rows: list[Any] = []
        deadline = time.monotonic() + 20
        while not rows and time.monotonic() < deadline:
            rows = observer.execute(_LOCKS, [conn.info.backend_pid, list(before)]).fetchall()
        writer.execute("COMMIT")
        building.join()
    assert rows, "the build took no lock at all"
    return [(before[oid], _lock(mode)) for oid, mode in rows]


def test_the_plan_hash_does_not_depend_on_size_and_sees_another_database(pg: Database) -> None:
    driver = prepare(pg, EXPAND, NAMINGS["ordinary"])
    small = driver.plan()
    pg.execute("INSERT INTO users (email, age) SELECT 'x', n FROM generate_series(1, 5000) n; ANALYZE users")
    assert driver.plan().hash == small.hash
    with connect(driver.settings, application_name="test") as conn:
        facts = read_facts(conn, "public")
    assert facts.sizes[facts.graph.tables[0].key].rows == 5250


_TABLES = """
SELECT c.oid::bigint, n.nspname, c.relname
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname <> '_zanith_shadow'
"""
_LOCKS = b"""
SELECT c.oid::bigint, l.mode
FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE l.pid = %s AND l.locktype = 'relation' AND l.granted AND c.oid = ANY(%s)
  AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
"""


def _lock(mode: str) -> Lock:
    return next(m for m in Lock if m.value.replace(" ", "") + "LOCK" == mode.upper())


def _kept_or_said(driver: Driver, plan: Plan, before: SchemaGraph) -> bool:
    """Nothing goes without an artifact that keeps it, unless the step is destructive, which the default gates refuse, or
    gave it another name."""
    after = driver.graph()
    gone = [t.key for t in before.tables if after.table(t.key) is None]
    gone += [
        t.key for t in before.tables for c in t.columns if after.table(t.key) and after.column(t.key, c.name) is None
    ]
    renamed = any(step.kind in ("renameTable", "renameColumn") or " RENAME " in step.sql for step in plan.steps)
    said = any(step.level.score >= RiskLevel.DESTRUCTIVE.score for step in plan.steps)
    return not gone or renamed or said or any(a.holds_data for a in driver.record().artifacts)


def _projected(driver: Driver) -> SchemaGraph:
    with connect(driver.settings, application_name="test") as conn:
        facts: Facts = read_facts(conn, driver.spec.database.schema_name)
    ctx = StepContext(facts, driver.spec.migration_id, 1, facts.graph)
    for step in driver.spec.steps:
        ctx = ctx.with_graph(step.operation.project(ctx))
    return ctx.graph


def _without_column_order(graph: SchemaGraph) -> SchemaGraph:
    """A column that was dropped comes back at the end."""
    ordered = (replace(t, columns=tuple(sorted(t.columns, key=lambda c: c.name))) for t in graph.tables)
    return replace(graph, tables=tuple(ordered))


def test_names_over_63_bytes_are_shortened_with_a_hash() -> None:
    assert fit("x" * 63) == "x" * 63
    assert fit("x" * 64) != fit("x" * 65)
    assert len(fit("ü" * 40).encode()) <= 63
