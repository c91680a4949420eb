"""Judges what reads and changes rows, and what copies, empties and locks tables."""

from __future__ import annotations

from zanith.core.graph import Table
from zanith.core.identifiers import TableKey
from zanith.core.risk import ReasonCode, RiskLevel
from zanith.core.sql_statements import DATA_CHANGES, Tree, expression_text, nodes
from zanith.core.statement import Lock, Work
from zanith.operations.judging.verdict import Locks, Scope, Verdict, names, opaque, refused, strongest
from zanith.operations.judging.yaml_steps import yaml_step

_BATCHES = "backfill changes rows in batches, each locked for an instant and none changed twice"

# What a bare SELECT may call without being taken for code that cannot be seen into. Any other function may do anything,
# and a migration that SELECTs does so for the side effect.
_HARMLESS = frozenset(
    {"setval", "nextval", "currval", "lastval", "pg_get_serial_sequence", "now", "clock_timestamp", "random"}
    | {"gen_random_uuid", "count", "sum", "min", "max", "avg", "coalesce", "lower", "upper", "length", "pg_sleep"}
    | {"pg_notify", "pg_stat_reset", "set_config", "current_setting", "pg_stat_clear_snapshot", "version"}
)
_RELEASING = frozenset(
    {"pg_advisory_unlock", "pg_advisory_unlock_all", "pg_advisory_unlock_shared", "pg_advisory_lock"}
    | {"pg_try_advisory_lock", "pg_advisory_lock_shared", "pg_try_advisory_lock_shared"}
    | {"pg_terminate_backend", "pg_cancel_backend"}
)
"""Functions that could take the runner's own lock or session from it."""


def function_names(tree: Tree) -> frozenset[str]:
    """Functions called anywhere in it, by their last name."""
    return frozenset(names(call.get("funcname"))[-1] for call in nodes(tree, "func_call"))


def judge_select(tree: Tree, scope: Scope) -> Verdict:
    """SELECT, with data-modifying WITH, FOR UPDATE and INTO."""
    called = function_names(tree)
    if called & _RELEASING:
        return refused(
            "SELECT", f"{sorted(called & _RELEASING)[0]}() could take its lock or its session from the runner"
        )
    if "set_config" in called:
        return refused("SELECT", "set_config() changes settings of the runner's session; write SET LOCAL")
    changes = [(k, t) for k in DATA_CHANGES for t in nodes(tree, k)]
    verdict = Verdict("SELECT", locks=read_locks(tree, scope), work=Work.SCAN)
    if "into_clause" in tree:
        verdict = Verdict("SELECT INTO", RiskLevel.MEDIUM, verdict.locks, work=Work.SCAN, unseen=True)
    unknown = sorted(called - _HARMLESS)
    if unknown:
        verdict = verdict.joined(opaque("SELECT", f"what function {unknown[0]}() does cannot be seen"))
    for kind, change in changes:
        verdict = verdict.joined(_judge_change(kind, change, scope))
    return verdict


def read_locks(tree: Tree, scope: Scope, lock: Lock = Lock.ACCESS_SHARE) -> Locks:
    """Tables a query reads; with FOR UPDATE and the like their rows are locked as well."""
    if any(True for _ in nodes(tree, "locking_clause")):
        lock = strongest([lock, Lock.ROW_SHARE])
    found: Locks = {}
    for relation in nodes(tree, "range_var"):
        found |= dict.fromkeys(scope.family(scope.key(relation)), lock)
    return found


def judge_change(kind: str, tree: Tree, scope: Scope) -> Verdict:
    """INSERT, UPDATE, DELETE or MERGE, with others in its WITH."""
    verdict = _judge_change(kind, tree, scope)
    for inner in DATA_CHANGES:
        for change in nodes(tree.get("with_clause", {}), inner):
            verdict = verdict.joined(_judge_change(inner, change, scope))
    called = function_names(tree) & (scope.facts.volatile_functions - _HARMLESS)
    if called:
        verdict = verdict.joined(opaque(verdict.what, f"what function {sorted(called)[0]}() does cannot be seen"))
    return verdict


def _judge_change(kind: str, tree: Tree, scope: Scope) -> Verdict:
    key = scope.key(tree["relation"])
    table = scope.table(key)
    locks: Locks = dict.fromkeys(scope.family(key), Lock.ROW_EXCLUSIVE)
    # Foreign keys look rows up at their other end, and may change rows there: ON DELETE CASCADE.
    locks |= dict.fromkeys([*scope.parents(key), *_cascading(scope, key)], Lock.ROW_EXCLUSIVE)
    for read, lock in read_locks(tree, scope).items():
        locks.setdefault(read, lock)
    verdict = Verdict(kind.removesuffix("_stmt").upper(), RiskLevel.LOW, locks, work=Work.SCAN)
    if table is None:
        verdict = verdict.joined(Verdict("", RiskLevel.MEDIUM, elsewhere=Lock.ROW_EXCLUSIVE))
    judge = {"insert_stmt": _insert, "update_stmt": _update, "delete_stmt": _delete, "merge_stmt": _merge}[kind]
    return _with_triggers(judge(verdict, tree, scope, key), table)


def _cascading(scope: Scope, key: TableKey) -> list[TableKey]:
    """Tables that changes of the table reach through foreign keys, however far."""
    found: dict[TableKey, None] = {}
    left = [key]
    while left:
        for child in scope.children(left.pop()):
            if child not in found:
                found[child] = None
                left.append(child)
    return list(found)


def _with_triggers(verdict: Verdict, table: Table | None) -> Verdict:
    for trigger in table.triggers if table is not None else ():
        if trigger.enabled:
            verdict = verdict.with_finding(
                RiskLevel.MEDIUM,
                ReasonCode.USER_TRIGGERS_FIRE,
                f"trigger {trigger.name} of {trigger_table(table)} may fire for every row, and its code cannot be seen into",
            )
    return verdict


def trigger_table(table: Table | None) -> str:
    return "" if table is None else str(table.key)


def _insert(verdict: Verdict, tree: Tree, scope: Scope, key: TableKey) -> Verdict:
    values = "values_lists" in tree.get("select_stmt", {}).get("select_stmt", {}) or "select_stmt" not in tree
    if values:
        return verdict
    return verdict.joined(Verdict("", RiskLevel.MEDIUM))


def _update(verdict: Verdict, tree: Tree, scope: Scope, key: TableKey) -> Verdict:
    where = tree.get("where_clause")
    if _one_row(where, scope.table(key)):
        return verdict
    level = RiskLevel.HIGH if where is None else RiskLevel.MEDIUM
    return verdict.with_finding(
        level,
        ReasonCode.REQUIRES_BACKFILL,
        f"{'every row' if where is None else 'rows'} of {key} {'is' if where is None else 'are'} changed in one "
        "transaction: writers of the same rows wait until its end, and what they had before is not kept",
        _backfill(tree, scope, key),
    )


def _backfill(tree: Tree, scope: Scope, key: TableKey) -> str:
    targets = [t["res_target"] for t in tree["target_list"]]
    plain = "from_clause" not in tree and "with_clause" not in tree
    if not plain or any("val" not in t or "indirection" in t or "multi_assign_ref" in t["val"] for t in targets):
        return _BATCHES
    values = {t["name"]: expression_text(t["val"]) for t in targets}
    where = expression_text(tree["where_clause"]) if "where_clause" in tree else "true"
    return yaml_step(scope, "backfill", key, set=values, where=where)


def _one_row(where: Tree | None, table: Table | None) -> bool:
    """Whether it is `key = constant` for the whole primary key."""
    if where is None or table is None or table.primary_key is None or "a_expr" not in where:
        return False
    compared = where["a_expr"]
    fields = compared.get("lexpr", {}).get("column_ref", {}).get("fields", [])
    return (
        compared.get("kind") == "AEXPR_OP"
        and names(compared.get("name")) == ["="]
        and names(fields)[-1:] == list(table.primary_key.columns)
        and "a_const" in compared.get("rexpr", {})
    )


def _delete(verdict: Verdict, tree: Tree, scope: Scope, key: TableKey) -> Verdict:
    which = "rows" if "where_clause" in tree else "every row"
    return verdict.joined(Verdict("", RiskLevel.DESTRUCTIVE)).with_finding(
        RiskLevel.DESTRUCTIVE,
        ReasonCode.DELETES_ROWS,
        f"{which} of {key} {'are' if which == 'rows' else 'is'} deleted for good; no artifact is kept",
    )


def _merge(verdict: Verdict, tree: Tree, scope: Scope, key: TableKey) -> Verdict:
    clauses = [c["merge_when_clause"] for c in tree.get("merge_when_clauses", ())]
    if any(c.get("command_type") == "CMD_DELETE" for c in clauses):
        return _delete(verdict, tree, scope, key)
    if any(c.get("command_type") == "CMD_UPDATE" for c in clauses):
        return verdict.with_finding(
            RiskLevel.MEDIUM, ReasonCode.REQUIRES_BACKFILL, f"rows of {key} are changed in one transaction", _BATCHES
        )
    return verdict.joined(Verdict("", RiskLevel.MEDIUM))


def judge_truncate(tree: Tree, scope: Scope) -> Verdict:
    named = [scope.key(r["range_var"]) for r in tree["relations"]]
    keys = [part for key in named for part in (scope.family(key) or [key])]
    if tree.get("behavior") == "DROP_CASCADE":
        keys += [child for key in named for child in _cascading(scope, key)]
    locks = dict.fromkeys(keys, Lock.ACCESS_EXCLUSIVE)
    verdict = Verdict("TRUNCATE", RiskLevel.DESTRUCTIVE, locks, work=Work.CATALOG)
    verdict = verdict.joined(Verdict("", missing=tuple(m for k in named for m in scope.absent(k))))
    return verdict.with_finding(
        RiskLevel.DESTRUCTIVE,
        ReasonCode.DELETES_ROWS,
        f"{', '.join(str(k) for k in dict.fromkeys(keys))}: every row is gone for good; no artifact is kept",
    )


def judge_copy(tree: Tree, scope: Scope) -> Verdict:
    if tree.get("is_program"):
        return refused("COPY", "COPY ... PROGRAM runs a program on the database's server")
    if "filename" not in tree:
        return refused("COPY", "COPY from STDIN or to STDOUT needs a client that sends or takes the data")
    verdict = opaque("COPY", "what is in a file of the database's server cannot be seen")
    if "relation" not in tree:
        return verdict
    key = scope.key(tree["relation"])
    lock = Lock.ROW_EXCLUSIVE if tree.get("is_from") else Lock.ACCESS_SHARE
    locks = dict.fromkeys(scope.family(key), lock)
    return Verdict(
        "COPY", verdict.level, locks, elsewhere=Lock.ROW_EXCLUSIVE, work=Work.SCAN, findings=verdict.findings
    )


def judge_lock(tree: Tree, scope: Scope) -> Verdict:
    lock = list(Lock)[int(tree.get("mode", 8))]
    named = [scope.key(r["range_var"]) for r in tree["relations"]]
    locks = dict.fromkeys([part for key in named for part in scope.family(key)], lock)
    level = RiskLevel.MEDIUM if lock.blocks_writes else RiskLevel.LOW
    missing = tuple(m for k in named for m in scope.absent(k))
    return Verdict("LOCK", level, locks, missing=missing)
