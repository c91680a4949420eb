"""The corpus database as facts, without a server: what `operations_harness.measuring` wrote of it."""

from __future__ import annotations

import json
from dataclasses import replace

from operations_harness.measuring import CODE, GRAPH
from unit.builders import CODE as BUILTIN
from unit.builders import facts
from zanith.core.graph_json import graph_from_json
from zanith.core.identifiers import TableKey

_FOUND = json.loads(CODE.read_text())

KNOWN = replace(
    facts(constrained_domains=frozenset({"positive"})),
    graph=graph_from_json(json.loads(GRAPH.read_text())),
    other_relations=frozenset(TableKey(*key) for key in _FOUND["others"]),
    typed_tables={TableKey(s, n): tuple(TableKey(*t) for t in tables) for s, n, tables in _FOUND["typed"]},
    code=replace(
        BUILTIN,
        other_functions={(schema, name): trusted for schema, name, trusted in _FOUND["functions"]},
        views={TableKey(schema, name): text for schema, name, text in _FOUND["views"]},
        rules=frozenset((TableKey(schema, name), command) for schema, name, command in _FOUND["rules"]),
    ),
)
KNOWN = replace(KNOWN, volatile_functions=KNOWN.volatile_functions | frozenset(_FOUND["volatile"]))
