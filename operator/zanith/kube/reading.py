"""What is read from the API server: named Secrets, and lists of our own three kinds."""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncIterator
from urllib.parse import quote

from zanith.api.names import GROUP, LABEL_MIGRATION_UID, PLURAL, VERSION
from zanith.kube.client import Body, KubeClient

_CHUNK = "500"

MIGRATIONS = (f"/apis/{GROUP}/{VERSION}", PLURAL, "")
JOBS = ("/apis/batch/v1", "jobs", LABEL_MIGRATION_UID)
PODS = ("/api/v1", "pods", LABEL_MIGRATION_UID)
CONFIG_MAPS = ("/api/v1", "configmaps", LABEL_MIGRATION_UID)
Kind = tuple[str, str, str]
"""Where a kind is served, its plural, and the label its objects are selected by, if any."""


def path_of(kind: Kind, namespace: str | None, name: str = "") -> str:
    """The path of one object, or of all of them in a namespace or in the cluster."""
    prefix, plural, _ = kind
    where = f"{prefix}/namespaces/{quote(namespace, safe='')}" if namespace is not None else prefix
    return f"{where}/{plural}/{quote(name, safe='')}" if name else f"{where}/{plural}"


async def read_secret(kube: KubeClient, namespace: str, name: str) -> dict[str, str]:
    """The decoded keys of one named Secret; a key that is not text is left out. Raises NotFound, Forbidden, KubeError."""
    secret = await kube.request("GET", path_of(("/api/v1", "secrets", ""), namespace, name))
    keys = {}
    for key, value in (secret.get("data") or {}).items():
        try:
            keys[key] = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            continue
    return keys


async def read_object(kube: KubeClient, kind: Kind, namespace: str, name: str) -> Body:
    """One object. Raises NotFound, KubeError."""
    return await kube.request("GET", path_of(kind, namespace, name))


async def list_objects(kube: KubeClient, kind: Kind, namespace: str | None) -> AsyncIterator[Body]:
    """All objects of a kind, in chunks; of every namespace where it is None. Raises NotFound, Forbidden, KubeError."""
    query = {"limit": _CHUNK}
    if kind[2]:
        query["labelSelector"] = kind[2]
    while True:
        page = await kube.request("GET", path_of(kind, namespace), query=query)
        for item in page.get("items") or []:
            yield item
        following = (page.get("metadata") or {}).get("continue")
        if not following:
            return
        query["continue"] = following
