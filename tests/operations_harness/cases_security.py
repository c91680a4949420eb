"""Cases of extensions, row-level security, and the drop of a table. Conditions are written as PostgreSQL prints them."""

from __future__ import annotations

from typing import Any

from operations_harness.cases import PLAIN, Case

OWNED = (
    "CREATE TABLE {s}.{t} (id bigint PRIMARY KEY, owner name NOT NULL DEFAULT CURRENT_USER, {c} text, {d} integer);"
    "INSERT INTO {s}.{t} SELECT n, CURRENT_USER, 'value ' || n, n FROM generate_series(1, 250) n;"
)
SECURED = (
    OWNED
    + "ALTER TABLE {s}.{t} ENABLE ROW LEVEL SECURITY;"
    + "CREATE POLICY {c} ON {s}.{t} USING (owner = CURRENT_USER);"
    + "CREATE POLICY {d} ON {s}.{t} AS RESTRICTIVE FOR UPDATE TO pg_monitor, pg_signal_backend"
    + "  USING (id > 0) WITH CHECK (id > 1);"
)
PARENT = (
    "CREATE TABLE {s}.{c} (id integer PRIMARY KEY);"
    "CREATE TABLE {s}.{t} (id bigint PRIMARY KEY, {d} integer REFERENCES {s}.{c}, up bigint REFERENCES {s}.{t});"
)
PARTITIONED = (
    "CREATE TABLE {s}.{t} (id bigint NOT NULL, {c} text, {d} integer, PRIMARY KEY (id)) PARTITION BY RANGE (id);"
    "CREATE TABLE {s}.{c} PARTITION OF {s}.{t} FOR VALUES FROM (1) TO (100);"
    "CREATE TABLE {s}.{d} PARTITION OF {s}.{t} FOR VALUES FROM (100) TO (1000);"
    "CREATE INDEX on_both ON {s}.{t} ({d});"
    "INSERT INTO {s}.{t} SELECT n, 'x', n FROM generate_series(1, 250) n;"
)


def _on(**arguments: Any) -> dict[str, Any]:
    return {"schema": "{s}", "table": "{t}", **arguments}


CASES = [
    Case("create_extension", [{"createExtension": {"name": "pg_trgm"}}]),
    Case("create_extension_in_schema", [{"createExtension": {"name": "citext", "schema": "{s}", "version": "1.6"}}]),
    Case("create_extension_cascade", [{"createExtension": {"name": "earthdistance", "schema": "{s}", "cascade": True}}]),
    Case("drop_extension", [{"dropExtension": {"name": "pg_trgm"}}], setup="CREATE EXTENSION pg_trgm SCHEMA {s}"),
    Case("drop_extension_of_a_column_dropped_before",
         [{"dropColumn": _on(column="{c}")}, {"dropExtension": {"name": "citext"}}, {"dropTable": _on()}],
         setup="CREATE EXTENSION citext SCHEMA public; CREATE TABLE {s}.{t} (id bigint PRIMARY KEY, {c} public.citext)",
         undo_refused="dropped for good"),
    Case("enable_rls", [{"enableRls": _on()}], setup=OWNED),
    Case("enable_rls_forced", [{"enableRls": _on(force=True)}], setup=OWNED),
    Case("force_rls", [{"enableRls": _on(force=True)}], setup=SECURED),
    Case("disable_rls", [{"disableRls": _on()}], setup=SECURED),
    Case("create_policy", [{"createPolicy": _on(name="{c}", using="(owner = CURRENT_USER)")}], setup=OWNED),
    Case("create_policies", [
        {"createPolicy": _on(name="see", command="Select", using="true")},
        {"createPolicy": _on(name="{d}", command="Insert", withCheck="(id > 0)", roles=["public"])},
        {"createPolicy": _on(name="{c}", command="Update", permissive=False, roles=["pg_monitor", "pg_checkpoint"],
                             using="(owner = CURRENT_USER)", withCheck="(id > 0)")},
        {"createPolicy": _on(name="away", command="Delete", using="(id < 0)")},
        {"enableRls": _on()},
    ], setup=OWNED),
    Case("create_policy_over_another_table",
         [{"createPolicy": _on(name="{c}", using="(id IN ( SELECT mine.i\n   FROM public.mine))")}],
         setup=OWNED + "CREATE TABLE public.mine (i bigint)"),
    Case("drop_policy", [{"dropPolicy": _on(name="{c}")}], setup=SECURED),
    Case("drop_commented_policy", [{"dropPolicy": _on(name="{c}")}],
         setup=SECURED + "COMMENT ON POLICY {c} ON {s}.{t} IS 'whose'"),
    Case("drop_restrictive_policy", [{"dropPolicy": _on(name="{d}")}], setup=SECURED),
    Case("drop_table", [{"dropTable": _on()}], undo_refused="dropped for good"),
    Case("drop_table_with_foreign_keys", [{"dropTable": _on()}], setup=PARENT, undo_refused="dropped for good"),
    Case("drop_partitioned_table", [{"dropTable": _on()}], setup=PARTITIONED, undo_refused="dropped for good"),
    Case("drop_table_once_unreferenced",
         [{"softDropTable": {"schema": "{s}", "table": "{t}"}}, {"createTable": {
             "schema": "{s}", "table": "{t}", "columns": [{"name": "id", "type": "bigint"}], "primaryKey": ["id"]}},
          {"dropTable": _on()}],
         setup=PLAIN, undo_refused="dropped for good"),
]  # fmt: skip
