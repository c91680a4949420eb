"""The two ConfigMaps of a Job: what it is to do, fixed; and `spec.execution`, which it re-reads while it works."""

from __future__ import annotations

import json
from typing import Any

from zanith.api.names import LABEL_ATTEMPT
from zanith.api.spec import Execution
from zanith.kube.client import Body
from zanith.kube.metadata import Owner, owned_metadata, short_digest

MIGRATION_FILE = "migration.json"
EXECUTION_FILE = "execution.json"


def migration_config_map(
    owner: Owner,
    *,
    name: str,
    attempt: int,
    action: str,
    plan_hash: str,
    approved_hash: str,
    retry: str,
    spec: dict[str, Any],
) -> Body:
    """What one attempt is told. Its name is that of the Job."""
    told = {
        "namespace": owner.namespace,
        "name": owner.name,
        "uid": owner.uid,
        "attempt": attempt,
        "action": action,
        "planHash": plan_hash,
        "approvedHash": approved_hash,
        "retry": retry,
        "spec": spec,
    }
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": owned_metadata(owner, name, labels={LABEL_ATTEMPT: str(attempt)}, annotations={}),
        "immutable": True,
        "data": {MIGRATION_FILE: _json(told)},
    }


def execution_name(owner: Owner) -> str:
    """One per migration, for all its attempts."""
    return f"{owner.name[:40].rstrip('-.')}-execution-{short_digest(owner.uid)}"


def execution_config_map(owner: Owner, execution: Execution) -> Body:
    """How gently to work. The runner reads it again and again."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": owned_metadata(owner, execution_name(owner), labels={}, annotations={}),
        "data": {EXECUTION_FILE: _json(execution.model_dump(mode="json", by_alias=True))},
    }


def _json(content: Any) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
