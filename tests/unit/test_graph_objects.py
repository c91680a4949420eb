"""Domains, sequences, functions, and what belongs to views: their differences in words, their shape, their cards."""

from __future__ import annotations

from dataclasses import replace

from unit.builders import graph, users
from zanith.core.graph import Column, Index, SchemaGraph, Trigger, View
from zanith.core.graph_diff import diff_graphs
from zanith.core.graph_objects import Domain, DomainCheck, Function, Sequence
from zanith.core.graph_words import diff_lines, shape_lines
from zanith.ledger.picture_cards import cards_of
from zanith.ledger.snapshot_diff import compare_shapes

EMAIL = Domain(
    "public",
    "email",
    "character varying(254)",
    not_null=True,
    checks=(DomainCheck("email_check", "CHECK (((VALUE)::text ~~ '%@%'::text))"),),
)
NUMBERS = Sequence("public", "numbers", start=1000, cache=20)
TOTAL = Function("public", "total", "bigint, text", "sql", "abc")
CLOSE = Function("public", "close", "", "plpgsql", "abc", kind="procedure", comment="at night")
SALES = View(
    "public",
    "sales",
    True,
    "abc",
    indexes=(Index("sales_month", "CREATE UNIQUE INDEX sales_month ON public.sales USING btree (month)", unique=True),),
)


def lines(before: SchemaGraph, after: SchemaGraph) -> list[str]:
    return list(diff_lines(diff_graphs(before, after)))


BEFORE = graph(users(), views=(SALES,), domains=(EMAIL,), sequences=(NUMBERS,), functions=(CLOSE, TOTAL))
AFTER = graph(
    users(),
    views=(
        replace(
            SALES,
            options=("security_invoker=true",),
            indexes=(),
            triggers=(Trigger("t", "CREATE TRIGGER t INSTEAD OF INSERT ON public.sales"),),
        ),
    ),
    domains=(replace(EMAIL, default="''::character varying", checks=(replace(EMAIL.checks[0], validated=False),)),),
    sequences=(replace(NUMBERS, cycle=True, maximum=9999), Sequence("public", "plain")),
    functions=(replace(TOTAL, definition_hash="def"), replace(TOTAL, arguments="Bob, text", comment="it's")),
)


def test_a_line_per_change() -> None:
    assert lines(BEFORE, AFTER) == [
        "~ view public.sales: options: (none) → \"security_invoker=true\"",
        "- index public.sales.sales_month: CREATE UNIQUE INDEX sales_month ON public.sales USING btree (month)",
        "+ trigger public.sales.t: CREATE TRIGGER t INSTEAD OF INSERT ON public.sales",
        "~ domain public.email: default: (none) → ''::character varying",
        "~ domain check public.email.email_check: no longer validated",
        "~ sequence public.numbers: maximum: 9223372036854775807 → 9999; now cycle",
        "+ sequence public.plain",
        "- function public.close(): language plpgsql, kind procedure, comment 'at night'",
        "+ function public.total(Bob, text): language sql, comment 'it''s'",
        "~ function public.total(bigint, text): definition changed",
    ]  # fmt: skip


def test_a_comment_on_anything_is_a_change_of_it() -> None:
    index = Index("i", "CREATE INDEX i ON public.users USING btree (age)")
    before, after = graph(users(indexes=(index,))), graph(users(indexes=(replace(index, comment="for reports"),)))
    assert lines(before, after) == ["~ index public.users.i: comment: (none) → 'for reports'"]


def test_options_of_an_identity_are_told() -> None:
    column = Column("id", "bigint", not_null=True, identity="always")
    before = graph(users(columns=(column,)))
    after = graph(users(columns=(replace(column, identity_options="START WITH 1000 CACHE 5"),)))
    assert lines(before, after) == ["~ column public.users.id: identity options: (none) → START WITH 1000 CACHE 5"]


def test_the_shape_shows_all_of_it() -> None:
    shown = list(shape_lines(replace(BEFORE, tables=(), sequences=(Sequence("public", "plain"), NUMBERS))))
    assert shown == [
        "",
        "View public.sales: materialized",
        "  Indexes:",
        "    sales_month: CREATE UNIQUE INDEX sales_month ON public.sales USING btree (month)",
        "",
        "Domain public.email: character varying(254), not null",
        "  Checks:",
        "    email_check: CHECK (((VALUE)::text ~~ '%@%'::text))",
        "",
        "Sequence public.plain",
        "",
        "Sequence public.numbers: start 1000, cache 20",
        "",
        "Function public.close(): language plpgsql, kind procedure, comment 'at night'",
        "",
        "Function public.total(bigint, text): language sql",
    ]


def test_cards_of_what_is_no_table() -> None:
    cards, edges = cards_of(BEFORE, AFTER, compare_shapes(BEFORE, AFTER))
    assert edges == []
    assert [(c.kind, c.title, c.look) for c in cards] == [
        ("view", "public.sales", "changed"),
        ("domain", "public.email", "changed"),
        ("sequence", "public.numbers", "changed"),
        ("sequence", "public.plain", "added"),
        ("function", "public.close()", "dropped"),
        ("function", "public.total(Bob, text)", "added"),
        ("function", "public.total(bigint, text)", "changed"),
    ]
    assert [(r.look, r.left) for r in cards[0].rows] == [
        ("changed", 'options: (none) → "security_invoker=true"'),
        ("dropped", "index sales_month"),
        ("added", "trigger t"),
    ]
    assert [(r.look, r.left) for r in cards[1].rows] == [
        ("changed", "default: (none) → ''::character varying"),
        ("changed", "domain check email_check"),
        ("changed", "no longer validated"),
    ]


def test_a_card_for_what_only_belongs_to_it() -> None:
    after = replace(BEFORE, domains=(replace(EMAIL, checks=()),))
    (card,), _ = cards_of(BEFORE, after, compare_shapes(BEFORE, after))
    assert (card.kind, card.title, card.look) == ("domain", "public.email", "changed")
    assert [(r.look, r.left) for r in card.rows] == [("dropped", "domain check email_check")]


def test_an_order_of_the_graph_itself_has_a_card() -> None:
    two = graph(users(), sequences=(NUMBERS, Sequence("public", "plain")))
    (card,), _ = cards_of(
        two,
        replace(two, sequences=two.sequences[::-1]),
        compare_shapes(two, replace(two, sequences=two.sequences[::-1])),
    )
    assert (card.kind, card.title, card.look) == ("schema graph", "the schema", "changed")
