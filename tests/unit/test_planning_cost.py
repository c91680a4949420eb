"""What waiting is predicted from: the size of a table changes findings, and only where somebody waits."""

from __future__ import annotations

import pytest

from unit.builders import USERS, facts
from zanith.core.graph import TableSize
from zanith.core.risk import Finding, ReasonCode, RiskLevel
from zanith.core.statement import Lock, Statement, Work
from zanith.planning.cost import blocking_finding, level_for, predicted_s


def finding(work: Work, size: TableSize | None, lock: Lock = Lock.ACCESS_EXCLUSIVE) -> Finding | None:
    known = facts(sizes={} if size is None else {USERS: size})
    return blocking_finding(Statement("x", lock, on=(USERS,), work=work), known)


def test_the_slower_of_rows_and_bytes_counts() -> None:
    assert predicted_s(Work.SCAN, TableSize(5_000_000, 0)) == pytest.approx(1.0)
    assert predicted_s(Work.SCAN, TableSize(None, 1_000_000_000)) == pytest.approx(2.0)
    assert predicted_s(Work.CATALOG, TableSize(10**9, 10**12)) == 0


@pytest.mark.parametrize(
    ("seconds", "level"),
    [(0.1, RiskLevel.MEDIUM), (1.0, RiskLevel.HIGH), (9.9, RiskLevel.HIGH), (10.0, RiskLevel.BLOCKED)],
)
def test_waiting_is_a_risk(seconds: float, level: RiskLevel) -> None:
    assert level_for(seconds) is level


def test_a_scan_that_writes_wait_for_is_a_finding() -> None:
    assert finding(Work.SCAN, TableSize(10_000_000, 0), Lock.SHARE) == Finding(
        RiskLevel.HIGH,
        ReasonCode.FULL_SCAN_UNDER_LOCK,
        "public.users is read as a whole under SHARE: writes wait for about 2.0 s",
        blocked_s=2.0,
    )


@pytest.mark.parametrize(("rows", "words"), [(5_400_000, "20 s"), (54_000_000, "3 min")])
def test_a_rewrite_of_a_big_table_is_blocked(rows: int, words: str) -> None:
    found = finding(Work.REWRITE, TableSize(rows, 0))
    assert found is not None
    assert (found.level, found.reason) == (RiskLevel.BLOCKED, ReasonCode.TABLE_REWRITE)
    assert found.why == f"public.users is rewritten under ACCESS EXCLUSIVE: reads and writes wait for about {words}"


@pytest.mark.parametrize(
    ("work", "size", "lock"),
    [
        (Work.CATALOG, TableSize(10**9, 10**12), Lock.ACCESS_EXCLUSIVE),
        (Work.SCAN, TableSize(10**9, 10**12), Lock.SHARE_UPDATE_EXCLUSIVE),
        (Work.SCAN, TableSize(1000, 8192), Lock.ACCESS_EXCLUSIVE),
        (Work.SCAN, None, Lock.ACCESS_EXCLUSIVE),
    ],
)
def test_where_nobody_waits_there_is_none(work: Work, size: TableSize | None, lock: Lock) -> None:
    assert finding(work, size, lock) is None
