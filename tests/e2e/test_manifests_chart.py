"""The chart by the real Helm, and what it renders to by a real API server: least rights, and nothing lost on uninstall."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from e2e.manifest_fixtures import CHART, REPOSITORY, Cluster, running_cluster
from zanith.settings import Settings

INSTALL = REPOSITORY / "deploy" / "manifests" / "install.yaml"
SECRETS = ("--set", "secrets[0].namespace=shop,secrets[0].names={reader,writer}")
SAME_NAMESPACE_TWICE = ("--set", "secrets[1].namespace=shop,secrets[1].names={writer,archive}")
ONLY_SHOP = ("--set", "watchNamespaces={shop}")


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    return running_cluster()


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace of the strictest Pod Security level."""
    name = f"chart-{uuid.uuid4().hex[:8]}"
    cluster.must("create", "namespace", name)
    cluster.must("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
    yield name
    cluster.must("delete", "namespace", name, "--wait=false")


def render(cluster: Cluster, *arguments: str) -> list[dict[str, Any]]:
    """The objects of the chart with these values."""
    answer = cluster.helm("template", "zanith", str(CHART), "-n", "zanith-system", "--kube-version=1.33.0", *arguments)
    assert answer.ok, answer.err
    return [document for document in yaml.safe_load_all(answer.out) if document]


def of_kind(objects: list[dict[str, Any]], *kinds: str) -> list[dict[str, Any]]:
    return [o for o in objects if o["kind"] in kinds]


def refusal(cluster: Cluster, *values: str) -> str:
    """What Helm says to values it does not take."""
    answer = cluster.helm("template", "zanith", str(CHART), "--kube-version=1.33.0", *values)
    assert not answer.ok
    return answer.err


# --- rendering


def test_helm_finds_nothing_to_mend(cluster: Cluster) -> None:
    answer = cluster.helm("lint", "--strict", str(CHART))
    assert answer.ok, answer.out + answer.err


def test_the_plain_manifests_are_what_the_chart_gives(cluster: Cluster) -> None:
    rendered = subprocess.run(
        [sys.executable, REPOSITORY / "deploy" / "manifests" / "render.py"],
        env={"PATH": "/usr/bin:/bin", **cluster.environment},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert INSTALL.read_text(encoding="utf-8") == rendered, "run `make manifests`"


def test_the_plain_manifests_are_taken_by_the_api_server(cluster: Cluster) -> None:
    namespaced = [d for d in yaml.safe_load_all(INSTALL.read_text(encoding="utf-8")) if d["kind"] != "Namespace"]
    for document in namespaced:
        document["metadata"].pop("namespace", None)
    text = yaml.safe_dump_all(namespaced)
    cluster.must("apply", "--server-side", "--dry-run=server", "--force-conflicts", "-f", "-", stdin=text)


def test_the_definition_survives_an_uninstall_and_an_argo_cd_prune(cluster: Cluster) -> None:
    (crd,) = of_kind(render(cluster), "CustomResourceDefinition")
    assert crd["metadata"]["annotations"] == {
        "argocd.argoproj.io/sync-options": "Prune=false,Delete=false",
        "helm.sh/resource-policy": "keep",
    }
    assert crd["spec"] == yaml.safe_load((REPOSITORY / "crds" / "zanithmigrations.yaml").read_text())["spec"]


def test_the_policy_cannot_be_replaced_by_values(cluster: Cluster) -> None:
    values = r"crds.annotations.helm\.sh/resource-policy=delete"
    (crd,) = of_kind(render(cluster, "--set", values), "CustomResourceDefinition")
    assert crd["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_the_definition_can_be_left_to_another_release(cluster: Cluster) -> None:
    assert of_kind(render(cluster, "--set", "crds.install=false"), "CustomResourceDefinition") == []


def test_the_image_is_the_same_for_operator_and_jobs_and_a_digest_wins(cluster: Cluster) -> None:
    digest = f"sha256:{'a' * 64}"
    (deployment,) = of_kind(render(cluster, "--set", f"image.digest={digest},image.tag=x"), "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"zanith@{digest}"
    assert {"name": "ZANITH_IMAGE", "value": container["image"]} in container["env"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (("--set", "imag.tag=x"), "additional properties 'imag' not allowed"),
        (("--set", "secrets[0].namespace=shop"), "missing property 'names'"),
        (("--set", "image.digest=abc"), "/image/digest"),
        (("--set", "watchNamespaces={a}", *SECRETS), "secrets: namespace shop is not in watchNamespaces"),
        (
            ("--set", "serviceAccount.create=false"),
            "serviceAccount.name is needed where serviceAccount.create is false",
        ),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_values_that_mean_nothing_are_refused(cluster: Cluster, values: tuple[str, ...], words: str) -> None:
    assert words in refusal(cluster, *values)


# --- rights


@pytest.mark.parametrize("values", [(), ONLY_SHOP, SECRETS, ("--set", "allSecrets=true")], ids=str)
def test_secrets_are_never_listed_watched_or_written(cluster: Cluster, values: tuple[str, ...]) -> None:
    for role in of_kind(render(cluster, *values), "Role", "ClusterRole"):
        for rule in role["rules"]:
            if "secrets" in rule["resources"]:
                assert rule["verbs"] == ["get"]
            assert not {"*", ""} & {*rule["verbs"], *rule["resources"]}


def test_by_default_no_secret_can_be_read(cluster: Cluster) -> None:
    rules = [rule for role in of_kind(render(cluster), "Role", "ClusterRole") for rule in role["rules"]]
    assert [rule for rule in rules if "secrets" in rule["resources"]] == []


def test_named_secrets_make_one_role_per_namespace(cluster: Cluster) -> None:
    (role,) = of_kind(render(cluster, *SECRETS, *SAME_NAMESPACE_TWICE), "Role")
    assert (role["metadata"]["namespace"], role["rules"][0]["resourceNames"]) == (
        "shop",
        ["reader", "writer", "archive"],
    )


def test_a_list_of_namespaces_grants_the_operator_nothing_cluster_wide(cluster: Cluster) -> None:
    objects = render(cluster, *ONLY_SHOP)
    assert of_kind(objects, "ClusterRoleBinding") == []
    assert [r["metadata"]["namespace"] for r in of_kind(objects, "Role")] == ["shop"]


def test_the_api_server_lets_the_operator_do_its_work_and_no_more(cluster: Cluster, namespace: str) -> None:
    release = namespace
    answer = cluster.helm(
        "template", release, str(CHART), "-n", namespace, "--kube-version=1.33.0", "--set",
        f"watchNamespaces={{{namespace}}},secrets[0].namespace={namespace},secrets[0].names={{reader}}",
        "--set", "rbac.aggregateToDefaultRoles=false,crds.install=false",
    )  # fmt: skip
    rights = [d for d in yaml.safe_load_all(answer.out) if d and d["kind"] != "Deployment"]
    cluster.must("apply", "-f", "-", stdin=yaml.safe_dump_all(rights))
    account = f"system:serviceaccount:{namespace}:{release}-zanith"

    def can(verb: str, what: str, *where: str) -> bool:
        return cluster.kubectl("auth", "can-i", verb, what, f"--as={account}", *(where or ("-n", namespace))).ok

    may = [
        can("watch", "zanithmigrations.zanith.io"),
        can("patch", "zanithmigrations.zanith.io", "--subresource=status", "-n", namespace),
        can("create", "jobs.batch"),
        can("delete", "jobs.batch"),
        can("create", "configmaps"),
        can("watch", "pods"),
        can("create", "events.events.k8s.io"),
        can("get", "secrets/reader"),
    ]
    may_not = [
        can("patch", "zanithmigrations.zanith.io"),
        can("update", "zanithmigrations.zanith.io", "--subresource=status", "-n", namespace),
        can("list", "secrets"),
        can("watch", "secrets"),
        can("get", "secrets/other"),
        can("create", "secrets"),
        can("list", "configmaps"),
        can("create", "pods"),
        can("create", "pods", "--subresource=exec", "-n", namespace),
        can("watch", "zanithmigrations.zanith.io", "-n", "default"),
        can("list", "namespaces", "-n", ""),
    ]
    assert (may, may_not) == ([True] * len(may), [False] * len(may_not))


def test_users_of_the_built_in_roles_may_work_with_migrations(cluster: Cluster) -> None:
    """The aggregated ClusterRoles, in a cluster that has the controller for them."""
    name = f"chart-{uuid.uuid4().hex[:8]}"
    roles = of_kind(render(cluster, "--set", f"fullnameOverride={name}"), "ClusterRole")
    mine = [r for r in roles if r["metadata"]["name"] in (f"{name}-view", f"{name}-edit")]
    cluster.must("apply", "-f", "-", stdin=yaml.safe_dump_all(mine))
    try:
        verbs = {role: aggregated_verbs(cluster, role) for role in ("view", "edit", "admin")}
    finally:
        cluster.must("delete", "clusterrole", f"{name}-view", f"{name}-edit")
    reading = {"get", "list", "watch"}
    changing = reading | {"create", "update", "patch", "delete", "deletecollection"}
    assert verbs == {"view": reading, "edit": changing, "admin": changing}


def aggregated_verbs(cluster: Cluster, role: str, *, deadline_s: float = 30) -> set[str]:
    """What a built-in ClusterRole allows on migrations, once the controller has put ours into it."""
    wanted = {"watch"} if role == "view" else {"watch", "patch"}
    until = time.monotonic() + deadline_s
    while True:
        rules = json.loads(cluster.must("get", "clusterrole", role, "-o", "json"))["rules"] or []
        ours = [rule for rule in rules if rule.get("resources") == ["zanithmigrations"]]
        verbs = {verb for rule in ours for verb in rule["verbs"]}
        if wanted <= verbs:
            return verbs
        assert time.monotonic() < until, f"{role} allows {verbs or 'nothing'} on migrations after {deadline_s} s"
        time.sleep(0.2)


# --- the pod


def test_the_pod_satisfies_the_restricted_level(cluster: Cluster, namespace: str) -> None:
    (deployment,) = of_kind(render(cluster), "Deployment")
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "operator", "namespace": namespace},
        "spec": {**deployment["spec"]["template"]["spec"], "serviceAccountName": "operator"},
    }
    cluster.must("-n", namespace, "create", "serviceaccount", "operator")
    cluster.must("create", "--dry-run=server", "-f", "-", stdin=json.dumps(pod))


def test_the_operator_understands_its_environment(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    values = ("--set", "watchNamespaces={shop,stock},settings.resyncSeconds=86400,settings.workers=500")
    (deployment,) = of_kind(render(cluster, *values), "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    for variable in container["env"]:
        monkeypatch.setenv(variable["name"], variable.get("value", "operator-0"))
    assert Settings() == Settings(
        image="zanith:0.1.0", namespaces=("shop", "stock"), resync_s=86400, workers=500, pod_name="operator-0"
    )


def test_one_operator_at_a_time_with_nothing_to_write_on(cluster: Cluster) -> None:
    (deployment,) = of_kind(render(cluster), "Deployment")
    spec = deployment["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert spec["template"]["spec"]["enableServiceLinks"] is False
