"""Marks: what of a migration at rest may be changed by somebody else, in so few values that many can be asked for at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection

from zanith.ledger.named_queries import query
from zanith.ledger.reading import check_shape
from zanith.ledger.records import MigrationRecord


@dataclass(frozen=True, slots=True)
class Mark:
    """Differs where somebody applied, took back, restored or purged, or gave an artifact another expiry."""

    applied_at: datetime | None = None
    artifacts: int = 0
    restored: int = 0
    purged: int = 0
    first_expiry: datetime | None = None
    last_expiry: datetime | None = None


def mark_of(record: MigrationRecord) -> Mark:
    """The mark of what was read of a migration; equal to what `read_marks` finds until something changes."""
    ends = [a.expires_at for a in record.artifacts if a.expires_at is not None]
    return Mark(
        applied_at=record.applied_at,
        artifacts=len(record.artifacts),
        restored=sum(a.restored_at is not None for a in record.artifacts),
        purged=sum(a.physical_name is None for a in record.artifacts),
        first_expiry=min(ends, default=None),
        last_expiry=max(ends, default=None),
    )


def read_marks(conn: Connection[Any], schema: str, migration_ids: Iterable[str]) -> dict[str, Mark]:
    """The marks of these migrations; empty ones where the five tables do not exist. Raises Conflict as reading does."""
    ids = list(migration_ids)
    if not {"migrations", "artifacts"} <= check_shape(conn, schema):
        return {migration_id: Mark() for migration_id in ids}
    rows = conn.execute(query("marks", "marks", schema), {"ids": ids}).fetchall()
    return {migration_id: Mark(*values) for migration_id, *values in rows}
