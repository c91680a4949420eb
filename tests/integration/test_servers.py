"""The throw-away servers themselves: what other tests and the demo rely on."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from servers import (
    Database,
    PostgresServer,
    ServerProblem,
    binaries,
    create_database,
    create_template,
    drop_database,
    wait_until,
)

STARTS_ONE_AND_WAITS = """
import sys
from servers import PostgresServer
with PostgresServer(18) as server:
    print(server.pid, server.directory, flush=True)
    sys.stdin.read()
"""


def test_a_server_ends_with_the_process_that_started_it_however_that_ends() -> None:
    tests = str(Path(__file__).resolve().parents[1])
    owner = subprocess.Popen(
        [sys.executable, "-c", STARTS_ONE_AND_WAITS],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": tests}, cwd="/",
    )  # fmt: skip
    with owner:
        assert owner.stdout is not None
        pid, directory = owner.stdout.readline().split()
        assert Path(f"/proc/{pid}").exists()
        owner.send_signal(signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), "the server is gone")
    # Nobody was left to remove the directory.
    subprocess.run(["rm", "-rf", directory], check=True)


def test_what_was_committed_survives_a_kill(pg: Database) -> None:
    pg.execute("CREATE TABLE t (id int); INSERT INTO t VALUES (1)")
    pg.server.kill()
    assert not pg.server.running
    pg.server.start()
    assert pg.rows("SELECT id FROM t") == [(1,)]


def test_databases_are_cloned_from_a_template_built_once(postgres_18: PostgresServer) -> None:
    built = []

    def build(database: Database) -> None:
        built.append(database.name)
        database.execute("CREATE TABLE t (id int)")

    names = [create_template(postgres_18, "template_servers", build) for _ in range(2)]
    assert (names, len(built)) == (["template_servers"] * 2, 1)
    clone = create_database(postgres_18, template="template_servers")
    try:
        assert clone.value("SELECT count(*) FROM t") == 0
    finally:
        drop_database(clone)
        drop_database(Database(postgres_18, "template_servers"))


def test_a_missing_version_is_told_with_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZANITH_PG15_BIN", "/nowhere")
    with pytest.raises(ServerProblem, match="PostgreSQL 15 is missing in /nowhere: apt-get install postgresql-15"):
        binaries(15)


def test_the_password_is_not_shown(postgres_18: PostgresServer) -> None:
    assert postgres_18.password not in repr(postgres_18)
