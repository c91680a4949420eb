"""What each kind costs an application at work: locks, how long they are held, the longest wait, and the time it all takes.

Each kind runs three times on PostgreSQL 18, each time on a fresh copy of two tables of 2 million rows with four clients at
work on them, by the runner itself; the naive form, where there is one, likewise. Figures are medians.
Exits 1 where a kind was not measured, an application saw an error it should not, or a lock was held for too long.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # `make bench-locks`; pytest sets the path itself
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from psycopg import sql

from bench.lock_cases import CASES, SETUP, LockCase
from bench.rates import TITLE as RATES
from bench.rates import rates_section
from bench.results import ROOT, write_section
from bench.sampling import Sampler
from operations_harness.driving import Driver, spec_of
from servers import Database, PostgresServer
from zanith.core.statement import Lock
from zanith.operations.step import KINDS

RUNS = 3
GOAL_S = 0.05
SETTINGS = {
    "shared_buffers": "512MB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",
    "maintenance_work_mem": "256MB",
}
TEMPLATE = "bench_template"
GONE = {"42P01", "42703"}
"""SQLSTATEs of an application that names what was taken away or renamed."""


@dataclass(frozen=True)
class Run:
    """One run: seconds, and the strongest lock seen on a table that was there before."""

    lock: Lock
    table: str
    held_s: float
    wait_s: float
    total_s: float
    interval_s: float
    """Between two looks at the locks: one held for less may not have been seen."""
    errors: dict[str, int]


@dataclass(frozen=True)
class Line:
    """The medians of a form of a kind."""

    lock: Lock
    table: str
    held_s: float
    wait_s: float
    total_s: float
    interval_s: float
    errors: dict[str, int]

    @staticmethod
    def of(runs: list[Run]) -> Line:
        worst = max(runs, key=lambda r: r.lock.strength)
        errors: dict[str, int] = {}
        for run in runs:
            for state, count in run.errors.items():
                errors[state] = errors.get(state, 0) + count
        names = ("held_s", "wait_s", "total_s", "interval_s")
        held, wait, total, interval = (statistics.median(getattr(r, name) for r in runs) for name in names)
        return Line(worst.lock, worst.table, held, wait, total, interval, errors)


@dataclass(frozen=True)
class Pair:
    """A case with what was measured, and by hand where there is such a form."""

    case: LockCase
    lock: Lock
    """The strongest it declares, which the operations harness holds against what is seen, and the table it is on."""
    table: str
    ours: Line
    naive: Line | None


def main() -> int:
    """Measure everything, or the kinds named, write the sections, say what is wrong.

    With `--resume` a run that was interrupted goes on after the last case it completed, whatever was changed since.
    """
    wanted = [argument for argument in sys.argv[1:] if argument != "--resume"]
    kept = Kept(resume="--resume" in sys.argv)
    with PostgresServer(18, settings=SETTINGS) as server:
        build_template(server)
        chosen = [case for case in CASES if case.kind in KINDS and (not wanted or case.kind in wanted)]
        declared = [_declared(server, case) for case in chosen]  # all are planned before the first is measured
        idle = Line.of([_run(server, "", lambda database: time.sleep(1.0)) for _ in range(RUNS)])
        found: list[Pair] = []
        earlier = 0
        for case, (lock, table) in zip(chosen, declared, strict=True):
            before = kept.lines(case)
            earlier += before is not None
            ours, naive = before or _measure(server, case)
            kept.keep(case, ours, naive)
            found.append(Pair(case, lock, table, ours, naive))
            print(_row(found[-1]), flush=True)
        rates = rates_section(server, TEMPLATE, load)
    missing = [kind for kind in KINDS if kind not in {c.kind for c in CASES}]
    wrong = [*_wrong(found), *(f"{kind} has no case: NOT MEASURED" for kind in missing)]
    if not wanted:
        write_section("Locks, kind by kind", "make bench-locks", _section(found, idle, wrong, earlier))
        write_section(RATES, "make bench-locks", rates)
    kept.forget()
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


def _measure(server: PostgresServer, case: LockCase) -> tuple[Line, Line | None]:
    ours = Line.of([_run(server, case.setup, lambda database: _apply(database, case)) for _ in range(case.runs)])
    if not case.naive:
        return ours, None
    return ours, Line.of(
        [_run(server, case.setup, lambda database: database.execute(case.naive)) for _ in range(case.runs)]
    )


def _run(server: PostgresServer, setup: str, act: Callable[[Database], Any]) -> Run:
    """One run on a copy of its own."""
    with copy_of_template(server) as database:
        if setup:
            database.execute(setup)
        with load(database) as told, Sampler(database) as sampler:
            began = time.perf_counter()
            act(database)
            total_s = time.perf_counter() - began
    if not sampler.held:
        return Run(Lock.NONE, "", 0.0, told["longest_s"], total_s, sampler.interval_s, told["errors"])
    (table, lock), _ = max(sampler.held.items(), key=lambda item: (item[0][1].strength, item[1]))
    longest_s = max(sampler.held.values())
    return Run(lock, table, longest_s, told["longest_s"], total_s, sampler.interval_s, told["errors"])


def _apply(database: Database, case: LockCase) -> None:
    _driver(database, case).apply()


def _driver(database: Database, case: LockCase) -> Driver:
    return Driver(database, spec_of([case.step], gates={"maxRisk": 100, "allowDestructive": True}))


def build_template(server: PostgresServer) -> None:
    with server.connect() as conn:
        conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
    database = Database(server, TEMPLATE)
    with database.connect() as conn:
        for statement in SETUP.split(";"):
            if statement.strip():
                conn.execute(statement.encode())
        conn.execute("CHECKPOINT")


_numbers = iter(range(1, 10_000))


@contextmanager
def copy_of_template(server: PostgresServer) -> Iterator[Database]:
    """A database of its own; copied as files, for the WAL of a copy would be in the way of what is measured."""
    database = Database(server, f"bench_{next(_numbers)}")
    name = sql.Identifier(database.name)
    with server.connect() as conn:
        conn.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY").format(name, sql.Identifier(TEMPLATE))
        )
    try:
        yield database
    finally:
        with server.connect() as conn:
            conn.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


@contextmanager
def load(database: Database) -> Iterator[dict[str, Any]]:
    """An application at work while this is entered; what it saw is there afterwards."""
    told: dict[str, Any] = {}
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'operator'}:{ROOT / 'tests'}"}
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.load", database.dsn],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.3)  # part of the load, not a wait for something: the caches are warm afterwards
    try:
        yield told
    finally:
        said, _ = process.communicate("", timeout=60)
        told.update(json.loads(said))


def _declared(server: PostgresServer, case: LockCase) -> tuple[Lock, str]:
    """The strongest lock of its plan, and on what. Raises SpecError where it is no step of this database."""
    with copy_of_template(server) as database:
        if case.setup:
            database.execute(case.setup)
        (step,) = _driver(database, case).plan().steps
    strongest = max(step.statements, key=lambda statement: statement.lock.strength)
    return strongest.lock, strongest.on[0].name if strongest.on else ""


@dataclass
class Kept:
    """What a run has measured so far, outside the checkout: ten minutes are long enough to be interrupted."""

    resume: bool
    _known: dict[str, Any] = field(default_factory=dict)

    @property
    def _file(self) -> Path:
        cache = os.environ.get("ZANITH_CACHE") or f"{os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'}/zanith"
        return Path(cache) / "bench-locks.json"

    def lines(self, case: LockCase) -> tuple[Line, Line | None] | None:
        if self.resume and not self._known and self._file.exists():
            self._known = json.loads(self._file.read_text())
        found = self._known.get(repr(case))
        return None if found is None else (_line(found[0]), None if found[1] is None else _line(found[1]))

    def keep(self, case: LockCase, ours: Line, naive: Line | None) -> None:
        self._known[repr(case)] = [asdict(ours), None if naive is None else asdict(naive)]
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text(json.dumps(self._known))

    def forget(self) -> None:
        self._file.unlink(missing_ok=True)


def _line(kept: dict[str, Any]) -> Line:
    return Line(**{**kept, "lock": Lock(kept["lock"])})


def _wrong(found: list[Pair]) -> Iterator[str]:
    for pair in found:
        case, ours = pair.case, pair.ours
        if ours.held_s > GOAL_S and not case.why:
            yield f"{case.kind} held {ours.lock.value} for {ours.held_s * 1000:.0f} ms, more than {GOAL_S * 1000:.0f}"
        expected = GONE if "fail from then on" in case.note else set()
        if unexpected := {state: n for state, n in ours.errors.items() if state not in expected}:
            yield f"the application saw errors while {case.kind} ran: {unexpected}"


def _section(found: list[Pair], idle: Line, wrong: list[str], earlier: int) -> str:
    lines = [
        f"PostgreSQL 18, two tables of 2,000,000 rows, four clients reading and writing both; medians of {RUNS} runs, each on a",
        "fresh copy. *Strongest lock* is what the plan declares, on the first table it names. *Held* is the longest time any lock",
        "of SHARE or above stood on a table, looked at some hundred times a second and more, rounded up to the next look.",
        "*Longest wait* is that of the slowest statement of the application, of some hundreds or thousands; with nothing else",
        f"going on it was {_ms(idle.wait_s)}: other work on the machine shows in it. *Total* includes planning, the ledger, and the",
        "snapshot. Durability is off (`fsync`), as in all tests.",
        *(
            [f"{earlier} of the lines are from a run that was interrupted before this one, and so of another load."]
            * bool(earlier)
        ),
        "",
        "| Kind | Strongest lock | Held | Longest wait | Total | By hand: held | Longest wait | Total | Longest wait, by hand / ours |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [_row(pair) for pair in found]
    lines += ["", "By hand: what one would write without thinking of locks:", ""]
    lines += [f"- {p.case.kind}: `{p.case.naive}`" for p in found if p.case.naive]
    lines += ["", "Held for long, and why:", ""]
    lines += [f"- {p.case.kind}: {p.case.why}." for p in found if p.case.why] or ["- none"]
    lines += [""] + (
        [f"**{w}**" for w in wrong] or ["Every kind was measured; nothing else was held for more than 50 ms."]
    )
    return "\n".join(lines)


def _row(pair: Pair) -> str:
    case, ours, naive = pair.case, pair.ours, pair.naive
    where = f" on {pair.table}" if pair.table else ""
    cells = [
        f"`{case.kind}`{f': {case.note}' if case.note else ''}",
        f"{pair.lock.value}{where}" if pair.lock is not Lock.NONE else "none",
        _held(ours) if pair.lock.blocks_writes else "–", _ms(ours.wait_s), _ms(ours.total_s),
    ]  # fmt: skip
    if naive is None:
        return f"| {' | '.join([*cells, '', '', '', ''])} |"
    ratio = f"{naive.wait_s / ours.wait_s:.0f}×" if naive.wait_s >= 2 * ours.wait_s else ""
    return f"| {' | '.join([*cells, _held(naive), _ms(naive.wait_s), _ms(naive.total_s), ratio])} |"


def _held(line: Line) -> str:
    return _ms(line.held_s) if line.held_s else f"< {_ms(line.interval_s or line.total_s)}"


def _ms(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"


if __name__ == "__main__":
    raise SystemExit(main())
