"""Whether there is a Docker engine. The program `docker` alone says nothing: many machines have it and no engine."""

from __future__ import annotations

from .commands import attempt


def answers() -> bool:
    return attempt("docker", "version", "--format", "{{.Server.Version}}", timeout_s=5).returncode == 0
