"""Looks into the catalog before anything is brought back: is what was kept still there, and is its old place free?

What a person or an application did meanwhile is said with the names of the objects, instead of failing half-way at a
statement. Reads only; locks nothing, so a statement may still fail of what happens right after the look.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from psycopg import Connection

from zanith.core.errors import Conflict
from zanith.core.identifiers import TableKey
from zanith.ledger.records import Artifact
from zanith.operations.keep_table import SHADOW


def check_kept(conn: Connection[Any], kept: Iterable[Artifact], *, begun: bool, step: int | None = None) -> None:
    """Raises Conflict where something kept cannot come back. `begun` says that bringing it back has begun: then the
    column may be there."""
    for artifact in kept:
        found = _problem(conn, artifact, begun=begun) if artifact.holds_data else None
        if found is not None:
            raise Conflict(found, step=step)


def check_shadow(conn: Connection[Any], kept: Iterable[Artifact], *, step: int) -> None:
    """Raises Conflict where a copy in our own schema is gone: whatever is taken back first, no undo brings that back."""
    for artifact in kept:
        where = artifact.kept_in
        if artifact.holds_data and where is not None and where.schema == SHADOW and table_oid(conn, where) is None:
            raise Conflict(_gone(artifact), step=step)


def check_alone(conn: Connection[Any], artifact: Artifact) -> None:
    """The same for what comes back by its recovery SQL, where no probe asks whether a table's name is free."""
    check_kept(conn, [artifact], begun=False)
    table = _table(artifact)
    if artifact.source_column is None and table_oid(conn, table) is not None:
        raise Conflict(
            f"table {table} is there already: the application, or recovery SQL run by hand, made it; drop or rename it "
            "first, then restore again"
        )


def check_back(conn: Connection[Any], artifact: Artifact) -> None:
    """Before an archived column is called restored: raises Conflict where it is not there. What was only renamed is back
    by the statement that renames it, which may be executed right after this."""
    table, column = _table(artifact), artifact.source_column
    if artifact.artifact_type != "archive_column" or column is None or has_column(conn, table, column):
        return
    raise Conflict(
        f"column {table}.{column} is not there, though all was done that brings it back: it was dropped meanwhile; the "
        "artifact keeps its values"
    )


def is_kept(conn: Connection[Any], artifact: Artifact) -> bool:
    """Whether the table or column that holds what was kept is where it was put."""
    where = artifact.kept_in
    if where is None or artifact.physical_name is None:
        return False
    if artifact.artifact_type == "soft_drop_column":
        return has_column(conn, where, artifact.physical_name)
    return table_oid(conn, where) is not None


def oid_of_table(conn: Connection[Any], kept: Iterable[Artifact]) -> int | None:
    """Which table a column comes back into, by what no other table of its name has."""
    return next((table_oid(conn, _table(a)) for a in kept if a.source_column is not None), None)


def check_same_table(begun_on: int | None, now: int | None, kept: Iterable[Artifact], step: int) -> None:
    """Raises Conflict where the table in which half of it is back was dropped and made anew."""
    if begun_on is None or begun_on == now:
        return
    names = ", ".join(str(_table(a)) for a in kept if a.source_column is not None)
    raise Conflict(
        f"table {names} is another one than when this began: it was dropped and created again meanwhile, and what was "
        "half done went with it; nothing was touched. Run the recovery SQL that `zanith recover inspect` shows by hand, "
        "then `zanith recover purge`",
        step=step,
    )


def table_oid(conn: Connection[Any], table: TableKey) -> int | None:
    """Of a relation of that name; None where there is none."""
    row = conn.execute(
        "SELECT c.oid::bigint FROM pg_catalog.pg_class AS c "
        "JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relname = %s",
        [table.schema, table.name],
    ).fetchone()
    return None if row is None else int(row[0])


def has_column(conn: Connection[Any], table: TableKey, column: str) -> bool:
    """Whether the table is there, and has it."""
    found = conn.execute(
        "SELECT FROM pg_catalog.pg_attribute WHERE attrelid = %s AND attname = %s AND attnum > 0 AND NOT attisdropped",
        [table_oid(conn, table), column],
    )
    return found.fetchone() is not None


def _problem(conn: Connection[Any], artifact: Artifact, *, begun: bool) -> str | None:
    table, column = _table(artifact), artifact.source_column
    name = _name(artifact)
    if column is None:
        return None if is_kept(conn, artifact) else _gone(artifact)
    if table_oid(conn, table) is None:
        advice = (
            f"what was kept of {name} went with it; {_settled(artifact)}"
            if artifact.artifact_type == "soft_drop_column"
            else f"create it again or give it its name back; `zanith recover export {name}` shows the values that were kept"
        )
        return f"table {table} does not exist any more, so {name} cannot come back: {advice}"
    back = has_column(conn, table, column)
    if begun and back:
        return None
    if not is_kept(conn, artifact):
        return _gone(artifact)
    if back:
        return (
            f"column {name} is there already: the application, or recovery SQL run by hand, made it; drop or rename it "
            "first, then try again"
        )
    if begun and artifact.artifact_type == "archive_column":
        return (
            f"column {name}, which was half-way back, was dropped meanwhile; add it again with the first statement of "
            f"the recovery SQL that `zanith recover inspect {name}` shows, then try again"
        )
    return None


def _gone(artifact: Artifact) -> str:
    if artifact.artifact_type == "soft_drop_column":
        where = f"column {artifact.source_schema}.{artifact.source_table}.{artifact.physical_name}"
    else:
        where = f"table {artifact.kept_in}"
    return (
        f"{where}, which held what was kept of {_name(artifact)}, is not there any more: it was dropped or renamed, or the "
        f"recovery SQL was run, by hand; {_settled(artifact)}"
    )


def _settled(artifact: Artifact) -> str:
    return f"`zanith recover purge {_name(artifact)}` settles the artifact"


def _name(artifact: Artifact) -> str:
    return f"{artifact.source_schema}.{artifact.source}"


def _table(artifact: Artifact) -> TableKey:
    return TableKey(artifact.source_schema, artifact.source_table)
