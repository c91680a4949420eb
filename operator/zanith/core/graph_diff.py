"""What differs between two schema graphs, object by object and field by field. Pure, and nothing is left out.

Two graphs that are not equal always have a difference, and two equal ones none. Whatever is added to the classes of the
graph is compared without a line here. Refuses to guess: objects are the same by their identity alone; which objects were
renamed, and what is a mere consequence of that, is told by the caller.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from zanith.core.graph import Column, SchemaGraph, Table
from zanith.core.graph_fields import Member, identity, key_of, kind_words, shape

Action = Literal["added", "dropped", "changed", "renamed"]
Path = tuple[str, ...]
"""Names from the outside in: schema, table, column. Empty for the graph itself."""

_Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class FieldChange:
    """A value of an object before and after. For a collection of objects: the order of those that stayed."""

    member: Member
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Change:
    """One object that was added, dropped, changed or renamed. What an added or dropped object holds is in it."""

    kind: str
    """`table`, `column`, `enum type`."""
    place: tuple[int, ...]
    """Where the class of the object stands in the graph, to sort by."""
    path: Path
    """Its name, before where there was one."""
    before: Any
    """The object; None for an added one."""
    after: Any
    new_path: Path
    """Its name after; the same as `path` unless it, or what it is in, was renamed."""
    fields: tuple[FieldChange, ...] = ()

    @property
    def action(self) -> Action:
        if self.before is None:
            return "added"
        if self.after is None:
            return "dropped"
        return "changed" if self.fields else "renamed"

    @property
    def outermost_kind(self) -> str:
        """The kind of what it is in, or of itself where the graph itself holds it: `table` for a column."""
        held = shape(SchemaGraph)[self.place[0]].objects if self.place else SchemaGraph
        assert held is not None, "only collections have places"
        return kind_words(held)


@dataclass(frozen=True, slots=True)
class Renames:
    """Which objects were renamed, and how the rest would read if nothing else had happened."""

    tables: Mapping[Path, Path] = field(default_factory=dict)
    """Names of tables before, and after."""
    columns: Mapping[Path, Path] = field(default_factory=dict)
    """Names of columns before, and after."""
    foreseen: SchemaGraph = field(default_factory=SchemaGraph)
    """What was there before, as far as it changed, with the renames done."""
    hindsight: SchemaGraph = field(default_factory=SchemaGraph)
    """What is there after, as far as it changed, with the renames undone."""

    def new_path(self, kind: type, path: Path) -> Path:
        # By kind: an index may be called like a column of its table.
        return {Table: self.tables, Column: self.columns}.get(kind, {}).get(path, path)


@dataclass(frozen=True, slots=True)
class _Pair:
    """An object before and after, and as the renames alone would have left it, forwards and backwards."""

    before: Any
    after: Any
    foreseen: Any
    hindsight: Any

    def explained(self, name: str) -> bool:
        """Whether the renames account for the difference. Both ways, so that a mirrored diff tells the same."""
        return (
            self.foreseen is not None
            and self.hindsight is not None
            and getattr(self.foreseen, name) == getattr(self.after, name)
            and getattr(self.hindsight, name) == getattr(self.before, name)
        )


def diff_graphs(before: SchemaGraph, after: SchemaGraph, renames: Renames | None = None) -> tuple[Change, ...]:
    """Every change that makes `after` of `before`, in order of names within each kind of object of the graph."""
    told = renames or Renames()
    pair = _Pair(before, after, told.foreseen, told.hindsight)
    return tuple(sorted(_changes(pair, (), (), (), told), key=_order))


def mirrored(change: Change) -> Change:
    """The change that takes this one back."""
    return Change(
        kind=change.kind,
        place=change.place,
        path=change.new_path,
        before=change.after,
        after=change.before,
        new_path=change.path,
        fields=tuple(FieldChange(f.member, f.after, f.before) for f in change.fields),
    )


def keyed(items: Iterable[Any]) -> dict[_Key, Any]:
    """Objects by identity. A second one of the same identity, which a database cannot have, is told apart by number."""
    seen: Counter[_Key] = Counter()
    found: dict[_Key, Any] = {}
    for item in items:
        key = key_of(item)
        seen[key] += 1
        found[key if seen[key] == 1 else (*key, seen[key])] = item
    return found


def _order(change: Change) -> tuple[Any, ...]:
    # The objects of a table come after it and before the next one: by the names first, then by the kind.
    depth = len(change.place)
    return (
        change.place[:1],
        change.path[: -1 if depth > 1 else None],
        change.place,
        change.path,
        change.before is None,
    )


def _changes(pair: _Pair, place: tuple[int, ...], path: Path, new_path: Path, told: Renames) -> Iterator[Change]:
    """What differs in one object that is there before and after, and in all that it holds."""
    kind = type(pair.before)
    differing: list[FieldChange] = []
    named = identity(kind)
    for number, member in enumerate(shape(kind)):
        before, after = getattr(pair.before, member.name), getattr(pair.after, member.name)
        if member.name in named or before == after:
            continue
        if member.objects is None:
            if not pair.explained(member.name):
                differing.append(FieldChange(member, before, after))
            continue
        order, inner = _collection(pair, member, (*place, number), path, new_path, told)
        differing += order
        yield from inner
    if differing or path[len(path) - 1 :] != new_path[len(new_path) - 1 :]:
        yield Change(kind_words(kind), place, path, pair.before, pair.after, new_path, tuple(differing))


def _collection(
    pair: _Pair, member: Member, place: tuple[int, ...], path: Path, new_path: Path, told: Renames
) -> tuple[list[FieldChange], list[Change]]:
    """What differs in a collection: the order of what stayed, and the changes of its objects."""
    assert member.objects is not None
    befores, afters = keyed(getattr(pair.before, member.name)), keyed(getattr(pair.after, member.name))
    foreseen, hindsight = _beside(pair.foreseen, member), _beside(pair.hindsight, member)
    kind = kind_words(member.objects)
    changes: list[Change] = []
    stayed: dict[_Key, _Key] = {}
    for key, item in befores.items():
        old = (*path, *key_of(item))
        new = told.new_path(member.objects, old)
        new_key: _Key = key if new == old else new[len(path) :]
        if new_key not in afters:
            changes.append(Change(kind, place, old, item, None, old))
            continue
        stayed[key] = new_key
        other = afters[new_key]
        # The same and equal objects are the most by far; renamed ones are never equal.
        if item is not other and item != other:
            inner = _Pair(item, other, foreseen.get(new_key), hindsight.get(key))
            changes += _changes(inner, place, old, (*new_path, *key_of(other)), told)
    kept = set(stayed.values())
    for key, item in afters.items():
        if key not in kept:
            new = (*new_path, *key_of(item))
            changes.append(Change(kind, place, new, None, item, new))
    order = [key for key in afters if key in kept]
    if list(stayed.values()) == order:
        return [], changes
    return [FieldChange(member, tuple(map(_name, stayed)), tuple(map(_name, order)))], changes


def _beside(item: Any, member: Member) -> dict[_Key, Any]:
    return {} if item is None else keyed(getattr(item, member.name))


def _name(key: _Key) -> str:
    return ".".join(map(str, key))
