"""What an operation is given to plan with, and the small vocabulary its answers use."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from zanith.core.errors import SpecError
from zanith.core.graph import Column, Facts, SchemaGraph, Table, TableSize
from zanith.core.identifiers import TableKey
from zanith.core.statement import Probe, Statement


@dataclass(frozen=True, slots=True)
class StepContext:
    """The database as it will be when this step begins, and where in which migration the step stands."""

    facts: Facts
    migration_id: str
    step_index: int
    """Counts from 1."""
    before: SchemaGraph = field(default_factory=SchemaGraph)
    """The graph when the migration began, to tell what it added itself."""

    @property
    def graph(self) -> SchemaGraph:
        return self.facts.graph

    def key(self, schema: str | None, table: str) -> TableKey:
        """The table a step names; its own `schema:` wins over `spec.database.schema`."""
        return TableKey(schema or self.facts.default_schema, table)

    def table(self, key: TableKey) -> Table:
        """The table. Raises SpecError where it does not exist: where the live schema is no longer what was planned."""
        found = self.graph.table(key)
        if found is None:
            raise SpecError(self.missing_table(key), step=self.step_index)
        return found

    def column(self, key: TableKey, name: str) -> Column:
        """The column. Raises SpecError where it does not exist."""
        table = self.table(key)
        found = table.column(name)
        if found is None:
            raise SpecError(self.missing_column(table, name), step=self.step_index)
        return found

    def heirs(self, key: TableKey) -> tuple[TableKey, ...]:
        """Tables that inherit from it (INHERITS), at any depth: what ALTER TABLE does to its columns it does to theirs."""
        found: dict[TableKey, None] = {}
        left = [key]
        while left:
            new = [k for k in self.facts.inheritors.get(left.pop(), ()) if k not in found]
            found.update(dict.fromkeys(new))
            left += new
        return tuple(sorted(found))

    def size(self, key: TableKey) -> TableSize | None:
        return self.facts.sizes.get(key)

    def with_graph(self, graph: SchemaGraph) -> StepContext:
        """The same place in a database of another shape: what the next step plans against."""
        return replace(self, facts=replace(self.facts, graph=graph))

    def missing_table(self, key: TableKey) -> str:
        names = [t.name for t in self.graph.tables if t.schema == key.schema]
        return f"table {key} does not exist{nearest(key.name, names)}"

    def missing_column(self, table: Table, column: str) -> str:
        return f"column {table.key}.{column} does not exist{nearest(column, [c.name for c in table.columns])}"


@dataclass(frozen=True, slots=True)
class Undo:
    """How to take a step back: statements, or the reason why not.

    If the probe `unless` finds a row when the undo is about to run, `otherwise` is done instead.
    """

    statements: tuple[Statement, ...] = ()
    refused: str = ""
    probes: tuple[Probe, ...] = ()
    unless: Probe | None = None
    otherwise: Undo | None = None
    says: str = ""
    """For people, where this is done instead of something better: what is lost by it."""


def nearest(name: str, candidates: Iterable[str]) -> str:
    """` (did you mean X?)` for the candidate closest in spelling, else nothing."""
    found = difflib.get_close_matches(name, list(candidates), n=1, cutoff=0.6)
    return f" (did you mean {found[0]}?)" if found else ""
