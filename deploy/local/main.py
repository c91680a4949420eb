"""The verbs of `deploy/cluster`: a table of contents. Each picks the cluster and asks it one thing."""

from __future__ import annotations

import argparse
import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from . import base_image, binaries, components, images
from .choice import Cluster, chosen, current, forget, remember
from .console import step
from .errors import ClusterError
from .native import NativeCluster
from .programs import BY_NAME, CLIENT, NODE
from .settings import DEFAULT_TAG, Settings


def main() -> int:
    arguments = _parser().parse_args()
    settings = Settings.from_environment(os.environ)
    try:
        if arguments.verb in ("env", "kubeconfig", "status", "exec"):
            _look(settings, arguments)
        else:
            with _alone(settings):
                _change(settings, arguments)
    except ClusterError as error:
        print(f"cluster: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _change(settings: Settings, arguments: argparse.Namespace) -> None:
    match arguments.verb:
        case "up":
            cluster = chosen(settings)
            _refuse_a_second(current(settings), cluster)
            remember(settings, cluster)
            cluster.up()
        case "down":
            if cluster_to_end := current(settings):
                cluster_to_end.down()
            NativeCluster(settings).down()
            images.clean(settings)
            forget(settings)
        case "image":
            images.build(settings, arguments.tag)
        case "load":
            images.load(settings, _up(settings), arguments.tag)
        case "base-image":
            base_image.rebuild(settings)
        case "binaries":
            wanted = [BY_NAME[name] for name in arguments.name] or [*NODE, *CLIENT]
            binaries.ensure(settings, wanted)
            print(settings.bin)
        case "stop":
            _native(settings).stop(arguments.component, kill=arguments.kill)
        case "start":
            _native(settings).start(arguments.component)


def _look(settings: Settings, arguments: argparse.Namespace) -> None:
    match arguments.verb:
        case "env":
            for key, value in _up(settings).environment().items():
                print(f"{key}={value}")
        case "kubeconfig":
            print(_up(settings).environment()["KUBECONFIG"])
        case "status":
            cluster = current(settings)
            print("\n".join(cluster.status()) if cluster else "no cluster is up")
        case "exec":
            command = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
            if not command:
                raise ClusterError("exec needs a command: deploy/cluster exec -- COMMAND ...")
            _up(settings).exec(command)


def _up(settings: Settings) -> Cluster:
    cluster = current(settings)
    if cluster is None:
        raise ClusterError("no cluster is up: run `deploy/cluster up`")
    if settings.kube not in ("", cluster.kind, getattr(cluster, "context", "")):
        raise ClusterError(f"ZANITH_KUBE says {settings.kube}, but the cluster that is up is {cluster.kind}")
    return cluster


def _refuse_a_second(current: Cluster | None, wanted: Cluster) -> None:
    """A record that names another one would leave the first running and forgotten."""
    if current is not None and current.kind != wanted.kind:
        raise ClusterError(f"a {current.kind} cluster is up or was begun: run `deploy/cluster down` first")


def _native(settings: Settings) -> NativeCluster:
    cluster = _up(settings)
    if not isinstance(cluster, NativeCluster):
        raise ClusterError(f"single programs can be stopped in the native cluster only; this one is {cluster.kind}")
    return cluster


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """One at a time: a second `up` waits for the first and then finds everything done."""
    settings.state.mkdir(parents=True, exist_ok=True)
    with (settings.state / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with step("waiting for another deploy/cluster to finish"):
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="deploy/cluster", description="A real Kubernetes for tests and the demo.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name: str, explanation: str) -> argparse.ArgumentParser:
        return verbs.add_parser(name, help=explanation, description=explanation)

    verb("up", "start the cluster, or heal it; twice is harmless")
    verb("down", "end everything that was started; twice is harmless")
    verb("status", "what runs")
    verb("kubeconfig", "print the path of the cluster's kubeconfig")
    verb("env", "print KEY=VALUE lines for a shell or a test")
    verb("exec", "run a command in the cluster's network").add_argument("command", nargs=argparse.REMAINDER)
    for name, explanation in (("image", "build our image"), ("load", "load our image into the node")):
        verb(name, explanation).add_argument("--tag", default=DEFAULT_TAG)
    verb("base-image", "make the stand-in for the Python base image anew")
    fetch = verb("binaries", "fetch or build the programs and print their folder")
    fetch.add_argument("name", nargs="*", help=f"of {', '.join(BY_NAME)}; default: the node's and kubectl, helm")
    stop = verb("stop", "stop one program of the native cluster, to see what breaks")
    stop.add_argument("--kill", action="store_true", help="SIGKILL at once")
    for parent in (stop, verb("start", "start it again")):
        parent.add_argument("component", choices=components.NAMES)
    return parser
