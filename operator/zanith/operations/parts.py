"""Pieces of SQL and of graphs that several kinds share: each safe form is written once, here."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from psycopg import sql

from zanith.core.graph import Constraint, Facts, SchemaGraph, Table
from zanith.core.identifiers import TableKey, fit, ident, table_ident
from zanith.core.mentions import names_as_printed
from zanith.core.sql import Expression, TypeName, parse_expression, printed, raw, render
from zanith.core.statement import Backfill, KeyColumn, Lock, Probe, ProbeKind, Statement, Work

NAMED_NOT_NULL = 180000
"""From this server version NOT NULL is a named constraint that can be added NOT VALID (release notes 18, E.4.3.4)."""

SYSTEM_COLUMNS = frozenset({"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"})


def alter_table(table: TableKey, action: sql.Composable) -> str:
    """`ALTER TABLE "s"."t" action`."""
    return render(sql.SQL("ALTER TABLE {} {}").format(table_ident(table), action))


def brief(table: TableKey, action: sql.Composable, *, with_previous: bool = False) -> Statement:
    """ALTER TABLE of catalog rows only: ACCESS EXCLUSIVE, but for an instant."""
    return Statement(
        sql=alter_table(table, action), lock=Lock.ACCESS_EXCLUSIVE, on=(table,), with_previous=with_previous
    )


def set_not_null(facts: Facts, table: TableKey, column: str, *, called: str = "") -> tuple[Statement, ...]:
    """NOT NULL without a scan under a strong lock.

    From PostgreSQL 18: a NOT NULL constraint NOT VALID, then VALIDATE. Before: a CHECK NOT VALID, VALIDATE, SET NOT
    NULL (which a valid CHECK spares the scan; manual, ALTER TABLE), and the CHECK goes in the same transaction.
    A NOT NULL constraint that is there but was never validated is validated, and stays where a row fails it. `called` is
    the name the column is about to have, where that is another one: constraints are named after it.
    """
    found = facts.graph.table(table)
    unvalidated = None if found is None else unvalidated_not_null(found, column)
    if unvalidated is not None:
        return (replace(validate(table, unvalidated.name), cleanup=()),)
    if facts.server_version >= NAMED_NOT_NULL:
        name = _free_constraint_name(facts, table, called or column)
        return add_not_null(table, name, column), validate(table, name)
    name = fit(f"_zanith_not_null_{table.name}_{called or column}")
    add = sql.SQL("ADD CONSTRAINT {} CHECK ({} IS NOT NULL) NOT VALID").format(ident(name), ident(column))
    return (
        brief(table, add),
        validate(table, name),
        brief(table, sql.SQL("ALTER COLUMN {} SET NOT NULL").format(ident(column))),
        brief(table, sql.SQL("DROP CONSTRAINT {}").format(ident(name)), with_previous=True),
    )


def unvalidated_not_null(table: Table, column: str) -> Constraint | None:
    """The column's NOT NULL constraint that is not validated (PostgreSQL 18): new rows obey it, old ones may not."""
    return next((c for c in table.constraints if c.kind == "not_null" and column in c.columns), None)


def add_not_null(table: TableKey, name: str, column: str, *, with_previous: bool = False) -> Statement:
    """NOT NULL for new rows, from PostgreSQL 18; old ones are not looked at."""
    add = sql.SQL("ADD CONSTRAINT {} NOT NULL {} NOT VALID").format(ident(name), ident(column))
    return brief(table, add, with_previous=with_previous)


def _free_constraint_name(facts: Facts, table: TableKey, column: str) -> str:
    """PostgreSQL's own name, or it with a number: a renamed column keeps the NOT NULL constraint of its old name."""
    wanted = fit(f"{table.name}_{column}_not_null")
    found = facts.graph.table(table)
    taken = set() if found is None else {c.name for c in found.constraints}
    taken |= {name for (key, other), name in facts.not_null_names.items() if key == table and other != column}
    names = (wanted, *(fit(f"{wanted}{n}") for n in range(1, len(taken) + 1)))
    return next(n for n in names if n not in taken)


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


def comment_again(
    table: TableKey, what: str, name: sql.Composable, comment: str | None, *, with_previous: bool = True
) -> tuple[Statement, ...]:
    """For an undo: the comment an object had before it was dropped, if any; `what` is a word of COMMENT ON."""
    if comment is None:
        return ()
    text = sql.SQL("COMMENT ON {} {} IS {}").format(raw(what), name, sql.Literal(comment))
    made = Statement(render(text), Lock.SHARE_UPDATE_EXCLUSIVE, on=(table,), with_previous=with_previous)
    return (made,)


def constraint_comment_again(table: TableKey, constraint: Constraint) -> tuple[Statement, ...]:
    """The same, of a constraint; in a transaction of its own, for what it is on may have been validated in one."""
    named = sql.SQL("{} ON {}").format(ident(constraint.name), table_ident(table))
    return comment_again(table, "CONSTRAINT", named, constraint.comment, with_previous=False)


SAMPLED_ROWS = 5
"""How many offending rows a probe shows the keys of."""


def nulls_probe(table: Table, column: str) -> Probe:
    """Are there NULLs where NOT NULL is wanted?"""
    rows = sql.SQL("FROM {} WHERE {} IS NULL").format(table_ident(table.key), ident(column))
    return Probe(
        kind=ProbeKind.NULLS,
        sql=render(sql.SQL("SELECT 1 {} LIMIT 1").format(rows)),
        question=f"column {table.key}.{column} has NULLs",
        remedy=f"backfill {table.key}.{column} first, or leave it nullable",
        sample_sql=sample(table, rows),
        count_sql=render(sql.SQL("SELECT count(*) {}").format(rows)),
    )


def sample(table: Table, rows: sql.Composable) -> str:
    """The query for the keys of a few of these rows, `FROM ... WHERE ...`; none where the table has no key."""
    key = sql.SQL(", ").join(ident(k.name) for k in usable_key(table))
    shown = sql.SQL("SELECT {} {} LIMIT {}").format(key, rows, sql.Literal(SAMPLED_ROWS))
    return render(shown) if usable_key(table) else ""


def rows_probe(table: TableKey) -> Probe:
    """Has the table rows by now?"""
    question = sql.SQL("SELECT 1 FROM {} LIMIT 1").format(table_ident(table))
    return Probe(
        kind=ProbeKind.POPULATED_TABLE,
        sql=render(question),
        question=f"table {table} has rows",
        remedy=f"what was written to {table} meanwhile would be lost; nothing was done",
        under_lock=True,
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


def walk(table: Table, assignments: dict[str, str], where: str, *, finished_by: str | None) -> Statement:
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
            finished_by=finished_by,
        ),
    )


def is_volatile(expression: Expression, facts: Facts) -> bool:
    """Whether it gives another value for every row, so that PostgreSQL would rewrite the table to add it as a default."""
    return expression.has_subquery or bool(expression.functions & facts.volatile_functions)


def printed_default(expression: Expression, type_name: TypeName) -> str | None:
    """The default as `pg_get_expr` will print it, for constants and plain calls; else the text as written.

    A bare NULL is no default at all, but where the type has modifiers: then it is a call that applies them.
    """
    base = re.sub(r"\([^)]*\)", "", type_name.canonical)
    if base.removesuffix("[]") == "character":
        base = base.replace("character", "bpchar")
    if expression.constant == "string":
        return _printed_constant(expression.text, base)
    if expression.constant == "null":
        return f"NULL::{base}" if "(" in type_name.canonical else None
    return names_as_printed(expression.text)


def _printed_constant(text: str, base: str) -> str:
    """A string is read as its type once and for all: what an integer or a boolean is printed as has no quotes."""
    inside = text[1:-1].strip()
    if base == "integer" and re.fullmatch(r"[0-9]{1,9}", inside):
        return str(int(inside))
    if base == "boolean" and inside.lower() in ("t", "true", "f", "false"):
        return "true" if inside.lower().startswith("t") else "false"
    return f"{text}::{base}"


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
    known = {c.name for c in table.columns} | SYSTEM_COLUMNS | {table.name}
    yield from sorted(used - known)


def with_not_null(table: Table, name: str, not_null: bool) -> Table:
    """The table with the column's NOT NULL changed, and no unvalidated constraint left that said so."""
    kept = tuple(c for c in table.constraints if not (c.kind == "not_null" and name in c.columns))
    columns = tuple(replace(c, not_null=not_null) if c.name == name else c for c in table.columns)
    return replace(table, columns=columns, constraints=kept)


def relation_names(graph: SchemaGraph, schema: str) -> frozenset[str]:
    """Names that tables, indexes and views of the schema share, as far as the graph knows them."""
    tables = [t for t in graph.tables if t.schema == schema]
    names = {t.name for t in tables} | {i.name for t in tables for i in t.indexes}
    names |= {c.name for t in tables for c in t.constraints if c.kind in ("primary_key", "unique", "exclude")}
    return frozenset(names | {v.name for v in graph.views if v.schema == schema})


def kept_name_problems(what: str, name: str) -> Iterator[str]:
    """Names that begin with `_zanith_` would be taken for ours, and left out of the graph."""
    if name.startswith("_zanith_"):
        yield f"{what} {name} begins with _zanith_, which is kept for what Zanith makes itself"


def new_column_problems(table: TableKey, name: str, default: str | None) -> Iterator[str]:
    """What is wrong with the name and the default of a column that is to be."""
    yield from kept_name_problems(f"column of {table}", name)
    if name in SYSTEM_COLUMNS:
        yield f"column {table}.{name} has the name of a system column"
    yield from default_problems(f"{table}.{name}", default)


def default_problems(column: str, default: str | None) -> Iterator[str]:
    """What is wrong with the default a column is to have."""
    if default is None:
        return
    parsed = parse_expression(default)
    if parsed.columns:
        yield f"default of {column} must not name columns ({sorted(parsed.columns)[0]})"
    if parsed.has_subquery:
        yield f"default of {column} must not contain a subquery"


def printed_collation(collation: str | None) -> str | None:
    """As the catalog prints it; the database's own is not printed."""
    return None if collation in (None, "default") else printed(collation)


def refuse_doubled(what: str, names: list[str]) -> None:
    """For validators: raises ValueError where a name is there twice."""
    for name, count in Counter(names).items():
        if count > 1:
            raise ValueError(f"{what} {name} is there twice")


def taken_constraint_name(facts: Facts, table: Table, name: str) -> Iterator[str]:
    """Whether a constraint of the table, or of a partition that gets the new one too, has the name already."""
    for key in (table.key, *facts.graph.partitions(table.key)):
        found = facts.graph.table(key)
        named = {c.name for c in found.constraints} if found is not None else set()
        named |= {taken for (other, _), taken in facts.not_null_names.items() if other == key}
        if name in named:
            yield f"a constraint named {name} of {key} exists already; give the constraint another `name`"


def same_constraint(table: Table, constraint: Constraint) -> Constraint | None:
    """The table's constraint that says the same: what a partition has from its parent, whatever its name there."""
    return next(
        (c for c in table.constraints if (c.kind, c.definition) == (constraint.kind, constraint.definition)), None
    )


def without_constraint(table: Table, constraint: Constraint) -> Table:
    """The table, or a partition of it, without the constraint."""
    named = [c for c in table.constraints if (c.name, c.kind) == (constraint.name, constraint.kind)]
    gone = named[0] if named else same_constraint(table, constraint)
    return replace(table, constraints=tuple(c for c in table.constraints if c is not gone))


def lock_first(tables: tuple[TableKey, ...]) -> tuple[Statement, ...]:
    """LOCK TABLE for what a statement locks beside its own table, to stand before it in its transaction.

    Applications write the referenced table before those that reference it, so that is the order that cannot deadlock.
    """
    if not tables:
        return ()
    names = sql.SQL(", ").join(table_ident(t) for t in tables)
    take = sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(names)
    return (Statement(sql=render(take), lock=Lock.ACCESS_EXCLUSIVE, on=tables),)
