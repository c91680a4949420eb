"""Operations that create: tables and columns."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import ClassVar

from psycopg import sql
from pydantic import Field, StrictBool, model_validator

from zanith.core.graph import Column, Constraint, SchemaGraph, Table
from zanith.core.identifiers import TableKey, fit, ident, table_ident
from zanith.core.risk import Finding, ReasonCode, RiskLevel
from zanith.core.sql import parse_expression, parse_type, printed, raw, render
from zanith.core.statement import Lock, Probe, Statement
from zanith.operations import parts
from zanith.operations.drop import soft_drop
from zanith.operations.operation import Name, Operation, SpecModel, SqlExpression, SqlType
from zanith.operations.step_context import StepContext, Undo, nearest


class Identity(StrEnum):
    """How an identity column takes values of its own."""

    ALWAYS = "Always"
    BY_DEFAULT = "ByDefault"


class ReferentialAction(StrEnum):
    """What a foreign key does when the referenced row goes or changes."""

    NO_ACTION = "NoAction"
    RESTRICT = "Restrict"
    CASCADE = "Cascade"
    SET_NULL = "SetNull"
    SET_DEFAULT = "SetDefault"

    @property
    def words(self) -> str:
        """PostgreSQL's own: `SET NULL`."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", self.value).upper()


class NewColumn(SpecModel):
    """A column of a new table."""

    name: Name
    """Name of the column."""
    type: SqlType
    """Type, e.g. `bigint` or `numeric(10,2)`."""
    nullable: StrictBool = True
    """Whether NULL is allowed."""
    default: SqlExpression | None = None
    """Default, a SQL expression."""
    identity: Identity | None = None
    """Generate the value from a sequence of the column's own."""
    collation: Name | None = None
    """Collation of the column."""
    comment: str | None = Field(None, max_length=1000)
    """Comment on the column."""


class NewUnique(SpecModel):
    """A UNIQUE constraint of a new table."""

    name: Name | None = None
    """Name of the constraint. Default: PostgreSQL's own, `table_column_key`."""
    columns: list[Name] = Field(min_length=1, max_length=32)
    """Columns that are unique together."""


class NewCheck(SpecModel):
    """A CHECK constraint of a new table."""

    name: Name
    """Name of the constraint."""
    expression: SqlExpression
    """What must hold for every row."""


class NewForeignKey(SpecModel):
    """A foreign key of a new table."""

    name: Name | None = None
    """Name of the constraint. Default: PostgreSQL's own, `table_column_fkey`."""
    columns: list[Name] = Field(min_length=1, max_length=32)
    """Referencing columns."""
    references_schema: Name | None = None
    """Schema of the referenced table. Default: the schema of the new one."""
    references_table: Name
    """Referenced table."""
    references_columns: list[Name] = Field(min_length=1, max_length=32)
    """Referenced columns."""
    on_delete: ReferentialAction = ReferentialAction.NO_ACTION
    """When the referenced row is deleted."""
    on_update: ReferentialAction = ReferentialAction.NO_ACTION
    """When the referenced key changes."""


class CreateTable(Operation):
    """Create a table with its columns and constraints."""

    kind: ClassVar[str] = "createTable"

    table: Name
    """Name of the new table."""
    schema_name: Name | None = Field(None, alias="schema")
    """Schema of the table. Default: `spec.database.schema`."""
    columns: list[NewColumn] = Field(min_length=1, max_length=400)
    """Columns, in order."""
    primary_key: list[Name] = Field(default_factory=list, max_length=32)
    """Columns of the primary key. Give one: backfills walk by it."""
    uniques: list[NewUnique] = Field(default_factory=list, max_length=50)
    """UNIQUE constraints."""
    checks: list[NewCheck] = Field(default_factory=list, max_length=50)
    """CHECK constraints."""
    foreign_keys: list[NewForeignKey] = Field(default_factory=list, max_length=50)
    """Foreign keys."""
    comment: str | None = Field(None, max_length=1000)
    """Comment on the table."""

    @model_validator(mode="after")
    def _columns_exist_once(self) -> CreateTable:
        names = [c.name for c in self.columns]
        doubled = sorted({n for n in names if names.count(n) > 1})
        if doubled:
            raise ValueError(f"column {doubled[0]} is there twice")
        used = [*self.primary_key, *(c for u in self.uniques for c in u.columns)]
        used += [c for f in self.foreign_keys for c in f.columns]
        for name in used:
            if name not in names:
                raise ValueError(f"column {name} is not among the table's columns{nearest(name, names)}")
        return self

    def target(self, ctx: StepContext) -> str:
        return str(self._key(ctx))

    def problems(self, ctx: StepContext) -> Iterator[str]:
        key = self._key(ctx)
        if ctx.graph.table(key) is not None:
            yield f"table {key} exists already"
        for foreign in self.foreign_keys:
            parent = self._parent(ctx, foreign)
            table = self._projected(ctx) if parent == key else ctx.graph.table(parent)
            if table is None:
                yield ctx.missing_table(parent)
                continue
            yield from (ctx.missing_column(table, c) for c in foreign.references_columns if table.column(c) is None)
            if len(foreign.references_columns) != len(foreign.columns):
                yield f"foreign key of {key} has {len(foreign.columns)} columns but references another number"

    def findings(self, ctx: StepContext) -> Iterator[Finding]:
        yield Finding(RiskLevel.SAFE, ReasonCode.ADDS_TABLE, f"{self._key(ctx)} is new; nobody reads it yet")
        for parent in self._parents(ctx):
            yield Finding(
                RiskLevel.LOW,
                ReasonCode.LOCKS_SECOND_TABLE,
                f"the foreign key locks {parent} against writes for an instant (SHARE ROW EXCLUSIVE)",
            )

    def statements(self, ctx: StepContext) -> tuple[Statement, ...]:
        key, parents = self._key(ctx), self._parents(ctx)
        create = sql.SQL("CREATE TABLE {} ({})").format(table_ident(key), sql.SQL(", ").join(self._elements(ctx)))
        lock = Lock.SHARE_ROW_EXCLUSIVE if parents else Lock.NONE
        made = [Statement(sql=render(create), lock=lock, on=parents)]
        comments = [(sql.SQL("TABLE {}").format(table_ident(key)), self.comment)] if self.comment else []
        comments += [(sql.SQL("COLUMN {}").format(ident(*key, c.name)), c.comment) for c in self.columns if c.comment]
        for what, text in comments:
            comment = sql.SQL("COMMENT ON {} IS {}").format(what, sql.Literal(text))
            made.append(Statement(sql=render(comment), lock=Lock.NONE, with_previous=True))
        return tuple(made)

    def undo(self, ctx: StepContext) -> Undo:
        key = self._key(ctx)
        drop = sql.SQL("DROP TABLE {}").format(table_ident(key))
        locked = (key, *self._parents(ctx))
        return Undo(
            statements=(Statement(sql=render(drop), lock=Lock.ACCESS_EXCLUSIVE, on=locked),),
            unless=parts.populated_probe(key, ""),
            otherwise=Undo(refused=f"table {key} has rows by now; dropping it would lose them"),
        )

    def project(self, ctx: StepContext) -> SchemaGraph:
        return ctx.graph.with_table(self._projected(ctx))

    def _key(self, ctx: StepContext) -> TableKey:
        return ctx.key(self.schema_name, self.table)

    def _parent(self, ctx: StepContext, foreign: NewForeignKey) -> TableKey:
        return TableKey(foreign.references_schema or self._key(ctx).schema, foreign.references_table)

    def _parents(self, ctx: StepContext) -> tuple[TableKey, ...]:
        """The other tables its foreign keys lock, each once."""
        found = dict.fromkeys(self._parent(ctx, f) for f in self.foreign_keys)
        return tuple(p for p in found if p != self._key(ctx))

    def _elements(self, ctx: StepContext) -> Iterator[sql.Composable]:
        for column in self.columns:
            yield parts.column_definition(
                column.name,
                column.type,
                default=column.default,
                not_null=not column.nullable,
                identity=column.identity,
                collation=column.collation,
            )
        for constraint in self._constraints(ctx):
            yield sql.SQL("CONSTRAINT {} {}").format(ident(constraint.name), raw(constraint.definition))

    def _projected(self, ctx: StepContext) -> Table:
        key = self._key(ctx)
        required = set(self.primary_key)
        columns = tuple(_projected_column(c, c.name in required) for c in self.columns)
        return Table(
            schema=key.schema,
            name=key.name,
            columns=columns,
            constraints=tuple(sorted(self._constraints(ctx), key=lambda c: c.name)),
            comment=self.comment,
        )

    def _constraints(self, ctx: StepContext) -> Iterator[Constraint]:
        """Each with an explicit name, by PostgreSQL's own pattern, and its definition as PostgreSQL prints it."""
        if self.primary_key:
            text = f"PRIMARY KEY ({_printed(self.primary_key)})"
            yield Constraint(fit(f"{self.table}_pkey"), "primary_key", text, tuple(self.primary_key))
        for unique in self.uniques:
            name = unique.name or fit("_".join([self.table, *unique.columns, "key"]))
            yield Constraint(name, "unique", f"UNIQUE ({_printed(unique.columns)})", tuple(unique.columns))
        for check in self.checks:
            used = parse_expression(check.expression).columns
            columns = tuple(c.name for c in self.columns if c.name in used)
            yield Constraint(check.name, "check", f"CHECK (({check.expression}))", columns)
        for foreign in self.foreign_keys:
            parent = self._parent(ctx, foreign)
            text = (
                f"FOREIGN KEY ({_printed(foreign.columns)}) REFERENCES "
                f"{printed(parent.schema)}.{printed(parent.name)}({_printed(foreign.references_columns)})"
            )
            if foreign.on_update is not ReferentialAction.NO_ACTION:
                text += f" ON UPDATE {foreign.on_update.words}"
            if foreign.on_delete is not ReferentialAction.NO_ACTION:
                text += f" ON DELETE {foreign.on_delete.words}"
            name = foreign.name or fit("_".join([self.table, *foreign.columns, "fkey"]))
            yield Constraint(name, "foreign_key", text, tuple(foreign.columns), references=parent)


def _printed(names: list[str]) -> str:
    return ", ".join(printed(n) for n in names)


def _projected_column(column: NewColumn, required: bool) -> Column:
    kind = parse_type(column.type)
    default = None
    if column.default is not None:
        default = parts.printed_default(parse_expression(column.default), kind)
    return Column(
        name=column.name,
        type=kind.canonical,
        not_null=required or not column.nullable or column.identity is not None,
        default=default,
        identity=parts.graph_identity(column.identity),
        collation=column.collation,
        comment=column.comment,
    )


class AddColumn(Operation):
    """Add a column. A default that differs from row to row is set for new rows at once and backfilled for old ones."""

    kind: ClassVar[str] = "addColumn"

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
    comment: str | None = Field(None, max_length=1000)
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
        kind = parse_type(self.type)
        if kind.serial:
            yield f"type {self.type} rewrites the whole table; use bigint and a sequence of your own"
        if kind.canonical in ctx.facts.constrained_domains:
            yield f"domain {kind.canonical} has constraints, so adding {table.key}.{self.column} rewrites the whole table"
        used = parse_expression(self.default).columns if self.default is not None else frozenset()
        if used:
            yield f"default of {table.key}.{self.column} must not name columns ({sorted(used)[0]})"
        if self._volatile(ctx) and not parts.usable_key(table):
            yield (
                f"default of {table.key}.{self.column} differs from row to row, and the table has no primary key or "
                "unique NOT NULL columns to backfill it by"
            )

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
                f"{what} is added with a default; no row is rewritten",
            )
        else:
            yield Finding(RiskLevel.SAFE, ReasonCode.ADDS_NULLABLE_COLUMN, f"{what} is nullable; no row is touched")
        if self._volatile(ctx):
            yield Finding(
                RiskLevel.MEDIUM,
                ReasonCode.REQUIRES_BACKFILL,
                f"the default of {what} differs from row to row, so old rows are filled in batches",
            )

    def statements(self, ctx: StepContext) -> tuple[Statement, ...]:
        key = self._key(ctx)
        if not self._volatile(ctx):
            definition = parts.column_definition(
                self.column, self.type, default=self.default, not_null=not self.nullable, collation=self.collation
            )
            return (parts.brief(key, sql.SQL("ADD COLUMN {}").format(definition)), *self._comment(key))
        assert self.default is not None
        plain = parts.column_definition(self.column, self.type, collation=self.collation)
        default = parse_expression(self.default).composed
        set_default = sql.SQL("ALTER COLUMN {} SET DEFAULT {}").format(ident(self.column), default)
        table = ctx.graph.table(key)
        assert table is not None
        where = render(sql.SQL("{} IS NULL").format(ident(self.column)))
        return (
            parts.brief(key, sql.SQL("ADD COLUMN {}").format(plain)),
            parts.brief(key, set_default, with_previous=True),
            *self._comment(key),
            parts.walk(table, {self.column: self.default}, where, excludes_finished=True),
            *(() if self.nullable else parts.set_not_null(ctx.facts, key, self.column)),
        )

    def probes(self, ctx: StepContext) -> tuple[Probe, ...]:
        return (parts.populated_probe(self._key(ctx), self.column),) if self._required else ()

    def undo(self, ctx: StepContext) -> Undo:
        key = self._key(ctx)
        holds_data = Probe(
            kind=parts.populated_probe(key, self.column).kind,
            sql=render(
                sql.SQL("SELECT 1 FROM {} WHERE {} IS NOT NULL LIMIT 1").format(table_ident(key), ident(self.column))
            ),
            question=f"column {key}.{self.column} holds data",
            remedy="",
        )
        drop = parts.brief(key, sql.SQL("DROP COLUMN {}").format(ident(self.column)))
        after = ctx.with_graph(self.project(ctx))
        return Undo(
            statements=(drop,),
            unless=holds_data,
            otherwise=Undo(statements=soft_drop(after, key, self.column)),
        )

    def project(self, ctx: StepContext) -> SchemaGraph:
        table = ctx.graph.table(self._key(ctx))
        assert table is not None
        kind = parse_type(self.type)
        default = None if self.default is None else parts.printed_default(parse_expression(self.default), kind)
        column = Column(
            name=self.column,
            type=kind.canonical,
            not_null=not self.nullable,
            default=default,
            collation=self.collation,
            comment=self.comment,
        )
        return ctx.graph.with_table(table.with_column(column))

    @property
    def _required(self) -> bool:
        return not self.nullable and self.default is None

    def _key(self, ctx: StepContext) -> TableKey:
        return ctx.key(self.schema_name, self.table)

    def _volatile(self, ctx: StepContext) -> bool:
        return self.default is not None and parts.is_volatile(parse_expression(self.default), ctx.facts)

    def _comment(self, key: TableKey) -> tuple[Statement, ...]:
        if self.comment is None:
            return ()
        comment = sql.SQL("COMMENT ON COLUMN {} IS {}").format(ident(*key, self.column), sql.Literal(self.comment))
        return (Statement(sql=render(comment), lock=Lock.SHARE_UPDATE_EXCLUSIVE, on=(key,), with_previous=True),)
