"""A typed step as one line of YAML to paste: the safer way."""

from __future__ import annotations

import json
import re
from typing import Any

from zanith.core.identifiers import TableKey
from zanith.operations.judging.verdict import Scope

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})


def yaml_step(scope: Scope, kind: str, table: TableKey | None = None, **arguments: Any) -> str:
    """`- addIndex: {table: users, columns: [email]}`; arguments in the manifest's own spelling, empty ones left out."""
    given: dict[str, Any] = {}
    if table is not None:
        if table.schema != scope.facts.default_schema:
            given["schema"] = table.schema
        given["table"] = table.name
    given |= {name: value for name, value in arguments.items() if value not in (None, [], "")}
    return f"- {kind}: {flow(given)}"


def flow(value: Any) -> str:
    """A value as flow YAML; what YAML could read as something else is quoted as in JSON."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{flow(k)}: {flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(flow(v) for v in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    return text if _PLAIN.fullmatch(text) and text.lower() not in _WORDS else json.dumps(text, ensure_ascii=False)
