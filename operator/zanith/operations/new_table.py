"""The parts of a new table, as a user writes them. What they become in SQL, and their checks, is createTable's story."""

from __future__ import annotations

import re
from enum import StrEnum

from pydantic import Field, StrictBool

from zanith.operations.operation import Comment, Name, SpecModel, SqlExpression, SqlType


class Identity(StrEnum):
    """How an identity column takes values of its own."""

    ALWAYS = "Always"
    BY_DEFAULT = "ByDefault"


class ReferentialAction(StrEnum):
    """What a foreign key does when the referenced row goes or changes."""

    NO_ACTION = "NoAction"
    RESTRICT = "Restrict"
    CASCADE = "Cascade"
    SET_NULL = "SetNull"
    SET_DEFAULT = "SetDefault"

    @property
    def words(self) -> str:
        """PostgreSQL's own: `SET NULL`."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", self.value).upper()


class NewColumn(SpecModel):
    """A column of a new table."""

    name: Name
    """Name of the column."""
    type: SqlType
    """Type, e.g. `bigint` or `numeric(10,2)`."""
    nullable: StrictBool = True
    """Whether NULL is allowed."""
    default: SqlExpression | None = None
    """Default, a SQL expression."""
    identity: Identity | None = None
    """Generate the value from a sequence of the column's own."""
    collation: Name | None = None
    """Collation of the column."""
    comment: Comment | None = None
    """Comment on the column."""


class NewUnique(SpecModel):
    """A UNIQUE constraint of a new table."""

    name: Name | None = None
    """Name of the constraint. Default: PostgreSQL's own, `table_column_key`."""
    columns: list[Name] = Field(min_length=1, max_length=32)
    """Columns that are unique together."""


class NewCheck(SpecModel):
    """A CHECK constraint of a new table."""

    name: Name
    """Name of the constraint."""
    expression: SqlExpression
    """What must hold for every row."""


class NewForeignKey(SpecModel):
    """A foreign key of a new table."""

    name: Name | None = None
    """Name of the constraint. Default: PostgreSQL's own, `table_column_fkey`."""
    columns: list[Name] = Field(min_length=1, max_length=32)
    """Referencing columns."""
    references_schema: Name | None = None
    """Schema of the referenced table. Default: the schema of the new one."""
    references_table: Name
    """Referenced table."""
    references_columns: list[Name] = Field(min_length=1, max_length=32)
    """Referenced columns."""
    on_delete: ReferentialAction = ReferentialAction.NO_ACTION
    """When the referenced row is deleted."""
    on_update: ReferentialAction = ReferentialAction.NO_ACTION
    """When the referenced key changes."""
