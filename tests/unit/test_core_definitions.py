"""Definitions as PostgreSQL prints them, read by its own parser."""

from __future__ import annotations

import pytest

from zanith.core.definitions import (
    ForeignKeyDefinition,
    IndexDefinition,
    IndexKey,
    UniqueDefinition,
    foreign_key_definition,
    index_definition,
    unique_definition,
)
from zanith.core.identifiers import TableKey
from zanith.core.sql import SqlProblem, concurrently


def test_an_index_with_everything() -> None:
    text = (
        'CREATE UNIQUE INDEX "x WHERE" ON s."T" USING btree (lower("a B") DESC, b) INCLUDE (c) NULLS NOT DISTINCT '
        "WHERE (d = ANY (ARRAY['a WHERE'::text, 'b'::text]))"
    )
    found = index_definition(text)
    assert found == IndexDefinition(
        method="btree",
        keys=(IndexKey(None, 'lower("a B")'), IndexKey("b")),
        include=("c",),
        where="d = ANY(ARRAY['a WHERE'::text, 'b'::text])",
        unique=True,
        nulls_not_distinct=True,
    )
    assert found.columns is None


def test_a_plain_index_has_columns() -> None:
    found = index_definition("CREATE INDEX i ON s.t USING hash (a)")
    assert (found.method, found.columns, found.include, found.where) == ("hash", ("a",), (), None)
    assert (found.unique, found.nulls_not_distinct) == (False, False)


def test_unique_constraints() -> None:
    text = 'UNIQUE NULLS NOT DISTINCT (a, "B c") INCLUDE (d) DEFERRABLE INITIALLY DEFERRED'
    assert unique_definition(text) == UniqueDefinition(("a", "B c"), ("d",), True, True, True, temporal=False)
    assert unique_definition("PRIMARY KEY (a)") == UniqueDefinition(("a",), (), False, False, False, temporal=False)
    assert unique_definition("UNIQUE (a, b WITHOUT OVERLAPS)").temporal


def test_foreign_keys() -> None:
    text = 'FOREIGN KEY (a, b) REFERENCES s."T"(x, y) MATCH FULL ON DELETE SET NULL (a) DEFERRABLE NOT VALID'
    assert foreign_key_definition(text) == ForeignKeyDefinition(
        columns=("a", "b"),
        references=TableKey("s", "T"),
        referenced=("x", "y"),
        match_full=True,
        validated=False,
        enforced=True,
        temporal=False,
        on_update="a",
    )
    plain = foreign_key_definition("FOREIGN KEY (a) REFERENCES s.t(x)")
    assert (plain.match_full, plain.validated, plain.enforced) == (False, True, True)
    assert foreign_key_definition("FOREIGN KEY (a) REFERENCES s.t(x) ON UPDATE SET NULL").on_update == "n"
    assert not foreign_key_definition("FOREIGN KEY (a) REFERENCES s.t(x) NOT ENFORCED").enforced
    assert foreign_key_definition("FOREIGN KEY (a, PERIOD b) REFERENCES s.t(x, PERIOD y)").temporal


@pytest.mark.parametrize(
    ("printed", "made"),
    [
        ("CREATE INDEX i ON s.t USING btree (a)", "CREATE INDEX CONCURRENTLY i ON s.t USING btree (a)"),
        (
            'CREATE UNIQUE INDEX "CREATE INDEX x" ON s.t USING btree (a) WHERE (b = ANY (ARRAY[1, 2]))',
            'CREATE UNIQUE INDEX CONCURRENTLY "CREATE INDEX x" ON s.t USING btree (a) WHERE (b = ANY (ARRAY[1, 2]))',
        ),
    ],
)
def test_an_index_is_built_concurrently_and_nothing_else_changes(printed: str, made: str) -> None:
    assert concurrently(printed) == made


@pytest.mark.parametrize("text", ["CREATE TABLE t (a int)", "CREATE INDEX i ON t (a); DROP TABLE t"])
def test_what_is_no_index_is_not_built(text: str) -> None:
    with pytest.raises(SqlProblem):
        concurrently(text)
