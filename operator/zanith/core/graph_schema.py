"""The JSON Schema of a stored schema graph, made from the classes: they are the source.

`python -m zanith.core.graph_schema` prints it; with `--write`, in the checkout, it writes the copy that is published.
"""

from __future__ import annotations

import inspect
import json
import sys
from dataclasses import MISSING, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from zanith.core.graph import FORMAT_VERSION, SchemaGraph
from zanith.core.graph_fields import Member, members
from zanith.core.graph_json import graph_to_json
from zanith.core.identifiers import TableKey

COPY = "docs/schema-graph.schema.json"
"""Where the repository keeps it."""

Schema = dict[str, Any]

_TYPES = {str: "string", bool: "boolean", int: "integer", NoneType: "null"}


def json_schema() -> Schema:
    """The schema as data (JSON Schema, 2020-12)."""
    definitions: dict[str, Schema] = {
        "TableKey": {
            "description": "A table: its schema and its name, exactly as the catalog spells them.",
            "type": "array",
            "prefixItems": [{"type": "string"}, {"type": "string"}],
            "minItems": 2,
            "items": False,
        }
    }
    root = _object(SchemaGraph, definitions)
    # What an empty graph is written with is always there.
    root["required"] = sorted(graph_to_json(SchemaGraph()))
    root["properties"]["formatVersion"] = {"type": "integer", "minimum": 1, "maximum": FORMAT_VERSION}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:zanith:schema-graph:{FORMAT_VERSION}",
        "title": "SchemaGraph",
        **root,
        "$defs": dict(sorted(definitions.items())),
    }


def render() -> str:
    """The schema as text, the same bytes for the same classes."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def _object(kind: type, definitions: dict[str, Schema]) -> Schema:
    fields = members(kind)
    return {
        "description": " ".join((inspect.getdoc(kind) or "").split()),
        "type": "object",
        "properties": {m.key: _field(m, definitions) for m in fields},
        "required": [m.key for m in fields if m.default is MISSING],
        "additionalProperties": False,
    }


def _field(member: Member, definitions: dict[str, Schema]) -> Schema:
    found = _value(member.annotation, definitions)
    if member.default is MISSING or member.default is None:
        return found
    return {**found, "default": list(member.default) if isinstance(member.default, tuple) else member.default}


def _value(annotation: Any, definitions: dict[str, Schema]) -> Schema:
    if annotation in _TYPES:
        return {"type": _TYPES[annotation]}
    if annotation is TableKey:
        return {"$ref": "#/$defs/TableKey"}
    if is_dataclass(annotation) and isinstance(annotation, type):
        definitions[annotation.__name__] = _object(annotation, definitions)
        return {"$ref": f"#/$defs/{annotation.__name__}"}
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (UnionType, Union):
        return {"anyOf": [_value(a, definitions) for a in arguments]}
    if origin is tuple and arguments[1:] == (...,):
        return {"type": "array", "items": _value(arguments[0], definitions)}
    if origin is tuple:
        items = [_value(a, definitions) for a in arguments]
        return {"type": "array", "prefixItems": items, "minItems": len(items), "items": False}
    raise TypeError(f"no JSON Schema for {annotation}")


def main(arguments: list[str]) -> None:
    """Print the schema, or write the copy below the current directory."""
    if arguments == ["--write"]:
        Path(COPY).write_text(render(), encoding="utf-8")
    else:
        sys.stdout.write(render())


if __name__ == "__main__":  # pragma: no cover -- `make schemas`
    main(sys.argv[1:])
