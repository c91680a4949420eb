"""What a change of rows does to other tables: foreign keys carry a changed key, or a deleted row, on to those that
reference it. Nobody reads that in the statement, and the values that SET NULL and SET DEFAULT replace are lost.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple

from zanith.core.graph import Constraint
from zanith.core.identifiers import TableKey
from zanith.core.risk import ReasonCode, RiskLevel
from zanith.core.sql import referenced_columns
from zanith.core.sql_statements import Tree, definition_of, nodes
from zanith.core.statement import Lock
from zanith.operations.judging.verdict import Scope, Verdict, names

_CASCADE, _SET_NULL, _SET_DEFAULT = "c", "n", "d"


class _Carried(NamedTuple):
    """What one foreign key does to the table that references."""

    child: TableKey
    name: str
    columns: tuple[str, ...]
    """The columns of the child that change."""
    action: str
    deletes: bool
    """Whether rows of the child are deleted, not changed."""


def changed_columns(kind: str, tree: Tree) -> frozenset[str]:
    """Columns of rows that are there already, to which the change gives another value."""
    targets = list(tree.get("target_list", ())) if kind == "update_stmt" else []
    targets += tree.get("on_conflict_clause", {}).get("target_list", ())
    for clause in tree.get("merge_when_clauses", ()):
        if clause["merge_when_clause"].get("command_type") == "CMD_UPDATE":
            targets += clause["merge_when_clause"].get("target_list", ())
    return frozenset(t["res_target"]["name"] for t in targets)


def deletes(kind: str, tree: Tree) -> bool:
    """Whether it deletes rows."""
    clauses = [c["merge_when_clause"] for c in tree.get("merge_when_clauses", ())]
    return kind == "delete_stmt" or any(c.get("command_type") == "CMD_DELETE" for c in clauses)


def is_referenced(scope: Scope, key: TableKey, columns: Collection[str], *, deleted: bool) -> bool:
    """Whether rows are looked for in other tables, for what is deleted here or for columns that change."""
    return any(deleted or set(columns) & _referenced(c) for _, c in _pointing(scope, key))


def judge_carried(scope: Scope, key: TableKey, columns: Collection[str], *, deleted: bool) -> Verdict:
    """What foreign keys make of changes to these columns of the table, and of rows of it that are deleted."""
    verdict = Verdict("")
    for carried in _carried(scope, key, columns, deleted=deleted):
        child, level = carried.child, RiskLevel.DESTRUCTIVE
        reason, safer = ReasonCode.REQUIRES_BACKFILL, ""
        if carried.deletes:
            reason, why = ReasonCode.DELETES_ROWS, f"rows of {child} are deleted with those of {key} they reference"
        elif carried.action == _CASCADE:
            level = RiskLevel.HIGH
            why = f"every row of {child} that references a changed row of {key} is changed too, and stays locked"
            safer = "give the row a key of its own that never changes"
        else:
            lost = ", ".join(f"{child}.{c}" for c in carried.columns)
            put = "NULL" if carried.action == _SET_NULL else "its default"
            why = f"{lost} of every row that references what changes in {key} becomes {put}: its values are lost"
            safer = "INSERT the row with its new key, let the others reference that, then DELETE the old row"
        verdict = verdict.joined(
            Verdict("", level, dict.fromkeys(scope.family(child), Lock.ROW_EXCLUSIVE))
        ).with_finding(level, reason, f"{why} ({carried.name})", safer)
    return verdict


def _carried(scope: Scope, key: TableKey, columns: Collection[str], *, deleted: bool) -> list[_Carried]:
    """Every step of the way, each once: a column that changes in one table may be referenced by a third."""
    found: dict[_Carried, None] = {}
    left = [(key, frozenset(columns), deleted)]
    while left:
        at, changed, gone = left.pop()
        for child, constraint in _pointing(scope, at):
            for carried in _steps(child, constraint, changed, gone=gone):
                if carried not in found:
                    found[carried] = None
                    left.append((child, frozenset(carried.columns), carried.deletes))
    return list(found)


def _steps(child: TableKey, constraint: Constraint, changed: frozenset[str], *, gone: bool) -> Iterator[_Carried]:
    on_update, on_delete, some = _actions(constraint)
    if on_update and changed & _referenced(constraint):
        yield _Carried(child, constraint.name, constraint.columns, on_update, deletes=False)
    if on_delete and gone:
        columns = some or constraint.columns
        yield _Carried(child, constraint.name, columns, on_delete, deletes=on_delete == _CASCADE)


def _pointing(scope: Scope, key: TableKey) -> Iterator[tuple[TableKey, Constraint]]:
    """Foreign keys that reference the table, or the partitioned table it is part of, or a partition of it."""
    table = scope.table(key)
    while table is not None and table.partition_of is not None:
        yield from ((t.key, c) for t, c in scope.graph.incoming_foreign_keys(table.partition_of))
        table = scope.table(table.partition_of)
    for own in (key, *scope.graph.partitions(key)):
        yield from ((t.key, c) for t, c in scope.graph.incoming_foreign_keys(own))


def _referenced(constraint: Constraint) -> frozenset[str]:
    return referenced_columns(constraint.definition)


def _actions(constraint: Constraint) -> tuple[str, str, tuple[str, ...]]:
    """Of ON UPDATE and ON DELETE what changes rows, and the columns of ON DELETE SET NULL (...)."""
    found = next(nodes(definition_of(constraint.definition), "constraint"))
    changing = {_CASCADE, _SET_NULL, _SET_DEFAULT}
    update, delete = (found.get(f"fk_{way}_action", "a") for way in ("upd", "del"))
    some = tuple(names(found.get("fk_del_set_cols")))
    return update if update in changing else "", delete if delete in changing else "", some
