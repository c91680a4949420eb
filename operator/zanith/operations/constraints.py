"""UNIQUE constraints: added by an index that is built concurrently, and dropped.

Refuses what would be found out by failing: duplicates, a taken name, a foreign key that needs the constraint.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from psycopg import sql
from pydantic import Field, StrictBool, model_validator

from zanith.core.definitions import IndexKey, UniqueDefinition, unique_definition
from zanith.core.errors import SpecError
from zanith.core.graph import Constraint, SchemaGraph, Table
from zanith.core.identifiers import TableKey, fit, ident
from zanith.core.risk import Finding, ReasonCode, RiskLevel
from zanith.core.statement import Lock, Probe, Statement
from zanith.operations import parts, uniqueness
from zanith.operations.operation import Name, Operation
from zanith.operations.step_context import StepContext, Undo, nearest

MAX_INDEX_COLUMNS = 32
"""PostgreSQL's own limit, carried columns included (INDEX_MAX_KEYS)."""


class AddUnique(Operation):
    """Add a UNIQUE constraint without blocking writes: its index is built concurrently, then attached."""

    kind: ClassVar[str] = "addUnique"
    rehearsed: ClassVar[bool] = True

    table: Name
    """Name of the table."""
    schema_name: Name | None = Field(None, alias="schema")
    """Schema of the table. Default: `spec.database.schema`."""
    columns: list[Name] = Field(min_length=1, max_length=MAX_INDEX_COLUMNS)
    """Columns that are unique together."""
    name: Name | None = None
    """Name of the constraint and of its index. Default: PostgreSQL's pattern, `table_column_key`."""
    include: list[Name] = Field(default_factory=list, max_length=MAX_INDEX_COLUMNS)
    """Columns its index carries along, not part of the key."""
    nulls_not_distinct: StrictBool = False
    """NULLs count as equal, so that one row at most has none."""
    deferrable: StrictBool = False
    """Whether a transaction may have it checked at its end (SET CONSTRAINTS)."""
    initially_deferred: StrictBool = False
    """Whether it is checked at the end of a transaction unless told otherwise; needs `deferrable`."""

    @model_validator(mode="after")
    def _fits_together(self) -> AddUnique:
        for listed in (self.columns, self.include):
            parts.refuse_doubled("column", listed)
        if len(self.columns) + len(self.include) > MAX_INDEX_COLUMNS:
            raise ValueError(f"columns and include are more than {MAX_INDEX_COLUMNS} together")
        if self.initially_deferred and not self.deferrable:
            raise ValueError("initiallyDeferred needs deferrable: true")
        return self

    def target(self, ctx: StepContext) -> str:
        return f"{self._key(ctx)} ({', '.join(self.columns)})"

    def problems(self, ctx: StepContext) -> Iterator[str]:
        table = ctx.graph.table(self._key(ctx))
        if table is None:
            yield ctx.missing_table(self._key(ctx))
            return
        if table.partition_key is not None:
            yield (
                f"{table.key} is partitioned; PostgreSQL attaches no index to it as a constraint: add it to each "
                "partition, then to the table by rawSql, which takes over what the partitions have"
            )
        for column in (*self.columns, *self.include):
            if table.column(column) is None:
                yield ctx.missing_column(table, column)
            else:
                yield from uniqueness.unindexable(table, column, ordered=column in self.columns)
        name = self.constraint_name
        yield from parts.kept_name_problems(f"constraint of {table.key}", name)
        yield from uniqueness.taken_index_name(ctx, table, name, "constraint")
        yield from parts.taken_constraint_name(ctx.facts, table, name)

    def findings(self, ctx: StepContext) -> Iterator[Finding]:
        yield Finding(
            RiskLevel.MEDIUM,
            ReasonCode.ADDS_UNIQUE_CONSTRAINT,
            f"writes that would double a value of {self.target(ctx)} fail from the moment the build begins; the index is "
            "built concurrently and attached in an instant",
        )
        if self.deferrable:
            yield Finding(
                RiskLevel.LOW,
                ReasonCode.ADDS_UNIQUE_CONSTRAINT,
                f"constraint {self.constraint_name} is deferrable: no foreign key can reference it, and ON CONFLICT does "
                "not take it",
            )

    def statements(self, ctx: StepContext) -> tuple[Statement, ...]:
        return uniqueness.build_and_attach(self._key(ctx), self.constraint_name, self._definition)

    def probes(self, ctx: StepContext) -> tuple[Probe, ...]:
        return (
            uniqueness.duplicates_probe(
                ctx.table(self._key(ctx)),
                [IndexKey(c) for c in self.columns],
                nulls_equal=self.nulls_not_distinct,
                remedy="remove the duplicates first",
            ),
        )

    def undo(self, ctx: StepContext) -> Undo:
        drop = sql.SQL("DROP CONSTRAINT {}").format(ident(self.constraint_name))
        return Undo(statements=(parts.brief(self._key(ctx), drop),))

    def project(self, ctx: StepContext) -> SchemaGraph:
        table = ctx.table(self._key(ctx))
        text = uniqueness.printed_unique(self._definition)
        constraint = Constraint(self.constraint_name, "unique", text, tuple(self.columns))
        return ctx.graph.with_table(table.with_constraint(constraint))

    @property
    def constraint_name(self) -> str:
        """The name given, else `<table>_<columns>_key`, shortened with a hash."""
        return self.name or fit("_".join([self.table, *self.columns, "key"]))

    @property
    def _definition(self) -> UniqueDefinition:
        return UniqueDefinition(
            columns=tuple(self.columns),
            include=tuple(self.include),
            nulls_not_distinct=self.nulls_not_distinct,
            deferrable=self.deferrable,
            initially_deferred=self.initially_deferred,
            temporal=False,
        )

    def _key(self, ctx: StepContext) -> TableKey:
        return ctx.key(self.schema_name, self.table)


class DropUnique(Operation):
    """Drop a UNIQUE constraint and the index it stands on."""

    kind: ClassVar[str] = "dropUnique"

    table: Name
    """Name of the table."""
    schema_name: Name | None = Field(None, alias="schema")
    """Schema of the table. Default: `spec.database.schema`."""
    name: Name
    """Name of the constraint."""

    def target(self, ctx: StepContext) -> str:
        return f"{self._key(ctx)}.{self.name}"

    def problems(self, ctx: StepContext) -> Iterator[str]:
        table = ctx.graph.table(self._key(ctx))
        if table is None:
            yield ctx.missing_table(self._key(ctx))
            return
        unique = self._constraint(table)
        if unique is None:
            yield self._missing(table)
            return
        parent = ctx.facts.parent_indexes.get((table.schema, self.name))
        if parent is not None:
            yield f"constraint {self.name} of {table.key} is inherited from {parent}; drop that of {table.partition_of}"
        for needing in uniqueness.foreign_keys_that_need(ctx, table, self.name, unique.columns):
            yield f"{needing} needs unique constraint {self.name} of {table.key}; drop it first"

    def findings(self, ctx: StepContext) -> Iterator[Finding]:
        table, unique = self._found(ctx)
        yield Finding(
            RiskLevel.MEDIUM,
            ReasonCode.DROPS_UNIQUE_CONSTRAINT,
            f"{table.key} may have duplicates in ({', '.join(unique.columns)}) from then on, and INSERT ... ON CONFLICT "
            "over them fails",
        )
        yield from uniqueness.losses(ctx, table, self.name)

    def statements(self, ctx: StepContext) -> tuple[Statement, ...]:
        key = self._key(ctx)
        drop = sql.SQL("DROP CONSTRAINT {}").format(ident(self.name))
        locked = (key, *ctx.graph.partitions(key))
        return (Statement(sql=parts.alter_table(key, drop), lock=Lock.ACCESS_EXCLUSIVE, on=locked),)

    def undo(self, ctx: StepContext) -> Undo:
        table, constraint = self._found(ctx)
        unique = unique_definition(constraint.definition)
        if unique.temporal:
            return Undo(refused=f"constraint {self.name} of {table.key} is WITHOUT OVERLAPS and cannot be built online")
        if table.partition_key is not None:
            return Undo(refused=f"{table.key} is partitioned; no constraint can be added to it online")
        probe = uniqueness.duplicates_probe(
            table,
            [IndexKey(c) for c in unique.columns],
            nulls_equal=unique.nulls_not_distinct,
            remedy="remove the duplicates first",
        )
        built = uniqueness.build_and_attach(table.key, self.name, unique)
        identity = uniqueness.identity_again(ctx, table.key, self.name)
        comment = parts.constraint_comment_again(table.key, constraint)
        return Undo(statements=(*built, *identity, *comment), probes=(probe,))

    def project(self, ctx: StepContext) -> SchemaGraph:
        table = ctx.table(self._key(ctx))
        gone = self._constraint(table)
        if gone is None:
            return ctx.graph
        return ctx.graph.with_changed(table.key, lambda t: parts.without_constraint(t, gone))

    def _key(self, ctx: StepContext) -> TableKey:
        return ctx.key(self.schema_name, self.table)

    def _constraint(self, table: Table) -> Constraint | None:
        return next((c for c in table.constraints if c.name == self.name and c.kind == "unique"), None)

    def _found(self, ctx: StepContext) -> tuple[Table, Constraint]:
        table = ctx.table(self._key(ctx))
        unique = self._constraint(table)
        if unique is None:
            raise SpecError(self._missing(table), step=ctx.step_index)
        return table, unique

    def _missing(self, table: Table) -> str:
        other = next((c for c in table.constraints if c.name == self.name), None)
        if other is not None:
            return f"constraint {self.name} of {table.key} is no UNIQUE constraint but {other.kind.replace('_', ' ')}"
        if any(i.name == self.name for i in table.indexes):
            return f"{self.name} of {table.key} is an index, not a constraint; use dropIndex"
        names = [c.name for c in table.constraints if c.kind == "unique"]
        return f"unique constraint {self.name} of {table.key} does not exist{nearest(self.name, names)}"
