"""The names PostgreSQL gives where the author gives none. Typed kinds always give one; SQL of somebody's own need not.

As `makeObjectName` and `ChooseIndexName` of PostgreSQL do; a number they add because a name is taken is not foreseen.
"""

from __future__ import annotations

from collections.abc import Sequence

from zanith.core.identifiers import MAX_IDENTIFIER_BYTES


def default_name(table: str, columns: Sequence[str], label: str) -> str:
    """`table_column_label`, the longer of its first two parts cut until all of it fits into 63 bytes."""
    first, second = table.encode(), _together(columns)
    available = MAX_IDENTIFIER_BYTES - len(label) - 1 - (1 if second else 0)
    ends = [len(first), len(second)]
    while sum(ends) > available:
        ends[0 if ends[0] > ends[1] else 1] -= 1
    parts = [first[: ends[0]].decode(errors="ignore"), second[: ends[1]].decode(errors="ignore"), label]
    return "_".join(part for part in parts if part)


def _together(columns: Sequence[str]) -> bytes:
    joined = "_".join(columns).encode()
    return joined[:MAX_IDENTIFIER_BYTES].decode(errors="ignore").encode()
