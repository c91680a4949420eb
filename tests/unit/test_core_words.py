"""Names, risk, errors, locks, drafts and graphs: the values everything else is made of."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unit.builders import AGE, EMAIL, USERS, foreign_key, graph, unhurried, unique, users
from zanith.core.errors import ApprovalNeeded, Conflict, ExitCode, NotYet, Refusal, SpecError, StepFailed, Stopped
from zanith.core.graph import Column, Constraint, Index, Table
from zanith.core.identifiers import TableKey, fit, name_problem, text_problem
from zanith.core.risk import OUR_OWN, Finding, ReasonCode, RiskLevel, by_level, worst
from zanith.core.statement import ArtifactDraft, Lock, Statement


@unhurried
@given(st.text(max_size=200))
def test_a_fitted_name_is_one_that_postgresql_keeps(name: str) -> None:
    encodable = name.encode("utf-8", errors="ignore").decode()
    fitted = fit(encodable)
    assert len(fitted.encode()) <= 63
    assert fitted == encodable or len(encodable.encode()) > 63


@unhurried
@given(st.sets(st.text("abü", min_size=55, max_size=90), min_size=2))
def test_two_names_stay_two_when_fitted(names: set[str]) -> None:
    assert len({fit(n) for n in names}) == len(names)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("users", None),
        ('o"dd {} % ?', None),
        ("x" * 63, None),
        ("", "must not be empty"),
        ("a\x00", "must not contain a NUL character"),
        ("\ud800", "must not contain half of a surrogate pair"),
        ("ü" * 32, "is 64 bytes long; PostgreSQL keeps only 63"),
    ],
)
def test_a_name_is_used_as_it_is_or_refused(name: str, expected: str | None) -> None:
    assert name_problem(name) == expected


def test_any_other_text_can_be_held() -> None:
    assert text_problem("") is None
    assert str(TableKey("public", "users")) == "public.users"


def test_the_published_scores_and_codes_are_there() -> None:
    assert {level.value: level.score for level in RiskLevel} == {
        "safe": 5,
        "low": 15,
        "medium": 35,
        "high": 60,
        "destructive": 80,
        "blocked": 95,
    }
    assert {code.value for code in ReasonCode} - {code.value for code in OUR_OWN} == {
        *("adds_nullable_column", "adds_required_column_without_default", "adds_index", "adds_unique_constraint"),
        *("adds_foreign_key", "adds_extension", "drops_column_with_data", "drops_table_with_data", "drops_index"),
        *("drops_unique_constraint", "drops_foreign_key", "drops_extension", "narrows_column_type", "raw_sql"),
        *("changes_column_type", "changes_column_nullable_to_not_null", "rebuilds_table", "requires_backfill"),
        *("rls_change", "rename_table", "rename_column"),
    }


def test_the_worst_finding_is_the_level() -> None:
    low, high = (Finding(level, ReasonCode.RAW_SQL, "") for level in (RiskLevel.LOW, RiskLevel.HIGH))
    assert worst([low, high, low]) is RiskLevel.HIGH
    assert worst([]) is RiskLevel.SAFE
    assert by_level([RiskLevel.HIGH, RiskLevel.SAFE, RiskLevel.HIGH]) == {RiskLevel.SAFE: 1, RiskLevel.HIGH: 2}


def test_only_what_is_gone_for_good_is_destructive() -> None:
    assert [level for level in RiskLevel if Finding(level, ReasonCode.RAW_SQL, "").destructive] == [
        RiskLevel.DESTRUCTIVE
    ]


def test_an_error_says_what_to_do_with_it() -> None:
    errors = [
        SpecError("bad"),
        Refusal("no", recorded="refused — max risk 60", reason="RiskBudgetExceeded", step=1),
        ApprovalNeeded("wait"),
        NotYet("later", retry_in_s=3),
        StepFailed("broken", reason="ProbeFailed", step=2),
        Conflict("odd"),
        Stopped("asked"),
    ]
    assert [(e.reason, e.exit_code, e.step) for e in errors] == [
        ("InvalidPlan", ExitCode.REFUSED_OR_FAILED, None),
        ("RiskBudgetExceeded", ExitCode.REFUSED_OR_FAILED, 1),
        ("AwaitingApproval", ExitCode.REFUSED_OR_FAILED, None),
        ("Retrying", ExitCode.TRY_AGAIN, None),
        ("ProbeFailed", ExitCode.REFUSED_OR_FAILED, 2),
        ("LedgerConflict", ExitCode.REFUSED_OR_FAILED, None),
        ("Suspended", ExitCode.STOPPED, None),
    ]


def test_a_long_list_of_problems_is_bounded_in_the_message_only() -> None:
    problems = [f"p{n}" for n in range(8)]
    error = SpecError(problems)
    assert (str(error), error.problems) == ("p0; p1; p2; p3; p4; and 3 more", problems)


def test_locks_are_ranked_as_in_the_manual() -> None:
    assert [lock.value for lock in sorted(Lock, key=lambda lock: lock.strength)] == [lock.value for lock in Lock]
    assert [lock.value for lock in Lock if lock.blocks_writes] == [
        *("SHARE", "SHARE ROW EXCLUSIVE", "EXCLUSIVE", "ACCESS EXCLUSIVE"),
    ]


def test_a_statement_is_known_by_its_sql() -> None:
    one = Statement(sql="SELECT 1", lock=Lock.NONE)
    assert one.digest == replace(one, lock=Lock.SHARE).digest != replace(one, sql="SELECT 2").digest


def test_an_artifact_is_named_after_its_source() -> None:
    draft = ArtifactDraft("soft_drop_column", "public", "users", "email", "_zanith_dropped_email_m", "")
    assert draft.identifier("m") == "m::soft_drop_column::users.email"
    assert replace(draft, artifact_type="soft_drop_table", source_column=None).identifier("m") == (
        "m::soft_drop_table::users"
    )


def test_a_column_takes_its_place_or_the_last() -> None:
    table = users()
    assert [c.name for c in table.with_column(Column("b", "text")).columns] == ["id", "email", "age", "b"]
    assert table.with_column(replace(EMAIL, type="citext")).columns == (
        table.columns[0],
        Column("email", "citext"),
        AGE,
    )


def test_a_dropped_column_takes_along_what_is_on_it() -> None:
    table = users(
        constraints=(unique("email"), unique("age", name="other")),
        indexes=(Index("a", "", ("age",)), Index("b", "", ("age", "email"))),
    )
    assert table.without_column("email") == replace(
        table, columns=(table.columns[0], AGE), constraints=(table.constraints[1],), indexes=(table.indexes[0],)
    )


def test_constraints_and_indexes_stay_in_order_of_name() -> None:
    table = users(constraints=(), indexes=())
    for name in ("b", "a", "b"):
        table = table.with_index(Index(name, "")).with_constraint(Constraint(name, "check", ""))
    assert [i.name for i in table.indexes] == [c.name for c in table.constraints] == ["a", "b"]
    assert (table.primary_key, users().primary_key) == (None, users().constraints[0])


def test_a_graph_counts_tables_and_foreign_keys() -> None:
    key = foreign_key("f", "user_id", USERS)
    orders = Table("public", "orders", constraints=(key, unique("a")))
    part = Table("public", "part", partition_of=USERS)
    known = graph(users(), orders, part)
    assert (known.models, known.relations) == (2, 1)
    assert list(known.incoming_foreign_keys(USERS)) == [(orders, key)]
    assert list(known.incoming_foreign_keys(orders.key)) == []
    assert known.column(USERS, "email") == EMAIL
    assert known.column(USERS, "nothing") is known.column(TableKey("public", "nothing"), "email") is None


def test_tables_come_and_go() -> None:
    known = graph(users())
    other = Table("app", "a")
    assert known.with_table(other).tables == (other, users())
    assert known.with_table(users(comment="x")).tables == (users(comment="x"),)
    assert known.without_table(USERS).tables == ()


def test_a_change_reaches_every_partition_and_nothing_else() -> None:
    top = users(partition_key="RANGE (id)")
    middle = Table("public", "b", partition_of=USERS, partition_key="RANGE (id)")
    leaf = Table("public", "a", partition_of=middle.key)
    other = Table("public", "z")
    known = graph(top, middle, leaf, other)
    assert known.partitions(USERS) == (leaf.key, middle.key)
    assert known.partitions(other.key) == known.partitions(TableKey("no", "table")) == ()
    changed = known.with_changed(USERS, lambda t: replace(t, comment="x"))
    assert {t.name: t.comment for t in changed.tables} == {"users": "x", "b": "x", "a": "x", "z": None}
