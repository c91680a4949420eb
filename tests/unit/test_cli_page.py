"""docs/cli.md names every command and every option there is."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.main import get_command

from zanith.cli.app import app

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
EVERYWHERE = {"--help"}
INSIDE = {"operator", "run"}
"""What the image runs: not for people."""


def commands() -> dict[str, list[str]]:
    """The options of each command by its words."""
    found: dict[str, list[str]] = {}
    for group, inner in get_command(app).commands.items():  # type: ignore[attr-defined]  # typer's own class, a group
        for name, command in getattr(inner, "commands", {}).items():
            options = [name for p in command.params if p.param_type_name == "option" for name in p.opts]
            found[f"zanith {group} {name}"] = [o for o in options if o not in EVERYWHERE]
        if not hasattr(inner, "commands"):
            assert group in INSIDE
    return found


@pytest.mark.parametrize(("command", "options"), commands().items())
def test_every_command_and_option_is_described(command: str, options: list[str]) -> None:
    assert f"## `{command}" in PAGE
    assert [option for option in options if option not in PAGE] == []
