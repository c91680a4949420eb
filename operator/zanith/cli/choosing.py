"""Which artifact a command is about: by the name of what was taken away, or by its id. Reads only.

Where a name fits several, the newest that still holds data is meant, and that is said; where it fits different things,
nobody guesses.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any, Literal

from psycopg import Connection

from zanith.core.errors import SpecError
from zanith.core.identifiers import text_problem
from zanith.ledger.history import printable
from zanith.ledger.history_queries import artifacts_named, five_tables_exist, names_kept
from zanith.ledger.records import Artifact

Wanted = Literal["any", "column", "table"]

_COMMANDS = {"column": "restore-column", "table": "restore-table"}


def choose_artifact(
    conn: Connection[Any],
    schema: str,
    name: str,
    *,
    artifact_id: str | None,
    wanted: Wanted = "any",
    note: Callable[[str], None],
) -> Artifact:
    """The artifact of `table` or `table.column`, with or without its schema. `note` is told which of several it is.

    Raises SpecError where there is none, or where it cannot be told which.
    """
    if not five_tables_exist(conn, schema):
        raise SpecError(f"no migration has run here yet: schema {schema} has no ledger (another one? give --schema)")
    named = [] if text_problem(name) else artifacts_named(conn, schema, name)
    found = [a for a in named if wanted in ("any", _kind(a))]
    if not found:
        raise _none(conn, schema, name, wanted, named)
    if artifact_id is not None:
        return _by_id(found, name, artifact_id)
    sources = {(a.source_schema, a.source_table, a.source_column) for a in found}
    if len(sources) > 1:
        spelled = ", ".join(sorted(f"{full_source(a)} ({a.id})" for a in found))
        raise SpecError(f"{printable(name)} can be any of {printable(spelled)}; choose one with --id")
    chosen = next((a for a in found if a.holds_data), found[0])
    others = [a.id for a in found if a is not chosen]
    if others:
        what = "the newest that still holds data" if chosen.holds_data else "the newest; none holds data any more"
        note(
            printable(
                f"there are {len(found)} artifacts of {name}; this is {what}: {chosen.id} (choose another with --id: "
                f"{', '.join(others[:5])}{', …' if len(others) > 5 else ''})"
            )
        )
    return chosen


def full_source(artifact: Artifact) -> str:
    """`schema.table` or `schema.table.column`."""
    return f"{artifact.source_schema}.{artifact.source}"


def _kind(artifact: Artifact) -> str:
    return "table" if artifact.source_column is None else "column"


def _by_id(found: list[Artifact], name: str, artifact_id: str) -> Artifact:
    for artifact in found:
        if artifact.id == artifact_id:
            return artifact
    there = ", ".join(a.id for a in found[:5])
    raise SpecError(f"--id: {printable(name)} has no artifact {printable(artifact_id)}; it has {printable(there)}")


def _none(conn: Connection[Any], schema: str, name: str, wanted: Wanted, named: list[Artifact]) -> SpecError:
    if named:
        kind = _kind(named[0])
        return SpecError(f"{printable(name)} is a {kind}: use `zanith recover {_COMMANDS[kind]}`")
    kept = names_kept(conn, schema)
    if not kept:
        return SpecError("nothing is kept here: no step has taken anything away and kept it")
    inside = [k for k in kept if k.startswith((f"{name}.", f"{schema}.{name}."))]
    if inside:
        return SpecError(f"nothing is kept of {printable(name)} itself, but of {printable(', '.join(inside[:10]))}")
    spelled = {k.removeprefix(f"{schema}."): k for k in kept} | {k: k for k in kept}
    close = difflib.get_close_matches(name, list(spelled), n=1, cutoff=0.6)
    hint = f" (did you mean {printable(close[0])}?)" if close else ""
    return SpecError(
        f"nothing is kept of {printable(name)}{hint}; `zanith recover list --all` shows what there is, and was"
    )
