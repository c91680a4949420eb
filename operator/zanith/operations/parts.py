"""Pieces of SQL and of graphs that several kinds share: each safe form is written once, here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from psycopg import sql

from zanith.core.graph import Column, Facts, Table
from zanith.core.identifiers import TableKey, fit, ident, table_ident
from zanith.core.sql import Expression, TypeName, parse_expression, raw, render
from zanith.core.statement import Backfill, KeyColumn, Lock, Probe, ProbeKind, Statement, Work

NAMED_NOT_NULL = 180000
"""From this server version NOT NULL is a named constraint that can be added NOT VALID (release notes 18, E.4.3.4)."""


def alter_table(table: TableKey, action: sql.Composable) -> str:
    """`ALTER TABLE "s"."t" action`."""
    return render(sql.SQL("ALTER TABLE {} {}").format(table_ident(table), action))


def brief(table: TableKey, action: sql.Composable, *, with_previous: bool = False) -> Statement:
    """ALTER TABLE of catalog rows only: ACCESS EXCLUSIVE, but for an instant."""
    return Statement(
        sql=alter_table(table, action), lock=Lock.ACCESS_EXCLUSIVE, on=(table,), with_previous=with_previous
    )


def set_not_null(facts: Facts, table: TableKey, column: str) -> tuple[Statement, ...]:
    """NOT NULL without a scan under a strong lock.

    From PostgreSQL 18: a NOT NULL constraint NOT VALID, then VALIDATE. Before: a CHECK NOT VALID, VALIDATE, SET NOT
    NULL (which a valid CHECK spares the scan; manual, ALTER TABLE), and the CHECK goes in the same transaction.
    """
    if facts.server_version >= NAMED_NOT_NULL:
        name = fit(f"{table.name}_{column}_not_null")
        add = sql.SQL("ADD CONSTRAINT {} NOT NULL {} NOT VALID").format(ident(name), ident(column))
        return brief(table, add), validate(table, name)
    name = fit(f"_zanith_not_null_{table.name}_{column}")
    add = sql.SQL("ADD CONSTRAINT {} CHECK ({} IS NOT NULL) NOT VALID").format(ident(name), ident(column))
    return (
        brief(table, add),
        validate(table, name),
        brief(table, sql.SQL("ALTER COLUMN {} SET NOT NULL").format(ident(column))),
        brief(table, sql.SQL("DROP CONSTRAINT {}").format(ident(name)), with_previous=True),
    )


def validate(table: TableKey, constraint: str) -> Statement:
    """VALIDATE CONSTRAINT: reads the whole table while it is written to as ever. Where a row fails it, it goes again."""
    action = sql.SQL("VALIDATE CONSTRAINT {}").format(ident(constraint))
    drop = sql.SQL("DROP CONSTRAINT IF EXISTS {}").format(ident(constraint))
    return Statement(
        sql=alter_table(table, action),
        lock=Lock.SHARE_UPDATE_EXCLUSIVE,
        on=(table,),
        work=Work.SCAN,
        cleanup=(alter_table(table, drop),),
    )


def drop_not_null(table: TableKey, column: str, *, with_previous: bool = False) -> Statement:
    """Allow NULLs again."""
    return brief(table, sql.SQL("ALTER COLUMN {} DROP NOT NULL").format(ident(column)), with_previous=with_previous)


def nulls_probe(table: TableKey, column: str) -> Probe:
    """Are there NULLs where NOT NULL is wanted?"""
    question = sql.SQL("SELECT 1 FROM {} WHERE {} IS NULL LIMIT 1").format(table_ident(table), ident(column))
    return Probe(
        kind=ProbeKind.NULLS,
        sql=render(question),
        question=f"column {table}.{column} has NULLs",
        remedy=f"backfill {table}.{column} first, or leave it nullable",
    )


def populated_probe(table: TableKey, column: str) -> Probe:
    """Has the table rows, which a required column without a default cannot be added to?"""
    question = sql.SQL("SELECT 1 FROM {} LIMIT 1").format(table_ident(table))
    return Probe(
        kind=ProbeKind.POPULATED_TABLE,
        sql=render(question),
        question=f"table {table} has rows, and the required column {column} has no default",
        remedy=f"add {column} nullable, backfill it, then alterColumnNullable; or give it a default",
        under_lock=True,
    )


def usable_key(table: Table) -> tuple[KeyColumn, ...]:
    """The columns a walk can go by: the primary key, else a unique constraint over NOT NULL columns; else nothing."""
    uniques = [c for c in table.constraints if c.kind == "unique" and "DEFERRABLE" not in c.definition]
    primary = [table.primary_key] if table.primary_key is not None else []
    for constraint in [*primary, *sorted(uniques, key=lambda c: (len(c.columns), c.name))]:
        columns = [table.column(name) for name in constraint.columns]
        if columns and all(c is not None and c.not_null for c in columns):
            return tuple(KeyColumn(c.name, c.type) for c in columns if c is not None)
    return ()


def walk(table: Table, assignments: dict[str, str], where: str, *, excludes_finished: bool) -> Statement:
    """A backfill as a statement; its SQL is what one big UPDATE would be, for people, the audit and the plan hash."""
    parts = sql.SQL(", ").join(
        sql.SQL("{} = {}").format(ident(column), parse_expression(value).composed)
        for column, value in assignments.items()
    )
    whole = sql.SQL("UPDATE {} SET {} WHERE {}").format(table_ident(table.key), parts, parse_expression(where).composed)
    return Statement(
        sql=render(whole),
        lock=Lock.ROW_EXCLUSIVE,
        on=(table.key,),
        work=Work.SCAN,
        backfill=Backfill(
            schema=table.schema,
            table=table.name,
            key=usable_key(table),
            assignments=tuple(assignments.items()),
            where=where,
            excludes_finished=excludes_finished,
        ),
    )


def is_volatile(expression: Expression, facts: Facts) -> bool:
    """Whether it gives another value for every row, so that PostgreSQL would rewrite the table to add it as a default."""
    return expression.has_subquery or bool(expression.functions & facts.volatile_functions)


def printed_default(expression: Expression, type_name: TypeName) -> str:
    """The default as `pg_get_expr` will print it, for constants and plain calls; else the text as written."""
    base = type_name.canonical.partition("(")[0]
    if expression.constant == "string":
        return f"{expression.text}::{base}"
    if expression.constant == "null":
        return f"NULL::{base}"
    return expression.text


def column_definition(
    name: str,
    type_text: str,
    *,
    default: str | None = None,
    not_null: bool = False,
    identity: str | None = None,
    collation: str | None = None,
) -> sql.Composable:
    """`"name" type [COLLATE ..] [DEFAULT ..] [GENERATED .. AS IDENTITY] [NOT NULL]`."""
    parts: list[sql.Composable] = [ident(name), raw(type_text)]
    if collation:
        parts.append(sql.SQL("COLLATE {}").format(ident(collation)))
    if default is not None:
        parts.append(sql.SQL("DEFAULT {}").format(parse_expression(default).composed))
    if identity:
        how = sql.SQL("ALWAYS") if identity == "Always" else sql.SQL("BY DEFAULT")
        parts.append(sql.SQL("GENERATED {} AS IDENTITY").format(how))
    if not_null:
        parts.append(sql.SQL("NOT NULL"))
    return sql.SQL(" ").join(parts)


def graph_identity(identity: str | None) -> Literal["always", "by_default"] | None:
    """The graph's word for a spec's identity."""
    if identity is None:
        return None
    return "always" if identity == "Always" else "by_default"


def unknown_columns(table: Table, used: frozenset[str]) -> Iterator[str]:
    """Names an expression uses that are no columns of the table (system columns and the table's own name aside)."""
    known = {c.name for c in table.columns} | {"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid", table.name}
    yield from sorted(used - known)


def with_not_null(table: Table, column: Column, not_null: bool) -> Table:
    """The table with the column's NOT NULL changed."""
    return table.with_column(replace(column, not_null=not_null))
