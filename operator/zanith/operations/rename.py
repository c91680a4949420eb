"""Operations that give a table or a column another name.

Nothing in the database is lost or moved, and what PostgreSQL itself knows follows: views, foreign keys, indexes,
checks, policies. What it does not know breaks at once: queries of applications, and the text of functions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from psycopg import sql
from pydantic import Field

from zanith.core.graph import SchemaGraph, Table
from zanith.core.identifiers import TableKey, ident
from zanith.core.risk import Finding, ReasonCode, RiskLevel
from zanith.core.sql import SqlProblem
from zanith.core.statement import Lock, Statement
from zanith.operations import parts, surroundings
from zanith.operations.advice import as_yaml
from zanith.operations.operation import Name, Operation
from zanith.operations.renaming import column_renamed, table_renamed
from zanith.operations.step_context import StepContext, Undo


class RenameTable(Operation):
    """Give a table another name. Its indexes, constraints and sequences keep theirs."""

    kind: ClassVar[str] = "renameTable"

    table: Name
    """Name of the table."""
    schema_name: Name | None = Field(None, alias="schema")
    """Schema of the table; it stays there. Default: `spec.database.schema`."""
    new_name: Name
    """Its new name."""

    def target(self, ctx: StepContext) -> str:
        return str(self._key(ctx))

    def problems(self, ctx: StepContext) -> Iterator[str]:
        key, new = self._key(ctx), self._moved(ctx)
        if ctx.graph.table(key) is None:
            yield ctx.missing_table(key)
            return
        yield from parts.kept_name_problems("table", new.name)
        if new == key:
            yield f"table {key} has that name already"
        elif new in _relations(ctx):
            yield f"a relation named {new} exists already"
        elif any((e.schema, e.name) == new for e in ctx.graph.enums):
            yield f"a type named {new} exists already; a table's rows are a type of its name"
        try:
            self.project(ctx)
        except SqlProblem as problem:
            yield f"a definition that names {key} {problem}; what it says after the rename cannot be told"

    def findings(self, ctx: StepContext) -> Iterator[Finding]:
        key, new = self._key(ctx), self._moved(ctx)
        yield Finding(
            RiskLevel.HIGH,
            ReasonCode.RENAME_TABLE,
            f"queries that name {key} fail from the moment it is {new}; views, foreign keys and indexes go on working",
            safer=f"CREATE VIEW {new.name} for applications first, or keep the old name as a view over the new one: "
            f"one that reads a single table takes writes too, so old and new code can run side by side",
        )
        yield from surroundings.code_naming_table(ctx, key)
        yield from surroundings.published_findings(ctx, key, f"stop until they have a table {new} too")

    def statements(self, ctx: StepContext) -> tuple[Statement, ...]:
        return (_rename_table(self._key(ctx), self._moved(ctx)),)

    def undo(self, ctx: StepContext) -> Undo:
        return Undo(statements=(_rename_table(self._moved(ctx), self._key(ctx)),))

    def moves(self, ctx: StepContext) -> Mapping[TableKey, TableKey]:
        return {self._key(ctx): self._moved(ctx)}

    def project(self, ctx: StepContext) -> SchemaGraph:
        if ctx.graph.table(self._key(ctx)) is None and ctx.graph.table(self._moved(ctx)) is not None:
            return ctx.graph
        return table_renamed(ctx.graph, ctx.table(self._key(ctx)).key, self.new_name)

    def _key(self, ctx: StepContext) -> TableKey:
        return ctx.key(self.schema_name, self.table)

    def _moved(self, ctx: StepContext) -> TableKey:
        return TableKey(self._key(ctx).schema, self.new_name)


class RenameColumn(Operation):
    """Give a column another name."""

    kind: ClassVar[str] = "renameColumn"
    reaches_heirs: ClassVar[bool] = True

    table: Name
    """Name of the table."""
    schema_name: Name | None = Field(None, alias="schema")
    """Schema of the table. Default: `spec.database.schema`."""
    column: Name
    """Name of the column."""
    new_name: Name
    """Its new name."""

    def target(self, ctx: StepContext) -> str:
        return f"{self._key(ctx)}.{self.column}"

    def problems(self, ctx: StepContext) -> Iterator[str]:
        key = self._key(ctx)
        table = ctx.graph.table(key)
        if table is None or table.column(self.column) is None:
            yield ctx.missing_table(key) if table is None else ctx.missing_column(table, self.column)
            return
        if table.partition_of is not None:
            yield f"{key} is a partition; rename the column of {table.partition_of}"
        yield from parts.new_column_problems(key, self.new_name, None)
        if self.new_name == self.column:
            yield f"column {key}.{self.column} has that name already"
        else:
            yield from self._taken(ctx, table)
        try:
            self.project(ctx)
        except SqlProblem as problem:
            yield f"a definition that names {self.target(ctx)} {problem}; what it says after the rename cannot be told"

    def _taken(self, ctx: StepContext, table: Table) -> Iterator[str]:
        for key in (table.key, *ctx.graph.partitions(table.key)):
            if ctx.graph.column(key, self.new_name) is not None:
                yield f"column {key}.{self.new_name} exists already"

    def findings(self, ctx: StepContext) -> Iterator[Finding]:
        key = self._key(ctx)
        yield Finding(
            RiskLevel.HIGH,
            ReasonCode.RENAME_COLUMN,
            f"queries that name {self.target(ctx)} fail from the moment it is {self.new_name}; views, foreign keys, "
            "indexes and policies go on working",
            safer=self._expand_and_contract(ctx, key),
        )
        yield from surroundings.code_naming_column(ctx, key, self.column)
        yield from surroundings.published_findings(ctx, key, f"stop until they have a column {self.new_name} too")

    def _expand_and_contract(self, ctx: StepContext, key: TableKey) -> str:
        """Both names for a while: applications write both, then read the new one, then the old one goes."""
        at: dict[str, Any] = {"schema": self.schema_name, "table": self.table}
        return as_yaml(
            {"addColumn": {**at, "column": self.new_name, "type": ctx.column(key, self.column).type}},
            {
                "backfill": {
                    **at,
                    "set": {self.new_name: sql.Identifier(self.column).as_string(None)},
                    "where": sql.SQL("{} IS DISTINCT FROM {}")
                    .format(ident(self.new_name), ident(self.column))
                    .as_string(None),
                }
            },
            {"softDropColumn": {**at, "column": self.column}},
        )

    def statements(self, ctx: StepContext) -> tuple[Statement, ...]:
        return (_rename_column(self._key(ctx), self.column, self.new_name),)

    def undo(self, ctx: StepContext) -> Undo:
        return Undo(statements=(_rename_column(self._key(ctx), self.new_name, self.column),))

    def project(self, ctx: StepContext) -> SchemaGraph:
        table = ctx.table(self._key(ctx))
        if table.column(self.column) is None and table.column(self.new_name) is not None:
            return ctx.graph
        ctx.column(table.key, self.column)
        return column_renamed(ctx.graph, table.key, self.column, self.new_name, also=ctx.heirs(table.key))

    def _key(self, ctx: StepContext) -> TableKey:
        return ctx.key(self.schema_name, self.table)


def _rename_table(old: TableKey, new: TableKey) -> Statement:
    return Statement(
        sql=parts.alter_table(old, sql.SQL("RENAME TO {}").format(ident(new.name))),
        lock=Lock.ACCESS_EXCLUSIVE,
        on=(old,),
        renames=(old, new),
    )


def _rename_column(key: TableKey, old: str, new: str) -> Statement:
    return parts.brief(key, sql.SQL("RENAME COLUMN {} TO {}").format(ident(old), ident(new)))


def _relations(ctx: StepContext) -> frozenset[TableKey]:
    """Names that a table of the schema cannot have: relations of all kinds, whether the graph has them or not."""
    facts, graph = ctx.facts, ctx.graph
    known = {TableKey(t.schema, n) for t in graph.tables for n in parts.relation_names(graph, t.schema)}
    hidden = {TableKey(key.schema, name) for key, names in facts.hidden_indexes.items() for name in names}
    views = {TableKey(v.schema, v.name) for v in graph.views}
    return frozenset(known | hidden | views | set(facts.extension_tables) | facts.other_relations)
