"""What a migration will do, as data: frozen into the ledger when it begins, and the truth for every later attempt."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from zanith.core.graph import DatabaseIdentity
from zanith.core.risk import Finding, ReasonCode, RiskLevel, by_level, worst
from zanith.core.statement import Probe, Statement
from zanith.operations.step_context import Undo

FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One step: what it executes, asks, risks, and how it is taken back. `index` counts from 1."""

    index: int
    kind: str
    target: str
    digest: str
    """Hash of the step as the author wrote it (defaults filled in), to tell an edited step from an appended one."""
    statements: tuple[Statement, ...]
    findings: tuple[Finding, ...]
    probes: tuple[Probe, ...] = ()
    undo: Undo = field(default_factory=Undo)

    @property
    def level(self) -> RiskLevel:
        return worst(self.findings)

    @property
    def score(self) -> int:
        return self.level.score

    @property
    def is_backfill(self) -> bool:
        """Whether it only moves data, so that the schema is ready without it."""
        return self.kind == "backfill"

    @property
    def sql(self) -> str:
        """All its statements as text, and what the audit has to say where there is no way back from them."""
        text = ";\n".join(s.sql for s in self.statements)
        if not self.undo.refused or self.undo.unless is not None:
            return text
        return f"{text}\n-- no way back: {' '.join(self.undo.refused.split())}"


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole migration, planned."""

    migration_id: str
    database: DatabaseIdentity
    steps: tuple[PlannedStep, ...]
    format_version: int = FORMAT_VERSION

    @property
    def hash(self) -> str:
        """Over the migration id, the database's identity and the ordered statements with their locks; never over sizes."""
        content = {
            "format": self.format_version,
            "migration": self.migration_id,
            "system": self.database.system_identifier,
            "database": self.database.oid,
            "steps": [[_hashed(s) for s in step.statements] for step in self.steps],
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:32]

    @property
    def level(self) -> RiskLevel:
        """The level of the worst step."""
        return max((s.level for s in self.steps), key=lambda level: level.score, default=RiskLevel.SAFE)

    @property
    def worst_step(self) -> PlannedStep:
        """The first step with the highest score."""
        return max(self.steps, key=lambda s: s.score)

    @property
    def total_score(self) -> int:
        return sum(s.score for s in self.steps)

    @property
    def levels(self) -> dict[RiskLevel, int]:
        """Steps by level, in order of rising risk."""
        return by_level(s.level for s in self.steps)

    @property
    def reasons(self) -> tuple[ReasonCode, ...]:
        """Every reason code there is, the most frequent first."""
        return tuple(r for r, _ in Counter(f.reason for s in self.steps for f in s.findings).most_common())

    def to_json(self) -> dict[str, Any]:
        """As stored in the ledger."""
        dumped: dict[str, Any] = _adapter().dump_python(self, mode="json")
        return dumped

    @staticmethod
    def from_json(data: Any) -> Plan:
        """The plan stored by `to_json`. Raises pydantic.ValidationError where it is not one."""
        return _adapter().validate_python(data)


def _hashed(statement: Statement) -> list[Any]:
    return [
        statement.sql,
        statement.lock.value,
        [list(table) for table in statement.on],
        statement.transactional,
        statement.with_previous,
        [] if statement.backfill is None else [k.name for k in statement.backfill.key],
    ]


@cache
def _adapter() -> TypeAdapter[Plan]:
    return TypeAdapter(Plan)
