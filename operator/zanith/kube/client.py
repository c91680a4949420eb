"""One connection to the API server, and its answers as plain data or as one of four errors.

Everything else in this package and above goes through `KubeClient.request`. Bodies are never logged: they may hold
Secrets. The text of an error is the server's `message`, cut short, which names objects and fields only.
"""

from __future__ import annotations

import json
from types import TracebackType
from typing import Any

import aiohttp
from kubernetes.aio import client as _client
from kubernetes.aio import config as _config

# The package has no types.
client: Any = _client
config: Any = _config

TIMEOUT_S = 30.0
_MESSAGE_LIMIT = 400

Body = dict[str, Any]


class KubeError(Exception):
    """The API server did not do what it was asked to; by itself this heals (outage, overload, timeout)."""

    def __init__(self, message: str, *, status: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


class NotFound(KubeError):
    """404: there is no such object, or no such kind."""


class Forbidden(KubeError):
    """403: not allowed to us, or refused by an admission plug-in or a quota."""


class Exists(KubeError):
    """409 on create: an object of that name is there already."""


class Invalid(KubeError):
    """400, 413 or 422: the object is not a valid one; sending it again would not help."""


_BY_STATUS = {400: Invalid, 403: Forbidden, 404: NotFound, 409: Exists, 413: Invalid, 422: Invalid}


class KubeClient:
    """Requests to one API server. Close it, or use it in `async with`."""

    def __init__(self, configuration: Any, *, timeout_s: float = TIMEOUT_S) -> None:
        self._api = client.ApiClient(configuration)
        self._timeout_s = timeout_s

    async def __aenter__(self) -> KubeClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> Body:
        """One request. Raises KubeError or one of its kinds."""
        headers = {"Accept": "application/json", "Content-Type": content_type}
        try:
            url, sent = await self._prepared(method, path, query, headers)
            response = await self._api.call_api(method, url, sent, body, _request_timeout=self._timeout_s)
            raw = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise KubeError(f"the API server cannot be reached ({type(error).__name__})") from None
        answer = _parsed(raw)
        if 200 <= response.status <= 299:
            return answer
        raise _error(response.status, answer)

    async def _prepared(
        self, method: str, path: str, query: dict[str, str] | None, headers: dict[str, str]
    ) -> tuple[str, dict[str, str]]:
        """URL and headers, with the token of the moment in them."""
        serialized = await self._api.param_serialize(
            method,
            path,
            query_params=list((query or {}).items()),
            header_params=headers,
            auth_settings=["BearerToken"],
        )
        return serialized[1], serialized[2]


async def connect(*, timeout_s: float = TIMEOUT_S) -> KubeClient:
    """By the pod's ServiceAccount, or else by KUBECONFIG. Raises KubeError where there is neither."""
    configuration = client.Configuration()
    try:
        config.load_incluster_config(client_configuration=configuration)
    except config.ConfigException:
        try:
            await config.load_kube_config(client_configuration=configuration)
        except config.ConfigException as error:
            raise KubeError(
                "neither a ServiceAccount (in a pod) nor KUBECONFIG says which API server to use"
            ) from error
    return KubeClient(configuration, timeout_s=timeout_s)


def _parsed(raw: bytes) -> Body:
    try:
        answer = json.loads(raw)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _error(status: int, answer: Body) -> KubeError:
    message = str(answer.get("message") or f"the API server answered {status}")
    return _BY_STATUS.get(status, KubeError)(message[:_MESSAGE_LIMIT], status=status)
