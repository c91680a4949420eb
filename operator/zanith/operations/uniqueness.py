"""Uniqueness as several kinds need it: are there duplicates, how is it built beside the traffic, and who relies on it.

Each safe form is written once, here: nothing in it reads a table under a lock that anybody waits for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from psycopg import sql

from zanith.core.definitions import IndexKey, UniqueDefinition, foreign_key_definition
from zanith.core.graph import Table
from zanith.core.identifiers import TableKey, ident, table_ident
from zanith.core.risk import Finding, ReasonCode, RiskLevel
from zanith.core.sql import printed, raw, render
from zanith.core.statement import IndexIsAbsent, IndexIsValid, Lock, Probe, ProbeKind, Statement, Work
from zanith.operations import parts
from zanith.operations.step_context import StepContext

HOT_SCANS = 1_000
"""From this many scans on, an index that is dropped is missed by somebody who matters."""

# Built-in types without a default btree operator class (asked of PostgreSQL 15 and 18 by a test).
UNORDERED_TYPES = frozenset(
    {"json", "xml", "point", "box", "circle", "line", "lseg", "path", "polygon", "xid", "jsonpath"}
)


def base_type(printed_type: str) -> str:
    """The type without its modifiers: `character varying` of `character varying(20)`."""
    return re.sub(r"\([^()]*\)", "", printed_type)


def unindexable(table: Table, name: str, *, ordered: bool = True) -> Iterator[str]:
    """Why PostgreSQL would build no index over the column; `ordered` as the key of a btree."""
    column = table.column(name)
    if column is None:
        return
    if column.generated == "virtual":
        yield f"column {table.key}.{name} is a virtual generated column, which PostgreSQL builds no index over"
    if ordered and base_type(column.type).removesuffix("[]") in UNORDERED_TYPES:
        yield f"column {table.key}.{name} is {column.type}, which has no order that a btree index could be built by"


def taken_index_name(ctx: StepContext, table: Table, name: str, what: str) -> Iterator[str]:
    """Whether a relation of the schema has the name already: one of the graph, or one that it leaves out."""
    facts = ctx.facts
    hidden = {n for key, names in facts.hidden_indexes.items() if key.schema == table.schema for n in names}
    others = {*facts.other_relations, *facts.extension_tables}
    relations = parts.relation_names(ctx.graph, table.schema)
    if name in relations or name in hidden or TableKey(table.schema, name) in others:
        yield f"a relation named {table.schema}.{name} exists already; give the {what} another `name`"


def build_index(table: TableKey, index: str, text: str) -> Statement:
    """CREATE INDEX CONCURRENTLY: reads the table twice, nobody waits; what a failed one leaves is dropped."""
    return Statement(
        sql=text,
        lock=Lock.SHARE_UPDATE_EXCLUSIVE,
        on=(table,),
        transactional=False,
        work=Work.BUILD,
        done_when=IndexIsValid(schema=table.schema, index=index, table=table.name),
    )


def drop_index(table: TableKey, index: str) -> Statement:
    """DROP INDEX CONCURRENTLY: waits for the queries that use it, and nobody waits for it."""
    return Statement(
        sql=render(sql.SQL("DROP INDEX CONCURRENTLY {}").format(ident(table.schema, index))),
        lock=Lock.SHARE_UPDATE_EXCLUSIVE,
        on=(table,),
        transactional=False,
        done_when=IndexIsAbsent(schema=table.schema, index=index, table=table.name),
    )


def build_and_attach(table: TableKey, name: str, unique: UniqueDefinition) -> tuple[Statement, ...]:
    """A UNIQUE constraint: its index concurrently, under the constraint's name, then attached in an instant.

    Where it cannot be attached the index goes again.
    """
    columns = sql.SQL(", ").join(ident(c) for c in unique.columns)
    include = sql.SQL(", ").join(ident(c) for c in unique.include)
    create = sql.SQL("CREATE UNIQUE INDEX CONCURRENTLY {} ON {} ({}){}{}").format(
        ident(name),
        table_ident(table),
        columns,
        sql.SQL(" INCLUDE ({})").format(include) if unique.include else sql.SQL(""),
        sql.SQL(" NULLS NOT DISTINCT" if unique.nulls_not_distinct else ""),
    )
    add = sql.SQL("ADD CONSTRAINT {} UNIQUE USING INDEX {}{}").format(
        ident(name), ident(name), raw(_deferral(unique.deferrable, unique.initially_deferred))
    )
    drop = sql.SQL("DROP INDEX IF EXISTS {}").format(ident(table.schema, name))
    return (
        build_index(table, name, render(create)),
        replace(parts.brief(table, add), cleanup=(render(drop),)),
    )


def printed_unique(unique: UniqueDefinition) -> str:
    """The constraint as `pg_get_constraintdef` prints it."""
    text = "UNIQUE NULLS NOT DISTINCT" if unique.nulls_not_distinct else "UNIQUE"
    text += f" ({', '.join(printed(c) for c in unique.columns)})"
    if unique.include:
        text += f" INCLUDE ({', '.join(printed(c) for c in unique.include)})"
    return text + _deferral(unique.deferrable, unique.initially_deferred)


def duplicates_probe(
    table: Table,
    keys: Sequence[IndexKey],
    *,
    nulls_equal: bool,
    remedy: str,
    where: sql.Composable | None = None,
) -> Probe:
    """Are there rows that are equal in the keys? A NULL in one makes a row unlike any other, unless `nulls_equal`."""
    texts = [_key(k) for k in keys]
    grouped = sql.SQL(", ").join(texts)
    conditions = [] if nulls_equal else [sql.SQL("{} IS NOT NULL").format(t) for t in texts]
    conditions += [] if where is None else [sql.SQL("({})").format(where)]
    restriction = sql.SQL(" WHERE {}").format(sql.SQL(" AND ").join(conditions)) if conditions else sql.SQL("")
    question = sql.SQL("SELECT 1 FROM {}{} GROUP BY {} HAVING count(*) > 1 LIMIT 1").format(
        table_ident(table.key), restriction, grouped
    )
    walked = [ident(k.name) for k in parts.usable_key(table)]
    sample = sql.SQL(
        "SELECT {} FROM (SELECT {}, count(*) OVER (PARTITION BY {}) AS _zanith_copies FROM {}{}) AS found "
        "WHERE _zanith_copies > 1 LIMIT {}"
    ).format(
        sql.SQL(", ").join(walked),
        sql.SQL(", ").join(walked),
        grouped,
        table_ident(table.key),
        restriction,
        sql.Literal(parts.SAMPLED_ROWS),
    )
    names = ", ".join(k.column or k.expression for k in keys)
    return Probe(
        kind=ProbeKind.DUPLICATES,
        sql=render(question),
        question=f"{table.key} has duplicates in ({names})",
        remedy=remedy,
        sample_sql=render(sample) if walked else "",
    )


def foreign_keys_that_need(ctx: StepContext, table: Table, index: str, columns: Sequence[str]) -> Iterator[str]:
    """Foreign keys that could not do without this unique index, in words.

    Of one that an earlier step of the same migration adds nobody knows which index it will take: any that fits.
    """
    for other, foreign in ctx.graph.incoming_foreign_keys(table.key):
        known = ctx.facts.foreign_key_indexes.get((other.key, foreign.name))
        fits = set(foreign_key_definition(foreign.definition).referenced) == set(columns)
        if known == index or (known is None and fits):
            yield f"foreign key {foreign.name} of {other.key}"


def losses(ctx: StepContext, table: Table, index: str) -> Iterator[Finding]:
    """What goes with an index: the queries that use it, and the replica identity of its table."""
    scans = ctx.facts.index_scans.get((table.schema, index), 0)
    if scans:
        yield Finding(
            RiskLevel.HIGH if scans >= HOT_SCANS else RiskLevel.MEDIUM,
            ReasonCode.DROPS_HOT_INDEX,
            f"index {table.schema}.{index} was scanned {scans} times since statistics were reset (standbys count their "
            "own); the queries that used it read the table instead, or take another index",
            safer="find out first which queries use it (EXPLAIN), and build the index they shall use instead",
        )
    if (table.schema, index) in ctx.facts.replica_identities:
        published = table.key in ctx.facts.published
        yield Finding(
            RiskLevel.HIGH if published else RiskLevel.MEDIUM,
            ReasonCode.PUBLISHED_WITHOUT_REPLICA_IDENTITY if published else ReasonCode.REPLICATION_IMPACT,
            f"index {table.schema}.{index} is the replica identity of {table.key}"
            + ("; a publication publishes it, so its UPDATE and DELETE fail from then on" if published else ""),
            safer=f"give {table.key} another replica identity first",
        )


def identity_again(ctx: StepContext, table: TableKey, index: str) -> tuple[Statement, ...]:
    """For an undo: the index is the replica identity again, if it was."""
    if (table.schema, index) not in ctx.facts.replica_identities:
        return ()
    return (parts.brief(table, sql.SQL("REPLICA IDENTITY USING INDEX {}").format(ident(index))),)


def _key(key: IndexKey) -> sql.Composable:
    return ident(key.column) if key.column is not None else raw(f"({key.expression})")


def _deferral(deferrable: bool, initially_deferred: bool) -> str:
    if initially_deferred:
        return " DEFERRABLE INITIALLY DEFERRED"
    return " DEFERRABLE" if deferrable else ""
