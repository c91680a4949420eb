"""Metadata of everything the operator creates: owner, few labels of its own, never a label or annotation of the resource."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from zanith.api.names import API_VERSION, KIND, LABEL_MIGRATION_UID
from zanith.kube.client import Body

MANAGED_BY = {"app.kubernetes.io/managed-by": "zanith", "app.kubernetes.io/part-of": "zanith"}


@dataclass(frozen=True, slots=True)
class Owner:
    """The ZanithMigration an object belongs to."""

    namespace: str
    name: str
    uid: str


def owned_metadata(owner: Owner, name: str, *, labels: dict[str, str], annotations: dict[str, str]) -> Body:
    """Metadata of an object that goes when its migration goes."""
    metadata: Body = {
        "name": name,
        "namespace": owner.namespace,
        "labels": {**MANAGED_BY, LABEL_MIGRATION_UID: owner.uid, **labels},
        "ownerReferences": [
            {
                "apiVersion": API_VERSION,
                "kind": KIND,
                "name": owner.name,
                "uid": owner.uid,
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }
    return {**metadata, "annotations": annotations} if annotations else metadata


def short_digest(*parts: str) -> str:
    """Ten hex characters over the parts, for names."""
    return hashlib.sha256("/".join(parts).encode()).hexdigest()[:10]
