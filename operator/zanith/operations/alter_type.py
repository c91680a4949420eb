"""The operation that changes a column's type, in place: what PostgreSQL does to the table is said beforehand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from enum import StrEnum
from typing import Any, ClassVar

from psycopg import sql
from pydantic import Field

from zanith.core.graph import Column, SchemaGraph, Table
from zanith.core.identifiers import TableKey, ident, table_ident
from zanith.core.risk import Finding, ReasonCode, RiskLevel
from zanith.core.sql import parse_expression, parse_type, printed, raw, render, same_expression
from zanith.core.statement import Lock, Probe, ProbeKind, Statement, TableWork, Work
from zanith.operations import parts, per_row, surroundings, type_dependents
from zanith.operations.advice import as_yaml
from zanith.operations.casting import (
    Change,
    another_reading,
    automatic_change,
    cast_change,
    catalog_type,
    enum_type,
    plain_casts,
    read_type,
)
from zanith.operations.operation import Name, Operation, SqlExpression, SqlType
from zanith.operations.step_context import StepContext, Undo


class Method(StrEnum):
    """How the rows get the new type."""

    IN_PLACE = "InPlace"


class AlterColumnType(Operation):
    """Change a column's type. Where PostgreSQL has to rewrite the table, nobody can read or write it meanwhile."""

    kind: ClassVar[str] = "alterColumnType"
    reaches_heirs: ClassVar[bool] = True
    rehearsed: ClassVar[bool] = True

    table: Name
    """Name of the table."""
    schema_name: Name | None = Field(None, alias="schema")
    """Schema of the table. Default: `spec.database.schema`."""
    column: Name
    """Name of the column."""
    type: SqlType
    """The new type, e.g. `bigint` or `numeric(12,2)`."""
    using: SqlExpression | None = None
    """How an old value becomes a new one, a SQL expression over the row. Needed where PostgreSQL has no cast of its own
    for it, and where a time zone decides what a value means."""
    collation: Name | None = None
    """Collation from now on. Default: the column keeps its own."""
    method: Method = Method.IN_PLACE
    """How: `InPlace`, in one statement."""

    def target(self, ctx: StepContext) -> str:
        return f"{self._key(ctx)}.{self.column}"

    def problems(self, ctx: StepContext) -> Iterator[str]:
        key = self._key(ctx)
        table = ctx.graph.table(key)
        column = None if table is None else table.column(self.column)
        if table is None or column is None:
            yield ctx.missing_table(key) if table is None else ctx.missing_column(table, self.column)
            return
        yield from self._column_problems(ctx, table, column)
        yield from type_dependents.blockers(ctx, key, self.column)
        yield from type_dependents.broken_foreign_keys(ctx, key, self.column, self._new_type(ctx))

    def _column_problems(self, ctx: StepContext, table: Table, column: Column) -> Iterator[str]:
        what, new = self.target(ctx), self._new_type(ctx)
        kind = parse_type(self.type)
        if kind.serial:
            yield f"type {self.type} of {what} is no type of its own; use bigint"
        if column.type == new and self.using is None and self._collation(ctx) == column.collation:
            yield f"column {what} is of type {new} already"
        if column.generated is not None:
            yield f"column {what} is generated; drop it and add it anew with addGeneratedColumn"
        if column.identity is not None and new not in ("smallint", "integer", "bigint"):
            yield f"identity column {what} must stay smallint, integer or bigint"
        if self.collation is not None and read_type(new).family not in ("", "string", "padded", "name"):
            yield f"type {new} of {what} has no collation"
        if self.using is None:
            yield from self._without_using(ctx, column)
        else:
            parsed = parse_expression(self.using)
            yield from (
                f"{ctx.missing_column(table, name)}, used in `using`"
                for name in parts.unknown_columns(table, parsed.columns)
            )
            if parsed.has_subquery:
                yield f"using of {what} must not contain a subquery"
        if column.default is not None and column.generated is None and self._default_is_lost(ctx, column):
            yield (
                f"default of {what} cannot be cast to {new}: take it away before with alterColumnDefault and drop: true, "
                "and give it a new one after"
            )

    def _without_using(self, ctx: StepContext, column: Column) -> Iterator[str]:
        old, new = read_type(column.type), read_type(self._new_type(ctx))
        what, example = self.target(ctx), plain_casts(self.column, self.type)[0]
        if another_reading(old, new):
            yield (
                f"{what} from {old.text} to {new.text} needs `using`, for a time zone decides what a value means: "
                f"using: {printed(self.column)} AT TIME ZONE 'Europe/Berlin', or using: {example} for UTC"
            )
        elif self._automatic(ctx, column) is None:
            yield f"{what} from {old.text} to {new.text} needs `using`: how a value is converted, such as {example}"

    def _automatic(self, ctx: StepContext, column: Column) -> Change | None:
        """Without USING. Nothing becomes an enum by itself."""
        old, new = read_type(column.type), read_type(self._new_type(ctx))
        if enum_type(ctx.facts, new.text) is not None and old.text != new.text:
            return None
        return automatic_change(old, new)

    def _default_is_lost(self, ctx: StepContext, column: Column) -> bool:
        """PostgreSQL converts it without USING, by the cast that an INSERT would use."""
        old, new = read_type(column.type), read_type(self._new_type(ctx))
        return self._automatic(ctx, column) is None and not another_reading(old, new)

    def findings(self, ctx: StepContext) -> Iterator[Finding]:
        key, what = self._key(ctx), self.target(ctx)
        column = ctx.column(key, self.column)
        change, work = self._change(ctx), self._work(ctx)
        new = self._new_type(ctx)
        if not self._keeps_values:
            yield Finding(
                RiskLevel.DESTRUCTIVE,
                ReasonCode.DROPS_COLUMN_WITH_DATA,
                f"`using` does not name {what}: no value of it is kept, and none can be brought back",
                safer=f"name {printed(self.column)} in `using`; or softDropColumn, and addColumn with a default",
            )
        if change.narrows:
            yield Finding(
                RiskLevel.HIGH,
                ReasonCode.NARROWS_COLUMN_TYPE,
                f"{what} from {column.type} to {new}: writes of values that do not fit fail from now on",
                safer=self._expand_and_contract(ctx),
            )
        elif change.rewrites or not change.automatic:
            yield Finding(
                RiskLevel.HIGH,
                ReasonCode.CHANGES_COLUMN_TYPE,
                f"{what} from {column.type} to {new}: {_effect(work)}",
                safer=self._expand_and_contract(ctx) if change.rewrites else "",
            )
        else:
            yield Finding(
                RiskLevel.MEDIUM, ReasonCode.CHANGES_COLUMN_TYPE, f"{what} from {column.type} to {new}: {_effect(work)}"
            )
        if change.unasked:
            yield Finding(
                RiskLevel.MEDIUM,
                ReasonCode.CHANGES_COLUMN_TYPE,
                f"{change.unasked}; where one fails, the step fails, and the table stays as it was",
            )
        yield from self._beside(ctx, column, work)

    def _beside(self, ctx: StepContext, column: Column, work: Work) -> Iterator[Finding]:
        key, what = self._key(ctx), self.target(ctx)
        for other, name in type_dependents.foreign_keys(ctx.graph, key, self.column).items():
            yield Finding(
                RiskLevel.MEDIUM,
                ReasonCode.LOCKS_SECOND_TABLE,
                f"foreign key {name} is made anew, which locks {other} too (ACCESS EXCLUSIVE), as long as {key}",
            )
        old, new = read_type(column.type), read_type(self._new_type(ctx))
        if column.default is not None and "nextval(" in column.default and old.family == new.family == "integer":
            yield Finding(
                RiskLevel.LOW,
                ReasonCode.CHANGES_COLUMN_TYPE,
                f"the sequence that numbers {what} keeps its own type {old.text}: ALTER SEQUENCE ... AS {new.text} "
                "(rawSql), or it stops at its old limit",
            )
        if column.collation is not None and self.collation is None and self._collation(ctx) is None:
            yield Finding(
                RiskLevel.MEDIUM, ReasonCode.CHANGES_COLUMN_TYPE, f"{what} loses its collation {column.collation}"
            )
        yield from surroundings.published_findings(
            ctx, key, f"keep {old.text}, and a value that does not fit it stops them: change it there first"
        )
        if work is Work.REWRITE:
            yield from surroundings.rewrite_findings(ctx, key)

    def _expand_and_contract(self, ctx: StepContext) -> str:
        """A column of the new type beside the old one, filled in batches; the last step takes the old one aside."""
        at: dict[str, Any] = {"schema": self.schema_name, "table": self.table}
        name = f"{self.column}_new"
        if len(name.encode()) > 63 or ctx.graph.column(self._key(ctx), name) is not None:
            return "a new column of the type, a backfill, and a softDropColumn of the old one"
        value = self.using or plain_casts(self.column, self.type)[0]
        where = sql.SQL("{} IS NULL AND {} IS NOT NULL").format(ident(name), ident(self.column))
        return as_yaml(
            {"addColumn": {**at, "column": name, "type": self.type}},
            {"backfill": {**at, "set": {name: value}, "where": render(where)}},
            {"softDropColumn": {**at, "column": self.column}},
            {"renameColumn": {**at, "column": name, "newName": self.column}},
        )

    def statements(self, ctx: StepContext) -> tuple[Statement, ...]:
        using = None if self.using is None else parse_expression(self.using).composed
        given = None if self.collation is None else ident(self.collation)
        kept = self._collation(ctx)
        collation = given if given is not None or kept is None else raw(kept)
        return self._alter(ctx, raw(self.type), self._works_on(ctx), using=using, collation=collation)

    def _alter(
        self,
        ctx: StepContext,
        type_text: sql.Composable,
        work: tuple[TableWork, ...],
        *,
        using: sql.Composable | None,
        collation: sql.Composable | None,
    ) -> tuple[Statement, ...]:
        """The change, then ANALYZE of the column: PostgreSQL forgets its statistics with any change of type."""
        key = self._key(ctx)
        action = sql.SQL("ALTER COLUMN {} TYPE {}{}{}").format(
            ident(self.column),
            type_text,
            sql.SQL("") if collation is None else sql.SQL(" COLLATE {}").format(collation),
            sql.SQL("") if using is None else sql.SQL(" USING {}").format(using),
        )
        analyze = sql.SQL("ANALYZE {} ({})").format(table_ident(key), ident(self.column))
        first = self._locked_first(ctx)
        done = work[0].work if work else Work.CATALOG
        calling, slowly = per_row.slow_indexes(type_dependents.built_anew(ctx.graph, key, self.column, done))
        checking = any(map(per_row.calls, type_dependents.checked_again(ctx.graph, key, self.column, done)))
        return (
            *first,
            Statement(
                sql=parts.alter_table(key, action),
                lock=Lock.ACCESS_EXCLUSIVE,
                on=(key, *type_dependents.foreign_keys(ctx.graph, key, self.column)),
                work=done,
                with_previous=bool(first),
                works_on=work,
                calls_functions=calling or checking or (using is not None and self._using_calls),
                builds_slowly=slowly,
            ),
            Statement(sql=render(analyze), lock=Lock.SHARE_UPDATE_EXCLUSIVE, on=(key,), work=Work.SCAN),
        )

    def probes(self, ctx: StepContext) -> tuple[Probe, ...]:
        key, change = self._key(ctx), self._change(ctx)
        column = ctx.column(key, self.column)
        if change.misfit is not None:
            return (self._misfits(ctx, change, column.type, self._new_type(ctx)),)
        if self.using is None or not column.not_null or self._using_is_plain:
            return ()
        parsed = parse_expression(self.using)
        if parts.is_volatile(parsed, ctx.facts):
            return ()
        return (
            self._probe(
                ctx,
                sql.SQL("{} IS NULL").format(parsed.composed),
                f"`using` makes NULL of values of {self.target(ctx)}, which is NOT NULL",
                "correct `using`, or the rows",
            ),
        )

    def _misfits(self, ctx: StepContext, change: Change, old: str, new: str) -> Probe:
        assert change.misfit is not None
        return self._probe(
            ctx,
            change.misfit(ident(self.column)),
            f"column {self.target(ctx)} has values that do not survive as {new}",
            f"correct these rows first, or say in `using` how {old} becomes {new}",
        )

    def _probe(self, ctx: StepContext, condition: sql.Composable, question: str, remedy: str) -> Probe:
        table = ctx.table(self._key(ctx))
        rows = sql.SQL("FROM {} WHERE {}").format(table_ident(table.key), condition)
        return Probe(
            kind=ProbeKind.MISFITS,
            sql=render(sql.SQL("SELECT 1 {} LIMIT 1").format(rows)),
            question=question,
            remedy=remedy,
            before_statement=1 + len(self._locked_first(ctx)),
            sample_sql=parts.sample(table, rows),
            # Asked while the table is written anew anyhow: what was inserted meanwhile would be cut or rounded silently.
            under_lock=True,
        )

    def _locked_first(self, ctx: StepContext) -> tuple[Statement, ...]:
        return parts.lock_first(type_dependents.referenced(ctx.graph, self._key(ctx), self.column))

    def undo(self, ctx: StepContext) -> Undo:
        """Back to the old type, where nothing was lost and every value of now fits it."""
        column = ctx.column(self._key(ctx), self.column)
        what, new = self.target(ctx), self._new_type(ctx)
        if not self._change(ctx).exact:
            return Undo(refused=f"what the values of {what} were as {column.type} is not kept")
        there, here = read_type(new), read_type(column.type)
        back = automatic_change(there, here) if enum_type(ctx.facts, here.text) is None else None
        using = None
        if back is None:
            back = cast_change(ctx.facts, there, here)
            using = sql.SQL("({}::{})").format(ident(self.column), raw(column.type))
        if back.unasked:
            return Undo(refused=f"{back.unasked}: {what} stays {new}")
        after = ctx.with_graph(self.project(ctx))
        recollated = self._recollated(ctx)
        work = type_dependents.works_on(after, self._key(ctx), self.column, back, recollated=recollated)
        collation = None if column.collation is None else raw(column.collation)
        statements = self._alter(after, raw(column.type), work, using=using, collation=collation)
        if back.misfit is None:
            return Undo(statements=statements)
        return Undo(
            statements=statements,
            unless=self._misfits(after, back, new, column.type),
            otherwise=Undo(refused=f"{what} has values by now that {column.type} cannot hold"),
        )

    def project(self, ctx: StepContext) -> SchemaGraph:
        key = self._key(ctx)
        ctx.column(key, self.column)
        new, collation = self._new_type(ctx), self._collation(ctx)

        def change(table: Table) -> Table:
            columns = (replace(c, type=new, collation=collation) if c.name == self.column else c for c in table.columns)
            return replace(table, columns=tuple(columns))

        return ctx.graph.with_changed(key, change, also=ctx.heirs(key))

    def _key(self, ctx: StepContext) -> TableKey:
        return ctx.key(self.schema_name, self.table)

    def _new_type(self, ctx: StepContext) -> str:
        return catalog_type(ctx.facts, parse_type(self.type))

    def _collation(self, ctx: StepContext) -> str | None:
        """The column's own, as the graph has it: the one given, else the one it has where the new type can have one."""
        if self.collation is not None:
            return parts.printed_collation(self.collation)
        kept = read_type(self._new_type(ctx)).family in ("string", "padded")
        return ctx.column(self._key(ctx), self.column).collation if kept else None

    def _recollated(self, ctx: StepContext) -> bool:
        return self._collation(ctx) != ctx.column(self._key(ctx), self.column).collation

    @property
    def _using_is_plain(self) -> bool:
        using = self.using
        return using is not None and any(same_expression(using, cast) for cast in plain_casts(self.column, self.type))

    @property
    def _using_calls(self) -> bool:
        return self.using is not None and per_row.calls_functions(parse_expression(self.using).functions)

    @property
    def _keeps_values(self) -> bool:
        """Whether the new values are made of the old ones, as far as the text shows; the table's name is the whole row."""
        return self.using is None or bool({self.column, self.table} & parse_expression(self.using).columns)

    def _change(self, ctx: StepContext) -> Change:
        column = ctx.column(self._key(ctx), self.column)
        if self.using is None:
            return self._automatic(ctx, column) or Change()
        if self._using_is_plain:
            return cast_change(ctx.facts, read_type(column.type), read_type(self._new_type(ctx)))
        return Change(automatic=False, exact=False)

    def _work(self, ctx: StepContext) -> Work:
        worked = self._works_on(ctx)
        return worked[0].work if worked else Work.CATALOG

    def _works_on(self, ctx: StepContext) -> tuple[TableWork, ...]:
        return type_dependents.works_on(
            ctx, self._key(ctx), self.column, self._change(ctx), recollated=self._recollated(ctx)
        )


def _effect(work: Work) -> str:
    return {
        Work.CATALOG: "no row is touched",
        Work.SCAN: "no row is rewritten, but checks are asked of every row again, under ACCESS EXCLUSIVE",
        Work.BUILD: "no row is rewritten, but indexes are built anew, under ACCESS EXCLUSIVE",
        Work.REWRITE: "the table and its indexes are written anew, under ACCESS EXCLUSIVE",
    }[work]
