"""Expressions through the SQL parser (postgast: PostgreSQL 18's own grammar). Text in, facts about it out.

The parser has two importers: this module, and `zanith.core.sql_statements` for whole statements.

Every SQL expression of a spec passes through here before it is composed into a statement, so that it can be nothing but
one expression: no second statement, no way out of the parentheses, no comment, no parameter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from zanith.core.identifiers import text_problem

_SPACE = " \t\n\r\f\v"
"""What PostgreSQL takes for space; a no-break space is a letter to it."""
_CLOCK = frozenset({"now", "clock_timestamp", "statement_timestamp", "transaction_timestamp", "timeofday"})
"""Functions that answer something else in the next transaction. Only some of them are VOLATILE."""
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
    """Parse one value expression of one row: no aggregates, no window functions (manual, 4.2). Raises SqlProblem."""
    target = _only_target(text, f"SELECT (\n{text}\n)")
    _refuse_aggregates(target)
    return Expression(
        text=text.strip(_SPACE),
        columns=frozenset(_columns(target)),
        functions=frozenset(_functions(target)),
        has_subquery=any(True for _ in _nodes(target, "SubLink")),
        constant=_constant(target),
    )


def parse_condition(text: str) -> Expression:
    """Parse a condition over the columns of one row, as in WHERE. Raises SqlProblem."""
    return parse_expression(text)


def parse_type(text: str) -> TypeName:
    """Parse a type name with modifiers and array bounds, e.g. `numeric(10,2)[]`. Raises SqlProblem."""
    target = _only_target(text, f"SELECT CAST(NULL AS \n{text}\n)")
    node = target.type_cast.type_name
    if node.setof:
        raise SqlProblem("must not be SETOF")
    names = [n.string.sval for n in node.names]
    base = names[-1]
    serial = base in {"serial", "serial2", "serial4", "serial8", "bigserial", "smallserial"}
    return TypeName(
        text=text.strip(_SPACE), canonical=_format_type(node, names, text.strip(_SPACE)), serial=serial, base=base
    )


def parse_index_element(text: str) -> IndexElement:
    """Parse what may stand in the parentheses of CREATE INDEX: `lower(email)`, `created_at DESC`. Raises SqlProblem."""
    index = _parse(text, f"CREATE INDEX ON t (\n{text}\n)", "must be one index column or expression").index_stmt
    if len(index.index_params) != 1 or {f.name for f, _ in index.ListFields()} - {
        "relation",
        "access_method",
        "index_params",
    }:
        raise SqlProblem("must be one index column or expression")
    element = index.index_params[0].index_elem
    if any(True for _ in _nodes(element, "SubLink")):
        raise SqlProblem("must not contain a subquery")
    _refuse_aggregates(element)
    if name := element.name or _plain_column(element.expr):  # `(email)` is the column itself
        return IndexElement(text.strip(_SPACE), name, frozenset({name}), frozenset())
    return IndexElement(
        text.strip(_SPACE), None, frozenset(_columns(element.expr)), frozenset(_functions(element.expr))
    )


def partition_columns(key: str) -> frozenset[str]:
    """Columns that a partition key uses; `key` as `pg_get_partkeydef` prints it: `RANGE (created_at, lower(name))`."""
    statement = _parse(key, f"CREATE TABLE t (c text) PARTITION BY {key}", "must be a partition key")
    return frozenset(_columns(statement)) | {e.name for e in _nodes(statement, "PartitionElem") if e.name}


def referenced_columns(foreign_key: str) -> frozenset[str]:
    """Columns of the other table that a foreign key references; its definition as `pg_get_constraintdef` prints it."""
    statement = _parse(foreign_key, f"ALTER TABLE t ADD {foreign_key}", "must be a foreign key")
    return frozenset(n.string.sval for c in _nodes(statement, "Constraint") for n in c.pk_attrs)


def trigger_columns(trigger: str) -> frozenset[str]:
    """Columns a trigger depends on: of `UPDATE OF` and WHEN; its definition as `pg_get_triggerdef` prints it."""
    statement = _parse(trigger, trigger, "must be a trigger").create_trig_stmt
    return frozenset(n.string.sval for n in statement.columns) | frozenset(_columns(statement.when_clause))


def definition_tree(definition: str) -> Any:
    """The parser's tree of one statement that a printing function of PostgreSQL wrote; for `zanith.core.definitions`."""
    return _parse(definition, definition, "must be one statement")


def same_expression(left: str, right: str) -> bool:
    """Whether two expressions are one, but for spaces, parentheses and the two ways to write a cast."""
    return _shape(_only_target(left, f"SELECT (\n{left}\n)")) == _shape(_only_target(right, f"SELECT (\n{right}\n)"))


def concurrently(index: str) -> str:
    """The same index built CONCURRENTLY; `index` as `pg_get_indexdef` prints it. Raises SqlProblem where it is none."""
    head = "CREATE UNIQUE INDEX " if index.startswith("CREATE UNIQUE") else "CREATE INDEX "
    made = f"{head}CONCURRENTLY {index.removeprefix(head)}"
    wanted, found = definition_tree(index), definition_tree(made)
    wanted.index_stmt.concurrent = True
    assert _shape(wanted) == _shape(found), "the word changed more than it says"
    return made


def token_places(statement: str) -> list[tuple[int, int]]:
    """Where each token begins and ends, in bytes of UTF-8; for `zanith.core.mentions`."""
    import postgast

    return [(t.start, t.end) for t in postgast.scan(statement).tokens]


def tree_nodes(tree: Any, kind: str) -> Iterator[Any]:
    """All nodes of a kind in a tree of `definition_tree`; for `zanith.core.mentions`."""
    yield from _nodes(tree, kind)


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


def finishing_column(where: str, assignments: dict[str, str], volatile: frozenset[str] = frozenset()) -> str | None:
    """The column by which a row changed by `assignments` no longer matches `where`, as far as its text shows; or None.

    That of a top-level AND branch `column IS NULL` of an assigned column (its expression not the constant NULL), or
    `column IS DISTINCT FROM expression` with the very expression assigned. None where changing a row once more could
    change it further (`n = n + 1`, the time of day): a second pass must find nothing left to do.
    """
    target = _only_target(where, f"SELECT (\n{where}\n)")
    found = (_branch_column(branch, assignments, volatile | _CLOCK) for branch in _and_branches(target))
    return next((column for column in found if column is not None), None)


def _branch_column(branch: Any, assignments: dict[str, str], moving: frozenset[str]) -> str | None:
    kind = branch.WhichOneof("node")
    parsed = {column: parse_expression(text) for column, text in assignments.items()}
    if kind == "null_test" and branch.null_test.nulltesttype == _pb().IS_NULL:
        column = _plain_column(branch.null_test.arg)
        if column not in parsed or parsed[column].constant == "null":
            return None
        # A row stays NULL where its value is; then nothing else in it may change a second time.
        again = any(e.columns & parsed.keys() - ({c} & {column}) for c, e in parsed.items())
        return None if again else column
    if kind == "a_expr" and branch.a_expr.kind == _pb().AEXPR_DISTINCT:
        column = _plain_column(branch.a_expr.lexpr)
        if column not in parsed or parsed[column].columns & parsed.keys() or parsed[column].functions & moving:
            return None
        assigned = _only_target(assignments[column], f"SELECT (\n{assignments[column]}\n)")
        return column if _shape(branch.a_expr.rexpr) == _shape(assigned) else None
    return None


def _shape(node: Any) -> str:
    """The tree without positions, to compare two expressions."""
    return re.sub(r"\s*\w*(location|list_start|list_end): -?\d+", "", str(node))


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


def _parse(text: str, statement: str, otherwise: str) -> Any:
    """The one statement that `text` was put into, and that it cannot have left. Raises SqlProblem."""
    import postgast
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # protobuf ships no types

    if not text.strip(_SPACE):
        raise SqlProblem("must not be empty")
    if problem := text_problem(text):
        raise SqlProblem(problem)
    try:
        found = postgast.parse(statement).stmts
        _check_tokens(postgast.scan(text).tokens)
    except postgast.PgQueryError as error:
        # PostgreSQL's syntax errors quote the spec's own text, never data of a table.
        raise SqlProblem(f"is not valid SQL: {error.message}") from error
    except DecodeError:
        # The tree's depth is limited to 100, three or four for an operator. Parentheses cost nothing.
        raise SqlProblem(
            "is nested too deeply: some 25 operators or calls inside one another; put parentheses around groups of them"
        ) from None
    if len(found) != 1:
        raise SqlProblem(otherwise)
    return found[0].stmt


def _only_target(text: str, statement: str) -> Any:
    otherwise = "must be a single expression"
    select = _parse(text, statement, otherwise).select_stmt
    value = select.target_list[0].res_target.val
    clauses = {f.name for f, _ in select.ListFields()} - {"target_list", "limit_option", "op"}
    is_list = value.WhichOneof("node") == "row_expr" and value.row_expr.row_format == _pb().COERCE_IMPLICIT_CAST
    if clauses or len(select.target_list) != 1 or is_list:
        raise SqlProblem(otherwise)
    if any(True for _ in _nodes(value, "SetToDefault")):
        raise SqlProblem("must not be DEFAULT")
    return value


def _check_tokens(tokens: Any) -> None:
    """No comments or parameters, and no way out of the parentheses that we put around it: `a) OR (b`."""
    depth = 0
    for token in tokens:
        name = _pb().Token.Name(token.token)
        if name in {"SQL_COMMENT", "C_COMMENT"}:
            raise SqlProblem("must not contain comments")
        if name == "PARAM":
            raise SqlProblem("must not use parameters ($1)")
        depth += {"ASCII_40": 1, "ASCII_41": -1}.get(name, 0)
        if depth < 0:
            raise SqlProblem("closes a parenthesis it has not opened")


def _refuse_aggregates(tree: Any) -> None:
    """They have no place in an expression over one row; inside a subquery they have."""
    for node in _outside_subqueries(tree):
        if node.DESCRIPTOR.name != "FuncCall":
            continue
        names = [n.string.sval for n in node.funcname]
        if node.HasField("over"):
            raise SqlProblem(f"window function {names[-1]} is not allowed here")
        if names[-1] in _AGGREGATES and names[:-1] in ([], ["pg_catalog"]):
            raise SqlProblem(f"aggregate function {names[-1]} is not allowed here")


def _outside_subqueries(node: Any) -> Iterator[Any]:
    """The node and all below it, but for what stands inside of a subquery."""
    yield node
    for field, value in node.ListFields():
        if field.message_type is None or (node.DESCRIPTOR.name == "SubLink" and field.name == "subselect"):
            continue
        for child in [value] if hasattr(value, "ListFields") else value:
            yield from _outside_subqueries(child)


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
    # CURRENT_TIMESTAMP, LOCALTIME and CURRENT_USER are no calls, but all of them are as good as now().
    yield from ("now" for _ in _nodes(tree, "SQLValueFunction"))


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
    if name == "interval" or any(m.a_const.WhichOneof("val") != "ival" for m in node.typmods):
        return text
    base = _BUILT_IN.get(name, name)
    mods += [0] if base == "numeric" and len(mods) == 1 else []
    if len(names) == 1 and name not in _BUILT_IN and not re.fullmatch(r"[a-z_][a-z0-9_]*", name):
        return text
    if name == "bpchar" and not mods:
        base = name  # not the same as character(1), which a bare `char` is
    if mods:
        inner = ",".join(str(m) for m in mods)
        head, _, tail = base.partition(" ") if name.startswith(("timestamp", "time")) else (base, "", "")
        base = f"{head}({inner})" + (f" {tail}" if tail else "")
    return base + ("[]" if len(node.array_bounds) else "")
