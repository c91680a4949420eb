"""The spec of a ZanithMigration, exactly as a user writes it. Parsed once, at the border; strict about unknown keys.

Defaults stand here and reach the CRD schema from here; nobody ever writes `spec` but its author.
"""

from __future__ import annotations

import re
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, StrictBool, StrictInt, ValidationError, WithJsonSchema

from zanith.api.names import API_VERSION, KIND, MAX_NAME_LENGTH
from zanith.core.errors import SpecError
from zanith.core.identifiers import TableKey
from zanith.core.risk import ReasonCode
from zanith.operations.operation import Name, SpecModel
from zanith.operations.step import Step
from zanith.operations.step_context import nearest

_DURATION = re.compile(r"^([0-9]{1,12})(ms|s|m|h|d)$")
_OBJECT_NAME = re.compile(r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
_BYTES = re.compile(r"^([0-9]+)(B|KiB|MiB|GiB|TiB)$")
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LONGEST_S = 36_500 * _UNIT_S["d"]
_LONGEST_LOCK_TIMEOUT_S = _UNIT_S["h"]
_UNIT_B = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}


def seconds(duration: str) -> float:
    """`200ms`, `5s`, `10m`, `72h`, `30d` in seconds."""
    match = _DURATION.fullmatch(duration)
    if match is None:
        raise ValueError("must be a number and a unit: ms, s, m, h or d")
    return int(match[1]) * _UNIT_S[match[2]]


def size_in_bytes(size: str) -> int:
    """`1GiB` in bytes."""
    match = _BYTES.fullmatch(size)
    if match is None:
        raise ValueError("must be a number and a unit: B, KiB, MiB, GiB or TiB")
    return int(match[1]) * _UNIT_B[match[2]]


def _positive(duration: str) -> str:
    if seconds(duration) <= 0:
        raise ValueError("must be longer than zero")
    if seconds(duration) > _LONGEST_S:
        raise ValueError("must be at most 36500d, a hundred years")
    return duration


_DURATION_SCHEMA = {"type": "string", "pattern": _DURATION.pattern, "maxLength": 20}
# The pattern goes to the CRD; here our own words say what is wrong.


def _brief(duration: str) -> str:
    if seconds(duration) > _LONGEST_LOCK_TIMEOUT_S:
        raise ValueError("must be at most 1h: as long, others wait behind it")
    return duration


def _period(retention: str) -> str:
    return retention if retention == "forever" else _positive(retention)


Duration = Annotated[str, AfterValidator(_positive), WithJsonSchema(_DURATION_SCHEMA)]
ByteSize = Annotated[str, Field(pattern=_BYTES.pattern, max_length=20)]
ObjectName = Annotated[str, Field(min_length=1, max_length=253, pattern=_OBJECT_NAME.pattern)]


class Approval(StrEnum):
    """Whether a person has to approve the plan by its hash."""

    AUTO = "Auto"
    REQUIRED = "Required"


class ExpiryPolicy(StrEnum):
    """What happens to an artifact at `expires_at`."""

    RETAIN = "Retain"
    PURGE = "Purge"


class ReadyWhen(StrEnum):
    """When a GitOps wave may go on."""

    APPLIED = "Applied"
    SCHEMA_READY = "SchemaReady"


class DesiredState(StrEnum):
    """What the author wants the migration to be."""

    APPLIED = "Applied"
    REVERTED = "Reverted"


class SecretRef(SpecModel):
    """A Secret of the same namespace."""

    name: ObjectName
    """Name of the Secret. Keys: `uri`, or `host`, `port`, `dbname`, `user`, `password`, `sslmode`; and `ca.crt`."""


class Database(SpecModel):
    """The database the migration is for."""

    secret_ref: SecretRef
    """The Secret the Job connects with; it needs the right to change the schema."""
    observer_secret_ref: SecretRef | None = None
    """The Secret the operator reads with, on the primary. Default: `secretRef`."""
    schema_name: Name = Field("public", alias="schema")
    """Where the five tables and unqualified names live."""

    @property
    def observer(self) -> str:
        """Name of the Secret the operator reads with."""
        return (self.observer_secret_ref or self.secret_ref).name


class Gates(SpecModel):
    """What the plan must not exceed. On by default."""

    max_risk: StrictInt = Field(60, ge=0, le=100)
    """The highest score a step may have: 5 safe, 15 low, 35 medium, 60 high, 80 destructive, 95 blocked."""
    allow_destructive: StrictBool = False
    """Whether steps may take data away for good. `maxRisk` is looked at first."""
    forbid_reasons: list[ReasonCode] = Field(default_factory=list, max_length=50)
    """Reason codes no step may have."""
    approval: Approval = Approval.AUTO
    """`Required`: nothing runs before the annotation `zanith.io/approve` holds the plan's hash."""


class Throttle(SpecModel):
    """How gentle backfills are. Can be changed while a migration runs."""

    target_batch: Duration = "200ms"
    """How long one batch should take."""
    lanes: StrictInt = Field(1, ge=1, le=16)
    """Parallel key ranges."""
    max_replica_lag: Duration = "5s"
    """Hold while a standby is further behind."""
    max_wal_backlog: ByteSize = "1GiB"
    """Hold while more WAL waits to be archived."""
    max_transaction_age: Duration = "10m"
    """Hold while a transaction is older."""
    max_active_sessions: StrictInt = Field(0, ge=0)
    """Hold while more sessions are active; 0: no limit."""
    yield_to_autovacuum: StrictBool = True
    """Hold while autovacuum works on the table."""
    query: str = Field("", max_length=10_000)
    """A SQL query of one number; hold while it is above zero."""


class ResourceRequirements(SpecModel):
    """Compute resources of the Job's container, as in a Pod."""

    model_config = ConfigDict(extra="forbid")
    requests: dict[str, str] = Field(default_factory=dict)
    """Requests by resource name."""
    limits: dict[str, str] = Field(default_factory=dict)
    """Limits by resource name."""


class Toleration(SpecModel):
    """A Pod toleration."""

    key: str = ""
    """Taint key; empty with operator Exists matches all."""
    operator: Annotated[str, Field(pattern="^(Exists|Equal)$")] = "Equal"
    """`Exists` or `Equal`."""
    value: str = ""
    """Taint value."""
    effect: Annotated[str, Field(pattern="^(|NoSchedule|PreferNoSchedule|NoExecute)$")] = ""
    """Taint effect; empty matches all."""
    toleration_seconds: StrictInt | None = None
    """How long a NoExecute taint is tolerated."""


class JobSettings(SpecModel):
    """The Job's pod."""

    service_account_name: str = Field("", max_length=253)
    """ServiceAccount of the pod; its token is never mounted."""
    resources: ResourceRequirements = Field(default_factory=lambda: ResourceRequirements())
    """Requests and limits of the container."""
    node_selector: dict[str, str] = Field(default_factory=dict)
    """Node labels the pod needs."""
    tolerations: list[Toleration] = Field(default_factory=list, max_length=50)
    """Tolerations of the pod."""
    image_pull_secrets: list[SecretRef] = Field(default_factory=list, max_length=20)
    """Secrets to pull the image with."""


class Execution(SpecModel):
    """How the migration is run; the only part that may change while it runs."""

    lock_timeout: Annotated[Duration, AfterValidator(_brief)] = "2s"
    """The longest a statement may wait for a strong lock, and so make others wait behind it. A ceiling."""
    probe_timeout: Duration = "10m"
    """The longest a question to the data may take before a step; one that is not answered by then refuses the step."""
    throttle: Throttle = Field(default_factory=lambda: Throttle())
    """How gentle backfills are."""
    job: JobSettings = Field(default_factory=lambda: JobSettings())
    """The Job's pod."""
    progress_deadline: Duration = "30m"
    """Stalled after this long without a heartbeat."""
    crash_limit: StrictInt = Field(6, ge=1, le=1000)
    """Crashes without progress before the migration is stalled."""


class MigrationSpec(SpecModel):
    """What a ZanithMigration asks for."""

    migration_id: str = Field("", max_length=200, pattern=r"^[^\x00-\x1f]*$")
    """The key in the five tables. Default: `metadata.name`."""
    database: Database
    """The database the migration is for."""
    depends_on: list[ObjectName] = Field(default_factory=list, max_length=100)
    """ZanithMigrations of this namespace that must be Ready first."""
    steps: list[Step] = Field(min_length=1, max_length=500)
    """The operations, in order; one key each, the kind."""
    gates: Gates = Field(default_factory=lambda: Gates())
    """What the plan must not exceed."""
    execution: Execution = Field(default_factory=lambda: Execution())
    """How it is run."""
    retention: Annotated[
        str, Field(pattern=r"^(forever|[0-9]+(ms|s|m|h|d))$", max_length=20), AfterValidator(_period)
    ] = "forever"
    """Life of the artifacts: `forever`, or a duration such as `30d`."""
    expiry_policy: ExpiryPolicy = ExpiryPolicy.RETAIN
    """`Retain` warns and keeps, `Purge` removes at expiry."""
    expiry_warning: Duration = "72h"
    """How long before an expiry the condition ArtifactsExpiring is set."""
    ready_when: ReadyWhen = ReadyWhen.APPLIED
    """When `Ready` becomes True."""
    suspend: StrictBool = False
    """Stop after the current batch and wait."""
    state: DesiredState = DesiredState.APPLIED
    """What the migration should be."""

    @property
    def retention_period(self) -> timedelta | None:
        """Life of the artifacts; None is for ever."""
        return None if self.retention == "forever" else timedelta(seconds=seconds(self.retention))

    def table_key(self, schema: str | None, table: str) -> TableKey:
        """The table an operation names."""
        return TableKey(schema or self.database.schema_name, table)


def parse_spec(spec: Any, *, name: str) -> MigrationSpec:
    """The spec of a resource called `name`, with `migration_id` filled in. Raises SpecError naming each field by path."""
    if not isinstance(spec, dict):
        raise SpecError("spec: must be a mapping")
    try:
        # Only the wire names: `max_risk` beside `maxRisk` would get past whoever looks at the manifest before us.
        parsed = MigrationSpec.model_validate(spec, by_alias=True, by_name=False)
    except ValidationError as error:
        raise SpecError(_problems(error, spec)) from None
    return parsed if parsed.migration_id else parsed.model_copy(update={"migration_id": name})


def parse_manifest(document: Any) -> tuple[str, MigrationSpec]:
    """Name and spec of a whole manifest, as the CLI reads it. Raises SpecError."""
    if not isinstance(document, dict):
        raise SpecError("the document must be a mapping")
    if document.get("apiVersion") != API_VERSION or document.get("kind") != KIND:
        raise SpecError(f"apiVersion and kind must be {API_VERSION} and {KIND}")
    unknown = sorted(str(key) for key in document.keys() - {"apiVersion", "kind", "metadata", "spec", "status"})
    if unknown:
        raise SpecError(f"{unknown[0]}: unknown key{nearest(unknown[0], ['metadata', 'spec'])}")
    metadata = document.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if not isinstance(name, str) or not name:
        raise SpecError("metadata.name: is required")
    if len(name) > MAX_NAME_LENGTH:
        raise SpecError(f"metadata.name: is {len(name)} characters long; at most {MAX_NAME_LENGTH}")
    if _OBJECT_NAME.fullmatch(name) is None:
        raise SpecError(
            "metadata.name: must be lower-case letters, digits, - and ., and begin and end with a letter or digit"
        )
    return name, parse_spec(document.get("spec"), name=name)


def _problems(error: ValidationError, spec: dict[str, Any]) -> list[str]:
    """Each error as `spec.steps[0].backfill.wehre: unknown key (did you mean where?)`."""
    found = []
    for item in error.errors(include_url=False, include_input=False):
        path = _path(item["loc"])
        if item["type"] == "extra_forbidden":
            found.append(f"{path}: unknown key{_nearest_key(item['loc'])}")
        elif item["type"] == "missing":
            found.append(f"{path}: is required")
        else:
            message = str(item["msg"]).removeprefix("Value error, ")
            found.append(f"{path}: {message[:1].lower()}{message[1:]}")
    return found


def _path(location: tuple[int | str, ...]) -> str:
    text = "spec"
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text


def _nearest_key(location: tuple[int | str, ...]) -> str:
    """The known key of that place closest to the unknown one."""
    model: Any = MigrationSpec
    for part in (p for p in location[:-1] if isinstance(p, str)):
        fields = getattr(model, "model_fields", {})
        field = next((f for n, f in fields.items() if part in (n, f.alias)), None)
        model = _model_in(getattr(field, "annotation", None))
    known = [f.alias or n for n, f in getattr(model, "model_fields", {}).items()]
    return nearest(str(location[-1]), known)


def _model_in(annotation: Any) -> Any:
    """The model class inside `X`, `X | None`, `list[X]` or `Annotated[X, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, SpecModel):
        return annotation
    inner = (_model_in(part) for part in getattr(annotation, "__args__", ()))
    return next((model for model in inner if model is not None), None)
