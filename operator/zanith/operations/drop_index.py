"""Dropping an index without making anybody wait.

Refuses an index that something stands on: a constraint, a foreign key, the index of a partitioned table.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from pydantic import Field

from zanith.core.definitions import read_index
from zanith.core.errors import SpecError
from zanith.core.graph import Index, SchemaGraph, Table
from zanith.core.identifiers import ident
from zanith.core.risk import Finding, ReasonCode, RiskLevel
from zanith.core.sql import concurrently, raw
from zanith.core.statement import Statement
from zanith.operations import parts, uniqueness
from zanith.operations.operation import Name, Operation
from zanith.operations.step_context import StepContext, Undo, nearest

_DROPPED_BY = {"unique": "use dropUnique", "primary_key": "it cannot go without it", "exclude": "drop it by rawSql"}


class DropIndex(Operation):
    """Drop an index without blocking reads or writes: always CONCURRENTLY."""

    kind: ClassVar[str] = "dropIndex"

    name: Name
    """Name of the index."""
    schema_name: Name | None = Field(None, alias="schema")
    """Schema of the index, which is that of its table. Default: `spec.database.schema`."""

    def target(self, ctx: StepContext) -> str:
        return str(ctx.key(self.schema_name, self.name))

    def problems(self, ctx: StepContext) -> Iterator[str]:
        found = self._look(ctx)
        if found is None:
            yield self._missing(ctx)
            return
        table, index = found
        what = f"index {self.target(ctx)}"
        if table.partition_key is not None:
            yield (
                f"{what} is of {table.key}, which is partitioned; PostgreSQL drops no such index CONCURRENTLY, and "
                "without that reads and writes of all partitions wait: drop it by rawSql at a quiet time"
            )
        parent = ctx.facts.parent_indexes.get((table.schema, index.name))
        if parent is not None:
            yield f"{what} belongs to {parent} of the partitioned table {table.partition_of}, which needs it"
        if index.unique:
            shape = read_index(index.definition)
            columns = (shape.columns if shape is not None else None) or ()
            for needing in uniqueness.foreign_keys_that_need(ctx, table, index.name, columns):
                yield f"{needing} needs {what}; drop it first"

    def findings(self, ctx: StepContext) -> Iterator[Finding]:
        table, index = self._found(ctx)
        yield Finding(
            RiskLevel.LOW,
            ReasonCode.DROPS_INDEX,
            f"index {self.target(ctx)} is dropped concurrently; queries that used it get slower",
        )
        if index.unique:
            yield Finding(
                RiskLevel.MEDIUM,
                ReasonCode.DROPS_UNIQUE_CONSTRAINT,
                f"{table.key} may have duplicates in ({', '.join(index.columns)}) from then on, and INSERT ... ON CONFLICT "
                "over them fails",
            )
        yield from uniqueness.losses(ctx, table, index.name)

    def statements(self, ctx: StepContext) -> tuple[Statement, ...]:
        table, index = self._found(ctx)
        return (uniqueness.drop_index(table.key, index.name),)

    def undo(self, ctx: StepContext) -> Undo:
        table, index = self._found(ctx)
        if not index.valid:
            return Undo(refused=f"index {self.target(ctx)} was INVALID; there is nothing to build again")
        shape = read_index(index.definition)
        if shape is None:
            return Undo(refused=f"the definition of index {self.target(ctx)} is too deep to be made CONCURRENTLY")
        build = uniqueness.build_index(table.key, index.name, concurrently(index.definition))
        named = ident(table.schema, index.name)
        statements = (
            build,
            *uniqueness.identity_again(ctx, table.key, index.name),
            *parts.comment_again(table.key, "INDEX", named, index.comment, with_previous=False),
        )
        if not index.unique:
            return Undo(statements=statements)
        probe = uniqueness.duplicates_probe(
            table,
            shape.keys,
            nulls_equal=shape.nulls_not_distinct,
            where=None if shape.where is None else raw(shape.where),
            remedy="remove the duplicates first",
        )
        return Undo(statements=statements, probes=(probe,))

    def project(self, ctx: StepContext) -> SchemaGraph:
        found = self._look(ctx)
        if found is None:
            return ctx.graph
        table, index = found
        return ctx.graph.with_table(table.without_index(index.name))

    def _look(self, ctx: StepContext) -> tuple[Table, Index] | None:
        schema = ctx.key(self.schema_name, self.name).schema
        for table in ctx.graph.tables:
            for index in table.indexes:
                if (table.schema, index.name) == (schema, self.name):
                    return table, index
        return None

    def _found(self, ctx: StepContext) -> tuple[Table, Index]:
        found = self._look(ctx)
        if found is None:
            raise SpecError(self._missing(ctx), step=ctx.step_index)
        return found

    def _missing(self, ctx: StepContext) -> str:
        schema = ctx.key(self.schema_name, self.name).schema
        tables = [t for t in ctx.graph.tables if t.schema == schema]
        for table in tables:
            for constraint in table.constraints:
                if constraint.name == self.name and constraint.kind in _DROPPED_BY:
                    kind = constraint.kind.replace("_", " ")
                    return f"index {self.target(ctx)} is that of a {kind} constraint of {table.key}; {_DROPPED_BY[constraint.kind]}"
        names = [i.name for t in tables for i in t.indexes]
        return f"index {self.target(ctx)} does not exist{nearest(self.name, names)}"
