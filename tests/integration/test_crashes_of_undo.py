"""Killed while it takes a step back, it is taken back to the same end all the same. Real processes, real SIGKILL."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from operations_harness.all_cases import CASES
from operations_harness.cases import NAMINGS
from operations_harness.driving import prepare
from operations_harness.processes import start_runner
from servers import Database
from zanith.core.graph import SchemaGraph
from zanith.execution.steps import transactions

# Each kind whose way back takes more than one transaction, in one of its longer forms.
LONG_WAYS = (
    "nullable",
    "soft_drop_required_column",
    "type_of_a_tied_column",
    "archive_required_column",
    "drop_unique_with_everything",
    "drop_foreign_key_with_everything",
    "drop_index_commented",
)
BY_NAME = {case.name: case for case in CASES}


# On 15 those that go another way there: NOT NULL is put back by a CHECK.
PLACES = [(18, name) for name in LONG_WAYS] + [(15, "nullable"), (15, "soft_drop_required_column")]


@pytest.mark.parametrize(("pg", "name"), PLACES, indirect=["pg"])
def test_an_undo_killed_at_every_event_and_resumed_reaches_the_same_end(
    pg: Database, tmp_path: Path, name: str
) -> None:
    """One database throughout: applied again after each round, and killed one event later."""
    driver = prepare(pg, BY_NAME[name], NAMINGS["ordinary"])
    before = _without_column_order(driver.graph())
    (step,) = driver.plan().steps
    kills = 0
    for at in range(1, 60):
        assert driver.apply().applied_at is not None
        process = start_runner(driver, tmp_path, kill_at=at, action="revert")
        _, said = process.communicate(timeout=60)
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, said
        kills += 1
        assert driver.apply(action="revert").done == frozenset()
        assert _without_column_order(driver.graph()) == before, f"killed at event {at}"
        assert driver.record().applied_at is None
        assert _left_running(pg) == 0
    assert _without_column_order(driver.graph()) == before
    assert kills >= 2 * len(list(transactions(step.undo.statements))), "killed less often than there are events"


def test_no_kind_with_a_long_way_back_is_left_out(pg: Database) -> None:
    """The cases above are all kinds there are; a new one with a long way back belongs among them."""
    covered = {kind for name in LONG_WAYS for step in BY_NAME[name].steps for kind in step}
    found = set()
    for case in CASES:
        if case.since <= pg.version and len(case.steps) == 1 and not case.undo_refused and set(case.steps[0]) - covered:
            pg.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
            driver = prepare(pg, case, NAMINGS["ordinary"])
            found |= {s.kind for s in driver.plan().steps if len(list(transactions(s.undo.statements))) > 1}
    assert not found - covered


def _left_running(pg: Database) -> Any:
    return pg.value("SELECT count(*) FROM _zanith_migration_steps WHERE status = 'running'")


def _without_column_order(graph: SchemaGraph) -> Any:
    fields = [
        {name: getattr(t, name) for name in t.__slots__} | {"columns": sorted(t.columns, key=lambda c: c.name)}
        for t in graph.tables
    ]
    return fields, graph.views, graph.enums, graph.extensions
