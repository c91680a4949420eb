"""What the database runs beside a statement's own text: functions, operators, queries of views, rules.

Read from the catalog like the rest of the facts, never part of a plan. It fails closed: what stands in none of these
sets counts as code that nobody can see into.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from zanith.core.identifiers import TableKey


@dataclass(frozen=True, slots=True)
class KnownCode:
    """By default nothing is known, and so nothing is trusted."""

    builtin_functions: frozenset[str] = frozenset()
    """Functions that came with PostgreSQL of which no overload is VOLATILE: they answer, and change nothing."""
    other_functions: Mapping[tuple[str, str], bool] = field(default_factory=dict)
    """Every other function, by (schema, name): whether it is an extension's and not VOLATILE."""
    operators: frozenset[str] = frozenset()
    """Operators that came with PostgreSQL or an extension, and that no user has made one of the same name of."""
    views: Mapping[TableKey, str] = field(default_factory=dict)
    """The query of each view, as PostgreSQL prints it: every name of the users' with its schema."""
    rules: frozenset[tuple[TableKey, str]] = frozenset()
    """Tables with rules (CREATE RULE), each with a command, in lower case, that does something else than it says."""
