"""What is known of one migration when a decision is made: frozen values, gathered by the controller.

The ledger and the Job appear as views with just what deciding needs, so that this package depends on neither.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

from zanith.api.conditions import Reason
from zanith.api.spec import MigrationSpec
from zanith.api.status import ArtifactStatus, MigrationStatus, SnapshotStatus, StepState
from zanith.planning.plan import Plan

STOP_GRACE = timedelta(minutes=2)
"""How long a deleted Job is waited for: its pod has 30 s to end."""


class JobAction(StrEnum):
    """What a Job is for."""

    APPLY = "apply"
    REVERT = "revert"
    PURGE = "purge"


class JobState(StrEnum):
    """Where a Job stands."""

    ACTIVE = "active"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the runner left as its last words."""

    reason: str = ""
    message: str = ""
    step: int | None = None


@dataclass(frozen=True, slots=True)
class PodView:
    """The one pod of a Job."""

    name: str
    created_at: datetime
    started_at: datetime | None = None
    """When its container began to run."""
    waiting: str = ""
    """Why it does not start, where that will not pass by itself, such as ImagePullBackOff or Unschedulable."""
    exit_code: int | None = None
    killed: str = ""
    """Why the container was killed, such as OOMKilled."""
    disrupted: bool = False
    """Evicted, preempted, deleted, or on a lost node: nobody's fault."""
    verdict: Verdict = field(default_factory=Verdict)


@dataclass(frozen=True, slots=True)
class JobView:
    """One attempt. What must outlive a restart of the operator stands on the Job as annotations."""

    name: str
    attempt: int
    state: JobState
    created_at: datetime
    finished_at: datetime | None = None
    deleting_since: datetime | None = None
    action: JobAction = JobAction.APPLY
    generation: int = 0
    """Generation of the spec it was started for."""
    plan_hash: str = ""
    """Hash of the plan; of a purge, of what is to go."""
    run_hash: str = ""
    """Hash of what the runner was given of the spec."""
    retry: str = ""
    """The retry annotation it was started for."""
    mark: str = ""
    """How far the ledger was when it was started."""
    failure_seen: str = ""
    """The failure of the ledger known when it was started."""
    tries: int = 0
    """Attempts in a row before it, without progress."""
    crashes: int = 0
    """Crashes in a row before it, without progress."""
    pod: PodView | None = None

    @property
    def deleting(self) -> bool:
        return self.deleting_since is not None

    @property
    def active(self) -> bool:
        return self.state is JobState.ACTIVE and not self.deleting

    def stopping(self, now: datetime) -> bool:
        """Whether its runner may still be at work. On a lost node a deleted pod stays for ever: that is not waited for,
        the next attempt fences its sessions off."""
        if self.deleting_since is None or self.state is not JobState.ACTIVE:
            return False
        return now - self.deleting_since < STOP_GRACE


@dataclass(frozen=True, slots=True)
class StepHistory:
    """What the ledger says of one step; refusals are not attempts."""

    index: int
    state: StepState
    attempts: int
    started_at: datetime | None
    finished_at: datetime | None
    error: str | None = None
    undoing: bool = False
    """Whether it is done, and its newest attempt is one to take it back that has not come to its end."""


@dataclass(frozen=True, slots=True)
class BackfillView:
    """How far one backfill is, all lanes together."""

    step: int
    rows_done: int
    rows_estimated: int | None
    rows_per_second: int
    updated_at: datetime
    throttled: str = ""
    """A reason of the condition Throttled, or nothing."""


@dataclass(frozen=True, slots=True)
class Failure:
    """The newest attempt of a step failed for good, or a probe stopped it."""

    step: int
    reason: Reason
    error: str
    key: str
    """Names this very failure, to tell it from a later one of the same step."""


@dataclass(frozen=True, slots=True)
class RecordedRefusal:
    """The ledger holds a refusal of the plan and retry value that are looked at."""

    step: int
    error: str
    reason: Reason
    at: datetime


@dataclass(frozen=True, slots=True)
class LedgerView:
    """What the five tables say of one migration."""

    database_name: str
    now: datetime
    """The database's clock."""
    began_at: datetime | None = None
    applied_at: datetime | None = None
    plan: Plan | None = None
    """The frozen plan of a migration that began."""
    digests: tuple[str, ...] = ()
    owner: tuple[str, str] = ("", "")
    """Namespace and name of the ZanithMigration that began it; empty for the CLI."""
    steps: tuple[StepHistory, ...] = ()
    backfills: tuple[BackfillView, ...] = ()
    failure: Failure | None = None
    half_done: int | None = None
    """A step that stopped between two of its statements: neither done nor undone."""
    half_undone: int | None = None
    """A done step of which some is taken back already: neither, too."""
    waiting: str = ""
    """What the runner says it waits for, such as a lock."""
    heartbeat: datetime | None = None
    mark: str = ""
    """Changes with every bit of progress, and only then."""
    artifacts: tuple[ArtifactStatus, ...] = ()
    snapshot: SnapshotStatus | None = None

    @property
    def done(self) -> frozenset[int]:
        """Indexes of the steps that are done, and not taken back to the end."""
        return frozenset(s.index for s in self.steps if s.state is StepState.DONE or s.undoing)

    @property
    def taken_back(self) -> bool:
        """Whether nothing of the migration is left: no step done or begun, no row that says it is applied."""
        begun = self.done or self.backfills or self.half_done is not None
        return self.applied_at is None and not begun


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why something could not be read or planned: a row of the condition table and a sentence."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Dependency:
    """A migration this one waits for."""

    name: str
    state: Literal["ready", "pending", "failed", "missing", "reverted"]


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything there is to decide by."""

    namespace: str
    name: str
    uid: str
    generation: int
    now: datetime
    previous: MigrationStatus = field(default_factory=MigrationStatus)
    spec: MigrationSpec | None = None
    spec_problem: str = ""
    approve: str = ""
    retry: str = ""
    hold: bool = False
    """Whether a person forbids every purge."""
    ledger: LedgerView | None = None
    ledger_trouble: Trouble | None = None
    digests: tuple[str, ...] = ()
    """A digest per step of the spec."""
    owner_lives: bool = False
    """Whether the ZanithMigration that began the migration, where it is another, still exists."""
    plan: Plan | None = None
    """Made from the live catalog: of a migration that has not begun, or a begun one with the steps appended since."""
    plan_trouble: Trouble | None = None
    refusal: RecordedRefusal | None = None
    dependencies: tuple[Dependency, ...] = ()
    cycle: tuple[str, ...] = ()
    """The names of a circle of dependencies this one is part of."""
    jobs: tuple[JobView, ...] = ()
    """In order of attempt."""
    job_problem: str = ""
    """Why the API server refused the last Job."""
    waits_for: str = ""
    """Who has to finish first: the migration that runs on the same database, or the limit of Jobs."""
    still_until: datetime | None = None
    """When the migration was last seen unable to make progress through no fault of its own; the operator's clock."""
    execution_synced: bool = True
    """Whether the Job's mounted `execution` is that of the spec."""

    @property
    def newest(self) -> JobView | None:
        """The last attempt."""
        return self.jobs[-1] if self.jobs else None

    def at_work(self, *actions: JobAction) -> bool:
        """Whether the runner of a Job for one of these may be at work."""
        return any(j.action in actions and (j.active or j.stopping(self.now)) for j in self.jobs)

    @property
    def began(self) -> bool:
        return self.ledger is not None and self.ledger.began_at is not None

    @property
    def appended(self) -> bool:
        """Whether steps were added to a migration that began."""
        return self.ledger is not None and self.began and len(self.digests) > len(self.ledger.digests)

    @property
    def agreed_plan(self) -> Plan | None:
        """The plan to carry out: the one just made, else the frozen one."""
        if self.plan is not None:
            return self.plan
        return self.ledger.plan if self.ledger is not None and not self.appended else None
