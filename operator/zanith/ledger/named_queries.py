"""Fixed queries live in .sql files, by name, with a sentence above each; this reads them and puts the tables' names in.

The five tables are always named with their schema: a search_path could lead to another schema's tables of the same name.
"""

from __future__ import annotations

import re
from importlib.resources import files

from psycopg import sql

from zanith.core.sql import raw
from zanith.postgres.queries import named_queries

TABLES = {
    "migrations": "_zanith_migrations",
    "steps": "_zanith_migration_steps",
    "snapshots": "_zanith_schema_snapshots",
    "artifacts": "_zanith_migration_artifacts",
    "checkpoints": "_zanith_migration_checkpoints",
}


def query(file: str, name: str, schema: str) -> sql.Composed:
    """The query called `name` in `zanith/ledger/<file>.sql`, on the five tables of `schema`."""
    tables = {word: sql.Identifier(schema, table) for word, table in TABLES.items()}
    text = named_queries("zanith.ledger", f"{file}.sql")[name].decode().rstrip(";")
    return raw(text).format(**tables)


def schema_statements() -> list[str]:
    """The statements of schema.sql, one by one."""
    text = re.sub(r"(?m)^--.*$", "", _read("schema"))
    return [s.strip() for s in text.split(";") if s.strip()]


def _read(file: str) -> str:
    return (files("zanith.ledger") / f"{file}.sql").read_text(encoding="utf-8")
