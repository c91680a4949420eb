"""archiveColumn: take a column away and keep its values, by key, in the schema `_zanith_shadow`.

The copy is made in batches while a trigger keeps it in step with every write; then column and trigger go in one short
transaction, and the copy is sealed with a checksum. A table without a key to find its rows by again is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from psycopg import sql
from pydantic import Field

from zanith.core.graph import Column, SchemaGraph, Table
from zanith.core.identifiers import TableKey, fit, ident, table_ident
from zanith.core.risk import Finding, ReasonCode, RiskLevel
from zanith.core.sql import printed, render
from zanith.core.statement import ArtifactDraft, Backfill, ColumnCopy, Lock, Statement, Work
from zanith.operations import archive_restore, column_users, parts, surroundings, sync_triggers
from zanith.operations.drop import locked_parents, referenced_tables
from zanith.operations.keep_table import SHADOW
from zanith.operations.operation import Name, Operation
from zanith.operations.step_context import StepContext, Undo


class ArchiveColumn(Operation):
    """Take a column away from applications, and keep its values by key in a table of the schema `_zanith_shadow`."""

    kind: ClassVar[str] = "archiveColumn"

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
        yield from column_users.drop_problems(ctx, table, self.column)
        yield from self._own_problems(ctx, table, column)

    def _own_problems(self, ctx: StepContext, table: Table, column: Column) -> Iterator[str]:
        what = self.target(ctx)
        if column.generated is not None or column.identity is not None:
            how = "generated" if column.identity is None else "an identity column"
            yield f"{what} is {how}: its values could not be put back; use softDropColumn instead"
        found = parts.usable_key(table)
        if not found:
            yield (
                f"{table.key} has no primary key and no unique constraint over NOT NULL columns: no value of {what} could "
                "be put back to its row; add a primary key first, or use softDropColumn"
            )
        elif self.column in [k.name for k in found]:
            yield f"{what} is part of the key that its values are kept by; use softDropColumn instead"
        enums = {f"{printed(e.schema)}.{printed(e.name)}" for e in ctx.graph.enums}
        for part in found:
            if "." in part.type and part.type not in enums:
                yield (
                    f"{what} would be kept by {part.name}, whose type {part.type} is not PostgreSQL's own; use "
                    "softDropColumn instead"
                )
        for child in ctx.facts.inheritors.get(table.key, ()):
            yield (
                f"{child} inherits from {table.key}: its rows have no key of their own here, and no trigger of ours; use "
                "softDropColumn instead"
            )
        if any(table.key in children for children in ctx.facts.inheritors.values()):
            yield f"{table.key} inherits from another table; what it inherits cannot be dropped: use softDropColumn instead"
        yield from archive_restore.unbuildable(ctx, table, self.column)

    def findings(self, ctx: StepContext) -> Iterator[Finding]:
        key = self._key(ctx)
        copy = TableKey(SHADOW, copy_name(ctx, key, self.column))
        yield Finding(
            RiskLevel.MEDIUM,
            ReasonCode.ARCHIVES_COLUMN,
            f"queries that name {self.target(ctx)} fail from now on; its values are copied to {copy} in batches, and until "
            f"it goes every write of {key} writes there too",
        )
        yield from locked_parents(ctx, key, self.column)
        yield from surroundings.lost_identity_findings(ctx, key, self.column)
        yield from surroundings.code_naming_column(ctx, key, self.column)

    def statements(self, ctx: StepContext) -> tuple[Statement, ...]:
        table = ctx.table(self._key(ctx))
        copy = TableKey(SHADOW, copy_name(ctx, table.key, self.column))
        sync = sync_triggers.SyncTriggers(
            table.key, copy, self.column, tuple(k.name for k in parts.usable_key(table)), ctx.migration_id
        )
        cleanup = (*sync.gone(if_exists=True), render(sql.SQL("DROP TABLE IF EXISTS {}").format(table_ident(copy))))
        family = (table.key, *ctx.graph.partitions(table.key))
        return (
            *_made(table, copy, self.column, sync, family, cleanup),
            _copied(table, copy, self.column, cleanup),
            *self._dropped(ctx, table, copy, sync, family, cleanup),
            _sealed(copy),
        )

    def _dropped(
        self,
        ctx: StepContext,
        table: Table,
        copy: TableKey,
        sync: sync_triggers.SyncTriggers,
        family: tuple[TableKey, ...],
        cleanup: tuple[str, ...],
    ) -> Iterator[Statement]:
        """Triggers and column go, and the artifact is recorded, in one transaction."""
        locked = (*family, *referenced_tables(ctx.graph, table.key, self.column))
        artifact = ArtifactDraft(
            artifact_type="archive_column",
            source_schema=table.schema,
            source_table=table.name,
            source_column=self.column,
            physical_name=copy.name,
            recovery_sql=archive_restore.recovery_sql(table, self.column, copy),
        )
        older = sync_triggers.leftovers(ctx.facts, table.key, self.column, but=sync.name)
        drop = parts.alter_table(table.key, sql.SQL("DROP COLUMN {}").format(ident(self.column)))
        for number, text in enumerate([*sync.gone(), *older, drop]):
            yield Statement(
                sql=text,
                lock=Lock.ACCESS_EXCLUSIVE,
                on=locked,
                with_previous=number > 0,
                artifact=artifact if text == drop else None,
                cleanup=cleanup,
                takes_back=2,
            )

    def undo(self, ctx: StepContext) -> Undo:
        table = ctx.table(self._key(ctx))
        return archive_restore.restored(
            ctx, table, self.column, TableKey(SHADOW, copy_name(ctx, table.key, self.column))
        )

    def project(self, ctx: StepContext) -> SchemaGraph:
        key = ctx.table(self._key(ctx)).key
        return ctx.graph.with_changed(key, lambda t: t.without_column(self.column))

    def _key(self, ctx: StepContext) -> TableKey:
        return ctx.key(self.schema_name, self.table)


def copy_name(ctx: StepContext, key: TableKey, column: str) -> str:
    """`_zanith_archived_<schema>_<table>_<column>_<migration>`, shortened with a hash where it would exceed 63 bytes."""
    return fit(f"_zanith_archived_{key.schema}_{key.name}_{column}_{ctx.migration_id}")


def _made(
    table: Table,
    copy: TableKey,
    column: str,
    sync: sync_triggers.SyncTriggers,
    family: tuple[TableKey, ...],
    cleanup: tuple[str, ...],
) -> Iterator[Statement]:
    """The empty copy and the triggers, in one transaction: it waits for all writers that would not see the triggers."""
    names = [k.name for k in parts.usable_key(table)]
    columns = sql.SQL(", ").join(ident(n) for n in (*names, column))
    create = sql.SQL("CREATE TABLE {} AS SELECT {} FROM {} WITH NO DATA").format(
        table_ident(copy), columns, table_ident(table.key)
    )
    primary = sql.SQL("ADD PRIMARY KEY ({})").format(sql.SQL(", ").join(map(ident, names)))
    texts = [_schema_there(), render(create), parts.alter_table(copy, primary), *sync.made()]
    for number, text in enumerate(texts):
        yield Statement(sql=text, lock=Lock.SHARE_ROW_EXCLUSIVE, on=family, with_previous=number > 0, cleanup=cleanup)


def _copied(table: Table, copy: TableKey, column: str, cleanup: tuple[str, ...]) -> Statement:
    """The walk that copies; a row that the trigger wrote before us is newer and stays."""
    key = parts.usable_key(table)
    columns = sql.SQL(", ").join(ident(n) for n in (*(k.name for k in key), column))
    whole = sql.SQL("INSERT INTO {} ({columns}) SELECT {columns} FROM {} ON CONFLICT DO NOTHING").format(
        table_ident(copy), table_ident(table.key), columns=columns
    )
    return Statement(
        sql=render(whole),
        lock=Lock.ROW_SHARE,
        on=(table.key,),
        work=Work.SCAN,
        cleanup=cleanup,
        backfill=Backfill(
            schema=table.schema,
            table=table.name,
            key=key,
            assignments=(),
            where="true",
            finished_by=None,
            copy=ColumnCopy(schema=copy.schema, table=copy.name, column=column, direction="archive"),
        ),
    )


def _sealed(copy: TableKey) -> Statement:
    """The checksum of the copy, which nobody writes any more, goes to the artifact."""
    return Statement(sql=render(archive_restore.checksum_query(copy)), lock=Lock.NONE, work=Work.SCAN, seals=copy.name)


def _schema_there() -> str:
    body = sql.SQL(
        "BEGIN IF pg_catalog.to_regnamespace({name}) IS NULL THEN CREATE SCHEMA {schema}; "
        "REVOKE ALL ON SCHEMA {schema} FROM PUBLIC; END IF; END"
    ).format(name=sql.Literal(SHADOW), schema=ident(SHADOW))
    return render(sql.SQL("DO {}").format(sql.Literal(render(body))))
