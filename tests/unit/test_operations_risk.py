"""The risk of each kind: levels and reasons as published, ours where the live schema says more."""

from __future__ import annotations

from typing import Any

import pytest

from unit.builders import USERS, VERSIONS, brief, ctx, foreign_key, graph, operation, problems, unique, users
from zanith.core.graph import Column, Constraint, Index, Table, Trigger, View
from zanith.core.identifiers import TableKey
from zanith.core.risk import Finding, ReasonCode, RiskLevel
from zanith.core.surroundings import Dependent

ID = {"name": "id", "type": "bigint"}
PARENT = {"columns": ["id"], "referencesTable": "users", "referencesColumns": ["id"]}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("kind", "arguments", "expected"),
    [
        ("createTable", {"table": "t", "columns": [ID]}, [("safe", "adds_table")]),
        (
            "createTable",
            {"table": "t", "columns": [ID], "foreignKeys": [PARENT]},
            [("safe", "adds_table"), ("low", "adds_foreign_key"), ("low", "locks_second_table")],
        ),
        ("addColumn", {"column": "a", "type": "text"}, [("safe", "adds_nullable_column")]),
        (
            "addColumn",
            {"column": "a", "type": "text", "default": "'x'", "nullable": False},
            [("low", "adds_column_with_default")],
        ),
        (
            "addColumn",
            {"column": "a", "type": "text", "nullable": False},
            [("high", "adds_required_column_without_default")],
        ),
        (
            "addColumn",
            {"column": "a", "type": "text", "nullable": False, "default": "NULL"},
            [("high", "adds_required_column_without_default")],
        ),
        (
            "addColumn",
            {"column": "a", "type": "uuid", "default": "gen_random_uuid()"},
            [("low", "adds_column_with_default"), ("medium", "requires_backfill")],
        ),
        ("addIndex", {"columns": ["email"]}, [("low", "adds_index")]),
        (
            "addIndex",
            {"columns": ["email"], "unique": True},
            [("low", "adds_index"), ("medium", "adds_unique_constraint")],
        ),
        (
            "alterColumnNullable",
            {"column": "email", "nullable": False},
            [("high", "changes_column_nullable_to_not_null")],
        ),
        (
            "alterColumnNullable",
            {"column": "age", "nullable": True},
            [("low", "changes_column_not_null_to_nullable")],
        ),
        ("backfill", {"set": {"email": "1"}, "where": "true"}, [("medium", "requires_backfill")]),
        ("softDropColumn", {"column": "email"}, [("medium", "soft_drops_column")]),
        ("dropColumn", {"column": "email"}, [("destructive", "drops_column_with_data")]),
    ],
)
def test_each_kind_has_its_risk(kind: str, arguments: dict[str, Any], expected: object, version: int) -> None:
    assert brief(operation(kind, **arguments).findings(ctx(version=version))) == expected


def test_only_a_required_column_without_a_value_asks_whether_there_are_rows() -> None:
    (probe,) = operation("addColumn", column="a", type="text", nullable=False).probes(ctx())
    assert (probe.question, probe.under_lock, probe.before_statement) == (
        "table public.users has rows, and the required column a has no default",
        True,
        1,
    )
    assert operation("addColumn", column="a", type="text", nullable=False, default="''").probes(ctx()) == ()
    assert operation("alterColumnNullable", column="age", nullable=True).probes(ctx()) == ()
    (nulls,) = operation("alterColumnNullable", column="email", nullable=False).probes(ctx())
    assert (nulls.question, nulls.under_lock) == ("column public.users.email has NULLs", False)
    assert operation("addIndex", columns=["email"]).probes(ctx()) == ()


def test_a_backfill_names_the_triggers_it_fires() -> None:
    table = users(
        triggers=(
            Trigger("fires", "", on_update=True),
            Trigger("off", "", enabled=False, on_update=True),
            Trigger("inserts", ""),
        )
    )
    found = list(operation("backfill", set={"email": "1"}, where="true").findings(ctx(table)))
    assert found[1:] == [
        Finding(
            RiskLevel.MEDIUM,
            ReasonCode.USER_TRIGGERS_FIRE,
            "trigger fires of public.users fires for every row changed",
        )
    ]


def test_a_backfill_is_undone_by_the_step_that_added_its_columns() -> None:
    known = ctx(users(Column("added", "text")))
    begun = type(known)(known.facts, known.migration_id, 2, graph(users()))
    asked = operation("backfill", set={"added": "1"}, where="true")
    assert (asked.undo(begun).statements, asked.undo(begun).refused) == ((), "")
    assert asked.undo(known).refused == "the values public.users (added) had before are not kept"


def test_a_soft_drop_names_what_lives_on() -> None:
    table = users(
        Column("g", "text", generated="stored", default="lower(email)"),
        constraints=(
            Constraint("c", "check", "CHECK (email <> '')", ("email",)),
            foreign_key("f", "email", TableKey("public", "parent")),
            unique("email", name="distinct", definition="UNIQUE NULLS NOT DISTINCT (email)"),
            unique("email", name="plain"),
            unique("age", name="other"),
        ),
        indexes=(
            Index("i", "CREATE UNIQUE INDEX i ON users (email) NULLS NOT DISTINCT", ("email",), unique=True),
            Index("j", "CREATE INDEX j ON users (email)", ("email",)),
        ),
    )
    view = View("public", "v", materialized=False, definition_hash="", depends_on=((USERS, "email"),))
    known = ctx(table, graph=graph(table, views=(view, View("public", "w", False, ""))))
    found = list(operation("softDropColumn", column="email").findings(known))
    assert [(f.level.value, f.why) for f in found[1:]] == [
        ("medium", "view public.v goes on showing public.users.email, which gets no new values"),
        (
            "medium",
            "generated column public.users.g goes on being computed from public.users.email, which gets no new values",
        ),
        (
            "high",
            "unique index i is NULLS NOT DISTINCT over public.users.email: the second insert without it fails",
        ),
        ("medium", "CHECK c names public.users.email; rows inserted without it are checked with NULL"),
        ("low", "foreign key f goes on over public.users.email"),
        ("high", "UNIQUE distinct is NULLS NOT DISTINCT over public.users.email: the second insert without it fails"),
    ]
    assert {f.reason for f in found[1:]} == {ReasonCode.BREAKS_DEPENDENTS}


def test_dropping_a_foreign_key_with_its_column_names_the_table_it_locks() -> None:
    table = users(constraints=(foreign_key("f", "email", TableKey("public", "parent")),))
    assert brief(operation("dropColumn", column="email").findings(ctx(table))) == [
        ("destructive", "drops_column_with_data"),
        ("medium", "locks_second_table"),
    ]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"table": "users", "column": "email"}, "- softDropColumn: {table: users, column: email}"),
        (
            {"schema": "on", "table": "Users", "column": "a: b"},
            '- softDropColumn: {schema: "on", table: Users, column: "a: b"}',
        ),
    ],
)
def test_the_safer_way_can_be_pasted(arguments: dict[str, str], expected: str) -> None:
    known = ctx(Table("on", "Users"), users())
    (finding,) = operation("dropColumn", **arguments).findings(known)
    assert finding.safer == expected


def test_a_column_that_a_rule_uses_is_not_dropped_of_a_partition_either() -> None:
    top = users(partition_key="RANGE (id)")
    part = users(name="part", partition_of=USERS)
    rules = {
        USERS: (
            Dependent("rule kept on public.users", needs=("email",)),
            Dependent("rule counted on public.users", needs=("age",)),
        ),
        part.key: (Dependent("rule noted on public.part", needs=("age", "email")),),
    }
    assert problems(operation("dropColumn", column="email"), top, part, rules=rules) == [
        "rule kept on public.users uses public.users.email; drop it first",
        "rule noted on public.part uses public.part.email; drop it first",
    ]


@pytest.mark.parametrize(
    ("publishing", "primary_key", "expected"),
    [
        ({}, [], []),
        ({None: ("all",), "public": ("of_schema",)}, [], ["public.t is published from the start (all, of_schema)"]),
        ({"other": ("of_other",)}, [], []),
        ({None: ("all",)}, ["id"], []),
    ],
)
def test_a_new_table_that_is_published_from_the_start_needs_a_key(
    publishing: dict[str | None, tuple[str, ...]], primary_key: list[str], expected: list[str]
) -> None:
    made = operation("createTable", table="t", columns=[ID], primaryKey=primary_key)
    found = list(made.findings(ctx(publishing=publishing)))[1:]
    assert [f.why.partition(" and has no")[0] for f in found] == expected
    assert {f.level for f in found} <= {RiskLevel.HIGH}
    assert {f.reason for f in found} <= {ReasonCode.PUBLISHED_WITHOUT_REPLICA_IDENTITY}


def test_heirs_are_known_by_the_name_they_have() -> None:
    """What is done to a table is done to those that inherit from it, after a rename too."""
    heir, people = TableKey("public", "heir"), TableKey("public", "people")
    known = ctx(users(), Table(*heir), inheritors={USERS: (heir,)})
    rename = operation("renameTable", newName="people")
    assert known.facts.after(rename.project(known), rename.moves(known)).inheritors == {people: (heir,)}


def test_partitions_change_with_their_table() -> None:
    top = users(partition_key="RANGE (id)")
    part = users(name="part", partition_of=USERS)
    changes: dict[str, dict[str, Any]] = {
        "addColumn": {"column": "a", "type": "text", "comment": "of the table only"},
        "alterColumnNullable": {"column": "email", "nullable": False},
        "softDropColumn": {"column": "email"},
        "dropColumn": {"column": "email"},
    }
    for kind, arguments in changes.items():
        after = operation(kind, **arguments).project(ctx(top, part))
        one, other = (after.table(t.key) for t in (top, part))
        assert one is not None and other is not None and one != top
        assert [(c.name, c.type, c.not_null) for c in one.columns] == [
            (c.name, c.type, c.not_null) for c in other.columns
        ]
        assert [c.comment for c in other.columns if c.comment] == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"type": "text", "default": "'x'"}, Column("a", "text", default="'x'::text")),
        (
            {"type": "varchar(20)", "default": "'x'", "nullable": False},
            Column("a", "character varying(20)", not_null=True, default="'x'::character varying"),
        ),
        ({"type": "text", "default": "NULL"}, Column("a", "text")),
        (
            {"type": "varchar(3)", "default": "NULL"},
            Column("a", "character varying(3)", default="NULL::character varying"),
        ),
        ({"type": "char(3)[]", "default": "'{}'"}, Column("a", "character(3)[]", default="'{}'::bpchar[]")),
        ({"type": "int", "default": "7"}, Column("a", "integer", default="7")),
        ({"type": "text", "collation": "C", "comment": "c"}, Column("a", "text", collation='"C"', comment="c")),
        ({"type": "text", "collation": "default", "comment": ""}, Column("a", "text")),
    ],
)
def test_a_new_column_is_projected_as_the_catalog_will_have_it(arguments: dict[str, Any], expected: Column) -> None:
    assert operation("addColumn", column="a", **arguments).project(ctx()).column(USERS, "a") == expected


def test_a_new_table_is_projected_as_the_catalog_will_have_it() -> None:
    columns = [
        {**ID, "identity": "Always"},
        {"name": "n", "type": "int", "identity": "ByDefault", "comment": ""},
        {"name": "b", "type": "bool", "default": "true"},
    ]
    asked = operation("createTable", table="t", columns=columns, primaryKey=["b"], comment="")
    assert asked.project(ctx()).table(TableKey("public", "t")) == Table(
        "public",
        "t",
        columns=(
            Column("id", "bigint", not_null=True, identity="always"),
            Column("n", "integer", not_null=True, identity="by_default"),
            Column("b", "boolean", not_null=True, default="true"),
        ),
        constraints=(Constraint("t_pkey", "primary_key", "PRIMARY KEY (b)", ("b",)),),
    )
    assert list(asked.adds(ctx())) == [(TableKey("public", "t"), name) for name in ("id", "n", "b")]
