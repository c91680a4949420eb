"""The judge: one statement in, one verdict out. What it does not know is rated high."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from zanith.core.risk import ReasonCode, RiskLevel
from zanith.core.sql_statements import DATA_CHANGES, ParsedStatement, Tree, nodes
from zanith.operations.judging import calls, changes, indexes, objects, renames, rows, sequences, sessions, tables
from zanith.operations.judging.alter_table import judge_alter_table
from zanith.operations.judging.verdict import Scope, Verdict, opaque, refused

Judge = Callable[[Tree, Scope], Verdict]

KEPT_PREFIX = "_zanith_"


def judge(statement: ParsedStatement, scope: Scope) -> Verdict:
    """What the statement locks, does and risks in this database."""
    kind, tree = statement.kind, statement.tree
    ours = _ours(statement)
    if ours is not None:
        return refused(_words(kind), f"{ours} is Zanith's own")
    forbidden = calls.forbidden(kind, tree)
    if forbidden:
        return refused(_words(kind), forbidden)
    if kind in sessions.REFUSED:
        return refused(*sessions.REFUSED[kind])
    if kind != "create_function_stmt" and any(nodes(tree, "param_ref")):
        return refused(kind, "parameters ($1) have no value here")
    if kind in DATA_CHANGES:
        return changes.judge_change(kind, tree, scope)
    if kind in _HARMLESS:
        what, level = _HARMLESS[kind]
        return Verdict(what, level)
    if kind in _JUDGES:
        return _JUDGES[kind](tree, scope)
    return opaque(_words(kind), f"what {_words(kind)} locks and does is not known here")


def _ours(statement: ParsedStatement) -> str | None:
    """A name of Zanith's that the statement would change or take; reading is free, and what stands in a function."""
    if statement.kind == "select_stmt" and not any(nodes(statement.tree, *DATA_CHANGES, "into_clause")):
        return None
    tree = statement.tree
    if statement.kind == "create_function_stmt":
        tree = {key: value for key, value in tree.items() if key not in ("options", "sql_body")}
    elif statement.kind == "do_stmt":
        found = re.search(rf"\b{KEPT_PREFIX}\w+", calls.code_of_do(tree))
        return None if found is None else found.group()
    return next((name for name in _identifiers(tree) if name.startswith(KEPT_PREFIX)), None)


def _identifiers(tree: Any) -> Iterator[str]:
    """Every name in a tree, of whatever: constants and comments are none."""
    if isinstance(tree, str):
        yield tree
    elif isinstance(tree, Mapping):
        for key, value in tree.items():
            if key not in ("a_const", "comment"):
                yield from _identifiers(value)
    elif isinstance(tree, Sequence):
        for item in tree:
            yield from _identifiers(item)


def _words(kind: str) -> str:
    return _NAMED.get(kind) or kind.removesuffix("_stmt").replace("_", " ").upper()


# What the parser calls otherwise than its authors do.
_NAMED = {
    "view_stmt": "CREATE VIEW",
    "create_stmt": "CREATE TABLE",
    "create_seq_stmt": "CREATE SEQUENCE",
    "composite_type_stmt": "CREATE TYPE",
    "alter_object_schema_stmt": "ALTER ... SET SCHEMA",
    "index_stmt": "CREATE INDEX",
    "rule_stmt": "CREATE RULE",
    "create_trig_stmt": "CREATE TRIGGER",
}


_LOW, _MEDIUM, _HIGH = RiskLevel.LOW, RiskLevel.MEDIUM, RiskLevel.HIGH

# Statements that lock no table and make nobody wait, with their name and level.
_HARMLESS: dict[str, tuple[str, RiskLevel]] = {
    "create_enum_stmt": ("CREATE TYPE", _LOW),
    "composite_type_stmt": ("CREATE TYPE", _LOW),
    "create_range_stmt": ("CREATE TYPE", _LOW),
    "create_domain_stmt": ("CREATE DOMAIN", _LOW),
    "create_conversion_stmt": ("CREATE CONVERSION", _LOW),
    "create_op_class_stmt": ("CREATE OPERATOR CLASS", _LOW),
    "create_op_family_stmt": ("CREATE OPERATOR FAMILY", _LOW),
    "alter_op_family_stmt": ("ALTER OPERATOR FAMILY", _MEDIUM),
    "alter_operator_stmt": ("ALTER OPERATOR", _MEDIUM),
    "alter_type_stmt": ("ALTER TYPE", _MEDIUM),
    "alter_collation_stmt": ("ALTER COLLATION", _MEDIUM),
    "create_transform_stmt": ("CREATE TRANSFORM", _LOW),
    "create_plang_stmt": ("CREATE LANGUAGE", _MEDIUM),
    "create_am_stmt": ("CREATE ACCESS METHOD", _LOW),
    "create_fdw_stmt": ("CREATE FOREIGN DATA WRAPPER", _MEDIUM),
    "alter_fdw_stmt": ("ALTER FOREIGN DATA WRAPPER", _MEDIUM),
    "alter_function_stmt": ("ALTER FUNCTION", _MEDIUM),
    "alter_owner_stmt": ("ALTER ... OWNER TO", _MEDIUM),
    "alter_object_depends_stmt": ("ALTER ... DEPENDS ON EXTENSION", _MEDIUM),
    "alter_stats_stmt": ("ALTER STATISTICS", _LOW),
    "alter_tsdictionary_stmt": ("ALTER TEXT SEARCH DICTIONARY", _MEDIUM),
    "alter_tsconfiguration_stmt": ("ALTER TEXT SEARCH CONFIGURATION", _MEDIUM),
    "drop_role_stmt": ("DROP ROLE", _MEDIUM),
    "drop_user_mapping_stmt": ("DROP USER MAPPING", _MEDIUM),
    "create_event_trig_stmt": ("CREATE EVENT TRIGGER", _HIGH),
    "alter_event_trig_stmt": ("ALTER EVENT TRIGGER", _HIGH),
    "check_point_stmt": ("CHECKPOINT", _MEDIUM),
}

_JUDGES: dict[str, Judge] = {
    "alter_table_stmt": judge_alter_table,
    "create_stmt": tables.judge_create_table,
    "create_table_as_stmt": tables.judge_create_as,
    "view_stmt": tables.judge_view,
    "refresh_mat_view_stmt": tables.judge_refresh,
    "rename_stmt": renames.judge_rename,
    "alter_object_schema_stmt": renames.judge_set_schema,
    "cluster_stmt": tables.judge_cluster,
    "vacuum_stmt": tables.judge_vacuum,
    "alter_domain_stmt": tables.judge_domain,
    "index_stmt": indexes.judge_create_index,
    "reindex_stmt": indexes.judge_reindex,
    "drop_stmt": objects.judge_drop,
    "select_stmt": rows.judge_select,
    "truncate_stmt": rows.judge_truncate,
    "copy_stmt": rows.judge_copy,
    "lock_stmt": rows.judge_lock,
    "create_policy_stmt": objects.judge_policy,
    "alter_policy_stmt": objects.judge_policy,
    "create_trig_stmt": objects.judge_trigger,
    "rule_stmt": objects.judge_rule,
    "comment_stmt": objects.judge_comment,
    "sec_label_stmt": objects.judge_comment,
    "grant_stmt": objects.judge_grant,
    "grant_role_stmt": objects.judge_membership,
    "create_publication_stmt": objects.judge_publication,
    "alter_publication_stmt": objects.judge_publication,
    "create_stats_stmt": objects.judge_statistics,
    "create_seq_stmt": sequences.judge_sequence,
    "alter_seq_stmt": sequences.judge_altered_sequence,
    "create_function_stmt": objects.judge_function,
    "define_stmt": objects.judge_define,
    "create_cast_stmt": objects.judge_cast,
    "alter_default_privileges_stmt": objects.judge_default_privileges,
    "alter_role_set_stmt": objects.judge_settings,
    "alter_database_set_stmt": objects.judge_settings,
    "import_foreign_schema_stmt": objects.judge_foreign_schema,
    "create_foreign_table_stmt": lambda tree, scope: Verdict("CREATE FOREIGN TABLE", unseen=True),
    "create_extension_stmt": objects.judge_extension,
    "create_schema_stmt": objects.judge_create_schema,
    "alter_enum_stmt": objects.judge_enum,
    "create_role_stmt": objects.judge_role,
    "alter_role_stmt": objects.judge_role,
    "create_foreign_server_stmt": objects.judge_foreign_server,
    "alter_foreign_server_stmt": objects.judge_foreign_server,
    "create_user_mapping_stmt": objects.judge_foreign_server,
    "alter_user_mapping_stmt": objects.judge_foreign_server,
    "create_subscription_stmt": objects.judge_new_subscription,
    "alter_subscription_stmt": objects.judge_subscription,
    "drop_subscription_stmt": objects.judge_subscription,
    "transaction_stmt": sessions.judge_transaction,
    "variable_set_stmt": sessions.judge_set,
    "constraints_set_stmt": sessions.judge_deferral,
    "notify_stmt": sessions.judge_notify,
    "do_stmt": lambda tree, scope: tables.judge_execution("DO", tree),
    "call_stmt": lambda tree, scope: tables.judge_execution("CALL", tree),
    "alter_extension_stmt": lambda tree, scope: opaque(
        "ALTER EXTENSION", f"what the script of extension {tree['extname']} does cannot be seen"
    ),
    "drop_owned_stmt": lambda tree, scope: _drop_owned(),
    "reassign_owned_stmt": lambda tree, scope: objects.judge_everything_of("REASSIGN OWNED"),
    "alter_table_move_all_stmt": lambda tree, scope: objects.judge_everything_of("ALTER TABLE ALL IN TABLESPACE"),
}


def _drop_owned() -> Verdict:
    found = objects.judge_everything_of("DROP OWNED")
    return found.with_finding(
        RiskLevel.DESTRUCTIVE, ReasonCode.DROPS_TABLE_WITH_DATA, "all that the role owns is gone for good"
    )
