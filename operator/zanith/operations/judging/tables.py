"""Judges tables that are created, dropped, renamed, written anew and kept in shape, and views made of them."""

from __future__ import annotations

from zanith.core.identifiers import TableKey
from zanith.core.risk import ReasonCode, RiskLevel
from zanith.core.sql_statements import Tree, nodes
from zanith.core.statement import Lock, Work
from zanith.operations.judging.calls import judge_calls
from zanith.operations.judging.changes import read_locks
from zanith.operations.judging.composites import users_of_type
from zanith.operations.judging.partitions import with_default
from zanith.operations.judging.rows import judge_query
from zanith.operations.judging.verdict import Scope, Verdict, is_on, names, opaque, options, refused
from zanith.operations.judging.yaml_steps import yaml_step


def judge_create_table(tree: Tree, scope: Scope) -> Verdict:
    """CREATE TABLE: nobody reads it yet, but foreign keys, inheritance and partitions lock others."""
    verdict = Verdict("CREATE TABLE").with_finding(
        RiskLevel.SAFE, ReasonCode.ADDS_TABLE, f"{scope.key(tree['relation'])} is new; nobody reads it yet"
    )
    for constraint in nodes(tree.get("table_elts", ()), "constraint"):
        if constraint.get("contype") == "CONSTR_FOREIGN":
            parent = scope.key(constraint["pktable"])
            if parent != scope.key(tree["relation"]):
                verdict = verdict.joined(Verdict("", locks={parent: Lock.SHARE_ROW_EXCLUSIVE})).with_finding(
                    RiskLevel.LOW,
                    ReasonCode.LOCKS_SECOND_TABLE,
                    f"the foreign key locks {parent} against writes for an instant (SHARE ROW EXCLUSIVE)",
                )
    for like in nodes(tree.get("table_elts", ()), "table_like_clause"):
        verdict = verdict.joined(Verdict("", locks={scope.key(like["relation"]): Lock.ACCESS_SHARE}, unseen=True))
    inherited = [scope.key(r["range_var"]) for r in tree.get("inh_relations", ())]
    if "partbound" not in tree:
        locks = dict.fromkeys(inherited, Lock.SHARE_UPDATE_EXCLUSIVE)
        return verdict.joined(Verdict("", locks=locks, unseen=bool(locks) or "of_typename" in tree))
    (parent,) = inherited
    locks = dict.fromkeys([parent], Lock.ACCESS_EXCLUSIVE)
    locks |= dict.fromkeys(scope.parents(parent), Lock.SHARE_ROW_EXCLUSIVE)
    default = with_default(scope, parent)
    found = default if default.locks else Verdict("")
    partition = Verdict(
        "", RiskLevel.MEDIUM, {**found.locks, **locks}, work=found.work, findings=found.findings, unseen=True
    )
    partition = partition.joined(judge_calls("", tree["partbound"], scope))  # its bounds are computed at once
    return verdict.joined(partition).with_finding(
        RiskLevel.MEDIUM,
        ReasonCode.LOCKS_SECOND_TABLE,
        f"all of {parent} waits for an instant while it gets the new partition (ACCESS EXCLUSIVE)",
        "create the table on its own, then ATTACH PARTITION",
    )


def judge_create_as(tree: Tree, scope: Scope) -> Verdict:
    """CREATE TABLE AS and CREATE MATERIALIZED VIEW: their query is judged as if it stood alone."""
    what = "CREATE MATERIALIZED VIEW" if tree.get("objtype") == "OBJECT_MATVIEW" else "CREATE TABLE AS"
    if "execute_stmt" in tree["query"]:
        return refused(what, "there is nothing prepared in the runner's session; write the query itself")
    return Verdict(what, RiskLevel.MEDIUM, unseen=True).joined(judge_query(what, tree["query"], scope))


def judge_view(tree: Tree, scope: Scope) -> Verdict:
    replaced = bool(tree.get("replace"))
    return Verdict(
        "CREATE OR REPLACE VIEW" if replaced else "CREATE VIEW",
        RiskLevel.MEDIUM if replaced else RiskLevel.LOW,
        read_locks(tree.get("query", {}), scope),
        unseen=True,
    )


def judge_refresh(tree: Tree, scope: Scope) -> Verdict:
    """Its size is not known, so it counts as big; with CONCURRENTLY readers do not wait. Its query is run."""
    key = scope.key(tree["relation"])
    what = "REFRESH MATERIALIZED VIEW"
    run = judge_calls(what, {"range_var": tree["relation"]}, scope)
    if tree.get("concurrent"):
        return Verdict(what, RiskLevel.MEDIUM, {key: Lock.EXCLUSIVE}, work=Work.SCAN).joined(run)
    return (
        Verdict(what, RiskLevel.HIGH, {key: Lock.ACCESS_EXCLUSIVE}, work=Work.REWRITE)
        .joined(run)
        .with_finding(
            RiskLevel.HIGH,
            ReasonCode.TABLE_REWRITE,
            f"readers of {key} wait until its query is through",
            "REFRESH MATERIALIZED VIEW CONCURRENTLY, which needs a unique index over plain columns",
        )
    )


def judge_drop_table(tree: Tree, scope: Scope) -> Verdict:
    cascades = tree.get("behavior") == "DROP_CASCADE"
    verdict = Verdict("DROP TABLE", RiskLevel.DESTRUCTIVE, unseen=cascades)
    for item in tree["objects"]:
        *schema, name = names(item["list"]["items"])
        key = scope.named(schema, name)
        table = scope.table(key)
        if table is None:
            missing = () if tree.get("missing_ok") else scope.absent(key)
            verdict = verdict.joined(Verdict("", missing=missing))
            continue
        locks = dict.fromkeys([key, *dropped_with(scope, key)], Lock.ACCESS_EXCLUSIVE)
        if cascades:
            locks |= dict.fromkeys(scope.dependents(key), Lock.ACCESS_EXCLUSIVE)
        verdict = verdict.joined(Verdict("", locks=locks)).with_finding(
            RiskLevel.DESTRUCTIVE,
            ReasonCode.DROPS_TABLE_WITH_DATA,
            f"{key} and its rows are gone for good{', and what depends on it' if cascades else ''}; no artifact is kept",
            "" if table.partition_of is not None else yaml_step(scope, "softDropTable", key),
        )
    return verdict


def dropped_with(scope: Scope, key: TableKey) -> list[TableKey]:
    """Tables locked when this one goes: its partitions, what its foreign keys point to, its parent and its DEFAULT."""
    table = scope.table(key)
    found = [*scope.graph.partitions(key), *scope.parents(key)]
    if table is not None and table.partition_of is not None:
        default = scope.default_partition(table.partition_of)
        found += [table.partition_of, *([default] if default is not None else [])]
    return [f for f in found if f != key]


def judge_drop_schema(tree: Tree, scope: Scope) -> Verdict:
    schemas = {item["string"]["sval"] for item in tree["objects"]}
    inside = [t.key for t in scope.graph.tables if t.schema in schemas]
    near = [k for t in inside for k in (*scope.parents(t), *scope.dependents(t))]
    return Verdict(
        "DROP SCHEMA", RiskLevel.DESTRUCTIVE, dict.fromkeys([*inside, *near], Lock.ACCESS_EXCLUSIVE)
    ).with_finding(
        RiskLevel.DESTRUCTIVE,
        ReasonCode.DROPS_TABLE_WITH_DATA,
        f"schema {', '.join(sorted(schemas))} and everything in it is gone for good; no artifact is kept",
    )


def judge_cluster(tree: Tree, scope: Scope) -> Verdict:
    if "relation" not in tree:
        return Verdict(
            "CLUSTER", RiskLevel.HIGH, elsewhere=Lock.ACCESS_EXCLUSIVE, work=Work.REWRITE, transactional=False
        )
    return _written_anew("CLUSTER", [scope.key(tree["relation"])], scope)


def judge_vacuum(tree: Tree, scope: Scope) -> Verdict:
    """VACUUM and ANALYZE, which nobody waits for; VACUUM FULL, which everybody does."""
    given = options(tree)
    named = [scope.key(r["vacuum_relation"]["relation"]) for r in tree.get("rels", ())]
    if is_on(given.get("full", False)):
        verdict = _written_anew("VACUUM FULL", named, scope)
        return verdict.joined(Verdict("", transactional=False))
    vacuum = bool(tree.get("is_vacuumcmd"))
    locks = dict.fromkeys([p for key in named for p in scope.family(key)], Lock.SHARE_UPDATE_EXCLUSIVE)
    return Verdict(
        "VACUUM" if vacuum else "ANALYZE",
        locks=locks,
        elsewhere=Lock.NONE if locks else Lock.SHARE_UPDATE_EXCLUSIVE,
        work=Work.SCAN,
        transactional=not vacuum,
    )


def _written_anew(what: str, named: list[TableKey], scope: Scope) -> Verdict:
    locks = dict.fromkeys([p for key in named for p in scope.family(key)], Lock.ACCESS_EXCLUSIVE)
    partitioned = any(len(scope.family(key)) > 1 for key in named)
    return Verdict(
        what,
        RiskLevel.HIGH,
        locks,
        elsewhere=Lock.NONE if locks else Lock.ACCESS_EXCLUSIVE,
        work=Work.REWRITE,
        works_on=tuple(locks),
        transactional=not partitioned,
    ).with_finding(
        RiskLevel.HIGH,
        ReasonCode.TABLE_REWRITE,
        f"{', '.join(map(str, named)) or 'every table'} is written anew while reads and writes wait",
        "VACUUM makes the space usable again without making anybody wait; pg_repack gives it back",
    )


def judge_domain(tree: Tree, scope: Scope) -> Verdict:
    """ALTER DOMAIN: a new constraint is checked in every table that uses it, under SHARE."""
    *_, name = names(tree["type_name"])
    checks = tree.get("subtype") in ("C", "O", "V")
    unchecked = bool(tree.get("def", {}).get("constraint", {}).get("skip_validation"))
    if not checks or unchecked:
        cascades = tree.get("behavior") == "DROP_CASCADE"
        return Verdict("ALTER DOMAIN", RiskLevel.DESTRUCTIVE if cascades else RiskLevel.MEDIUM)
    users = users_of_type(scope, name)
    return Verdict(
        "ALTER DOMAIN", RiskLevel.HIGH, dict.fromkeys(users, Lock.SHARE), elsewhere=Lock.SHARE, work=Work.SCAN
    ).with_finding(
        RiskLevel.HIGH,
        ReasonCode.FULL_SCAN_UNDER_LOCK,
        f"every table with a column of domain {name} is read as a whole while writes to it wait",
    )


def judge_execution(what: str, tree: Tree) -> Verdict:
    """DO, CALL and what else runs code of somebody's."""
    called = names(tree.get("funccall", {}).get("funcname"))
    whose = f" {called[-1]}()" if called else ""
    return opaque(what, f"what the code of {what}{whose} does cannot be seen: any lock, on any table, for any time")
