"""What a change means for what stands around its table: triggers, standbys, publications, code that names it.

Shared by the kinds that change many rows and those that take something away. It looks at facts only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from zanith.core.graph import Table
from zanith.core.identifiers import TableKey
from zanith.core.risk import Finding, ReasonCode, RiskLevel
from zanith.core.surroundings import mentions
from zanith.operations.step_context import StepContext

_SHOWN = 5
"""Names that one finding lists before it counts the rest."""


def update_problems(ctx: StepContext, key: TableKey) -> Iterator[str]:
    """Why no row of the table can be updated: PostgreSQL refuses it where it could not tell subscribers which row."""
    if key in ctx.facts.without_replica_identity:
        publications = ", ".join(p.name for p in ctx.facts.publications.get(key, ()))
        yield (
            f"table {key} is published ({publications}) without a replica identity that covers it, so that every UPDATE "
            "of it fails; first give it a primary key, or ALTER TABLE ... REPLICA IDENTITY USING INDEX, or FULL"
        )


def update_findings(ctx: StepContext, key: TableKey) -> Iterator[Finding]:
    """What happens beside the rows that are updated."""
    family = (ctx.graph.table(k) for k in (key, *ctx.graph.partitions(key)))
    for table in filter(None, family):
        for trigger in table.triggers:
            if trigger.enabled and trigger.on_update and not _inherited(ctx, table, trigger.name):
                yield Finding(
                    RiskLevel.MEDIUM,
                    ReasonCode.USER_TRIGGERS_FIRE,
                    f"trigger {trigger.name} of {table.key} fires for every row changed",
                )
    yield from rewrite_findings(ctx, key)


def rewrite_findings(ctx: StepContext, key: TableKey) -> Iterator[Finding]:
    """What reaches the standbys and subscribers."""
    count = ctx.facts.standbys
    if count:
        many = "standbys or subscribers" if count > 1 else "standby or subscriber"
        yield Finding(
            RiskLevel.LOW,
            ReasonCode.REPLICATION_IMPACT,
            f"every row of {key} that is written goes to {count} {many} too; they may fall behind",
        )


def published_findings(ctx: StepContext, key: TableKey, what: str) -> Iterator[Finding]:
    """For a table that is published: what its subscribers meet."""
    found = ctx.facts.publications.get(key, ())
    if found:
        names = ", ".join(p.name for p in found)
        why = f"{key} is published ({names}): its subscribers {what}"
        yield Finding(RiskLevel.MEDIUM, ReasonCode.REPLICATION_IMPACT, why)


def new_table_findings(ctx: StepContext, table: Table) -> Iterator[Finding]:
    """For a new table that is published as soon as it is there, and has nothing that its rows are told apart by."""
    names = [name for schema in (None, table.schema) for name in ctx.facts.publishing.get(schema, ())]
    if names and table.primary_key is None:
        yield Finding(
            RiskLevel.HIGH,
            ReasonCode.PUBLISHED_WITHOUT_REPLICA_IDENTITY,
            f"{table.key} is published from the start ({', '.join(names)}) and has no primary key: every UPDATE and DELETE "
            "of it fails",
            safer="give it a primaryKey; or ALTER TABLE ... REPLICA IDENTITY USING INDEX, or FULL, in a rawSql after it",
        )


def lost_identity_findings(ctx: StepContext, key: TableKey, column: str) -> Iterator[Finding]:
    """For a column that goes with the index rows of a published table are told apart by."""
    table = ctx.graph.table(key)
    if table is not None and key in ctx.facts.published and column in identity_columns(ctx, table):
        yield Finding(
            RiskLevel.HIGH,
            ReasonCode.PUBLISHED_WITHOUT_REPLICA_IDENTITY,
            f"{key} is published and loses its replica identity with {column}: every UPDATE and DELETE of it fails",
            safer="give it another one first: ALTER TABLE ... REPLICA IDENTITY USING INDEX, or FULL",
        )


def identity_columns(ctx: StepContext, table: Table) -> frozenset[str]:
    """Columns of the index that is the table's replica identity, chosen or by default."""
    chosen = chosen_identity(ctx, table)
    return chosen or frozenset(table.primary_key.columns if table.primary_key is not None else ())


def chosen_identity(ctx: StepContext, table: Table) -> frozenset[str]:
    """Columns of the index that REPLICA IDENTITY USING INDEX names, where it does."""
    named = {(i.name, i.columns) for i in table.indexes} | {(c.name, c.columns) for c in table.constraints}
    chosen = (columns for name, columns in named if (table.schema, name) in ctx.facts.replica_identities)
    return frozenset(column for columns in chosen for column in columns)


def code_naming_table(ctx: StepContext, key: TableKey) -> Iterator[Finding]:
    """Triggers of other tables, and functions, whose source names the table: they fail once it is gone.

    A word of the same spelling may be something else; nobody but the author can tell.
    """
    own = {b.source for b in ctx.facts.trigger_bodies.get(key, ())}
    called = {
        body.source: f"{body.trigger} of {other}"
        for other, bodies in sorted(ctx.facts.trigger_bodies.items())
        if other != key
        for body in bodies
        if body.mentions(key.name)
    }
    if called:
        yield Finding(
            RiskLevel.HIGH,
            ReasonCode.BREAKS_DEPENDENTS,
            f"trigger {_some(called.values())} names {key.name}: if that is the table, writes fail with it",
            safer="change the trigger's function first",
        )
    functions = [
        f.name for f in ctx.facts.functions
        if f.source not in own and f.source not in called and f.mentions(key.name)
    ]  # fmt: skip
    if functions:
        yield Finding(
            RiskLevel.MEDIUM,
            ReasonCode.BREAKS_DEPENDENTS,
            f"function {_some(functions)} names {key.name}: if that is the table, calls fail from now on",
            safer="change the function first",
        )


def code_naming_column(ctx: StepContext, key: TableKey, column: str) -> Iterator[Finding]:
    """Triggers of the table whose source names the column, and functions that name both."""
    bodies = {
        (other, b) for other in (key, *ctx.graph.partitions(key)) for b in ctx.facts.trigger_bodies.get(other, ())
    }
    called = sorted(f"{b.trigger} of {other}" for other, b in bodies if b.mentions(column))
    if called:
        yield Finding(
            RiskLevel.HIGH,
            ReasonCode.BREAKS_DEPENDENTS,
            f"trigger {_some(called)} names {column}: if that is the column, writes to {key} fail from now on",
            safer="change the trigger's function first",
        )
    own = {b.source for _, b in bodies}
    functions = [
        f.name for f in ctx.facts.functions
        if f.source not in own and f.mentions(column) and mentions(f.source, key.name)
    ]  # fmt: skip
    if functions:
        yield Finding(
            RiskLevel.MEDIUM,
            ReasonCode.BREAKS_DEPENDENTS,
            f"function {_some(functions)} names {key.name} and {column}: if that is the column, calls fail from now on",
            safer="change the function first",
        )


def _inherited(ctx: StepContext, table: Table, trigger: str) -> bool:
    """Whether a partition has the trigger from the table above it."""
    parent = None if table.partition_of is None else ctx.graph.table(table.partition_of)
    return parent is not None and any(t.name == trigger for t in parent.triggers)


def _some(names: Iterable[str]) -> str:
    """The first few, and how many more there are."""
    listed = list(names)
    more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return ", ".join(listed[:_SHOWN]) + more
