"""The example of docs/cli.md, run as it stands: the manifests, the commands, and what they print."""

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
        done = subprocess.run(
            [sys.executable, "-m", "zanith.main", *command.split()],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT / "operator"), "ZANITH_DSN": pg.dsn},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert DURATION.sub("  N ms", done.stdout + done.stderr) == DURATION.sub("  N ms", expected), command
