"""archiveColumn: what is refused, what is copied and by what, and how it comes back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from unit.builders import EMAIL, USERS, ctx, facts, foreign_key, graph, operation, primary_key, problems, unique, users
from zanith.core.graph import Column, Constraint, EnumType, Index
from zanith.core.identifiers import TableKey
from zanith.core.statement import IndexIsValid, Lock, Probe, ProbeKind, QueryIsTrue, Statement
from zanith.core.surroundings import SyncTrigger
from zanith.operations.step_context import StepContext, Undo
from zanith.operations.undo_renamed import undo_renamed

ARCHIVE = operation("archiveColumn", table="users", column="email")
COPY = "_zanith_archived_public_users_email_20260328_m"


def texts(statements: tuple[Statement, ...]) -> list[str]:
    return [s.sql for s in statements]


def back(table_of: StepContext) -> Undo:
    return ARCHIVE.undo(table_of)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"columns": (Column("id", "bigint", not_null=True),)}, ["column public.users.email does not exist"]),
        ({"constraints": ()}, ["public.users has no primary key and no unique constraint over NOT NULL columns"]),
        ({"constraints": (primary_key("email"),)}, []),
        ({"columns": (replace(EMAIL, not_null=True),), "constraints": (primary_key("email"),)}, ["is part of the key"]),
        (
            {"columns": (Column("id", "bigint", not_null=True), replace(EMAIL, generated="stored", default="'x'"))},
            ["is generated: its values could not be put back"],
        ),
        (
            {"columns": (Column("id", "bigint", not_null=True), replace(EMAIL, identity="always"))},
            ["is an identity column"],
        ),
        (
            {"columns": (Column("id", "public.citext", not_null=True), EMAIL)},
            ["would be kept by id, whose type public.citext is not PostgreSQL's own"],
        ),
        ({"columns": (Column("id", "public.mood", not_null=True), EMAIL)}, []),
        (
            {"constraints": (primary_key("id"), Constraint("apart", "exclude", "EXCLUDE USING gist (email WITH =)", ("email",)))},
            ["exclude apart would go with public.users.email and could not come back with it; drop it first"],
        ),
    ],
)  # fmt: skip
def test_what_could_not_be_put_back_is_said_before(changes: dict[str, object], says: list[str]) -> None:
    table = users(**changes)
    enums = (EnumType("public", "mood", ("sad",)),)
    found = list(ARCHIVE.problems(StepContext(facts(graph=graph(table, enums=enums)), "20260328_m", 1)))
    if not says:
        assert not [f for f in found if "not PostgreSQL's own" in f]
    for expected in says:
        assert any(expected in f for f in found), found


def test_a_table_that_is_not_there_is_named() -> None:
    assert problems(operation("archiveColumn", table="user", column="email")) == [
        "table public.user does not exist (did you mean users?)"
    ]


def test_the_copy_is_made_filled_and_sealed() -> None:
    statements = ARCHIVE.statements(ctx())
    assert [s.with_previous for s in statements].count(False) == 4, "four transactions"
    assert [s.lock for s in statements if not s.with_previous] == [
        Lock.SHARE_ROW_EXCLUSIVE,
        Lock.ROW_SHARE,
        Lock.ACCESS_EXCLUSIVE,
        Lock.NONE,
    ]
    (walk,) = [s for s in statements if s.backfill is not None]
    assert walk.backfill is not None and walk.backfill.copy is not None
    assert (walk.backfill.copy.table, walk.backfill.copy.direction) == (COPY, "archive")
    assert walk.cleanup[-1] == f'DROP TABLE IF EXISTS "_zanith_shadow"."{COPY}"'
    (kept,) = [s for s in statements if s.artifact is not None]
    assert kept.sql == 'ALTER TABLE "public"."users" DROP COLUMN "email"'
    assert statements[-1].seals == COPY
    assert [f.reason.value for f in ARCHIVE.findings(ctx())] == ["archives_column"]
    assert ARCHIVE.project(ctx()).column(USERS, "email") is None


def test_foreign_keys_and_leftover_triggers_over_the_column_go_with_it() -> None:
    up = foreign_key("up", "email", TableKey("public", "mails"))
    older = SyncTrigger("_zanith_sync_old", "_zanith_sync_fn", "email")
    known = facts(
        graph=graph(users(constraints=(primary_key("id"), up))),
        sync_triggers={USERS: (older, replace(older, name="other", column="age"))},
    )
    statements = ARCHIVE.statements(StepContext(known, "20260328_m", 1))
    dropped = [s for s in statements if s.lock is Lock.ACCESS_EXCLUSIVE]
    assert all(TableKey("public", "mails") in s.on for s in dropped)
    assert 'DROP TRIGGER "_zanith_sync_old" ON "public"."users"' in texts(statements)
    assert not any('"other"' in text for text in texts(statements))
    for kind in ("dropColumn", "softDropColumn"):
        also = texts(operation(kind, table="users", column="email").statements(StepContext(known, "20260328_m", 1)))
        assert 'DROP FUNCTION "_zanith_shadow"."_zanith_sync_fn"()' in also


def test_it_comes_back_with_everything_that_went() -> None:
    required = replace(EMAIL, not_null=True, default="'none'::text", comment="it's", collation='"C"')
    table = users(
        columns=(Column("id", "bigint", not_null=True), required),
        indexes=(
            Index("by_email", "CREATE INDEX by_email ON public.users USING btree (email)", ("email",)),
            Index("by_id", "CREATE INDEX by_id ON public.users USING btree (id)", ("id",)),
        ),
        constraints=(
            primary_key("id"),
            unique("email"),
            Constraint("long", "check", "CHECK (email <> '')", ("email",)),
            Constraint("new", "check", "CHECK (email <> 'x') NOT VALID", ("email",), validated=False),
            foreign_key("up", "email", USERS),
        ),
    )
    undo = ARCHIVE.undo(ctx(table))
    said = "\n".join(texts(undo.statements))
    assert 'ADD COLUMN "email" text COLLATE "C"' in said
    assert "SET DEFAULT ('none'::text)" in said
    assert "IS 'it''s'" in said
    assert "CREATE INDEX CONCURRENTLY" in said and "by_id" not in said
    assert "UNIQUE USING INDEX" in said
    assert said.count("NOT VALID") >= 3 and said.count('VALIDATE CONSTRAINT "long"') == 1
    assert 'VALIDATE CONSTRAINT "new"' not in said
    assert "FOREIGN KEY (email)" in said
    assert [s.backfill.finished_by for s in undo.statements if s.backfill] == [None, "email"], "newer rows: the default"
    assert undo.unless is None
    script = ARCHIVE.statements(ctx(table))
    recovery = next(s.artifact.recovery_sql for s in script if s.artifact is not None)
    assert "SET NOT NULL" in recovery and "ADD CONSTRAINT" in recovery and "CREATE INDEX by_email" in recovery


def test_a_nullable_column_comes_back_in_two_statements() -> None:
    assert [s.sql.split(" ")[0] for s in ARCHIVE.undo(ctx()).statements] == ["ALTER", "UPDATE"]
    by_email = Index("by_email", "CREATE INDEX by_email ON public.users USING btree (email)", ("email",))
    assert problems(ARCHIVE, users(indexes=(by_email,))) == [], "what can be built again is in nobody's way"


def test_not_null_without_a_default_depends_on_newer_rows() -> None:
    table = users(columns=(Column("id", "bigint", not_null=True), replace(EMAIL, not_null=True)))
    undo = ARCHIVE.undo(ctx(table))
    assert undo.unless is not None and undo.otherwise is not None
    assert undo.otherwise.says == "public.users.email comes back without NOT NULL"
    recovery = next(s.artifact.recovery_sql for s in ARCHIVE.statements(ctx(table)) if s.artifact is not None)
    assert recovery.endswith('ALTER COLUMN "email" SET NOT NULL') and "DEFAULT" not in recovery
    assert len(undo.statements) > len(undo.otherwise.statements)
    unvalidated = users(
        constraints=(primary_key("id"), Constraint("n", "not_null", "NOT NULL email", ("email",), validated=False))
    )
    assert texts(ARCHIVE.undo(ctx(unvalidated)).statements)[-1].endswith(
        'ADD CONSTRAINT "n" NOT NULL "email" NOT VALID'
    )


def test_a_renamed_table_is_undone_under_its_new_name() -> None:
    index = IndexIsValid(schema="public", index="i", table="users")
    other = IndexIsValid(schema="public", index="i", table="others")
    probe = Probe(ProbeKind.NULLS, sql="SELECT 1 FROM public.users", question="", remedy="")
    walk = next(s.backfill for s in ARCHIVE.statements(ctx()) if s.backfill is not None)
    statements = (
        Statement(sql="ALTER TABLE public.users ADD x int", lock=Lock.ACCESS_EXCLUSIVE, on=(USERS, USERS._replace(name="b")),
                  cleanup=("DROP INDEX i",), done_when=index, backfill=walk),
        Statement(sql="SELECT 1", lock=Lock.NONE, done_when=QueryIsTrue("SELECT true"), backfill=replace(walk, table="b")),
        Statement(sql="SELECT 1", lock=Lock.NONE, done_when=other),
    )  # fmt: skip
    undo = Undo(statements=statements, probes=(probe,), unless=probe, otherwise=Undo())
    renamed = undo_renamed(undo, USERS, "People")
    assert renamed.statements[0].sql == 'ALTER TABLE public."People" ADD x int'
    assert renamed.statements[0].on == (TableKey("public", "People"), TableKey("public", "b"))
    assert renamed.statements[0].done_when == replace(index, table="People")
    assert [s.backfill.table for s in renamed.statements if s.backfill is not None] == ["People", "b"]
    assert renamed.statements[2].done_when == other
    assert renamed.unless is not None and renamed.unless.sql == 'SELECT 1 FROM public."People"'
    assert undo_renamed(undo, USERS, "users") is undo


def test_inheritance_and_indexes_of_partitioned_tables_are_refused() -> None:
    child = TableKey("public", "child")
    (found,) = problems(ARCHIVE, inheritors={USERS: (child,)})
    assert found.startswith("public.child inherits from public.users")
    (found,) = problems(ARCHIVE, inheritors={child: (USERS,)})
    assert found.startswith("public.users inherits from another table")
    by_email = Index("by_email", "CREATE INDEX by_email ON ONLY public.users USING btree (email)", ("email",))
    (found,) = problems(ARCHIVE, users(indexes=(by_email,), partition_key="RANGE (id)"))
    assert "builds no index of a partitioned table concurrently" in found
