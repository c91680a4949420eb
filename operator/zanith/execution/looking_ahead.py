"""Which steps' ways back can be judged by the data as it is now, though others are taken back before them. Pure.

Rather too few than too many: a step that is not asked about now is asked when its turn comes, and one asked too early
would be refused because of what is about to go.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from zanith.core.identifiers import TableKey, ident
from zanith.core.sql import render
from zanith.core.statement import Lock, ProbeKind, Statement
from zanith.operations.step_context import Undo
from zanith.planning.plan import PlannedStep


@dataclass(slots=True)
class LookAhead:
    """What the steps seen so far, in the order they are taken back, will have changed."""

    _tables: set[TableKey] = field(default_factory=set)
    _texts: list[str] = field(default_factory=list)
    _anything: bool = False
    """Whether one of them runs code whose tables cannot be told."""

    def may_ask(self, step: PlannedStep) -> bool:
        """Whether nothing seen so far touches what the step's undo asks about; the step itself counts as seen then."""
        back = [s for undo in _ways(step.undo) for s in undo.statements]
        tables = {table for s in (*step.statements, *back) for table in s.on}
        free = not self._anything and not tables & self._tables and not self._name_any(tables)
        if self._texts and any(_asks_who_uses(undo) for undo in _ways(step.undo)):
            free = False  # who uses it may be what goes before
        self._tables |= tables | {t for s in back if s.renames is not None for t in s.renames}
        self._texts += [s.sql for s in back]
        self._anything = self._anything or any(_unknown(s) for s in back)
        return free

    def _name_any(self, tables: set[TableKey]) -> bool:
        """Creating a table locks none, so its name is looked for in the statements."""
        return any(render(ident(table.name)) in text for table in tables for text in self._texts)


def _ways(undo: Undo) -> Iterator[Undo]:
    found: Undo | None = undo
    while found is not None:
        yield found
        found = found.otherwise


def _asks_who_uses(undo: Undo) -> bool:
    asked = (*undo.probes, *((undo.unless,) if undo.unless is not None else ()))
    return any(probe.kind is ProbeKind.IN_USE for probe in asked)


def _unknown(statement: Statement) -> bool:
    return statement.elsewhere is not Lock.NONE or statement.locks_itself
