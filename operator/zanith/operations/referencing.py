"""What adding and dropping a foreign key share: the safe form, the search for orphans, and what PostgreSQL would refuse.

The referenced table is always locked first: applications write the parent before its children, so nobody who holds the
one and waits for the other can be waiting for us.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from psycopg import sql

from zanith.core.definitions import ForeignKeyDefinition, foreign_key_definition, read_index, unique_definition
from zanith.core.graph import Column, SchemaGraph, Table
from zanith.core.identifiers import TableKey, ident, table_ident
from zanith.core.sql import printed, raw, render
from zanith.core.statement import Lock, Probe, ProbeKind, Statement
from zanith.operations import parts
from zanith.operations.step_context import StepContext
from zanith.operations.uniqueness import base_type

PARTITIONED_NOT_VALID = 180000
"""From this server version a partitioned table's foreign key can be added NOT VALID (release notes 18, E.4.3.4)."""

_INTEGERS = frozenset({"smallint", "integer", "bigint"})
_NUMBERS = _INTEGERS | {"numeric"}
_FLOATS = _NUMBERS | {"real", "double precision"}
_TEXTS = frozenset({"text", "character varying", "character", "bpchar"})
_NAMED_TEXTS = _TEXTS | {"name"}
_DATES = frozenset({"date", "timestamp without time zone", "timestamp with time zone"})
_TIME = frozenset({"time without time zone"})
# By the referenced column's type: the types a referencing column may have, as far as they are built in. PostgreSQL
# wants an equality of one operator family, or an implicit cast to the referenced type (a test asks it of every pair).
_REFERENCED_BY: dict[str, frozenset[str]] = {
    **dict.fromkeys(_INTEGERS, _INTEGERS),
    "numeric": _NUMBERS,
    **dict.fromkeys(("real", "double precision"), _FLOATS),
    **dict.fromkeys(("text", "character varying", "name"), _NAMED_TEXTS),
    **dict.fromkeys(("character", "bpchar"), _TEXTS),
    **dict.fromkeys(_DATES, _DATES),
    "time without time zone": _TIME,
    "time with time zone": _TIME | {"time with time zone"},
    "interval": _TIME | {"interval"},
    **dict.fromkeys(("inet", "cidr"), frozenset({"inet", "cidr"})),
    **dict.fromkeys(("macaddr", "macaddr8"), frozenset({"macaddr", "macaddr8"})),
    **dict.fromkeys(("bit", "bit varying"), frozenset({"bit", "bit varying"})),
    **dict.fromkeys(("xml", "json"), frozenset()),  # no equality at all
    **{name: frozenset({name}) for name in ("boolean", "uuid", "bytea", "money", "jsonb")},
}


def comparable(graph: SchemaGraph, referencing: str, referenced: str) -> bool | None:
    """Whether a column of the one type can reference one of the other; None where only PostgreSQL knows (domains)."""
    ours, theirs = base_type(referencing), base_type(referenced)
    if ours == theirs:
        return True
    if not (_known(graph, ours) and _known(graph, theirs)):
        return None
    return ours in _REFERENCED_BY.get(theirs, ())


def _known(graph: SchemaGraph, name: str) -> bool:
    element = name.removesuffix("[]")
    enums = (f"{printed(e.schema)}.{printed(e.name)}" for e in graph.enums)
    return element in _REFERENCED_BY or element in enums


def unique_over(table: Table, columns: Sequence[str]) -> bool:
    """Whether PostgreSQL lets a foreign key reference exactly these columns: unique, immediate, of every row."""
    wanted = sorted(columns)
    for constraint in table.constraints:
        if constraint.kind in ("primary_key", "unique") and sorted(constraint.columns) == wanted:
            unique = unique_definition(constraint.definition)
            if not (unique.deferrable or unique.temporal):
                return True
    for index in table.indexes:
        shape = read_index(index.definition) if index.unique and index.valid else None
        if shape is not None and shape.where is None and sorted(shape.columns or ()) == wanted:
            return True
    return False


def has_index_for(table: Table, columns: Sequence[str]) -> bool:
    """Whether an index finds the rows of one value: these columns are its first ones, in any order."""
    keys = [
        c.columns
        for c in table.constraints
        if c.kind in ("primary_key", "unique") and not unique_definition(c.definition).temporal
    ]
    for index in table.indexes:
        shape = read_index(index.definition) if index.valid else None
        if shape is not None and shape.where is None and shape.method in ("btree", "hash"):
            keys.append(tuple(k.column or "" for k in shape.keys))
    return any(set(key[: len(columns)]) == set(columns) for key in keys)


def add_foreign_key(graph: SchemaGraph, table: TableKey, name: str, definition: str) -> tuple[Statement, ...]:
    """NOT VALID in an instant, then VALIDATE beside the traffic; where a row fails it, the constraint goes again.

    One that was never validated, or is NOT ENFORCED, is added as it was.
    """
    foreign = foreign_key_definition(definition)
    checked = foreign.validated and foreign.enforced
    text = f"{definition} NOT VALID" if checked else definition
    add = sql.SQL("ADD CONSTRAINT {} {}").format(ident(name), raw(text))
    made = _locking_parent(graph, table, foreign.references, Lock.SHARE_ROW_EXCLUSIVE, add)
    if not checked:
        return made
    undone = tuple(s.sql for s in drop_foreign_key(graph, table, name, foreign.references, if_exists=True))
    validate = replace(parts.validate(table, name), on=_both(graph, table, foreign.references), cleanup=undone)
    return (*made, validate)


def drop_foreign_key(
    graph: SchemaGraph, table: TableKey, name: str, parent: TableKey, *, if_exists: bool = False
) -> tuple[Statement, ...]:
    """DROP CONSTRAINT: an instant, but of ACCESS EXCLUSIVE on both tables."""
    drop = sql.SQL("DROP CONSTRAINT {}{}").format(sql.SQL("IF EXISTS " if if_exists else ""), ident(name))
    return _locking_parent(graph, table, parent, Lock.ACCESS_EXCLUSIVE, drop)


def _locking_parent(
    graph: SchemaGraph, table: TableKey, parent: TableKey, lock: Lock, action: sql.Composable
) -> tuple[Statement, ...]:
    """The action on the table, in one transaction after the parent is locked."""
    alter = Statement(sql=parts.alter_table(table, action), lock=lock, on=_both(graph, table, parent))
    if parent == table:
        return (alter,)
    take = sql.SQL("LOCK TABLE {} IN {} MODE").format(table_ident(parent), raw(lock.value))
    return (
        Statement(sql=render(take), lock=lock, on=(parent, *graph.partitions(parent))),
        replace(alter, with_previous=True),
    )


def _both(graph: SchemaGraph, table: TableKey, parent: TableKey) -> tuple[TableKey, ...]:
    locked = (table, *graph.partitions(table), parent, *graph.partitions(parent))
    return tuple(dict.fromkeys(locked))


def orphans_probe(ctx: StepContext, table: Table, foreign: ForeignKeyDefinition) -> Probe:
    """Are there rows that reference nothing? An anti-join; a NULL is no reference, unless MATCH FULL has others beside."""
    parent = ctx.graph.table(foreign.references)
    pairs = [
        sql.SQL("parent.{} = {}").format(
            ident(theirs), _compared(table.column(ours), None if parent is None else parent.column(theirs))
        )
        for ours, theirs in zip(foreign.columns, foreign.referenced, strict=True)
    ]
    equal = sql.SQL(" AND ").join(pairs)
    known = sql.SQL(" OR " if foreign.match_full else " AND ").join(
        sql.SQL("child.{} IS NOT NULL").format(ident(column)) for column in foreign.columns
    )
    tail = sql.SQL("FROM {} AS child WHERE ({}) AND NOT EXISTS (SELECT 1 FROM {} AS parent WHERE {}) LIMIT {}")
    filled = [table_ident(table.key), known, table_ident(foreign.references), equal]
    key = sql.SQL(", ").join(sql.SQL("child.{}").format(ident(k.name)) for k in parts.usable_key(table))
    sample = sql.SQL("SELECT {} {}").format(key, tail.format(*filled, sql.Literal(parts.SAMPLED_ROWS)))
    return Probe(
        kind=ProbeKind.ORPHANS,
        sql=render(sql.SQL("SELECT 1 {}").format(tail.format(*filled, sql.Literal(1)))),
        question=f"{table.key} ({', '.join(foreign.columns)}) has values that are not in {foreign.references} "
        f"({', '.join(foreign.referenced)})",
        remedy=f"delete these rows, or give them a reference that exists in {foreign.references}",
        sample_sql=render(sample) if parts.usable_key(table) else "",
    )


def _compared(ours: Column | None, theirs: Column | None) -> sql.Composable:
    """The referencing column; with the collation of the other, by which PostgreSQL compares them, where they differ."""
    assert ours is not None
    name = sql.SQL("child.{}").format(ident(ours.name))
    if theirs is None or theirs.collation is None or theirs.collation == ours.collation:
        return name
    return sql.SQL("{} COLLATE {}").format(name, raw(theirs.collation))


def partitioned_problems(ctx: StepContext, table: Table) -> Iterator[str]:
    """Where PostgreSQL knows no way to check old rows beside the traffic."""
    if table.partition_key is not None and ctx.facts.server_version < PARTITIONED_NOT_VALID:
        yield (
            f"{table.key} is partitioned; PostgreSQL before 18 adds no foreign key NOT VALID to it: add it to each "
            "partition, then to the table by rawSql, which takes over what the partitions have"
        )


def type_problems(ctx: StepContext, table: Table, parent: Table, pairs: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Pairs of columns that PostgreSQL finds no equality between, or cannot reference by."""
    for ours, theirs in pairs:
        mine, other = table.column(ours), parent.column(theirs)
        if mine is None or other is None:
            continue
        if comparable(ctx.graph, mine.type, other.type) is False:
            yield (
                f"column {table.key}.{ours} ({mine.type}) cannot reference {parent.key}.{theirs} ({other.type}): "
                "PostgreSQL has no equality of the two; give them the same type"
            )
        if mine.generated == "virtual":
            yield f"column {table.key}.{ours} is a virtual generated column, which cannot reference another table"
