"""What definitions say that PostgreSQL printed: `pg_get_indexdef` and `pg_get_constraintdef`. Pure.

Read by the parser, never by searching the text: a name may hold any word. Refuses nothing; what is no definition is a
SqlProblem.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from zanith.core.identifiers import TableKey
from zanith.core.sql import SqlProblem, definition_tree
from zanith.core.sql_statements import expression_text, parse_statements


@dataclass(frozen=True, slots=True)
class IndexKey:
    """One key of an index: a plain column, or an expression with `column` None and its SQL."""

    column: str | None
    expression: str = ""


@dataclass(frozen=True, slots=True)
class IndexDefinition:
    """An index: its keys in order, the columns it only carries along, and its condition as SQL."""

    method: str
    keys: tuple[IndexKey, ...]
    include: tuple[str, ...]
    where: str | None
    unique: bool
    nulls_not_distinct: bool

    @property
    def columns(self) -> tuple[str, ...] | None:
        """Its key columns where all keys are plain columns."""
        names = tuple(k.column for k in self.keys if k.column is not None)
        return names if len(names) == len(self.keys) else None


@dataclass(frozen=True, slots=True)
class UniqueDefinition:
    """A UNIQUE or PRIMARY KEY constraint. `temporal`: WITHOUT OVERLAPS (PostgreSQL 18), which no btree index can be."""

    columns: tuple[str, ...]
    include: tuple[str, ...]
    nulls_not_distinct: bool
    deferrable: bool
    initially_deferred: bool
    temporal: bool


@dataclass(frozen=True, slots=True)
class ForeignKeyDefinition:
    """A foreign key. `temporal`: over a PERIOD (PostgreSQL 18), which is not compared by equality alone."""

    columns: tuple[str, ...]
    references: TableKey
    referenced: tuple[str, ...]
    match_full: bool
    validated: bool
    enforced: bool
    temporal: bool
    on_update: Literal["a", "r", "c", "n", "d"]
    """What is done to the rows that reference a key which changes, as `pg_constraint.confupdtype` has it."""


def index_definition(definition: str) -> IndexDefinition:
    """Of an index; its definition as `pg_get_indexdef` prints it."""
    (statement,) = parse_statements(definition)
    index = statement.tree
    elements = [p["index_elem"] for p in index["index_params"]]
    return IndexDefinition(
        method=index["access_method"],
        keys=tuple(
            IndexKey(e["name"]) if "name" in e else IndexKey(None, expression_text(e["expr"])) for e in elements
        ),
        include=tuple(p["index_elem"]["name"] for p in index.get("index_including_params", ())),
        where=expression_text(index["where_clause"]) if "where_clause" in index else None,
        unique=index.get("unique", False),
        nulls_not_distinct=index.get("nulls_not_distinct", False),
    )


def read_index(definition: str) -> IndexDefinition | None:
    """The same, of an index that somebody else made: None where its expressions are too deep for the parser."""
    try:
        return index_definition(definition)
    except SqlProblem:
        return None


def unique_definition(definition: str) -> UniqueDefinition:
    """Of a UNIQUE or PRIMARY KEY constraint; its definition as `pg_get_constraintdef` prints it."""
    unique = _constraint(definition)
    return UniqueDefinition(
        columns=_names(unique.keys),
        include=_names(unique.including),
        nulls_not_distinct=unique.nulls_not_distinct,
        deferrable=unique.deferrable,
        initially_deferred=unique.initdeferred,
        temporal=unique.without_overlaps,
    )


def foreign_key_definition(definition: str) -> ForeignKeyDefinition:
    """Of a foreign key; its definition as `pg_get_constraintdef` prints it."""
    foreign = _constraint(definition)
    return ForeignKeyDefinition(
        columns=_names(foreign.fk_attrs),
        references=TableKey(foreign.pktable.schemaname, foreign.pktable.relname),
        referenced=_names(foreign.pk_attrs),
        match_full=foreign.fk_matchtype == "f",
        validated=not foreign.skip_validation,
        enforced=foreign.is_enforced,
        temporal=foreign.fk_with_period,
        on_update=foreign.fk_upd_action or "a",
    )


def _constraint(definition: str) -> Any:
    command = definition_tree(f"ALTER TABLE t ADD {definition}").alter_table_stmt.cmds[0].alter_table_cmd
    return getattr(command, "def").constraint


def _names(nodes: Iterable[Any]) -> tuple[str, ...]:
    return tuple(n.string.sval for n in nodes)
