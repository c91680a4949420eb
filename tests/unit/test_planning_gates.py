"""Gates: in their order, in the words of the audit, and an approval is of one very plan."""

from __future__ import annotations

from typing import Any

import pytest

from unit.builders import ADD, DROP, FILL, INDEX, REQUIRE, SOFT_DROP, plan, spec
from zanith.core.errors import Refusal
from zanith.planning.gates import approval_needed, refusal


def said(*steps: dict[str, Any], **gates: Any) -> Refusal | None:
    return refusal(plan(*steps), spec(*steps, gates=gates).gates)


def test_the_defaults_let_high_risk_pass() -> None:
    assert said(ADD, FILL, REQUIRE, INDEX, SOFT_DROP) is None


def test_max_risk_is_looked_at_first_and_names_the_worst_step() -> None:
    found = said(ADD, DROP, forbidReasons=["adds_nullable_column"])
    assert found is not None
    assert (found.reason, found.step, found.recorded) == ("RiskBudgetExceeded", 2, "refused — max risk 60")
    assert found.message == (
        "refused — max risk 60: step 2 dropColumn of public.users.email is destructive (80), above spec.gates.maxRisk "
        "60; safer: - softDropColumn: {table: users, column: email}"
    )


@pytest.mark.parametrize(("max_risk", "refused"), [(79, True), (80, False), (100, False)])
def test_a_score_as_high_as_the_budget_passes(max_risk: int, refused: bool) -> None:
    assert (said(DROP, maxRisk=max_risk, allowDestructive=True) is not None) is refused


def test_nothing_is_dropped_for_good_without_a_word() -> None:
    found = said(ADD, DROP, maxRisk=80)
    assert found is not None
    assert (found.reason, found.step, found.recorded) == (
        "DestructiveNotAllowed",
        2,
        "refused — destructive changes are not allowed",
    )
    assert "takes data away for good, and spec.gates.allowDestructive is false" in found.message


def test_the_first_step_with_a_forbidden_reason_is_named() -> None:
    found = said(ADD, FILL, INDEX, forbidReasons=["adds_index", "requires_backfill"])
    assert found is not None
    assert (found.reason, found.step, found.recorded, found.message) == (
        "ReasonForbidden",
        2,
        "refused — reason requires_backfill is forbidden",
        "refused — reason requires_backfill is forbidden: step 2 backfill of public.users (added) has the reason "
        "requires_backfill, which spec.gates.forbidReasons lists",
    )
    assert said(ADD, forbidReasons=["adds_index"]) is None


def test_a_plan_is_approved_by_its_hash_alone() -> None:
    made = plan(ADD)
    required = spec(ADD, gates={"approval": "Required"}).gates
    assert approval_needed(made, spec(ADD).gates, "") is None
    assert approval_needed(made, required, made.hash) is None
    assert str(approval_needed(made, required, "")) == f"plan {made.hash} waits for an approval by that hash"
    assert str(approval_needed(made, required, "old")) == (
        f"another plan was approved; this one is {made.hash}: look at it again and approve it by that hash"
    )
