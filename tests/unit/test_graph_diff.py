"""The difference of two schema graphs: empty where they are equal, complete where not, and the same from both sides."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from random_graphs import GRAPHS, Mutation, mutations
from unit.builders import AGE, EMAIL, ID, foreign_key, graph, unhurried, unique, users
from zanith.core.graph import (
    Column,
    EnumType,
    Extension,
    Index,
    Policy,
    SchemaGraph,
    Table,
    Trigger,
    View,
)
from zanith.core.graph_diff import diff_graphs, mirrored
from zanith.core.graph_fields import identity, kind_words, members
from zanith.core.graph_json import graph_from_json, graph_to_json
from zanith.core.graph_words import change_details, diff_lines, shape_lines, value_text, visible, visible_json
from zanith.core.identifiers import TableKey
from zanith.ledger.snapshot_diff import compare_shapes

MUTATED = GRAPHS.flatmap(lambda g: st.tuples(st.just(g), mutations(g)))


def lines(before: SchemaGraph, after: SchemaGraph) -> list[str]:
    return list(diff_lines(diff_graphs(before, after)))


@unhurried
@given(GRAPHS)
def test_a_graph_differs_in_nothing_from_itself(one: SchemaGraph) -> None:
    stored = graph_from_json(json.loads(json.dumps(graph_to_json(one))))
    assert diff_graphs(one, one) == diff_graphs(one, stored) == compare_shapes(one, stored) == ()


@unhurried
@given(GRAPHS, GRAPHS)
def test_graphs_that_are_not_equal_have_a_difference(one: SchemaGraph, other: SchemaGraph) -> None:
    assert (diff_graphs(one, other) == ()) == (one == other)
    assert (compare_shapes(one, other) == ()) == (one == other)


@unhurried
@given(MUTATED)
def test_every_mutation_is_reported_and_nothing_else(case: tuple[SchemaGraph, Mutation]) -> None:
    before, mutation = case
    (change,) = diff_graphs(before, mutation.graph)
    assert (change.path, change.action) == (mutation.path, mutation.action)
    assert [f.member for f in change.fields] == ([] if mutation.member is None else [mutation.member])
    (line,) = diff_lines([change])
    assert line.isprintable()


@unhurried
@given(MUTATED | st.tuples(GRAPHS, GRAPHS.map(lambda g: Mutation(g, (), "changed"))))
def test_the_other_way_round_is_the_mirror_image(case: tuple[SchemaGraph, Mutation]) -> None:
    before, after = case[0], case[1].graph
    for compare in (diff_graphs, compare_shapes):
        there, back = compare(before, after), compare(after, before)
        assert set(map(mirrored, there)) == set(back)
        assert sorted(c.action for c in map(mirrored, there)) == sorted(c.action for c in back)


@unhurried
@given(GRAPHS)
def test_a_shape_is_told_in_printable_lines(one: SchemaGraph) -> None:
    assert all(line.isprintable() for line in shape_lines(one))


def test_changes_in_words() -> None:
    before = graph(
        users(indexes=(Index("users_age", "CREATE INDEX users_age ON public.users USING btree (age)", ("age",)),)),
        Table("public", "old", columns=(ID,)),
        enums=(EnumType("public", "mood", ("sad", "ok")),),
        views=(View("public", "v", False, "abc"),),
        extensions=(Extension("citext", "public", "1.5"),),
    )
    after = graph(
        users(
            Column("note", "text", comment="it's"),
            columns=(
                ID,
                replace(EMAIL, type="character varying(50)", not_null=True, default="''::text"),
                Column("note", "text", comment="it's"),
            ),
            row_security=True,
        ),
        Table(
            "public", "orders", columns=(ID, AGE), constraints=(foreign_key("fk", "id", TableKey("public", "users")),)
        ),
        enums=(EnumType("public", "mood", ("sad", "ok", "so so")),),
        views=(View("public", "v", True, "def"),),
        extensions=(Extension("citext", "public", "1.6"),),
    )
    assert lines(before, after) == [
        "- table public.old (1 column)",
        "+ table public.orders (2 columns, 1 constraint)",
        "~ table public.users: now row security",
        "- column public.users.age: integer, not null",
        "~ column public.users.email: text → character varying(50); now not null; default: (none) → ''::text",
        "+ column public.users.note: text, comment 'it''s'",
        "- index public.users.users_age: CREATE INDEX users_age ON public.users USING btree (age)",
        "~ view public.v: now materialized; definition changed",
        '~ enum type public.mood: labels: sad, ok → sad, ok, "so so"',
        "~ extension citext: version: 1.5 → 1.6",
    ]


def test_an_order_that_changed_is_told() -> None:
    before, after = users(), users(columns=(EMAIL, AGE, ID))
    assert lines(graph(before), graph(after)) == [
        "~ table public.users: order of columns: id, email, age → email, age, id"
    ]
    tables = (Table("a", "t"), Table("b", "t"))
    assert lines(SchemaGraph(tables), SchemaGraph(tables[::-1])) == [
        '~ the schema: order of tables: "a.t", "b.t" → "b.t", "a.t"'
    ]


def test_two_of_one_name_are_compared_in_turn() -> None:
    """A database has none such; a snapshot somebody edited may."""
    double = Table("public", "t", columns=(Column("c", "text"), Column("c", "integer")))
    assert lines(graph(double), graph(replace(double, columns=double.columns[::-1]))) == [
        "~ column public.t.c: text → integer",
        "~ column public.t.c: integer → text",
    ]


def test_what_definitions_leave_unsaid_is_said() -> None:
    table = users(
        constraints=(replace(unique("email"), validated=False),),
        indexes=(Index("i", "CREATE INDEX i", valid=False),),
        triggers=(Trigger("t", "CREATE TRIGGER t", enabled=False, on_update=True),),
        policies=(Policy("p", "ALL", False, ("public", "Bob"), using="(id > 1)"), Policy("q", "ALL", True, ())),
        partition_of=TableKey("public", "All"),
        comment="people",
    )
    view = View("public", "v", True, "abc", ((TableKey("public", "users"), "id"),))
    assert list(shape_lines(graph(table, views=(view,), enums=(EnumType("public", "empty", ()),)))) == [
        "",
        "Table public.users (partition of public.\"All\", comment 'people')",
        "  id     bigint   not null",
        "  email  text",
        "  age    integer  not null",
        "  Constraints:",
        "    users_key: UNIQUE (email), not validated",
        "  Indexes:",
        "    i: CREATE INDEX i, not valid",
        "  Triggers:",
        "    t: CREATE TRIGGER t, not enabled",
        "  Policies:",
        '    p: command ALL, not permissive, roles public, "Bob", using (id > 1)',
        "    q: command ALL, permissive",
        "",
        "View public.v: materialized, depends on public.users.id",
        "",
        "Enum type public.empty",
    ]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\nb", r'public."a\nb"'),
        ("\x1b[31mred", r'public."\x1b[31mred"'),
        ("\u202eevil", r'public."\u202eevil"'),
        ("a.b", 'public."a.b"'),
        ('say "x"', 'public."say ""x"""'),
        ("größe", 'public."größe"'),
    ],
)
def test_names_cannot_pretend(name: str, shown: str) -> None:
    assert lines(SchemaGraph(), graph(Table("public", name))) == [f"+ table {shown}"]


def test_json_at_a_terminal_is_still_the_same_json() -> None:
    content = {"name": "größe\x9b\u202e\U000e0001", "line": "a\nb"}
    shown = visible_json(json.dumps(content, indent=2, ensure_ascii=False))
    assert json.loads(shown) == content
    assert "größe" in shown
    assert all(line.isprintable() for line in shown.splitlines())


def test_what_is_printable_stays_as_it_is() -> None:
    assert visible("größe → 3 €") == "größe → 3 €"


def test_the_format_is_no_part_of_the_shape() -> None:
    assert diff_graphs(SchemaGraph(), SchemaGraph(format_version=7)) == ()


@pytest.mark.parametrize(
    ("kind", "words", "names"),
    [
        (Table, "table", ("schema", "name")),
        (Column, "column", ("name",)),
        (EnumType, "enum type", ("schema", "name")),
        (Extension, "extension", ("name",)),
        (SchemaGraph, "schema graph", ()),
    ],
)
def test_objects_are_known_by_their_leading_fields(kind: type, words: str, names: tuple[Any, ...]) -> None:
    assert (kind_words(kind), identity(kind)) == (words, names)


def test_details_of_a_rename_with_a_change() -> None:
    (change,) = diff_graphs(graph(users()), graph(users(comment="people")))
    renamed = replace(change, after=replace(change.after, name="people"), new_path=("public", "people"))
    assert change_details(renamed) == ": renamed to people; comment: (none) → 'people'"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "(none)"),
        ((), "(none)"),
        (True, "yes"),
        (False, "no"),
        (7, "7"),
        ((TableKey("s", "T"), "c"), 's."T", c'),
        (((TableKey("s", "T"), ""),), 's."T"'),
    ],
)
def test_values_in_words(value: Any, shown: str) -> None:
    assert value_text(members(Column)[1], value) == shown
