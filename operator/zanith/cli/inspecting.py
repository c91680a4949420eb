"""`zanith recover inspect`: everything there is to know of one artifact. Reads only, without the advisory lock.

Whether the data is what was kept is looked at, which reads all of it. What a restore would execute is told from the plan;
`restore-column --dry-run` asks the data as well.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import psycopg
from psycopg import Connection

from zanith.cli.choosing import choose_artifact, full_source
from zanith.cli.outcome import warn
from zanith.cli.recovering import kept_as_listed
from zanith.cli.target import Target
from zanith.core.errors import Conflict, ExitCode
from zanith.execution.purging import step_of
from zanith.execution.sealing import verify
from zanith.ledger.history import printable
from zanith.ledger.overview import KeptArtifact, artifact_json, clock, expiry_text, size_text
from zanith.ledger.reading import read_migration
from zanith.ledger.records import RECIPE_DIGITS, Artifact
from zanith.operations.step_context import Undo
from zanith.planning.plan import PlannedStep
from zanith.planning.rendering import statements_sql
from zanith.postgres.sqlstates import translated

Verdict = Literal["Holds", "Changed", "RecoverySqlOnly", "NotChecked"]


@dataclass(frozen=True, slots=True)
class Inspected:
    """An artifact and what was found out about it."""

    artifact: Artifact
    listed: KeptArtifact
    step: PlannedStep | None
    """The step that kept it; None where an undo did."""
    verdict: Verdict
    why: str
    """The verdict in words."""
    restore: tuple[str, ...]
    """What a restore would execute, as lines; none where there is nothing to restore."""


def inspect(dsn: str, schema: str, name: str, *, artifact_id: str | None, as_json: bool) -> int:
    """Print it; 20 where what is kept is not what was kept."""
    with Target(dsn) as target, translated("reading the artifact"):
        conn = target.connection(schema)
        artifact = choose_artifact(conn, schema, name, artifact_id=artifact_id, note=warn)
        record = read_migration(conn, schema, artifact.migration_id)
        step = step_of(record.frozen, artifact)
        verdict, why = _checked(conn, artifact, step)
        found = Inspected(
            artifact,
            kept_as_listed(target, schema, artifact),
            step,
            verdict,
            why,
            tuple(_restore_lines(artifact, step)),
        )
    print(json.dumps(inspected_json(found), indent=2, ensure_ascii=False) if as_json else inspected_text(found))
    return int(ExitCode.REFUSED_OR_FAILED if verdict == "Changed" else ExitCode.APPLIED)


def _checked(conn: Connection[Any], artifact: Artifact, step: PlannedStep | None) -> tuple[Verdict, str]:
    if artifact.kept_in is None:
        return "NotChecked", "there is nothing left to compare"
    if artifact.checksum is None:
        return "NotChecked", "none was recorded"
    try:
        verify(conn, artifact, Undo() if step is None else step.undo)
    except Conflict as error:
        return "Changed", error.message
    except psycopg.errors.InsufficientPrivilege:
        return "NotChecked", f"{artifact.checksum}; this role may not read {artifact.kept_in}"
    except psycopg.errors.UndefinedTable:
        return "Changed", f"{artifact.kept_in}, which held the data, is not there any more"
    if len(artifact.checksum) == RECIPE_DIGITS:
        return "RecoverySqlOnly", f"{artifact.checksum}, of the recovery SQL only: the data stays where it always was"
    return "Holds", f"{artifact.checksum}, and it holds: data and recovery SQL are what was kept"


def _restore_lines(artifact: Artifact, step: PlannedStep | None) -> Iterator[str]:
    if not artifact.holds_data:
        return
    if step is None:
        yield f"{artifact.recovery_sql};"
        return
    undo = step.undo
    yield from statements_sql(undo.statements)
    while undo.unless is not None and undo.otherwise is not None:
        question, undo = undo.unless.question, undo.otherwise
        yield printable(f"-- but where {question}: {undo.says or undo.refused or 'instead'}")
        yield from statements_sql(undo.statements)


def inspected_text(found: Inspected) -> str:
    """For people."""
    artifact, listed = found.artifact, found.listed
    step = "by an undo" if found.step is None else f"step {found.step.index} {found.step.kind}"
    facts = [
        ("kept of", full_source(artifact)),
        ("by", f"{artifact.migration_id}, {step}"),
        ("type", artifact.artifact_type),
        ("state", listed.state),
        ("since", clock(artifact.created_at)),
        ("until", expiry_text(listed)),
        ("rows", "unknown" if artifact.row_count is None else f"{artifact.row_count}{_about(artifact)}"),
        (
            "size",
            "within its table" if listed.size is None and artifact.kept_in is not None else size_text(listed.size),
        ),
        ("where", _where(artifact)),
        ("checksum", found.why),
    ]
    lines = [f"Artifact {printable(artifact.id)}", *(f"  {word:<9} {printable(text)}" for word, text in facts)]
    lines += ["Recovery SQL, to run by hand:", *(f"  {line}" for line in f"{artifact.recovery_sql};".splitlines())]
    if found.restore:
        kind = "column" if artifact.source_column is not None else "table"
        lines.append(printable(f"`zanith recover restore-{kind} {full_source(artifact)}` would execute:"))
        lines += [f"  {line}" for text in found.restore for line in text.splitlines()]
    else:
        lines.append(f"Nothing to restore: {expiry_text(listed)}.")
    return "\n".join(lines)


def _about(artifact: Artifact) -> str:
    """Only of an archived column they were counted."""
    return "" if artifact.artifact_type == "archive_column" else ", as estimated when it was kept"


def _where(artifact: Artifact) -> str:
    if artifact.kept_in is None:
        return "nowhere"
    if artifact.artifact_type == "soft_drop_column":
        return f"column {artifact.physical_name} of {artifact.kept_in}"
    return f"table {artifact.kept_in}"


def inspected_json(found: Inspected) -> dict[str, Any]:
    """For programs; nothing is left out."""
    return artifact_json(found.listed) | {
        "step": None if found.step is None else found.step.index,
        "kind": None if found.step is None else found.step.kind,
        "checksum": found.artifact.checksum,
        "checksumState": found.verdict,
        "checksumMessage": found.why,
        "recoverySql": found.artifact.recovery_sql,
        "restore": list(found.restore),
    }
