"""SchemaGraph: what a database looks like, as immutable data.

Read from the catalog by `zanith.postgres`, projected step by step by the operations, stored in
`_zanith_schema_snapshots` as versioned JSON. Two equal databases give two equal graphs: nothing here depends on oids,
sizes or time. The five tables, `_zanith_dropped_*` columns and tables, and the schema `_zanith_shadow` are left out, and
so is what belongs to an extension. Definitions are in their settled form (`zanith.core.graph_forms`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeVar

from zanith.core.graph_objects import SINCE_2, Domain, Function, Sequence
from zanith.core.graph_objects import EnumType as EnumType
from zanith.core.graph_objects import Extension as Extension
from zanith.core.identifiers import TableKey
from zanith.core.known_code import KnownCode
from zanith.core.surroundings import (
    Dependent,
    ExtensionVersion,
    FunctionBody,
    Publication,
    SyncTrigger,
    TriggerBody,
)

FORMAT_VERSION = 2

_K = TypeVar("_K")
_V = TypeVar("_V")

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
    identity_options: str | None = field(default=None, metadata=SINCE_2)
    """Of its sequence, those that are not what IDENTITY alone gives: `START WITH 1000 CACHE 5`."""


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
    comment: str | None = field(default=None, metadata=SINCE_2)


@dataclass(frozen=True, slots=True)
class Index:
    """An index that is not a constraint's own; `definition` as `pg_get_indexdef` prints it."""

    name: str
    definition: str
    columns: tuple[str, ...] = ()
    unique: bool = False
    valid: bool = True
    comment: str | None = field(default=None, metadata=SINCE_2)


@dataclass(frozen=True, slots=True)
class Trigger:
    """A user's trigger; `definition` as `pg_get_triggerdef` prints it."""

    name: str
    definition: str
    enabled: bool = True
    on_update: bool = False
    comment: str | None = field(default=None, metadata=SINCE_2)


@dataclass(frozen=True, slots=True)
class Policy:
    """A row-level security policy."""

    name: str
    command: str
    permissive: bool
    roles: tuple[str, ...]
    using: str | None = None
    with_check: str | None = None
    comment: str | None = field(default=None, metadata=SINCE_2)


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

    def without_index(self, name: str) -> Table:
        return replace(self, indexes=tuple(i for i in self.indexes if i.name != name))

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
    options: tuple[str, ...] = field(default=(), metadata=SINCE_2)
    """As `security_invoker=true`."""
    indexes: tuple[Index, ...] = field(default=(), metadata=SINCE_2)
    triggers: tuple[Trigger, ...] = field(default=(), metadata=SINCE_2)
    comment: str | None = field(default=None, metadata=SINCE_2)


@dataclass(frozen=True, slots=True)
class SchemaGraph:
    """The schema of one database: every user schema, sorted by name."""

    tables: tuple[Table, ...] = ()
    views: tuple[View, ...] = ()
    enums: tuple[EnumType, ...] = ()
    extensions: tuple[Extension, ...] = ()
    domains: tuple[Domain, ...] = field(default=(), metadata=SINCE_2)
    sequences: tuple[Sequence, ...] = field(default=(), metadata=SINCE_2)
    functions: tuple[Function, ...] = field(default=(), metadata=SINCE_2)
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

    def with_changed(
        self, key: TableKey, change: Callable[[Table], Table], *, also: Iterable[TableKey] = ()
    ) -> SchemaGraph:
        """With the table changed, and all of its partitions: what is done to the columns of one is done to all.

        `also` are those that inherit from it."""
        changed = {key, *self.partitions(key), *also}
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
    mutable_functions: frozenset[str] = frozenset()
    """Names of functions of which no overload is IMMUTABLE."""
    other_relations: frozenset[TableKey] = frozenset()
    """Sequences, foreign tables and composite types: they share the names of tables, and the graph has none of them."""
    constrained_domains: frozenset[str] = frozenset()
    """Domains with constraints, as `format_type` prints them: a column of one cannot be added without a scan."""
    not_null_names: Mapping[tuple[TableKey, str], str] = field(default_factory=dict)
    """Names of NOT NULL constraints (PostgreSQL 18), validated or not."""
    available_extensions: Mapping[str, str] = field(default_factory=dict)
    """Default version by name of what CREATE EXTENSION can install."""
    extension_versions: Mapping[tuple[str, str], ExtensionVersion] = field(default_factory=dict)
    """Every (name, version) that can be installed."""
    extension_users: Mapping[str, tuple[Dependent, ...]] = field(default_factory=dict)
    """By extension: objects of users and other extensions that need it, so that it cannot be dropped."""
    extension_functions: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """By installed extension: names of its functions, to find them in the source of users' functions."""
    extension_tables: Mapping[TableKey, str] = field(default_factory=dict)
    """Tables that belong to an extension, which the graph leaves out."""
    dependents: Mapping[TableKey, tuple[Dependent, ...]] = field(default_factory=dict)
    """By table: what keeps it from being dropped, beside the views, foreign keys and policies of the graph."""
    functions: tuple[FunctionBody, ...] = ()
    """Functions and procedures of users whose source is text."""
    rules: Mapping[TableKey, tuple[Dependent, ...]] = field(default_factory=dict)
    """By table: rules on tables, its own or another's, that use columns of it."""
    trigger_bodies: Mapping[TableKey, tuple[TriggerBody, ...]] = field(default_factory=dict)
    sync_triggers: Mapping[TableKey, tuple[SyncTrigger, ...]] = field(default_factory=dict)
    """Our own triggers that an archiveColumn which never ended has left on a table."""
    sequences: Mapping[TableKey, tuple[str, ...]] = field(default_factory=dict)
    """Sequences that belong to columns of a table, in its schema."""
    hidden_indexes: Mapping[TableKey, tuple[str, ...]] = field(default_factory=dict)
    """Indexes the graph leaves out, as those on soft-dropped columns: their names are taken nevertheless."""
    published: frozenset[TableKey] = frozenset()
    """Tables some publication publishes, by themselves or through a partitioned table."""
    publications: Mapping[TableKey, tuple[Publication, ...]] = field(default_factory=dict)
    """By published table: which publications, where they name it or its schema or take every table."""
    publishing: Mapping[str | None, tuple[str, ...]] = field(default_factory=dict)
    """Publications that publish updates of whatever table is made in a schema, or under None in any."""
    without_replica_identity: frozenset[TableKey] = frozenset()
    """Published tables whose UPDATE fails, for want of a replica identity that the publication can use."""
    standbys: int = 0
    """Streaming standbys and logical subscribers seen; 0 too where the role may not see them."""
    roles: frozenset[str] = frozenset()
    """Roles of the server."""
    index_scans: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """Scans by (schema, index) since statistics were reset."""
    foreign_key_indexes: Mapping[tuple[TableKey, str], str | None] = field(default_factory=dict)
    """By (table, foreign key): the unique index of the referenced table that the foreign key needs."""
    parent_indexes: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """By (schema, index of a partition): the index of the partitioned table it belongs to."""
    replica_identities: frozenset[tuple[str, str]] = frozenset()
    """Indexes, as (schema, index), that are the replica identity of their table."""
    inheritors: Mapping[TableKey, tuple[TableKey, ...]] = field(default_factory=dict)
    """By table: those that inherit from it (INHERITS; partitions are in the graph). What is done to it is done to them."""
    typed_tables: Mapping[TableKey, tuple[TableKey, ...]] = field(default_factory=dict)
    """By composite type: tables that have their columns from it (CREATE TABLE ... OF)."""
    code: KnownCode = field(default_factory=KnownCode)

    def after(self, graph: SchemaGraph, moves: Mapping[TableKey, TableKey]) -> Facts:
        """What is known once a step has left this graph. What is known of a table moves with it and goes with it, so
        that another one of its name is not taken for it."""

        def moved(known: Mapping[TableKey, _V]) -> dict[TableKey, _V]:
            kept = {moves.get(key, key): value for key, value in known.items()}
            return {key: value for key, value in kept.items() if graph.table(key) is not None}

        def still_there(dependent: Dependent) -> bool:
            owner = dependent.table
            if owner is None or owner in moves or self.graph.table(owner) is None:
                return True
            table = graph.table(owner)
            if table is None or (dependent.column is not None and table.column(dependent.column) is None):
                return False
            return dependent.policy is None or any(p.name == dependent.policy for p in table.policies)

        def remaining(known: Mapping[_K, tuple[Dependent, ...]]) -> dict[_K, tuple[Dependent, ...]]:
            return {key: tuple(filter(still_there, found)) for key, found in known.items()}

        not_null_names = {(moves.get(key, key), c): name for (key, c), name in self.not_null_names.items()}
        return replace(
            self,
            graph=graph,
            sizes=moved(self.sizes),
            not_null_names={k: name for k, name in not_null_names.items() if graph.table(k[0]) is not None},
            extension_users=remaining(self.extension_users),
            dependents=_with_kept_aside(moved(remaining(self.dependents)), self.graph, graph, moves),
            rules=moved(self.rules),
            trigger_bodies=moved(self.trigger_bodies),
            sync_triggers=moved(self.sync_triggers),
            inheritors={k: tuple(moves.get(c, c) for c in found) for k, found in moved(self.inheritors).items()},
            sequences=moved(self.sequences),
            hidden_indexes=moved(self.hidden_indexes),
            published=frozenset(moved(dict.fromkeys(self.published))),
            publications=moved(self.publications),
            without_replica_identity=frozenset(moved(dict.fromkeys(self.without_replica_identity))),
        )


def _with_kept_aside(
    known: dict[TableKey, tuple[Dependent, ...]],
    before: SchemaGraph,
    after: SchemaGraph,
    moves: Mapping[TableKey, TableKey],
) -> dict[TableKey, tuple[Dependent, ...]]:
    """With the foreign keys of tables that the step kept aside: the graph has lost sight of them, PostgreSQL has not."""
    for old, aside in moves.items():
        table = before.table(old)
        for constraint in table.constraints if table is not None and after.table(aside) is None else ():
            parent = constraint.references
            if parent is not None and after.table(parent) is not None:
                held = Dependent(f"foreign key {constraint.name} of {aside}, which is kept aside", aside)
                known[parent] = (*known.get(parent, ()), held)
    return known
