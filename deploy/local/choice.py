"""Which Kubernetes is used: the user's word, else kind with a Docker engine, else the native node, else a clear "no".

What `up` chose is remembered, so that every other verb means the same cluster. The context that happens to be current in
the user's own kubeconfig is never looked at.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from . import docker
from .commands import found
from .errors import Missing
from .existing_context import ExistingContext
from .kind_cluster import KindCluster
from .native import NativeCluster
from .settings import Settings


class Cluster(Protocol):
    """What each way can do."""

    @property
    def kind(self) -> str: ...
    def up(self) -> None: ...
    def down(self) -> None: ...
    def environment(self) -> dict[str, str]: ...
    def exec(self, command: list[str]) -> None: ...
    def load(self, archive: Path, tag: str, digest: str) -> None: ...
    def status(self) -> Iterator[str]: ...


def chosen(settings: Settings) -> Cluster:
    """The cluster that `up` shall bring up here."""
    match settings.kube:
        case "kind":
            _need(docker.answers(), "ZANITH_KUBE=kind needs a Docker engine that answers")
            _need(found("kind"), "ZANITH_KUBE=kind needs the program `kind` on PATH")
            return KindCluster(settings)
        case "local":
            _need(_may_run_natively(), "ZANITH_KUBE=local needs root on Linux")
            return NativeCluster(settings)
        case "":
            if found("kind") and docker.answers():
                return KindCluster(settings)
            _need(_may_run_natively(), _neither())
            return NativeCluster(settings)
        case context:
            return ExistingContext(settings, context)


def current(settings: Settings) -> Cluster | None:
    """The one that is up, as far as is known."""
    try:
        kind, _, context = _record(settings).read_text().strip().partition(" ")
    except FileNotFoundError:
        return None
    match kind:
        case "kind":
            return KindCluster(settings)
        case "context":
            return ExistingContext(settings, context)
        case _:
            return NativeCluster(settings)


def remember(settings: Settings, cluster: Cluster) -> None:
    context = cluster.context if isinstance(cluster, ExistingContext) else ""
    _record(settings).write_text(f"{cluster.kind} {context}".strip() + "\n")


def forget(settings: Settings) -> None:
    _record(settings).unlink(missing_ok=True)


def _record(settings: Settings) -> Path:
    return settings.state / "cluster"


def _may_run_natively() -> bool:
    return sys.platform == "linux" and os.geteuid() == 0


def _neither() -> str:
    lacks = "a Docker engine that answers" if found("kind") else "kind (with a Docker engine)"
    return f"no Kubernetes is possible here: install {lacks}, or run as root on Linux, or set ZANITH_KUBE=<context>"


def _need(given: bool, message: str) -> None:
    if not given:
        raise Missing(message)
