"""The conditions beside Ready, Reconciling and Stalled: one question each."""

from __future__ import annotations

from typing import Any

import pytest

from decide_builders import (
    ago,
    applied,
    artifact,
    begun,
    job,
    observed,
    plan,
    spec,
    walking,
)
from zanith.api.conditions import Reason
from zanith.api.status import (
    ArtifactState,
    MigrationStatus,
)
from zanith.controller.decide import decide
from zanith.controller.decide.observed import Observed, RecordedRefusal, Trouble

UNREACHABLE = Trouble(Reason.DATABASE_UNREACHABLE, "the database cannot be reached")
REFUSED = RecordedRefusal(2, "refused — max risk 20", Reason.RISK_BUDGET_EXCEEDED, ago(minutes=1))


def status(seen: Observed) -> MigrationStatus:
    return decide(seen).status


def condition(seen: Observed, kind: str) -> tuple[str, str, str]:
    found = status(seen).condition(kind)
    assert found is not None
    return found.status.value, found.reason, found.message


@pytest.mark.parametrize(
    ("artifacts", "recoverable", "expiring"),
    [
        ((), ("False", "NoArtifacts", ""), ("False", "NoneExpiring", "")),
        (
            (artifact("a"),),
            ("True", "ArtifactsLive", "1 artifact, kept for ever"),
            ("False", "NoneExpiring", ""),
        ),
        (
            (artifact("a", ArtifactState.EXPIRING, days=1),),
            ("True", "ArtifactsLive", "1 artifact, expires 2026-03-29"),
            ("True", "ExpiresSoon", "1 artifact, expires 2026-03-29; kept, for spec.expiryPolicy is Retain"),
        ),
        (
            (artifact("a", ArtifactState.EXPIRED, days=-1),),
            ("True", "Expired", "1 artifact, expired 2026-03-27; kept, for spec.expiryPolicy is Retain"),
            ("True", "Expired", "1 artifact, expired 2026-03-27; kept, for spec.expiryPolicy is Retain"),
        ),
        (
            (artifact("a", ArtifactState.PURGED, days=-1), artifact("b", ArtifactState.RESTORED, days=-1)),
            ("False", "Purged", ""),
            ("False", "NoneExpiring", ""),
        ),
        ((artifact("b", ArtifactState.RESTORED, days=-1),), ("False", "Restored", ""), ("False", "NoneExpiring", "")),
    ],
)
def test_what_can_be_brought_back_is_told(
    artifacts: tuple[Any, ...], recoverable: tuple[str, str, str], expiring: tuple[str, str, str]
) -> None:
    seen = observed(ledger=applied(artifacts=artifacts))
    assert condition(seen, "Recoverable") == recoverable
    assert condition(seen, "ArtifactsExpiring") == expiring


STRICT = spec(gates={"maxRisk": 20})
BY_HAND = spec(gates={"approval": "Required"})
NULLS = RecordedRefusal(2, "refused — has NULLs", Reason.PROBE_FAILED, ago(minutes=1))


@pytest.mark.parametrize(
    ("seen", "kind", "told"),
    [
        (observed(), "Planned", ("Unknown", "NotYetObserved", "")),
        (observed(), "RiskAccepted", ("Unknown", "NotYetObserved", "")),
        (
            observed(STRICT, plan=plan()),
            "RiskAccepted",
            ("False", "RiskBudgetExceeded", "medium (35), step 2 backfill"),
        ),
        (observed(plan=plan(), refusal=NULLS), "RiskAccepted", ("False", "ProbeFailed", "refused — has NULLs")),
        (
            observed(plan=plan(), refusal=REFUSED),
            "RiskAccepted",
            ("True", "WithinBudget", "medium (35), step 2 backfill"),
        ),
        (observed(plan=plan()), "RiskAccepted", ("True", "WithinBudget", "medium (35), step 2 backfill")),
        (observed(STRICT, ledger=begun()), "RiskAccepted", ("True", "WithinBudget", "medium (35), step 2 backfill")),
        (observed(BY_HAND), "Approved", ("Unknown", "NotYetObserved", "")),
        (observed(BY_HAND, plan=plan(), approve=plan().hash), "Approved", ("True", "Approved", f"plan {plan().hash}")),
        (observed(BY_HAND, ledger=begun()), "Approved", ("True", "Approved", f"plan {plan().hash}")),
        (
            observed(BY_HAND, plan=plan(), approve="old"),
            "Approved",
            ("False", "PlanChanged", f"another plan was approved; this one is {plan().hash}"),
        ),
        (
            observed(BY_HAND, plan=plan()),
            "Approved",
            ("False", "AwaitingApproval", f"plan {plan().hash} waits for an approval by that hash"),
        ),
        (observed(ledger=begun(done=1), jobs=(job(),)), "Applied", ("False", "Running", "step 2/3 backfill")),
        (observed(ledger=begun(done=3), jobs=(job(),)), "Applied", ("False", "Running", "")),
        (observed(ledger=begun()), "BackfillProgressing", ("False", "NotStarted", "")),
        (
            observed(ledger=begun(done=1, backfills=(walking(),)), jobs=(job(),)),
            "BackfillProgressing",
            ("True", "Backfilling", "step 2"),
        ),
        (
            observed(ledger=begun(done=1, backfills=(walking(throttled="Query"),)), jobs=(job(),)),
            "BackfillProgressing",
            ("False", "Paused", "step 2"),
        ),
        (
            observed(spec(suspend=True), ledger=begun(done=1, backfills=(walking(),))),
            "BackfillProgressing",
            ("False", "Paused", "step 2"),
        ),
        (
            observed(spec(steps=[{"addIndex": {"table": "users", "columns": ["id"]}}])),
            "BackfillProgressing",
            ("False", "NoBackfill", ""),
        ),
        (
            observed(ledger=begun(done=1, backfills=(walking(throttled="ReplicaLag"),)), jobs=(job(),)),
            "Throttled",
            ("True", "ReplicaLag", "step 2"),
        ),
        (
            observed(ledger=begun(done=1, backfills=(walking(throttled="Moon"),)), jobs=(job(),)),
            "Throttled",
            ("True", "Throttled", "step 2"),
        ),
    ],
)
def test_conditions_answer_one_question_each(seen: Observed, kind: str, told: tuple[str, str, str]) -> None:
    assert condition(seen, kind) == told
