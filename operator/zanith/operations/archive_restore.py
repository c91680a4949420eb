"""How an archived column comes back: as statements that run beside the traffic, and as SQL to run by hand.

The rule: a row gets its value back if the archive has one for its key and the column is NULL, so what applications wrote
since the column is there again stays. Rows inserted or re-keyed since get the column's default where it was NOT NULL,
else NULL; values of rows deleted or re-keyed since stay in the archive. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator

from psycopg import sql

from zanith.core.graph import Column, Constraint, Table
from zanith.core.identifiers import TableKey, ident, table_ident
from zanith.core.sql import parse_expression, raw, render
from zanith.core.statement import Backfill, ColumnCopy, Lock, Probe, ProbeKind, Statement, Work
from zanith.operations import parts
from zanith.operations.constraints import DropUnique
from zanith.operations.drop_index import DropIndex
from zanith.operations.foreign_keys import DropForeignKey
from zanith.operations.step_context import StepContext, Undo


def restored(ctx: StepContext, table: Table, name: str, copy: TableKey) -> Undo:
    """The column added again, its values by key, then NOT NULL, indexes and constraints in their online forms."""
    column = table.column(name)
    assert column is not None
    back = (*_added(table.key, column), _refilled(table, name, copy))
    others = tuple(_built_again(ctx, table, name))
    unvalidated = parts.unvalidated_not_null(table, name)
    if unvalidated is not None:
        return Undo(statements=(*back, parts.add_not_null(table.key, unvalidated.name, name), *others))
    if not column.not_null:
        return Undo(statements=(*back, *others))
    required = parts.set_not_null(ctx.facts, table.key, name)
    if column.default is not None:
        empty = render(sql.SQL("{} IS NULL").format(ident(name)))
        filled = parts.walk(table, {name: column.default}, empty, finished_by=name)
        return Undo(statements=(*back, filled, *required, *others))
    return Undo(
        statements=(*back, *required, *others),
        unless=_inserted_since(table, copy),
        otherwise=Undo(statements=(*back, *others), says=f"{table.key}.{name} comes back without NOT NULL"),
    )


def recovery_sql(table: Table, name: str, copy: TableKey) -> str:
    """The same by hand: one statement a line, simple rather than online."""
    column = table.column(name)
    assert column is not None
    lines = [s.sql for s in _added(table.key, column)]
    lines.append(_refilled(table, name, copy).sql)
    if column.not_null:
        if column.default is not None:
            fill = sql.SQL("UPDATE {table} SET {column} = {default} WHERE {column} IS NULL").format(
                table=table_ident(table.key), column=ident(name), default=parse_expression(column.default).composed
            )
            lines.append(render(fill))
        lines.append(parts.alter_table(table.key, sql.SQL("ALTER COLUMN {} SET NOT NULL").format(ident(name))))
    lines += [index.definition for index in table.indexes if name in index.columns]
    for constraint in table.constraints:
        if name in constraint.columns and constraint.kind != "not_null":
            add = sql.SQL("ADD CONSTRAINT {} {}").format(ident(constraint.name), raw(constraint.definition))
            lines.append(parts.alter_table(table.key, add))
    return ";\n".join(lines)


def checksum_query(copy: TableKey) -> sql.Composed:
    """Rows and checksum of a table in one pass, whatever their order: each row's MD5, as two numbers, added up.

    Rows are printed as text: whoever asks pins the settings that printing depends on. No column has the row's name.
    """
    return sql.SQL(
        "SELECT count(*), md5(concat_ws(':', count(*), sum(h.high), sum(h.low))) FROM ("
        "SELECT ('x' || left(m.digest, 16))::bit(64)::bigint AS high, ('x' || right(m.digest, 16))::bit(64)::bigint AS low "
        "FROM (SELECT md5(_zanith_row::text) AS digest FROM {} AS _zanith_row) AS m) AS h"
    ).format(table_ident(copy))


def _added(key: TableKey, column: Column) -> Iterator[Statement]:
    """Nullable and empty, in an instant; the default is for rows from now on."""
    definition = sql.SQL("{} {}").format(ident(column.name), raw(column.type))
    if column.collation is not None:
        definition = sql.SQL("{} COLLATE {}").format(definition, raw(column.collation))
    yield parts.brief(key, sql.SQL("ADD COLUMN {}").format(definition))
    if column.default is not None:
        set_default = sql.SQL("ALTER COLUMN {} SET DEFAULT {}").format(
            ident(column.name), parse_expression(column.default).composed
        )
        yield parts.brief(key, set_default, with_previous=True)
    if column.comment is not None:
        comment = sql.SQL("COMMENT ON COLUMN {}.{} IS {}").format(
            table_ident(key), ident(column.name), sql.Literal(column.comment)
        )
        yield Statement(sql=render(comment), lock=Lock.SHARE_UPDATE_EXCLUSIVE, on=(key,), with_previous=True)


def _refilled(table: Table, name: str, copy: TableKey) -> Statement:
    key = parts.usable_key(table)
    whole = sql.SQL(
        "UPDATE {} AS walked SET {column} = kept.{column} FROM {} AS kept "
        "WHERE {} AND walked.{column} IS NULL AND kept.{column} IS NOT NULL"
    ).format(table_ident(table.key), table_ident(copy), _same_key(table, sql.SQL("walked")), column=ident(name))
    return Statement(
        sql=render(whole),
        lock=Lock.ROW_EXCLUSIVE,
        on=(table.key,),
        work=Work.SCAN,
        backfill=Backfill(
            schema=table.schema,
            table=table.name,
            key=key,
            assignments=(),
            where="true",
            finished_by=None,
            copy=ColumnCopy(schema=copy.schema, table=copy.name, column=name, direction="restore"),
        ),
    )


def _same_key(table: Table, own: sql.SQL) -> sql.Composed:
    pairs = [sql.SQL("kept.{column} = {}.{column}").format(own, column=ident(k.name)) for k in parts.usable_key(table)]
    return sql.SQL(" AND ").join(pairs)


def unbuildable(ctx: StepContext, table: Table, name: str) -> Iterator[str]:
    """Indexes and constraints that go with the column and could not be built again beside the traffic, with the reason."""
    for what, undo in _builders(ctx, table, name):
        if undo.refused:
            yield f"{what} would go with {table.key}.{name} and could not come back with it; drop it first: {undo.refused}"


def _built_again(ctx: StepContext, table: Table, name: str) -> Iterator[Statement]:
    """Indexes and constraints that went with the column, as their own kinds bring them back. No probes are asked: where
    newer rows do not fit, the statement fails, is cleaned up after, and says so."""
    for _, undo in _builders(ctx, table, name):
        yield from undo.statements


def _builders(ctx: StepContext, table: Table, name: str) -> Iterator[tuple[str, Undo]]:
    on = {"schema_name": table.schema}
    for index in table.indexes:
        if name in index.columns:
            undo = DropIndex(**on, name=index.name).undo(ctx)
            if table.partition_key is not None:
                undo = Undo(refused="PostgreSQL builds no index of a partitioned table concurrently")
            yield f"index {index.name}", undo
    for constraint in table.constraints:
        if name not in constraint.columns:
            continue
        what = f"{constraint.kind.replace('_', ' ')} {constraint.name}"
        match constraint.kind:
            case "unique":
                yield what, DropUnique(**on, table=table.name, name=constraint.name).undo(ctx)
            case "foreign_key":
                yield what, DropForeignKey(**on, table=table.name, name=constraint.name).undo(ctx)
            case "check":
                yield what, Undo(statements=tuple(_check_again(table.key, constraint)))
            case "exclude":
                yield what, Undo(refused="PostgreSQL builds no exclusion constraint concurrently")


def _check_again(key: TableKey, constraint: Constraint) -> Iterator[Statement]:
    text = f"{constraint.definition} NOT VALID" if constraint.validated else constraint.definition
    yield parts.brief(key, sql.SQL("ADD CONSTRAINT {} {}").format(ident(constraint.name), raw(text)))
    if constraint.validated:
        yield parts.validate(key, constraint.name)


def _inserted_since(table: Table, copy: TableKey) -> Probe:
    """Are there rows that the archive has no value for?"""
    tail = sql.SQL("FROM {} AS walked WHERE NOT EXISTS (SELECT 1 FROM {} AS kept WHERE {})").format(
        table_ident(table.key), table_ident(copy), _same_key(table, sql.SQL("walked"))
    )
    return Probe(
        kind=ProbeKind.NULLS,
        sql=render(sql.SQL("SELECT 1 {} LIMIT 1").format(tail)),
        question=f"{table.key} has rows that the archive has no value for, inserted or re-keyed since",
        remedy="",
        count_sql=render(sql.SQL("SELECT count(*) {}").format(tail)),
    )
