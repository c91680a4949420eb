"""The table of a kind's fields, from its class: type, default, bounds, and the docstring of each. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from reference.examples import page_name
from zanith.api.structural import Schema, structural_schema
from zanith.operations.operation import Operation
from zanith.operations.step import KINDS, Step

_DEFAULT = re.compile(r"\s*Default: (.+?)\.?$")
_BOUNDS = (("minItems", "maxItems"), ("minProperties", "maxProperties"), ("minimum", "maximum"))


def kind_class(kind: str) -> type[Operation]:
    """The class of a kind, as the registry has it."""
    field = list(Step.model_fields.values())[KINDS.index(kind)]
    (found,) = (part for part in field.annotation.__args__ if part is not type(None))  # type: ignore[union-attr]  # each field is `Kind | None`
    assert isinstance(found, type) and issubclass(found, Operation)
    return found


def purpose(kind: str) -> str:
    """A few words on what it is for, from the registry."""
    described: str = structural_schema(Step, open_objects=False)["properties"][kind]["description"]
    return _one_line(described)


def fields_table(kind: str) -> str:
    """Markdown: a row per field, those of objects in lists by their path."""
    schema = structural_schema(kind_class(kind), open_objects=False)
    lines = ["| Field | Type | Default | Meaning |", "| --- | --- | --- | --- |"]
    for path, field, required in _fields(schema):
        meaning, default = _default(field, required=required)
        lines.append(f"| `{path}` | {_type(path, field)} | {default} | {with_links(meaning, but=kind)} |")
    return "\n".join(lines)


def with_links(text: str, *, but: str = "", folder: str = "") -> str:
    """Kinds named in a text as links to their pages; `backfill`, a word of its own too, only where it is code."""
    names = sorted((kind for kind in KINDS if kind != but), key=len, reverse=True)
    words = [f"`{name}`" for name in names] + [rf"\b{name}\b" for name in names if name != name.lower()]
    return re.sub("|".join(words), lambda m: _link(m[0].strip("`"), folder), text)


def _link(kind: str, folder: str) -> str:
    return f"[`{kind}`]({folder}{page_name(kind)}.md)"


def _fields(schema: Schema, prefix: str = "") -> Iterator[tuple[str, Schema, bool]]:
    for name, field in schema["properties"].items():
        path = f"{prefix}{name}"
        yield path, field, name in schema.get("required", [])
        items: Schema = field.get("items", {})
        if "properties" in items:
            yield from _fields(items, f"{path}[].")


def _default(field: Schema, *, required: bool) -> tuple[str, str]:
    """The docstring without what it says of the default, and the default."""
    meaning = _one_line(field["description"])
    said = _DEFAULT.search(meaning)
    if said is not None:
        meaning = meaning[: said.start()]
    if required:
        return meaning, "required"
    if "default" in field:
        return meaning, f"`{_written(field['default'])}`"
    return meaning, said[1] if said is not None else "none"


def _type(path: str, field: Schema) -> str:
    """In words, with the bounds a reader may meet; the length of a name is a matter of every name."""
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if field["type"] == "array":
        inner = "objects" if "properties" in field["items"] else "texts"
        return f"list of {inner}{_bounds(field)}"
    if field["type"] == "object":
        return f"map of texts{_bounds(field)}"
    words = {"string": "text", "boolean": "`true` or `false`", "integer": "number"}
    return f"{words[field['type']]}{_length(field)}{_bounds(field)}"


def _bounds(field: Schema) -> str:
    for least, most in _BOUNDS:
        if most in field:
            return f", {field[least]} to {field[most]}" if field.get(least) else f", up to {field[most]}"
    return ""


def _length(field: Schema) -> str:
    most = field.get("maxLength", 0)
    return f", up to {most:,} characters" if most > 63 else ""


def _written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _one_line(text: str) -> str:
    return " ".join(text.split())
