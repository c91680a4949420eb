#!/usr/bin/env python3
"""`make demo`: the main job on real parts, watched by a person, checked by the script.

A real Kubernetes, a real PostgreSQL with pgbench running against it all along, the operator from its chart, the
examples of this repository applied with kubectl; the runner and the operator are killed in the middle of a backfill of
a million rows. Ends with the history, the audit page's three questions, and a check of every row. Anything that is not
as promised ends it with an exit code other than zero.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from psycopg import sql

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))  # the throw-away server is the tests' own

from servers import PostgresServer  # noqa: E402 -- needs the path above

NAMESPACE = "shop"
OPERATOR_NAMESPACE = "zanith-system"
EXAMPLES = ROOT / "examples"
MAIN = "20260401-account-reference"
SCALE = 10
ROWS = SCALE * 100_000
PASSWORD = secrets.token_hex(12)
STARTED = time.monotonic()


class DemoFailed(RuntimeError):
    """Something was not as promised; the message says what."""


def say(text: str) -> None:
    """A line with the time since the start."""
    print(f"[{time.monotonic() - STARTED:6.1f} s] {text}", flush=True)


def check(holds: bool, what: str) -> None:
    """Say that it holds, or end the demo."""
    if not holds:
        raise DemoFailed(what)
    say(f"✓ {what}")


class Demo:
    """The parts, and the environment commands run in."""

    def __init__(self) -> None:
        self.run([str(ROOT / "deploy/cluster"), "up"])
        given = self.read([str(ROOT / "deploy/cluster"), "env"])
        self.env = os.environ | dict(line.split("=", 1) for line in given.splitlines() if "=" in line)
        self.env["PATH"] = f"{self.env['ZANITH_KUBE_BIN']}:{ROOT / '.venv/bin'}:{self.env['PATH']}"
        # A DSN of the caller's is nothing to the demo.
        self.env.pop("ZANITH_DSN", None)

    def run(self, command: list[str], *, shown: bool = False, given: str | None = None) -> None:
        """Run a command; shown as one would type it where that tells something."""
        if shown:
            print(f"$ {shlex.join(command)}", flush=True)
        env = getattr(self, "env", None)
        done = subprocess.run(command, env=env, input=given, text=True, check=False)
        if done.returncode != 0:
            raise DemoFailed(f"{shlex.join(command)} ended with exit code {done.returncode}")

    def read(self, command: list[str]) -> str:
        """The output of a command."""
        env = getattr(self, "env", None)
        return subprocess.run(command, env=env, text=True, check=True, stdout=subprocess.PIPE).stdout

    def kubectl(self, *arguments: str, shown: bool = False) -> None:
        self.run(["kubectl", *arguments], shown=shown)

    def migration(self, name: str) -> dict[str, Any]:
        """The resource as it is now."""
        found: dict[str, Any] = json.loads(self.read(["kubectl", "get", "zm", name, "-n", NAMESPACE, "-o", "json"]))
        return found

    def wait_for(self, what: str, seen: Callable[[], Any], *, deadline_s: float = 120.0) -> Any:
        """The first true answer, or an end with the last one."""
        deadline = time.monotonic() + deadline_s
        while not (answer := seen()):
            if time.monotonic() > deadline:
                raise DemoFailed(f"{what}: not within {deadline_s:.0f} s; last seen: {answer!r}")
            time.sleep(0.2)
        return answer

    def ready(self, name: str) -> dict[str, Any] | None:
        """The condition Ready, where it is there."""
        conditions = self.migration(name).get("status", {}).get("conditions", [])
        return next((c for c in conditions if c["type"] == "Ready"), None)


def main() -> int:
    try:
        with ExitStack() as stack:
            demonstrate(Demo(), stack)
    except (DemoFailed, subprocess.CalledProcessError) as error:
        say(f"✗ {error}")
        return 1
    say("everything as promised; the cluster goes on running: `make cluster-down` ends it")
    return 0


def demonstrate(demo: Demo, stack: ExitStack) -> None:
    """The story, from the cluster to the last check."""
    demo.run([str(ROOT / "deploy/cluster"), "load"])
    server = stack.enter_context(postgres(demo))
    bench_log = stack.enter_context(pgbench(demo, server))
    install(demo, server)
    stack.enter_context(uninstalled_at_end(demo))
    with watched(demo):
        apply_and_kill(demo, server)
        apply_the_rest(demo)
    show(demo, server)
    verify(demo, server, bench_log)


@contextmanager
def postgres(demo: Demo) -> Iterator[PostgresServer]:
    """A PostgreSQL 18 that pods can reach, with pgbench's tables."""
    say("starting PostgreSQL 18, and filling it with pgbench's tables (a million accounts)")
    prefix = ["nsenter", f"--net={demo.env['ZANITH_NETNS']}"] if demo.env.get("ZANITH_NETNS") else []
    # fsync on, as in production: the promise is about what is committed.
    settings = {"fsync": "on", "shared_buffers": "256MB", "max_wal_size": "2GB", "autovacuum_naptime": "1min"}
    with PostgresServer(
        18, listen=demo.env["ZANITH_POSTGRES_HOST"], prefix=prefix, clients=["0.0.0.0/0"], settings=settings
    ) as server:
        with server.connect() as conn:
            conn.execute(sql.SQL("CREATE ROLE shop LOGIN PASSWORD {}").format(PASSWORD))
            conn.execute("CREATE DATABASE shop OWNER shop")
        subprocess.run(
            [str(server.bin / "pgbench"), "-i", "-s", str(SCALE), "-I", "dtGvp", "-q", dsn(server)],
            env=demo.env, check=True, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        yield server


def dsn(server: PostgresServer) -> str:
    """How the application and the migrations connect."""
    return server.uri("shop", user="shop", password=PASSWORD)


@contextmanager
def pgbench(demo: Demo, server: PostgresServer) -> Iterator[Path]:
    """The application: reads and writes all along, ended by our SIGINT."""
    log = server.directory / "pgbench.log"
    say("starting pgbench: two clients read and write all along")
    command = [*server.prefix, str(server.bin / "pgbench"), "-n", "-c", "2", "-R", "200", "-T", "900", "-P", "5"]
    with log.open("w") as file:
        process = subprocess.Popen([*command, dsn(server)], env=demo.env, stdout=file, stderr=file)
    try:
        yield log
    finally:
        process.kill()
        process.wait()


def install(demo: Demo, server: PostgresServer) -> None:
    """The operator from its chart, and the application's namespace with its Secret."""
    say("installing the operator with Helm")
    for namespace in (OPERATOR_NAMESPACE, NAMESPACE):
        metadata = {"name": namespace, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}
        manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
        demo.run(["kubectl", "apply", "--server-side", "-f", "-"], given=json.dumps(manifest))
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "shop-db", "namespace": NAMESPACE}}
    demo.run(["kubectl", "apply", "-f", "-"], given=json.dumps(secret | {"stringData": {"uri": dsn(server)}}))
    allowed = json.dumps([{"namespace": NAMESPACE, "names": ["shop-db"]}])
    chart = ["helm", "upgrade", "--install", "zanith", str(ROOT / "charts/zanith"), "-n", OPERATOR_NAMESPACE]
    values = ["--set", "image.tag=dev", "--set-json", f"secrets={allowed}"]
    # The CRD may be there already, from `kubectl apply` or a test.
    demo.run([*chart, *values, "--take-ownership", "--wait", "--timeout", "90s"], shown=True)
    # A demo that was interrupted may have left its migrations; the database is new, so they must be too.
    demo.kubectl("delete", "zm", "--all", "-n", NAMESPACE, "--ignore-not-found", "--wait")


@contextmanager
def uninstalled_at_end(demo: Demo) -> Iterator[None]:
    """The cluster is left as it was: no operator, no migrations."""
    try:
        yield
    finally:
        for command in (
            ["kubectl", "delete", "ns", NAMESPACE, "--wait=false"],
            ["helm", "uninstall", "zanith", "-n", OPERATOR_NAMESPACE],
        ):
            subprocess.run(command, env=demo.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


@contextmanager
def watched(demo: Demo) -> Iterator[None]:
    """`kubectl get zm -w`, its lines among ours as they come."""
    print("$ kubectl get zm -w", flush=True)
    command = ["kubectl", "get", "zm", "-n", NAMESPACE, "-w"]
    process = subprocess.Popen(command, env=demo.env, stdout=subprocess.PIPE, text=True)

    def copy() -> None:
        assert process.stdout is not None
        last: dict[str, str] = {}
        for line in process.stdout:
            # A watch repeats lines whose shown columns did not change.
            name, _, rest = line.rstrip().partition(" ")
            shown = re.sub(r"\s\S+$", "", rest)
            if last.get(name) != shown:
                last[name] = shown
                print(f"    {line.rstrip()}", flush=True)

    thread = threading.Thread(target=copy, daemon=True)
    thread.start()
    try:
        yield
    finally:
        process.terminate()
        thread.join(5)


def apply_and_kill(demo: Demo, server: PostgresServer) -> None:
    """The main migration, with the runner killed once and the operator once during the backfill."""
    demo.kubectl("apply", "-n", NAMESPACE, "-f", str(EXAMPLES / "10-account-reference.yaml"), shown=True)
    demo.wait_for("a tenth of the backfill", lambda: backfilled(server) > ROWS // 10)
    say("killing the runner (SIGKILL) in the middle of its backfill")
    kill_runner(demo)
    demo.wait_for("the end of the dead runner's session", lambda: not runner_sessions(server))
    done = backfilled(server)
    say(f"it is dead, {done:,} rows done; waiting for the operator to start another Job")
    demo.wait_for("the backfill going on", lambda: backfilled(server) > done)
    say(f"another Job goes on from the checkpoint; killing the operator, {backfilled(server):,} rows done")
    demo.kubectl(
        *["delete", "pod", "-n", OPERATOR_NAMESPACE, "-l", "app.kubernetes.io/name=zanith"],
        *["--grace-period=0", "--force", "--wait=false"],
    )
    wait_until_ready(demo, MAIN)


def backfilled(server: PostgresServer) -> int:
    """Rows the ledger says are done."""
    with server.connect("shop") as conn:
        if conn.execute("SELECT to_regclass('_zanith_migration_checkpoints')").fetchone() == (None,):
            return 0
        row = conn.execute("SELECT sum(processed_rows)::bigint FROM _zanith_migration_checkpoints").fetchone()
    return int(row[0] or 0) if row else 0


def runner_sessions(server: PostgresServer) -> list[Any]:
    """What runners have open."""
    question = "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'zanith:%'"
    with server.connect("shop") as conn:
        return conn.execute(question).fetchall()


def kill_runner(demo: Demo) -> None:
    """SIGKILL for the process in the container, where this machine sees it; else the pod goes at once."""
    pods = json.loads(demo.read(["kubectl", "get", "pods", "-n", NAMESPACE, "-o", "json"]))["items"]
    running = [p["metadata"]["name"] for p in pods if p["status"]["phase"] == "Running"]
    killed = 0
    if demo.env["ZANITH_KUBE_KIND"] == "local":
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                arguments = (folder / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue  # it ended while we looked
            if b"run" in arguments[:4] and b"/etc/zanith/migration/migration.json" in arguments:
                os.kill(int(folder.name), signal.SIGKILL)
                killed += 1
    else:
        for pod in running:
            demo.kubectl("delete", "pod", pod, "-n", NAMESPACE, "--grace-period=0", "--force")
            killed += 1
    if not killed:
        raise DemoFailed("there was no runner to kill")


def wait_until_ready(demo: Demo, name: str) -> None:
    """Until Ready is True."""

    def ready() -> bool:
        condition = demo.ready(name)
        return condition is not None and condition["status"] == "True"

    demo.wait_for(f"{name} Ready", ready)


def apply_the_rest(demo: Demo) -> None:
    """Two soft drops, one for 30 days and one for ever; and one column that may not be dropped."""
    for file in ("20-drop-filler-softly", "21-drop-filler-keep-for-ever", "30-refused"):
        demo.kubectl("apply", "-n", NAMESPACE, "-f", str(EXAMPLES / f"{file}.yaml"), shown=True)
    wait_until_ready(demo, "20260402-drop-account-filler")
    wait_until_ready(demo, "20260402-drop-teller-filler")

    def refused() -> bool:
        condition = demo.ready("20260403-drop-branch-filler")
        return condition is not None and condition["reason"] == "RiskBudgetExceeded"

    demo.wait_for("the refusal", refused)
    time.sleep(1.0)  # for the watch to print the last line


def show(demo: Demo, server: PostgresServer) -> None:
    """What people look at afterwards."""
    demo.kubectl("get", "zm", "-n", NAMESPACE, "-o", "wide", shown=True)
    demo.env["ZANITH_DSN"] = dsn(server)
    demo.run(["zanith", "migrate", "history", "--verbose"], shown=True)
    demo.run(["zanith", "recover", "list"], shown=True)
    # By the environment: a command line is shown, and a DSN holds the password.
    demo.env |= {"PGHOST": server.listen, "PGPORT": str(server.port), "PGUSER": "shop", "PGDATABASE": "shop"}
    demo.env |= {"PGPASSWORD": PASSWORD}
    demo.run(
        [str(server.bin / "psql"), "-X", "-e", "-P", "pager=off", "-f", str(ROOT / "docs/post-mortem.sql")], shown=True
    )


def verify(demo: Demo, server: PostgresServer, bench_log: Path) -> None:
    """Every promise, checked in the database."""
    with server.connect("shop") as conn:

        def value(question: str) -> Any:
            row = conn.execute(question.encode()).fetchone()
            return row[0] if row else None

        right = value(
            "SELECT count(*) FROM pgbench_accounts WHERE visits = 1 AND reference = 'A' || lpad(aid::text, 10, '0')"
        )
        check(right == ROWS, f"each of {ROWS:,} rows was changed exactly once ({right:,} are right)")
        resumed = value("SELECT count(*) FROM _zanith_migration_steps WHERE operation_kind = 'backfill'")
        check(resumed >= 2, f"the backfill took {resumed} attempts: it was killed and resumed")
        check(value("SELECT bool_and(indisvalid) FROM pg_index"), "every index is valid")
        kept = value("SELECT count(*) FROM _zanith_migration_artifacts WHERE physical_name IS NOT NULL")
        check(kept == 2, "both dropped columns can be brought back")
        check(value("SELECT count(*) FROM pg_attribute WHERE attrelid = 'pgbench_branches'::regclass AND attname = 'filler'") == 1,
              "the refused column is still there")  # fmt: skip
    said = bench_log.read_text()
    progress = [line for line in said.splitlines() if line.startswith("progress")]
    check(
        "ERROR" not in said and "error" not in said, f"pgbench saw no error; last: {progress[-1] if progress else said}"
    )
    took_s = time.monotonic() - STARTED
    say(f"from nothing to here in {took_s:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
