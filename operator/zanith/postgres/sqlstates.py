"""What PostgreSQL's errors mean here: one table from SQLSTATE to our errors (manual, appendix A).

Messages are built from the SQLSTATE, the condition's name and the names of objects. PostgreSQL's own texts (message,
detail, hint, context) are never used: they carry row values. So whoever catches a psycopg error raises the translation
`from None`, as `translated` does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import errors

from zanith.core.errors import NotYet, StepFailed, ZanithError
from zanith.core.identifiers import MAX_IDENTIFIER_BYTES

UNREACHABLE = "DatabaseUnreachable"
RETRYING = "Retrying"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What an SQLSTATE, or the class its first two characters name, means for a migration."""

    heals: bool
    advice: str
    reason: str = RETRYING
    retry_in_s: float = 1.0


def _outage(advice: str, retry_in_s: float = 2.0) -> Meaning:
    return Meaning(True, advice, UNREACHABLE, retry_in_s)


def _wait(advice: str, retry_in_s: float = 1.0) -> Meaning:
    return Meaning(True, advice, RETRYING, retry_in_s)


def _final(advice: str) -> Meaning:
    return Meaning(False, advice)


_AGAIN = "then set the annotation zanith.io/retry"
_FIX_DATA = f"correct the rows that break it, {_AGAIN}"
_FIX_STEP = "correct the step"

_SAME_NAME = _final(
    f"another session made something of the same name meanwhile; rename or drop one of the two, {_AGAIN}"
)
"""A unique_violation of a catalog's own index: no row of anybody's is doubled. CREATE, IF NOT EXISTS too, looks for the
name first and takes it after; ADD CONSTRAINT ... USING INDEX does not look at all."""

# Looked up by the whole code first, then by its class. What is in neither is final: an unknown error is not retried.
MEANINGS: dict[str, Meaning] = {
    "08": _outage("the connection was lost; it is tried again"),
    "08P01": _final("the server did not understand the connection; connect to PostgreSQL itself, not to a pooler"),
    "0A000": _final(f"this server cannot do it; {_FIX_STEP}"),
    "22": _final(f"a row holds a value the statement cannot use; {_FIX_DATA}, or {_FIX_STEP}"),
    "23": _final(_FIX_DATA),
    "23502": _final(f"fill the NULLs, {_AGAIN}"),
    "23503": _final(f"remove the orphans or add what they point to, {_AGAIN}"),
    "23505": _final(f"remove the duplicates, {_AGAIN}"),
    "25006": _outage("the server takes no writes, as after a failover; it is tried again", 5.0),
    "25P03": _outage("the server ended an idle transaction; it is tried again"),
    "25P04": _wait("the server ended a long transaction; it is tried again"),
    "28": _outage("check user, password and pg_hba.conf; it is tried again, for passwords are rotated", 10.0),
    "2BP01": _final("other objects depend on it; drop or change those first"),
    "3D000": _outage("create the database or correct dbname in the Secret; it is tried again", 10.0),
    "3F000": _final("create the schema, or correct the step"),
    "40": _wait("it is tried again", 0.2),
    "42": _final(_FIX_STEP),
    "42501": _final(f"grant the migration's role what it needs, or make it the owner, {_AGAIN}"),
    "53": _wait("the server is short of resources; it is tried again", 5.0),
    "53100": _wait("the server's disk is full; it is tried again", 15.0),
    "53300": _outage("the server has no free connection; it is tried again", 5.0),
    "54": _final(f"a limit of PostgreSQL was reached; {_FIX_STEP}"),
    "55": _final(_FIX_STEP),
    "55006": _wait("somebody uses the object; it is tried again"),
    "55P03": _wait("the lock was not free in time; it is tried again", 0.2),
    "57014": _wait("the statement was cancelled; it is tried again"),
    "57P": _outage("the server is going down, coming up, or ended this session; it is tried again"),
    "57P04": _final("the database was dropped"),
    "58": _outage("the server has trouble with its files or system; it is tried again", 15.0),
    "72000": _wait("it is tried again"),
    "P0": _final(f"a function or trigger of the database refused; {_FIX_DATA}"),
    "XX": _final("an internal error of PostgreSQL; look into the server's log"),
}


def translate(error: psycopg.Error, *, doing: str, step: int | None = None) -> ZanithError:
    """Our error for one of psycopg's; raise it `from None`.

    `doing` says what was attempted, with names of objects only: "adding column public.users.email". `step` counts
    from 1.
    """
    if error.sqlstate is None:
        return _without_sqlstate(error, doing, step)
    in_catalog = error.sqlstate == "23505" and error.diag.schema_name == "pg_catalog"
    meaning = _SAME_NAME if in_catalog else meaning_of(error.sqlstate)
    where = _objects(error.diag)
    message = f"{doing}: {condition(error.sqlstate)} ({error.sqlstate}){where}; {meaning.advice}"
    if meaning.heals:
        return NotYet(message, reason=meaning.reason, step=step, retry_in_s=meaning.retry_in_s)
    return StepFailed(message, step=step)


@contextmanager
def translated(doing: str, *, step: int | None = None) -> Iterator[None]:
    """Raises what `translate` makes of any psycopg error inside."""
    try:
        yield
    except psycopg.Error as error:
        raise translate(error, doing=doing, step=step) from None


def meaning_of(sqlstate: str) -> Meaning:
    """The entry of the code, of its group (`57P`), or of its class (`57`); final where there is none."""
    for key in (sqlstate, sqlstate[:3], sqlstate[:2]):
        if key in MEANINGS:
            return MEANINGS[key]
    return _final("it is not tried again by itself; look into the server's log")


def condition(sqlstate: str) -> str:
    """The condition's name in the manual's spelling: `unique_violation`."""
    try:
        name = errors.lookup(sqlstate).__name__.rstrip("_")
    except KeyError:
        return "error"
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def _without_sqlstate(error: psycopg.Error, doing: str, step: int | None) -> ZanithError:
    """The server did not speak: the connection is gone, or the client refused before sending anything."""
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        message = f"{doing}: the connection to the database was lost; it is tried again"
        return NotYet(message, reason=UNREACHABLE, step=step, retry_in_s=2.0)
    return StepFailed(f"{doing}: the client library refused ({type(error).__name__}); {_FIX_STEP}", step=step)


def _objects(diag: errors.Diagnostic) -> str:
    """` on constraint c of table s.t, column x, at character 17`, as far as the server said.

    Nothing where a RAISE of somebody's function is the source: its COLUMN, TABLE or CONSTRAINT may be a row's value.
    """
    if diag.source_function == "exec_stmt_raise":
        return ", raised by a function of the database"
    table = ".".join(_name(n) for n in (diag.schema_name, diag.table_name) if n)
    found = [
        f"constraint {_name(diag.constraint_name)}" if diag.constraint_name else "",
        f"column {_name(diag.column_name)}" if diag.column_name else "",
        f"data type {_name(diag.datatype_name)}" if diag.datatype_name else "",
    ]
    text = ", ".join(f for f in found if f)
    if diag.table_name:
        text = f"{text} of table {table}" if text else f"table {table}"
    place = f" at character {diag.statement_position}" if diag.statement_position else ""
    return (f" on {text}" if text else "") + place


def _name(name: str) -> str:
    """A name of the catalog; cut, in case an extension reports something longer than a name."""
    return name[:MAX_IDENTIFIER_BYTES]
