"""Reconcile one migration: gather, decide, carry out, write the status. Called by the queue, one at a time per key."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import structlog

from zanith.api.conditions import Reason
from zanith.api.spec import MigrationSpec
from zanith.api.status import parse_status
from zanith.controller.cache import Cache, Key
from zanith.controller.carry_out import Hands, JobRefused, Subject, carry_out, delete_orphans
from zanith.controller.decide import Decision, StartJob, SyncExecution, decide
from zanith.controller.decide.observed import Trouble
from zanith.controller.decide.verdict import only_progress_differs
from zanith.controller.gather import Gathered, Parsed, Sources, gather, observe, parse
from zanith.controller.rounds import AtRest, Rounds
from zanith.controller.turns import Turns
from zanith.kube.client import Body, NotFound
from zanith.kube.writing import write_status
from zanith.postgres.connecting import ConnectionSettings

log = structlog.get_logger(__name__)

_EXCUSES = frozenset(
    {
        Reason.DATABASE_UNREACHABLE,
        Reason.SECRET_NOT_FOUND,
        Reason.SECRET_FORBIDDEN,
        Reason.THROTTLED,
        Reason.SUSPENDED,
        Reason.QUEUED,
        Reason.POD_NOT_STARTING,
        Reason.RETRYING,
    }
)
"""While one of these holds, no progress is expected and the progress deadline stands still."""

Follow = Callable[[Key, str, ConnectionSettings], None]
"""Asks to be told when the ledger of a migration changes."""


@dataclass
class Memory:
    """What this process knows of a migration and may forget: all of it is only about when and how often."""

    uid: str
    still_until: datetime
    parsed: Parsed | None = None
    job_problem: str = ""
    execution_written: str = ""
    status_written_at: float = float("-inf")


@dataclass
class Reconciler:
    """Everything reconciling needs, wired once."""

    sources: Sources
    hands: Hands
    turns: Turns
    follow: Follow
    unfollow: Callable[[Key], None]
    rounds: Rounds
    wake: Callable[[Key], None]
    wake_dependents: Callable[[Key], None]
    _memories: dict[Key, Memory] = field(default_factory=dict)

    @property
    def cache(self) -> Cache:
        return self.sources.cache

    async def reconcile(self, key: Key) -> float | None:
        """Bring one migration a step further. In how many seconds to look again; None where it is gone."""
        body = self.cache.migration(key)
        uid = str(body["metadata"]["uid"]) if body is not None else ""
        await delete_orphans(self.hands, key, uid)
        if body is None or body["metadata"].get("deletionTimestamp"):
            self._forget(key)
            return None
        now = datetime.now(UTC)
        memory = self._remember(key, uid, body, now)
        assert memory.parsed is not None
        gathered = await gather(self.sources, key, body, memory.parsed, now)
        decision = self._decide(key, gathered, memory)
        refused = await self._carry_out(key, body, gathered, decision, memory, now)
        if refused:
            memory.job_problem = refused
            decision = self._decide(key, gathered, memory)
            self.turns.release(key)
        wait_s = await self._write(key, body, decision, memory)
        self._after(key, gathered, decision, memory, now)
        return min(decision.recheck_s, wait_s)

    async def report(self, key: Key, failure: str) -> None:
        """Say on a migration that the operator stumbles over it: nobody reads logs for what looks like waiting."""
        body, memory = self.cache.migration(key), self._memories.get(key)
        if body is None or memory is None or memory.parsed is None:
            return
        trouble = Trouble(Reason.RETRYING, f"the operator failed at this migration ({failure}); see its log")
        seen = observe(self.sources, key, body, memory.parsed, datetime.now(UTC))
        await self._write(key, body, decide(replace(seen, ledger_trouble=trouble)), memory)

    def _remember(self, key: Key, uid: str, body: Body, now: datetime) -> Memory:
        memory = self._memories.get(key)
        if memory is None or memory.uid != uid:
            memory = self._memories[key] = Memory(uid, still_until=now)
        if memory.parsed is None or memory.parsed.generation != int(body["metadata"].get("generation", 0)):
            memory.parsed = parse(body)
        return memory

    def _forget(self, key: Key) -> None:
        self._memories.pop(key, None)
        self.unfollow(key)
        self.rounds.leave(key)
        for other in self.turns.leave(key):
            self.wake(other)

    def _decide(self, key: Key, gathered: Gathered, memory: Memory) -> Decision:
        """Without a pause between asking whose turn it is and taking it: nobody comes in between."""
        spec = gathered.observed.spec
        observed = replace(
            gathered.observed,
            job_problem=memory.job_problem,
            still_until=memory.still_until,
            execution_synced=spec is None or memory.execution_written == _execution_hash(spec),
            waits_for=self.turns.waits_for(key, gathered.database, gathered.observed.now) if gathered.database else "",
        )
        decision = decide(observed)
        if decision.situation.queued:
            self.turns.wait(key, gathered.database)
        else:
            for other in self.turns.leave(key):
                self.wake(other)
        if decision.situation.start is not None:
            self.turns.reserve(key, gathered.database)
        return decision

    async def _carry_out(
        self, key: Key, body: Body, gathered: Gathered, decision: Decision, memory: Memory, now: datetime
    ) -> str:
        """Do what was decided; why the API server refused the Job, or nothing."""
        observed = gathered.observed
        subject = Subject(key, body, observed.spec, gathered.database, observed.approve)
        try:
            for action in decision.actions:
                await carry_out(self.hands, subject, action, now)
                if isinstance(action, (StartJob, SyncExecution)) and observed.spec is not None:
                    memory.execution_written = _execution_hash(observed.spec)
                if isinstance(action, StartJob):
                    memory.job_problem = ""
        except JobRefused as refused:
            log.warning("job_refused", migration=str(key), message=refused.message)
            return refused.message
        finally:
            self.turns.release(key)
        return ""

    async def _write(self, key: Key, body: Body, decision: Decision, memory: Memory) -> float:
        """Write the status where it is new; in how many seconds to come back for what is held back."""
        wanted, found = decision.status.to_wire(), body.get("status")
        if wanted == found:
            return decision.recheck_s
        interval_s = self.hands.settings.progress_interval_s
        left_s = memory.status_written_at + interval_s - time.monotonic()
        if left_s > 0 and only_progress_differs(parse_status(found), decision.status):
            return left_s
        try:
            written = await write_status(self.hands.kube, key.namespace, key.name, memory.uid, wanted)
        except NotFound:
            log.info("migration_gone", migration=str(key))
            return decision.recheck_s
        memory.status_written_at = time.monotonic()
        self.cache.put_migration(written)
        self.wake_dependents(key)
        log.info("status_written", migration=str(key), phase=wanted["phase"], reason=decision.situation.reason.value)
        return decision.recheck_s

    def _after(self, key: Key, gathered: Gathered, decision: Decision, memory: Memory, now: datetime) -> None:
        if decision.situation.reason in _EXCUSES:
            memory.still_until = now
        newest = gathered.observed.newest
        active = decision.situation.start is not None or (newest is not None and newest.active)
        if active and gathered.connection is not None and gathered.database:
            self.follow(key, gathered.database, gathered.connection)
        elif not active:
            self.unfollow(key)
        if active:
            self.rounds.leave(key)
        else:
            self._rest(key, gathered)

    def _rest(self, key: Key, gathered: Gathered) -> None:
        spec, connection, mark = gathered.observed.spec, gathered.connection, gathered.mark
        if spec is None or connection is None or mark is None or not gathered.observed.began:
            return  # nothing of it in the ledger, or nothing known: it stays as it was seen last
        place = (gathered.database, connection.schema)
        self.rounds.join(key, AtRest(place, connection, spec.migration_id, mark))


def _execution_hash(spec: MigrationSpec) -> str:
    return hashlib.sha256(spec.execution.model_dump_json().encode()).hexdigest()
