"""The operation that creates a table, with its columns and constraints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import ClassVar

from psycopg import sql
from pydantic import Field, model_validator

from zanith.core.graph import Column, Constraint, SchemaGraph, Table
from zanith.core.identifiers import TableKey, fit, ident, table_ident
from zanith.core.mentions import names_as_printed
from zanith.core.risk import Finding, ReasonCode, RiskLevel
from zanith.core.sql import parse_expression, parse_type, printed, raw, render
from zanith.core.statement import Lock, Statement
from zanith.operations import parts, referencing, surroundings
from zanith.operations.new_table import NewCheck, NewColumn, NewForeignKey, NewUnique, ReferentialAction
from zanith.operations.operation import Comment, Name, Operation
from zanith.operations.step_context import StepContext, Undo, nearest


class CreateTable(Operation):
    """Create a table with its columns and constraints."""

    kind: ClassVar[str] = "createTable"
    rehearsed: ClassVar[bool] = True

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
    comment: Comment | None = None
    """Comment on the table."""

    @model_validator(mode="after")
    def _columns_exist_once(self) -> CreateTable:
        names = [c.name for c in self.columns]
        keys = [self.primary_key, *(u.columns for u in self.uniques), *(f.columns for f in self.foreign_keys)]
        for listed in (names, *keys):
            if doubled := _doubled(listed):
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
        relations = parts.relation_names(ctx.graph, key.schema)
        yield from parts.kept_name_problems("table", key.name)
        if ctx.graph.table(key) is not None:
            yield f"table {key} exists already"
        elif key.name in relations:
            yield f"a relation named {key} exists already"
        for column in self.columns:
            yield from _column_problems(key, column)
        constraints = tuple(self._constraints(ctx))
        yield from (f"two constraints of {key} are named {n}" for n in _doubled(c.name for c in constraints))
        for constraint in constraints:
            yield from parts.kept_name_problems(f"constraint of {key}", constraint.name)
            if constraint.kind in ("primary_key", "unique") and constraint.name in relations:
                yield f"a relation named {key.schema}.{constraint.name} exists already; {key} needs it for an index"
        for check in self.checks:
            yield from self._check_problems(ctx, check)
        for foreign in self.foreign_keys:
            yield from self._foreign_problems(ctx, foreign)

    def _check_problems(self, ctx: StepContext, check: NewCheck) -> Iterator[str]:
        table = self._projected(ctx)
        condition = parse_expression(check.expression)
        if condition.has_subquery:
            yield f"check {check.name} of {table.key} must not contain a subquery"
            return
        yield from (ctx.missing_column(table, c) for c in parts.unknown_columns(table, condition.columns))

    def _foreign_problems(self, ctx: StepContext, foreign: NewForeignKey) -> Iterator[str]:
        key, parent = self._key(ctx), self._parent(ctx, foreign)
        table = self._projected(ctx) if parent == key else ctx.graph.table(parent)
        if table is None:
            yield ctx.missing_table(parent)
            return
        missing = [c for c in foreign.references_columns if table.column(c) is None]
        yield from (ctx.missing_column(table, c) for c in missing)
        if len(foreign.references_columns) != len(foreign.columns):
            yield (
                f"foreign key of {key} has {len(foreign.columns)} columns but references "
                f"{len(foreign.references_columns)} of {parent}"
            )
        elif not missing and not referencing.unique_over(table, foreign.references_columns):
            columns = ", ".join(foreign.references_columns)
            yield f"foreign key of {key} references ({columns}) of {parent}, which no primary key or unique constraint covers"
        else:
            pairs = list(zip(foreign.columns, foreign.references_columns, strict=True))
            yield from referencing.type_problems(ctx, self._projected(ctx), table, pairs)
        if table.persistence == "unlogged":
            yield f"{parent} is unlogged; {key}, which is not, cannot reference it"

    def findings(self, ctx: StepContext) -> Iterator[Finding]:
        yield Finding(RiskLevel.SAFE, ReasonCode.ADDS_TABLE, f"{self._key(ctx)} is new; nobody reads it yet")
        if self.foreign_keys:
            yield Finding(
                RiskLevel.LOW, ReasonCode.ADDS_FOREIGN_KEY, f"{self._key(ctx)} is new, so no row can break its keys"
            )
        yield from surroundings.new_table_findings(ctx, self._projected(ctx))
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
            unless=parts.rows_probe(key),
            otherwise=Undo(refused=f"table {key} has rows by now; dropping it would lose them"),
        )

    def adds(self, ctx: StepContext) -> Iterable[tuple[TableKey, str]]:
        return [(self._key(ctx), c.name) for c in self.columns]

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
            comment=self.comment or None,
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
            yield Constraint(check.name, "check", f"CHECK (({names_as_printed(check.expression)}))", columns)
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


def _doubled(names: Iterable[str]) -> list[str]:
    return sorted(name for name, count in Counter(names).items() if count > 1)


def _column_problems(key: TableKey, column: NewColumn) -> Iterator[str]:
    yield from parts.new_column_problems(key, column.name, column.default)
    kind = parse_type(column.type)
    if kind.serial:
        yield f"type {column.type} of {key}.{column.name} is no type of its own; use bigint with identity: ByDefault"
    elif column.identity is not None and kind.canonical not in ("smallint", "integer", "bigint"):
        yield f"identity column {key}.{column.name} must be smallint, integer or bigint"
    if column.identity is not None and column.default is not None:
        yield f"identity column {key}.{column.name} must not have a default"


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
        collation=parts.printed_collation(column.collation),
        comment=column.comment or None,
    )
