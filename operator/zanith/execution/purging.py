"""Drops what artifacts keep, for good: what has expired, where policy says so, or what a person names.

Data, the artifact's row and the audit row change in one transaction: a purge that is killed has either happened or not.
"""

from __future__ import annotations

from dataclasses import replace

import psycopg
from psycopg import sql

from zanith.core.errors import Conflict, StepFailed, ZanithError
from zanith.core.identifiers import TableKey, ident, table_ident
from zanith.core.risk import Finding, ReasonCode, RiskLevel
from zanith.core.sql import raw, render
from zanith.core.statement import Lock, Statement
from zanith.execution.assignment import Progress
from zanith.execution.lock_attempts import with_lock_attempts
from zanith.execution.session import Session
from zanith.execution.still_there import is_kept
from zanith.execution.under_way import check_may_go
from zanith.ledger.reading import read_migration
from zanith.ledger.records import PURGING, Artifact, FrozenPlan, MigrationRecord
from zanith.operations.keep_table import SHADOW
from zanith.planning.plan import PlannedStep
from zanith.postgres.sqlstates import translated

OUR_NAMES = ("_zanith_dropped_", "_zanith_archived_")
"""How the names begin under which anything is kept."""


def purge_expired(session: Session) -> MigrationRecord:
    """Purge every artifact of the migration whose time has come by the database's clock and that was not restored."""
    with translated("reading the five tables"):
        session.ledger.interrupt_leftovers()
        record = _read(session)
    in_the_way: Conflict | None = None
    for artifact in record.artifacts:
        if artifact.holds_data and artifact.expires_at is not None and artifact.expires_at <= record.now:
            try:
                purge(session, artifact)
            except Conflict as conflict:
                # One that a person has to look at does not keep the others.
                in_the_way = in_the_way or conflict
    if in_the_way is not None:
        raise in_the_way
    return _read(session)


def purge(session: Session, artifact: Artifact) -> bool:
    """Drop what the artifact keeps; False where that was gone already, and only the artifact's row says so now. Raises
    StepFailed where something needs it by now, Conflict where nothing is kept of it or it is being brought back, NotYet
    or Stopped."""
    if artifact.kept_in is None:
        gone = "it was restored" if artifact.restored_at is not None else "it was purged before"
        raise Conflict(f"nothing is kept of {artifact.id} any more: {gone}; there is nothing to purge")
    drop = drop_statement(artifact)
    doing = f"purging {artifact.id}"
    with translated(doing):
        session.ledger.interrupt_leftovers()
        frozen = read_migration(session.conn, session.settings.schema, artifact.migration_id).frozen
        there = is_kept(session.conn, artifact)
        step = step_of(frozen, artifact)
        if there and step is not None and artifact.holds_data:
            check_may_go(session, step, artifact)
        attempt = session.ledger.start_attempt(artifact.migration_id, _audited(frozen, artifact, drop))
        if not there:
            with session.conn.transaction():
                session.ledger.purged(artifact.id)
                session.ledger.finish_attempt(attempt, "done", "nothing was dropped: it was not there any more")
            session.notify(now=True)
            return False

        def dropped(_patient: bool) -> None:
            with session.conn.transaction():
                session.ledger.purged(artifact.id)
                session.ledger.finish_attempt(attempt, "done")
                session.conn.execute(raw(drop.sql))

        try:
            with_lock_attempts(
                session, drop.on, drop.lock, lambda why: session.tell(Progress("waiting", message=why)), dropped
            )
        except (psycopg.Error, ZanithError) as error:
            final = _final(error, doing)
            if not session.conn.broken:
                words = f"{doing} did not come to its end" if final is None else final.message
                session.ledger.finish_attempt(attempt, "interrupted" if final is None else "failed", words)
            if final is not None:
                raise final from None
            raise
    session.notify(now=True)
    session.tell(Progress("purged", message=artifact.id))
    return True


def _final(error: Exception, doing: str) -> StepFailed | None:
    """What trying again does not heal, in our words."""
    match error:
        case psycopg.errors.DependentObjectsStillExist():
            return StepFailed(f"{doing}: something still uses it; drop that first, then purge again")
        case psycopg.errors.UndefinedTable() | psycopg.errors.UndefinedColumn():
            return StepFailed(f"{doing}: it is not where it was kept; was it dropped or renamed by hand?")
    return None


def drop_statement(artifact: Artifact) -> Statement:
    """What drops it; without CASCADE: nothing goes that nobody named. Raises Conflict where the name is none of ours."""
    assert artifact.physical_name is not None
    if not artifact.physical_name.startswith(OUR_NAMES):
        raise Conflict(
            f"the row of artifact {artifact.id} was changed: what it keeps would be called {artifact.physical_name}, and "
            f"no name that Zanith gives begins so; nothing was dropped. Look at the row in _zanith_migration_artifacts"
        )
    source = TableKey(artifact.source_schema, artifact.source_table)
    match artifact.artifact_type:
        case "soft_drop_column":
            text = sql.SQL("ALTER TABLE {} DROP COLUMN {}").format(table_ident(source), ident(artifact.physical_name))
            return Statement(sql=render(text), lock=Lock.ACCESS_EXCLUSIVE, on=(source,))
        case "soft_drop_table":
            aside = TableKey(artifact.source_schema, artifact.physical_name)
        case _:
            aside = TableKey(SHADOW, artifact.physical_name)
    text = sql.SQL("DROP TABLE {}").format(table_ident(aside))
    return Statement(sql=render(text), lock=Lock.ACCESS_EXCLUSIVE, on=(aside,))


def step_of(frozen: FrozenPlan | None, artifact: Artifact) -> PlannedStep | None:
    """The step of the frozen plan that kept it; None where an undo did, or the plan is gone."""
    for step in () if frozen is None else frozen.plan.steps:
        for statement in step.statements:
            draft = statement.artifact
            if draft is not None and draft.identifier(artifact.migration_id) == artifact.identifier:
                return step
    return None


def _audited(frozen: FrozenPlan | None, artifact: Artifact, drop: Statement) -> PlannedStep:
    """What the audit row is written from."""
    column = artifact.source_column is not None
    reason = ReasonCode.DROPS_COLUMN_WITH_DATA if column else ReasonCode.DROPS_TABLE_WITH_DATA
    gone = Finding(RiskLevel.DESTRUCTIVE, reason, f"{artifact.id} is gone for good")
    found = step_of(frozen, artifact)
    if found is None:
        return PlannedStep(1, PURGING, artifact.source, "", (drop,), (gone,))
    return replace(found, kind=PURGING, statements=(drop,), findings=(gone,), probes=())


def _read(session: Session) -> MigrationRecord:
    return read_migration(session.conn, session.settings.schema, session.migration_id)
