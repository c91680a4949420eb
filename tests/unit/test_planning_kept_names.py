"""One migration keeps two things under one name never: the second is refused, whatever became of the first's table."""

from __future__ import annotations

from typing import Any

import pytest

from unit.builders import spec
from zanith.core.errors import SpecError
from zanith.core.graph import Column, Constraint, DatabaseIdentity, Facts, SchemaGraph, Table
from zanith.planning.planner import extend_plan, plan_migration

DROP = {"softDropColumn": {"table": "t", "column": "c"}}
ADD = {"addColumn": {"table": "t", "column": "c", "type": "text"}}
RENAMED = [
    {"renameTable": {"table": "t", "newName": "v"}},
    {"addColumn": {"table": "v", "column": "c", "type": "text"}},
]
MADE = {"createTable": {"table": "t", "columns": [{"name": "c", "type": "text"}]}}


@pytest.mark.parametrize(
    "steps",
    [
        [DROP, ADD, DROP],
        [DROP, *RENAMED, {"softDropColumn": {"table": "v", "column": "c"}}],
        [{"softDropTable": {"table": "t"}}, MADE, {"softDropTable": {"table": "t"}}],
        [{"archiveTable": {"table": "t"}}, MADE, {"archiveTable": {"table": "t"}}],
    ],
)
def test_a_second_one_of_the_same_name_is_refused(steps: list[dict[str, Any]]) -> None:
    with pytest.raises(
        SpecError, match=rf"spec\.steps\[{len(steps) - 1}\].*step 1 keeps another public\.[tv]"
    ) as caught:
        plan_migration(spec(*steps), _facts())
    assert caught.value.step == len(steps)


@pytest.mark.parametrize(
    "steps",
    [
        [DROP, {"softDropColumn": {"table": "u", "column": "c"}}],
        [{"softDropTable": {"table": "t"}}, {"softDropTable": {"table": "u"}}],
        [
            DROP,
            {"archiveTable": {"table": "t"}},
            MADE,
            {"addColumn": {"table": "t", "column": "d", "type": "text"}},
            DROP,
        ],
    ],
)
def test_names_of_other_places_are_free(steps: list[dict[str, Any]]) -> None:
    assert len(plan_migration(spec(*steps), _facts()).steps) == len(steps)


def test_what_a_begun_plan_keeps_counts_too() -> None:
    plan = plan_migration(spec(*[DROP, ADD]), _facts())
    with pytest.raises(SpecError, match=r"spec\.steps\[2\].*step 1 keeps another public\.t\.c"):
        extend_plan(plan, spec(*[DROP, ADD, DROP]), _facts(), done={1, 2})


def _facts() -> Facts:
    columns = (Column("id", "bigint", not_null=True), Column("c", "text"))
    key = (Constraint("k", "primary_key", "PRIMARY KEY (id)", ("id",)),)
    tables = tuple(Table("public", name, columns=columns, constraints=key) for name in ("t", "u"))
    return Facts(SchemaGraph(tables=tables), DatabaseIdentity("1", 1, "db"), 180000, "public")
