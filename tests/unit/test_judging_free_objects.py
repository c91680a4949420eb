"""What rawSql leaves behind of sequences, domains and functions, as far as its text shows it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from unit.builders import ctx, users
from zanith.core.graph import SchemaGraph
from zanith.core.graph_objects import Domain, DomainCheck, Function, Sequence
from zanith.operations.raw_sql import RawSql
from zanith.operations.step_context import StepContext

TICKETS = Sequence("public", "tickets", cache=20)
OTHER = Sequence("app", "tickets")
CODE = Domain("public", "code", "text")
CLOSE = Function("app", "close", "", "sql", "abc")


def here() -> StepContext:
    found = ctx(users())
    graph = replace(found.graph, sequences=(OTHER, TICKETS), domains=(CODE,), functions=(CLOSE,))
    return StepContext(replace(found.facts, graph=graph), "m", 1, graph)


def after(sql: str) -> SchemaGraph:
    """The graph after it, which is the same where it is asked of what is there then."""
    at = here()
    operation = RawSql.model_validate({"sql": sql})
    left = operation.project(at)
    if "RENAME" not in sql:
        again = StepContext(replace(at.facts, graph=left), "m", 1, at.graph)
        assert operation.project(again) == left
    return left


@pytest.mark.parametrize(
    ("sql", "made"),
    [
        ("CREATE SEQUENCE s", Sequence("public", "s")),
        ("CREATE UNLOGGED SEQUENCE app.s CACHE 5 CYCLE", Sequence("app", "s", cache=5, cycle=True, persistence="unlogged")),
        ("CREATE SEQUENCE s AS smallint NO CYCLE NO MINVALUE", Sequence("public", "s", "smallint", maximum=32767)),
        ("CREATE SEQUENCE s MAXVALUE 5000000000 START 7", Sequence("public", "s", maximum=5000000000, start=7)),
        ("CREATE SEQUENCE s AS integer MINVALUE 0", Sequence("public", "s", "integer", 0, minimum=0, maximum=2**31 - 1)),
        (
            "CREATE SEQUENCE s AS int INCREMENT BY -2",
            Sequence("public", "s", "integer", start=-1, increment=-2, minimum=-(2**31), maximum=-1),
        ),
    ],
)  # fmt: skip
def test_a_sequence_that_is_made(sql: str, made: Sequence) -> None:
    assert set(after(sql).sequences) - {OTHER, TICKETS} == {made}


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE SEQUENCE IF NOT EXISTS tickets CACHE 7",
        "CREATE SEQUENCE s OWNED BY users.id",
        "CREATE TEMPORARY SEQUENCE s",
        "ALTER SEQUENCE IF EXISTS nowhere CYCLE",
        "ALTER SEQUENCE IF EXISTS nowhere RENAME TO s",
        "DROP SEQUENCE IF EXISTS nowhere",
        "ALTER SEQUENCE tickets RESTART WITH 9",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    ],
)
def test_what_is_not_shown_or_changes_nothing(sql: str) -> None:
    assert after(sql) == here().graph


def test_numbers_of_a_sequence_that_are_given() -> None:
    sql = "ALTER SEQUENCE tickets INCREMENT 5 NO MAXVALUE CYCLE OWNED BY NONE"
    assert after(sql).sequences == (OTHER, replace(TICKETS, increment=5, cycle=True))


def test_a_sequence_that_is_given_to_a_column_is_not_listed() -> None:
    assert after("ALTER SEQUENCE tickets OWNED BY users.id").sequences == (OTHER,)


def test_a_sequence_renamed_and_dropped() -> None:
    assert after("ALTER SEQUENCE app.tickets RENAME TO numbers").sequences == (replace(OTHER, name="numbers"), TICKETS)
    assert after("DROP SEQUENCE app.tickets, tickets").sequences == ()


def test_a_domain_that_is_made() -> None:
    sql = (
        "CREATE DOMAIN app.share AS numeric(5,2) DEFAULT 0 NOT NULL CHECK (VALUE >= 0) CONSTRAINT atmost CHECK (VALUE < 2);"
        "CREATE DOMAIN plain AS varchar"
    )
    assert after(sql).domains == (
        Domain(
            "app",
            "share",
            "numeric(5,2)",
            not_null=True,
            default="0",
            checks=(
                DomainCheck("atmost", "CHECK ((value < 2))"),
                DomainCheck("share_check", "CHECK ((value >= 0))"),
            ),
        ),
        CODE,
        Domain("public", "plain", "character varying"),
    )


def test_what_goes_with_a_schema() -> None:
    left = after("DROP SCHEMA app CASCADE")
    assert (left.sequences, left.domains, left.functions) == ((TICKETS,), (CODE,), ())
