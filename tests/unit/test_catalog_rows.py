"""Rows of the catalog that do not fit together, as when something is dropped between two queries."""

from __future__ import annotations

from dataclasses import replace

import pytest

from zanith.core.graph import DatabaseIdentity
from zanith.postgres.catalog_rows import CatalogChanged, CatalogRows, Row, facts_from

TABLE: Row = {
    "oid": 1, "schema": "public", "name": "users", "kind": "r", "persistence": "p", "row_security": False,
    "force_row_security": False, "tuples": 5.0, "bytes": None, "heap_bytes": None, "partition_key": None,
    "partition_bound": None, "parent_schema": None, "parent_name": None, "comment": None,
}  # fmt: skip
INDEX: Row = {
    "table_oid": 1, "name": "i", "definition": "CREATE INDEX ...", "unique": False, "valid": True, "numbers": [2],
    "further_numbers": [2], "comment": None,
}  # fmt: skip
TRIGGER: Row = {"table_oid": 1, "name": "t", "definition": None, "enabled": True, "on_update": False, "comment": None}
EMPTY = CatalogRows(
    identity=DatabaseIdentity("1", 2, "shop"), server_version=150018, default_schema="public", tables=[TABLE],
    columns=[], constraints=[], indexes=[], triggers=[], policies=[], enums=[], views=[], view_dependencies=[],
    volatile_functions=[], constrained_domains=[],
)  # fmt: skip


def test_a_table_without_a_size_any_more_has_none() -> None:
    (size,) = facts_from(EMPTY).sizes.values()
    assert (size.rows, size.bytes) == (5, 0)


def test_an_index_on_a_column_that_is_gone_asks_for_another_look() -> None:
    with pytest.raises(CatalogChanged):
        facts_from(replace(EMPTY, indexes=[INDEX]))


def test_a_definition_that_is_gone_asks_for_another_look() -> None:
    with pytest.raises(CatalogChanged):
        facts_from(replace(EMPTY, triggers=[TRIGGER]))
