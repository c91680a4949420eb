"""Judges what is done to partitions. A DEFAULT partition is locked whenever another one comes or goes."""

from __future__ import annotations

from zanith.core.graph import Index, Table
from zanith.core.identifiers import TableKey
from zanith.core.risk import ReasonCode, RiskLevel
from zanith.core.sql_statements import Tree
from zanith.core.statement import Lock, Work
from zanith.operations.judging.verdict import Scope, Verdict

_INDEXES_FIRST = (
    "make the same indexes, keys and foreign keys on it first, with addIndex, addUnique and addForeignKey, then attach"
)
_CHECK_FIRST = "add a CHECK NOT VALID that says the same as the bounds, validate it, attach, then drop it"


def judge_attach(scope: Scope, key: TableKey, command: Tree) -> Verdict:
    """ATTACH PARTITION: the new one is read unless a CHECK says what its bounds say; the DEFAULT one likewise."""
    part = scope.key(command["name"])
    locks = dict.fromkeys(scope.family(part) or [part], Lock.ACCESS_EXCLUSIVE)
    locks[key] = Lock.SHARE_UPDATE_EXCLUSIVE
    locks |= dict.fromkeys([*scope.parents(key), *scope.parents(part)], Lock.SHARE_ROW_EXCLUSIVE)
    lacking = _lacking(scope.table(key), scope.table(part))
    built = f" and {', '.join(lacking)} {'is' if len(lacking) == 1 else 'are'} made on it" if lacking else ""
    work = Work.BUILD if lacking else Work.SCAN
    verdict = Verdict("ALTER TABLE", RiskLevel.MEDIUM, locks, work=work, works_on=(part,), unseen=True).with_finding(
        RiskLevel.MEDIUM,
        ReasonCode.FULL_SCAN_UNDER_LOCK,
        f"{part} is read as a whole{built} while reads and writes of it wait",
        _INDEXES_FIRST if lacking else _CHECK_FIRST,
    )
    if len(lacking) > 1 and scope.big(part):
        verdict = verdict.with_finding(
            RiskLevel.HIGH,
            ReasonCode.FULL_SCAN_UNDER_LOCK,
            f"{part} is big, and worked through once for each of the {len(lacking)}, one after another",
            _INDEXES_FIRST,
        )
    return verdict.joined(with_default(scope, key))


def _lacking(parent: Table | None, part: Table | None) -> list[str]:
    """Indexes and foreign keys of the parent that the new partition gets with it: each reads all of it.

    A partition that is not known lacks them all.
    """
    if parent is None:
        return []
    indexes = {(i.unique, _beyond_names(i)) for i in part.indexes} if part is not None else set()
    constraints = {(c.kind, c.definition) for c in part.constraints if c.validated} if part is not None else set()
    found = [f"index {i.name}" for i in parent.indexes if (i.unique, _beyond_names(i)) not in indexes]
    return found + [
        f"{'foreign key' if c.references else 'constraint'} {c.name}"
        for c in parent.constraints
        if c.kind != "check" and (c.kind, c.definition) not in constraints
    ]


def _beyond_names(index: Index) -> str:
    return index.definition.partition(" USING ")[2]


def judge_detach(scope: Scope, key: TableKey, command: Tree) -> Verdict:
    """DETACH PARTITION, CONCURRENTLY or not."""
    part = scope.key(command["name"])
    if command.get("concurrent"):
        locks = {key: Lock.SHARE_UPDATE_EXCLUSIVE, part: Lock.ACCESS_EXCLUSIVE}
        return Verdict("ALTER TABLE", RiskLevel.MEDIUM, locks, transactional=False, unseen=True)
    family = scope.family(part) or [part]
    locks = dict.fromkeys([key, *family, *scope.parents(key)], Lock.ACCESS_EXCLUSIVE)
    default = scope.default_partition(key)
    if default is not None:
        locks[default] = Lock.ACCESS_EXCLUSIVE
    return Verdict("ALTER TABLE", RiskLevel.MEDIUM, locks, unseen=True).with_finding(
        RiskLevel.MEDIUM,
        ReasonCode.LOCKS_SECOND_TABLE,
        f"all of {key} waits for an instant, not {part} alone",
        "" if default is not None else "DETACH PARTITION ... CONCURRENTLY, in a rawSql step with doneWhen",
    )


def judge_finalize(scope: Scope, key: TableKey, command: Tree) -> Verdict:
    """DETACH PARTITION ... FINALIZE, which completes one that was interrupted."""
    part = scope.key(command["name"])
    locks = {key: Lock.SHARE_UPDATE_EXCLUSIVE, part: Lock.ACCESS_EXCLUSIVE}
    return Verdict("ALTER TABLE", RiskLevel.MEDIUM, locks, unseen=True)


def with_default(scope: Scope, parent: TableKey) -> Verdict:
    """What a new partition means for the DEFAULT one: every row of it is looked at, and nobody can use it meanwhile."""
    default = scope.default_partition(parent)
    if default is None:
        return Verdict("")
    return Verdict("", RiskLevel.HIGH, {default: Lock.ACCESS_EXCLUSIVE}, work=Work.SCAN).with_finding(
        RiskLevel.HIGH,
        ReasonCode.FULL_SCAN_UNDER_LOCK,
        f"the DEFAULT partition {default} is read as a whole while reads and writes of it wait",
        "give the DEFAULT partition a CHECK that rules the new bounds out, NOT VALID and then validated, first",
    )
