"""Taking back what was cut short, and applying what was half taken back: nothing is lost between the two directions."""

from __future__ import annotations

from typing import Any

import pytest

from operations_harness.driving import Driver, spec_of
from servers import Database
from zanith.core.errors import Refusal
from zanith.execution.assignment import Progress

ROWS = 4_000
SETUP = f"""
    CREATE TABLE people (id bigint PRIMARY KEY, n int NOT NULL DEFAULT 0);
    INSERT INTO people SELECT g, 0 FROM generate_series(1, {ROWS}) g;
    ANALYZE people;
"""
FILLED: list[dict[str, Any]] = [
    {"addColumn": {"table": "people", "column": "extra", "type": "int"}},
    {"backfill": {"table": "people", "set": {"extra": "1"}, "where": "extra IS NULL"}},
]
COUNTED: list[dict[str, Any]] = [{"backfill": {"table": "people", "set": {"n": "n + 1"}, "where": "true"}}]


class CutShort(Exception):
    """The test has seen enough."""


def after_a_batch(progress: Progress) -> None:
    if progress.event == "batch":
        raise CutShort("enough")


def cut_short(database: Database, steps: list[dict[str, Any]]) -> Driver:
    """A migration in the middle of its backfill."""
    database.execute(SETUP)
    driver = Driver(database, spec_of(steps, execution={"throttle": {"targetBatch": "1ms"}}))
    with pytest.raises(CutShort):
        driver.apply(after_a_batch)
    lanes = [c for c in driver.record().checkpoints if c.lane == 0]
    assert 0 < sum(c.processed_rows for c in lanes) < ROWS
    return driver


def test_a_backfill_that_was_cut_short_goes_with_its_column_and_begins_anew(pg18: Database) -> None:
    driver = cut_short(pg18, FILLED)
    taken_back = driver.apply(action="revert")
    assert (taken_back.done, taken_back.checkpoints) == (frozenset(), ())
    driver.apply()
    assert pg18.value("SELECT count(*) FROM people WHERE extra = 1") == ROWS


def test_a_backfill_that_was_cut_short_has_no_way_back_where_a_whole_one_has_none(pg18: Database) -> None:
    driver = cut_short(pg18, COUNTED)
    with pytest.raises(Refusal, match="step 1 backfill"):
        driver.apply(action="revert")
    driver.apply()
    assert pg18.rows("SELECT n, count(*) FROM people GROUP BY n") == [(1, ROWS)]


CHANGED: list[dict[str, Any]] = [
    {"addColumn": {"table": "people", "column": "extra", "type": "int"}},
    {"alterColumnType": {"table": "people", "column": "n", "type": "bigint"}},
]


@pytest.mark.parametrize("at", range(1, 7))
def test_what_was_half_taken_back_is_taken_back_before_it_is_applied_again(pg18: Database, at: int) -> None:
    pg18.execute(SETUP)
    driver = Driver(pg18, spec_of(CHANGED))
    driver.apply()
    applied = driver.graph()
    seen = 0

    def until(progress: Progress) -> None:
        nonlocal seen
        seen += progress.event in ("statement_started", "statement_finished", "batch")
        if seen == at:
            raise CutShort("enough")

    with pytest.raises(CutShort):
        driver.apply(until, action="revert")
    assert driver.apply().applied_at is not None
    assert driver.graph() == applied
    driver.apply(action="revert")
    assert (
        pg18.value("SELECT count(*) FROM pg_attribute WHERE attrelid = 'people'::regclass AND attname = 'extra'") == 0
    )
    assert pg18.value("SELECT count(*) FROM people WHERE n = 0") == ROWS
