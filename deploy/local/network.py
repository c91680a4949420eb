"""The node's own network namespace: nothing of the cluster is on the host's network but one veth end and one route.

The route is what lets the host, its Kubernetes clients and its tests use the same addresses as the pods: the API server
and a test's Postgres at 10.244.0.1, and every pod. No firewall rule is made outside the namespace.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from .commands import attempt, run
from .console import step
from .errors import ClusterError
from .settings import CLUSTER, NODE_ADDRESS, POD_RANGE, SERVICE_RANGE

NAMESPACE = Path(f"/run/netns/{CLUSTER}")
_OWNER = Path(f"/run/{CLUSTER}-cluster")
HOST_LINK = f"{CLUSTER}-host"
INNER_LINK = f"{CLUSTER}-node"
HOST_END = "10.244.255.1/30"
NODE_END = "10.244.255.2/30"
BRIDGE = "cni0"


def inside(command: Sequence[str]) -> list[str]:
    """The command, run in the namespace. Not by `ip netns exec`: that hides the cgroup mounts and the kubelet stops."""
    return ["nsenter", f"--net={NAMESPACE}", *command]


def exists() -> bool:
    return NAMESPACE.exists()


def owner() -> Path | None:
    """The state folder of the cluster that has the namespace, if any has."""
    return Path(_OWNER.read_text()) if exists() and _OWNER.exists() else None


def ensure(state: Path) -> None:
    """Make whatever is missing; nothing is printed when nothing is."""
    if owner() not in (None, state):
        raise ClusterError(f"another native cluster is up on this machine, with its state in {owner()}")
    _OWNER.write_text(str(state))
    if _complete():
        return
    with step(f"network namespace {CLUSTER}, bridge {NODE_ADDRESS}/24, route {POD_RANGE} by {HOST_LINK}"):
        _refuse_a_foreign_route()
        if not exists():
            run("ip", "netns", "add", CLUSTER)
        if attempt("ip", "link", "show", HOST_LINK).returncode != 0:
            run("ip", "link", "add", HOST_LINK, "type", "veth", "peer", "name", INNER_LINK, "netns", CLUSTER)
        _set_up_inside()
        run("ip", "address", "replace", HOST_END, "dev", HOST_LINK)
        run("ip", "link", "set", HOST_LINK, "up")
        run("ip", "route", "replace", POD_RANGE, "via", NODE_END.partition("/")[0], "dev", HOST_LINK)


def pids() -> list[int]:
    """What still runs in the namespace itself: pods have one each of their own."""
    return [int(pid) for pid in run("ip", "netns", "pids", CLUSTER).split()] if exists() else []


def remove() -> None:
    """Delete the namespace; its veth pair and the route go with it."""
    attempt("ip", "link", "delete", HOST_LINK)
    if exists():
        run("ip", "netns", "delete", CLUSTER)
    _OWNER.unlink(missing_ok=True)
    folder = NAMESPACE.parent
    if folder.exists() and not any(folder.iterdir()):
        # `ip netns add` mounts the folder on itself, once, and nothing ever undoes it.
        attempt("umount", folder)


def _set_up_inside() -> None:
    ip = inside(["ip"])
    if attempt(*ip, "link", "show", BRIDGE).returncode != 0:
        run(*ip, "link", "add", BRIDGE, "type", "bridge")
    run(*ip, "address", "replace", f"{NODE_ADDRESS}/24", "dev", BRIDGE)
    run(*ip, "address", "replace", NODE_END, "dev", INNER_LINK)
    for link in ("lo", INNER_LINK, BRIDGE):
        run(*ip, "link", "set", link, "up")
    # Nothing of the node's own sends to a Service address without a route, though it is rewritten before it leaves.
    run(*ip, "route", "replace", SERVICE_RANGE, "dev", BRIDGE)
    run(*inside(["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]))


def _complete() -> bool:
    if not exists() or not _routes():
        return False
    route = attempt(*inside(["ip", "route", "show", "exact", SERVICE_RANGE]))
    return BRIDGE in route.stdout


def _routes() -> list[str]:
    """The links by which the host reaches the pods' range."""
    listed = json.loads(run("ip", "-json", "route", "show", "exact", POD_RANGE) or "[]")
    return [route["dev"] for route in listed]


def _refuse_a_foreign_route() -> None:
    foreign = [link for link in _routes() if link != HOST_LINK]
    if foreign:
        raise ClusterError(
            f"{POD_RANGE} is already routed to {foreign[0]} on this machine; the native cluster needs it"
        )
