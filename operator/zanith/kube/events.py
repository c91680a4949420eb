"""Events on a ZanithMigration, as events.k8s.io/v1 has them: short-lived words for `kubectl describe`, never the audit."""

from __future__ import annotations

from datetime import UTC, datetime

from zanith.api.names import API_VERSION, GROUP, KIND
from zanith.kube.client import Body
from zanith.kube.metadata import MANAGED_BY, Owner, short_digest

NOTE_LIMIT = 1024
_NAME_LIMIT = 200


def event(owner: Owner, *, type: str, reason: str, note: str, now: datetime, instance: str) -> Body:  # noqa: A002 -- the API's word
    """One event about a migration. The same news at the same second has the same name."""
    stamp = now.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
    name = f"{owner.name[:_NAME_LIMIT].rstrip('-.')}.{short_digest(owner.uid, reason, note, stamp[:19])}"
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": owner.namespace, "labels": dict(MANAGED_BY)},
        "eventTime": f"{stamp}Z",
        "reportingController": f"{GROUP}/operator",
        "reportingInstance": instance[:128] or "operator",
        "action": "Reconcile",
        "type": type,
        "reason": reason[:128],
        "note": note if len(note) <= NOTE_LIMIT else f"{note[: NOTE_LIMIT - 1]}…",
        "regarding": {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "namespace": owner.namespace,
            "name": owner.name,
            "uid": owner.uid,
        },
    }
