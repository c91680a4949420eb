"""The judge: one statement in, one verdict out. What it does not know is rated high."""

from __future__ import annotations

from collections.abc import Callable

from zanith.core.identifiers import TableKey
from zanith.core.risk import ReasonCode, RiskLevel
from zanith.core.sql_statements import DATA_CHANGES, ParsedStatement, Tree, nodes
from zanith.operations.judging import indexes, objects, rows, sessions, tables
from zanith.operations.judging.alter_table import judge_alter_table
from zanith.operations.judging.verdict import Scope, Verdict, names, opaque, refused

Judge = Callable[[Tree, Scope], Verdict]

KEPT_PREFIX = "_zanith_"


def judge(statement: ParsedStatement, scope: Scope) -> Verdict:
    """What the statement locks, does and risks in this database."""
    kind, tree = statement.kind, statement.tree
    ours = _ours(statement)
    if ours is not None:
        return refused(kind, f"{ours} is Zanith's own")
    if kind in sessions.REFUSED:
        return refused(*sessions.REFUSED[kind])
    if kind != "create_function_stmt" and any(nodes(tree, "param_ref")):
        return refused(kind, "parameters ($1) have no value here")
    if kind in DATA_CHANGES:
        return rows.judge_change(kind, tree, scope)
    if kind in _HARMLESS:
        what, level = _HARMLESS[kind]
        return Verdict(what, level)
    if kind in _JUDGES:
        return _JUDGES[kind](tree, scope)
    return opaque(_words(kind), f"what {_words(kind)} locks and does is not known here")


def _ours(statement: ParsedStatement) -> TableKey | None:
    """A table of Zanith's that the statement would change; reading them is free."""
    if statement.kind == "select_stmt" and not any(nodes(statement.tree, *DATA_CHANGES)):
        return None
    for key in _relations(statement.tree):
        if key.name.startswith(KEPT_PREFIX) or key.schema == f"{KEPT_PREFIX}shadow":
            return key
    return None


def _relations(tree: Tree) -> list[TableKey]:
    found = [r for kind in ("range_var", "relation") for r in nodes(tree, kind) if "relname" in r]
    dropped = [names(i.get("list", {}).get("items")) for i in tree.get("objects", ()) if isinstance(i, dict)]
    keys = [TableKey(r.get("schemaname", ""), r["relname"]) for r in found]
    keys += [TableKey(given[-2] if len(given) > 1 else "", given[-1]) for given in dropped if given]
    schemas = [i["string"]["sval"] for i in tree.get("objects", ()) if isinstance(i, dict) and "string" in i]
    return keys + [TableKey(schema, "") for schema in schemas]


def _words(kind: str) -> str:
    return kind.removesuffix("_stmt").replace("_", " ").upper()


_LOW, _MEDIUM, _HIGH = RiskLevel.LOW, RiskLevel.MEDIUM, RiskLevel.HIGH

# Statements that lock no table and make nobody wait, with their name and level.
_HARMLESS: dict[str, tuple[str, RiskLevel]] = {
    "create_enum_stmt": ("CREATE TYPE", _LOW),
    "composite_type_stmt": ("CREATE TYPE", _LOW),
    "create_range_stmt": ("CREATE TYPE", _LOW),
    "define_stmt": ("CREATE AGGREGATE, OPERATOR or TYPE", _LOW),
    "create_domain_stmt": ("CREATE DOMAIN", _LOW),
    "create_cast_stmt": ("CREATE CAST", _MEDIUM),
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
    "create_foreign_table_stmt": ("CREATE FOREIGN TABLE", _LOW),
    "import_foreign_schema_stmt": ("IMPORT FOREIGN SCHEMA", _MEDIUM),
    "alter_function_stmt": ("ALTER FUNCTION", _MEDIUM),
    "alter_owner_stmt": ("ALTER ... OWNER TO", _MEDIUM),
    "alter_object_depends_stmt": ("ALTER ... DEPENDS ON EXTENSION", _MEDIUM),
    "alter_default_privileges_stmt": ("ALTER DEFAULT PRIVILEGES", _LOW),
    "alter_stats_stmt": ("ALTER STATISTICS", _LOW),
    "alter_tsdictionary_stmt": ("ALTER TEXT SEARCH DICTIONARY", _MEDIUM),
    "alter_tsconfiguration_stmt": ("ALTER TEXT SEARCH CONFIGURATION", _MEDIUM),
    "grant_role_stmt": ("GRANT or REVOKE ROLE", _MEDIUM),
    "drop_role_stmt": ("DROP ROLE", _MEDIUM),
    "alter_role_set_stmt": ("ALTER ROLE ... SET", _MEDIUM),
    "alter_database_set_stmt": ("ALTER DATABASE ... SET", _MEDIUM),
    "drop_user_mapping_stmt": ("DROP USER MAPPING", _MEDIUM),
    "create_event_trig_stmt": ("CREATE EVENT TRIGGER", _HIGH),
    "alter_event_trig_stmt": ("ALTER EVENT TRIGGER", _MEDIUM),
    "check_point_stmt": ("CHECKPOINT", _MEDIUM),
}

_JUDGES: dict[str, Judge] = {
    "alter_table_stmt": judge_alter_table,
    "create_stmt": tables.judge_create_table,
    "create_table_as_stmt": tables.judge_create_as,
    "view_stmt": tables.judge_view,
    "refresh_mat_view_stmt": tables.judge_refresh,
    "rename_stmt": tables.judge_rename,
    "alter_object_schema_stmt": tables.judge_set_schema,
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
    "create_publication_stmt": objects.judge_publication,
    "alter_publication_stmt": objects.judge_publication,
    "create_stats_stmt": objects.judge_statistics,
    "create_seq_stmt": objects.judge_sequence,
    "alter_seq_stmt": objects.judge_sequence,
    "create_function_stmt": objects.judge_function,
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
    "alter_system_stmt": sessions.judge_alter_system,
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
