"""Random steps on the schema there is, of every kind. Not every step is possible: the planner says which are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from operations_harness.random_schemas import COLUMNS, DEFAULTS, TABLES
from zanith.core.graph import Column, SchemaGraph, Table
from zanith.core.sql import printed

NAMES = ("new", "New one", "limit", "name", "n" * 63)
EXTENSIONS = ("pg_trgm", "citext", "hstore", "btree_gin")
TYPES = (*dict.fromkeys(COLUMNS.values()), "varchar", "varchar(30)", "numeric", "numeric(12,2)", "timestamp", "xml")
LAST_WORDS = frozenset({"dropTable", "dropColumn", "dropExtension", "backfill"})
"""Kinds without a way back: first in a sequence or not at all, so that all after them is taken back."""

Draw = Callable[[st.SearchStrategy[Any]], Any]


def random_step(draw: Draw, graph: SchemaGraph, *, first: bool) -> dict[str, Any]:
    """One step as a user would write it, of a kind chosen before anything else."""
    kind = draw(st.sampled_from([k for k in sorted(_KINDS) if first or k not in LAST_WORDS]))
    tables = [t for t in graph.tables if t.schema == "public"]
    table = draw(st.sampled_from(tables)) if tables else Table("public", "none", (Column("none", "text"),))
    arguments = _KINDS[kind](draw, graph, table)
    return {kind: arguments}


def _column(draw: Draw, table: Table) -> str:
    names = [c.name for c in table.columns]
    return str(draw(st.sampled_from([n for n in names if n != "id"] or names)))


def _some(draw: Draw, table: Table) -> list[str]:
    names = [c.name for c in table.columns]
    found: list[str] = draw(st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True))
    return found


def _one_of(draw: Draw, names: list[str]) -> str:
    return str(draw(st.sampled_from(names))) if names else "none"


def _constraint(draw: Draw, table: Table, kind: str) -> str:
    return _one_of(draw, [c.name for c in table.constraints if c.kind == kind])


def _default(draw: Draw, type_name: str) -> str:
    """Mostly a value of the type, once in a while of any other."""
    if draw(st.integers(0, 5)) == 0 or type_name not in DEFAULTS:
        type_name = draw(st.sampled_from(sorted(DEFAULTS)))
    return str(draw(st.sampled_from(DEFAULTS[type_name])))


def _condition(draw: Draw, table: Table) -> str:
    name = printed(_column(draw, table))
    return str(
        draw(st.sampled_from([f"{name} IS NOT NULL", f"{name} IS NULL OR id > 0", "id > 0", f"({name})::text <> 'x'"]))
    )


def _expression(draw: Draw, table: Table) -> str:
    name = printed(_column(draw, table))
    choices = ["(id + 1)", f"({name})::text", f"lower({name})", f"{name}", f"upper({name}::text)", f"{name} IS NULL"]
    return str(draw(st.sampled_from(choices)))


def _optionally(draw: Draw, **arguments: Any) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if draw(st.integers(0, 2)) == 0}


def _add_column(draw: Draw, graph: SchemaGraph, table: Table) -> dict[str, Any]:
    kind = draw(st.sampled_from(TYPES))
    return {
        "table": table.name, "column": draw(st.sampled_from(NAMES)), "type": kind,
        **_optionally(draw, default=_default(draw, kind), nullable=False, comment="it's new"),
    }  # fmt: skip


def _add_generated(draw: Draw, graph: SchemaGraph, table: Table) -> dict[str, Any]:
    return {
        "table": table.name, "column": draw(st.sampled_from(NAMES)), "expression": _expression(draw, table),
        "type": draw(st.sampled_from(["text", "integer", "bigint", "boolean"])),
        "storage": draw(st.sampled_from(["Stored", "Virtual"])),
    }  # fmt: skip


def _add_index(draw: Draw, graph: SchemaGraph, table: Table) -> dict[str, Any]:
    elements = draw(
        st.sampled_from(
            [_some(draw, table), [f"({_expression(draw, table)})"], [printed(_column(draw, table)) + " DESC"]]
        )
    )
    return {
        "table": table.name, "columns": elements,
        **_optionally(draw, unique=True, where=_condition(draw, table), include=["id"], name=draw(st.sampled_from(NAMES))),
    }  # fmt: skip


def _add_unique(draw: Draw, graph: SchemaGraph, table: Table) -> dict[str, Any]:
    return {
        "table": table.name, "columns": _some(draw, table),
        **_optionally(draw, deferrable=True, nullsNotDistinct=True, name=draw(st.sampled_from(NAMES))),
    }  # fmt: skip


def _add_foreign_key(draw: Draw, graph: SchemaGraph, table: Table) -> dict[str, Any]:
    parent = draw(st.sampled_from([*graph.tables, table]))
    keys = [c.columns[0] for c in parent.constraints if c.kind in ("primary_key", "unique") and len(c.columns) == 1]
    return {
        "table": table.name, "columns": [_column(draw, table)], "referencesTable": parent.name,
        "referencesColumns": [_one_of(draw, keys)],
        **_optionally(draw, onDelete=draw(st.sampled_from(["Cascade", "SetNull"])), name=draw(st.sampled_from(NAMES))),
    }  # fmt: skip


def _alter_type(draw: Draw, graph: SchemaGraph, table: Table) -> dict[str, Any]:
    column, kind = _column(draw, table), draw(st.sampled_from(TYPES))
    cast = f"{printed(column)}::{kind}"
    return {"table": table.name, "column": column, "type": kind, **_optionally(draw, using=cast, collation="C")}


def _alter_default(draw: Draw, graph: SchemaGraph, table: Table) -> dict[str, Any]:
    column = table.column(_column(draw, table))
    assert column is not None
    known = {"timestamp with time zone": "timestamptz", "character varying(20)": "varchar(20)"}
    given = {"default": _default(draw, known.get(column.type, column.type))}
    drop = {"drop": True}
    return {"table": table.name, "column": column.name, **(drop if column.default and draw(st.booleans()) else given)}


def _create_table(draw: Draw, graph: SchemaGraph, table: Table) -> dict[str, Any]:
    kind = draw(st.sampled_from(TYPES))
    parent = draw(st.sampled_from([*graph.tables, table]))
    foreign = {"columns": ["parent"], "referencesTable": parent.name, "referencesColumns": ["id"]}
    return {
        "table": draw(st.sampled_from(TABLES)),
        "columns": [
            {"name": "id", "type": "bigint", **draw(st.sampled_from([{}, {"identity": "Always"}]))},
            {"name": draw(st.sampled_from(NAMES)), "type": kind, **_optionally(draw, default=_default(draw, kind))},
            {"name": "parent", "type": "bigint"},
        ],
        "primaryKey": ["id"],
        **_optionally(draw, foreignKeys=[foreign], checks=[{"name": "ok", "expression": "id > 0"}]),
        **_optionally(draw, uniques=[{"columns": ["parent"]}], comment="made"),
    }  # fmt: skip


def _create_policy(draw: Draw, graph: SchemaGraph, table: Table) -> dict[str, Any]:
    other = draw(st.sampled_from([*graph.tables, table]))
    subquery = f"id IN (SELECT id FROM public.{printed(other.name)})"
    using = draw(st.sampled_from([_condition(draw, table), subquery]))
    return {
        "table": table.name,
        "name": draw(st.sampled_from(NAMES)),
        "using": using,
        **_optionally(draw, permissive=False),
    }


def _raw_sql(draw: Draw, graph: SchemaGraph, table: Table) -> dict[str, Any]:
    """What the author says is done and undone: the names are new ones, for nobody checks them beforehand."""
    name, column = f"public.{printed(table.name)}", printed(_column(draw, table))
    made = f"raw_{draw(st.integers(1, 1_000_000_000))}"
    return draw(  # type: ignore[no-any-return]  # what a strategy draws has no type here
        st.sampled_from([
            {"sql": f"ALTER TABLE {name} ADD COLUMN {made} text", "undo": f"ALTER TABLE {name} DROP COLUMN {made}"},
            {"sql": f"CREATE INDEX {made} ON {name} (id)", "undo": f"DROP INDEX public.{made}"},
            {"sql": f"ALTER TABLE {name} ALTER COLUMN {column} SET STATISTICS 50",
             "undo": f"ALTER TABLE {name} ALTER COLUMN {column} SET STATISTICS -1"},
        ])
    )  # fmt: skip


def _backfill(draw: Draw, graph: SchemaGraph, table: Table) -> dict[str, Any]:
    column = printed(_column(draw, table))
    return {
        "table": table.name,
        "set": {_column(draw, table): column},
        "where": draw(st.sampled_from(["true", f"{column} IS NULL"])),
    }


_KINDS: dict[str, Callable[[Draw, SchemaGraph, Table], dict[str, Any]]] = {
    "createTable": _create_table,
    "addColumn": _add_column,
    "addGeneratedColumn": _add_generated,
    "addIndex": _add_index,
    "dropIndex": lambda draw, graph, table: {"name": _one_of(draw, [i.name for t in graph.tables for i in t.indexes])},
    "addUnique": _add_unique,
    "dropUnique": lambda draw, graph, table: {"table": table.name, "name": _constraint(draw, table, "unique")},
    "addForeignKey": _add_foreign_key,
    "dropForeignKey": lambda draw, graph, table: {"table": table.name, "name": _constraint(draw, table, "foreign_key")},
    "alterColumnNullable": lambda draw, graph, table: {
        "table": table.name, "column": _column(draw, table), "nullable": draw(st.booleans())},
    "alterColumnType": _alter_type,
    "alterColumnDefault": _alter_default,
    "renameTable": lambda draw, graph, table: {"table": table.name, "newName": draw(st.sampled_from(TABLES))},
    "renameColumn": lambda draw, graph, table: {
        "table": table.name, "column": draw(st.sampled_from([c.name for c in table.columns])),
        "newName": draw(st.sampled_from(NAMES))},
    "backfill": _backfill,
    "softDropColumn": lambda draw, graph, table: {"table": table.name, "column": _column(draw, table)},
    "archiveColumn": lambda draw, graph, table: {"table": table.name, "column": _column(draw, table)},
    "dropColumn": lambda draw, graph, table: {"table": table.name, "column": _column(draw, table)},
    "softDropTable": lambda draw, graph, table: {"table": table.name},
    "archiveTable": lambda draw, graph, table: {"table": table.name},
    "dropTable": lambda draw, graph, table: {"table": table.name},
    "createExtension": lambda draw, graph, table: {"name": draw(st.sampled_from(EXTENSIONS))},
    "dropExtension": lambda draw, graph, table: {"name": _one_of(draw, [e.name for e in graph.extensions])},
    "enableRls": lambda draw, graph, table: {"table": table.name, **_optionally(draw, force=True)},
    "disableRls": lambda draw, graph, table: {"table": table.name},
    "createPolicy": _create_policy,
    "dropPolicy": lambda draw, graph, table: {
        "table": table.name, "name": _one_of(draw, [p.name for p in table.policies])},
    "rawSql": _raw_sql,
}  # fmt: skip
