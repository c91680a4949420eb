"""Operations that take a column away: for good, or aside until its artifact expires."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

from psycopg import sql
from pydantic import Field

from zanith.core.graph import SchemaGraph, Table
from zanith.core.identifiers import TableKey, fit, ident
from zanith.core.risk import Finding, ReasonCode, RiskLevel
from zanith.core.sql import SqlProblem
from zanith.core.statement import ArtifactDraft, Lock, Statement, Work
from zanith.operations import column_users, parts, surroundings, sync_triggers
from zanith.operations.advice import as_yaml
from zanith.operations.operation import Name, Operation
from zanith.operations.renaming import column_renamed
from zanith.operations.step_context import StepContext, Undo


class DropColumn(Operation):
    """Drop a column and its data for good. No artifact is kept: prefer softDropColumn."""

    kind: ClassVar[str] = "dropColumn"
    reaches_heirs: ClassVar[bool] = True

    table: Name
    """Name of the table."""
    schema_name: Name | None = Field(None, alias="schema")
    """Schema of the table. Default: `spec.database.schema`."""
    column: Name
    """Name of the column."""

    def target(self, ctx: StepContext) -> str:
        return f"{self._key(ctx)}.{self.column}"

    def problems(self, ctx: StepContext) -> Iterator[str]:
        key = self._key(ctx)
        table = ctx.graph.table(key)
        if table is None or table.column(self.column) is None:
            yield ctx.missing_table(key) if table is None else ctx.missing_column(table, self.column)
            return
        if len(table.columns) == 1:
            yield f"{key}.{self.column} is the table's only column"
        yield from column_users.drop_problems(ctx, table, self.column)

    def findings(self, ctx: StepContext) -> Iterator[Finding]:
        yield Finding(
            RiskLevel.DESTRUCTIVE,
            ReasonCode.DROPS_COLUMN_WITH_DATA,
            f"{self.target(ctx)} and its data are gone for good; no artifact is kept",
            safer=as_yaml({"softDropColumn": {"schema": self.schema_name, "table": self.table, "column": self.column}}),
        )
        key = self._key(ctx)
        yield from locked_parents(ctx, key, self.column)
        yield from surroundings.lost_identity_findings(ctx, key, self.column)
        yield from surroundings.code_naming_column(ctx, key, self.column)

    def statements(self, ctx: StepContext) -> tuple[Statement, ...]:
        key = self._key(ctx)
        parents = referenced_tables(ctx.graph, key, self.column)
        drop = sql.SQL("DROP COLUMN {}").format(ident(self.column))
        texts = [*sync_triggers.leftovers(ctx.facts, key, self.column), parts.alter_table(key, drop)]
        return tuple(
            Statement(sql=text, lock=Lock.ACCESS_EXCLUSIVE, on=(key, *parents), with_previous=number > 0)
            for number, text in enumerate(texts)
        )

    def undo(self, ctx: StepContext) -> Undo:
        return Undo(refused=f"{self.target(ctx)} was dropped for good; no artifact was kept")

    def project(self, ctx: StepContext) -> SchemaGraph:
        key = ctx.table(self._key(ctx)).key
        return ctx.graph.with_changed(key, lambda t: t.without_column(self.column), also=ctx.heirs(key))

    def _key(self, ctx: StepContext) -> TableKey:
        return ctx.key(self.schema_name, self.table)


class SoftDropColumn(Operation):
    """Take a column away from applications at once, but keep it: renamed aside, with an artifact to get it back by."""

    kind: ClassVar[str] = "softDropColumn"
    reaches_heirs: ClassVar[bool] = True

    table: Name
    """Name of the table."""
    schema_name: Name | None = Field(None, alias="schema")
    """Schema of the table. Default: `spec.database.schema`."""
    column: Name
    """Name of the column."""

    def target(self, ctx: StepContext) -> str:
        return f"{self._key(ctx)}.{self.column}"

    def problems(self, ctx: StepContext) -> Iterator[str]:
        key = self._key(ctx)
        table = ctx.graph.table(key)
        column = None if table is None else table.column(self.column)
        if table is None or column is None:
            yield ctx.missing_table(key) if table is None else ctx.missing_column(table, self.column)
            return
        yield from column_users.soft_drop_problems(ctx, table, column)
        try:
            self.project(ctx)
        except SqlProblem as problem:
            yield f"a definition that names {self.target(ctx)} {problem}; what it says after the rename cannot be told"

    def findings(self, ctx: StepContext) -> Iterator[Finding]:
        yield Finding(
            RiskLevel.MEDIUM,
            ReasonCode.SOFT_DROPS_COLUMN,
            f"queries that name {self.target(ctx)} fail from now on; its data is kept",
        )
        key = self._key(ctx)
        aside = physical_name(ctx, self.column)
        yield from column_users.soft_drop_findings(ctx, ctx.table(key), ctx.column(key, self.column), aside)

    def statements(self, ctx: StepContext) -> tuple[Statement, ...]:
        return soft_drop(ctx, self._key(ctx), self.column)

    def undo(self, ctx: StepContext) -> Undo:
        key = self._key(ctx)
        column = ctx.column(key, self.column)
        aside = physical_name(ctx, self.column)
        back = parts.brief(key, _rename(aside, self.column))
        unvalidated = parts.unvalidated_not_null(ctx.table(key), self.column)
        if unvalidated is not None:
            add = parts.add_not_null(key, unvalidated.name, self.column, with_previous=True)
            return Undo(statements=(back, add))
        if not column.not_null:
            return Undo(statements=(back,))
        # Renamed last: until then the question below can be asked again, whatever died in between.
        required = parts.set_not_null(ctx.facts, key, aside, called=self.column)
        last = replace(back, with_previous=required[-1].work is Work.CATALOG)
        return Undo(
            statements=(*required, last),
            unless=parts.nulls_probe(ctx.table(key), aside),
            otherwise=Undo(statements=(back,), says=f"{self.target(ctx)} comes back without NOT NULL"),
        )

    def project(self, ctx: StepContext) -> SchemaGraph:
        """Renamed wherever it is named, policies and foreign keys of other tables included; then out of sight."""
        table = ctx.table(self._key(ctx))
        return out_of_sight(
            ctx.graph, table.key, self.column, physical_name(ctx, self.column), also=ctx.heirs(table.key)
        )

    def _key(self, ctx: StepContext) -> TableKey:
        return ctx.key(self.schema_name, self.table)


def physical_name(ctx: StepContext, column: str) -> str:
    """`_zanith_dropped_<column>_<migration>`, shortened with a hash where it would exceed 63 bytes."""
    return fit(f"_zanith_dropped_{column}_{ctx.migration_id}")


def soft_drop(ctx: StepContext, key: TableKey, column: str, *, aside: str = "") -> tuple[Statement, ...]:
    """Rename aside and lift NOT NULL, so that inserts which no longer know the column succeed; one transaction.

    `aside` is its name from then on, where it is not the usual one.
    """
    aside = aside or physical_name(ctx, column)
    found = ctx.graph.table(key)
    required = found is not None and _enforces_not_null(found, column)
    artifact = ArtifactDraft(
        artifact_type="soft_drop_column",
        source_schema=key.schema,
        source_table=key.name,
        source_column=column,
        physical_name=aside,
        recovery_sql=parts.alter_table(key, _rename(aside, column)),
    )
    rename = Statement(
        sql=parts.alter_table(key, _rename(column, aside)),
        lock=Lock.ACCESS_EXCLUSIVE,
        on=(key,),
        artifact=artifact,
    )
    lifted = (parts.drop_not_null(key, aside, with_previous=True),) if required else ()
    older = [
        Statement(sql=text, lock=Lock.ACCESS_EXCLUSIVE, on=(key,), with_previous=True)
        for text in sync_triggers.leftovers(ctx.facts, key, column)
    ]
    return (rename, *lifted, *older)


def out_of_sight(
    graph: SchemaGraph, key: TableKey, column: str, aside: str, *, also: tuple[TableKey, ...] = ()
) -> SchemaGraph:
    """The graph once the column is renamed aside: what names it names it so, and the graph has it no more."""
    if graph.column(key, column) is None:
        return graph
    renamed = column_renamed(graph, key, column, aside, also=also)
    renamed = renamed.with_changed(key, lambda t: t.without_column(aside), also=also)
    hidden = {(table, aside) for table in (key, *graph.partitions(key), *also)}
    views = tuple(replace(v, depends_on=tuple(d for d in v.depends_on if d not in hidden)) for v in renamed.views)
    return replace(renamed, views=views)


def referenced_tables(graph: SchemaGraph, key: TableKey, column: str) -> tuple[TableKey, ...]:
    """Tables that foreign keys over the column reference: dropping the constraint locks those too."""
    table = graph.table(key)
    constraints = () if table is None else table.constraints
    found = dict.fromkeys(
        c.references for c in constraints if c.kind == "foreign_key" and c.references and column in c.columns
    )
    return tuple(p for p in found if p != key)


def _enforces_not_null(table: Table, name: str) -> bool:
    """Whether inserts without a value for it fail."""
    column = table.column(name)
    return (column is not None and column.not_null) or parts.unvalidated_not_null(table, name) is not None


def _rename(old: str, new: str) -> sql.Composable:
    return sql.SQL("RENAME COLUMN {} TO {}").format(ident(old), ident(new))


def locked_parents(ctx: StepContext, key: TableKey, column: str) -> Iterator[Finding]:
    """Findings: tables that are locked because a foreign key goes with the column."""
    for parent in referenced_tables(ctx.graph, key, column):
        yield Finding(
            RiskLevel.MEDIUM,
            ReasonCode.LOCKS_SECOND_TABLE,
            f"a foreign key goes with the column, which locks {parent} too for an instant (ACCESS EXCLUSIVE)",
        )
