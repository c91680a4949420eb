"""How long strong locks are held, seen from a session of its own: the server itself looks about a thousand times a second.

The loop runs inside the server, so that no client's scheduling stands between two looks. A lock counts from the look
before the first that saw it to the look after the last: never less than it was held.
"""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import psycopg

from servers import Database
from zanith.core.statement import Lock

GATE = 77
STRONG = tuple(lock for lock in Lock if lock.blocks_writes)
_MODES = {"".join(w.capitalize() for w in lock.value.split()) + "Lock": lock for lock in Lock if lock is not Lock.NONE}

INSTALL = """
CREATE OR REPLACE FUNCTION bench_locks(wanted oid, modes text[]) RETURNS TABLE (look bigint, at double precision, relation oid, mode text)
LANGUAGE plpgsql AS $body$
DECLARE
    seen bigint := 0;
    looking bool := true;
BEGIN
    WHILE looking LOOP
        seen := seen + 1;
        RETURN QUERY SELECT seen, extract(epoch FROM clock_timestamp())::double precision, l.relation, l.mode
            FROM pg_locks l WHERE l.granted AND l.locktype = 'relation' AND l.database = wanted AND l.mode = ANY(modes);
        RETURN QUERY SELECT seen, extract(epoch FROM clock_timestamp())::double precision, 0::oid, 'look'::text;
        looking := EXISTS (SELECT 1 FROM pg_locks l WHERE l.locktype = 'advisory' AND l.classid = 0 AND l.objid = 77);
        PERFORM pg_sleep(0.0005);
    END LOOP;
END $body$
"""


@dataclass
class Sampler:
    """Samples while it is entered. `held` then tells each strong lock on a table, by name, with its longest time held."""

    database: Database
    held: dict[tuple[str, Lock], float] = field(default_factory=dict)
    interval_s: float = 0.0
    """Between two looks, most of the time (95 of 100): what is held for less may not be seen."""
    _gate: psycopg.Connection[Any] | None = None
    _thread: threading.Thread | None = None
    _rows: list[tuple[int, float, int, str]] = field(default_factory=list)

    def __enter__(self) -> Sampler:
        self._tables = dict(
            self.database.rows(
                "SELECT oid::bigint, relname FROM pg_class WHERE relkind IN ('r', 'p') AND oid >= 16384 "
                "AND relname NOT LIKE '\\_zanith\\_%'"
            )
        )
        # From another database: a query as long as this one would keep CREATE INDEX CONCURRENTLY waiting in its own.
        self._gate = self.database.server.connect()
        self._gate.execute(INSTALL.encode())
        self._gate.execute("SELECT pg_advisory_lock(%s)", [GATE])
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        assert self._gate is not None and self._thread is not None
        self._gate.close()
        self._thread.join()
        looks = sorted({(look, at) for look, at, relation, _ in self._rows if relation == 0})
        times = dict(looks)
        between = sorted(b[1] - a[1] for a, b in itertools.pairwise(looks))
        self.interval_s = between[len(between) * 95 // 100] if between else 0.0
        for key in {(relation, mode) for _, _, relation, mode in self._rows if relation in self._tables}:
            seen = sorted({look for look, _, relation, mode in self._rows if (relation, mode) == key})
            longest = max(times.get(b + 1, times[b]) - times.get(a - 1, times[a]) for a, b in _runs(seen))
            self.held[(self._tables[key[0]], _MODES[key[1]])] = longest

    def _look(self) -> None:
        modes = [mode for mode, lock in _MODES.items() if lock in STRONG]
        oid = self.database.value("SELECT oid::bigint FROM pg_database WHERE datname = current_database()")
        with self.database.server.connect() as conn:
            rows = conn.execute("SELECT * FROM bench_locks(%s::bigint::oid, %s)", [oid, modes]).fetchall()
        self._rows = [(int(look), at, int(relation), mode) for look, at, relation, mode in rows]


def _runs(looks: list[int]) -> list[tuple[int, int]]:
    """First and last of each stretch of looks one after another."""
    found: list[tuple[int, int]] = []
    for look in looks:
        if found and look == found[-1][1] + 1:
            found[-1] = (found[-1][0], look)
        else:
            found.append((look, look))
    return found
