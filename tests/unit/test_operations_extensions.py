"""Extensions: what the server cannot install or drop is said before."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from unit.builders import brief, ctx, graph, spec
from zanith.core.graph import Extension
from zanith.core.graph_json import graph_from_json, graph_hash, graph_to_json
from zanith.core.identifiers import TableKey
from zanith.core.statement import Lock
from zanith.core.surroundings import Dependent, ExtensionVersion, FunctionBody
from zanith.operations.operation import Operation
from zanith.operations.step_context import StepContext

VERSIONS = {
    ("cube", "1.5"): ExtensionVersion(),
    ("earth", "1.1"): ExtensionVersion(requires=("cube", "plpgsql"), untrusted=True),
    ("deep", "1"): ExtensionVersion(requires=("earth", "cube", "lost")),
    ("fixed", "1"): ExtensionVersion(schema="its_own"),
    ("fixed", "2"): ExtensionVersion(schema="its_own"),
}
AVAILABLE = {"cube": "1.5", "earth": "1.1", "deep": "1", "fixed": "2"}
CRON = TableKey("cron", "job")


def extension(kind: str, name: str, **arguments: Any) -> Operation:
    return spec({kind: {"name": name, **arguments}}).steps[0].operation


def at(*installed: Extension, **changes: Any) -> StepContext:
    return ctx(
        graph=graph(extensions=installed), available_extensions=AVAILABLE, extension_versions=VERSIONS, **changes
    )


CUBE = Extension("cube", "public", "1.5")


@pytest.mark.parametrize(
    ("name", "arguments", "installed", "expected"),
    [
        ("cube", {}, (), []),
        ("cube", {}, (CUBE,), ["extension cube is installed already"]),
        ("plpgsql", {}, (), ["extension plpgsql is installed already"]),
        (
            "cub",
            {},
            (),
            ["extension cub is not available on the server (did you mean cube?); install its package there first"],
        ),
        ("fixed", {"version": "3"}, (), ["extension fixed has no version 3 on the server, only 1, 2"]),
        ("fixed", {"schema": "mine"}, (), ["extension fixed can only be in schema its_own"]),
        ("fixed", {"schema": "its_own", "version": "1"}, (), []),
        ("earth", {}, (), ["extension earth needs cube; create that first, or set cascade: true"]),
        ("earth", {}, (CUBE,), []),
        ("earth", {"cascade": True}, (), []),
        ("deep", {"cascade": True}, (), ["extension lost, which deep needs, is not available on the server"]),
    ],
)
def test_what_cannot_be_installed_is_said(
    name: str, arguments: dict[str, Any], installed: tuple[Extension, ...], expected: list[str]
) -> None:
    assert list(extension("createExtension", name, **arguments).problems(at(*installed))) == expected


def test_an_extension_only_a_superuser_may_create_is_medium() -> None:
    found = extension("createExtension", "earth", cascade=True).findings(at())
    assert brief(found) == [("low", "adds_extension"), ("medium", "adds_extension")]


def test_an_extension_is_created_with_what_was_asked_for() -> None:
    asked = extension("createExtension", "earth", schema="geo", version="1.1", cascade=True)
    (statement,) = asked.statements(at())
    assert statement.sql == """CREATE EXTENSION "earth" SCHEMA "geo" VERSION '1.1' CASCADE"""
    assert (statement.lock, asked.target(at())) == (Lock.NONE, "earth")
    projected = (Extension("cube", "geo", "1.5"), Extension("earth", "geo", "1.1"))
    assert asked.project(at()).extensions == projected
    assert asked.project(at(*projected)).extensions == projected


def test_what_came_with_it_goes_with_it_unless_it_is_in_use() -> None:
    undo = extension("createExtension", "earth", cascade=True).undo(at())
    assert [s.sql for s in undo.statements] == ['DROP EXTENSION "cube", "earth"']
    (probe,) = undo.probes
    assert (probe.question, probe.kind.value) == ("extension cube or earth is in use", "in_use")
    assert "'{cube,earth}'" in probe.sql


def test_an_extension_goes_where_it_says_itself() -> None:
    assert extension("createExtension", "fixed").project(at()).extensions == (Extension("fixed", "its_own", "2"),)
    assert extension("createExtension", "fixed").statements(at())[0].sql == 'CREATE EXTENSION "fixed"'
    lost = extension("createExtension", "deep", cascade=True).project(at())
    assert [e.name for e in lost.extensions] == ["cube", "deep", "earth", "lost"]


def test_an_extension_in_use_names_who_needs_it() -> None:
    known = at(CUBE, extension_users={"cube": (Dependent("column public.users.c"), Dependent("extension earth"))})
    assert list(extension("dropExtension", "cube").problems(known)) == [
        "column public.users.c needs extension cube; drop or change it first",
        "extension earth needs extension cube; drop or change it first",
    ]
    assert list(extension("dropExtension", "cub").problems(known)) == [
        "extension cub is not installed (did you mean cube?)"
    ]


def test_functions_that_name_its_functions_are_found() -> None:
    known = at(
        CUBE,
        extension_functions={"cube": frozenset({"cube_dim", "cube_size"})},
        functions=(FunctionBody("public.f", "SELECT CUBE_SIZE(x), cube_dim(x)"), FunctionBody("public.g", "SELECT 1")),
    )
    found = list(extension("dropExtension", "cube").findings(known))
    assert brief(found) == [("high", "drops_extension"), ("high", "drops_extension_in_use")]
    assert found[1].why == "function public.f names cube_dim of extension cube: calls of it may fail"


def test_an_extension_with_tables_takes_their_rows_along() -> None:
    cron = Extension("cron", "cron", "1")
    known = at(cron, extension_tables={CRON: "cron", TableKey("a", "b"): "other"})
    asked = extension("dropExtension", "cron")
    assert list(asked.problems(known)) == []
    assert brief(asked.findings(known)) == [("high", "drops_extension"), ("destructive", "drops_table_with_data")]
    (statement,) = asked.statements(known)
    assert (statement.lock, statement.on) == (Lock.ACCESS_EXCLUSIVE, (CRON,))
    assert asked.undo(known).refused == "the rows of cron.job went with extension cron"


@pytest.mark.parametrize(("version", "words"), [("1.5", " VERSION '1.5'"), ("", "")])
def test_a_dropped_extension_comes_back_in_its_schema_and_version(version: str, words: str) -> None:
    known = at(replace(CUBE, schema="geo", version=version))
    asked = extension("dropExtension", "cube")
    assert [s.sql for s in asked.undo(known).statements] == [f'CREATE EXTENSION "cube" SCHEMA "geo"{words}']
    assert [s.sql for s in asked.statements(known)] == ['DROP EXTENSION "cube"']
    assert asked.project(known).extensions == ()
    assert asked.target(known) == "cube"


def test_a_snapshot_keeps_extensions_and_is_as_it_was_without() -> None:
    known = graph(extensions=(CUBE,))
    assert graph_from_json(graph_to_json(known)) == known
    assert graph_hash(known) != graph_hash(graph())
    assert "extensions" not in graph_to_json(graph())
