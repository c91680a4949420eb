"""Stored graphs of different formats, made comparable. Pure.

An older format keeps less. What it cannot hold is taken out of the newer graph before the two are compared, and named, so
that nobody reads of a loss or a gain that was none. Refuses to fill in what was not kept.
"""

from __future__ import annotations

from dataclasses import MISSING, Field, fields, replace
from functools import partial
from typing import Any

from zanith.core.graph import SchemaGraph
from zanith.core.graph_fields import members
from zanith.core.graph_forms import settled
from zanith.core.graph_objects import SINCE

SETTLED_SINCE = 2
"""From this format on, definitions are kept in their settled form."""

_KEPT_SINCE = {
    2: "domains, sequences, functions, options of identity columns, options, indexes and triggers of views, and "
    "comments on anything but tables and columns",
}
_PRINTED = frozenset({"definition", "default", "using", "with_check"})


def in_format(graph: SchemaGraph, version: int) -> SchemaGraph:
    """The graph as far as a format could hold it, in the words of today."""
    unsettled = graph.format_version < SETTLED_SINCE
    if graph.format_version <= version and not unsettled:
        return graph
    reduced: SchemaGraph = _reduced(graph, version, unsettled)
    return replace(reduced, format_version=version)


def not_kept(version: int, newer: int) -> str:
    """What a format does not keep, and a newer one does: `domains, sequences`."""
    return "; ".join(words for since, words in _KEPT_SINCE.items() if version < since <= newer)


def _reduced(item: Any, version: int, unsettled: bool) -> Any:
    put: dict[str, Any] = {}
    own = {f.name: f for f in fields(item)}
    for member in members(type(item)):
        value = getattr(item, member.name)
        if own[member.name].metadata.get(SINCE, 1) > version:
            put[member.name] = _default(own[member.name])
        elif member.objects is not None:
            put[member.name] = tuple(map(partial(_reduced, version=version, unsettled=unsettled), value))
        elif unsettled and member.name in _PRINTED and isinstance(value, str):
            put[member.name] = settled(value)
    return replace(item, **put)


def _default(field: Field[Any]) -> Any:
    assert field.default is not MISSING, "what an old format does not keep needs a default"
    return field.default
