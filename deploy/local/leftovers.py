"""What a stopped node leaves behind on a machine: pods' processes, their shims, mounts, cgroups, and files in fixed places.

Each is found by something only ours has: our containerd's socket on a shim's command line, our folder in a mount's path,
a link's target or a file's text. Folders that programs insist on are removed if nothing is in them.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

from . import processes
from .commands import attempt

_CONTAINER_LOGS = Path("/var/log/containers")
_CGROUPS = Path("/sys/fs/cgroup")
_CNI_RESULTS = Path("/var/lib/cni/results")
_DEVICE_PLUGINS = Path("/var/lib/kubelet/device-plugins/kubelet.sock")
_ROUNDS = 2
"""A shim that was about to start when containerd was ended is there the second time."""
_FIXED_FOLDERS = (
    "/var/log/containers",
    "/var/lib/cni/results",
    "/var/lib/cni",
    "/var/lib/kubelet/device-plugins",
    "/var/lib/kubelet",
    "/run/containerd/s",
    "/run/containerd/runc/k8s.io",
    "/run/containerd/runc",
    "/run/containerd",
)


def remove(folder: Path, containerd: Path) -> None:
    """End and undo all of it. The node's own programs are stopped before."""
    cgroups: set[Path] = set()
    for _ in range(_ROUNDS):
        doomed = processes.with_descendants(_shims(containerd))
        cgroups |= _cgroups_of(doomed)
        processes.end(doomed, grace_s=0)
    for shim_socket in _shim_sockets(folder):
        shim_socket.unlink(missing_ok=True)
    unmount_below(folder)
    for cgroup in cgroups:
        _remove_cgroup(cgroup)
    for link in _CONTAINER_LOGS.glob("*.log"):
        if link.is_symlink() and os.readlink(link).startswith(f"{folder}/"):
            link.unlink()
    for result in _CNI_RESULTS.glob("*"):
        if f"{folder}/" in result.read_text():
            result.unlink()
    if not _answers(_DEVICE_PLUGINS):
        _DEVICE_PLUGINS.unlink(missing_ok=True)
    for fixed in _FIXED_FOLDERS:
        _rmdir(Path(fixed))


def unmount_below(folder: Path) -> None:
    """The innermost first; lazily, for a process of the user's may stand in one."""
    for mount in sorted(_mounts_below(folder), key=len, reverse=True):
        attempt("umount", "--lazy", mount)


def _shims(containerd: Path) -> list[int]:
    return [pid for pid in processes.all_pids() if _is_shim(processes.command_line(pid), str(containerd))]


def _is_shim(command: list[str], containerd: str) -> bool:
    return bool(command) and command[0].rpartition("/")[2].startswith("containerd-shim") and containerd in command


def _shim_sockets(folder: Path) -> Iterator[Path]:
    """A shim that is killed leaves its socket; where it is stands in the task's folder."""
    for address in folder.glob("containerd/run/io.containerd.runtime.v2.task/*/*/address"):
        yield Path(address.read_text().strip().removeprefix("unix://"))


def _answers(path: Path) -> bool:
    """Whether a program listens there: another kubelet of this machine."""
    with socket.socket(socket.AF_UNIX) as connection:
        return connection.connect_ex(str(path)) == 0


def _mounts_below(folder: Path) -> list[str]:
    mounts = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        # The kernel writes blanks and backslashes in octal.
        target = re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), line.split()[4])
        if target.startswith(f"{folder}/"):
            mounts.append(target)
    return mounts


def _cgroups_of(pids: list[int]) -> set[Path]:
    """The `kubepods` trees, in each hierarchy, that held the pods' processes."""
    trees: set[Path] = set()
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            continue
        for line in lines:
            _, controllers, path = line.split(":", 2)
            if path.startswith("/kubepods/"):
                hierarchy = controllers.removeprefix("name=") or ("unified" if (_CGROUPS / "unified").exists() else "")
                trees.add(_CGROUPS / hierarchy / "kubepods")
    return trees


def _remove_cgroup(tree: Path) -> None:
    """Innermost first; one that still holds a process refuses, and is somebody else's."""
    for path in sorted((p for p in tree.rglob("*") if p.is_dir()), key=lambda p: -len(p.parts)):
        _rmdir(path)
    _rmdir(tree)


def _rmdir(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.rmdir()
