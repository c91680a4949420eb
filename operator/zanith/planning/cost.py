"""How long a statement is predicted to make others wait, from the sizes of tables, and what that means for its risk.

The rates are of a two-core machine with a warm cache under an application's load (`docs/risk.md` has the measurement,
`make bench-locks` makes it anew): meant to tell an instant from a minute, not to be precise. Size changes findings, never
statements. Waiting for a lock, and row locks, are not predicted here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from zanith.core.graph import Facts, TableSize
from zanith.core.identifiers import TableKey
from zanith.core.risk import Finding, ReasonCode, RiskLevel
from zanith.core.statement import Lock, Statement, TableWork, Work

# No faster than what was measured under load, on two cores that had more to do than they could (2 million rows, 307 MiB
# with indexes; RESULTS.md, of a quiet machine, has two to three times as much): a table that is worked through slower than
# predicted makes somebody wait unwarned, one that is faster costs a second look.
ROWS_PER_S = {
    # Measured 8 million, of the cheapest check there is: IS NOT NULL. Expressions and wide rows cost several times that.
    Work.SCAN: 5_000_000,
    # Measured 770,000, an index of a text column, and 560,000, the join that checks a foreign key to a table as big.
    Work.BUILD: 500_000,
    # Measured 240,000, with three small indexes to build anew; tables in production have more of them.
    Work.REWRITE: 200_000,
}
BYTES_PER_S = {
    # Measured 1,300 MB, all of it from memory; cloud disks read 125 to 500.
    Work.SCAN: 500_000_000,
    # Measured 124 MB. What does not fit into maintenance_work_mem is sorted on disk.
    Work.BUILD: 100_000_000,
    # Measured 38 MB, without fsync; a standby takes its part of disk and WAL.
    Work.REWRITE: 30_000_000,
}

# What functions of an expression cost, beside the work itself. Measured 12.6 MB and 26,000 rows, of documents of 500 bytes
# (show_trgm; regexp_replace and to_tsvector 15 to 21 MB), and 450,000 rows of short texts; md5 is twenty times as fast, and
# one that was written in PL/pgSQL may be slower than all of them.
CALLING_ROWS_PER_S = 300_000
CALLING_BYTES_PER_S = 15_000_000
# Measured 32 MB (GIN) and 9 MB (GiST), both of trigrams, where a btree took 107.
SLOW_BUILD = 5

NOTICEABLE_S = 0.05
HIGH_S = 1.0
BLOCKED_S = 10.0

_DONE = {
    Work.CATALOG: "",
    Work.SCAN: "read as a whole",
    Work.BUILD: "read as a whole",
    Work.REWRITE: "rewritten",
}


@dataclass(frozen=True, slots=True)
class _Held:
    """The strongest lock of a transaction so far, and the tables it is on; of two as strong, the last."""

    lock: Lock = Lock.NONE
    on: tuple[TableKey, ...] = ()

    def and_of(self, statement: Statement) -> _Held:
        if statement.lock.strength >= self.lock.strength:
            return _Held(statement.lock, statement.on)
        return self


@dataclass(frozen=True, slots=True)
class _Share:
    """What one table contributes to the waiting."""

    table: TableKey
    work: Work
    seconds: float
    counted: bool
    """Whether PostgreSQL knows how many rows it has."""


def predicted_s(work: Work, size: TableSize) -> float:
    """Seconds the work takes on a table of this size; the slower of what its rows and its bytes say, which alone count
    where the rows were never counted."""
    if work is Work.CATALOG:
        return 0.0
    by_rows = (size.rows or 0) / ROWS_PER_S[work]
    return max(by_rows, size.bytes / BYTES_PER_S[work])


def extra_s(statement: Statement, size: TableSize) -> float:
    """Seconds on top, for functions that are called for each row and for indexes that are slow to build."""
    calls = max((size.rows or 0) / CALLING_ROWS_PER_S, size.bytes / CALLING_BYTES_PER_S)
    build = predicted_s(Work.BUILD, size) * (SLOW_BUILD - (1 if statement.work is Work.BUILD else 0))
    return (calls if statement.calls_functions else 0.0) + (build if statement.builds_slowly else 0.0)


def blocking_findings(statements: Iterable[Statement], facts: Facts) -> Iterator[Finding]:
    """A finding for each statement that works while a strong lock is held, its own or one that its transaction took
    before; none where nobody waits, or where what it works through is new or small."""
    held = _Held()
    for statement in statements:
        held = (held if statement.with_previous else _Held()).and_of(statement)
        if held.lock.blocks_writes and statement.work is not Work.CATALOG:
            shares = [_share(w, statement, facts) for w in _worked(statement, facts)]
            if sum(s.seconds for s in shares) >= NOTICEABLE_S:
                yield _finding(held, statement, shares)


def _worked(statement: Statement, facts: Facts) -> list[TableWork]:
    """Each table it works through, once: views stand for what they read, tables for what inherits from them, and a
    partitioned table for its partitions."""
    given = _given(statement)
    found = dict.fromkeys(TableWork(t, w.work) for w in given for t in _tables(w.table, facts))
    return [w for w in found if not any(TableWork(above, w.work) in found for above in _above(w.table, facts))]


def _given(statement: Statement) -> tuple[TableWork, ...]:
    return statement.works_on or tuple(TableWork(table, statement.work) for table in statement.on[:1])


def _tables(key: TableKey, facts: Facts) -> dict[TableKey, None]:
    found: dict[TableKey, None] = {}
    views = {TableKey(v.schema, v.name): v for v in facts.graph.views if not v.materialized}
    seen, left = {key}, [key]
    while left:
        key = left.pop()
        view = views.get(key)
        if view is None:
            found[key] = None
        further = [t for t, _ in view.depends_on] if view is not None else facts.inheritors.get(key, ())
        left += [t for t in dict.fromkeys(further) if t not in seen]
        seen.update(further)
    return found


def _above(key: TableKey, facts: Facts) -> Iterator[TableKey]:
    """The partitioned tables it is a partition of."""
    table = facts.graph.table(key)
    while table is not None and table.partition_of is not None:
        yield table.partition_of
        table = facts.graph.table(table.partition_of)


def _share(worked: TableWork, statement: Statement, facts: Facts) -> _Share:
    size = facts.sizes.get(worked.table)
    if size is None:
        return _Share(worked.table, worked.work, 0.0, counted=True)
    seconds = predicted_s(worked.work, size)
    if worked.table in _tables(_given(statement)[0].table, facts):
        seconds += extra_s(statement, size)
    return _Share(worked.table, worked.work, seconds, counted=size.rows is not None)


def _finding(held: _Held, statement: Statement, shares: list[_Share]) -> Finding:
    heaviest = sorted((s for s in shares if s.seconds > 0), key=lambda s: -s.seconds)
    seconds = sum(s.seconds for s in shares)
    rewrites = heaviest[0].work is Work.REWRITE
    own = held.lock is statement.lock and all(s.table in held.on for s in heaviest)
    waiting = "reads and writes" if held.lock is Lock.ACCESS_EXCLUSIVE else "writes"
    where = f"under {held.lock.value}" if own else f"while {held.lock.value} on {_locked(held)} is held"
    uncounted = dict.fromkeys(str(s.table) for s in heaviest if not s.counted)
    unknown = f"; size of {', '.join(uncounted)} unknown but for its bytes: run ANALYZE" if uncounted else ""
    return Finding(
        level=level_for(seconds),
        reason=ReasonCode.TABLE_REWRITE if rewrites else ReasonCode.FULL_SCAN_UNDER_LOCK,
        why=f"{_done(heaviest)} {where}: {waiting} wait for about {_rounded(seconds)}{unknown}",
        blocked_s=round(seconds, 2),
    )


def _done(heaviest: list[_Share]) -> str:
    """The two tables that take longest, each once, and how many more there are."""
    work = {s.table: s.work for s in reversed(heaviest)}
    tables = list(dict.fromkeys(s.table for s in heaviest))
    more = f" and {len(tables) - 2} more" if len(tables) > 2 else ""
    return ", ".join(f"{table} is {_DONE[work[table]]}" for table in tables[:2]) + more


def _locked(held: _Held) -> str:
    return str(held.on[0]) if held.on else "tables that cannot be told before"


def level_for(seconds: float) -> RiskLevel:
    """Waiting as a risk: noticeable, an incident for someone, an outage."""
    if seconds >= BLOCKED_S:
        return RiskLevel.BLOCKED
    return RiskLevel.HIGH if seconds >= HIGH_S else RiskLevel.MEDIUM


def _rounded(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
