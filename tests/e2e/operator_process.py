"""The operator as a child process, with the rights the chart gives it and no others."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml

from e2e.manifest_fixtures import CHART, REPOSITORY, Cluster

SECRET = "db"
ACCOUNT = "zanith"


def operator_account(cluster: Cluster, namespace: str, folder: Path) -> Path:
    """Give the namespace the chart's ServiceAccount and Roles; a kubeconfig of that account."""
    rendered = cluster.helm(
        "template", "zanith", str(CHART), "-n", namespace, "--set", f"watchNamespaces={{{namespace}}}",
        "--set", f"secrets[0].namespace={namespace},secrets[0].names={{{SECRET}}}", "--set", "crds.install=false",
        "--set", "rbac.aggregateToDefaultRoles=false",
    )  # fmt: skip
    assert rendered.ok, rendered.err
    documents = [d for d in yaml.safe_load_all(rendered.out) if d and d["kind"] not in ("Deployment",)]
    cluster.must("-n", namespace, "apply", "-f", "-", stdin=yaml.safe_dump_all(documents))
    token = cluster.must("-n", namespace, "create", "token", ACCOUNT, "--duration=2h").strip()
    admin: dict[str, Any] = yaml.safe_load(Path(cluster.environment["KUBECONFIG"]).read_text(encoding="utf-8"))
    current = next(c["context"] for c in admin["contexts"] if c["name"] == admin["current-context"])
    mine = {
        **admin,
        "users": [{"name": ACCOUNT, "user": {"token": token}}],
        "contexts": [{"name": ACCOUNT, "context": {**current, "user": ACCOUNT}}],
        "current-context": ACCOUNT,
    }
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(mine), encoding="utf-8")
    return kubeconfig


@dataclass
class OperatorProcess:
    """`zanith operator`; `with` starts and ends it."""

    kubeconfig: Path
    namespaces: str
    image: str
    log: Path
    environment: dict[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ("-m", "zanith.main", "operator")
    """What Python is told to run; `{namespaces}` and `{health}` are filled in."""
    _process: subprocess.Popen[bytes] | None = None
    _port: int = 0

    def __enter__(self) -> OperatorProcess:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        """Whether it is there."""
        return self._process is not None and self._process.poll() is None

    @property
    def health(self) -> str:
        """Where its liveness is asked."""
        return f"http://127.0.0.1:{self._port}/healthz"

    def start(self, *, deadline_s: float = 60) -> None:
        """Start it, and wait until it works."""
        if self.running:
            return
        self._port = _free_port()
        already = self._starts()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, *(a.format(namespaces=self.namespaces, health=self.health) for a in self.arguments)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=REPOSITORY,
                env={
                    "PATH": os.environ["PATH"],
                    "PYTHONPATH": str(REPOSITORY / "operator"),
                    "KUBECONFIG": str(self.kubeconfig),
                    "ZANITH_NAMESPACES": self.namespaces,
                    "ZANITH_IMAGE": self.image,
                    "ZANITH_IMAGE_PULL_POLICY": "Never",
                    "ZANITH_LIVENESS_ENDPOINT": self.health,
                    "ZANITH_POD_NAME": "operator-of-the-tests",
                    "ZANITH_PROGRESS_INTERVAL_S": "1",
                    "ZANITH_RESYNC_S": "2",
                    "ZANITH_LOOK_S": "2",
                    "ZANITH_RESYNC_GRACE_S": "5",
                    **self.environment,
                },
            )
        deadline = time.monotonic() + deadline_s
        while self._starts() == already:
            assert self._process.poll() is None, f"the operator ended with {self._process.returncode}: {self.tail()}"
            assert time.monotonic() < deadline, f"the operator did not start: {self.tail()}"
            time.sleep(0.1)

    def kill(self) -> None:
        """SIGKILL, as when its node goes."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        return self._process.wait(40)

    def text(self) -> str:
        """Everything it has logged."""
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

    def tail(self, lines: int = 30) -> str:
        """The end of its log."""
        return "\n".join(self.text().splitlines()[-lines:])

    def _starts(self) -> int:
        return self.text().count('"operator_started"')


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
