"""What an author is told to mend: every problem names the object, and the nearest right name where there is one."""

from __future__ import annotations

from typing import Any

import pytest

from unit.builders import (
    USERS,
    ctx,
    foreign_key,
    graph,
    operation,
    problems,
    unique,
    users,
)
from zanith.core.errors import SpecError
from zanith.core.graph import Column, Constraint, Index, Policy, Table, Trigger, View
from zanith.core.identifiers import TableKey
from zanith.operations.operation import Operation

KEYLESS = users(constraints=())
PART = users(name="part", partition_of=USERS, constraints=())
PARTITIONED = users(partition_key="RANGE (age)")


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("addColumn", {"column": "a", "type": "text"}),
        ("alterColumnNullable", {"column": "a", "nullable": True}),
        ("addIndex", {"columns": ["a"]}),
        ("backfill", {"set": {"a": "1"}, "where": "true"}),
        ("softDropColumn", {"column": "a"}),
        ("dropColumn", {"column": "a"}),
    ],
)
def test_a_table_that_is_not_there_is_named_with_the_nearest(kind: str, arguments: dict[str, Any]) -> None:
    asked = operation(kind, **{**arguments, "table": "user"})
    assert problems(asked) == ["table public.user does not exist (did you mean users?)"]
    elsewhere = operation(kind, **{**arguments, "schema": "app"})
    assert problems(elsewhere) == ["table app.users does not exist"]


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("alterColumnNullable", {"column": "emial", "nullable": True}),
        ("addIndex", {"columns": ["emial"]}),
        ("addIndex", {"columns": ["lower(emial)"]}),
        ("addIndex", {"columns": ["id"], "include": ["emial"]}),
        ("addIndex", {"columns": ["id"], "where": "emial IS NULL"}),
        ("backfill", {"set": {"emial": "1"}, "where": "true"}),
        ("softDropColumn", {"column": "emial"}),
        ("dropColumn", {"column": "emial"}),
    ],
)
def test_a_column_that_is_not_there_is_named_with_the_nearest(kind: str, arguments: dict[str, Any]) -> None:
    assert problems(operation(kind, **arguments)) == ["column public.users.emial does not exist (did you mean email?)"]


@pytest.mark.parametrize(
    ("arguments", "table", "expected"),
    [
        ({"column": "email"}, users(), "column public.users.email exists already"),
        ({"table": "part"}, PART, "public.part is a partition; add the column to public.users"),
        ({"column": "ctid"}, users(), "column public.users.ctid has the name of a system column"),
        (
            {"column": "_zanith_dropped_x"},
            users(),
            "column of public.users _zanith_dropped_x begins with _zanith_, which is kept for what Zanith makes itself",
        ),
        (
            {"type": "bigserial"},
            users(),
            "type bigserial rewrites the whole table; use bigint and a sequence of your own",
        ),
        (
            {"type": "positive"},
            users(),
            "domain positive has constraints, so adding public.users.a rewrites the whole table",
        ),
        ({"default": "age + 1"}, users(), "default of public.users.a must not name columns (age)"),
        ({"default": "(SELECT 1)"}, users(), "default of public.users.a must not contain a subquery"),
        (
            {"default": "random()"},
            KEYLESS,
            "default of public.users.a differs from row to row, and the table has no primary key or unique NOT NULL "
            "columns to backfill it by",
        ),
    ],
)
def test_add_column(arguments: dict[str, Any], table: Table, expected: str) -> None:
    asked = operation("addColumn", **{"column": "a", "type": "text", **arguments})
    assert problems(asked, table, constrained_domains=frozenset({"positive"})) == [expected]


@pytest.mark.parametrize(
    ("arguments", "table", "expected"),
    [
        ({"column": "age", "nullable": False}, users(), "column public.users.age is NOT NULL already"),
        ({"column": "email", "nullable": True}, users(), "column public.users.email is already nullable"),
        (
            {"column": "id", "nullable": True},
            users(),
            "column public.users.id is part of the primary key and must stay NOT NULL",
        ),
        (
            {"column": "n", "nullable": True},
            users(Column("n", "bigint", not_null=True, identity="always")),
            "column public.users.n is an identity column and must stay NOT NULL",
        ),
    ],
)
def test_alter_column_nullable(arguments: dict[str, Any], table: Table, expected: str) -> None:
    assert problems(operation("alterColumnNullable", **arguments), table) == [expected]


def test_a_partition_may_be_stricter_than_its_table_but_not_laxer() -> None:
    loosen = operation("alterColumnNullable", table="part", column="age", nullable=True)
    tables = (PARTITIONED, PART)
    assert problems(loosen, *tables) == ["public.part is a partition; alter the column of public.users"]
    assert problems(operation("alterColumnNullable", table="part", column="email", nullable=False), *tables) == []


@pytest.mark.parametrize(
    ("arguments", "table", "expected"),
    [
        (
            {},
            PARTITIONED,
            "public.users is partitioned; PostgreSQL builds no index on it CONCURRENTLY: index its partitions",
        ),
        (
            {"columns": ["(emial"]},
            users(),
            "index column '(emial' of public.users is not valid SQL: syntax error at end of input (did you mean email?)",
        ),
        (
            {"columns": ["(random())"]},
            users(),
            "index column '(random())' of public.users uses random, which is not IMMUTABLE",
        ),
        ({"where": "age > (SELECT 1)"}, users(), "where of index users_email_idx must not contain a subquery"),
        ({"where": "random() > 1"}, users(), "where of index users_email_idx uses random, which is not IMMUTABLE"),
        (
            {"name": "users"},
            users(),
            "a relation named public.users exists already; give the index another `name`",
        ),
        (
            {"name": "users_pkey"},
            users(),
            "a relation named public.users_pkey exists already; give the index another `name`",
        ),
        (
            {},
            users(indexes=(Index("users_email_idx", ""),)),
            "a relation named public.users_email_idx exists already; give the index another `name`",
        ),
        (
            {"name": "_zanith_x"},
            users(),
            "index _zanith_x begins with _zanith_, which is kept for what Zanith makes itself",
        ),
        ({"nullsNotDistinct": True}, users(), "nullsNotDistinct of index users_email_idx needs unique: true"),
        (
            {"unique": True, "method": "hash"},
            users(),
            "method hash of index users_email_idx cannot be unique; only btree can",
        ),
    ],
)
def test_add_index(arguments: dict[str, Any], table: Table, expected: str) -> None:
    assert problems(operation("addIndex", **{"columns": ["email"], **arguments}), table) == [expected]


def test_an_index_cannot_have_the_name_of_a_view() -> None:
    view = View("public", "v", materialized=False, definition_hash="")
    known = ctx(users(), graph=graph(users(), views=(view,)))
    assert list(operation("addIndex", columns=["email"], name="v").problems(known)) == [
        "a relation named public.v exists already; give the index another `name`"
    ]


@pytest.mark.parametrize(
    ("arguments", "table", "expected"),
    [
        (
            {"set": {"email": "lower(nmae)"}},
            users(Column("name", "text")),
            "column public.users.nmae does not exist (did you mean name?), used in a backfill",
        ),
        (
            {"set": {"email": "1"}, "where": "nothing"},
            users(),
            "column public.users.nothing does not exist, used in a backfill",
        ),
        (
            {"set": {"id": "1"}},
            users(),
            "column public.users.id is part of the key the backfill walks by and must not change",
        ),
        (
            {"set": {"g": "1"}},
            users(Column("g", "text", generated="stored")),
            "column public.users.g is generated and cannot be set",
        ),
        (
            {"set": {"g": "1"}},
            users(Column("g", "bigint", identity="always")),
            "column public.users.g is generated and cannot be set",
        ),
        (
            {"set": {"email": "1"}},
            KEYLESS,
            "table public.users has no primary key and no unique constraint over NOT NULL columns to walk by; add one "
            "first",
        ),
    ],
)
def test_backfill(arguments: dict[str, Any], table: Table, expected: str) -> None:
    assert problems(operation("backfill", **{"where": "true", **arguments}), table) == [expected]


@pytest.mark.parametrize(
    "table",
    [
        users(constraints=(unique("age"),)),
        users(constraints=(unique("email", name="a"), unique("id", "age", name="b"))),
        users(Column("g", "bigint", not_null=True, identity="by_default")),
    ],
)
def test_a_backfill_walks_by_any_unique_key_without_nulls(table: Table) -> None:
    column = "g" if table.column("g") else "email"
    asked = operation("backfill", set={column: "(SELECT max(x) FROM other)"}, where="users.xmin IS NOT NULL")
    assert problems(asked, table) == []


@pytest.mark.parametrize(
    "constraint",
    [unique("age", definition="UNIQUE (age) DEFERRABLE"), unique("email"), unique("gone")],
)
def test_a_key_that_may_have_doubles_or_nulls_is_none(constraint: Constraint) -> None:
    asked = operation("backfill", set={"email": "1"}, where="true")
    assert len(problems(asked, users(constraints=(constraint,)))) == 1


@pytest.mark.parametrize(
    ("column", "table", "expected"),
    [
        ("id", users(), ["public.users.id is part of the primary key; inserts without it would fail"]),
        (
            "n",
            users(Column("n", "bigint", identity="always")),
            ["public.users.n is an identity column and cannot become nullable"],
        ),
        ("email", PART, ["public.part is a partition; soft-drop the column of public.users"]),
        ("age", PARTITIONED, ["public.users.age is part of the partition key"]),
        ("email", PARTITIONED, []),
        ("a", users(Column("a", "text"), partition_key="RANGE (age)"), []),
    ],
)
def test_soft_drop_column(column: str, table: Table, expected: list[str]) -> None:
    assert problems(operation("softDropColumn", table=table.name, column=column), table) == expected


def test_a_table_keeps_its_only_column() -> None:
    only = Table("public", "users", columns=(Column("a", "text"),))
    assert problems(operation("dropColumn", column="a"), only) == ["public.users.a is the table's only column"]


DEEP = "+".join(["email"] * 100)


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (
            users(Column("g", "text", generated="stored", default="lower(email)")),
            "generated column public.users.g is computed from public.users.email; drop it first",
        ),
        (
            users(Column("g", "text", generated="stored", default=DEEP)),
            "generated column public.users.g is computed from public.users.email; drop it first",
        ),
        (
            users(policies=(Policy("mine", "ALL", True, ("public",), None, "(email = CURRENT_USER)"),)),
            "policy mine of public.users uses public.users.email; change it first",
        ),
        (
            users(triggers=(Trigger("t", "CREATE TRIGGER t BEFORE UPDATE OF email ON users EXECUTE FUNCTION f()"),)),
            "trigger t of public.users uses public.users.email; change it first",
        ),
        (users(partition_key="LIST (lower(email))"), "public.users.email is part of the partition key"),
        (PART, "public.part is a partition; drop the column of public.users"),
    ],
)
def test_what_uses_a_column_keeps_it_from_being_dropped(table: Table, expected: str) -> None:
    assert problems(operation("dropColumn", table=table.name, column="email"), table) == [expected]


def test_what_uses_other_columns_does_not_keep_it() -> None:
    table = users(
        Column("g", "text", generated="stored", default="lower('email') || age"),
        Column("h", "text", generated="stored"),
        Column("d", "text", default="'email'"),
        policies=(Policy("mine", "ALL", True, ("public",), "(age > 1)"),),
        triggers=(Trigger("email", "CREATE TRIGGER email AFTER INSERT ON users EXECUTE FUNCTION f('email')"),),
        partition_key="LIST (age)",
    )
    assert problems(operation("dropColumn", column="email"), table) == []


def test_views_and_foreign_keys_keep_a_column_from_being_dropped() -> None:
    view = View("app", "v", materialized=False, definition_hash="", depends_on=((USERS, "email"),))
    child = Table("public", "child", constraints=(foreign_key("f", "mail", USERS, "email"),))
    other = View("app", "w", materialized=False, definition_hash="", depends_on=((USERS, "age"),))
    known = ctx(users(), graph=graph(users(), child, views=(view, other)))
    assert list(operation("dropColumn", column="email").problems(known)) == [
        "view app.v uses public.users.email; change the view first",
        "foreign key f of public.child references public.users.email; drop it first",
    ]


def test_a_foreign_key_to_another_column_does_not_keep_one_whose_name_is_part_of_it() -> None:
    child = Table("public", "child", constraints=(foreign_key("f", "user_id", USERS, "email_id"),))
    assert problems(operation("dropColumn", column="email"), users(), child) == []


def test_a_schema_that_changed_under_a_plan_is_a_problem_not_a_crash() -> None:
    changes: dict[str, dict[str, Any]] = {
        "addColumn": {"column": "a", "type": "text"},
        "alterColumnNullable": {"column": "a", "nullable": True},
        "addIndex": {"columns": ["a"]},
        "softDropColumn": {"column": "a"},
        "dropColumn": {"column": "a"},
    }
    for kind, arguments in changes.items():
        with pytest.raises(SpecError) as refused:
            operation(kind, **arguments).project(ctx(Table("public", "user"), step=3))
        assert (str(refused.value), refused.value.step) == (
            "table public.users does not exist (did you mean user?)",
            3,
        )
    with pytest.raises(SpecError, match=r"column public\.users\.emial does not exist \(did you mean email\?\)"):
        ctx(users()).column(USERS, "emial")


def test_a_table_is_looked_for_where_the_step_says() -> None:
    known = ctx(users(), default_schema="app")
    assert known.key(None, "t") == TableKey("app", "t")
    assert known.key("public", "users") == USERS
    assert known.size(USERS) is None


def test_a_kind_asks_and_changes_nothing_that_it_does_not_say() -> None:
    asked = operation("dropColumn", column="email")
    said = [ask(asked, ctx()) for ask in (Operation.problems, Operation.probes, Operation.adds)]
    assert [list(answer) for answer in said] == [[], [], []]
    assert Operation.moves(asked, ctx()) == {}
