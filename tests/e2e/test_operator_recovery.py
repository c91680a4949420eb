"""Taking migrations back, and what becomes of what they kept: on a real cluster, whatever dies meanwhile."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from e2e.manifest_fixtures import REPOSITORY
from e2e.shop import Shop, condition
from servers import Database

USERS = """
    CREATE TABLE users (id bigint PRIMARY KEY, email text);
    INSERT INTO users SELECT g, 'P' || g || '@X' FROM generate_series(1, 2000) g;
    ANALYZE users;
"""
PAGE: list[dict[str, Any]] = [
    {"addColumn": {"table": "users", "column": "email_normalized", "type": "text"}},
    {"backfill": {"table": "users", "set": {"email_normalized": "lower(email)"}, "where": "email_normalized IS NULL"}},
    {"alterColumnNullable": {"table": "users", "column": "email_normalized", "nullable": False}},
    {"addIndex": {"table": "users", "columns": ["email_normalized"], "unique": True}},
    {"softDropColumn": {"table": "users", "column": "email"}},
]
GATE = 42
HELD = f"""
    CREATE FUNCTION wait_at_the_gate() RETURNS event_trigger LANGUAGE plpgsql AS
        'BEGIN PERFORM pg_advisory_xact_lock_shared({GATE}); END';
    CREATE EVENT TRIGGER gate ON ddl_command_start WHEN TAG IN ('DROP INDEX') EXECUTE FUNCTION wait_at_the_gate();
"""
SOFT_DROP: list[dict[str, Any]] = [{"softDropColumn": {"table": "users", "column": "email"}}]
AT_THE_GATE = "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND objid = 42 AND NOT granted"


def until(what: str, holds: Callable[[], Any], *, deadline_s: float = 30) -> Any:
    """What is true at last."""
    deadline = time.monotonic() + deadline_s
    while not (seen := holds()):
        assert time.monotonic() < deadline, f"{what} did not come; last seen: {seen}"
        time.sleep(0.1)
    return seen


def states(resource: dict[str, Any]) -> list[str]:
    """Of its steps."""
    return [s["state"] for s in resource["status"]["steps"]]


def columns(database: Database) -> list[str]:
    """Of the table; what is kept of a dropped one has a name of its own."""
    found = database.rows(
        "SELECT attname FROM pg_attribute WHERE attrelid = 'users'::regclass AND attnum > 0 AND NOT attisdropped"
    )
    return sorted("kept" if name.startswith("_zanith_dropped_email") else name for (name,) in found)


def reasons(shop: Shop, name: str) -> list[str]:
    """What was told about artifacts, in order."""
    return [reason for reason, _ in shop.events(name) if reason.startswith("Artifacts")]


def test_a_migration_is_taken_back_though_its_pod_is_killed_and_can_be_applied_again(shop: Shop) -> None:
    shop.database.execute(USERS + HELD)
    shop.apply("page", PAGE)
    shop.wait_for("page", "Applied")
    assert columns(shop.database) == ["email_normalized", "id", "kept"]
    with shop.database.connect() as gate:
        gate.execute(f"SELECT pg_advisory_lock({GATE})")
        shop.change("page", state="Reverted")
        seen = shop.wait("page", "one step back", lambda r: states(r) == [*["Done"] * 3, "Running", "Reverted"])
        assert (seen["status"]["phase"], condition(seen, "Ready")["reason"]) == ("Reverting", "Reverting")
        until("the runner at the gate", lambda: shop.database.value(AT_THE_GATE))
        shop.cluster.must("-n", shop.namespace, "delete", "pod", shop.pod("page"), "--grace-period=0", "--force")
        shop.wait("page", "another attempt", lambda r: r["status"]["job"]["attempt"] == 3)
    seen = shop.wait_for("page", "Reverted")
    assert states(seen) == ["Reverted"] * 5
    assert (seen["status"]["phase"], condition(seen, "Ready")["status"]) == ("Reverted", "True")
    assert seen["status"]["job"]["attempt"] == 3
    assert "appliedAt" not in seen["status"]
    assert shop.database.rows("SELECT * FROM _zanith_migrations") == []
    assert columns(shop.database) == ["email", "id", "kept"]  # the column that was filled holds data: kept as well
    kept = {a["source"]: a["state"] for a in seen["status"]["artifacts"]}
    assert kept == {"users.email": "Restored", "users.email_normalized": "Live"}
    assert shop.database.value("SELECT count(*) FROM users WHERE email = 'P' || id || '@X'") == 2000
    shop.change("page", state="Applied")
    seen = shop.wait_for("page", "Applied")
    assert states(seen) == ["Done"] * 5
    assert shop.database.value("SELECT count(DISTINCT email_normalized) FROM users") == 2000


def test_what_has_no_way_back_says_so_and_is_applied_as_before(shop: Shop) -> None:
    shop.database.execute(USERS)
    steps: list[dict[str, Any]] = [
        {"backfill": {"table": "users", "set": {"email": "lower(email)"}, "where": "true"}},
        {"addColumn": {"table": "users", "column": "extra", "type": "int"}},
    ]
    shop.apply("one-way", steps)
    shop.wait_for("one-way", "Applied")
    shop.change("one-way", state="Reverted")
    seen = shop.wait_for("one-way", "ProbeFailed")
    assert (seen["status"]["phase"], condition(seen, "Stalled")["status"]) == ("Refused", "True")
    assert "step 1 backfill" in condition(seen, "Stalled")["message"]
    assert states(seen) == ["Done", "Done"]
    assert seen["status"]["steps"][0]["error"].startswith("refused — undo: ")
    assert columns(shop.database) == ["email", "extra", "id"]
    shop.annotate("one-way", "retry", "1")
    shop.wait("one-way", "another try", lambda r: r["status"]["job"]["attempt"] == 3)
    shop.wait_for("one-way", "ProbeFailed")
    shop.change("one-way", state="Applied")
    seen = shop.wait_for("one-way", "Applied")
    assert (states(seen), seen["status"]["job"]["attempt"]) == (["Done", "Done"], 3)
    assert "error" not in seen["status"]["steps"][0]
    assert [r for r, _ in shop.events("one-way")].count("Applied") == 2


def test_what_never_began_is_taken_back_without_a_job(shop: Shop) -> None:
    shop.database.execute(USERS)
    shop.apply("never", SOFT_DROP, state="Reverted")
    seen = shop.wait_for("never", "Reverted")
    assert (seen["status"]["phase"], shop.jobs("never")) == ("Reverted", [])
    shop.apply("after", [{"addIndex": {"table": "users", "columns": ["id"]}}], dependsOn=["never"])
    waiting = shop.wait_for("after", "DependencyPending")
    assert "never was taken back" in condition(waiting, "Ready")["message"]
    shop.change("never", state="Applied")
    shop.wait_for("never", "Applied")
    shop.wait_for("after", "Applied")


def test_an_expiry_is_told_once_and_purges_only_where_policy_says_so_and_nobody_holds(shop: Shop) -> None:
    shop.database.execute(USERS)
    shop.apply("brief", SOFT_DROP, retention="8s", expiryWarning="5s")
    shop.wait("brief", "a warning", lambda r: condition(r, "ArtifactsExpiring").get("reason") == "ExpiresSoon")
    seen = shop.wait("brief", "the expiry", lambda r: condition(r, "ArtifactsExpiring")["reason"] == "Expired")
    assert (condition(seen, "Ready")["reason"], seen["status"]["artifacts"][0]["state"]) == ("Applied", "Expired")
    assert condition(seen, "Recoverable")["status"] == "True"
    assert "spec.expiryPolicy is Retain" in condition(seen, "Recoverable")["message"]
    assert reasons(shop, "brief") == ["ArtifactsExpiring", "ArtifactsExpired"]
    told = dict(shop.events("brief"))["ArtifactsExpiring"]
    assert "users.email" in told
    assert seen["status"]["artifacts"][0]["expiresAt"] in told

    shop.annotate("brief", "hold", "true")
    shop.operator.stop()
    shop.operator.start()
    shop.change("brief", expiryPolicy="Purge")
    held = shop.wait("brief", "the hold", lambda r: "zanith.io/hold" in condition(r, "Recoverable")["message"])
    assert held["status"]["job"]["attempt"] == 1
    assert columns(shop.database) == ["id", "kept"]
    shop.annotate("brief", "hold", "false")
    seen = shop.wait("brief", "the purge", lambda r: condition(r, "Recoverable")["reason"] == "Purged")
    assert (condition(seen, "Ready")["status"], condition(seen, "ArtifactsExpiring")["status"]) == ("True", "False")
    assert columns(shop.database) == ["id"]
    assert reasons(shop, "brief") == ["ArtifactsExpiring", "ArtifactsExpired", "ArtifactsPurged"]


def test_what_expires_while_the_operator_is_away_is_purged_when_it_is_back(shop: Shop) -> None:
    shop.database.execute(USERS)
    shop.apply("away", SOFT_DROP, retention="4s", expiryPolicy="Purge")
    shop.wait_for("away", "Applied")
    shop.operator.stop()
    until("the expiry", lambda: shop.database.value("SELECT expires_at <= now() FROM _zanith_migration_artifacts"))
    assert columns(shop.database) == ["id", "kept"]
    shop.operator.start()
    shop.wait("away", "the purge", lambda r: condition(r, "Recoverable")["reason"] == "Purged")
    assert columns(shop.database) == ["id"]


def test_what_somebody_restores_by_hand_is_told(shop: Shop) -> None:
    shop.database.execute(USERS)
    shop.apply("by-hand", SOFT_DROP)
    shop.wait_for("by-hand", "Applied")
    attempts = len(shop.jobs("by-hand"))
    ended = subprocess.run(
        [sys.executable, "-m", "zanith.main", "recover", "restore-column", "users.email", "--dsn", shop.database.dsn],
        cwd=REPOSITORY / "operator",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    seen = shop.wait("by-hand", "the restore", lambda r: condition(r, "Recoverable")["reason"] == "Restored")
    assert (seen["status"]["artifacts"][0]["state"], condition(seen, "Ready")["status"]) == ("Restored", "True")
    assert len(shop.jobs("by-hand")) == attempts
