"""The batch loop: every row that is there when the walk begins, and whose key stays, is changed exactly once.

A batch is one statement and so one transaction: it takes the checkpoint row if the cursor is where we left it, changes
the rows of the key range, and moves the cursor and the count. Whoever finds the cursor elsewhere changes nothing.
Commits inside the loop are asynchronous: rows and checkpoint are lost together or not at all.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import psycopg
from psycopg import RawCursor, errors, sql
from psycopg.types.json import Jsonb

from zanith.api.spec import seconds
from zanith.core.errors import Conflict, StepFailed
from zanith.core.identifiers import TableKey, ident, table_ident
from zanith.core.sql import parse_expression, raw
from zanith.core.statement import Backfill
from zanith.execution.assignment import Progress
from zanith.execution.session import Session
from zanith.execution.watching import watched
from zanith.ledger.named_queries import TABLES
from zanith.planning.plan import PlannedStep
from zanith.postgres.locks import older_writers

LANE = 0
"""The checkpoint of a step's own walk; walks of an undo have negative ones, which are given."""
FIRST_BATCH = 1_000
MAX_BATCH = 100_000
GROWTH = 1.2
EARLY_GROWTH = 4.0
"""While a batch takes less than a tenth of its target, growth is not held back: small tables would be done before."""
SMOOTHING = 0.4
MAX_PASSES = 4
RETRIED = (errors.LockNotAvailable, errors.DeadlockDetected, errors.SerializationFailure, errors.QueryCanceled)


@dataclass(slots=True)
class _Walk:
    """One walk over one table: its statements, made once, and where it stands."""

    session: Session
    step: PlannedStep
    backfill: Backfill
    waiting: Callable[[str], None]
    going_on: Callable[[], None]
    lane: int = LANE
    cursor: dict[str, Any] = field(default_factory=dict)
    rows_done: int = 0
    batch: float = FIRST_BATCH
    rate: float = 0.0
    begun: float = field(default_factory=time.monotonic)
    rows_before: int = 0

    @property
    def table(self) -> TableKey:
        return TableKey(self.backfill.schema, self.backfill.table)

    @property
    def keys(self) -> sql.Composed:
        return sql.SQL(", ").join(ident(k.name) for k in self.backfill.key)

    def keys_of(self, row: str) -> sql.Composed:
        """The key's columns of one of two tables that have columns of the same names."""
        return sql.SQL(", ").join(ident(row, k.name) for k in self.backfill.key)

    @property
    def width(self) -> int:
        return len(self.backfill.key)

    def bounds(self, first: int) -> sql.Composed:
        """`($1::text::uuid, $2::text::bigint)`: the cursor's text cast back, from parameter number `first` on."""
        return sql.SQL(", ").join(
            sql.SQL("${}::text::{}").format(sql.SQL(str(first + n)), raw(key.type))
            for n, key in enumerate(self.backfill.key)
        )

    def after_last(self, first: int, keys: sql.Composed) -> sql.Composable:
        """Beyond the cursor, or everything at the start of a pass."""
        if self.cursor["last"] is None:
            return sql.SQL("TRUE")
        return sql.SQL("ROW({}) > ROW({})").format(keys, self.bounds(first))

    def unfinished(self) -> sql.Composed:
        """Rows that match `where` and whose value would change: where it is the old one (`lower(NULL)`), all is done."""
        column = self.backfill.finished_by
        assert column is not None
        value = dict(self.backfill.assignments)[column]
        return sql.SQL("{} AND {} IS DISTINCT FROM {}").format(
            parse_expression(self.backfill.where).composed, ident(column), parse_expression(value).composed
        )

    def condition(self) -> sql.Composed:
        """The first pass changes every row that matches; further ones only what still has to change."""
        return parse_expression(self.backfill.where).composed if self.cursor["pass"] == 1 else self.unfinished()


def run_backfill(
    session: Session,
    step: PlannedStep,
    backfill: Backfill,
    waiting: Callable[[str], None],
    going_on: Callable[[], None],
    *,
    lane: int = LANE,
) -> None:
    """Walk to the end, from wherever the checkpoint stands. Raises NotYet, Stopped, StepFailed or Conflict.

    `waiting` is told in words what holds the walk up, and `going_on` that it is over: both reach the ledger.
    """
    walk = _Walk(session, step, backfill, waiting, going_on, lane)
    session.set("synchronous_commit", "off")
    # A range's plan for one pair of values is right for all; the generic one may prefer to read the whole table.
    session.set("plan_cache_mode", "force_custom_plan")
    try:
        _open(walk)
        while True:
            _walk_range(walk)
            if not _another_pass(walk):
                break
    except psycopg.Error as error:
        session.fail(error, _doing(walk), step.index)
    finally:
        if not (session.conn.closed or session.conn.broken):
            session.set("synchronous_commit", "on")
            session.set("plan_cache_mode", "auto")
            session.limits_off()


def _open(walk: _Walk) -> None:
    """Find the checkpoint, or wait for older writers, fix the upper bound and make one."""
    session, migration_id = walk.session, walk.session.migration_id
    found = session.ledger.read_checkpoint(migration_id, walk.step.index, walk.lane)
    if found is None:
        _wait_for_older_writers(walk)
        cursor = {"last": None, "until": _upper_bound(walk), "pass": 1, "estimated": _estimate(walk), "rate": 0}
        found = session.ledger.open_checkpoint(migration_id, walk.step.index, walk.lane, cursor)
    walk.cursor, walk.rows_done, walk.rows_before = found.cursor, found.processed_rows, found.processed_rows


def _walk_range(walk: _Walk) -> None:
    """Batch after batch up to the fixed bound."""
    while walk.cursor["until"] is not None and walk.cursor["last"] != walk.cursor["until"]:
        walk.session.check_stop()
        target_s = seconds(walk.session.execution.throttle.target_batch)
        walk.session.set("lock_timeout", f"{round(walk.session.lock_timeout_s * 1000)}ms")
        began = time.monotonic()
        try:
            changed, full = _run_batch(walk)
        except RETRIED:
            walk.session.check_stop()
            walk.batch = max(1.0, walk.batch / 2)
            walk.waiting(f"a row of {walk.table} is locked by another transaction")
            walk.session.sleep(0.2)
            continue
        walk.going_on()
        took_s = time.monotonic() - began
        walk.rows_done += changed
        if full:
            _resize(walk, took_s, target_s)
        _tell(walk, "batch", took_s=took_s)
        walk.session.notify()


def _run_batch(walk: _Walk) -> tuple[int, bool]:
    """One batch: rows changed, and whether it was full. Raises Conflict where the checkpoint is not where we left it."""
    upto, full = _batch_bound(walk)
    new = walk.cursor | {"last": upto, "rate": round(walk.rate)}
    row = _execute(walk, _batch_statement(walk), [*_key(walk), Jsonb(walk.cursor), Jsonb(new), *_last(walk), *upto])
    if row is None:
        raise Conflict(
            f"the checkpoint of step {walk.step.index} was moved by another runner",
            reason="Fenced",
            step=walk.step.index,
        )
    walk.cursor = new
    return int(row[0]), full


def _batch_bound(walk: _Walk) -> tuple[list[str], bool]:
    """The key of the last row of the next batch, and whether the batch is a full one: the last may be smaller."""
    last = _last(walk)
    until = walk.cursor["until"]
    question = sql.SQL(
        "SELECT {} FROM {} AS walked WHERE {} AND ROW({}) <= ROW({}) ORDER BY {} OFFSET {} LIMIT 1"
    ).format(
        _key_texts(walk),
        table_ident(walk.table),
        walk.after_last(1, walk.keys),
        walk.keys,
        walk.bounds(1 + len(last)),
        _key_order(walk, sql.SQL("")),
        sql.SQL("${}::bigint").format(sql.SQL(str(1 + len(last) + walk.width))),
    )
    row = _execute(walk, question, [*last, *until, max(0, round(walk.batch) - 1)])
    return (list(until), False) if row is None else (list(row), True)


def _batch_statement(walk: _Walk) -> sql.Composed:
    """Rows and checkpoint in one statement: take the checkpoint, change the range, move the checkpoint by the count."""
    here = sql.SQL("migration_id = $1 AND step_index = $2 AND lane = $3 AND cursor = $4")
    return sql.SQL(
        "WITH held AS MATERIALIZED (SELECT 1 FROM {checkpoints} WHERE {here} FOR UPDATE), "
        "changed AS ({change} RETURNING 1) "
        "UPDATE {checkpoints} SET cursor = $5, processed_rows = processed_rows + (SELECT count(*) FROM changed), "
        "updated_at = clock_timestamp() WHERE {here} RETURNING (SELECT count(*) FROM changed)"
    ).format(
        checkpoints=sql.Identifier(walk.session.settings.schema, TABLES["checkpoints"]),
        here=here,
        change=_change(walk),
    )


def _change(walk: _Walk) -> sql.Composed:
    """What is done to the rows of a range."""
    copy = walk.backfill.copy
    if copy is None:
        assignments = sql.SQL(", ").join(
            sql.SQL("{} = {}").format(ident(column), parse_expression(value).composed)
            for column, value in walk.backfill.assignments
        )
        return sql.SQL("UPDATE {} SET {} WHERE {} AND {}").format(
            table_ident(walk.table), assignments, _in_range(walk, walk.keys), walk.condition()
        )
    filled = {
        "table": table_ident(walk.table),
        "copy": ident(copy.schema, copy.table),
        "column": ident(copy.column),
        "keys": walk.keys,
        "walked": walk.keys_of("walked"),
        "kept": walk.keys_of("kept"),
        "in_range": _in_range(walk, walk.keys_of("walked")),
    }
    if copy.direction == "archive":
        # The rows are locked against DELETE only, so that none of them can go between our look and our copy: its
        # trigger would find nothing to delete. A row that is there already was written by the trigger, and is newer.
        return sql.SQL(
            "INSERT INTO {copy} ({keys}, {column}) SELECT {walked}, walked.{column} FROM {table} AS walked "
            "WHERE {in_range} FOR KEY SHARE ON CONFLICT DO NOTHING"
        ).format(**filled)
    return sql.SQL(
        "UPDATE {table} AS walked SET {column} = kept.{column} FROM {copy} AS kept WHERE {in_range} "
        "AND ROW({walked}) = ROW({kept}) AND walked.{column} IS NULL AND kept.{column} IS NOT NULL"
    ).format(**filled)


def _in_range(walk: _Walk, keys: sql.Composed) -> sql.Composed:
    """Rows of the batch, as long as the checkpoint is where we left it."""
    upto = walk.bounds(6 + len(_last(walk)))
    return sql.SQL("EXISTS (SELECT 1 FROM held) AND {} AND ROW({}) <= ROW({})").format(
        walk.after_last(6, keys), keys, upto
    )


def _another_pass(walk: _Walk) -> bool:
    """Whether rows inserted meanwhile want another pass. Raises StepFailed where they do not come to an end."""
    if walk.backfill.finished_by is None:
        return False
    count = sql.SQL("SELECT count(*) FROM {} WHERE {}").format(table_ident(walk.table), walk.unfinished())
    row = _execute(walk, count, [])
    left = 0 if row is None else int(row[0])
    if left == 0:
        return False
    if walk.cursor["pass"] >= MAX_PASSES:
        raise StepFailed(
            f"{left} rows of {walk.table} still match `where` after {MAX_PASSES} passes: something goes on writing "
            "unfinished rows; deploy what fills the column first, then set the annotation zanith.io/retry",
            step=walk.step.index,
        )
    new = walk.cursor | {"last": None, "until": _upper_bound(walk), "pass": walk.cursor["pass"] + 1}
    session = walk.session
    session.ledger.move_checkpoint(session.migration_id, walk.step.index, walk.lane, old=walk.cursor, new=new)
    walk.cursor = new
    return True


def _wait_for_older_writers(walk: _Walk) -> None:
    """Rows that older transactions wrote and have not committed would be missed by the walk: wait for them."""
    waited_for = older_writers(walk.session.conn, walk.table)
    pause_s = 0.02
    while waited_for:
        walk.waiting(f"{len(waited_for)} older transactions still write to {walk.table}")
        walk.session.sleep(pause_s)
        pause_s = min(pause_s * 1.5, 2.0)
        waited_for &= older_writers(walk.session.conn, walk.table)


def _upper_bound(walk: _Walk) -> list[str] | None:
    """The greatest key there is, as text; None for an empty table."""
    question = sql.SQL("SELECT {} FROM {} AS walked ORDER BY {} LIMIT 1").format(
        _key_texts(walk), table_ident(walk.table), _key_order(walk, sql.SQL(" DESC"))
    )
    row = _execute(walk, question, [])
    if row is not None and None in row:
        # Inheritance: a child's key column may be nullable, and NULLs sort first here. No range would hold such a row.
        raise StepFailed(
            f"rows of {walk.table} or of tables that inherit from it have no key (NULL); give them one, then set the "
            "annotation zanith.io/retry",
            step=walk.step.index,
        )
    return None if row is None else list(row)


def _key_texts(walk: _Walk) -> sql.Composed:
    """The key as the cursor keeps it."""
    return sql.SQL(", ").join(sql.SQL("{}::text").format(ident(k.name)) for k in walk.backfill.key)


def _key_order(walk: _Walk, direction: sql.SQL) -> sql.Composed:
    """ORDER BY the key itself: unqualified, the name would mean the output column, which is its text."""
    return sql.SQL(", ").join(sql.SQL("{}{}").format(ident("walked", k.name), direction) for k in walk.backfill.key)


def _estimate(walk: _Walk) -> int | None:
    """How many rows the table has, by the planner's statistics; None where it was never analysed."""
    row = walk.session.conn.execute(
        "SELECT reltuples::bigint FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace "
        "WHERE nspname = %s AND relname = %s",
        [walk.table.schema, walk.table.name],
    ).fetchone()
    return int(row[0]) if row is not None and row[0] >= 0 else None


def _resize(walk: _Walk, took_s: float, target_s: float) -> None:
    """Steer the batch to its target time: growth is capped, shrinking is at once."""
    rate = walk.batch / max(took_s, 1e-6)
    walk.rate = rate if walk.rate == 0 else SMOOTHING * rate + (1 - SMOOTHING) * walk.rate
    cap = EARLY_GROWTH if took_s < target_s / 10 else GROWTH
    wanted = min(walk.rate * target_s if took_s <= target_s else rate * target_s, walk.batch * cap)
    walk.batch = min(max(wanted, 1.0), MAX_BATCH)


def _tell(walk: _Walk, event: Any, message: str = "", took_s: float = 0.0) -> None:
    elapsed_s = max(time.monotonic() - walk.begun, 1e-6)
    walk.session.tell(
        Progress(
            event,
            step_index=walk.step.index,
            kind=walk.step.kind,
            target=walk.step.target,
            rows_done=walk.rows_done,
            rows_estimated=walk.cursor.get("estimated"),
            rows_per_second=round((walk.rows_done - walk.rows_before) / elapsed_s),
            took_s=took_s,
            message=message,
        )
    )


def _key(walk: _Walk) -> list[Any]:
    return [walk.session.migration_id, walk.step.index, walk.lane]


def _last(walk: _Walk) -> list[str]:
    return walk.cursor["last"] or []


def _doing(walk: _Walk) -> str:
    return f"step {walk.step.index} {walk.step.kind} of {walk.table}"


def _execute(walk: _Walk, statement: sql.Composed, values: list[Any]) -> tuple[Any, ...] | None:
    """With PostgreSQL's own $1 placeholders: a spec's expression may hold a percent sign."""
    session = walk.session
    beat = partial(session.beat, walk.step.index)
    with watched(session.conn, session.stop, beat), RawCursor(session.conn) as cursor:
        return cursor.execute(statement, values).fetchone()
