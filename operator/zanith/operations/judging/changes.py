"""Judges INSERT, UPDATE, DELETE and MERGE, wherever they stand: how many rows they may lock, and what they run beside.

Rows stay locked until the step's transaction ends, and whoever writes the same ones waits until then. So what is not
bounded to a few rows by its text is rated by the size of the table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from zanith.core.graph import Table
from zanith.core.identifiers import TableKey
from zanith.core.risk import ReasonCode, RiskLevel
from zanith.core.sql import SqlProblem
from zanith.core.sql_statements import DATA_CHANGES, Tree, definition_of, expression_text, nodes, parse_value
from zanith.core.statement import Lock, Work
from zanith.operations.judging.calls import judge_calls, known_function, read_relations, unseen_code
from zanith.operations.judging.cascades import changed_columns, deletes, is_referenced, judge_carried
from zanith.operations.judging.verdict import SYSTEM_SCHEMAS, Locks, Scope, Verdict, names, opaque, refused, strongest
from zanith.operations.judging.yaml_steps import yaml_step

_BATCHES = "backfill changes rows in batches, each locked for an instant and none changed twice"
_LITTLE_BY_LITTLE = "delete a range of keys per migration, a few thousand rows each"


def judge_changes(tree: Any, scope: Scope) -> Verdict:
    """All INSERT, UPDATE, DELETE and MERGE inside of a tree, as if each stood alone; what they run is not looked at."""
    verdict = Verdict("")
    for kind in DATA_CHANGES:
        for change in nodes(tree, kind):
            verdict = verdict.joined(_judge_change(kind, change, scope))
    return verdict


def judge_change(kind: str, tree: Tree, scope: Scope) -> Verdict:
    """INSERT, UPDATE, DELETE or MERGE, with others in its WITH and the code it runs."""
    verdict = _judge_change(kind, tree, scope).joined(judge_changes(tree, scope))
    return _beside(with_locked_rows(verdict, tree, scope), judge_calls(verdict.what, tree, scope))


def _beside(verdict: Verdict, code: Verdict) -> Verdict:
    """The verdict with code that runs beside it: for as long as the statement works, which is an instant for a row."""
    return verdict.joined(replace(code, work=verdict.work))


def read_locks(tree: Any, scope: Scope, lock: Lock = Lock.ACCESS_SHARE) -> Locks:
    """Tables a query reads, behind views too; with FOR UPDATE and the like their rows are locked as well."""
    if any(True for _ in nodes(tree, "locking_clause")):
        lock = strongest([lock, Lock.ROW_SHARE])
    found: Locks = {}
    for key in read_relations(tree, scope):
        found |= dict.fromkeys([*scope.family(key), *scope.base_tables(key)], lock)
    return found


def with_locked_rows(verdict: Verdict, tree: Tree, scope: Scope) -> Verdict:
    """With what FOR UPDATE and its weaker forms lock: whoever writes those rows waits until the transaction ends."""
    for select in (tree, *nodes(tree, "select_stmt")):
        if "locking_clause" in select:
            verdict = _with_locked(verdict, select, scope)
    return verdict


def _with_locked(verdict: Verdict, select: Tree, scope: Scope) -> Verdict:
    named = {r["relname"] for r in nodes(select["locking_clause"], "range_var")}
    for inside, relation in _read_as(select.get("from_clause", ())):
        key = scope.key(relation)
        if named and (name_of(relation) if inside is None else inside) not in named:
            continue
        # Columns of what stands inside of a subquery, or was given other names, are not the table's own.
        own = inside is None and "colnames" not in relation.get("alias", {})
        if own and few_rows(select.get("where_clause"), relation, scope):
            continue
        big = any(scope.big(k) for k in (key, *scope.base_tables(key)))
        verdict = verdict.with_finding(
            RiskLevel.HIGH if big else RiskLevel.MEDIUM,
            ReasonCode.LOCKS_ROWS,
            f"rows of {key} stay locked until the transaction ends{', and the table is big' if big else ''}: writers of the "
            "same rows wait",
            "lock rows by their key, or change them with backfill, which locks them batch by batch",
        )
    return verdict


def _read_as(tree: Any, inside: str | None = None) -> Iterator[tuple[str | None, Tree]]:
    """The relations of FROM, each with the name of the subquery or the join it stands in, where that has columns of its
    own."""
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            if key == "range_var":
                yield inside, value
            elif key == "range_subselect" or (key == "join_expr" and "alias" in value):
                called = str(value.get("alias", {}).get("aliasname", ""))
                yield from _read_as(list(value.values()), called if inside is None else inside)
            elif key not in ("locking_clause", "quals"):
                yield from _read_as(value, inside)
    elif isinstance(tree, Sequence) and not isinstance(tree, str):
        for item in tree:
            yield from _read_as(item, inside)


def of_system(key: TableKey) -> bool:
    """Whether the relation is PostgreSQL's own."""
    return key.schema in SYSTEM_SCHEMAS


def cascading(scope: Scope, key: TableKey) -> list[TableKey]:
    """Tables that changes of the table reach through foreign keys, however far."""
    found: dict[TableKey, None] = {}
    left = [key]
    while left:
        for child in scope.children(left.pop()):
            if child not in found:
                found[child] = None
                left.append(child)
    return list(found)


def few_rows(condition: Tree | None, relation: Tree, scope: Scope) -> bool:
    """Whether the condition lets through one row of the relation at most: a whole key of it equals constants.

    A key is one table's: tables that inherit from it may have its values as often as they like.
    """
    key, called = scope.key(relation), name_of(relation)
    table = scope.table(key)
    if condition is None or table is None or (relation.get("inh") and scope.heirs(key)):
        return False
    fixed = {column for branch in _branches(condition) for column in _fixed(branch, table, called)}
    keys = [c.columns for c in table.constraints if c.kind in ("primary_key", "unique")]
    return any(columns and fixed.issuperset(columns) for columns in keys)


def name_of(relation: Tree) -> str:
    """What columns of a relation are qualified with."""
    return str(relation.get("alias", {}).get("aliasname", relation["relname"]))


def _judge_change(kind: str, tree: Tree, scope: Scope) -> Verdict:
    what = kind.removesuffix("_stmt").upper()
    key = scope.key(tree["relation"])
    if of_system(key):
        return refused(what, f"{key} is the catalog: what is written into it by hand breaks the database")
    table = scope.table(key)
    locks: Locks = dict.fromkeys(scope.family(key), Lock.ROW_EXCLUSIVE)
    # Foreign keys look rows up at their other end, and may change rows there: ON DELETE CASCADE.
    locks |= dict.fromkeys([*scope.parents(key), *cascading(scope, key)], Lock.ROW_EXCLUSIVE)
    for read, lock in read_locks(tree, scope).items():
        locks.setdefault(read, lock)
    if tree["relation"].get("inh"):
        locks |= dict.fromkeys(scope.heirs(key), Lock.ROW_EXCLUSIVE)
    verdict = Verdict(what, RiskLevel.LOW, locks, work=Work.CATALOG if _is_brief(kind, tree, scope, key) else Work.SCAN)
    if table is None and key.name not in scope.temporary:
        verdict = verdict.joined(_of_no_table(what, key, scope))
    judge = {"insert_stmt": _insert, "update_stmt": _update, "delete_stmt": _delete, "merge_stmt": _merge}[kind]
    carried = judge_carried(scope, key, changed_columns(kind, tree), deleted=deletes(kind, tree))
    return _with_code_of_table(judge(verdict, tree, scope, key).joined(carried), kind, tree, scope, key)


def _of_no_table(what: str, key: TableKey, scope: Scope) -> Verdict:
    if not scope.is_view(key):
        return opaque(what, f"{key} is no table of this database that is known of")
    locks = dict.fromkeys(scope.base_tables(key), Lock.ROW_EXCLUSIVE)
    return opaque(what, f"{key} is a view: which rows of which tables change cannot be seen").joined(
        Verdict("", locks=locks)
    )


def _with_code_of_table(verdict: Verdict, kind: str, tree: Tree, scope: Scope, key: TableKey) -> Verdict:
    """What the table itself runs: triggers, rules, defaults, CHECKs that call a VOLATILE function."""
    table = scope.table(key)
    if table is None:
        return verdict
    for trigger in table.triggers:
        if trigger.enabled:
            verdict = verdict.with_finding(
                RiskLevel.MEDIUM,
                ReasonCode.USER_TRIGGERS_FIRE,
                f"trigger {trigger.name} of {table.key} may fire for every row, and its code cannot be seen into",
            )
    if made := scope.triggered.intersection([*scope.family(key), *cascading(scope, key)]):
        fired = f"triggers of {', '.join(map(str, sorted(made)))} that this step makes fire with it"
        verdict = _beside(verdict, opaque(verdict.what, f"{fired}, and their code cannot be seen into"))
    command = kind.removesuffix("_stmt")
    if any((k, command) in scope.facts.code.rules for k in (key, *scope.graph.partitions(key))):
        verdict = _beside(verdict, opaque(verdict.what, f"rules of {key} may make something else of it"))
    found = [] if kind == "delete_stmt" else [*_defaults(table, kind, tree, scope), *_checks(table, scope)]
    if found:
        verdict = _beside(verdict, opaque(verdict.what, f"what it runs cannot be seen into: {', '.join(found)}"))
    return verdict


def _is_brief(kind: str, tree: Tree, scope: Scope, key: TableKey) -> bool:
    """Whether it is about the few rows its text names, and nothing else is read for them."""
    if read_relations(tree, scope) or scope.table(key) is None:
        return False
    if kind != "insert_stmt" and not few_rows(tree.get("where_clause"), tree["relation"], scope):
        return False
    # A row that is deleted, or whose key changes, is looked for in the tables that reference it.
    return not is_referenced(scope, key, changed_columns(kind, tree), deleted=deletes(kind, tree))


def _defaults(table: Table, kind: str, tree: Tree, scope: Scope) -> Iterator[str]:
    """Unknown code in defaults of columns that are given no value, or DEFAULT by name."""
    by_name = any(True for _ in nodes(tree, "set_to_default"))
    if kind == "update_stmt" and not by_name:
        return
    skipped = set() if by_name else {c["res_target"]["name"] for c in tree.get("cols", ())}
    for column in table.columns:
        if column.default is not None and column.generated is None and column.name not in skipped:
            yield from (
                f"{code} in the default of {table.key}.{column.name}" for code in _printed(column.default, scope)
            )


def _printed(text: str, scope: Scope) -> list[str]:
    """Unknown code in an expression that PostgreSQL printed."""
    try:
        return unseen_code(parse_value(text), scope, printed=True)
    except SqlProblem:
        return ["an expression that is nested too deeply"]


def _checks(table: Table, scope: Scope) -> Iterator[str]:
    for constraint in table.constraints:
        called = _called(constraint.definition) if constraint.kind == "check" else []
        for given in called:
            if given[-1] in scope.facts.volatile_functions and not known_function(given, scope, printed=True):
                yield f"function {'.'.join(given)}() in {constraint.name} of {table.key}"


def _called(check: str) -> list[list[str]]:
    try:
        tree = definition_of(check)
    except SqlProblem:
        return []
    return [names(call.get("funcname")) for call in nodes(tree, "func_call")]


def _insert(verdict: Verdict, tree: Tree, scope: Scope, key: TableKey) -> Verdict:
    source = tree.get("select_stmt", {}).get("select_stmt", {})
    if "values_lists" in source or "select_stmt" not in tree:
        return verdict
    verdict = verdict.joined(Verdict("", RiskLevel.MEDIUM))
    if tree.get("on_conflict_clause", {}).get("action") != "ONCONFLICT_UPDATE":
        return verdict
    return _many_rows(verdict, scope, key, "those that are there already are changed", _BATCHES)


def _update(verdict: Verdict, tree: Tree, scope: Scope, key: TableKey) -> Verdict:
    where = tree.get("where_clause")
    if few_rows(where, tree["relation"], scope):
        return verdict
    if _lets_all_through(where):
        return verdict.with_finding(
            RiskLevel.HIGH,
            ReasonCode.REQUIRES_BACKFILL,
            f"every row of {key} is changed in one transaction: writers wait until its end, and what was there before is "
            "not kept",
            _backfill(tree, scope, key),
        )
    return _many_rows(verdict, scope, key, "rows are changed", _backfill(tree, scope, key))


def _many_rows(verdict: Verdict, scope: Scope, key: TableKey, what: str, safer: str) -> Verdict:
    """How many cannot be told: on a big table others wait long."""
    size = "; the table is big" if scope.big(key) else ""
    return verdict.with_finding(
        RiskLevel.HIGH if scope.big(key) else RiskLevel.MEDIUM,
        ReasonCode.REQUIRES_BACKFILL,
        f"{key}: {what} in one transaction; writers of the same rows wait until its end{size}, and what was there before "
        "is not kept",
        safer,
    )


def _lets_all_through(condition: Tree | None) -> bool:
    """A condition without a column is true of every row or of none."""
    return condition is None or not any(True for _ in nodes(condition, "column_ref"))


def _backfill(tree: Tree, scope: Scope, key: TableKey) -> str:
    targets = [t["res_target"] for t in tree["target_list"]]
    relation = tree["relation"]
    plain = not {"from_clause", "with_clause"} & set(tree) and relation.get("inh") and "alias" not in relation
    if (
        scope.table(key) is None
        or not plain
        or any("val" not in t or "indirection" in t or "multi_assign_ref" in t["val"] for t in targets)
        or any(True for _ in nodes([t.get("val") for t in targets], "set_to_default"))
    ):
        return _BATCHES
    values = {t["name"]: expression_text(t["val"]) for t in targets}
    where = expression_text(tree["where_clause"]) if "where_clause" in tree else "true"
    return yaml_step(scope, "backfill", key, set=values, where=where)


def _delete(verdict: Verdict, tree: Tree, scope: Scope, key: TableKey) -> Verdict:
    where = tree.get("where_clause", tree.get("join_condition"))
    every = _lets_all_through(where)
    verdict = verdict.joined(Verdict("", RiskLevel.DESTRUCTIVE)).with_finding(
        RiskLevel.DESTRUCTIVE,
        ReasonCode.DELETES_ROWS,
        f"{'every row' if every else 'rows'} of {key} {'is' if every else 'are'} deleted for good; no artifact is kept",
    )
    if few_rows(where, tree["relation"], scope) or not scope.big(key):
        return verdict
    return verdict.with_finding(
        RiskLevel.HIGH,
        ReasonCode.LOCKS_ROWS,
        f"the rows of {key} stay locked until the transaction ends, and the table is big: writers of the same rows wait",
        _LITTLE_BY_LITTLE,
    )


def _merge(verdict: Verdict, tree: Tree, scope: Scope, key: TableKey) -> Verdict:
    clauses = [c["merge_when_clause"] for c in tree.get("merge_when_clauses", ())]
    commands = {c.get("command_type") for c in clauses}
    verdict = verdict.joined(Verdict("", RiskLevel.MEDIUM))
    if "CMD_DELETE" in commands:
        verdict = _delete(verdict, tree, scope, key)
    # NOT MATCHED BY SOURCE is about all the rows that the condition does not name.
    matched = not any(c.get("match_kind") == "MERGE_WHEN_NOT_MATCHED_BY_SOURCE" for c in clauses)
    few = matched and few_rows(tree["join_condition"], tree["relation"], scope)
    if "CMD_UPDATE" not in commands or few:
        return verdict
    return _many_rows(verdict, scope, key, "rows are changed", _BATCHES)


def _branches(condition: Tree) -> Iterator[Tree]:
    """What all has to be true."""
    joined = condition.get("bool_expr", {})
    if joined.get("boolop") == "AND_EXPR":
        for branch in joined["args"]:
            yield from _branches(branch)
    else:
        yield condition


def _fixed(branch: Tree, table: Table, called: str) -> Iterator[str]:
    """The column of the table that the branch says equals a constant."""
    compared = branch.get("a_expr", {})
    if compared.get("kind") != "AEXPR_OP" or names(compared.get("name")) != ["="]:
        return
    for one, other in (("lexpr", "rexpr"), ("rexpr", "lexpr")):
        *qualifiers, name = names(compared.get(one, {}).get("column_ref", {}).get("fields")) or [""]
        own = qualifiers in ([], [called]) or (called == table.name and qualifiers == [table.schema, called])
        if own and table.column(name) is not None and _is_constant(compared.get(other, {})):
            yield name


def _is_constant(value: Tree) -> bool:
    if "type_cast" in value:
        return _is_constant(value["type_cast"].get("arg", {}))
    return "a_const" in value
