"""The status of a ZanithMigration: a projection of the ledger and the Job, safe to delete and rebuild.

Every list and text is bounded, because the API server keeps an object of 1.5 MB at most; builders clip before they
construct. The CRD's schema is generated from these models, descriptions included.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, ValidationError

from zanith.api.conditions import Condition, Phase, StatusModel, Timestamp

ERROR_LIMIT = 1000
TEXT_LIMIT = 300
ARTIFACT_LIMIT = 100
STEP_LIMIT = 500

Count = Annotated[int, Field(ge=0, json_schema_extra={"format": "int64"})]
Text = Annotated[str, Field(max_length=TEXT_LIMIT)]


class StepState(StrEnum):
    """Where a step stands."""

    PENDING = "Pending"
    RUNNING = "Running"
    DONE = "Done"
    FAILED = "Failed"
    REVERTED = "Reverted"


class ArtifactState(StrEnum):
    """Where an artifact stands. Live, Expiring and Expired ones still hold their data."""

    LIVE = "Live"
    EXPIRING = "Expiring"
    EXPIRED = "Expired"
    RESTORED = "Restored"
    PURGED = "Purged"


class RiskStatus(StatusModel):
    """The risk of the plan: its worst step, the sum, and every reason code."""

    level: str = Field(max_length=20)
    """Level of the worst step: safe, low, medium, high, destructive or blocked."""
    score: int = Field(ge=0, le=100)
    """Score of the worst step; what `gates.maxRisk` is held against."""
    total_score: Count
    """Sum of the scores of all steps."""
    reasons: tuple[Annotated[str, Field(max_length=100)], ...] = Field((), max_length=50)
    """Reason codes of all steps, the most frequent first."""


class ProgressStatus(StatusModel):
    """How far the migration is. Rows are those of its backfills."""

    steps_done: Count = 0
    """Steps that are done."""
    steps_total: Count = 0
    """Steps there are."""
    rows_done: Count = 0
    """Rows the backfills have changed."""
    rows_estimated: Count | None = None
    """Rows the backfills begun so far are expected to change; absent where nobody knows."""
    percent: int = Field(0, ge=0, le=100)
    """Share of the backfills' rows, or of the steps where there is no backfill; 100 only when every step is done."""
    rows_per_second: Count | None = None
    """Rate of the running backfill."""
    eta: Timestamp | None = None
    """When the running backfill is expected to end."""
    last_progress_time: Timestamp | None = None
    """The last sign of life in the ledger: a batch, or a step that began or ended."""


class StepStatus(StatusModel):
    """One step of the migration."""

    index: int = Field(ge=1, le=STEP_LIMIT)
    """Counts from 1."""
    kind: str = Field(max_length=100)
    """The operation, such as `addColumn`."""
    target: Text = ""
    """What it changes, such as `public.users.email`."""
    state: StepState
    """Pending, Running, Done, Failed or Reverted."""
    risk_level: str = Field("", max_length=20)
    """Level of its worst finding."""
    risk_score: int = Field(0, ge=0, le=100)
    """Score of that level."""
    attempts: Count = 0
    """How often a runner started it."""
    resumed: bool = False
    """Whether a later attempt went on where an earlier one had stopped."""
    started_at: Timestamp | None = None
    """When it was first started."""
    finished_at: Timestamp | None = None
    """When it was done, or failed for good."""
    error: Annotated[str, Field(max_length=ERROR_LIMIT)] | None = None
    """Why it failed or was refused."""


class ArtifactStatus(StatusModel):
    """Something that was kept when a step took it away."""

    id: str = Field(max_length=400)
    """Its key in `_zanith_migration_artifacts`."""
    type: str = Field(max_length=100)
    """What was kept, such as `soft_drop_column`."""
    source: Text
    """The table, or the column as `table.column`."""
    row_count: Count | None = None
    """Rows kept; absent where they were not counted."""
    created_at: Timestamp
    """When it was kept."""
    expires_at: Timestamp | None = None
    """When its life ends; absent for ever."""
    state: ArtifactState
    """Live, Expiring, Expired, Restored or Purged."""


class SnapshotStatus(StatusModel):
    """The snapshot of the schema taken after the migration."""

    models: Count
    """Tables."""
    relations: Count
    """Foreign keys."""
    captured_at: Timestamp
    """When it was taken."""


class JobStatus(StatusModel):
    """The Job of the newest attempt."""

    name: str = Field(max_length=63)
    """Its name, in the namespace of the migration."""
    attempt: int = Field(ge=1)
    """Which attempt it is, from 1."""


class DisplayStatus(StatusModel):
    """The columns of `kubectl get zm`, as text."""

    steps: str = Field("", max_length=20)
    """Done and total: `3/5`."""
    risk: str = Field("", max_length=40)
    """Level and score: `high (60)`."""
    progress: str = Field("", max_length=20)
    """Percent: `62%`."""
    recoverable_until: str = Field("", max_length=40)
    """The day the first artifact expires, `forever`, or nothing where none holds data."""
    database: str = Field("", max_length=63)
    """Name of the database, without its host."""


class MigrationStatus(StatusModel):
    """What is known of the migration: from the ledger in its database, the Job, and the plan."""

    observed_generation: int = Field(-1, json_schema_extra={"format": "int64"})
    """The generation of the spec this status speaks of; -1 before it was looked at."""
    migration_id: str = Field("", max_length=300)
    """The key in the five tables."""
    started_at: Timestamp | None = None
    """When the migration began to change the database; from then on its id and database are fixed."""
    applied_at: Timestamp | None = None
    """When its last step was committed; from then on its steps are fixed."""
    plan_hash: str = Field("", max_length=64)
    """Hash of the plan: what `zanith.io/approve` has to hold."""
    risk: RiskStatus | None = None
    """The risk of the plan."""
    progress: ProgressStatus | None = None
    """How far it is."""
    steps: tuple[StepStatus, ...] = Field(
        (),
        max_length=STEP_LIMIT,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["index"]},
    )
    """Each step."""
    artifacts: tuple[ArtifactStatus, ...] = Field((), max_length=ARTIFACT_LIMIT)
    """What was kept, the first to expire first; at most 100 are shown."""
    snapshot: SnapshotStatus | None = None
    """The schema after the migration."""
    job: JobStatus | None = None
    """The newest attempt."""
    phase: Phase = Phase.PENDING
    """One word for people. Decide by the conditions instead."""
    conditions: tuple[Condition, ...] = Field(
        (), max_length=20, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
    )
    """Ready, Reconciling, Stalled and what stands beside them."""
    display: DisplayStatus | None = None
    """The columns of `kubectl get zm`."""

    def condition(self, kind: str) -> Condition | None:
        """The condition of this type."""
        return next((c for c in self.conditions if c.type == kind), None)

    def to_wire(self) -> dict[str, Any]:
        """As it stands in the API; what is not known is left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def parse_status(status: Any) -> MigrationStatus:
    """The status found on a resource; an empty one where it is absent or another program wrote something else there."""
    try:
        return MigrationStatus.model_validate(status or {})
    except ValidationError:
        return MigrationStatus()
