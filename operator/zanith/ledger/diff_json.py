"""The difference between two snapshots as JSON, for programs: names, values and whole objects as they are. Pure."""

from __future__ import annotations

import json
from dataclasses import MISSING, is_dataclass
from typing import Any

from zanith.core.graph_diff import Change
from zanith.core.graph_fields import members
from zanith.ledger.history import moment_text
from zanith.ledger.snapshot_diff import not_compared
from zanith.ledger.snapshot_queries import Snapshot


def diff_json(before: Snapshot, after: Snapshot, changes: tuple[Change, ...]) -> str:
    """`{"from": ..., "to": ..., "changes": [...]}`, and `notCompared` where one is of an older format."""
    content: dict[str, Any] = {"from": _snapshot(before), "to": _snapshot(after)}
    if left_out := not_compared(before.graph, after.graph):
        content["notCompared"] = left_out
    content["changes"] = [_change(c) for c in changes]
    return json.dumps(content, indent=2, ensure_ascii=False)


def _snapshot(snapshot: Snapshot) -> dict[str, Any]:
    return {
        "migrationId": snapshot.migration_id,
        "phase": "live" if snapshot.migration_id is None else snapshot.phase,
        "capturedAt": moment_text(snapshot.captured_at),
        "models": snapshot.graph.models,
        "relations": snapshot.graph.relations,
    }


def _change(change: Change) -> dict[str, Any]:
    told: dict[str, Any] = {"action": change.action, "kind": change.kind, "name": list(change.path)}
    if change.action in ("added", "dropped"):
        return told | {"object": _value(change.before if change.after is None else change.after)}
    if change.new_path != change.path:
        told["newName"] = list(change.new_path)
    told["fields"] = [
        {"field": f.member.key, "before": _value(f.before), "after": _value(f.after)}
        | ({"order": True} if f.member.objects is not None else {})
        for f in change.fields
    ]
    return told


def _value(value: Any) -> Any:
    """As a stored snapshot has it: a field with its default value is left out."""
    if is_dataclass(value):
        found = ((m, getattr(value, m.name)) for m in members(type(value)))
        return {m.key: _value(v) for m, v in found if m.default is MISSING or v != m.default}
    if isinstance(value, tuple):
        return [_value(v) for v in value]
    return value
