"""Judges what is about the session, not the database. The runner's session is its own: most of it is refused."""

from __future__ import annotations

from zanith.core.sql_statements import Tree
from zanith.operations.judging.verdict import Scope, Verdict, refused

# Settings a statement may have of its own with SET LOCAL: they change how it is carried out, not what it does to whom.
# Everything else is pinned by the runner: limits, search_path, role, TimeZone, row_security, replication role, ...
LOCAL_SETTINGS = frozenset(
    {"work_mem", "maintenance_work_mem", "max_parallel_maintenance_workers", "max_parallel_workers_per_gather"}
    | {"hash_mem_multiplier", "temp_buffers", "jit", "effective_io_concurrency", "maintenance_io_concurrency"}
    | {"constraint_exclusion", "check_function_bodies", "default_tablespace", "default_table_access_method"}
    | {"default_toast_compression", "gin_pending_list_limit", "vacuum_cost_delay", "vacuum_cost_limit"}
    | {
        "enable_seqscan",
        "enable_indexscan",
        "enable_bitmapscan",
        "enable_hashjoin",
        "enable_mergejoin",
        "enable_nestloop",
    }
)


def judge_transaction(tree: Tree, scope: Scope) -> Verdict:
    what = tree["kind"].removeprefix("TRANS_STMT_").replace("_", " ")
    return refused(what, "transactions are the runner's: a step commits together with its audit row, or not at all")


def judge_set(tree: Tree, scope: Scope) -> Verdict:
    """SET LOCAL of what only changes how a statement is carried out, and of an application's own settings (`app.actor`)."""
    name = str(tree.get("name", "")).lower()
    if tree["kind"] == "VAR_RESET_ALL" or tree["kind"].startswith("VAR_SET_MULTI"):
        return refused("SET", "the runner pins the settings of its session and of its transactions")
    if name not in LOCAL_SETTINGS and "." not in name:
        return refused("SET", f"{name} is pinned by the runner, for what the plan promises depends on it")
    if not tree.get("is_local"):
        return refused("SET", f"it would last for later steps as well; write SET LOCAL {name}")
    return Verdict("SET LOCAL")


def judge_deferral(tree: Tree, scope: Scope) -> Verdict:
    return Verdict("SET CONSTRAINTS")


def judge_notify(tree: Tree, scope: Scope) -> Verdict:
    return Verdict("NOTIFY")


REFUSED = {
    "prepare_stmt": ("PREPARE", "it outlives its step; write the statement itself"),
    "execute_stmt": ("EXECUTE", "there is nothing prepared in the runner's session; write the statement itself"),
    "deallocate_stmt": ("DEALLOCATE", "there is nothing prepared in the runner's session"),
    "declare_cursor_stmt": ("DECLARE", "nobody would fetch from the cursor"),
    "fetch_stmt": ("FETCH", "nobody would see what is fetched"),
    "close_portal_stmt": ("CLOSE", "there is no cursor in the runner's session"),
    "listen_stmt": ("LISTEN", "nobody would hear what the runner's session is told"),
    "unlisten_stmt": ("UNLISTEN", "the runner's session listens to nothing"),
    "discard_stmt": ("DISCARD", "it would undo the settings of the runner's session, and its lock"),
    "explain_stmt": ("EXPLAIN", "nobody would see the answer"),
    "variable_show_stmt": ("SHOW", "nobody would see the answer"),
    "load_stmt": ("LOAD", "it loads a library into the runner's session only"),
    "alter_system_stmt": ("ALTER SYSTEM", "a migration is about its database, not about the whole server"),
    "alter_database_stmt": ("ALTER DATABASE", "a migration is about the database it runs in"),
    "createdb_stmt": ("CREATE DATABASE", "a migration is about the database it runs in"),
    "dropdb_stmt": ("DROP DATABASE", "a migration is about the database it runs in"),
    "create_table_space_stmt": ("CREATE TABLESPACE", "a migration is about the database it runs in"),
    "drop_table_space_stmt": ("DROP TABLESPACE", "a migration is about the database it runs in"),
}
"""Statements with no place in a migration, with their name and the reason."""
