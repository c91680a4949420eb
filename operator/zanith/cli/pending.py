"""Which of the given migrations are not applied yet, in order, and what they would do. Reads only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from zanith.api.spec import DesiredState, MigrationSpec
from zanith.cli.manifests import Manifest
from zanith.cli.ordering import in_order, outside
from zanith.cli.target import Target
from zanith.core.errors import Conflict, SpecError, ZanithError
from zanith.core.graph import Facts
from zanith.ledger.history_queries import applied_digests, applied_owners, five_tables_exist
from zanith.ledger.reading import read_migration
from zanith.ledger.records import MigrationRecord
from zanith.planning.gates import approval_needed, refusal
from zanith.planning.plan import Plan
from zanith.planning.planner import extend_plan, left_behind, plan_migration, spec_digests
from zanith.planning.rendering import PendingMigration
from zanith.postgres.catalog import read_facts
from zanith.postgres.rehearsing import rehearse
from zanith.postgres.sqlstates import translated

_NOT_REVERTED = "spec.state: Reverted is not supported by this version; set it to Applied"


class MigrationProblem(Exception):
    """An expected error, and the migration it is about."""

    def __init__(self, name: str, error: ZanithError) -> None:
        super().__init__(error.message)
        self.name = name
        self.error = error


def find_pending(target: Target, manifests: Sequence[Manifest]) -> list[Manifest]:
    """Those not applied yet, each after what it depends on.

    Raises SpecError for a cycle or a dependency nobody knows, MigrationProblem for a migration that was changed after
    it was applied or that is to be reverted.
    """
    ordered = in_order(manifests)
    for manifest in ordered:
        if manifest.spec.state is DesiredState.REVERTED:
            raise MigrationProblem(manifest.name, SpecError(_NOT_REVERTED))
    applied: set[str] = set()
    for schema in dict.fromkeys(m.spec.database.schema_name for m in ordered):
        applied |= _applied(target, schema, [m for m in ordered if m.spec.database.schema_name == schema])
    pending = [m for m in ordered if m.name not in applied]
    for dependency, manifest in outside(pending, manifests).items():
        _check_applied_elsewhere(target, dependency, manifest)
    return pending


def _applied(target: Target, schema: str, manifests: Sequence[Manifest]) -> set[str]:
    """Names of those that are applied, checked to be what was applied."""
    conn = target.connection(schema)
    with translated("reading the ledger"):
        if not five_tables_exist(conn, schema):
            return set()
        digests = applied_digests(conn, schema, [m.spec.migration_id for m in manifests])
    applied = set()
    for manifest in manifests:
        if manifest.spec.migration_id not in digests:
            continue
        known = digests[manifest.spec.migration_id]
        if known is not None and known != spec_digests(manifest.spec):
            raise MigrationProblem(manifest.name, _changed("it was applied"))
        applied.add(manifest.name)
    return applied


def _changed(since: str) -> Conflict:
    return Conflict(
        f"its steps are not what they were when {since}; put them back and write another migration",
        reason="ChangedAfterApply",
    )


def _check_applied_elsewhere(target: Target, dependency: str, manifest: Manifest) -> None:
    schema = manifest.spec.database.schema_name
    conn = target.connection(schema)
    with translated("reading the ledger"):
        if five_tables_exist(conn, schema):
            by_id = applied_digests(conn, schema, [dependency])
            if by_id or applied_owners(conn, schema, [dependency]):
                return
    raise MigrationProblem(
        manifest.name,
        SpecError(
            f"spec.dependsOn: {dependency} is neither among the given files nor applied in schema {schema}; "
            "give its file too",
            reason="DependencyMissing",
        ),
    )


def plan_pending(target: Target, pending: Sequence[Manifest]) -> list[tuple[PendingMigration, ZanithError | None]]:
    """The plan of each on the schema the ones before it leave behind, with the gate that says no.

    A migration that began keeps its frozen plan. Raises MigrationProblem.
    """
    facts_of: dict[str, Facts] = {}
    carried: Facts | None = None
    plans = []
    for manifest in pending:
        try:
            schema = manifest.spec.database.schema_name
            conn = target.connection(schema)
            if schema not in facts_of:
                facts_of[schema] = read_facts(conn, schema)
            facts = facts_of[schema]
            if carried is not None:
                # Names without a schema are another schema's, and nothing else: all the rest is of the database.
                facts = replace(
                    carried, default_schema=facts.default_schema, constrained_domains=facts.constrained_domains
                )
            with translated("reading the ledger"):
                record = read_migration(conn, schema, manifest.spec.migration_id)
            begun = _begun(manifest.spec, record)
            plan = _plan(manifest.spec, facts, begun)
            if begun.plan is None and carried is None:
                # Those after it may stand on what it makes and nobody sees; their runner asks then.
                rehearse(conn, manifest.spec, facts)
            plans.append(_gated(manifest.spec, plan, begun))
            carried = left_behind(manifest.spec, facts, done=begun.done)
        except ZanithError as error:
            raise MigrationProblem(manifest.name, error) from error
    return plans


@dataclass(frozen=True, slots=True)
class _Begun:
    """How far a migration is: its frozen plan, if it has one, and the steps that are done."""

    plan: Plan | None
    done: frozenset[int]


def _begun(spec: MigrationSpec, record: MigrationRecord) -> _Begun:
    if record.frozen is None:
        return _Begun(None, frozenset())
    if spec_digests(spec)[: len(record.frozen.digests)] != record.frozen.digests:
        raise _changed("it began")
    return _Begun(record.frozen.plan, record.done)


def _plan(spec: MigrationSpec, facts: Facts, begun: _Begun) -> Plan:
    if begun.plan is None:
        return plan_migration(spec, facts)
    if len(spec.steps) == len(begun.plan.steps):
        return begun.plan
    return extend_plan(begun.plan, spec, facts, done=begun.done)


def _gated(spec: MigrationSpec, plan: Plan, begun: _Begun) -> tuple[PendingMigration, ZanithError | None]:
    """With what the gates say; a plan that was frozen has passed them."""
    if plan is begun.plan:
        return PendingMigration(plan, done=begun.done), None
    refused = refusal(plan, spec.gates)
    return (
        PendingMigration(
            plan,
            done=begun.done,
            refused="" if refused is None else refused.recorded,
            approval=approval_needed(plan, spec.gates, "") is not None,
        ),
        refused,
    )
