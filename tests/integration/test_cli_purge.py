"""`zanith recover purge` and `cleanup`: what is given up goes, and nothing else."""

from __future__ import annotations

import json

import pytest

from recovery_setting import ARCHIVE, SOFT_DROP, SOFT_DROP_TABLE, Zanith, applied, commands_on, ledger
from servers import Database


@pytest.fixture
def zanith(pg: Database, capfdbinary: pytest.CaptureFixture[bytes]) -> Zanith:
    """Runs a command on the test's database."""
    return commands_on(pg, capfdbinary)


def test_purge_asks_and_drops_one_artifact_for_good(pg: Database, zanith: Zanith) -> None:
    applied(pg, ARCHIVE, SOFT_DROP, SOFT_DROP_TABLE)
    unasked = zanith("recover", "purge", "users.age")
    assert unasked.code == 20
    assert "Give --yes to agree, or --dry-run to only look" in unasked.err
    looked = zanith("recover", "purge", "users.age", "--dry-run")
    assert looked.out.splitlines()[1] == 'ALTER TABLE "public"."users" DROP COLUMN "_zanith_dropped_age_m";'
    assert pg.value("SELECT count(*) FROM _zanith_migration_artifacts WHERE physical_name IS NULL") == 0
    for name in ("users.age", "users.email", "old"):
        assert zanith("recover", "purge", name, "--yes").out.splitlines()[-1].startswith("Purged m::")
    assert (
        pg.rows("SELECT FROM pg_class WHERE relname LIKE '\\_zanith\\_dropped%' OR relname LIKE '\\_zanith\\_arch%'")
        == []
    )
    assert pg.rows("SELECT FROM pg_attribute WHERE attname LIKE '\\_zanith\\_dropped%'") == []
    again = zanith("recover", "purge", "old", "--yes")
    assert (again.code, again.err) == (
        20,
        "zanith: nothing is kept of m::soft_drop_table::old any more (purged, gone for good)\n",
    )
    assert "its data is gone for good" in zanith("recover", "restore-table", "old").err


def test_purge_of_what_was_restored_drops_nothing(pg: Database, zanith: Zanith) -> None:
    """The column of that physical name is another artifact's by now."""
    applied(pg, SOFT_DROP)
    assert zanith("recover", "restore-column", "users.age").code == 0
    refused = zanith("recover", "purge", "users.age", "--yes")
    assert (refused.code, "(restored " in refused.err) == (20, True)
    assert zanith("recover", "cleanup", "--older-than", "0d", "--yes").out.startswith("Nothing expired or was restored")
    assert pg.value("SELECT count(age) FROM users") == 100


def test_cleanup_takes_what_is_over_and_nothing_that_is_live(pg: Database, zanith: Zanith) -> None:
    applied(pg, ARCHIVE, SOFT_DROP, SOFT_DROP_TABLE)
    pg.execute(
        """
        UPDATE _zanith_migration_artifacts SET expires_at = now() - interval '31 d' WHERE source_column = 'age';
        UPDATE _zanith_migration_artifacts SET expires_at = now() - interval '29 d' WHERE source_table = 'old'
        """
    )
    assert zanith("recover", "restore-column", "users.email").code == 0
    pg.execute(
        "UPDATE _zanith_migration_artifacts SET restored_at = now() - interval '40 d' WHERE source_column = 'email'"
    )
    before = ledger(pg)
    looked = zanith("recover", "cleanup", "--older-than", "30d", "--dry-run")
    assert looked.out.splitlines()[-1] == "2 artifact(s) would be purged; nothing was changed."
    assert zanith("recover", "cleanup", "--older-than", "30d").code == 20, "nobody agreed"
    assert ledger(pg) == before

    done = zanith("recover", "cleanup", "--older-than", "30d", "--yes")
    assert done.code == 0
    purged = [line for line in done.out.splitlines() if line.startswith("Purged")]
    assert sorted(purged) == ["Purged m::archive_column::users.email.", "Purged m::soft_drop_column::users.age."]
    states = {a["source"]: a["state"] for a in json.loads(zanith("recover", "list", "--all", "--json").out)}
    assert states == {"public.users.email": "Restored", "public.users.age": "Purged", "public.old": "Expired"}
    assert pg.value("SELECT count(email) FROM users") == 100
    assert zanith("recover", "cleanup", "--older-than", "month").err == (
        "zanith: --older-than: must be a number and a unit, s, m, h or d, such as 7d\n"
    )


def test_cleanup_goes_on_after_one_that_cannot_go(pg: Database, zanith: Zanith) -> None:
    applied(pg, SOFT_DROP, SOFT_DROP_TABLE)
    pg.execute("CREATE VIEW reads AS SELECT _zanith_dropped_age_m FROM users")
    pg.execute("UPDATE _zanith_migration_artifacts SET expires_at = now() - interval '1 d'")
    done = zanith("recover", "cleanup", "--older-than", "1h", "--yes")
    assert done.code == 20
    assert "something still uses it; drop that first, then purge again" in done.err
    assert "Purged m::soft_drop_table::old." in done.out
    assert (
        pg.value("SELECT status FROM _zanith_migration_steps WHERE error LIKE '%something still uses it%'") == "failed"
    )

    pg.execute("DROP VIEW reads; ALTER TABLE users DROP COLUMN _zanith_dropped_age_m")
    (listed,) = json.loads(zanith("recover", "list", "--json").out)
    assert (listed["state"], listed["sizeBytes"]) == ("Missing", None)
    lost = zanith("recover", "restore-column", "users.age")
    assert (lost.code, lost.err) == (
        20,
        "zanith: column public.users._zanith_dropped_age_m, which held what was kept of public.users.age, is not there any "
        "more: it was dropped or renamed, or the recovery SQL was run, by hand; `zanith recover purge public.users.age` "
        "settles the artifact\n",
    )
    gone = zanith("recover", "purge", "users.age", "--yes")
    assert gone.code == 0
    assert "nothing was dropped, for what it kept was not there any more" in gone.out
    assert zanith("recover", "list").out.startswith("Recoverable artifacts (0):")
