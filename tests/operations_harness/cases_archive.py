"""Cases of columns whose values are archived."""

from __future__ import annotations

from typing import Any

from operations_harness.cases import PLAIN, TABLE, Case


def _archive(column: str = "{c}", **arguments: Any) -> list[dict[str, Any]]:
    return [{"archiveColumn": {"schema": "{s}", "table": "{t}", "column": column, **arguments}}]


USED = (
    PLAIN
    + "ALTER TABLE {s}.{t} ALTER COLUMN {d} SET DEFAULT 7;"
    + "COMMENT ON COLUMN {s}.{t}.{d} IS 'it''s %s';"
    + "CREATE INDEX on_it ON {s}.{t} ({c}, {d}) WHERE {d} > 3;"
    + "CREATE UNIQUE INDEX one_of_it ON {s}.{t} ({d} DESC);"
    + "ALTER TABLE {s}.{t} ADD CONSTRAINT pair UNIQUE ({c}, {d}), ADD CONSTRAINT positive CHECK ({d} > 0);"
)
PARENT = (
    "CREATE TABLE {s}.{c} (id integer PRIMARY KEY); INSERT INTO {s}.{c} SELECT generate_series(1, 250);"
    + TABLE
    + "ALTER TABLE {s}.{t} ADD CONSTRAINT up FOREIGN KEY ({d}) REFERENCES {s}.{c} ON DELETE CASCADE;"
)
COMPOSITE = (
    'CREATE TABLE {s}.{t} (a uuid DEFAULT gen_random_uuid(), b text COLLATE "C", {d} integer NOT NULL,'
    " {c} varchar(30) COLLATE \"C\" DEFAULT 'none', PRIMARY KEY (a, b));"
    "INSERT INTO {s}.{t} (b, {d}, {c}) SELECT n, n, NULLIF('v' || n, 'v7') FROM generate_series(1, 250) n;"
)
PARTITIONED = (
    "CREATE TABLE {s}.{t} (id bigint PRIMARY KEY, {c} text, {d} integer NOT NULL) PARTITION BY RANGE (id);"
    "CREATE TABLE {s}.part_a PARTITION OF {s}.{t} FOR VALUES FROM (0) TO (100);"
    "CREATE TABLE {s}.part_b PARTITION OF {s}.{t} FOR VALUES FROM (100) TO (1000);"
    "INSERT INTO {s}.{t} SELECT n, 'x' || n, n FROM generate_series(1, 250) n;"
)

CASES = [
    Case("archive_column", _archive()),
    Case("archive_required_column", _archive("{d}")),
    Case("archive_column_of_an_empty_table", _archive("{d}"), setup=PLAIN + "DELETE FROM {s}.{t};"),
    Case("archive_used_column", _archive("{d}"), setup=USED),
    Case("archive_referencing_column", _archive("{d}"), setup=PARENT),
    Case("archive_column_composite_key", _archive(), setup=COMPOSITE),
    Case("archive_column_partitioned", _archive(), setup=PARTITIONED),
    Case("archive_two_columns", [*_archive(), *_archive("{d}")]),
]
