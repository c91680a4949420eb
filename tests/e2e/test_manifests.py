"""What a real API server makes of good and bad manifests, whoever sends them; the strict models answer the rest."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.manifest_fixtures import CRD, REPOSITORY, RESOURCE, BadManifest, Cluster, bad_manifests, running_cluster, says
from zanith.api.names import MAX_NAME_LENGTH
from zanith.api.spec import MigrationSpec, parse_spec
from zanith.core.errors import SpecError

REFUSED_BY_API = [m for m in bad_manifests() if m.api]
YAML_BLOCK = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
UNKNOWN_KEYS = [m for m in bad_manifests() if m.name.startswith("unknown-key")]
ADD_COLUMN = {"addColumn": {"table": "users", "column": "nickname", "type": "text"}}
ADD_INDEX = {"addIndex": {"table": "users", "columns": ["nickname"]}}


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    """A cluster that knows ZanithMigration as this checkout defines it."""
    cluster = running_cluster()
    cluster.must("apply", "--server-side", "--force-conflicts", "-f", str(CRD))
    cluster.must("wait", "--for=condition=Established", "--timeout=30s", "crd/zanithmigrations.zanith.io")
    return cluster


@pytest.fixture(scope="module")
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace of these tests' own, deleted afterwards."""
    name = f"manifests-{uuid.uuid4().hex[:8]}"
    cluster.must("create", "namespace", name)
    yield name
    cluster.must("delete", "namespace", name, "--wait=false")


def manifest(name: str = "", **spec: Any) -> dict[str, Any]:
    """A good one, with this spec on top."""
    name = name or f"m-{uuid.uuid4().hex[:8]}"
    asked = {"database": {"secretRef": {"name": "shop-db"}}, "steps": [ADD_COLUMN], **spec}
    return {"apiVersion": "zanith.io/v1alpha1", "kind": "ZanithMigration", "metadata": {"name": name}, "spec": asked}


# --- bad manifests


@pytest.mark.parametrize("bad", REFUSED_BY_API, ids=lambda bad: bad.name)
def test_the_api_server_refuses_it_and_names_the_field(cluster: Cluster, namespace: str, bad: BadManifest) -> None:
    answer = cluster.kubectl("-n", namespace, "create", "--dry-run=server", "-f", str(bad.path))
    assert not answer.ok
    assert says(answer.err, bad.api), answer.err


@pytest.mark.parametrize("bad", REFUSED_BY_API, ids=lambda bad: bad.name)
def test_a_plain_post_is_refused_with_the_same_words(cluster: Cluster, namespace: str, bad: BadManifest) -> None:
    answer = post(cluster, namespace, bad.document)
    assert not answer.ok
    assert says(answer.err, bad.api), answer.err


def test_more_than_500_steps_are_refused(cluster: Cluster, namespace: str) -> None:
    answer = post(cluster, namespace, manifest(steps=[ADD_COLUMN] * 501))
    assert says(answer.err, "spec.steps: Too many: 501"), answer.err


# --- unknown keys: kept for the strict models, whoever the client is


def by_kubectl_apply(cluster: Cluster, namespace: str, bad: BadManifest, folder: Path) -> None:
    cluster.must("-n", namespace, "apply", "-f", str(bad.path))


def by_server_side_apply(cluster: Cluster, namespace: str, bad: BadManifest, folder: Path) -> None:
    cluster.must("-n", namespace, "apply", "--server-side", "-f", str(bad.path))


def by_plain_post(cluster: Cluster, namespace: str, bad: BadManifest, folder: Path) -> None:
    answer = post(cluster, namespace, bad.document)
    assert answer.ok, answer.err


def by_helm(cluster: Cluster, namespace: str, bad: BadManifest, folder: Path) -> None:
    (folder / "templates").mkdir()
    (folder / "Chart.yaml").write_text("apiVersion: v2\nname: shop\nversion: 1.0.0\n", encoding="utf-8")
    (folder / "templates" / "migration.yaml").write_text(bad.path.read_text(encoding="utf-8"), encoding="utf-8")
    answer = cluster.helm("install", bad.name, str(folder), "-n", namespace)
    assert answer.ok, answer.err


@pytest.mark.parametrize("send", [by_kubectl_apply, by_server_side_apply, by_plain_post, by_helm])
@pytest.mark.parametrize("bad", UNKNOWN_KEYS, ids=lambda bad: bad.name)
def test_an_unknown_key_is_kept_and_answered_by_path(
    cluster: Cluster,
    namespace: str,
    bad: BadManifest,
    send: Callable[[Cluster, str, BadManifest, Path], None],
    tmp_path: Path,
) -> None:
    send(cluster, namespace, bad, tmp_path)
    try:
        stored = cluster.get(namespace, bad.name)
    finally:
        if send is by_helm:
            cluster.helm("uninstall", bad.name, "-n", namespace)
        else:
            cluster.must("-n", namespace, "delete", "zm", bad.name)
    with pytest.raises(SpecError) as refused:
        parse_spec(stored["spec"], name=bad.name)
    assert says(str(refused.value), bad.plan), refused.value


# --- good manifests


def test_the_schemas_defaults_are_those_of_the_models(cluster: Cluster, namespace: str) -> None:
    sent = manifest()
    stored = create(cluster, namespace, sent)
    assert parse_spec(stored["spec"], name="m") == parse_spec(sent["spec"], name="m")
    assert stored["spec"]["gates"]["maxRisk"] == 60
    assert stored["spec"]["execution"]["throttle"]["maxReplicaLag"] == "5s"


def test_a_new_migration_is_not_yet_observed(cluster: Cluster, namespace: str) -> None:
    assert create(cluster, namespace, manifest())["status"]["observedGeneration"] == -1


def test_a_name_of_the_longest_length_is_taken(cluster: Cluster, namespace: str) -> None:
    create(cluster, namespace, manifest("m" * MAX_NAME_LENGTH))


def test_every_default_written_out_is_taken_and_changes_nothing(cluster: Cluster, namespace: str) -> None:
    spec = parse_spec(manifest()["spec"], name="m")
    written = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    stored = create(cluster, namespace, {**manifest(), "spec": written})
    assert MigrationSpec.model_validate(stored["spec"]) == spec


def test_the_columns_show_what_stands_in_the_status(cluster: Cluster, namespace: str) -> None:
    name = create(cluster, namespace, manifest())["metadata"]["name"]
    ready = {
        "type": "Ready",
        "status": "False",
        "reason": "Running",
        "message": "step 3 of 5",
        "lastTransitionTime": "2026-03-28T10:00:00Z",
    }
    display = {
        "steps": "2/5",
        "risk": "high (60)",
        "progress": "62%",
        "recoverableUntil": "2026-04-28",
        "database": "shop",
    }
    set_status(cluster, namespace, name, phase="Running", conditions=[ready], display=display)
    lines = cluster.must("-n", namespace, "get", "zm", name, "-o", "wide").splitlines()
    shown = ["NAME", "PHASE", "STEPS", "RISK", "PROGRESS", "RECOVERABLE UNTIL", "AGE", "DATABASE", "READY", "MESSAGE"]
    assert says(lines[0], " ... ".join(shown))
    assert says(
        lines[1], f"{name} ... Running ... 2/5 ... high (60) ... 62% ... 2026-04-28 ... shop ... Running ... step 3"
    )
    narrow = cluster.must("-n", namespace, "get", "zm", name).splitlines()
    assert "DATABASE" not in narrow[0]


def test_a_write_to_the_resource_leaves_the_status(cluster: Cluster, namespace: str) -> None:
    name = create(cluster, namespace, manifest())["metadata"]["name"]
    patch(cluster, namespace, name, {"status": {"phase": "Applied"}})
    assert cluster.get(namespace, name)["status"]["phase"] == "Pending"


def written_down() -> list[tuple[str, dict[str, Any]]]:
    """Every migration in the documentation and the examples, with where it stands."""
    texts = [
        (path, text)
        for path in [REPOSITORY / "README.md", *sorted(REPOSITORY.glob("docs/**/*.md"))]
        for text in YAML_BLOCK.findall(path.read_text())
    ]
    texts += [(path, path.read_text()) for path in sorted(REPOSITORY.glob("examples/**/*.yaml"))]
    documents = [(path, document) for path, text in texts for document in yaml.safe_load_all(text)]
    return [
        (f"{path.name}-{document['metadata']['name']}", document)
        for path, document in documents
        if isinstance(document, dict) and document.get("kind") == "ZanithMigration"
    ]


@pytest.mark.parametrize("document", [pytest.param(d, id=where) for where, d in written_down()])
def test_what_is_written_down_is_taken(cluster: Cluster, namespace: str, document: dict[str, Any]) -> None:
    document["metadata"].pop("namespace", None)
    cluster.must("-n", namespace, "create", "--dry-run=server", "-f", "-", stdin=json.dumps(document))


# --- what may change, and when


@pytest.fixture
def started(cluster: Cluster, namespace: str) -> str:
    """A migration of two steps that has started."""
    name = create(cluster, namespace, manifest(steps=[ADD_COLUMN, ADD_INDEX]))["metadata"]["name"]
    set_status(cluster, namespace, name, startedAt="2026-03-28T10:00:00Z")
    return str(name)


@pytest.fixture
def applied(cluster: Cluster, namespace: str, started: str) -> str:
    """The same, applied."""
    set_status(cluster, namespace, started, appliedAt="2026-03-28T10:05:00Z")
    return started


MORE = {"addColumn": {"table": "users", "column": "motto", "type": "text"}}
EDITED = {"addColumn": {"table": "users", "column": "nickname", "type": "varchar(80)"}}
WITH_UNKNOWN_KEY = {"addColumn": {**ADD_COLUMN["addColumn"], "nulable": False}}


def test_before_it_has_started_everything_may_change(cluster: Cluster, namespace: str) -> None:
    name = create(cluster, namespace, manifest())["metadata"]["name"]
    change = {"migrationId": "other", "steps": [EDITED], "database": {"schema": "app"}}
    assert patch(cluster, namespace, name, {"spec": change}).ok


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param([EDITED, ADD_INDEX], id="edited"),
        pytest.param([ADD_COLUMN], id="removed"),
        pytest.param([ADD_INDEX, ADD_COLUMN], id="reordered"),
        pytest.param([MORE, ADD_COLUMN, ADD_INDEX], id="put in front"),
        pytest.param([WITH_UNKNOWN_KEY, ADD_INDEX], id="with an unknown key"),
    ],
)
def test_once_it_has_started_steps_may_only_be_appended(
    cluster: Cluster, namespace: str, started: str, steps: list[Any]
) -> None:
    answer = patch(cluster, namespace, started, {"spec": {"steps": steps}})
    assert says(answer.err, "spec.steps: Forbidden: steps may only be appended once the migration has started"), answer


def test_once_it_has_started_a_step_may_be_appended(cluster: Cluster, namespace: str, started: str) -> None:
    assert patch(cluster, namespace, started, {"spec": {"steps": [ADD_COLUMN, ADD_INDEX, MORE]}}).ok


@pytest.mark.parametrize(
    "change",
    [{"migrationId": "other"}, {"database": {"secretRef": {"name": "other"}}}, {"database": {"schema": "app"}}],
    ids=str,
)
def test_once_it_has_started_id_and_database_are_fixed(
    cluster: Cluster, namespace: str, started: str, change: dict[str, Any]
) -> None:
    answer = patch(cluster, namespace, started, {"spec": change})
    assert says(answer.err, f"spec.{next(iter(change))}: Forbidden: is fixed once the migration has started"), answer


def test_writing_out_the_default_id_changes_nothing(cluster: Cluster, namespace: str, started: str) -> None:
    assert patch(cluster, namespace, started, {"spec": {"migrationId": started}}).ok
    assert patch(cluster, namespace, started, {"spec": {"migrationId": None}}).ok


def test_execution_gates_and_suspend_may_change_at_any_time(cluster: Cluster, namespace: str, applied: str) -> None:
    change = {"suspend": True, "gates": {"maxRisk": 80}, "execution": {"throttle": {"lanes": 4}}, "state": "Reverted"}
    assert patch(cluster, namespace, applied, {"spec": change}).ok


def test_once_it_is_applied_steps_are_fixed(cluster: Cluster, namespace: str, applied: str) -> None:
    answer = patch(cluster, namespace, applied, {"spec": {"steps": [ADD_COLUMN, ADD_INDEX, MORE]}})
    assert says(answer.err, "spec.steps: Forbidden: steps are fixed once the migration is applied"), answer


def test_the_rules_have_budget_for_the_longest_spec(cluster: Cluster, namespace: str) -> None:
    """CEL has a cost limit at run time as well: a step appended to 499 long ones."""
    long = [
        {"backfill": {"table": "users", "set": {"nickname": f"'{index:04}' || '{'x' * 2000}'"}, "where": "true"}}
        for index in range(499)
    ]
    name = create(cluster, namespace, manifest(steps=long))["metadata"]["name"]
    set_status(cluster, namespace, name, startedAt="2026-03-28T10:00:00Z")
    assert patch(cluster, namespace, name, {"spec": {"steps": [*long, MORE]}}).ok


def test_the_rules_have_budget_for_twice_the_kinds_there_will_be(cluster: Cluster) -> None:
    """The API server estimates the cost of the rules when it takes a CRD; 31 kinds are published."""
    crd = yaml.safe_load(CRD.read_text(encoding="utf-8"))
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    step = schema["properties"]["spec"]["properties"]["steps"]["items"]
    kinds = step["properties"]
    kinds |= {f"kind{number}": kinds["createTable"] for number in range(62 - len(kinds))}
    present = ", ".join(f"has(self.{kind})" for kind in kinds)
    step["x-kubernetes-validations"][0]["rule"] = f"[{present}].exists_one(found, found)"
    arguments = ("apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-")
    cluster.must(*arguments, stdin=json.dumps(crd))


# --- what the tests above say in one word


def post(cluster: Cluster, namespace: str, document: dict[str, Any]) -> Any:
    """A plain HTTP POST: no fieldValidation, no client that looks at the schema."""
    path = f"/{RESOURCE}/namespaces/{namespace}/zanithmigrations"
    return cluster.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(document, ensure_ascii=False))


def create(cluster: Cluster, namespace: str, document: dict[str, Any]) -> dict[str, Any]:
    answer = post(cluster, namespace, document)
    assert answer.ok, answer.err
    stored: dict[str, Any] = yaml.safe_load(answer.out)
    return stored


def patch(cluster: Cluster, namespace: str, name: str, change: dict[str, Any], *arguments: str) -> Any:
    return cluster.kubectl(
        "-n", namespace, "patch", "zm", name, "--type=merge", "--patch-file=/dev/stdin", *arguments,
        stdin=json.dumps(change),
    )  # fmt: skip


def set_status(cluster: Cluster, namespace: str, name: str, **status: Any) -> None:
    answer = patch(cluster, namespace, name, {"status": status}, "--subresource=status")
    assert answer.ok, answer.err
