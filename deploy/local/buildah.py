"""Building images without a daemon. The storage is our own, in the cache, so nobody else's images are seen or touched."""

from __future__ import annotations

import sys
from pathlib import Path

from . import leftovers
from .commands import attempt, run
from .settings import Settings

_RUN_ROOT = Path("/run/zanith-buildah")
"""What is valid until the next boot only."""


class Buildah:
    """The program with our storage; overlay where the kernel lets us, else vfs, which copies whole layers."""

    def __init__(self, settings: Settings) -> None:
        self._storage = settings.cache / "buildah"
        self._driver = ""

    def run(self, *arguments: str | Path, timeout_s: float = 900, cwd: Path | None = None) -> str:
        return run(*self._command(), *arguments, timeout_s=timeout_s, cwd=cwd)

    def succeeds(self, *arguments: str | Path, timeout_s: float = 60) -> bool:
        return attempt(*self._command(), *arguments, timeout_s=timeout_s).returncode == 0

    def label(self, image: str, name: str) -> str | None:
        """An image's label, empty if it has none; None if there is no such image."""
        form = '{{index .OCIv1.Config.Labels "' + name + '"}}'
        found = attempt(*self._command(), "inspect", "--type", "image", "--format", form, image)
        return found.stdout.strip() if found.returncode == 0 else None

    def release_mounts(self) -> None:
        """The overlay driver leaves its folder mounted on itself."""
        if sys.platform == "linux":
            leftovers.unmount_below(self._storage)

    def _command(self) -> list[str]:
        roots = ["buildah", "--root", str(self._storage), "--runroot", str(_RUN_ROOT)]
        if not self._driver:
            works = attempt(*roots, "--storage-driver", "overlay", "info").returncode == 0
            self._driver = "overlay" if works else "vfs"
        return [*roots, "--storage-driver", self._driver]
