"""Checksums of artifacts: recorded once their data is at rest, and compared before anything is brought back.

A checksum is two halves of 32 hex digits: of the data, where it is at rest in `_zanith_shadow`, and of the recovery SQL.
Artifacts that stay inside of the application's own tables have the second half only: what is kept there may still change
by a foreign key of the application's.
"""

from __future__ import annotations

from typing import Any

from psycopg import Connection, sql

from zanith.core.errors import Conflict
from zanith.core.identifiers import TableKey, fit, ident
from zanith.core.sql import raw, render
from zanith.core.statement import Statement
from zanith.execution.session import Session
from zanith.ledger.records import RECIPE_DIGITS, Artifact, recipe_checksum, undo_checksum
from zanith.operations.archive_restore import checksum_query
from zanith.operations.keep_table import SHADOW
from zanith.operations.step_context import Undo

# What printing a row as text depends on.
_PINNED = {
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "lc_monetary": "C",
    "xmlbinary": "base64",
    "search_path": "pg_catalog",
    "TimeZone": "UTC",
}


def seal(session: Session, statement: Statement) -> None:
    """Record rows and checksum of what the statement asks about, inside the open transaction."""
    rows, digest = _measured(session.conn, statement.sql)
    session.ledger.seal_artifact(session.migration_id, statement.seals, rows=rows, digest=digest)


def verify(conn: Connection[Any], artifact: Artifact, undo: Undo) -> None:
    """Compare what is kept, its recovery SQL and the undo that would be executed with what was recorded of them. Raises
    Conflict (ChecksumMismatch); also where a part was never recorded that the kind of artifact has.
    """
    half = RECIPE_DIGITS // 2
    recorded, recipe = (artifact.checksum or "")[:-RECIPE_DIGITS], (artifact.checksum or "")[-RECIPE_DIGITS:]
    if recipe[:half] != recipe_checksum(artifact.recovery_sql):
        raise changed(artifact, "the recovery SQL")
    if recipe[half:] != undo_checksum(undo):
        raise changed(artifact, "the undo in the stored plan")
    if artifact.artifact_type == "archive_column" and artifact.physical_name is not None:
        query = render(checksum_query(TableKey(SHADOW, artifact.physical_name)))
        with conn.transaction():
            _, found = _measured(conn, query)
        if found != recorded:
            raise changed(artifact, f"the data in {SHADOW}.{artifact.physical_name}")


def put_aside(session: Session, artifact: Artifact) -> None:
    """A copy that has been restored stays, for the values of rows that are gone, until it is purged; but under another
    name, so that the column can be archived again. Inside the open transaction."""
    if artifact.artifact_type != "archive_column" or artifact.physical_name is None:
        return
    number = 1
    while _exists(session.conn, aside := fit(f"{artifact.physical_name}_restored_{number}")):
        number += 1
    rename = sql.SQL("ALTER TABLE {} RENAME TO {}").format(ident(SHADOW, artifact.physical_name), ident(aside))
    session.conn.execute(rename)
    session.ledger.put_aside(artifact.id, aside)


def _exists(conn: Connection[Any], name: str) -> bool:
    return conn.execute("SELECT to_regclass(%s) IS NOT NULL", [render(ident(SHADOW, name))]).fetchone() == (True,)


def changed(artifact: Artifact, what: str) -> Conflict:
    """The refusal to restore from what is not what was kept."""
    recorded = f"{artifact.checksum[:7]}…" if artifact.checksum else "nothing"
    return Conflict(
        f"archive checksum changed since archive time (recorded {recorded}): {what} of artifact "
        f"{artifact.id} is not what was kept; nothing was touched. Look at it with `zanith recover inspect` and "
        "`zanith recover export`, and restore it by hand if it is right",
        reason="ChecksumMismatch",
    )


def _measured(conn: Connection[Any], query: str) -> tuple[int, str]:
    """Rows and checksum, printed the same in every session; inside an open transaction, whose settings it changes."""
    for name, value in _PINNED.items():
        conn.execute("SELECT set_config(%s, %s, true)", [name, value])
    row = conn.execute(raw(query)).fetchone()
    assert row is not None
    return int(row[0]), str(row[1])
