"""The judge of rawSql held against what PostgreSQL 15 and 18 really lock and rewrite, statement by statement."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest
import yaml

from operations_harness.driving import spec_of
from operations_harness.measuring import CODE, CORPUS, SETUP, Measured, corpus_database, known_code, measure
from servers import SERVER_VERSIONS, Database, PostgresServer, create_database, drop_database
from servers.databases import create_template
from zanith.core.graph import Facts, SchemaGraph, TableSize
from zanith.core.identifiers import TableKey
from zanith.core.risk import RiskLevel
from zanith.core.sql import raw
from zanith.core.sql_statements import parse_statements
from zanith.core.statement import Lock, Work
from zanith.operations.judging.judge import judge
from zanith.operations.judging.projecting import project
from zanith.operations.judging.verdict import Scope, Verdict
from zanith.operations.step_context import StepContext
from zanith.planning.planner import plan_migration
from zanith.postgres.catalog import read_facts
from zanith.postgres.connecting import ConnectionSettings, connect

ENTRIES: list[dict[str, Any]] = yaml.safe_load(CORPUS.read_text())
BIG = TableSize(rows=100_000_000, bytes=20 << 30)
every_entry = pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: e["sql"][:90])


@pytest.fixture(scope="module", params=SERVER_VERSIONS, ids=lambda version: f"postgres{version}")
def prepared(request: pytest.FixtureRequest) -> Iterator[tuple[Database, Facts]]:
    """The corpus database, which every test leaves as it found it, and what planning knows of it."""
    with corpus_database(request.getfixturevalue(f"postgres_{request.param}")) as database:
        with connect(ConnectionSettings.from_dsn(database.dsn, "public"), application_name="test") as conn:
            facts = read_facts(conn, "public")
        yield database, facts


@every_entry
def test_what_is_declared_covers_what_is_measured(prepared: tuple[Database, Facts], entry: dict[str, Any]) -> None:
    database, facts = prepared
    if entry.get("from", database.version) > database.version:
        return  # not of this version's grammar; nothing to measure
    seen = measure(database, entry["sql"])
    verdicts = judged(entry["sql"], facts)
    _assert_recorded(entry, seen)
    unseen = {TableKey(*name.split(".")) for name in entry.get("unseen", ())}
    short = {
        str(table): (lock.value, declared(verdicts, table).value)
        for table, lock in seen.locks.items()
        if lock.strength > declared(verdicts, table).strength and lock is not Lock.ACCESS_SHARE
    }
    assert short.keys() == {str(t) for t in unseen}, "measured and declared lock"
    worked = max((v.work for v in verdicts), key=list(Work).index)
    assert list(Work).index(worked) >= list(Work).index(hardest(seen.work.values()))
    if not seen.transactional:
        assert not any(v.transactional for v in verdicts)
        return
    assert all(v.transactional for v in verdicts), "it did run in a transaction"
    level = planned_level(entry["sql"], replace(facts, sizes=dict.fromkeys([t.key for t in facts.graph.tables], BIG)))
    if (
        any(lock.blocks_writes and not free_for_readers(table, lock, facts) for table, lock in seen.locks.items())
        and seen.work
    ):
        assert level.score >= RiskLevel.HIGH.score, "it blocks for as long as it works"
    assert level is RiskLevel(entry["big"])


def test_what_is_known_of_code_is_what_the_catalog_says(prepared: tuple[Database, Facts]) -> None:
    _, facts = prepared
    found, recorded = known_code(facts), json.loads(CODE.read_text())
    if facts.server_version < 160000:  # printed with the names of tables before every column
        found, recorded = ({**each, "views": [v[:2] for v in each["views"]]} for each in (found, recorded))
    assert found == recorded
    builtin = facts.code.builtin_functions
    assert {"lower", "now", "count", "extract", "generate_series"} <= builtin
    assert not builtin & {"set_config", "pg_advisory_unlock", "pg_sleep", "nextval", "query_to_xml", "lo_unlink"}
    assert {"=", "||", "~~", "->>"} <= facts.code.operators
    assert "===" not in facts.code.operators


def test_the_corpus_is_as_big_as_promised() -> None:
    assert len(ENTRIES) >= 80
    assert len({e["sql"] for e in ENTRIES}) == len(ENTRIES)


@every_entry
def test_the_projected_schema_is_the_one_it_leaves_or_the_step_says_it_hides_something(
    template: str, postgres_18: PostgresServer, entry: dict[str, Any]
) -> None:
    database = create_database(postgres_18, template=template)
    try:
        with connect(ConnectionSettings.from_dsn(database.dsn, "public"), application_name="test") as conn:
            before = read_facts(conn, "public")
            step = spec_of([{"rawSql": {"sql": entry["sql"]}}]).steps[0].operation
            ctx = StepContext(before, "m", 1, before.graph)
            try:
                with conn.transaction():
                    conn.execute(raw(entry["sql"]))
            except psycopg.errors.ActiveSqlTransaction:
                conn.execute(raw(entry["sql"]))
            left = shape(read_facts(conn, "public").graph, entry)
    finally:
        drop_database(database)
    assert step.hides(ctx) or shape(step.project(ctx), entry) == left


@pytest.fixture(scope="module")
def template(postgres_18: PostgresServer) -> str:
    """The corpus database, to be copied."""
    return create_template(postgres_18, "corpus", lambda database: database.execute(SETUP.read_text()))


def shape(graph: SchemaGraph, entry: dict[str, Any]) -> Any:
    """What later steps are planned by. Types of users by their bare name: unqualified, nobody tells their schema."""
    unseen = entry.get("unseen", ())
    tables = [
        (
            t.key,
            [replace(c, type=c.type.removeprefix("public."), collation=None) for c in t.columns],
            [(c.name, c.kind, c.columns, c.validated, c.references) for c in t.constraints],
            [(i.name, i.columns, i.unique) for i in t.indexes],
            (t.row_security, t.force_row_security, t.partition_of, t.persistence, t.comment),
        )
        for t in graph.tables
        if str(t.key) not in unseen
    ]
    domains = [(d.schema, d.name, d.type) for d in graph.domains]
    return tables, graph.enums, [(v.schema, v.name) for v in graph.views], graph.sequences, domains


def judged(sql: str, facts: Facts) -> list[Verdict]:
    scope = Scope(facts)
    found = []
    for statement in parse_statements(sql):
        found.append(judge(statement, scope))
        scope = scope.after(project(statement, scope))
    return found


def declared(verdicts: list[Verdict], table: TableKey) -> Lock:
    return max((max(v.locks.get(table, Lock.NONE), v.elsewhere, key=_strength) for v in verdicts), key=_strength)


def _strength(lock: Lock) -> int:
    return lock.strength


def hardest(works: Any) -> Work:
    return max(works, key=list(Work).index, default=Work.CATALOG)


def free_for_readers(table: TableKey, lock: Lock, facts: Facts) -> bool:
    """A materialised view under EXCLUSIVE: it can be read, and nobody but REFRESH writes to one."""
    return facts.graph.table(table) is None and lock is Lock.EXCLUSIVE


def planned_level(sql: str, facts: Facts) -> RiskLevel:
    return plan_migration(spec_of([{"rawSql": {"sql": sql}}]), facts).level


def _assert_recorded(entry: dict[str, Any], seen: Measured) -> None:
    """The file tells what was measured: the strongest of both versions."""
    for table, lock in seen.locks.items():
        assert lock.strength <= Lock(entry["locks"][str(table)]).strength
    for table, work in seen.work.items():
        assert list(Work).index(work) <= list(Work).index(Work(entry["work"][str(table)]))
