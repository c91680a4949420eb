"""Operations that move data: the backfill."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, ClassVar

from pydantic import Field

from zanith.core.graph import SchemaGraph, Table
from zanith.core.identifiers import TableKey
from zanith.core.risk import Finding, ReasonCode, RiskLevel
from zanith.core.sql import finishing_column, parse_expression
from zanith.core.statement import Statement
from zanith.operations import key_changes, parts, surroundings
from zanith.operations.operation import Name, Operation, SqlCondition, SqlExpression
from zanith.operations.step_context import StepContext, Undo


class Backfill(Operation):
    """Change rows in batches, each exactly once, whatever dies in between."""

    kind: ClassVar[str] = "backfill"
    reaches_heirs: ClassVar[bool] = True
    rehearsed: ClassVar[bool] = True

    table: Name
    """Name of the table."""
    schema_name: Name | None = Field(None, alias="schema")
    """Schema of the table. Default: `spec.database.schema`."""
    set_: Annotated[dict[Name, SqlExpression], Field(alias="set", min_length=1, max_length=100)]
    """New values by column, each a SQL expression over the row."""
    where: SqlCondition
    """Which rows. Required; `true` is every row. One that excludes finished rows (`column IS NULL`) also picks up rows
    inserted meanwhile."""

    def target(self, ctx: StepContext) -> str:
        return f"{self._key(ctx)} ({', '.join(self.set_)})"

    def problems(self, ctx: StepContext) -> Iterator[str]:
        table = ctx.graph.table(self._key(ctx))
        if table is None:
            yield ctx.missing_table(self._key(ctx))
            return
        for column in self.set_:
            yield from self._column_problems(ctx, table, column)
        unknown = parts.unknown_columns(table, self._expression_columns())
        yield from (f"{ctx.missing_column(table, name)}, used in a backfill" for name in unknown)
        if not parts.usable_key(table):
            yield (
                f"table {table.key} has no primary key and no unique constraint over NOT NULL columns to walk by; "
                "add one first"
            )
        yield from surroundings.update_problems(ctx, table.key)

    def findings(self, ctx: StepContext) -> Iterator[Finding]:
        key = self._key(ctx)
        yield Finding(RiskLevel.MEDIUM, ReasonCode.REQUIRES_BACKFILL, f"rows of {key} are rewritten in batches")
        yield from key_changes.findings(ctx.graph, key, self.set_)
        yield from surroundings.update_findings(ctx, key)

    def statements(self, ctx: StepContext) -> tuple[Statement, ...]:
        table = ctx.table(self._key(ctx))
        finished_by = finishing_column(self.where, dict(self.set_), ctx.facts.volatile_functions)
        walk = parts.walk(table, dict(self.set_), self.where, finished_by=finished_by)
        also = dict.fromkeys(found.table for found in key_changes.reached(ctx.graph, table.key, self.set_))
        return (replace(walk, on=tuple(dict.fromkeys((table.key, *also)))),)

    def undo(self, ctx: StepContext) -> Undo:
        """Nothing, where this migration added the columns: they go with the undo of the step that added them."""
        key = self._key(ctx)
        if all(ctx.before.column(key, column) is None for column in self.set_):
            return Undo()
        return Undo(refused=f"the values {self.target(ctx)} had before are not kept")

    def project(self, ctx: StepContext) -> SchemaGraph:
        return ctx.graph

    def _expression_columns(self) -> frozenset[str]:
        """Columns used outside of subqueries; what a subquery names may belong to another table."""
        parsed = [parse_expression(text) for text in (*self.set_.values(), self.where)]
        return frozenset().union(*(p.columns for p in parsed if not p.has_subquery))

    def _column_problems(self, ctx: StepContext, table: Table, name: str) -> Iterator[str]:
        column = table.column(name)
        if column is None:
            yield ctx.missing_column(table, name)
        elif column.generated is not None or column.identity == "always":
            yield f"column {table.key}.{name} is generated and cannot be set"
        elif name in {k.name for k in parts.usable_key(table)}:
            yield f"column {table.key}.{name} is part of the key the backfill walks by and must not change"

    def _key(self, ctx: StepContext) -> TableKey:
        return ctx.key(self.schema_name, self.table)
