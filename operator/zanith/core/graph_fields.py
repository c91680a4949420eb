"""What a schema graph is made of, read from the classes themselves: for the diff, the words and the JSON Schema.

A part that is added to the graph is compared, told and described without a line here. Two habits of `zanith.core.graph`
make that possible: a class begins with the fields that identify its objects, up to `name`; and a tuple of dataclasses
is a collection of objects, any other field is a value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

_T = TypeVar("_T")

_IDENTITY_BEYOND_NAME = frozenset({"arguments", "signature"})
"""What else tells two objects of one name apart: functions are overloaded."""

_NOT_SHAPE = frozenset({"format_version"})
"""How the graph is written down, not what the database looks like."""


@dataclass(frozen=True, slots=True)
class Member:
    """A field of a class of the graph."""

    name: str
    annotation: Any
    default: Any
    """MISSING where it has none."""
    objects: type | None
    """The class of the objects it holds; None where it is a value."""

    @property
    def key(self) -> str:
        """What it is called in JSON."""
        head, *rest = self.name.split("_")
        return head + "".join(word.capitalize() for word in rest)

    @property
    def words(self) -> str:
        """What it is called by people. A hash stands for what was hashed."""
        return self.name.removesuffix("_hash").replace("_", " ")

    @property
    def hashed(self) -> bool:
        return self.name.endswith("_hash")


def _once(read: Callable[[type], _T]) -> Callable[[type], _T]:
    """As functools.cache, whose annotations let no class be an argument."""
    known: dict[type, _T] = {}

    def remembered(kind: type) -> _T:
        if kind not in known:
            known[kind] = read(kind)
        return known[kind]

    remembered.__doc__ = read.__doc__
    return remembered


@_once
def members(kind: type) -> tuple[Member, ...]:
    """The fields of a class of the graph, in order, without what is only kept beside them."""
    hints = get_type_hints(kind)
    return tuple(
        Member(f.name, hints[f.name], f.default, _objects(hints[f.name])) for f in fields(kind) if f.init and f.compare
    )


@_once
def shape(kind: type) -> tuple[Member, ...]:
    """The fields that say what the database looks like."""
    return tuple(m for m in members(kind) if m.name not in _NOT_SHAPE)


@_once
def identity(kind: type) -> tuple[str, ...]:
    """Names of the fields that identify an object among its like: those up to `name`; none for the graph itself."""
    names = [m.name for m in members(kind)]
    if "name" not in names:
        return ()
    end = names.index("name") + 1
    return (*names[:end], *(n for n in names[end : end + 1] if n in _IDENTITY_BEYOND_NAME))


@_once
def kind_words(kind: type) -> str:
    """`table`, `enum type`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind.__name__).lower()


def key_of(item: Any) -> tuple[str, ...]:
    """What identifies an object among its like."""
    return tuple(str(getattr(item, name)) for name in identity(type(item)))


def values_of(item: Any) -> Iterator[tuple[Member, Any]]:
    """The values of an object that neither identify it nor are objects of their own, those left at their default not."""
    named = identity(type(item))
    for member in shape(type(item)):
        value = getattr(item, member.name)
        if (
            member.objects is None
            and member.name not in named
            and (member.default is MISSING or value != member.default)
        ):
            yield member, value


def objects_of(item: Any) -> Iterator[tuple[Member, tuple[Any, ...]]]:
    """The collections of an object that hold any."""
    for member in shape(type(item)):
        held = getattr(item, member.name)
        if member.objects is not None and held:
            yield member, held


def _objects(annotation: Any) -> type | None:
    arguments = get_args(annotation)
    if get_origin(annotation) is tuple and arguments[1:] == (...,) and is_dataclass(arguments[0]):
        return arguments[0] if isinstance(arguments[0], type) else None
    return None
