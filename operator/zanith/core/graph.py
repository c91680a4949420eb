"""SchemaGraph: what a database looks like, as immutable data.

Read from the catalog by `zanith.postgres`, projected step by step by the operations, stored in
`_zanith_schema_snapshots` as versioned JSON. Two equal databases give two equal graphs: nothing here depends on oids,
sizes or time. The five tables, `_zanith_dropped_*` columns and tables, and the schema `_zanith_shadow` are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from zanith.core.identifiers import TableKey

FORMAT_VERSION = 1

ConstraintKind = Literal["primary_key", "unique", "check", "foreign_key", "exclude", "not_null"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column; `type` and `default` as PostgreSQL prints them (`format_type`, `pg_get_expr`)."""

    name: str
    type: str
    not_null: bool = False
    default: str | None = None
    identity: Literal["always", "by_default"] | None = None
    generated: Literal["stored", "virtual"] | None = None
    collation: str | None = None
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class Constraint:
    """A constraint; `definition` as `pg_get_constraintdef` prints it.

    NOT NULL constraints (PostgreSQL 18 names them) appear only while they are not validated: a validated one is
    `Column.not_null`, the same on 15 and 18.
    """

    name: str
    kind: ConstraintKind
    definition: str
    columns: tuple[str, ...] = ()
    validated: bool = True
    references: TableKey | None = None


@dataclass(frozen=True, slots=True)
class Index:
    """An index that is not a constraint's own; `definition` as `pg_get_indexdef` prints it."""

    name: str
    definition: str
    columns: tuple[str, ...] = ()
    unique: bool = False
    valid: bool = True


@dataclass(frozen=True, slots=True)
class Trigger:
    """A user's trigger; `definition` as `pg_get_triggerdef` prints it."""

    name: str
    definition: str
    enabled: bool = True
    on_update: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    """A row-level security policy."""

    name: str
    command: str
    permissive: bool
    roles: tuple[str, ...]
    using: str | None = None
    with_check: str | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A table, ordinary or partitioned. Columns are in attribute order, everything else in order of name."""

    schema: str
    name: str
    columns: tuple[Column, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    indexes: tuple[Index, ...] = ()
    triggers: tuple[Trigger, ...] = ()
    policies: tuple[Policy, ...] = ()
    row_security: bool = False
    force_row_security: bool = False
    partition_key: str | None = None
    partition_of: TableKey | None = None
    partition_bound: str | None = None
    persistence: Literal["permanent", "unlogged"] = "permanent"
    comment: str | None = None

    @property
    def key(self) -> TableKey:
        return TableKey(self.schema, self.name)

    def column(self, name: str) -> Column | None:
        return next((c for c in self.columns if c.name == name), None)

    @property
    def primary_key(self) -> Constraint | None:
        return next((c for c in self.constraints if c.kind == "primary_key"), None)

    def with_column(self, column: Column) -> Table:
        """With this column in the place of the one of its name, or at the end."""
        if self.column(column.name) is None:
            return replace(self, columns=(*self.columns, column))
        return replace(self, columns=tuple(column if c.name == column.name else c for c in self.columns))

    def without_column(self, name: str) -> Table:
        """Without the column and what PostgreSQL drops with it: indexes and constraints that use it."""
        return replace(
            self,
            columns=tuple(c for c in self.columns if c.name != name),
            constraints=tuple(c for c in self.constraints if name not in c.columns),
            indexes=tuple(i for i in self.indexes if name not in i.columns),
        )

    def with_index(self, index: Index) -> Table:
        kept = [i for i in self.indexes if i.name != index.name]
        return replace(self, indexes=tuple(sorted([*kept, index], key=lambda i: i.name)))

    def with_constraint(self, constraint: Constraint) -> Table:
        kept = [c for c in self.constraints if c.name != constraint.name]
        return replace(self, constraints=tuple(sorted([*kept, constraint], key=lambda c: c.name)))


@dataclass(frozen=True, slots=True)
class View:
    """A view or materialised view; `depends_on` names (table, column) pairs its query uses."""

    schema: str
    name: str
    materialized: bool
    definition_hash: str
    depends_on: tuple[tuple[TableKey, str], ...] = ()


@dataclass(frozen=True, slots=True)
class EnumType:
    """An enum type and its labels in order."""

    schema: str
    name: str
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Extension:
    """An installed extension and the schema its objects are in."""

    name: str
    schema: str
    version: str


@dataclass(frozen=True, slots=True)
class SchemaGraph:
    """The schema of one database: every user schema, sorted by name."""

    tables: tuple[Table, ...] = ()
    views: tuple[View, ...] = ()
    enums: tuple[EnumType, ...] = ()
    extensions: tuple[Extension, ...] = ()
    format_version: int = FORMAT_VERSION
    _index: dict[TableKey, Table] = field(default_factory=dict, init=False, repr=False, compare=False, hash=False)

    def __post_init__(self) -> None:
        self._index.update({t.key: t for t in self.tables})

    def table(self, key: TableKey) -> Table | None:
        return self._index.get(key)

    def column(self, key: TableKey, name: str) -> Column | None:
        table = self.table(key)
        return None if table is None else table.column(name)

    @property
    def models(self) -> int:
        """Number of tables, partitions not counted."""
        return sum(1 for t in self.tables if t.partition_of is None)

    @property
    def relations(self) -> int:
        """Number of foreign keys, the edges between tables."""
        return sum(1 for t in self.tables for c in t.constraints if c.kind == "foreign_key")

    def with_table(self, table: Table) -> SchemaGraph:
        kept = [t for t in self.tables if t.key != table.key]
        return replace(self, tables=tuple(sorted([*kept, table], key=lambda t: t.key)))

    def with_changed(self, key: TableKey, change: Callable[[Table], Table]) -> SchemaGraph:
        """With the table changed, and all of its partitions: what is done to the columns of one is done to all."""
        changed = {key, *self.partitions(key)}
        return replace(self, tables=tuple(change(t) if t.key in changed else t for t in self.tables))

    def partitions(self, key: TableKey) -> tuple[TableKey, ...]:
        """Partitions of a table, at any depth, in order of name."""
        found: list[TableKey] = []
        if (table := self.table(key)) is not None and table.partition_key is not None:
            for part in self.tables:
                if part.partition_of == key:
                    found += [part.key, *self.partitions(part.key)]
        return tuple(sorted(found))

    def without_table(self, key: TableKey) -> SchemaGraph:
        return replace(self, tables=tuple(t for t in self.tables if t.key != key))

    def incoming_foreign_keys(self, key: TableKey) -> Iterable[tuple[Table, Constraint]]:
        """Foreign keys that reference this table, its own included."""
        for table in self.tables:
            for constraint in table.constraints:
                if constraint.kind == "foreign_key" and constraint.references == key:
                    yield table, constraint


@dataclass(frozen=True, slots=True)
class TableSize:
    """How big a table is, by the catalog: never part of a plan, only of findings and progress."""

    rows: int | None
    """Estimate (`pg_class.reltuples`, partitions summed); None where the table was never analysed."""
    bytes: int


@dataclass(frozen=True, slots=True)
class DatabaseIdentity:
    """Which database this is, whatever name or address it is reached by."""

    system_identifier: str
    oid: int
    name: str


@dataclass(frozen=True, slots=True)
class TriggerBody:
    """A user's trigger and the source text of its function, to find out what names a column."""

    trigger: str
    source: str


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything planning knows of the live database."""

    graph: SchemaGraph
    database: DatabaseIdentity
    server_version: int
    """`server_version_num`, e.g. 180006."""
    default_schema: str
    sizes: Mapping[TableKey, TableSize] = field(default_factory=dict)
    volatile_functions: frozenset[str] = frozenset()
    """Names of functions of which at least one overload is VOLATILE."""
    constrained_domains: frozenset[str] = frozenset()
    """Domains with constraints, as `format_type` prints them: a column of one cannot be added without a scan."""
    not_null_names: Mapping[tuple[TableKey, str], str] = field(default_factory=dict)
    """Names of NOT NULL constraints (PostgreSQL 18), validated or not."""
    available_extensions: Mapping[str, str] = field(default_factory=dict)
    """Default version by name of what CREATE EXTENSION can install."""
    extension_users: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By extension: objects of users that need it, in words: `column public.users.email`."""
    trigger_bodies: Mapping[TableKey, tuple[TriggerBody, ...]] = field(default_factory=dict)
    published: frozenset[TableKey] = frozenset()
    """Tables some publication publishes."""
    without_replica_identity: frozenset[TableKey] = frozenset()
    """Published tables whose UPDATE and DELETE fail or would, for want of a replica identity."""
    standbys: int = 0
    """Streaming standbys and logical subscribers seen; 0 too where the role may not see them."""
    index_scans: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """Scans by (schema, index) since statistics were reset."""
