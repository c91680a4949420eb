"""Operations that change a column in place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from pydantic import Field, StrictBool

from zanith.core.graph import SchemaGraph
from zanith.core.identifiers import TableKey
from zanith.core.risk import Finding, ReasonCode, RiskLevel
from zanith.core.statement import Probe, Statement
from zanith.operations import parts
from zanith.operations.operation import Name, Operation
from zanith.operations.step_context import StepContext, Undo


class AlterColumnNullable(Operation):
    """Make a column NOT NULL without scanning the table under a strong lock, or allow NULLs again."""

    kind: ClassVar[str] = "alterColumnNullable"
    reaches_heirs: ClassVar[bool] = True

    table: Name
    """Name of the table."""
    schema_name: Name | None = Field(None, alias="schema")
    """Schema of the table. Default: `spec.database.schema`."""
    column: Name
    """Name of the column."""
    nullable: StrictBool
    """Whether NULL is allowed from now on."""

    def target(self, ctx: StepContext) -> str:
        return f"{self._key(ctx)}.{self.column}"

    def problems(self, ctx: StepContext) -> Iterator[str]:
        key = self._key(ctx)
        table = ctx.graph.table(key)
        column = None if table is None else table.column(self.column)
        if table is None or column is None:
            yield ctx.missing_table(key) if table is None else ctx.missing_column(table, self.column)
            return
        enforced = column.not_null or parts.unvalidated_not_null(table, self.column) is not None
        if column.not_null and not self.nullable:
            yield f"column {key}.{self.column} is NOT NULL already"
        if self.nullable and not enforced:
            yield f"column {key}.{self.column} is already nullable"
        parent = None if table.partition_of is None else ctx.graph.column(table.partition_of, self.column)
        if self.nullable and parent is not None and parent.not_null:
            yield f"{key} is a partition; alter the column of {table.partition_of}"
        if self.nullable and table.primary_key is not None and self.column in table.primary_key.columns:
            yield f"column {key}.{self.column} is part of the primary key and must stay NOT NULL"
        if self.nullable and column.identity is not None:
            yield f"column {key}.{self.column} is an identity column and must stay NOT NULL"

    def findings(self, ctx: StepContext) -> Iterator[Finding]:
        if self.nullable:
            yield Finding(
                RiskLevel.LOW,
                ReasonCode.CHANGES_COLUMN_NOT_NULL_TO_NULLABLE,
                f"readers of {self.target(ctx)} may meet NULLs they do not expect",
            )
        else:
            yield Finding(
                RiskLevel.HIGH,
                ReasonCode.CHANGES_COLUMN_NULLABLE_TO_NOT_NULL,
                f"writes that leave {self.target(ctx)} NULL fail from now on; the table is checked without blocking it",
            )

    def statements(self, ctx: StepContext) -> tuple[Statement, ...]:
        key = self._key(ctx)
        if self.nullable:
            return (parts.drop_not_null(key, self.column),)
        return parts.set_not_null(ctx.facts, key, self.column)

    def probes(self, ctx: StepContext) -> tuple[Probe, ...]:
        return () if self.nullable else (parts.nulls_probe(ctx.table(self._key(ctx)), self.column),)

    def undo(self, ctx: StepContext) -> Undo:
        key = self._key(ctx)
        found = parts.unvalidated_not_null(ctx.table(key), self.column)
        if not self.nullable:
            back = () if found is None else (parts.add_not_null(key, found.name, self.column, with_previous=True),)
            return Undo(statements=(parts.drop_not_null(key, self.column), *back))
        if found is not None:
            return Undo(statements=(parts.add_not_null(key, found.name, self.column),))
        return Undo(
            statements=parts.set_not_null(ctx.facts, key, self.column),
            probes=(parts.nulls_probe(ctx.table(key), self.column),),
        )

    def project(self, ctx: StepContext) -> SchemaGraph:
        key = self._key(ctx)
        ctx.column(key, self.column)
        return ctx.graph.with_changed(
            key, lambda t: parts.with_not_null(t, self.column, not self.nullable), also=ctx.heirs(key)
        )

    def _key(self, ctx: StepContext) -> TableKey:
        return ctx.key(self.schema_name, self.table)
