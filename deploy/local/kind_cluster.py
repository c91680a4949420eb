"""A kind cluster, where a Docker engine answers. This path could not be run where it was written: there was no engine.

Pods reach a Postgres of the host by the gateway of the Docker network the node is on.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

from . import binaries
from .commands import attempt, run
from .console import step
from .errors import ClusterError
from .programs import CLIENT
from .settings import CLUSTER, Settings

_NETWORK = "kind"


class KindCluster:
    """One node in a container."""

    kind = "kind"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def up(self) -> None:
        binaries.ensure(self._settings, CLIENT)
        if CLUSTER not in run("kind", "get", "clusters").split():
            config = self._settings.repository / "deploy/kind/cluster.yaml"
            image = ["--image", self._settings.kind_node_image] if self._settings.kind_node_image else []
            with step("creating the kind cluster (the node's image is pulled the first time)"):
                run(
                    "kind",
                    "create",
                    "cluster",
                    *self._name(),
                    "--config",
                    config,
                    *image,
                    "--wait",
                    "120s",
                    timeout_s=900,
                )
        else:
            run("docker", "start", f"{CLUSTER}-control-plane")
        run("kind", "export", "kubeconfig", *self._name())
        with step("waiting for the node and the default ServiceAccount"):
            self._kubectl("wait", "--for=condition=Ready", "node", "--all", "--timeout=120s")
            self._kubectl("wait", "--for=create", "serviceaccount/default", "--timeout=60s")

    def down(self) -> None:
        with step("deleting the kind cluster"):
            run("kind", "delete", "cluster", *self._name(), timeout_s=120)

    def environment(self) -> dict[str, str]:
        return {
            "KUBECONFIG": str(self._settings.kubeconfig),
            "ZANITH_KUBE_KIND": self.kind,
            "ZANITH_POSTGRES_HOST": self._settings.postgres_host or _gateway(),
            "ZANITH_NETNS": "",
            "ZANITH_KUBE_BIN": str(self._settings.bin),
            "ZANITH_AUDIT_LOG": "",
            "ZANITH_TESTER_KUBECONFIG": "",
        }

    def exec(self, command: list[str]) -> None:
        os.execvp(command[0], command)

    def load(self, archive: Path, tag: str, digest: str) -> None:
        with step(f"loading {tag} into the kind node"):
            run("kind", "load", "image-archive", archive, "--name", CLUSTER, timeout_s=300)

    def status(self) -> Iterator[str]:
        yield f"kind cluster {CLUSTER}, kubeconfig {self._settings.kubeconfig}"
        yield self._kubectl("get", "nodes", "-o", "wide")

    def _name(self) -> list[str]:
        return ["--name", CLUSTER, "--kubeconfig", str(self._settings.kubeconfig)]

    def _kubectl(self, *arguments: str) -> str:
        kubectl = self._settings.bin / "kubectl"
        return run(kubectl, "--kubeconfig", self._settings.kubeconfig, *arguments, timeout_s=150)


def _gateway() -> str:
    inspected = attempt("docker", "network", "inspect", _NETWORK)
    if inspected.returncode != 0:
        raise ClusterError(f"Docker has no network {_NETWORK!r}, so the kind cluster is not up")
    for network in json.loads(inspected.stdout):
        for subnet in network["IPAM"]["Config"]:
            gateway = subnet.get("Gateway")
            if gateway and ip_address(gateway).version == 4:
                return str(gateway)
    raise ClusterError(f"Docker's network {_NETWORK!r} has no IPv4 gateway: set ZANITH_POSTGRES_HOST")
