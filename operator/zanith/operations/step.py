"""The registry of kinds, as a type: one optional field per kind, exactly one of them set.

mypy, pydantic, the CRD and the docs all read it. A new kind is one more line here.
"""

from __future__ import annotations

from pydantic import model_validator

from zanith.operations.alter import AlterColumnNullable
from zanith.operations.create import AddColumn, CreateTable
from zanith.operations.data import Backfill
from zanith.operations.drop import DropColumn, SoftDropColumn
from zanith.operations.index import AddIndex
from zanith.operations.operation import Operation, SpecModel


class Step(SpecModel):
    """One step: one key, the kind, and its arguments."""

    create_table: CreateTable | None = None
    """Create a table."""
    add_column: AddColumn | None = None
    """Add a column."""
    add_index: AddIndex | None = None
    """Build an index concurrently."""
    alter_column_nullable: AlterColumnNullable | None = None
    """Make a column NOT NULL, or nullable again."""
    backfill: Backfill | None = None
    """Change rows in batches."""
    soft_drop_column: SoftDropColumn | None = None
    """Take a column away but keep it as an artifact."""
    drop_column: DropColumn | None = None
    """Drop a column and its data for good."""

    @model_validator(mode="after")
    def _one_kind(self) -> Step:
        if len(self.model_fields_set) != 1 or self._given is None:
            raise ValueError(f"must have exactly one key, its kind: one of {', '.join(KINDS)}")
        return self

    @property
    def _given(self) -> Operation | None:
        given = [getattr(self, name) for name in type(self).model_fields]
        return next((g for g in given if g is not None), None)

    @property
    def operation(self) -> Operation:
        """The operation given."""
        given = self._given
        assert given is not None
        return given


KINDS = tuple(field.alias or name for name, field in Step.model_fields.items())
"""The wire names of all kinds."""
