"""What hangs on a column's type: what forbids changing it, what is made anew with it, and which tables are locked."""

from __future__ import annotations

from collections.abc import Iterator

from zanith.core.definitions import foreign_key_definition, index_definition
from zanith.core.graph import Index, SchemaGraph, Table
from zanith.core.identifiers import TableKey
from zanith.core.mentions import scan_statement
from zanith.core.sql import parse_expression, partition_columns, referenced_columns, trigger_columns
from zanith.core.statement import Work
from zanith.operations.casting import Change, PrintedType, comparable, read_type
from zanith.operations.step_context import StepContext


def blockers(ctx: StepContext, key: TableKey, column: str) -> Iterator[str]:
    """What PostgreSQL refuses to change the type for; said before, by name."""
    graph = ctx.graph
    for table in _concerned(graph, key):
        what = f"{table.key}.{column}"
        for view in graph.views:
            if (table.key, column) in view.depends_on:
                yield f"view {view.schema}.{view.name} uses {what}; drop it first and create it again after"
        for other in table.columns:
            if other.generated is not None and other.default and column in parse_expression(other.default).columns:
                yield f"generated column {table.key}.{other.name} is computed from {what}; drop it first"
        for trigger in table.triggers:
            if column in trigger_columns(trigger.definition):
                yield f"trigger {trigger.name} of {table.key} names {what} in UPDATE OF or WHEN; drop it first"
        if table.partition_key is not None and column in partition_columns(table.partition_key):
            yield f"{what} is part of the partition key"
        yield from _policies(graph, table, column)
        for dependent in ctx.facts.dependents.get(table.key, ()):
            if column in dependent.needs and dependent.words.startswith(("function ", "procedure ")):
                yield f"{dependent} uses {what}; drop it first"
    found = graph.table(key)
    if found is not None and found.partition_of is not None:
        yield f"{key} is a partition; alter the column of {found.partition_of}"


def _policies(graph: SchemaGraph, table: Table, column: str) -> Iterator[str]:
    for other in graph.tables:
        for policy in other.policies:
            texts = [text for text in (policy.using, policy.with_check) if text]
            if any(_names(text, table, column, own=other.key == table.key) for text in texts):
                yield f"policy {policy.name} of {other.key} uses {table.key}.{column}; drop it first"


def _names(text: str, table: Table, column: str, *, own: bool) -> bool:
    """Whether a policy's expression uses the column; one of another table can in a subquery."""
    if own and column in parse_expression(text).columns:
        return True
    found = scan_statement("SELECT (\n" + text + "\n)")
    called = {m.alias or m.names[-1] for m in found.tables if m.names == table.key}
    return any(m.names[-1] == column and m.names[0] in called for m in found.columns if len(m.names) > 1)


def foreign_keys(graph: SchemaGraph, key: TableKey, column: str) -> dict[TableKey, str]:
    """Other tables that foreign keys over the column tie to this one, and one of these foreign keys each.

    They are made anew with the type, which takes ACCESS EXCLUSIVE on both sides.
    """
    found: dict[TableKey, str] = {}
    for table in _concerned(graph, key):
        for constraint in table.constraints:
            if constraint.references is not None and column in constraint.columns:
                found.setdefault(constraint.references, constraint.name)
        for other, constraint in graph.incoming_foreign_keys(table.key):
            if column in referenced_columns(constraint.definition):
                found.setdefault(other.key, constraint.name)
    return {other: name for other, name in found.items() if other != key}


def broken_foreign_keys(ctx: StepContext, key: TableKey, column: str, new: PrintedType) -> Iterator[str]:
    """Foreign keys whose two sides could not be compared any more."""
    table = ctx.table(key)
    for constraint in table.constraints:
        parent = None if constraint.references is None else ctx.graph.table(constraint.references)
        if parent is None or column not in constraint.columns:
            continue
        for mine, theirs in _pairs(ctx, table, constraint.name, parent.key):
            kind = ctx.column(parent.key, theirs).type
            if mine == column and not (parent.key == key and theirs == column) and not comparable(new, read_type(kind)):
                yield (
                    f"foreign key {constraint.name} of {key} would reference {parent.key}.{theirs}, which is {kind}: "
                    "drop it first"
                )
    for child, constraint in ctx.graph.incoming_foreign_keys(key):
        for mine, theirs in _pairs(ctx, child, constraint.name, key):
            kind = ctx.column(child.key, mine).type
            if theirs == column and child.key != key and not comparable(read_type(kind), new):
                yield (
                    f"foreign key {constraint.name} of {child.key} references {key}.{column} by {child.key}.{mine}, "
                    f"which is {kind}: drop it first"
                )


def work(ctx: StepContext, key: TableKey, column: str, change: Change, *, recollated: bool) -> Work:
    """What PostgreSQL does to the table and its partitions, beside the catalog."""
    if change.rewrites:
        return Work.REWRITE
    tables = tuple(_concerned(ctx.graph, key))
    keeps = change.keeps_indexes and not recollated
    if any(not keeps or not _stays(i) for t in tables for i in t.indexes if column in i.columns):
        return Work.BUILD
    constraints = [c for t in tables for c in t.constraints if column in c.columns]
    if any(c.kind == "exclude" or not keeps for c in constraints if c.kind in ("primary_key", "unique", "exclude")):
        return Work.BUILD
    if any(c.validated and (c.kind == "check" or (c.kind == "foreign_key" and not keeps)) for c in constraints):
        return Work.SCAN
    return Work.CATALOG


def _stays(index: Index) -> bool:
    """Only one of plain columns without a condition can; others are built anew whatever the type."""
    definition = index_definition(index.definition)
    return definition.columns is not None and definition.where is None


def _concerned(graph: SchemaGraph, key: TableKey) -> Iterator[Table]:
    """The table and its partitions."""
    for each in (key, *graph.partitions(key)):
        table = graph.table(each)
        if table is not None:
            yield table


def _pairs(ctx: StepContext, table: Table, name: str, parent: TableKey) -> Iterator[tuple[str, str]]:
    """(referencing, referenced) columns of a foreign key."""
    definition = next(c.definition for c in table.constraints if c.name == name)
    found = foreign_key_definition(definition)
    yield from zip(found.columns, found.referenced, strict=True)
