"""Whatever dies, no row is changed twice and no step is lost. Real processes, real SIGKILL, real servers."""

from __future__ import annotations

import random
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from operations_harness.cases import NAMINGS, Case
from operations_harness.driving import Recorder, prepare, spec_of
from operations_harness.processes import start_runner, wait_until
from servers import Database
from zanith.core.errors import NotYet
from zanith.execution.assignment import Assignment
from zanith.execution.runner import run_migration

COUNTED = Case(
    "counted",
    [
        {"addColumn": {"table": "users", "column": "twin", "type": "uuid", "default": "gen_random_uuid()", "nullable": False}},
        {"backfill": {"table": "users", "set": {"age": "age + 1"}, "where": "true"}},
        {"alterColumnNullable": {"table": "users", "column": "email", "nullable": False}},
        {"addIndex": {"table": "users", "columns": ["email"]}},
        {"softDropColumn": {"table": "users", "column": "email"}},
    ],
)  # fmt: skip


def test_a_runner_killed_at_every_event_reaches_the_same_end(pg: Database, tmp_path: Path) -> None:
    """Killed again and again, each time one event later, until a run needs no further kill."""
    case = Case("counted", COUNTED.steps, setup=_rows(2_500))
    driver = prepare(pg, case, NAMINGS["ordinary"])
    kills = 0
    for at in range(1, 200):
        # The same database throughout: each attempt resumes what the one before left.
        process = start_runner(driver, tmp_path, kill_at=1 + at % 6, attempt=at)
        _, said = process.communicate(timeout=60)
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, said
        kills += 1
    assert kills >= 5
    _assert_right_end(pg, rows=2_500)


@pytest.mark.parametrize("at", range(1, 22))
def test_a_runner_killed_once_resumes_where_it_was(pg18: Database, tmp_path: Path, at: int) -> None:
    case = Case("counted", COUNTED.steps, setup=_rows(300))
    driver = prepare(pg18, case, NAMINGS["ordinary"])
    process = start_runner(driver, tmp_path, kill_at=at)
    process.communicate(timeout=60)
    driver.apply()
    _assert_right_end(pg18, rows=300)
    if process.returncode == 0:
        assert at > 15, "a run has more events than this"


def test_random_kills_in_a_backfill_change_each_row_exactly_once(pg: Database, tmp_path: Path) -> None:
    rows = 60_000
    case = Case("n", [{"backfill": {"table": "users", "set": {"age": "age + 1"}, "where": "true"}}], setup=_rows(rows))
    driver = prepare(pg, case, NAMINGS["ordinary"])
    driver.spec = spec_of(
        [s.model_dump(mode="json", by_alias=True, exclude_defaults=True) for s in driver.spec.steps],
        execution={"throttle": {"targetBatch": "5ms"}},
    )
    moments = random.Random(7)
    kills = 0
    while driver.record().applied_at is None:
        process = start_runner(driver, tmp_path, attempt=kills + 1)
        _wait_for_progress(pg, process)
        time.sleep(moments.random() * 0.3)
        if process.poll() is None:
            process.kill()
            kills += 1
        process.communicate(timeout=60)
        assert kills < 100
    assert kills >= 1
    assert pg.value("SELECT count(*) FROM users WHERE age <> id + 1") == 0
    assert pg.value("SELECT processed_rows FROM _zanith_migration_checkpoints WHERE lane = 0") == rows


def test_two_runners_at_once_do_the_work_once(pg: Database, tmp_path: Path) -> None:
    case = Case("counted", COUNTED.steps, setup=_rows(5_000))
    driver = prepare(pg, case, NAMINGS["ordinary"])
    # The same attempt number: neither may end the other, so one waits for the other.
    both = [start_runner(driver, tmp_path), start_runner(driver, tmp_path)]
    for process in both:
        _, said = process.communicate(timeout=90)
        assert process.returncode == 0, said
    _assert_right_end(pg, rows=5_000)
    assert pg.rows("SELECT step_index, count(*) FROM _zanith_migration_steps GROUP BY 1 ORDER BY 1") == [
        (index, 1) for index in range(1, 6)
    ]


@pytest.mark.parametrize("mode", ["immediate", "fast"])
def test_postgres_restarted_in_mid_backfill_is_waited_for(pg: Database, mode: Any) -> None:
    case = Case("counted", COUNTED.steps, setup=_rows(60_000))
    driver = prepare(pg, case, NAMINGS["ordinary"])
    driver.spec = driver.spec.model_copy(
        update={"execution": spec_of([{"dropColumn": {"table": "t", "column": "c"}}],
                                     execution={"throttle": {"targetBatch": "10ms"}}).execution}
    )  # fmt: skip
    batches = threading.Event()
    recorder = Recorder()

    def report(progress: Any) -> None:
        recorder(progress)
        if recorder.count("batch") == 12:
            batches.set()

    ended: list[Any] = []
    thread = threading.Thread(
        target=lambda: ended.append(
            run_migration(driver.settings, Assignment(spec=driver.spec), stop=threading.Event(), report=report)
        )
    )
    thread.start()
    assert batches.wait(30)
    pg.server.stop(mode)
    pg.server.start()
    thread.join(60)
    assert ended and ended[0].applied_at is not None, [p.message for p in recorder.seen if p.message]
    _assert_right_end(pg, rows=60_000)


def test_a_killed_runner_whose_session_still_runs_is_fenced_by_the_next_attempt(pg: Database, tmp_path: Path) -> None:
    case = Case("index", [{"addIndex": {"table": "users", "columns": ["email"]}}], setup=_rows(1_000))
    driver = prepare(pg, case, NAMINGS["ordinary"])
    with pg.connect() as blocker:
        blocker.execute("BEGIN")
        blocker.execute("UPDATE users SET age = age WHERE id = 1")
        first = start_runner(driver, tmp_path, attempt=1)
        builder = wait_until(lambda: pg.rows(_BUILDING), "the index is being built")
        first.kill()
        first.communicate()
        assert pg.rows(_BUILDING) == builder, "the server goes on with a dead client's statement"
        second = start_runner(driver, tmp_path, attempt=2)
        wait_until(lambda: pg.rows(_BUILDING) != builder, "the first attempt's session is ended by the second")
        blocker.execute("COMMIT")
    _, said = second.communicate(timeout=60)
    assert second.returncode == 0, said
    assert pg.rows("SELECT indisvalid FROM pg_index WHERE indexrelid = 'users_email_idx'::regclass") == [(True,)]
    assert pg.rows("SELECT status FROM _zanith_migration_steps ORDER BY started_at") == [("interrupted",), ("done",)]


def test_an_invalid_index_of_somebody_else_is_left_alone(pg: Database, tmp_path: Path) -> None:
    """Same name, INVALID, but there before we began: not ours to drop."""
    case = Case("index", [{"addIndex": {"table": "users", "columns": ["age"], "name": "theirs"}}], setup=_rows(100))
    driver = prepare(pg, case, NAMINGS["ordinary"])
    driver.plan()
    process = start_runner(driver, tmp_path, kill_at=3)  # planned, step started, statement about to begin
    process.communicate(timeout=60)
    pg.execute("UPDATE users SET email = 'same'")
    with pg.connect() as conn, pytest.raises(Exception, match="could not create unique index"):
        conn.execute("CREATE UNIQUE INDEX CONCURRENTLY theirs ON users (email)")
    with pytest.raises(Exception, match="duplicate_table"):
        driver.apply()
    assert pg.rows("SELECT indisvalid FROM pg_index WHERE indexrelid = 'theirs'::regclass") == [(False,)]


def test_sigterm_stops_within_a_batch_and_the_next_attempt_goes_on(pg: Database, tmp_path: Path) -> None:
    case = Case(
        "n", [{"backfill": {"table": "users", "set": {"age": "age + 1"}, "where": "true"}}], setup=_rows(60_000)
    )
    driver = prepare(pg, case, NAMINGS["ordinary"])
    driver.spec = driver.spec.model_copy(
        update={"execution": spec_of([{"dropColumn": {"table": "t", "column": "c"}}],
                                     execution={"throttle": {"targetBatch": "5ms"}}).execution}
    )  # fmt: skip
    process = start_runner(driver, tmp_path)
    wait_until(lambda: any(c.processed_rows > 0 for c in driver.record().checkpoints), "some batches are done")
    process.terminate()
    _, said = process.communicate(timeout=10)
    assert process.returncode == 30, said
    record = driver.record()
    assert record.attempts[-1].status == "interrupted"
    (lane,) = (c for c in record.checkpoints if c.lane == 0)
    assert 0 < lane.processed_rows < 60_000
    driver.apply()
    assert pg.value("SELECT count(*) FROM users WHERE age <> id + 1") == 0


def test_a_lost_server_is_given_back_as_not_yet(pg18: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zanith.execution.runner.OUTAGE_PATIENCE_S", 0.5)
    driver = prepare(pg18, COUNTED, NAMINGS["ordinary"])
    pg18.server.stop()
    with pytest.raises(NotYet) as caught:
        driver.apply()
    assert caught.value.reason == "DatabaseUnreachable"


def _wait_for_progress(pg: Database, process: subprocess.Popen[str]) -> None:
    """Until the runner has done some batches, or has ended."""
    before = _walked(pg)
    wait_until(lambda: process.poll() is not None or _walked(pg) > before, "the walk goes on", deadline_s=60)


def _walked(pg: Database) -> int:
    """Rows the ledger says are done."""
    if pg.value("SELECT to_regclass('_zanith_migration_checkpoints')") is None:
        return 0
    return int(pg.value("SELECT coalesce(sum(processed_rows), 0) FROM _zanith_migration_checkpoints"))


_BUILDING = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONCURRENTLY%' AND state = 'active'"


def _rows(count: int) -> str:
    return (
        "CREATE TABLE {s}.{t} (id bigint PRIMARY KEY, {c} text, {d} bigint NOT NULL);"
        f"INSERT INTO {{s}}.{{t}} SELECT n, 'value ' || n, n FROM generate_series(1, {count}) n; ANALYZE {{s}}.{{t}}"
    )


def _assert_right_end(pg: Database, *, rows: int) -> None:
    """Each row once, each step done once, nothing left running, every index valid, the artifact there once."""
    assert pg.value("SELECT count(*) FROM users WHERE age = id + 1") == rows
    assert pg.value("SELECT count(DISTINCT twin) FROM users") == rows
    assert pg.rows("SELECT count(*) FROM pg_index WHERE NOT indisvalid") == [(0,)]
    done = "SELECT step_index, count(*) FROM _zanith_migration_steps WHERE status = 'done' GROUP BY 1 ORDER BY 1"
    assert pg.rows(done) == [(index, 1) for index in range(1, 6)]
    assert pg.value("SELECT count(*) FROM _zanith_migration_steps WHERE status NOT IN ('done', 'interrupted')") == 0
    assert pg.value("SELECT count(*) FROM _zanith_migrations") == 1
    assert pg.value("SELECT count(*) FROM _zanith_migration_artifacts") == 1
    assert pg.value("SELECT string_agg(phase, ',' ORDER BY phase) FROM _zanith_schema_snapshots") == (
        "after,baseline,plan,summary"
    )
