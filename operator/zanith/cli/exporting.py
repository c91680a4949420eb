"""`zanith recover export`: what an artifact keeps, as a file. Streamed by COPY, so memory is bounded whatever its size.

A file appears under its name when it is whole, and is readable by its owner only: it holds what somebody took away.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Literal

from psycopg import Connection, sql

from zanith.cli.choosing import choose_artifact
from zanith.cli.outcome import warn
from zanith.cli.stopping import stop_on_signals
from zanith.cli.target import Target
from zanith.core.errors import Conflict, ExitCode, SpecError, Stopped
from zanith.core.identifiers import TableKey, ident, table_ident
from zanith.execution.recovering import key_of
from zanith.ledger.history import printable
from zanith.ledger.records import Artifact
from zanith.postgres.sqlstates import translated

Format = Literal["csv", "json", "jsonl"]
STANDARD_OUTPUT = "-"

# COPY's text format would escape the backslashes of JSON once more. Its csv format quotes a field only where it holds the
# quote, the delimiter or a line break, and JSON on one line holds none of these control characters.
_ONE_FIELD = sql.SQL("(FORMAT csv, DELIMITER {}, QUOTE {})").format(sql.Literal("\x01"), sql.Literal("\x02"))
_CSV = sql.SQL("(FORMAT csv, HEADER true)")


def export(
    dsn: str, schema: str, name: str, *, form: Format, output: str, artifact_id: str | None, dry_run: bool = False
) -> int:
    """Write the rows of an artifact to a file or to standard output."""
    with Target(dsn) as target, stop_on_signals() as stop, translated(f"exporting {name}"):
        conn = target.connection(schema)
        artifact = choose_artifact(conn, schema, name, artifact_id=artifact_id, note=warn)
        rows = rows_query(conn, artifact)
        if dry_run:
            print(copy_statement(rows, form).as_string(conn) + ";")
            return int(ExitCode.APPLIED)
        with _written(output) as file:
            count = _copied(conn, rows, form, file, stop)
    if output != STANDARD_OUTPUT:
        warn(printable(f"written: {output}, {count} row{'' if count == 1 else 's'} of {artifact.id}"))
    return int(ExitCode.APPLIED)


def rows_query(conn: Connection[Any], artifact: Artifact) -> sql.Composed:
    """What is exported: a table, a copy with its key, or a soft-dropped column with the key of its table.

    Raises Conflict where nothing is kept any more, or it is not where it was kept.
    """
    table = artifact.kept_in
    if table is None:
        how = "it was purged" if artifact.restored_at is None else "it was restored, read the table itself"
        raise Conflict(f"nothing is kept of {artifact.id} any more: {how}")
    columns = _columns_of(conn, table)
    if not columns or (artifact.artifact_type == "soft_drop_column" and artifact.physical_name not in columns):
        raise Conflict(f"what {artifact.id} kept is not in {table} any more: somebody took it away without Zanith")
    if artifact.artifact_type == "soft_drop_column":
        return _soft_dropped(conn, artifact, table, columns)
    return sql.SQL("SELECT {} FROM {}").format(sql.SQL(", ").join(map(ident, columns)), table_ident(table))


def _soft_dropped(conn: Connection[Any], artifact: Artifact, table: TableKey, columns: list[str]) -> sql.Composed:
    assert artifact.physical_name is not None and artifact.source_column is not None
    key = key_of(conn, table)
    if not key:
        warn(printable(f"{table} has no primary key to tell its rows by: all of its columns are exported"))
        key = [c for c in columns if c not in (artifact.physical_name, artifact.source_column)]
    column = sql.SQL("{} AS {}").format(ident(artifact.physical_name), ident(artifact.source_column))
    listed = sql.SQL(", ").join([*(ident(c) for c in key if c != artifact.physical_name), column])
    return sql.SQL("SELECT {} FROM {}").format(listed, table_ident(table))


def _columns_of(conn: Connection[Any], table: TableKey) -> list[str]:
    rows = conn.execute(
        "SELECT a.attname FROM pg_catalog.pg_attribute AS a JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid "
        "JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace "
        "WHERE n.nspname = %s AND c.relname = %s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
        [table.schema, table.name],
    )
    return [name for (name,) in rows]


def copy_statement(rows: sql.Composed, form: Format) -> sql.Composed:
    """The COPY whose output is written; of the JSON forms a row a line."""
    if form == "csv":
        return sql.SQL("COPY ({}) TO STDOUT WITH {}").format(rows, _CSV)
    # A value of type json keeps the white space it was written with, line breaks too; inside of strings there are none.
    line = sql.SQL("SELECT translate(row_to_json(_zanith_row)::text, E'\\n\\r', '  ') FROM ({}) AS _zanith_row").format(
        rows
    )
    return sql.SQL("COPY ({}) TO STDOUT WITH {}").format(line, _ONE_FIELD)


def _copied(conn: Connection[Any], rows: sql.Composed, form: Format, file: IO[bytes], stop: threading.Event) -> int:
    """How many rows were written."""
    count = 0
    with conn.cursor() as cursor, cursor.copy(copy_statement(rows, form)) as copy:
        if form == "json":
            file.write(b"[")
        for line in copy:
            if stop.is_set():
                raise Stopped("stopped; nothing was changed, and no file is left behind")
            if form == "json":
                file.write(b",\n" if count else b"\n")
                file.write(bytes(line).rstrip(b"\n"))
            else:
                file.write(line)
            count += 1
        if form == "json":
            file.write(b"\n]\n" if count else b"]\n")
    return count - 1 if form == "csv" else count


@contextmanager
def _written(output: str) -> Iterator[IO[bytes]]:
    """Standard output, or a file beside the one of that name, which it becomes once it is whole."""
    if output == STANDARD_OUTPUT:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(output)
    try:
        handle, aside = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    except OSError as error:
        raise SpecError(f"--output: {output} cannot be written: {error.strerror}") from None
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(aside).replace(path)
    except OSError as error:
        raise SpecError(f"--output: {output} cannot be written: {error.strerror}") from None
    finally:
        with suppress(OSError):
            Path(aside).unlink(missing_ok=True)
