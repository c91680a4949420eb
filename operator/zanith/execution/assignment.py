"""What a runner is told to do, by whom, and what it tells back while it works."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from zanith.api.spec import Execution, MigrationSpec
from zanith.ledger.records import Owner

NOTIFY_CHANNEL = "zanith_progress"
"""LISTEN on it for hints; the payload is the migration id. At most one a second per runner."""


Action = Literal["apply", "revert", "purge"]


@dataclass(frozen=True, slots=True)
class Assignment:
    """One attempt at one migration."""

    spec: MigrationSpec
    action: Action = "apply"
    """What to do: bring the migration about, take it back, or drop what it kept and policy has given up."""
    owner: Owner = field(default_factory=Owner)
    uid: str = ""
    """The resource's uid; lower attempts of the same uid are fenced off. Empty for the CLI."""
    attempt: int = 1
    job: str = ""
    pod: str = ""
    expected_plan_hash: str = ""
    """The run begins only if the plan made under the lock has this hash; empty: any."""
    approved_hash: str = ""
    """The hash a person approved, where `gates.approval` is Required."""
    retry: str = ""
    """The value of the retry annotation this attempt was started for."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What is happening now, for logs, the progress bar and tests."""

    event: Literal[
        "waiting", "planned", "step_started", "statement_started", "statement_finished", "batch", "throttled",
        "notice", "step_finished", "applied", "reverted", "purged",
    ]  # fmt: skip
    step_index: int = 0
    steps_total: int = 0
    kind: str = ""
    target: str = ""
    risk_level: str = ""
    statement: int = 0
    statements_total: int = 0
    sql: str = ""
    rows_done: int = 0
    rows_estimated: int | None = None
    rows_per_second: int = 0
    took_s: float = 0.0
    message: str = ""


Report = Callable[[Progress], None]
ReadExecution = Callable[[], Execution]


def ignore(progress: Progress) -> None:
    """A Report that tells nobody."""
