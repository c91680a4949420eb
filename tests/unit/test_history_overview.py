"""Status and the list of artifacts as text and JSON, from values alone."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from zanith.api.spec import MigrationSpec, seconds
from zanith.ledger.history import HistoryStep, MigrationHistory
from zanith.ledger.overview import (
    EXPIRY_WARNING,
    AppliedMigration,
    KeptArtifact,
    LedgerStatus,
    RowsMoved,
    expiry_text,
    kept_json,
    kept_text,
    percent,
    size_text,
    status_json,
    status_text,
)

AT = datetime(2026, 3, 28, 10, 0, tzinfo=UTC)
CREATED = "2026-03-28 10:00 UTC"

DONE = HistoryStep(1, "addColumn", "safe", 5, "done", 1)
REFUSED = HistoryStep(1, "dropColumn", "destructive", 80, "failed", 1, "refused — max risk 60")
FAILED = HistoryStep(2, "addIndex", "low", 15, "failed", 2, "duplicates (23505)")
BACKFILL = HistoryStep(2, "backfill", "medium", 35, "running", 1)
PENDING = HistoryStep(3, "addIndex", "low", 15, "pending", 0)
REVERTED = HistoryStep(1, "addColumn", "safe", 5, "reverted", 2)

STATUS = LedgerStatus(
    applied_count=2,
    last_applied=AppliedMigration("20260401_normalize_email", AT),
    not_applied_count=8,
    not_applied=(
        MigrationHistory("refused", None, (REFUSED,), begun=False),
        MigrationHistory("failed", None, (DONE, FAILED, PENDING)),
        MigrationHistory("moving", None, (DONE, BACKFILL, PENDING)),
        MigrationHistory("unknown size", None, (DONE, BACKFILL, PENDING)),
        MigrationHistory("waiting", None, (DONE, DONE._replace(step_index=2), PENDING)),
        MigrationHistory("reverted", None, (REVERTED,)),
        MigrationHistory("halfway back", None, (DONE, REVERTED._replace(step_index=2))),
    ),
    rows={("moving", 2): RowsMoved(620_000, 1_000_000), ("unknown size", 2): RowsMoved(7, None)},
)

ARTIFACT = KeptArtifact(
    id="m::soft_drop_column::users.email",
    migration_id="m",
    artifact_type="soft_drop_column",
    source_schema="public",
    source_table="users",
    source_column="email",
    physical_name="_zanith_dropped_email_m",
    row_count=1000,
    size=None,
    created_at=AT,
    expires_at=AT + timedelta(days=30),
    restored_at=None,
    now=AT + timedelta(hours=20),
)
FOR_EVER = replace(
    ARTIFACT, id="m::soft_drop_table::old", source_column=None, row_count=None, size=122880, expires_at=None
)
EXPIRING = replace(ARTIFACT, id="w::soft_drop_column::users.town", expires_at=ARTIFACT.now + timedelta(hours=2))
EXPIRED = replace(ARTIFACT, id="e::soft_drop_column::users.name", expires_at=AT)
RESTORED = replace(ARTIFACT, id="r::archive_column::users.age", restored_at=AT, expires_at=AT)
PURGED = replace(ARTIFACT, id="p::archive_column::users.zip", physical_name=None, expires_at=AT)
MISSING = replace(ARTIFACT, id="g::archive_column::users.fax", missing=True)


def test_what_is_not_where_it_was_put_is_missing() -> None:
    assert (MISSING.state, expiry_text(MISSING)) == ("Missing", "gone, or brought back, by hand")
    assert replace(RESTORED, missing=True).state == "Restored"


def test_status_says_where_each_one_stands() -> None:
    assert (
        status_text(STATUS)
        == """\
Applied migrations: 2, the last 20260401_normalize_email at 2026-03-28 10:00 UTC
Not applied: 8
▸ refused: step 1 dropColumn: refused — max risk 60
▸ failed: step 2/3 addIndex failed: duplicates (23505)
▸ moving: step 2/3 backfill running, 620000 of about 1000000 rows (62 %)
▸ unknown size: step 2/3 backfill running, 7 rows
▸ waiting: step 3/3 addIndex pending
▸ reverted: reverted
▸ halfway back: reverted, but for 1 of 2 steps
and 1 more"""
    )


def test_status_of_an_empty_ledger_is_one_line() -> None:
    assert status_text(LedgerStatus(0, None, 0)) == "Applied migrations: 0"


def test_status_as_json() -> None:
    document = json.loads(status_json(STATUS))
    assert document["applied"] == 2
    assert document["lastApplied"] == {"migrationId": "20260401_normalize_email", "appliedAt": AT.isoformat()}
    assert document["notApplied"] == 8
    by_id = {m.pop("migrationId"): m for m in document["migrations"]}
    assert by_id["moving"] == {
        "state": "running",
        "step": 2,
        "kind": "backfill",
        "stepsDone": 1,
        "stepsTotal": 3,
        "rowsDone": 620_000,
        "rowsEstimated": 1_000_000,
        "error": None,
    }
    assert (by_id["refused"]["state"], by_id["refused"]["stepsTotal"]) == ("refused", None)
    assert by_id["refused"]["error"] == "refused — max risk 60"
    assert (by_id["failed"]["state"], by_id["failed"]["error"]) == ("failed", "duplicates (23505)")
    assert (by_id["reverted"]["state"], by_id["reverted"]["step"]) == ("reverted", None)
    assert json.loads(status_json(LedgerStatus(0, None, 0)))["lastApplied"] is None


def test_a_percentage_never_says_that_it_is_over() -> None:
    assert [percent(0, 10), percent(5, 10), percent(10, 10), percent(20, 10), percent(1, 0)] == [0, 50, 99, 99, 0]


def test_artifacts_as_a_table_with_their_expiry() -> None:
    table = kept_text([replace(ARTIFACT, id="m::a::t.c"), FOR_EVER, EXPIRING, EXPIRED]).splitlines()
    assert table[0] == "Recoverable artifacts (4):"
    soft, email = "soft_drop_column", "public.users.email"
    assert [re.split(r" {2,}", line) for line in table[1:]] == [
        ["ID", "TYPE", "STATE", "SOURCE", "ROWS", "SIZE", "CREATED", "EXPIRES"],
        ["m::a::t.c", soft, "Live", email, "1000", "-", CREATED, "2026-04-27 10:00 UTC (in 29 d 4 h)"],
        ["m::soft_drop_table::old", soft, "Live", "public.users", "?", "120 kB", CREATED, "never"],
        [EXPIRING.id, soft, "Expiring", email, "1000", "-", CREATED, "2026-03-29 08:00 UTC (in 2 h)"],
        [EXPIRED.id, soft, "Expired", email, "1000", "-", CREATED, f"{CREATED} (expired, data kept)"],
    ]
    expiries = ("EXPIRES", "2026-04", "never", "2026-03-29", f"{CREATED} (e")
    assert len({line.index(expiry) for line, expiry in zip(table[1:], expiries, strict=True)}) == 1, "not aligned"


def test_what_was_restored_or_purged_says_so() -> None:
    title, _, *lines = kept_text([RESTORED, PURGED], everything=True).splitlines()
    assert title == "Artifacts (2):"
    assert [re.split(r" {2,}", line)[2::5] for line in lines] == [
        ["Restored", f"restored {CREATED}"],
        ["Purged", "purged, gone for good"],
    ]


def test_an_artifact_is_expiring_as_long_before_as_a_manifest_says_by_default() -> None:
    default = MigrationSpec.model_fields["expiry_warning"].default
    assert timedelta(seconds=seconds(default)) == EXPIRY_WARNING


def test_sizes_are_written_as_postgres_writes_them() -> None:
    assert [size_text(n) for n in (None, 0, 8192, 10239, 10240, 10 * 2**20, 2**40)] == [
        "-", "0 bytes", "8192 bytes", "10239 bytes", "10 kB", "10 MB", "1024 GB",
    ]  # fmt: skip


def test_no_artifacts() -> None:
    assert kept_text([]) == "Recoverable artifacts (0):"
    assert json.loads(kept_json([])) == []


def test_artifacts_as_json() -> None:
    first, second, third, fourth = json.loads(kept_json([ARTIFACT, FOR_EVER, EXPIRED, RESTORED]))
    assert first == {
        "id": "m::soft_drop_column::users.email",
        "migrationId": "m",
        "type": "soft_drop_column",
        "source": "public.users.email",
        "physicalName": "_zanith_dropped_email_m",
        "rowCount": 1000,
        "sizeBytes": None,
        "createdAt": "2026-03-28T10:00:00+00:00",
        "expiresAt": "2026-04-27T10:00:00+00:00",
        "restoredAt": None,
        "state": "Live",
    }
    assert (second["expiresAt"], second["rowCount"], second["sizeBytes"]) == (None, None, 122880)
    assert (third["state"], fourth["state"], fourth["restoredAt"]) == ("Expired", "Restored", AT.isoformat())
