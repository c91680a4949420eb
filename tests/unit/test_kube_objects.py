"""What the operator creates: one Job of one restricted pod, two ConfigMaps, events. Compared whole where it is contract."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from decide_builders import UID, spec
from zanith.kube.configmaps import execution_config_map, execution_name, migration_config_map
from zanith.kube.events import event
from zanith.kube.job import AttemptNotes, job
from zanith.kube.metadata import Owner

OWNER = Owner("shop", "m", UID)
NOTES = AttemptNotes("revert", 7, "hash", "run", "again", "1.0.0", "2/then", 2, 1, "0123456789abcdef")


def made(**job_settings: Any) -> dict[str, Any]:
    return job(
        OWNER,
        name="m-0123456789",
        attempt=3,
        notes=NOTES,
        secret="db",
        image="registry/zanith@sha256:0",
        pull_policy="IfNotPresent",
        settings=spec(execution={"job": job_settings}).execution.job,
    )


def pod_of(body: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = body["spec"]["template"]["spec"]
    return found


def test_a_job_is_one_attempt_that_nothing_repeats() -> None:
    its = made()["spec"]
    assert {k: its[k] for k in ("backoffLimit", "completions", "parallelism")} == {
        "backoffLimit": 0,
        "completions": 1,
        "parallelism": 1,
    }
    assert set(its) == {"backoffLimit", "completions", "parallelism", "template"}
    assert pod_of(made())["restartPolicy"] == "Never"


def test_a_job_keeps_what_the_next_operator_must_know() -> None:
    assert made()["metadata"] == {
        "name": "m-0123456789",
        "namespace": "shop",
        "labels": {
            "app.kubernetes.io/managed-by": "zanith",
            "app.kubernetes.io/part-of": "zanith",
            "zanith.io/migration-uid": UID,
            "zanith.io/attempt": "3",
            "zanith.io/database": "0123456789abcdef",
        },
        "annotations": {
            "zanith.io/action": "revert",
            "zanith.io/generation": "7",
            "zanith.io/plan-hash": "hash",
            "zanith.io/run-hash": "run",
            "zanith.io/retry-used": "again",
            "zanith.io/progress-mark": "1.0.0",
            "zanith.io/failure-seen": "2/then",
            "zanith.io/tries": "2",
            "zanith.io/crashes": "1",
        },
        "ownerReferences": [
            {
                "apiVersion": "zanith.io/v1alpha1",
                "kind": "ZanithMigration",
                "name": "m",
                "uid": UID,
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }


def test_the_pod_is_restricted() -> None:
    pod = pod_of(made())
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"]) == (False, False)
    assert "serviceAccountName" not in pod


def test_the_runner_finds_its_files() -> None:
    pod = pod_of(made())
    (container,) = pod["containers"]
    assert container["command"] + container["args"] == [
        "zanith",
        "run",
        "--migration",
        "/etc/zanith/migration/migration.json",
        "--execution",
        "/etc/zanith/execution/execution.json",
        "--credentials",
        "/etc/zanith/credentials",
    ]
    mounts = {m["mountPath"]: m["name"] for m in container["volumeMounts"]}
    volumes = {v["name"]: v for v in pod["volumes"]}
    assert volumes[mounts["/etc/zanith/migration"]]["configMap"]["name"] == "m-0123456789"
    assert volumes[mounts["/etc/zanith/execution"]]["configMap"]["name"] == execution_name(OWNER)
    assert volumes[mounts["/etc/zanith/credentials"]]["secret"] == {"secretName": "db", "defaultMode": 0o440}
    assert pod["securityContext"]["fsGroup"] == pod["securityContext"]["runAsUser"] == 65532


def test_what_a_spec_says_of_the_pod_is_done() -> None:
    pod = pod_of(
        made(
            serviceAccountName="runner",
            nodeSelector={"disk": "ssd"},
            tolerations=[{"key": "only", "operator": "Exists"}],
            imagePullSecrets=[{"name": "registry"}],
            resources={"requests": {"cpu": "1"}, "limits": {"memory": "64Mi"}},
        )
    )
    assert pod["serviceAccountName"] == "runner"
    assert pod["nodeSelector"] == {"disk": "ssd"}
    assert pod["tolerations"] == [{"key": "only", "operator": "Exists"}]
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert pod["containers"][0]["resources"] == {
        "requests": {"cpu": "1", "memory": "64Mi"},
        "limits": {"memory": "64Mi"},
    }


def test_requests_are_modest_and_there_are_no_limits() -> None:
    assert pod_of(made())["containers"][0]["resources"] == {"requests": {"cpu": "50m", "memory": "128Mi"}}


def test_what_an_attempt_is_told_does_not_change() -> None:
    body = migration_config_map(
        OWNER,
        name="m-1",
        attempt=1,
        action="apply",
        plan_hash="h",
        approved_hash="a",
        retry="r",
        spec={"steps": []},
    )
    assert body["immutable"] is True
    assert json.loads(body["data"]["migration.json"]) == {
        "namespace": "shop",
        "name": "m",
        "uid": UID,
        "attempt": 1,
        "action": "apply",
        "planHash": "h",
        "approvedHash": "a",
        "retry": "r",
        "spec": {"steps": []},
    }


def test_what_a_runner_re_reads_is_the_execution_alone() -> None:
    body = execution_config_map(OWNER, spec(execution={"throttle": {"lanes": 4}}).execution)
    assert "immutable" not in body
    assert json.loads(body["data"]["execution.json"])["throttle"]["lanes"] == 4
    assert json.loads(body["data"]["execution.json"])["lockTimeout"] == "2s"


def test_no_label_or_annotation_of_a_resource_is_copied_because_nothing_of_it_is_asked_for() -> None:
    for body in (made(), execution_config_map(OWNER, spec().execution)):
        assert all(k.startswith(("app.kubernetes.io/", "zanith.io/")) for k in body["metadata"]["labels"])


@pytest.mark.parametrize("name", ["m", "x" * 52, "a-very-long-name-that-ends-where-it-is-cut-by.us"])
def test_names_fit_whatever_the_migration_is_called(name: str) -> None:
    assert len(execution_name(Owner("shop", name, UID))) <= 63
    assert "--" not in execution_name(Owner("shop", name, UID)).replace(name, "")


def test_an_event_is_bounded_and_has_the_same_name_within_a_second() -> None:
    first, second = (
        event(OWNER, type="Normal", reason="Applied", note="x" * 5000, now=at, instance="")
        for at in (datetime(2026, 3, 28, 12, 0, 0, 100, tzinfo=UTC), datetime(2026, 3, 28, 12, 0, 0, 900, tzinfo=UTC))
    )
    assert first["metadata"] == second["metadata"]
    assert (len(first["note"]), first["eventTime"]) == (1024, "2026-03-28T12:00:00.000100Z")
    assert first["reportingInstance"] == "operator"
    assert first["regarding"]["uid"] == UID
    assert (
        event(OWNER, type="Normal", reason="Applied", note="short", now=datetime.now(UTC), instance="p")["note"]
        == "short"
    )
