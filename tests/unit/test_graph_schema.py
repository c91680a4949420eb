"""The published JSON Schema: fresh, and every stored graph keeps to it, whatever is added to the classes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from random_graphs import GRAPHS
from unit.builders import unhurried
from zanith.core import graph_schema
from zanith.core.graph import FORMAT_VERSION, SchemaGraph
from zanith.core.graph_json import graph_to_json

REPOSITORY = Path(__file__).resolve().parents[2]
SCHEMA = graph_schema.json_schema()
TYPES: dict[str, Any] = {
    "string": str,
    "boolean": bool,
    "integer": int,
    "null": type(None),
    "array": list,
    "object": dict,
}


def problems(schema: Any, value: Any, at: str = "$") -> list[str]:
    """What a value breaks: the part of JSON Schema 2020-12 that the published one uses, and no word of it unknown."""
    unknown = set(schema) - {
        "$schema", "$id", "$defs", "$ref", "title", "description", "default", "type", "enum", "anyOf", "minimum",
        "maximum", "properties", "required", "additionalProperties", "items", "prefixItems", "minItems",
    }  # fmt: skip
    assert not unknown, unknown
    if "$ref" in schema:
        return problems(SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")], value, at)
    if "anyOf" in schema:
        found = [problems(s, value, at) for s in schema["anyOf"]]
        return [] if [] in found else found[0]
    if "enum" in schema:
        return [] if value in schema["enum"] else [f"{at}: not one of {schema['enum']}"]
    kind = schema["type"]
    if not isinstance(value, TYPES[kind]) or (kind == "integer" and isinstance(value, bool)):
        return [f"{at}: no {kind}"]
    found_here: list[str] = []
    if kind == "integer" and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        found_here.append(f"{at}: out of bounds")
    if kind == "object":
        found_here += [f"{at}: {key} is missing" for key in schema["required"] if key not in value]
        found_here += [f"{at}: {key} is unknown" for key in value if key not in schema["properties"]]
        for key in value.keys() & schema["properties"].keys():
            found_here += problems(schema["properties"][key], value[key], f"{at}.{key}")
    if kind == "array":
        first = schema.get("prefixItems", [])
        if len(value) < schema.get("minItems", 0) or (schema["items"] is False and len(value) > len(first)):
            return [f"{at}: {len(value)} items"]
        for number, item in enumerate(value):
            found_here += problems(first[number] if number < len(first) else schema["items"], item, f"{at}[{number}]")
    return found_here


def test_the_published_schema_is_fresh() -> None:
    published = (REPOSITORY / graph_schema.COPY).read_text(encoding="utf-8")
    assert published == graph_schema.render(), "run `make schemas`"


def test_the_command_writes_and_prints_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    graph_schema.main(["--write"])
    graph_schema.main([])
    assert (
        (tmp_path / graph_schema.COPY).read_text(encoding="utf-8") == capsys.readouterr().out == graph_schema.render()
    )


@unhurried
@given(GRAPHS)
def test_every_graph_is_stored_as_the_schema_says(graph: SchemaGraph) -> None:
    assert problems(SCHEMA, json.loads(json.dumps(graph_to_json(graph)))) == []


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"tables": None}, "$.tables: no array"),
        ({"formatVersion": FORMAT_VERSION + 1}, "$.formatVersion: out of bounds"),
        ({"formatVersion": True}, "$.formatVersion: no integer"),
        ({"more": 1}, "$: more is unknown"),
        ({"tables": [{"schema": "s"}]}, "$.tables[0]: name is missing"),
        ({"tables": [{"schema": "s", "name": "t", "partitionOf": ["s"]}]}, "$.tables[0].partitionOf: 1 items"),
        ({"tables": [{"schema": "s", "name": "t", "persistence": "x"}]}, "$.tables[0].persistence: not one of"),
    ],
)
def test_what_is_no_graph_breaks_the_schema(change: dict[str, Any], found: str) -> None:
    content = graph_to_json(SchemaGraph()) | change
    assert problems(SCHEMA, content)[0].startswith(found)


def test_a_type_without_a_schema_is_told() -> None:
    with pytest.raises(TypeError, match="no JSON Schema for"):
        graph_schema._value(dict[str, int], {})
