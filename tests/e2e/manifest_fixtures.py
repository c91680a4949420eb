"""The bad manifests, and the real programs their tests send them with.

A bad manifest opens with comments: what is wrong with it, then what has to be in the answer, `...` standing for
anything: `# api:` in that of the API server, `# plan:` in that of the strict models or the plan. One of the two is
there, often both, for the command line reads manifests without an API server.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
CRD = REPOSITORY / "crds" / "zanithmigrations.yaml"
CHART = REPOSITORY / "charts" / "zanith"
FOLDER = Path(__file__).parent / "bad_manifests"
RESOURCE = "apis/zanith.io/v1alpha1"


@dataclass(frozen=True)
class BadManifest:
    """A manifest and the answers it has to get."""

    path: Path
    document: dict[str, Any]
    api: str
    plan: str

    @property
    def name(self) -> str:
        return self.path.stem


def bad_manifests() -> list[BadManifest]:
    """All of them, by name."""
    found = []
    for path in sorted(FOLDER.glob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        expected = dict(re.findall(r"^# (api|plan): (.+)$", text, re.MULTILINE))
        found.append(BadManifest(path, yaml.safe_load(text), expected.get("api", ""), expected.get("plan", "")))
    return found


def says(answer: str, expected: str) -> bool:
    """Whether the parts of `expected` between its `...` are in the answer, in their order."""
    position = 0
    for part in expected.split(" ... "):
        at = answer.find(part, position)
        if at < 0:
            return False
        position = at + len(part)
    return True


@dataclass(frozen=True)
class Answer:
    """What a program said."""

    ok: bool
    out: str
    err: str


@dataclass(frozen=True)
class Cluster:
    """The cluster of `deploy/cluster`, by its programs."""

    environment: dict[str, str]

    def kubectl(self, *arguments: str, stdin: str = "") -> Answer:
        return self._run("kubectl", arguments, stdin)

    def helm(self, *arguments: str) -> Answer:
        return self._run("helm", arguments, "")

    def must(self, *arguments: str, stdin: str = "") -> str:
        """The output of a kubectl that has to succeed."""
        answer = self.kubectl(*arguments, stdin=stdin)
        assert answer.ok, f"kubectl {' '.join(arguments)}: {answer.err}"
        return answer.out

    def get(self, namespace: str, name: str) -> dict[str, Any]:
        """A migration as the API server has it."""
        stored: dict[str, Any] = json.loads(self.must("-n", namespace, "get", "zm", name, "-o", "json"))
        return stored

    def _run(self, program: str, arguments: tuple[str, ...], stdin: str) -> Answer:
        found = shutil.which(program, path=f"{self.environment['ZANITH_KUBE_BIN']}:{os.environ['PATH']}")
        assert found, f"{program} is neither among the cluster's programs nor on PATH"
        done = subprocess.run(
            [found, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, **self.environment},
            check=False,
        )
        return Answer(done.returncode == 0, done.stdout, done.stderr)


def running_cluster() -> Cluster:
    """The cluster these tests run on. Fails, and says how to get one, where none is up; never the user's own context."""
    if "ZANITH_KUBE_BIN" in os.environ and "KUBECONFIG" in os.environ:
        return Cluster({key: os.environ[key] for key in ("ZANITH_KUBE_BIN", "KUBECONFIG")})
    told = subprocess.run(
        [REPOSITORY / "deploy" / "cluster", "env"], capture_output=True, text=True, timeout=60, check=False
    )
    if told.returncode != 0:
        pytest.fail(f"no cluster is up (`make cluster-up`): {told.stderr.strip()}")
    return Cluster(dict(line.split("=", 1) for line in told.stdout.splitlines()))
