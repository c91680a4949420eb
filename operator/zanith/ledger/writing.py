"""Writes to the five tables: the runner's, and nobody else's. Each is one statement inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from psycopg import Connection, sql
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from zanith.core.errors import Conflict, Refusal
from zanith.core.graph import SchemaGraph
from zanith.core.graph_json import graph_hash, graph_to_json
from zanith.core.identifiers import TableKey
from zanith.core.statement import ArtifactDraft
from zanith.ledger.named_queries import query, schema_statements
from zanith.ledger.records import Artifact, Checkpoint, Owner, recipe_checksum, refusal_key, undo_checksum
from zanith.operations.step_context import Undo
from zanith.operations.undo_renamed import script_renamed
from zanith.planning.plan import Plan, PlannedStep

Phase = Literal["baseline", "plan", "after", "summary"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """A running attempt, to settle it by."""

    migration_id: str
    step_index: int
    started_at: datetime


@dataclass(frozen=True, slots=True)
class Ledger:
    """The five tables of one schema, over one connection."""

    conn: Connection[Any]
    schema: str

    def create_tables(self) -> None:
        """Create what is missing. Only under the advisory lock: IF NOT EXISTS races."""
        with self.conn.transaction():
            self.conn.execute(sql.SQL("SET LOCAL search_path = {}").format(sql.Identifier(self.schema)))
            for statement in schema_statements():
                self.conn.execute(sql.SQL(statement))

    def grant_observer(self) -> None:
        """Let the role `zanith_observer` read the five tables, where the role exists."""
        if self.conn.execute("SELECT FROM pg_roles WHERE rolname = 'zanith_observer'").fetchone() is None:
            return
        role = sql.Identifier("zanith_observer")
        with self.conn.transaction():
            self.conn.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(sql.Identifier(self.schema), role))
            self.conn.execute(query("writing", "grant_observer", self.schema))

    def interrupt_leftovers(self) -> int:
        """Settle what dead runners left running; how many attempts that were."""
        return self.conn.execute(query("writing", "interrupt_leftovers", self.schema)).rowcount

    def start_attempt(self, migration_id: str, step: PlannedStep) -> Attempt:
        """A new audit row, status running."""
        given = _audit(migration_id, step) | {"sql": step.sql}
        row = self.conn.execute(query("writing", "start_attempt", self.schema), given).fetchone()
        assert row is not None
        return Attempt(migration_id, step.index, row[0])

    def finish_attempt(self, attempt: Attempt, status: str, error: str | None = None) -> None:
        """Settle an attempt. Raises Conflict where another runner has settled it: then nothing of ours may commit."""
        given = asdict(attempt) | {"status": status, "error": error}
        if self.conn.execute(query("writing", "finish_attempt", self.schema), given).rowcount != 1:
            raise Conflict(
                f"step {attempt.step_index} of {attempt.migration_id} was taken over by another runner", reason="Fenced"
            )

    def record_refusal(self, plan: Plan, step: PlannedStep, refusal: Refusal, retry: str) -> None:
        """One audit row per refusal, plan and retry value."""
        first_line = f"-- plan {refusal_key(plan.hash, retry)}\n"
        given = _audit(plan.migration_id, step) | {
            "sql": first_line + step.sql,
            "first_line": first_line,
            "error": refusal.recorded,
        }
        self.conn.execute(query("writing", "record_refusal", self.schema), given)

    def write_baseline(self, migration_id: str, graph: SchemaGraph) -> None:
        """The shape at first contact."""
        row = self.conn.execute(query("writing", "has_baseline", self.schema)).fetchone()
        if row is not None and not row[0]:
            self._snapshot(migration_id, "baseline", graph_to_json(graph))

    def write_plan(self, plan: Plan, *, spec_hash: str, digests: tuple[str, ...], owner: Owner) -> None:
        """The frozen plan: with it the migration has begun."""
        content = {
            "plan": plan.to_json(),
            "planHash": plan.hash,
            "specHash": spec_hash,
            "digests": list(digests),
            "owner": {"namespace": owner.namespace, "name": owner.name},
        }
        self._snapshot(plan.migration_id, "plan", content)

    def write_applied(self, migration_id: str, graph: SchemaGraph) -> None:
        """The ledger row, the whole graph and what history reads of it."""
        self.conn.execute(query("writing", "applied", self.schema), {"migration_id": migration_id})
        self._snapshot(migration_id, "after", graph_to_json(graph))
        summary = {"models": graph.models, "relations": graph.relations, "hash": graph_hash(graph)}
        self._snapshot(migration_id, "summary", summary)

    def write_artifact(
        self,
        migration_id: str,
        draft: ArtifactDraft,
        *,
        retention: timedelta | None,
        row_count: int | None,
        undo: Undo,
    ) -> None:
        """What was kept, in the transaction that took it away. `retention` None keeps it for ever; `undo` is how the plan
        would bring it back."""
        given = asdict(draft) | {
            "id": draft.identifier(migration_id),
            "migration_id": migration_id,
            "row_count": row_count,
            "retention": retention,
            "checksum": recipe_checksum(draft.recovery_sql) + undo_checksum(undo),
        }
        self.conn.execute(query("writing", "artifact", self.schema), given)

    def move_artifacts(self, old: TableKey, new: TableKey) -> None:
        """What is kept inside a table follows its rename, in the transaction that renames it."""
        names = {"schema": old.schema, "old": old.name, "new": new.name}
        for identifier, recovery_sql in self.conn.execute(
            query("writing", "artifacts_inside", self.schema), names
        ).fetchall():
            moved = script_renamed(recovery_sql, old, new.name)
            given = {"id": identifier, "new": new.name, "recovery_sql": moved, "checksum": recipe_checksum(moved)}
            self.conn.execute(query("writing", "move_artifact", self.schema), given)

    def seal_artifact(self, migration_id: str, physical_name: str, *, rows: int, digest: str) -> None:
        """Rows and checksum of the data of the artifact that is kept under this name."""
        given = {"migration_id": migration_id, "physical_name": physical_name, "rows": rows, "digest": digest}
        self.conn.execute(query("writing", "seal_artifact", self.schema), given)

    def artifacts_of(self, migration_id: str, identifiers: Sequence[str]) -> list[Artifact]:
        """The newest artifact of each identifier: one that was kept again has a number behind it."""
        given = {"migration_id": migration_id, "identifiers": list(identifiers)}
        with self.conn.cursor(row_factory=class_row(Artifact)) as cursor:
            return cursor.execute(query("writing", "artifacts_of", self.schema), given).fetchall()

    def restored(self, artifact_id: str) -> None:
        """What was kept is back, in the transaction that brought it back."""
        self.conn.execute(query("writing", "restored", self.schema), {"id": artifact_id})

    def put_aside(self, artifact_id: str, physical_name: str) -> None:
        """What is left of an artifact has another name from now on."""
        self.conn.execute(
            query("writing", "put_aside", self.schema), {"id": artifact_id, "physical_name": physical_name}
        )

    def purged(self, artifact_id: str) -> None:
        """What was kept is gone, in the transaction that dropped it. The row stays, and says so."""
        self.conn.execute(query("writing", "purged", self.schema), {"id": artifact_id})

    def forget_walks(self, migration_id: str, step_index: int, lanes: Sequence[int]) -> None:
        """Checkpoints of walks whose work was taken back."""
        given = {"migration_id": migration_id, "step_index": step_index, "lanes": list(lanes)}
        self.conn.execute(query("writing", "forget_walks", self.schema), given)

    def forget_lanes(self, migration_id: str, step_index: int, *, below: int) -> None:
        """Checkpoints of a step in lanes below one: those of a restore that has come to its end."""
        given = {"migration_id": migration_id, "step_index": step_index, "below": below}
        self.conn.execute(query("writing", "forget_lanes", self.schema), given)

    def open_checkpoint(self, migration_id: str, step_index: int, lane: int, cursor: dict[str, Any]) -> Checkpoint:
        """The checkpoint as it stands, created with `cursor` where it is not there."""
        key = {"migration_id": migration_id, "step_index": step_index, "lane": lane}
        self.conn.execute(query("writing", "create_checkpoint", self.schema), key | {"cursor": Jsonb(cursor)})
        found = self.read_checkpoint(migration_id, step_index, lane)
        assert found is not None
        return found

    def read_checkpoint(self, migration_id: str, step_index: int, lane: int) -> Checkpoint | None:
        """Where a lane stands."""
        key = {"migration_id": migration_id, "step_index": step_index, "lane": lane}
        row = self.conn.execute(query("writing", "read_checkpoint", self.schema), key).fetchone()
        return None if row is None else Checkpoint(*row)

    def move_checkpoint(
        self,
        migration_id: str,
        step_index: int,
        lane: int,
        *,
        old: dict[str, Any],
        new: dict[str, Any],
        status: str = "running",
    ) -> None:
        """Compare-and-set. Raises Conflict where somebody else has moved it: then nothing of ours may commit."""
        given = {"migration_id": migration_id, "step_index": step_index, "lane": lane, "status": status}
        given |= {"old": Jsonb(old), "new": Jsonb(new)}
        if self.conn.execute(query("writing", "move_checkpoint", self.schema), given).rowcount != 1:
            raise Conflict(
                f"the checkpoint of step {step_index} of {migration_id} was moved by another runner", reason="Fenced"
            )

    def forget_applied(self, migration_id: str, step_index: int) -> None:
        """A step was taken back: the migration is not applied any more, and the step would begin anew."""
        given = {"migration_id": migration_id, "step_index": step_index}
        self.conn.execute(query("writing", "forget_checkpoints", self.schema), given)
        self.conn.execute(query("writing", "forget_applied", self.schema), given)

    def heartbeat(self, migration_id: str, step_index: int) -> None:
        """A sign of life during a long statement."""
        given = {"migration_id": migration_id, "step_index": step_index}
        self.conn.execute(query("writing", "heartbeat", self.schema), given)

    def _snapshot(self, migration_id: str, phase: Phase, content: dict[str, Any]) -> None:
        given = {"migration_id": migration_id, "phase": phase, "graph": Jsonb(content)}
        self.conn.execute(query("writing", "snapshot", self.schema), given)


def _audit(migration_id: str, step: PlannedStep) -> dict[str, Any]:
    return {
        "migration_id": migration_id,
        "step_index": step.index,
        "operation_kind": step.kind,
        "risk_level": step.level.value,
        "risk_score": step.score,
    }
