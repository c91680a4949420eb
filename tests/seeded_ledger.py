"""A ledger written by hand, for tests of what is read from it: the five tables as the runner makes them, rows as given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import Connection, sql
from psycopg.types.json import Jsonb

from servers import Database
from zanith.core.graph import DatabaseIdentity
from zanith.core.risk import Finding, ReasonCode, RiskLevel
from zanith.core.statement import Lock, Statement
from zanith.ledger.records import Owner
from zanith.ledger.writing import Ledger
from zanith.planning.plan import Plan, PlannedStep

START = datetime(2026, 3, 28, 10, 0, tzinfo=UTC)


@dataclass
class SeededLedger:
    """The five tables of one schema."""

    conn: Connection[Any]
    schema: str = "public"

    def applied(self, migration_id: str, at: datetime = START, *, models: int | None = 14, relations: int = 3) -> None:
        """A row of `_zanith_migrations`, and the summary that comes with it."""
        self.conn.execute("INSERT INTO _zanith_migrations VALUES (%s, %s)", [migration_id, at])
        if models is not None:
            summary = Jsonb({"models": models, "relations": relations, "hash": "h"})
            self.conn.execute(
                "INSERT INTO _zanith_schema_snapshots VALUES (%s, 'summary', %s, %s)", [migration_id, summary, at]
            )

    def attempt(
        self,
        migration_id: str,
        step_index: int,
        kind: str,
        *,
        level: RiskLevel = RiskLevel.SAFE,
        status: str = "done",
        error: str | None = None,
        started_at: datetime = START,
        took: timedelta | None = timedelta(milliseconds=612),
    ) -> None:
        """A row of `_zanith_migration_steps`; `took` None leaves it unfinished."""
        self.conn.execute(
            "INSERT INTO _zanith_migration_steps VALUES (%s, %s, %s, 'SELECT 1', %s, %s, %s, %s, %s, %s)",
            [
                migration_id,
                step_index,
                kind,
                level.value,
                level.score,
                status,
                error,
                started_at,
                None if took is None else started_at + took,
            ],
        )

    def frozen(self, migration_id: str, *steps: tuple[str, RiskLevel], owner: str = "") -> None:
        """The plan of a migration that began, as the runner writes it."""
        plan = Plan(migration_id, DatabaseIdentity("1", 1, "d"), tuple(_step(i, *s) for i, s in enumerate(steps, 1)))
        digests = tuple(step.digest for step in plan.steps)
        Ledger(self.conn, self.schema).write_plan(
            plan, spec_hash="s", digests=digests, owner=Owner("shop" if owner else "", owner)
        )

    def lane(self, migration_id: str, step_index: int, lane: int, rows: int, estimated: int | None) -> None:
        """A checkpoint of a backfill's lane."""
        self.conn.execute(
            "INSERT INTO _zanith_migration_checkpoints VALUES (%s, %s, %s, %s, %s, 'running')",
            [migration_id, step_index, lane, Jsonb({"estimated": estimated}), rows],
        )

    def artifact(self, artifact_id: str, **columns: Any) -> None:
        """A row of `_zanith_migration_artifacts`: an archived column that lives for ever, unless told otherwise."""
        migration_id, artifact_type, source = artifact_id.split("::")
        table, _, column = source.partition(".")
        given = {
            "id": artifact_id,
            "migration_id": migration_id,
            "artifact_type": artifact_type,
            "source_schema": self.schema,
            "source_table": table,
            "source_column": column or None,
            "physical_name": f"kept_{column}",
            "row_count": 5,
            "recovery_sql": "SELECT 1",
            "created_at": START,
            "expires_at": None,
            "restored_at": None,
        } | columns
        self.conn.execute(
            """
            INSERT INTO _zanith_migration_artifacts
                (id, migration_id, artifact_type, source_schema, source_table, source_column, physical_name, row_count,
                 recovery_sql, created_at, expires_at, restored_at)
            VALUES (%(id)s, %(migration_id)s, %(artifact_type)s, %(source_schema)s, %(source_table)s,
                    %(source_column)s, %(physical_name)s, %(row_count)s, %(recovery_sql)s, %(created_at)s,
                    %(expires_at)s, %(restored_at)s)
            """,
            given,
        )


@contextmanager
def seeded(database: Database, schema: str = "public") -> Iterator[SeededLedger]:
    """An empty ledger to write into."""
    with database.connect() as conn:
        conn.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
        conn.execute(sql.SQL("SET search_path = {}").format(sql.Identifier(schema)))
        Ledger(conn, schema).create_tables()
        yield SeededLedger(conn, schema)


def seed_the_sample(ledger: SeededLedger) -> None:
    """The history the design shows: two migrations applied, one of them resumed, and one refused."""
    ledger.applied("20260328_add_index", START)
    ledger.attempt("20260328_add_index", 1, "addIndex", level=RiskLevel.LOW)
    ledger.applied("20260401_normalize_email", START + timedelta(days=4))
    email = "20260401_normalize_email"
    ledger.attempt(email, 1, "addColumn", started_at=START + timedelta(days=4))
    ledger.attempt(
        email, 2, "backfill", level=RiskLevel.MEDIUM, status="interrupted", started_at=START + timedelta(days=4)
    )
    ledger.attempt(email, 2, "backfill", level=RiskLevel.MEDIUM, started_at=START + timedelta(days=4, hours=1))
    ledger.attempt(
        "20260402_drop_legacy_uuid",
        1,
        "dropColumn",
        level=RiskLevel.DESTRUCTIVE,
        status="failed",
        error="refused — max risk 60",
        started_at=START + timedelta(days=5),
        took=timedelta(),
    )


SAMPLE = """\
Applied migrations (2):
▸ 20260328_add_index
  ✓ step 1: [low] addIndex
  snapshot: 14 model(s)
▸ 20260401_normalize_email
  ✓ step 1: [safe] addColumn
  ↻ step 2: [medium] backfill
  snapshot: 14 model(s)
Not applied (1):
▸ 20260402_drop_legacy_uuid
  ✗ step 1: [destructive] dropColumn
    refused — max risk 60
"""


def _step(index: int, kind: str, level: RiskLevel) -> PlannedStep:
    finding = Finding(level, ReasonCode.RAW_SQL, "because")
    return PlannedStep(index, kind, "public.t", f"digest {index}", (Statement("SELECT 1", Lock.NONE),), (finding,))
