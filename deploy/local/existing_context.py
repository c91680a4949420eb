"""A cluster the user has and names: used as it is, nothing is created in it and nothing ended."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from . import binaries
from .commands import attempt, run
from .console import step
from .errors import ClusterError
from .programs import CLIENT
from .settings import Settings


class ExistingContext:
    """`ZANITH_KUBE=<context>`."""

    kind = "context"

    def __init__(self, settings: Settings, context: str) -> None:
        self._settings = settings
        self.context = context

    def up(self) -> None:
        binaries.ensure(self._settings, CLIENT)
        kubectl = self._settings.bin / "kubectl"
        view = ["config", "view", f"--context={self.context}", "--minify", "--flatten", "--raw"]
        shown = attempt(kubectl, *view)
        if shown.returncode != 0:
            raise ClusterError(f"ZANITH_KUBE names the context {self.context}: {shown.stderr.strip()}")
        self._settings.kubeconfig.touch(mode=0o600)
        self._settings.kubeconfig.write_text(shown.stdout)
        with step(f"asking the API server of context {self.context}"):
            run(kubectl, "--kubeconfig", self._settings.kubeconfig, "get", "--raw", "/readyz", "--request-timeout=10s")

    def down(self) -> None:
        self._settings.kubeconfig.unlink(missing_ok=True)

    def environment(self) -> dict[str, str]:
        return {
            "KUBECONFIG": str(self._settings.kubeconfig),
            "ZANITH_KUBE_KIND": self.kind,
            "ZANITH_POSTGRES_HOST": self._settings.postgres_host,
            "ZANITH_NETNS": "",
            "ZANITH_KUBE_BIN": str(self._settings.bin),
            "ZANITH_AUDIT_LOG": "",
            "ZANITH_TESTER_KUBECONFIG": "",
        }

    def exec(self, command: list[str]) -> None:
        os.execvp(command[0], command)

    def load(self, archive: Path, tag: str, digest: str) -> None:
        raise ClusterError(
            f"an image cannot be loaded into context {self.context}: push {archive} where it can pull {tag}"
        )

    def status(self) -> Iterator[str]:
        yield f"existing cluster, context {self.context}, kubeconfig {self._settings.kubeconfig}"
