"""What stands around the tables of a graph and is not part of it, but decides whether a step works and what it breaks.

Read from the catalog like the graph, never part of a plan's hash. Words are for people: names as PostgreSQL prints them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from zanith.core.identifiers import TableKey


@dataclass(frozen=True, slots=True)
class Dependent:
    """An object that needs another one, so that PostgreSQL refuses to drop that without CASCADE."""

    words: str
    """`column public.users.email`, `function public.f(public.users)`."""
    table: TableKey | None = None
    """The table it belongs to, where it belongs to one."""
    column: str | None = None
    """The column of that table that it is, or is the default of."""
    policy: str | None = None
    """The policy of that table that it is."""
    needs: tuple[str, ...] = ()
    """Columns it needs of the table it depends on."""

    def __str__(self) -> str:
        return self.words


@dataclass(frozen=True, slots=True)
class FunctionBody:
    """A function or procedure and the source text of it, which PostgreSQL keeps no dependencies of."""

    name: str
    """With its schema."""
    source: str

    def mentions(self, name: str) -> bool:
        return mentions(self.source, name)


@dataclass(frozen=True, slots=True)
class TriggerBody:
    """A user's trigger and the source text of its function, to find out what names a column."""

    trigger: str
    source: str

    def mentions(self, name: str) -> bool:
        return mentions(self.source, name)


@dataclass(frozen=True, slots=True)
class Publication:
    """How one publication publishes one table."""

    name: str
    columns: tuple[str, ...] = ()
    """Its column list; empty where it publishes all of them."""
    row_filter: str | None = None
    """Its WHERE, as PostgreSQL prints it."""


@dataclass(frozen=True, slots=True)
class ExtensionVersion:
    """A version of an extension that the server could install."""

    schema: str | None = None
    """The only schema it can be in, where it says so itself."""
    requires: tuple[str, ...] = ()
    """Extensions it needs."""
    untrusted: bool = False
    """Whether only a superuser may create it."""


def mentions(source: str, name: str) -> bool:
    """Whether the text has this name as a word of its own; unquoted names are the same in upper case."""
    ignore_case = re.IGNORECASE if name == name.lower() else 0
    return re.search(rf"(?<![\w$]){re.escape(name)}(?![\w$])", source, ignore_case) is not None


@dataclass(frozen=True, slots=True)
class SyncTrigger:
    """A trigger of ours that keeps the copy of a column in step, with its function in `_zanith_shadow`."""

    name: str
    function: str
    column: str
