"""Manifest files as the command line reads them, and the order they are run in."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from zanith.api.spec import parse_spec
from zanith.cli.manifests import Manifest, read_manifests
from zanith.cli.ordering import in_order, outside
from zanith.core.errors import SpecError


def document(name: str, *, spec: str = "", column: str = "c") -> str:
    return f"""\
apiVersion: zanith.io/v1alpha1
kind: ZanithMigration
metadata: {{name: {name}}}
spec:
  database: {{secretRef: {{name: db}}}}
  steps: [{{addColumn: {{table: t, column: {column}, type: text}}}}]
  {spec}
"""


SECRET = """\
apiVersion: v1
kind: Secret
metadata: {name: shop-db}
stringData: {uri: "postgres://u:geheim@h/d"}
"""


def read(*paths: Path | str) -> tuple[list[str], list[str]]:
    """Names that were read, and notes."""
    notes: list[str] = []
    manifests = read_manifests([str(path) for path in paths], note=notes.append)
    return [m.name for m in manifests], notes


def problem_of(folder: Path, text: str) -> str:
    """What is said of a file with this text."""
    file = folder / "m.yaml"
    file.write_text(text)
    with pytest.raises(SpecError) as caught:
        read(file)
    assert "geheim" not in caught.value.message
    return caught.value.message.replace(str(file), "m.yaml")


def test_several_documents_in_a_file_and_files_of_a_folder_by_name(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text(f"{document('b1')}---\n---\n{document('b2')}")
    (tmp_path / "a.yml").write_text(document("a"))
    (tmp_path / "c.json").write_text('{"kind": "List", "items": []}')
    (tmp_path / "README.md").write_text("not one of ours")
    (tmp_path / "deeper.yaml").mkdir()
    assert read(tmp_path) == (["a", "b1", "b2"], [])
    assert read(tmp_path / "b.yaml", tmp_path / "a.yml")[0] == ["b1", "b2", "a"]


def test_resources_of_other_kinds_are_skipped_and_named_without_their_content(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    file.write_text(f"{SECRET}---\n{document('a')}---\nkind: Namespace\nmetadata: nothing\n")
    assert read(file) == (
        ["a"],
        [
            f"skipped Secret shop-db in {file}: not a ZanithMigration",
            f"skipped Namespace in {file}: not a ZanithMigration",
        ],
    )


def test_a_list_as_kubectl_prints_it_is_read(tmp_path: Path) -> None:
    items = "".join(f"- {document(name).replace(chr(10), chr(10) + '  ').rstrip()}\n" for name in ("a", "b"))
    (tmp_path / "m.yaml").write_text(f"apiVersion: v1\nkind: List\nitems:\n{items}")
    assert read(tmp_path / "m.yaml")[0] == ["a", "b"]


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(document("a")))
    assert read("-")[0] == ["a"]


def test_an_unquoted_date_is_a_string_as_kubectl_has_it(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(document("2026-04-01"))
    assert read(tmp_path / "m.yaml")[0] == ["2026-04-01"]


def test_a_merge_key_may_be_given_beside_a_key_it_brings(tmp_path: Path) -> None:
    merged = document("a").replace("metadata: {name: a}", "metadata: {<<: &m {name: b}, name: a}")
    (tmp_path / "m.yaml").write_text(merged)
    assert read(tmp_path / "m.yaml")[0] == ["a"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (document("a", spec="steps: []"), "m.yaml:7: key steps is repeated"),
        (document("a").replace("column: c,", "column: c, column: d,"), "m.yaml:6: key column is repeated"),
        ("1: a\n", "m.yaml:1: a key is not a string"),
        ("a: [1\nb: geheim\n", "m.yaml:2: expected ',' or ']', but got ':'"),
        ("a: \x07geheim\n", "m.yaml: is not YAML"),
        ("- a\n", "m.yaml: document: the document must be a mapping"),
        ("spec: {}\n", "m.yaml: document: apiVersion and kind must be zanith.io/v1alpha1 and ZanithMigration"),
        (SECRET, "no ZanithMigration in m.yaml"),
        ("", "no ZanithMigration in m.yaml"),
        ("kind: List\n", "no ZanithMigration in m.yaml"),
        (
            document("a").replace("v1alpha1", "v1"),
            "m.yaml: ZanithMigration a: apiVersion and kind must be zanith.io/v1alpha1 and ZanithMigration",
        ),
        (
            f"{document('a', spec='wehre: x')}---\n{document('b', spec='suspned: true')}",
            "m.yaml: ZanithMigration a: spec.wehre: unknown key; "
            "m.yaml: ZanithMigration b: spec.suspned: unknown key (did you mean suspend?)",
        ),
        (f"{document('a')}---\n{document('a')}", "metadata.name a is in m.yaml and again in m.yaml"),
        (
            f"{document('a', spec='migrationId: x')}---\n{document('b', spec='migrationId: x')}",
            "spec.migrationId x is that of a and of b",
        ),
    ],
)
def test_bad_files_are_told_by_name_and_line(tmp_path: Path, text: str, said: str) -> None:
    assert problem_of(tmp_path, text) == said


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"a: \xe9")
    for path, said in [
        (tmp_path / "latin.yaml", "is not UTF-8 text"),
        (tmp_path / "none.yaml", "cannot be read: No such file or directory"),
    ]:
        with pytest.raises(SpecError) as caught:
            read(path)
        assert caught.value.message == f"{path}: {said}"
    (tmp_path / "latin.yaml").unlink()
    with pytest.raises(SpecError, match=r"no file ending in \.json, \.yaml, \.yml in this folder"):
        read(tmp_path)


def migrations(**dependencies: list[str]) -> list[Manifest]:
    spec: dict[str, Any] = {
        "database": {"secretRef": {"name": "db"}},
        "steps": [{"addColumn": {"table": "t", "column": "c", "type": "text"}}],
    }
    return [
        Manifest(name, parse_spec(spec | {"dependsOn": needed}, name=name), "m.yaml")
        for name, needed in dependencies.items()
    ]


def test_what_a_migration_depends_on_comes_before_it_and_the_rest_stays_in_place() -> None:
    given = migrations(d=["b", "c"], a=[], b=["c"], c=["outside"], e=["a"])
    assert [m.name for m in in_order(given)] == ["c", "b", "d", "a", "e"]
    assert {name: m.name for name, m in outside(given, given).items()} == {"outside": "c"}
    assert {name: m.name for name, m in outside(given[2:], given[2:]).items()} == {"outside": "c", "a": "e"}
    assert outside([given[4]], given) == {}


def test_a_long_chain_is_no_trouble() -> None:
    chain = migrations(**{f"m{n}": [f"m{n + 1}"] if n < 999 else [] for n in range(1000)})
    assert [m.name for m in in_order(chain)] == [f"m{n}" for n in reversed(range(1000))]


@pytest.mark.parametrize(
    ("dependencies", "circle"),
    [
        ({"a": ["a"]}, "a → a"),
        ({"x": [], "a": ["b"], "b": ["x", "c"], "c": ["a"]}, "a → b → c → a"),
        ({"start": ["a"], "a": ["b"], "b": ["a"]}, "a → b → a"),
    ],
)
def test_a_circle_is_told_link_by_link(dependencies: dict[str, list[str]], circle: str) -> None:
    with pytest.raises(SpecError) as caught:
        in_order(migrations(**dependencies))
    assert caught.value.message == f"spec.dependsOn goes in a circle: {circle}"
    assert caught.value.reason == "DependencyCycle"
