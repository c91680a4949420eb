"""What becomes of migrations on a real cluster: applied, refused, approved, queued, and everything a person has to mend."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from typing import Any

import pytest

from e2e.manifest_fixtures import REPOSITORY
from e2e.operator_process import SECRET
from e2e.shop import Shop, condition

PEOPLE = """
    CREATE TABLE people (id bigint PRIMARY KEY, email text, n int NOT NULL DEFAULT 0);
    INSERT INTO people SELECT g, 'P' || g || '@X' FROM generate_series(1, 5000) g;
    ANALYZE people;
"""
ADD_EMAIL: list[dict[str, Any]] = [
    {"addColumn": {"table": "people", "column": "lower_email", "type": "text"}},
    {"backfill": {"table": "people", "set": {"lower_email": "lower(email)"}, "where": "lower_email IS NULL"}},
    {"alterColumnNullable": {"table": "people", "column": "lower_email", "nullable": False}},
    {"addIndex": {"table": "people", "columns": ["lower_email"]}},
]
DROP_EMAIL: list[dict[str, Any]] = [{"dropColumn": {"table": "people", "column": "email"}}]
INDEX: list[dict[str, Any]] = [{"addIndex": {"table": "people", "columns": ["n"]}}]


def summary(resource: dict[str, Any]) -> dict[str, Any]:
    """The columns of `kubectl get zm`."""
    return {"phase": resource["status"]["phase"], **resource["status"]["display"]}


def test_a_migration_is_applied_and_told_and_then_left_alone(shop: Shop) -> None:
    shop.database.execute(PEOPLE)
    shop.apply("add-email", ADD_EMAIL)
    seen = shop.wait_for("add-email", "Applied")
    assert summary(seen) == {
        "phase": "Applied",
        "steps": "4/4",
        "risk": "high (60)",
        "progress": "100%",
        "recoverableUntil": "",
        "database": shop.database.name,
    }
    status = seen["status"]
    assert [s["state"] for s in status["steps"]] == ["Done"] * 4
    assert status["progress"]["rowsDone"] == 5000
    assert status["appliedAt"] >= status["startedAt"]
    assert status["snapshot"]["models"] == 1
    assert {c["type"]: c["status"] for c in status["conditions"]} == {
        "Ready": "True",
        "Reconciling": "False",
        "Stalled": "False",
        "Planned": "True",
        "RiskAccepted": "True",
        "Approved": "True",
        "Applied": "True",
        "BackfillProgressing": "False",
        "Throttled": "False",
        "Recoverable": "False",
        "ArtifactsExpiring": "False",
    }
    assert shop.database.value("SELECT count(*) FROM people WHERE lower_email = lower(email)") == 5000
    assert [reason for reason, _ in shop.events("add-email")] == ["AttemptStarted", "Applied"]
    job_over(shop, "add-email")
    at_rest = shop.get("add-email")["metadata"]["resourceVersion"]
    shop.operator.stop()
    shop.operator.start()
    shop.apply("another", INDEX)  # when this is applied, the one before has long been looked at again
    shop.wait_for("another", "Applied")
    metadata = shop.get("add-email")["metadata"]
    assert metadata["resourceVersion"] == at_rest
    assert "finalizers" not in metadata
    assert set(metadata["annotations"]) == {"kubectl.kubernetes.io/last-applied-configuration"}


def job_over(shop: Shop, name: str) -> None:
    """Wait until the Job of an applied migration has ended and been looked at."""
    deadline = time.monotonic() + 30
    while not any(c["type"] == "Complete" for j in shop.jobs(name) for c in j["status"].get("conditions", [])):
        assert time.monotonic() < deadline, "the Job did not complete"
        time.sleep(0.2)
    time.sleep(1)


def test_a_refused_plan_is_recorded_once_and_goes_on_when_the_gate_opens(shop: Shop) -> None:
    shop.database.execute(PEOPLE)
    shop.apply("drop-email", DROP_EMAIL)
    seen = shop.wait_for("drop-email", "RiskBudgetExceeded")
    assert summary(seen)["phase"] == "Refused"
    assert condition(seen, "Stalled")["status"] == "True"
    assert condition(seen, "RiskAccepted")["message"] == "destructive (80), step 1 dropColumn"
    assert seen["status"]["steps"][0]["error"] == "refused — max risk 60"
    assert "startedAt" not in seen["status"]
    job_count = len(shop.jobs("drop-email"))
    shop.change("drop-email", expiryWarning="1h")
    shop.wait_for("drop-email", "RiskBudgetExceeded")
    assert len(shop.jobs("drop-email")) == job_count == 1
    rows = "SELECT status, error FROM _zanith_migration_steps"
    assert shop.database.rows(rows) == [("failed", "refused — max risk 60")]
    shop.change("drop-email", gates={"maxRisk": 80})
    shop.wait_for("drop-email", "DestructiveNotAllowed")
    shop.change("drop-email", gates={"maxRisk": 80, "allowDestructive": True})
    shop.wait_for("drop-email", "Applied")
    assert len(shop.jobs("drop-email")) == 1


def test_an_approval_is_for_one_plan(shop: Shop) -> None:
    shop.database.execute(PEOPLE)
    shop.apply("by-hand", INDEX, gates={"approval": "Required"})
    seen = shop.wait_for("by-hand", "AwaitingApproval")
    assert (condition(seen, "Reconciling")["status"], condition(seen, "Stalled")["status"]) == ("False", "False")
    shop.annotate("by-hand", "approve", "0123456789abcdef")
    shop.wait("by-hand", "PlanChanged", lambda r: condition(r, "Approved").get("reason") == "PlanChanged")
    assert shop.jobs("by-hand") == []
    shop.annotate("by-hand", "approve", seen["status"]["planHash"])
    assert condition(shop.wait_for("by-hand", "Applied"), "Approved")["reason"] == "Approved"


def test_migrations_of_one_database_take_turns_and_dependencies_their_order(shop: Shop) -> None:
    shop.database.execute(PEOPLE)
    shop.apply("second", [{"addIndex": {"table": "people", "columns": ["late"]}}], dependsOn=["first"])
    shop.wait_for("second", "DependencyMissing")
    shop.apply("first", [{"addColumn": {"table": "people", "column": "late", "type": "int"}}], suspend=True)
    shop.wait_for("second", "DependencyPending")
    shop.change("first", suspend=False)
    for name in ("a", "b", "c"):
        shop.apply(name, [{"addColumn": {"table": "people", "column": name, "type": "int"}}])
    for name in ("first", "second", "a", "b", "c"):
        shop.wait_for(name, "Applied")
    told = [shop.events(name) for name in ("a", "b", "c")]
    assert any(reason == "Queued" for events in told for reason, _ in events)


def test_dependencies_in_a_circle_are_told_to_all_of_it(shop: Shop) -> None:
    shop.apply("hen", INDEX, dependsOn=["egg"])
    shop.apply("egg", INDEX, dependsOn=["hen"])
    for name in ("hen", "egg"):
        assert "circle" in condition(shop.wait_for(name, "DependencyCycle"), "Stalled")["message"]


def test_a_plan_that_cannot_be_made_names_its_field_and_heals_by_an_edit(shop: Shop) -> None:
    shop.database.execute(PEOPLE)
    shop.apply("typo", [{"addIndex": {"table": "peopl", "columns": ["n"]}}])
    message = condition(shop.wait_for("typo", "InvalidPlan"), "Ready")["message"]
    assert "spec.steps[0].addIndex" in message
    assert "did you mean people?" in message
    shop.change("typo", steps=INDEX)
    shop.wait_for("typo", "Applied")


def test_rows_that_break_a_step_refuse_it_and_a_person_asks_again(shop: Shop) -> None:
    shop.database.execute(PEOPLE + "UPDATE people SET email = NULL WHERE id = 7;")
    shop.apply("not-null", [{"alterColumnNullable": {"table": "people", "column": "email", "nullable": False}}])
    seen = shop.wait_for("not-null", "ProbeFailed")
    assert summary(seen)["phase"] == "Refused"
    assert "zanith.io/retry" in condition(seen, "Stalled")["message"]
    shop.database.execute("UPDATE people SET email = 'x' WHERE id = 7")
    shop.annotate("not-null", "retry", "1")
    shop.wait_for("not-null", "Applied")


def test_a_step_that_fails_stalls_and_a_retry_goes_on_from_there(shop: Shop) -> None:
    shop.database.execute(PEOPLE + "UPDATE people SET n = 1; UPDATE people SET n = 0 WHERE id = 4999;")
    steps = [INDEX[0], {"backfill": {"table": "people", "set": {"email": "(100 / n)::text"}, "where": "true"}}]
    shop.apply("divide", steps)
    seen = shop.wait_for("divide", "StepFailed")
    assert (summary(seen)["phase"], summary(seen)["steps"]) == ("Failed", "1/2")
    assert seen["status"]["steps"][1]["state"] == "Failed"
    assert "22012" in condition(seen, "Stalled")["message"]
    shop.database.execute("UPDATE people SET n = 1 WHERE id = 4999")
    shop.annotate("divide", "retry", "now")
    again = shop.wait_for("divide", "Applied")["status"]["steps"]
    assert [(s["state"], s["attempts"]) for s in again] == [("Done", 1), ("Done", 2)]
    assert shop.database.value("SELECT count(*) FROM people WHERE email = '100'") == 5000


def test_a_secret_that_comes_late_is_waited_for(shop: Shop) -> None:
    shop.database.execute(PEOPLE)
    shop.cluster.must("-n", shop.namespace, "delete", "secret", SECRET)
    shop.apply("late-secret", INDEX)
    assert condition(shop.wait_for("late-secret", "SecretNotFound"), "Stalled")["status"] == "False"
    shop.create_secret(host="127.0.0.1", dbname="x", user="u")
    message = shop.wait("late-secret", "key", lambda r: "password" in condition(r, "Ready").get("message", ""))
    assert condition(message, "Ready")["reason"] == "SecretNotFound"
    shop.create_secret(uri="postgresql://u:hunter2@10.244.0.1:1/x")
    away = condition(shop.wait_for("late-secret", "DatabaseUnreachable"), "Ready")
    assert (away["status"], "hunter2" in away["message"]) == ("False", False)
    shop.cluster.must("-n", shop.namespace, "delete", "secret", SECRET)
    shop.create_secret()
    shop.wait_for("late-secret", "Applied")


def test_a_secret_that_may_not_be_read_says_how_to_allow_it(shop: Shop) -> None:
    shop.database.execute(PEOPLE)
    shop.create_secret("other", uri=shop.database.dsn)
    shop.apply("forbidden", INDEX, database={"secretRef": {"name": "other"}})
    message = condition(shop.wait_for("forbidden", "SecretForbidden"), "Stalled")["message"]
    commands = message.split("or: ", 1)[1].split(" && ")
    assert len(commands) == 2
    for command in commands:
        program, *arguments = command.split()
        assert program == "kubectl"
        shop.cluster.must(*arguments)
    shop.wait_for("forbidden", "Applied")


def test_one_migration_id_is_one_migration(shop: Shop) -> None:
    shop.database.execute(PEOPLE)
    shop.apply("mine", INDEX, migrationId="the-id")
    shop.wait_for("mine", "Applied")
    shop.apply("theirs", INDEX, migrationId="the-id")
    assert "mine" in condition(shop.wait_for("theirs", "LedgerConflict"), "Stalled")["message"]
    shop.cluster.must("-n", shop.namespace, "delete", "zm", "mine")
    shop.annotate("theirs", "retry", "1")  # any news: the owner of before is gone, and the steps are the same
    shop.wait_for("theirs", "Applied")


def test_steps_that_were_changed_behind_the_api_server_s_back_are_found_in_the_ledger(shop: Shop) -> None:
    shop.database.execute(PEOPLE)
    shop.apply("edited", INDEX)
    shop.wait_for("edited", "Applied")
    shop.cluster.must("-n", shop.namespace, "delete", "zm", "edited")
    shop.apply("edited", [{"addIndex": {"table": "people", "columns": ["email"]}}])
    seen = shop.wait_for("edited", "ChangedAfterApply")
    assert "spec.steps[0]" in condition(seen, "Stalled")["message"]


def test_foreign_tables_of_our_names_are_told_and_left_alone(shop: Shop) -> None:
    shop.database.execute(PEOPLE + "CREATE TABLE _zanith_migration_steps (id int);")
    shop.apply("foreign", INDEX)
    assert "_zanith_migration_steps" in condition(shop.wait_for("foreign", "LedgerConflict"), "Stalled")["message"]
    assert shop.database.value("SELECT count(*) FROM _zanith_migration_steps") == 0


def test_a_pod_that_finds_no_node_is_told_and_mended_by_an_edit(shop: Shop) -> None:
    shop.database.execute(PEOPLE)
    shop.apply("homeless", INDEX, execution={"job": {"nodeSelector": {"disk": "of-dreams"}}})
    assert "Unschedulable" in condition(shop.wait_for("homeless", "PodNotStarting"), "Ready")["message"]
    shop.change("homeless", execution={"job": {"nodeSelector": None}})
    shop.wait_for("homeless", "Applied")


def test_a_runner_that_crashes_again_and_again_stalls_until_something_changes(shop: Shop) -> None:
    shop.database.execute(PEOPLE)
    tight = {"crashLimit": 2, "job": {"resources": {"limits": {"memory": "12Mi"}, "requests": {"memory": "12Mi"}}}}
    shop.apply("too-tight", INDEX, execution=tight)
    seen = shop.wait_for("too-tight", "RunnerCrashLooping")
    assert "2 attempts in a row" in condition(seen, "Stalled")["message"]
    shop.change("too-tight", execution={"job": {"resources": None}})
    shop.wait_for("too-tight", "Applied")


def test_an_artifact_is_told_until_it_expires(shop: Shop) -> None:
    shop.database.execute(PEOPLE)
    shop.apply("for-a-month", [{"softDropColumn": {"table": "people", "column": "email"}}], retention="30d")
    seen = shop.wait_for("for-a-month", "Applied")
    (artifact,) = seen["status"]["artifacts"]
    assert (artifact["state"], artifact["source"]) == ("Live", "people.email")
    assert summary(seen)["recoverableUntil"] == artifact["expiresAt"][:10]
    assert condition(seen, "Recoverable")["message"] == f"1 artifact, expires {artifact['expiresAt'][:10]}"
    shop.change("for-a-month", expiryWarning="1000h")
    seen = shop.wait("for-a-month", "Expiring", lambda r: condition(r, "ArtifactsExpiring")["status"] == "True")
    assert seen["status"]["artifacts"][0]["state"] == "Expiring"
    shop.apply("for-ever", [{"softDropColumn": {"table": "people", "column": "n"}}])
    assert summary(shop.wait_for("for-ever", "Applied"))["recoverableUntil"] == "forever"


def test_the_operator_answers_its_probe_and_ends_when_asked(shop: Shop) -> None:
    with urllib.request.urlopen(shop.operator.health, timeout=5) as answer:
        assert answer.status == 200
    assert shop.operator.stop() == 0
    log = shop.operator.text()
    assert [
        word for word in ('"level": "error"', "reconcile_failed", "watch_missed", "resync_failed") if word in log
    ] == []


@pytest.mark.parametrize("missing", ["ZANITH_IMAGE", "KUBECONFIG"])
def test_an_operator_that_cannot_start_says_why_and_ends(shop: Shop, missing: str) -> None:
    environment = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": "operator",
        "HOME": "/nonexistent",
        "ZANITH_IMAGE": "zanith:dev",
        "ZANITH_LIVENESS_ENDPOINT": "",
        "KUBECONFIG": str(shop.operator.kubeconfig),
    }
    del environment[missing]
    ended = run_operator(environment)
    assert ended.returncode == 1
    assert missing in ended.stderr
    assert "Traceback" not in ended.stderr


def run_operator(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "zanith.main", "operator"],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
