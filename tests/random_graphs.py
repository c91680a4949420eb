"""Random schema graphs, built from the classes themselves, so that what is added to the graph is tried without a line here.

Objects of one collection have names of their own, as in a database.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, dataclass, replace
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from hypothesis import strategies as st

from zanith.core.graph import SchemaGraph
from zanith.core.graph_fields import Member, identity, key_of, members, shape
from zanith.core.identifiers import TableKey

# What PostgreSQL can hold: any character but NUL and half a surrogate pair. Few, so that names meet.
TEXT = st.text(st.sampled_from("ab_\"' .→\n\x1b\u202eé"), max_size=4) | st.sampled_from(["id", "users", "public"])


def values(annotation: Any) -> st.SearchStrategy[Any]:
    """Any value of a field of the graph."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation is TableKey:
        return st.builds(TableKey, TEXT, TEXT)
    if annotation in (str, bool, int, NoneType):
        return {str: TEXT, bool: st.booleans(), int: st.integers(0, 9), NoneType: st.none()}[annotation]
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in (UnionType, Union):
        return st.one_of(*map(values, arguments))
    if origin is tuple and arguments[1:] == (...,):
        if hasattr(arguments[0], "__dataclass_fields__"):
            return st.lists(objects(arguments[0]), max_size=2, unique_by=key_of).map(tuple)
        return st.lists(values(arguments[0]), max_size=2).map(tuple)
    assert origin is tuple, annotation
    return st.tuples(*map(values, arguments))


def objects(kind: type) -> st.SearchStrategy[Any]:
    """Any object of a class of the graph; mostly with defaults, as they mostly are."""
    chosen = {m.name: values(m.annotation) for m in members(kind) if m.name != "format_version"}
    return st.fixed_dictionaries(
        {m.name: chosen[m.name] for m in members(kind) if m.default is MISSING or m.objects is not None},
        optional={
            m.name: chosen[m.name]
            for m in members(kind)
            if m.default is not MISSING and m.objects is None and m.name in chosen
        },
    ).map(lambda given: kind(**given))


GRAPHS: st.SearchStrategy[SchemaGraph] = objects(SchemaGraph)


@dataclass(frozen=True)
class Mutation:
    """A graph with one thing done to it: to which object, and to which of its fields where it is not new or gone."""

    graph: SchemaGraph
    path: tuple[str, ...]
    action: Literal["added", "dropped", "changed"]
    member: Member | None = None


def mutations(graph: SchemaGraph) -> st.SearchStrategy[Mutation]:
    """Any single change of an object at any depth: a value, one dropped, one added."""

    @st.composite
    def one(draw: st.DrawFn) -> Mutation:
        places = list(_places(graph, ()))
        path, item, put = draw(st.sampled_from(places))
        choices = [m for m in shape(type(item)) if m.name not in identity(type(item))]
        member = draw(st.sampled_from(choices))
        held = getattr(item, member.name)
        if member.objects is None:
            value = draw(values(member.annotation).filter(lambda v: v != held))
            return Mutation(put(replace(item, **{member.name: value})), path, "changed", member)
        if held and draw(st.booleans()):
            gone = draw(st.sampled_from(held))
            rest = tuple(h for h in held if h is not gone)
            return Mutation(put(replace(item, **{member.name: rest})), (*path, *key_of(gone)), "dropped")
        keys = {key_of(h) for h in held}
        new = draw(objects(member.objects).filter(lambda o: key_of(o) not in keys))
        return Mutation(put(replace(item, **{member.name: (*held, new)})), (*path, *key_of(new)), "added")

    return one()


def _places(item: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    """Every object with its path, and how to put another one in its place, which gives the whole graph anew."""
    yield path, item, lambda other: other
    for member in shape(type(item)):
        if member.objects is None:
            continue
        held = getattr(item, member.name)
        for number, inner in enumerate(held):
            for inner_path, found, put in _places(inner, (*path, *key_of(inner))):

                def within(
                    other: Any, put: Any = put, member: Member = member, number: int = number, held: Any = held
                ) -> Any:
                    changed = (*held[:number], put(other), *held[number + 1 :])
                    return replace(item, **{member.name: changed})

                yield inner_path, found, within
