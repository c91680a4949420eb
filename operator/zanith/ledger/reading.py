"""Reads of the five tables: for the operator, the CLI and the runner. Never writes, never reads SQL text for status."""

from __future__ import annotations

from typing import Any

from psycopg import Connection, sql
from psycopg.rows import class_row
from pydantic import ValidationError

from zanith.core.errors import Conflict
from zanith.ledger.named_queries import TABLES, query, schema_statements
from zanith.ledger.records import (
    Artifact,
    Checkpoint,
    FrozenPlan,
    MigrationRecord,
    Owner,
    StepAttempt,
    Summary,
)
from zanith.planning.plan import Plan
from zanith.postgres.catalog import read_identity


def read_migration(conn: Connection[Any], schema: str, migration_id: str) -> MigrationRecord:
    """What the ledger says of one migration; an empty record where the five tables do not exist yet.

    Raises Conflict (LedgerConflict) where tables of these names have another shape, naming the column.
    """
    with conn.transaction():
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        return read_migration_here(conn, schema, migration_id)


def read_migration_here(conn: Connection[Any], schema: str, migration_id: str) -> MigrationRecord:
    """As `read_migration`, in the transaction that is open."""
    database = read_identity(conn)
    now = conn.execute("SELECT clock_timestamp()").fetchone()
    assert now is not None
    there = check_shape(conn, schema)
    if not there:
        return MigrationRecord(database=database, now=now[0])
    given = {"id": migration_id}

    def named(name: str) -> sql.Composed:
        return query("reading", name, schema)

    applied = conn.execute(named("applied"), given).fetchone() if "migrations" in there else None
    attempts: list[StepAttempt] = []
    checkpoints: list[Checkpoint] = []
    artifacts: list[Artifact] = []
    snapshots: dict[str, tuple[Any, Any]] = {}
    if "steps" in there:
        attempts = conn.cursor(row_factory=class_row(StepAttempt)).execute(named("attempts"), given).fetchall()
    if "checkpoints" in there:
        checkpoints = conn.cursor(row_factory=class_row(Checkpoint)).execute(named("checkpoints"), given).fetchall()
    if "artifacts" in there:
        artifacts = conn.cursor(row_factory=class_row(Artifact)).execute(named("artifacts"), given).fetchall()
    if "snapshots" in there:
        snapshots = {phase: (graph, at) for phase, graph, at in conn.execute(named("snapshots"), given)}
    return MigrationRecord(
        database=database,
        now=now[0],
        applied_at=applied[0] if applied else None,
        attempts=tuple(attempts),
        checkpoints=tuple(checkpoints),
        artifacts=tuple(artifacts),
        frozen=_frozen(migration_id, *snapshots["plan"]) if "plan" in snapshots else None,
        summary=_summary(*snapshots["summary"]) if "summary" in snapshots else None,
    )


def check_shape(conn: Connection[Any], schema: str) -> frozenset[str]:
    """Which of the five tables exist (`steps`, `artifacts`, ...). Raises Conflict where one has another shape."""
    given = {"schema": schema, "tables": list(TABLES.values())}
    found: dict[str, list[str]] = dict(conn.execute(query("reading", "shape", schema), given).fetchall())
    for table, expected in _expected_columns().items():
        wrong = sorted(set(expected).symmetric_difference(found.get(table, expected)))
        if not wrong:
            continue
        raise Conflict(
            f"table {schema}.{table} is not the ledger's: column {wrong[0]} does not fit; "
            "move that table away, or set spec.database.schema to another schema"
        )
    return frozenset(word for word, table in TABLES.items() if table in found)


def _expected_columns() -> dict[str, list[str]]:
    """`name type` per column of schema.sql, as format_type prints it."""
    printed = {"timestamptz": "timestamp with time zone", "int": "integer"}
    shapes = {}
    for statement in schema_statements():
        if not statement.startswith("CREATE TABLE"):
            continue
        head, _, body = statement.partition("(")
        table = head.split()[-1]
        columns = []
        for line in body.splitlines():
            words = line.strip().rstrip(",").split()
            if len(words) >= 2 and words[0].islower():
                columns.append(f"{words[0]} {printed.get(words[1], words[1])}")
        shapes[table] = columns
    return shapes


def _frozen(migration_id: str, content: Any, captured_at: Any) -> FrozenPlan:
    try:
        return FrozenPlan(
            plan=Plan.from_json(content["plan"]),
            plan_hash=content["planHash"],
            spec_hash=content["specHash"],
            digests=tuple(content["digests"]),
            owner=Owner(content["owner"]["namespace"], content["owner"]["name"]),
            captured_at=captured_at,
        )
    except (KeyError, TypeError, ValidationError) as error:
        raise Conflict(
            f"the stored plan of migration {migration_id} cannot be read by this version; it was not written by it"
        ) from error


def _summary(content: Any, captured_at: Any) -> Summary:
    return Summary(
        models=int(content["models"]),
        relations=int(content["relations"]),
        hash=str(content["hash"]),
        captured_at=captured_at,
    )
