"""Operations on row-level security: whether a table has it, and its policies.

All of them are catalog rows only, under ACCESS EXCLUSIVE for an instant. What a policy lets through is for its author to
know; the findings say what happens to rows that nobody thought of.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from enum import StrEnum
from typing import ClassVar

from psycopg import sql
from pydantic import Field, StrictBool, model_validator

from zanith.core import graph
from zanith.core.graph import SchemaGraph, Table
from zanith.core.identifiers import TableKey, ident, table_ident
from zanith.core.mentions import names_as_printed
from zanith.core.risk import Finding, ReasonCode, RiskLevel
from zanith.core.sql import parse_expression, raw, render
from zanith.core.statement import Lock, Statement
from zanith.operations import parts
from zanith.operations.operation import Name, Operation, SqlCondition
from zanith.operations.step_context import StepContext, Undo, nearest

PUBLIC = "public"
"""The word for all roles; no role can be called so."""


class PolicyCommand(StrEnum):
    """Which commands a policy is for."""

    ALL = "All"
    SELECT = "Select"
    INSERT = "Insert"
    UPDATE = "Update"
    DELETE = "Delete"


class _OnTable(Operation):
    """What the four share: a table, found or missing."""

    table: Name
    """Name of the table."""
    schema_name: Name | None = Field(None, alias="schema")
    """Schema of the table. Default: `spec.database.schema`."""

    def problems(self, ctx: StepContext) -> Iterator[str]:
        table = ctx.graph.table(self._key(ctx))
        if table is None:
            yield ctx.missing_table(self._key(ctx))
        else:
            yield from self._table_problems(ctx, table)

    @abstractmethod
    def _table_problems(self, ctx: StepContext, table: Table) -> Iterator[str]: ...

    def _key(self, ctx: StepContext) -> TableKey:
        return ctx.key(self.schema_name, self.table)


class EnableRls(_OnTable):
    """Turn row-level security on: from then on, roles see and change only the rows that policies let through."""

    kind: ClassVar[str] = "enableRls"

    force: StrictBool = False
    """Whether the table's owner is subject to the policies too. `false` leaves that as it is."""

    def target(self, ctx: StepContext) -> str:
        return str(self._key(ctx))

    def _table_problems(self, ctx: StepContext, table: Table) -> Iterator[str]:
        if not self._actions(table):
            yield f"table {table.key} has row-level security already"

    def findings(self, ctx: StepContext) -> Iterator[Finding]:
        table = ctx.table(self._key(ctx))
        whom = "everybody, its owner included" if self.force or table.force_row_security else "everybody but its owner"
        if any(p.permissive for p in table.policies):
            yield _finding(RiskLevel.MEDIUM, f"rows of {table.key} that no policy lets through are hidden from {whom}")
        else:
            yield _finding(
                RiskLevel.HIGH,
                f"{table.key} has no policy that lets rows through: all of them are hidden from {whom}",
                safer="put the createPolicy steps before enableRls",
            )
        if self.force and not table.force_row_security:
            yield _finding(
                RiskLevel.MEDIUM,
                f"backfills of {table.key} by its owner fail from now on, unless that role has BYPASSRLS",
            )
        if table.partition_key is not None:
            yield _finding(
                RiskLevel.MEDIUM, f"the policies of {table.key} do not hold where a partition is named itself"
            )

    def statements(self, ctx: StepContext) -> tuple[Statement, ...]:
        actions = self._actions(ctx.table(self._key(ctx)))
        return _altered(self._key(ctx), [f"{word} ROW LEVEL SECURITY" for word in actions])

    def undo(self, ctx: StepContext) -> Undo:
        back = {"ENABLE": "DISABLE ROW LEVEL SECURITY", "FORCE": "NO FORCE ROW LEVEL SECURITY"}
        actions = self._actions(ctx.table(self._key(ctx)))
        return Undo(statements=_altered(self._key(ctx), [back[word] for word in actions]))

    def project(self, ctx: StepContext) -> SchemaGraph:
        table = ctx.table(self._key(ctx))
        forced = self.force or table.force_row_security
        return ctx.graph.with_table(replace(table, row_security=True, force_row_security=forced))

    def _actions(self, table: Table) -> list[str]:
        """What is not so yet."""
        wanted = {"ENABLE": not table.row_security, "FORCE": self.force and not table.force_row_security}
        return [word for word, missing in wanted.items() if missing]


class DisableRls(_OnTable):
    """Turn row-level security off: every row is open to whoever may read or write the table. Policies stay, unused."""

    kind: ClassVar[str] = "disableRls"

    def target(self, ctx: StepContext) -> str:
        return str(self._key(ctx))

    def _table_problems(self, ctx: StepContext, table: Table) -> Iterator[str]:
        if not table.row_security:
            yield f"table {table.key} has no row-level security"

    def findings(self, ctx: StepContext) -> Iterator[Finding]:
        yield _finding(
            RiskLevel.HIGH,
            f"every row of {self._key(ctx)} is open to whoever may read or write the table",
            safer="a createPolicy step that opens no more rows than are meant",
        )

    def statements(self, ctx: StepContext) -> tuple[Statement, ...]:
        return _altered(self._key(ctx), ["DISABLE ROW LEVEL SECURITY"])

    def undo(self, ctx: StepContext) -> Undo:
        return Undo(statements=_altered(self._key(ctx), ["ENABLE ROW LEVEL SECURITY"]))

    def project(self, ctx: StepContext) -> SchemaGraph:
        return ctx.graph.with_table(replace(ctx.table(self._key(ctx)), row_security=False))


class CreatePolicy(_OnTable):
    """Create a row-level security policy. It works once the table has row-level security: enableRls."""

    kind: ClassVar[str] = "createPolicy"
    rehearsed: ClassVar[bool] = True

    name: Name
    """Name of the policy."""
    command: PolicyCommand = PolicyCommand.ALL
    """Which commands it is for."""
    permissive: StrictBool = True
    """Whether it lets rows through; `false`: restrictive, it holds back rows that other policies let through."""
    roles: list[Name] = Field(default_factory=list, max_length=100)
    """Roles it is for. Default: all of them (PUBLIC)."""
    using: SqlCondition | None = None
    """Which existing rows may be seen, changed or deleted."""
    with_check: SqlCondition | None = None
    """Which rows may be written. Default for All and Update: the same as `using`."""

    @model_validator(mode="after")
    def _fits_its_command(self) -> CreatePolicy:
        if self.using is None and self.with_check is None:
            raise ValueError("needs using, withCheck, or both")
        if self.command is PolicyCommand.INSERT and self.using is not None:
            raise ValueError("must not have using for Insert; withCheck says which rows may be written")
        if self.command in (PolicyCommand.SELECT, PolicyCommand.DELETE) and self.with_check is not None:
            raise ValueError(f"must not have withCheck for {self.command}, which writes no row")
        parts.refuse_doubled("role", self.roles)
        return self

    def target(self, ctx: StepContext) -> str:
        return f"{self._key(ctx)}.{self.name}"

    def _table_problems(self, ctx: StepContext, table: Table) -> Iterator[str]:
        if any(p.name == self.name for p in table.policies):
            yield f"policy {self.name} of {table.key} exists already"
        for text in self._conditions:
            condition = parse_expression(text)
            # What a subquery names may belong to another table.
            unknown = () if condition.has_subquery else parts.unknown_columns(table, condition.columns)
            yield from (f"{ctx.missing_column(table, c)}, used in policy {self.name}" for c in unknown)

    def findings(self, ctx: StepContext) -> Iterator[Finding]:
        yield _created(ctx.table(self._key(ctx)), self._policy)
        for role in self.roles:
            if role != PUBLIC and role not in ctx.facts.roles:
                yield _finding(
                    RiskLevel.MEDIUM,
                    f"role {role} does not exist{nearest(role, ctx.facts.roles)}: unless it is made before, this fails",
                )

    def statements(self, ctx: StepContext) -> tuple[Statement, ...]:
        return (_create(self._key(ctx), self._policy),)

    def undo(self, ctx: StepContext) -> Undo:
        return Undo(statements=(_drop(self._key(ctx), self.name),))

    def project(self, ctx: StepContext) -> SchemaGraph:
        table = ctx.table(self._key(ctx))
        others = [p for p in table.policies if p.name != self.name]
        policies = tuple(sorted([*others, self._policy], key=lambda p: p.name))
        return ctx.graph.with_table(replace(table, policies=policies))

    @property
    def _conditions(self) -> tuple[str, ...]:
        return tuple(text for text in (self.using, self.with_check) if text is not None)

    @property
    def _policy(self) -> graph.Policy:
        """As the catalog will have it; its conditions as written."""
        return graph.Policy(
            name=self.name,
            command=self.command.upper(),
            permissive=self.permissive,
            roles=(PUBLIC,) if PUBLIC in self.roles else tuple(sorted(self.roles)) or (PUBLIC,),
            using=None if self.using is None else names_as_printed(self.using.strip()),
            with_check=None if self.with_check is None else names_as_printed(self.with_check.strip()),
        )


class DropPolicy(_OnTable):
    """Drop a row-level security policy."""

    kind: ClassVar[str] = "dropPolicy"

    name: Name
    """Name of the policy."""

    def target(self, ctx: StepContext) -> str:
        return f"{self._key(ctx)}.{self.name}"

    def _table_problems(self, ctx: StepContext, table: Table) -> Iterator[str]:
        names = [p.name for p in table.policies]
        if self.name not in names:
            yield f"policy {self.name} of {table.key} does not exist{nearest(self.name, names)}"

    def findings(self, ctx: StepContext) -> Iterator[Finding]:
        table = ctx.table(self._key(ctx))
        left = [p for p in table.policies if p.name != self.name]
        if not table.row_security:
            yield _finding(RiskLevel.LOW, f"{table.key} has no row-level security; the policy has no effect now")
        elif not self._found(ctx).permissive:
            yield _finding(
                RiskLevel.HIGH, f"rows of {table.key} that policy {self.name} held back are open from now on"
            )
        elif any(p.permissive for p in left):
            yield _finding(RiskLevel.MEDIUM, f"rows of {table.key} that only policy {self.name} let through are hidden")
        else:
            yield _finding(
                RiskLevel.HIGH,
                f"it is the last policy of {table.key} that lets rows through: all of them are hidden without it",
                safer="create the policy that replaces it first",
            )

    def statements(self, ctx: StepContext) -> tuple[Statement, ...]:
        return (_drop(self._key(ctx), self.name),)

    def undo(self, ctx: StepContext) -> Undo:
        key, policy = self._key(ctx), self._found(ctx)
        named = sql.SQL("{} ON {}").format(ident(policy.name), table_ident(key))
        return Undo(statements=(_create(key, policy), *parts.comment_again(key, "POLICY", named, policy.comment)))

    def project(self, ctx: StepContext) -> SchemaGraph:
        table = ctx.table(self._key(ctx))
        return ctx.graph.with_table(replace(table, policies=tuple(p for p in table.policies if p.name != self.name)))

    def _found(self, ctx: StepContext) -> graph.Policy:
        return next(p for p in ctx.table(self._key(ctx)).policies if p.name == self.name)


def _finding(level: RiskLevel, why: str, *, safer: str = "") -> Finding:
    return Finding(level, ReasonCode.RLS_CHANGE, why, safer=safer)


def _created(table: Table, policy: graph.Policy) -> Finding:
    """What a new policy changes for the rows there are."""
    if not table.row_security:
        return _finding(RiskLevel.LOW, f"policy {policy.name} has no effect before {table.key} has row-level security")
    if not policy.permissive:
        return _finding(RiskLevel.MEDIUM, f"rows of {table.key} that policy {policy.name} does not allow are hidden")
    whom = ", ".join(policy.roles)
    if all(text is None or text.lower() == "true" for text in (policy.using, policy.with_check)):
        return _finding(
            RiskLevel.HIGH, f"policy {policy.name} opens every row of {table.key} to {whom} ({policy.command})"
        )
    return _finding(
        RiskLevel.MEDIUM, f"policy {policy.name} opens more rows of {table.key} to {whom} ({policy.command})"
    )


def _altered(table: TableKey, actions: list[str]) -> tuple[Statement, ...]:
    """The actions, one after another in one transaction."""
    return tuple(parts.brief(table, raw(action), with_previous=n > 0) for n, action in enumerate(actions))


def _create(table: TableKey, policy: graph.Policy) -> Statement:
    """CREATE POLICY; of a policy out of the catalog, the very one."""
    clauses = [
        sql.SQL("CREATE POLICY {} ON {} AS {} FOR {} TO {}").format(
            ident(policy.name),
            table_ident(table),
            sql.SQL("PERMISSIVE" if policy.permissive else "RESTRICTIVE"),
            raw(policy.command),
            sql.SQL(", ").join(sql.SQL("PUBLIC") if role == PUBLIC else ident(role) for role in policy.roles),
        )
    ]
    if policy.using is not None:
        clauses.append(sql.SQL("USING ({})").format(raw(policy.using)))
    if policy.with_check is not None:
        clauses.append(sql.SQL("WITH CHECK ({})").format(raw(policy.with_check)))
    return Statement(sql=render(sql.SQL(" ").join(clauses)), lock=Lock.ACCESS_EXCLUSIVE, on=(table,))


def _drop(table: TableKey, name: str) -> Statement:
    drop = sql.SQL("DROP POLICY {} ON {}").format(ident(name), table_ident(table))
    return Statement(sql=render(drop), lock=Lock.ACCESS_EXCLUSIVE, on=(table,))
