"""The operation that adds a column: in an instant, whatever its default."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import ClassVar

from psycopg import sql
from pydantic import Field, StrictBool

from zanith.core.graph import Column, SchemaGraph
from zanith.core.identifiers import TableKey, fit, ident, table_ident
from zanith.core.risk import Finding, ReasonCode, RiskLevel
from zanith.core.sql import parse_expression, parse_type, render
from zanith.core.statement import Lock, Probe, ProbeKind, Statement
from zanith.operations import parts, surroundings
from zanith.operations.drop import soft_drop
from zanith.operations.operation import Comment, Name, Operation, SqlExpression, SqlType
from zanith.operations.step_context import StepContext, Undo


class AddColumn(Operation):
    """Add a column. A default that differs from row to row is set for new rows at once and backfilled for old ones."""

    kind: ClassVar[str] = "addColumn"
    reaches_heirs: ClassVar[bool] = True
    rehearsed: ClassVar[bool] = True

    table: Name
    """Name of the table."""
    schema_name: Name | None = Field(None, alias="schema")
    """Schema of the table. Default: `spec.database.schema`."""
    column: Name
    """Name of the new column."""
    type: SqlType
    """Type, e.g. `text` or `numeric(10,2)`."""
    nullable: StrictBool = True
    """Whether NULL is allowed."""
    default: SqlExpression | None = None
    """Default, a SQL expression. Old rows get it too."""
    collation: Name | None = None
    """Collation of the column."""
    comment: Comment | None = None
    """Comment on the column."""

    def target(self, ctx: StepContext) -> str:
        return f"{self._key(ctx)}.{self.column}"

    def problems(self, ctx: StepContext) -> Iterator[str]:
        table = ctx.graph.table(self._key(ctx))
        if table is None:
            yield ctx.missing_table(self._key(ctx))
            return
        if table.column(self.column) is not None:
            yield f"column {table.key}.{self.column} exists already"
        if table.partition_of is not None:
            yield f"{table.key} is a partition; add the column to {table.partition_of}"
        yield from parts.new_column_problems(table.key, self.column, self.default)
        kind = parse_type(self.type)
        if kind.serial:
            yield f"type {self.type} rewrites the whole table; use bigint and a sequence of your own"
        if kind.canonical in ctx.facts.constrained_domains:
            yield f"domain {kind.canonical} has constraints, so adding {table.key}.{self.column} rewrites the whole table"
        if self._volatile(ctx) and not parts.usable_key(table):
            yield (
                f"default of {table.key}.{self.column} differs from row to row, and the table has no primary key or "
                "unique NOT NULL columns to backfill it by"
            )
        if self._volatile(ctx):
            yield from surroundings.update_problems(ctx, table.key)

    def findings(self, ctx: StepContext) -> Iterator[Finding]:
        what = self.target(ctx)
        if self._required:
            yield Finding(
                RiskLevel.HIGH,
                ReasonCode.ADDS_REQUIRED_COLUMN_WITHOUT_DEFAULT,
                f"{what} is required and has no default: it fails on a table with rows, and inserts that do not know it",
                safer="add it nullable, backfill it, then alterColumnNullable with nullable: false",
            )
        elif self.default is not None:
            yield Finding(
                RiskLevel.LOW,
                ReasonCode.ADDS_COLUMN_WITH_DEFAULT,
                f"{what} is added with a default; no row is rewritten under the lock",
            )
        else:
            yield Finding(RiskLevel.SAFE, ReasonCode.ADDS_NULLABLE_COLUMN, f"{what} is nullable; no row is touched")
        if self._volatile(ctx):
            yield Finding(
                RiskLevel.MEDIUM,
                ReasonCode.REQUIRES_BACKFILL,
                f"the default of {what} differs from row to row, so old rows are filled in batches",
            )
            yield from surroundings.update_findings(ctx, self._key(ctx))

    def statements(self, ctx: StepContext) -> tuple[Statement, ...]:
        key = self._key(ctx)
        if not self._volatile(ctx):
            definition = parts.column_definition(
                self.column, self.type, default=self.default, not_null=not self.nullable, collation=self.collation
            )
            return (parts.brief(key, sql.SQL("ADD COLUMN {}").format(definition)), *self._comment(key))
        plain = parts.column_definition(self.column, self.type, collation=self.collation)
        default = parse_expression(str(self.default)).composed
        set_default = sql.SQL("ALTER COLUMN {} SET DEFAULT {}").format(ident(self.column), default)
        where = render(sql.SQL("{} IS NULL").format(ident(self.column)))
        return (
            parts.brief(key, sql.SQL("ADD COLUMN {}").format(plain)),
            parts.brief(key, set_default, with_previous=True),
            *self._comment(key),
            parts.walk(ctx.table(key), {self.column: str(self.default)}, where, finished_by=self.column),
            *(() if self.nullable else parts.set_not_null(ctx.facts, key, self.column)),
        )

    def probes(self, ctx: StepContext) -> tuple[Probe, ...]:
        return (parts.populated_probe(self._key(ctx), self.column),) if self._required else ()

    def undo(self, ctx: StepContext) -> Undo:
        key = self._key(ctx)
        holds_data = Probe(
            kind=ProbeKind.POPULATED_TABLE,
            sql=render(
                sql.SQL("SELECT 1 FROM {} WHERE {} IS NOT NULL LIMIT 1").format(table_ident(key), ident(self.column))
            ),
            question=f"column {key}.{self.column} holds data",
            remedy="",
        )
        drop = parts.brief(key, sql.SQL("DROP COLUMN {}").format(ident(self.column)))
        after = ctx.with_graph(self.project(ctx))
        # Not the name a soft drop of this migration gives: it may have taken a column of this name away before.
        aside = fit(f"_zanith_dropped_{self.column}_{ctx.migration_id}_{ctx.step_index}")
        return Undo(
            statements=(drop,),
            unless=holds_data,
            otherwise=Undo(statements=soft_drop(after, key, self.column, aside=aside)),
        )

    def adds(self, ctx: StepContext) -> Iterable[tuple[TableKey, str]]:
        return [(self._key(ctx), self.column)]

    def project(self, ctx: StepContext) -> SchemaGraph:
        key = ctx.table(self._key(ctx)).key
        kind = parse_type(self.type)
        default = None if self.default is None else parts.printed_default(parse_expression(self.default), kind)
        column = Column(
            name=self.column,
            type=kind.canonical,
            not_null=not self.nullable,
            default=default,
            collation=parts.printed_collation(self.collation),
            comment=self.comment or None,
        )
        return ctx.graph.with_changed(
            key,
            lambda t: t.with_column(column if t.key == key else replace(column, comment=None)),
            also=[k for k in ctx.heirs(key) if ctx.graph.column(k, self.column) is None],
        )

    @property
    def _required(self) -> bool:
        return not self.nullable and (self.default is None or parse_expression(self.default).constant == "null")

    def _key(self, ctx: StepContext) -> TableKey:
        return ctx.key(self.schema_name, self.table)

    def _volatile(self, ctx: StepContext) -> bool:
        return self.default is not None and parts.is_volatile(parse_expression(self.default), ctx.facts)

    def _comment(self, key: TableKey) -> tuple[Statement, ...]:
        if not self.comment:
            return ()
        comment = sql.SQL("COMMENT ON COLUMN {} IS {}").format(ident(*key, self.column), sql.Literal(self.comment))
        return (Statement(sql=render(comment), lock=Lock.SHARE_UPDATE_EXCLUSIVE, on=(key,), with_previous=True),)
