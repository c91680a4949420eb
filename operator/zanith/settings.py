"""Settings of the operator: read from the environment once, when it starts, and passed on from there.

Each is the environment variable `ZANITH_` + its name in capitals. What concerns one migration stands in its spec.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


class Settings(BaseSettings):
    """What an operator is told about itself."""

    model_config = SettingsConfigDict(env_prefix="ZANITH_", frozen=True, extra="ignore", use_attribute_docstrings=True)

    image: str = Field(min_length=1)
    """Image of the Jobs: the operator's own."""
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    """Pull policy of the Jobs' image."""
    namespaces: Annotated[tuple[str, ...], NoDecode] = ()
    """Namespaces to serve, separated by commas; none given: the whole cluster."""
    workers: int = Field(16, ge=1, le=500)
    """Migrations looked at side by side."""
    database_connections: int = Field(8, ge=1, le=200)
    """Databases read side by side, each by one short connection."""
    job_limit: int = Field(50, ge=1)
    """Jobs that may run at the same time; on one database it is always one."""
    resync_s: float = Field(300.0, gt=0)
    """How often everything is listed and compared with what was seen."""
    resync_grace_s: float = Field(10.0, ge=0)
    """How far the watch may be behind such a list."""
    look_s: float = Field(50.0, gt=0)
    """How often each database with migrations at rest is asked whether somebody else has changed their ledger."""
    progress_interval_s: float = Field(10.0, ge=0)
    """The least time between two writes of a backfill's progress."""
    request_timeout_s: float = Field(30.0, gt=0)
    """Timeout of a request to the API server."""
    liveness_endpoint: str = "http://0.0.0.0:8080/healthz"
    """Where the liveness probe is answered; empty: nowhere."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """The least level of log lines."""
    pod_name: str = ""
    """Name of the operator's pod, shown as the source of events."""

    @field_validator("namespaces", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(n.strip() for n in value.split(",") if n.strip()) if isinstance(value, str) else value
