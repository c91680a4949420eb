"""What foreign keys do to other tables where the value of a referenced column changes: ON UPDATE, and what that does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from zanith.core.definitions import ForeignKeyDefinition, foreign_key_definition
from zanith.core.graph import Constraint, SchemaGraph, Table
from zanith.core.identifiers import TableKey
from zanith.core.risk import Finding, ReasonCode, RiskLevel
from zanith.operations import parts


@dataclass(frozen=True, slots=True)
class Reached:
    """A foreign key that changes rows of the table it is on."""

    table: TableKey
    name: str
    key: ForeignKeyDefinition

    @property
    def loses(self) -> bool:
        """Whether the referencing values are gone afterwards: SET NULL and SET DEFAULT."""
        return self.key.on_update in ("n", "d")


def reached(graph: SchemaGraph, key: TableKey, columns: Iterable[str]) -> Iterator[Reached]:
    """Each foreign key that answers a change of these columns by changing rows, and those that answer that in turn."""
    seen: set[tuple[TableKey, str]] = set()
    left = [(key, frozenset(columns))]
    while left:
        changed, names = left.pop(0)
        for table, constraint in _referencing(graph, changed):
            foreign = foreign_key_definition(constraint.definition)
            if (
                (table.key, constraint.name) in seen
                or foreign.on_update not in ("c", "n", "d")
                or not foreign.enforced
                or not names.intersection(foreign.referenced)
            ):
                continue
            seen.add((table.key, constraint.name))
            left.append((table.key, frozenset(foreign.columns)))
            yield Reached(table.key, constraint.name, foreign)


def findings(graph: SchemaGraph, key: TableKey, columns: Iterable[str]) -> Iterator[Finding]:
    """What becomes of rows that reference a changed key."""
    for found in reached(graph, key, columns):
        where = f"foreign key {found.name} of {found.table}"
        names = ", ".join(found.key.columns)
        if found.loses:
            action = "NULL" if found.key.on_update == "n" else "DEFAULT"
            yield Finding(
                RiskLevel.DESTRUCTIVE,
                ReasonCode.DROPS_COLUMN_WITH_DATA,
                f"{where} is ON UPDATE SET {action}: each row that references a changed key loses its values of ({names})",
                safer=f"drop {found.name} first, change both tables, and add it again",
            )
        else:
            yield Finding(
                RiskLevel.HIGH,
                ReasonCode.REQUIRES_BACKFILL,
                f"{where} is ON UPDATE CASCADE: rows of {found.table} that reference a changed key are rewritten too, and "
                "locked until the batch commits, however many they are",
            )


def _referencing(graph: SchemaGraph, key: TableKey) -> Iterator[tuple[Table, Constraint]]:
    """Foreign keys that reference the table or what it is a partition of; those of partitions stand for themselves only
    where their parent has none of the kind."""
    at: TableKey | None = key
    while at is not None:
        for table, constraint in graph.incoming_foreign_keys(at):
            parent = None if table.partition_of is None else graph.table(table.partition_of)
            if parent is None or parts.same_constraint(parent, constraint) is None:
                yield table, constraint
        found = graph.table(at)
        at = None if found is None else found.partition_of
