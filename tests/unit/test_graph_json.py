"""The stored form of a schema graph: what goes in comes out, and what is not one is told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zanith.core.errors import Conflict
from zanith.core.graph import (
    Column,
    Constraint,
    EnumType,
    Index,
    Policy,
    SchemaGraph,
    Table,
    Trigger,
    View,
)
from zanith.core.graph_json import graph_from_json, graph_hash, graph_to_json
from zanith.core.identifiers import TableKey

# What PostgreSQL can hold: any character but NUL and half a surrogate pair.
text = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=12)
maybe_text = st.none() | text
names = st.lists(text, max_size=3).map(tuple)
keys = st.builds(TableKey, text, text)

columns = st.builds(
    Column, text, text, st.booleans(), maybe_text, st.sampled_from([None, "always", "by_default"]),
    st.sampled_from([None, "stored", "virtual"]), maybe_text, maybe_text,
)  # fmt: skip
kinds = st.sampled_from(["primary_key", "unique", "check", "foreign_key", "exclude", "not_null"])
constraints = st.builds(Constraint, text, kinds, text, names, st.booleans(), st.none() | keys)
indexes = st.builds(Index, text, text, names, st.booleans(), st.booleans())
triggers = st.builds(Trigger, text, text, st.booleans(), st.booleans())
policies = st.builds(Policy, text, text, st.booleans(), names, maybe_text, maybe_text)


def some(items: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(items, max_size=3).map(tuple)


tables = st.builds(
    Table, text, text, some(columns), some(constraints), some(indexes), some(triggers), some(policies), st.booleans(),
    st.booleans(), maybe_text, st.none() | keys, maybe_text, st.sampled_from(["permanent", "unlogged"]), maybe_text,
)  # fmt: skip
views = st.builds(View, text, text, st.booleans(), text, some(st.tuples(keys, text)))
enums = st.builds(EnumType, text, text, names)
graphs = st.builds(SchemaGraph, some(tables), some(views), some(enums))


@given(graphs)
def test_a_graph_comes_back_equal_with_the_same_hash(graph: SchemaGraph) -> None:
    stored = json.loads(json.dumps(graph_to_json(graph)))
    assert graph_from_json(stored) == graph
    assert graph_hash(graph_from_json(stored)) == graph_hash(graph)


@given(graphs, graphs)
def test_graphs_that_differ_hash_differently(one: SchemaGraph, other: SchemaGraph) -> None:
    assert (graph_hash(one) == graph_hash(other)) == (one == other)


def test_the_stored_form_is_camel_case_without_defaults() -> None:
    """Golden: users query this with SQL, and old snapshots must stay readable."""
    graph = SchemaGraph(
        tables=(
            Table(
                "public",
                "orders",
                columns=(Column("id", "bigint", not_null=True, identity="always"), Column("note", "text")),
                constraints=(
                    Constraint("fk", "foreign_key", "FOREIGN KEY (id) REFERENCES public.users(id)", ("id",),
                               validated=False, references=TableKey("public", "users")),
                ),
                indexes=(Index("i", "CREATE INDEX i ON public.orders USING btree (note)", ("note",)),),
                triggers=(Trigger("t", "CREATE TRIGGER t ...", on_update=True),),
                policies=(Policy("p", "ALL", True, ("public",), using="(id > 1)"),),
                row_security=True,
                partition_of=TableKey("public", "all_orders"),
                partition_bound="DEFAULT",
            ),
        ),
        views=(View("public", "v", False, "abc", ((TableKey("public", "orders"), "id"),)),),
        enums=(EnumType("public", "mood", ("sad", "ok")),),
    )  # fmt: skip
    assert graph_to_json(graph) == {
        "formatVersion": 1,
        "tables": [
            {
                "schema": "public",
                "name": "orders",
                "columns": [
                    {"name": "id", "type": "bigint", "notNull": True, "identity": "always"},
                    {"name": "note", "type": "text"},
                ],
                "constraints": [
                    {
                        "name": "fk",
                        "kind": "foreign_key",
                        "definition": "FOREIGN KEY (id) REFERENCES public.users(id)",
                        "columns": ["id"],
                        "validated": False,
                        "references": ["public", "users"],
                    }
                ],
                "indexes": [
                    {
                        "name": "i",
                        "definition": "CREATE INDEX i ON public.orders USING btree (note)",
                        "columns": ["note"],
                    }
                ],
                "triggers": [{"name": "t", "definition": "CREATE TRIGGER t ...", "onUpdate": True}],
                "policies": [
                    {"name": "p", "command": "ALL", "permissive": True, "roles": ["public"], "using": "(id > 1)"}
                ],
                "rowSecurity": True,
                "partitionOf": ["public", "all_orders"],
                "partitionBound": "DEFAULT",
            }
        ],
        "views": [
            {
                "schema": "public",
                "name": "v",
                "materialized": False,
                "definitionHash": "abc",
                "dependsOn": [[["public", "orders"], "id"]],
            }
        ],
        "enums": [{"schema": "public", "name": "mood", "labels": ["sad", "ok"]}],
    }
    assert graph_hash(graph) == "35f7e7430c9cf579ae0023aa29d7e72b"


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        {"tables": [], "views": [], "enums": []},
        {"formatVersion": 1, "tables": [{"name": "t"}], "views": [], "enums": []},
        {"formatVersion": 1, "tables": [{"schema": "s", "name": "t", "more": 1}], "views": [], "enums": []},
        {"formatVersion": 1, "tables": [{"schema": "s", "name": "t", "partitionOf": "x"}], "views": [], "enums": []},
        {"formatVersion": 1, "tables": ["t"], "views": [], "enums": []},
        {"formatVersion": 1, "tables": 3, "views": [], "enums": []},
    ],
)
def test_what_is_not_a_graph_is_a_conflict(data: Any) -> None:
    with pytest.raises(Conflict, match="not what Zanith writes"):
        graph_from_json(data)


def test_a_newer_format_is_told_as_such() -> None:
    with pytest.raises(Conflict, match="format 2, this Zanith reads up to 1; use a newer one"):
        graph_from_json({"formatVersion": 2})
