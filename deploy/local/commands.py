"""Running other programs: output is kept, and shown only when it fails."""

from __future__ import annotations

import os
import subprocess
import textwrap
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from .errors import ClusterError, NotReady

Argument = str | Path


def run(
    *command: Argument,
    timeout_s: float = 60,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str | None = None,
) -> str:
    """The program's stdout; a failure becomes one error with the end of what it said."""
    done = attempt(*command, timeout_s=timeout_s, env=env, cwd=cwd, stdin=stdin)
    if done.returncode != 0:
        said = "\n".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-15:])
        raise ClusterError(
            f"`{textwrap.shorten(' '.join(map(str, command)), 160)}` ended with {done.returncode}:\n{said}"
        )
    return done.stdout


def attempt(
    *command: Argument,
    timeout_s: float = 60,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run and tell, whatever the result; an absent program or a timeout looks like a failed one."""
    argv = [str(part) for part in command]
    try:
        return subprocess.run(
            argv,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env=None if env is None else dict(env),
            cwd=cwd,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            check=False,
        )
    except FileNotFoundError as missing:
        return subprocess.CompletedProcess(argv, 127, "", str(missing))
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(argv, 124, "", f"no answer within {timeout_s:.0f} s")


def wait_for(what: str, ready: Callable[[], bool], *, timeout_s: float, hint: str, every_s: float = 0.2) -> None:
    """Ask until it is so; say what was awaited and where to look when it is not."""
    deadline = time.monotonic() + timeout_s
    while not ready():
        if time.monotonic() > deadline:
            raise NotReady(f"{what} did not happen within {timeout_s:.0f} s; {hint}")
        time.sleep(every_s)


def found(program: str) -> bool:
    """Whether a program is on PATH or where administrators' programs live (often not on a user's PATH)."""
    return any(os.access(f"{folder}/{program}", os.X_OK) for folder in search_path().split(":"))


def search_path() -> str:
    return f"{os.environ.get('PATH', '/usr/bin:/bin')}:/usr/local/sbin:/usr/sbin:/sbin"
