"""A plan as people and programs read it: the page's shape, SQL, JSON. Pure, and it decides nothing.

The words of `Migration plan — N pending migration(s):` and what follows are a contract.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from zanith.core.risk import RiskLevel, by_level
from zanith.core.statement import Probe, Statement
from zanith.planning.plan import Plan, PlannedStep


class Answer(StrEnum):
    """What the data said to a probe."""

    NO = "no"
    YES = "yes"
    """Rows are in the way."""
    UNANSWERED = "unanswered"
    """Not within the time it has."""
    LATER = "later"
    """It was not asked: a step before may change the answer."""


@dataclass(frozen=True, slots=True)
class ProbeAnswer:
    """A probe that was asked for a person, with what came back."""

    step_index: int
    probe: Probe
    answer: Answer
    keys: tuple[str, ...] = ()
    """Keys of a few of the rows in the way: for the terminal, and so never in JSON."""


@dataclass(frozen=True, slots=True)
class PendingMigration:
    """A migration that is not applied yet, with its plan."""

    plan: Plan
    done: frozenset[int] = frozenset()
    """Steps that are done already, of a migration that began."""
    refused: str = ""
    """What a gate says against it, as the audit would keep it: `refused — max risk 60`."""
    approval: bool = False
    """Whether a person has to approve it by its hash before it runs."""
    answers: tuple[ProbeAnswer, ...] = ()
    """What the data said, where it was asked."""

    def answers_to(self, step: PlannedStep) -> tuple[ProbeAnswer, ...]:
        return tuple(a for a in self.answers if a.step_index == step.index)


def plan_text(pending: Sequence[PendingMigration], *, verbose: bool = False) -> str:
    """The plan for people; `verbose` adds objects, locks, and each risk with its reason and the safer way."""
    lines = [f"Migration plan — {len(pending)} pending migration(s):"]
    if pending:
        steps = [step for p in pending for step in p.plan.steps]
        levels = by_level(step.level for step in steps)
        lines += [
            f"Worst risk: {_worst(steps).value}",
            f"Total risk score: {sum(step.score for step in steps)}",
            f"By level: {', '.join(f'{level.value}={count}' for level, count in levels.items())}",
        ]
    for p in pending:
        lines.append(f"▸ {_one_line(p.plan.migration_id)}")
        for step in p.plan.steps:
            sigil = "✓" if step.index in p.done else "·"
            lines.append(f"  {sigil} [{step.level.value}] {step.kind}{f' {_one_line(step.target)}' if verbose else ''}")
            if verbose:
                lines += [f"      {line}" for line in _details(step)]
            lines += [f"      {line}" for line in _probed(step, p.answers_to(step), verbose=verbose)]
        if p.refused:
            lines.append(f"  {p.refused}")
        if p.approval or verbose:
            lines.append(f"  plan hash: {p.plan.hash}{' (waits for approval)' if p.approval else ''}")
    return "\n".join(lines)


def _details(step: PlannedStep) -> Iterator[str]:
    for statement in step.statements:
        if statement.lock.strength:
            yield _lock(statement)
    for finding in step.findings:
        yield f"{finding.reason.value}: {_one_line(finding.why)}"
        if finding.safer:
            yield f"safer: {_one_line(finding.safer)}"


_ANSWERS = {
    Answer.NO: "no",
    Answer.YES: "yes",
    Answer.UNANSWERED: "not answered in time",
    Answer.LATER: "asked once the steps before are done",
}


def _probed(step: PlannedStep, answers: Sequence[ProbeAnswer], *, verbose: bool) -> Iterator[str]:
    """What is asked of the data, or what it said; only what is in the way, unless `verbose`."""
    if verbose and not answers:
        yield from (f"checked before it runs: {_one_line(probe.question)}" for probe in step.probes)
    for given in answers:
        if verbose or given.answer in (Answer.YES, Answer.UNANSWERED):
            yield f"data: {_one_line(given.probe.question)}: {_ANSWERS[given.answer]}"
        if given.keys:
            yield f"rows by key: {'; '.join(given.keys)}"


def _lock(statement: Statement) -> str:
    unknown = ["tables that cannot be told before"] if statement.elsewhere.strength else []
    return _one_line(f"lock: {statement.lock.value} on {', '.join([*map(str, statement.on), *unknown])}")


def plan_sql(pending: Sequence[PendingMigration]) -> str:
    """Every statement in order, each with the step it belongs to and its lock as comments."""
    parts = []
    for p in pending:
        parts.append(f"-- {_one_line(p.plan.migration_id)}, plan {p.plan.hash}")
        for step in p.plan.steps:
            state = ", done" if step.index in p.done else ""
            parts.append(f"-- step {step.index}: [{step.level.value}] {step.kind} {_one_line(step.target)}{state}")
            parts += statements_sql(step.statements)
    return "\n".join(parts)


def statements_sql(statements: Iterable[Statement]) -> Iterator[str]:
    """Each statement in lines, with its lock as a comment above it."""
    for statement in statements:
        if statement.lock.strength:
            yield f"-- {_lock(statement)}"
        if statement.backfill is not None:
            yield "-- run in batches, each with its checkpoint"
        yield f"{statement.sql.rstrip().rstrip(';')};"


def _one_line(text: str) -> str:
    """Names may hold line breaks; in a comment, what follows one would be SQL."""
    return " ".join(text.split())


def plan_json(pending: Sequence[PendingMigration]) -> dict[str, Any]:
    """The plan for programs, everything in it; keys as in the resource's status."""
    steps = [step for p in pending for step in p.plan.steps]
    levels = by_level(step.level for step in steps)
    return {
        "pending": len(pending),
        "worstRisk": _worst(steps).value if steps else None,
        "totalScore": sum(step.score for step in steps),
        "byLevel": {level.value: count for level, count in levels.items()},
        "migrations": [_migration_json(p) for p in pending],
    }


def _migration_json(pending: PendingMigration) -> dict[str, Any]:
    plan = pending.plan
    return {
        "migrationId": plan.migration_id,
        "planHash": plan.hash,
        "refused": pending.refused or None,
        "waitsForApproval": pending.approval,
        "risk": {
            "level": plan.level.value,
            "score": plan.level.score,
            "totalScore": plan.total_score,
            "reasons": [reason.value for reason in plan.reasons],
        },
        "steps": [_step_json(step, pending) for step in plan.steps],
    }


def _step_json(step: PlannedStep, pending: PendingMigration) -> dict[str, Any]:
    said = {id(a.probe): a.answer.value for a in pending.answers_to(step)}
    return {
        "index": step.index,
        "kind": step.kind,
        "target": step.target,
        "state": "Done" if step.index in pending.done else "Pending",
        "riskLevel": step.level.value,
        "riskScore": step.score,
        "findings": [
            {
                "level": f.level.value,
                "reason": f.reason.value,
                "why": f.why,
                "safer": f.safer,
                "blockedSeconds": f.blocked_s,
            }
            for f in step.findings
        ],
        "statements": [
            {"sql": s.sql, "lock": s.lock.value, "on": [str(table) for table in s.on], "transactional": s.transactional}
            for s in step.statements
        ],
        "probes": [
            {"kind": p.kind.value, "question": p.question, "remedy": p.remedy, "answer": said.get(id(p))}
            for p in step.probes
        ],
    }


def _worst(steps: Sequence[PlannedStep]) -> RiskLevel:
    return max((step.level for step in steps), key=lambda level: level.score)
