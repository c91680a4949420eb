"""The operation that adds a column computed from others. What it computes, PostgreSQL keeps true by itself."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import ClassVar

from psycopg import sql
from pydantic import Field

from zanith.core.graph import Column, SchemaGraph, Table
from zanith.core.identifiers import TableKey, ident
from zanith.core.mentions import names_as_printed
from zanith.core.risk import Finding, ReasonCode, RiskLevel
from zanith.core.sql import Expression, parse_expression, parse_type, raw
from zanith.core.statement import Lock, Statement, Work
from zanith.operations import parts, per_row, surroundings
from zanith.operations.casting import catalog_type, enum_type
from zanith.operations.operation import Name, Operation, SqlExpression, SqlType
from zanith.operations.step_context import StepContext, Undo

VIRTUAL_SINCE = 180000
"""From this server version a generated column can be VIRTUAL (release notes 18, E.4.3.4)."""


class Storage(StrEnum):
    """Where the value of a generated column is."""

    STORED = "Stored"
    VIRTUAL = "Virtual"


class AddGeneratedColumn(Operation):
    """Add a column computed from others of its row: stored with it, or computed whenever it is read."""

    kind: ClassVar[str] = "addGeneratedColumn"
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
    expression: SqlExpression
    """What it is computed by: IMMUTABLE functions of other columns of the row."""
    # Without a default: each choice costs something, and PostgreSQL's own default differs between 17 and 18.
    storage: Storage
    """`Stored` writes the whole table anew while nobody can read or write it, and can be indexed. `Virtual`, from
    PostgreSQL 18, touches no row, and is computed at every read."""

    def target(self, ctx: StepContext) -> str:
        return f"{self._key(ctx)}.{self.column}"

    def problems(self, ctx: StepContext) -> Iterator[str]:
        key = self._key(ctx)
        table = ctx.graph.table(key)
        if table is None:
            yield ctx.missing_table(key)
            return
        what = self.target(ctx)
        taken = [k for k in (key, *ctx.graph.partitions(key)) if ctx.graph.column(k, self.column) is not None]
        yield from (f"column {k}.{self.column} exists already" for k in taken)
        if table.partition_of is not None:
            yield f"{key} is a partition; add the column to {table.partition_of}"
        yield from parts.new_column_problems(key, self.column, None)
        kind = parse_type(self.type)
        if kind.serial:
            yield f"type {self.type} of {what} is a sequence's; a generated column has none"
        if self.storage is Storage.VIRTUAL:
            yield from self._virtual_problems(ctx, what)
        yield from self._expression_problems(ctx, table, parse_expression(self.expression))

    def _virtual_problems(self, ctx: StepContext, what: str) -> Iterator[str]:
        if ctx.facts.server_version < VIRTUAL_SINCE:
            version = ctx.facts.server_version // 10_000
            yield f"{what} cannot be Virtual: the server is PostgreSQL {version}, which knows only Stored; 18 has both"
        type_name = catalog_type(ctx.facts, parse_type(self.type))
        if enum_type(ctx.facts, type_name) is not None or type_name in ctx.facts.constrained_domains:
            yield f"{what} cannot be Virtual: PostgreSQL takes only types of its own, and {type_name} is not"

    def _expression_problems(self, ctx: StepContext, table: Table, parsed: Expression) -> Iterator[str]:
        what = self.target(ctx)
        if parsed.has_subquery:
            yield f"expression of {what} must not contain a subquery"
            return
        for name in parts.unknown_columns(table, parsed.columns):
            yield f"{ctx.missing_column(table, name)}, used in the expression of {what}"
        system = sorted(parsed.columns & (parts.SYSTEM_COLUMNS - {"tableoid"}))
        yield from (f"expression of {what} uses the system column {name}" for name in system)
        for name in sorted(parsed.columns):
            column = table.column(name)
            if column is not None and column.generated is not None:
                yield f"expression of {what} uses {table.key}.{name}, which is generated itself; repeat its expression"
        for function in sorted(parsed.functions & ctx.facts.mutable_functions):
            yield f"expression of {what} uses {function}, which is not IMMUTABLE"

    def findings(self, ctx: StepContext) -> Iterator[Finding]:
        what = self.target(ctx)
        if self.storage is Storage.VIRTUAL:
            yield Finding(
                RiskLevel.LOW,
                ReasonCode.ADDS_GENERATED_COLUMN,
                f"{what} is computed when it is read; no row is touched, but every reader of all columns pays for it, and "
                "reading fails for a row that the expression fails for",
            )
            return
        yield Finding(
            RiskLevel.MEDIUM,
            ReasonCode.ADDS_GENERATED_COLUMN,
            f"{what} is stored: PostgreSQL writes {self._key(ctx)} and its indexes anew under ACCESS EXCLUSIVE, and "
            "offers no other way",
            safer=self._way_round(ctx),
        )
        yield from surroundings.rewrite_findings(ctx, self._key(ctx))

    def _way_round(self, ctx: StepContext) -> str:
        virtual = "storage: Virtual rewrites nothing; or " if ctx.facts.server_version >= VIRTUAL_SINCE else ""
        return (
            f"{virtual}addColumn without an expression, a trigger BEFORE INSERT OR UPDATE (rawSql) that sets "
            f"{self.column}, and a backfill of the rows that are there"
        )

    def statements(self, ctx: StepContext) -> tuple[Statement, ...]:
        stored = self.storage is Storage.STORED
        # Always spelt out: 18 takes VIRTUAL where neither is said, and 15 does not know the word.
        expression = parse_expression(self.expression)
        calling, slowly = per_row.slow_indexes(ctx.table(self._key(ctx)).indexes)
        add = sql.SQL("ADD COLUMN {} {} GENERATED ALWAYS AS {} {}").format(
            ident(self.column),
            raw(self.type),
            expression.composed,
            sql.SQL("STORED" if stored else "VIRTUAL"),
        )
        return (
            Statement(
                sql=parts.alter_table(self._key(ctx), add),
                lock=Lock.ACCESS_EXCLUSIVE,
                on=(self._key(ctx),),
                work=Work.REWRITE if stored else Work.CATALOG,
                calls_functions=stored and (calling or per_row.calls_functions(expression.functions)),
                builds_slowly=stored and slowly,
            ),
        )

    def undo(self, ctx: StepContext) -> Undo:
        """Dropped: every value in it can be computed again."""
        drop = parts.brief(self._key(ctx), sql.SQL("DROP COLUMN {}").format(ident(self.column)))
        return Undo(statements=(drop,))

    def project(self, ctx: StepContext) -> SchemaGraph:
        key = ctx.table(self._key(ctx)).key
        column = Column(
            name=self.column,
            type=catalog_type(ctx.facts, parse_type(self.type)),
            default=names_as_printed(self.expression),
            generated="stored" if self.storage is Storage.STORED else "virtual",
        )
        return ctx.graph.with_changed(key, lambda t: t.with_column(column), also=ctx.heirs(key))

    def _key(self, ctx: StepContext) -> TableKey:
        return ctx.key(self.schema_name, self.table)
