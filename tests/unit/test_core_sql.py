"""SQL text of a spec is one expression and nothing else, whatever is written there."""

from __future__ import annotations

import postgast
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from psycopg import sql

from unit.builders import unhurried
from zanith.core import sql as core
from zanith.core.sql import (
    Expression,
    IndexElement,
    SqlProblem,
    TypeName,
    finishing_column,
    parse_condition,
    parse_expression,
    parse_index_element,
    parse_type,
    partition_columns,
    printed,
    raw,
    referenced_columns,
    render,
    trigger_columns,
)

NOTHING: frozenset[str] = frozenset()
TOO_DEEP = "is nested too deeply: some 25 operators or calls inside one another; put parentheses around groups of them"
SQL_PIECES = st.sampled_from(
    [
        *(
            "a",
            "b.c",
            "1",
            "'x'",
            "'--'",
            "(",
            ")",
            " ",
            "\n",
            ";",
            "--",
            "/*",
            "*/",
            ",",
            " OR ",
            "+",
            "$1",
            "$$",
            "*",
        ),
        *("{}", "%", "?", "[", "]", '"', "'", "::", "SELECT ", " FROM t", " AS x", "E'\\", "NULL", "DEFAULT", "lower("),
        "\x00",
    ]
)
SQL_TEXT = st.lists(SQL_PIECES, max_size=12).map("".join) | st.text(max_size=30)


def problem(text: str) -> str:
    with pytest.raises(SqlProblem) as refused:
        parse_expression(text)
    return str(refused.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lower(email)", Expression("lower(email)", frozenset({"email"}), frozenset({"lower"}), False, None)),
        (" 'it''s' ", Expression("'it''s'", NOTHING, NOTHING, False, "string")),
        ("7", Expression("7", NOTHING, NOTHING, False, "number")),
        ("-1.5", Expression("-1.5", NOTHING, NOTHING, False, "number")),
        ("true", Expression("true", NOTHING, NOTHING, False, "boolean")),
        ("NULL", Expression("NULL", NOTHING, NOTHING, False, "null")),
        ("B'1'", Expression("B'1'", NOTHING, NOTHING, False, None)),
        ("users.*", Expression("users.*", NOTHING, NOTHING, False, None)),
        ("CURRENT_TIMESTAMP", Expression("CURRENT_TIMESTAMP", NOTHING, frozenset({"now"}), False, None)),
        (
            "(SELECT max(x) FROM other)",
            Expression("(SELECT max(x) FROM other)", frozenset({"x"}), frozenset({"max"}), True, None),
        ),
        (
            "'{}' || '%s' || name ? 'x'",
            Expression("'{}' || '%s' || name ? 'x'", frozenset({"name"}), NOTHING, False, None),
        ),
    ],
)
def test_an_expression_says_what_it_uses(text: str, expected: Expression) -> None:
    assert parse_expression(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "must not be empty"),
        (" \n", "must not be empty"),
        ("a\x00", "must not contain a NUL character"),
        ("'\ud800'", "must not contain half of a surrogate pair"),
        ("a -- b", "must not contain comments"),
        ("a /* b */", "must not contain comments"),
        ("a = $1", "must not use parameters ($1)"),
        ("DEFAULT", "must not be DEFAULT"),
        ("1, 2", "must be a single expression"),
        ("(1, 2)", "must be a single expression"),
        ("a) OR (b", "closes a parenthesis it has not opened"),
        ("1), (2", "closes a parenthesis it has not opened"),
        ("1); DROP TABLE users; SELECT (1", "closes a parenthesis it has not opened"),
        ("1; SELECT 2", 'is not valid SQL: syntax error at or near ";"'),
        ("lower(", "is not valid SQL: syntax error at end of input"),
        ("count(*)", "aggregate function count is not allowed here"),
        ("1 + pg_catalog.sum(a)", "aggregate function sum is not allowed here"),
        ("max(a) IN (SELECT 1)", "aggregate function max is not allowed here"),
        ("rank() OVER (ORDER BY a)", "window function rank is not allowed here"),
        ("+".join(["a"] * 200), TOO_DEEP),
        ("f(" * 1000 + "a" + ")" * 1000, TOO_DEEP),
    ],
)
def test_what_is_not_one_expression_is_refused(text: str, expected: str) -> None:
    assert problem(text) == expected


@pytest.mark.parametrize("text", ["app.sum(a, b)", "a IN (SELECT count(*) FROM t)", "((a)) + (b)", "f('a) OR (b')"])
def test_what_only_looks_like_it_is_not_refused(text: str) -> None:
    assert parse_condition(text).text == text


def test_parentheses_make_room_for_long_expressions() -> None:
    group = "(" + "||".join(["a"] * 20) + ")"
    assert parse_expression("||".join([group] * 10)).columns == {"a"}
    assert parse_expression("(" * 2000 + "a" + ")" * 2000).columns == {"a"}
    assert parse_expression(" AND ".join(["a = 1"] * 500)).columns == {"a"}


@unhurried
@given(SQL_TEXT)
@example("a) OR (b")
@example("1) + (2")
@example("a, b")
@example("\xa0$")
def test_no_text_gets_out_of_its_parentheses(text: str) -> None:
    try:
        accepted = parse_expression(text)
    except SqlProblem:
        return
    between = render(sql.SQL("SELECT NOT {} AND {}").format(accepted.composed, raw("marker")))
    (statement,) = postgast.parse(between).stmts
    (target,) = statement.stmt.select_stmt.target_list
    left, right = target.res_target.val.bool_expr.args
    assert right.column_ref.fields[0].string.sval == "marker"
    assert len(left.bool_expr.args) == 1
    assert {f.name for f, _ in statement.stmt.select_stmt.ListFields()} == {"target_list", "limit_option", "op"}


@unhurried
@given(SQL_TEXT)
def test_no_type_gets_out_of_its_place(text: str) -> None:
    try:
        accepted = parse_type(text)
    except SqlProblem:
        return
    (statement,) = postgast.parse(f"CREATE TABLE t (c {accepted.text}, marker int)").stmts
    elements = statement.stmt.create_stmt.table_elts
    assert [e.column_def.colname for e in elements] == ["c", "marker"]
    assert len(elements[0].column_def.constraints) == 0


@unhurried
@given(SQL_TEXT)
def test_no_index_element_gets_out_of_its_place(text: str) -> None:
    try:
        accepted = parse_index_element(text)
    except SqlProblem:
        return
    (statement,) = postgast.parse(f"CREATE INDEX ON t ({accepted.text}, marker)").stmts
    assert [e.index_elem.name for e in statement.stmt.index_stmt.index_params][1:] == ["marker"]


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("int", "integer"),
        ("int8", "bigint"),
        ("bool", "boolean"),
        ("float(24)", "real"),
        ("dec(10, 2)", "numeric(10,2)"),
        ("numeric(10,-2)", "numeric(10,-2)"),
        ("varchar", "character varying"),
        ("varchar(20)", "character varying(20)"),
        ("char", "character(1)"),
        ("bpchar", "bpchar"),
        ('"char"', '"char"'),
        ("bit", "bit(1)"),
        ("varbit(3)", "bit varying(3)"),
        ("timestamptz", "timestamp with time zone"),
        ("timestamp(3)", "timestamp(3) without time zone"),
        ("time(3) with time zone", "time(3) with time zone"),
        ("interval day to second(3)", "interval day to second(3)"),
        ("int[3][]", "integer[]"),
        ("text array", "text[]"),
        ("pg_catalog.int4", "integer"),
        ("public.mood", "public.mood"),
        ('"Mood"', '"Mood"'),
        ("mood[]", "mood[]"),
        ("a.b.c", "a.b.c"),
        ("geometry(Point, 4326)", "geometry(Point, 4326)"),
    ],
)
def test_a_type_is_named_as_postgresql_prints_it(text: str, canonical: str) -> None:
    assert parse_type(text).canonical == canonical


def test_serial_is_known_for_what_it_is() -> None:
    assert parse_type("bigserial") == TypeName("bigserial", "bigserial", serial=True, base="bigserial")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SETOF int", "must not be SETOF"),
        ("int) + CAST(NULL AS int", "closes a parenthesis it has not opened"),
        ("int)::numeric(10", "closes a parenthesis it has not opened"),
        ("int -- x", "must not contain comments"),
        ("int, b", 'is not valid SQL: syntax error at or near ","'),
        ("int NOT NULL", 'is not valid SQL: syntax error at or near "NOT"'),
    ],
)
def test_what_is_no_type_is_refused(text: str, expected: str) -> None:
    with pytest.raises(SqlProblem) as refused:
        parse_type(text)
    assert str(refused.value) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("created_at DESC", IndexElement("created_at DESC", "created_at", frozenset({"created_at"}), NOTHING)),
        ("lower(email)", IndexElement("lower(email)", None, frozenset({"email"}), frozenset({"lower"}))),
        ("(a || b)", IndexElement("(a || b)", None, frozenset({"a", "b"}), NOTHING)),
        ("a gin_trgm_ops(siglen=3)", IndexElement("a gin_trgm_ops(siglen=3)", "a", frozenset({"a"}), NOTHING)),
    ],
)
def test_an_index_element_is_a_column_or_an_expression(text: str, expected: IndexElement) -> None:
    assert parse_index_element(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a, b", "must be one index column or expression"),
        ("a) WHERE (b", "closes a parenthesis it has not opened"),
        ("a) INCLUDE (b", "closes a parenthesis it has not opened"),
        ("((SELECT 1))", "must not contain a subquery"),
        ("(count(*))", "aggregate function count is not allowed here"),
        ("a + b", 'is not valid SQL: syntax error at or near "+"'),
        ("(a + $1)", "must not use parameters ($1)"),
    ],
)
def test_what_is_no_index_element_is_refused(text: str, expected: str) -> None:
    with pytest.raises(SqlProblem) as refused:
        parse_index_element(text)
    assert str(refused.value) == expected


def test_what_the_catalog_prints_says_which_columns_it_uses() -> None:
    assert partition_columns('RANGE (created_at, lower("Na me"))') == {"created_at", "Na me"}
    assert partition_columns('LIST (region COLLATE "C" text_pattern_ops)') == {"region"}
    assert referenced_columns('FOREIGN KEY (a) REFERENCES app.ids("Id", b) ON DELETE SET NULL') == {"Id", "b"}
    trigger = "CREATE TRIGGER t BEFORE UPDATE OF a ON users FOR EACH ROW WHEN (new.b > 1) EXECUTE FUNCTION f()"
    assert trigger_columns(trigger) == {"a", "b"}
    assert trigger_columns("CREATE TRIGGER t AFTER INSERT ON users EXECUTE FUNCTION f('c')") == NOTHING


def test_what_the_catalog_prints_is_one_statement() -> None:
    with pytest.raises(SqlProblem, match="must be a partition key"):
        partition_columns("LIST (a); SELECT 1")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("email", "email"),
        ("_x1", "_x1"),
        ("Email", '"Email"'),
        ("1st", '"1st"'),
        ("a$", '"a$"'),
        ("order", '"order"'),
        ("time", '"time"'),
        ("name", "name"),
        ('a"b', '"a""b"'),
        ("ü", '"ü"'),
    ],
)
def test_a_name_is_printed_in_quotes_only_where_it_needs_them(name: str, expected: str) -> None:
    assert printed(name) == expected


@unhurried
@given(st.text(min_size=1, max_size=20).filter(lambda t: "\x00" not in t and t.isprintable()))
@example("select")
@example('"')
def test_a_printed_name_reads_as_the_same_name(name: str) -> None:
    target = postgast.parse(f"SELECT 1 AS {printed(name)}").stmts[0].stmt.select_stmt.target_list[0]
    assert target.res_target.name == name


@pytest.mark.parametrize(
    ("where", "assignments", "excluded"),
    [
        ("c IS NULL", {"c": "lower(email)"}, True),
        ("users.c IS NULL AND (d > 1 AND e)", {"c": "1"}, True),
        ("c IS NULL", {"c": "coalesce(c, email)"}, True),
        ("c IS NULL", {"c": "gen_random_uuid()", "at": "now()"}, True),
        ("c IS NULL", {"c": "NULL"}, False),
        ("c IS NULL", {"d": "1"}, False),
        ("c IS NOT NULL", {"c": "1"}, False),
        ("lower(c) IS NULL", {"c": "1"}, False),
        ("t.* IS NULL", {"c": "1"}, False),
        ("c IS NULL OR d", {"c": "1"}, False),
        ("d IS NULL AND e", {"c": "1"}, False),
        ("true", {"c": "1"}, False),
        # Where the value stays NULL, the row would be changed again by every further pass.
        ("c IS NULL", {"c": "lower(email)", "n": "n + 1"}, False),
        ("c IS NULL", {"c": "d", "d": "1"}, False),
        ("c IS DISTINCT FROM lower(email)", {"c": "lower( email )"}, True),
        ("c IS DISTINCT FROM lower(email)", {"c": "upper(email)"}, False),
        ("d IS DISTINCT FROM lower(email)", {"c": "lower(email)"}, False),
        ("c IS NOT DISTINCT FROM 1", {"c": "1"}, False),
        ("n IS DISTINCT FROM n + 1", {"n": "n + 1"}, False),
        ("c IS DISTINCT FROM now()", {"c": "now()"}, False),
        ("c IS DISTINCT FROM CURRENT_TIMESTAMP", {"c": "CURRENT_TIMESTAMP"}, False),
        ("c IS DISTINCT FROM random()", {"c": "random()"}, False),
    ],
)
def test_a_finished_row_is_recognised_only_where_it_is_certain(
    where: str, assignments: dict[str, str], excluded: bool
) -> None:
    assert (finishing_column(where, assignments, frozenset({"random"})) is not None) is excluded


def test_text_becomes_sql_as_it_is() -> None:
    assert render(sql.SQL("SELECT {} % 5, {}").format(raw("'{}%s?'"), sql.Identifier("a{}%"))) == (
        "SELECT '{}%s?' % 5, \"a{}%\""
    )
    assert core.render(parse_expression("a").composed) == "(a)"


def test_a_column_in_parentheses_is_the_column() -> None:
    """As PostgreSQL has it: `CREATE INDEX ON t ((email))` indexes the column, not an expression."""
    assert parse_index_element("(email) DESC").column == "email"
    assert parse_index_element('("Email")').columns == frozenset({"Email"})
    assert parse_index_element("(email || '')").column is None
