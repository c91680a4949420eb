"""Whatever stands in a manifest, the answer is a plan or a problem that names its field: never a crash."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unit.builders import VERSIONS, ctx, facts, operation, spec, unhurried, users
from zanith.api.spec import parse_manifest, parse_spec
from zanith.core.errors import SpecError
from zanith.core.graph import Column
from zanith.core.identifiers import TableKey
from zanith.operations.drop import DropColumn
from zanith.operations.step import KINDS, Step
from zanith.planning.planner import plan_migration

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8) | st.integers(), inner, max_size=3),
    max_leaves=8,
)
WORDS = st.sampled_from(
    [
        *(
            "users",
            "email",
            "age",
            "id",
            "new",
            "Odd {}",
            "%s",
            '"',
            "_zanith_x",
            "ctid",
            "public",
            "text",
            "bigserial",
        ),
        *("now()", "random()", "NULL", "a) OR (b", "lower(email)", "email IS NULL", "(SELECT 1)", "true", "x" * 70),
        *("id DESC", "btree", "Always", "Cascade", "", "\x00", "\ud800", "f(" * 60 + ")" * 60, "SETOF int", "int[]"),
    ]
)
VALUES: st.SearchStrategy[Any] = (
    WORDS | st.booleans() | st.lists(WORDS, max_size=2) | st.dictionaries(WORDS, WORDS, max_size=2) | ANYTHING
)
COLUMNS = st.lists(
    st.fixed_dictionaries(
        {"name": WORDS, "type": WORDS}, optional={"default": WORDS, "identity": WORDS, "collation": WORDS}
    ),
    min_size=1,
    max_size=2,
)
FOREIGN_KEYS = st.lists(
    st.fixed_dictionaries(
        {
            "columns": st.lists(WORDS, max_size=2),
            "referencesTable": WORDS,
            "referencesColumns": st.lists(WORDS, max_size=2),
        }
    ),
    max_size=1,
)
TYPED: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "createTable": {"columns": COLUMNS},
    "addColumn": {"type": WORDS},
    "addIndex": {"columns": st.lists(WORDS, min_size=1, max_size=2)},
    "alterColumnNullable": {"nullable": st.booleans()},
    "backfill": {"set": st.dictionaries(WORDS, WORDS, min_size=1, max_size=2), "where": WORDS},
}
OPTIONAL: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "createTable": {
        "primaryKey": st.lists(WORDS, max_size=2),
        "uniques": st.lists(st.fixed_dictionaries({"columns": st.lists(WORDS, max_size=2)}), max_size=2),
        "checks": st.lists(st.fixed_dictionaries({"name": WORDS, "expression": WORDS}), max_size=1),
        "foreignKeys": FOREIGN_KEYS,
    },
    "addColumn": {"default": WORDS, "nullable": st.booleans(), "comment": WORDS, "collation": WORDS},
    "addIndex": {"where": WORDS, "unique": st.booleans(), "include": st.lists(WORDS, max_size=1), "name": WORDS},
}


def steps_of(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    named = {"table": WORDS, **({"column": WORDS} if "olumn" in kind else {}), **TYPED.get(kind, {})}
    likely = st.fixed_dictionaries(named, optional=OPTIONAL.get(kind, {}))
    return st.fixed_dictionaries({kind: likely | st.dictionaries(WORDS, VALUES, max_size=3)})


STEPS = st.lists(st.sampled_from(sorted({*TYPED, "softDropColumn", "dropColumn"})).flatmap(steps_of), max_size=4)


@unhurried
@given(ANYTHING)
def test_any_document_is_a_manifest_or_a_problem(document: Any) -> None:
    for read in (parse_manifest, lambda d: parse_spec(d, name="m")):
        with pytest.raises(SpecError):
            read(document)


@unhurried
@given(STEPS, st.sampled_from([150018, 180006]))
def test_any_steps_are_a_plan_or_a_problem(steps: list[dict[str, Any]], version: int) -> None:
    problems: list[str] = []
    made = None
    try:
        made = plan_migration(spec(*steps), facts(version=version))
    except SpecError as error:
        problems = error.problems
    if made is None:
        assert problems and all(p.startswith("spec.steps") for p in problems)
        return
    assert [s.kind for s in made.steps] == [next(iter(s)) for s in steps]
    assert all(s.findings and s.statements for s in made.steps)
    assert not any("\x00" in text.sql for s in made.steps for text in s.statements)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (
            {"addColum": {}},
            "spec.steps[0].addColum: unknown key (did you mean addColumn?)",
        ),
        (
            {"add_column": {"table": "users", "column": "a", "type": "text"}},
            "spec.steps[0].add_column: unknown key (did you mean addColumn?)",
        ),
        (
            {"backfill": {"table": "users", "set": {"a": "1"}, "wehre": "a IS NULL"}},
            "spec.steps[0].backfill.where: is required; spec.steps[0].backfill.wehre: unknown key (did you mean where?)",
        ),
        (
            {"createTable": {"table": "t", "columns": [{"name": "a", "typ": "text"}]}},
            "spec.steps[0].createTable.columns[0].type: is required; "
            "spec.steps[0].createTable.columns[0].typ: unknown key (did you mean type?)",
        ),
        (
            {"addColumn": {"table": "users", "column": "a", "type": "text", "comment": "a\x00"}},
            "spec.steps[0].addColumn.comment: must not contain a NUL character",
        ),
        (
            {"backfill": {"table": "users", "set": {"a": "1; DROP TABLE users"}, "where": "true"}},
            'spec.steps[0].backfill.set.a: is not valid SQL: syntax error at or near ";"',
        ),
        ({}, f"spec.steps[0]: must have exactly one key, its kind: one of {', '.join(KINDS)}"),
        ({"addColumn": None}, f"spec.steps[0]: must have exactly one key, its kind: one of {', '.join(KINDS)}"),
        (
            {"dropColumn": {"table": "a", "column": "b"}, "softDropColumn": {"table": "a", "column": "b"}},
            f"spec.steps[0]: must have exactly one key, its kind: one of {', '.join(KINDS)}",
        ),
    ],
)
def test_a_problem_names_its_field_by_path(steps: dict[str, Any], expected: str) -> None:
    with pytest.raises(SpecError) as refused:
        spec(steps)
    assert str(refused.value) == expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"gates": {"max_risk": 95}}, "spec.gates.max_risk: unknown key (did you mean maxRisk?)"),
        ({"gates": {"maxRisk": 10, "max_risk": 95}}, "spec.gates.max_risk: unknown key (did you mean maxRisk?)"),
        ({"execution": {"lockTimeout": "2h"}}, "spec.execution.lockTimeout: must be at most 1h: as long, others wait behind it"),
        ({"retention": "36501d"}, "spec.retention: must be at most 36500d, a hundred years"),
        ({"retention": "0d"}, "spec.retention: must be longer than zero"),
        ({"execution": {"job": {"nodeSelector": {"a": {"b": "c"}}}}}, "spec.execution.job.nodeSelector.a: input should be a valid string"),
    ],
)  # fmt: skip
def test_only_what_was_meant_gets_through(change: dict[str, Any], expected: str) -> None:
    with pytest.raises(SpecError) as refused:
        spec({"dropColumn": {"table": "a", "column": "b"}}, **change)
    assert str(refused.value) == expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({1: 2, "spce": {}, None: 3}, "1: unknown key"),
        ({"metadata": {"name": "Two Words\n"}}, "metadata.name: must be lower-case letters, digits, - and ., and begin and end with a letter or digit"),
        ({"spec": [1]}, "spec: must be a mapping"),
    ],
)  # fmt: skip
def test_the_frame_may_be_anything(change: dict[Any, Any], expected: str) -> None:
    document = {"apiVersion": "zanith.io/v1alpha1", "kind": "ZanithMigration", "metadata": {"name": "m"}, **change}
    with pytest.raises(SpecError) as refused:
        parse_manifest(document)
    assert str(refused.value) == expected


def test_names_of_fields_are_for_us_and_names_of_keys_for_users() -> None:
    written = {"dropColumn": {"table": "a", "column": "b", "schema": "s"}}
    by_key = spec(written).steps[0]
    assert by_key == Step(drop_column=DropColumn(table="a", column="b", schema_name="s"))
    assert by_key.model_dump(by_alias=True, exclude_none=True) == written


HOSTILE = 'o"dd {} %s ? ;--'


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("createTable", {"columns": [{"name": HOSTILE, "type": "text"}], "primaryKey": [HOSTILE], "comment": HOSTILE}),
        ("addColumn", {"column": "new" + HOSTILE, "type": "text", "comment": HOSTILE}),
        ("alterColumnNullable", {"column": HOSTILE, "nullable": False}),
        ("addIndex", {"columns": [HOSTILE], "unique": True}),
        ("backfill", {"set": {HOSTILE: "1"}, "where": "true"}),
        ("softDropColumn", {"column": HOSTILE}),
        ("dropColumn", {"column": HOSTILE}),
    ],
)
def test_any_name_is_quoted(kind: str, arguments: dict[str, Any], version: int) -> None:
    name = "t" + HOSTILE
    tables = () if kind == "createTable" else (users(Column(HOSTILE, "text"), name=name),)
    asked = operation(kind, **{"table": name, **arguments})
    context = ctx(*tables, version=version)
    assert list(asked.problems(context)) == []
    quoted = '"public"."t' + HOSTILE.replace('"', '""') + '"'
    assert all(quoted in s.sql for s in asked.statements(context))
    assert asked.project(context).table(TableKey("public", name)) is not None
