"""Names that one migration keeps things under: what it takes aside twice would get the same name twice.

A kept column or table is called after itself and the migration (`_zanith_dropped_email_20260328_x`), so that a person
finds it. Only a second one of its name within one migration cannot be, and is refused before anything is begun.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from zanith.core.identifiers import TableKey
from zanith.core.statement import ArtifactDraft, Statement


@dataclass(slots=True)
class KeptNames:
    """By where it is and its name there: the step that keeps something so."""

    taken: dict[tuple[TableKey, str], int] = field(default_factory=dict)

    def problems(self, statements: Iterable[Statement]) -> Iterator[str]:
        """Why what these statements take aside cannot be kept."""
        for statement in statements:
            draft = statement.artifact
            first = None if draft is None else self.taken.get(_place(draft))
            if draft is not None and first is not None:
                what = (
                    draft.source_table if draft.source_column is None else f"{draft.source_table}.{draft.source_column}"
                )
                yield (
                    f"step {first} keeps another {draft.source_schema}.{what} as {draft.physical_name} already; take this "
                    "one away in a migration of its own"
                )

    def add(self, index: int, statements: Iterable[Statement]) -> None:
        """Note what step `index` keeps, and the new names of tables whose columns are kept in them."""
        for statement in statements:
            draft = statement.artifact
            if draft is not None:
                self.taken[_place(draft)] = index
            if draft is not None and draft.source_column is None:
                self._forget(TableKey(draft.source_schema, draft.source_table))
            if statement.renames is not None:
                old, new = statement.renames
                self.taken = {(new if t == old else t, name): n for (t, name), n in self.taken.items()}

    def _forget(self, table: TableKey) -> None:
        """The table is kept aside, and its columns with it: another one of its name has none of them."""
        self.taken = {place: index for place, index in self.taken.items() if place[0] != table}


def _place(draft: ArtifactDraft) -> tuple[TableKey, str]:
    """A column's name is one of its table's, a table's one of its schema's."""
    table = "" if draft.source_column is None else draft.source_table
    return TableKey(draft.source_schema, table), draft.physical_name
