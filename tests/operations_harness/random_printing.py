"""Whether a projected graph is the graph that was read, but for how PostgreSQL prints what the author wrote.

A projection keeps the author's words: `(a)::text` of a text column, where PostgreSQL prints `a`. So each expression that
differs is given to PostgreSQL once more, in a transaction that is rolled back, and has to come out as it was read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psycopg
from psycopg import sql

from zanith.core.graph import Column, Constraint, Index, Policy, SchemaGraph, Table
from zanith.core.graph_forms import settled
from zanith.core.identifiers import ident, table_ident
from zanith.core.sql import raw

Connection = psycopg.Connection[Any]


def differences(conn: Connection, projected: SchemaGraph, found: SchemaGraph) -> list[str]:
    """What differs, in words; nothing where PostgreSQL prints the one as the other.

    The hash of a view's or function's text is left aside: nobody can foresee how PostgreSQL prints it after a rename.
    """
    told = []
    for key in sorted({t.key for t in projected.tables} | {t.key for t in found.tables}):
        ours, theirs = projected.table(key), found.table(key)
        if ours is None or theirs is None:
            told.append(f"{key} is only {'projected' if theirs is None else 'there'}")
        elif ours != theirs:
            told += _between(_reprinted(conn, ours, theirs), theirs)
    for name in ("views", "enums", "extensions", "domains", "sequences", "functions"):
        ours, theirs = _unhashed(getattr(projected, name)), _unhashed(getattr(found, name))
        if ours != theirs:
            told.append(f"{name}: projected {ours}, found {theirs}")
    return told


def _between(ours: Table, theirs: Table) -> Iterator[str]:
    for field in Table.__slots__:
        left, right = getattr(ours, field), getattr(theirs, field)
        if left != right and isinstance(left, tuple):
            yield (
                f"{ours.key} {field}: projected {[x for x in left if x not in right]}, "
                f"found {[x for x in right if x not in left]}"
            )
        elif left != right:
            yield f"{ours.key} {field}: projected {left}, found {right}"


def _unhashed(items: Any) -> Any:
    return [replace(v, definition_hash="") if hasattr(v, "definition_hash") else v for v in items]


def _reprinted(conn: Connection, ours: Table, theirs: Table) -> Table:
    """The projected table with the expressions that differ as PostgreSQL prints them."""
    columns = {c.name: c for c in theirs.columns}
    constraints = {c.name: c for c in theirs.constraints}
    indexes = {i.name: i for i in theirs.indexes}
    policies = {p.name: p for p in theirs.policies}
    return replace(
        ours,
        columns=tuple(_column(conn, theirs, c, columns.get(c.name)) for c in ours.columns),
        constraints=tuple(_constraint(conn, theirs, c, constraints.get(c.name)) for c in ours.constraints),
        indexes=tuple(_index(conn, theirs, i, indexes.get(i.name)) for i in ours.indexes),
        policies=tuple(_policy(conn, theirs, p, policies.get(p.name)) for p in ours.policies),
    )


def _column(conn: Connection, table: Table, ours: Column, theirs: Column | None) -> Column:
    if theirs is None or ours.default == theirs.default or ours.default is None:
        return ours
    if ours.generated is None:
        alter = sql.SQL("ALTER COLUMN {} SET DEFAULT ({})").format(ident(ours.name), raw(ours.default))
        name = ours.name
    else:
        alter = sql.SQL("ADD COLUMN again {} GENERATED ALWAYS AS ({}) STORED").format(raw(ours.type), raw(ours.default))
        name = "again"
    printed = _printed(
        conn,
        [_alter(table, alter)],
        "SELECT pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d JOIN pg_attribute a "
        "ON (a.attrelid, a.attnum) = (d.adrelid, d.adnum) WHERE a.attrelid = {table}::regclass AND a.attname = {name}",
        table,
        name,
    )
    return replace(ours, default=printed)


def _constraint(conn: Connection, table: Table, ours: Constraint, theirs: Constraint | None) -> Constraint:
    if theirs is None or ours.definition == theirs.definition or ours.kind != "check":
        return ours
    printed = _printed(
        conn,
        [_alter(table, sql.SQL("ADD CONSTRAINT again {}").format(raw(ours.definition)))],
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = {table}::regclass AND conname = {name}",
        table,
        "again",
    )
    return replace(ours, definition=printed)


def _index(conn: Connection, table: Table, ours: Index, theirs: Index | None) -> Index:
    if theirs is None or ours.definition == theirs.definition:
        return ours
    aside = sql.SQL("ALTER INDEX {} RENAME TO aside").format(ident(table.schema, ours.name))
    printed = _printed(
        conn,
        [aside, raw(ours.definition)],
        "SELECT pg_get_indexdef(c.oid) FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid "
        "WHERE i.indrelid = {table}::regclass AND c.relname = {name}",
        table,
        ours.name,
    )
    return replace(ours, definition=printed)


def _policy(conn: Connection, table: Table, ours: Policy, theirs: Policy | None) -> Policy:
    if theirs is None or (ours.using, ours.with_check) == (theirs.using, theirs.with_check):
        return ours
    made = sql.SQL("CREATE POLICY again ON {}").format(table_ident(table.key))
    made += sql.SQL("" if ours.using is None else " USING ({})").format(raw(ours.using or ""))
    made += sql.SQL("" if ours.with_check is None else " WITH CHECK ({})").format(raw(ours.with_check or ""))
    asked = "SELECT pg_get_expr({part}, polrelid) FROM pg_policy WHERE polrelid = {{table}}::regclass AND polname = {{name}}"
    using, with_check = (
        _printed(conn, [made], asked.format(part=part), table, "again") for part in ("polqual", "polwithcheck")
    )
    return replace(ours, using=using, with_check=with_check)


def _alter(table: Table, action: sql.Composable) -> sql.Composed:
    return sql.SQL("ALTER TABLE {} {}").format(table_ident(table.key), action)


def _printed(conn: Connection, statements: list[Any], ask: str, table: Table, name: str) -> Any:
    """What PostgreSQL prints after the statements, which leave no trace."""
    asked = sql.SQL(ask).format(  # put together from the texts above only
        table=sql.Literal(table_ident(table.key).as_string(conn)), name=sql.Literal(name)
    )
    try:
        with conn.transaction(force_rollback=True):
            for statement in statements:
                conn.execute(statement)
            conn.execute("SET LOCAL search_path = pg_catalog")
            row = conn.execute(asked).fetchone()
    except psycopg.Error as error:
        return f"({error})"  # of a column that is not there, say: then it differs
    assert row is not None, f"nothing called {name} of {table.key}"
    return settled(row[0]) if isinstance(row[0], str) else row[0]
