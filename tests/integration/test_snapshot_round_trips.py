"""Unchanged is no difference: realistic schemas read, stored, loaded, dumped by pg_dump, restored by psql, and compared."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from seeded_ledger import seeded
from servers import Database, create_database, drop_database
from zanith.core.graph import SchemaGraph
from zanith.core.graph_fields import members
from zanith.core.graph_json import graph_from_json, graph_hash, graph_to_json
from zanith.core.graph_words import diff_lines
from zanith.ledger.snapshot_diff import compare_shapes
from zanith.ledger.snapshot_queries import read_snapshot
from zanith.ledger.writing import Ledger
from zanith.postgres.catalog import read_facts

SCHEMAS = sorted((Path(__file__).parent / "schemas").glob("*.sql"))
every_schema = pytest.mark.parametrize("schema", SCHEMAS, ids=lambda path: path.stem)


def read(database: Database) -> SchemaGraph:
    with database.connect() as conn:
        return read_facts(conn, "public").graph


def differences(one: SchemaGraph, other: SchemaGraph) -> list[str]:
    """In words, both ways."""
    return [*diff_lines(compare_shapes(one, other)), *diff_lines(compare_shapes(other, one))]


@every_schema
def test_stored_and_loaded_it_is_what_the_database_still_looks_like(pg: Database, schema: Path) -> None:
    pg.execute(schema.read_text(encoding="utf-8"))
    before = read(pg)
    again = graph_from_json(json.loads(json.dumps(graph_to_json(before))))
    assert (again, graph_hash(again)) == (before, graph_hash(before))
    with seeded(pg) as ledger:
        Ledger(ledger.conn, "public").write_applied("m", before)
        loaded = read_snapshot(ledger.conn, "public", "m").graph
    assert differences(loaded, read(pg)) == []
    assert loaded == read(pg)


@every_schema
def test_restored_from_a_dump_it_looks_the_same(pg: Database, schema: Path) -> None:
    pg.execute(schema.read_text(encoding="utf-8"))
    restored = create_database(pg.server)
    try:
        dump = _run(pg, "pg_dump")
        _run(restored, "psql", "--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1", feed=dump)
        assert differences(read(pg), read(restored)) == []
        assert read(restored) == read(pg)
    finally:
        drop_database(restored)


def test_together_the_schemas_have_some_of_everything(pg18: Database) -> None:
    """What none of them has would be tried by none of these tests."""
    for schema in SCHEMAS:
        pg18.execute(schema.read_text(encoding="utf-8"))
    seen: dict[type, set[str]] = {}
    waiting: list[object] = [read(pg18)]
    while waiting:
        item = waiting.pop()
        for member in members(type(item)):
            value = getattr(item, member.name)
            if member.objects is not None:
                waiting += value
            if value != member.default:
                seen.setdefault(type(item), set()).add(member.name)
    missing = {
        f"{kind.__name__}.{member.name}"
        for kind, found in seen.items()
        for member in members(kind)
        if member.name not in found
    }
    # An index that is not valid is none that anybody's schema file has.
    assert missing == {"SchemaGraph.format_version", "Index.valid"}


def _run(database: Database, program: str, *arguments: str, feed: str | None = None) -> str:
    """A client program of the server's own version."""
    command = [str(database.server.bin / program), *arguments, "--dbname", database.server.conninfo(database.name)]
    done = subprocess.run(command, input=feed, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
