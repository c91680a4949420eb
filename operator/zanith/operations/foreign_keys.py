"""Foreign keys: added NOT VALID and then validated, and dropped.

Refuses what would be found out by failing: orphans, columns nothing makes unique, types without an equality.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import ClassVar

from pydantic import Field, StrictBool, model_validator

from zanith.core.definitions import foreign_key_definition
from zanith.core.errors import SpecError
from zanith.core.graph import Constraint, SchemaGraph, Table
from zanith.core.identifiers import TableKey, fit
from zanith.core.risk import Finding, ReasonCode, RiskLevel
from zanith.core.sql import printed
from zanith.core.statement import Probe, Statement
from zanith.operations import parts, referencing
from zanith.operations.advice import as_yaml
from zanith.operations.new_table import ReferentialAction
from zanith.operations.operation import Name, Operation
from zanith.operations.step_context import StepContext, Undo, nearest

_SETTING = (ReferentialAction.SET_NULL, ReferentialAction.SET_DEFAULT)


class Match(StrEnum):
    """What a foreign key of several columns says to a row in which some of them are NULL."""

    SIMPLE = "Simple"
    FULL = "Full"


class AddForeignKey(Operation):
    """Add a foreign key without a scan that blocks: NOT VALID first, then validated while both tables are in use."""

    kind: ClassVar[str] = "addForeignKey"

    table: Name
    """Name of the referencing table."""
    schema_name: Name | None = Field(None, alias="schema")
    """Schema of the table. Default: `spec.database.schema`."""
    columns: list[Name] = Field(min_length=1, max_length=32)
    """Referencing columns."""
    references_schema: Name | None = None
    """Schema of the referenced table. Default: the schema of the referencing one."""
    references_table: Name
    """Referenced table."""
    references_columns: list[Name] = Field(min_length=1, max_length=32)
    """Referenced columns, as many; together they have to be unique."""
    name: Name | None = None
    """Name of the constraint. Default: PostgreSQL's pattern, `table_column_fkey`."""
    on_delete: ReferentialAction = ReferentialAction.NO_ACTION
    """When the referenced row is deleted."""
    on_delete_set_columns: list[Name] = Field(default_factory=list, max_length=32)
    """The columns that `onDelete: SetNull` or `SetDefault` sets. Default: all referencing columns."""
    on_update: ReferentialAction = ReferentialAction.NO_ACTION
    """When the referenced key changes."""
    match: Match = Match.SIMPLE
    """`Simple`: a row with a NULL in any of the columns references nothing. `Full`: only one with NULLs in all of them."""
    deferrable: StrictBool = False
    """Whether a transaction may have it checked at its end (SET CONSTRAINTS)."""
    initially_deferred: StrictBool = False
    """Whether it is checked at the end of a transaction unless told otherwise; needs `deferrable`."""

    @model_validator(mode="after")
    def _fits_together(self) -> AddForeignKey:
        for listed in (self.columns, self.references_columns, self.on_delete_set_columns):
            parts.refuse_doubled("column", listed)
        if len(self.columns) != len(self.references_columns):
            raise ValueError(f"{len(self.columns)} columns cannot reference {len(self.references_columns)}")
        if self.on_delete_set_columns and self.on_delete not in _SETTING:
            raise ValueError("onDeleteSetColumns needs onDelete: SetNull or SetDefault")
        for column in self.on_delete_set_columns:
            if column not in self.columns:
                raise ValueError(f"column {column} of onDeleteSetColumns is not among columns")
        if self.initially_deferred and not self.deferrable:
            raise ValueError("initiallyDeferred needs deferrable: true")
        return self

    def target(self, ctx: StepContext) -> str:
        return f"{self._key(ctx)} ({', '.join(self.columns)})"

    def problems(self, ctx: StepContext) -> Iterator[str]:
        table, parent = ctx.graph.table(self._key(ctx)), ctx.graph.table(self._parent(ctx))
        for found, key in ((table, self._key(ctx)), (parent, self._parent(ctx))):
            if found is None:
                yield ctx.missing_table(key)
        if table is None or parent is None:
            return
        missing = [(table, c) for c in self.columns] + [(parent, c) for c in self.references_columns]
        missing = [(where, column) for where, column in missing if where.column(column) is None]
        yield from (ctx.missing_column(where, column) for where, column in missing)
        yield from referencing.partitioned_problems(ctx, table)
        if not missing and not referencing.unique_over(parent, self.references_columns):
            yield (
                f"nothing makes ({', '.join(self.references_columns)}) of {parent.key} unique: a foreign key needs a "
                "primary key, or a unique constraint or index of exactly these columns that is neither deferrable nor "
                "partial; addUnique first"
            )
        yield from referencing.type_problems(ctx, table, parent, self._pairs)
        if parent.persistence == "unlogged" and table.persistence == "permanent":
            yield f"{parent.key} is unlogged; {table.key}, which is not, cannot reference it"
        yield from parts.kept_name_problems(f"constraint of {table.key}", self.constraint_name)
        yield from parts.taken_constraint_name(ctx.facts, table, self.constraint_name)
        yield from self._action_problems(table)

    def _action_problems(self, table: Table) -> Iterator[str]:
        """What onDelete and onUpdate could never do."""
        for column in (table.column(c) for c in self.columns):
            if column is None:
                continue
            what = f"column {table.key}.{column.name}"
            if column.generated == "stored":
                for word, action in (("onDelete", self.on_delete), ("onUpdate", self.on_update)):
                    if action in _SETTING or (word == "onUpdate" and action is ReferentialAction.CASCADE):
                        yield f"{what} is generated and cannot be set, so {word} cannot be {action.value}"
            elif column.not_null:
                for word, action, set_ in (
                    ("onDelete", self.on_delete, self.on_delete_set_columns or self.columns),
                    ("onUpdate", self.on_update, self.columns),
                ):
                    if action is ReferentialAction.SET_NULL and column.name in set_:
                        yield f"{what} is NOT NULL, so {word} cannot be {action.value}: it would fail"

    def findings(self, ctx: StepContext) -> Iterator[Finding]:
        key, parent = self._key(ctx), self._parent(ctx)
        yield Finding(
            RiskLevel.MEDIUM,
            ReasonCode.ADDS_FOREIGN_KEY,
            f"writes to {self.target(ctx)} that reference nothing in {parent} fail from now on; old rows are checked "
            "without blocking anybody",
        )
        if parent != key:
            yield Finding(
                RiskLevel.LOW,
                ReasonCode.LOCKS_SECOND_TABLE,
                f"the foreign key locks {parent} too against writes for an instant (SHARE ROW EXCLUSIVE)",
            )
        if not referencing.has_index_for(ctx.table(key), self.columns):
            arguments = {"schema": self.schema_name, "table": self.table, "columns": self.columns}
            yield Finding(
                RiskLevel.MEDIUM,
                ReasonCode.ADDS_FOREIGN_KEY,
                f"no index of {key} begins with ({', '.join(self.columns)}): each delete or key change in {parent} reads "
                f"the whole of {key}",
                safer=as_yaml({"addIndex": arguments}),
            )

    def statements(self, ctx: StepContext) -> tuple[Statement, ...]:
        return referencing.add_foreign_key(ctx.graph, self._key(ctx), self.constraint_name, self._definition(ctx))

    def probes(self, ctx: StepContext) -> tuple[Probe, ...]:
        definition = foreign_key_definition(self._definition(ctx))
        return (referencing.orphans_probe(ctx, ctx.table(self._key(ctx)), definition),)

    def undo(self, ctx: StepContext) -> Undo:
        statements = referencing.drop_foreign_key(ctx.graph, self._key(ctx), self.constraint_name, self._parent(ctx))
        return Undo(statements=statements)

    def project(self, ctx: StepContext) -> SchemaGraph:
        constraint = Constraint(
            self.constraint_name,
            "foreign_key",
            self._definition(ctx),
            tuple(self.columns),
            references=self._parent(ctx),
        )
        key = ctx.table(self._key(ctx)).key
        return ctx.graph.with_changed(key, lambda t: t.with_constraint(constraint))

    @property
    def constraint_name(self) -> str:
        """The name given, else `<table>_<columns>_fkey`, shortened with a hash."""
        return self.name or fit("_".join([self.table, *self.columns, "fkey"]))

    @property
    def _pairs(self) -> list[tuple[str, str]]:
        return list(zip(self.columns, self.references_columns, strict=True))

    def _key(self, ctx: StepContext) -> TableKey:
        return ctx.key(self.schema_name, self.table)

    def _parent(self, ctx: StepContext) -> TableKey:
        return TableKey(self.references_schema or self._key(ctx).schema, self.references_table)

    def _definition(self, ctx: StepContext) -> str:
        """As `pg_get_constraintdef` prints it once it is validated."""
        parent = self._parent(ctx)
        text = (
            f"FOREIGN KEY ({_printed(self.columns)}) REFERENCES "
            f"{printed(parent.schema)}.{printed(parent.name)}({_printed(self.references_columns)})"
        )
        if self.match is Match.FULL:
            text += " MATCH FULL"
        if self.on_update is not ReferentialAction.NO_ACTION:
            text += f" ON UPDATE {self.on_update.words}"
        if self.on_delete is not ReferentialAction.NO_ACTION:
            text += f" ON DELETE {self.on_delete.words}"
        if self.on_delete_set_columns:
            text += f" ({_printed(self.on_delete_set_columns)})"
        if self.deferrable:
            text += " DEFERRABLE"
        return text + (" INITIALLY DEFERRED" if self.initially_deferred else "")


class DropForeignKey(Operation):
    """Drop a foreign key. It locks the referenced table too, for an instant."""

    kind: ClassVar[str] = "dropForeignKey"

    table: Name
    """Name of the referencing table."""
    schema_name: Name | None = Field(None, alias="schema")
    """Schema of the table. Default: `spec.database.schema`."""
    name: Name
    """Name of the constraint."""

    def target(self, ctx: StepContext) -> str:
        return f"{self._key(ctx)}.{self.name}"

    def problems(self, ctx: StepContext) -> Iterator[str]:
        table = ctx.graph.table(self._key(ctx))
        if table is None:
            yield ctx.missing_table(self._key(ctx))
            return
        foreign = self._constraint(table)
        if foreign is None:
            yield self._missing(table)
            return
        parent = None if table.partition_of is None else ctx.graph.table(table.partition_of)
        if parent is not None and parts.same_constraint(parent, foreign) is not None:
            yield f"constraint {self.name} of {table.key} is inherited; drop that of {parent.key}"

    def findings(self, ctx: StepContext) -> Iterator[Finding]:
        key, parent = self._key(ctx), self._found(ctx).references
        yield Finding(
            RiskLevel.MEDIUM,
            ReasonCode.DROPS_FOREIGN_KEY,
            f"{key} may reference rows of {parent} that do not exist from then on, and what was done to it when one is "
            "deleted is done no more",
        )
        if parent != key:
            yield Finding(
                RiskLevel.MEDIUM,
                ReasonCode.LOCKS_SECOND_TABLE,
                f"it locks {parent} too, for an instant, against reads and writes (ACCESS EXCLUSIVE)",
            )

    def statements(self, ctx: StepContext) -> tuple[Statement, ...]:
        foreign = self._found(ctx)
        assert foreign.references is not None
        return referencing.drop_foreign_key(ctx.graph, self._key(ctx), self.name, foreign.references)

    def undo(self, ctx: StepContext) -> Undo:
        table = ctx.table(self._key(ctx))
        found = self._found(ctx)
        text = found.definition
        foreign = foreign_key_definition(text)
        checked = foreign.validated and foreign.enforced
        refused = next(referencing.partitioned_problems(ctx, table), "")
        if refused and checked:
            return Undo(refused=refused)
        made = referencing.add_foreign_key(ctx.graph, table.key, self.name, text)
        statements = (*made, *parts.constraint_comment_again(table.key, found))
        if not checked or foreign.temporal:
            return Undo(statements=statements)
        return Undo(statements=statements, probes=(referencing.orphans_probe(ctx, table, foreign),))

    def project(self, ctx: StepContext) -> SchemaGraph:
        table = ctx.table(self._key(ctx))
        gone = self._constraint(table)
        if gone is None:
            return ctx.graph
        return ctx.graph.with_changed(table.key, lambda t: parts.without_constraint(t, gone))

    def _key(self, ctx: StepContext) -> TableKey:
        return ctx.key(self.schema_name, self.table)

    def _constraint(self, table: Table) -> Constraint | None:
        return next((c for c in table.constraints if c.name == self.name and c.kind == "foreign_key"), None)

    def _found(self, ctx: StepContext) -> Constraint:
        table = ctx.table(self._key(ctx))
        foreign = self._constraint(table)
        if foreign is None:
            raise SpecError(self._missing(table), step=ctx.step_index)
        return foreign

    def _missing(self, table: Table) -> str:
        other = next((c for c in table.constraints if c.name == self.name), None)
        if other is not None:
            return f"constraint {self.name} of {table.key} is no foreign key but {other.kind.replace('_', ' ')}"
        names = [c.name for c in table.constraints if c.kind == "foreign_key"]
        return f"foreign key {self.name} of {table.key} does not exist{nearest(self.name, names)}"


def _printed(names: list[str]) -> str:
    return ", ".join(printed(n) for n in names)
