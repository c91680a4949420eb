"""Risk in numbers: six levels with fixed scores, the reason codes, and findings.

The scores and the 21 published reason codes are Zanith's. The codes in `OUR_OWN` are added by this project for what
those lack; the documentation lists them as ours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class RiskLevel(StrEnum):
    """How much can go wrong, from nothing to not without an explicit word."""

    SAFE = "safe"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    DESTRUCTIVE = "destructive"
    BLOCKED = "blocked"

    @property
    def score(self) -> int:
        """The published score of the level, 5 to 95."""
        return _SCORES[self]


_SCORES = {
    RiskLevel.SAFE: 5,
    RiskLevel.LOW: 15,
    RiskLevel.MEDIUM: 35,
    RiskLevel.HIGH: 60,
    RiskLevel.DESTRUCTIVE: 80,
    RiskLevel.BLOCKED: 95,
}


class ReasonCode(StrEnum):
    """Why a step has its level. Values are stable: gates name them."""

    ADDS_NULLABLE_COLUMN = "adds_nullable_column"
    ADDS_REQUIRED_COLUMN_WITHOUT_DEFAULT = "adds_required_column_without_default"
    ADDS_INDEX = "adds_index"
    ADDS_UNIQUE_CONSTRAINT = "adds_unique_constraint"
    ADDS_FOREIGN_KEY = "adds_foreign_key"
    ADDS_EXTENSION = "adds_extension"
    DROPS_COLUMN_WITH_DATA = "drops_column_with_data"
    DROPS_TABLE_WITH_DATA = "drops_table_with_data"
    DROPS_INDEX = "drops_index"
    DROPS_UNIQUE_CONSTRAINT = "drops_unique_constraint"
    DROPS_FOREIGN_KEY = "drops_foreign_key"
    DROPS_EXTENSION = "drops_extension"
    NARROWS_COLUMN_TYPE = "narrows_column_type"
    CHANGES_COLUMN_TYPE = "changes_column_type"
    CHANGES_COLUMN_NULLABLE_TO_NOT_NULL = "changes_column_nullable_to_not_null"
    REBUILDS_TABLE = "rebuilds_table"
    REQUIRES_BACKFILL = "requires_backfill"
    RLS_CHANGE = "rls_change"
    RAW_SQL = "raw_sql"
    RENAME_TABLE = "rename_table"
    RENAME_COLUMN = "rename_column"
    # Ours:
    ADDS_TABLE = "adds_table"
    ADDS_COLUMN_WITH_DEFAULT = "adds_column_with_default"
    CHANGES_COLUMN_NOT_NULL_TO_NULLABLE = "changes_column_not_null_to_nullable"
    SOFT_DROPS_COLUMN = "soft_drops_column"
    LOCKS_SECOND_TABLE = "locks_second_table"
    BREAKS_DEPENDENTS = "breaks_dependents"
    USER_TRIGGERS_FIRE = "user_triggers_fire"
    REPLICATION_IMPACT = "replication_impact"
    TABLE_REWRITE = "table_rewrite"
    FULL_SCAN_UNDER_LOCK = "full_scan_under_lock"
    PUBLISHED_WITHOUT_REPLICA_IDENTITY = "published_without_replica_identity"
    DROPS_HOT_INDEX = "drops_hot_index"
    DROPS_EXTENSION_IN_USE = "drops_extension_in_use"
    ADDS_GENERATED_COLUMN = "adds_generated_column"
    CHANGES_COLUMN_DEFAULT = "changes_column_default"
    SOFT_DROPS_TABLE = "soft_drops_table"
    ARCHIVES_TABLE = "archives_table"
    ARCHIVES_COLUMN = "archives_column"
    OPAQUE_CODE = "opaque_code"
    DELETES_ROWS = "deletes_rows"
    LOCKS_ROWS = "locks_rows"


OUR_OWN = frozenset(list(ReasonCode)[21:])


@dataclass(frozen=True, slots=True)
class Finding:
    """One risk of a step: how bad, which kind, why, and the safer way.

    `safer` is YAML to paste or a sentence; empty where there is nothing safer.
    """

    level: RiskLevel
    reason: ReasonCode
    why: str
    safer: str = ""
    blocked_s: float | None = None
    """Seconds others are predicted to wait behind a strong lock, where it is about that."""

    @property
    def destructive(self) -> bool:
        """Whether it takes data away for good: what `allowDestructive` is asked for."""
        return self.level is RiskLevel.DESTRUCTIVE


def worst(findings: Iterable[Finding]) -> RiskLevel:
    """The level of the worst finding; SAFE where there is none."""
    return max((f.level for f in findings), key=lambda level: level.score, default=RiskLevel.SAFE)


def by_level(levels: Iterable[RiskLevel]) -> dict[RiskLevel, int]:
    """How many steps have each level, in order of rising risk, absent levels left out."""
    counts = Counter(levels)
    return {level: counts[level] for level in RiskLevel if counts[level]}
