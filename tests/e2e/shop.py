"""Words for end-to-end tests: apply a migration, wait for what its status says, disturb what runs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import yaml

from e2e.manifest_fixtures import Cluster
from e2e.operator_process import SECRET, OperatorProcess
from servers import Database

Resource = dict[str, Any]
DEADLINE_S = 90.0
_PAUSE_S = 0.2


@dataclass(frozen=True)
class Shop:
    """A namespace with an operator, and a database."""

    cluster: Cluster
    namespace: str
    operator: OperatorProcess
    database: Database

    def create_secret(self, name: str = SECRET, **keys: str) -> None:
        """The Secret the Job and the operator connect with."""
        given = keys or {"uri": self.database.dsn}
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": self.namespace},
            "stringData": given,
        }
        self.cluster.must("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(body))

    def apply(self, name: str, steps: list[dict[str, Any]], **spec: Any) -> None:
        """Apply a migration; `spec` has keys as a user writes them."""
        body = {
            "apiVersion": "zanith.io/v1alpha1",
            "kind": "ZanithMigration",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {"database": {"secretRef": {"name": SECRET}}, "steps": steps, **spec},
        }
        self.cluster.must("apply", "-f", "-", stdin=json.dumps(body))

    def change(self, name: str, **spec: Any) -> None:
        """Change keys of the spec."""
        self.cluster.must(
            "-n", self.namespace, "patch", "zm", name, "--type=merge", "-p", json.dumps({"spec": spec})
        )  # fmt: skip

    def annotate(self, name: str, key: str, value: str) -> None:
        """Set an annotation, as a person does."""
        self.cluster.must("-n", self.namespace, "annotate", "zm", name, "--overwrite", f"zanith.io/{key}={value}")

    def get(self, name: str) -> Resource:
        """The migration as it is."""
        return self.cluster.get(self.namespace, name)

    def events(self, name: str) -> list[tuple[str, str]]:
        """Reason and note of what was told about a migration, in order."""
        listed = json.loads(self.cluster.must("-n", self.namespace, "get", "events.events.k8s.io", "-o", "json"))
        its = [
            e
            for e in listed["items"]
            if e["regarding"].get("name") == name and e["regarding"]["kind"] == "ZanithMigration"
        ]
        return [(e["reason"], e["note"]) for e in sorted(its, key=lambda e: str(e["eventTime"]))]

    def objects(self, kind: str) -> list[Resource]:
        """Objects of a kind in the namespace."""
        listed: list[Resource] = json.loads(self.cluster.must("-n", self.namespace, "get", kind, "-o", "json"))["items"]
        return listed

    def jobs(self, name: str) -> list[Resource]:
        """The Jobs of a migration."""
        uid = self.get(name)["metadata"]["uid"]
        return [j for j in self.objects("jobs") if j["metadata"]["labels"].get("zanith.io/migration-uid") == uid]

    def pod(self, name: str) -> str:
        """Name of the pod of the newest attempt."""
        job = self.get(name)["status"]["job"]["name"]
        pods = json.loads(
            self.cluster.must(
                "-n", self.namespace, "get", "pods", "-l", f"batch.kubernetes.io/job-name={job}", "-o", "json"
            )
        )["items"]
        assert pods, f"Job {job} has no pod"
        return str(pods[0]["metadata"]["name"])

    def wait(
        self, name: str, what: str, holds: Callable[[Resource], bool], *, deadline_s: float = DEADLINE_S
    ) -> Resource:
        """Until something holds of the migration, or its end with what was seen last."""
        deadline = time.monotonic() + deadline_s
        while True:
            seen = self.get(name)
            if holds(seen):
                return seen
            if time.monotonic() > deadline:
                status = yaml.safe_dump(seen.get("status"), sort_keys=False)
                raise AssertionError(
                    f"{name}: {what} did not come. Last seen:\n{status}\noperator:\n{self.operator.tail()}"
                )
            time.sleep(_PAUSE_S)

    def wait_for(self, name: str, reason: str, *, deadline_s: float = DEADLINE_S) -> Resource:
        """Until Ready has this reason, for the spec as it is now."""

        def holds(seen: Resource) -> bool:
            status = seen.get("status", {})
            current = status.get("observedGeneration") == seen["metadata"]["generation"]
            return current and condition(seen, "Ready").get("reason") == reason

        return self.wait(name, f"reason {reason}", holds, deadline_s=deadline_s)

    def wait_for_rows(self, name: str, rows: int) -> Resource:
        """Until a backfill has changed so many rows, by the status."""
        return self.wait(
            name, f"{rows} rows", lambda r: r.get("status", {}).get("progress", {}).get("rowsDone", 0) >= rows
        )

    def delete_all(self) -> None:
        """Every migration, and wait until their Jobs have gone, so that the database can be dropped."""
        self.cluster.must("-n", self.namespace, "delete", "zm", "--all", "--timeout=60s")
        deadline = time.monotonic() + DEADLINE_S
        while left := [p["metadata"]["name"] for p in self.objects("pods")]:
            assert time.monotonic() < deadline, f"pods {left} are still there"
            time.sleep(_PAUSE_S)


def condition(resource: Resource, kind: str) -> dict[str, Any]:
    """A condition of a migration, empty where there is none."""
    found: list[dict[str, Any]] = resource.get("status", {}).get("conditions", [])
    return next((c for c in found if c["type"] == kind), {})
