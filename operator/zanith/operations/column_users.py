"""Who uses a column: what keeps it from being dropped, and what goes on over one that gets no values any more.

Pure, and shared by the kinds that take a column away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from zanith.core.graph import Column, Table
from zanith.core.risk import Finding, ReasonCode, RiskLevel
from zanith.core.sql import (
    SqlProblem,
    parse_expression,
    partition_columns,
    printed,
    referenced_columns,
    trigger_columns,
)
from zanith.operations import surroundings
from zanith.operations.advice import as_yaml
from zanith.operations.step_context import StepContext


def drop_problems(ctx: StepContext, table: Table, column: str) -> Iterator[str]:
    """What PostgreSQL would refuse to drop the column for; said before, by name."""
    what = f"{table.key}.{column}"
    for view in ctx.graph.views:
        if (table.key, column) in view.depends_on:
            yield f"view {view.schema}.{view.name} uses {what}; change the view first"
    for other, constraint in ctx.graph.incoming_foreign_keys(table.key):
        if _uses(referenced_columns, constraint.definition, column):
            yield f"foreign key {constraint.name} of {other.key} references {what}; drop it first"
    for name in _generated_from(table, column):
        yield f"generated column {table.key}.{name} is computed from {what}; drop it first"
    for policy in _policies_over(table, column):
        yield f"policy {policy} of {table.key} uses {what}; change it first"
    for trigger in table.triggers:
        if _uses(trigger_columns, trigger.definition, column):
            yield f"trigger {trigger.name} of {table.key} uses {what}; change it first"
    for user in ctx.facts.dependents.get(table.key, ()):
        if column in user.needs:
            yield f"{user} uses {what}; change it first"
    for key in (table.key, *ctx.graph.partitions(table.key)):
        for rule in ctx.facts.rules.get(key, ()):
            if column in rule.needs:
                yield f"{rule} uses {key}.{column}; drop it first"
    for publication in ctx.facts.publications.get(table.key, ()):
        if column in publication.columns or _in_filter(publication.row_filter, column):
            yield f"publication {publication.name} names {what}; change the publication first"
    if in_partition_key(table, column):
        yield f"{what} is part of the partition key"
    if table.partition_of is not None:
        yield f"{table.key} is a partition; drop the column of {table.partition_of}"


def soft_drop_problems(ctx: StepContext, table: Table, column: Column) -> Iterator[str]:
    """Why the column could not stay without values."""
    what = f"{table.key}.{column.name}"
    if table.primary_key is not None and column.name in table.primary_key.columns:
        yield f"{what} is part of the primary key; inserts without it would fail"
    elif column.name in surroundings.chosen_identity(ctx, table):
        yield f"{what} is part of the replica identity and cannot become nullable; ALTER TABLE ... REPLICA IDENTITY first"
    if column.identity is not None:
        yield f"{what} is an identity column and cannot become nullable"
    if table.partition_of is not None:
        yield f"{table.key} is a partition; soft-drop the column of {table.partition_of}"
    if in_partition_key(table, column.name):
        yield f"{what} is part of the partition key"


def soft_drop_findings(ctx: StepContext, table: Table, column: Column, aside: str) -> Iterator[Finding]:
    """What goes on living with a column that gets no values any more; `aside` is its name from then on."""
    what = f"{table.key}.{column.name}"
    for view in ctx.graph.views:
        if (table.key, column.name) in view.depends_on:
            yield _breaks(f"view {view.schema}.{view.name} goes on showing {what}, which gets no new values")
    for name in _generated_from(table, column.name):
        yield _breaks(
            f"generated column {table.key}.{name} goes on being computed from {what}, which gets no new values"
        )
    yield from _constraint_findings(table, column, what)
    for other, constraint in ctx.graph.incoming_foreign_keys(table.key):
        if other.key != table.key and _uses(referenced_columns, constraint.definition, column.name):
            yield _breaks(
                f"foreign key {constraint.name} of {other.key} references {what}: no row inserted without it can be "
                "referenced",
                RiskLevel.HIGH,
            )
    for policy in _policies_over(table, column.name):
        yield _breaks(
            f"policy {policy} of {table.key} uses {what}: rows inserted without it are judged by {_filled(column)}",
            RiskLevel.HIGH,
        )
    if column.default is None and column.type in ctx.facts.constrained_domains:
        yield _breaks(
            f"{what} is of the domain {column.type}, whose constraints hold for the NULL of rows inserted without it",
            RiskLevel.HIGH,
        )
    yield from surroundings.code_naming_column(ctx, table.key, column.name)
    yield from _publication_findings(ctx, table, column, aside)


def in_partition_key(table: Table, column: str) -> bool:
    return table.partition_key is not None and _uses(partition_columns, table.partition_key, column)


def _constraint_findings(table: Table, column: Column, what: str) -> Iterator[Finding]:
    for index in table.indexes:
        if index.unique and column.name in index.columns and "NULLS NOT DISTINCT" in index.definition:
            yield _breaks(
                f"unique index {index.name} is NULLS NOT DISTINCT over {what}: the second insert without it fails",
                RiskLevel.HIGH,
                safer=as_yaml({"dropIndex": {"schema": table.schema, "name": index.name}}),
            )
    for constraint in table.constraints:
        if column.name not in constraint.columns:
            continue
        if constraint.kind == "check":
            fails = column.default is None and f"{printed(column.name)} IS NOT NULL" in constraint.definition
            yield _breaks(
                f"CHECK {constraint.name} names {what}; rows inserted without it are checked with {_filled(column)}",
                RiskLevel.HIGH if fails else RiskLevel.MEDIUM,
            )
        elif constraint.kind == "foreign_key" and "MATCH FULL" in constraint.definition and len(constraint.columns) > 1:
            yield _breaks(
                f"foreign key {constraint.name} is MATCH FULL over {what}: rows inserted without it fail",
                RiskLevel.HIGH,
            )
        elif constraint.kind == "foreign_key":
            yield _breaks(f"foreign key {constraint.name} goes on over {what}", RiskLevel.LOW)
        elif constraint.kind == "unique" and "NULLS NOT DISTINCT" in constraint.definition:
            yield _breaks(
                f"UNIQUE {constraint.name} is NULLS NOT DISTINCT over {what}: the second insert without it fails",
                RiskLevel.HIGH,
                safer=as_yaml({"dropUnique": {"schema": table.schema, "table": table.name, "name": constraint.name}}),
            )


def _publication_findings(ctx: StepContext, table: Table, column: Column, aside: str) -> Iterator[Finding]:
    for publication in ctx.facts.publications.get(table.key, ()):
        if not publication.columns or column.name in publication.columns:
            yield Finding(
                RiskLevel.HIGH,
                ReasonCode.REPLICATION_IMPACT,
                f"publication {publication.name} publishes {table.key}.{column.name}: subscribers get it as {aside} from "
                "now on, and stop until they have a column of that name",
                safer="first leave it out of the publication's column list, or rename it at the subscribers too",
            )
        if _in_filter(publication.row_filter, column.name):
            yield Finding(
                RiskLevel.HIGH,
                ReasonCode.REPLICATION_IMPACT,
                f"publication {publication.name} chooses rows by {table.key}.{column.name}: rows inserted without it are "
                f"judged by {_filled(column)}",
            )


def _filled(column: Column) -> str:
    """What rows have in it that are inserted by who does not know it."""
    return "NULL" if column.default is None else "its default"


def _policies_over(table: Table, column: str) -> Iterator[str]:
    for policy in table.policies:
        if any(_uses(_columns, text, column) for text in (policy.using, policy.with_check) if text):
            yield policy.name


def _generated_from(table: Table, column: str) -> Iterator[str]:
    """Generated columns that are computed from it."""
    for other in table.columns:
        if other.generated is not None and other.default and _uses(_columns, other.default, column):
            yield other.name


def _in_filter(row_filter: str | None, column: str) -> bool:
    return row_filter is not None and _uses(_columns, row_filter, column)


def _uses(columns_of: Callable[[str], frozenset[str]], text: str, column: str) -> bool:
    """Whether a definition out of the catalog uses the column; by its text where it is too deep for the parser."""
    try:
        return column in columns_of(text)
    except SqlProblem:
        return printed(column) in text


def _columns(expression: str) -> frozenset[str]:
    return parse_expression(expression).columns


def _breaks(why: str, level: RiskLevel = RiskLevel.MEDIUM, *, safer: str = "") -> Finding:
    return Finding(level, ReasonCode.BREAKS_DEPENDENTS, why, safer=safer)
