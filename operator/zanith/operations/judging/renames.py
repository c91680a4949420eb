"""Judges ALTER ... RENAME and SET SCHEMA by what the name really is: ALTER INDEX renames a table without a word."""

from __future__ import annotations

from zanith.core.identifiers import TableKey
from zanith.core.risk import ReasonCode, RiskLevel
from zanith.core.sql_statements import Tree
from zanith.core.statement import Lock
from zanith.operations.judging.calls import named_like_builtin
from zanith.operations.judging.composites import typed_tables
from zanith.operations.judging.verdict import Scope, Verdict, names, refused

_RELATIONS = frozenset({"TABLE", "INDEX", "VIEW", "MATVIEW", "SEQUENCE", "FOREIGN_TABLE"})
_WORDS = {"TABCONSTRAINT": "CONSTRAINT", "DOMCONSTRAINT": "CONSTRAINT", "MATVIEW": "MATERIALIZED VIEW"}
_CODE = ("FUNCTION", "PROCEDURE", "ROUTINE", "AGGREGATE", "OPERATOR")


def real_kind(written: str, relation: Tree, scope: Scope) -> str:
    """What kind of relation it is: TABLE, VIEW, INDEX or SEQUENCE (and its like); as written where nobody knows."""
    if written not in _RELATIONS:
        return written
    key = scope.key(relation)
    if scope.table(key) is not None:
        return "TABLE"
    if scope.is_view(key):
        return "MATVIEW" if scope.is_materialized(key) else "VIEW"
    if scope.indexed_table([relation["schemaname"]] if "schemaname" in relation else [], relation["relname"]):
        return "INDEX"
    return "SEQUENCE" if key in scope.facts.other_relations else written


def judge_rename(tree: Tree, scope: Scope) -> Verdict:
    """ALTER ... RENAME. What applications name breaks at once; what only people name does not."""
    written = tree["rename_type"].removeprefix("OBJECT_")
    what = f"RENAME {_WORDS.get(written, written)}"
    if "relation" not in tree:
        return _without_relation(what, written, tree, scope)
    key = scope.key(tree["relation"])
    kind = real_kind(written, tree["relation"], scope)
    if kind == "ATTRIBUTE":
        return _attribute(what, key, tree, scope)
    if kind == "INDEX":
        return _index(what, written, tree["relation"], scope)
    family = scope.family(key) if kind in ("COLUMN", "TABCONSTRAINT") else []
    locks = dict.fromkeys(family or [key], Lock.ACCESS_EXCLUSIVE)
    missing = scope.absent(key) if kind == "TABLE" and not tree.get("missing_ok") else ()
    verdict = Verdict(what, locks=locks, missing=missing, unseen=kind in ("VIEW", "MATVIEW", "TRIGGER", "POLICY"))
    if kind in ("TABLE", "VIEW", "MATVIEW", "FOREIGN_TABLE"):
        called = "" if kind == written else f", a {kind.lower()} whatever the statement calls it,"
        return verdict.with_finding(
            RiskLevel.HIGH, ReasonCode.RENAME_TABLE, f"queries that name {key}{called} fail from now on"
        )
    if kind == "SEQUENCE":
        return verdict.with_finding(
            RiskLevel.MEDIUM,
            ReasonCode.BREAKS_DEPENDENTS,
            f"code that names {key}, as in nextval('{key.name}'), fails from now on; defaults of columns do not",
        )
    if kind == "COLUMN":
        return verdict.with_finding(
            RiskLevel.HIGH, ReasonCode.RENAME_COLUMN, f"queries that name {key}.{tree['subname']} fail from now on"
        )
    return verdict


def _without_relation(what: str, kind: str, tree: Tree, scope: Scope) -> Verdict:
    if kind == "DATABASE":
        return refused(what, "a migration is about the database it runs in")
    high = kind in ("SCHEMA", "ROLE") or (kind in _CODE and named_like_builtin(tree["newname"], scope))
    verdict = Verdict(what, RiskLevel.HIGH if high else RiskLevel.MEDIUM, unseen=True)
    if kind not in _CODE or not high:
        return verdict
    return verdict.with_finding(
        RiskLevel.HIGH,
        ReasonCode.OPAQUE_CODE,
        f"calls of PostgreSQL's own {tree['newname']} may mean this one from now on",
    )


def _index(what: str, written: str, relation: Tree, scope: Scope) -> Verdict:
    """ALTER INDEX waits for nobody; ALTER TABLE and the like, by which an index is renamed too, lock it for everybody."""
    if written == "INDEX":
        return Verdict(what)
    table = scope.indexed_table([relation["schemaname"]] if "schemaname" in relation else [], relation["relname"])
    return Verdict(what, locks={} if table is None else {table.key: Lock.ACCESS_EXCLUSIVE})


def _attribute(what: str, key: TableKey, tree: Tree, scope: Scope) -> Verdict:
    """An attribute of a composite type: with CASCADE a column of every table OF the type."""
    cascades = tree.get("behavior") == "DROP_CASCADE"
    typed = typed_tables(tree["relation"], scope) if cascades else []
    verdict = Verdict(what, RiskLevel.HIGH, dict.fromkeys(typed, Lock.ACCESS_EXCLUSIVE), unseen=True)
    return verdict.with_finding(
        RiskLevel.HIGH,
        ReasonCode.RENAME_COLUMN,
        f"queries that name attribute {tree['subname']} of {key}"
        + (f", or the column of {', '.join(map(str, typed))}," if typed else "")
        + " fail from now on",
    )


def judge_set_schema(tree: Tree, scope: Scope) -> Verdict:
    written = tree["object_type"].removeprefix("OBJECT_")
    what = f"ALTER {written} ... SET SCHEMA"
    if "relation" not in tree:
        return _code_moved(what, written, tree, scope)
    key, kind = scope.key(tree["relation"]), real_kind(written, tree["relation"], scope)
    verdict = Verdict(what, locks={key: Lock.ACCESS_EXCLUSIVE}, unseen=kind != "TABLE")
    level, reason = (
        (RiskLevel.MEDIUM, ReasonCode.BREAKS_DEPENDENTS)
        if kind == "SEQUENCE"
        else (RiskLevel.HIGH, ReasonCode.RENAME_TABLE)
    )
    return verdict.with_finding(level, reason, f"queries that find {key} in its schema fail from now on")


def _code_moved(what: str, kind: str, tree: Tree, scope: Scope) -> Verdict:
    verdict = Verdict(what, RiskLevel.MEDIUM, unseen=True)
    given = names(tree.get("object", {}).get("object_with_args", {}).get("objname"))
    if kind not in _CODE or not given or not named_like_builtin(given[-1], scope):
        return verdict
    return verdict.with_finding(
        RiskLevel.HIGH, ReasonCode.OPAQUE_CODE, f"calls of PostgreSQL's own {given[-1]} may mean this one from now on"
    )
