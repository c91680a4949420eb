"""docs/risk.md tells the rates, the thresholds, the levels and every reason code, as they are in the code."""

from __future__ import annotations

import re
from pathlib import Path

from zanith.core.risk import OUR_OWN, ReasonCode, RiskLevel
from zanith.core.statement import Work
from zanith.planning import cost

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "risk.md").read_text(encoding="utf-8")


def codes(section: str) -> list[str]:
    return re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)


def test_every_reason_code_is_told_and_whose_it_is() -> None:
    published, ours = DOCUMENT.split("These are ours")
    assert set(codes(published)) == {r.value for r in ReasonCode if r not in OUR_OWN}
    assert set(codes(ours)) == {r.value for r in OUR_OWN}


def test_levels_and_scores_are_told() -> None:
    told = dict(re.findall(r"^\| (\w+) \| (\d+) \|", DOCUMENT, re.MULTILINE))
    assert told == {level.value: str(level.score) for level in RiskLevel}


def test_rates_and_thresholds_are_told() -> None:
    for work in (Work.SCAN, Work.BUILD, Work.REWRITE):
        row = f"| {work.value} | {cost.ROWS_PER_S[work]:,} | {cost.BYTES_PER_S[work] // 1_000_000} |"
        assert row in DOCUMENT
    assert f"less than {cost.NOTICEABLE_S} s" in DOCUMENT
    assert f"| {cost.HIGH_S:g} s and more | high |" in DOCUMENT
    assert f"| {cost.BLOCKED_S:g} s and more | blocked |" in DOCUMENT
