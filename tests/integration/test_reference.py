"""The reference pages are true: every example is planned, run by the real runner, and taken back, on each version."""

from __future__ import annotations

import pytest

from operations_harness.driving import Driver
from reference.examples import plan_example, read_example
from reference.pages import INDEX, index_row, page, page_file
from reference.write import look
from servers import Database, PostgresServer
from zanith.api.spec import Gates
from zanith.core.errors import Refusal
from zanith.core.graph import SchemaGraph
from zanith.operations.step import KINDS
from zanith.planning.gates import refusal

every_kind = pytest.mark.parametrize("kind", KINDS)


@every_kind
def test_the_page_tells_what_is_planned(postgres_15: PostgresServer, postgres_18: PostgresServer, kind: str) -> None:
    for server in (postgres_15, postgres_18):
        server.start()  # a test before may have left it down
    seen = look(kind, {server.version: server for server in (postgres_15, postgres_18)})
    assert page_file(kind).read_text(encoding="utf-8") == page(seen), "run `make docs`"
    assert index_row(seen) in INDEX.read_text(encoding="utf-8").splitlines(), "run `make docs`"


@every_kind
def test_the_default_gates_let_the_example_through_unless_it_sets_others(pg: Database, kind: str) -> None:
    example = read_example(kind)
    planned = plan_example(example, pg)
    plan = Driver(pg, example.spec).plan()
    assert (planned.by_default is None) == (example.spec.gates == Gates())
    assert refusal(plan, example.spec.gates) is None


@every_kind
def test_the_example_runs_and_is_taken_back_where_the_page_says_so(pg: Database, kind: str) -> None:
    example = read_example(kind)
    pg.execute(example.setup)
    driver = Driver(pg, example.spec)
    before, plan = driver.graph(), driver.plan()
    record = driver.apply()
    assert record.applied_at is not None
    assert record.frozen is not None and record.frozen.plan == plan
    assert driver.graph() != before or kind == "backfill"
    for step in reversed(plan.steps):
        if step.undo.refused:
            with pytest.raises(Refusal):
                driver.undo(step.index)
            return
        driver.undo(step.index)
    assert without_column_order(driver.graph()) == without_column_order(before)


def without_column_order(graph: SchemaGraph) -> object:
    """A column that comes back stands last, for PostgreSQL puts none anywhere else."""
    tables = [
        (t.key, sorted(t.columns, key=lambda c: c.name), t.constraints, t.indexes, t.policies) for t in graph.tables
    ]
    return tables, graph.views, graph.enums, graph.extensions
