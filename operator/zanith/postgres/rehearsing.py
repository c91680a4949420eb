"""Asks PostgreSQL whether it takes what a migration makes, on empty copies of its tables, before anything is begun.

What only PostgreSQL knows is found out here and not half-way: whether a default is a value of its column's type, whether
an expression is IMMUTABLE, whether a CHECK can be asked of a column's new type. The copies are temporary tables without
a row, in a transaction that is rolled back: no table of the user's is locked, read or named twice, so what PostgreSQL
says of them can be told in its own words, which are the spec's and the catalog's.

Foreign keys are not rehearsed, for a temporary table cannot reference another, nor is what comes after code that cannot
be seen into. Where the role may not create temporary tables, or nothing can be written, nothing is asked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg
from psycopg import Connection, sql

from zanith.api.spec import MigrationSpec
from zanith.core.errors import SpecError
from zanith.core.graph import Column, Facts, Policy, SchemaGraph, Table
from zanith.core.identifiers import ident
from zanith.core.sql import parse_expression, raw
from zanith.core.statement import Backfill
from zanith.operations.extensions import CreateExtension
from zanith.operations.operation import Operation
from zanith.operations.raw_sql import RawSql
from zanith.operations.renaming import statement_moved
from zanith.operations.step_context import StepContext
from zanith.planning.planner import steps_in_context
from zanith.postgres.sqlstates import condition, meaning_of, translate

_SCHEMA = "pg_temp"
_TRIED = "_zanith_tried"
_REHEARSED = ("check", "unique", "primary_key", "exclude")
_DOING = "rehearsing the migration on empty tables"
_MAKES_MORE = (RawSql, CreateExtension)
"""Kinds that may make types and functions, which are not there yet when a later step is rehearsed."""
_NOT_THERE = frozenset({"42704", "42883", "42P01", "3F000"})
"""Undefined object, function or operator, table, schema."""
_NO_COPIES = (psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction)


def rehearse(
    conn: Connection[Any], spec: MigrationSpec, facts: Facts, *, first: int = 1, done: Collection[int] = ()
) -> None:
    """Raises SpecError at the first step from number `first` on that PostgreSQL would refuse whatever the rows are."""
    forgiven: frozenset[str] = frozenset()
    for operation, ctx in steps_in_context(spec, facts, done=done):
        after = operation.project(ctx)
        if operation.hides(ctx):
            return
        if isinstance(operation, _MAKES_MORE):
            forgiven = _NOT_THERE
        if not operation.rehearsed or ctx.step_index < first:
            continue
        try:
            problems = list(_problems(conn, operation, ctx, after, forgiven))
        except _NO_COPIES:
            return
        except _NoCopy:
            continue
        except psycopg.Error as error:
            raise translate(error, doing=_DOING, step=ctx.step_index) from None
        if problems:
            where = f"spec.steps[{ctx.step_index - 1}].{operation.kind}"
            raise SpecError([f"{where}: {problem}" for problem in problems], step=ctx.step_index)


def _problems(
    conn: Connection[Any], operation: Operation, ctx: StepContext, after: SchemaGraph, forgiven: frozenset[str]
) -> Iterator[str]:
    for table in after.tables:
        before = ctx.graph.table(table.key)
        if table != before and table.partition_of is None:
            with conn.transaction(force_rollback=True):
                copy = _Copy(conn, before or Table(*table.key), table, forgiven)
                yield from copy.problems(_alterations(operation, ctx, table))
    for update in operation.statements(ctx):
        changed = after.table(update.on[0]) if update.backfill is not None and _of_one_row(update.backfill) else None
        if changed is not None:
            with conn.transaction(force_rollback=True):
                copy = _Copy(conn, changed, changed, forgiven)
                yield from copy.update_problems(statement_moved(update.sql, changed.key, _SCHEMA))


def _alterations(operation: Operation, ctx: StepContext, table: Table) -> list[str]:
    """The statements of the step that alter the table."""
    return [
        statement_moved(s.sql, table.key, _SCHEMA)
        for s in operation.statements(ctx)
        if s.sql.startswith("ALTER TABLE") and s.on[:1] == (table.key,)
    ]


def _of_one_row(backfill: Backfill) -> bool:
    """Without subqueries: those may be of a table that an earlier step makes, or read many rows of one."""
    texts = [backfill.where, *(value for _, value in backfill.assignments)]
    return bool(backfill.assignments) and not any(parse_expression(text).has_subquery for text in texts)


class _NoCopy(Exception):
    """What is there already cannot be made a second time: then nothing can be asked of it."""


@dataclass(slots=True)
class _Copy:
    """An empty copy of one table as it is, and what becomes of it in the step."""

    conn: Connection[Any]
    before: Table
    after: Table
    forgiven: frozenset[str]
    """SQLSTATEs that say nothing, for an earlier step may make what is missing."""
    found: list[str] = field(default_factory=list)

    def problems(self, alterations: list[str]) -> list[str]:
        """Each part that PostgreSQL does not take, and why."""
        retyped = frozenset(_retyped(self.before, self.after))
        self._create(retyped)
        for statement in alterations if retyped else ():
            names = ", ".join(f"{self.after.key}.{name}" for name in sorted(retyped))
            self._ask(f"changing the type of {names}", raw(statement))
        if not self.found:
            for column in self.after.columns:
                self._column(column)
        if not self.found:
            self._constraints(retyped)
            self._indexes(retyped)
            self._policies()
        return self.found

    def update_problems(self, update: str) -> list[str]:
        """Why rows could not be changed so; there are none."""
        self._create(frozenset())
        self._ask(f"the change of rows of {self.after.key}", raw(update))
        return self.found

    def _create(self, retyped: frozenset[str]) -> None:
        """Plain columns, generated ones too: only those that change their type have their default, which changes along."""
        create = sql.SQL("CREATE TEMP TABLE {} ()").format(ident(self.after.name))
        self.conn.execute(create)
        for column in self.before.columns:
            self._ask("", self._alter(_add(column, plain=True)))
            if column.name in retyped and column.default is not None:
                self._ask("", self._alter(_set_default(column)))
        if self.found:
            raise _NoCopy

    def _column(self, column: Column) -> None:
        before = self.before.column(column.name)
        what = f"column {self.after.key}.{column.name}"
        if before is None and not self._ask(what, self._alter(_add(column))):
            return
        changed = before is None or before.default != column.default
        if changed and column.default is not None and column.generated is None:
            fits = self._ask(f"default of {self.after.key}.{column.name}", self._alter(_set_default(column)))
            if fits and before is None and self.before.columns:
                # As it is added to a table that is there: then the default is computed once.
                tried = sql.SQL("{} DEFAULT ({})").format(_add(replace(column, name=_TRIED)), raw(column.default))
                self._ask(f"default of {self.after.key}.{column.name}", self._alter(tried))

    def _constraints(self, retyped: frozenset[str]) -> None:
        known = {c.name for c in self.before.constraints}
        for constraint in self.after.constraints:
            if constraint.kind in _REHEARSED and (constraint.name not in known or retyped & set(constraint.columns)):
                add = sql.SQL("ADD CONSTRAINT {} {}").format(ident(constraint.name), raw(constraint.definition))
                self._ask(f"constraint {constraint.name} of {self.after.key}", self._alter(add))

    def _indexes(self, retyped: frozenset[str]) -> None:
        known = {i.name for i in self.before.indexes}
        for index in self.after.indexes:
            if index.valid and (index.name not in known or retyped & set(index.columns)):
                definition = statement_moved(index.definition, self.after.key, _SCHEMA)
                self._ask(f"index {index.name} of {self.after.key}", raw(definition))

    def _policies(self) -> None:
        known = {p.name for p in self.before.policies}
        for policy in self.after.policies:
            # A subquery may be of a table that an earlier step makes.
            texts = [text for text in (policy.using, policy.with_check) if text is not None]
            if policy.name not in known and not any(parse_expression(text).has_subquery for text in texts):
                self._ask(f"policy {policy.name} of {self.after.key}", _policy(policy, self.after.name))

    def _ask(self, what: str, statement: sql.SQL | sql.Composed) -> bool:
        """Whether PostgreSQL takes it; where not, the problem is noted. What heals by waiting is raised."""
        try:
            with self.conn.transaction():
                self.conn.execute(statement)
        except psycopg.Error as error:
            if error.sqlstate is None or meaning_of(error.sqlstate).heals:
                raise
            if error.sqlstate in self.forgiven:
                raise _NoCopy from None
            self.found.append(f"PostgreSQL refuses {what}: {_said(error)}")
            return False
        return True

    def _alter(self, action: sql.Composable) -> sql.Composed:
        return sql.SQL("ALTER TABLE {} {}").format(ident(_SCHEMA, self.after.name), action)


def _said(error: psycopg.Error) -> str:
    """PostgreSQL's words about the spec and the catalog; those of a function that was called may hold rows' values."""
    return error.diag.message_primary or "" if error.diag.context is None else condition(error.sqlstate or "")


def _retyped(before: Table, after: Table) -> Iterator[str]:
    for column in before.columns:
        now = after.column(column.name)
        if now is not None and (now.type, now.collation) != (column.type, column.collation):
            yield column.name


def _add(column: Column, *, plain: bool = False) -> sql.Composed:
    """ADD COLUMN without what is asked for by itself."""
    action = sql.SQL("ADD COLUMN {} {}").format(ident(column.name), raw(column.type))
    if column.collation is not None:
        action += sql.SQL(" COLLATE {}").format(raw(column.collation))
    if column.generated is not None and column.default is not None and not plain:
        action += sql.SQL(" GENERATED ALWAYS AS ({}) {}").format(raw(column.default), raw(column.generated.upper()))
    return action


def _set_default(column: Column) -> sql.Composed:
    assert column.default is not None
    return sql.SQL("ALTER COLUMN {} SET DEFAULT ({})").format(ident(column.name), raw(column.default))


def _policy(policy: Policy, table: str) -> sql.Composed:
    """CREATE POLICY for everybody: who the roles are is known."""
    create = sql.SQL("CREATE POLICY {} ON {} FOR {}").format(
        ident(policy.name), ident(_SCHEMA, table), raw(policy.command)
    )
    if policy.using is not None:
        create += sql.SQL(" USING ({})").format(raw(policy.using))
    if policy.with_check is not None:
        create += sql.SQL(" WITH CHECK ({})").format(raw(policy.with_check))
    return create
