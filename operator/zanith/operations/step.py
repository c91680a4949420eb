"""The registry of kinds, as a type: one optional field per kind, exactly one of them set.

mypy, pydantic, the CRD and the docs all read it. A new kind is one more line here.
"""

from __future__ import annotations

from pydantic import model_validator

from zanith.operations.add_column import AddColumn
from zanith.operations.alter import AlterColumnNullable
from zanith.operations.alter_default import AlterColumnDefault
from zanith.operations.alter_type import AlterColumnType
from zanith.operations.archive_column import ArchiveColumn
from zanith.operations.constraints import AddUnique, DropUnique
from zanith.operations.create import CreateTable
from zanith.operations.data import Backfill
from zanith.operations.drop import DropColumn, SoftDropColumn
from zanith.operations.drop_index import DropIndex
from zanith.operations.drop_table import DropTable
from zanith.operations.extensions import CreateExtension, DropExtension
from zanith.operations.foreign_keys import AddForeignKey, DropForeignKey
from zanith.operations.generated import AddGeneratedColumn
from zanith.operations.index import AddIndex
from zanith.operations.keep_table import ArchiveTable, SoftDropTable
from zanith.operations.operation import Operation, SpecModel
from zanith.operations.raw_sql import RawSql
from zanith.operations.rename import RenameColumn, RenameTable
from zanith.operations.security import CreatePolicy, DisableRls, DropPolicy, EnableRls


class Step(SpecModel):
    """One step: one key, the kind, and its arguments."""

    create_table: CreateTable | None = None
    """Create a table."""
    add_column: AddColumn | None = None
    """Add a column."""
    add_generated_column: AddGeneratedColumn | None = None
    """Add a column that is computed from others."""
    add_index: AddIndex | None = None
    """Build an index concurrently."""
    drop_index: DropIndex | None = None
    """Drop an index concurrently."""
    add_unique: AddUnique | None = None
    """Add a UNIQUE constraint by an index built concurrently."""
    drop_unique: DropUnique | None = None
    """Drop a UNIQUE constraint."""
    add_foreign_key: AddForeignKey | None = None
    """Add a foreign key, and validate it while both tables are in use."""
    drop_foreign_key: DropForeignKey | None = None
    """Drop a foreign key."""
    alter_column_nullable: AlterColumnNullable | None = None
    """Make a column NOT NULL, or nullable again."""
    alter_column_type: AlterColumnType | None = None
    """Change a column's type in place."""
    alter_column_default: AlterColumnDefault | None = None
    """Give a column a default, or take it away."""
    rename_table: RenameTable | None = None
    """Give a table another name."""
    rename_column: RenameColumn | None = None
    """Give a column another name."""
    backfill: Backfill | None = None
    """Change rows in batches."""
    soft_drop_column: SoftDropColumn | None = None
    """Take a column away but keep it as an artifact."""
    archive_column: ArchiveColumn | None = None
    """Take a column away but keep its values by key, in a schema of their own, as an artifact."""
    drop_column: DropColumn | None = None
    """Drop a column and its data for good."""
    soft_drop_table: SoftDropTable | None = None
    """Take a table away but keep it, renamed, as an artifact."""
    archive_table: ArchiveTable | None = None
    """Take a table away but keep it, in a schema of its own, as an artifact."""
    drop_table: DropTable | None = None
    """Drop a table and its data for good."""
    create_extension: CreateExtension | None = None
    """Install an extension."""
    drop_extension: DropExtension | None = None
    """Drop an extension that nothing needs."""
    enable_rls: EnableRls | None = None
    """Turn row-level security on."""
    disable_rls: DisableRls | None = None
    """Turn row-level security off."""
    create_policy: CreatePolicy | None = None
    """Create a row-level security policy."""
    drop_policy: DropPolicy | None = None
    """Drop a row-level security policy."""
    raw_sql: RawSql | None = None
    """Run SQL of your own, judged statement by statement."""

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
