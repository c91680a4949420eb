"""The examples of docs/cli.md and docs/recovery.md, run as they stand: manifests, SQL, commands, and what they print."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from servers import Database

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DURATION = re.compile(r"(?m)  [0-9.]+ m?s$")


def test_the_example_runs_as_it_is_written(pg: Database, tmp_path: Path) -> None:
    pg.execute("CREATE TABLE users (id bigint PRIMARY KEY, email text, legacy_uuid uuid)")
    blocks = BLOCK.findall((ROOT / "docs" / "cli.md").read_text(encoding="utf-8"))
    folder = tmp_path / "migrations"
    folder.mkdir()
    for number, manifest in enumerate(text for language, text in blocks if language == "yaml"):
        (folder / f"{number}.yaml").write_text(manifest)
    sessions = [text for language, text in blocks if language == "console" and text.startswith("$ ")]
    assert len(sessions) == 3
    for session in sessions:
        command, _, expected = session.removeprefix("$ zanith ").partition("\n")
        assert DURATION.sub("  N ms", _printed(pg, tmp_path, command)) == DURATION.sub("  N ms", expected), command


# What differs from run to run: durations, moments, sizes, the checksum, and how wide a table's columns are for it.
DIFFERS = (
    (re.compile(r"  [0-9.]+ m?s$", re.MULTILINE), "  N ms"),
    (re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2} UTC"), "SOME DAY"),
    (re.compile(r"\(in [0-9dhms ]+\)"), "(in SOME TIME)"),
    (re.compile(r"\b[0-9]+ kB"), "N kB"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "CHECKSUM"),
    (re.compile(r"(?<=\S) {2,}"), "  "),
)


def alike(text: str) -> str:
    for pattern, instead in DIFFERS:
        text = pattern.sub(instead, text)
    return text


def test_the_examples_of_recovery_run_as_they_are_written(pg: Database, tmp_path: Path) -> None:
    folder = tmp_path / "migrations"
    folder.mkdir()
    run = 0
    for language, text in BLOCK.findall((ROOT / "docs" / "recovery.md").read_text(encoding="utf-8")):
        match language:
            case "sql":
                pg.execute(text)
            case "yaml":
                (folder / "0.yaml").write_text(text)
            case "console":
                command, _, expected = text.removeprefix("$ zanith ").partition("\n")
                assert alike(_printed(pg, tmp_path, command)) == alike(expected), command
                run += 1
    assert run == 9


def _printed(pg: Database, folder: Path, command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "zanith.main", *command.split()],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT / "operator"), "ZANITH_DSN": pg.dsn},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout + done.stderr
