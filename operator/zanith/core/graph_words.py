"""A schema graph and its changes in words: one line per object or change. Pure.

Names are somebody else's: they are quoted as PostgreSQL quotes them, so that no name reads like two, and what a terminal
would obey or hide is written out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from zanith.core.graph import Column, SchemaGraph, Table
from zanith.core.graph_diff import Change, FieldChange
from zanith.core.graph_fields import Member, key_of, kind_words, objects_of, values_of
from zanith.core.identifiers import TableKey

SIGNS = {"added": "+", "dropped": "-", "changed": "~", "renamed": "~"}

# Cheap to look for: control characters of Latin-1, and what is beyond ASCII at all.
_UNPRINTABLE_IN_JSON = re.compile(r"[^\n\x20-\x7e]")
_NOTHING = "(none)"
_PLAIN = re.compile(r"[a-z_][a-z0-9_$]*")
# Values that PostgreSQL printed and that speak for themselves.
_WITHOUT_LABEL = frozenset({"type", "definition"})
_FREE_TEXT = frozenset({"comment"})
_SAID_WHERE_TRUE = frozenset({"materialized"})


def visible(text: str) -> str:
    """On one line, and with nothing in it that a terminal obeys or does not show: `\\n`, `\\x1b`, `\\u202e`."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def visible_json(text: str) -> str:
    """JSON, with what a terminal obeys or does not show written as JSON writes it."""
    return _UNPRINTABLE_IN_JSON.sub(lambda m: json.dumps(m[0])[1:-1] if not m[0].isprintable() else m[0], text)


def name_text(*names: str) -> str:
    """`public.users`, `public."Users"`."""
    return ".".join(n if _PLAIN.fullmatch(n) else '"{}"'.format(n.replace('"', '""')) for n in names)


def object_name(kind: str, names: tuple[str, ...]) -> str:
    """`public.users.email`; of a function with the types that tell it from others: `public.total(bigint, text)`."""
    if kind != "function":
        return name_text(*names)
    *called, arguments = names
    return f"{name_text(*called)}({arguments})"


def diff_lines(changes: Iterable[Change]) -> Iterator[str]:
    """`~ column public.users.email: text → character varying(50)`, a line per change."""
    for change in changes:
        details = change_details(change)
        name = object_name(change.kind, change.path)
        subject = f"{change.kind} {name}" if name else "the schema"
        yield visible(f"{SIGNS[change.action]} {subject}{details}")


def change_details(change: Change) -> str:
    """What stands behind the name of a change."""
    if change.action in ("added", "dropped"):
        return _behind(change.before if change.after is None else change.after)
    renamed = key_of(change.before) != key_of(change.after)
    told = [f"renamed to {name_text(change.new_path[-1])}"] if renamed else []
    return ": " + "; ".join([*told, *map(field_change_text, change.fields)])


def field_change_text(change: FieldChange) -> str:
    """`default: 0 → 1`, `now not null`."""
    member, before, after = change.member, change.before, change.after
    if isinstance(before, bool) and isinstance(after, bool):
        return f"{'now' if after else 'no longer'} {member.words}"
    if member.objects is not None:
        return f"order of {member.words}: {value_text(member, before)} → {value_text(member, after)}"
    if member.hashed:
        return f"{member.words} changed"
    label = "" if member.name == "type" else f"{member.words}: "
    return f"{label}{value_text(member, before)} → {value_text(member, after)}"


def value_text(member: Member, value: Any) -> str:
    """A value of a field; free text in quotes, for it may be any words."""
    if value is None or value == ():
        return _NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, TableKey):
        return name_text(*value)
    if isinstance(value, tuple):
        return ", ".join(_element(v) for v in value)
    return "'{}'".format(str(value).replace("'", "''")) if member.name in _FREE_TEXT else str(value)


def describe(item: Any) -> str:
    """An object in a few words, without its name: `bigint, not null`, `5 columns, 1 index`."""
    return ", ".join([*_said(item), *(_count(len(held), m) for m, held in objects_of(item))])


def _said(item: Any) -> list[str]:
    """The values of an object, without what it holds."""
    values = dict(values_of(item))
    by_name = {m.name: v for m, v in values.items()}
    has_definition = isinstance(by_name.get("definition"), str)
    said = [str(v) for m, v in values.items() if m.name in _WITHOUT_LABEL]
    for member, value in values.items():
        if member.name in _WITHOUT_LABEL or member.hashed or value is None or value == ():
            continue
        if value is False and member.name in _SAID_WHERE_TRUE:
            continue
        # The definition says all but the state: whether it is valid, validated, enabled.
        if not has_definition or member.default is True or member.name in _FREE_TEXT:
            said.append(_value_words(member, value))
    return said


def shape_lines(graph: SchemaGraph) -> Iterator[str]:
    """The whole shape for people, in the manner of psql's `\\d`."""
    for _, held in objects_of(graph):
        for item in held:
            yield ""
            yield from map(visible, _object_lines(item))


def _object_lines(item: Any) -> Iterator[str]:
    kind = kind_words(type(item))
    head = f"{kind.capitalize()} {object_name(kind, key_of(item))}"
    if isinstance(item, Table):
        own = [_value_words(member, value) for member, value in values_of(item)]
        yield f"{head} ({', '.join(own)})" if own else head
    else:
        yield f"{head}{_colon(', '.join(_said(item)))}"
    for member, held in objects_of(item):
        if member.objects is Column:
            yield from _column_lines(held)
            continue
        yield f"  {member.words.capitalize()}:"
        yield from (f"    {name_text(*key_of(part))}{_colon(describe(part))}" for part in held)


def _column_lines(columns: tuple[Column, ...]) -> Iterator[str]:
    rows = [(visible(name_text(c.name)), c.type, describe(c).removeprefix(c.type).removeprefix(", ")) for c in columns]
    widths = [max(len(row[i]) for row in rows) for i in range(2)]
    for name, kind, rest in rows:
        yield f"  {name.ljust(widths[0])}  {kind.ljust(widths[1])}  {rest}".rstrip()


def _behind(item: Any) -> str:
    words = describe(item)
    return f" ({words})" if isinstance(item, Table) and words else _colon(words)


def _colon(words: str) -> str:
    return f": {words}" if words else ""


def _value_words(member: Member, value: Any) -> str:
    if isinstance(value, bool):
        return member.words if value else f"not {member.words}"
    return f"{member.words} {value_text(member, value)}"


def _count(number: int, member: Member) -> str:
    assert member.objects is not None
    return f"1 {kind_words(member.objects)}" if number == 1 else f"{number} {member.words}"


def _element(value: Any) -> str:
    if isinstance(value, tuple):
        return ".".join(_element(v) for v in value if v != "")  # "": of the relation, no column of it
    return name_text(value) if isinstance(value, str) else str(value)
