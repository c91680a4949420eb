"""The operation that changes what a column holds where an INSERT leaves it out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

from psycopg import sql
from pydantic import Field, StrictBool, model_validator

from zanith.core.graph import SchemaGraph, Table
from zanith.core.identifiers import TableKey, ident
from zanith.core.risk import Finding, ReasonCode, RiskLevel
from zanith.core.sql import parse_expression, parse_type, raw
from zanith.core.statement import Statement
from zanith.operations import parts
from zanith.operations.operation import Name, Operation, SqlExpression
from zanith.operations.step_context import StepContext, Undo


class AlterColumnDefault(Operation):
    """Give a column a default, or take it away. Rows that are there keep what they hold."""

    kind: ClassVar[str] = "alterColumnDefault"
    reaches_heirs: ClassVar[bool] = True
    rehearsed: ClassVar[bool] = True

    table: Name
    """Name of the table."""
    schema_name: Name | None = Field(None, alias="schema")
    """Schema of the table. Default: `spec.database.schema`."""
    column: Name
    """Name of the column."""
    default: SqlExpression | None = None
    """The new default, a SQL expression. Either this or `drop`."""
    drop: StrictBool = False
    """`true` takes the default away. Either this or `default`."""

    @model_validator(mode="after")
    def _one_of_both(self) -> AlterColumnDefault:
        if (self.default is None) is not self.drop:
            raise ValueError("must have exactly one of default and drop: true")
        return self

    def target(self, ctx: StepContext) -> str:
        return f"{self._key(ctx)}.{self.column}"

    def problems(self, ctx: StepContext) -> Iterator[str]:
        key = self._key(ctx)
        table = ctx.graph.table(key)
        column = None if table is None else table.column(self.column)
        if table is None or column is None:
            yield ctx.missing_table(key) if table is None else ctx.missing_column(table, self.column)
            return
        what = self.target(ctx)
        if column.generated is not None:
            yield f"column {what} is generated; it cannot have a default"
        elif column.identity is not None:
            yield f"column {what} is an identity column; it cannot have a default"
        elif self.drop and column.default is None:
            yield f"column {what} has no default"
        yield from parts.default_problems(what, self.default)

    def findings(self, ctx: StepContext) -> Iterator[Finding]:
        what = self.target(ctx)
        if self.default is None and ctx.column(self._key(ctx), self.column).not_null:
            yield Finding(
                RiskLevel.MEDIUM,
                ReasonCode.CHANGES_COLUMN_DEFAULT,
                f"{what} is NOT NULL: inserts that leave it out fail from now on",
            )
        else:
            now = "NULL" if self.default is None else "the new default"
            yield Finding(
                RiskLevel.LOW,
                ReasonCode.CHANGES_COLUMN_DEFAULT,
                f"inserts that leave {what} out give it {now} from now on; rows that are there do not change",
            )

    def statements(self, ctx: StepContext) -> tuple[Statement, ...]:
        value = None if self.default is None else parse_expression(self.default).composed
        return (_set_default(self._key(ctx), self.column, value),)

    def undo(self, ctx: StepContext) -> Undo:
        """The defaults as they were; those of partitions and heirs may have been others than the table's."""
        key = self._key(ctx)
        old = ctx.column(key, self.column).default
        back = [_set_default(key, self.column, None if old is None else raw(old))]
        for part in (*ctx.graph.partitions(key), *ctx.heirs(key)):
            own = ctx.column(part, self.column).default
            if own != old:
                value = None if own is None else raw(own)
                back.append(replace(_set_default(part, self.column, value), with_previous=True))
        return Undo(statements=tuple(back))

    def project(self, ctx: StepContext) -> SchemaGraph:
        key = self._key(ctx)
        kind = parse_type(ctx.column(key, self.column).type)
        default = None if self.default is None else parts.printed_default(parse_expression(self.default), kind)

        def change(table: Table) -> Table:
            columns = (replace(c, default=default) if c.name == self.column else c for c in table.columns)
            return replace(table, columns=tuple(columns))

        return ctx.graph.with_changed(key, change, also=ctx.heirs(key))

    def _key(self, ctx: StepContext) -> TableKey:
        return ctx.key(self.schema_name, self.table)


def _set_default(key: TableKey, column: str, value: sql.Composable | None) -> Statement:
    """SET DEFAULT, or DROP DEFAULT for None: catalog rows only, whatever the default is."""
    action = sql.SQL("DROP DEFAULT") if value is None else sql.SQL("SET DEFAULT {}").format(value)
    return parts.brief(key, sql.SQL("ALTER COLUMN {} {}").format(ident(column), action))
