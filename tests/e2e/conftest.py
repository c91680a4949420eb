"""Fixtures of the end-to-end tier: a real cluster, a real PostgreSQL that its pods reach, the operator with its own rights.

Each module has a namespace of its own (Pod Security `restricted`) and an operator that serves only that; each test has a
database of its own. Waits take a deadline and say what they saw last.
"""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.manifest_fixtures import CRD, REPOSITORY, Cluster, running_cluster
from e2e.operator_process import OperatorProcess, operator_account
from e2e.shop import Shop
from servers import Database, PostgresServer, create_database, drop_database

IMAGE = "zanith:dev"


@pytest.fixture(scope="session")
def e2e_cluster() -> Cluster:
    """The cluster, with the CustomResourceDefinition and the image of this checkout."""
    cluster = running_cluster()
    told = subprocess.run(
        [REPOSITORY / "deploy" / "cluster", "load"], capture_output=True, text=True, timeout=900, check=False
    )
    if told.returncode != 0:
        pytest.fail(f"the image could not be built and loaded: {told.stdout}{told.stderr}")
    cluster.must("apply", "--server-side", "--force-conflicts", "-f", str(CRD))
    cluster.must("wait", "--for=condition=Established", "crd/zanithmigrations.zanith.io", "--timeout=60s")
    return cluster


@pytest.fixture(scope="session")
def cluster_postgres(e2e_cluster: Cluster) -> Iterator[PostgresServer]:
    """PostgreSQL 18 where pods and this process reach it by the same address."""
    environment = e2e_cluster.environment | os.environ
    netns = environment.get("ZANITH_NETNS", "")
    with PostgresServer(
        18,
        listen=environment["ZANITH_POSTGRES_HOST"],
        prefix=["nsenter", f"--net={netns}"] if netns else [],
        clients=["0.0.0.0/0"],
        settings={"max_connections": "200"},
    ) as server:
        yield server


@pytest.fixture(scope="module")
def namespace(e2e_cluster: Cluster) -> Iterator[str]:
    """A namespace of the strictest Pod Security level, gone at the end."""
    name = f"e2e-{uuid.uuid4().hex[:8]}"
    e2e_cluster.must("create", "namespace", name)
    e2e_cluster.must("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
    yield name
    e2e_cluster.must("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def operator(
    e2e_cluster: Cluster, namespace: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OperatorProcess]:
    """The operator as a process here, with the ServiceAccount and the rights of the chart, serving one namespace."""
    folder: Path = tmp_path_factory.mktemp("operator")
    kubeconfig = operator_account(e2e_cluster, namespace, folder)
    with OperatorProcess(kubeconfig, namespace, IMAGE, folder / "operator.log") as process:
        yield process


@pytest.fixture
def database(cluster_postgres: PostgresServer) -> Iterator[Database]:
    """A fresh database."""
    cluster_postgres.start()
    made = create_database(cluster_postgres)
    yield made
    drop_database(made)


@pytest.fixture
def shop(e2e_cluster: Cluster, namespace: str, operator: OperatorProcess, database: Database) -> Iterator[Shop]:
    """A Secret for the database, and words to talk about migrations of it. Its migrations go at the end."""
    operator.start()  # a test before may have left it down
    made = Shop(e2e_cluster, namespace, operator, database)
    made.create_secret()
    yield made
    made.delete_all()
