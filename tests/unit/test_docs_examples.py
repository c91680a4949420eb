"""Every example is a real one: manifests of docs/, README.md and examples/ are parsed as a user's would be."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from zanith.api.names import API_VERSION
from zanith.api.spec import parse_manifest, parse_spec

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> Iterator[Any]:
    """Documents of all fenced YAML blocks, indented ones included."""
    text = page.read_text(encoding="utf-8")
    for found in re.finditer(r"^( *)```ya?ml\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL):
        yield from yaml.safe_load_all(found[2])


def examples() -> Iterator[tuple[str, Any]]:
    for page in PAGES:
        for number, document in enumerate(blocks(page), start=1):
            yield f"{page.name}#{number}", document
    for file in sorted([*(ROOT / "examples").rglob("*.yaml"), *(ROOT / "docs").rglob("*.yaml")]):
        for document in yaml.safe_load_all(file.read_text(encoding="utf-8")):
            yield file.name, document


EXAMPLES = list(examples())
MANIFESTS = [(name, d) for name, d in EXAMPLES if isinstance(d, dict) and d.get("apiVersion") == API_VERSION]
STEPS = [(name, d) for name, d in EXAMPLES if isinstance(d, list)]
OTHERS = [(name, d) for name, d in EXAMPLES if isinstance(d, dict) and "kind" in d and "zanith" not in d["apiVersion"]]


def named(found: list[tuple[str, Any]]) -> Any:
    return [pytest.param(document, id=name) for name, document in found]


@pytest.mark.parametrize("manifest", named(MANIFESTS))
def test_every_manifest_is_one(manifest: dict[str, Any]) -> None:
    assert parse_manifest(manifest)


@pytest.mark.parametrize("steps", named(STEPS))
def test_every_list_is_of_steps(steps: list[Any]) -> None:
    assert parse_spec({"database": {"secretRef": {"name": "db"}}, "steps": steps}, name="m")


def test_nothing_is_passed_over() -> None:
    checked = [*MANIFESTS, *STEPS, *OTHERS]
    unknown = [name for name, document in EXAMPLES if document is not None and (name, document) not in checked]
    assert unknown == [], "neither a manifest, nor a list of steps, nor another resource"
    assert {name.partition("#")[0] for name, _ in MANIFESTS} >= {"README.md", "manifest.md", "add-column.md"}
