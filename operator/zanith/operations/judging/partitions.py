"""Judges what is done to partitions. A DEFAULT partition is locked whenever another one comes or goes."""

from __future__ import annotations

from zanith.core.identifiers import TableKey
from zanith.core.risk import ReasonCode, RiskLevel
from zanith.core.sql_statements import Tree
from zanith.core.statement import Lock, Work
from zanith.operations.judging.verdict import Scope, Verdict

_CHECK_FIRST = "add a CHECK NOT VALID that says the same as the bounds, validate it, attach, then drop it"


def judge_attach(scope: Scope, key: TableKey, command: Tree) -> Verdict:
    """ATTACH PARTITION: the new one is read unless a CHECK says what its bounds say; the DEFAULT one likewise."""
    part = scope.key(command["name"])
    locks = dict.fromkeys(scope.family(part) or [part], Lock.ACCESS_EXCLUSIVE)
    locks[key] = Lock.SHARE_UPDATE_EXCLUSIVE
    locks |= dict.fromkeys([*scope.parents(key), *scope.parents(part)], Lock.SHARE_ROW_EXCLUSIVE)
    verdict = Verdict("ALTER TABLE", RiskLevel.MEDIUM, locks, work=Work.SCAN, unseen=True).with_finding(
        RiskLevel.MEDIUM,
        ReasonCode.FULL_SCAN_UNDER_LOCK,
        f"{part} is read as a whole, and indexes it lacks are built, while reads and writes of it wait",
        _CHECK_FIRST,
    )
    return verdict.joined(with_default(scope, key))


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
