"""The chart's values: each explained, each checked by the schema, none besides. What it renders to is tested with Helm."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from zanith.settings import Settings

REPOSITORY = Path(__file__).resolve().parents[2]
CHART = REPOSITORY / "charts" / "zanith"
VALUES = (CHART / "values.yaml").read_text(encoding="utf-8")
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
SET_BY_THE_CHART = {"image", "image_pull_policy", "namespaces", "liveness_endpoint", "pod_name"}
NOT_A_VALUE_OF_OURS = {"global"}  # Helm hands it to every chart that is part of another


def test_every_value_has_a_comment_above_it() -> None:
    """What is deeper than two levels belongs to maps that are explained as a whole."""
    lines = VALUES.splitlines()
    keys = [(line, before) for line, before in zip(lines[1:], lines, strict=False) if re.match(r"(  )?\w+:", line)]
    assert len(keys) > 30
    assert [line for line, before in keys if not before.strip().startswith("#")] == []


def test_the_schema_knows_every_value_and_no_other() -> None:
    assert sorted(schema_paths(SCHEMA, "")) == sorted(value_paths(yaml.safe_load(VALUES), ""))


def schema_paths(schema: dict[str, Any], prefix: str) -> Iterator[str]:
    for name, inner in schema.get("properties", {}).items():
        if name not in NOT_A_VALUE_OF_OURS:
            yield prefix + name
            yield from schema_paths(inner, f"{prefix}{name}.")


def value_paths(values: dict[str, Any], prefix: str) -> Iterator[str]:
    """Paths of all values; what is below a free map, such as annotations, is the user's."""
    for name, value in values.items():
        yield prefix + name
        if isinstance(value, dict) and name not in ("annotations", "requests", "limits"):
            yield from value_paths(value, f"{prefix}{name}.")


def test_every_object_of_the_schema_is_closed() -> None:
    open_objects = [
        p for p, s in objects(SCHEMA, "values") if "properties" in s and s.get("additionalProperties", True)
    ]
    assert open_objects == []


def objects(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, inner in {**schema.get("properties", {}), "[]": schema.get("items", {})}.items():
        if inner:
            yield from objects(inner, f"{path}.{name}")


def test_the_chart_is_of_the_packages_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    package = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert (chart["version"], chart["appVersion"]) == (package, package)


def test_every_setting_of_the_operator_has_its_default_in_the_values() -> None:
    names = {snake(name.replace("Seconds", "S")): value for name, value in yaml.safe_load(VALUES)["settings"].items()}
    defaults = {name: f.default for name, f in Settings.model_fields.items() if name not in SET_BY_THE_CHART}
    assert names == defaults


def snake(camel: str) -> str:
    return re.sub(r"([A-Z])", lambda found: f"_{found[1].lower()}", camel)


def test_helm_installs_no_definition_behind_our_back() -> None:
    """What lies in a chart's folder crds/ is installed by Helm once, and never upgraded."""
    assert not (CHART / "crds").exists()
