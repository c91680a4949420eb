"""What the operator reacts to: a table of contents. Each handler passes the news on and returns; none writes anything.

Only `on.event` handlers: kopf then puts no finalizer and no annotation on anything. `kopf run -m` works with this module.
"""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import kopf

from zanith.api.names import GROUP, LABEL_MIGRATION_UID, PLURAL, VERSION
from zanith.controller.control import CannotStart, Controller
from zanith.controller.kopf_settings import configure
from zanith.controller.operator import read_settings, start_controller
from zanith.logs import configure_logs

REGISTRY = kopf.get_default_registry()
_OURS = {LABEL_MIGRATION_UID: kopf.PRESENT}
_ONCE = kopf.ErrorsMode.PERMANENT


@kopf.on.startup(errors=_ONCE)
async def start(settings: kopf.OperatorSettings, memo: Any, **_: Any) -> None:
    configure(settings)
    try:
        ours = memo.get("settings") or read_settings()
        configure_logs(ours.log_level)  # again: `kopf run` has set its own before
        memo.controller = await start_controller(ours)
    except CannotStart as error:
        raise kopf.PermanentError(error.message) from error


@kopf.on.cleanup(errors=_ONCE)
async def stop(memo: Any, **_: Any) -> None:
    controller: Controller | None = memo.get("controller")
    if controller is not None:
        await controller.stop()


@kopf.on.login(errors=_ONCE)
def log_in(**kwargs: Any) -> kopf.ConnectionInfo | None:
    return in_cluster(kopf.login_with_service_account(**kwargs)) or kopf.login_with_kubeconfig(**kwargs)


def in_cluster(given: kopf.ConnectionInfo | None) -> kopf.ConnectionInfo | None:
    """By the address every pod is told, as client-go does: kopf's own is a DNS name, which needs a working cluster DNS."""
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if given is None or not host:
        return given
    address = f"[{host}]" if ":" in host else host
    return dataclasses.replace(given, server=f"https://{address}:{port}")


@kopf.on.probe(id="watching", errors=_ONCE)
async def watching(memo: Any, **_: Any) -> str:
    problem = memo.controller.problem()
    if problem:
        raise kopf.PermanentError(problem)
    return "ok"


@kopf.on.event(GROUP, VERSION, PLURAL)
async def migration(event: kopf.RawEvent, memo: Any, **_: Any) -> None:
    memo.controller.migration_seen(event["object"], gone=event["type"] == "DELETED")


@kopf.on.event("batch", "v1", "jobs", labels=_OURS)
async def job(event: kopf.RawEvent, memo: Any, **_: Any) -> None:
    memo.controller.job_seen(event["object"], gone=event["type"] == "DELETED")


@kopf.on.event("v1", "pods", labels=_OURS)
async def pod(event: kopf.RawEvent, memo: Any, **_: Any) -> None:
    memo.controller.pod_seen(event["object"], gone=event["type"] == "DELETED")
