"""Judges indexes: built, dropped and built anew, concurrently or not."""

from __future__ import annotations

from zanith.core.risk import ReasonCode, RiskLevel
from zanith.core.sql_statements import Tree, expression_text, index_element_text
from zanith.core.statement import IndexIsAbsent, IndexIsValid, Lock, Work
from zanith.operations.judging.verdict import Scope, Verdict, is_on, names, options
from zanith.operations.judging.yaml_steps import yaml_step


def judge_create_index(tree: Tree, scope: Scope) -> Verdict:
    """CREATE INDEX: writes wait for the whole build unless it is CONCURRENTLY."""
    key = scope.key(tree["relation"])
    concurrently = bool(tree.get("concurrent"))
    lock = Lock.SHARE_UPDATE_EXCLUSIVE if concurrently else Lock.SHARE
    only = not tree["relation"].get("inh", False)
    table = scope.table(key)
    family = [key] if only or table is None else scope.family(key)
    name = tree.get("idxname", "")
    empty = only and table is not None and table.partition_key is not None
    verdict = Verdict(
        "CREATE INDEX CONCURRENTLY" if concurrently else "CREATE INDEX",
        locks=dict.fromkeys(family, lock),
        work=Work.CATALOG if empty else Work.BUILD,
        missing=scope.absent(key),
        transactional=not concurrently,
        done_when=IndexIsValid(key.schema, name, key.name) if concurrently and name else None,
        unseen=len(family) > 1,  # the indexes of partitions have names of their own
    )
    verdict = verdict.with_finding(RiskLevel.LOW, ReasonCode.ADDS_INDEX, f"an index of {key} is built")
    if tree.get("unique"):
        verdict = verdict.with_finding(
            RiskLevel.MEDIUM,
            ReasonCode.ADDS_UNIQUE_CONSTRAINT,
            f"writes that would double a value in {key} fail from now on",
        )
    if concurrently or empty:
        return verdict
    return verdict.with_finding(
        RiskLevel.MEDIUM,
        ReasonCode.FULL_SCAN_UNDER_LOCK,
        f"writes to {key} wait for the whole build",
        _safer(tree, scope),
    )


def _safer(tree: Tree, scope: Scope) -> str:
    table = scope.table(scope.key(tree["relation"]))
    if table is None:
        return "CREATE INDEX CONCURRENTLY, in a rawSql step of its own"
    if table.partition_key is not None:
        return (
            "CREATE INDEX ON ONLY the partitioned table, addIndex on each of its partitions, then ALTER INDEX ... "
            "ATTACH PARTITION for each"
        )
    method = tree.get("access_method", "btree")
    return yaml_step(
        scope,
        "addIndex",
        scope.key(tree["relation"]),
        columns=[index_element_text(e["index_elem"]) for e in tree["index_params"]],
        unique=True if tree.get("unique") else None,
        name=tree.get("idxname"),
        method=method if method != "btree" else None,
        where=expression_text(tree["where_clause"]) if "where_clause" in tree else None,
        include=[e["index_elem"]["name"] for e in tree.get("index_including_params", ())],
        nullsNotDistinct=True if tree.get("nulls_not_distinct") else None,
    )


def judge_drop_index(tree: Tree, scope: Scope) -> Verdict:
    concurrently = bool(tree.get("concurrent"))
    lock = Lock.SHARE_UPDATE_EXCLUSIVE if concurrently else Lock.ACCESS_EXCLUSIVE
    verdict = Verdict("DROP INDEX CONCURRENTLY" if concurrently else "DROP INDEX", RiskLevel.MEDIUM)
    for item in tree["objects"]:
        *schema, name = names(item["list"]["items"])
        table = scope.indexed_table(schema, name)
        if table is None:
            missing = () if tree.get("missing_ok") else (f"index {name} does not exist",)
            verdict = verdict.joined(Verdict("", elsewhere=lock, missing=missing, transactional=not concurrently))
            continue
        scans = scope.facts.index_scans.get((table.schema, name), 0)
        verdict = verdict.joined(
            Verdict(
                "",
                locks=dict.fromkeys([table.key, *scope.graph.partitions(table.key)], lock),
                transactional=not concurrently,
                done_when=IndexIsAbsent(table.schema, name, table.name) if concurrently else None,
            )
        ).with_finding(
            RiskLevel.MEDIUM,
            ReasonCode.DROPS_HOT_INDEX if scans else ReasonCode.DROPS_INDEX,
            f"queries of {table.key} that use index {name} scan instead{'; it is in use' if scans else ''}",
            "" if concurrently else yaml_step(scope, "dropIndex", None, schema=_other(scope, table.schema), name=name),
        )
    if tree.get("behavior") == "DROP_CASCADE":
        verdict = verdict.with_finding(
            RiskLevel.DESTRUCTIVE, ReasonCode.DROPS_INDEX, "CASCADE drops what depends on the index as well"
        )
    return verdict


def _other(scope: Scope, schema: str) -> str | None:
    return schema if schema != scope.facts.default_schema else None


def judge_reindex(tree: Tree, scope: Scope) -> Verdict:
    """REINDEX: queries wait as well as writes, for planning one locks every index of its table."""
    concurrently = is_on(options(tree, "params").get("concurrently", False))
    kind = tree["kind"].removeprefix("REINDEX_OBJECT_")
    lock = Lock.SHARE_UPDATE_EXCLUSIVE if concurrently else Lock.ACCESS_EXCLUSIVE
    what = f"REINDEX {kind}{' CONCURRENTLY' if concurrently else ''}"
    level = RiskLevel.LOW if concurrently else RiskLevel.HIGH
    transactional = not concurrently and kind in ("INDEX", "TABLE")
    if kind not in ("INDEX", "TABLE"):
        return Verdict(what, RiskLevel.HIGH, elsewhere=lock, work=Work.BUILD, transactional=False)
    relation = tree["relation"]
    if kind == "TABLE":
        table = scope.table(scope.key(relation))
    else:
        schema = [relation["schemaname"]] if "schemaname" in relation else []
        table = scope.indexed_table(schema, relation["relname"])
    partitioned = table is not None and table.partition_key is not None
    locks = dict.fromkeys(scope.family(table.key), lock) if table is not None else {}
    verdict = Verdict(
        what,
        level,
        locks,
        elsewhere=lock if table is None else Lock.NONE,
        work=Work.BUILD,
        transactional=transactional and not partitioned,
    )
    if concurrently:
        return verdict
    return verdict.with_finding(
        RiskLevel.HIGH,
        ReasonCode.FULL_SCAN_UNDER_LOCK,
        f"{relation['relname']} is built anew while writes wait, and queries too, which lock the indexes they might use",
        f"REINDEX {kind} CONCURRENTLY, in a rawSql step with doneWhen",
    )
