"""The stored form of a schema graph: what goes in comes out, and what is not one is told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given

from random_graphs import GRAPHS
from unit.builders import unhurried
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
from zanith.core.graph_objects import Domain, DomainCheck, Extension, Function, Sequence
from zanith.core.identifiers import TableKey


@unhurried
@given(GRAPHS)
def test_a_graph_comes_back_equal_with_the_same_hash(graph: SchemaGraph) -> None:
    stored = json.loads(json.dumps(graph_to_json(graph)))
    assert graph_from_json(stored) == graph
    assert graph_hash(graph_from_json(stored)) == graph_hash(graph)


@unhurried
@given(GRAPHS, GRAPHS)
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
        extensions=(Extension("citext", "public", "1.6"),),
        domains=(Domain("public", "year", "integer", default="2026", checks=(DomainCheck("year_check", "CHECK ..."),)),),
        sequences=(Sequence("public", "numbers", start=1000),),
        functions=(Function("public", "close", "date, integer", "plpgsql", "def", kind="procedure", comment="x"),),
    )  # fmt: skip
    assert graph_to_json(graph) == {
        "formatVersion": 2,
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
        "extensions": [{"name": "citext", "schema": "public", "version": "1.6"}],
        "domains": [
            {
                "schema": "public",
                "name": "year",
                "type": "integer",
                "default": "2026",
                "checks": [{"name": "year_check", "definition": "CHECK ..."}],
            }
        ],
        "sequences": [{"schema": "public", "name": "numbers", "start": 1000}],
        "functions": [
            {
                "schema": "public",
                "name": "close",
                "arguments": "date, integer",
                "language": "plpgsql",
                "definitionHash": "def",
                "kind": "procedure",
                "comment": "x",
            }
        ],
    }
    assert graph_hash(graph) == "cfeacf6a9f75f2bd7ad05bb60f41708a"


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
        {"formatVersion": 2, "tables": [], "views": [], "enums": [], "domains": [{"schema": "s"}]},
        {"formatVersion": 2, "tables": [], "views": [], "enums": [], "functions": None},
    ],
)
def test_what_is_not_a_graph_is_a_conflict(data: Any) -> None:
    with pytest.raises(Conflict, match="not what Zanith writes"):
        graph_from_json(data)


def test_a_newer_format_is_told_as_such() -> None:
    with pytest.raises(Conflict, match="format 3, this Zanith reads up to 2; use a newer one"):
        graph_from_json({"formatVersion": 3})
