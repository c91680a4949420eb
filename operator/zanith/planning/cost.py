"""How long a statement is predicted to make others wait, from the size of its table, and what that means for its risk.

The rates are of a two-core machine with a warm cache (`docs/risk.md` has the measurement, `make bench-locks` makes it
anew): meant to tell an instant from a minute, not to be precise. Size changes findings, never statements.
"""

from __future__ import annotations

from zanith.core.graph import Facts, TableSize
from zanith.core.risk import Finding, ReasonCode, RiskLevel
from zanith.core.statement import Statement, Work

ROWS_PER_S = {Work.SCAN: 5_000_000, Work.BUILD: 1_400_000, Work.REWRITE: 270_000}
BYTES_PER_S = {Work.SCAN: 500_000_000, Work.BUILD: 140_000_000, Work.REWRITE: 30_000_000}

NOTICEABLE_S = 0.05
HIGH_S = 1.0
BLOCKED_S = 10.0


def predicted_s(work: Work, size: TableSize) -> float:
    """Seconds the work takes on a table of this size; the slower of what its rows and its bytes say."""
    if work is Work.CATALOG:
        return 0.0
    by_rows = (size.rows or 0) / ROWS_PER_S[work]
    return max(by_rows, size.bytes / BYTES_PER_S[work])


def blocking_finding(statement: Statement, facts: Facts) -> Finding | None:
    """The finding for work under a strong lock; None where nobody waits, or where the table is new or small."""
    if not statement.lock.blocks_writes or statement.work is Work.CATALOG or not statement.on:
        return None
    table = statement.on[0]
    size = facts.sizes.get(table)
    if size is None:
        return None
    seconds = predicted_s(statement.work, size)
    if seconds < NOTICEABLE_S:
        return None
    rewrites = statement.work is Work.REWRITE
    waiting = "reads and writes" if statement.lock.value == "ACCESS EXCLUSIVE" else "writes"
    return Finding(
        level=level_for(seconds),
        reason=ReasonCode.TABLE_REWRITE if rewrites else ReasonCode.FULL_SCAN_UNDER_LOCK,
        why=f"{table} is {'rewritten' if rewrites else 'read as a whole'} under {statement.lock.value}: {waiting} wait for "
        f"about {_rounded(seconds)}",
        blocked_s=round(seconds, 2),
    )


def level_for(seconds: float) -> RiskLevel:
    """Waiting as a risk: noticeable, an incident for someone, an outage."""
    if seconds >= BLOCKED_S:
        return RiskLevel.BLOCKED
    return RiskLevel.HIGH if seconds >= HIGH_S else RiskLevel.MEDIUM


def _rounded(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
