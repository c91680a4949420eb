"""`zanith recover restore-column`, `restore-table`, `purge`, `cleanup` and `reseed`: what changes something.

Each shows with `--dry-run` what it would do, holds the advisory lock while it works (but for `reseed`), stops at Ctrl-C
after the current batch, and goes on from there when it is run again.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

from zanith.cli.asking import has_ledger, parse_since
from zanith.cli.choosing import Wanted, choose_artifact, full_source
from zanith.cli.outcome import say, warn
from zanith.cli.progress import progress_report
from zanith.cli.stopping import stop_on_signals, stopped
from zanith.cli.target import APPLICATION_NAME, Target
from zanith.core.errors import ExitCode, SpecError, Stopped, ZanithError
from zanith.execution.assignment import Progress
from zanith.execution.purging import drop_statement, purge
from zanith.execution.recovering import RestoredRows, rehearse, restore
from zanith.execution.reseeding import Reseeded, reseed
from zanith.execution.session import Session, open_recovery
from zanith.ledger.history import printable
from zanith.ledger.history_queries import read_kept
from zanith.ledger.overview import KeptArtifact, clock, expiry_text, size_text
from zanith.ledger.records import Artifact
from zanith.planning.rendering import statements_sql
from zanith.postgres.connecting import connect
from zanith.postgres.sqlstates import translated

_CHOOSING = "looking for the artifact"


def bring_back(dsn: str, schema: str, name: str, *, wanted: Wanted, artifact_id: str | None, dry_run: bool) -> int:
    """Restore a column or a table, or print what that would execute."""
    with Target(dsn) as target:
        artifact = _chosen(target, schema, name, artifact_id, wanted)
        source = printable(full_source(artifact))
        try:
            with _session(target, schema, artifact) as session:
                artifact = _as_it_is_now(session, artifact)
                if dry_run:
                    statements = rehearse(session, artifact)
                else:
                    rows = _restored(session, artifact)
        except Stopped:
            return stopped(f"{source} is not back yet, and what was done stays")
    if not dry_run:
        print(restored_text(source, rows))
        return int(ExitCode.APPLIED)
    print(f"-- this would bring {source} back from artifact {printable(artifact.id)}; nothing was changed")
    sys.stdout.writelines(f"{line}\n" for line in statements_sql(statements))
    return int(ExitCode.APPLIED)


def _restored(session: Session, artifact: Artifact) -> RestoredRows | None:
    told = Progress("step_started", target=full_source(artifact), message="restore")
    session.tell(told)
    began = time.monotonic()
    rows = restore(session, artifact)
    session.tell(replace(told, event="step_finished", took_s=time.monotonic() - began))
    return rows


def restored_text(source: str, rows: RestoredRows | None) -> str:
    """What came of it, in words."""
    if rows is None:
        return f"{source} is back, with everything in it."
    lines = [f"{source} is back: {_rows(rows.archived)} had been archived."]
    if rows.unmatched:
        were, kept = ("was", "its value stays") if rows.unmatched == 1 else ("were", "their values stay")
        lines.append(
            f"{_rows(rows.unmatched)} of the archive {were} deleted or got another key since: {kept} in the archive until "
            "that is purged; `zanith recover export` shows it."
        )
    if rows.newer:
        came = "was inserted or got its" if rows.newer == 1 else "were inserted or got their"
        lines.append(f"{_rows(rows.newer)} of the table {came} key since: the archive has no value for that.")
    if rows.other:
        have = "has" if rows.other == 1 else "have"
        lines.append(
            f"{_rows(rows.other)} of the table {have} another value than the archive: written since the column came back, or "
            "kept from changing by a trigger."
        )
    if not (rows.unmatched or rows.newer or rows.other):
        lines.append("Every row has its value.")
    return "\n".join(lines)


def _rows(count: int) -> str:
    return f"{count} row" if count == 1 else f"{count} rows"


def purge_one(dsn: str, schema: str, name: str, *, artifact_id: str | None, dry_run: bool, yes: bool) -> int:
    """Drop what one artifact keeps, for good."""
    with Target(dsn) as target:
        artifact = _chosen(target, schema, name, artifact_id, "any")
        with translated(_CHOOSING):
            kept = kept_as_listed(target, schema, artifact)
        if artifact.kept_in is None:
            raise SpecError(f"nothing is kept of {printable(artifact.id)} any more ({expiry_text(kept)})")
        print(_doomed(kept))
        if dry_run:
            print(f"{drop_statement(artifact).sql};")
            return int(ExitCode.APPLIED)
        agreed("This data is then gone for good.", yes=yes)
        try:
            with _session(target, schema, artifact) as session:
                dropped = purge(session, _as_it_is_now(session, artifact))
        except Stopped:
            return stopped("nothing was purged")
    print(purged_text(artifact.id, dropped=dropped))
    return int(ExitCode.APPLIED)


def cleanup(dsn: str, schema: str, *, older_than: str, dry_run: bool, yes: bool) -> int:
    """Drop what expired, or was restored, longer ago than that. What is live is never touched."""
    age = parse_since(older_than, "--older-than")
    with Target(dsn) as target:
        with translated("reading the artifacts"):
            if not has_ledger(target, schema):
                return int(ExitCode.APPLIED)
            found = read_kept(target.connection(schema), schema, everything=True)
        doomed = [a for a in found if over_since(a, age)]
        if not doomed:
            print(f"Nothing expired or was restored more than {older_than} ago and still takes room.")
            return int(ExitCode.APPLIED)
        for artifact in doomed:
            print(_doomed(artifact))
        if dry_run:
            print(f"{len(doomed)} artifact(s) would be purged; nothing was changed.")
            return int(ExitCode.APPLIED)
        agreed(
            f"The data of {'this artifact' if len(doomed) == 1 else 'these artifacts'} is then gone for good.", yes=yes
        )
        return _purged_all(target, schema, doomed, age)


def over_since(artifact: KeptArtifact, age: timedelta) -> bool:
    """Whether it expired that long ago and still holds data, or was restored that long ago and left a copy behind."""
    if artifact.physical_name is None:
        return False
    if artifact.restored_at is not None:
        # A soft drop that was restored is the column or table itself.
        return artifact.artifact_type == "archive_column" and artifact.restored_at <= artifact.now - age
    return artifact.expires_at is not None and artifact.expires_at <= artifact.now - age


def _purged_all(target: Target, schema: str, doomed: Sequence[KeptArtifact], age: timedelta) -> int:
    """One after the other; one that cannot be purged does not keep the others."""
    codes = [int(ExitCode.APPLIED)]
    for number, artifact in enumerate(doomed):
        try:
            with _session(target, schema, artifact) as session:
                again = read_kept(session.conn, schema, everything=True, migration_id=artifact.migration_id)
                if not any(a.id == artifact.id and over_since(a, age) for a in again):
                    continue
                dropped = purge(session, _as_it_is_now(session, artifact))
        except Stopped:
            return stopped(f"{number} of {len(doomed)} purged")
        except ZanithError as error:
            codes.append(say(error, subject=printable(artifact.id)))
        else:
            print(purged_text(artifact.id, dropped=dropped))
    return max(codes)


def purged_text(artifact_id: str, *, dropped: bool) -> str:
    """What became of it."""
    if dropped:
        return f"Purged {printable(artifact_id)}."
    return (
        f"Purged {printable(artifact_id)}: nothing was dropped, for what it kept was not there any more; somebody dropped "
        "it, or brought it back, by hand."
    )


def _doomed(artifact: KeptArtifact) -> str:
    rows = "" if artifact.row_count is None else f", {_rows(artifact.row_count)}"
    size = "" if artifact.size is None else f", {size_text(artifact.size)}"
    until = {"Live": "still live, expires", "Expiring": "still live, expires"}.get(artifact.state, "")
    return printable(
        f"to be purged: {artifact.id}{rows}{size}, kept {clock(artifact.created_at)}; {until} {expiry_text(artifact)}"
    ).replace(";  ", "; ")


def reseed_table(dsn: str, schema: str, name: str, *, dry_run: bool) -> int:
    """Put the sequences of a table's columns beyond the greatest value that is there."""
    with Target(dsn) as target, stop_on_signals() as stop, progress_report(sys.stdout) as report:
        # Without the advisory lock: a sequence is moved in an instant, whatever migration is at work.
        conn = connect(target.settings(schema), application_name=APPLICATION_NAME)
        with conn:
            session = Session(conn, target.settings(schema), "", stop, report)
            try:
                moved = reseed(session, name, schema, dry_run=dry_run)
            except Stopped:
                return stopped("a sequence that was not named has not been moved")
    if not moved:
        print(f"No sequence belongs to a column of {printable(name)}: there is nothing to move.")
    sys.stdout.writelines(f"{reseeded_text(one, dry_run=dry_run)}\n" for one in moved if one.problem is None)
    codes = [say(one.problem, subject=printable(one.sequence)) for one in moved if one.problem is not None]
    return max(codes, default=int(ExitCode.APPLIED))


def reseeded_text(moved: Reseeded, *, dry_run: bool) -> str:
    """What became of one sequence."""
    what = printable(f"{moved.sequence} of column {moved.column}")
    if moved.new == moved.old:
        return f"{what}: its next value is {moved.old}, beyond all that is there; it stays"
    would = "its next value would be" if dry_run else "its next value is now"
    return f"{what}: {would} {moved.new}, it was {moved.old}"


def kept_as_listed(target: Target, schema: str, artifact: Artifact) -> KeptArtifact:
    """The artifact as `recover list` shows it."""
    kept = read_kept(target.connection(schema), schema, everything=True, migration_id=artifact.migration_id)
    return next(a for a in kept if a.id == artifact.id)


def _chosen(target: Target, schema: str, name: str, artifact_id: str | None, wanted: Wanted) -> Artifact:
    with translated(_CHOOSING):
        return choose_artifact(
            target.connection(schema), schema, name, artifact_id=artifact_id, wanted=wanted, note=warn
        )


def _as_it_is_now(session: Session, artifact: Artifact | KeptArtifact) -> Artifact:
    """Read again under the lock: somebody may have been faster."""
    name = ".".join(n for n in (artifact.source_schema, artifact.source_table, artifact.source_column) if n is not None)
    with translated(_CHOOSING):
        return choose_artifact(
            session.conn, session.settings.schema, name, artifact_id=artifact.id, note=_nothing_to_note
        )


def _nothing_to_note(line: str) -> None:
    """It was said when the artifact was chosen."""


@contextmanager
def _session(target: Target, schema: str, artifact: Artifact | KeptArtifact) -> Iterator[Session]:
    """A session that holds the advisory lock, told about at the terminal, stopped by Ctrl-C."""
    with stop_on_signals() as stop, progress_report(sys.stdout) as report:
        session = open_recovery(
            target.settings(schema),
            artifact.migration_id,
            application_name=APPLICATION_NAME,
            stop=stop,
            report=report,
        )
        with session.conn:
            yield session


def agreed(what: str, *, yes: bool, ask: Callable[[str], str] = input) -> None:
    """Raises SpecError where nobody agreed and nobody can be asked, Stopped where the answer is not yes."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise SpecError(f"{what} Give --yes to agree, or --dry-run to only look")
    try:
        answer = ask(f"{what} Go on? Type yes: ")
    except (EOFError, KeyboardInterrupt):
        answer = ""
    if answer.strip().lower() != "yes":
        raise Stopped("nothing was changed")
