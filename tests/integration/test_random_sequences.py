"""Random schemas, random sequences of steps: applied as projected, nothing left to do, and undone without a trace.

What is tried is the same at every run: seeded. For more, with other seeds,

    ZANITH_RANDOM_PARTS=40 ZANITH_RANDOM_SEED=1000 .venv/bin/pytest tests/integration/test_random_sequences.py -n 2

tries forty parts of EXAMPLES on each version, each with a seed of its own, counted from ZANITH_RANDOM_SEED. A failing part
tells the schema and the steps; with ZANITH_RANDOM_SHRINK=1 it looks some minutes for the smallest ones.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from operations_harness.driving import Driver, Recorder, spec_of
from operations_harness.random_printing import differences
from operations_harness.random_schemas import schemas
from operations_harness.random_steps import random_step
from servers import Database, PostgresServer, create_database, drop_database
from zanith.core.errors import Refusal, SpecError, StepFailed
from zanith.core.graph import Facts, SchemaGraph
from zanith.core.sql import raw
from zanith.operations.step import KINDS
from zanith.planning.plan import PlannedStep
from zanith.planning.planner import left_behind, plan_migration
from zanith.postgres.catalog import read_facts
from zanith.postgres.connecting import connect
from zanith.postgres.rehearsing import rehearse

EXAMPLES = 12
LONGEST = 8
FIRST_SEED = int(os.environ.get("ZANITH_RANDOM_SEED", "1"))
MORE = int(os.environ.get("ZANITH_RANDOM_PARTS", "0"))
SHRINK = "ZANITH_RANDOM_SHRINK" in os.environ
PARTS = {18: MORE or 4, 15: MORE or 2}
GATES = {"maxRisk": 100, "allowDestructive": True}


@pytest.mark.parametrize(
    ("version", "number"), [(v, FIRST_SEED + n) for v, parts in PARTS.items() for n in range(parts)]
)
def test_a_sequence_is_applied_as_projected_and_undone_without_a_trace(
    request: pytest.FixtureRequest, version: int, number: int
) -> None:
    server = request.getfixturevalue(f"postgres_{version}")
    tally: Counter[str] = Counter()

    @seed(number)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink] if SHRINK else [Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(examples(server, tally))
    def one(example: Example) -> None:
        try:
            if example.steps:
                _apply_and_undo(Driver(example.database, spec_of(example.steps, gates=GATES)), tally)
                tally.update(kind for step in example.steps for kind in step)
        finally:
            drop_database(example.database)

    try:
        one()
    finally:
        print(f"applied: {sum(tally[k] for k in KINDS)}; {dict(tally)}")
    applied = {kind for kind in KINDS if tally[kind]}
    assert len(applied) >= 10, f"few kinds were tried: {sorted(applied)}; {dict(tally)}"


@dataclass(frozen=True)
class Example:
    """A database with a random schema, and steps that can be planned on it."""

    database: Database
    setup: list[str]
    steps: list[dict[str, Any]]

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """For Hypothesis: as SQL and steps to try by hand."""
        printer.text("\n".join(["Example:", *(f"{statement};" for statement in self.setup), *map(str, self.steps)]))


@st.composite
def examples(draw: st.DrawFn, server: PostgresServer, tally: Counter[str]) -> Example:
    """The database is there already: what can be planned is asked of it, step by step."""
    setup = draw(schemas())
    database = create_database(server)
    try:
        with database.connect() as conn:
            for statement in setup:
                conn.execute(raw(statement))
        return Example(database, setup, _sequence(database, draw, tally))
    except BaseException:  # also where Hypothesis gives up on the example
        drop_database(database)
        raise


def _sequence(database: Database, draw: Any, tally: Counter[str]) -> list[dict[str, Any]]:
    """Steps each of which can be planned after the ones before; those that cannot are counted, and left out."""
    steps: list[dict[str, Any]] = []
    driver = Driver(database, spec_of([{"dropTable": {"table": "none"}}]))
    with connect(driver.settings, application_name="test") as conn:
        facts = known = read_facts(conn, "public")
        for _ in range(draw(st.integers(2, 2 * LONGEST))):
            tried = [*steps, random_step(draw, known.graph, first=not steps)]
            try:
                spec = spec_of(tried, gates=GATES)
                plan_migration(spec, facts)
                rehearse(conn, spec, facts, first=len(tried))
                known = left_behind(spec, facts)
            except SpecError as error:
                tally["refused by PostgreSQL" if "PostgreSQL refuses" in error.message else "refused"] += 1
                continue
            steps = tried
            if len(steps) == LONGEST:
                break
    return steps


def _apply_and_undo(driver: Driver, tally: Counter[str]) -> None:
    before, facts = driver.graph(), _facts(driver)
    projected = left_behind(driver.spec, facts).graph
    steps = plan_migration(driver.spec, facts).steps
    try:
        driver.apply()
    except Refusal as refusal:
        tally[f"apply: {refusal.reason}"] += 1  # what the rows say; the gates are open
        return
    except StepFailed as error:
        tally[f"apply: {_excuse(steps, error)}"] += 1
        return
    after = driver.graph()
    with connect(driver.settings, application_name="test") as conn:
        assert not differences(conn, projected, after)
    driver.database.execute("DELETE FROM _zanith_migrations")
    again = Recorder()
    driver.apply(again)
    assert again.count("statement_started") == 0, "applied once more, it did something"

    for step in reversed(steps):
        found = driver.graph()
        try:
            driver.undo(step.index)
        except Refusal:
            assert driver.graph() == found, "a refused undo has touched something"
            tally["undo refused"] += 1
            return
        assert not step.undo.refused, "undone, though the plan says it cannot be"
    assert _without_column_order(driver.graph()) == _without_column_order(before)
    tally["undone"] += 1


def _excuse(steps: tuple[PlannedStep, ...], error: StepFailed) -> str:
    """Why it could not be known before. Raises the error where it could."""
    failed = steps[(error.step or 1) - 1]
    if any(s.kind in ("rawSql", "createExtension") for s in steps[: failed.index]) and "undefined_" in error.message:
        return "an earlier step might have made it"
    if "a row holds a value" in error.message and any(
        "where one fails, the step fails" in f.why for f in failed.findings
    ):
        return "PostgreSQL 15 cannot be asked which texts are of a type"
    raise error


def _facts(driver: Driver) -> Facts:
    with connect(driver.settings, application_name="test") as conn:
        return read_facts(conn, "public")


def _without_column_order(graph: SchemaGraph) -> Any:
    """Whole, but for the order of columns: one that was dropped comes back as the last."""
    fields = [
        (t.key, {name: getattr(t, name) for name in t.__slots__} | {"columns": sorted(t.columns, key=lambda c: c.name)})
        for t in graph.tables
    ]
    return fields, graph.views, graph.enums, graph.extensions
