"""Rows of the catalog's queries into Facts. Pure: no connection, no clock.

Leaves out what is ours or on its way out: the five tables, soft-dropped tables and columns with the indexes and
constraints on them, and our temporary constraints, indexes and triggers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeVar

from zanith.core.graph import (
    Column,
    Constraint,
    ConstraintKind,
    DatabaseIdentity,
    EnumType,
    Facts,
    Index,
    Policy,
    SchemaGraph,
    Table,
    TableSize,
    Trigger,
    View,
)
from zanith.core.identifiers import TableKey
from zanith.postgres import catalog_objects as objects
from zanith.postgres import catalog_surroundings as surroundings
from zanith.postgres.catalog_code import known_code, typed_tables
from zanith.postgres.catalog_texts import CatalogChanged as CatalogChanged
from zanith.postgres.catalog_texts import printed, text_hash

OURS = "_zanith_"
DROPPED = "_zanith_dropped_"
SHADOW = "_zanith_shadow"
FIVE_TABLES = frozenset(
    {
        "_zanith_migrations",
        "_zanith_migration_steps",
        "_zanith_schema_snapshots",
        "_zanith_migration_artifacts",
        "_zanith_migration_checkpoints",
    }
)

_CONSTRAINT_KINDS: dict[str, ConstraintKind] = {
    "p": "primary_key",
    "u": "unique",
    "c": "check",
    "f": "foreign_key",
    "x": "exclude",
    "n": "not_null",
}
_COMMANDS = {"r": "SELECT", "a": "INSERT", "w": "UPDATE", "d": "DELETE", "*": "ALL"}
_IDENTITY: dict[str, Literal["always", "by_default"]] = {"a": "always", "d": "by_default"}
_GENERATED: dict[str, Literal["stored", "virtual"]] = {"s": "stored", "v": "virtual"}

Row = Mapping[str, Any]
_Named = TypeVar("_Named", Constraint, Index, Trigger, Policy)
_Qualified = TypeVar("_Qualified", View, EnumType)


@dataclass(frozen=True, slots=True)
class CatalogRows:
    """What the queries of `catalog.sql` and `catalog_objects.sql` answered, by query name."""

    identity: DatabaseIdentity
    server_version: int
    default_schema: str
    tables: Sequence[Row]
    columns: Sequence[Row]
    constraints: Sequence[Row]
    indexes: Sequence[Row]
    triggers: Sequence[Row]
    policies: Sequence[Row]
    enums: Sequence[Row]
    views: Sequence[Row]
    view_dependencies: Sequence[Row]
    volatile_functions: Sequence[Row]
    constrained_domains: Sequence[Row]
    index_uses: Sequence[Row] = ()
    functions: Sequence[Row] = ()
    domains: Sequence[Row] = ()
    domain_checks: Sequence[Row] = ()
    free_sequences: Sequence[Row] = ()
    view_indexes: Sequence[Row] = ()
    view_triggers: Sequence[Row] = ()
    sequences: Sequence[Row] = ()
    extensions: Sequence[Row] = ()
    extension_tables: Sequence[Row] = ()
    available_extensions: Sequence[Row] = ()
    dependents: Sequence[Row] = ()
    publications: Sequence[Row] = ()
    publication_tables: Sequence[Row] = ()
    around: Sequence[Row] = ()
    mutable_functions: Sequence[Row] = ()
    other_relations: Sequence[Row] = ()
    table_rules: Sequence[Row] = ()
    builtin_functions: Sequence[Row] = ()
    other_functions: Sequence[Row] = ()
    known_operators: Sequence[Row] = ()
    ruled_tables: Sequence[Row] = ()
    typed_tables: Sequence[Row] = ()
    inheritance: Sequence[Row] = ()


class _Attribute(NamedTuple):
    """A column as constraints and indexes name it."""

    table_oid: int
    number: int


def facts_from(rows: CatalogRows) -> Facts:
    """Everything planning knows. Raises CatalogChanged."""
    tables = [r for r in rows.tables if not _left_out_table(r["name"])]
    keys = {r["oid"]: TableKey(r["schema"], r["name"]) for r in tables}
    names: dict[tuple[int, int], str] = {
        _Attribute(r["table_oid"], r["number"]): r["name"] for r in rows.columns if r["table_oid"] in keys
    }
    parts = _Parts(rows, names)
    graph = SchemaGraph(
        tables=tuple(sorted((_table(r, parts) for r in tables), key=lambda t: t.key)),
        views=_views(rows),
        enums=_sorted_by_key(EnumType(r["schema"], r["name"], tuple(r["labels"]), r["comment"]) for r in rows.enums),
        extensions=surroundings.installed(rows.extensions),
        domains=objects.domains(_users(rows.domains), rows.domain_checks),
        sequences=objects.free_sequences(_users(rows.free_sequences)),
        functions=objects.functions(_users(rows.functions)),
    )
    shown = {(t.schema, name) for t in graph.tables for name in _index_names(t)}
    return Facts(
        **surroundings.extension_facts(rows.extensions, rows.extension_tables, rows.available_extensions),
        **surroundings.dependent_facts(rows.dependents, graph, keys, names),
        rules=surroundings.rules(rows.table_rules, keys, names),
        **surroundings.source_facts([r for r in rows.functions if r["has_source"]], rows.triggers, keys),
        **surroundings.publication_facts(rows.publications, rows.publication_tables, tables, names),
        sync_triggers=surroundings.sync_triggers(rows.triggers, keys),
        sequences=surroundings.grouped_names(rows.sequences, keys),
        hidden_indexes=surroundings.grouped_names(
            (r for r in rows.index_uses if (r["schema"], r["name"]) not in shown and not r["name"].startswith(OURS)),
            keys,
        ),
        standbys=sum(r["standbys"] for r in rows.around),
        roles=frozenset(name for r in rows.around for name in r["roles"]),
        graph=graph,
        database=rows.identity,
        server_version=rows.server_version,
        default_schema=rows.default_schema,
        sizes=_sizes(tables),
        volatile_functions=frozenset(r["name"] for r in rows.volatile_functions),
        mutable_functions=frozenset(r["name"] for r in rows.mutable_functions),
        other_relations=frozenset(TableKey(r["schema"], r["name"]) for r in rows.other_relations),
        constrained_domains=frozenset(n for r in rows.constrained_domains for n in (r["name"], r["short"]) if n),
        not_null_names={
            (keys[r["table_oid"]], names[_Attribute(r["table_oid"], r["numbers"][0])]): r["name"]
            for r in rows.constraints
            if r["type"] == "n" and r["table_oid"] in keys
        },
        index_scans={(r["schema"], r["name"]): r["scans"] for r in rows.index_uses},
        foreign_key_indexes={
            (keys[r["table_oid"]], r["name"]): r["needed_index"]
            for r in rows.constraints
            if r["type"] == "f" and r["table_oid"] in keys
        },
        parent_indexes={
            (r["schema"], r["name"]): f"{r['parent_schema']}.{r['parent_name']}"
            for r in rows.index_uses
            if r["parent_name"] is not None
        },
        replica_identities=frozenset((r["schema"], r["name"]) for r in rows.index_uses if r["replica_identity"]),
        typed_tables=typed_tables(rows.typed_tables),
        inheritors=_inheritors(rows.inheritance, keys),
        code=known_code(
            rows.builtin_functions, rows.other_functions, rows.known_operators, rows.views, rows.ruled_tables
        ),
    )


def _index_names(table: Table) -> Iterable[str]:
    """Names of its indexes, those of constraints among them."""
    yield from (i.name for i in table.indexes)
    yield from (c.name for c in table.constraints if c.kind in ("primary_key", "unique", "exclude"))


class _Parts:
    """Rows that belong to tables, by table, with the names of their columns resolved."""

    def __init__(self, rows: CatalogRows, names: Mapping[tuple[int, int], str]) -> None:
        self.names = names
        self.columns = _by_table(rows.columns)
        self.constraints = _by_table(rows.constraints)
        self.indexes = _by_table(rows.indexes)
        self.triggers = _by_table(rows.triggers)
        self.policies = _by_table(rows.policies)
        self.identities: dict[tuple[int, int], str | None] = {
            _Attribute(r["table_oid"], r["number"]): objects.identity_options(r)
            for r in rows.sequences
            if r["of_identity"]
        }

    def used(self, row: Row) -> tuple[str, ...]:
        """Columns a constraint or index uses: its key in order, then those it depends on otherwise."""
        numbers = [n for n in row["numbers"] or () if n > 0]
        numbers += sorted(set(row["further_numbers"] or ()) - set(numbers))
        try:
            return tuple(self.names[_Attribute(row["table_oid"], n)] for n in numbers)
        except KeyError:
            raise CatalogChanged from None


def _table(row: Row, parts: _Parts) -> Table:
    oid = row["oid"]
    has_parent = row["parent_name"] is not None
    return Table(
        schema=row["schema"],
        name=row["name"],
        columns=tuple(_column(c, parts.identities) for c in parts.columns[oid] if not c["name"].startswith(DROPPED)),
        constraints=_sorted_by_name(
            _constraint(r, used) for r in parts.constraints[oid] if _shown(r, used := parts.used(r)) and _listed(r)
        ),
        indexes=_sorted_by_name(
            Index(r["name"], printed(r["definition"]), used, r["unique"], r["valid"], r["comment"])
            for r in parts.indexes[oid]
            if _shown(r, used := parts.used(r))
        ),
        triggers=_sorted_by_name(objects.trigger(r) for r in _users(parts.triggers[oid])),
        policies=_sorted_by_name(_policy(r) for r in parts.policies[oid]),
        row_security=row["row_security"],
        force_row_security=row["force_row_security"],
        partition_key=printed(row["partition_key"]) if row["kind"] == "p" else None,
        partition_of=TableKey(row["parent_schema"], row["parent_name"]) if has_parent else None,
        partition_bound=printed(row["partition_bound"]) if has_parent else None,
        persistence="unlogged" if row["persistence"] == "u" else "permanent",
        comment=row["comment"],
    )


def _column(row: Row, identities: Mapping[tuple[int, int], str | None]) -> Column:
    return Column(
        name=row["name"],
        type=printed(row["type"]),
        not_null=row["not_null"],
        default=printed(row["default"]) if row["has_default"] else None,
        identity=_IDENTITY.get(row["identity"]),
        generated=_GENERATED.get(row["generated"]),
        collation=row["collation"],
        comment=row["comment"],
        identity_options=identities.get(_Attribute(row["table_oid"], row["number"])),
    )


def _constraint(row: Row, used: tuple[str, ...]) -> Constraint:
    return Constraint(
        name=row["name"],
        kind=_CONSTRAINT_KINDS[row["type"]],
        definition=printed(row["definition"]),
        columns=used,
        validated=row["validated"],
        references=TableKey(row["foreign_schema"], row["foreign_name"]) if row["type"] == "f" else None,
        comment=row["comment"],
    )


def _policy(row: Row) -> Policy:
    return Policy(
        name=row["name"],
        command=_COMMANDS[row["command"]],
        permissive=row["permissive"],
        roles=tuple(sorted(row["roles"])),
        using=printed(row["using"]) if row["has_using"] else None,
        with_check=printed(row["with_check"]) if row["has_with_check"] else None,
        comment=row["comment"],
    )


def _views(rows: CatalogRows) -> tuple[View, ...]:
    reads: dict[int, set[tuple[TableKey, str]]] = defaultdict(set)
    for row in rows.view_dependencies:
        kept_aside = _left_out_table(row["name"]) or row["schema"] == SHADOW
        if not kept_aside and not row["column"].startswith(DROPPED):
            reads[row["view_oid"]].add((TableKey(row["schema"], row["name"]), row["column"]))
    indexes = objects.view_indexes(_users(rows.view_indexes))
    triggers = objects.view_triggers(_users(rows.view_triggers))
    return _sorted_by_key(
        View(
            schema=r["schema"],
            name=r["name"],
            materialized=r["materialized"],
            definition_hash=text_hash(printed(r["definition"])),
            depends_on=tuple(sorted(reads[r["oid"]])),
            options=tuple(sorted(r["options"] or ())),
            indexes=indexes.get(r["oid"], ()),
            triggers=triggers.get(r["oid"], ()),
            comment=r["comment"],
        )
        for r in rows.views
        if not r["name"].startswith(DROPPED)
    )


def _sizes(tables: Sequence[Row]) -> dict[TableKey, TableSize]:
    """Sizes by table; of a partitioned one, the sum of its partitions, at any depth."""
    partitions: dict[TableKey, list[Row]] = defaultdict(list)
    for row in tables:
        if row["parent_name"] is not None:
            partitions[TableKey(row["parent_schema"], row["parent_name"])].append(row)

    def size(row: Row, *, leaf: bool) -> TableSize:
        if row["kind"] == "p":
            found = [size(p, leaf=True) for p in partitions[TableKey(row["schema"], row["name"])]]
            counts = [s.rows for s in found if s.rows is not None]
            return TableSize(sum(counts) if len(counts) == len(found) else None, sum(s.bytes for s in found))
        known = row["tuples"] >= 0
        # A partition without a page is empty, analysed or not: it does not hide what is known of the others.
        empty_leaf = leaf and row["heap_bytes"] == 0
        return TableSize(int(row["tuples"]) if known else 0 if empty_leaf else None, row["bytes"] or 0)

    return {TableKey(r["schema"], r["name"]): size(r, leaf=False) for r in tables}


def _inheritors(rows: Sequence[Row], keys: Mapping[int, TableKey]) -> dict[TableKey, tuple[TableKey, ...]]:
    found: dict[TableKey, list[TableKey]] = defaultdict(list)
    for row in rows:
        if row["parent_oid"] in keys and row["child_oid"] in keys:
            found[keys[row["parent_oid"]]].append(keys[row["child_oid"]])
    return {parent: tuple(sorted(children)) for parent, children in found.items()}


def _users(rows: Iterable[Row]) -> Iterable[Row]:
    """Without what is ours."""
    return (r for r in rows if not r["name"].startswith(OURS))


def _left_out_table(name: str) -> bool:
    return name in FIVE_TABLES or name.startswith(DROPPED)


def _shown(row: Row, used: tuple[str, ...]) -> bool:
    """Neither ours nor on a soft-dropped column."""
    return not row["name"].startswith(OURS) and not any(c.startswith(DROPPED) for c in used)


def _listed(row: Row) -> bool:
    """A validated NOT NULL is the column's `not_null`, not a constraint of the graph."""
    return row["type"] != "n" or not row["validated"]


def _by_table(rows: Sequence[Row]) -> defaultdict[int, list[Row]]:
    grouped: defaultdict[int, list[Row]] = defaultdict(list)
    for row in rows:
        grouped[row["table_oid"]].append(row)
    return grouped


def _sorted_by_name(items: Iterable[_Named]) -> tuple[_Named, ...]:
    return tuple(sorted(items, key=lambda i: i.name))


def _sorted_by_key(items: Iterable[_Qualified]) -> tuple[_Qualified, ...]:
    return tuple(sorted(items, key=lambda i: (i.schema, i.name)))
