"""Snapshots of an older format: still read, and compared as far as they go."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, datetime
from typing import Any

from hypothesis import given

from random_graphs import GRAPHS
from unit.builders import graph, primary_key, unhurried
from zanith.core import graph as graph_module
from zanith.core import graph_objects
from zanith.core.graph import FORMAT_VERSION, Column, EnumType, Index, SchemaGraph, Table, View
from zanith.core.graph_diff import diff_graphs
from zanith.core.graph_formats import in_format, not_kept
from zanith.core.graph_json import graph_from_json, graph_to_json
from zanith.core.graph_objects import SINCE, Domain, Function, Sequence
from zanith.ledger.diff_json import diff_json
from zanith.ledger.diff_picture import diff_picture
from zanith.ledger.snapshot_diff import compare_shapes, not_compared
from zanith.ledger.snapshot_queries import Snapshot

AT = datetime(2026, 4, 1, 10, 0, tzinfo=UTC)

FIRST = {
    "formatVersion": 1,
    "tables": [
        {
            "schema": "public",
            "name": "orders",
            "columns": [{"name": "id", "type": "bigint", "notNull": True, "identity": "always"}],
            "constraints": [
                {
                    "name": "known",
                    "kind": "check",
                    "definition": "CHECK (((s)::text = ANY ((ARRAY['a'::character varying])::text[])))",
                    "validated": False,
                }
            ],
        }
    ],
    "views": [{"schema": "public", "name": "v", "materialized": True, "definitionHash": "abc"}],
    "enums": [{"schema": "public", "name": "mood", "labels": ["sad", "ok"]}],
    "extensions": [{"name": "citext", "schema": "public", "version": "1.6"}],
}
"""As the first format was stored."""


def the_same_today(**changes: Any) -> SchemaGraph:
    """What a reading of the same database gives now."""
    found = graph_from_json(FIRST)
    (orders,) = found.tables
    check = replace(
        orders.constraints[0],
        definition="CHECK (((s)::text = ANY (ARRAY[('a'::character varying)::text])))",
        comment="those that there are",
    )
    (view,), (mood,) = found.views, found.enums
    today = SchemaGraph(
        tables=(
            replace(
                orders,
                columns=(replace(orders.columns[0], identity_options="START WITH 5"),),
                constraints=(check,),
            ),
        ),
        views=(replace(view, comment="seen", options=("a=b",), indexes=(Index("i", "CREATE INDEX i"),)),),
        enums=(replace(mood, comment="of today"),),
        extensions=found.extensions,
        domains=(Domain("public", "d", "text"),),
        sequences=(Sequence("public", "s"),),
        functions=(Function("public", "f", "", "sql", "abc"),),
    )
    return replace(today, **changes)


def test_the_first_format_is_read_and_written_as_it_was() -> None:
    found = graph_from_json(FIRST)
    assert found.format_version == 1
    assert (found.domains, found.sequences, found.functions) == ((), (), ())
    assert graph_to_json(found) == FIRST


def test_what_the_first_format_could_not_hold_is_no_difference() -> None:
    old, new = graph_from_json(FIRST), the_same_today()
    assert compare_shapes(old, new) == compare_shapes(new, old) == ()
    assert diff_graphs(old, new) != ()


def test_what_both_hold_is_compared() -> None:
    old, new = graph_from_json(FIRST), the_same_today(enums=(EnumType("public", "mood", ("ok",), comment="x"),))
    (change,) = compare_shapes(old, new)
    assert (change.kind, [f.member.name for f in change.fields]) == ("enum type", ["labels"])
    assert not_compared(old, new) == not_compared(new, old) == f"format 1 does not keep {not_kept(1, 2)}"


def test_it_is_said_in_json_and_on_the_page() -> None:
    old, new = Snapshot(graph_from_json(FIRST), AT, "m1"), Snapshot(the_same_today(), AT)
    changes = compare_shapes(old.graph, new.graph)
    assert json.loads(diff_json(old, new, changes))["notCompared"].startswith("format 1 does not keep domains, ")
    assert "<p>Not compared: format 1 does not keep domains, " in diff_picture(old, new, changes)
    assert "notCompared" not in diff_json(new, new, ())
    assert "Not compared" not in diff_picture(new, new, ())


@unhurried
@given(GRAPHS)
def test_a_graph_of_today_is_all_there(one: SchemaGraph) -> None:
    assert in_format(one, FORMAT_VERSION) is one
    assert not_compared(one, one) is None


@unhurried
@given(GRAPHS)
def test_reduced_to_the_first_format_it_is_stored_as_that_was(one: SchemaGraph) -> None:
    reduced = in_format(one, 1)
    assert graph_from_json(json.loads(json.dumps(graph_to_json(reduced)))) == reduced
    assert compare_shapes(reduced, one) == ()
    assert compare_shapes(one, reduced) == ()


def test_renames_are_found_across_formats() -> None:
    table = Table("public", "old", columns=(Column("id", "bigint"),), constraints=(primary_key("id", table="old"),))
    before = replace(graph(table), format_version=1)
    after = graph(replace(table, name="new"), sequences=(Sequence("public", "s"),))
    assert [c.action for c in compare_shapes(before, after)] == ["renamed"]


def test_every_format_says_what_it_keeps_more() -> None:
    """A field added later needs its format beside it, so that older snapshots are not compared by it."""
    classes = [c for module in (graph_module, graph_objects) for c in vars(module).values() if isinstance(c, type)]
    since = {f.metadata.get(SINCE, 1) for c in classes if is_dataclass(c) for f in fields(c)}
    assert since == set(range(1, FORMAT_VERSION + 1))
    assert all(not_kept(version, version + 1) for version in range(1, FORMAT_VERSION))
    assert not_kept(FORMAT_VERSION, FORMAT_VERSION) == ""
    assert {f.name for f in fields(View) if f.metadata.get(SINCE) == 2} == {"options", "indexes", "triggers", "comment"}
