"""Operations that take a column away: for good, or aside until its artifact expires."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ClassVar

from psycopg import sql
from pydantic import Field

from zanith.core.graph import SchemaGraph, Table
from zanith.core.identifiers import TableKey, fit, ident
from zanith.core.risk import Finding, ReasonCode, RiskLevel
from zanith.core.sql import (
    SqlProblem,
    parse_expression,
    partition_columns,
    printed,
    referenced_columns,
    trigger_columns,
)
from zanith.core.statement import ArtifactDraft, Lock, Statement
from zanith.operations import parts
from zanith.operations.operation import Name, Operation
from zanith.operations.step_context import StepContext, Undo


class DropColumn(Operation):
    """Drop a column and its data for good. No artifact is kept: prefer softDropColumn."""

    kind: ClassVar[str] = "dropColumn"

    table: Name
    """Name of the table."""
    schema_name: Name | None = Field(None, alias="schema")
    """Schema of the table. Default: `spec.database.schema`."""
    column: Name
    """Name of the column."""

    def target(self, ctx: StepContext) -> str:
        return f"{self._key(ctx)}.{self.column}"

    def problems(self, ctx: StepContext) -> Iterator[str]:
        key = self._key(ctx)
        table = ctx.graph.table(key)
        if table is None or table.column(self.column) is None:
            yield ctx.missing_table(key) if table is None else ctx.missing_column(table, self.column)
            return
        if len(table.columns) == 1:
            yield f"{key}.{self.column} is the table's only column"
        yield from _drop_blockers(ctx.graph, table, self.column)

    def findings(self, ctx: StepContext) -> Iterator[Finding]:
        yield Finding(
            RiskLevel.DESTRUCTIVE,
            ReasonCode.DROPS_COLUMN_WITH_DATA,
            f"{self.target(ctx)} and its data are gone for good; no artifact is kept",
            safer=f"- softDropColumn: {{table: {self.table}, column: {self.column}}}",
        )
        yield from _locked_parents(ctx, self._key(ctx), self.column)

    def statements(self, ctx: StepContext) -> tuple[Statement, ...]:
        key = self._key(ctx)
        parents = referenced_tables(ctx.graph, key, self.column)
        drop = sql.SQL("DROP COLUMN {}").format(ident(self.column))
        return (Statement(sql=parts.alter_table(key, drop), lock=Lock.ACCESS_EXCLUSIVE, on=(key, *parents)),)

    def undo(self, ctx: StepContext) -> Undo:
        return Undo(refused=f"{self.target(ctx)} was dropped for good; no artifact was kept")

    def project(self, ctx: StepContext) -> SchemaGraph:
        key = ctx.table(self._key(ctx)).key
        return ctx.graph.with_changed(key, lambda t: t.without_column(self.column))

    def _key(self, ctx: StepContext) -> TableKey:
        return ctx.key(self.schema_name, self.table)


class SoftDropColumn(Operation):
    """Take a column away from applications at once, but keep it: renamed aside, with an artifact to get it back by."""

    kind: ClassVar[str] = "softDropColumn"

    table: Name
    """Name of the table."""
    schema_name: Name | None = Field(None, alias="schema")
    """Schema of the table. Default: `spec.database.schema`."""
    column: Name
    """Name of the column."""

    def target(self, ctx: StepContext) -> str:
        return f"{self._key(ctx)}.{self.column}"

    def problems(self, ctx: StepContext) -> Iterator[str]:
        key = self._key(ctx)
        table = ctx.graph.table(key)
        column = None if table is None else table.column(self.column)
        if table is None or column is None:
            yield ctx.missing_table(key) if table is None else ctx.missing_column(table, self.column)
            return
        if table.primary_key is not None and self.column in table.primary_key.columns:
            yield f"{key}.{self.column} is part of the primary key; inserts without it would fail"
        if column.identity is not None:
            yield f"{key}.{self.column} is an identity column and cannot become nullable"
        if table.partition_of is not None:
            yield f"{key} is a partition; soft-drop the column of {table.partition_of}"
        if _in_partition_key(table, self.column):
            yield f"{key}.{self.column} is part of the partition key"

    def findings(self, ctx: StepContext) -> Iterator[Finding]:
        yield Finding(
            RiskLevel.MEDIUM,
            ReasonCode.SOFT_DROPS_COLUMN,
            f"queries that name {self.target(ctx)} fail from now on; its data is kept",
        )
        yield from _dependents(ctx.graph, ctx.table(self._key(ctx)), self.column)

    def statements(self, ctx: StepContext) -> tuple[Statement, ...]:
        return soft_drop(ctx, self._key(ctx), self.column)

    def undo(self, ctx: StepContext) -> Undo:
        key = self._key(ctx)
        column = ctx.column(key, self.column)
        back = parts.brief(key, _rename(physical_name(ctx, self.column), self.column))
        if not column.not_null:
            return Undo(statements=(back,))
        return Undo(
            statements=(back, *parts.set_not_null(ctx.facts, key, self.column)),
            unless=parts.nulls_probe(key, physical_name(ctx, self.column)),
            otherwise=Undo(statements=(back,)),
        )

    def project(self, ctx: StepContext) -> SchemaGraph:
        key = ctx.table(self._key(ctx)).key
        return ctx.graph.with_changed(key, lambda t: t.without_column(self.column))

    def _key(self, ctx: StepContext) -> TableKey:
        return ctx.key(self.schema_name, self.table)


def physical_name(ctx: StepContext, column: str) -> str:
    """`_zanith_dropped_<column>_<migration>`, shortened with a hash where it would exceed 63 bytes."""
    return fit(f"_zanith_dropped_{column}_{ctx.migration_id}")


def soft_drop(ctx: StepContext, key: TableKey, column: str, *, aside: str = "") -> tuple[Statement, ...]:
    """Rename aside and lift NOT NULL, so that inserts which no longer know the column succeed; one transaction.

    `aside` is its name from then on, where it is not the usual one.
    """
    aside = aside or physical_name(ctx, column)
    found = ctx.graph.table(key)
    required = found is not None and _enforces_not_null(found, column)
    artifact = ArtifactDraft(
        artifact_type="soft_drop_column",
        source_schema=key.schema,
        source_table=key.name,
        source_column=column,
        physical_name=aside,
        recovery_sql=parts.alter_table(key, _rename(aside, column)),
    )
    rename = Statement(
        sql=parts.alter_table(key, _rename(column, aside)),
        lock=Lock.ACCESS_EXCLUSIVE,
        on=(key,),
        artifact=artifact,
    )
    return (rename, parts.drop_not_null(key, aside, with_previous=True)) if required else (rename,)


def referenced_tables(graph: SchemaGraph, key: TableKey, column: str) -> tuple[TableKey, ...]:
    """Tables that foreign keys over the column reference: dropping the constraint locks those too."""
    table = graph.table(key)
    constraints = () if table is None else table.constraints
    found = dict.fromkeys(
        c.references for c in constraints if c.kind == "foreign_key" and c.references and column in c.columns
    )
    return tuple(p for p in found if p != key)


def _enforces_not_null(table: Table, name: str) -> bool:
    """Whether inserts without a value for it fail."""
    column = table.column(name)
    return (column is not None and column.not_null) or parts.unvalidated_not_null(table, name) is not None


def _in_partition_key(table: Table, column: str) -> bool:
    return table.partition_key is not None and _uses(partition_columns, table.partition_key, column)


def _uses(columns_of: Callable[[str], frozenset[str]], text: str, column: str) -> bool:
    """Whether a definition out of the catalog uses the column; by its text where it is too deep for the parser."""
    try:
        return column in columns_of(text)
    except SqlProblem:
        return printed(column) in text


def _columns(expression: str) -> frozenset[str]:
    return parse_expression(expression).columns


def _rename(old: str, new: str) -> sql.Composable:
    return sql.SQL("RENAME COLUMN {} TO {}").format(ident(old), ident(new))


def _drop_blockers(graph: SchemaGraph, table: Table, column: str) -> Iterator[str]:
    """What PostgreSQL would refuse to drop the column for; said before, by name."""
    what = f"{table.key}.{column}"
    for view in graph.views:
        if (table.key, column) in view.depends_on:
            yield f"view {view.schema}.{view.name} uses {what}; change the view first"
    for other, constraint in graph.incoming_foreign_keys(table.key):
        if _uses(referenced_columns, constraint.definition, column):
            yield f"foreign key {constraint.name} of {other.key} references {what}; drop it first"
    yield from (
        f"generated column {table.key}.{name} is computed from {what}; drop it first"
        for name in _generated_from(table, column)
    )
    for policy in table.policies:
        if any(_uses(_columns, text, column) for text in (policy.using, policy.with_check) if text):
            yield f"policy {policy.name} of {table.key} uses {what}; change it first"
    for trigger in table.triggers:
        if _uses(trigger_columns, trigger.definition, column):
            yield f"trigger {trigger.name} of {table.key} uses {what}; change it first"
    if _in_partition_key(table, column):
        yield f"{what} is part of the partition key"
    if table.partition_of is not None:
        yield f"{table.key} is a partition; drop the column of {table.partition_of}"


def _generated_from(table: Table, column: str) -> Iterator[str]:
    """Generated columns that are computed from it."""
    for other in table.columns:
        if other.generated is not None and other.default and _uses(_columns, other.default, column):
            yield other.name


def _dependents(graph: SchemaGraph, table: Table, column: str) -> Iterator[Finding]:
    """What goes on living with a column that gets no values any more."""
    what = f"{table.key}.{column}"
    for view in graph.views:
        if (table.key, column) in view.depends_on:
            yield Finding(
                RiskLevel.MEDIUM,
                ReasonCode.BREAKS_DEPENDENTS,
                f"view {view.schema}.{view.name} goes on showing {what}, which gets no new values",
            )
    for name in _generated_from(table, column):
        yield Finding(
            RiskLevel.MEDIUM,
            ReasonCode.BREAKS_DEPENDENTS,
            f"generated column {table.key}.{name} goes on being computed from {what}, which gets no new values",
        )
    yield from (
        Finding(
            RiskLevel.HIGH,
            ReasonCode.BREAKS_DEPENDENTS,
            f"unique index {index.name} is NULLS NOT DISTINCT over {what}: the second insert without it fails",
            safer="drop the index first",
        )
        for index in table.indexes
        if index.unique and column in index.columns and "NULLS NOT DISTINCT" in index.definition
    )
    for constraint in table.constraints:
        if column not in constraint.columns:
            continue
        if constraint.kind == "check":
            yield Finding(
                RiskLevel.MEDIUM,
                ReasonCode.BREAKS_DEPENDENTS,
                f"CHECK {constraint.name} names {what}; rows inserted without it are checked with NULL",
            )
        elif constraint.kind == "foreign_key":
            yield Finding(
                RiskLevel.LOW, ReasonCode.BREAKS_DEPENDENTS, f"foreign key {constraint.name} goes on over {what}"
            )
        elif constraint.kind == "unique" and "NULLS NOT DISTINCT" in constraint.definition:
            yield Finding(
                RiskLevel.HIGH,
                ReasonCode.BREAKS_DEPENDENTS,
                f"UNIQUE {constraint.name} is NULLS NOT DISTINCT over {what}: the second insert without it fails",
                safer="drop the unique constraint first",
            )


def _locked_parents(ctx: StepContext, key: TableKey, column: str) -> Iterator[Finding]:
    for parent in referenced_tables(ctx.graph, key, column):
        yield Finding(
            RiskLevel.MEDIUM,
            ReasonCode.LOCKS_SECOND_TABLE,
            f"a foreign key goes with the column, which locks {parent} too for an instant (ACCESS EXCLUSIVE)",
        )
