"""What is written to the API server. Creating is idempotent: the name is the same for the same thing, so on a conflict
the owner and the content are compared. A foreign object of that name is never touched.
"""

from __future__ import annotations

from typing import Any

from zanith.api.names import ANNOTATION_PLAN_HASH, GROUP, VERSION
from zanith.kube.client import Body, Exists, Invalid, KubeClient, KubeError, NotFound
from zanith.kube.job import ANNOTATION_RUN_HASH
from zanith.kube.reading import CONFIG_MAPS, JOBS, MIGRATIONS, Kind, path_of, read_object


class Taken(KubeError):
    """The name belongs to an object that is not ours, or to an earlier one that is still being deleted."""


def owner_uid(body: Body) -> str:
    """The uid of the ZanithMigration that controls an object, or nothing."""
    for owner in body.get("metadata", {}).get("ownerReferences") or []:
        if owner.get("controller") and owner.get("apiVersion") == f"{GROUP}/{VERSION}":
            return str(owner.get("uid", ""))
    return ""


async def create_job(kube: KubeClient, job: Body) -> Body:
    """Create a Job, or find the very same one. Raises Taken, Forbidden, Invalid, KubeError."""
    namespace, name = job["metadata"]["namespace"], job["metadata"]["name"]
    try:
        return await kube.request("POST", path_of(JOBS, namespace), body=job)
    except Exists:
        found = await _found(kube, JOBS, namespace, name)
    same = all(_annotation(found, key) == _annotation(job, key) for key in (ANNOTATION_PLAN_HASH, ANNOTATION_RUN_HASH))
    if _ours(found, job) and same:
        return found
    raise Taken(f"Job {name} exists and is not this attempt's")


async def put_immutable(kube: KubeClient, config_map: Body) -> None:
    """Create an immutable ConfigMap; one of ours with other content is replaced. Raises Taken, Invalid, KubeError."""
    namespace, name = config_map["metadata"]["namespace"], config_map["metadata"]["name"]
    for _ in range(2):
        try:
            await kube.request("POST", path_of(CONFIG_MAPS, namespace), body=config_map)
            return
        except Exists:
            found = await _found(kube, CONFIG_MAPS, namespace, name)
        if not _ours(found, config_map):
            break
        if found.get("data") == config_map["data"]:
            return
        await _delete(kube, CONFIG_MAPS, namespace, name, str(found["metadata"]["uid"]))
    raise Taken(f"ConfigMap {name} exists and is not this migration's")


async def put_mutable(kube: KubeClient, config_map: Body) -> None:
    """Create a ConfigMap, or bring ours up to date. Raises Taken, KubeError."""
    namespace, name = config_map["metadata"]["namespace"], config_map["metadata"]["name"]
    try:
        await kube.request("POST", path_of(CONFIG_MAPS, namespace), body=config_map)
        return
    except Exists:
        found = await _found(kube, CONFIG_MAPS, namespace, name)
    if not _ours(found, config_map):
        raise Taken(f"ConfigMap {name} exists and is not this migration's")
    if found.get("data") != config_map["data"]:
        await _json_patch(
            kube,
            path_of(CONFIG_MAPS, namespace, name),
            [
                {"op": "test", "path": "/metadata/uid", "value": found["metadata"]["uid"]},
                {"op": "add", "path": "/data", "value": config_map["data"]},
            ],
        )


async def delete_job(kube: KubeClient, namespace: str, name: str, uid: str) -> None:
    """Delete a Job in the foreground: it is gone when its pod is. One of another uid, or none, is left alone."""
    await _delete(kube, JOBS, namespace, name, uid)


async def delete_config_map(kube: KubeClient, namespace: str, name: str, migration_uid: str) -> None:
    """Delete a ConfigMap of a migration; one that is not its own is left alone."""
    try:
        found = await read_object(kube, CONFIG_MAPS, namespace, name)
    except NotFound:
        return
    if owner_uid(found) == migration_uid:
        await _delete(kube, CONFIG_MAPS, namespace, name, str(found["metadata"]["uid"]))


async def write_status(kube: KubeClient, namespace: str, name: str, uid: str, status: Body) -> Body:
    """Set `.status` of this very resource and return the resource. Raises NotFound where it is gone or another now."""
    operations: list[dict[str, Any]] = [
        {"op": "test", "path": "/metadata/uid", "value": uid},
        {"op": "add", "path": "/status", "value": status},
    ]
    try:
        return await _json_patch(kube, f"{path_of(MIGRATIONS, namespace, name)}/status", operations)
    except Invalid as error:
        found = await read_object(kube, MIGRATIONS, namespace, name)
        if found["metadata"]["uid"] != uid:
            raise NotFound(f"{name} is another resource now", status=404) from None
        raise error


async def post_event(kube: KubeClient, event: Body) -> None:
    """Create an event; one of the same name has been told already."""
    namespace = event["metadata"]["namespace"]
    try:
        await kube.request("POST", f"/apis/events.k8s.io/v1/namespaces/{namespace}/events", body=event)
    except Exists:
        return


async def _json_patch(kube: KubeClient, path: str, operations: list[dict[str, Any]]) -> Body:
    return await kube.request("PATCH", path, body=operations, content_type="application/json-patch+json")


async def _delete(kube: KubeClient, kind: Kind, namespace: str, name: str, uid: str) -> None:
    options = {"propagationPolicy": "Foreground", "preconditions": {"uid": uid}}
    try:
        await kube.request("DELETE", path_of(kind, namespace, name), body=options)
    except (NotFound, Exists):  # 409: the precondition does not hold, so ours is gone
        return


async def _found(kube: KubeClient, kind: Kind, namespace: str, name: str) -> Body:
    """The object in the way. Raises Taken where it is leaving."""
    try:
        found = await read_object(kube, kind, namespace, name)
    except NotFound:
        raise Taken(f"{kind[1]} {name} went away meanwhile") from None
    if found["metadata"].get("deletionTimestamp"):
        raise Taken(f"{kind[1]} {name} is being deleted")
    return found


def _ours(found: Body, wanted: Body) -> bool:
    return owner_uid(found) == owner_uid(wanted) != ""


def _annotation(body: Body, key: str) -> str:
    return str((body["metadata"].get("annotations") or {}).get(key, ""))
