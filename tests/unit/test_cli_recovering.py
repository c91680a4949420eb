"""What recovery says and decides, from values alone: shares of a `down`, what cleanup takes, agreement, numbers in words."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from zanith.cli.recovering import agreed, over_since, restored_text
from zanith.cli.reverting import Share, choose_shares
from zanith.core.errors import SpecError, Stopped
from zanith.execution.recovering import RestoredRows
from zanith.ledger.overview import KeptArtifact
from zanith.ledger.records import Artifact
from zanith.postgres.sequences import OwnedSequence

NOW = datetime(2026, 4, 1, tzinfo=UTC)
DAY = timedelta(days=1)
KEPT = KeptArtifact(
    id="m::archive_column::users.email",
    migration_id="m",
    artifact_type="archive_column",
    source_schema="public",
    source_table="users",
    source_column="email",
    physical_name="copy",
    row_count=5,
    size=8192,
    created_at=NOW - 100 * DAY,
    expires_at=None,
    restored_at=None,
    now=NOW,
)
DONE = [("last", 2), ("before", 3), ("first", 1)]


@pytest.mark.parametrize(
    ("steps", "shares"),
    [
        (1, [Share("last", 1)]),
        (2, [Share("last", 2)]),
        (4, [Share("last", 2), Share("before", 2)]),
        (99, [Share("last", 2), Share("before", 3), Share("first", 1)]),
    ],
)
def test_the_last_steps_are_taken_from_the_last_migrations(steps: int, shares: list[Share]) -> None:
    assert choose_shares(DONE, steps=steps, migration_id=None) == shares


def test_of_a_named_migration_no_more_than_it_has() -> None:
    assert choose_shares(DONE, steps=2, migration_id="before") == [Share("before", 2)]
    assert choose_shares(DONE, steps=9, migration_id="before") == [Share("before", 3)]
    assert choose_shares(DONE, steps=None, migration_id="before") == [Share("before", 3)]
    with pytest.raises(SpecError, match="nothing to take back"):
        choose_shares(DONE, steps=1, migration_id="other")
    assert choose_shares([], steps=1, migration_id=None) == []


@pytest.mark.parametrize(
    ("artifact", "over"),
    [
        (KEPT, False),
        (replace(KEPT, expires_at=NOW + DAY), False),
        (replace(KEPT, expires_at=NOW - 29 * DAY), False),
        (replace(KEPT, expires_at=NOW - 30 * DAY), True),
        (replace(KEPT, expires_at=NOW - 99 * DAY, physical_name=None), False),
        (replace(KEPT, expires_at=NOW - 99 * DAY, restored_at=NOW - 29 * DAY), False),
        (replace(KEPT, expires_at=NOW - 99 * DAY, restored_at=NOW - 30 * DAY), True),
        (replace(KEPT, artifact_type="soft_drop_column", expires_at=NOW, restored_at=NOW - 99 * DAY), False),
        (replace(KEPT, artifact_type="archive_table", expires_at=NOW, restored_at=NOW - 99 * DAY), False),
    ],
)
def test_cleanup_takes_only_what_is_over_for_that_long(artifact: KeptArtifact, over: bool) -> None:
    assert over_since(artifact, 30 * DAY) is over


@pytest.mark.parametrize(
    ("artifact_type", "restored", "kept_in"),
    [
        ("archive_column", False, "_zanith_shadow.kept"),
        ("archive_column", True, "_zanith_shadow.kept"),
        ("archive_table", False, "_zanith_shadow.kept"),
        ("archive_table", True, None),
        ("soft_drop_table", False, "shop.kept"),
        ("soft_drop_table", True, None),
        ("soft_drop_column", False, "shop.users"),
        ("soft_drop_column", True, None),
    ],
)
def test_where_an_artifact_is_kept(artifact_type: str, restored: bool, kept_in: str | None) -> None:
    artifact = Artifact(
        "id", "m", artifact_type, "shop", "users", "email", "kept", 1, None, "", NOW, None, NOW if restored else None
    )
    assert (None if artifact.kept_in is None else str(artifact.kept_in)) == kept_in
    assert replace(artifact, physical_name=None).kept_in is None


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (None, ["t is back, with everything in it."]),
        (RestoredRows(1, 0, 0), ["t is back: 1 row had been archived.", "Every row has its value."]),
        (
            RestoredRows(9, 1, 2),
            [
                "t is back: 9 rows had been archived.",
                "1 row of the archive was deleted or got another key since: its value stays in the archive until that is "
                "purged; `zanith recover export` shows it.",
                "2 rows of the table were inserted or got their key since: the archive has no value for that.",
            ],
        ),
    ],
)
def test_numbers_in_words(rows: RestoredRows | None, said: list[str]) -> None:
    assert restored_text("t", rows).splitlines() == said


def test_nobody_is_taken_to_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(question: str) -> str:
        raise KeyboardInterrupt

    agreed("Gone.", yes=True)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False)
    with pytest.raises(SpecError, match="Give --yes to agree"):
        agreed("Gone.", yes=False)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    agreed("Gone.", yes=False, ask=lambda question: " Yes")
    for answer in (lambda question: "", lambda question: "y", lambda question: "no", interrupted):
        with pytest.raises(Stopped, match="nothing was changed"):
            agreed("Gone.", yes=False, ask=answer)


def test_a_sequence_goes_on_in_its_own_direction() -> None:
    up = OwnedSequence("id", "public", "s", increment=10, least=1, greatest=100, cache=1)
    down = replace(up, increment=-1, least=-100, greatest=-1)
    assert [up.beyond(50, at) for at in (50, 51)] == [False, True]
    assert [down.beyond(-50, at) for at in (-50, -51)] == [False, True]
    assert up.beyond(None, 1)
    assert [up.fits(value) for value in (90, 91)] == [True, False]
    assert [down.fits(value) for value in (-99, -100)] == [True, False]
