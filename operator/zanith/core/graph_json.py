"""SchemaGraph to JSON and back, as `_zanith_schema_snapshots` keeps it, and its hash.

A stored format: keys are the camelCase names of the fields of `zanith.core.graph`, a field with its default value is
left out, and a TableKey is the list [schema, name]. So a default of those classes must never change.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields
from typing import Any, TypeVar

from zanith.core.errors import Conflict
from zanith.core.graph import (
    FORMAT_VERSION,
    Column,
    Constraint,
    EnumType,
    Extension,
    Index,
    Policy,
    SchemaGraph,
    Table,
    Trigger,
    View,
)
from zanith.core.graph_objects import Domain, DomainCheck, Function, Sequence
from zanith.core.identifiers import TableKey

_T = TypeVar("_T")

_LATER = ("extensions", "domains", "sequences", "functions")
"""Lists that the graph had not from the start."""


def graph_to_json(graph: SchemaGraph) -> dict[str, Any]:
    """The whole graph as JSON values."""
    content: dict[str, Any] = {
        "formatVersion": graph.format_version,
        "tables": [_dump(t) for t in graph.tables],
        "views": [_dump(v) for v in graph.views],
        "enums": [_dump(e) for e in graph.enums],
    }
    for key in _LATER:  # left out where there are none, as fields with their default are
        if held := getattr(graph, key):
            content[key] = [_dump(item) for item in held]
    return content


def graph_from_json(data: Any) -> SchemaGraph:
    """The graph stored by `graph_to_json`. Raises Conflict where it is not one, or of a newer format."""
    version = data.get("formatVersion") if isinstance(data, Mapping) else None
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise Conflict(
            f"a schema snapshot has format {version}, this Zanith reads up to {FORMAT_VERSION}; use a newer one"
        )
    try:
        return SchemaGraph(
            tables=_many(data["tables"], lambda t: _load(Table, t)),
            views=_many(data["views"], lambda v: _load(View, v)),
            enums=_many(data["enums"], lambda e: _load(EnumType, e)),
            extensions=_many(data.get("extensions", []), lambda e: _load(Extension, e)),
            domains=_many(data.get("domains", []), lambda d: _load(Domain, d)),
            sequences=_many(data.get("sequences", []), lambda s: _load(Sequence, s)),
            functions=_many(data.get("functions", []), lambda f: _load(Function, f)),
            format_version=int(data["formatVersion"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        raise Conflict("a schema snapshot is not what Zanith writes; was _zanith_schema_snapshots edited?") from None


def graph_hash(graph: SchemaGraph) -> str:
    """Equal for equal graphs, whatever database they were read from."""
    canonical = json.dumps(graph_to_json(graph), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


def _many(data: list[Any], load: Callable[[Any], _T]) -> tuple[_T, ...]:
    return tuple(load(item) for item in data)


def _key(data: Any) -> TableKey:
    schema, name = data
    return TableKey(schema, name)


# How a field is read back that is not a plain string, boolean or None.
_LOADERS: dict[tuple[type, str], Callable[[Any], Any]] = {
    (Table, "columns"): lambda data: _many(data, lambda d: _load(Column, d)),
    (Table, "constraints"): lambda data: _many(data, lambda d: _load(Constraint, d)),
    (Table, "indexes"): lambda data: _many(data, lambda d: _load(Index, d)),
    (Table, "triggers"): lambda data: _many(data, lambda d: _load(Trigger, d)),
    (Table, "policies"): lambda data: _many(data, lambda d: _load(Policy, d)),
    (Table, "partition_of"): _key,
    (Constraint, "columns"): tuple,
    (Constraint, "references"): _key,
    (Index, "columns"): tuple,
    (Policy, "roles"): tuple,
    (View, "options"): tuple,
    (View, "indexes"): lambda data: _many(data, lambda d: _load(Index, d)),
    (View, "triggers"): lambda data: _many(data, lambda d: _load(Trigger, d)),
    (Domain, "checks"): lambda data: _many(data, lambda d: _load(DomainCheck, d)),
    (View, "depends_on"): lambda data: _many(data, lambda d: (_key(d[0]), d[1])),
    (EnumType, "labels"): tuple,
}


def _load(kind: type[_T], data: Mapping[str, Any]) -> _T:
    values: dict[str, Any] = {}
    for field, key in _FIELDS[kind]:
        if key in data:
            load = _LOADERS.get((kind, field.name))
            values[field.name] = data[key] if load is None else load(data[key])
    if len(values) != len(data):
        raise ValueError("unknown keys")
    return kind(**values)


def _dump(item: Any) -> Any:
    if isinstance(item, TableKey):
        return [item.schema, item.name]
    if isinstance(item, tuple):
        return [_dump(i) for i in item]
    if item is None or isinstance(item, str | bool | int):
        return item
    found = ((field, key, getattr(item, field.name)) for field, key in _FIELDS[type(item)])
    return {key: _dump(value) for field, key, value in found if field.default is MISSING or value != field.default}


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)


_CLASSES: tuple[type, ...] = (
    *(Table, Column, Constraint, Index, Trigger, Policy, View),
    *(EnumType, Extension, Domain, DomainCheck, Sequence, Function),
)
# Fields of each class with their keys in JSON.
_FIELDS: dict[type, tuple[tuple[Field[Any], str], ...]] = {
    kind: tuple((f, _camel(f.name)) for f in fields(kind)) for kind in _CLASSES
}
