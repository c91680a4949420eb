"""What a step does to tables it does not name: those that inherit from its table, and those that reference its keys."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from unit.builders import USERS, ctx, facts, foreign_key, operation, plan, primary_key, unique, users
from zanith.api.spec import Gates
from zanith.core.graph import Column, Constraint, Index, Table
from zanith.core.identifiers import TableKey
from zanith.core.risk import ReasonCode, RiskLevel
from zanith.operations.key_changes import reached
from zanith.planning.gates import refusal

HEIR, LATER = TableKey("public", "heir"), TableKey("public", "heirs_heir")
ORDERS, LINES = TableKey("public", "orders"), TableKey("public", "lines")


def table(key: TableKey, *columns: str, **changes: Any) -> Table:
    return replace(Table(*key, columns=tuple(Column(c, "text") for c in columns)), **changes)


def on_update(name: str, column: str, parent: TableKey, action: str, referenced: str = "email") -> Constraint:
    plain = foreign_key(name, column, parent, referenced)
    return replace(plain, definition=f"{plain.definition} ON UPDATE {action}")


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("addColumn", {"column": "added", "type": "text", "comment": "c"}),
        ("alterColumnNullable", {"column": "age", "nullable": True}),
        ("alterColumnDefault", {"column": "age", "default": "7"}),
        ("alterColumnType", {"column": "age", "type": "bigint"}),
        ("renameColumn", {"column": "age", "newName": "years"}),
        ("softDropColumn", {"column": "age"}),
        ("dropColumn", {"column": "age"}),
        ("addGeneratedColumn", {"column": "g", "type": "integer", "expression": "age + 1", "storage": "Stored"}),
        ("backfill", {"set": {"email": "'x'"}, "where": "true"}),
    ],
)
def test_what_inherits_is_shown_as_locked_and_changed(kind: str, arguments: dict[str, Any]) -> None:
    heir = users(name="heir", constraints=(), indexes=())
    known = facts(users(), heir, replace(heir, name="heirs_heir"), inheritors={USERS: (HEIR,), HEIR: (LATER,)})
    step = {kind: {"table": "users", **arguments}}
    (planned,) = plan(step, of=known).steps
    for statement in (*planned.statements, *planned.undo.statements):
        alone = statement.sql.startswith("COMMENT")
        assert statement.on == ((USERS,) if alone else (USERS, HEIR, LATER)), statement.sql
    after = operation(kind, **arguments).project(ctx(*known.graph.tables, inheritors=known.inheritors))
    shapes = [
        [(c.name, c.type, c.not_null, c.default) for c in found.columns]
        for found in map(after.table, (USERS, HEIR, LATER))
        if found is not None
    ]
    assert shapes == [shapes[0]] * 3


def test_heirs_of_what_is_locked_beside_it_are_locked_too_and_kinds_of_catalog_rows_reach_none() -> None:
    orders = Table(*ORDERS, columns=(Column("user_id", "bigint"),), constraints=(foreign_key("f", "user_id", USERS),))
    known = facts(users(), orders, table(HEIR, "id"), inheritors={USERS: (HEIR,)})
    (planned,) = plan({"alterColumnType": {"table": "orders", "column": "user_id", "type": "integer"}}, of=known).steps
    assert [s.on for s in planned.statements] == [(USERS, HEIR), (ORDERS, USERS), (ORDERS,)]
    (planned,) = plan({"enableRls": {"table": "users"}}, of=known).steps
    assert [s.on for s in planned.statements] == [(USERS,)]


def test_defaults_of_heirs_come_back_as_they_were() -> None:
    heir = users(
        name="heir", columns=tuple(replace(c, default="1" if c.name == "age" else None) for c in users().columns)
    )
    place = ctx(users(), heir, inheritors={USERS: (HEIR,)})
    back = operation("alterColumnDefault", column="age", default="7").undo(place).statements
    assert [s.sql for s in back] == [
        'ALTER TABLE "public"."users" ALTER COLUMN "age" DROP DEFAULT',
        'ALTER TABLE "public"."heir" ALTER COLUMN "age" SET DEFAULT 1',
    ]


def test_a_circle_of_heirs_ends() -> None:
    assert ctx(inheritors={USERS: (HEIR,), HEIR: (USERS, LATER)}).heirs(USERS) == (HEIR, LATER, USERS)


def backfilled(*tables: Table, column: str = "email") -> list[tuple[RiskLevel, ReasonCode, str]]:
    found = operation("backfill", set={column: "'x'"}, where="true").findings(ctx(*tables))
    return [(f.level, f.reason, f.why) for f in found][1:]


PARENT = users(constraints=(primary_key("id"), unique("email")))


@pytest.mark.parametrize(("action", "word"), [("SET NULL", "NULL"), ("SET DEFAULT", "DEFAULT")])
def test_values_that_a_changed_key_takes_from_others_are_destroyed(action: str, word: str) -> None:
    orders = table(ORDERS, "who", constraints=(on_update("by", "who", USERS, action),))
    assert backfilled(PARENT, orders) == [
        (
            RiskLevel.DESTRUCTIVE,
            ReasonCode.DROPS_COLUMN_WITH_DATA,
            f"foreign key by of public.orders is ON UPDATE SET {word}: each row that references a changed key loses its "
            "values of (who)",
        )
    ]
    step = {"backfill": {"table": "users", "set": {"email": "'x'"}, "where": "true"}}
    planned = plan(step, of=facts(PARENT, orders))
    assert refusal(planned, Gates()) is not None
    assert [s.on for s in planned.steps[0].statements] == [(USERS, ORDERS)]


def test_rows_that_follow_a_changed_key_are_high_and_what_follows_them_is_found() -> None:
    orders = table(ORDERS, "who", constraints=(unique("who"), on_update("by", "who", USERS, "CASCADE")))
    lines = table(LINES, "of", constraints=(on_update("their", "of", ORDERS, "SET NULL", "who"),))
    found = backfilled(PARENT, orders, lines)
    assert [(level, why.split(":")[0]) for level, _, why in found] == [
        (RiskLevel.HIGH, "foreign key by of public.orders is ON UPDATE CASCADE"),
        (RiskLevel.DESTRUCTIVE, "foreign key their of public.lines is ON UPDATE SET NULL"),
    ]


@pytest.mark.parametrize("action", ["NO ACTION", "RESTRICT", "CASCADE NOT ENFORCED"])
def test_other_keys_change_nothing(action: str) -> None:
    orders = table(ORDERS, "who", constraints=(on_update("by", "who", USERS, action),))
    assert backfilled(PARENT, orders) == []
    assert backfilled(PARENT, orders, column="age") == []


def test_a_key_that_references_itself_is_said_once_and_that_of_a_partition_with_its_table() -> None:
    own = replace(PARENT, constraints=(*PARENT.constraints, on_update("own", "email", USERS, "CASCADE")))
    assert len(backfilled(own)) == 1
    by = on_update("by", "who", USERS, "CASCADE")
    whole = table(ORDERS, "who", constraints=(by,), partition_key="RANGE (who)")
    part = table(LINES, "who", constraints=(by,), partition_of=ORDERS)
    assert [f.table for f in reached(facts(PARENT, whole, part).graph, USERS, ["email"])] == [ORDERS]
    lone = replace(whole, constraints=())
    assert [f.table for f in reached(facts(PARENT, lone, part).graph, USERS, ["email"])] == [LINES]


def test_keys_that_reference_the_table_of_a_partition_count() -> None:
    parent = replace(PARENT, partition_key="RANGE (id)")
    part = users(name="users_1", partition_of=USERS)
    orders = table(ORDERS, "who", constraints=(on_update("by", "who", USERS, "CASCADE"),))
    assert [f.name for f in reached(facts(parent, part, orders).graph, part.key, ["email"])] == ["by"]
    assert list(reached(facts(parent).graph, TableKey("public", "gone"), ["email"])) == []


def test_using_that_does_not_name_the_column_destroys_it() -> None:
    def levels(using: str) -> list[RiskLevel]:
        made = operation("alterColumnType", column="email", type="integer", using=using)
        return [f.level for f in made.findings(ctx()) if f.reason is ReasonCode.DROPS_COLUMN_WITH_DATA]

    assert levels("age") == levels("7") == [RiskLevel.DESTRUCTIVE]
    assert levels("length(email)") == levels("(users).email::integer") == []
    step = {"alterColumnType": {"table": "users", "column": "email", "type": "integer", "using": "0"}}
    assert refusal(plan(step, of=facts()), Gates(max_risk=100)) is not None


def test_comments_come_back_with_what_was_dropped() -> None:
    noted = users(
        constraints=(primary_key("id"), replace(unique("email"), comment="it's")),
        indexes=(Index("i", "CREATE INDEX i ON public.users USING btree (age)", ("age",), comment="why"),),
    )
    (planned,) = plan({"dropUnique": {"table": "users", "name": "users_key"}}, of=facts(noted)).steps
    assert planned.undo.statements[-1].sql == 'COMMENT ON CONSTRAINT "users_key" ON "public"."users" IS \'it\'\'s\''
    (planned,) = plan({"dropIndex": {"name": "i"}}, of=facts(noted)).steps
    assert [s.with_previous for s in planned.undo.statements] == [False, False]
    assert planned.undo.statements[-1].sql == 'COMMENT ON INDEX "public"."i" IS \'why\''
