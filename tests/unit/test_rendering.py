"""A plan as text, SQL and JSON. The first test is the page's own example, figures and all."""

from __future__ import annotations

import json
from typing import Any

import pytest

from zanith.core.graph import DatabaseIdentity
from zanith.core.identifiers import TableKey
from zanith.core.risk import Finding, ReasonCode, RiskLevel
from zanith.core.statement import Backfill, KeyColumn, Lock, Probe, ProbeKind, Statement
from zanith.planning.plan import Plan, PlannedStep
from zanith.planning.rendering import Answer, PendingMigration, ProbeAnswer, plan_json, plan_sql, plan_text

USERS = TableKey("public", "users")
DATABASE = DatabaseIdentity("1", 1, "shop")


def step(index: int, kind: str, level: RiskLevel, reason: ReasonCode, *, safer: str = "", **parts: Any) -> PlannedStep:
    return PlannedStep(
        index=index,
        kind=kind,
        target=parts.pop("target", "public.users.email"),
        digest=f"digest {index}",
        statements=parts.pop("statements", (Statement(f"ALTER TABLE users {kind};", Lock.ACCESS_EXCLUSIVE, (USERS,)),)),
        findings=(Finding(level, reason, f"why of {kind}", safer),),
        **parts,
    )


ADD = step(1, "addColumn", RiskLevel.SAFE, ReasonCode.ADDS_NULLABLE_COLUMN)
BACKFILL = step(
    2,
    "backfill",
    RiskLevel.MEDIUM,
    ReasonCode.REQUIRES_BACKFILL,
    statements=(
        Statement(
            "UPDATE users SET email = lower(email)",
            Lock.ROW_EXCLUSIVE,
            (USERS,),
            backfill=Backfill(
                "public", "users", (KeyColumn("id", "bigint"),), (("email", "lower(email)"),), "true", None
            ),
        ),
    ),
)
DROP = step(
    1,
    "dropColumn",
    RiskLevel.DESTRUCTIVE,
    ReasonCode.DROPS_COLUMN_WITH_DATA,
    safer="- softDropColumn:\n    table: users",
    probes=(Probe(ProbeKind.NULLS, "SELECT 1", "column public.users.email has NULLs", "fill them"),),
)
CREATE = step(
    1,
    "createTable",
    RiskLevel.SAFE,
    ReasonCode.ADDS_TABLE,
    target="public.a\nDROP TABLE b; --",
    statements=(Statement("CREATE TABLE a ()", Lock.NONE),),
)

NORMALIZE = Plan("20260401_normalize_email", DATABASE, (ADD, BACKFILL))
DROPPING = Plan("20260402_drop_legacy_uuid", DATABASE, (DROP,))
REFUSED = PendingMigration(DROPPING, refused="refused — max risk 60")


def test_the_plan_in_the_words_of_the_page() -> None:
    assert (
        plan_text([PendingMigration(NORMALIZE), PendingMigration(DROPPING)])
        == """\
Migration plan — 2 pending migration(s):
Worst risk: destructive
Total risk score: 120
By level: safe=1, medium=1, destructive=1
▸ 20260401_normalize_email
  · [safe] addColumn
  · [medium] backfill
▸ 20260402_drop_legacy_uuid
  · [destructive] dropColumn"""
    )


def test_nothing_pending() -> None:
    assert plan_text([]) == "Migration plan — 0 pending migration(s):"
    assert plan_sql([]) == ""
    assert plan_json([]) == {"pending": 0, "worstRisk": None, "totalScore": 0, "byLevel": {}, "migrations": []}


def test_what_is_done_refused_or_waits_for_approval_is_shown() -> None:
    begun = PendingMigration(NORMALIZE, done=frozenset({1}), approval=True)
    assert plan_text([begun, REFUSED]).splitlines()[4:] == [
        "▸ 20260401_normalize_email",
        "  ✓ [safe] addColumn",
        "  · [medium] backfill",
        f"  plan hash: {NORMALIZE.hash} (waits for approval)",
        "▸ 20260402_drop_legacy_uuid",
        "  · [destructive] dropColumn",
        "  refused — max risk 60",
    ]


def test_verbose_adds_objects_locks_risks_and_safer_ways() -> None:
    create = Plan("20260403_create", DATABASE, (CREATE,))
    assert plan_text([PendingMigration(DROPPING), PendingMigration(create)], verbose=True).splitlines()[4:] == [
        "▸ 20260402_drop_legacy_uuid",
        "  · [destructive] dropColumn public.users.email",
        "      lock: ACCESS EXCLUSIVE on public.users",
        "      drops_column_with_data: why of dropColumn",
        "      safer: - softDropColumn: table: users",
        "      checked before it runs: column public.users.email has NULLs",
        f"  plan hash: {DROPPING.hash}",
        "▸ 20260403_create",
        "  · [safe] createTable public.a DROP TABLE b; --",
        "      adds_table: why of createTable",
        f"  plan hash: {create.hash}",
    ]


@pytest.mark.parametrize(
    ("answer", "verbose", "lines"),
    [
        (Answer.NO, False, []),
        (Answer.NO, True, ["data: column public.users.email has NULLs: no"]),
        (Answer.YES, False, ["data: column public.users.email has NULLs: yes", "rows by key: id = 1; id = 2"]),
        (Answer.UNANSWERED, False, ["data: column public.users.email has NULLs: not answered in time"]),
        (Answer.LATER, False, []),
        (Answer.LATER, True, ["data: column public.users.email has NULLs: asked once the steps before are done"]),
    ],
)
def test_what_the_data_said_is_shown_with_its_step(answer: Answer, verbose: bool, lines: list[str]) -> None:
    (probe,) = DROP.probes
    given = ProbeAnswer(1, probe, answer, ("id = 1", "id = 2") if answer is Answer.YES else ())
    shown = plan_text([PendingMigration(DROPPING, answers=(given,))], verbose=verbose)
    asked = [line.strip() for line in shown.splitlines() if line.strip().startswith(("data:", "rows", "checked"))]
    assert asked == lines


def test_keys_of_rows_are_in_no_json() -> None:
    (probe,) = DROP.probes
    document = plan_json([PendingMigration(DROPPING, answers=(ProbeAnswer(1, probe, Answer.YES, ("id = 17",)),))])
    assert "17" not in json.dumps(document["migrations"][0]["steps"])
    assert document["migrations"][0]["steps"][0]["probes"][0]["answer"] == "yes"


def test_sql_is_a_script_whose_comments_cannot_be_escaped() -> None:
    create = Plan("20260403\ncreate", DATABASE, (CREATE,))
    begun = PendingMigration(NORMALIZE, done=frozenset({1}))
    assert (
        plan_sql([begun, PendingMigration(create)])
        == f"""\
-- 20260401_normalize_email, plan {NORMALIZE.hash}
-- step 1: [safe] addColumn public.users.email, done
-- lock: ACCESS EXCLUSIVE on public.users
ALTER TABLE users addColumn;
-- step 2: [medium] backfill public.users.email
-- lock: ROW EXCLUSIVE on public.users
-- run in batches, each with its checkpoint
UPDATE users SET email = lower(email);
-- 20260403 create, plan {create.hash}
-- step 1: [safe] createTable public.a DROP TABLE b; --
CREATE TABLE a ();"""
    )


def test_json_holds_everything() -> None:
    document = json.loads(json.dumps(plan_json([PendingMigration(NORMALIZE, done=frozenset({1})), REFUSED])))
    assert {k: v for k, v in document.items() if k != "migrations"} == {
        "pending": 2,
        "worstRisk": "destructive",
        "totalScore": 120,
        "byLevel": {"safe": 1, "medium": 1, "destructive": 1},
    }
    first, second = document["migrations"]
    assert [s["state"] for s in first["steps"]] == ["Done", "Pending"]
    assert first["refused"] is None
    assert second == {
        "migrationId": "20260402_drop_legacy_uuid",
        "planHash": DROPPING.hash,
        "refused": "refused — max risk 60",
        "waitsForApproval": False,
        "risk": {
            "level": "destructive",
            "score": 80,
            "totalScore": 80,
            "reasons": ["drops_column_with_data"],
        },
        "steps": [
            {
                "index": 1,
                "kind": "dropColumn",
                "target": "public.users.email",
                "state": "Pending",
                "riskLevel": "destructive",
                "riskScore": 80,
                "findings": [
                    {
                        "level": "destructive",
                        "reason": "drops_column_with_data",
                        "why": "why of dropColumn",
                        "safer": "- softDropColumn:\n    table: users",
                        "blockedSeconds": None,
                    }
                ],
                "statements": [
                    {
                        "sql": "ALTER TABLE users dropColumn;",
                        "lock": "ACCESS EXCLUSIVE",
                        "on": ["public.users"],
                        "transactional": True,
                    }
                ],
                "probes": [
                    {
                        "kind": "nulls",
                        "question": "column public.users.email has NULLs",
                        "remedy": "fill them",
                        "answer": None,
                    }
                ],
            }
        ],
    }
