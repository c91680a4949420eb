"""Where a definition names a table or a column, and how PostgreSQL prints those names. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from zanith.core.sql import definition_tree, printed, token_places, tree_nodes


@dataclass(frozen=True, slots=True)
class Token:
    """A token of a statement, and where it stands, in bytes of UTF-8."""

    start: int
    end: int
    text: str

    @property
    def name(self) -> str | None:
        """The identifier it is; PostgreSQL prints its own words in capitals and quotes all other names."""
        if self.text.startswith('"'):
            return self.text[1:-1].replace('""', '"')
        return self.text if re.fullmatch(r"[a-z_][a-z0-9_]*", self.text) else None


@dataclass(frozen=True, slots=True)
class Mention:
    """A table or a column that a statement names: the parts of the name, and the number of the first part's token."""

    names: tuple[str, ...]
    token: int
    alias: str = ""
    """What else a table is called in the statement."""
    result: str | None = None
    """Where the column is a subquery's result: what comes after `AS`; empty where it is called like the column."""


@dataclass(frozen=True, slots=True)
class Scanned:
    """A statement as tokens, and what its tree says of them: a name may look like any other word."""

    tokens: tuple[Token, ...]
    columns: tuple[Mention, ...]
    tables: tuple[Mention, ...]


def scan_statement(statement: str) -> Scanned:
    """Tokens and mentions of one statement that PostgreSQL printed. Raises SqlProblem."""
    tree, text = definition_tree(statement), statement.encode()
    places = token_places(statement)
    number = {start: n for n, (start, _) in enumerate(places)}
    results = {t.location: t.name for t in tree_nodes(tree, "ResTarget")}
    return Scanned(
        tokens=tuple(Token(start, end, text[start:end].decode()) for start, end in places),
        columns=tuple(
            Mention(
                tuple(f.string.sval or "*" for f in c.fields),
                number[c.location],
                result=results.get(c.location),
            )
            for c in tree_nodes(tree, "ColumnRef")
        ),
        tables=tuple(
            Mention((t.schemaname, t.relname), number[t.location], t.alias.aliasname)
            for t in tree_nodes(tree, "RangeVar")
            if t.schemaname
        ),
    )


def names_as_printed(expression: str) -> str:
    """An author's expression with names in quotes only where PostgreSQL prints them so: `"name"` is `name`."""
    text, pieces, at = expression.encode(), [], 0
    for start, end in token_places(expression):
        token = text[start:end].decode()
        if token.startswith('"'):
            pieces += [text[at:start], printed(token[1:-1].replace('""', '"')).encode()]
            at = end
    return b"".join([*pieces, text[at:]]).decode()
