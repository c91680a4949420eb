"""Cases of tables that are taken away and kept."""

from __future__ import annotations

from typing import Any

from operations_harness.cases import PLAIN, Case
from operations_harness.cases_security import PARENT, PARTITIONED

INDEXED = (
    PLAIN
    + "ALTER TABLE {s}.{t} ADD CONSTRAINT {c} UNIQUE ({d});"
    + "CREATE INDEX {d} ON {s}.{t} ({c});"
    + "ALTER TABLE {s}.{t} ADD COLUMN _zanith_dropped_x integer UNIQUE;"
)
CHILD = (
    PLAIN
    + "CREATE TABLE {s}.{c} (id bigint PRIMARY KEY, {d} bigint, CONSTRAINT {c} FOREIGN KEY ({d}) REFERENCES {s}.{t});"
)
ANOTHER = {
    "createTable": {
        "schema": "{s}",
        "table": "{t}",
        "columns": [{"name": "id", "type": "bigint", "identity": "Always"}, {"name": "{c}", "type": "text"}],
        "primaryKey": ["id"],
        "uniques": [{"columns": ["{c}"], "name": "{c}"}],
    }
}


def _on(**arguments: Any) -> dict[str, Any]:
    return {"schema": "{s}", "table": "{t}", **arguments}


CASES = [
    case
    for kind in ("softDropTable", "archiveTable")
    for case in (
        Case(f"{kind}", [{kind: _on()}]),
        Case(f"{kind}_indexed", [{kind: _on()}], setup=INDEXED),
        Case(f"{kind}_referenced", [{kind: _on()}], setup=CHILD),
        Case(f"{kind}_referencing", [{kind: _on()}], setup=PARENT),
        Case(f"{kind}_partitioned", [{kind: _on()}], setup=PARTITIONED),
        Case(f"{kind}_and_another_of_its_name", [{kind: _on()}, ANOTHER], setup=INDEXED),
        Case(f"{kind}_made_by_the_migration", [ANOTHER, {"addIndex": _on(columns=["id"])}, {kind: _on()}], setup=""),
    )
]
