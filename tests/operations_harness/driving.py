"""Runs cases: sets up, parses, plans, applies, undoes. Real runner, real PostgreSQL; nothing here imitates either."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

import pytest
from psycopg import sql

from operations_harness.cases import Case
from servers import Database
from zanith.api.spec import MigrationSpec, parse_spec
from zanith.core.graph import SchemaGraph
from zanith.execution.assignment import Assignment, Progress, ignore
from zanith.execution.runner import run_migration
from zanith.execution.session import Session, open_session
from zanith.execution.undoing import undo_step
from zanith.ledger.reading import read_migration
from zanith.ledger.records import MigrationRecord
from zanith.planning.plan import Plan
from zanith.planning.planner import plan_migration
from zanith.postgres.catalog import read_facts
from zanith.postgres.connecting import ConnectionSettings, connect


@dataclass
class Recorder:
    """A Report that keeps everything."""

    seen: list[Progress] = field(default_factory=list)

    def __call__(self, progress: Progress) -> None:
        self.seen.append(progress)

    def count(self, event: str) -> int:
        return sum(1 for p in self.seen if p.event == event)


@dataclass
class Driver:
    """One database with one spec."""

    database: Database
    spec: MigrationSpec

    @property
    def settings(self) -> ConnectionSettings:
        return ConnectionSettings.from_dsn(self.database.dsn, self.spec.database.schema_name)

    def graph(self) -> SchemaGraph:
        with connect(self.settings, application_name="test") as conn:
            return read_facts(conn, self.spec.database.schema_name).graph

    def plan(self) -> Plan:
        with connect(self.settings, application_name="test") as conn:
            return plan_migration(self.spec, read_facts(conn, self.spec.database.schema_name))

    def apply(self, report: Any = ignore, **assignment: Any) -> MigrationRecord:
        return run_migration(
            self.settings, Assignment(spec=self.spec, **assignment), stop=threading.Event(), report=report
        )

    def record(self) -> MigrationRecord:
        with connect(self.settings, application_name="test") as conn:
            return read_migration(conn, self.spec.database.schema_name, self.spec.migration_id)

    def session(self, report: Any = ignore) -> Session:
        return open_session(
            self.settings,
            Assignment(spec=self.spec),
            application_name="test",
            stop=threading.Event(),
            report=report,
            read_execution=None,
        )

    def undo(self, index: int) -> None:
        """Take one step back, as the ledger has it."""
        frozen = self.record().frozen
        assert frozen is not None
        session = self.session()
        with session.conn:
            undo_step(session, frozen.plan.steps[index - 1])


def prepare(database: Database, case: Case, naming: dict[str, str], *, migration_id: str = "20260101_case") -> Driver:
    """The database set up, and the case's spec with its names filled in."""
    if database.version < case.since:
        pytest.skip(f"PostgreSQL {database.version} cannot do this; {case.since} can")
    with database.connect() as conn:
        conn.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(naming["s"])))
        identifiers = {word: sql.Identifier(name) for word, name in naming.items()}
        for statement in case.setup.split(";"):
            if statement.strip():
                conn.execute(sql.SQL(statement).format(**identifiers))
    return Driver(database, spec_of(filled(case.steps, naming), gates=case.gates, migration_id=migration_id))


def spec_of(steps: list[dict[str, Any]], *, migration_id: str = "20260101_case", **spec: Any) -> MigrationSpec:
    """A spec as a user would write it, parsed as a user's is."""
    given = {"migrationId": migration_id, "database": {"secretRef": {"name": "db"}}, "steps": steps, **spec}
    return parse_spec(given, name="case")


def filled(value: Any, naming: dict[str, str]) -> Any:
    """Placeholders in every string of the steps, keys included."""
    if isinstance(value, dict):
        return {filled(k, naming): filled(v, naming) for k, v in value.items()}
    if isinstance(value, list):
        return [filled(v, naming) for v in value]
    if isinstance(value, str):
        for word, name in naming.items():
            value = value.replace("{Q:" + word + "}", sql.Identifier(name).as_string(None))  # in SQL of the step's own
            value = value.replace("{" + word + "}", name)
    return value
