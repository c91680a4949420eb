"""The one importer of the SQL parser (postgast: PostgreSQL 18's own grammar). Text in, facts about it out.

Every SQL expression of a spec passes through here before it is composed into a statement, so that it can be nothing but
one expression: no second statement, no way out of the parentheses, no comment, no parameter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from psycopg import sql

_AGGREGATES = frozenset(
    {"array_agg", "avg", "bool_and", "bool_or", "count", "every", "json_agg", "jsonb_agg", "json_object_agg"}
    | {"jsonb_object_agg", "max", "min", "range_agg", "string_agg", "stddev", "sum", "variance", "xmlagg"}
)


class SqlProblem(ValueError):
    """The text is not what it has to be; the message is for the author and starts with a lower-case letter."""


@dataclass(frozen=True, slots=True)
class Expression:
    """One SQL expression, parsed. `text` is the author's own."""

    text: str
    columns: frozenset[str]
    functions: frozenset[str]
    has_subquery: bool
    constant: str | None
    """Set for a bare constant: `string`, `number`, `boolean` or `null`."""

    @property
    def composed(self) -> sql.Composed:
        """In parentheses, ready to stand in a statement."""
        return sql.Composed([sql.SQL("("), raw(self.text), sql.SQL(")")])


@dataclass(frozen=True, slots=True)
class TypeName:
    """A type, parsed; `canonical` is what `format_type` prints for it (built-in types; others as written)."""

    text: str
    canonical: str
    serial: bool
    base: str


@dataclass(frozen=True, slots=True)
class IndexElement:
    """One element of an index: `column` for a plain column, else an expression; `text` as it stands in the statement."""

    text: str
    column: str | None
    columns: frozenset[str]
    functions: frozenset[str]


def raw(text: str) -> sql.SQL:
    """Checked text as a composable. The one place where text of a spec becomes SQL; call it on parsed text only."""
    return sql.SQL(text)


def render(composable: sql.Composable) -> str:
    """A composition as text; identifiers and literals quoted as PostgreSQL does with standard_conforming_strings on."""
    return composable.as_string(None)


def parse_expression(text: str) -> Expression:
    """Parse one value expression (manual, 4.2). Raises SqlProblem."""
    target = _only_target(text, f"SELECT (\n{text}\n)")
    _refuse_comments(text)
    return Expression(
        text=text.strip(),
        columns=frozenset(_columns(target)),
        functions=frozenset(_functions(target)),
        has_subquery=any(True for _ in _nodes(target, "SubLink")),
        constant=_constant(target),
    )


def parse_condition(text: str) -> Expression:
    """Parse a WHERE condition of one table: no aggregates, no window functions. Raises SqlProblem."""
    expression = parse_expression(text)
    used = sorted(expression.functions & _AGGREGATES)
    if used:
        raise SqlProblem(f"aggregate function {used[0]} is not allowed here")
    return expression


def parse_type(text: str) -> TypeName:
    """Parse a type name with modifiers and array bounds, e.g. `numeric(10,2)[]`. Raises SqlProblem."""
    target = _only_target(text, f"SELECT CAST(NULL AS \n{text}\n)")
    _refuse_comments(text)
    if target.WhichOneof("node") != "type_cast":
        raise SqlProblem("is not a type name")
    node = target.type_cast.type_name
    names = [n.string.sval for n in node.names]
    base = names[-1]
    serial = base in {"serial", "serial2", "serial4", "serial8", "bigserial", "smallserial"}
    return TypeName(text=text.strip(), canonical=_format_type(node, names, text.strip()), serial=serial, base=base)


def parse_index_element(text: str) -> IndexElement:
    """Parse what may stand in the parentheses of CREATE INDEX: `lower(email)`, `created_at DESC`. Raises SqlProblem."""
    tree = _parse(f"CREATE INDEX ON t (\n{text}\n)")
    _refuse_comments(text)
    statements = tree.stmts
    if len(statements) != 1 or statements[0].stmt.WhichOneof("node") != "index_stmt":
        raise SqlProblem("is not an index column or expression")
    index = statements[0].stmt.index_stmt
    if len(index.index_params) != 1 or {f.name for f, _ in index.ListFields()} - {
        "relation",
        "access_method",
        "index_params",
    }:
        raise SqlProblem("is not one index column or expression")
    element = index.index_params[0].index_elem
    if element.name:
        return IndexElement(text.strip(), element.name, frozenset({element.name}), frozenset())
    return IndexElement(text.strip(), None, frozenset(_columns(element.expr)), frozenset(_functions(element.expr)))


def printed(name: str) -> str:
    """The identifier as PostgreSQL prints it: in quotes only where it needs them (`quote_identifier`)."""
    if re.fullmatch(r"[a-z_][a-z0-9_]*", name) and not _is_keyword(name):
        return name
    return '"' + name.replace('"', '""') + '"'


def _is_keyword(name: str) -> bool:
    """A keyword of any kind but the unreserved."""
    import postgast

    tokens = postgast.scan(name).tokens
    pb = _pb()
    return len(tokens) == 1 and tokens[0].keyword_kind not in (pb.NO_KEYWORD, pb.UNRESERVED_KEYWORD)


def excluded_by_assignment(where: str, assignments: dict[str, str]) -> bool:
    """Whether a row changed by `assignments` no longer matches `where`, as far as its text shows.

    True where a top-level AND branch is `column IS NULL` of an assigned column (its expression not the constant NULL),
    or `column IS DISTINCT FROM expression` with the very expression assigned.
    """
    target = _only_target(where, f"SELECT (\n{where}\n)")
    return any(_branch_excludes(branch, assignments) for branch in _and_branches(target))


def _branch_excludes(branch: Any, assignments: dict[str, str]) -> bool:
    kind = branch.WhichOneof("node")
    if kind == "null_test" and branch.null_test.nulltesttype == _pb().IS_NULL:
        column = _plain_column(branch.null_test.arg)
        return column in assignments and parse_expression(assignments[column]).constant != "null"
    if kind == "a_expr" and branch.a_expr.kind == _pb().AEXPR_DISTINCT:
        column = _plain_column(branch.a_expr.lexpr)
        if column is None or column not in assignments:
            return False
        assigned = _only_target(assignments[column], f"SELECT (\n{assignments[column]}\n)")
        return _shape(branch.a_expr.rexpr) == _shape(assigned)
    return False


def _shape(node: Any) -> str:
    """The tree without positions, to compare two expressions."""
    return re.sub(r"\s*\w*location: -?\d+", "", str(node))


def _and_branches(node: Any) -> Iterator[Any]:
    if node.WhichOneof("node") == "bool_expr" and node.bool_expr.boolop == _pb().AND_EXPR:
        for arg in node.bool_expr.args:
            yield from _and_branches(arg)
    else:
        yield node


def _plain_column(node: Any) -> str | None:
    if node.WhichOneof("node") != "column_ref" or not node.column_ref.fields:
        return None
    return str(node.column_ref.fields[-1].string.sval) or None


def _pb() -> Any:
    """The parser's node classes and enums; imported late, for `--help` needs no parser."""
    from postgast import pg_query_pb2

    return pg_query_pb2


def _parse(statement: str) -> Any:
    import postgast

    if "\x00" in statement:
        raise SqlProblem("must not contain a NUL character")
    try:
        return postgast.parse(statement)
    except postgast.PgQueryError as error:
        # PostgreSQL's syntax errors quote the spec's own text, never data of a table.
        raise SqlProblem(f"is not valid SQL: {error.message}") from error


def _only_target(text: str, statement: str) -> Any:
    if not text.strip():
        raise SqlProblem("must not be empty")
    statements = _parse(statement).stmts
    if len(statements) != 1 or statements[0].stmt.WhichOneof("node") != "select_stmt":
        raise SqlProblem("must be a single expression")
    select = statements[0].stmt.select_stmt
    if {f.name for f, _ in select.ListFields()} - {"target_list", "limit_option", "op"} or len(select.target_list) != 1:
        raise SqlProblem("must be a single expression")
    value = select.target_list[0].res_target.val
    if value.WhichOneof("node") == "row_expr" and value.row_expr.row_format == _pb().COERCE_IMPLICIT_CAST:
        raise SqlProblem("must be a single expression")
    if any(True for _ in _nodes(value, "ParamRef")):
        raise SqlProblem("must not use parameters ($1)")
    return value


def _refuse_comments(text: str) -> None:
    import postgast

    for token in postgast.scan(text).tokens:
        name = _pb().Token.Name(token.token)
        if name in {"SQL_COMMENT", "C_COMMENT"}:
            raise SqlProblem("must not contain comments")


def _nodes(tree: Any, kind: str) -> Iterator[Any]:
    import postgast

    yield from postgast.find_nodes(tree, getattr(_pb(), kind))


def _columns(tree: Any) -> Iterator[str]:
    for reference in _nodes(tree, "ColumnRef"):
        last = reference.fields[-1]
        if last.WhichOneof("node") == "string":
            yield last.string.sval


def _functions(tree: Any) -> Iterator[str]:
    for call in _nodes(tree, "FuncCall"):
        yield call.funcname[-1].string.sval


def _constant(node: Any) -> str | None:
    kind = node.WhichOneof("node")
    if kind == "a_const":
        if node.a_const.isnull:
            return "null"
        return {"sval": "string", "ival": "number", "fval": "number", "boolval": "boolean"}.get(
            node.a_const.WhichOneof("val")
        )
    return None


_BUILT_IN = {
    "int2": "smallint",
    "int4": "integer",
    "int8": "bigint",
    "int": "integer",
    "float4": "real",
    "float8": "double precision",
    "bool": "boolean",
    "varchar": "character varying",
    "bpchar": "character",
    "char": '"char"',
    "timestamp": "timestamp without time zone",
    "timestamptz": "timestamp with time zone",
    "time": "time without time zone",
    "timetz": "time with time zone",
    "varbit": "bit varying",
}


def _format_type(node: Any, names: list[str], text: str) -> str:
    """What `format_type` prints, for built-in types; else the text with its array bounds normalised."""
    if len(names) > 2 or (len(names) == 2 and names[0] != "pg_catalog"):
        return text
    name = names[-1]
    mods = [m.a_const.ival.ival for m in node.typmods]
    if name == "interval":
        return text
    base = _BUILT_IN.get(name, name)
    if len(names) == 1 and name not in _BUILT_IN and not re.fullmatch(r"[a-z_][a-z0-9_]*", name):
        return text
    if name == "bpchar" and not mods:
        mods = [1]
    if mods:
        inner = ",".join(str(m) for m in mods)
        head, _, tail = base.partition(" ") if name.startswith(("timestamp", "time")) else (base, "", "")
        base = f"{head}({inner})" + (f" {tail}" if tail else "")
    return base + ("[]" if len(node.array_bounds) else "")
