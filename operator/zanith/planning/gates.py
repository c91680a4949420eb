"""Gates: what a plan must not exceed. All rules run in a fixed order; the first that says no is the refusal."""

from __future__ import annotations

from zanith.api.spec import Approval, Gates
from zanith.core.errors import ApprovalNeeded, Refusal
from zanith.planning.plan import Plan, PlannedStep


def refusal(plan: Plan, gates: Gates) -> Refusal | None:
    """The first gate that says no: max risk, allow destructive, forbidden reasons; None where all agree.

    Reasons: RiskBudgetExceeded, DestructiveNotAllowed, ReasonForbidden.
    """
    worst = plan.worst_step
    if worst.score > gates.max_risk:
        return _refusal(
            worst,
            "RiskBudgetExceeded",
            f"max risk {gates.max_risk}",
            f"is {worst.level.value} ({worst.score}), above spec.gates.maxRisk {gates.max_risk}",
        )
    for step in plan.steps:
        if not gates.allow_destructive and any(f.destructive for f in step.findings):
            return _refusal(
                step,
                "DestructiveNotAllowed",
                "destructive changes are not allowed",
                "takes data away for good, and spec.gates.allowDestructive is false",
            )
    for step in plan.steps:
        for finding in step.findings:
            if finding.reason in gates.forbid_reasons:
                return _refusal(
                    step,
                    "ReasonForbidden",
                    f"reason {finding.reason.value} is forbidden",
                    f"has the reason {finding.reason.value}, which spec.gates.forbidReasons lists",
                )
    return None


def approval_needed(plan: Plan, gates: Gates, approved_hash: str) -> ApprovalNeeded | None:
    """What to say where a person has to approve this very plan and has not."""
    if gates.approval is not Approval.REQUIRED or approved_hash == plan.hash:
        return None
    if approved_hash:
        return ApprovalNeeded(
            f"another plan was approved; this one is {plan.hash}: look at it again and approve it by that hash"
        )
    return ApprovalNeeded(f"plan {plan.hash} waits for an approval by that hash")


def _refusal(step: PlannedStep, reason: str, words: str, why: str) -> Refusal:
    safer = next((f.safer for f in step.findings if f.safer), "")
    advice = f"; safer: {safer}" if safer else ""
    return Refusal(
        f"refused — {words}: step {step.index} {step.kind} of {step.target} {why}{advice}",
        recorded=f"refused — {words}",
        reason=reason,
        step=step.index,
    )
