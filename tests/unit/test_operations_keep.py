"""Tables that are taken away: for good, aside, or into our own schema; and what has to be known around them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from unit.builders import (
    ID,
    MIGRATION,
    USERS,
    brief,
    ctx,
    facts,
    foreign_key,
    graph,
    operation,
    primary_key,
    problems,
    unique,
    users,
)
from unit.builders import plan as planned
from zanith.core.errors import SpecError
from zanith.core.graph import Column, Index, Policy, SchemaGraph, Table, TableSize, Trigger, View
from zanith.core.identifiers import TableKey
from zanith.core.statement import ArtifactDraft, Lock
from zanith.core.surroundings import Dependent, FunctionBody, Publication, TriggerBody
from zanith.operations.step_context import StepContext, Undo

PARENT = Table("public", "parent", columns=(ID,), constraints=(primary_key("id", table="parent"),))
CHILD = Table(
    "public", "child", columns=(ID,), constraints=(foreign_key("f", "id", USERS), foreign_key("g", "id", PARENT.key))
)
PART = users(name="part", partition_of=USERS, constraints=())
WHOLE = users(partition_key="RANGE (id)")
VIEW = View("public", "v", materialized=False, definition_hash="", depends_on=((PARENT.key, "id"), (USERS, "email")))
KEPT = TableKey("public", f"_zanith_dropped_users_{MIGRATION}")
MOVED = TableKey("_zanith_shadow", f"_zanith_archived_public_users_{MIGRATION}")


def why(kind: str, context: StepContext) -> list[tuple[str, str]]:
    return [(f.level.value, f.why) for f in operation(kind).findings(context)]


def executed(kind: str, context: StepContext) -> list[str]:
    return [s.sql for s in operation(kind).statements(context)]


@pytest.mark.parametrize("kind", ["dropTable", "softDropTable", "archiveTable"])
def test_a_table_that_is_not_there_or_not_the_users_is_named(kind: str) -> None:
    asked = operation(kind, table="user")
    assert problems(asked) == ["table public.user does not exist (did you mean users?)"]
    assert problems(asked, extension_tables={TableKey("public", "user"): "postgis"}) == [
        "table public.user belongs to extension postgis and goes with it: dropExtension"
    ]
    (found,) = problems(operation(kind, table="part"), WHOLE, PART)
    assert found.startswith("public.part is a partition of public.users; DETACH it first")
    assert problems(operation(kind)) == []
    assert operation(kind).target(ctx()) == "public.users"


def test_what_needs_a_table_keeps_it_from_being_dropped() -> None:
    views = (VIEW, View("public", "w", materialized=False, definition_hash=""))
    context = ctx(graph=graph(WHOLE, PART, CHILD, views=views), dependents={PART.key: (Dependent("function f(part)"),)})
    assert list(operation("dropTable").problems(context)) == [
        "view public.v reads public.users; drop or change it first",
        "foreign key f of public.child references public.users; drop it first",
        "function f(part) needs public.part; drop or change it first",
    ]
    own = users(constraints=(foreign_key("up", "id", USERS),))
    assert problems(operation("dropTable"), own) == []


def test_a_table_dropped_for_good_locks_what_it_references_first() -> None:
    table = users(constraints=(foreign_key("f", "id", PARENT.key), foreign_key("g", "age", USERS)))
    take, drop = operation("dropTable").statements(ctx(table, PARENT))
    assert (take.sql, take.on) == ('LOCK TABLE "public"."parent" IN ACCESS EXCLUSIVE MODE', (PARENT.key,))
    assert (drop.sql, drop.on, drop.lock, drop.with_previous) == (
        'DROP TABLE "public"."users"',
        (USERS, PARENT.key),
        Lock.ACCESS_EXCLUSIVE,
        True,
    )
    assert brief(operation("dropTable").findings(ctx(table, PARENT))) == [
        ("destructive", "drops_table_with_data"),
        ("medium", "locks_second_table"),
    ]
    (alone,) = operation("dropTable").statements(ctx(WHOLE, PART))
    assert (alone.on, alone.with_previous) == ((USERS, PART.key), False)
    assert operation("dropTable").undo(ctx()) == Undo(refused="public.users was dropped for good; no artifact was kept")
    assert operation("dropTable").project(ctx(WHOLE, PART, PARENT)) == graph(PARENT)


def test_the_safer_way_than_dropping_can_be_pasted() -> None:
    (finding,) = operation("dropTable", table="on", schema="App").findings(ctx(Table("App", "on")))
    assert finding.safer == '- softDropTable: {table: "on", schema: App}'


INDEXED = users(
    constraints=(*users().constraints, unique("email", name="once"), foreign_key("up", "id", USERS)),
    indexes=(Index("by_age", "CREATE INDEX by_age ON public.users USING btree (age)", ("age",)),),
)
HIDDEN = {USERS: ("by_gone",)}


def test_a_soft_dropped_table_is_renamed_with_its_indexes() -> None:
    statements = operation("softDropTable").statements(ctx(INDEXED, hidden_indexes=HIDDEN))
    assert [s.sql for s in statements] == [
        f'ALTER TABLE "public"."users" RENAME TO "{KEPT.name}"',
        f'ALTER INDEX "public"."by_age" RENAME TO "_zanith_dropped_by_age_{MIGRATION}"',
        f'ALTER INDEX "public"."by_gone" RENAME TO "_zanith_dropped_by_gone_{MIGRATION}"',
        f'ALTER INDEX "public"."once" RENAME TO "_zanith_dropped_once_{MIGRATION}"',
        f'ALTER INDEX "public"."users_pkey" RENAME TO "_zanith_dropped_users_pkey_{MIGRATION}"',
    ]
    assert [s.with_previous for s in statements] == [False, True, True, True, True]
    assert {(s.lock, s.on) for s in statements} == {(Lock.ACCESS_EXCLUSIVE, (USERS,))}
    assert [s.artifact is None for s in statements[1:]] == [True] * 4


def test_its_artifact_says_how_to_get_it_back() -> None:
    (first, _) = operation("softDropTable").statements(ctx())
    back = (
        f'ALTER TABLE "public"."{KEPT.name}" RENAME TO "users"',
        f'ALTER INDEX "public"."_zanith_dropped_users_pkey_{MIGRATION}" RENAME TO "users_pkey"',
    )
    assert first.artifact == ArtifactDraft(
        artifact_type="soft_drop_table",
        source_schema="public",
        source_table="users",
        source_column=None,
        physical_name=KEPT.name,
        recovery_sql=";\n".join(back),
    )
    undo = operation("softDropTable").undo(ctx())
    assert [(s.sql, s.on) for s in undo.statements] == [(text, (KEPT,)) for text in back]
    (probe,) = undo.probes
    assert probe.question == "something else has the name public.users by now, or that of one of its indexes"
    assert "'{users,users_pkey}'" in probe.sql


def test_an_archived_table_moves_with_its_indexes_and_sequences() -> None:
    context = ctx(sequences={USERS: ("users_id_seq",)})
    prepared, *statements = executed("archiveTable", context)
    archived = f"_zanith_archived_public_users_pkey_{MIGRATION}", f"_zanith_archived_public_users_id_seq_{MIGRATION}"
    assert prepared.startswith("DO ") and "REVOKE ALL ON SCHEMA" in prepared
    assert statements == [
        f'ALTER TABLE "public"."users" RENAME TO "{MOVED.name}"',
        f'ALTER INDEX "public"."users_pkey" RENAME TO "{archived[0]}"',
        f'ALTER SEQUENCE "public"."users_id_seq" RENAME TO "{archived[1]}"',
        f'ALTER TABLE "public"."{MOVED.name}" SET SCHEMA "_zanith_shadow"',
    ]
    assert [s.sql for s in operation("archiveTable").undo(context).statements] == [
        f'ALTER TABLE "_zanith_shadow"."{MOVED.name}" SET SCHEMA "public"',
        f'ALTER TABLE "public"."{MOVED.name}" RENAME TO "users"',
        f'ALTER INDEX "public"."{archived[0]}" RENAME TO "users_pkey"',
        f'ALTER SEQUENCE "public"."{archived[1]}" RENAME TO "users_id_seq"',
    ]
    draft = operation("archiveTable").statements(context)[0].artifact
    assert draft is not None
    assert (draft.artifact_type, draft.physical_name) == ("archive_table", MOVED.name)


@pytest.mark.parametrize(("kind", "aside"), [("softDropTable", KEPT), ("archiveTable", MOVED)])
def test_the_graph_loses_sight_of_it_and_foreign_keys_follow(kind: str, aside: TableKey) -> None:
    context = ctx(graph=graph(INDEXED, CHILD, PARENT, views=(VIEW,)))
    asked = operation(kind)
    after = asked.project(context)
    child = after.table(CHILD.key)
    assert child is not None and after.table(USERS) is None
    assert child.constraints == (
        replace(CHILD.constraints[0], references=aside, definition=f"FOREIGN KEY (id) REFERENCES {aside}(id)"),
        CHILD.constraints[1],
    )
    assert after.views == (replace(VIEW, depends_on=((PARENT.key, "id"),)),)
    assert asked.moves(context) == {USERS: aside}


@pytest.mark.parametrize("kind", ["softDropTable", "archiveTable"])
def test_partitions_go_with_their_table(kind: str) -> None:
    context = ctx(WHOLE, PART)
    asked = operation(kind)
    assert asked.project(context).tables == ()
    assert set(asked.moves(context)) == {USERS, PART.key}
    assert {s.on for s in asked.statements(context)} == {(USERS, PART.key)}
    assert len(asked.undo(context).probes) == 2


def test_what_goes_on_through_a_kept_table_is_said() -> None:
    table = users(
        constraints=(
            *users().constraints,
            foreign_key("kept", "age", PARENT.key),
            replace(
                foreign_key("gone", "age", PARENT.key),
                definition="FOREIGN KEY (age) REFERENCES public.parent(id) ON DELETE CASCADE",
            ),
            foreign_key("own", "age", USERS),
        )
    )
    known = ctx(
        graph=graph(table, CHILD, PARENT, views=(VIEW, replace(VIEW, name="w", depends_on=()))),
        publications={USERS: (Publication("p"), Publication("q"))},
    )
    assert why("softDropTable", known) == [
        ("medium", f"queries that name public.users fail from now on; its data is kept as {KEPT}"),
        ("medium", "view public.v goes on showing the rows of public.users"),
        ("medium", "foreign key f of public.child goes on: its rows must still match rows of public.users"),
        (
            "medium",
            "foreign key kept of public.users to public.parent goes on: rows that kept ones reference cannot be deleted there",
        ),
        (
            "medium",
            "foreign key gone of public.users to public.parent goes on: rows that are kept go or change with them",
        ),
        (
            "medium",
            "public.users is published (p, q): its subscribers meet it under another name if it is ever written again",
        ),
    ]
    found = list(operation("archiveTable").findings(known))
    assert brief(found)[0] == ("medium", "archives_table")
    assert found[2].safer == "- dropForeignKey: {schema: public, table: child, name: f}"


def test_code_that_names_the_table_is_said() -> None:
    names = FunctionBody("public.own", "UPDATE Users SET x = 1")
    sources = (
        names,
        FunctionBody("public.of_child", "SELECT FROM users"),
        FunctionBody("public.reads", "SELECT FROM public.users"),
        FunctionBody("public.other", "SELECT FROM users_old, old_users, users$"),
    )
    bodies = {
        USERS: (TriggerBody("t", names.source),),
        CHILD.key: (TriggerBody("check_it", sources[1].source), TriggerBody("harmless", "RETURN new")),
    }
    known = ctx(users(), CHILD, functions=sources, trigger_bodies=bodies)
    assert why("softDropTable", known)[2:] == [
        ("high", "trigger check_it of public.child names users: if that is the table, writes fail with it"),
        ("medium", "function public.reads names users: if that is the table, calls fail from now on"),
    ]
    many = tuple(FunctionBody(f"f{n}", f"users {n}") for n in range(7))
    assert why("dropTable", ctx(functions=many))[1][1].startswith("function f0, f1, f2, f3, f4 and 2 more names users")


def test_a_name_in_mixed_case_is_only_found_as_it_is_written() -> None:
    known = ctx(Table("public", "Users"), functions=(FunctionBody("a", "users"), FunctionBody("b", 'FROM "Users"')))
    found = [f.why for f in operation("dropTable", table="Users").findings(known)]
    assert found[1:] == ["function b names Users: if that is the table, calls fail from now on"]


def column_findings(column: str, table: Table, kind: str = "softDropColumn", **changes: Any) -> list[tuple[str, str]]:
    known = ctx(table, **changes)
    return [(f.level.value, f.why) for f in operation(kind, column=column).findings(known)][1:]


def test_a_soft_dropped_column_that_inserts_cannot_do_without_is_high() -> None:
    table = users(
        Column("state", "text", default="'new'::text"),
        Column("code", "public.code"),
        constraints=(
            replace(unique("email", name="c"), kind="check", definition="CHECK ((email IS NOT NULL))"),
            replace(unique("state", name="d"), kind="check", definition="CHECK ((state IS NOT NULL))"),
            replace(
                foreign_key("full", "email", PARENT.key),
                columns=("email", "age"),
                definition="FOREIGN KEY (email, age) REFERENCES public.parent(a, b) MATCH FULL",
            ),
        ),
        policies=(Policy("mine", "ALL", True, ("public",), "(email = CURRENT_USER)"),),
    )
    assert column_findings("email", table) == [
        ("high", "CHECK c names public.users.email; rows inserted without it are checked with NULL"),
        ("high", "foreign key full is MATCH FULL over public.users.email: rows inserted without it fail"),
        ("high", "policy mine of public.users uses public.users.email: rows inserted without it are judged by NULL"),
    ]
    assert column_findings("state", table) == [
        ("medium", "CHECK d names public.users.state; rows inserted without it are checked with its default")
    ]
    assert column_findings("code", table, constrained_domains=frozenset({"public.code"})) == [
        (
            "high",
            "public.users.code is of the domain public.code, whose constraints hold for the NULL of rows inserted without it",
        )
    ]


def test_rows_that_cannot_be_referenced_any_more_are_said() -> None:
    child = replace(CHILD, constraints=(foreign_key("f", "id", USERS, "email"), foreign_key("g", "id", USERS)))
    table = users(constraints=(foreign_key("own", "age", USERS, "email"),))
    assert column_findings("email", table, graph=graph(table, child)) == [
        (
            "high",
            "foreign key f of public.child references public.users.email: no row inserted without it can be referenced",
        )
    ]


def test_subscribers_of_a_soft_dropped_column_are_said() -> None:
    uses = (
        Publication("all"),
        Publication("listed", ("id", "email")),
        Publication("others", ("id",)),
        Publication("chosen", ("id",), "(email IS NOT NULL)"),
    )
    found = column_findings("email", users(), publications={USERS: uses})
    aside = f"_zanith_dropped_email_{MIGRATION}"
    assert [level for level, _ in found] == ["high", "high", "high"]
    assert found[0][1] == (
        f"publication all publishes public.users.email: subscribers get it as {aside} from now on, and stop until they "
        "have a column of that name"
    )
    assert found[2][1].startswith("publication chosen chooses rows by public.users.email")


def test_code_that_names_a_column_is_said() -> None:
    trigger = TriggerBody("t", "new.EMAIL := lower(new.email)")
    functions = (
        FunctionBody("public.t", trigger.source),
        FunctionBody("public.both", "SELECT email FROM users"),
        FunctionBody("public.one", "SELECT email FROM others"),
    )
    known: dict[str, Any] = {"trigger_bodies": {USERS: (trigger,)}, "functions": functions}
    expected = [
        (
            "high",
            "trigger t of public.users names email: if that is the column, writes to public.users fail from now on",
        ),
        ("medium", "function public.both names users and email: if that is the column, calls fail from now on"),
    ]
    assert column_findings("email", users(), **known) == expected
    assert column_findings("email", users(), "dropColumn", **known) == expected
    assert column_findings("age", users(), **known) == []


def test_a_column_of_the_replica_identity_stays_required() -> None:
    table = users(indexes=(Index("by_age", "CREATE UNIQUE INDEX by_age ON users (age)", ("age",), unique=True),))
    chosen = frozenset({("public", "by_age")})
    assert problems(operation("softDropColumn", column="age"), table, replica_identities=chosen) == [
        "public.users.age is part of the replica identity and cannot become nullable; ALTER TABLE ... REPLICA IDENTITY first"
    ]
    published: dict[str, Any] = {"published": frozenset({USERS})}
    lost = "public.users is published and loses its replica identity with {}: every UPDATE and DELETE of it fails"
    found = column_findings("age", table, "dropColumn", replica_identities=chosen, **published)
    assert found == [("high", lost.format("age"))]
    assert column_findings("id", table, "dropColumn", **published) == [("high", lost.format("id"))]
    assert column_findings("email", table, "dropColumn", **published) == []
    assert column_findings("email", users(constraints=()), "dropColumn", **published) == []


def test_what_names_a_column_elsewhere_keeps_it_from_being_dropped() -> None:
    dependents = {
        USERS: (Dependent("policy p on public.pol", needs=("email",)), Dependent("function f", needs=("id",)))
    }
    uses = {USERS: (Publication("listed", ("email",)), Publication("chosen", (), "(email > 'a')"), Publication("all"))}
    assert problems(operation("dropColumn", column="email"), dependents=dependents, publications=uses) == [
        "policy p on public.pol uses public.users.email; change it first",
        "publication listed names public.users.email; change the publication first",
        "publication chosen names public.users.email; change the publication first",
    ]


def test_a_published_table_whose_updates_fail_is_not_backfilled() -> None:
    known = {"without_replica_identity": frozenset({USERS}), "publications": {USERS: (Publication("p"),)}}
    (problem,) = problems(operation("backfill", set={"email": "'x'"}, where="true"), **known)
    assert problem.startswith("table public.users is published (p) without a replica identity that covers it")
    volatile = operation("addColumn", column="u", type="uuid", default="gen_random_uuid()")
    assert problems(volatile, **known) == [problem]
    assert problems(operation("addColumn", column="u", type="uuid"), **known) == []


def test_standbys_and_triggers_of_partitions_are_said_of_a_backfill() -> None:
    fires = Trigger("fires", "CREATE TRIGGER", on_update=True)
    known = ctx(
        replace(WHOLE, triggers=(fires,)), replace(PART, triggers=(fires, replace(fires, name="mine"))), standbys=1
    )
    found = list(operation("backfill", set={"email": "'x'"}, where="true").findings(known))
    assert [(f.level.value, f.why) for f in found[1:]] == [
        ("medium", "trigger fires of public.users fires for every row changed"),
        ("medium", "trigger mine of public.part fires for every row changed"),
        (
            "low",
            "every row of public.users that is written goes to 1 standby or subscriber too; they may fall behind",
        ),
    ]
    two = operation("backfill", set={"email": "'x'"}, where="true").findings(ctx(standbys=2))
    assert [f.why for f in two][1] == (
        "every row of public.users that is written goes to 2 standbys or subscribers too; they may fall behind"
    )


def test_another_table_of_the_name_is_not_taken_for_the_old_one() -> None:
    size = {USERS: TableSize(10**9, 10**12), CHILD.key: TableSize(1, 1)}
    known = facts(
        users(),
        replace(CHILD, constraints=CHILD.constraints[:0]),
        sizes=size,
        published=frozenset({USERS}),
        without_replica_identity=frozenset({USERS}),
        publications={USERS: (Publication("p"),)},
        not_null_names={(USERS, "id"): "n", (CHILD.key, "id"): "m"},
        trigger_bodies={USERS: (TriggerBody("t", ""),)},
    )
    again = {"createTable": {"table": "users", "columns": [{"name": "id", "type": "bigint"}], "primaryKey": ["id"]}}
    filled = {"backfill": {"table": "users", "set": {"twin": "1"}, "where": "true"}}
    added = {"addColumn": {"table": "users", "column": "twin", "type": "bigint"}}
    made = planned({"softDropTable": {"table": "users"}}, again, added, filled, of=known)
    assert [s.level.value for s in made.steps] == ["medium", "safe", "safe", "medium"]
    after = known.after(SchemaGraph(tables=(CHILD,)), {USERS: KEPT})
    assert (after.sizes, after.published, after.not_null_names) == (
        {CHILD.key: size[CHILD.key]},
        frozenset(),
        {(CHILD.key, "id"): "m"},
    )


def test_a_table_that_a_kept_one_references_cannot_be_dropped() -> None:
    aside = "foreign key {} of public._zanith_dropped_child_20260328_m, which is kept aside"
    with pytest.raises(SpecError, match=aside.format("g")):
        planned(
            {"softDropTable": {"table": "child"}}, {"dropTable": {"table": "parent"}}, of=facts(users(), CHILD, PARENT)
        )


def test_what_an_earlier_step_takes_away_needs_nothing_any_more() -> None:
    pol = Table("public", "pol", columns=(ID, Column("a", "citext")), policies=(Policy("p", "ALL", True, ("public",)),))
    dependents = (
        Dependent("policy p on public.pol", pol.key, policy="p"),
        Dependent("column public.pol.a", pol.key, column="a"),
        Dependent("table public.child", CHILD.key),
        Dependent("table of others", TableKey("x", "y")),
        Dependent("function f"),
    )
    known = facts(users(), pol, CHILD, dependents={USERS: dependents}, extension_users={"citext": dependents})

    def left(after: SchemaGraph, moves: dict[TableKey, TableKey] | None = None) -> list[int]:
        found = known.after(after, moves or {})
        assert found.dependents[USERS] == found.extension_users["citext"]
        return [dependents.index(d) for d in found.dependents[USERS]]

    assert left(known.graph) == [0, 1, 2, 3, 4]
    assert left(known.graph.without_table(CHILD.key)) == [0, 1, 3, 4]
    assert left(known.graph.with_table(replace(pol, policies=()))) == [1, 2, 3, 4]
    assert left(known.graph.with_table(pol.without_column("a"))) == [0, 2, 3, 4]
    assert left(known.graph.without_table(pol.key), {pol.key: TableKey("public", "_zanith_dropped_pol")}) == [
        0,
        1,
        2,
        3,
        4,
    ]
