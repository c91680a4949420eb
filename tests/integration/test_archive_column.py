"""archiveColumn: the copy is right whatever is written meanwhile, sealed, and brought back; tampering is refused."""

from __future__ import annotations

import random
import threading
from pathlib import Path
from typing import Any

import psycopg
import pytest

from operations_harness.driving import Driver, Recorder, spec_of
from operations_harness.processes import start_runner
from servers import Database
from zanith.core.errors import Conflict, Refusal, SpecError, StepFailed
from zanith.execution.assignment import Progress, ignore
from zanith.execution.purging import purge
from zanith.execution.recovering import RestoredRows, rehearse, restore
from zanith.execution.session import Session, open_recovery
from zanith.ledger.records import Artifact

COPY = "_zanith_shadow._zanith_archived_public_users_email_20260101_case"
USERS = """
CREATE TABLE users (id bigint PRIMARY KEY, email text NOT NULL, age int NOT NULL DEFAULT 0);
CREATE INDEX by_email ON users (email);
INSERT INTO users SELECT n, 'user' || n, n FROM generate_series(1, {rows}) n; ANALYZE users;
"""
ARCHIVE = {"archiveColumn": {"table": "users", "column": "email"}}


def archived(pg: Database, *more: dict[str, Any], rows: int = 200, **spec: Any) -> Driver:
    """A driver whose migration is not applied yet."""
    pg.execute(USERS.format(rows=rows))
    return Driver(pg, spec_of([ARCHIVE, *more], gates={"maxRisk": 100, "allowDestructive": True}, **spec))


def recovery(driver: Driver, report: Any = ignore) -> Session:
    return open_recovery(
        driver.settings, driver.spec.migration_id, application_name="test", stop=threading.Event(), report=report
    )


def artifact_of(driver: Driver) -> Artifact:
    (artifact,) = driver.record().artifacts
    return artifact


def test_the_copy_holds_every_value_and_is_sealed(pg: Database) -> None:
    driver = archived(pg)
    driver.apply()
    assert pg.value(f"SELECT count(*) FROM {COPY} WHERE email = 'user' || id") == 200
    artifact = artifact_of(driver)
    assert (artifact.artifact_type, artifact.row_count, artifact.source) == ("archive_column", 200, "users.email")
    assert artifact.checksum is not None and len(artifact.checksum) == 64
    assert pg.rows("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal") == []
    assert pg.rows("SELECT proname FROM pg_proc WHERE proname LIKE '\\_zanith%'") == []


def test_the_recovery_sql_is_runnable_by_hand(pg: Database) -> None:
    driver = archived(pg)
    before = driver.graph()
    driver.apply()
    pg.execute(artifact_of(driver).recovery_sql)
    assert pg.value("SELECT count(*) FROM users WHERE email = 'user' || id") == 200
    assert _columns_aside(driver) == _columns_aside_of(before)


def test_the_copy_keeps_in_step_with_everything_that_is_written_meanwhile(pg: Database) -> None:
    """Writers insert, change, re-key and delete while the copy is made; in the end it is the column, row by row."""
    driver = archived(pg, rows=20_000, execution={"throttle": {"targetBatch": "5ms"}})
    # A column beside it that nobody takes away says what the archive has to hold.
    pg.execute("ALTER TABLE users ADD COLUMN same text GENERATED ALWAYS AS (md5(age::text)) STORED")
    pg.execute("UPDATE users SET email = md5(age::text)")
    stop = threading.Event()
    failures: list[str] = []
    writers = [threading.Thread(target=_write, args=(pg, stop, seed, failures)) for seed in (1, 2)]
    for writer in writers:
        writer.start()
    driver.apply()
    stop.set()
    for writer in writers:
        writer.join()
    assert failures == []
    assert pg.value("SELECT count(*) FROM users") > 0
    wrong = f"SELECT count(*) FROM users u FULL JOIN {COPY} a USING (id) WHERE a.email IS DISTINCT FROM u.same"
    assert pg.value(wrong) == 0


def _write(pg: Database, stop: threading.Event, seed: int, failures: list[str]) -> None:
    """Statements that all name the column: once it is gone, nothing more is written."""
    choose = random.Random(seed)
    number = 1_000_000 * seed
    with pg.connect() as conn:
        while not stop.is_set():
            number += 1
            row, age = choose.randrange(1, 20_000), choose.randrange(1_000)
            try:
                match choose.randrange(4):
                    case 0:
                        conn.execute(
                            "INSERT INTO users (id, email, age) VALUES (%s, md5(%s::text), %s)", [number, age, age]
                        )
                    case 1:
                        conn.execute("UPDATE users SET age = %s, email = md5(%s::text) WHERE id = %s", [age, age, row])
                    case 2:
                        conn.execute("UPDATE users SET id = -id WHERE id = %s AND email <> ''", [row])
                    case _:
                        conn.execute("DELETE FROM users WHERE id = %s AND email <> ''", [row])
            except psycopg.errors.UndefinedColumn:
                return  # the column is gone: what the application was told
            except psycopg.Error as error:
                failures.append(f"{type(error).__name__}: {error}")
                return


def test_restore_gives_every_value_back_and_counts_what_changed_since(pg: Database) -> None:
    driver = archived(pg)
    before = _columns_aside(driver)
    driver.apply()
    pg.execute(
        "DELETE FROM users WHERE id <= 3; INSERT INTO users (id) VALUES (1001); UPDATE users SET id = 1002 WHERE id = 4"
    )
    session = recovery(driver)
    with session.conn:
        assert restore(session, artifact_of(driver)) == RestoredRows(archived=200, unmatched=4, newer=2)
    assert pg.value("SELECT count(*) FROM users WHERE email = 'user' || id") == 196
    assert pg.rows("SELECT id FROM users WHERE email IS NULL ORDER BY id") == [(1001,), (1002,)]
    assert (
        pg.value("SELECT attnotnull FROM pg_attribute WHERE attrelid = 'users'::regclass AND attname = 'email'")
        is False
    )
    artifact = artifact_of(driver)
    assert artifact.restored_at is not None and artifact.expires_at is not None and not artifact.holds_data
    assert artifact.physical_name is not None, "values of rows that are gone stay until they are purged"
    assert pg.value(f'SELECT count(*) FROM _zanith_shadow."{artifact.physical_name}"') == 200
    assert driver.record().applied_at is not None, "the migration stays applied"
    assert driver.record().done == {1}
    pg.execute("UPDATE users SET email = '' WHERE email IS NULL; ALTER TABLE users ALTER COLUMN email SET NOT NULL")
    assert _columns_aside(driver) == before


def test_one_byte_changed_in_the_archive_refuses_the_restore(pg: Database) -> None:
    driver = archived(pg)
    driver.apply()
    pg.execute(f"UPDATE {COPY} SET email = 'User7' WHERE id = 7")
    recorded = (artifact_of(driver).checksum or "")[:7]
    session = recovery(driver)
    with session.conn, pytest.raises(Conflict) as refused:
        restore(session, artifact_of(driver))
    assert refused.value.message.startswith(f"archive checksum changed since archive time (recorded {recorded}…)")
    assert pg.value("SELECT count(*) FROM pg_attribute WHERE attrelid = 'users'::regclass AND attname = 'email'") == 0
    pg.execute(f"UPDATE {COPY} SET email = 'user7' WHERE id = 7")
    session = recovery(driver)
    with session.conn:
        restore(session, artifact_of(driver))
    assert pg.value("SELECT email FROM users WHERE id = 7") == "user7"


def test_changed_recovery_sql_refuses_the_restore(pg: Database) -> None:
    driver = archived(pg)
    driver.apply()
    pg.execute("UPDATE _zanith_migration_artifacts SET recovery_sql = 'DROP TABLE users'")
    session = recovery(driver)
    with session.conn, pytest.raises(Conflict, match="the recovery SQL"):
        restore(session, artifact_of(driver))


def test_a_rehearsal_says_what_it_would_do_and_changes_nothing(pg: Database) -> None:
    driver = archived(pg)
    driver.apply()
    session = recovery(driver)
    with session.conn:
        statements = rehearse(session, artifact_of(driver))
    assert 'ADD COLUMN "email" text' in statements[0].sql
    assert pg.value("SELECT count(*) FROM _zanith_migration_checkpoints WHERE lane < -1") == 0
    assert artifact_of(driver).holds_data


def test_a_restored_column_can_be_archived_again_and_undone(pg: Database) -> None:
    driver = archived(pg)
    driver.apply()
    session = recovery(driver)
    with session.conn:
        restore(session, artifact_of(driver))
    driver.undo(1)
    assert driver.record().done == frozenset(), "what was restored counts as taken back"
    driver.apply()
    assert [a.id.rpartition("::")[2] for a in driver.record().artifacts] == ["users.email", "users.email#2"]
    driver.undo(1)
    assert pg.value("SELECT count(*) FROM users WHERE email = 'user' || id") == 200


def test_a_table_renamed_since_is_restored_under_its_new_name(pg: Database) -> None:
    driver = archived(pg)
    driver.apply()
    other = Driver(
        pg, spec_of([{"renameTable": {"table": "users", "newName": "people"}}], migration_id="20260102_rename")
    )
    other.apply()
    artifact = artifact_of(driver)
    assert artifact.source_table == "people"
    session = recovery(driver)
    with session.conn:
        assert restore(session, artifact) == RestoredRows(200, 0, 0)
    assert pg.value("SELECT count(*) FROM people WHERE email = 'user' || id") == 200


def test_purged_is_gone_for_good_and_says_so(pg: Database) -> None:
    driver = archived(pg)
    driver.apply()
    session = recovery(driver)
    with session.conn:
        purge(session, artifact_of(driver))
        artifact = artifact_of(driver)
        assert artifact.physical_name is None and artifact.expires_at is not None
        with pytest.raises(Conflict, match="was purged"):
            restore(session, artifact)
    assert pg.rows("SELECT relname FROM pg_class WHERE relname LIKE '\\_zanith\\_archived%'") == []
    told = "SELECT operation_kind, risk_level, status FROM _zanith_migration_steps ORDER BY started_at"
    assert pg.rows(told) == [("archiveColumn", "medium", "done"), ("purgeArtifact", "destructive", "done")]
    with pytest.raises(Refusal, match="purged"):
        driver.undo(1)


def test_newer_rows_get_the_default_where_the_column_was_required(pg: Database) -> None:
    pg.execute(USERS.format(rows=50))
    driver = Driver(pg, spec_of([{"archiveColumn": {"table": "users", "column": "age"}}]))
    driver.apply()
    pg.execute("INSERT INTO users (id, email) VALUES (1001, 'new')")
    driver.undo(1)
    assert pg.value("SELECT age FROM users WHERE id = 1001") == 0
    assert pg.value("SELECT count(*) FROM users WHERE age = id") == 50
    assert (
        pg.value("SELECT attnotnull FROM pg_attribute WHERE attrelid = 'users'::regclass AND attname = 'age'") is True
    )


def test_what_the_application_wrote_into_the_restored_column_stays(pg: Database) -> None:
    driver = archived(pg)
    driver.apply()

    def write(progress: Progress) -> None:
        if progress.event == "statement_finished" and progress.statement == 1:
            pg.execute("UPDATE users SET email = 'newer' WHERE id = 5")

    session = recovery(driver, write)
    with session.conn:
        restore(session, artifact_of(driver))
    assert pg.rows("SELECT id, email FROM users WHERE email <> 'user' || id") == [(5, "newer")]


def test_leftover_triggers_go_with_the_column(pg: Database, tmp_path: Path) -> None:
    """A migration that died and never came back leaves its trigger; without the column every write would fail in it."""
    driver = archived(pg, rows=5_000)
    start_runner(driver, tmp_path, kill_at=4).communicate(timeout=60)
    assert pg.value("SELECT count(*) FROM pg_trigger WHERE tgname LIKE '\\_zanith\\_sync%'") == 2
    other = Driver(
        pg, spec_of([{"softDropColumn": {"table": "users", "column": "email"}}], migration_id="20260102_other")
    )
    other.apply()
    pg.execute(
        "INSERT INTO users (id) VALUES (100001); UPDATE users SET age = 1 WHERE id = 1; DELETE FROM users WHERE id = 2"
    )
    assert pg.value("SELECT count(*) FROM pg_trigger WHERE tgname LIKE '\\_zanith\\_sync%'") == 0


@pytest.mark.parametrize("at", range(1, 14))
def test_a_runner_killed_once_resumes_where_it_was(pg18: Database, tmp_path: Path, at: int) -> None:
    driver = archived(pg18, rows=3_000)
    process = start_runner(driver, tmp_path, kill_at=at)
    process.communicate(timeout=60)
    pg18.execute("INSERT INTO users (id, age) VALUES (5000, 1)" if _gone(pg18) else _NEW)
    driver.apply()
    assert pg18.value(f"SELECT count(*) FROM {COPY} WHERE email = 'user' || id") >= 3_000
    assert pg18.value("SELECT count(*) FROM _zanith_migration_artifacts WHERE row_count >= 3000") == 1


_NEW = "INSERT INTO users VALUES (5000, 'user5000', 1)"


def _gone(pg: Database) -> bool:
    return bool(
        pg.value("SELECT count(*) = 0 FROM pg_attribute WHERE attrelid = 'users'::regclass AND attname = 'email'")
    )


@pytest.mark.parametrize("at", range(1, 16))
def test_a_restore_killed_once_resumes_where_it_was(pg18: Database, tmp_path: Path, at: int) -> None:
    driver = archived(pg18, rows=3_000)
    driver.apply()
    process = start_runner(driver, tmp_path, kill_at=at, action="revert")
    process.communicate(timeout=60)
    driver.apply(action="revert")
    assert pg18.value("SELECT count(*) FROM users WHERE email = 'user' || id") == 3_000
    assert driver.record().done == frozenset() and driver.record().applied_at is None
    assert pg18.value("SELECT count(*) FROM pg_index WHERE indexrelid = 'by_email'::regclass AND indisvalid") == 1


@pytest.mark.parametrize(
    ("setup", "says"),
    [
        ("CREATE TABLE users (id int, email text)", "no primary key"),
        ("CREATE TABLE users (email text PRIMARY KEY)", "part of the key"),
        ("CREATE TABLE users (id int PRIMARY KEY, email text GENERATED ALWAYS AS ('x') STORED)", "is generated"),
        ("CREATE TABLE users (id int PRIMARY KEY, email int GENERATED ALWAYS AS IDENTITY)", "an identity column"),
        (
            "CREATE TABLE users (id int PRIMARY KEY, email text); CREATE VIEW v AS SELECT email FROM users",
            "view public.v",
        ),
        ("CREATE TABLE users (id int PRIMARY KEY, email int4range, EXCLUDE USING gist (email WITH &&))", "exclude"),
        (
            "CREATE TABLE users (id int PRIMARY KEY, email text); CREATE TABLE child () INHERITS (users)",
            "child inherits",
        ),
        (
            "CREATE TABLE p (id int, email text); CREATE TABLE users (PRIMARY KEY (id)) INHERITS (p)",
            "inherits from another",
        ),
        (
            "CREATE TABLE users (id int PRIMARY KEY, email text) PARTITION BY RANGE (id);"
            "CREATE TABLE part PARTITION OF users DEFAULT; CREATE INDEX i ON users (email)",
            "index i would go with",
        ),
        ("CREATE DOMAIN d AS int; CREATE TABLE users (id d PRIMARY KEY, email text)", "is not PostgreSQL's own"),
        ("CREATE TABLE users (id int PRIMARY KEY)", "does not exist"),
    ],
)
def test_what_cannot_be_put_back_is_refused(pg18: Database, setup: str, says: str) -> None:
    pg18.execute(setup)
    with pytest.raises(SpecError, match=says):
        Driver(pg18, spec_of([ARCHIVE])).plan()


def _columns_aside(driver: Driver) -> Any:
    return _columns_aside_of(driver.graph())


def _columns_aside_of(graph: Any) -> Any:
    return [(t.key, sorted(t.columns, key=lambda c: c.name), t.constraints, t.indexes) for t in graph.tables]


def test_events_of_a_run_are_told(pg18: Database) -> None:
    recorder = Recorder()
    archived(pg18, rows=3_000).apply(recorder)
    assert recorder.count("batch") >= 1


def test_a_walk_that_failed_for_good_begins_anew_with_the_new_copy(pg: Database) -> None:
    """The copy went with the failure: going on where the old one stood would leave out what that held."""
    driver = archived(pg, rows=20_000, execution={"throttle": {"targetBatch": "1ms"}})
    seen = []

    def rename(progress: Progress) -> None:
        seen.append(progress.event)
        if seen.count("batch") == 3:
            pg.execute("ALTER TABLE users RENAME email TO elsewhere")

    with pytest.raises(StepFailed):
        driver.apply(rename)
    pg.execute("ALTER TABLE users RENAME elsewhere TO email")
    driver.apply()
    assert artifact_of(driver).row_count == 20_000
    assert pg.value(f"SELECT count(*) FROM {COPY} WHERE email = 'user' || id") == 20_000


def test_an_archive_whose_triggers_went_begins_anew(pg: Database, tmp_path: Path) -> None:
    """Another migration soft-dropped the column meanwhile, took our triggers away, and brought the column back."""
    driver = archived(pg, rows=5_000)
    start_runner(driver, tmp_path, kill_at=4).communicate(timeout=60)
    other = Driver(
        pg, spec_of([{"softDropColumn": {"table": "users", "column": "email"}}], migration_id="20260102_other")
    )
    other.apply()
    other.apply(action="revert")
    pg.execute("UPDATE users SET email = 'USER' || id")
    with pytest.raises(StepFailed):
        driver.apply()
    driver.apply()
    assert pg.value(f"SELECT count(*) FROM {COPY} WHERE email = 'USER' || id") == 5_000


@pytest.mark.parametrize("key", ["found", "kept", "tg_op", "new", "old", "_row"])
def test_names_the_trigger_uses_itself_are_in_nobodys_way(pg18: Database, key: str) -> None:
    pg18.execute(f"CREATE TABLE users ({key} int PRIMARY KEY, email text); INSERT INTO users VALUES (1, 'a'), (2, 'b')")
    driver = Driver(pg18, spec_of([ARCHIVE]))

    def write(progress: Progress) -> None:
        if (progress.event, progress.statement) == ("statement_finished", 1):
            pg18.execute(f"INSERT INTO users VALUES (3, 'c'); UPDATE users SET {key} = 4, email = 'd' WHERE {key} = 1")
            pg18.execute(f"DELETE FROM users WHERE {key} = 2")

    driver.apply(write)
    assert pg18.rows(f"SELECT * FROM {COPY} ORDER BY 1") == [(3, "c"), (4, "d")]
    pg18.execute(f"UPDATE {COPY} SET email = 'x' WHERE {key} = 3")
    session = recovery(driver)
    with session.conn, pytest.raises(Conflict, match="archive checksum changed"):
        restore(session, artifact_of(driver))


@pytest.mark.parametrize(
    ("tamper", "what"),
    [
        ("UPDATE _zanith_migration_artifacts SET checksum = right(checksum, 32)", "the data in"),
        ("UPDATE _zanith_migration_artifacts SET checksum = NULL", "the recovery SQL"),
        (
            "UPDATE _zanith_schema_snapshots SET graph = replace(graph::text, 'SET NOT NULL', 'DROP NOT NULL')::jsonb, "
            "captured_at = now() WHERE phase = 'plan'",
            "",
        ),
        (
            "UPDATE _zanith_schema_snapshots SET graph = replace(graph::text, 'ADD COLUMN', 'DROP COLUMN')::jsonb "
            "WHERE phase = 'plan'",
            "the undo in the stored plan",
        ),
        ("DELETE FROM _zanith_migration_artifacts", None),
    ],
)
def test_what_was_recorded_is_compared_whole(pg18: Database, tamper: str, what: str | None) -> None:
    driver = archived(pg18, rows=10)
    driver.apply()
    artifact = artifact_of(driver)
    pg18.execute(tamper)
    if what == "":  # nothing that is executed was changed
        driver.undo(1)
        return
    with pytest.raises(Conflict, match="not in _zanith_migration_artifacts" if what is None else what):
        driver.undo(1)
    if what is not None:
        session = recovery(driver)
        with session.conn, pytest.raises(Conflict, match=f"archive checksum changed.*{what}"):
            restore(session, artifact_of(driver))
    assert "DROP COLUMN" not in artifact.recovery_sql
    assert pg18.value("SELECT count(*) FROM users") == 10


def test_rows_that_a_trigger_kept_from_changing_are_told(pg: Database) -> None:
    driver = archived(pg, rows=5)
    pg.execute("ALTER TABLE users ALTER email DROP NOT NULL")
    driver.apply()
    pg.execute(
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN IF NEW.id = 3 THEN RETURN NULL; END IF; RETURN NEW; END';"
    )
    pg.execute("CREATE TRIGGER no BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION no()")
    session = recovery(driver)
    with session.conn:
        assert restore(session, artifact_of(driver)) == RestoredRows(5, 0, 0, other=1)
