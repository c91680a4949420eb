"""Row-level security: what is refused, what is said, and what it executes."""

from __future__ import annotations

from typing import Any

import pytest

from unit.builders import brief, ctx, operation, problems, spec, users
from zanith.core.errors import SpecError
from zanith.core.graph import Policy, Table
from zanith.core.statement import Lock

MINE = Policy("mine", "ALL", True, ("public",), "(id > 0)")
NARROW = Policy("narrow", "UPDATE", False, ("app",), "(id > 1)", "(id > 2)")
OPEN = users(row_security=True, policies=(MINE, NARROW))


def sql(kind: str, table: Table | None = None, **arguments: Any) -> list[str]:
    return [s.sql for s in operation(kind, **arguments).statements(ctx(table or users()))]


def why(kind: str, table: Table, **arguments: Any) -> list[tuple[str, str]]:
    return [(f.level.value, f.why) for f in operation(kind, **arguments).findings(ctx(table, roles=frozenset({"app"})))]


@pytest.mark.parametrize(
    ("kind", "arguments", "table", "expected"),
    [
        ("enableRls", {"table": "user"}, users(), ["table public.user does not exist (did you mean users?)"]),
        ("enableRls", {}, users(), []),
        ("enableRls", {}, OPEN, ["table public.users has row-level security already"]),
        ("enableRls", {"force": True}, OPEN, []),
        ("disableRls", {}, OPEN, []),
        ("disableRls", {}, users(), ["table public.users has no row-level security"]),
        ("createPolicy", {"name": "mine", "using": "true"}, OPEN, ["policy mine of public.users exists already"]),
        (
            "createPolicy",
            {"name": "p", "using": "emial = 'x'", "withCheck": "true"},
            users(),
            ["column public.users.emial does not exist (did you mean email?), used in policy p"],
        ),
        ("createPolicy", {"name": "p", "using": "id IN (SELECT other FROM t)"}, users(), []),
        ("dropPolicy", {"name": "mine"}, OPEN, []),
        ("dropPolicy", {"name": "min"}, OPEN, ["policy min of public.users does not exist (did you mean mine?)"]),
    ],
)
def test_what_the_author_has_to_mend(kind: str, arguments: dict[str, Any], table: Table, expected: list[str]) -> None:
    assert problems(operation(kind, **arguments), table) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "needs using, withCheck, or both"),
        ({"command": "Insert", "using": "true"}, "must not have using for Insert"),
        ({"command": "Select", "withCheck": "true"}, "must not have withCheck for Select"),
        ({"command": "Delete", "using": "true", "withCheck": "true"}, "must not have withCheck for Delete"),
        ({"using": "true", "roles": ["a", "a"]}, "role a is there twice"),
        ({"using": "true); DROP TABLE users; --"}, "is not valid SQL|must not contain comments"),
    ],
)
def test_a_policy_that_contradicts_itself_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        spec({"createPolicy": {"table": "users", "name": "p", **arguments}})


def test_row_level_security_without_a_policy_hides_every_row() -> None:
    restricted = users(policies=(NARROW,))
    hidden = "public.users has no policy that lets rows through: all of them are hidden from everybody but its owner"
    assert why("enableRls", restricted) == [("high", hidden)]
    assert why("enableRls", users(policies=(MINE,))) == [
        ("medium", "rows of public.users that no policy lets through are hidden from everybody but its owner")
    ]


def test_forced_row_level_security_says_what_it_does_to_the_owner() -> None:
    table = users(policies=(MINE,), partition_key="RANGE (id)")
    assert why("enableRls", table, force=True) == [
        ("medium", "rows of public.users that no policy lets through are hidden from everybody, its owner included"),
        ("medium", "backfills of public.users by its owner fail from now on, unless that role has BYPASSRLS"),
        ("medium", "the policies of public.users do not hold where a partition is named itself"),
    ]
    assert sql("enableRls", force=True) == [
        'ALTER TABLE "public"."users" ENABLE ROW LEVEL SECURITY',
        'ALTER TABLE "public"."users" FORCE ROW LEVEL SECURITY',
    ]
    forced = users(row_security=True, force_row_security=True)
    assert operation("enableRls").project(ctx(users(force_row_security=True))).tables == (forced,)


def test_only_what_is_not_so_yet_is_done_and_taken_back() -> None:
    asked = operation("enableRls", force=True)
    assert [s.sql for s in asked.statements(ctx(OPEN))] == ['ALTER TABLE "public"."users" FORCE ROW LEVEL SECURITY']
    assert [s.sql for s in asked.undo(ctx(OPEN)).statements] == [
        'ALTER TABLE "public"."users" NO FORCE ROW LEVEL SECURITY'
    ]
    both = asked.undo(ctx()).statements
    assert [s.with_previous for s in both] == [False, True]
    assert both[0].sql == 'ALTER TABLE "public"."users" DISABLE ROW LEVEL SECURITY'


def test_turning_it_off_opens_every_row() -> None:
    asked = operation("disableRls")
    assert brief(asked.findings(ctx(OPEN))) == [("high", "rls_change")]
    assert sql("disableRls", OPEN) == ['ALTER TABLE "public"."users" DISABLE ROW LEVEL SECURITY']
    assert asked.target(ctx()) == "public.users"
    (after,) = asked.project(ctx(OPEN)).tables
    assert not after.row_security
    assert asked.undo(ctx(OPEN)).statements[0].sql == 'ALTER TABLE "public"."users" ENABLE ROW LEVEL SECURITY'


@pytest.mark.parametrize(
    ("table", "arguments", "level", "words"),
    [
        (users(), {"using": "true"}, "low", "policy p has no effect before public.users has row-level security"),
        (OPEN, {"using": " TRUE "}, "high", "policy p opens every row of public.users to public (ALL)"),
        (
            OPEN,
            {"using": "id > 1", "roles": ["app"]},
            "medium",
            "policy p opens more rows of public.users to app (ALL)",
        ),
        (
            OPEN,
            {"using": "id > 1", "permissive": False},
            "medium",
            "rows of public.users that policy p does not allow are hidden",
        ),
    ],
)
def test_a_new_policy_is_judged_by_what_it_opens(
    table: Table, arguments: dict[str, Any], level: str, words: str
) -> None:
    assert why("createPolicy", table, name="p", **arguments) == [(level, words)]


def test_a_role_that_does_not_exist_is_said_but_may_come() -> None:
    found = why("createPolicy", OPEN, name="p", using="id > 1", roles=["ap", "app", "public"])
    assert found[1:] == [("medium", "role ap does not exist (did you mean app?): unless it is made before, this fails")]


def test_a_policy_as_it_is_created_projected_and_taken_back() -> None:
    asked = operation(
        "createPolicy",
        name="p",
        command="Update",
        permissive=False,
        roles=["b", "a"],
        using=" id > 1",
        withCheck="true",
    )
    (statement,) = asked.statements(ctx())
    assert (statement.sql, statement.lock) == (
        'CREATE POLICY "p" ON "public"."users" AS RESTRICTIVE FOR UPDATE TO "a", "b" USING (id > 1) WITH CHECK (true)',
        Lock.ACCESS_EXCLUSIVE,
    )
    (after,) = asked.project(asked_of := ctx(OPEN)).tables
    assert after.policies == (MINE, NARROW, Policy("p", "UPDATE", False, ("a", "b"), "id > 1", "true"))
    assert asked.project(asked_of.with_graph(asked.project(asked_of))) == asked.project(asked_of)
    assert asked.undo(ctx()).statements[0].sql == 'DROP POLICY "p" ON "public"."users"'
    assert asked.target(ctx()) == "public.users.p"
    assert sql("createPolicy", name="p", using="true")[0].endswith("FOR ALL TO PUBLIC USING (true)")
    insert = sql("createPolicy", name="p", command="Insert", roles=["public", "a"], withCheck="true")
    assert insert == ['CREATE POLICY "p" ON "public"."users" AS PERMISSIVE FOR INSERT TO PUBLIC WITH CHECK (true)']


@pytest.mark.parametrize(
    ("table", "name", "expected"),
    [
        (
            users(policies=(MINE,)),
            "mine",
            ("low", "public.users has no row-level security; the policy has no effect now"),
        ),
        (OPEN, "narrow", ("high", "rows of public.users that policy narrow held back are open from now on")),
        (
            OPEN,
            "mine",
            (
                "high",
                "it is the last policy of public.users that lets rows through: all of them are hidden without it",
            ),
        ),
        (
            users(row_security=True, policies=(MINE, Policy("other", "ALL", True, ("public",), "true"))),
            "mine",
            ("medium", "rows of public.users that only policy mine let through are hidden"),
        ),
    ],
)
def test_a_policy_dropped_is_judged_by_what_is_left(table: Table, name: str, expected: tuple[str, str]) -> None:
    assert why("dropPolicy", table, name=name) == [expected]


def test_a_dropped_policy_comes_back_as_it_was() -> None:
    asked = operation("dropPolicy", name="narrow")
    assert [s.sql for s in asked.statements(ctx(OPEN))] == ['DROP POLICY "narrow" ON "public"."users"']
    assert [s.sql for s in asked.undo(ctx(OPEN)).statements] == [
        'CREATE POLICY "narrow" ON "public"."users" AS RESTRICTIVE FOR UPDATE TO "app" USING ((id > 1)) '
        "WITH CHECK ((id > 2))"
    ]
    (after,) = asked.project(ctx(OPEN)).tables
    assert after.policies == (MINE,)
    assert asked.target(ctx()) == "public.users.narrow"
    assert operation("enableRls").target(ctx()) == "public.users"
