"""Named queries: every .sql file is read whole, and a name stands for one query."""

from __future__ import annotations

from pathlib import Path

import pytest

from zanith.postgres.queries import named_queries


@pytest.mark.parametrize(
    ("file", "names"),
    [
        ("catalog.sql", {"identity", "tables", "views", "exclusively_locked"}),
        ("locks.sql", {"try_run_lock", "table_locks", "index_builders"}),
    ],
)
def test_queries_are_found_by_name_with_their_sentence(file: str, names: set[str]) -> None:
    found = named_queries("zanith.postgres", file)
    assert names <= set(found)
    assert all(text.startswith(b"-- ") and text.endswith(b";") for text in found.values())


def test_a_name_used_twice_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "twice_named"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "q.sql").write_text("-- name: one\nSELECT 1;\n-- name: one\nSELECT 2;\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=r"q\.sql: a query name is used twice"):
        named_queries("twice_named", "q.sql")
