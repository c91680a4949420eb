"""What waiting is predicted from: the sizes of what is worked through change findings, and only where somebody waits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from unit.builders import EMAIL, USERS, facts, foreign_key, graph, plan, primary_key, unique, users
from zanith.core.graph import Column, Constraint, Facts, Index, Table, TableSize, View
from zanith.core.identifiers import TableKey
from zanith.core.risk import Finding, ReasonCode, RiskLevel
from zanith.core.statement import Lock, Statement, TableWork, Work
from zanith.operations import per_row
from zanith.planning.cost import blocking_findings, extra_s, level_for, predicted_s

SMALL, BIG, HUGE = TableSize(100, 16_384), TableSize(10_000_000, 0), TableSize(1_000_000_000, 100_000_000_000)
UNCOUNTED = TableSize(None, 1_000_000_000_000)
EVENTS = TableKey("public", "events")
WAITING = (ReasonCode.FULL_SCAN_UNDER_LOCK, ReasonCode.TABLE_REWRITE)


def found(*statements: Statement, known: Facts | None = None, **sizes: TableSize) -> list[Finding]:
    known = facts() if known is None else known
    return list(
        blocking_findings(statements, replace(known, sizes={TableKey("public", n): s for n, s in sizes.items()}))
    )


def whys(*statements: Statement, known: Facts | None = None, **sizes: TableSize) -> list[str]:
    return [f.why for f in found(*statements, known=known, **sizes)]


def events(**changes: Any) -> Table:
    """`events (id bigint PRIMARY KEY, user_id bigint)`."""
    columns = (Column("id", "bigint", not_null=True), Column("user_id", "bigint"))
    return replace(
        Table("public", "events", columns=columns, constraints=(primary_key("id", table="events"),)), **changes
    )


def predicted(step: dict[str, Any], *tables: Table, sizes: Mapping[TableKey, TableSize], **known: Any) -> list[Finding]:
    """Findings about waiting of one step as a user writes it; those with seconds come from the sizes."""
    (planned,) = plan(step, of=facts(*tables, sizes=sizes, **known)).steps
    return [f for f in planned.findings if f.blocked_s is not None]


def test_the_slower_of_rows_and_bytes_counts() -> None:
    assert predicted_s(Work.SCAN, TableSize(5_000_000, 0)) == pytest.approx(1.0)
    assert predicted_s(Work.SCAN, TableSize(None, 1_000_000_000)) == pytest.approx(2.0)
    assert predicted_s(Work.CATALOG, TableSize(10**9, 10**12)) == 0


@pytest.mark.parametrize(
    ("seconds", "level"),
    [(0.1, RiskLevel.MEDIUM), (1.0, RiskLevel.HIGH), (9.9, RiskLevel.HIGH), (10.0, RiskLevel.BLOCKED)],
)
def test_waiting_is_a_risk(seconds: float, level: RiskLevel) -> None:
    assert level_for(seconds) is level


def test_a_scan_that_writes_wait_for_is_a_finding() -> None:
    assert found(Statement("x", Lock.SHARE, on=(USERS,), work=Work.SCAN), users=BIG) == [
        Finding(
            RiskLevel.HIGH,
            ReasonCode.FULL_SCAN_UNDER_LOCK,
            "public.users is read as a whole under SHARE: writes wait for about 2.0 s",
            blocked_s=2.0,
        )
    ]


@pytest.mark.parametrize(("rows", "words"), [(4_000_000, "20 s"), (40_000_000, "3 min")])
def test_a_rewrite_of_a_big_table_is_blocked(rows: int, words: str) -> None:
    (finding,) = found(Statement("x", Lock.ACCESS_EXCLUSIVE, on=(USERS,), work=Work.REWRITE), users=TableSize(rows, 0))
    assert (finding.level, finding.reason) == (RiskLevel.BLOCKED, ReasonCode.TABLE_REWRITE)
    assert finding.why == f"public.users is rewritten under ACCESS EXCLUSIVE: reads and writes wait for about {words}"


@pytest.mark.parametrize(
    ("work", "size", "lock"),
    [
        (Work.CATALOG, HUGE, Lock.ACCESS_EXCLUSIVE),
        (Work.SCAN, HUGE, Lock.SHARE_UPDATE_EXCLUSIVE),
        (Work.SCAN, SMALL, Lock.ACCESS_EXCLUSIVE),
    ],
)
def test_where_nobody_waits_there_is_none(work: Work, size: TableSize, lock: Lock) -> None:
    assert found(Statement("x", lock, on=(USERS,), work=work), users=size) == []


def test_a_table_of_this_migration_is_not_waited_for() -> None:
    assert found(Statement("x", Lock.ACCESS_EXCLUSIVE, on=(USERS,), work=Work.SCAN)) == []


def test_what_was_never_counted_is_judged_by_its_bytes_and_says_so() -> None:
    assert whys(Statement("x", Lock.SHARE, on=(USERS,), work=Work.SCAN), users=TableSize(None, 1_000_000_000)) == [
        "public.users is read as a whole under SHARE: writes wait for about 2.0 s; size of public.users unknown but for "
        "its bytes: run ANALYZE"
    ]


def test_a_lock_is_held_until_the_end_of_its_transaction() -> None:
    small = Statement("x", Lock.ACCESS_EXCLUSIVE, on=(USERS,))
    reading = Statement("y", Lock.ACCESS_SHARE, on=(EVENTS,), work=Work.SCAN, with_previous=True)
    assert whys(small, reading, users=SMALL, events=BIG) == [
        "public.events is read as a whole while ACCESS EXCLUSIVE on public.users is held: reads and writes wait for about "
        "2.0 s"
    ]
    assert whys(small, replace(reading, with_previous=False), users=SMALL, events=BIG) == []


def test_a_lock_on_what_cannot_be_told_counts() -> None:
    code = Statement("x", Lock.ACCESS_EXCLUSIVE, elsewhere=Lock.ACCESS_EXCLUSIVE)
    reading = Statement("y", Lock.ACCESS_SHARE, on=(EVENTS,), work=Work.SCAN, with_previous=True)
    (why,) = whys(code, reading, events=BIG)
    assert "while ACCESS EXCLUSIVE on tables that cannot be told before is held" in why


def test_the_work_on_all_tables_adds_up_and_the_longest_two_are_named() -> None:
    names = ("a", "b", "c", "d")
    tables = tuple(TableKey("public", n) for n in names)
    works = tuple(TableWork(t, Work.REWRITE) for t in tables)
    statement = Statement("x", Lock.ACCESS_EXCLUSIVE, on=tables, work=Work.REWRITE, works_on=works)
    sizes = {t: TableSize(200_000 * k, 0) for t, k in zip(tables, (1, 2, 4, 3), strict=True)}
    assert [f.why for f in blocking_findings([statement], facts(sizes=sizes))] == [
        "public.c is rewritten, public.d is rewritten and 2 more under ACCESS EXCLUSIVE: reads and writes wait for about "
        "10 s"
    ]


def test_a_view_stands_for_the_tables_it_reads_through_other_views_too() -> None:
    inner = View("public", "inner", False, "", ((EVENTS, "id"), (USERS, "id")))
    outer = View("public", "outer", False, "", ((TableKey("public", "inner"), "id"), (EVENTS, "")))
    kept = View("public", "kept", True, "", ((EVENTS, "id"),))
    known = replace(facts(), graph=graph(users(), events(), views=(inner, kept, outer)))
    for view, seconds in (("outer", [3.0]), ("kept", [])):
        works = (TableWork(TableKey("public", view), Work.SCAN),)
        statement = Statement("x", Lock.ACCESS_EXCLUSIVE, on=(USERS,), work=Work.SCAN, works_on=works)
        finding = found(statement, known=known, users=TableSize(5_000_000, 0), events=BIG)
        assert [f.blocked_s for f in finding] == seconds


def test_a_partitioned_table_and_its_partitions_count_once() -> None:
    parent = users(partition_key="RANGE (id)")
    part = users(name="users_1", partition_of=USERS, partition_bound="DEFAULT")
    statement = Statement(
        "x",
        Lock.SHARE,
        on=(USERS, part.key),
        work=Work.SCAN,
        works_on=(TableWork(part.key, Work.SCAN), TableWork(USERS, Work.SCAN)),
    )
    assert [f.blocked_s for f in found(statement, known=facts(parent, part), users=BIG, users_1=BIG)] == [2.0]


def test_tables_that_inherit_count_with_their_parent() -> None:
    known = facts(users(), events(), inheritors={USERS: (EVENTS,)})
    (finding,) = found(
        Statement("x", Lock.ACCESS_EXCLUSIVE, on=(USERS,), work=Work.REWRITE), known=known, users=SMALL, events=BIG
    )
    assert (finding.level, finding.why.split(":")[0]) == (
        RiskLevel.BLOCKED,
        "public.events is rewritten, public.users is rewritten while ACCESS EXCLUSIVE on public.users is held",
    )


REFERENCING = events(constraints=(primary_key("id", table="events"), foreign_key("events_user", "user_id", USERS)))


def test_a_small_table_that_a_huge_one_references_is_checked_by_reading_the_huge_one() -> None:
    step = {"alterColumnType": {"table": "users", "column": "id", "type": "numeric"}}
    (finding,) = predicted(step, users(), REFERENCING, sizes={USERS: SMALL, EVENTS: HUGE})
    assert (finding.level, finding.reason) == (RiskLevel.BLOCKED, ReasonCode.FULL_SCAN_UNDER_LOCK)
    assert finding.why.startswith("public.events is read as a whole, public.users is rewritten under ACCESS EXCLUSIVE")
    assert predicted(step, users(), REFERENCING, sizes={USERS: SMALL, EVENTS: SMALL}) == []


def test_a_huge_table_referenced_by_a_small_one_is_not_read_for_it() -> None:
    """Each of the few rows is looked up by the key (measured: 1 ms)."""
    step = {"alterColumnType": {"table": "events", "column": "user_id", "type": "integer"}}
    assert predicted(step, users(), REFERENCING, sizes={USERS: HUGE, EVENTS: SMALL}) == []


def test_a_huge_table_that_references_a_small_one_is_written_and_checked() -> None:
    step = {"alterColumnType": {"table": "events", "column": "user_id", "type": "integer"}}
    (finding,) = predicted(step, users(), REFERENCING, sizes={USERS: SMALL, EVENTS: BIG})
    assert finding.blocked_s == pytest.approx(10_000_000 / 200_000 + 10_000_000 / 500_000, abs=0.01)
    assert finding.why.startswith("public.events is rewritten under ACCESS EXCLUSIVE")


def test_a_foreign_key_that_was_never_validated_is_not_checked() -> None:
    unchecked = replace(foreign_key("events_user", "user_id", USERS), validated=False)
    step = {"alterColumnType": {"table": "users", "column": "id", "type": "numeric"}}
    sizes = {USERS: SMALL, EVENTS: HUGE}
    assert predicted(step, users(), events(constraints=(unchecked,)), sizes=sizes) == []


def test_a_foreign_key_whose_rows_compare_as_before_is_not_checked() -> None:
    """varchar to text: nothing is written anew, and the index of the referenced column stays."""
    code = Column("code", "character varying(10)", not_null=True)
    keyed = users(code, constraints=(primary_key("id"), unique("code", name="users_code_key")))
    child = events(
        columns=(Column("code", "character varying(10)"), Column("note", "text")),
        constraints=(
            foreign_key("events_code", "code", USERS, "code"),
            Constraint("short", "check", "CHECK ((code <> ''::text))", ("code",)),
        ),
    )
    step = {"alterColumnType": {"table": "events", "column": "code", "type": "text"}}
    (finding,) = predicted(step, keyed, child, sizes={USERS: HUGE, EVENTS: BIG})
    assert finding.blocked_s == 2.0  # the CHECK alone


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("VACUUM FULL users, events", "public.events is rewritten, public.users is rewritten under ACCESS EXCLUSIVE"),
        (
            "ALTER TABLE users ADD COLUMN a int; SELECT count(*) FROM events",
            "public.events is read as a whole while ACCESS EXCLUSIVE on public.users is held",
        ),
        (
            "ALTER TABLE users ADD COLUMN a int; SELECT count(*) FROM recent",
            "public.events is read as a whole while ACCESS EXCLUSIVE on public.users is held",
        ),
        (
            "ALTER TABLE users ADD COLUMN a int; SELECT count(*) FROM users JOIN events USING (id)",
            "public.events is read as a whole, public.users is read as a whole while ACCESS EXCLUSIVE on public.users is "
            "held",
        ),
        (
            "ALTER TABLE users ADD COLUMN a int; ALTER TABLE users RENAME TO people; SELECT count(*) FROM people, events",
            "public.events is read as a whole, public.users is read as a whole while ACCESS EXCLUSIVE on public.users is "
            "held",
        ),
        (
            "ALTER TABLE users ADD COLUMN a int; CREATE TABLE copy AS SELECT * FROM events",
            "public.events is read as a whole while ACCESS EXCLUSIVE on public.users is held",
        ),
    ],
)
def test_a_raw_sql_is_blocked_by_a_big_table_wherever_it_stands(text: str, expected: str) -> None:
    view = View("public", "recent", False, "", ((EVENTS, "id"),))
    known = replace(facts(users(), events()), graph=graph(users(), events(), views=(view,)))
    (planned,) = plan({"rawSql": {"sql": text}}, of=replace(known, sizes={USERS: SMALL, EVENTS: HUGE})).steps
    assert planned.level is RiskLevel.BLOCKED
    assert expected in [f.why.split(":")[0] for f in planned.findings if f.blocked_s is not None]


NUMBERED = Column("number", "bigint")
PARTITIONED = users(NUMBERED, partition_key="RANGE (id)")
PARTITION = users(NUMBERED, name="users_1", partition_of=USERS, partition_bound="DEFAULT")
REQUIRED = {"alterColumnNullable": {"table": "users", "column": "number", "nullable": False}}


@pytest.mark.parametrize("version", [150018, 180006])
@pytest.mark.parametrize("size", [HUGE, UNCOUNTED], ids=["huge", "never counted"])
@pytest.mark.parametrize(
    ("step", "tables"),
    [
        ({"addForeignKey": {"table": "events", "columns": ["user_id"], "referencesTable": "users",
                            "referencesColumns": ["id"]}}, (users(), events())),
        ({"addUnique": {"table": "users", "columns": ["email"]}}, (users(),)),
        ({"addIndex": {"table": "users", "columns": ["email"]}}, (users(),)),
        (REQUIRED, (users(NUMBERED),)),
        (REQUIRED, (PARTITIONED, PARTITION)),
        ({"addColumn": {"table": "users", "column": "u", "type": "uuid", "default": "gen_random_uuid()"}}, (users(),)),
        ({"backfill": {"table": "users", "set": {"email": "lower(email)"}, "where": "true"}}, (users(),)),
        ({"alterColumnType": {"table": "users", "column": "email", "type": "varchar"}}, (users(EMAIL),)),
        ({"softDropColumn": {"table": "users", "column": "email"}}, (users(),)),
        ({"dropUnique": {"table": "users", "name": "users_key"}}, (users(constraints=(primary_key("id"), unique("age"))),)),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else str(len(value)),
)  # fmt: skip
def test_an_online_form_makes_nobody_wait_whatever_the_size(
    step: dict[str, Any], tables: tuple[Table, ...], size: TableSize, version: int
) -> None:
    known = facts(*tables, version=version, sizes={t.key: size for t in tables})
    (planned,) = plan(step, of=known).steps
    assert [f for f in planned.findings if f.reason in WAITING] == []
    assert planned.level.score < RiskLevel.BLOCKED.score


# Functions that are called for each row, and indexes that are slow to build

DOCS = {USERS: TableSize(400_000, 195_000_000)}
TRIGRAMS = Index("t", "CREATE INDEX t ON public.users USING gin (email gin_trgm_ops)", ("email",))
WORDS = Index(
    "w", "CREATE INDEX w ON public.users USING btree (to_hex(age)) WHERE (email <> ''::text)", ("age", "email")
)


def waiting(step: dict[str, Any], *indexes: Index, **changes: Any) -> float:
    found = predicted(step, users(indexes=indexes, **changes), sizes=DOCS)
    return sum(f.blocked_s or 0 for f in found)


def generated(expression: str) -> dict[str, Any]:
    arguments = {"column": "g", "type": "text", "expression": expression, "storage": "Stored"}
    return {"addGeneratedColumn": {"table": "users", **arguments}}


def retyped(column: str = "age", type_text: str = "bigint", **arguments: Any) -> dict[str, Any]:
    return {"alterColumnType": {"table": "users", "column": column, "type": type_text, **arguments}}


def test_functions_called_for_each_row_are_predicted() -> None:
    """Measured: 400,000 documents of 500 bytes take 13 s through to_tsvector."""
    plain = waiting(generated("lower(email) || coalesce(nullif(age, 1)::text, '')"))
    assert plain == pytest.approx(6.5)
    assert waiting(generated("to_tsvector('english', email)")) == pytest.approx(plain + 13)
    assert waiting(retyped(using="slow(age)")) == pytest.approx(waiting(retyped(using="age::bigint")) + 13)
    assert extra_s(Statement("x", Lock.NONE, calls_functions=True), TableSize(600_000, 0)) == pytest.approx(2.0)


def test_indexes_that_are_built_anew_are_predicted_as_what_they_are() -> None:
    plain = waiting(retyped())
    assert waiting(retyped(), TRIGRAMS) == pytest.approx(plain + 5 * 1.95)
    assert waiting(retyped(), WORDS) == pytest.approx(plain + 13)
    assert waiting(generated("age + 1"), TRIGRAMS, WORDS) == pytest.approx(plain + 5 * 1.95 + 13)


def test_only_what_is_built_anew_counts() -> None:
    """`text` to another collation: indexes that use the column are built anew, and no row is written."""
    recollated = retyped("email", "text", collation="C")
    assert waiting(recollated, TRIGRAMS) == pytest.approx(5 * 1.95)
    aged = Index("a", "CREATE INDEX a ON public.users USING gist (age)", ("age",))
    assert waiting(recollated, aged) == 0
    assert (
        waiting(
            retyped("email", "varchar"), Index("b", "CREATE INDEX b ON public.users USING btree (email)", ("email",))
        )
        == 0
    )


def test_checks_that_are_asked_again_are_predicted() -> None:
    def check(text: str, **changes: Any) -> tuple[Constraint, ...]:
        return (Constraint("c", "check", f"CHECK ({text})", ("email",), **changes),)

    step = retyped("email", "varchar")
    plain = waiting(step, constraints=check("email <> ''"))
    assert plain == pytest.approx(0.39)
    assert waiting(step, constraints=check("slow(email)")) == pytest.approx(plain + 13)
    assert waiting(step, constraints=check("slow(email)", validated=False)) == 0


def test_what_the_parser_cannot_read_is_taken_for_slow() -> None:
    deep = "(" + " || ".join(["email"] * 120) + ")"
    unread = Index("d", f"CREATE INDEX d ON public.users USING btree ({deep})", ("email",))
    assert per_row.slow_indexes([unread]) == (True, False)
    assert per_row.slow_indexes([TRIGRAMS, WORDS]) == (True, True)
    assert per_row.calls(deep)


def test_functions_of_one_table_are_not_called_for_another() -> None:
    statement = Statement(
        "x",
        Lock.ACCESS_EXCLUSIVE,
        on=(USERS, EVENTS),
        work=Work.BUILD,
        works_on=(TableWork(USERS, Work.BUILD), TableWork(EVENTS, Work.BUILD)),
        calls_functions=True,
    )
    (finding,) = found(statement, users=SMALL, events=BIG)
    assert finding.blocked_s == pytest.approx(20, abs=0.01)
