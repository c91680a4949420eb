"""Reads the catalog into Facts, in a fixed number of queries.

Needs no privilege on a user's table: CONNECT and the catalog are enough. Definitions are printed with every name
qualified, whatever the session's search_path. Never reads data.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import psycopg
from psycopg import Connection
from psycopg.rows import DictRow, dict_row

from zanith.core.errors import NotYet, SpecError
from zanith.core.graph import DatabaseIdentity, Facts
from zanith.postgres.catalog_rows import CatalogChanged, CatalogRows, facts_from
from zanith.postgres.connecting import UNSUPPORTED
from zanith.postgres.queries import named_queries
from zanith.postgres.sqlstates import RETRYING, translate, translated

_READING = "reading the catalog"
_ATTEMPTS = 10

# jit would compile these queries for longer than they run. Printing a definition waits behind ACCESS EXCLUSIVE locks.
_BEGIN = (
    b"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
    b"SET LOCAL search_path = pg_catalog, pg_temp",
    b"SET LOCAL jit = off",
    b"SET LOCAL lock_timeout = '2s'",
    b"SET LOCAL statement_timeout = '60s'",
)


def read_facts(conn: Connection[Any], default_schema: str) -> Facts:
    """Graph, identity, sizes and the rest planning needs, in one REPEATABLE READ transaction of its own.

    Raises SpecError where `default_schema` does not exist, NotYet where a table's definition is locked or an outage
    comes between.
    """
    for _ in range(_ATTEMPTS):
        try:
            return facts_from(_read_rows(conn, default_schema))
        except (CatalogChanged, psycopg.errors.InternalError_):
            # Something was dropped meanwhile: some printing functions answer NULL, others fail with XX000.
            continue
        except psycopg.errors.LockNotAvailable:
            raise _locked(conn) from None
        except psycopg.Error as error:
            raise translate(error, doing=_READING) from None
    raise NotYet(f"{_READING}: it changes faster than it can be read; it is tried again", reason=RETRYING)


def read_identity(conn: Connection[Any]) -> DatabaseIdentity:
    """Which database this is. Raises SpecError (UnsupportedDatabase) where the server does not tell."""
    with translated(_READING), conn.cursor(row_factory=dict_row) as cursor:
        try:
            row = cursor.execute(_queries()["identity"]).fetchone()
        except psycopg.errors.InsufficientPrivilege:
            raise SpecError(
                "the system identifier cannot be read; GRANT EXECUTE ON FUNCTION pg_control_system() to the role",
                reason=UNSUPPORTED,
            ) from None
    assert row is not None  # a session is always in a database
    return DatabaseIdentity(row["system_identifier"], row["oid"], row["name"])


def _read_rows(conn: Connection[Any], default_schema: str) -> CatalogRows:
    with conn.transaction(), conn.cursor(row_factory=dict_row) as cursor:
        for statement in _BEGIN:
            cursor.execute(statement)
        identity = read_identity(conn)
        schema = {"schema": default_schema}
        (server,) = _ask(cursor, "server", schema)
        if not server["schema_exists"]:
            raise SpecError(f"spec.database.schema: schema {default_schema} does not exist; create it first")
        tables = _ask(cursor, "tables")
        oids = {"tables": [row["oid"] for row in tables]}
        return CatalogRows(
            identity=identity,
            server_version=server["version"],
            default_schema=default_schema,
            tables=tables,
            columns=_ask(cursor, "columns", oids),
            constraints=_ask(cursor, "constraints", oids),
            indexes=_ask(cursor, "indexes", oids),
            index_uses=_ask(cursor, "index_uses", oids),
            triggers=_ask(cursor, "triggers", oids),
            policies=_ask(cursor, "policies", oids),
            enums=_ask(cursor, "enums"),
            volatile_functions=_ask(cursor, "volatile_functions"),
            mutable_functions=_ask(cursor, "mutable_functions"),
            other_relations=_ask(cursor, "other_relations"),
            table_rules=_ask(cursor, "table_rules"),
            builtin_functions=_ask(cursor, "builtin_functions"),
            other_functions=_ask(cursor, "other_functions"),
            known_operators=_ask(cursor, "known_operators"),
            ruled_tables=_ask(cursor, "ruled_tables"),
            typed_tables=_ask(cursor, "typed_tables"),
            inheritance=_ask(cursor, "inheritance"),
            constrained_domains=_ask(cursor, "constrained_domains", schema),
            functions=_ask(cursor, "functions"),
            domains=_ask(cursor, "domains"),
            domain_checks=_ask(cursor, "domain_checks"),
            free_sequences=_ask(cursor, "free_sequences"),
            view_indexes=_ask(cursor, "view_indexes"),
            view_triggers=_ask(cursor, "view_triggers"),
            sequences=_ask(cursor, "sequences", oids),
            extensions=_ask(cursor, "extensions"),
            extension_tables=_ask(cursor, "extension_tables"),
            available_extensions=_ask(cursor, "available_extensions"),
            dependents=_ask(cursor, "dependents", oids),
            publications=_ask(cursor, "publications"),
            publication_tables=_ask(cursor, "publication_tables"),
            around=_ask(cursor, "around"),
            view_dependencies=_ask(cursor, "view_dependencies"),
            views=_ask(cursor, "views"),
        )


def _ask(cursor: psycopg.Cursor[DictRow], query: str, parameters: Mapping[str, Any] | None = None) -> list[DictRow]:
    return cursor.execute(_queries()[query], parameters).fetchall()


def _locked(conn: Connection[Any]) -> NotYet:
    with translated(_READING), conn.cursor(row_factory=dict_row) as cursor:
        found = _ask(cursor, "exclusively_locked")
    table = f"{found[0]['schema']}.{found[0]['name']}" if found else "a table"
    message = f"{_READING}: another session holds {table} locked (ACCESS EXCLUSIVE); it is tried again"
    return NotYet(message, reason=RETRYING, retry_in_s=2.0)


@cache
def _queries() -> Mapping[str, bytes]:
    return {
        **named_queries("zanith.postgres", "catalog.sql"),
        **named_queries("zanith.postgres", "catalog_objects.sql"),
    }
