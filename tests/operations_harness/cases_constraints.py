"""Cases of constraints and indexes: addUnique, dropUnique, addForeignKey, dropForeignKey, dropIndex.

`{c}` is text in the referencing table `{t}` and `{d}` an integer; the referenced table is named `{d}`.
"""

from __future__ import annotations

from typing import Any

from operations_harness.cases import PLAIN, Case

PARENT = (
    "CREATE TABLE {s}.{d} (id integer PRIMARY KEY, {c} text UNIQUE, other integer, UNIQUE (id, other));"
    "INSERT INTO {s}.{d} SELECT n, 'value ' || n, n FROM generate_series(1, 250) n;"
)
FAMILY = PLAIN + PARENT
UNIQUE = PLAIN + "ALTER TABLE {s}.{t} ADD CONSTRAINT {c} "
FOREIGN = FAMILY + "ALTER TABLE {s}.{t} ADD CONSTRAINT {c} "
INDEXED = PLAIN + "CREATE "
PARTS = (
    "CREATE TABLE {s}.{t} (id integer, {d} integer) PARTITION BY RANGE (id);"
    "CREATE TABLE {s}.low PARTITION OF {s}.{t} FOR VALUES FROM (0) TO (100);"
    "CREATE TABLE {s}.high PARTITION OF {s}.{t} FOR VALUES FROM (100) TO (1000);"
    "INSERT INTO {s}.{t} SELECT n, n FROM generate_series(1, 250) n;"
)
PARENT_PARTS = (
    PLAIN + "CREATE TABLE {s}.{d} (id integer PRIMARY KEY) PARTITION BY RANGE (id);"
    "CREATE TABLE {s}.low PARTITION OF {s}.{d} FOR VALUES FROM (0) TO (100);"
    "CREATE TABLE {s}.high PARTITION OF {s}.{d} FOR VALUES FROM (100) TO (1000);"
    "INSERT INTO {s}.{d} SELECT n FROM generate_series(1, 250) n;"
)


def _on(**arguments: Any) -> dict[str, Any]:
    return {"schema": "{s}", "table": "{t}", **arguments}


def _references(**arguments: Any) -> dict[str, Any]:
    return _on(**{"columns": ["{d}"], "referencesTable": "{d}", "referencesColumns": ["id"], **arguments})


CASES = [
    Case("add_unique", [{"addUnique": _on(columns=["{d}"])}]),
    Case("add_unique_with_everything", [{"addUnique": _on(
        columns=["{c}", "{d}"], include=["id"], name="one of each", nullsNotDistinct=True, deferrable=True,
        initiallyDeferred=True)}]),
    Case("add_unique_deferrable", [{"addUnique": _on(columns=["{d}"], deferrable=True)}]),
    Case("add_unique_with_nulls", [{"addUnique": _on(columns=["{c}"])}],
         setup=PLAIN + "UPDATE {s}.{t} SET {c} = NULL WHERE id < 100;"),
    Case("drop_unique", [{"dropUnique": _on(name="{c}")}], setup=UNIQUE + "UNIQUE ({d})"),
    Case("drop_unique_commented", [{"dropUnique": _on(name="{c}")}],
         setup=UNIQUE + "UNIQUE ({d}); COMMENT ON CONSTRAINT {c} ON {s}.{t} IS 'it''s one'"),
    Case("drop_foreign_key_commented", [{"dropForeignKey": _on(name="{c}")}],
         setup=FOREIGN + "FOREIGN KEY ({d}) REFERENCES {s}.{d} (id); COMMENT ON CONSTRAINT {c} ON {s}.{t} IS '100%'"),
    Case("drop_index_commented", [{"dropIndex": {"schema": "{s}", "name": "{c}"}}],
         setup=INDEXED + "INDEX {c} ON {s}.{t} ({d}); COMMENT ON INDEX {s}.{c} IS '{{x}}'"),
    Case("drop_unique_with_everything", [{"dropUnique": _on(name="{c}")}],
         setup=UNIQUE + "UNIQUE NULLS NOT DISTINCT ({c}, {d}) INCLUDE (id) DEFERRABLE INITIALLY DEFERRED"),
    Case("drop_unique_partitioned", [{"dropUnique": _on(name="{c}")}],
         setup=PARTS + "ALTER TABLE {s}.{t} ADD CONSTRAINT {c} UNIQUE (id, {d})", undo_refused="partitioned"),
    Case("add_foreign_key", [{"addForeignKey": _references()}], setup=FAMILY),
    Case("add_foreign_key_with_everything", [{"addForeignKey": _references(
        columns=["{d}", "{c}"], referencesSchema="{s}", referencesColumns=["other", "{c}"], name="it's \"a\" reference",
        onDelete="SetNull", onDeleteSetColumns=["{c}"], onUpdate="Cascade", match="Full", deferrable=True,
        initiallyDeferred=True)}],
        setup=FAMILY + "ALTER TABLE {s}.{d} ADD UNIQUE ({c}, other)"),
    Case("add_foreign_key_with_nulls", [{"addForeignKey": _references(
        columns=["{d}", "extra"], referencesColumns=["id", "other"], onDelete="Restrict")}],
        setup=FAMILY + "ALTER TABLE {s}.{t} ADD extra integer; UPDATE {s}.{t} SET {d} = -1 WHERE id > 200;"
              "UPDATE {s}.{t} SET extra = {d} WHERE id < 100"),
    Case("add_foreign_key_to_itself", [{"addForeignKey": _references(referencesTable="{t}", onDelete="Cascade")}]),
    Case("add_foreign_key_to_an_index", [{"addForeignKey": _references(referencesColumns=["other"])}],
         setup=FAMILY + "CREATE UNIQUE INDEX ON {s}.{d} (other) INCLUDE (id)"),
    Case("add_foreign_key_to_partitions", [{"addForeignKey": _references()}], setup=PARENT_PARTS),
    Case("add_foreign_key_of_partitions", [{"addForeignKey": _references()}], setup=PARTS + PARENT, since=18),
    Case("drop_foreign_key", [{"dropForeignKey": _on(name="{c}")}],
         setup=FOREIGN + "FOREIGN KEY ({d}) REFERENCES {s}.{d}"),
    Case("drop_foreign_key_with_everything", [{"dropForeignKey": _on(name="{c}")}],
         setup=FOREIGN + "FOREIGN KEY ({d}, id) REFERENCES {s}.{d} (id, other) MATCH FULL ON UPDATE RESTRICT "
               "ON DELETE SET DEFAULT ({d}) DEFERRABLE INITIALLY DEFERRED"),
    Case("drop_foreign_key_not_valid", [{"dropForeignKey": _on(name="{c}")}],
         setup=FOREIGN + "FOREIGN KEY ({d}) REFERENCES {s}.{d} NOT VALID"),
    Case("drop_foreign_key_not_enforced", [{"dropForeignKey": _on(name="{c}")}],
         setup=FOREIGN + "FOREIGN KEY ({d}) REFERENCES {s}.{d} NOT ENFORCED", since=18),
    Case("drop_foreign_key_to_itself", [{"dropForeignKey": _on(name="{c}")}],
         setup=UNIQUE + "FOREIGN KEY ({d}) REFERENCES {s}.{t}"),
    Case("drop_foreign_key_to_partitions", [{"dropForeignKey": _on(name="{c}")}],
         setup=PARENT_PARTS + "ALTER TABLE {s}.{t} ADD CONSTRAINT {c} FOREIGN KEY ({d}) REFERENCES {s}.{d}"),
    Case("drop_foreign_key_of_partitions", [{"dropForeignKey": _on(name="{c}")}],
         setup=PARTS + PARENT + "ALTER TABLE {s}.{t} ADD CONSTRAINT {c} FOREIGN KEY ({d}) REFERENCES {s}.{d}", since=18),
    Case("drop_index", [{"dropIndex": {"schema": "{s}", "name": "{c}"}}],
         setup=INDEXED + "INDEX {c} ON {s}.{t} ({c}, {d} DESC)"),
    Case("drop_index_unique", [{"dropIndex": {"schema": "{s}", "name": "{c}"}}],
         setup=INDEXED + "UNIQUE INDEX {c} ON {s}.{t} (lower({c}), {d}) INCLUDE (id) NULLS NOT DISTINCT "
               "WHERE {c} <> ALL (ARRAY['a WHERE b', 'c'])"),
    Case("drop_index_method", [{"dropIndex": {"schema": "{s}", "name": "{c}"}}],
         setup=INDEXED + "INDEX {c} ON {s}.{t} USING gin (to_tsvector('english', {c})) WITH (fastupdate = off)"),
]  # fmt: skip
