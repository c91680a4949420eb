"""Renames are told where they are certain, and taken for dropped and added wherever they could be that."""

from __future__ import annotations

from dataclasses import replace

from unit.builders import AGE, EMAIL, ID, USERS, foreign_key, graph, primary_key, unique, users
from zanith.core.graph import Column, Index, SchemaGraph, Table, View
from zanith.core.graph_diff import diff_graphs, mirrored
from zanith.core.graph_words import diff_lines
from zanith.core.identifiers import TableKey
from zanith.ledger.snapshot_diff import compare_shapes
from zanith.operations.renaming import column_renamed, table_renamed

MAIL = replace(EMAIL, name="mail")
BY_AGE = Index("users_age", "CREATE INDEX users_age ON public.users USING btree (age)", ("age",))
ORDERS = Table(
    "public",
    "orders",
    columns=(ID,),
    constraints=(foreign_key("orders_fk", "id", USERS), primary_key("id", table="orders")),
)


def lines(before: SchemaGraph, after: SchemaGraph) -> list[str]:
    """In words; the way back is always the mirror image."""
    there, back = compare_shapes(before, after), compare_shapes(after, before)
    assert set(map(mirrored, there)) == set(back)
    return list(diff_lines(there))


def test_a_column_that_others_stand_behind() -> None:
    assert lines(graph(users()), graph(users(columns=(ID, MAIL, AGE)))) == [
        "~ column public.users.email: renamed to mail"
    ]


def test_several_columns_between_two_that_stayed() -> None:
    before = users(columns=(ID, EMAIL, Column("name", "text"), AGE))
    after = users(columns=(ID, MAIL, Column("full_name", "text"), AGE))
    assert lines(graph(before), graph(after)) == [
        "~ column public.users.email: renamed to mail",
        "~ column public.users.name: renamed to full_name",
    ]


def test_the_last_column_could_be_a_new_one() -> None:
    before, after = users(columns=(ID, EMAIL)), users(columns=(ID, MAIL))
    assert lines(graph(before), graph(after)) == [
        "- column public.users.email: text",
        "+ column public.users.mail: text",
    ]


def test_the_last_column_whose_index_kept_its_name() -> None:
    before = graph(users(indexes=(BY_AGE,)))
    assert lines(before, column_renamed(before, USERS, "age", "years")) == [
        "~ column public.users.age: renamed to years"
    ]


def test_the_last_column_whose_constraint_kept_its_name() -> None:
    before = graph(users(constraints=(primary_key("id"), unique("age"))))
    assert lines(before, column_renamed(before, USERS, "age", "years")) == [
        "~ column public.users.age: renamed to years"
    ]


def test_an_index_made_anew_under_another_name_proves_nothing() -> None:
    anew = Index("users_years", "CREATE INDEX users_years ON public.users USING btree (years)", ("years",))
    after = users(columns=(ID, EMAIL, replace(AGE, name="years")), indexes=(anew,))
    assert [line[:2] for line in lines(graph(users(indexes=(BY_AGE,))), graph(after))] == ["- ", "+ ", "- ", "+ "]


def test_another_definition_is_another_column() -> None:
    after = users(columns=(ID, replace(MAIL, type="citext"), AGE))
    assert lines(graph(users()), graph(after)) == [
        "- column public.users.email: text",
        "+ column public.users.mail: citext",
    ]


def test_more_went_than_came() -> None:
    before = users(columns=(ID, EMAIL, Column("name", "text"), AGE))
    assert [line[:2] for line in lines(graph(before), graph(users(columns=(ID, MAIL, AGE))))] == ["- ", "+ ", "- "]


def test_columns_in_another_order_prove_nothing() -> None:
    found = lines(graph(users()), graph(users(columns=(AGE, MAIL, ID))))
    assert [line[:2] for line in found] == ["~ ", "- ", "+ "]


def test_what_a_rename_explains_is_not_told_again() -> None:
    by_email = Index("by_email", "CREATE INDEX by_email ON public.users USING btree (email)", ("email",))
    view = View("public", "v", False, "abc", ((USERS, "email"),))
    before = graph(users(indexes=(by_email,)), ORDERS, views=(view,))
    after = column_renamed(before, USERS, "email", "mail")
    assert after.views != before.views
    assert lines(before, after) == ["~ column public.users.email: renamed to mail"]
    table = after.tables[1]
    changed = after.with_table(replace(table, indexes=(replace(table.indexes[0], unique=True),)))
    assert lines(before, changed) == [
        "~ column public.users.email: renamed to mail",
        "~ index public.users.by_email: now unique",
    ]


def test_evidence_that_changed_is_none() -> None:
    before = graph(users(indexes=(BY_AGE,)))
    table = column_renamed(before, USERS, "age", "years").tables[0]
    after = graph(replace(table, indexes=(replace(table.indexes[0], unique=True),)))
    assert [line[:2] for line in lines(before, after)] == ["- ", "+ ", "~ "]


def test_an_index_called_like_the_column_is_not_renamed_with_it() -> None:
    index = Index("email", "CREATE INDEX email ON public.users USING btree (email)", ("email",))
    before = graph(users(indexes=(index,)))
    assert lines(before, column_renamed(before, USERS, "email", "mail")) == [
        "~ column public.users.email: renamed to mail"
    ]


def test_a_table_whose_keys_kept_their_names() -> None:
    before = graph(users(indexes=(BY_AGE,)), ORDERS)
    after = table_renamed(before, USERS, "people")
    assert [t.name for t in after.tables] == ["orders", "people"]
    assert lines(before, after) == ["~ table public.users: renamed to people"]
    (change,) = compare_shapes(before, after)
    assert (change.action, change.new_path) == ("renamed", ("public", "people"))


def test_a_table_and_a_column_of_another_one() -> None:
    before = graph(users(indexes=(BY_AGE,)), ORDERS)
    after = column_renamed(table_renamed(before, USERS, "people"), ORDERS.key, "id", "number")
    assert lines(before, after) == [
        "~ column public.orders.id: renamed to number",
        "~ table public.users: renamed to people",
    ]


def test_a_table_without_keys_could_be_a_new_one() -> None:
    bare = Table("public", "users", columns=(ID,))
    assert lines(graph(bare), graph(replace(bare, name="people"))) == [
        "+ table public.people (1 column)",
        "- table public.users (1 column)",
    ]


def test_a_copy_of_a_table_has_keys_of_other_names() -> None:
    copy = users(name="people", constraints=(primary_key("id", table="people"),))
    assert [line[:2] for line in lines(graph(), graph(copy))] == ["+ ", "- "]


def test_a_table_in_another_schema_is_another_one() -> None:
    assert [line[:2] for line in lines(graph(), graph(users(schema="old")))] == ["+ ", "- "]


def test_a_table_that_changed_as_well_is_another_one() -> None:
    assert [line[:2] for line in lines(graph(), graph(users(name="people", comment="new")))] == ["+ ", "- "]


def test_rivals_prove_nothing() -> None:
    """Two tables of a schema cannot have keys of one name; a snapshot somebody edited may."""
    after = graph(users(name="people"), users(name="persons"))
    assert [line[:2] for line in lines(graph(), after)] == ["+ ", "+ ", "- "]


def test_a_definition_that_cannot_be_read_explains_nothing() -> None:
    broken = Index("i", 'CREATE INDEX "email, users', ("email",))
    before = graph(users(indexes=(broken,), constraints=()))
    assert [line[:2] for line in lines(before, graph(users(name="people", indexes=(broken,), constraints=())))] == [
        "+ ",
        "- ",
    ]
    after = graph(users(columns=(ID, MAIL, AGE), indexes=(replace(broken, columns=("mail",)),), constraints=()))
    assert lines(before, after) == [
        "~ column public.users.email: renamed to mail",
        "~ index public.users.i: columns: email → mail",
    ]
    last = graph(users(columns=(ID, EMAIL), indexes=(broken,)))
    assert [line[:2] for line in lines(last, graph(users(columns=(ID, MAIL), indexes=(broken,))))] == ["- ", "+ "]


def test_columns_of_one_name_prove_nothing() -> None:
    double = users(columns=(EMAIL, EMAIL, AGE))
    assert len(lines(graph(double), graph(users(columns=(MAIL, EMAIL, AGE))))) == 2


def test_without_being_told_nothing_is_a_rename() -> None:
    after = table_renamed(graph(), USERS, "people")
    assert [c.action for c in diff_graphs(graph(), after)] == ["added", "dropped"]


def test_a_renamed_key_of_another_table() -> None:
    """A table whose foreign key names a renamed one, and changes besides."""
    before = graph(users(), ORDERS)
    after = table_renamed(before, USERS, "people")
    orders = after.table(TableKey("public", "orders"))
    assert orders is not None
    late = tuple(replace(c, validated=False) if c.kind == "foreign_key" else c for c in orders.constraints)
    assert lines(before, after.with_table(replace(orders, constraints=late))) == [
        "~ constraint public.orders.orders_fk: no longer validated",
        "~ table public.users: renamed to people",
    ]
