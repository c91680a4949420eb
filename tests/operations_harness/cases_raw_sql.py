"""Cases of rawSql. Its SQL names things as an author would: quoted where they need it, so `{Q:t}` is a quoted name."""

from __future__ import annotations

from operations_harness.cases import PLAIN, Case

CASES = [
    Case("raw_create_table",
         [{"rawSql": {
             "sql": 'CREATE TABLE {Q:s}.{Q:c} ({Q:d} bigint PRIMARY KEY, label varchar(20) NOT NULL DEFAULT \'none\', '
                    'parent bigint NOT NULL REFERENCES {Q:s}.{Q:t} (id), CONSTRAINT positive CHECK (parent > 0))',
             "undo": "DROP TABLE {Q:s}.{Q:c}"}}]),
    Case("raw_add_column",
         [{"rawSql": {"sql": "ALTER TABLE {Q:s}.{Q:t} ADD COLUMN added integer NOT NULL DEFAULT 7",
                      "undo": "ALTER TABLE {Q:s}.{Q:t} DROP COLUMN added"}}]),
    Case("raw_unqualified",
         [{"rawSql": {"sql": "ALTER TABLE {Q:t} ADD COLUMN added text; COMMENT ON COLUMN {Q:t}.added IS 'it''s {new} 100%'",
                      "schema": "{s}", "undo": "ALTER TABLE {Q:t} DROP COLUMN added"}}]),
    Case("raw_create_index",
         [{"rawSql": {"sql": "CREATE UNIQUE INDEX of_it ON {Q:s}.{Q:t} ({Q:d}, {Q:c})",
                      "undo": "DROP INDEX {Q:s}.of_it"}}]),
    Case("raw_index_concurrently",
         [{"rawSql": {"sql": "CREATE INDEX CONCURRENTLY of_it ON {Q:s}.{Q:t} ({Q:c})",
                      "undo": "DROP INDEX CONCURRENTLY {Q:s}.of_it"}}]),
    Case("raw_rename_twice",
         [{"rawSql": {"sql": "ALTER TABLE {Q:s}.{Q:t} RENAME TO renamed; ALTER TABLE {Q:s}.renamed ADD COLUMN added text",
                      "undo": "ALTER TABLE {Q:s}.renamed DROP COLUMN added; ALTER TABLE {Q:s}.renamed RENAME TO {Q:t}"}}]),
    Case("raw_renamed_as_if_an_index",
         [{"rawSql": {"sql": "ALTER INDEX {Q:s}.{Q:t} RENAME TO renamed",
                      "undo": "ALTER TABLE {Q:s}.renamed RENAME TO {Q:t}"}},
          {"addColumn": {"schema": "{s}", "table": "renamed", "column": "added", "type": "text"}}],
         setup=PLAIN),
    Case("raw_one_row",
         [{"rawSql": {"sql": "UPDATE {Q:s}.{Q:t} AS here SET {Q:c} = lower(here.{Q:c}) WHERE here.id = 1"}}],
         undo_refused="cannot be taken back"),
    Case("raw_default_and_not_null",
         [{"rawSql": {"sql": "ALTER TABLE {Q:s}.{Q:t} ALTER COLUMN {Q:d} DROP NOT NULL, ALTER COLUMN {Q:d} SET DEFAULT 5",
                      "undo": "ALTER TABLE {Q:s}.{Q:t} ALTER COLUMN {Q:d} SET NOT NULL, ALTER COLUMN {Q:d} DROP DEFAULT"}}]),
    Case("raw_drop_table", [{"rawSql": {"sql": "DROP TABLE {Q:s}.{Q:t}"}}], undo_refused="cannot be taken back"),
    Case("raw_update", [{"rawSql": {"sql": "UPDATE {Q:s}.{Q:t} SET {Q:c} = 'x' WHERE id < 10"}}],
         undo_refused="cannot be taken back"),
    Case("raw_code",
         [{"rawSql": {"sql": "DO $$ BEGIN UPDATE {Q:s}.{Q:t} SET {Q:d} = {Q:d} + 1; END $$",
                      "undo": "DO $$ BEGIN UPDATE {Q:s}.{Q:t} SET {Q:d} = {Q:d} - 1; END $$"}}]),
    Case("raw_then_typed",
         [{"rawSql": {"sql": "CREATE TABLE {Q:s}.{Q:c} (id bigint PRIMARY KEY, note text)",
                      "undo": "DROP TABLE {Q:s}.{Q:c}"}},
          {"addColumn": {"schema": "{s}", "table": "{c}", "column": "added", "type": "text"}},
          {"addIndex": {"schema": "{s}", "table": "{c}", "columns": ["note"]}}],
         setup=PLAIN),
]  # fmt: skip
