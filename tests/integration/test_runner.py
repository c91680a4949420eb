"""What one run of the runner does and refuses, and what it leaves in the five tables."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import Any

import pytest

from operations_harness.cases import NAMINGS, PLAIN, Case
from operations_harness.driving import Driver, Recorder, prepare, spec_of
from operations_harness.processes import wait_until
from servers import Database, PostgresServer, create_database, drop_database
from zanith.core.errors import ApprovalNeeded, Conflict, NotYet, Refusal, SpecError, StepFailed, Stopped
from zanith.execution.assignment import Assignment, ignore
from zanith.execution.runner import run_migration
from zanith.ledger.records import Owner, refusal_key
from zanith.postgres.connecting import ConnectionSettings

DROP = {"dropColumn": {"table": "users", "column": "email"}}
ADD = {"addColumn": {"table": "users", "column": "added", "type": "text"}}
NOT_NULL = {"alterColumnNullable": {"table": "users", "column": "email", "nullable": False}}


def driver_for(pg: Database, *steps: dict[str, Any], setup: str = PLAIN, **spec: Any) -> Driver:
    driver = prepare(pg, Case("runner", list(steps), setup=setup), NAMINGS["ordinary"])
    driver.spec = spec_of(list(steps), **spec)
    return driver


def steps_rows(pg: Database) -> list[tuple[Any, ...]]:
    return pg.rows("SELECT step_index, operation_kind, status, error FROM _zanith_migration_steps ORDER BY started_at")


def test_the_five_tables_have_the_promised_columns(pg: Database) -> None:
    driver_for(pg, ADD).apply()
    counted = pg.rows(
        "SELECT relname, count(*) FROM pg_class c JOIN pg_attribute a ON attrelid = c.oid "
        "WHERE relname LIKE '\\_zanith\\_%' AND relkind = 'r' AND attnum > 0 GROUP BY 1 ORDER BY 1"
    )
    assert counted == [
        ("_zanith_migration_artifacts", 13),
        ("_zanith_migration_checkpoints", 7),
        ("_zanith_migration_steps", 10),
        ("_zanith_migrations", 2),
        ("_zanith_schema_snapshots", 4),
    ]


def test_a_refusal_is_a_failed_row_once_per_plan_and_retry_and_begins_nothing(pg: Database) -> None:
    driver = driver_for(pg, ADD, DROP)
    plan = driver.plan()
    for retry in ("", "", "again", "again"):
        with pytest.raises(Refusal) as caught:
            driver.apply(retry=retry)
        assert caught.value.reason == "RiskBudgetExceeded"
    assert steps_rows(pg) == [(2, "dropColumn", "failed", "refused — max risk 60")] * 2
    record = driver.record()
    assert [a.refused_plan for a in record.attempts] == [refusal_key(plan.hash, ""), refusal_key(plan.hash, "again")]
    assert not record.began
    assert record.applied_at is None
    assert pg.value("SELECT string_agg(phase, ',') FROM _zanith_schema_snapshots") == "baseline"


@pytest.mark.parametrize(
    ("gates", "reason", "recorded"),
    [
        ({"maxRisk": 34}, "RiskBudgetExceeded", "refused — max risk 34"),
        ({"maxRisk": 80}, "DestructiveNotAllowed", "refused — destructive changes are not allowed"),
        (
            {"maxRisk": 80, "allowDestructive": True, "forbidReasons": ["drops_column_with_data"]},
            "ReasonForbidden",
            "refused — reason drops_column_with_data is forbidden",
        ),
    ],
)
def test_each_gate_refuses_with_its_words(pg18: Database, gates: Any, reason: str, recorded: str) -> None:
    driver = driver_for(pg18, DROP, gates=gates)
    with pytest.raises(Refusal) as caught:
        driver.apply()
    assert (caught.value.reason, caught.value.recorded) == (reason, recorded)
    assert pg18.value("SELECT error FROM _zanith_migration_steps") == recorded


def test_gates_that_allow_it_let_a_column_go(pg18: Database) -> None:
    driver = driver_for(pg18, DROP, gates={"maxRisk": 80, "allowDestructive": True})
    assert driver.apply().applied_at is not None
    assert pg18.value("SELECT count(*) FROM information_schema.columns WHERE column_name = 'email'") == 0


def test_approval_is_bound_to_the_plan(pg18: Database) -> None:
    driver = driver_for(pg18, ADD, gates={"approval": "Required"})
    plan_hash = driver.plan().hash
    for wrong in ("", "0" * 32):
        with pytest.raises(ApprovalNeeded, match=plan_hash):
            driver.apply(approved_hash=wrong)
    assert steps_rows(pg18) == []
    assert driver.apply(approved_hash=plan_hash).applied_at is not None


def test_another_plan_than_expected_is_not_run(pg18: Database) -> None:
    driver = driver_for(pg18, ADD)
    with pytest.raises(NotYet, match="the plan changed"):
        driver.apply(expected_plan_hash="0" * 32)
    assert not driver.record().began


def test_nulls_are_found_before_anything_begins_and_after_a_backfill_that_left_some(pg: Database) -> None:
    driver = driver_for(pg, NOT_NULL, setup=PLAIN + "UPDATE {s}.{t} SET {c} = NULL WHERE id = 7")
    with pytest.raises(Refusal) as caught:
        driver.apply()
    assert caught.value.recorded == "refused — nulls: column public.users.email has NULLs"
    assert not driver.record().began

    fill = {"backfill": {"table": "users", "set": {"email": "nullif(id, 7)::text"}, "where": "true"}}
    driver.spec = spec_of([fill, NOT_NULL], migration_id="second")
    with pytest.raises(Refusal):
        driver.apply()
    record = driver.record()
    assert record.began
    assert [(a.step_index, a.status, a.refused) for a in record.attempts] == [(1, "done", False), (2, "failed", True)]
    pg.execute("UPDATE users SET email = 'mended' WHERE id = 7")
    assert driver.apply().applied_at is not None


def test_a_required_column_is_refused_where_there_are_rows(pg: Database) -> None:
    required = {"addColumn": {"table": "users", "column": "added", "type": "text", "nullable": False}}
    driver = driver_for(pg, required)
    with pytest.raises(Refusal, match="add added nullable, backfill it"):
        driver.apply()
    pg.execute("DELETE FROM users")
    assert driver.apply().applied_at is not None


def test_duplicates_are_found_before_a_unique_index_is_built(pg: Database) -> None:
    index = {"addIndex": {"table": "users", "columns": ["email"], "unique": True}}
    driver = driver_for(pg, index, setup=PLAIN + "UPDATE {s}.{t} SET {c} = 'same' WHERE id < 3")
    with pytest.raises(Refusal, match=r"public\.users has duplicates in \(email\)"):
        driver.apply()
    assert pg.value("SELECT count(*) FROM pg_class WHERE relname LIKE 'users_email%'") == 0


def test_not_null_that_fails_leaves_no_constraint_behind(pg: Database) -> None:
    """A NULL that arrives between the probe and the constraint: validation fails, and what was begun is taken back."""
    driver = driver_for(pg, NOT_NULL)

    def report(progress: Any) -> None:
        if progress.event == "statement_started" and progress.statement == 1:
            pg.execute("INSERT INTO users (email, age) VALUES (NULL, 1)")

    with pytest.raises(StepFailed, match=r"public\.users\.email"):
        driver.apply(report)
    assert pg.value("SELECT count(*) FROM pg_constraint WHERE conname LIKE '%not_null%' AND conrelid = 'users'::regclass"
                    " AND contype = 'c'") == 0  # fmt: skip
    pg.execute("INSERT INTO users (email, age) VALUES (NULL, 2)")
    pg.execute("DELETE FROM users WHERE email IS NULL")
    assert driver.apply().applied_at is not None
    assert [row[2] for row in steps_rows(pg)] == ["failed", "done"]


def test_steps_may_be_appended_until_applied_and_nothing_else_changed(pg: Database) -> None:
    fails = {"backfill": {"table": "users", "set": {"age": "1 / (id - 7)"}, "where": "true"}}
    driver = driver_for(pg, ADD, fails)
    with pytest.raises(StepFailed, match="division_by_zero"):
        driver.apply()
    first = driver.spec
    other = {"addColumn": {"table": "users", "column": "other", "type": "text"}}
    driver.spec = spec_of([other, fails])
    with pytest.raises(Conflict, match=r"step 1 .* was changed after the migration began") as caught:
        driver.apply()
    assert caught.value.reason == "ChangedAfterApply"
    driver.spec = spec_of([ADD])
    with pytest.raises(Conflict, match="step 2"):
        driver.apply()

    pg.execute("DELETE FROM users WHERE id = 7")
    driver.spec = spec_of([ADD, fails, {"addIndex": {"table": "users", "columns": ["added"]}}])
    assert driver.apply().applied_at is not None
    assert len(driver.record().frozen.digests) == 3  # type: ignore[union-attr]  # it has begun, so there is one
    driver.spec = first
    with pytest.raises(Conflict):
        driver.apply()
    driver.spec = spec_of([ADD, fails, {"addIndex": {"table": "users", "columns": ["added"]}}, other])
    with pytest.raises(Conflict, match="is applied; steps cannot be added"):
        driver.apply()


def test_a_migration_id_belongs_to_one_resource_unless_the_steps_are_the_same(pg18: Database) -> None:
    driver = driver_for(pg18, ADD)
    driver.apply(owner=Owner("shop", "first"))
    assert driver.apply(owner=Owner("shop", "adopts-it")).applied_at is not None
    driver.spec = spec_of([{"addColumn": {"table": "users", "column": "other", "type": "text"}}])
    with pytest.raises(Conflict, match="belongs to ZanithMigration shop/first") as caught:
        driver.apply(owner=Owner("shop", "second"))
    assert caught.value.reason == "LedgerConflict"


def test_tables_of_our_names_with_another_shape_are_left_alone(pg: Database) -> None:
    driver = driver_for(
        pg, ADD, setup=PLAIN + "CREATE TABLE {s}._zanith_migrations (id bigint, applied_at timestamptz)"
    )
    with pytest.raises(Conflict, match=r"public\._zanith_migrations .*column id") as caught:
        driver.apply()
    assert caught.value.reason == "LedgerConflict"
    assert pg.value("SELECT count(*) FROM pg_class WHERE relname LIKE '\\_zanith%' AND relkind = 'r'") == 1


def test_artifacts_get_their_expiry_and_a_repeated_id_a_number(pg: Database) -> None:
    soft = {"softDropColumn": {"table": "users", "column": "email"}}
    driver = driver_for(pg, soft, {"addColumn": {"table": "users", "column": "email", "type": "text"}}, retention="30d")
    driver.apply()
    driver.spec = spec_of([soft], migration_id="again")
    driver.apply()
    artifacts = driver_for_id(driver, "20260101_case").record().artifacts
    (kept,) = artifacts
    assert kept.id == "20260101_case::soft_drop_column::users.email"
    assert kept.expires_at is not None
    assert kept.expires_at - kept.created_at == timedelta(days=30)
    assert kept.row_count == 250
    assert kept.physical_name == "_zanith_dropped_email_20260101_case"
    assert driver.record().artifacts[0].expires_at is None
    pg.execute(kept.recovery_sql.replace('TO "email"', 'TO "email_again"'))
    assert pg.value("SELECT email_again FROM users WHERE id = 3") == "value 3"


def driver_for_id(driver: Driver, migration_id: str) -> Driver:
    return Driver(driver.database, driver.spec.model_copy(update={"migration_id": migration_id}))


def test_an_insert_that_does_not_know_a_soft_dropped_required_column_succeeds(pg: Database) -> None:
    driver_for(pg, {"softDropColumn": {"table": "users", "column": "age"}}).apply()
    pg.execute("INSERT INTO users (email) VALUES ('new')")
    assert pg.value("SELECT count(*) FROM users WHERE email = 'new'") == 1


def test_a_strong_lock_is_not_queued_for_behind_an_old_transaction(pg: Database) -> None:
    """While the runner waits, readers and writers of the table do not."""
    driver = driver_for(pg, ADD)
    recorder = Recorder()
    with pg.connect() as old:
        old.execute("BEGIN")
        old.execute("SELECT count(*) FROM users")
        wait_until(
            lambda: pg.value("SELECT extract(epoch FROM max(now() - xact_start)) FROM pg_stat_activity"
                             " WHERE state = 'idle in transaction'") > 1.1,
            "the transaction is old",
        )  # fmt: skip
        thread = threading.Thread(target=driver.apply, args=(recorder,))
        thread.start()
        wait_until(lambda: recorder.count("waiting") > 0, "the runner says that it waits")
        with pg.connect() as application:
            application.execute("SET lock_timeout = '300ms'")
            for _ in range(20):
                application.execute("UPDATE users SET age = age + 1 WHERE id = 1")
        assert driver.record().applied_at is None
        old.execute("COMMIT")
    thread.join(20)
    assert driver.record().applied_at is not None
    waiting = next(p for p in recorder.seen if p.event == "waiting")
    assert "ACCESS EXCLUSIVE lock on public.users" in waiting.message


def test_rows_inserted_behind_the_walk_are_picked_up_where_the_condition_excludes_finished_ones(pg: Database) -> None:
    fill = {"backfill": {"table": "users", "set": {"email": "lower('X')"}, "where": "email IS NULL"}}
    driver = driver_for(pg, fill, setup=PLAIN + "UPDATE {s}.{t} SET {c} = NULL")
    inserted: list[int] = []

    def report(progress: Any) -> None:
        if progress.event == "batch" and not inserted:
            inserted.append(1)
            pg.execute("INSERT INTO users (email, age) VALUES (NULL, 1), (NULL, 2)")

    driver.apply(report)
    assert pg.value("SELECT count(*) FROM users WHERE email = 'x'") == 252


def test_a_backfill_waits_for_older_writers_whose_rows_it_would_miss(pg: Database) -> None:
    driver = driver_for(pg, {"backfill": {"table": "users", "set": {"age": "age + 1000"}, "where": "true"}})
    with pg.connect() as writer:
        writer.execute("BEGIN")
        writer.execute("INSERT INTO users (id, email, age) VALUES (-5, 'late', 0)")
        recorder = Recorder()
        thread = threading.Thread(target=driver.apply, args=(recorder,))
        thread.start()
        wait_until(lambda: any("older transactions" in p.message for p in recorder.seen), "the walk waits")
        assert recorder.count("batch") == 0
        writer.execute("COMMIT")
    thread.join(20)
    assert pg.value("SELECT count(*) FROM users WHERE age < 1000") == 0


@pytest.mark.parametrize(
    ("key", "rows"),
    [
        ("a uuid PRIMARY KEY", "SELECT gen_random_uuid()"),
        ('a text COLLATE "C.utf8" PRIMARY KEY', "SELECT 'ü' || n || '\"%\\'"),
        (
            "a integer, b timestamptz, PRIMARY KEY (b, a)",
            "SELECT n % 7, '2026-01-01'::timestamptz + n * interval '1 h'",
        ),
        ("a float8 PRIMARY KEY", "SELECT n / 3.0::float8"),
        ("a numeric NOT NULL UNIQUE", "SELECT n * 1.10"),
        ("a bytea, b boolean, PRIMARY KEY (a, b)", "SELECT decode(md5(n::text), 'hex'), n % 2 = 0"),
        ("a bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, b int", "SELECT n"),
    ],
)
def test_any_key_is_walked_with_every_row_changed_once(pg: Database, key: str, rows: str) -> None:
    pg.execute(f"CREATE TABLE keyed ({key}, n int DEFAULT 0)")
    target = "b" if "IDENTITY" in key else "a, b" if "b " in key else "a"
    pg.execute(f"INSERT INTO keyed ({target}) {rows} FROM generate_series(1, 3000) n")
    spec = spec_of(
        [{"backfill": {"table": "keyed", "set": {"n": "n + 1"}, "where": "true"}}],
        execution={"throttle": {"targetBatch": "3ms"}},
    )
    Driver(pg, spec).apply()
    assert pg.rows("SELECT n, count(*) FROM keyed GROUP BY n") == [(1, 3000)]


def test_a_table_without_a_key_is_refused_for_a_backfill(pg18: Database) -> None:
    pg18.execute("CREATE TABLE keyless (a int)")
    driver = Driver(pg18, spec_of([{"backfill": {"table": "keyless", "set": {"a": "1"}, "where": "true"}}]))
    with pytest.raises(SpecError, match=r"spec\.steps\[0\]\.backfill: table public\.keyless has no primary key"):
        driver.apply()


def test_no_row_value_and_no_password_in_the_error_of_a_failed_step(pg: Database) -> None:
    fails = {"backfill": {"table": "users", "set": {"age": "email::int"}, "where": "true"}}
    driver = driver_for(pg, fails, setup=PLAIN + "UPDATE {s}.{t} SET {c} = 'SECRET-VALUE'")
    with pytest.raises(StepFailed) as caught:
        driver.apply()
    told = "".join(str(row) for row in steps_rows(pg)) + caught.value.message + repr(driver.settings)
    assert "SECRET-VALUE" not in told
    assert pg.server.password not in told
    assert "invalid_text_representation (22P02)" in caught.value.message


def test_an_applied_migration_is_not_run_again(pg18: Database) -> None:
    driver = driver_for(pg18, ADD)
    first = driver.apply()
    recorder = Recorder()
    assert driver.apply(recorder).applied_at == first.applied_at
    assert recorder.seen == []


SLOW = (
    "CREATE FUNCTION slow(v integer) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS "
    "'BEGIN IF v = 1 THEN PERFORM pg_sleep(6.5); END IF; RETURN v; END'"
)


def test_a_long_statement_gives_signs_of_life_and_holds_its_lock_no_longer_than_it_runs(pg18: Database) -> None:
    driver = driver_for(
        pg18, {"rawSql": {"sql": "UPDATE users SET age = slow(age) WHERE id < 3"}}, gates={"maxRisk": 100}
    )
    pg18.execute(SLOW)
    seen: list[Any] = []
    thread = threading.Thread(target=lambda: seen.append(driver.apply()))
    began = time.monotonic()
    thread.start()
    beat = (
        "SELECT max(updated_at) - min(started_at) > '4 s' FROM _zanith_migration_checkpoints, _zanith_migration_steps"
    )
    wait_until(
        lambda: pg18.value("SELECT to_regclass('_zanith_migration_steps') IS NOT NULL") and pg18.value(beat),
        "a heartbeat while the statement runs",
    )
    thread.join(30)
    assert seen
    assert time.monotonic() - began < 9


def test_brief_ddl_that_an_event_trigger_slows_down_comes_to_its_end(pg18: Database) -> None:
    driver = driver_for(pg18, ADD, execution={"lockTimeout": "200ms"})
    pg18.execute(
        "CREATE FUNCTION drag() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(2); END';"
        "CREATE EVENT TRIGGER drag ON ddl_command_end WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION drag()"
    )
    assert driver.apply().applied_at is not None


def test_a_locked_row_is_told_in_the_ledger_and_forgotten_when_it_is_free(pg18: Database) -> None:
    driver = driver_for(
        pg18,
        {"backfill": {"table": "users", "set": {"age": "age + 1000"}, "where": "true"}},
        execution={"lockTimeout": "100ms"},
    )

    def waiting() -> Any:
        return next((c.cursor.get("waiting") for c in driver.record().checkpoints if c.lane == -1), None)

    with pg18.connect() as application:
        application.execute("BEGIN")
        application.execute("SELECT FROM users WHERE id = 7 FOR UPDATE")
        thread = threading.Thread(target=driver.apply)
        thread.start()
        assert "locked by another transaction" in wait_until(waiting, "the ledger says what is waited for")
        application.execute("COMMIT")
    thread.join(20)
    assert waiting() is None
    assert pg18.value("SELECT count(*) FROM users WHERE age < 1000") == 0


def test_a_stop_cancels_a_batch_that_takes_long(pg18: Database) -> None:
    driver = driver_for(pg18, {"backfill": {"table": "users", "set": {"age": "slow(age)"}, "where": "true"}})
    pg18.execute(SLOW)
    stop = threading.Event()
    session_started = threading.Event()

    def report(progress: Any) -> None:
        if progress.event == "statement_started":
            session_started.set()

    ended: list[Any] = []

    def run() -> None:
        try:
            run_migration(driver.settings, Assignment(spec=driver.spec), stop=stop, report=report)
        except Stopped as stopped:
            ended.append(stopped)

    thread = threading.Thread(target=run)
    thread.start()
    assert session_started.wait(10)
    time.sleep(0.5)  # into the batch
    began = time.monotonic()
    stop.set()
    thread.join(10)
    assert ended and time.monotonic() - began < 3


def test_rows_of_a_child_table_without_a_key_are_not_passed_over(postgres_15: PostgresServer) -> None:
    database = create_database(postgres_15)
    database.execute(
        "CREATE TABLE parent (id int PRIMARY KEY, n int DEFAULT 0); CREATE TABLE child () INHERITS (parent)"
    )
    database.execute("ALTER TABLE child ALTER id DROP NOT NULL")
    database.execute("INSERT INTO parent VALUES (1); INSERT INTO child VALUES (NULL)")
    driver = Driver(database, spec_of([{"backfill": {"table": "parent", "set": {"n": "n + 1"}, "where": "true"}}]))
    with pytest.raises(StepFailed, match="have no key"):
        driver.apply()
    drop_database(database)


def test_an_owner_without_create_on_the_schema_goes_on_with_the_five_tables_that_are_there(pg18: Database) -> None:
    driver_for(pg18, ADD).apply()
    pg18.execute(
        "CREATE ROLE keeper LOGIN PASSWORD 'k'; REVOKE CREATE ON SCHEMA public FROM PUBLIC; ALTER TABLE users OWNER TO keeper;"
        "GRANT ALL ON _zanith_migrations, _zanith_migration_steps, _zanith_schema_snapshots, _zanith_migration_artifacts, "
        "_zanith_migration_checkpoints TO keeper"
    )
    other = spec_of([{"addColumn": {"table": "users", "column": "more", "type": "text"}}], migration_id="second")
    settings = ConnectionSettings.from_dsn(pg18.dsn_as("keeper", "k"), "public")
    record = run_migration(settings, Assignment(spec=other), stop=threading.Event(), report=ignore)
    assert record.applied_at is not None
    pg18.execute("REASSIGN OWNED BY keeper TO postgres; DROP OWNED BY keeper; DROP ROLE keeper")
