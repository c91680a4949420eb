"""Planning: the steps of a spec against the graph, each against what the one before leaves behind."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from functools import partial

from zanith.api.spec import MigrationSpec
from zanith.core.errors import SpecError
from zanith.core.graph import Facts, SchemaGraph, Table
from zanith.core.identifiers import TableKey
from zanith.core.statement import Statement
from zanith.operations.operation import Operation
from zanith.operations.step import Step
from zanith.operations.step_context import StepContext, Undo
from zanith.planning.cost import blocking_findings
from zanith.planning.kept_names import KeptNames
from zanith.planning.plan import Plan, PlannedStep


def plan_migration(spec: MigrationSpec, facts: Facts) -> Plan:
    """The plan of a migration that has not begun. Raises SpecError naming each step by path."""
    steps, _ = _plan_steps(spec, facts)
    return Plan(migration_id=spec.migration_id, database=facts.database, steps=steps)


def left_behind(spec: MigrationSpec, facts: Facts, *, done: Collection[int] = ()) -> Facts:
    """What is known once a migration is through, to plan the one after it; steps in `done` stand in `facts` already."""
    for operation, ctx in steps_in_context(spec, facts, done=done):
        facts = _after(operation, ctx)
    return facts


def steps_in_context(
    spec: MigrationSpec, facts: Facts, *, done: Collection[int] = ()
) -> Iterator[tuple[Operation, StepContext]]:
    """Each step that is not in `done`, and what it finds when it begins."""
    before = facts.graph
    for index, step in enumerate(spec.steps, start=1):
        if index not in done:
            ctx = StepContext(facts, spec.migration_id, index, before)
            yield step.operation, ctx
            facts = _after(step.operation, ctx)


def extend_plan(plan: Plan, spec: MigrationSpec, facts: Facts, *, done: Collection[int]) -> Plan:
    """A begun plan with the steps that were appended to the spec since.

    `facts` are live; the frozen steps not in `done` are projected first. Raises SpecError.
    """
    begun = len(plan.steps)
    before = facts.graph
    for index, step in enumerate(spec.steps[:begun], start=1):
        ctx = StepContext(facts, spec.migration_id, index, before)
        before = _without(before, step.operation.adds(ctx))
        if index not in done:
            facts = _after(step.operation, ctx)
    added, _ = _plan_steps(spec, facts, begun=plan.steps, before=before)
    return replace(plan, steps=(*plan.steps, *added))


def step_digest(step: Step) -> str:
    """Hash of a step as written; a default spelt out or left out is the same, so new options change no digest."""
    content = step.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:32]


def spec_digests(spec: MigrationSpec) -> tuple[str, ...]:
    """A digest per step, in order."""
    return tuple(step_digest(step) for step in spec.steps)


def spec_hash(spec: MigrationSpec) -> str:
    """Over the migration id and all steps."""
    return hashlib.sha256("\n".join([spec.migration_id, *spec_digests(spec)]).encode()).hexdigest()[:32]


def _plan_steps(
    spec: MigrationSpec, facts: Facts, *, begun: tuple[PlannedStep, ...] = (), before: SchemaGraph | None = None
) -> tuple[tuple[PlannedStep, ...], Facts]:
    """Plan the steps after those that are `begun`, and what is known after them; `before` is what the migration began with.

    Stops at the first step with problems: what follows would only echo it.
    """
    before = facts.graph if before is None else before
    planned = []
    hidden: list[int] = []
    kept = KeptNames()
    for step in begun:
        kept.add(step.index, step.statements)
    for index, given in enumerate(spec.steps[len(begun) :], start=len(begun) + 1):
        operation = given.operation
        ctx = StepContext(facts, spec.migration_id, index, before)
        problems = [f"spec.steps[{index - 1}].{operation.kind}: {p}" for p in operation.problems(ctx)]
        if problems:
            raise SpecError([problems[0] + _after_hidden(hidden), *problems[1:]], step=index)
        if operation.hides(ctx):
            hidden.append(index)
        statements = operation.statements(ctx)
        twice = [f"spec.steps[{index - 1}].{operation.kind}: {p}" for p in kept.problems(statements)]
        if twice:
            raise SpecError(twice, step=index)
        kept.add(index, statements)
        planned.append(
            PlannedStep(
                index=index,
                kind=operation.kind,
                target=operation.target(ctx),
                digest=step_digest(given),
                statements=_locking_all(statements, ctx, operation),
                findings=(*operation.findings(ctx), *blocking_findings(statements, facts)),
                probes=operation.probes(ctx),
                undo=_undo_locking_all(operation.undo(ctx), ctx, operation),
            )
        )
        facts = _after(operation, ctx)
    return tuple(planned), facts


def _after_hidden(steps: list[int]) -> str:
    """What to say where an earlier step may have made what a later one misses, and nobody can see it."""
    if not steps:
        return ""
    which = f"step {steps[0]} changes" if len(steps) == 1 else f"steps {', '.join(map(str, steps))} change"
    return f"; {which} what cannot be seen before: what needs that belongs into a migration that depends on this one"


def _after(operation: Operation, ctx: StepContext) -> Facts:
    """What is known once the step has run. Sizes move with their tables: a rename makes no table small."""
    return ctx.facts.after(operation.project(ctx), operation.moves(ctx))


def _without(graph: SchemaGraph, columns: Iterable[tuple[TableKey, str]]) -> SchemaGraph:
    for key, column in columns:
        graph = graph.with_changed(key, partial(Table.without_column, name=column))
    return graph


def _locking_all(statements: tuple[Statement, ...], ctx: StepContext, operation: Operation) -> tuple[Statement, ...]:
    """What locks a partitioned table locks its partitions too, each in its turn, and what changes columns of a table or
    rows of it those of tables that inherit from it."""

    def locked(statement: Statement, table: TableKey) -> tuple[TableKey, ...]:
        heirs = _heirs(statement, table, ctx) if operation.reaches_heirs else ()
        return (table, *ctx.graph.partitions(table), *heirs)

    return tuple(replace(s, on=tuple(dict.fromkeys(k for t in s.on for k in locked(s, t)))) for s in statements)


def _heirs(statement: Statement, table: TableKey, ctx: StepContext) -> tuple[TableKey, ...]:
    """LOCK TABLE takes them of all of its tables, others only of the one they name; COMMENT and DROP TRIGGER take none."""
    named = statement.backfill is not None or statement.sql.startswith(("ALTER TABLE ", "ANALYZE "))
    if (named and statement.on[0] == table) or statement.sql.startswith("LOCK TABLE "):
        return ctx.heirs(table)
    return ()


def _undo_locking_all(undo: Undo, ctx: StepContext, operation: Operation) -> Undo:
    otherwise = None if undo.otherwise is None else _undo_locking_all(undo.otherwise, ctx, operation)
    return replace(undo, statements=_locking_all(undo.statements, ctx, operation), otherwise=otherwise)
