"""Judges sequences that are made, altered, and told where to go on: a number given twice fails inserts, or lies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from zanith.core.identifiers import TableKey
from zanith.core.risk import ReasonCode, RiskLevel
from zanith.core.sql import SqlProblem
from zanith.core.sql_statements import Tree, nodes, parse_statements
from zanith.core.statement import Lock
from zanith.operations.judging.verdict import Scope, Verdict, names, options


def judge_sequence(tree: Tree, scope: Scope) -> Verdict:
    return Verdict("CREATE SEQUENCE", locks=_of_owner(tree, scope))


def judge_altered_sequence(tree: Tree, scope: Scope) -> Verdict:
    """ALTER SEQUENCE: whoever asks the sequence for a number waits, and so do inserts that need one."""
    key = scope.key(tree["sequence"])
    verdict = Verdict("ALTER SEQUENCE", locks={**_of_owner(tree, scope), key: Lock.SHARE_ROW_EXCLUSIVE})
    return verdict.joined(_restarted(str(key), key, scope)) if "restart" in options(tree) else verdict


def judge_identity(scope: Scope, column: str, actions: Tree) -> Verdict:
    """ALTER COLUMN ... RESTART, of a column that takes its numbers from the sequence."""
    given = options({"options": actions["list"]["items"]})
    return _restarted(f"the sequence of {column}", None, scope) if "restart" in given else Verdict("")


def judge_setval(tree: Any, scope: Scope) -> Verdict:
    """Each setval() of a tree."""
    verdict = Verdict("")
    for call in nodes(tree, "func_call"):
        if names(call.get("funcname"))[-1] == "setval":
            key = _named(call.get("args", ()), scope)
            verdict = verdict.joined(_restarted("a sequence" if key is None else str(key), key, scope))
    return verdict


def _of_owner(tree: Tree, scope: Scope) -> dict[TableKey, Lock]:
    owner = names(options(tree).get("owned_by", {}).get("list", {}).get("items"))
    if len(owner) < 2:
        return {}
    return dict.fromkeys(scope.family(scope.named(owner[:-2], owner[-2]))[:1], Lock.ACCESS_SHARE)


def _restarted(what: str, key: TableKey | None, scope: Scope) -> Verdict:
    """High unless it is known that no column takes its numbers from the sequence."""
    free = (
        key is not None
        and not any(_users(key, scope))
        and any((s.schema, s.name) == key for s in scope.graph.sequences)
    )
    level = RiskLevel.MEDIUM if free else RiskLevel.HIGH
    whose = "" if free else ", and inserts of a column that takes its numbers from it may fail"
    return Verdict("").with_finding(
        level,
        ReasonCode.BREAKS_DEPENDENTS,
        f"{what} goes on at another number: what it gave before may come again{whose}",
        "set it to the greatest number in use, from which nextval() goes on",
    )


def _users(key: TableKey, scope: Scope) -> Iterator[TableKey]:
    """Tables with a column that owns the sequence, or whose default asks it."""
    for table, owned in scope.facts.sequences.items():
        if table.schema == key.schema and key.name in owned:
            yield table
    for found in scope.graph.tables:
        if any(c.default and "nextval(" in c.default and key.name in c.default for c in found.columns):
            yield found.key


def _named(arguments: Any, scope: Scope) -> TableKey | None:
    """The sequence a setval() names, where its name is written out."""
    first = arguments[0] if arguments else {}
    while "type_cast" in first:
        first = first["type_cast"].get("arg", {})
    written = first.get("a_const", {}).get("sval", {}).get("sval")
    if written is None:
        return None
    try:
        relations = list(nodes([s.tree for s in parse_statements(f"TABLE {written}")], "range_var"))
    except SqlProblem:
        return None
    return scope.key(relations[0]) if len(relations) == 1 else None
