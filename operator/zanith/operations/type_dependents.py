"""What hangs on a column's type: what forbids changing it, what is made anew with it, and which tables are locked."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from zanith.core.definitions import foreign_key_definition, index_definition
from zanith.core.graph import Index, SchemaGraph, Table
from zanith.core.identifiers import TableKey
from zanith.core.mentions import scan_statement
from zanith.core.sql import (
    SqlProblem,
    parse_expression,
    partition_columns,
    printed,
    referenced_columns,
    trigger_columns,
)
from zanith.core.statement import TableWork, Work
from zanith.operations.casting import Change
from zanith.operations.referencing import comparable
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
            if other.generated is not None and other.default and _uses(_columns, other.default, column):
                yield f"generated column {table.key}.{other.name} is computed from {what}; drop it first"
        for trigger in table.triggers:
            if _uses(trigger_columns, trigger.definition, column):
                yield f"trigger {trigger.name} of {table.key} names {what} in UPDATE OF or WHEN; drop it first"
        if table.partition_key is not None and _uses(partition_columns, table.partition_key, column):
            yield f"{what} is part of the partition key"
        yield from _policies(graph, table, column)
        users = [u for u in ctx.facts.dependents.get(table.key, ()) if u.words.startswith(("function ", "procedure "))]
        for user in (*users, *ctx.facts.rules.get(table.key, ())):
            if column in user.needs:
                yield f"{user} uses {what}; drop it first"
        for publication in ctx.facts.publications.get(table.key, ()):
            if publication.row_filter is not None and _uses(_columns, publication.row_filter, column):
                yield f"publication {publication.name} chooses rows by {what}; change the publication first"
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

    def through_subqueries(expression: str) -> frozenset[str]:
        found = scan_statement("SELECT (\n" + expression + "\n)")
        called = {m.alias or m.names[-1] for m in found.tables if m.names == table.key}
        return frozenset(m.names[-1] for m in found.columns if len(m.names) > 1 and m.names[0] in called)

    return _uses(_columns if own else through_subqueries, text, column)


def _uses(columns_of: Callable[[str], frozenset[str]], text: str, column: str) -> bool:
    """Whether a definition out of the catalog uses the column; by its text where it is too deep for the parser."""
    try:
        return column in columns_of(text)
    except SqlProblem:
        return printed(column) in text


def _columns(expression: str) -> frozenset[str]:
    return parse_expression(expression).columns


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


def referenced(graph: SchemaGraph, key: TableKey, column: str) -> tuple[TableKey, ...]:
    """Those of the other tables that this one references by the column, to be locked before it."""
    found = [c.references for t in _concerned(graph, key) for c in t.constraints if column in c.columns]
    return tuple(dict.fromkeys(p for p in found if p is not None and p != key))


def broken_foreign_keys(ctx: StepContext, key: TableKey, column: str, new: str) -> Iterator[str]:
    """Foreign keys whose two sides could not be compared any more."""
    table = ctx.table(key)
    for constraint in table.constraints:
        parent = None if constraint.references is None else ctx.graph.table(constraint.references)
        if parent is None or column not in constraint.columns:
            continue
        for mine, theirs in _pairs(ctx, table, constraint.name, parent.key):
            kind = ctx.column(parent.key, theirs).type
            if (
                mine == column
                and not (parent.key == key and theirs == column)
                and comparable(ctx.graph, new, kind) is False
            ):
                yield (
                    f"foreign key {constraint.name} of {key} would reference {parent.key}.{theirs}, which is {kind}: "
                    "drop it first"
                )
    for child, constraint in ctx.graph.incoming_foreign_keys(key):
        for mine, theirs in _pairs(ctx, child, constraint.name, key):
            kind = ctx.column(child.key, mine).type
            if theirs == column and child.key != key and comparable(ctx.graph, kind, new) is False:
                yield (
                    f"foreign key {constraint.name} of {child.key} references {key}.{column} by {child.key}.{mine}, "
                    f"which is {kind}: drop it first"
                )


def works_on(
    ctx: StepContext, key: TableKey, column: str, change: Change, *, recollated: bool
) -> tuple[TableWork, ...]:
    """What PostgreSQL does to the table and its partitions, and to those tied to it; nothing where only to the catalog.

    Foreign keys are checked anew, but where neither side is written anew and the rows are compared as before.
    """
    work = _work(ctx, key, column, change, recollated=recollated)
    if work is Work.CATALOG:
        return ()
    spared = change.keeps_indexes and not recollated and not change.rewrites
    checked = () if spared else dict.fromkeys(_rechecked(ctx, key, column))
    return (TableWork(key, work), *(TableWork(table, Work.BUILD) for table in checked))


def built_anew(graph: SchemaGraph, key: TableKey, column: str, work: Work) -> list[Index]:
    """Indexes of the table and its partitions that are built with it: all where the rows are written anew, else those
    that use the column."""
    if work not in (Work.BUILD, Work.REWRITE):
        return []
    indexes = [i for table in _concerned(graph, key) for i in table.indexes]
    return [i for i in indexes if work is Work.REWRITE or column in i.columns]


def checked_again(graph: SchemaGraph, key: TableKey, column: str, work: Work) -> list[str]:
    """What the CHECKs that name the column ask of every row again, as expressions."""
    found = [c for t in _concerned(graph, key) for c in t.constraints if c.kind == "check" and column in c.columns]
    return [c.definition.removeprefix("CHECK ") for c in found if c.validated and work is not Work.CATALOG]


def _work(ctx: StepContext, key: TableKey, column: str, change: Change, *, recollated: bool) -> Work:
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


def _rechecked(ctx: StepContext, key: TableKey, column: str) -> Iterator[TableKey]:
    """Tables whose rows are checked anew because a foreign key over the column is made anew: the referencing ones."""
    for table in _concerned(ctx.graph, key):
        if any(c.references is not None and c.validated and column in c.columns for c in table.constraints):
            yield table.key
        for other, constraint in ctx.graph.incoming_foreign_keys(table.key):
            if constraint.validated and column in referenced_columns(constraint.definition):
                yield other.key


def _stays(index: Index) -> bool:
    """Only one of plain columns without a condition can; others are built anew whatever the type."""
    definition = index_definition(index.definition)
    return definition.columns is not None and definition.where is None


def _concerned(graph: SchemaGraph, key: TableKey) -> Iterator[Table]:
    """The table and its partitions."""
    concerned = {key, *graph.partitions(key)}
    yield from (t for t in graph.tables if t.key in concerned)


def _pairs(ctx: StepContext, table: Table, name: str, parent: TableKey) -> Iterator[tuple[str, str]]:
    """(referencing, referenced) columns of a foreign key."""
    definition = next(c.definition for c in table.constraints if c.name == name)
    found = foreign_key_definition(definition)
    yield from zip(found.columns, found.referenced, strict=True)
