"""What a step leaves behind is projected as PostgreSQL prints it, also far from the table it names."""

from __future__ import annotations

from dataclasses import replace

import pytest

from zanith.core.graph import Column, Constraint, DatabaseIdentity, Facts, Policy, SchemaGraph, Table, View
from zanith.core.identifiers import TableKey
from zanith.core.mentions import names_as_printed
from zanith.core.sql import parse_expression, parse_type
from zanith.operations import parts
from zanith.operations.drop import SoftDropColumn
from zanith.operations.keep_table import ArchiveTable, SoftDropTable
from zanith.operations.renaming import statement_moved
from zanith.operations.step_context import StepContext

USERS = TableKey("public", "users")
ASIDE = "_zanith_dropped_code_m"


@pytest.mark.parametrize(
    ("written", "type_name", "printed"),
    [
        ("'5'", "integer", "5"),
        ("' 07 '", "integer", "7"),
        ("'-5'", "integer", "'-5'::integer"),
        ("'5'", "bigint", "'5'::bigint"),
        ("'t'", "boolean", "true"),
        ("'FALSE'", "boolean", "false"),
        ("'yes'", "boolean", "'yes'::boolean"),
        ("'x'", "varchar(20)", "'x'::character varying"),
        ("'x'", "character(2)[]", "'x'::bpchar[]"),
        ("NULL", "varchar(20)", "NULL::character varying"),
        ("NULL", "text", None),
        ('"now"()', "timestamptz", "now()"),
    ],
)
def test_a_default_is_projected_as_it_is_printed(written: str, type_name: str, printed: str | None) -> None:
    assert parts.printed_default(parse_expression(written), parse_type(type_name)) == printed


def test_quotes_stay_where_postgresql_prints_them() -> None:
    given = '"naïve" || "name" || \'"name"\' || "order" || "Name" || "a""b"'
    assert names_as_printed(given) == '"naïve" || name || \'"name"\' || "order" || "Name" || "a""b"'


def test_a_statement_is_moved_to_the_table_of_the_same_name() -> None:
    moved = statement_moved("CREATE INDEX i ON public.users USING btree (users, ((public + 1)))", USERS, "pg_temp")
    assert moved == "CREATE INDEX i ON pg_temp.users USING btree (users, ((public + 1)))"


def test_a_soft_dropped_column_is_renamed_wherever_else_it_is_named() -> None:
    ctx = _context()
    after = _soft_drop().project(ctx)
    users, orders = after.tables[1], after.tables[0]
    assert users.key == USERS and [c.name for c in users.columns] == ["id"]
    assert users.constraints == ()
    assert users.policies[0].using == f"({ASIDE} IS NOT NULL)"
    assert orders.constraints[0].definition == f"FOREIGN KEY (code) REFERENCES public.users({ASIDE})"
    assert orders.constraints[0].columns == ("code",)
    assert after.views[0].depends_on == ((USERS, "id"),)
    assert _soft_drop().project(ctx.with_graph(after)) == after


@pytest.mark.parametrize(
    ("kind", "place"),
    [
        (SoftDropTable, "public._zanith_dropped_users_m"),
        (ArchiveTable, "_zanith_shadow._zanith_archived_public_users_m"),
    ],
)
def test_policies_of_other_tables_follow_one_that_is_kept_aside(
    kind: type[SoftDropTable | ArchiveTable], place: str
) -> None:
    naming = Policy("q", "ALL", True, ("public",), "(id IN ( SELECT users.id\n   FROM public.users))", "(users > 0)")
    other = Table(
        "public",
        "other",
        columns=(Column("id", "bigint"), Column("users", "integer")),
        policies=(naming, Policy("r", "ALL", True, ("public",), naming.using)),
    )
    ctx = _context()
    ctx = ctx.with_graph(ctx.graph.with_table(other))
    after = kind(table="users").project(ctx).table(other.key)
    name = place.split(".")[1]
    assert after is not None
    assert after.policies[0].using == f"(id IN ( SELECT {name}.id\n   FROM {place}))"
    assert after.policies[0].with_check == "(users > 0)"
    assert after.policies[1] == replace(after.policies[0], name="r", with_check=None)
    broken = replace(other, policies=(replace(naming, using="(users", with_check=None),))
    found = list(kind(table="users").problems(ctx.with_graph(ctx.graph.with_table(broken))))
    assert any("a policy that names public.users" in p for p in found)


def test_what_cannot_be_read_keeps_the_column_from_being_taken_aside() -> None:
    ctx = _context(
        using="(code IS NOT NULL",
    )
    assert any("what it says after the rename cannot be told" in p for p in _soft_drop().problems(ctx))


def _soft_drop() -> SoftDropColumn:
    return SoftDropColumn(table="users", column="code")


def _context(using: str = "(code IS NOT NULL)") -> StepContext:
    users = Table(
        *USERS,
        columns=(Column("id", "bigint", not_null=True), Column("code", "text")),
        constraints=(Constraint("users_code_key", "unique", "UNIQUE (code)", ("code",)),),
        policies=(Policy("p", "ALL", True, ("public",), using),),
    )
    foreign = Constraint(
        "orders_code_fkey",
        "foreign_key",
        "FOREIGN KEY (code) REFERENCES public.users(code)",
        ("code",),
        references=USERS,
    )
    orders = Table("public", "orders", columns=(Column("code", "text"),), constraints=(foreign,))
    view = View("public", "v", False, "hash", ((USERS, "code"), (USERS, "id")))
    graph = SchemaGraph(tables=(orders, users), views=(view,))
    return StepContext(Facts(graph, DatabaseIdentity("1", 1, "db"), 180000, "public"), "m", 1, graph)
