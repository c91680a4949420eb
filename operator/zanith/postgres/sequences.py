"""Sequences that belong to a table's columns: where they stand, and moving them on without losing a value of anybody's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from psycopg import Connection, sql
from psycopg.rows import class_row

from zanith.core.identifiers import TableKey, ident, table_ident
from zanith.postgres.queries import named_queries


@dataclass(frozen=True, slots=True)
class OwnedSequence:
    """A sequence of a serial or identity column of numbers."""

    column: str
    schema: str
    name: str
    increment: int
    least: int
    greatest: int
    cache: int

    @property
    def key(self) -> TableKey:
        return TableKey(self.schema, self.name)

    def beyond(self, value: int | None, at: int) -> bool:
        """Whether a next value of `at` lies beyond `value`, in the direction it counts in."""
        return value is None or (at > value if self.increment > 0 else at < value)

    def fits(self, value: int) -> bool:
        """Whether it can go on after this value."""
        return self.least <= value + self.increment <= self.greatest


def tables_named(conn: Connection[Any], schema: str, name: str) -> list[TableKey]:
    """The tables `name` can mean: `schema.table`, or a table of the default schema."""
    return [TableKey(*row) for row in conn.execute(_queries()["tables_named"], {"schema": schema, "name": name})]


def owned_sequences(conn: Connection[Any], table: TableKey) -> list[OwnedSequence]:
    """The sequences of its columns, in their order."""
    with conn.cursor(row_factory=class_row(OwnedSequence)) as cursor:
        return cursor.execute(_queries()["owned"], {"schema": table.schema, "table": table.name}).fetchall()


def last_in_column(conn: Connection[Any], table: TableKey, sequence: OwnedSequence) -> int | None:
    """The value furthest in the sequence's direction; None where the column has none. Reads an index, or the table."""
    edge, whole = ("max", "ceil") if sequence.increment > 0 else ("min", "floor")
    asked = sql.SQL("SELECT {}({}({})::numeric) FROM {}").format(
        sql.SQL(whole), sql.SQL(edge), ident(sequence.column), table_ident(table)
    )
    row = conn.execute(asked).fetchone()
    found: Decimal | None = row[0] if row is not None else None
    return None if found is None else int(found)


def next_value(conn: Connection[Any], sequence: OwnedSequence) -> int:
    """What nextval would give, were it asked by a session that has cached nothing."""
    row = conn.execute(sql.SQL("SELECT last_value, is_called FROM {}").format(table_ident(sequence.key))).fetchone()
    assert row is not None  # a sequence has one row
    return int(row[0]) + (sequence.increment if row[1] else 0)


def hold(conn: Connection[Any], sequence: OwnedSequence) -> None:
    """Until the open transaction ends, nobody gets a value; what other sessions have cached is void afterwards.

    LOCK TABLE refuses sequences. ALTER SEQUENCE takes the lock that nextval waits for (manual, ALTER SEQUENCE), and
    setting the cache to what it is changes nothing.
    """
    conn.execute(sql.SQL("ALTER SEQUENCE {} CACHE {}").format(table_ident(sequence.key), sql.Literal(sequence.cache)))


def set_last(conn: Connection[Any], sequence: OwnedSequence, value: int) -> None:
    """The next value is the one after this."""
    conn.execute("SELECT setval(%s::regclass, %s, true)", [table_ident(sequence.key).as_string(conn), value])


def _queries() -> Mapping[str, bytes]:
    return named_queries("zanith.postgres", "sequences.sql")
