"""What PostgreSQL prints in two ways is kept in one: the one it prints again as it is (seen on 15 and 18)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zanith.core.graph_forms import settled


@pytest.mark.parametrize(
    ("printed", "again"),
    [
        (
            "CHECK (((state)::text = ANY ((ARRAY['a'::character varying, 'b'::character varying])::text[])))",
            "CHECK (((state)::text = ANY (ARRAY[('a'::character varying)::text, ('b'::character varying)::text])))",
        ),
        (
            "((a || (ARRAY['x'::text])::character varying[]) IS NULL)",
            "((a || ARRAY[('x'::text)::character varying]) IS NULL)",
        ),
        (
            "(ARRAY[NULL::character varying, 'it''s ], ('::character varying])::text[]",
            "ARRAY[(NULL::character varying)::text, ('it''s ], ('::character varying)::text]",
        ),
        (
            '(ARRAY["a, b]", f(x, y), (z)::text])::"My Schema"."T, []"[]',
            'ARRAY[("a, b]")::"My Schema"."T, []", (f(x, y))::"My Schema"."T, []", ((z)::text)::"My Schema"."T, []"]',
        ),
        (
            "(ARRAY[1, 2])::numeric(10,2)[] = (ARRAY[at])::timestamp(3) with time zone[]",
            "ARRAY[(1)::numeric(10,2), (2)::numeric(10,2)] = ARRAY[(at)::timestamp(3) with time zone]",
        ),
        (
            "(ARRAY[ARRAY[a, b], ARRAY[c, d]])::text[]",
            "ARRAY[ARRAY[(a)::text, (b)::text], ARRAY[(c)::text, (d)::text]]",
        ),
        (
            "(ARRAY[f((ARRAY[a])::text[])])::text[]",
            "ARRAY[(f(ARRAY[(a)::text]))::text]",
        ),
    ],
)
def test_a_cast_of_an_array_becomes_one_of_its_elements(printed: str, again: str) -> None:
    assert settled(printed) == again
    assert settled(again) == again


@pytest.mark.parametrize(
    "printed",
    [
        "CHECK ((state = ANY (ARRAY['a'::text, 'b'::text])))",
        "((a)::text = ANY ((ARRAY( SELECT t.b FROM t))::text[]))",
        "((ARRAY[]::character varying[])::text[] IS NULL)",
        "(ARRAY[a])::my_domain_over_an_array",
        "'(ARRAY[a])::text[]'::text",
        '"(ARRAY[a])::text[]"',
        "(ARRAY[a, b] || c)",
        "(ARRAY[",
        "(ARRAY[a",
        "(ARRAY[])::text[]",
        "",
    ],
)
def test_all_else_stays_as_it_is(printed: str) -> None:
    assert settled(printed) == printed


def _arrays(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    elements = st.lists(inner, min_size=1, max_size=3).map(", ".join)
    return st.one_of(
        elements.map(lambda e: f"(ARRAY[{e}])::text[]"),
        elements.map(lambda e: f"ARRAY[{e}]"),
        elements.map(lambda e: f"f({e})"),
        inner.map(lambda e: f"({e})::character varying(5)"),
    )


EXPRESSIONS = st.recursive(
    st.sampled_from(["a", "'x'::text", "'],(''(ARRAY['", '"a, ]"', "NULL::numeric(5,2)"]), _arrays
)


@given(EXPRESSIONS)
def test_what_is_settled_stays_as_it_is(printed: str) -> None:
    once = settled(printed)
    assert settled(once) == once
    assert "])::text[]" not in once
