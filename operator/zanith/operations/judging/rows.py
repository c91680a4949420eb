"""Judges what reads rows, and what copies, empties and locks tables."""

from __future__ import annotations

from collections.abc import Iterator

from zanith.core.identifiers import TableKey
from zanith.core.risk import ReasonCode, RiskLevel
from zanith.core.sql_statements import Tree, nodes
from zanith.core.statement import Lock, Work
from zanith.operations.judging.calls import judge_calls
from zanith.operations.judging.changes import (
    cascading,
    judge_change,
    judge_changes,
    of_system,
    read_locks,
    with_locked_rows,
)
from zanith.operations.judging.verdict import Scope, Verdict, opaque, refused


def judge_select(tree: Tree, scope: Scope) -> Verdict:
    """SELECT, with data-modifying WITH, FOR UPDATE and INTO."""
    if any(True for _ in nodes(tree, "into_clause")):
        made = Verdict("SELECT INTO", RiskLevel.MEDIUM, unseen=True)
        return made.joined(judge_query("SELECT INTO", tree, scope))
    return judge_query("SELECT", tree, scope)


def judge_query(what: str, tree: Tree, scope: Scope) -> Verdict:
    """A query, wherever it stands: what it reads, the rows it locks and changes, the code it runs."""
    read = read_locks(tree, scope)
    verdict = Verdict(what, locks=read, work=Work.SCAN, works_on=tuple(read))
    verdict = verdict.joined(judge_changes(tree, scope)).joined(judge_calls(what, tree, scope))
    return with_locked_rows(verdict, tree, scope)


def judge_truncate(tree: Tree, scope: Scope) -> Verdict:
    named = [scope.key(r["range_var"]) for r in tree["relations"]]
    if found := next(filter(of_system, named), None):
        return refused("TRUNCATE", f"{found} is the catalog")
    keys = [part for key in named for part in (scope.family(key) or [key])]
    if tree.get("behavior") == "DROP_CASCADE":
        keys += [child for key in named for child in cascading(scope, key)]
    locks = dict.fromkeys(keys, Lock.ACCESS_EXCLUSIVE)
    verdict = Verdict("TRUNCATE", RiskLevel.DESTRUCTIVE, locks, work=Work.CATALOG)
    verdict = verdict.joined(Verdict("", missing=tuple(m for k in named for m in scope.absent(k))))
    return verdict.with_finding(
        RiskLevel.DESTRUCTIVE,
        ReasonCode.DELETES_ROWS,
        f"{', '.join(str(k) for k in dict.fromkeys(keys))}: every row is gone for good; no artifact is kept",
    )


def judge_copy(tree: Tree, scope: Scope) -> Verdict:
    """COPY of files of the server; the query of COPY (...) TO is judged as if it stood alone."""
    if tree.get("is_program"):
        return refused("COPY", "COPY ... PROGRAM runs a program on the database's server")
    if "filename" not in tree:
        return refused("COPY", "COPY from STDIN or to STDOUT needs a client that sends or takes the data")
    if tree.get("is_from"):
        return _judge_copy_from(tree, scope)
    written = Verdict("COPY", work=Work.SCAN).with_finding(
        RiskLevel.HIGH, ReasonCode.OPAQUE_CODE, "a file of the database's server is written, whatever was in it"
    )
    if "relation" in tree:
        return written.joined(judge_query("COPY", {"range_var": tree["relation"]}, scope))
    ((kind, query),) = tree["query"].items()
    return written.joined(
        judge_query("COPY", query, scope) if kind == "select_stmt" else judge_change(kind, query, scope)
    )


def _judge_copy_from(tree: Tree, scope: Scope) -> Verdict:
    key = scope.key(tree["relation"])
    if of_system(key):
        return refused("COPY", f"{key} is the catalog: what is written into it by hand breaks the database")
    verdict = opaque("COPY", "what is in a file of the database's server cannot be seen")
    locks = dict.fromkeys(scope.family(key), Lock.ROW_EXCLUSIVE)
    return Verdict(
        "COPY", verdict.level, locks, elsewhere=Lock.ROW_EXCLUSIVE, work=Work.SCAN, findings=verdict.findings
    )


def judge_lock(tree: Tree, scope: Scope) -> Verdict:
    """LOCK TABLE; of a view it locks the tables that the view reads."""
    lock = list(Lock)[int(tree.get("mode", 8))]
    named = [scope.key(r["range_var"]) for r in tree["relations"]]
    if found := next(filter(of_system, named), None):
        return refused("LOCK", f"{found} is the catalog, which every session needs")
    locks = dict.fromkeys(_locked(named, scope), lock)
    level = RiskLevel.MEDIUM if lock.blocks_writes else RiskLevel.LOW
    missing = tuple(m for k in named for m in scope.absent(k))
    return Verdict("LOCK", level, locks, missing=missing)


def _locked(named: list[TableKey], scope: Scope) -> Iterator[TableKey]:
    for key in named:
        yield from scope.family(key)
        if scope.is_view(key):
            yield key
            yield from scope.base_tables(key)
