"""Operations on indexes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, ClassVar

from psycopg import sql
from pydantic import Field, StrictBool

from zanith.core.definitions import index_definition
from zanith.core.graph import Index, SchemaGraph, Table
from zanith.core.identifiers import TableKey, fit, ident, table_ident
from zanith.core.mentions import names_as_printed
from zanith.core.risk import Finding, ReasonCode, RiskLevel
from zanith.core.sql import Expression, SqlProblem, parse_expression, parse_index_element, printed, raw, render
from zanith.core.statement import Probe, Statement
from zanith.operations import parts, uniqueness
from zanith.operations.operation import Name, Operation, SqlCondition, SqlIndexElement
from zanith.operations.step_context import StepContext, Undo, nearest


class AddIndex(Operation):
    """Build an index without blocking writes: always CONCURRENTLY."""

    kind: ClassVar[str] = "addIndex"
    rehearsed: ClassVar[bool] = True

    table: Name
    """Name of the table."""
    schema_name: Name | None = Field(None, alias="schema")
    """Schema of the table. Default: `spec.database.schema`."""
    columns: list[SqlIndexElement] = Field(min_length=1, max_length=32)
    """Exact column names, or elements as in CREATE INDEX: `lower(email)`, `created_at DESC`."""
    unique: StrictBool = False
    """Whether no two rows may be equal in it."""
    name: Name | None = None
    """Name of the index. Default: PostgreSQL's pattern, `table_column_idx`."""
    method: Annotated[str, Field(pattern="^[a-z_][a-z0-9_]*$", max_length=63)] = "btree"
    """Access method: btree, hash, gin, gist, spgist, brin, or an extension's."""
    where: SqlCondition | None = None
    """Only rows that match: a partial index."""
    include: list[Name] = Field(default_factory=list, max_length=32)
    """Columns carried along, not part of the key."""
    nulls_not_distinct: StrictBool = False
    """For a unique index: NULLs count as equal."""

    def target(self, ctx: StepContext) -> str:
        return f"{self._key(ctx)} ({', '.join(self.columns)})"

    def problems(self, ctx: StepContext) -> Iterator[str]:
        table = ctx.graph.table(self._key(ctx))
        if table is None:
            yield ctx.missing_table(self._key(ctx))
            return
        if table.partition_key is not None:
            yield f"{table.key} is partitioned; PostgreSQL builds no index on it CONCURRENTLY: index its partitions"
        for element in self.columns:
            yield from self._element_problems(ctx, table, element)
        yield from (ctx.missing_column(table, c) for c in self.include if table.column(c) is None)
        if self.where is not None:
            condition = parse_expression(self.where)
            yield from (ctx.missing_column(table, c) for c in parts.unknown_columns(table, condition.columns))
            yield from self._where_problems(ctx, condition)
        name = self.index_name
        yield from parts.kept_name_problems("index", name)
        yield from uniqueness.taken_index_name(ctx, table, name, "index")
        if self.nulls_not_distinct and not self.unique:
            yield f"nullsNotDistinct of index {name} needs unique: true"
        if self.unique and self.method != "btree":
            yield f"method {self.method} of index {name} cannot be unique; only btree can"

    def findings(self, ctx: StepContext) -> Iterator[Finding]:
        yield Finding(
            RiskLevel.LOW,
            ReasonCode.ADDS_INDEX,
            f"index {self.index_name} is built concurrently; {self._key(ctx)} stays readable and writable",
        )
        if self.unique:
            yield Finding(
                RiskLevel.MEDIUM,
                ReasonCode.ADDS_UNIQUE_CONSTRAINT,
                f"writes that would double a value of {self.target(ctx)} fail from the moment the build begins",
            )

    def statements(self, ctx: StepContext) -> tuple[Statement, ...]:
        key = self._key(ctx)
        create = sql.SQL("CREATE {}INDEX CONCURRENTLY {} ON {} USING {} ({}){}{}{}").format(
            sql.SQL("UNIQUE " if self.unique else ""),
            ident(self.index_name),
            table_ident(key),
            ident(self.method),
            sql.SQL(", ").join(self._element(ctx, e) for e in self.columns),
            sql.SQL(" INCLUDE ({})").format(sql.SQL(", ").join(ident(c) for c in self.include))
            if self.include
            else sql.SQL(""),
            sql.SQL(" NULLS NOT DISTINCT" if self.nulls_not_distinct else ""),
            sql.SQL(" WHERE {}").format(parse_expression(self.where).composed) if self.where else sql.SQL(""),
        )
        return (uniqueness.build_index(key, self.index_name, render(create)),)

    def probes(self, ctx: StepContext) -> tuple[Probe, ...]:
        if not self.unique:
            return ()
        table = ctx.table(self._key(ctx))
        probe = uniqueness.duplicates_probe(
            table,
            index_definition(self._printed(table)).keys,
            nulls_equal=self.nulls_not_distinct,
            where=None if self.where is None else parse_expression(self.where).composed,
            remedy="remove the duplicates first, or build the index without unique",
        )
        return (probe,)

    def undo(self, ctx: StepContext) -> Undo:
        key = self._key(ctx)
        return Undo(statements=(uniqueness.drop_index(key, self.index_name),))

    def project(self, ctx: StepContext) -> SchemaGraph:
        table = ctx.table(self._key(ctx))
        plain = [self._plain_column(table, e) for e in self.columns]
        used = {c for e in self.columns for c in self._columns_of(table, e)} | set(self.include)
        if self.where is not None:
            used |= parse_expression(self.where).columns
        named = dict.fromkeys(c for c in plain if c is not None)
        index = Index(
            name=self.index_name,
            definition=self._printed(table),
            columns=(*named, *(c.name for c in table.columns if c.name in used - set(named))),
            unique=self.unique,
        )
        return ctx.graph.with_table(table.with_index(index))

    @property
    def index_name(self) -> str:
        """The name given, else `<table>_<columns>_idx`, expressions as `expr`, shortened with a hash."""
        if self.name is not None:
            return self.name
        words = [e if re.fullmatch(r"\w+", e) else "expr" for e in self.columns]
        return fit("_".join([self.table, *words, "idx"]))

    def _key(self, ctx: StepContext) -> TableKey:
        return ctx.key(self.schema_name, self.table)

    def _element(self, ctx: StepContext, element: str) -> sql.Composable:
        table = ctx.graph.table(self._key(ctx))
        if table is not None and table.column(element) is not None:
            return ident(element)
        return raw(parse_index_element(element).text)

    def _columns_of(self, table: Table, element: str) -> frozenset[str]:
        return frozenset({element}) if table.column(element) else parse_index_element(element).columns

    def _plain_column(self, table: Table, element: str) -> str | None:
        """The column an element is, whatever order or operator class it names; None for an expression."""
        return element if table.column(element) else parse_index_element(element).column

    def _where_problems(self, ctx: StepContext, condition: Expression) -> Iterator[str]:
        volatile = sorted(condition.functions & ctx.facts.volatile_functions)
        if condition.has_subquery:
            yield f"where of index {self.index_name} must not contain a subquery"
        elif volatile:
            yield f"where of index {self.index_name} uses {volatile[0]}, which is not IMMUTABLE"

    def _element_problems(self, ctx: StepContext, table: Table, element: str) -> Iterator[str]:
        if table.column(element) is not None:
            yield from uniqueness.unindexable(table, element, ordered=self.method == "btree")
            return
        try:
            parsed = parse_index_element(element)
        except SqlProblem as problem:
            names = [c.name for c in table.columns]
            yield f"index column {element!r} of {table.key} {problem}{nearest(element, names)}"
            return
        yield from (ctx.missing_column(table, c) for c in parts.unknown_columns(table, parsed.columns))
        if parsed.column is not None:
            yield from uniqueness.unindexable(table, parsed.column, ordered=False)
        volatile = sorted(parsed.functions & ctx.facts.volatile_functions)
        if volatile:
            yield f"index column {element!r} of {table.key} uses {volatile[0]}, which is not IMMUTABLE"

    def _printed(self, table: Table) -> str:
        """As `pg_get_indexdef` prints it, for plain columns and expressions written the way PostgreSQL prints them."""
        elements = ", ".join(printed(e) if table.column(e) else names_as_printed(e) for e in self.columns)
        text = f"CREATE {'UNIQUE ' if self.unique else ''}INDEX {printed(self.index_name)} ON "
        text += f"{printed(table.schema)}.{printed(table.name)} USING {self.method} ({elements})"
        if self.include:
            text += f" INCLUDE ({', '.join(printed(c) for c in self.include)})"
        if self.nulls_not_distinct:
            text += " NULLS NOT DISTINCT"
        if self.where:
            text += f" WHERE ({names_as_printed(self.where)})"
        return text
