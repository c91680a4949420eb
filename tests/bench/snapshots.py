"""The large schema: 1,000 models and 3,967 relations captured, stored, loaded, and compared after 50 changes.

On a real server, with what the runner and the command line use. The figures are the median of several runs, and the
best beside it: other work on the machine shows in the median. Nothing is written by hand.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

if __name__ == "__main__":  # `make bench-snapshot`; pytest sets the path itself
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from psycopg import Connection, sql

from bench.results import write_section
from servers import PostgresServer, create_database
from zanith.core.graph_json import graph_to_json
from zanith.ledger.diff_picture import diff_picture
from zanith.ledger.snapshot_diff import compare_shapes
from zanith.ledger.snapshot_queries import read_live, read_snapshot
from zanith.ledger.writing import Ledger
from zanith.postgres.catalog import read_facts

MODELS = 1000
RELATIONS = 3967
FUNCTIONS = 200
SEQUENCES = 50
DOMAINS = 20
RUNS = 7

_T = TypeVar("_T")


@dataclass(frozen=True)
class Figure:
    """One line of the results; `goal` in the same unit, None where there is none."""

    name: str
    median: float
    best: float
    cpu: float | None
    """CPU of our process, in the same unit; what the server and the rest of the machine did is not in it."""
    unit: str
    goal: float | None

    @property
    def met(self) -> bool:
        return self.goal is None or self.median < self.goal


@dataclass(frozen=True)
class Results:
    """What was measured, and on what."""

    figures: tuple[Figure, ...]
    models: int
    relations: int
    changes: int
    server: str

    def markdown(self) -> str:
        """The section of RESULTS.md, without its heading."""
        lines = [
            f"{self.models:,} models, {self.relations:,} relations, {FUNCTIONS} functions and triggers, {SEQUENCES} "
            f"sequences, {DOMAINS} domains, {self.changes} changes; {self.server}; median and best of {RUNS} runs. *Own "
            "CPU* is that of our process: the server's and other work is not in it. *Capture* reads all that planning "
            "knows of the database, the graph among it.",
            "",
            "| | median | best | own CPU | goal | |",
            "| --- | ---: | ---: | ---: | ---: | --- |",
        ]
        for f in self.figures:
            goal = "" if f.goal is None else f"< {f.goal:g} {f.unit}"
            met = "" if f.goal is None else "met" if f.met else "missed"
            cpu = "" if f.cpu is None else f"{f.cpu:.0f} {f.unit}"
            lines.append(f"| {f.name} | {f.median:.2f} {f.unit} | {f.best:.2f} {f.unit} | {cpu} | {goal} | {met} |")
        return "\n".join(lines) + "\n"


def measure() -> Results:
    """Build the schema on a server of its own and measure."""
    with PostgresServer(18) as server:
        database = create_database(server)
        with database.connect() as conn:
            build_schema(conn)
            return _measured(conn)


def build_schema(conn: Connection[Any]) -> None:
    """Tables of ten columns, four references each to others, an index on every third, a trigger on every fifth; no rows."""
    with conn.transaction():
        for number in range(MODELS):
            conn.execute(
                sql.SQL(
                    "CREATE TABLE {} (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, "
                    "state varchar(20) DEFAULT 'new', amount numeric(12,2) CHECK (amount >= 0), note text, "
                    "created_at timestamptz NOT NULL DEFAULT now(), r0 bigint, r1 bigint, r2 bigint, r3 bigint)"
                ).format(_table(number))
            )
            if number % 3 == 0:
                conn.execute(sql.SQL("CREATE INDEX ON {} (state, created_at)").format(_table(number)))
    with conn.transaction():
        _build_code(conn)
    for begin in range(0, RELATIONS, 500):  # locks are held until the end of a transaction
        with conn.transaction():
            for edge in range(begin, min(begin + 500, RELATIONS)):
                start, column = edge % MODELS, edge // MODELS
                add = sql.SQL("ALTER TABLE {} ADD FOREIGN KEY ({}) REFERENCES {}")
                end = _table((start * 7 + column * 131 + 1) % MODELS)
                conn.execute(add.format(_table(start), sql.Identifier(f"r{column}"), end))


def _build_code(conn: Connection[Any]) -> None:
    for number in range(FUNCTIONS):
        name, body = sql.Identifier(f"touch_{number}"), "BEGIN\n" + 40 * "-- a line of a comment\n" + "RETURN new; END"
        made = sql.SQL("CREATE FUNCTION {}() RETURNS trigger LANGUAGE plpgsql AS {}")
        conn.execute(made.format(name, sql.Literal(body)))
        trigger = sql.SQL("CREATE TRIGGER touch BEFORE UPDATE ON {} FOR EACH ROW EXECUTE FUNCTION {}()")
        conn.execute(trigger.format(_table(number * 5), name))
    for number in range(SEQUENCES):
        conn.execute(sql.SQL("CREATE SEQUENCE {} CACHE 20").format(sql.Identifier(f"numbers_{number}")))
    for number in range(DOMAINS):
        made = sql.SQL("CREATE DOMAIN {} AS varchar(9) CHECK (VALUE IN ('a', 'b', 'c'))")
        conn.execute(made.format(sql.Identifier(f"code_{number}")))


def change_schema(conn: Connection[Any]) -> None:
    """Fifty changes of all sorts."""
    changes = (
        "ALTER TABLE {} ADD COLUMN added text",
        "ALTER TABLE {} DROP COLUMN note",
        "ALTER TABLE {} ALTER COLUMN state TYPE varchar(50)",
        "ALTER TABLE {} RENAME COLUMN name TO title",
        "ALTER TABLE {} ALTER COLUMN name DROP NOT NULL",
        "CREATE INDEX ON {} (name)",
        "ALTER TABLE {} ADD UNIQUE (name)",
        "CREATE TABLE {} (id bigint PRIMARY KEY, what text)",
        "ALTER TABLE {} ALTER COLUMN amount SET DEFAULT 0",
        "COMMENT ON TABLE {} IS 'changed'",
    )
    for number in range(50):
        target = sql.Identifier(f"new_{number}") if number % 10 == 7 else _table(number * 19)
        conn.execute(sql.SQL(changes[number % 10]).format(target))


def _measured(conn: Connection[Any]) -> Results:
    ledger = Ledger(conn, "public")
    ledger.create_tables()
    captured, capture = _timed(lambda: read_facts(conn, "public").graph)
    assert (captured.models, captured.relations) == (MODELS, RELATIONS)
    _, store = _timed(lambda: ledger.write_applied("large", captured))
    loaded, load = _timed(lambda: read_snapshot(conn, "public", "large").graph)
    assert compare_shapes(captured, loaded) == (), "unchanged, and a difference was found"
    size = len(json.dumps(graph_to_json(captured), separators=(",", ":")).encode())
    row = conn.execute(
        "SELECT sum(pg_column_size(graph)) FROM _zanith_schema_snapshots WHERE phase = 'after'"
    ).fetchone()
    assert row is not None
    change_schema(conn)
    live = read_live(conn, "public")
    changes, diff = _timed(lambda: compare_shapes(loaded, live.graph))
    assert len(changes) == 50, f"50 changes were made, {len(changes)} found"
    _, equal = _timed(lambda: compare_shapes(loaded, captured))
    before = read_snapshot(conn, "public", "large")
    _, picture = _timed(lambda: diff_picture(before, live, changes))
    figures = (
        _duration("capture", capture, 1000),
        _duration("store", store),
        _duration("load", load),
        _duration("diff, 50 changes", diff, 100),
        _duration("diff, none", equal),
        _duration("picture of the 50", picture),
        _size("size as JSON", size, 2),
        _size("size in the table, compressed", row[0]),
    )
    version = str(conn.info.server_version // 10000)
    return Results(figures, loaded.models, loaded.relations, len(changes), f"PostgreSQL {version}")


def _duration(name: str, took: list[tuple[float, float]], goal: float | None = None) -> Figure:
    wall, cpu = zip(*took, strict=True)
    return Figure(name, statistics.median(wall), min(wall), statistics.median(cpu), "ms", goal)


def _size(name: str, size: int, goal: float | None = None) -> Figure:
    return Figure(name, size / 1_000_000, size / 1_000_000, None, "MB", goal)


def _timed(act: Callable[[], _T]) -> tuple[_T, list[tuple[float, float]]]:
    """The last result, and how long each run took, in ms, and of that on a CPU of ours; a first one is not counted."""
    act()
    took = []
    for _ in range(RUNS):
        began, cpu = time.perf_counter(), time.process_time()
        found = act()
        took.append(((time.perf_counter() - began) * 1000, (time.process_time() - cpu) * 1000))
    return found, took


def _table(number: int) -> sql.Identifier:
    return sql.Identifier(f"model_{number:04}")


def main() -> int:
    """Write the section; 1 where a goal is missed."""
    results = measure()
    print(results.markdown(), end="")
    write_section("A large schema: capture, store, load, diff", "make bench-snapshot", results.markdown(), first=True)
    return 0 if all(f.met for f in results.figures) else 1


if __name__ == "__main__":
    raise SystemExit(main())
