"""What a statement really locks and works through: run in a transaction, looked at from another session, rolled back.

Writes the measured columns of the classifier's corpus anew:

    python -m operations_harness.measuring
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import yaml

from servers import SERVER_VERSIONS, Database, PostgresServer, create_database, drop_database
from servers.waiting import wait_until
from zanith.core.graph import Facts
from zanith.core.graph_json import graph_to_json
from zanith.core.identifiers import TableKey
from zanith.core.sql import raw
from zanith.core.statement import Lock, Work
from zanith.postgres.catalog import read_facts
from zanith.postgres.connecting import ConnectionSettings, connect

CORPUS = Path(__file__).resolve().parents[1] / "integration" / "classifier_corpus.yaml"
SETUP = CORPUS.with_suffix(".sql")
GRAPH = CORPUS.with_suffix(".graph.json")
"""The same database as a graph, for the unit tests."""
CODE = CORPUS.with_suffix(".code.json")
"""And the code of its own that it runs."""

_LOCKS = """
SELECT c.oid::bigint, l.mode FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
WHERE l.pid = %s AND l.locktype = 'relation' AND c.oid = ANY(%s)
"""
_RELATIONS = """
SELECT c.oid::bigint, n.nspname, c.relname, c.relkind::text, coalesce(pg_relation_filenode(c.oid), 0)::bigint,
       i.indrelid::bigint
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_index i ON i.indexrelid = c.oid
WHERE n.nspname IN ('public', 'attic', 'loft') AND c.relkind IN ('r', 'p', 'm', 'i', 'I')
"""
_EMPTY = "SELECT oid::bigint FROM pg_class WHERE relkind = 'r' AND relnamespace >= 2200 AND pg_relation_size(oid) = 0"
_SCANS = "SELECT relid::bigint, coalesce(seq_scan, 0)::bigint FROM pg_stat_xact_user_tables"
_MODES = {mode.value.replace(" ", "") + "LOCK": mode for mode in Lock}


@dataclass(frozen=True)
class Measured:
    """Locks of relations that were there before, and the hardest work done to each of them."""

    locks: dict[TableKey, Lock]
    work: dict[TableKey, Work]
    transactional: bool = True


@contextmanager
def corpus_database(server: PostgresServer) -> Iterator[Database]:
    """The database the corpus is measured on, prepared; gone afterwards."""
    database = create_database(server)
    try:
        database.execute(SETUP.read_text())
        yield database
    finally:
        drop_database(database)


def measure(database: Database, statements: str) -> Measured:
    """Run them and take them back. Raises psycopg's error where PostgreSQL refuses them."""
    with database.connect() as conn, database.connect() as observer:
        try:
            return _inside(conn, observer, statements)
        except psycopg.errors.ActiveSqlTransaction:
            conn.execute("ROLLBACK")
            return _outside(conn, observer, statements)


def _inside(conn: psycopg.Connection[Any], observer: psycopg.Connection[Any], statements: str) -> Measured:
    before = {row[0]: row for row in observer.execute(_RELATIONS).fetchall()}
    conn.execute("BEGIN")
    scanned = dict(conn.execute(_SCANS).fetchall())
    conn.execute(raw(statements))
    locks = _locks(observer, conn, before)
    scans = {oid: count - scanned.get(oid, 0) for oid, count in conn.execute(_SCANS).fetchall()}
    after = {row[0]: row for row in conn.execute(_RELATIONS).fetchall()}
    emptied = {row[0] for row in conn.execute(_EMPTY).fetchall()}
    conn.execute("ROLLBACK")
    work: dict[TableKey, Work] = {}
    for oid, (_, schema, name, kind, file, _) in before.items():
        if kind not in "rm":
            continue
        built = any(
            table == oid and (i not in before or before[i][4] != new) for i, _, _, _, new, table in after.values()
        )
        rewritten = oid in after and after[oid][4] != file
        if rewritten and oid in emptied:
            continue  # TRUNCATE: a new file with nothing in it
        done = Work.REWRITE if rewritten else Work.BUILD if built else Work.SCAN if scans.get(oid) else None
        if done is not None:
            work[TableKey(schema, name)] = done
    return Measured(locks, work)


def _outside(conn: psycopg.Connection[Any], observer: psycopg.Connection[Any], statement: str) -> Measured:
    """What cannot run in a transaction is made to wait behind a lock on every table, and shows what it waits for."""
    before = {row[0]: row for row in observer.execute(_RELATIONS).fetchall()}
    observer.execute("BEGIN")
    for _, schema, name, kind, _, _ in before.values():
        if kind in "rp":
            observer.execute(raw(f'LOCK TABLE ONLY "{schema}"."{name}" IN SHARE UPDATE EXCLUSIVE MODE'))

    def run() -> None:
        try:
            conn.execute(raw(statement))
        except psycopg.errors.QueryCanceled:
            return

    thread = threading.Thread(target=run)
    thread.start()
    with observer.cursor() as cursor:
        waiting = "SELECT 1 FROM pg_locks WHERE pid = %s AND NOT granted"
        wait_until(lambda: cursor.execute(waiting, [conn.info.backend_pid]).fetchone(), f"{statement} waits for a lock")
        locks = _locks(observer, conn, before)
        cursor.execute("SELECT pg_cancel_backend(%s)", [conn.info.backend_pid])
    thread.join()
    observer.execute("ROLLBACK")
    return Measured(locks, {}, transactional=False)


def _locks(
    observer: psycopg.Connection[Any], conn: psycopg.Connection[Any], before: dict[int, Any]
) -> dict[TableKey, Lock]:
    tables = [oid for oid, row in before.items() if row[3] in "rpm"]
    found: dict[TableKey, Lock] = {}
    for oid, mode in observer.execute(_LOCKS, [conn.info.backend_pid, tables]).fetchall():
        key, lock = TableKey(before[oid][1], before[oid][2]), _MODES[mode.upper()]
        found[key] = max(found.get(key, Lock.NONE), lock, key=lambda m: m.strength)
    return found


def main() -> int:
    """Measure every statement on each version and write the strongest of what was seen."""
    entries = yaml.safe_load(CORPUS.read_text())
    for version in SERVER_VERSIONS:
        with PostgresServer(version) as server, corpus_database(server) as database:
            for entry in entries:
                if entry.get("from", version) <= version:
                    _note(entry, measure(database, entry["sql"]), first=version == SERVER_VERSIONS[0])
            with connect(ConnectionSettings.from_dsn(database.dsn, "public"), application_name="test") as conn:
                facts = read_facts(conn, "public")
    GRAPH.write_text(json.dumps(graph_to_json(facts.graph), indent=1, sort_keys=True) + "\n")
    CODE.write_text(json.dumps(known_code(facts), indent=1, sort_keys=True) + "\n")
    text = yaml.safe_dump(entries, sort_keys=False, width=130, allow_unicode=True)
    CORPUS.write_text(f"{_HEAD}{text}")
    return 0


def known_code(facts: Facts) -> dict[str, Any]:
    """What is known of code, but for what every PostgreSQL has."""
    return {
        "functions": [[*name, trusted] for name, trusted in sorted(facts.code.other_functions.items())],
        "volatile": sorted({name for _, name in facts.code.other_functions} & facts.volatile_functions),
        "views": [[*key, text] for key, text in sorted(facts.code.views.items())],
        "rules": [[*key, command] for key, command in sorted(facts.code.rules)],
        "typed": [[*key, [list(table) for table in tables]] for key, tables in sorted(facts.typed_tables.items())],
        "others": [list(key) for key in sorted(facts.other_relations)],
    }


_HEAD = """# Statements with what they lock and work through, measured: the strongest of PostgreSQL 15 and 18.
# `locks` and `work` are written by `python -m operations_harness.measuring`, never by hand.
"""


def _note(entry: dict[str, Any], seen: Measured, *, first: bool) -> None:
    if first:
        entry["locks"], entry["work"] = {}, {}
    entry.setdefault("locks", {})
    entry.setdefault("work", {})
    for key, lock in seen.locks.items():
        known = Lock(entry["locks"].get(str(key), "NONE"))
        entry["locks"][str(key)] = max(known, lock, key=lambda m: m.strength).value
    for key, work in seen.work.items():
        known_work = Work(entry["work"].get(str(key), "catalog"))
        entry["work"][str(key)] = max(known_work, work, key=list(Work).index).value
    entry["locks"] = dict(sorted(entry["locks"].items()))
    entry["work"] = dict(sorted(entry["work"].items()))


if __name__ == "__main__":
    sys.exit(main())
