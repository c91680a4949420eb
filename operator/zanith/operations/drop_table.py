"""The operation that drops a table for good. What PostgreSQL would refuse it for is said before, by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from psycopg import sql
from pydantic import Field

from zanith.core.graph import SchemaGraph, Table
from zanith.core.identifiers import TableKey, table_ident
from zanith.core.risk import Finding, ReasonCode, RiskLevel
from zanith.core.sql import render
from zanith.core.statement import Lock, Statement
from zanith.operations import parts, surroundings
from zanith.operations.advice import as_yaml
from zanith.operations.operation import Name, Operation
from zanith.operations.step_context import StepContext, Undo


class DropTable(Operation):
    """Drop a table and its data for good. No artifact is kept: prefer softDropTable."""

    kind: ClassVar[str] = "dropTable"

    table: Name
    """Name of the table."""
    schema_name: Name | None = Field(None, alias="schema")
    """Schema of the table. Default: `spec.database.schema`."""

    def target(self, ctx: StepContext) -> str:
        return str(self._key(ctx))

    def problems(self, ctx: StepContext) -> Iterator[str]:
        key = self._key(ctx)
        table = ctx.graph.table(key)
        if table is None:
            yield whose_table(ctx, key)
            return
        if table.partition_of is not None:
            yield partition_problem(table, "drop")
        family = (key, *ctx.graph.partitions(key))
        for view in ctx.graph.views:
            if any(read in family for read, _ in view.depends_on):
                yield f"view {view.schema}.{view.name} reads {key}; drop or change it first"
        for member in family:
            for other, constraint in ctx.graph.incoming_foreign_keys(member):
                if other.key not in family:
                    yield f"foreign key {constraint.name} of {other.key} references {member}; drop it first"
        for member in family:
            yield from (
                f"{user} needs {member}; drop or change it first" for user in ctx.facts.dependents.get(member, ())
            )

    def findings(self, ctx: StepContext) -> Iterator[Finding]:
        key = self._key(ctx)
        yield Finding(
            RiskLevel.DESTRUCTIVE,
            ReasonCode.DROPS_TABLE_WITH_DATA,
            f"{key} and its data are gone for good; no artifact is kept",
            safer=as_yaml({"softDropTable": {"table": self.table, "schema": self.schema_name}}),
        )
        for parent in parents_of(ctx.graph, key):
            yield Finding(
                RiskLevel.MEDIUM,
                ReasonCode.LOCKS_SECOND_TABLE,
                f"a foreign key goes with the table, which locks {parent} too for an instant (ACCESS EXCLUSIVE)",
            )
        yield from surroundings.code_naming_table(ctx, key)

    def statements(self, ctx: StepContext) -> tuple[Statement, ...]:
        key = self._key(ctx)
        parents = parents_of(ctx.graph, key)
        drop = Statement(
            sql=render(sql.SQL("DROP TABLE {}").format(table_ident(key))),
            lock=Lock.ACCESS_EXCLUSIVE,
            on=(key, *ctx.graph.partitions(key), *parents),
            with_previous=bool(parents),
        )
        return (*parts.lock_first(parents), drop)

    def undo(self, ctx: StepContext) -> Undo:
        return Undo(refused=f"{self._key(ctx)} was dropped for good; no artifact was kept")

    def project(self, ctx: StepContext) -> SchemaGraph:
        return without_family(ctx.graph, self._key(ctx))

    def _key(self, ctx: StepContext) -> TableKey:
        return ctx.key(self.schema_name, self.table)


def whose_table(ctx: StepContext, key: TableKey) -> str:
    """Why a table is not there to be taken away: it belongs to an extension, or there is none."""
    extension = ctx.facts.extension_tables.get(key)
    if extension is not None:
        return f"table {key} belongs to extension {extension} and goes with it: dropExtension"
    return ctx.missing_table(key)


def partition_problem(table: Table, what: str) -> str:
    """A partition does not go by itself: that would lock the table it belongs to."""
    return (
        f"{table.key} is a partition of {table.partition_of}; DETACH it first (rawSql: ALTER TABLE ... DETACH PARTITION "
        f"... CONCURRENTLY), then {what} it"
    )


def parents_of(graph: SchemaGraph, key: TableKey) -> tuple[TableKey, ...]:
    """Other tables that foreign keys of the table and of its partitions reference."""
    family = (key, *graph.partitions(key))
    tables = [table for member in family if (table := graph.table(member)) is not None]
    found = dict.fromkeys(c.references for t in tables for c in t.constraints if c.references is not None)
    return tuple(p for p in found if p not in family)


def without_family(graph: SchemaGraph, key: TableKey) -> SchemaGraph:
    """The graph without the table and its partitions."""
    for member in (key, *graph.partitions(key)):
        graph = graph.without_table(member)
    return graph
