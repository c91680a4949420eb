"""alterColumnType and alterColumnDefault: what they refuse, risk, ask, become, and how they are taken back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import yaml

from unit.builders import USERS, brief, ctx, facts, foreign_key, operation, plan, problems, spec, unique, users
from zanith.api.spec import Gates
from zanith.core.errors import SpecError
from zanith.core.graph import Column, Constraint, EnumType, Index, Policy, Table, TableSize, Trigger, View
from zanith.core.identifiers import TableKey
from zanith.core.risk import ReasonCode, RiskLevel
from zanith.core.statement import Lock, Work
from zanith.core.surroundings import Dependent, Publication
from zanith.operations.casting import automatic_change, plain_casts, read_type
from zanith.operations.operation import Operation
from zanith.operations.step_context import StepContext
from zanith.planning.gates import refusal

NAME = Column("name", "character varying(20)")
MOOD = EnumType("public", "mood", ("calm", "it's"))
DEEP = "(" + " || ".join(["email"] * 120) + ")"
T = '"public"."users"'


def to(type_text: str, column: str = "email", **arguments: Any) -> Operation:
    return operation("alterColumnType", column=column, type=type_text, **arguments)


def with_column(type_text: str, **changes: Any) -> Table:
    return users(Column("c", type_text, **changes))


def change(old: str, new: str, version: int = 180006, **arguments: Any) -> tuple[Operation, StepContext]:
    """The operation, and where it stands: a column `c` of the old type, and the enum `mood`."""
    place = ctx(with_column(old), version=version)
    return to(new, "c", **arguments), place.with_graph(replace(place.graph, enums=(MOOD,)))


def asked(old: str, new: str, version: int = 180006, **arguments: Any) -> list[str]:
    made, place = change(old, new, version, **arguments)
    assert list(made.problems(place)) == []
    return [p.sql.removeprefix(f"SELECT 1 FROM {T} WHERE ").removesuffix(" LIMIT 1") for p in made.probes(place)]


# What it refuses


@pytest.mark.parametrize(
    ("made", "table", "words"),
    [
        (to("text", "emial"), users(), "column public.users.emial does not exist (did you mean email?)"),
        (to("text"), users(), "column public.users.email is of type text already"),
        (to("bigserial", "age"), users(), "type bigserial of public.users.age is no type of its own; use bigint"),
        (to("text", "name"), users(replace(NAME, generated="stored", default="lower(email)")),
         "column public.users.name is generated; drop it and add it anew with addGeneratedColumn"),
        (to("text", "name"), users(Column("name", "bigint", identity="always")),
         "identity column public.users.name must stay smallint, integer or bigint"),
        (to("bigint", "age", collation="C"), users(), "type bigint of public.users.age has no collation"),
        (to("uuid"), users(),
         "public.users.email from text to uuid needs `using`: how a value is converted, such as email::uuid"),
        (to("timestamptz", "at"), users(Column("at", "timestamp without time zone")),
         "public.users.at from timestamp without time zone to timestamp with time zone needs `using`, for a time zone "
         "decides what a value means: using: at AT TIME ZONE 'Europe/Berlin', or using: at::timestamptz for UTC"),
        (to("integer", using="emial::integer"), users(),
         "column public.users.emial does not exist (did you mean email?), used in `using`"),
        (to("integer", using="(SELECT 1)"), users(), "using of public.users.email must not contain a subquery"),
        (to("integer", "name", using="name::integer"), users(replace(NAME, default="'1'::character varying")),
         "default of public.users.name cannot be cast to integer: take it away before with alterColumnDefault and "
         "drop: true, and give it a new one after"),
        (to("varchar(9)"), users(partition_key="LIST (lower(email))"),
         "public.users.email is part of the partition key"),
        (to("varchar(9)"), users(Column("low", "text", default="lower(email)", generated="stored")),
         "generated column public.users.low is computed from public.users.email; drop it first"),
        (to("varchar(9)"), users(triggers=(Trigger("t", "CREATE TRIGGER t BEFORE UPDATE OF email ON public.users FOR "
                                                        "EACH ROW EXECUTE FUNCTION f()"),)),
         "trigger t of public.users names public.users.email in UPDATE OF or WHEN; drop it first"),
        (to("varchar(9)"), users(policies=(Policy("p", "ALL", True, ("public",), using="(email = CURRENT_USER)"),)),
         "policy p of public.users uses public.users.email; drop it first"),
        (to("varchar(9)"), users(policies=(Policy("p", "ALL", True, ("public",), using=DEEP),)),
         "policy p of public.users uses public.users.email; drop it first"),
    ],
)  # fmt: skip
def test_what_postgresql_would_refuse_is_said_before(made: Operation, table: Table, words: str) -> None:
    assert problems(made, table) == [words]


def test_a_table_that_is_not_there() -> None:
    assert problems(operation("alterColumnType", table="user", column="c", type="text")) == [
        "table public.user does not exist (did you mean users?)"
    ]


def test_nothing_becomes_an_enum_by_itself_and_what_it_is_called_does_not_matter() -> None:
    for name in ("mood", "public.mood"):
        made, place = change("text", name)
        assert list(made.problems(place)) == [
            f"public.users.c from text to public.mood needs `using`: how a value is converted, such as c::{name}"
        ]
    made, place = change("public.mood", "mood")
    assert list(made.problems(place)) == ["column public.users.c is of type public.mood already"]
    made, place = change("text[]", "mood[]", using="c::mood[]")
    assert made.project(place).table(USERS) == with_column("public.mood[]")


def test_views_functions_publications_and_policies_of_other_tables_are_named() -> None:
    other = Table("public", "logs", (Column("id", "integer"),), policies=(
        Policy("q", "ALL", True, ("public",), with_check="(id IN ( SELECT u.age FROM public.users u WHERE (u.email = ''::text)))"),
        Policy("r", "ALL", True, ("public",), using="(EXISTS ( SELECT 1 FROM public.other WHERE (other.email IS NULL)))"),
    ))  # fmt: skip
    place = ctx(
        users(),
        other,
        dependents={USERS: (Dependent("function public.f()", needs=("email",)), Dependent("view v", needs=("email",)))},
        rules={USERS: (Dependent("rule r on public.users", needs=("email",)), Dependent("rule s", needs=("age",)))},
        publications={USERS: (Publication("p", row_filter="(email IS NOT NULL)"), Publication("q"))},
    )
    view = View("public", "v", False, "h", ((USERS, "email"),))
    graph = replace(place.graph, views=(view, replace(view, name="w", depends_on=((USERS, "age"),))))
    assert list(to("varchar(9)").problems(place.with_graph(graph))) == [
        "view public.v uses public.users.email; drop it first and create it again after",
        "policy q of public.logs uses public.users.email; drop it first",
        "function public.f() uses public.users.email; drop it first",
        "rule r on public.users uses public.users.email; drop it first",
        "publication p chooses rows by public.users.email; change the publication first",
    ]


def test_a_partition_is_altered_through_its_table() -> None:
    part = replace(users(), partition_of=TableKey("public", "all"))
    assert problems(to("varchar(9)"), part) == ["public.users is a partition; alter the column of public.all"]


def test_foreign_keys_whose_sides_could_not_be_compared_are_named() -> None:
    child = Table("public", "orders", (Column("user_id", "bigint"), Column("note", "text")),
                  (foreign_key("orders_user", "user_id", USERS),))  # fmt: skip
    parent = users()
    assert problems(to("uuid", "id", using="gen_random_uuid()"), parent, child) == [
        "foreign key orders_user of public.orders references public.users.id by public.orders.user_id, which is bigint: "
        "drop it first"
    ]
    on_orders = {"table": "orders", "column": "user_id", "type": "text"}
    assert problems(operation("alterColumnType", **on_orders), parent, child) == [
        "foreign key orders_user of public.orders would reference public.users.id, which is bigint: drop it first"
    ]
    assert problems(to("integer", "id"), parent, child) == []
    assert problems(operation("alterColumnType", table="orders", column="note", type="varchar(9)"), parent, child) == []
    itself = users(Column("up", "bigint"))
    itself = replace(itself, constraints=(*itself.constraints, foreign_key("own", "up", USERS)))
    assert problems(to("integer", "id"), itself) == []
    assert problems(to("integer", "up"), itself) == []


# What it risks


def test_only_a_compatible_change_without_a_rewrite_is_medium() -> None:
    table = users(NAME, Column("at", "timestamp(3) without time zone"))
    expected = {
        ("text", "name", None): [("medium", "changes_column_type")],
        ("varchar(50)", "name", None): [("medium", "changes_column_type")],
        ("varchar(10)", "name", None): [("high", "narrows_column_type")],
        ("bigint", "age", None): [("high", "changes_column_type")],
        ("timestamptz", "at", "at::timestamptz"): [("high", "changes_column_type")],
        ("timestamptz", "at", "at AT TIME ZONE 'UTC'"): [("high", "changes_column_type")],
    }
    for (type_text, column, using), found in expected.items():
        made = to(type_text, column, **({} if using is None else {"using": using}))
        assert brief(made.findings(ctx(table))) == found


@pytest.mark.parametrize("maximum", [60, 80, 94])
def test_a_rewrite_of_a_big_table_is_blocked_and_only_95_lets_it_through(maximum: int) -> None:
    big = facts(sizes={USERS: TableSize(rows=50_000_000, bytes=8_000_000_000)})
    step = {"alterColumnType": {"table": "users", "column": "age", "type": "bigint"}}
    planned = plan(step, of=big)
    assert planned.level is RiskLevel.BLOCKED
    assert (RiskLevel.BLOCKED, ReasonCode.TABLE_REWRITE) in [(f.level, f.reason) for f in planned.steps[0].findings]
    said = refusal(planned, Gates(max_risk=maximum))
    assert said is not None and said.recorded == f"refused — max risk {maximum}"
    assert "addColumn" in said.message
    assert refusal(planned, Gates()) is not None
    assert refusal(planned, Gates(max_risk=95)) is None
    assert planned.hash == plan(step).hash


def test_indexes_built_anew_on_a_big_table_are_judged_too() -> None:
    table = users(
        NAME, indexes=(Index("i", "CREATE INDEX i ON public.users USING btree (lower((name)::text))", ("name",)),)
    )
    big = facts(table, sizes={USERS: TableSize(rows=50_000_000, bytes=8_000_000_000)})
    assert (
        plan({"alterColumnType": {"table": "users", "column": "name", "type": "text"}}, of=big).level
        is RiskLevel.BLOCKED
    )


@pytest.mark.parametrize(
    ("changes", "type_text", "work"),
    [
        ({}, "varchar(50)", Work.CATALOG),
        ({"indexes": (Index("i", "CREATE INDEX i ON public.users USING btree (name, age)", ("name", "age")),)},
         "varchar(50)", Work.CATALOG),
        ({"indexes": (Index("i", "CREATE INDEX i ON public.users USING btree (name) WHERE (age > 0)", ("name", "age")),)},
         "varchar(50)", Work.BUILD),
        ({"indexes": (Index("i", "CREATE INDEX i ON public.users USING btree (lower((name)::text))", ("name",)),)},
         "varchar(50)", Work.BUILD),
        ({"constraints": (unique("name"),)}, "varchar(50)", Work.CATALOG),
        ({"constraints": (Constraint("e", "exclude", "EXCLUDE USING btree (name WITH =)", ("name",)),)},
         "varchar(50)", Work.BUILD),
        ({"constraints": (Constraint("k", "check", "CHECK ((name IS NOT NULL))", ("name",)),)},
         "varchar(50)", Work.SCAN),
        ({"constraints": (Constraint("k", "check", "CHECK ((name IS NOT NULL))", ("name",), validated=False),)},
         "varchar(50)", Work.CATALOG),
        ({"constraints": (Constraint("k", "check", "CHECK ((age > 0))", ("age",)),)}, "varchar(50)", Work.CATALOG),
        ({}, "varchar(9)", Work.REWRITE),
    ],
)  # fmt: skip
def test_work_is_what_postgresql_makes_anew(changes: dict[str, Any], type_text: str, work: Work) -> None:
    altered = to(type_text, "name").statements(ctx(users(NAME, **changes)))[0]
    assert (altered.work, altered.lock, altered.on) == (work, Lock.ACCESS_EXCLUSIVE, (USERS,))


def test_another_collation_builds_indexes_anew_and_another_reading_asks_foreign_keys() -> None:
    indexed = users(NAME, constraints=(unique("name"),))
    assert to("varchar(20)", "name", collation="C").statements(ctx(indexed))[0].work is Work.BUILD
    times = TableKey("public", "times")
    at = Column("at", "timestamp without time zone")
    parent = Table("public", "times", (at,), (replace(unique("at"), name="times_key"),))
    child = users(at, constraints=(foreign_key("fk", "at", times, "at"),))
    made = to("timestamptz", "at", using="at::timestamptz").statements(ctx(child, parent))
    assert [(s.sql.partition(" ")[0], s.work, s.on, s.with_previous) for s in made] == [
        ("LOCK", Work.CATALOG, (times,), False),
        ("ALTER", Work.SCAN, (USERS, times), True),
        ("ANALYZE", Work.SCAN, (USERS,), False),
    ]


def test_what_hangs_on_the_column_is_found_beside_it() -> None:
    child = Table("public", "orders", (Column("user_id", "bigint"),), (foreign_key("orders_user", "user_id", USERS),))
    numbered = users()
    numbered = replace(
        numbered, columns=(replace(numbered.columns[0], default="nextval('s'::regclass)"), *numbered.columns[1:])
    )
    place = ctx(numbered, child, standbys=2, publications={USERS: (Publication("p"),)})
    found = [(f.reason, f.level) for f in to("integer", "id").findings(place)]
    assert found == [
        (ReasonCode.NARROWS_COLUMN_TYPE, RiskLevel.HIGH),
        (ReasonCode.LOCKS_SECOND_TABLE, RiskLevel.MEDIUM),
        (ReasonCode.CHANGES_COLUMN_TYPE, RiskLevel.LOW),
        (ReasonCode.REPLICATION_IMPACT, RiskLevel.MEDIUM),
        (ReasonCode.REPLICATION_IMPACT, RiskLevel.LOW),
    ]
    assert to("integer", "id").statements(place)[0].on == (USERS, TableKey("public", "orders"))


def test_what_hangs_on_other_columns_does_not_matter() -> None:
    trigger = "CREATE TRIGGER t BEFORE UPDATE OF age ON public.users FOR EACH ROW EXECUTE FUNCTION f()"
    tied = users(triggers=(Trigger("t", trigger),))
    tied = replace(tied, constraints=(*tied.constraints, foreign_key("own", "age", TableKey("public", "ages"))))
    ages = Table("public", "ages", (Column("id", "integer"),), (foreign_key("back", "id", USERS),))
    made = to("varchar(9)")
    assert problems(made, tied, ages) == []
    assert [s.on for s in made.statements(ctx(tied, ages))] == [(USERS,), (USERS,)]


def test_the_safer_way_is_steps_that_plan() -> None:
    (finding, *_) = to("bigint", "age").findings(ctx())
    steps = yaml.safe_load(finding.safer)
    assert [next(iter(s)) for s in steps] == ["addColumn", "backfill", "softDropColumn", "renameColumn"]
    assert len(plan(*steps).steps) == 4
    taken = users(Column("age_new", "text"))
    (finding, *_) = to("bigint", "age").findings(ctx(taken))
    assert finding.safer == "a new column of the type, a backfill, and a softDropColumn of the old one"


# What it becomes


def test_a_column_keeps_its_collation_unless_told() -> None:
    collated = users(replace(NAME, collation='"C"'))
    place = ctx(collated)
    kept, other, lost = to("text", "name"), to("text", "name", collation="de-x-icu"), to("citext", "name")
    assert kept.statements(place)[0].sql == f'ALTER TABLE {T} ALTER COLUMN "name" TYPE text COLLATE "C"'
    assert other.statements(place)[0].sql == f'ALTER TABLE {T} ALTER COLUMN "name" TYPE text COLLATE "de-x-icu"'
    assert [s.sql for s in other.undo(place).statements] == [
        f'ALTER TABLE {T} ALTER COLUMN "name" TYPE character varying(20) COLLATE "C"',
        f'ANALYZE {T} ("name")',
    ]
    assert 'public.users.name loses its collation "C"' in [f.why for f in lost.findings(place)]
    assert [c.collation for c in kept.project(place).tables[0].columns] == [None, None, None, '"C"']


def test_using_is_one_expression_and_what_it_makes_is_projected() -> None:
    made, place = change("text", "numeric(10)", using="nullif(c, '')::numeric")
    assert [s.sql for s in made.statements(place)] == [
        f"ALTER TABLE {T} ALTER COLUMN \"c\" TYPE numeric(10) USING (nullif(c, '')::numeric)",
        f'ANALYZE {T} ("c")',
    ]
    assert made.project(place).table(USERS) == with_column("numeric(10,0)")
    assert made.project(place.with_graph(made.project(place))) == made.project(place)
    with pytest.raises(SpecError):
        to("text", "gone").project(place)


# What it asks


@pytest.mark.parametrize(
    ("old", "new", "condition"),
    [
        ("text", "varchar(5)", 'char_length("c") > 5'),
        ("text", "char(5)", 'right("c", 1) = \' \' OR char_length("c") > 5'),
        ("text", "bpchar", "right(\"c\", 1) = ' '"),
        ("character(9)", "char(5)", 'char_length("c") > 5'),
        ("character(9)", "varchar(5)", 'char_length("c") > 5'),
        ("uuid", "varchar(5)", 'char_length("c"::text) > 5'),
        ("public.mood", "varchar(5)", 'char_length("c"::text) > 5'),
        ("bigint", "integer", '"c" NOT BETWEEN  -2147483648 AND 2147483647'),
        ("bit varying(9)", "varbit(5)", 'length("c") > 5'),
        ("inet", "cidr", '"c"::cidr::inet <> "c"'),
        ("timestamp without time zone", "date", '"c"::date <> "c"'),
        ("interval", "interval(2)", '"c"::interval(2) <> "c"'),
    ],
)
def test_values_that_do_not_survive_are_looked_for(old: str, new: str, condition: str) -> None:
    assert asked(old, new) == [condition]
    made, place = change(old, new)
    (probe,) = made.probes(place)
    assert probe.sample_sql == f'SELECT "id" FROM {T} WHERE {condition} LIMIT 5'
    assert probe.question.startswith("column public.users.c has values that do not survive as ")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("character varying(5)", "text"), ("character varying(5)", "varchar(6)"), ("character(5)", "char(9)"),
        ("character(5)", "text"), ("smallint", "bigint"), ("numeric(10,2)", "numeric"), ("numeric(10,2)", "numeric(12,2)"),
        ("numeric(10,2)", "numeric(14,4)"), ("integer", "numeric"), ("integer", "numeric(12,2)"), ("integer", "text"),
        ("integer", "double precision"), ("smallint", "real"), ("real", "double precision"), ("double precision", "numeric"),
        ("time(2) without time zone", "time(3)"), ("bit varying(5)", "varbit"), ("cidr", "inet"), ("jsonb", "json"),
        ("json", "jsonb"), ("text[]", "varchar[]"),
    ],
)  # fmt: skip
def test_nothing_is_asked_where_every_value_survives_or_none_can_be_asked(old: str, new: str) -> None:
    assert asked(old, new) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [("numeric", "integer"), ("double precision", "integer"), ("numeric", "numeric(5,2)"), ("numeric(9,4)", "numeric(8,2)"), ("integer", "numeric(4,2)"),
     ("bigint", "double precision"), ("double precision", "real"), ("numeric", "real"), ("double precision", "numeric(5,2)"),
     ("date", "timestamp"), ("integer", "numeric(12,-2)")],
)  # fmt: skip
def test_numbers_and_dates_are_asked_whether_they_fit(old: str, new: str) -> None:
    assert len(asked(old, new)) == 1  # what it finds is held against PostgreSQL in the integration tests


def test_text_that_is_cast_is_asked_whether_it_is_one() -> None:
    assert asked("text", "date", using="c::date") == ["NOT pg_input_is_valid(\"c\"::text, 'date')"]
    assert asked("text", "mood", using="c::mood") == ["\"c\"::text NOT IN ('calm', 'it''s')"]
    on_15 = {
        new: asked("text", new, 150018, using=f"c::{new}") for new in ("integer", "numeric", "numeric(5,2)", "uuid")
    }
    assert all("CASE WHEN" in found[0] for found in on_15.values())
    assert asked("text", "boolean", 150018, using="CAST(c AS boolean)")[0].endswith("THEN true ELSE false END")
    for new in ("date", "varbit(5)", "mood[]"):
        made, place = change("text", new, 150018, using=f"c::{new}")
        assert made.probes(place) == ()
        assert any("PostgreSQL 15 cannot be asked" in f.why for f in made.findings(place))


def test_using_must_not_make_null_of_a_required_column() -> None:
    required = with_column("text", not_null=True)
    made = to("integer", "c", using="nullif(c, '')::integer")
    (probe,) = made.probes(ctx(required))
    assert probe.sql == f"SELECT 1 FROM {T} WHERE (nullif(c, '')::integer) IS NULL LIMIT 1"
    assert made.probes(ctx(with_column("text"))) == ()
    assert to("integer", "c", using="(random() * 9)::integer").probes(ctx(required)) == ()
    without_key = replace(required, constraints=())
    assert made.probes(ctx(without_key))[0].sample_sql == ""
    unread = to("integer", "c", using="c::integer")
    assert unread.probes(ctx(with_column("oid", not_null=True))) == ()


def test_a_cast_that_the_author_wrote_is_meant() -> None:
    made, place = change("text", "varchar(5)", using="c::varchar(5)")
    assert made.probes(place) == ()
    assert made.undo(place).refused == "what the values of public.users.c were as text is not kept"
    made, place = change("boolean", "integer", using="c::integer")
    assert made.undo(place).refused
    assert plain_casts("a b", "timestamptz") == (
        '"a b"::timestamptz', '"a b"::timestamp with time zone'
    )  # fmt: skip


# How it is taken back


def undo_of(old: str, new: str, version: int = 180006, **arguments: Any) -> Any:
    made, place = change(old, new, version, **arguments)
    return made.undo(place)


def test_a_widening_is_taken_back_while_every_value_fits() -> None:
    undo = undo_of("integer", "bigint")
    assert undo.statements[0].sql == f'ALTER TABLE {T} ALTER COLUMN "c" TYPE integer'
    assert undo.unless.sql.startswith(f'SELECT 1 FROM {T} WHERE "c" NOT BETWEEN')
    assert undo.otherwise.refused == "public.users.c has values by now that integer cannot hold"


def test_a_narrowing_that_lost_nothing_is_taken_back() -> None:
    undo = undo_of("text", "varchar(5)")
    assert undo.unless is None
    assert undo.statements[0].sql == f'ALTER TABLE {T} ALTER COLUMN "c" TYPE text'
    assert undo.statements[0].work is Work.CATALOG


def test_what_became_text_is_read_back() -> None:
    assert undo_of("uuid", "text").statements[0].sql == f'ALTER TABLE {T} ALTER COLUMN "c" TYPE uuid USING ("c"::uuid)'
    undo = undo_of("public.mood", "text")
    assert undo.statements[0].sql.endswith('TYPE public.mood USING ("c"::public.mood)')
    assert undo_of("date", "text", 150018).refused == (
        "PostgreSQL 15 cannot be asked whether a text is of type date: public.users.c stays text"
    )
    back = undo_of("timestamp(3) without time zone", "timestamptz", using="c::timestamptz")
    assert 'USING ("c"::timestamp(3) without time zone)' in back.statements[0].sql


def test_what_was_rounded_is_not_taken_back() -> None:
    for old, new in (("double precision", "real"), ("json", "jsonb"), ("text[]", "varchar[]")):
        assert undo_of(old, new).refused


def test_other_readings_of_a_clock() -> None:
    made, place = change("date", "timestamptz", using="c::timestamptz")
    assert made.statements(place)[0].work is Work.REWRITE
    made, place = change("timestamp without time zone", "timestamptz(3)", using="c::timestamptz(3)")
    assert made.statements(place)[0].work is Work.REWRITE
    assert automatic_change(read_type("timestamp with time zone"), read_type("date")) is None


# alterColumnDefault


def default(**arguments: Any) -> Operation:
    return operation("alterColumnDefault", **{"column": "email", **arguments})


@pytest.mark.parametrize("arguments", [{}, {"default": "1", "drop": True}])
def test_exactly_one_of_default_and_drop(arguments: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match="must have exactly one of default and drop: true"):
        spec({"alterColumnDefault": {"table": "users", "column": "email", **arguments}})


@pytest.mark.parametrize(
    ("made", "table", "words"),
    [
        (default(table="user", drop=True), users(), "table public.user does not exist (did you mean users?)"),
        (default(column="emial", drop=True), users(), "column public.users.emial does not exist (did you mean email?)"),
        (default(column="g", default="1"), users(Column("g", "integer", default="age", generated="stored")),
         "column public.users.g is generated; it cannot have a default"),
        (default(column="g", default="1"), users(Column("g", "integer", identity="always")),
         "column public.users.g is an identity column; it cannot have a default"),
        (default(drop=True), users(), "column public.users.email has no default"),
        (default(default="age"), users(), "default of public.users.email must not name columns (age)"),
        (default(default="(SELECT 1)"), users(), "default of public.users.email must not contain a subquery"),
    ],
)  # fmt: skip
def test_what_a_default_cannot_be(made: Operation, table: Table, words: str) -> None:
    assert problems(made, table) == [words]


def test_a_default_touches_no_row_and_is_put_back() -> None:
    table = users(replace(NAME, default="'none'::character varying"))
    place = ctx(table)
    given, taken = default(column="name", default="'some'"), default(column="name", drop=True)
    assert [(s.lock, s.sql) for s in given.statements(place)] == [
        (Lock.ACCESS_EXCLUSIVE, f"ALTER TABLE {T} ALTER COLUMN \"name\" SET DEFAULT ('some')")
    ]
    assert taken.statements(place)[0].sql == f'ALTER TABLE {T} ALTER COLUMN "name" DROP DEFAULT'
    for made in (given, taken):
        assert [s.sql for s in made.undo(place).statements] == [
            f"ALTER TABLE {T} ALTER COLUMN \"name\" SET DEFAULT 'none'::character varying"
        ]
    assert default(default="'x'").undo(place).statements[0].sql.endswith("DROP DEFAULT")
    assert given.project(place).table(USERS) == users(replace(NAME, default="'some'::character varying"))
    assert taken.project(place).table(USERS) == users(NAME)
    assert given.target(place) == "public.users.name"


def test_partitions_get_back_defaults_of_their_own() -> None:
    part = replace(users(), name="part", partition_of=USERS)
    own = replace(
        part, columns=tuple(replace(c, default="'own'::text") if c.name == "email" else c for c in part.columns)
    )
    same = replace(part, name="same")
    undo = default(default="'x'").undo(ctx(users(partition_key="LIST (id)"), own, same))
    assert [s.sql for s in undo.statements] == [
        f'ALTER TABLE {T} ALTER COLUMN "email" DROP DEFAULT',
        'ALTER TABLE "public"."part" ALTER COLUMN "email" SET DEFAULT \'own\'::text',
    ]
    assert undo.statements[1].with_previous
    dropped = replace(users(partition_key="LIST (id)"), columns=own.columns)
    back = default(drop=True).undo(ctx(dropped, same))
    assert back.statements[1].sql == 'ALTER TABLE "public"."same" ALTER COLUMN "email" DROP DEFAULT'


def test_dropping_the_default_of_a_required_column_is_medium() -> None:
    required = users(replace(NAME, default="1", not_null=True), replace(NAME, name="free", default="1"))
    found = [brief(default(column=c, drop=True).findings(ctx(required))) for c in ("name", "free")]
    assert found == [[("medium", "changes_column_default")], [("low", "changes_column_default")]]
    assert brief(default(column="name", default="2").findings(ctx(required))) == [("low", "changes_column_default")]
