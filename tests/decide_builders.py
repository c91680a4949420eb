"""Builders of what a decision is made from. Each says only what its test is about."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from zanith.api.spec import MigrationSpec, parse_spec
from zanith.api.status import ArtifactState, ArtifactStatus, StepState
from zanith.controller.decide import Observed
from zanith.controller.decide.attempts import run_hash
from zanith.controller.decide.observed import (
    BackfillView,
    JobState,
    JobView,
    LedgerView,
    PodView,
    StepHistory,
    Verdict,
)
from zanith.core.graph import DatabaseIdentity
from zanith.core.risk import Finding, ReasonCode, RiskLevel
from zanith.core.statement import Lock, Statement
from zanith.planning.plan import Plan, PlannedStep
from zanith.planning.planner import spec_digests

NOW = datetime(2026, 3, 28, 12, 0, 0, tzinfo=UTC)
UID = "0b5c9c1e-0000-4000-8000-000000000001"
STEPS: list[dict[str, Any]] = [
    {"addColumn": {"table": "users", "column": "email_normalized", "type": "text"}},
    {"backfill": {"table": "users", "set": {"email_normalized": "lower(email)"}, "where": "email_normalized IS NULL"}},
    {"addIndex": {"table": "users", "columns": ["email_normalized"]}},
]
LEVELS = {"addColumn": RiskLevel.SAFE, "backfill": RiskLevel.MEDIUM, "addIndex": RiskLevel.LOW}


def ago(**units: float) -> datetime:
    """So long before NOW."""
    return NOW - timedelta(**units)


def spec(**changes: Any) -> MigrationSpec:
    """Three steps; `changes` are keys of the spec as a user writes them."""
    written = {"database": {"secretRef": {"name": "db"}}, "steps": STEPS, **changes}
    return parse_spec(written, name="m")


def plan(of: MigrationSpec | None = None, *, text: str = "", worst: RiskLevel = RiskLevel.MEDIUM) -> Plan:
    """A plan of the spec's steps; another `text` makes another hash. The backfill has the worst level."""
    steps = (of or spec()).steps
    return Plan(
        migration_id="m",
        database=DatabaseIdentity("7", 5, "shop"),
        steps=tuple(
            PlannedStep(
                index=index,
                kind=step.operation.kind,
                target=f"public.users #{index}",
                digest=str(index),
                statements=(Statement(f"SELECT {index} {text}", Lock.NONE),),
                findings=(_finding(step.operation.kind, worst),),
            )
            for index, step in enumerate(steps, start=1)
        ),
    )


def _finding(kind: str, worst: RiskLevel) -> Finding:
    return Finding(worst if kind == "backfill" else LEVELS[kind], ReasonCode.REQUIRES_BACKFILL, "why", "safer way")


def observed(of: MigrationSpec | None = None, **changes: Any) -> Observed:
    """A new migration, its ledger empty, nothing planned yet."""
    seen = of or spec()
    given: dict[str, Any] = {"ledger": ledger(), **changes}
    base = Observed(namespace="shop", name="m", uid=UID, generation=3, now=NOW, spec=seen, digests=spec_digests(seen))
    return replace(base, **given)


def ledger(**changes: Any) -> LedgerView:
    """An empty ledger."""
    return replace(LedgerView(database_name="shop", now=NOW, mark="0.0.0"), **changes)


def begun(of: MigrationSpec | None = None, *, done: int = 0, **changes: Any) -> LedgerView:
    """A ledger of a migration that began, its first steps done."""
    seen = of or spec()
    steps = tuple(history(i) for i in range(1, done + 1))
    given: dict[str, Any] = {"began_at": ago(hours=1), "digests": spec_digests(seen), "owner": ("shop", "m")}
    return ledger(**given | {"steps": steps, "plan": plan(seen), "mark": f"{done}.0.0"} | changes)


def applied(of: MigrationSpec | None = None, **changes: Any) -> LedgerView:
    """A ledger of a migration that is applied."""
    seen = of or spec()
    return begun(seen, done=len(seen.steps), **{"applied_at": ago(minutes=5), **changes})


def history(
    index: int, state: StepState = StepState.DONE, *, attempts: int = 1, error: str | None = None
) -> StepHistory:
    """What the ledger says of a step."""
    finished = None if state is StepState.RUNNING else ago(minutes=10)
    return StepHistory(index, state, attempts, ago(minutes=20), finished, error)


def walking(**changes: Any) -> BackfillView:
    """The backfill in step 2, at a quarter."""
    return replace(BackfillView(2, 250, 1000, 50, ago(seconds=2)), **changes)


def reverted(of: MigrationSpec | None = None, **changes: Any) -> LedgerView:
    """A ledger of a migration that was applied and is taken back."""
    seen = of or spec()
    steps = tuple(history(i, StepState.REVERTED) for i in range(1, len(seen.steps) + 1))
    return begun(seen, **{"steps": steps, **changes})


def job(attempt: int = 1, *, of: MigrationSpec | None = None, **changes: Any) -> JobView:
    """An active Job of the plan and spec of the builders, its pod running."""
    base = JobView(
        name=f"m-{attempt}",
        attempt=attempt,
        state=JobState.ACTIVE,
        created_at=ago(minutes=2),
        plan_hash=plan(of).hash,
        run_hash=run_hash(of or spec()),
        mark="0.0.0",
        pod=pod(),
    )
    return replace(base, **changes)


def ended(exit_code: int | None, attempt: int = 1, **changes: Any) -> JobView:
    """A Job that failed a good while ago, its container with this code."""
    told = {k: changes.pop(k) for k in ("reason", "message") if k in changes}
    its = pod(exit_code=exit_code, verdict=Verdict(**told), **changes.pop("pod", {}))
    return job(attempt, **{"state": JobState.FAILED, "finished_at": ago(minutes=5), "pod": its, **changes})


def pod(**changes: Any) -> PodView:
    """A running pod."""
    return replace(PodView("m-1-abcde", created_at=ago(minutes=2), started_at=ago(seconds=110)), **changes)


def artifact(name: str, state: ArtifactState = ArtifactState.LIVE, *, days: float | None = None) -> ArtifactStatus:
    """An artifact that expires in so many days, or never."""
    return ArtifactStatus(
        id=name,
        type="soft_drop_column",
        source=f"users.{name}",
        created_at=ago(days=1),
        expires_at=NOW + timedelta(days=days) if days is not None else None,
        state=state,
    )
