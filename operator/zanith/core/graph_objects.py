"""What a schema graph holds beside tables and views: types, sequences, functions, extensions. Immutable data.

`SINCE` on a field says from which format of stored graphs on it is kept; fields without it were always there. Bodies of
functions are never kept, only a hash of them: they may hold what a snapshot must not, and are long.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

SINCE = "since"
SINCE_2 = {SINCE: 2}

FunctionKind = Literal["function", "procedure", "aggregate", "window"]


@dataclass(frozen=True, slots=True)
class EnumType:
    """An enum type and its labels in order."""

    schema: str
    name: str
    labels: tuple[str, ...]
    comment: str | None = field(default=None, metadata=SINCE_2)


@dataclass(frozen=True, slots=True)
class DomainCheck:
    """A CHECK of a domain; `definition` as `pg_get_constraintdef` prints it."""

    name: str
    definition: str
    validated: bool = True
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class Domain:
    """A domain; `type` is what it is made of, which may be a domain again."""

    schema: str
    name: str
    type: str
    not_null: bool = False
    default: str | None = None
    collation: str | None = None
    checks: tuple[DomainCheck, ...] = ()
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class Sequence:
    """A sequence that belongs to no column. Not where it stands: that is data."""

    schema: str
    name: str
    type: str = "bigint"
    start: int = 1
    increment: int = 1
    minimum: int = 1
    maximum: int = 9223372036854775807
    cache: int = 1
    cycle: bool = False
    persistence: Literal["permanent", "unlogged"] = "permanent"
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class Function:
    """A function, procedure or aggregate. `arguments` are the types that tell it from others of its name; the hash is of
    all that defines it, its options included."""

    schema: str
    name: str
    arguments: str
    language: str
    definition_hash: str
    kind: FunctionKind = "function"
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class Extension:
    """An installed extension and the schema its objects are in."""

    name: str
    schema: str
    version: str
