"""Judges constraints that are added to, validated on and dropped from existing tables."""

from __future__ import annotations

from zanith.core.graph import Constraint, Table
from zanith.core.identifiers import TableKey
from zanith.core.risk import ReasonCode, RiskLevel
from zanith.core.sql_statements import Tree
from zanith.core.statement import Lock, Work
from zanith.operations.judging.verdict import Scope, Verdict, names
from zanith.operations.judging.yaml_steps import yaml_step

TABLE_CONSTRAINTS = frozenset({"CONSTR_CHECK", "CONSTR_UNIQUE", "CONSTR_PRIMARY", "CONSTR_EXCLUSION", "CONSTR_FOREIGN"})
"""Those of a column that could as well be written on their own."""

_TWO_STEPS = "add it NOT VALID in one step, then VALIDATE CONSTRAINT in a step of its own, which blocks no writes"
_ACTIONS = {"r": "Restrict", "c": "Cascade", "n": "SetNull", "d": "SetDefault"}


def judge_new_constraint(
    scope: Scope, key: TableKey, table: Table | None, constraint: Tree, *, columns: list[str] | None = None
) -> Verdict:
    """ADD CONSTRAINT. `columns` are those of a constraint written behind a column."""
    kind = constraint["contype"]
    if kind == "CONSTR_FOREIGN":
        return _foreign_key(scope, key, constraint, columns)
    if kind in ("CONSTR_UNIQUE", "CONSTR_PRIMARY"):
        return _unique(scope, key, table, constraint, columns)
    verdict = Verdict("ALTER TABLE", locks={key: Lock.ACCESS_EXCLUSIVE})
    if kind == "CONSTR_EXCLUSION":
        return verdict.joined(Verdict("ALTER TABLE", RiskLevel.HIGH, work=Work.BUILD, unseen=True)).with_finding(
            RiskLevel.HIGH,
            ReasonCode.FULL_SCAN_UNDER_LOCK,
            f"an EXCLUDE constraint builds its index over {key} while reads and writes wait; PostgreSQL has no other form",
        )
    if constraint.get("skip_validation"):
        return verdict
    return verdict.joined(Verdict("ALTER TABLE", work=Work.SCAN)).with_finding(
        RiskLevel.MEDIUM,
        ReasonCode.FULL_SCAN_UNDER_LOCK,
        f"every row of {key} is checked while reads and writes wait",
        _TWO_STEPS,
    )


def _foreign_key(scope: Scope, key: TableKey, constraint: Tree, columns: list[str] | None) -> Verdict:
    parent = scope.key(constraint["pktable"])
    unchecked = bool(constraint.get("skip_validation"))
    locks = {key: Lock.SHARE_ROW_EXCLUSIVE, parent: Lock.SHARE_ROW_EXCLUSIVE}
    verdict = Verdict(
        "ALTER TABLE", RiskLevel.MEDIUM, locks, work=Work.CATALOG if unchecked else Work.BUILD
    ).with_finding(
        RiskLevel.MEDIUM,
        ReasonCode.ADDS_FOREIGN_KEY,
        f"writes to {key} without their row in {parent} fail from now on",
    )
    if unchecked:
        return verdict
    return verdict.with_finding(
        RiskLevel.MEDIUM,
        ReasonCode.FULL_SCAN_UNDER_LOCK,
        f"every row of {key} is looked up in {parent} while writes to both wait",
        ("add the column on its own, then " if columns else "")
        + yaml_step(
            scope,
            "addForeignKey",
            key,
            name=constraint.get("conname"),
            columns=columns or names(constraint.get("fk_attrs")),
            referencesSchema=parent.schema if parent.schema != key.schema else None,
            referencesTable=parent.name,
            referencesColumns=names(constraint.get("pk_attrs")) or _primary_key(scope, parent),
            onDelete=_ACTIONS.get(constraint.get("fk_del_action", "a")),
            onUpdate=_ACTIONS.get(constraint.get("fk_upd_action", "a")),
        ),
    )


def _primary_key(scope: Scope, key: TableKey) -> list[str]:
    """What a foreign key references that names no columns."""
    table = scope.table(key)
    return list(table.primary_key.columns) if table is not None and table.primary_key is not None else []


def _unique(scope: Scope, key: TableKey, table: Table | None, constraint: Tree, columns: list[str] | None) -> Verdict:
    primary = constraint["contype"] == "CONSTR_PRIMARY"
    given = columns or names(constraint.get("keys"))
    target = f"{key} ({', '.join(given)})" if given else str(key)
    verdict = Verdict("ALTER TABLE", RiskLevel.MEDIUM, {key: Lock.ACCESS_EXCLUSIVE}).with_finding(
        RiskLevel.MEDIUM,
        ReasonCode.ADDS_UNIQUE_CONSTRAINT,
        f"writes that would double a value of {target} fail from now on",
    )
    if "indexname" not in constraint:
        return verdict.joined(Verdict("ALTER TABLE", work=Work.BUILD)).with_finding(
            RiskLevel.MEDIUM,
            ReasonCode.FULL_SCAN_UNDER_LOCK,
            f"the index of the constraint is built over {key} while reads and writes wait",
            "build a unique index concurrently with addIndex, then ADD CONSTRAINT ... PRIMARY KEY USING INDEX"
            if primary
            else ("add the column on its own, then " if columns else "")
            + yaml_step(scope, "addUnique", key, name=constraint.get("conname"), columns=given),
        )
    index = next((i for i in table.indexes if i.name == constraint["indexname"]), None) if table is not None else None
    found = [table.column(c) for c in index.columns] if table is not None and index is not None else [None]
    if not primary or all(c is not None and c.not_null for c in found):
        return verdict
    return verdict.joined(Verdict("ALTER TABLE", work=Work.SCAN)).with_finding(
        RiskLevel.MEDIUM,
        ReasonCode.FULL_SCAN_UNDER_LOCK,
        f"a primary key makes its columns NOT NULL, which reads all of {key} while reads and writes wait",
        "make them NOT NULL with alterColumnNullable first",
    )


def judge_validation(scope: Scope, key: TableKey, table: Table | None, name: str) -> Verdict:
    """VALIDATE CONSTRAINT: reads everything, but keeps nobody from writing."""
    constraint = _constraint(table, name)
    locks = {key: Lock.SHARE_UPDATE_EXCLUSIVE}
    if constraint is None:
        missing = (f"constraint {name} of {key} does not exist",) if table is not None and _known(table) else ()
        return Verdict("ALTER TABLE", locks=locks, elsewhere=Lock.ROW_SHARE, work=Work.SCAN, missing=missing)
    if constraint.references is not None:
        locks.setdefault(constraint.references, Lock.ROW_SHARE)
    return Verdict("ALTER TABLE", locks=locks, work=Work.SCAN)


def judge_drop(scope: Scope, key: TableKey, table: Table | None, name: str, *, cascades: bool) -> Verdict:
    """DROP CONSTRAINT: a foreign key's locks the table it references as well."""
    constraint = _constraint(table, name)
    locks = {key: Lock.ACCESS_EXCLUSIVE}
    verdict = Verdict("ALTER TABLE", RiskLevel.MEDIUM, locks)
    if constraint is None:
        return (
            verdict
            if _not_null_name(scope, key, name)
            else verdict.joined(Verdict("ALTER TABLE", elsewhere=Lock.ACCESS_EXCLUSIVE))
        )
    if constraint.references is not None:
        locks.setdefault(constraint.references, Lock.ACCESS_EXCLUSIVE)
        verdict = verdict.with_finding(
            RiskLevel.MEDIUM, ReasonCode.DROPS_FOREIGN_KEY, f"{key} may point to nothing from now on"
        )
    elif constraint.kind in ("primary_key", "unique"):
        verdict = verdict.with_finding(
            RiskLevel.HIGH if constraint.kind == "primary_key" else RiskLevel.MEDIUM,
            ReasonCode.DROPS_UNIQUE_CONSTRAINT,
            f"{constraint.name} of {key} and its index are gone: duplicates are let in, and what used the index scans",
        )
    if table is not None and table.partition_key is not None and constraint.kind != "check":
        verdict = verdict.joined(Verdict("ALTER TABLE", unseen=True))  # its partitions' constraints have other names
    if not cascades:
        return verdict
    locks |= dict.fromkeys(scope.children(key), Lock.ACCESS_EXCLUSIVE)
    return verdict.joined(Verdict("ALTER TABLE", unseen=True)).with_finding(
        RiskLevel.DESTRUCTIVE,
        ReasonCode.DROPS_FOREIGN_KEY,
        f"CASCADE drops what depends on {constraint.name} of {key} as well, foreign keys of other tables among it",
    )


def _constraint(table: Table | None, name: str) -> Constraint | None:
    return next((c for c in table.constraints if c.name == name), None) if table is not None else None


def _known(table: Table) -> bool:
    """Whether the graph shows all constraints of the table: not of one that was made by code nobody can see into."""
    return bool(table.columns)


def _not_null_name(scope: Scope, key: TableKey, name: str) -> bool:
    """Whether it is the name of a NOT NULL constraint, which the graph shows as the column's."""
    return any(table == key and given == name for (table, _), given in scope.facts.not_null_names.items())
