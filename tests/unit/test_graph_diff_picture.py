"""The picture of a difference: one page that needs nothing else, says every change, and runs nothing."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from html import unescape
from html.parser import HTMLParser

from hypothesis import given

from random_graphs import GRAPHS
from unit.builders import EMAIL, ID, USERS, foreign_key, graph, primary_key, unhurried, users
from zanith.core.graph import Column, EnumType, Index, Policy, SchemaGraph, Table
from zanith.core.graph_diff import Change
from zanith.core.graph_words import diff_lines
from zanith.core.identifiers import TableKey
from zanith.ledger.diff_json import diff_json
from zanith.ledger.diff_picture import MOST_EDGES, diff_picture
from zanith.ledger.picture_cards import cards_of
from zanith.ledger.snapshot_diff import compare_shapes
from zanith.ledger.snapshot_queries import Snapshot
from zanith.operations.renaming import table_renamed

AT = datetime(2026, 4, 1, 10, 0, tzinfo=UTC)
VOID = {"meta", "rect", "path"}


class Page(HTMLParser):
    """Which elements a page has, and whether they are closed; what it shows as text."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.attributes: set[str] = set()
        self.items: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.attributes.update(name for name, _ in attrs)
        if tag == "li":
            self.items.append("")
        if tag not in VOID - {"path"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.attributes.update(name for name, _ in attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "li" in self.open:
            self.items[-1] += data


def picture(before: SchemaGraph, after: SchemaGraph) -> tuple[str, tuple[Change, ...]]:
    changes = compare_shapes(before, after)
    return diff_picture(Snapshot(before, AT, "m1"), Snapshot(after, AT), changes), changes


@unhurried
@given(GRAPHS, GRAPHS)
def test_any_two_graphs_make_a_page_that_is_whole_and_harmless(before: SchemaGraph, after: SchemaGraph) -> None:
    page, changes = picture(before, after)
    found = Page(page)
    assert found.open == []
    assert not found.seen & {"script", "link", "img", "iframe", "object", "a", "base", "form"}
    assert not {a for a in found.attributes if a.startswith("on") or a in ("src", "href", "style", "xlink:href")}
    assert [item.lstrip("+-~→ ") for item in found.items] == [line[2:].lstrip("+-~→ ") for line in diff_lines(changes)]


def test_names_are_text_and_nothing_else() -> None:
    evil = '<script>alert("x")</script>\u202e'
    page, _ = picture(SchemaGraph(), graph(Table("public", evil, columns=(Column(f"'\"{evil}", "text"),))))
    assert "<script" not in page
    assert "\u202e" not in page
    assert 'public."<script>alert(""x"")</script>\\u202e"' in unescape(page)


def test_a_page_loads_nothing() -> None:
    page, _ = picture(graph(), graph(users(comment="x")))
    assert "default-src 'none'; style-src 'unsafe-inline'" in unescape(page)
    assert not re.search(r"https?:|//|@import|url\((?!#)", page)
    assert "prefers-color-scheme: dark" in page


def test_equal_graphs_say_so() -> None:
    page, changes = picture(graph(), graph())
    assert changes == ()
    assert "No difference." in page
    assert "<svg" not in page


def test_cards_show_what_changed_and_where_lines_end() -> None:
    orders = Table("public", "orders", columns=(ID,), constraints=(foreign_key("fk", "id", USERS),))
    wide = users(*(Column(f"c{n}", "text") for n in range(9)))
    before = graph(wide, enums=(EnumType("public", "mood", ("sad",)),))
    after = graph(wide, orders, enums=(EnumType("public", "mood", ("ok",)),))
    cards, edges = cards_of(before, after, compare_shapes(before, after))
    assert [(c.title, c.look, c.stub) for c in cards] == [
        ("public.orders", "added", False),
        ("public.users", "same", True),
        ("public.mood", "changed", False),
    ]
    ((start, end, look, column),) = [(e.start, e.end, e.look, e.column) for e in edges]
    assert (start, end, look, column) == (("public", "orders"), ("public", "users"), "added", "id")
    assert [(r.look, r.left) for r in cards[0].rows] == [("added", "id"), ("added", "foreign key fk")]


def test_a_card_keeps_dropped_columns_in_their_place_and_leaves_out_what_stayed() -> None:
    many = [Column(f"c{n}", "text") for n in range(9)]
    before = users(*many, constraints=())
    after = replace(before, columns=tuple(c for c in before.columns if c.name not in ("email", "c8")))
    cards, _ = cards_of(graph(before), graph(after), compare_shapes(graph(before), graph(after)))
    assert [(r.look, r.left) for r in cards[0].rows] == [
        ("same", "id"),
        ("dropped", "email"),
        ("same", "age"),
        ("same", "c0"),
        ("same", "c1"),
        ("same", "… 6 more as they were"),
        ("dropped", "c8"),
    ]


def test_a_card_says_renames_values_and_parts() -> None:
    index = Index("i", "CREATE INDEX i ON public.users USING btree (age)", ("age",))
    before = graph(
        users(indexes=(index,)), Table("public", "a", columns=(ID,), constraints=(primary_key("id", table="a"),))
    )
    changed = users(
        columns=(ID, replace(EMAIL, name="mail"), replace(users().columns[2], type="bigint")),
        indexes=(replace(index, unique=True, definition="CREATE UNIQUE INDEX i ON public.users USING btree (age)"),),
        comment="people " * 60,
    )
    after = table_renamed(graph(changed, before.tables[0]), before.tables[0].key, "b")
    cards, _ = cards_of(before, after, compare_shapes(before, after))
    assert [(c.title, c.look) for c in cards] == [("public.a → b", "renamed"), ("public.users", "changed")]
    rows = cards[1].rows
    assert rows[2].left.endswith("…")
    assert [(r.look, r.left, r.right) for r in rows[3:7]] == [
        ("same", "id", "bigint"),
        ("renamed", "email → mail", "text"),
        ("changed", "age", "bigint"),
        ("changed", "integer → bigint", ""),
    ]
    assert (rows[7].left, rows[7].right) == ("index i", "btree (age)")


def test_lines_that_would_hide_each_other_are_counted_instead() -> None:
    tables = tuple(
        Table("public", f"t{n:04}", columns=(ID,), constraints=(foreign_key("fk", "id", USERS),))
        for n in range(MOST_EDGES + 1)
    )
    page, _ = picture(graph(), graph(users(), *tables))
    assert f"{MOST_EDGES + 1} foreign keys are not drawn" in page
    assert "class=edge" not in page


def test_lines_between_cards_of_one_column_and_of_two() -> None:
    tables = tuple(
        Table("public", f"t{n}", columns=(ID,), constraints=(foreign_key("fk", "id", USERS),)) for n in range(5)
    )
    page, _ = picture(graph(), graph(users(comment="x"), *tables))
    assert len(re.findall(r'<path class="edge added"', page)) == 5


def test_foreign_keys_that_came_and_that_stayed() -> None:
    to_users = foreign_key("fk", "id", USERS)
    later = replace(foreign_key("late", "id", TableKey("public", "towns")), columns=())
    orders = Table("public", "orders", columns=(ID,), constraints=(to_users,))
    index = Index("i", "CREATE INDEX i ON public.orders USING btree (id)", ("id",))
    before = graph(users(), orders, Table("public", "towns"))
    after = graph(
        users(comment="x"), replace(orders, constraints=(to_users, later), indexes=(index,)), Table("public", "towns")
    )
    changes = compare_shapes(before, after)
    cards, edges = cards_of(before, after, changes)
    assert [(e.end[1], e.look, e.column) for e in edges] == [("towns", "added", ""), ("users", "same", "id")]
    assert [(c.title, c.stub) for c in cards] == [
        ("public.orders", False),
        ("public.towns", True),
        ("public.users", False),
    ]
    assert [(r.left, r.right) for r in cards[0].rows] == [
        ("id", "bigint"),
        ("foreign key late", "(id) REFERENCES public.towns(id)"),
        ("index i", "btree (id)"),
    ]
    assert len(Page(diff_picture(Snapshot(before, AT), Snapshot(after, AT), changes)).items) == 3


def test_kinds_are_counted_in_plain_words() -> None:
    new = users(policies=(Policy("p", "ALL", True, ()), Policy("q", "ALL", True, ())))
    assert "added: 2 policies" in picture(graph(), graph(new))[0]


def test_json_says_all_of_it() -> None:
    before = graph(users(), Table("public", "old", columns=(ID,)))
    after = table_renamed(graph(users(comment="x")), USERS, "users")
    content = json.loads(
        diff_json(Snapshot(before, AT, "m1", "baseline"), Snapshot(after, AT), compare_shapes(before, after))
    )
    assert content["from"] == {
        "migrationId": "m1", "phase": "baseline", "capturedAt": "2026-04-01T10:00:00+00:00", "models": 2, "relations": 0,
    }  # fmt: skip
    assert (content["to"]["migrationId"], content["to"]["phase"]) == (None, "live")
    assert content["changes"] == [
        {
            "action": "dropped",
            "kind": "table",
            "name": ["public", "old"],
            "object": {
                "schema": "public",
                "name": "old",
                "columns": [{"name": "id", "type": "bigint", "notNull": True}],
            },
        },
        {
            "action": "changed",
            "kind": "table",
            "name": ["public", "users"],
            "fields": [{"field": "comment", "before": None, "after": "x"}],
        },
    ]


def test_json_of_renames_and_orders() -> None:
    before = graph()
    renamed = table_renamed(before, USERS, "people")
    found = json.loads(diff_json(Snapshot(before, AT), Snapshot(renamed, AT), compare_shapes(before, renamed)))
    assert found["changes"] == [
        {
            "action": "renamed",
            "kind": "table",
            "name": ["public", "users"],
            "newName": ["public", "people"],
            "fields": [],
        }
    ]
    turned = graph(users(columns=users().columns[::-1]))
    found = json.loads(diff_json(Snapshot(before, AT), Snapshot(turned, AT), compare_shapes(before, turned)))
    assert found["changes"][0]["fields"] == [
        {"field": "columns", "before": ["id", "email", "age"], "after": ["age", "email", "id"], "order": True}
    ]
