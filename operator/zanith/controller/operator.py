"""The operator as a process: `zanith operator`. kopf watches, starts, stops and answers probes; the rest is ours."""

from __future__ import annotations

import asyncio
import sys

import kopf
import structlog
from pydantic import ValidationError

from zanith.controller.control import CannotStart, Controller
from zanith.kube.client import KubeError, connect
from zanith.logs import configure_logs
from zanith.settings import Settings

log = structlog.get_logger(__name__)


def read_settings() -> Settings:
    """From the environment. Raises CannotStart naming the variable."""
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = "_".join(str(part) for part in first["loc"]).upper()
        raise CannotStart(f"setting ZANITH_{name}: {first['msg'][:1].lower()}{first['msg'][1:]}") from None


async def start_controller(settings: Settings) -> Controller:
    """Connect and begin to work. Raises CannotStart."""
    try:
        kube = await connect(timeout_s=settings.request_timeout_s)
    except KubeError as error:
        raise CannotStart(error.message) from error
    controller = Controller(settings, kube)
    try:
        await controller.start()
    except CannotStart:
        await controller.stop()
        raise
    return controller


def run_operator() -> None:
    """Run until SIGTERM. Exits with 1 where the operator could not start or had to give up."""
    configure_logs()
    try:
        settings = read_settings()
    except CannotStart as error:
        log.error("operator_cannot_start", message=error.message)
        sys.exit(1)
    configure_logs(settings.log_level)
    memo = kopf.Memo(settings=settings)
    failure = asyncio.run(_run(settings, memo))
    if failure:
        log.error("operator_ended", message=failure)
        sys.exit(1)


async def _run(settings: Settings, memo: kopf.Memo) -> str:
    """Until the end; why it came, or nothing where it was asked for."""
    from zanith.controller import handlers  # registers with kopf: only where kopf runs

    try:
        await kopf.operator(
            registry=handlers.REGISTRY,
            clusterwide=not settings.namespaces,
            namespaces=settings.namespaces,
            standalone=True,
            liveness_endpoint=settings.liveness_endpoint or None,
            memo=memo,
        )
    except asyncio.CancelledError:
        return ""
    except Exception as error:  # noqa: BLE001 -- the end of the process: kopf raises what its tasks died of, of any kind
        cause = error.__cause__ or error
        return str(cause) if isinstance(cause, kopf.PermanentError) else f"kopf ended with {type(cause).__name__}"
    controller: Controller | None = memo.get("controller")
    return controller.failure if controller is not None else "the operator never started"
