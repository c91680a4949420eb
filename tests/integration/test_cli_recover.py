"""`zanith recover list`, `inspect`, `restore-column` and `restore-table` on real servers."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

from recovery_setting import (
    ARCHIVE,
    ARCHIVE_TABLE,
    SHADOW_COPY,
    SOFT_DROP,
    SOFT_DROP_TABLE,
    USERS,
    Zanith,
    applied,
    commands_on,
    environment_of,
    ledger,
)
from servers import Database
from servers.waiting import wait_until
from zanith.main import main


@pytest.fixture
def zanith(pg: Database, capfdbinary: pytest.CaptureFixture[bytes]) -> Zanith:
    """Runs a command on the test's database."""
    return commands_on(pg, capfdbinary)


def test_list_shows_sizes_states_and_all_there_was(pg: Database, zanith: Zanith) -> None:
    applied(pg, ARCHIVE, SOFT_DROP, SOFT_DROP_TABLE, retention="30d")
    title, _, *lines = zanith("recover", "list").out.splitlines()
    assert title == "Recoverable artifacts (3):"
    by_type = {line.split()[1]: line.split() for line in lines}
    assert by_type["archive_column"][5:7] == [str(_size(pg, SHADOW_COPY) // 1024), "kB"]
    assert by_type["soft_drop_column"][5] == "-"
    assert {words[2] for words in by_type.values()} == {"Live"}

    pg.execute("UPDATE _zanith_migration_artifacts SET expires_at = now() + interval '1 h' WHERE source_column = 'age'")
    assert zanith("recover", "restore-table", "old").code == 0
    assert zanith("recover", "purge", "users.email", "--yes").code == 0
    assert zanith("recover", "list").out.splitlines()[2].split()[2] == "Expiring"
    listed = json.loads(zanith("recover", "list", "--all", "--json").out)
    states = {"users.email": "Purged", "users.age": "Expiring", "old": "Restored"}
    assert {a["source"].removeprefix("public."): a["state"] for a in listed} == states
    assert zanith("recover", "list", "--all", "--id", "other").out == "Artifacts (0):\n"


def _size(pg: Database, table: str) -> int:
    found = pg.value(f"SELECT pg_total_relation_size('{table}')")
    assert isinstance(found, int)
    return found


def test_the_size_of_a_partitioned_table_is_that_of_its_partitions(pg: Database, zanith: Zanith) -> None:
    parted = "CREATE TABLE old (id int) PARTITION BY RANGE (id); CREATE TABLE old_1 PARTITION OF old FOR VALUES FROM (0) TO (100)"
    applied(pg, ARCHIVE_TABLE, setup=f"{parted}; INSERT INTO old SELECT generate_series(1, 50)")
    (listed,) = json.loads(zanith("recover", "list", "--json").out)
    assert listed["sizeBytes"] >= 8192


def test_inspect_tells_everything_and_changes_nothing(pg: Database, zanith: Zanith) -> None:
    applied(pg, ARCHIVE, SOFT_DROP)
    before = ledger(pg)
    said = zanith("recover", "inspect", "users.email")
    assert (said.code, said.err) == (0, "")
    head, *lines = said.out.splitlines()
    assert head == "Artifact m::archive_column::users.email"
    facts = {line[2:12].strip(): line[12:] for line in lines if line.startswith("  ")}
    assert facts["kept of"] == "public.users.email"
    assert facts["by"] == "m, step 1 archiveColumn"
    assert (facts["state"], facts["rows"], facts["until"]) == ("Live", "100", "never")
    assert facts["where"] == f"table {SHADOW_COPY}"
    assert facts["checksum"].endswith(", and it holds: data and recovery SQL are what was kept")
    assert "`zanith recover restore-column public.users.email` would execute:" in lines
    assert '  ALTER TABLE "public"."users" ADD COLUMN "email" text;' in lines

    document = json.loads(zanith("recover", "inspect", "public.users.age", "--json").out)
    assert (document["step"], document["checksumState"], document["sizeBytes"]) == (2, "RecoverySqlOnly", None)
    assert ledger(pg) == before


def test_inspect_says_where_the_checksum_does_not_hold(pg: Database, zanith: Zanith) -> None:
    applied(pg, ARCHIVE)
    pg.execute(f"UPDATE {SHADOW_COPY} SET email = 'forged' WHERE id = 1")
    said = zanith("recover", "inspect", "users.email")
    assert said.code == 20
    assert "archive checksum changed since archive time (recorded " in said.out
    assert "forged" not in said.out
    pg.execute(f"DROP TABLE {SHADOW_COPY}")
    gone = zanith("recover", "inspect", "users.email")
    assert gone.code == 20
    assert "is not there any more" in gone.out
    assert zanith("recover", "export", "users.email").err.endswith("somebody took it away without Zanith\n")


def test_a_reader_without_rights_on_the_copy_can_inspect_the_rest(
    pg: Database, capfd: pytest.CaptureFixture[str]
) -> None:
    applied(pg, ARCHIVE)
    dsn = pg.create_login()
    pg.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {pg.roles[-1]}")
    assert main(["recover", "inspect", "users.email", "--json", "--dsn", dsn]) == 0
    assert json.loads(capfd.readouterr().out)["checksumState"] == "NotChecked"
    assert main(["recover", "list", "--dsn", dsn]) == 0


def test_what_is_not_kept_is_told_with_the_nearest_name(pg: Database, zanith: Zanith) -> None:
    none = zanith("recover", "inspect", "users.email")
    assert none.code == 20
    assert "has no ledger" in none.err
    applied(pg, ARCHIVE, SOFT_DROP_TABLE)
    for name, command, said in [
        ("users.emial", "inspect", "nothing is kept of users.emial (did you mean users.email?)"),
        ("users", "inspect", "nothing is kept of users itself, but of public.users.email"),
        ("old", "restore-column", "old is a table: use `zanith recover restore-table`"),
        ("users.email", "restore-table", "users.email is a column: use `zanith recover restore-column`"),
    ]:
        refused = zanith("recover", command, name)
        assert refused.code == 20
        assert said in refused.err
    wrong_id = zanith("recover", "inspect", "old", "--id", "m::x")
    assert wrong_id.err == "zanith: --id: old has no artifact m::x; it has m::soft_drop_table::old\n"


def test_of_several_artifacts_the_newest_that_holds_data_is_meant(pg: Database, zanith: Zanith) -> None:
    applied(pg, ARCHIVE)
    assert zanith("recover", "restore-column", "users.email").code == 0
    applied(pg, ARCHIVE, migration_id="again", setup="")
    said = zanith("recover", "inspect", "users.email")
    assert said.out.startswith("Artifact again::archive_column::users.email\n")
    assert said.err == (
        "zanith: there are 2 artifacts of users.email; this is the newest that still holds data: "
        "again::archive_column::users.email (choose another with --id: m::archive_column::users.email)\n"
    )
    first = zanith("recover", "inspect", "users.email", "--id", "m::archive_column::users.email")
    assert (first.err, first.out.splitlines()[-1].split(" 2")[0]) == ("", "Nothing to restore: restored")


def test_a_name_that_fits_two_things_is_not_guessed(pg: Database, zanith: Zanith) -> None:
    pg.execute("CREATE SCHEMA users; CREATE TABLE users.email (id int)")
    applied(pg, ARCHIVE, {"softDropTable": {"schema": "users", "table": "email"}})
    said = zanith("recover", "inspect", "users.email")
    assert said.code == 20
    assert "users.email can be any of public.users.email (m::archive_column::users.email), users.email (m::" in said.err
    assert zanith("recover", "restore-table", "users.email").code == 0, "only one of them is a table"


def test_names_of_any_kind_in_another_schema(pg: Database, zanith: Zanith) -> None:
    setup = """CREATE SCHEMA "My Shop"; CREATE TABLE "My Shop"."Übersicht, alt" (id int PRIMARY KEY, "E-Mail" text);
               INSERT INTO "My Shop"."Übersicht, alt" VALUES (1, 'a')"""
    step = {"archiveColumn": {"table": "Übersicht, alt", "column": "E-Mail"}}
    applied(pg, step, setup=setup, database={"secretRef": {"name": "db"}, "schema": "My Shop"})
    on = ("--schema", "My Shop")
    assert zanith("recover", "export", "Übersicht, alt.E-Mail", *on).out == "id,E-Mail\n1,a\n"
    assert zanith("recover", "restore-column", "My Shop.Übersicht, alt.E-Mail", *on).code == 0
    assert pg.rows('SELECT * FROM "My Shop"."Übersicht, alt"') == [(1, "a")]


def test_restore_says_in_words_what_became_of_the_rows(pg: Database, zanith: Zanith) -> None:
    applied(pg, ARCHIVE)
    before = ledger(pg)
    rehearsed = zanith("recover", "restore-column", "users.email", "--dry-run")
    assert rehearsed.code == 0
    first, *rest = rehearsed.out.splitlines()
    assert first.startswith("-- this would bring public.users.email back from artifact m::archive_column::users.email;")
    assert 'ALTER TABLE "public"."users" ADD COLUMN "email" text;' in rest
    assert ledger(pg) == before
    pg.execute("DELETE FROM users WHERE id IN (1, 2); INSERT INTO users VALUES (1000, 1)")

    done = zanith("recover", "restore-column", "users.email")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0] == "  · restoring public.users.email"
    assert lines[1].startswith("  ✓ restored public.users.email  ")
    assert lines[2:] == [
        "public.users.email is back: 100 rows had been archived.",
        "2 rows of the archive were deleted or got another key since: their values stay in the archive until "
        "that is purged; `zanith recover export` shows it.",
        "1 row of the table was inserted or got its key since: the archive has no value for that.",
    ]
    assert pg.value("SELECT count(*) FROM users WHERE email = 'user' || id") == 98

    again = zanith("recover", "restore-column", "users.email")
    assert again.code == 20
    assert again.err.startswith("zanith: m::archive_column::users.email was restored already, at ")
    history = json.loads(zanith("migrate", "history", "--json").out)
    ((recovery,),) = [m["recoveries"] for m in history["applied"]]
    assert (recovery["kind"], recovery["state"], recovery["step"]) == ("restoreColumn", "Done", 1)
    assert "✓ step 1: [medium] archiveColumn\n" in zanith("migrate", "history", "--verbose").out


def test_a_table_comes_back_with_everything_in_it(pg: Database, zanith: Zanith) -> None:
    applied(pg, ARCHIVE_TABLE)
    assert zanith("recover", "restore-table", "public.old").out.splitlines()[-1] == (
        "public.old is back, with everything in it."
    )
    assert pg.value("SELECT count(*) FROM old") == 10


def test_a_changed_archive_is_refused_in_the_words_of_the_page(pg: Database, zanith: Zanith) -> None:
    applied(pg, ARCHIVE)
    recorded = pg.value("SELECT left(checksum, 7) FROM _zanith_migration_artifacts")
    pg.execute(f"UPDATE {SHADOW_COPY} SET email = 'forged' WHERE id = 1")
    for options in ((), ("--dry-run",)):
        refused = zanith("recover", "restore-column", "users.email", *options)
        assert refused.code == 20
        assert refused.err.startswith(f"zanith: archive checksum changed since archive time (recorded {recorded}…)")
        assert refused.err.count("\n") == 1
        assert "forged" not in refused.out + refused.err
    assert pg.rows("SELECT FROM pg_attribute WHERE attrelid = 'users'::regclass AND attname = 'email'") == []


@pytest.fixture
def big(pg18: Database) -> Database:
    """An archived column whose restore takes a while: a trigger of the application's slows each row down."""
    applied(pg18, ARCHIVE, setup=USERS.replace("(1, 100)", "(1, 20000)"))
    pg18.execute(
        """
        CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.001); RETURN NEW; END';
        CREATE TRIGGER slow BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION slow()
        """
    )
    return pg18


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_stops_after_the_batch_and_the_same_command_goes_on(
    big: Database, number: signal.Signals, capfd: pytest.CaptureFixture[str]
) -> None:
    command = [sys.executable, "-m", "zanith.main", "recover", "restore-column", "users.email"]
    process = subprocess.Popen(
        command, env=environment_of(big), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    moved = "SELECT coalesce(sum(processed_rows), 0) FROM _zanith_migration_checkpoints WHERE lane < -1"
    wait_until(lambda: big.value(moved) > 0 or process.poll() is not None, "a batch", deadline_s=30)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 30
    assert err == (
        "zanith: stopped: public.users.email is not back yet, and what was done stays; run the same command again to "
        "go on\n"
    )
    done = big.value(moved)
    assert 0 < done < 20_000
    assert big.rows("SELECT status FROM _zanith_migration_steps WHERE operation_kind = 'restoreColumn'") == [
        ("interrupted",)
    ]
    big.execute("ALTER TABLE users DISABLE TRIGGER slow")
    assert main(["recover", "restore-column", "users.email", "--dsn", big.dsn]) == 0
    assert "Every row has its value." in capfd.readouterr().out
    assert big.value("SELECT count(*) FROM users WHERE email = 'user' || id") == 20_000
