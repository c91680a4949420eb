"""Judges ALTER TABLE, action by action. Its lock is the strongest any of its actions takes (manual, ALTER TABLE)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from zanith.core.graph import Table
from zanith.core.identifiers import TableKey
from zanith.core.risk import Finding, ReasonCode, RiskLevel
from zanith.core.sql import parse_type, printed
from zanith.core.sql_statements import Tree, expression_text, type_text
from zanith.core.statement import Lock, Work
from zanith.operations.judging import columns, constraints, partitions, sequences
from zanith.operations.judging.calls import unseen_code
from zanith.operations.judging.composites import judge_alter_type
from zanith.operations.judging.renames import real_kind
from zanith.operations.judging.verdict import Scope, Verdict, opaque, options
from zanith.operations.judging.yaml_steps import yaml_step


class Action(NamedTuple):
    """One action of an ALTER TABLE on an existing table."""

    scope: Scope
    key: TableKey
    table: Table | None
    tree: Tree

    @property
    def name(self) -> str:
        return str(self.tree.get("name", ""))

    @property
    def target(self) -> str:
        return f"{self.key}.{self.name}"

    @property
    def cascades(self) -> bool:
        return bool(self.tree.get("behavior") == "DROP_CASCADE")


def judge_alter_table(tree: Tree, scope: Scope) -> Verdict:
    """ALTER TABLE, and ALTER INDEX, VIEW, SEQUENCE, ... where they share its grammar."""
    kind = tree.get("objtype", "OBJECT_TABLE").removeprefix("OBJECT_")
    what = f"ALTER {kind.replace('_', ' ')}".replace("MATVIEW", "MATERIALIZED VIEW")
    if kind == "TYPE":
        return judge_alter_type(tree, scope)
    key = scope.key(tree["relation"])
    kind = real_kind(kind, tree["relation"], scope)
    if kind == "INDEX":
        return _judge_index(what, tree, scope)
    if kind == "MATVIEW":
        return _judge_materialized(what, key, tree)
    if kind != "TABLE" and not (kind == "SEQUENCE" and tree.get("objtype") == "OBJECT_TABLE"):
        return Verdict(what, RiskLevel.MEDIUM, {key: Lock.ACCESS_EXCLUSIVE}, unseen=kind == "VIEW")
    table = scope.table(key)
    verdict = Verdict(what)
    if table is None and not tree.get("missing_ok"):
        verdict = Verdict(what, missing=scope.absent(key), elsewhere=Lock.ACCESS_EXCLUSIVE)
    only = not tree["relation"].get("inh", False)
    for node in tree["cmds"]:
        action = Action(scope, key, table, node["alter_table_cmd"])
        verdict = verdict.joined(_judge(what, action, only=only))
    return verdict


def _judge(what: str, action: Action, *, only: bool) -> Verdict:
    kind = action.tree["subtype"].removeprefix("AT_")
    if kind in _EXPLAINED:
        found = _EXPLAINED[kind](action)
    elif kind in _PLAIN:
        lock, level = _PLAIN[kind]
        found = Verdict(what, level, {action.key: lock})
    else:
        found = opaque(what, f"what the action {kind} of ALTER TABLE does is not known here")
    if kind in _EVALUATING and not action.tree["def"].get("constraint", {}).get("skip_validation"):
        found = found.joined(_running(what, action))
    if only or action.key not in found.locks or action.key not in [t.key for t in action.scope.graph.tables]:
        return found
    # What is done to a partitioned table is done to each of its partitions, with the same lock.
    wide = dict.fromkeys(action.scope.family(action.key), found.locks[action.key])
    return found if kind in _NOT_OF_PARTITIONS else found.joined(Verdict(what, locks=wide))


def _running(what: str, action: Action) -> Verdict:
    """Code of defaults, USING and CHECK that runs while the table is locked."""
    code = unseen_code(action.tree["def"], action.scope)
    if not code:
        return Verdict(what)
    return Verdict(what, elsewhere=Lock.ACCESS_EXCLUSIVE, unseen=True).with_finding(
        RiskLevel.HIGH,
        ReasonCode.OPAQUE_CODE,
        f"what it runs while {action.key} is locked cannot be seen into: {', '.join(code)}",
    )


def _add_column(action: Action) -> Verdict:
    return columns.judge_new_column(action.scope, action.key, action.table, action.tree["def"]["column_def"])


def _drop_column(action: Action) -> Verdict:
    locks = {action.key: Lock.ACCESS_EXCLUSIVE}
    table = action.table
    for constraint in table.constraints if table is not None else ():
        if constraint.references is not None and action.name in constraint.columns:
            locks[constraint.references] = Lock.ACCESS_EXCLUSIVE
    if action.cascades:
        locks |= dict.fromkeys(action.scope.dependents(action.key), Lock.ACCESS_EXCLUSIVE)
    return Verdict("ALTER TABLE", RiskLevel.DESTRUCTIVE, locks).with_finding(
        RiskLevel.DESTRUCTIVE,
        ReasonCode.DROPS_COLUMN_WITH_DATA,
        f"{action.target} and its data are gone for good{', and what depends on it' if action.cascades else ''}",
        yaml_step(action.scope, "softDropColumn", action.key, column=action.name),
    )


def _set_not_null(action: Action) -> Verdict:
    column = None if action.table is None else action.table.column(action.name)
    proven = f"CHECK (({printed(action.name)} IS NOT NULL))"
    spared = column is not None and (
        column.not_null
        or any(c.validated and c.definition == proven for c in (action.table.constraints if action.table else ()))
    )
    verdict = Verdict(
        "ALTER TABLE",
        RiskLevel.HIGH,
        {action.key: Lock.ACCESS_EXCLUSIVE},
        work=Work.CATALOG if spared else Work.SCAN,
    ).with_finding(
        RiskLevel.HIGH,
        ReasonCode.CHANGES_COLUMN_NULLABLE_TO_NOT_NULL,
        f"writes that leave {action.target} NULL fail from now on",
    )
    if spared:
        return verdict
    return verdict.with_finding(
        RiskLevel.MEDIUM,
        ReasonCode.FULL_SCAN_UNDER_LOCK,
        f"SET NOT NULL reads all of {action.key} while reads and writes wait",
        yaml_step(action.scope, "alterColumnNullable", action.key, column=action.name, nullable=False),
    )


def _drop_not_null(action: Action) -> Verdict:
    return Verdict("ALTER TABLE", locks={action.key: Lock.ACCESS_EXCLUSIVE}).with_finding(
        RiskLevel.LOW,
        ReasonCode.CHANGES_COLUMN_NOT_NULL_TO_NULLABLE,
        f"readers of {action.target} may meet NULLs they do not expect",
    )


def _column_type(action: Action) -> Verdict:
    definition = action.tree["def"]["column_def"]
    return columns.judge_type_change(
        action.scope,
        action.key,
        action.table,
        action.name,
        new=parse_type(type_text(definition["type_name"])),
        using=expression_text(definition["raw_default"]) if "raw_default" in definition else None,
        collated="coll_clause" in definition,
    )


def _rewriting(why: str) -> Callable[[Action], Verdict]:
    def judge(action: Action) -> Verdict:
        return Verdict(
            "ALTER TABLE", RiskLevel.HIGH, {action.key: Lock.ACCESS_EXCLUSIVE}, work=Work.REWRITE
        ).with_finding(RiskLevel.HIGH, ReasonCode.TABLE_REWRITE, f"{action.key} is written anew: {why}")

    return judge


def _default(action: Action) -> Verdict:
    return Verdict("ALTER TABLE", locks={action.key: Lock.ACCESS_EXCLUSIVE}).with_finding(
        RiskLevel.LOW, ReasonCode.CHANGES_COLUMN_DEFAULT, f"the default of {action.target} changes for new rows"
    )


def _row_security(action: Action) -> Verdict:
    return Verdict("ALTER TABLE", RiskLevel.MEDIUM, {action.key: Lock.ACCESS_EXCLUSIVE}, unseen=True).with_finding(
        RiskLevel.MEDIUM, ReasonCode.RLS_CHANGE, f"which rows of {action.key} a role sees changes at once"
    )


def _replica_identity(action: Action) -> Verdict:
    return Verdict("ALTER TABLE", RiskLevel.MEDIUM, {action.key: Lock.ACCESS_EXCLUSIVE}).with_finding(
        RiskLevel.MEDIUM, ReasonCode.REPLICATION_IMPACT, f"what a subscriber is sent of changes to {action.key} changes"
    )


def _triggers(action: Action) -> Verdict:
    what, level = _DISABLED[action.tree["subtype"].removeprefix("AT_")]
    locks = {action.key: Lock.SHARE_ROW_EXCLUSIVE}
    return Verdict("ALTER TABLE", level, locks, unseen=True).with_finding(
        level,
        ReasonCode.BREAKS_DEPENDENTS,
        f"{what.format(table=action.key)} no longer: what they keep right goes wrong",
    )


_DISABLED = {
    "DisableTrig": ("a trigger of {table} fires", RiskLevel.MEDIUM),
    "DisableTrigUser": ("the triggers of {table} fire", RiskLevel.HIGH),
    "DisableTrigAll": ("the triggers of {table}, those of its foreign keys among them, fire", RiskLevel.HIGH),
}


def _alter_constraint(action: Action) -> Verdict:
    """Whether a foreign key is deferrable is a word in the catalog; ENFORCED (PostgreSQL 18) looks every row up."""
    given = action.tree["def"]["atalter_constraint"]
    found = action.table.constraints if action.table is not None else ()
    parents = [c.references for c in found if c.name == given["conname"] and c.references is not None]
    verdict = Verdict("ALTER TABLE", RiskLevel.MEDIUM, {action.key: Lock.ACCESS_EXCLUSIVE})
    if not given.get("alter_enforceability"):
        return verdict
    locks = dict.fromkeys(parents, Lock.ACCESS_EXCLUSIVE)
    verdict = verdict.joined(Verdict("", locks=locks, unseen=True))
    if not given.get("is_enforced"):
        return verdict.with_finding(
            RiskLevel.MEDIUM,
            ReasonCode.DROPS_FOREIGN_KEY,
            f"{given['conname']} of {action.key} is no longer looked at: rows may point to nothing from now on",
        )
    return verdict.joined(Verdict("", work=Work.SCAN)).with_finding(
        RiskLevel.MEDIUM,
        ReasonCode.FULL_SCAN_UNDER_LOCK,
        f"every row of {action.key} is looked up for {given['conname']} while reads and writes wait",
        "drop it, then addForeignKey, which blocks no writes while it looks",
    )


def _set_identity(action: Action) -> Verdict:
    verdict = Verdict("ALTER TABLE", locks={action.key: Lock.ACCESS_EXCLUSIVE})
    return verdict.joined(sequences.judge_identity(action.scope, action.target, action.tree["def"]))


def _storage_options(action: Action) -> Verdict:
    """Weak for most options; the few others change how queries are planned (manual, storage parameters)."""
    given = options({"options": action.tree["def"]["list"]["items"]})
    brief = ("autovacuum_", "toast.", "log_autovacuum", "vacuum_")
    weak = all(o in {"fillfactor", "parallel_workers", "toast_tuple_target"} or o.startswith(brief) for o in given)
    return Verdict("ALTER TABLE", locks={action.key: Lock.SHARE_UPDATE_EXCLUSIVE if weak else Lock.ACCESS_EXCLUSIVE})


def _inherit(action: Action) -> Verdict:
    parent = action.scope.key(action.tree["def"]["range_var"])
    locks = {action.key: Lock.ACCESS_EXCLUSIVE, parent: Lock.SHARE_UPDATE_EXCLUSIVE}
    return Verdict("ALTER TABLE", RiskLevel.MEDIUM, locks, unseen=True)


_AEL, _SUE, _SRE = Lock.ACCESS_EXCLUSIVE, Lock.SHARE_UPDATE_EXCLUSIVE, Lock.SHARE_ROW_EXCLUSIVE

# Actions that change catalog rows only, with their lock and level.
_PLAIN: dict[str, tuple[Lock, RiskLevel]] = {
    "SetStatistics": (_SUE, RiskLevel.LOW),
    "SetOptions": (_SUE, RiskLevel.LOW),
    "ResetOptions": (_SUE, RiskLevel.LOW),
    "ClusterOn": (_SUE, RiskLevel.LOW),
    "DropCluster": (_SUE, RiskLevel.LOW),
    "SetStorage": (_AEL, RiskLevel.LOW),
    "SetCompression": (_AEL, RiskLevel.LOW),
    "AddIdentity": (_AEL, RiskLevel.LOW),
    "DropIdentity": (_AEL, RiskLevel.MEDIUM),
    "DropExpression": (_AEL, RiskLevel.MEDIUM),
    "ChangeOwner": (_AEL, RiskLevel.MEDIUM),
    "DropInherit": (_AEL, RiskLevel.MEDIUM),
    "AddOf": (_AEL, RiskLevel.MEDIUM),
    "DropOf": (_AEL, RiskLevel.MEDIUM),
    **{f"{way}Rule": (_AEL, RiskLevel.MEDIUM) for way in ("Enable", "EnableAlways", "EnableReplica", "Disable")},
    **{f"{way}Trig": (_SRE, RiskLevel.MEDIUM) for way in ("Enable", "EnableAlways", "EnableReplica")},
    "EnableTrigAll": (_SRE, RiskLevel.MEDIUM),
    "EnableTrigUser": (_SRE, RiskLevel.MEDIUM),
}

_EXPLAINED: dict[str, Callable[[Action], Verdict]] = {
    "AddColumn": _add_column,
    "DropColumn": _drop_column,
    "SetNotNull": _set_not_null,
    "DropNotNull": _drop_not_null,
    "SetIdentity": _set_identity,
    "AlterColumnType": _column_type,
    "ColumnDefault": _default,
    "SetExpression": _rewriting("the values of a generated column change"),
    "SetLogged": _rewriting("all of it goes to the WAL"),
    "SetUnLogged": _rewriting("it leaves the WAL; after a crash it is empty"),
    "SetAccessMethod": _rewriting("by the new access method"),
    "SetTableSpace": _rewriting("in the other tablespace"),
    "AddConstraint": lambda a: constraints.judge_new_constraint(a.scope, a.key, a.table, a.tree["def"]["constraint"]),
    "ValidateConstraint": lambda a: constraints.judge_validation(a.scope, a.key, a.table, a.name),
    "DropConstraint": lambda a: constraints.judge_drop(a.scope, a.key, a.table, a.name, cascades=a.cascades),
    "AlterConstraint": _alter_constraint,
    "SetRelOptions": _storage_options,
    "ResetRelOptions": _storage_options,
    "EnableRowSecurity": _row_security,
    "DisableRowSecurity": _row_security,
    "ForceRowSecurity": _row_security,
    "NoForceRowSecurity": _row_security,
    "ReplicaIdentity": _replica_identity,
    "DisableTrig": _triggers,
    "DisableTrigAll": _triggers,
    "DisableTrigUser": _triggers,
    "AddInherit": _inherit,
    "AttachPartition": lambda a: partitions.judge_attach(a.scope, a.key, a.tree["def"]["partition_cmd"]),
    "DetachPartition": lambda a: partitions.judge_detach(a.scope, a.key, a.tree["def"]["partition_cmd"]),
    "DetachPartitionFinalize": lambda a: partitions.judge_finalize(a.scope, a.key, a.tree["def"]["partition_cmd"]),
}
_EVALUATING = frozenset({"AddColumn", "AlterColumnType", "AddConstraint", "SetExpression", "AttachPartition"})
_NOT_OF_PARTITIONS = frozenset({"AttachPartition", "DetachPartition", "DetachPartitionFinalize"})


def _judge_index(what: str, tree: Tree, scope: Scope) -> Verdict:
    """An index is locked by everybody who plans a query on its table: a lock on it is as good as one on the table."""
    relation = tree["relation"]
    table = scope.indexed_table(names_of(relation), relation["relname"])
    moves = any(c["alter_table_cmd"]["subtype"] == "AT_SetTableSpace" for c in tree["cmds"])
    locks = {} if table is None else {table.key: Lock.ACCESS_EXCLUSIVE}
    verdict = Verdict(
        what,
        RiskLevel.HIGH if moves else RiskLevel.LOW,
        locks,
        elsewhere=Lock.ACCESS_EXCLUSIVE if table is None else Lock.NONE,
        work=Work.BUILD if moves else Work.CATALOG,
    )
    if not moves:
        return verdict
    finding = Finding(RiskLevel.HIGH, ReasonCode.TABLE_REWRITE, f"index {relation['relname']} is written anew")
    return verdict.joined(Verdict(what, findings=(finding,)))


def _judge_materialized(what: str, key: TableKey, tree: Tree) -> Verdict:
    """A materialised view is written anew like a table; how big it is nobody tells."""
    verdict = Verdict(what, RiskLevel.MEDIUM, {key: Lock.ACCESS_EXCLUSIVE}, unseen=True)
    if not {c["alter_table_cmd"]["subtype"] for c in tree["cmds"]} & {"AT_SetTableSpace", "AT_SetAccessMethod"}:
        return verdict
    return verdict.joined(Verdict("", RiskLevel.HIGH, work=Work.REWRITE)).with_finding(
        RiskLevel.HIGH, ReasonCode.TABLE_REWRITE, f"{key} is written anew while its readers wait"
    )


def names_of(relation: Tree) -> list[str]:
    """The schema of a RangeVar, if it names one."""
    return [relation["schemaname"]] if "schemaname" in relation else []
