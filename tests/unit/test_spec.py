"""The spec is parsed once, strictly, and its defaults are those of the documentation."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from zanith.api.spec import parse_manifest, parse_spec, seconds, size_in_bytes
from zanith.core.errors import SpecError
from zanith.core.identifiers import TableKey

STEP = {"addIndex": {"table": "t", "columns": ["c"]}}


def spec(**changes: Any) -> dict[str, Any]:
    return {"database": {"secretRef": {"name": "db"}}, "steps": [STEP], **changes}


def document(**changes: Any) -> dict[str, Any]:
    asked = {"apiVersion": "zanith.io/v1alpha1", "kind": "ZanithMigration", "metadata": {"name": "m"}, "spec": spec()}
    return {**asked, **changes}


def problem(change: Any) -> str:
    with pytest.raises(SpecError) as refused:
        parse_spec(change, name="m")
    return str(refused.value)


def test_the_defaults_are_those_of_the_documentation() -> None:
    parsed = parse_spec(spec(), name="20260328-normalize-email")
    assert parsed.model_dump(mode="json", by_alias=True, exclude={"steps"}) == {
        "migrationId": "20260328-normalize-email",
        "database": {"secretRef": {"name": "db"}, "observerSecretRef": None, "schema": "public"},
        "dependsOn": [],
        "gates": {"maxRisk": 60, "allowDestructive": False, "forbidReasons": [], "approval": "Auto"},
        "execution": {
            "lockTimeout": "2s",
            "probeTimeout": "10m",
            "throttle": {
                "targetBatch": "200ms",
                "lanes": 1,
                "maxReplicaLag": "5s",
                "maxWalBacklog": "1GiB",
                "maxTransactionAge": "10m",
                "maxActiveSessions": 0,
                "yieldToAutovacuum": True,
                "query": "",
            },
            "job": {
                "serviceAccountName": "",
                "resources": {"requests": {}, "limits": {}},
                "nodeSelector": {},
                "tolerations": [],
                "imagePullSecrets": [],
            },
            "progressDeadline": "30m",
            "crashLimit": 6,
        },
        "retention": "forever",
        "expiryPolicy": "Retain",
        "expiryWarning": "72h",
        "readyWhen": "Applied",
        "suspend": False,
        "state": "Applied",
    }


def test_an_id_that_is_given_stays() -> None:
    assert parse_spec(spec(migrationId="20260328_x"), name="m").migration_id == "20260328_x"


def test_the_operator_reads_with_the_jobs_secret_unless_told() -> None:
    own = {"secretRef": {"name": "db"}, "observerSecretRef": {"name": "db-observer"}}
    assert parse_spec(spec(), name="m").database.observer == "db"
    assert parse_spec(spec(database=own), name="m").database.observer == "db-observer"


def test_a_table_lives_in_the_databases_schema_unless_the_step_names_its_own() -> None:
    parsed = parse_spec(spec(), name="m")
    assert [parsed.table_key(None, "t"), parsed.table_key("app", "t")] == [
        TableKey("public", "t"),
        TableKey("app", "t"),
    ]


@pytest.mark.parametrize(("retention", "expected"), [("forever", None), ("30d", timedelta(days=30))])
def test_retention_is_a_period_or_none(retention: str, expected: timedelta | None) -> None:
    assert parse_spec(spec(retention=retention), name="m").retention_period == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("200ms", 0.2), ("5s", 5.0), ("10m", 600.0), ("72h", 259_200.0), ("30d", 2_592_000.0)]
)
def test_durations_have_a_unit(text: str, expected: float) -> None:
    assert seconds(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["5", "s", "5 s", "5S", "-5s", "1.5s", ""])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a number and a unit"):
        seconds(text)


def test_a_duration_ends_with_its_unit() -> None:
    assert problem(spec(retention="5s\n")).startswith("spec.retention: ")
    assert problem(spec(expiryWarning="5s\n")).startswith("spec.expiryWarning: ")


@pytest.mark.parametrize(("text", "expected"), [("512B", 512), ("1KiB", 1024), ("1GiB", 1 << 30)])
def test_sizes_have_a_unit(text: str, expected: int) -> None:
    assert size_in_bytes(text) == expected


def test_what_is_no_size_is_refused() -> None:
    with pytest.raises(ValueError, match="must be a number and a unit"):
        size_in_bytes("1GB")


def test_every_problem_is_named_at_once() -> None:
    assert problem(spec(suspend="perhaps", gates={"maxRisk": 200})) == (
        "spec.gates.maxRisk: input should be less than or equal to 100; spec.suspend: input should be a valid boolean"
    )


def test_a_value_is_never_repeated() -> None:
    assert "hunter2" not in problem(spec(database={"secretRef": {"name": "Hunter2 hunter2"}}))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"apiVersion": "zanith.io/v1"}, "apiVersion and kind must be zanith.io/v1alpha1 and ZanithMigration"),
        ({"kind": "Migration"}, "apiVersion and kind must be zanith.io/v1alpha1 and ZanithMigration"),
        ({"spce": {}}, r"spce: unknown key \(did you mean spec\?\)"),
        ({"metadata": {}}, "metadata.name: is required"),
        ({"metadata": "m"}, "metadata.name: is required"),
        ({"metadata": {"name": "m" * 53}}, "metadata.name: is 53 characters long; at most 52"),
        ({"spec": None}, "spec: must be a mapping"),
    ],
)
def test_the_frame_of_a_manifest_is_checked(change: dict[str, Any], expected: str) -> None:
    with pytest.raises(SpecError, match=expected):
        parse_manifest(document(**change))


@pytest.mark.parametrize("nothing", [None, [], "text"])
def test_a_manifest_is_a_mapping(nothing: Any) -> None:
    with pytest.raises(SpecError, match="the document must be a mapping"):
        parse_manifest(nothing)


def test_a_good_manifest_gives_name_and_spec() -> None:
    name, parsed = parse_manifest(document())
    assert (name, parsed.migration_id, len(parsed.steps)) == ("m", "m", 1)
