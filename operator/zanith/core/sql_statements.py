"""Whole SQL statements through the parser (postgast: PostgreSQL 18's own grammar), for rawSql. Text in, trees out.

With `zanith.core.sql` the only importer of the parser. A tree is handed out as plain data, mappings, lists and strings,
with the parser's own names (`alter_table_stmt`, `AT_AddColumn`), so that nobody else depends on its classes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zanith.core.sql import SqlProblem

_COMMENTS = frozenset({"SQL_COMMENT", "C_COMMENT"})

Tree = Mapping[str, Any]
"""A node of a parse tree; what has its default value is left out."""


@dataclass(frozen=True, slots=True)
class ParsedStatement:
    """One statement. `text` is the author's own, without what surrounds it; `kind` the parser's word for it."""

    text: str
    kind: str
    tree: Tree


def parse_statements(text: str) -> tuple[ParsedStatement, ...]:
    """Parse one or more statements, separated by semicolons. Raises SqlProblem."""
    from google.protobuf.json_format import MessageToDict  # type: ignore[import-untyped]  # protobuf ships no types

    if "\x00" in text:
        raise SqlProblem("must not contain a NUL character")
    content = text.encode()
    ends = _ends(text)
    found = []
    for number, raw in enumerate(_parse(text)):
        start, end = ends[number]
        ((kind, tree),) = MessageToDict(raw.stmt, preserving_proto_field_name=True).items()
        found.append(ParsedStatement(content[start:end].decode(), kind, tree))
    if not found:
        raise SqlProblem("must not be empty")
    return tuple(found)


def parse_query(text: str) -> ParsedStatement:
    """Parse exactly one query that answers with one column. Raises SqlProblem."""
    found = parse_statements(text)
    if len(found) != 1 or found[0].kind != "select_stmt" or len(found[0].tree.get("target_list", ())) != 1:
        raise SqlProblem("must be a single query that answers one boolean")
    if "into_clause" in found[0].tree or any(nodes(found[0].tree, *DATA_CHANGES, "locking_clause")):
        raise SqlProblem("must only ask, not change anything")
    if any(nodes(found[0].tree, "param_ref")):
        raise SqlProblem("must not use parameters ($1)")
    return found[0]


DATA_CHANGES = ("insert_stmt", "update_stmt", "delete_stmt", "merge_stmt")
"""The statements that change rows, wherever they stand: a WITH may hold them."""


def nodes(tree: Any, *kinds: str) -> Iterator[Tree]:
    """Every node of these kinds, the outermost first; `kinds` in the parser's words: `func_call`."""
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            if key in kinds and isinstance(value, Mapping):
                yield value
            yield from nodes(value, *kinds)
    elif isinstance(tree, Sequence) and not isinstance(tree, str):
        for item in tree:
            yield from nodes(item, *kinds)


def expression_text(tree: Tree) -> str:
    """An expression of a tree as SQL, in the parser's own layout."""
    return _printed({"res_target": {"val": tree}}).removeprefix("SELECT ")


def parse_value(text: str) -> Tree:
    """The tree of an expression that PostgreSQL printed, as the target of a query. Raises SqlProblem."""
    return parse_statements(f"SELECT (\n{text}\n)")[0].tree


def definition_of(constraint: str) -> Tree:
    """The tree of a constraint as `pg_get_constraintdef` prints it, inside of a statement. Raises SqlProblem."""
    return parse_statements(f"ALTER TABLE t ADD {constraint}")[0].tree


def type_text(tree: Tree) -> str:
    """A type name of a tree as SQL: `numeric(10, 2)`."""
    cast = {"type_cast": {"arg": {"a_const": {"isnull": True}}, "type_name": tree}}
    return _printed({"res_target": {"val": cast}}).removeprefix("SELECT NULL::")


def index_element_text(tree: Tree) -> str:
    """An element of an index as SQL: `lower(email) DESC`. A plain column is its exact name, not quoted."""
    if set(tree) <= {"name", "ordering", "nulls_ordering", "location"} and _plainly_ordered(tree):
        return str(tree.get("name", ""))
    statement = {"index_stmt": {"idxname": "i", "relation": _RELATION, "index_params": [{"index_elem": tree}]}}
    printed = _deparse({"access_method": "btree", **statement["index_stmt"]}, "index_stmt")
    return re.sub(r"^CREATE INDEX i ON t (USING btree )?\((.*)\)$", r"\2", printed, flags=re.DOTALL)


_RELATION = {"relname": "t", "inh": True, "relpersistence": "p"}


def _plainly_ordered(tree: Tree) -> bool:
    given = (tree.get("ordering", "SORTBY_DEFAULT"), tree.get("nulls_ordering", "SORTBY_NULLS_DEFAULT"))
    return given == ("SORTBY_DEFAULT", "SORTBY_NULLS_DEFAULT")


def _printed(target: Tree) -> str:
    select = {"target_list": [target], "limit_option": "LIMIT_OPTION_DEFAULT", "op": "SETOP_NONE"}
    return _deparse(select, "select_stmt")


def _deparse(tree: Tree, kind: str) -> str:
    import postgast
    from google.protobuf.json_format import ParseDict
    from postgast import pg_query_pb2

    parsed = ParseDict({"stmts": [{"stmt": {kind: tree}}]}, pg_query_pb2.ParseResult())
    return str(postgast.deparse(parsed))


def _parse(text: str) -> Any:
    import postgast
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # protobuf ships no types

    try:
        return postgast.parse(text).stmts
    except postgast.PgQueryError as error:
        # PostgreSQL's syntax errors quote the spec's own text, never data of a table.
        raise SqlProblem(f"is not valid SQL: {error.message}") from error
    except DecodeError:
        raise SqlProblem("is nested too deeply: put parentheses around groups of operators") from None


def _ends(text: str) -> list[tuple[int, int]]:
    """Where each statement begins and ends, in bytes: without semicolons, comments and blanks around it."""
    import postgast
    from postgast import pg_query_pb2

    spans = [(raw.stmt_location, raw.stmt_location + raw.stmt_len) for raw in _parse(text)]
    tokens = [(t.start, t.end) for t in postgast.scan(text).tokens if pg_query_pb2.Token.Name(t.token) not in _COMMENTS]
    found = []
    for start, end in spans:
        inside = [t for t in tokens if t[0] >= start and (t[1] <= end or end == start)]
        found.append((inside[0][0], inside[-1][1]))
    return found
