"""What can go wrong, by meaning. The class says who has to act; the reason is the word a condition shows.

    ZanithError
    ├── SpecError       the author must edit the manifest
    ├── Refusal         a gate or a probe says no
    ├── ApprovalNeeded  a person has to approve the plan
    ├── NotYet          heals by waiting: outage, lock, another runner
    ├── StepFailed      PostgreSQL said no for good
    ├── Conflict        ledger and reality disagree
    └── Stopped         asked to stop; the checkpoint is written

No message may carry a DSN, a password or a row value: messages are built from SQLSTATE and object names only.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of `zanith run` and `zanith migrate up` alike."""

    APPLIED = 0
    TRY_AGAIN = 10
    REFUSED_OR_FAILED = 20
    STOPPED = 30


class ZanithError(Exception):
    """Base of all expected outcomes that are not success.

    `reason` is one CamelCase word, stable, shown on conditions. `step` counts from 1, where one is to blame.
    """

    exit_code = ExitCode.REFUSED_OR_FAILED
    default_reason = "StepFailed"

    def __init__(self, message: str, *, reason: str | None = None, step: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason
        self.step = step


class SpecError(ZanithError):
    """The author must edit the manifest. Each problem names its field by path."""

    default_reason = "InvalidPlan"

    def __init__(self, problems: list[str] | str, *, reason: str | None = None, step: int | None = None) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        shown = self.problems[:5]
        if len(self.problems) > len(shown):
            shown.append(f"and {len(self.problems) - len(shown)} more")
        super().__init__("; ".join(shown), reason=reason, step=step)


class Refusal(ZanithError):
    """A gate or a probe says no. Recorded in the audit as `refused — ...`."""

    default_reason = "RiskBudgetExceeded"

    def __init__(self, message: str, *, recorded: str, reason: str, step: int) -> None:
        super().__init__(message, reason=reason, step=step)
        self.recorded = recorded
        """The words the audit row keeps, e.g. `refused — max risk 60`."""


class ApprovalNeeded(ZanithError):
    """`gates.approval` is Required and nobody approved this very plan."""

    default_reason = "AwaitingApproval"


class NotYet(ZanithError):
    """Heals by waiting. `retry_in_s` is a hint, in seconds."""

    exit_code = ExitCode.TRY_AGAIN
    default_reason = "Retrying"

    def __init__(
        self, message: str, *, reason: str | None = None, step: int | None = None, retry_in_s: float = 1.0
    ) -> None:
        super().__init__(message, reason=reason, step=step)
        self.retry_in_s = retry_in_s


class StepFailed(ZanithError):
    """PostgreSQL refused a statement for good; running it again would give the same answer."""


class Conflict(ZanithError):
    """The ledger and what is found disagree; a person has to look."""

    default_reason = "LedgerConflict"


class Stopped(ZanithError):
    """Asked to stop (SIGTERM, suspend); everything committed so far stands in the checkpoint."""

    exit_code = ExitCode.STOPPED
    default_reason = "Suspended"
