"""What an author of a new table is told to mend."""

from __future__ import annotations

from typing import Any

import pytest

from unit.builders import ctx, graph, operation, primary_key, unique, users
from zanith.core.errors import SpecError
from zanith.core.graph import Column, Index, Table, View

NEW: dict[str, Any] = {
    "table": "orders",
    "columns": [{"name": "id", "type": "bigint"}, {"name": "user_id", "type": "bigint"}],
}


def orders(**arguments: Any) -> list[str]:
    """Problems of a new table in a database that has `users`, a view, and a table with an index."""
    taken = Table("public", "taken", indexes=(Index("orders_id_key", ""),))
    loose = users(
        Column("code", "bigint"),
        Column("part", "bigint"),
        name="loose",
        constraints=(unique("email", definition="UNIQUE (email) DEFERRABLE"), primary_key("id", table="loose")),
        indexes=(
            Index("a", "CREATE UNIQUE INDEX a ON loose (code)", ("code",), unique=True),
            Index("b", "CREATE UNIQUE INDEX b ON loose (part) WHERE (x)", ("part",), unique=True),
        ),
    )
    fleeting = users(name="fleeting", persistence="unlogged")
    named = users(name="named", constraints=(unique("email"),))
    view = View("public", "a_view", materialized=True, definition_hash="")
    known = ctx(users(), graph=graph(users(), taken, loose, fleeting, named, views=(view,)))
    return list(operation("createTable", **{**NEW, **arguments}).problems(known))


def column(**changes: Any) -> list[dict[str, Any]]:
    return [*NEW["columns"], {"name": "c", "type": "text", **changes}]


def reference(*referenced: str, **changes: Any) -> list[dict[str, Any]]:
    return [{"columns": ["user_id"], "referencesTable": "loose", "referencesColumns": list(referenced), **changes}]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"table": "users"}, "table public.users exists already"),
        ({"table": "a_view"}, "a relation named public.a_view exists already"),
        (
            {"table": "_zanith_migrations"},
            "table _zanith_migrations begins with _zanith_, which is kept for what Zanith makes itself",
        ),
        (
            {"columns": column(name="_zanith_c")},
            "column of public.orders _zanith_c begins with _zanith_, which is kept for what Zanith makes itself",
        ),
        ({"columns": column(name="xmin")}, "column public.orders.xmin has the name of a system column"),
        ({"columns": column(default="id")}, "default of public.orders.c must not name columns (id)"),
        ({"columns": column(default="(SELECT 1)")}, "default of public.orders.c must not contain a subquery"),
        (
            {"columns": column(type="serial")},
            "type serial of public.orders.c is no type of its own; use bigint with identity: ByDefault",
        ),
        (
            {"columns": column(identity="Always")},
            "identity column public.orders.c must be smallint, integer or bigint",
        ),
        (
            {"columns": column(type="int", identity="Always", default="1")},
            "identity column public.orders.c must not have a default",
        ),
        (
            {"uniques": [{"columns": ["user_id"]}, {"columns": ["user_id"]}]},
            "two constraints of public.orders are named orders_user_id_key",
        ),
        (
            {"uniques": [{"columns": ["id"]}]},
            "a relation named public.orders_id_key exists already; public.orders needs it for an index",
        ),
        (
            {"checks": [{"name": "_zanith_c", "expression": "id > 1"}]},
            "constraint of public.orders _zanith_c begins with _zanith_, which is kept for what Zanith makes itself",
        ),
        (
            {"checks": [{"name": "c", "expression": "idd > 1"}]},
            "column public.orders.idd does not exist (did you mean id?)",
        ),
        (
            {"checks": [{"name": "c", "expression": "id > (SELECT 1)"}]},
            "check c of public.orders must not contain a subquery",
        ),
        (
            {"foreignKeys": reference("id", referencesTable="user")},
            "table public.user does not exist (did you mean users?)",
        ),
        ({"foreignKeys": reference("id", referencesSchema="app")}, "table app.loose does not exist"),
        (
            {"foreignKeys": reference("emial")},
            "column public.loose.emial does not exist (did you mean email?)",
        ),
        (
            {"foreignKeys": reference("id", "email")},
            "foreign key of public.orders has 1 columns but references 2 of public.loose",
        ),
        (
            {"foreignKeys": reference("id", referencesTable="fleeting")},
            "public.fleeting is unlogged; public.orders, which is not, cannot reference it",
        ),
        (
            {"foreignKeys": reference("email", referencesTable="named")},
            "column public.orders.user_id (bigint) cannot reference public.named.email (text): PostgreSQL has no equality of "
            "the two; give them the same type",
        ),
        *(
            (
                {"foreignKeys": reference(referenced)},
                f"foreign key of public.orders references ({referenced}) of public.loose, "
                "which no primary key or unique constraint covers",
            )
            for referenced in ("age", "email", "part")
        ),
        (
            {"foreignKeys": reference("user_id", referencesTable="orders")},
            "foreign key of public.orders references (user_id) of public.orders, "
            "which no primary key or unique constraint covers",
        ),
    ],
)
def test_create_table(arguments: dict[str, Any], expected: str) -> None:
    assert orders(**arguments) == [expected]


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"foreignKeys": reference("id")},
        {"foreignKeys": reference("code")},
        {"foreignKeys": reference("id", referencesTable="orders"), "primaryKey": ["id"]},
        {"columns": column(type="smallint", identity="ByDefault")},
        {"checks": [{"name": "c", "expression": "orders.id > user_id"}]},
        {"schema": "app", "uniques": [{"columns": ["id"]}]},
    ],
)
def test_a_table_that_can_be_made_has_no_problem(arguments: dict[str, Any]) -> None:
    assert orders(**arguments) == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"columns": [*NEW["columns"], NEW["columns"][0]]}, "column id is there twice"),
        ({"primaryKey": ["id", "id"]}, "column id is there twice"),
        ({"uniques": [{"columns": ["user_id", "user_id"]}]}, "column user_id is there twice"),
        ({"primaryKey": ["user_di"]}, "column user_di is not among the table's columns (did you mean user_id?)"),
        ({"foreignKeys": reference("id", columns=["x"])}, "column x is not among the table's columns"),
    ],
)
def test_columns_of_a_new_table_are_there_once(arguments: dict[str, Any], expected: str) -> None:
    with pytest.raises(SpecError) as refused:
        operation("createTable", **{**NEW, **arguments})
    assert str(refused.value) == f"spec.steps[0].createTable: {expected}"
