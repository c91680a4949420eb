"""Rows of the five tables as immutable values, and the view of one migration that everyone decides by."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from zanith.core.graph import DatabaseIdentity
from zanith.core.identifiers import TableKey
from zanith.operations.step_context import Undo
from zanith.planning.plan import Plan
from zanith.postgres.catalog_rows import SHADOW

StepStatus = Literal["running", "done", "failed", "interrupted", "reverted"]

REFUSED_PREFIX = "refused — "
"""How the error of a refusal begins: the page's words."""

RECIPE_DIGITS = 32
"""The last digits of an artifact's checksum cover the recipe it comes back by: half of them the recovery SQL, half the
frozen undo. Those before them, where there are any, cover its data."""

RESTORE_COLUMN, RESTORE_TABLE, PURGING = "restoreColumn", "restoreTable", "purgeArtifact"
"""Operation kinds of audit rows about what a step kept: the step itself stays as it is. `reading.sql` and `history.sql`
leave them out of what they say of steps."""


@dataclass(frozen=True, slots=True)
class StepAttempt:
    """A row of `_zanith_migration_steps`: one attempt of one step, without its SQL."""

    migration_id: str
    step_index: int
    operation_kind: str
    risk_level: str
    risk_score: int
    status: StepStatus
    error: str | None
    started_at: datetime
    finished_at: datetime | None
    refused_plan: str | None = None
    """For a refusal: the plan hash its `sql` begins with."""

    @property
    def refused(self) -> bool:
        return self.status == "failed" and (self.error or "").startswith(REFUSED_PREFIX)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A row of `_zanith_migration_checkpoints`. Lane -1 is the statement cursor, others are key ranges of a backfill.

    A backfill's cursor holds `estimated` (rows expected, int or null), `rate` (rows a second, int), `throttled`
    (a reason of the Throttled condition or null) and `throttledSeconds` beside its position.
    """

    step_index: int
    lane: int
    cursor: dict[str, Any]
    processed_rows: int
    status: str
    updated_at: datetime

    @property
    def has_moved(self) -> bool:
        """Whether a statement cursor has passed a statement, or begun one that cannot run in a transaction."""
        return (self.cursor["statement"], self.cursor["state"]) != (1, "pending")


@dataclass(frozen=True, slots=True)
class Artifact:
    """A row of `_zanith_migration_artifacts`."""

    id: str
    migration_id: str
    artifact_type: str
    source_schema: str
    source_table: str
    source_column: str | None
    physical_name: str | None
    row_count: int | None
    checksum: str | None
    recovery_sql: str
    created_at: datetime
    expires_at: datetime | None
    restored_at: datetime | None

    @property
    def source(self) -> str:
        """`table` or `table.column`."""
        return self.source_table if self.source_column is None else f"{self.source_table}.{self.source_column}"

    @property
    def identifier(self) -> str:
        """Its id without the number of one that was kept again."""
        return re.sub(r"#[0-9]+$", "", self.id)

    @property
    def kept_in(self) -> TableKey | None:
        """The table its data is in: of a soft-dropped column that it was taken from. None where nothing is kept any
        more; of a restored archived column the copy is, for values whose rows are gone."""
        if self.physical_name is None:
            return None
        match self.artifact_type:
            case "archive_column":
                return TableKey(SHADOW, self.physical_name)
            case "soft_drop_column":
                kept = TableKey(self.source_schema, self.source_table)
            case "soft_drop_table":
                kept = TableKey(self.source_schema, self.physical_name)
            case _:
                kept = TableKey(SHADOW, self.physical_name)
        return kept if self.restored_at is None else None

    @property
    def holds_data(self) -> bool:
        """Neither restored nor purged; an expired one under `Retain` still holds its data."""
        return self.restored_at is None and self.physical_name is not None


@dataclass(frozen=True, slots=True)
class Owner:
    """The ZanithMigration that began a migration; both empty for one begun by the CLI."""

    namespace: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class FrozenPlan:
    """The snapshot `plan`: what was agreed when the migration began."""

    plan: Plan
    plan_hash: str
    spec_hash: str
    digests: tuple[str, ...]
    """A digest per step of the spec, in order; the truth about which steps were edited."""
    owner: Owner
    captured_at: datetime


@dataclass(frozen=True, slots=True)
class Summary:
    """The snapshot `summary`: what history prints without reading the whole graph."""

    models: int
    relations: int
    hash: str
    captured_at: datetime


@dataclass(frozen=True, slots=True)
class MigrationRecord:
    """Everything the ledger says of one migration, read in one REPEATABLE READ transaction."""

    database: DatabaseIdentity
    now: datetime
    """The database's clock, to judge expiry and heartbeats by."""
    applied_at: datetime | None = None
    attempts: tuple[StepAttempt, ...] = ()
    """All attempts of all steps, ordered by (step_index, started_at); at most 5,000."""
    checkpoints: tuple[Checkpoint, ...] = ()
    artifacts: tuple[Artifact, ...] = ()
    frozen: FrozenPlan | None = None
    summary: Summary | None = None

    @property
    def began(self) -> bool:
        """Whether the migration began: a refusal does not begin one."""
        return self.frozen is not None

    @property
    def done(self) -> frozenset[int]:
        """Steps whose newest settled attempt is done: neither undone since, nor only begun."""
        settled = {a.step_index: a.status for a in self.attempts if a.status in ("done", "reverted")}
        return frozenset(index for index, status in settled.items() if status == "done")

    def latest(self, step_index: int) -> StepAttempt | None:
        """The newest attempt of a step."""
        rows = [a for a in self.attempts if a.step_index == step_index]
        return rows[-1] if rows else None


def recipe_checksum(recovery_sql: str) -> str:
    """The half of the recipe that covers the recovery SQL."""
    return hashlib.sha256(recovery_sql.encode()).hexdigest()[: RECIPE_DIGITS // 2]


def undo_checksum(undo: Undo) -> str:
    """The half of the recipe that covers what the step's undo would execute: the frozen plan could be changed as well."""
    return hashlib.sha256("\n".join(_undo_texts(undo)).encode()).hexdigest()[: RECIPE_DIGITS // 2]


def _undo_texts(undo: Undo) -> Iterator[str]:
    for statement in undo.statements:
        walk = statement.backfill
        yield (
            statement.sql
            if walk is None
            else f"{statement.sql} {walk.schema}.{walk.table} {walk.copy} {walk.assignments}"
        )
    if undo.otherwise is not None:
        yield from _undo_texts(undo.otherwise)


def refusal_key(plan_hash: str, retry: str) -> str:
    """What a refusal's audit row says after `-- plan `: the same refusal is recorded once per key."""
    return plan_hash if not retry else f"{plan_hash} retry {retry}"


def refusal_reason(error: str) -> str:
    """The condition's reason for the recorded words of a refusal."""
    words = error.removeprefix(REFUSED_PREFIX)
    if words.startswith("max risk"):
        return "RiskBudgetExceeded"
    if words.startswith("destructive"):
        return "DestructiveNotAllowed"
    if words.startswith("reason"):
        return "ReasonForbidden"
    return "ProbeFailed"
