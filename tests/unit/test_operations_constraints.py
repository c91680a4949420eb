"""addUnique, dropUnique, addForeignKey, dropForeignKey and dropIndex: what they plan, say and refuse."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from unit.builders import EMAIL, ID, USERS, brief, ctx, foreign_key, operation, primary_key, spec, unique, users
from zanith.core.errors import SpecError
from zanith.core.graph import Column, Constraint, EnumType, Index, SchemaGraph, Table
from zanith.core.identifiers import TableKey
from zanith.core.statement import Lock, Probe, Statement, Work
from zanith.operations.operation import Operation
from zanith.operations.referencing import comparable, has_index_for, unique_over
from zanith.operations.step_context import StepContext, Undo

ORDERS = TableKey("public", "orders")
CODE = Index("code", "CREATE INDEX code ON public.users USING btree (email)", ("email",))
UNIQUE_CODE = Index("code", "CREATE UNIQUE INDEX code ON public.users USING btree (email)", ("email",), unique=True)
KEY = unique("email", name="users_email_key")
FK = foreign_key("orders_user_id_fkey", "user_id", USERS)


def orders(*constraints: Constraint, columns: tuple[Column, ...] = (), **changes: Any) -> Table:
    table = Table(
        "public",
        "orders",
        columns=(ID, Column("user_id", "bigint"), Column("email", "text"), *columns),
        constraints=(primary_key("id", table="orders"), *constraints),
    )
    return replace(table, **changes)


def step(kind: str, **arguments: Any) -> Operation:
    return spec({kind: arguments}).steps[0].operation


def references(**arguments: Any) -> Operation:
    given = {"table": "orders", "columns": ["user_id"], "referencesTable": "users", "referencesColumns": ["id"]}
    return step("addForeignKey", **{**given, **arguments})


def partitioned(table: Table, *constraints: Constraint) -> tuple[Table, Table]:
    """The table partitioned, with one partition named `part`."""
    part = replace(table, name="part", partition_of=table.key, constraints=(*table.constraints, *constraints))
    return replace(table, partition_key="RANGE (id)", constraints=(*table.constraints, *constraints)), part


def read(statements: Iterable[Statement]) -> list[tuple[str, str]]:
    return [(s.lock.value, ("+ " if s.with_previous else "") + s.sql) for s in statements]


def probed(probes: Iterable[Probe]) -> tuple[str, str]:
    (probe,) = probes
    return probe.question, probe.sql


def projected(asked: Operation, *tables: Table, **changes: Any) -> SchemaGraph:
    """The graph after it; asked again of that, the same."""
    here = ctx(*tables, **changes)
    after = asked.project(here)
    again = here.with_graph(after)
    assert asked.project(again) == after
    return after


# addUnique


def test_a_unique_constraint_is_built_concurrently_and_attached() -> None:
    asked = operation(
        "addUnique", columns=["email", "age"], include=["id"], nullsNotDistinct=True, deferrable=True,
        initiallyDeferred=True, name="one",
    )  # fmt: skip
    build, attach = asked.statements(ctx())
    assert build.sql == (
        'CREATE UNIQUE INDEX CONCURRENTLY "one" ON "public"."users" ("email", "age") INCLUDE ("id") NULLS NOT DISTINCT'
    )
    assert (build.transactional, build.work, build.lock) == (False, Work.BUILD, Lock.SHARE_UPDATE_EXCLUSIVE)
    assert (attach.sql, attach.lock, attach.work) == (
        'ALTER TABLE "public"."users" ADD CONSTRAINT "one" UNIQUE USING INDEX "one" DEFERRABLE INITIALLY DEFERRED',
        Lock.ACCESS_EXCLUSIVE,
        Work.CATALOG,
    )
    assert attach.cleanup == ('DROP INDEX IF EXISTS "public"."one"',)
    (table,) = projected(asked).tables
    definition = "UNIQUE NULLS NOT DISTINCT (email, age) INCLUDE (id) DEFERRABLE INITIALLY DEFERRED"
    assert table.constraints[0] == Constraint("one", "unique", definition, ("email", "age"))
    assert read(asked.undo(ctx()).statements) == [
        ("ACCESS EXCLUSIVE", 'ALTER TABLE "public"."users" DROP CONSTRAINT "one"')
    ]
    assert brief(asked.findings(ctx())) == [("medium", "adds_unique_constraint"), ("low", "adds_unique_constraint")]


def test_a_plain_unique_constraint() -> None:
    asked = operation("addUnique", columns=["email"])
    assert [s.sql for s in asked.statements(ctx())] == [
        'CREATE UNIQUE INDEX CONCURRENTLY "users_email_key" ON "public"."users" ("email")',
        'ALTER TABLE "public"."users" ADD CONSTRAINT "users_email_key" UNIQUE USING INDEX "users_email_key"',
    ]
    assert projected(asked).tables[0].constraints[0].definition == "UNIQUE (email)"
    assert brief(asked.findings(ctx())) == [("medium", "adds_unique_constraint")]
    assert asked.target(ctx()) == "public.users (email)"
    deferrable = operation("addUnique", columns=["email"], deferrable=True)
    assert projected(deferrable).tables[0].constraints[0].definition == "UNIQUE (email) DEFERRABLE"


def test_duplicates_are_asked_for_and_shown_by_key() -> None:
    (probe,) = operation("addUnique", columns=["email"]).probes(ctx())
    assert probe.question == "public.users has duplicates in (email)"
    assert probe.sql == (
        'SELECT 1 FROM "public"."users" WHERE "email" IS NOT NULL GROUP BY "email" HAVING count(*) > 1 LIMIT 1'
    )
    assert probe.sample_sql == (
        'SELECT "id" FROM (SELECT "id", count(*) OVER (PARTITION BY "email") AS _zanith_copies FROM "public"."users" '
        'WHERE "email" IS NOT NULL) AS found WHERE _zanith_copies > 1 LIMIT 5'
    )


def test_equal_nulls_are_duplicates_and_a_table_without_a_key_shows_none() -> None:
    (probe,) = operation("addUnique", columns=["email"], nullsNotDistinct=True).probes(ctx(users(constraints=())))
    assert probe.sql == 'SELECT 1 FROM "public"."users" GROUP BY "email" HAVING count(*) > 1 LIMIT 1'
    assert probe.sample_sql == ""


def test_a_unique_index_over_an_expression_asks_for_duplicates_too() -> None:
    asked = operation("addIndex", columns=["lower(email) DESC", "age DESC"], unique=True, where="age > 1")
    assert probed(asked.probes(ctx())) == (
        "public.users has duplicates in (lower(email), age)",
        'SELECT 1 FROM "public"."users" WHERE (lower(email)) IS NOT NULL AND "age" IS NOT NULL AND ((age > 1)) '
        'GROUP BY (lower(email)), "age" HAVING count(*) > 1 LIMIT 1',
    )


VIRTUAL = Column("v", "text", generated="virtual", default="lower(email)")


@pytest.mark.parametrize(
    ("arguments", "table", "expected"),
    [
        ({"columns": ["emial"]}, users(), "column public.users.emial does not exist (did you mean email?)"),
        ({"columns": ["email"], "include": ["agee"]}, users(), "column public.users.agee does not exist (did you mean age?)"),
        ({"columns": ["j"]}, users(Column("j", "json")),
         "column public.users.j is json, which has no order that a btree index could be built by"),
        ({"columns": ["j"]}, users(Column("j", "point[]")),
         "column public.users.j is point[], which has no order that a btree index could be built by"),
        ({"columns": ["v"]}, users(VIRTUAL),
         "column public.users.v is a virtual generated column, which PostgreSQL builds no index over"),
        ({"columns": ["email"], "include": ["v"]}, users(VIRTUAL),
         "column public.users.v is a virtual generated column, which PostgreSQL builds no index over"),
        ({"columns": ["email"], "name": "code"}, users(indexes=(CODE,)),
         "a relation named public.code exists already; give the constraint another `name`"),
        ({"columns": ["email"], "name": "positive"}, users(constraints=(Constraint("positive", "check", "CHECK (true)"),)),
         "a constraint named positive of public.users exists already; give the constraint another `name`"),
        ({"columns": ["email"], "name": "_zanith_x"}, users(),
         "constraint of public.users _zanith_x begins with _zanith_, which is kept for what Zanith makes itself"),
        ({"columns": ["email"]}, users(partition_key="RANGE (id)"),
         "public.users is partitioned; PostgreSQL attaches no index to it as a constraint: add it to each partition, then "
         "to the table by rawSql, which takes over what the partitions have"),
    ],
)  # fmt: skip
def test_what_add_unique_refuses(arguments: dict[str, Any], table: Table, expected: str) -> None:
    assert list(operation("addUnique", **arguments).problems(ctx(table))) == [expected]


def test_names_the_graph_leaves_out_are_taken_all_the_same() -> None:
    asked = operation("addUnique", columns=["email"], name="n")
    taken = ["a relation named public.n exists already; give the constraint another `name`"]
    assert list(asked.problems(ctx(hidden_indexes={USERS: ("n",)}))) == taken
    assert list(asked.problems(ctx(other_relations=frozenset({TableKey("public", "n")})))) == taken
    assert list(asked.problems(ctx(hidden_indexes={TableKey("other", "t"): ("n",)}))) == []
    not_null = ["a constraint named n of public.users exists already; give the constraint another `name`"]
    assert list(asked.problems(ctx(not_null_names={(USERS, "id"): "n"}))) == not_null


@pytest.mark.parametrize(
    ("kind", "arguments", "expected"),
    [
        ("addUnique", {"columns": ["a", "a"]}, "column a is there twice"),
        ("addUnique", {"columns": ["a"], "include": ["b", "b"]}, "column b is there twice"),
        ("addUnique", {"columns": ["a"], "initiallyDeferred": True}, "initiallyDeferred needs deferrable: true"),
        ("addUnique", {"columns": [f"c{n}" for n in range(20)], "include": [f"d{n}" for n in range(20)]}, "more than 32"),
        ("addForeignKey", {"columns": ["a", "a"]}, "column a is there twice"),
        ("addForeignKey", {"columns": ["a", "b"]}, "2 columns cannot reference 1"),
        ("addForeignKey", {"columns": ["a"], "onDeleteSetColumns": ["a"]}, "needs onDelete: SetNull or SetDefault"),
        ("addForeignKey", {"columns": ["a"], "onDelete": "SetNull", "onDeleteSetColumns": ["b"]}, "is not among columns"),
        ("addForeignKey", {"columns": ["a"], "initiallyDeferred": True}, "initiallyDeferred needs deferrable: true"),
    ],
)  # fmt: skip
def test_what_contradicts_itself(kind: str, arguments: dict[str, Any], expected: str) -> None:
    parent = {"referencesTable": "users", "referencesColumns": ["id"]} if kind == "addForeignKey" else {}
    with pytest.raises((SpecError, ValidationError), match=expected):
        operation(kind, **parent, **arguments)


@pytest.mark.parametrize("kind", ["addUnique", "dropUnique", "addForeignKey", "dropForeignKey"])
def test_a_missing_table_is_all_there_is_to_say(kind: str) -> None:
    arguments: dict[str, Any] = {"table": "usres"}
    arguments |= {"columns": ["id"]} if kind.startswith("add") else {"name": "n"}
    arguments |= {"referencesTable": "users", "referencesColumns": ["id"]} if kind == "addForeignKey" else {}
    expected = ["table public.usres does not exist (did you mean users?)"]
    assert list(step(kind, **arguments).problems(ctx())) == expected


# dropUnique


def drop_unique(*tables: Table, name: str = "users_email_key", **changes: Any) -> tuple[Operation, StepContext]:
    return operation("dropUnique", name=name), ctx(*tables, **changes)


def test_a_unique_constraint_is_dropped_and_comes_back_by_a_concurrent_build() -> None:
    asked, here = drop_unique(users(constraints=(KEY, primary_key("id"))))
    assert read(asked.statements(here)) == [
        ("ACCESS EXCLUSIVE", 'ALTER TABLE "public"."users" DROP CONSTRAINT "users_email_key"')
    ]
    undo = asked.undo(here)
    assert [s.sql for s in undo.statements] == [
        'CREATE UNIQUE INDEX CONCURRENTLY "users_email_key" ON "public"."users" ("email")',
        'ALTER TABLE "public"."users" ADD CONSTRAINT "users_email_key" UNIQUE USING INDEX "users_email_key"',
    ]
    assert probed(undo.probes)[0] == "public.users has duplicates in (email)"
    assert brief(asked.findings(here)) == [("medium", "drops_unique_constraint")]
    assert projected(asked, *here.graph.tables).tables[0].constraints == (primary_key("id"),)
    assert asked.target(here) == "public.users.users_email_key"


def test_what_stands_on_a_unique_constraint_keeps_it() -> None:
    table = users(constraints=(KEY, primary_key("id")))
    referencing = orders(foreign_key("f", "email", USERS, "email"))
    asked, here = drop_unique(table, referencing)
    needed = ["foreign key f of public.orders needs unique constraint users_email_key of public.users; drop it first"]
    assert list(asked.problems(here)) == needed
    known = {(ORDERS, "f"): "users_email_key"}
    assert list(asked.problems(ctx(table, referencing, foreign_key_indexes=known))) == needed
    another = {(ORDERS, "f"): "another_index"}
    assert list(asked.problems(ctx(table, referencing, foreign_key_indexes=another))) == []
    assert list(asked.problems(ctx(table, orders(FK)))) == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("users_emial_key", "unique constraint users_emial_key of public.users does not exist (did you mean users_email_key?)"),
        ("users_pkey", "constraint users_pkey of public.users is no UNIQUE constraint but primary key"),
        ("code", "code of public.users is an index, not a constraint; use dropIndex"),
    ],
)  # fmt: skip
def test_what_is_no_unique_constraint(name: str, expected: str) -> None:
    asked, here = drop_unique(users(constraints=(KEY, primary_key("id")), indexes=(CODE,)), name=name)
    assert list(asked.problems(here)) == [expected]
    assert asked.project(here) == here.graph
    with pytest.raises(SpecError, match=name):
        asked.undo(here)


def test_an_inherited_unique_constraint_is_dropped_from_the_table() -> None:
    table, part = partitioned(users(), KEY)
    asked = step("dropUnique", table="part", name=KEY.name)
    known = {("public", KEY.name): "public.users_email_key"}
    assert list(asked.problems(ctx(table, part, parent_indexes=known))) == [
        "constraint users_email_key of public.part is inherited from public.users_email_key; drop that of public.users"
    ]
    whole, here = drop_unique(table, part)
    (drop,) = whole.statements(here)
    assert drop.on == (USERS, part.key)
    assert whole.undo(here) == Undo(refused="public.users is partitioned; no constraint can be added to it online")
    renamed = replace(part, constraints=(replace(KEY, name="part_email_key"), primary_key("id")))
    assert [t.constraints for t in projected(whole, table, renamed).tables] == [(primary_key("id"),)] * 2


def test_a_temporal_constraint_does_not_come_back() -> None:
    temporal = replace(KEY, definition="UNIQUE (email, span WITHOUT OVERLAPS)")
    asked, here = drop_unique(users(constraints=(temporal,)))
    assert "WITHOUT OVERLAPS" in asked.undo(here).refused


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"index_scans": {("public", "users_email_key"): 0}}, []),
        ({"index_scans": {("public", "users_email_key"): 12}}, [("medium", "drops_hot_index")]),
        ({"index_scans": {("public", "users_email_key"): 1000}}, [("high", "drops_hot_index")]),
        ({"replica_identities": frozenset({("public", "users_email_key")})}, [("medium", "replication_impact")]),
        ({"replica_identities": frozenset({("public", "users_email_key")}), "published": frozenset({USERS})},
         [("high", "published_without_replica_identity")]),
    ],
)  # fmt: skip
def test_what_goes_with_an_index_is_found(changes: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    asked, here = drop_unique(users(constraints=(KEY,)), **changes)
    found = list(asked.findings(here))[1:]
    assert brief(found) == expected
    assert all("public.users_email_key" in f.why and f.safer for f in found)
    identity = [s.sql for s in asked.undo(here).statements[2:]]
    again = ['ALTER TABLE "public"."users" REPLICA IDENTITY USING INDEX "users_email_key"']
    assert identity == (again if "replica_identities" in changes else [])


def test_the_number_of_scans_is_said() -> None:
    asked, here = drop_unique(users(constraints=(KEY,)), index_scans={("public", "users_email_key"): 12})
    assert "scanned 12 times" in list(asked.findings(here))[1].why


# dropIndex


def drop_index(index: Index, *, table: Table | None = None, **changes: Any) -> tuple[Operation, StepContext]:
    return step("dropIndex", name="code"), ctx(replace(table or users(), indexes=(index,)), **changes)


def test_an_index_is_dropped_concurrently_and_built_again() -> None:
    asked, here = drop_index(CODE)
    (drop,) = asked.statements(here)
    assert (drop.sql, drop.lock, drop.transactional) == (
        'DROP INDEX CONCURRENTLY "public"."code"',
        Lock.SHARE_UPDATE_EXCLUSIVE,
        False,
    )
    undo = asked.undo(here)
    assert [s.sql for s in undo.statements] == ["CREATE INDEX CONCURRENTLY code ON public.users USING btree (email)"]
    assert undo.probes == ()
    assert list(asked.problems(here)) == []
    assert brief(asked.findings(here)) == [("low", "drops_index")]
    assert projected(asked, *here.graph.tables).tables[0].indexes == ()
    assert asked.target(here) == "public.code"


def test_a_unique_index_comes_back_if_there_are_no_duplicates() -> None:
    asked, here = drop_index(UNIQUE_CODE)
    assert probed(asked.undo(here).probes)[0] == "public.users has duplicates in (email)"
    assert brief(asked.findings(here)) == [("low", "drops_index"), ("medium", "drops_unique_constraint")]
    definition = "CREATE UNIQUE INDEX code ON public.users USING btree (lower(email)) WHERE (age > 1)"
    partial, where = drop_index(replace(UNIQUE_CODE, definition=definition))
    assert "WHERE (lower(email)) IS NOT NULL AND (age > 1) GROUP BY" in probed(partial.undo(where).probes)[1]
    assert list(partial.problems(where)) == []


def test_an_invalid_index_does_not_come_back() -> None:
    asked, here = drop_index(replace(CODE, valid=False))
    assert asked.undo(here) == Undo(refused="index public.code was INVALID; there is nothing to build again")


def test_an_index_too_deep_for_the_parser_is_dropped_but_not_built_again() -> None:
    deep = "(" * 60 + "age" + " + 1)" * 60
    index = replace(UNIQUE_CODE, definition=f"CREATE UNIQUE INDEX code ON public.users USING btree ({deep})")
    asked, here = drop_index(index)
    assert list(asked.problems(here)) == []
    assert asked.undo(here).refused == "the definition of index public.code is too deep to be made CONCURRENTLY"
    table = users(constraints=(), indexes=(index,))
    assert not has_index_for(table, ["age"])
    assert not unique_over(table, ["age"])


def test_an_index_that_is_needed_stays() -> None:
    asked, here = drop_index(CODE, table=users(partition_key="RANGE (id)"))
    assert "which is partitioned" in next(iter(asked.problems(here)))
    part = replace(users(), partition_of=TableKey("public", "whole"))
    asked, here = drop_index(CODE, table=part, parent_indexes={("public", "code"): "public.whole_code"})
    assert list(asked.problems(here)) == [
        "index public.code belongs to public.whole_code of the partitioned table public.whole, which needs it"
    ]
    referencing = orders(foreign_key("f", "email", USERS, "email"))
    needed = step("dropIndex", name="code").problems(ctx(users(indexes=(UNIQUE_CODE,)), referencing))
    assert list(needed) == ["foreign key f of public.orders needs index public.code; drop it first"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cde", "index public.cde does not exist (did you mean code?)"),
        ("users_pkey", "index public.users_pkey is that of a primary key constraint of public.users; it cannot go without it"),
        ("users_email_key", "index public.users_email_key is that of a unique constraint of public.users; use dropUnique"),
        ("rooms", "index public.rooms is that of a exclude constraint of public.users; drop it by rawSql"),
        ("positive", "index public.positive does not exist"),
    ],
)  # fmt: skip
def test_what_is_no_index(name: str, expected: str) -> None:
    kinds = (
        KEY,
        primary_key("id"),
        Constraint("rooms", "exclude", "EXCLUDE USING gist (c WITH &&)"),
        Constraint("positive", "check", "CHECK (true)"),
    )
    here = ctx(users(constraints=kinds, indexes=(CODE,)), replace(users(), schema="other"))
    asked = step("dropIndex", name=name)
    assert list(asked.problems(here)) == [expected]
    assert asked.project(here) == here.graph
    with pytest.raises(SpecError, match=name):
        asked.statements(here)


# addForeignKey


def test_a_foreign_key_is_added_not_valid_and_then_validated() -> None:
    asked = references()
    here = ctx(users(), orders())
    lock, add, validate = asked.statements(here)
    alter = 'ALTER TABLE "public"."orders"'
    assert read([lock, add, validate]) == [
        ("SHARE ROW EXCLUSIVE", 'LOCK TABLE "public"."users" IN SHARE ROW EXCLUSIVE MODE'),
        ("SHARE ROW EXCLUSIVE", f'+ {alter} ADD CONSTRAINT "orders_user_id_fkey" '
         "FOREIGN KEY (user_id) REFERENCES public.users(id) NOT VALID"),
        ("SHARE UPDATE EXCLUSIVE", f'{alter} VALIDATE CONSTRAINT "orders_user_id_fkey"'),
    ]  # fmt: skip
    assert (lock.on, add.on, validate.on) == ((USERS,), (ORDERS, USERS), (ORDERS, USERS))
    assert (add.work, validate.work) == (Work.CATALOG, Work.SCAN)
    assert validate.cleanup == (
        'LOCK TABLE "public"."users" IN ACCESS EXCLUSIVE MODE',
        f'{alter} DROP CONSTRAINT IF EXISTS "orders_user_id_fkey"',
    )
    assert read(asked.undo(here).statements) == [
        ("ACCESS EXCLUSIVE", 'LOCK TABLE "public"."users" IN ACCESS EXCLUSIVE MODE'),
        ("ACCESS EXCLUSIVE", f'+ {alter} DROP CONSTRAINT "orders_user_id_fkey"'),
    ]
    after = projected(asked, *here.graph.tables).table(ORDERS)
    assert after is not None and FK in after.constraints
    assert list(asked.problems(here)) == []
    assert asked.target(here) == "public.orders (user_id)"


def test_a_foreign_key_with_everything_is_defined_as_postgresql_prints_it() -> None:
    asked = references(
        columns=["user_id", "email"], referencesColumns=["id", "email"], match="Full", onDelete="SetDefault",
        onDeleteSetColumns=["email"], onUpdate="Cascade", deferrable=True, initiallyDeferred=True, name="Full one",
    )  # fmt: skip
    found = projected(asked, users(), orders()).table(ORDERS)
    assert found is not None
    assert next(c for c in found.constraints if c.name == "Full one").definition == (
        "FOREIGN KEY (user_id, email) REFERENCES public.users(id, email) MATCH FULL ON UPDATE CASCADE "
        "ON DELETE SET DEFAULT (email) DEFERRABLE INITIALLY DEFERRED"
    )


def test_a_table_that_references_itself_is_locked_once() -> None:
    asked = references(table="users", columns=["age"])
    add, validate = asked.statements(ctx())
    assert (add.with_previous, add.on, validate.on) == (False, (USERS,), (USERS,))
    assert brief(asked.findings(ctx())) == [("medium", "adds_foreign_key")] * 2
    (drop,) = asked.undo(ctx()).statements
    assert drop.on == (USERS,)


def test_partitions_of_both_tables_are_locked() -> None:
    parent, part = partitioned(users())
    lock, add, _ = references().statements(ctx(parent, part, orders()))
    assert (lock.on, add.on) == ((USERS, part.key), (ORDERS, USERS, part.key))


def test_orphans_are_found_by_an_anti_join() -> None:
    here = ctx(users(), orders())
    (probe,) = references().probes(here)
    assert probe.question == "public.orders (user_id) has values that are not in public.users (id)"
    tail = (
        'FROM "public"."orders" AS child WHERE (child."user_id" IS NOT NULL) AND NOT EXISTS '
        '(SELECT 1 FROM "public"."users" AS parent WHERE parent."id" = child."user_id")'
    )
    assert probe.sql == f"SELECT 1 {tail} LIMIT 1"
    assert probe.sample_sql == f'SELECT child."id" {tail} LIMIT 5'
    (keyless,) = references().probes(ctx(users(), orders(columns=(), constraints=())))
    assert keyless.sample_sql == ""


def test_match_decides_which_rows_reference_at_all() -> None:
    both = {"columns": ["user_id", "email"], "referencesColumns": ["id", "email"]}
    simple, full = (references(**both, match=m).probes(ctx(users(), orders())) for m in ("Simple", "Full"))
    assert '(child."user_id" IS NOT NULL AND child."email" IS NOT NULL) AND NOT EXISTS' in probed(simple)[1]
    assert '(child."user_id" IS NOT NULL OR child."email" IS NOT NULL) AND NOT EXISTS' in probed(full)[1]


def test_texts_are_compared_by_the_collation_of_the_referenced_column() -> None:
    asked = references(columns=["email"], referencesColumns=["email"])
    parent = users(columns=(ID, replace(EMAIL, collation='"de_DE"')))
    assert 'parent."email" = child."email" COLLATE "de_DE"' in probed(asked.probes(ctx(parent, orders())))[1]
    same = orders(columns=(), constraints=())
    same = replace(same, columns=(replace(EMAIL, collation='"de_DE"'),))
    assert "COLLATE" not in probed(asked.probes(ctx(parent, same)))[1]


def test_a_missing_index_is_found_with_the_step_that_mends_it() -> None:
    found = list(references(schema="public").findings(ctx(users(), orders())))
    assert brief(found) == [
        ("medium", "adds_foreign_key"),
        ("low", "locks_second_table"),
        ("medium", "adds_foreign_key"),
    ]
    assert found[-1].safer == "- addIndex: {schema: public, table: orders, columns: [user_id]}"
    indexed = orders(indexes=(Index("i", "CREATE INDEX i ON public.orders USING btree (user_id, email)"),))
    assert len(list(references().findings(ctx(users(), indexed)))) == 2


@pytest.mark.parametrize(
    ("definition", "valid", "fits"),
    [
        ("CREATE INDEX i ON s.t USING btree (b, a, c)", True, True),
        ("CREATE INDEX i ON s.t USING btree (b, a)", False, False),
        ("CREATE INDEX i ON s.t USING btree (b, c, a)", True, False),
        ("CREATE INDEX i ON s.t USING btree (a, b) WHERE (c > 1)", True, False),
        ("CREATE INDEX i ON s.t USING brin (a, b)", True, False),
        ("CREATE INDEX i ON s.t USING btree (lower(a), b)", True, False),
    ],
)
def test_which_index_finds_the_referencing_rows(definition: str, valid: bool, fits: bool) -> None:
    table = users(indexes=(Index("i", definition, valid=valid),))
    assert has_index_for(table, ["a", "b"]) is fits
    assert has_index_for(users(constraints=(unique("b", "a", "c"),)), ["a", "b"])
    temporal = unique("a", "b", definition="UNIQUE (a, b WITHOUT OVERLAPS)")
    assert not has_index_for(users(constraints=(temporal, FK)), ["a", "b"])


@pytest.mark.parametrize(
    ("definition", "changes", "fits"),
    [
        ("CREATE UNIQUE INDEX i ON s.t USING btree (b, a) INCLUDE (c)", {}, True),
        ("CREATE UNIQUE INDEX i ON s.t USING btree (b, a)", {"valid": False}, False),
        ("CREATE INDEX i ON s.t USING btree (b, a)", {"unique": False}, False),
        ("CREATE UNIQUE INDEX i ON s.t USING btree (b, a) WHERE (c > 1)", {}, False),
        ("CREATE UNIQUE INDEX i ON s.t USING btree (b, a, c)", {}, False),
        ("CREATE UNIQUE INDEX i ON s.t USING btree (b, lower(a))", {}, False),
    ],
)
def test_which_index_can_be_referenced(definition: str, changes: dict[str, Any], fits: bool) -> None:
    table = users(constraints=(FK,), indexes=(Index("i", definition, **{"unique": True, **changes}),))
    assert unique_over(table, ["a", "b"]) is fits


@pytest.mark.parametrize(
    ("definition", "fits"),
    [
        ("UNIQUE (b, a)", True),
        ("UNIQUE (b, a) DEFERRABLE", False),
        ("UNIQUE (b, a WITHOUT OVERLAPS)", False),
    ],
)
def test_which_constraint_can_be_referenced(definition: str, fits: bool) -> None:
    assert unique_over(users(constraints=(unique("b", "a", definition=definition),)), ["a", "b"]) is fits


@pytest.mark.parametrize(
    ("ours", "theirs", "answer"),
    [
        ("integer", "bigint", True),
        ("text", "bigint", False),
        ("numeric(10,2)", "numeric(12,2)", True),
        ("numeric", "bigint", False),
        ("character varying(20)", "text", True),
        ("integer[]", "bigint[]", False),
        ("public.mood", "text", False),
        ("public.mood", "public.mood", True),
        ("public.positive", "integer", None),
        ("integer", "public.positive", None),
    ],
)
def test_which_types_can_reference_each_other(ours: str, theirs: str, answer: bool | None) -> None:
    known = SchemaGraph(enums=(EnumType("public", "mood", ("sad",)),))
    assert comparable(known, ours, theirs) is answer


@pytest.mark.parametrize(
    ("arguments", "tables", "expected"),
    [
        ({"referencesTable": "usres"}, (users(), orders()), "table public.usres does not exist (did you mean users?)"),
        ({"columns": ["usr_id"]}, (users(), orders()), "column public.orders.usr_id does not exist (did you mean user_id?)"),
        ({"referencesColumns": ["idd"]}, (users(), orders()), "column public.users.idd does not exist (did you mean id?)"),
        ({"columns": ["email"], "referencesColumns": ["email"]}, (users(), orders()),
         "nothing makes (email) of public.users unique: a foreign key needs a primary key, or a unique constraint or index "
         "of exactly these columns that is neither deferrable nor partial; addUnique first"),
        ({"columns": ["email"]}, (users(), orders()),
         "column public.orders.email (text) cannot reference public.users.id (bigint): PostgreSQL has no equality of the "
         "two; give them the same type"),
        ({}, (users(persistence="unlogged"), orders()),
         "public.users is unlogged; public.orders, which is not, cannot reference it"),
        ({"name": "orders_pkey"}, (users(), orders()),
         "a constraint named orders_pkey of public.orders exists already; give the constraint another `name`"),
        ({"name": "_zanith_f"}, (users(), orders()),
         "constraint of public.orders _zanith_f begins with _zanith_, which is kept for what Zanith makes itself"),
        ({"columns": ["id"], "onDelete": "SetNull"}, (users(), orders()),
         "column public.orders.id is NOT NULL, so onDelete cannot be SetNull: it would fail"),
        ({"columns": ["id"], "onUpdate": "SetNull"}, (users(), orders()),
         "column public.orders.id is NOT NULL, so onUpdate cannot be SetNull: it would fail"),
        ({"columns": ["g"], "onDelete": "SetDefault"}, (users(), orders(columns=(Column("g", "bigint", generated="stored"),))),
         "column public.orders.g is generated and cannot be set, so onDelete cannot be SetDefault"),
        ({"columns": ["g"], "onUpdate": "Cascade"}, (users(), orders(columns=(Column("g", "bigint", generated="stored"),))),
         "column public.orders.g is generated and cannot be set, so onUpdate cannot be Cascade"),
        ({"columns": ["v"]}, (users(), orders(columns=(Column("v", "bigint", generated="virtual"),))),
         "column public.orders.v is a virtual generated column, which cannot reference another table"),
    ],
)  # fmt: skip
def test_what_add_foreign_key_refuses(arguments: dict[str, Any], tables: tuple[Table, ...], expected: str) -> None:
    assert list(references(**arguments).problems(ctx(*tables))) == [expected]


def test_only_the_columns_that_are_set_have_to_allow_null() -> None:
    both = unique("id", "email")
    asked = references(
        columns=["id", "email"], referencesColumns=["id", "email"], onDelete="SetNull", onDeleteSetColumns=["email"]
    )
    assert list(asked.problems(ctx(users(constraints=(both,)), orders()))) == []


def test_before_18_a_partitioned_table_gets_no_foreign_key_online() -> None:
    table, part = partitioned(orders())
    asked = references()
    assert [p[:34] for p in asked.problems(ctx(users(), table, part, version=150018))] == [
        "public.orders is partitioned; Post"
    ]
    assert list(asked.problems(ctx(users(), table, part))) == []
    after = projected(asked, users(), table, part)
    assert all(FK in t.constraints for t in after.tables if t.name != "users")
    taken = replace(part, constraints=(Constraint(FK.name, "check", "CHECK (true)"),))
    assert list(asked.problems(ctx(users(), table, taken))) == [
        "a constraint named orders_user_id_fkey of public.part exists already; give the constraint another `name`"
    ]


# dropForeignKey


def drop_foreign_key(foreign: Constraint = FK, *more: Table, **changes: Any) -> tuple[Operation, StepContext]:
    return step("dropForeignKey", table="orders", name=foreign.name), ctx(users(), orders(foreign), *more, **changes)


def test_a_foreign_key_is_dropped_and_comes_back_as_it_was_added() -> None:
    asked, here = drop_foreign_key()
    alter = 'ALTER TABLE "public"."orders"'
    assert read(asked.statements(here)) == [
        ("ACCESS EXCLUSIVE", 'LOCK TABLE "public"."users" IN ACCESS EXCLUSIVE MODE'),
        ("ACCESS EXCLUSIVE", f'+ {alter} DROP CONSTRAINT "orders_user_id_fkey"'),
    ]
    undo = asked.undo(here)
    assert undo.statements == references().statements(here)
    assert probed(undo.probes)[0] == "public.orders (user_id) has values that are not in public.users (id)"
    assert brief(asked.findings(here)) == [("medium", "drops_foreign_key"), ("medium", "locks_second_table")]
    assert list(asked.problems(here)) == []
    after = projected(asked, *here.graph.tables).table(ORDERS)
    assert after == orders()
    assert asked.target(here) == "public.orders.orders_user_id_fkey"


def test_a_foreign_key_to_a_table_the_graph_leaves_out_comes_back_too() -> None:
    asked = step("dropForeignKey", table="orders", name=FK.name)
    here = ctx(orders(FK))
    assert probed(asked.undo(here).probes)[1].endswith('parent."id" = child."user_id") LIMIT 1')


@pytest.mark.parametrize("state", ["NOT VALID", "NOT ENFORCED"])
def test_what_was_never_validated_comes_back_without(state: str) -> None:
    asked, here = drop_foreign_key(replace(FK, definition=f"{FK.definition} {state}", validated=False))
    undo = asked.undo(here)
    assert undo.probes == ()
    assert [s.sql for s in undo.statements][1:] == [
        f'ALTER TABLE "public"."orders" ADD CONSTRAINT "orders_user_id_fkey" {FK.definition} {state}'
    ]


def test_a_temporal_foreign_key_is_not_probed() -> None:
    text = "FOREIGN KEY (user_id, PERIOD span) REFERENCES public.users(id, PERIOD span)"
    asked, here = drop_foreign_key(replace(FK, definition=text))
    undo = asked.undo(here)
    assert (len(undo.statements), undo.probes) == (3, ())


def test_a_foreign_key_to_itself_locks_one_table() -> None:
    own = foreign_key("f", "user_id", ORDERS)
    asked, here = drop_foreign_key(own)
    assert brief(asked.findings(here)) == [("medium", "drops_foreign_key")]
    assert len(asked.statements(here)) == 1


def test_a_partition_keeps_what_its_table_has() -> None:
    table, part = partitioned(orders(), FK)
    here = ctx(users(), table, part, version=150018)
    assert list(step("dropForeignKey", table="part", name=FK.name).problems(here)) == [
        "constraint orders_user_id_fkey of public.part is inherited; drop that of public.orders"
    ]
    own = replace(part, constraints=(foreign_key("own", "user_id", USERS, "age"),))
    assert list(step("dropForeignKey", table="part", name="own").problems(ctx(users(), table, own))) == []
    whole = step("dropForeignKey", table="orders", name=FK.name)
    assert "partitioned" in whole.undo(here).refused
    after = projected(whole, users(), table, part)
    assert all(FK not in t.constraints for t in after.tables)
    unchecked = replace(FK, definition=f"{FK.definition} NOT VALID")
    table, part = partitioned(orders(), unchecked)
    assert whole.undo(ctx(users(), table, part, version=150018)).refused == ""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("orders_usr_id_fkey", "foreign key orders_usr_id_fkey of public.orders does not exist (did you mean orders_user_id_fkey?)"),
        ("orders_pkey", "constraint orders_pkey of public.orders is no foreign key but primary key"),
    ],
)  # fmt: skip
def test_what_is_no_foreign_key(name: str, expected: str) -> None:
    asked, here = step("dropForeignKey", table="orders", name=name), ctx(users(), orders(FK))
    assert list(asked.problems(here)) == [expected]
    assert asked.project(here) == here.graph
    with pytest.raises(SpecError, match=name):
        asked.statements(here)


def test_names_are_quoted_whatever_they_hold() -> None:
    odd = 'a"b %s {x}'
    table = Table("public", odd, columns=(ID, Column(odd, "text")), constraints=(primary_key("id"),))
    here = ctx(table)
    (build, attach) = step("addUnique", table=odd, columns=[odd], name=odd).statements(here)
    quoted = '"a""b %s {x}"'
    assert build.sql == f'CREATE UNIQUE INDEX CONCURRENTLY {quoted} ON "public".{quoted} ({quoted})'
    assert attach.sql == f'ALTER TABLE "public".{quoted} ADD CONSTRAINT {quoted} UNIQUE USING INDEX {quoted}'
