"""Whatever dies or changes while a migration runs: every row is right in the end, and the status tells the truth.

The backfill is `n = n + 1` on a table whose rows take a moment each, so it is always caught in the middle; a row changed
twice or never is seen at once.
"""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from e2e.shop import Shop, condition
from servers import Database, PostgresServer

ROWS = 4000
TABLE = f"""
    CREATE TABLE counted (id bigint PRIMARY KEY, n int NOT NULL DEFAULT 0);
    INSERT INTO counted SELECT g, 0 FROM generate_series(1, {ROWS}) g;
    CREATE FUNCTION take_a_moment() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN PERFORM pg_sleep(0.001); RETURN NEW; END';
    CREATE TRIGGER slow BEFORE UPDATE ON counted FOR EACH ROW EXECUTE FUNCTION take_a_moment();
    ANALYZE counted;
"""
STEPS: list[dict[str, Any]] = [
    {"addColumn": {"table": "counted", "column": "extra", "type": "int"}},
    {"backfill": {"table": "counted", "set": {"n": "n + 1"}, "where": "true"}},
    {"addIndex": {"table": "counted", "columns": ["extra"]}},
]
FIRST_ROWS = 300


@pytest.fixture
def under_way(shop: Shop) -> Shop:
    """A migration in the middle of its backfill."""
    shop.database.execute(TABLE)
    shop.apply("count", STEPS, execution={"throttle": {"targetBatch": "100ms"}})
    shop.wait_for_rows("count", FIRST_ROWS)
    return shop


def finish(shop: Shop, name: str = "count") -> dict[str, Any]:
    """Let it run freely to its end; every row was changed exactly once."""
    seen = shop.wait_for(name, "Applied", deadline_s=180)
    assert shop.database.rows("SELECT n, count(*) FROM counted GROUP BY n") == [(1, ROWS)]
    assert [s["state"] for s in seen["status"]["steps"]] == ["Done"] * 3
    assert seen["status"]["progress"]["rowsDone"] == ROWS
    return seen


def changed(database: Database) -> int:
    """Rows changed so far."""
    return int(database.value("SELECT count(*) FROM counted WHERE n = 1"))


def test_a_killed_pod_is_followed_by_another_that_goes_on(under_way: Shop) -> None:
    shop = under_way
    shop.cluster.must("-n", shop.namespace, "delete", "pod", shop.pod("count"), "--grace-period=0", "--force")
    seen = finish(shop)
    assert seen["status"]["job"]["attempt"] == 2
    backfill = seen["status"]["steps"][1]
    assert (backfill["resumed"], backfill["attempts"]) == (True, 2)
    attempts = shop.database.rows("SELECT status FROM _zanith_migration_steps WHERE step_index = 2 ORDER BY started_at")
    assert [status for (status,) in attempts][-1] == "done"
    assert len(shop.jobs("count")) == 1


def test_a_killed_operator_finds_everything_again(under_way: Shop) -> None:
    shop = under_way
    shop.operator.kill()
    before = shop.get("count")
    deadline = time.monotonic() + 30
    while changed(shop.database) < 2 * FIRST_ROWS:
        assert time.monotonic() < deadline, "the Job did not go on by itself"
        time.sleep(0.1)
    assert shop.get("count")["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    shop.operator.start()
    seen = finish(shop)
    assert (seen["status"]["job"]["attempt"], len(shop.jobs("count"))) == (1, 1)


def test_a_status_that_was_deleted_is_written_again(under_way: Shop) -> None:
    shop = under_way
    shop.cluster.must(
        "-n", shop.namespace, "patch", "zm", "count", "--subresource=status", "--type=json",
        "-p", json.dumps([{"op": "remove", "path": "/status"}]),
    )  # fmt: skip
    shop.wait_for_rows("count", FIRST_ROWS)
    finish(shop)


def test_suspend_stops_after_the_batch_and_resume_goes_on(under_way: Shop) -> None:
    shop = under_way
    shop.change("count", suspend=True)
    shop.wait_for("count", "Suspended")
    deadline = time.monotonic() + 60
    while shop.jobs("count"):
        assert time.monotonic() < deadline, "the Job did not go"
        time.sleep(0.2)
    stood = changed(shop.database)
    assert FIRST_ROWS <= stood < ROWS
    assert shop.database.value("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'zanith:%'") == 0
    seen = shop.get("count")
    assert (seen["status"]["phase"], condition(seen, "BackfillProgressing")["reason"]) == ("Suspended", "Paused")
    assert changed(shop.database) == stood
    shop.change("count", suspend=False)
    assert finish(shop)["status"]["job"]["attempt"] == 2


def test_a_deleted_migration_stops_and_leaves_the_database_as_it_is(under_way: Shop) -> None:
    shop = under_way
    shop.cluster.must("-n", shop.namespace, "delete", "zm", "count", "--cascade=orphan", "--timeout=20s")
    deadline = time.monotonic() + 60
    while shop.objects("jobs") or shop.objects("pods"):
        assert time.monotonic() < deadline, "its Job did not go"
        time.sleep(0.2)
    stood = changed(shop.database)
    assert FIRST_ROWS <= stood < ROWS
    shop.apply("count", STEPS)
    finish(shop)


def test_steps_appended_under_way_are_done_as_well(under_way: Shop) -> None:
    shop = under_way
    shop.change("count", steps=[*STEPS, {"addIndex": {"table": "counted", "columns": ["extra", "id"]}}])
    seen = shop.wait_for("count", "Applied", deadline_s=180)
    assert [s["state"] for s in seen["status"]["steps"]] == ["Done"] * 4
    assert shop.database.rows("SELECT n, count(*) FROM counted GROUP BY n") == [(1, ROWS)]


def test_the_throttle_is_retuned_without_a_restart(under_way: Shop) -> None:
    shop = under_way
    shop.change("count", execution={"throttle": {"targetBatch": "50ms"}})
    uid = shop.get("count")["metadata"]["uid"]

    def told() -> list[str]:
        maps = [
            m
            for m in shop.objects("configmaps")
            if m["metadata"].get("labels", {}).get("zanith.io/migration-uid") == uid
        ]
        return [
            json.loads(m["data"]["execution.json"])["throttle"]["targetBatch"]
            for m in maps
            if "execution.json" in m["data"]
        ]

    deadline = time.monotonic() + 20
    while told() != ["50ms"]:
        assert time.monotonic() < deadline, told()
        time.sleep(0.2)
    assert finish(shop)["status"]["job"]["attempt"] == 1


def test_an_outage_of_postgres_is_waited_out(under_way: Shop, cluster_postgres: PostgresServer) -> None:
    shop = under_way
    cluster_postgres.stop("fast")
    try:
        seen = shop.wait_for("count", "DatabaseUnreachable")
        assert seen["status"]["progress"]["rowsDone"] >= FIRST_ROWS
        assert condition(seen, "Stalled")["status"] == "False"
    finally:
        cluster_postgres.start()
    finish(shop)


def test_a_schema_is_ready_before_its_backfill_is_over(shop: Shop) -> None:
    shop.database.execute(TABLE)
    shop.apply("early", [STEPS[0], STEPS[2], STEPS[1]], readyWhen="SchemaReady")
    seen = shop.wait_for("early", "SchemaReady")
    assert condition(seen, "Ready")["status"] == "True"
    assert condition(seen, "Applied")["status"] == "False"
    shop.wait("early", "BackfillProgressing", lambda r: condition(r, "BackfillProgressing")["status"] == "True")
    finish(shop, "early")


def test_no_credential_and_no_row_is_found_anywhere(shop: Shop) -> None:
    word = "row-value-of-the-test"
    shop.database.execute(f"CREATE TABLE told (id int PRIMARY KEY, word text); INSERT INTO told VALUES (1, '{word}');")
    shop.apply("tell", [{"backfill": {"table": "told", "set": {"word": "word::int::text"}, "where": "true"}}])
    shop.wait_for("tell", "StepFailed")
    seen = [
        shop.cluster.must("-n", shop.namespace, "get", "zm,jobs,pods,configmaps,events", "-o", "json"),
        shop.cluster.must("-n", shop.namespace, "logs", shop.pod("tell")),
        shop.operator.text(),
    ]
    for secret in (shop.database.server.password, shop.database.dsn, word):
        assert [secret in text for text in seen] == [False] * 3
    assert all(len(text) > 100 for text in seen)
