"""What a step plans to: statements, each saying its lock, and probes. Plain data that goes to JSON and back unchanged.

Nothing here executes anything. Statements are frozen into the ledger when a migration begins and are then the truth
for every later attempt, so these classes are a stored format: add fields with defaults, never rename one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from zanith.core.identifiers import TableKey


class Lock(StrEnum):
    """Table-level lock modes (manual, 13.3.1), in PostgreSQL's own words; NONE where no existing table is locked."""

    NONE = "NONE"
    ACCESS_SHARE = "ACCESS SHARE"
    ROW_SHARE = "ROW SHARE"
    ROW_EXCLUSIVE = "ROW EXCLUSIVE"
    SHARE_UPDATE_EXCLUSIVE = "SHARE UPDATE EXCLUSIVE"
    SHARE = "SHARE"
    SHARE_ROW_EXCLUSIVE = "SHARE ROW EXCLUSIVE"
    EXCLUSIVE = "EXCLUSIVE"
    ACCESS_EXCLUSIVE = "ACCESS EXCLUSIVE"

    @property
    def strength(self) -> int:
        """Rank from weakest to strongest, to compare what was declared with what was seen."""
        return list(Lock).index(self)

    @property
    def blocks_writes(self) -> bool:
        """Whether INSERT, UPDATE and DELETE of others wait behind it."""
        return self.strength >= Lock.SHARE.strength


class Work(StrEnum):
    """What a statement does under its lock, and so how long it holds it."""

    CATALOG = "catalog"
    """Catalog rows only: an instant, whatever the table's size."""
    SCAN = "scan"
    """Reads the whole table."""
    BUILD = "build"
    """Reads the whole table and sorts it, or looks each row up elsewhere: an index, a foreign key that is checked."""
    REWRITE = "rewrite"
    """Writes the whole table anew, and its indexes."""


@dataclass(frozen=True, slots=True)
class IndexIsValid:
    """Catalog question: does this index exist, valid, on this table? Asked after a non-transactional statement only."""

    schema: str
    index: str
    table: str
    kind: Literal["index_is_valid"] = "index_is_valid"


@dataclass(frozen=True, slots=True)
class IndexIsAbsent:
    """Catalog question: is there no index of this name in the schema?"""

    schema: str
    index: str
    table: str
    kind: Literal["index_is_absent"] = "index_is_absent"


@dataclass(frozen=True, slots=True)
class QueryIsTrue:
    """The author's own question, for a rawSql that runs outside a transaction: a query that answers one boolean."""

    sql: str
    kind: Literal["query_is_true"] = "query_is_true"


DoneWhen = IndexIsValid | IndexIsAbsent | QueryIsTrue


@dataclass(frozen=True, slots=True)
class KeyColumn:
    """A column of the key a walk goes by; `type` as `format_type` prints it, to cast the cursor's text back."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class ColumnCopy:
    """The copy of a column, by the walk's key: filled from the table (`archive`), or the table from it (`restore`)."""

    schema: str
    table: str
    column: str
    direction: Literal["archive", "restore"]


@dataclass(frozen=True, slots=True)
class Backfill:
    """A walk over a table in keyset batches; each batch changes its rows and moves its checkpoint in one transaction."""

    schema: str
    table: str
    key: tuple[KeyColumn, ...]
    assignments: tuple[tuple[str, str], ...]
    """(column, SQL expression) pairs."""
    where: str
    finished_by: str | None
    """The column by whose new value a row no longer matches `where`, so that rows inserted later are picked up by
    another pass; None where there is only one pass."""
    copy: ColumnCopy | None = None
    """Where values are copied between two tables instead: no assignments then."""


@dataclass(frozen=True, slots=True)
class ArtifactDraft:
    """What is kept when something is taken away; becomes a row of `_zanith_migration_artifacts` in the same transaction."""

    artifact_type: str
    source_schema: str
    source_table: str
    source_column: str | None
    physical_name: str
    recovery_sql: str

    def identifier(self, migration_id: str) -> str:
        """`<migration>::<artifact_type>::<table>[.<column>]`."""
        source = self.source_table if self.source_column is None else f"{self.source_table}.{self.source_column}"
        return f"{migration_id}::{self.artifact_type}::{source}"


@dataclass(frozen=True, slots=True)
class TableWork:
    """What a statement does to one table, or to all that a view reads."""

    table: TableKey
    work: Work


@dataclass(frozen=True, slots=True)
class Statement:
    """One SQL statement of a step.

    `lock` is the strongest lock it takes on any existing table, `on` names those tables.
    A statement runs in a transaction of its own, together with its checkpoint, unless `with_previous` joins it to the
    one before it. `transactional=False` (CREATE INDEX CONCURRENTLY and the like) runs outside any; `done_when` then
    tells, after a crash, whether it happened. `work` says what it does to the first table of `on`; other than CATALOG, no
    brief limit applies. Where it works through other tables than that one, `works_on` says what it does to each.
    """

    sql: str
    lock: Lock
    on: tuple[TableKey, ...] = ()
    transactional: bool = True
    with_previous: bool = False
    work: Work = Work.CATALOG
    done_when: DoneWhen | None = None
    backfill: Backfill | None = None
    artifact: ArtifactDraft | None = None
    cleanup: tuple[str, ...] = ()
    """SQL that takes back what this transaction and some before it did, run where this statement fails for good."""
    takes_back: int = 1
    """How many transactions before this one `cleanup` takes back too: a retry begins there."""
    elsewhere: Lock = Lock.NONE
    """The strongest lock it may take on tables that cannot be told before: of code that cannot be seen into."""
    locks_itself: bool = False
    """Whether it takes its locks by itself, however long it works: no LOCK TABLE is issued before it. For statements
    that lock several tables unequally, or relations that cannot be locked beforehand, such as materialised views."""
    renames: tuple[TableKey, TableKey] | None = None
    """Old and new name of a table it renames: artifacts inside the table follow, and are recovered from there."""
    seals: str = ""
    """Physical name of the artifact that its answer, rows and checksum of the data, is recorded with."""
    works_on: tuple[TableWork, ...] = ()
    """What it works through while its locks, and those of its transaction, are held, locked by it or not; empty where
    that is the first table of `on` alone."""
    calls_functions: bool = False
    """Whether an expression that calls functions is computed for each row it works through, of the first table."""
    builds_slowly: bool = False
    """Whether it builds an index of the first table that is slower to build than a btree: GIN, GiST and the like."""

    @property
    def digest(self) -> str:
        """Hash of the SQL, to tell that a checkpoint speaks of this very statement."""
        return hashlib.sha256(self.sql.encode()).hexdigest()[:16]


class ProbeKind(StrEnum):
    """The questions asked of the data before a statement that would fail on it."""

    NULLS = "nulls"
    POPULATED_TABLE = "populated_table"
    DUPLICATES = "duplicates"
    ORPHANS = "orphans"
    MISFITS = "misfits"
    NAME_TAKEN = "name_taken"
    """Of undos: has something else the name by now?"""
    IN_USE = "in_use"
    """Of undos: does something need by now what is to go?"""


@dataclass(frozen=True, slots=True)
class Probe:
    """A read-only question: a row in the answer of `sql` means no. Rows are never logged or stored.

    `before_statement` is the 1-based statement it is asked right before.
    """

    kind: ProbeKind
    sql: str
    question: str
    """What is asked, in words with object names only: `column public.users.email has NULLs`."""
    remedy: str
    before_statement: int = 1
    sample_sql: str = ""
    """The same question, answered with the keys of a few offending rows: for the terminal of who asked, nowhere else."""
    count_sql: str = ""
    """How many rows it is about, for who wants to know; one number."""
    under_lock: bool = False
    """Whether it is asked again under the statement's lock: of what the statement would not notice by itself. Only where
    it is answered at once, or where the statement reads the whole table anyhow."""
