"""The judge over its whole corpus, without a server: the same verdicts as the integration test holds against PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import yaml

from operations_harness.measuring import CORPUS
from unit.builders import MIGRATION, plan
from unit.corpus import KNOWN
from zanith.core.graph import Facts, TableSize
from zanith.core.risk import ReasonCode, RiskLevel
from zanith.operations.raw_sql import RawSql
from zanith.operations.step import Step
from zanith.operations.step_context import StepContext

ENTRIES: list[dict[str, Any]] = yaml.safe_load(CORPUS.read_text())
BIG = TableSize(rows=100_000_000, bytes=20 << 30)
every_entry = pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: e["sql"][:90])


def of_size(size: TableSize) -> Facts:
    return replace(KNOWN, sizes=dict.fromkeys([t.key for t in KNOWN.graph.tables], size))


@every_entry
def test_levels_are_as_recorded_on_small_and_on_big_tables(entry: dict[str, Any]) -> None:
    for size, level in ((TableSize(rows=10, bytes=8192), entry["small"]), (BIG, entry["big"])):
        planned = plan({"rawSql": {"sql": entry["sql"]}}, of=of_size(size))
        assert planned.level is RiskLevel(level)
        assert ReasonCode.RAW_SQL in planned.reasons


@every_entry
def test_size_changes_findings_but_never_the_plan(entry: dict[str, Any]) -> None:
    step = {"rawSql": {"sql": entry["sql"]}}
    assert plan(step, of=of_size(TableSize(rows=10, bytes=8192))).hash == plan(step, of=of_size(BIG)).hash


@every_entry
def test_what_is_offered_to_paste_is_a_step(entry: dict[str, Any]) -> None:
    for finding in plan({"rawSql": {"sql": entry["sql"]}}, of=KNOWN).steps[0].findings:
        text = finding.safer.removeprefix("add the column on its own, then ")
        if text.startswith("- "):
            (step,) = yaml.safe_load(text)
            assert Step.model_validate(step)


@every_entry
def test_projecting_twice_changes_nothing_more(entry: dict[str, Any]) -> None:
    raw = RawSql(sql=entry["sql"])
    once = raw.project(StepContext(KNOWN, MIGRATION, 1, KNOWN.graph))
    again = raw.project(StepContext(replace(KNOWN, graph=once), MIGRATION, 1, KNOWN.graph))
    assert again == once
