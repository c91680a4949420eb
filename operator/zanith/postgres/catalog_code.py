"""Rows of the catalog's queries into what is known of code: functions, operators, views, rules. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from zanith.core.identifiers import TableKey
from zanith.core.known_code import KnownCode

Row = Mapping[str, Any]

_COMMANDS = {"1": "select", "2": "update", "3": "insert", "4": "delete"}


def known_code(
    builtin: Sequence[Row], other: Sequence[Row], operators: Sequence[Row], views: Sequence[Row], rules: Sequence[Row]
) -> KnownCode:
    """`views` are those whose query could be printed."""
    return KnownCode(
        builtin_functions=frozenset(r["name"] for r in builtin),
        other_functions={(r["schema"], r["name"]): r["trusted"] for r in other},
        operators=frozenset(r["name"] for r in operators),
        views={TableKey(r["schema"], r["name"]): r["definition"] for r in views if r["definition"] is not None},
        rules=frozenset((TableKey(r["schema"], r["name"]), _COMMANDS[r["command"]]) for r in rules),
    )


def typed_tables(rows: Sequence[Row]) -> dict[TableKey, tuple[TableKey, ...]]:
    """Tables OF a composite type, by the type."""
    found: defaultdict[TableKey, list[TableKey]] = defaultdict(list)
    for row in rows:
        found[TableKey(row["type_schema"], row["type_name"])].append(TableKey(row["schema"], row["name"]))
    return {key: tuple(sorted(tables)) for key, tables in found.items()}
