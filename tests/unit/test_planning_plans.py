"""Plans: each step against what the ones before leave behind, a hash over what is executed, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from unit.builders import (
    ADD,
    CREATE,
    DATABASE,
    EVERY_KIND,
    FILL,
    INDEX,
    MIGRATION,
    REQUIRE,
    SOFT_DROP,
    USERS,
    VERSIONS,
    ctx,
    facts,
    graph,
    plan,
    spec,
    unhurried,
    users,
)
from zanith.core.errors import SpecError
from zanith.core.graph import Column, DatabaseIdentity, Index, Table, TableSize
from zanith.core.identifiers import TableKey
from zanith.core.risk import Finding, ReasonCode, RiskLevel
from zanith.core.statement import Lock, Statement
from zanith.planning.plan import Plan, PlannedStep
from zanith.planning.planner import (
    extend_plan,
    left_behind,
    plan_migration,
    spec_digests,
    spec_hash,
    step_digest,
)

every_version = pytest.mark.parametrize("version", VERSIONS)


@every_version
def test_each_step_is_planned_against_what_the_one_before_leaves_behind(version: int) -> None:
    made = plan(*EVERY_KIND, of=facts(version=version))
    assert [(s.index, s.kind, s.target) for s in made.steps] == [
        (1, "createTable", "public.orders"),
        (2, "addColumn", "public.users.added"),
        (3, "backfill", "public.users (added)"),
        (4, "alterColumnNullable", "public.users.added"),
        (5, "addIndex", "public.users (added)"),
        (6, "softDropColumn", "public.users.email"),
        (7, "dropColumn", "public.users.age"),
    ]
    assert (made.migration_id, made.database) == (MIGRATION, DATABASE)


@every_version
def test_a_plan_comes_back_from_the_ledger_unchanged(version: int) -> None:
    made = plan(*EVERY_KIND, of=facts(version=version))
    again = Plan.from_json(made.to_json())
    assert (again, again.hash) == (made, made.hash)


@pytest.mark.parametrize("data", [None, [], {}, {"migration_id": "m"}])
def test_what_is_no_plan_is_refused(data: Any) -> None:
    with pytest.raises(ValidationError):
        Plan.from_json(data)


def test_a_step_may_use_a_table_a_step_before_made() -> None:
    made = plan(
        CREATE,
        {"addColumn": {"table": "orders", "column": "n", "type": "int"}},
        {"backfill": {"table": "orders", "set": {"n": "1"}, "where": "n IS NULL"}},
        {"backfill": {"table": "orders", "set": {"n": "n + 1"}, "where": "true"}},
        {"addIndex": {"table": "orders", "columns": ["n"]}},
        {"dropColumn": {"table": "orders", "column": "n"}},
    )
    walks = [s.statements[0].backfill for s in made.steps[2:4]]
    assert [w is not None and [k.type for k in w.key] for w in walks] == [["bigint"], ["bigint"]]
    assert [s.undo.refused for s in made.steps[2:4]] == ["", ""]


def test_a_column_may_be_taken_away_and_added_again_in_one_migration() -> None:
    made = plan(SOFT_DROP, {"addColumn": {"table": "users", "column": "email", "type": "text"}})
    aside = made.steps[0].statements[0].artifact
    back = made.steps[1].undo.otherwise
    assert aside is not None and back is not None and back.statements[0].artifact is not None
    assert aside.physical_name != back.statements[0].artifact.physical_name


def test_planning_stops_at_the_first_step_with_problems_and_names_it_by_path() -> None:
    wrong = {"addIndex": {"table": "users", "columns": ["emial", "idd"]}}
    with pytest.raises(SpecError) as refused:
        plan(ADD, wrong, wrong)
    assert (refused.value.step, refused.value.reason, refused.value.problems) == (
        2,
        "InvalidPlan",
        [
            "spec.steps[1].addIndex: column public.users.emial does not exist (did you mean email?)",
            "spec.steps[1].addIndex: column public.users.idd does not exist (did you mean id?)",
        ],
    )


def test_migrations_are_planned_one_on_the_other() -> None:
    one = spec(ADD)
    other = spec(FILL, migrationId="next")
    second = plan_migration(other, left_behind(one, facts()))
    assert second.steps[0].undo.refused == "the values public.users (added) had before are not kept"
    assert left_behind(one, facts(), done=range(1, 100)) == facts()
    with pytest.raises(SpecError):
        plan_migration(other, facts())


def test_what_locks_a_partitioned_table_locks_its_partitions() -> None:
    part, leaf = TableKey("public", "p"), TableKey("public", "q")
    known = facts(
        users(partition_key="RANGE (id)"),
        users(name="p", partition_of=USERS, partition_key="RANGE (id)"),
        users(name="q", partition_of=part),
    )
    made = plan(ADD, {"addIndex": {"table": "q", "columns": ["added"]}}, of=known)
    add, index = made.steps
    assert [s.on for s in add.statements] == [(USERS, part, leaf)]
    assert [s.on for s in index.statements] == [(leaf,)]
    assert add.undo.otherwise is not None
    assert [s.on for s in (*add.undo.statements, *add.undo.otherwise.statements)] == [(USERS, part, leaf)] * 2


@every_version
@pytest.mark.parametrize("rows", [None, 0, 10**9])
def test_the_hash_is_independent_of_sizes(rows: int | None, version: int) -> None:
    small = plan(*EVERY_KIND, of=facts(version=version))
    big = plan(*EVERY_KIND, of=facts(version=version, sizes={USERS: TableSize(rows, 10**12)}))
    assert small.hash == big.hash


@given(step=st.integers(0, 6), statement=st.integers(0, 3), what=st.integers(0, 4))
@unhurried
def test_the_hash_is_sensitive_to_each_statement(step: int, statement: int, what: int) -> None:
    made = plan(*EVERY_KIND, of=facts(version=VERSIONS[0]))
    statements = list(made.steps[step].statements)
    place = statement % len(statements)
    changes: list[dict[str, Any]] = [
        {"sql": statements[place].sql + " "},
        {"lock": Lock.ROW_SHARE},
        {"on": (TableKey("x", "y"),)},
        {"transactional": not statements[place].transactional},
        {"with_previous": not statements[place].with_previous},
    ]
    statements[place] = replace(statements[place], **changes[what])
    steps = list(made.steps)
    steps[step] = replace(steps[step], statements=tuple(statements))
    assert replace(made, steps=tuple(steps)).hash != made.hash


def test_the_hash_is_of_this_migration_in_this_database() -> None:
    made = plan(ADD, FILL)
    others = [
        replace(made, migration_id="other"),
        replace(made, database=replace(DATABASE, oid=6)),
        replace(made, database=DatabaseIdentity("8", 5, "shop")),
        replace(made, steps=made.steps[::-1]),
        replace(made, steps=()),
    ]
    assert len({p.hash for p in [made, *others]}) == 6
    assert replace(made, database=replace(DATABASE, name="renamed")).hash == made.hash
    walk = made.steps[1].statements[0]
    assert walk.backfill is not None
    keyed = replace(walk, backfill=replace(walk.backfill, key=()))
    assert replace(made, steps=(made.steps[0], replace(made.steps[1], statements=(keyed,)))).hash != made.hash


def planned(index: int, level: RiskLevel, *reasons: ReasonCode) -> PlannedStep:
    return PlannedStep(
        index=index,
        kind="backfill" if index == 2 else "addIndex",
        target="t",
        digest="",
        statements=(Statement("A", Lock.NONE), Statement("B", Lock.NONE)),
        findings=tuple(Finding(level, r, "") for r in reasons),
    )


def test_the_risk_of_a_plan_adds_up() -> None:
    made = Plan(
        "m",
        DATABASE,
        (
            planned(1, RiskLevel.SAFE, ReasonCode.ADDS_TABLE),
            planned(2, RiskLevel.MEDIUM, ReasonCode.RAW_SQL, ReasonCode.ADDS_INDEX),
            planned(3, RiskLevel.DESTRUCTIVE, ReasonCode.RAW_SQL),
            planned(4, RiskLevel.DESTRUCTIVE, ReasonCode.ADDS_INDEX),
            planned(5, RiskLevel.LOW, ReasonCode.ADDS_INDEX),
        ),
    )
    assert (made.level, made.worst_step.index, made.total_score) == (RiskLevel.DESTRUCTIVE, 3, 5 + 35 + 80 + 80 + 15)
    assert made.levels == {
        RiskLevel.SAFE: 1,
        RiskLevel.LOW: 1,
        RiskLevel.MEDIUM: 1,
        RiskLevel.DESTRUCTIVE: 2,
    }
    assert made.reasons == (ReasonCode.ADDS_INDEX, ReasonCode.RAW_SQL, ReasonCode.ADDS_TABLE)
    assert [s.is_backfill for s in made.steps] == [False, True, False, False, False]
    assert made.steps[0].sql == "A;\nB"
    assert Plan("m", DATABASE, ()).level is RiskLevel.SAFE


def test_appended_steps_are_planned_on_what_the_frozen_ones_leave_behind() -> None:
    begun = plan(ADD, INDEX)
    longer = spec(ADD, INDEX, FILL, REQUIRE)
    live = facts(users(Column("added", "text")))
    extended = extend_plan(begun, longer, live, done={1})
    assert (extended.steps[:2], [s.index for s in extended.steps]) == (begun.steps, [1, 2, 3, 4])
    assert extended == plan_migration(longer, facts())
    assert extended.hash != begun.hash


@pytest.mark.parametrize("done", [set(), {1}, {1, 2}])
def test_it_does_not_matter_how_far_the_frozen_steps_are(done: set[int]) -> None:
    begun = plan(ADD, CREATE)
    known = facts()
    for index in sorted(done):
        known = facts(*([users(Column("added", "text"))] if index == 1 else [*known.graph.tables, orders()]))
    longer = spec(ADD, CREATE, FILL)
    assert extend_plan(begun, longer, known, done=done) == plan_migration(longer, facts())


def orders() -> Table:
    made = spec(CREATE).steps[0].operation.project(ctx()).table(TableKey("public", "orders"))
    assert made is not None
    return made


def test_a_frozen_step_whose_table_is_gone_is_a_problem_not_a_crash() -> None:
    with pytest.raises(SpecError, match=r"table public\.users does not exist"):
        extend_plan(plan(ADD), spec(ADD, FILL), facts(users(name="other")), done=())


def test_a_plan_that_nothing_was_appended_to_stays() -> None:
    begun = plan(ADD)
    assert extend_plan(begun, spec(ADD), facts(), done=()) == begun


def test_a_digest_ignores_defaults_that_are_spelt_out() -> None:
    written = {"table": "users", "columns": ["email"]}
    spelt_out = {**written, "unique": False, "method": "btree", "include": [], "where": None, "schema": None}
    changed = {**written, "unique": True}
    digests = spec_digests(spec({"addIndex": written}, {"addIndex": spelt_out}, {"addIndex": changed}))
    assert (digests[0] == digests[1], digests[0] == digests[2]) == (True, False)
    assert digests[0] == step_digest(spec({"addIndex": written}).steps[0])


def test_the_hash_of_a_spec_is_of_its_id_and_steps() -> None:
    one = spec(ADD, FILL)
    assert spec_hash(one) == spec_hash(spec(ADD, FILL, gates={"maxRisk": 10}, suspend=True))
    assert len({spec_hash(s) for s in (one, spec(FILL, ADD), spec(ADD), spec(ADD, FILL, migrationId="x"))}) == 4


def test_a_graph_is_left_as_it_was_found() -> None:
    known = facts(users(indexes=(Index("i", ""),)))
    plan(*EVERY_KIND, of=known)
    assert known.graph == graph(users(indexes=(Index("i", ""),)))


def test_the_audit_says_where_there_is_no_way_back() -> None:
    dropped = plan({"dropColumn": {"table": "users", "column": "email"}}).steps[0]
    assert dropped.sql.splitlines() == [
        'ALTER TABLE "public"."users" DROP COLUMN "email"',
        "-- no way back: public.users.email was dropped for good; no artifact was kept",
    ]
    assert "--" not in plan(SOFT_DROP).steps[0].sql
