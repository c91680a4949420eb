"""Names of database objects: exact, always quoted, at most 63 bytes.

PostgreSQL cuts longer identifiers in silence (manual, 4.1.1), so ours are refused or shortened with a hash instead.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from psycopg import sql

MAX_IDENTIFIER_BYTES = 63


class TableKey(NamedTuple):
    """A table by schema and name, exactly as the catalog spells them."""

    schema: str
    name: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


def table_ident(table: TableKey) -> sql.Identifier:
    """`"schema"."name"`, quoted."""
    return sql.Identifier(table.schema, table.name)


def ident(*names: str) -> sql.Identifier:
    """A quoted, possibly qualified, identifier."""
    return sql.Identifier(*names)


def fit(name: str, *, limit: int = MAX_IDENTIFIER_BYTES) -> str:
    """The name itself if PostgreSQL keeps all of it; else its beginning and a hash of the whole, `limit` bytes at most."""
    raw = name.encode()
    if len(raw) <= limit:
        return name
    digest = hashlib.sha256(raw).hexdigest()[:8]
    head = raw[: limit - 9].decode(errors="ignore")
    return f"{head}_{digest}"


def text_problem(text: str) -> str | None:
    """Why PostgreSQL could not hold this text, or None."""
    if "\x00" in text:
        return "must not contain a NUL character"
    if any("\ud800" <= character <= "\udfff" for character in text):
        return "must not contain half of a surrogate pair"
    return None


def name_problem(name: str) -> str | None:
    """Why PostgreSQL could not use this name as it is, or None."""
    if not name:
        return "must not be empty"
    if problem := text_problem(name):
        return problem
    size = len(name.encode())
    if size > MAX_IDENTIFIER_BYTES:
        return f"is {size} bytes long; PostgreSQL keeps only {MAX_IDENTIFIER_BYTES}"
    return None
