"""`zanith recover export`: every value as it is, whole files, bounded memory."""

from __future__ import annotations

import csv
import io
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from recovery_setting import (
    ARCHIVE,
    ARCHIVE_TABLE,
    SHADOW_COPY,
    SOFT_DROP,
    SOFT_DROP_TABLE,
    USERS,
    Zanith,
    applied,
    commands_on,
    environment_of,
)
from servers import Database


@pytest.fixture
def zanith(pg: Database, capfdbinary: pytest.CaptureFixture[bytes]) -> Zanith:
    """Runs a command on the test's database."""
    return commands_on(pg, capfdbinary)


TRICKY = """
CREATE TABLE old (id int PRIMARY KEY, t text, j json, jb jsonb, b bytea, n numeric, a text[], d timestamptz);
INSERT INTO old VALUES
(1, E'a,"b"\\n\\tc\\\\n', E'{\\n "k":\\r\\n "x\\\\n\\\\u0001\\\\"" }', '{"z": [1, null]}', '\\xdeadbeef', 'NaN', '{"x,y",NULL}', '2026-03-01 UTC'),
(2, E'\\x01\\x02', 'null', 'true', '', 1.50, '{}', 'infinity'),
(3, '\\.', NULL, NULL, NULL, NULL, NULL, NULL),
(4, '', '"é\U0001f600"', '"\\u00e9"', NULL, 123456789012345678901234567890, NULL, NULL)
"""


@pytest.mark.parametrize("step", [SOFT_DROP_TABLE, ARCHIVE_TABLE])
def test_every_value_is_exported_as_it_is(pg: Database, zanith: Zanith, step: dict[str, Any]) -> None:
    pg.execute(TRICKY)
    with pg.connect() as conn:
        conn.execute("SET timezone = 'UTC'")
        expected = [row[0] for row in conn.execute("SELECT to_jsonb(o) FROM old o ORDER BY id").fetchall()]
        texts = conn.execute("SELECT id::text, t, jb::text, b::text, n::text, d::text FROM old ORDER BY id").fetchall()
    applied(pg, step, setup="")

    array = json.loads(zanith("recover", "export", "old", "--format", "json").out)
    lines = zanith("recover", "export", "old", "--format", "jsonl").out.split("\n")
    assert lines.pop() == ""
    assert [json.loads(line) for line in lines] == array
    assert sorted(array, key=lambda row: row["id"]) == json.loads(json.dumps(expected))

    (head, *rows) = csv.reader(io.StringIO(zanith("recover", "export", "old").out, newline=""))
    assert head == ["id", "t", "j", "jb", "b", "n", "a", "d"]
    found = [(r[0], r[1], r[3], r[4], r[5], r[7]) for r in sorted(rows)]
    assert found == [tuple("" if v is None else v for v in row) for row in texts]


def test_a_column_is_exported_with_the_key_of_its_rows(pg: Database, zanith: Zanith) -> None:
    pg.execute(USERS + "; CREATE TABLE keyless (a int, b text); INSERT INTO keyless VALUES (1, 'x')")
    applied(pg, SOFT_DROP, {"softDropColumn": {"table": "keyless", "column": "b"}}, setup="")
    assert zanith("recover", "export", "users.age").out.splitlines()[:2] == ["id,age", "1,1"]
    keyless = zanith("recover", "export", "keyless.b")
    assert keyless.out == "a,b\n1,x\n"
    assert "has no primary key to tell its rows by: all of its columns are exported" in keyless.err


def test_an_empty_table_is_an_empty_export(pg: Database, zanith: Zanith) -> None:
    applied(pg, SOFT_DROP_TABLE, setup="CREATE TABLE old (id int)")
    assert zanith("recover", "export", "old", "--format", "json").out == "[]\n"
    assert zanith("recover", "export", "old", "--format", "jsonl").out == ""
    assert zanith("recover", "export", "old").out == "id\n"


def test_a_file_is_whole_or_not_there_and_for_its_owner_only(pg: Database, zanith: Zanith, tmp_path: Path) -> None:
    applied(pg, ARCHIVE)
    file = tmp_path / "email.json"
    said = zanith("recover", "export", "users.email", "--format", "json", "--output", file)
    assert (said.code, said.out) == (0, "")
    assert said.err == f"zanith: written: {file}, 100 rows of m::archive_column::users.email\n"
    assert len(json.loads(file.read_text())) == 100
    assert stat.S_IMODE(file.stat().st_mode) == 0o600

    # A view that fails on its last row stands for a connection that is lost.
    pg.execute(
        f"ALTER TABLE {SHADOW_COPY} RENAME TO real; CREATE VIEW {SHADOW_COPY} AS "
        "SELECT id, CASE WHEN id = 100 THEN (1 / (id - 100))::text ELSE email END AS email FROM _zanith_shadow.real"
    )
    before = file.read_text()
    failed = zanith("recover", "export", "users.email", "--format", "json", "--output", file)
    assert failed.code == 20
    assert "division_by_zero" in failed.err
    assert file.read_text() == before
    assert os.listdir(tmp_path) == ["email.json"]
    nowhere = zanith("recover", "export", "users.email", "--output", tmp_path / "none" / "x")
    assert nowhere.err == f"zanith: --output: {tmp_path}/none/x cannot be written: No such file or directory\n"
    looked = zanith("recover", "export", "users.email", "--output", tmp_path / "y", "--dry-run")
    assert looked.out.startswith("COPY (SELECT ")
    assert os.listdir(tmp_path) == ["email.json"]


def test_an_export_needs_no_memory(pg18: Database, tmp_path: Path) -> None:
    """200 MB, in a process that may grow by 40 MB while it writes them."""
    applied(
        pg18,
        SOFT_DROP_TABLE,
        setup="CREATE TABLE old AS SELECT i, repeat('x', 1000) AS t FROM generate_series(1, 200000) i",
    )
    program = (
        "import resource, sys; from zanith.main import main\n"
        "arguments = sys.argv[1:]\n"
        "main([*arguments, '--dry-run', '--format', 'json'])\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "code = main([*arguments, '--format', 'json'])\n"
        "print(code, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, file=sys.stderr)"
    )
    file = tmp_path / "old.json"
    command = [sys.executable, "-c", program, "recover", "export", "old", "--output", str(file)]
    done = subprocess.run(command, env=environment_of(pg18), capture_output=True, text=True, timeout=120, check=False)
    code, grown_kb = done.stderr.splitlines()[-1].split()
    assert code == "0", done.stderr
    assert file.stat().st_size > 200_000_000
    assert int(grown_kb) < 40_000
