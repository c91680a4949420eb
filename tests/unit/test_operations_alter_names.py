"""renameTable, renameColumn and addGeneratedColumn; and what definitions say once something has another name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import yaml

from unit.builders import USERS, brief, ctx, facts, foreign_key, graph, operation, plan, primary_key, problems, users
from zanith.core.errors import SpecError
from zanith.core.graph import Column, Constraint, EnumType, Index, Policy, Table, TableSize, Trigger, View
from zanith.core.identifiers import TableKey
from zanith.core.mentions import Token
from zanith.core.risk import RiskLevel
from zanith.core.statement import Lock, Statement, Work
from zanith.core.surroundings import FunctionBody, Publication, TriggerBody
from zanith.operations.advice import as_yaml
from zanith.operations.operation import Operation
from zanith.operations.renaming import column_renamed, statement_renamed, table_renamed

PEOPLE = TableKey("public", "people")
T = '"public"."users"'
DEEP = "CHECK (((email || " + " || ".join(["'a'::text"] * 120) + ") <> ''::text))"


def rename(**arguments: Any) -> Operation:
    return operation("renameTable", **{"newName": "people", **arguments})


def rename_column(**arguments: Any) -> Operation:
    return operation("renameColumn", **{"column": "email", "newName": "mail", **arguments})


def generated(**arguments: Any) -> Operation:
    given = {"column": "low", "type": "text", "expression": "lower(email)", "storage": "Stored"}
    return operation("addGeneratedColumn", **{**given, **arguments})


# Definitions under a rename


def renamed(kind: str, text: str, *, old: str = "email", new: str = "mail") -> str:
    """A definition of `users`, printed before and after a column of it is renamed."""
    parts: dict[str, Any] = {
        "index": {"indexes": (Index("i", text, (old,)),)},
        "trigger": {"triggers": (Trigger("t", text),)},
        "constraint": {"constraints": (Constraint("c", "check", text, (old,)),)},
        "policy": {"policies": (Policy("p", "ALL", True, ("public",), using=text),)},
        "partition_key": {"partition_key": text},
        "generated": {},
    }
    made = Column("g", "text", default=text, generated="stored") if kind == "generated" else Column("g", "text")
    table = column_renamed(graph(users(made, **parts[kind])), USERS, old, new).table(USERS)
    assert table is not None
    found: dict[str, list[Any]] = {
        "index": [i.definition for i in table.indexes],
        "trigger": [t.definition for t in table.triggers],
        "constraint": [c.definition for c in table.constraints],
        "policy": [p.using for p in table.policies],
        "partition_key": [table.partition_key],
        "generated": [table.columns[-1].default],
    }
    return str(found[kind][0])


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        ("index", "CREATE INDEX email ON public.users USING btree (email DESC, lower(email), ((email || age))) INCLUDE (email) "
                  "WITH (fillfactor='70') WHERE (email <> 'email'::text)",
         "CREATE INDEX email ON public.users USING btree (mail DESC, lower(mail), ((mail || age))) INCLUDE (mail) "
         "WITH (fillfactor='70') WHERE (mail <> 'email'::text)"),
        ("constraint", "UNIQUE NULLS NOT DISTINCT (age, email) INCLUDE (email)",
         "UNIQUE NULLS NOT DISTINCT (age, mail) INCLUDE (mail)"),
        ("constraint", "PRIMARY KEY (id, email WITHOUT OVERLAPS)", "PRIMARY KEY (id, mail WITHOUT OVERLAPS)"),
        ("constraint", "FOREIGN KEY (id, PERIOD email) REFERENCES public.a(email, PERIOD email)",
         "FOREIGN KEY (id, PERIOD mail) REFERENCES public.a(email, PERIOD email)"),
        ("constraint", "FOREIGN KEY (email) REFERENCES public.email(email) ON DELETE SET NULL (email)",
         "FOREIGN KEY (mail) REFERENCES public.email(email) ON DELETE SET NULL (mail)"),
        ("constraint", "EXCLUDE USING gist (email WITH =, lower(email) WITH =) WHERE (email IS NOT NULL)",
         "EXCLUDE USING gist (mail WITH =, lower(mail) WITH =) WHERE (mail IS NOT NULL)"),
        ("constraint", "CHECK (((email)::public.email IS NOT NULL))", "CHECK (((mail)::public.email IS NOT NULL))"),
        ("constraint", "NOT NULL email NOT VALID", "NOT NULL mail NOT VALID"),
        ("trigger", "CREATE TRIGGER email BEFORE INSERT OR UPDATE OF age, email OR DELETE ON public.users FOR EACH ROW "
                    "WHEN ((old.email IS DISTINCT FROM new.email)) EXECUTE FUNCTION public.email('email')",
         "CREATE TRIGGER email BEFORE INSERT OR UPDATE OF age, mail OR DELETE ON public.users FOR EACH ROW "
         "WHEN ((old.mail IS DISTINCT FROM new.mail)) EXECUTE FUNCTION public.email('email')"),
        ("trigger", "CREATE TRIGGER t BEFORE UPDATE OF email, age ON public.users FOR EACH ROW EXECUTE FUNCTION f()",
         "CREATE TRIGGER t BEFORE UPDATE OF mail, age ON public.users FOR EACH ROW EXECUTE FUNCTION f()"),
        ("policy", "((email = CURRENT_USER) AND (EXISTS ( SELECT 1 FROM public.a x WHERE (x.email = users.email))))",
         "((mail = CURRENT_USER) AND (EXISTS ( SELECT 1 FROM public.a x WHERE (x.email = users.mail))))"),
        ("policy", "(id IN ( SELECT users_1.email FROM public.users users_1))",
         "(id IN ( SELECT users_1.mail AS email FROM public.users users_1))"),
        ("partition_key", "RANGE (email, lower(email), ((email || 'x'::text)))",
         "RANGE (mail, lower(mail), ((mail || 'x'::text)))"),
        ("generated", "(email || ' email'::text)", "(mail || ' email'::text)"),
    ],
)  # fmt: skip
def test_a_column_is_renamed_where_it_is_meant_and_nowhere_else(kind: str, before: str, after: str) -> None:
    assert renamed(kind, before) == after
    assert renamed(kind, after, old="mail", new="email") == before


def test_names_are_quoted_as_postgresql_does_and_found_by_what_they_mean() -> None:
    before = 'CREATE INDEX i ON public.users USING btree ("Ü ""x""", lower("Ü ""x"""), a) WHERE ("Ü ""x""" <> \'Ü "x"\'::text)'
    after = 'CREATE INDEX i ON public.users USING btree ("order", lower("order"), a) WHERE ("order" <> \'Ü "x"\'::text)'
    assert renamed("index", before, old='Ü "x"', new="order") == after
    assert Token(0, 1, "UNIQUE").name is None
    assert Token(0, 3, '"a"').name == "a"


def test_foreign_keys_and_policies_of_others_follow_a_column() -> None:
    incoming = foreign_key("fk", "email", USERS, "email")
    policy = Policy("p", "ALL", True, ("public",), with_check="((email IS NULL) OR (EXISTS ( SELECT 1 FROM public.users "
                    "WHERE (users.email = logs.email))))")  # fmt: skip
    other = Table("public", "logs", (Column("email", "text"),), (incoming, primary_key("email")), policies=(policy,))
    itself = foreign_key("own", "email", USERS, "email")
    after = column_renamed(graph(users(constraints=(itself,)), other), USERS, "email", "mail")
    logs, own = after.table(other.key), after.table(USERS)
    assert logs is not None and own is not None
    assert [c.definition for c in logs.constraints] == [
        "FOREIGN KEY (email) REFERENCES public.users(mail)", "PRIMARY KEY (email)"
    ]  # fmt: skip
    assert logs.policies[0].with_check == (
        "((email IS NULL) OR (EXISTS ( SELECT 1 FROM public.users WHERE (users.mail = logs.email))))"
    )
    assert own.constraints[0] == replace(
        itself, definition="FOREIGN KEY (mail) REFERENCES public.users(mail)", columns=("mail",)
    )


def test_a_table_is_renamed_wherever_it_is_named() -> None:
    keys = (foreign_key("fk", "id", USERS), Constraint("w", "check", "CHECK ((users.* IS NOT NULL))"))
    table = users(
        constraints=keys,
        indexes=(Index("users", "CREATE INDEX users ON ONLY public.users USING btree (id)", ("id",)),),
        policies=(
            Policy("p", "ALL", True, ("public",), using="(id IN ( SELECT users_1.id FROM public.users users_1))"),
        ),
        partition_key="LIST (id)",
    )
    policies = (
        Policy(
            "p", "ALL", True, ("public",), using="(EXISTS ( SELECT 1 FROM public.users WHERE (users.id = logs.users)))"
        ),
        Policy("q", "ALL", True, ("public",), using="(EXISTS ( SELECT users.id FROM other.users))"),
        Policy("r", "ALL", True, ("public",), using="(EXISTS ( SELECT users.id FROM public.users x, public.a users))"),
    )
    index = Index("i", "CREATE INDEX i ON public.logs USING btree (users)", ("users",))
    part = Table(
        "public", "logs", (Column("users", "bigint"),), keys[:1], (index,), policies=policies, partition_of=USERS
    )
    views = (View("public", "v", False, "h", ((USERS, "id"), (part.key, "users"))),)
    after = table_renamed(replace(graph(table, part), views=views), USERS, "people")
    assert [t.key for t in after.tables] == [part.key, PEOPLE]
    logs, people = after.tables
    assert (logs.partition_of, logs.constraints[0].references) == (PEOPLE, PEOPLE)
    assert [c.definition for c in people.constraints] == [
        "FOREIGN KEY (id) REFERENCES public.people(id)", "CHECK ((people.* IS NOT NULL))"
    ]  # fmt: skip
    assert people.indexes[0].definition == "CREATE INDEX users ON ONLY public.people USING btree (id)"
    assert people.policies[0].using == "(id IN ( SELECT users_1.id FROM public.people users_1))"
    assert [p.using for p in logs.policies] == [
        "(EXISTS ( SELECT 1 FROM public.people WHERE (people.id = logs.users)))",
        "(EXISTS ( SELECT users.id FROM other.users))",
        "(EXISTS ( SELECT users.id FROM public.people x, public.a users))",
    ]
    assert after.views[0].depends_on == ((part.key, "users"), (PEOPLE, "id"))


def test_recovery_sql_follows_its_table() -> None:
    back = 'ALTER TABLE "public"."users" RENAME COLUMN "users" TO "email"'
    assert (
        statement_renamed(back, USERS, "my people")
        == 'ALTER TABLE "public"."my people" RENAME COLUMN "users" TO "email"'
    )
    assert statement_renamed(back, PEOPLE, "x") == back


# renameTable


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (rename(table="user"), "table public.user does not exist (did you mean users?)"),
        (rename(newName="users"), "table public.users has that name already"),
        (rename(newName="users_pkey"), "a relation named public.users_pkey exists already"),
        (rename(newName="seq"), "a relation named public.seq exists already"),
        (rename(newName="hidden"), "a relation named public.hidden exists already"),
        (rename(newName="seen"), "a relation named public.seen exists already"),
        (rename(newName="of_extension"), "a relation named public.of_extension exists already"),
        (rename(newName="mood"), "a type named public.mood exists already; a table's rows are a type of its name"),
        (
            rename(newName="_zanith_x"),
            "table _zanith_x begins with _zanith_, which is kept for what Zanith makes itself",
        ),
    ],
)
def test_names_a_table_cannot_have(made: Operation, words: str) -> None:
    place = ctx(
        users(),
        other_relations=frozenset({TableKey("public", "seq"), TableKey("other", "people")}),
        hidden_indexes={USERS: ("hidden",)},
        extension_tables={TableKey("public", "of_extension"): "postgis"},
    )
    seen = View("public", "seen", False, "h")
    place = place.with_graph(replace(place.graph, views=(seen,), enums=(EnumType("public", "mood", ("a",)),)))
    assert list(made.problems(place)) == [words]
    assert list(rename().problems(place)) == []


def test_a_definition_too_deep_to_follow_is_said() -> None:
    deep = users(constraints=(Constraint("k", "check", DEEP, ("email",)),))
    (said,) = problems(rename_column(), deep)
    assert said.startswith("a definition that names public.users.email is nested too deeply")
    whole = users(constraints=(Constraint("k", "check", DEEP.replace("(email ||", "(users.email ||"), ("email",)),))
    (said,) = problems(rename(), whole)
    assert said.startswith("a definition that names public.users is nested too deeply")


def test_a_rename_is_one_statement_and_back() -> None:
    place = ctx()
    (made,) = rename().statements(place)
    assert made == Statement(
        sql=f'ALTER TABLE {T} RENAME TO "people"', lock=Lock.ACCESS_EXCLUSIVE, on=(USERS,), renames=(USERS, PEOPLE)
    )
    (back,) = rename().undo(place).statements
    assert (back.sql, back.renames) == ('ALTER TABLE "public"."people" RENAME TO "users"', (PEOPLE, USERS))
    after = place.with_graph(rename().project(place))
    assert rename().project(after) == after.graph
    assert rename().moves(place) == {USERS: PEOPLE}
    assert rename().target(place) == "public.users"
    with pytest.raises(SpecError):
        rename(table="gone").project(place)


def test_later_steps_know_the_table_by_its_new_name_and_size() -> None:
    big = facts(sizes={USERS: TableSize(rows=50_000_000, bytes=8_000_000_000)})
    planned = plan(
        {"renameTable": {"table": "users", "newName": "people"}},
        {"renameColumn": {"table": "people", "column": "age", "newName": "years"}},
        {"alterColumnType": {"table": "people", "column": "years", "type": "bigint"}},
        of=big,
    )
    assert [s.target for s in planned.steps] == ["public.users", "public.people.age", "public.people.years"]
    assert planned.level is RiskLevel.BLOCKED


def test_renames_break_clients_and_whatever_names_them_in_a_text() -> None:
    place = ctx(
        users(),
        publications={USERS: (Publication("p"),)},
        functions=(FunctionBody("public.f", "SELECT email FROM users"), FunctionBody("public.g", "SELECT 1")),
        trigger_bodies={USERS: (TriggerBody("t", "new.email := lower(new.email)"),)},
    )
    assert brief(rename().findings(place)) == [
        ("high", "rename_table"), ("medium", "breaks_dependents"), ("medium", "replication_impact")
    ]  # fmt: skip
    assert brief(rename_column().findings(place)) == [
        ("high", "rename_column"), ("high", "breaks_dependents"), ("medium", "breaks_dependents"),
        ("medium", "replication_impact"),
    ]  # fmt: skip
    assert brief(rename_column(column="age").findings(place))[:2] == [
        ("high", "rename_column"),
        ("medium", "replication_impact"),
    ]


# renameColumn


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (rename_column(table="user"), ["table public.user does not exist (did you mean users?)"]),
        (rename_column(column="emial"), ["column public.users.emial does not exist (did you mean email?)"]),
        (rename_column(newName="age"), ["column public.users.age exists already"]),
        (rename_column(newName="email"), ["column public.users.email has that name already"]),
        (rename_column(newName="xmin"), ["column public.users.xmin has the name of a system column"]),
        (rename_column(newName="_zanith_dropped_x"), [
            "column of public.users _zanith_dropped_x begins with _zanith_, which is kept for what Zanith makes itself"]),
        (rename_column(table="part"), ["public.part is a partition; rename the column of public.all"]),
        (rename_column(table="all", newName="own"), ["column public.part.own exists already"]),
    ],
)  # fmt: skip
def test_names_a_column_cannot_have(made: Operation, words: list[str]) -> None:
    whole = TableKey("public", "all")
    part = replace(users(Column("own", "text")), name="part", partition_of=whole)
    assert problems(made, users(), replace(users(), name="all", partition_key="LIST (id)"), part) == words


def test_a_renamed_column_is_back_with_its_name_and_projected_once() -> None:
    place = ctx()
    assert [s.sql for s in rename_column().statements(place)] == [f'ALTER TABLE {T} RENAME COLUMN "email" TO "mail"']
    assert [s.sql for s in rename_column().undo(place).statements] == [
        f'ALTER TABLE {T} RENAME COLUMN "mail" TO "email"'
    ]
    after = place.with_graph(rename_column().project(place))
    assert rename_column().project(after) == after.graph
    assert after.graph.column(USERS, "mail") is not None
    assert rename_column().target(place) == "public.users.email"
    with pytest.raises(SpecError):
        rename_column(column="gone", newName="gone too").project(place)


def test_expand_and_contract_is_yaml_that_plans() -> None:
    (finding, *_) = rename_column(newName="e mail").findings(ctx())
    steps = yaml.safe_load(finding.safer)
    assert [next(iter(s)) for s in steps] == ["addColumn", "backfill", "softDropColumn"]
    assert len(plan(*steps).steps) == 3


def test_steps_as_yaml_read_back_as_they_were() -> None:
    steps: list[dict[str, Any]] = [
        {"addColumn": {"table": "no", "column": 'a "b"', "nullable": False, "schema": None}},
        {"addIndex": {"columns": ["lower(a)", "Ü"], "table": "t: x"}},
    ]
    kept = [{"addColumn": {"table": "no", "column": 'a "b"', "nullable": False}}, steps[1]]
    assert yaml.safe_load(as_yaml(*steps)) == kept
    assert yaml.safe_load(as_yaml(steps[0])) == kept[:1]
    assert "\n" not in as_yaml(*steps)


# addGeneratedColumn


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"table": "user"}, "table public.user does not exist (did you mean users?)"),
        ({"column": "age"}, "column public.users.age exists already"),
        ({"type": "bigserial", "expression": "id"}, "type bigserial of public.users.low is a sequence's; a generated column has none"),
        ({"expression": "(SELECT 1)"}, "expression of public.users.low must not contain a subquery"),
        ({"expression": "lower(emial)"},
         "column public.users.emial does not exist (did you mean email?), used in the expression of public.users.low"),
        ({"expression": "ctid::text"}, "expression of public.users.low uses the system column ctid"),
        ({"expression": "made || 'x'"},
         "expression of public.users.low uses public.users.made, which is generated itself; repeat its expression"),
        ({"expression": "email || now()"}, "expression of public.users.low uses now, which is not IMMUTABLE"),
        ({"storage": "Virtual", "type": "mood"},
         "public.users.low cannot be Virtual: PostgreSQL takes only types of its own, and public.mood is not"),
        ({"storage": "Virtual", "type": "public.positive"},
         "public.users.low cannot be Virtual: PostgreSQL takes only types of its own, and public.positive is not"),
    ],
)  # fmt: skip
def test_what_cannot_be_computed(arguments: dict[str, Any], words: str) -> None:
    table = users(Column("made", "text", default="lower(email)", generated="stored"))
    known: dict[str, Any] = {
        "mutable_functions": frozenset({"now"}),
        "constrained_domains": frozenset({"public.positive"}),
    }
    place = ctx(table)
    place = replace(place, facts=replace(place.facts, **known))
    place = place.with_graph(replace(place.graph, enums=(EnumType("public", "mood", ("a",)),)))
    assert list(generated(**arguments).problems(place)) == [words]


def test_a_virtual_column_needs_18_and_a_partition_gets_none_of_its_own() -> None:
    assert problems(generated(storage="Virtual"), version=170004) == [
        "public.users.low cannot be Virtual: the server is PostgreSQL 17, which knows only Stored; 18 has both"
    ]
    assert problems(generated(storage="Virtual")) == []
    part = replace(users(), partition_of=TableKey("public", "all"))
    assert problems(generated(), part) == ["public.users is a partition; add the column to public.all"]


def test_storage_has_no_default() -> None:
    with pytest.raises(SpecError, match="storage"):
        operation("addGeneratedColumn", column="low", type="text", expression="lower(email)")


def test_storage_is_always_spelt_out_and_only_stored_rewrites() -> None:
    for storage, work in (("Stored", Work.REWRITE), ("Virtual", Work.CATALOG)):
        (made,) = generated(storage=storage).statements(ctx())
        assert made.sql == f'ALTER TABLE {T} ADD COLUMN "low" text GENERATED ALWAYS AS (lower(email)) {storage.upper()}'
        assert (made.work, made.lock, made.on) == (work, Lock.ACCESS_EXCLUSIVE, (USERS,))
        assert [s.sql for s in generated(storage=storage).undo(ctx()).statements] == [
            f'ALTER TABLE {T} DROP COLUMN "low"'
        ]
        after = generated(storage=storage).project(ctx()).column(USERS, "low")
        assert after is not None and (after.generated, after.default) == (storage.lower(), "lower(email)")


def test_a_stored_column_is_judged_by_the_size_of_the_table() -> None:
    assert brief(generated(storage="Virtual").findings(ctx())) == [("low", "adds_generated_column")]
    assert brief(generated().findings(ctx(standbys=1))) == [
        ("medium", "adds_generated_column"), ("low", "replication_impact")
    ]  # fmt: skip
    (old,), (new,) = (tuple(generated().findings(ctx(version=v))) for v in (150018, 180006))
    assert "Virtual" not in old.safer and "trigger" in old.safer and "Virtual" in new.safer
    big = facts(sizes={USERS: TableSize(rows=50_000_000, bytes=8_000_000_000)})
    step = {"table": "users", "column": "low", "type": "text", "expression": "lower(email)"}
    assert plan({"addGeneratedColumn": {**step, "storage": "Stored"}}, of=big).level is RiskLevel.BLOCKED
    assert plan({"addGeneratedColumn": {**step, "storage": "Virtual"}}, of=big).level is RiskLevel.LOW
