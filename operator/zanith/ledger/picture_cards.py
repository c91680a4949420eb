"""What the picture of a difference shows: a card per object that changed, its rows, and the foreign keys between. Pure.

Decides what is said; where it stands and how it looks is `diff_picture`'s. Refuses to hide a change: only rows of what
stayed as it was are left out, and their number is told.
"""

from __future__ import annotations

import textwrap
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Literal

from zanith.core.graph import Column, Constraint, Index, SchemaGraph, Table
from zanith.core.graph_diff import Action, Change, Path
from zanith.core.graph_fields import key_of, kind_words, objects_of
from zanith.core.graph_words import change_details, describe, name_text, object_name
from zanith.core.identifiers import TableKey

Look = Action | Literal["same"]

SAME_COLUMNS = 4
"""Columns that stayed as they were, and are shown all the same, for orientation."""
TEXT_WIDTH = 72
"""Characters in a row."""
_DETAIL_LINES = 3


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a card: a sign's worth of meaning, what it is, and what is said of it at the right."""

    look: Look
    left: str
    right: str = ""
    tip: str = ""
    detail: bool = False
    """Belongs to the row above."""
    column: str = ""
    """The column it is, as it is called after: where the line of a foreign key begins."""


@dataclass(frozen=True, slots=True)
class Card:
    """An object of the schema. `stub`: it is as it was, and here because a line ends at it."""

    path: Path
    look: Look
    kind: str
    title: str
    rows: tuple[Row, ...] = ()
    stub: bool = False


@dataclass(frozen=True, slots=True)
class Edge:
    """A foreign key between two cards; `row` is the column it begins at."""

    start: Path
    end: Path
    look: Look
    column: str
    tip: str


def cards_of(before: SchemaGraph, after: SchemaGraph, changes: Sequence[Change]) -> tuple[list[Card], list[Edge]]:
    """Cards, those that belong together next to each other, and the foreign keys between them."""
    grouped: defaultdict[tuple[int, Path], list[Change]] = defaultdict(list)
    for change in changes:
        root = change.path if len(change.place) < 2 else change.path[:-1]
        grouped[change.place[0] if change.place else -1, root].append(change)
    cards: dict[Path, Card] = {}
    others: list[Card] = []
    for (_, path), group in grouped.items():
        table = _table_pair(path, group, before, after)
        if table is None:
            others.append(_object_card(path, group))
        else:
            cards[path] = _table_card(path, group, *table)
    edges = list(_edges(before, after, changes, cards))
    for edge in edges:
        for path in (edge.start, edge.end):
            if path not in cards:
                cards[path] = Card(path, "same", "table", name_text(*path), stub=True)
    return [*_neighbours(cards, edges), *others], edges


def _table_pair(
    path: Path, group: Sequence[Change], before: SchemaGraph, after: SchemaGraph
) -> tuple[Table | None, Table | None] | None:
    """The table before and after; None where it is no table that changed."""
    if group[0].outermost_kind != "table":
        return None
    whole = next((c for c in group if len(c.place) == 1), None)
    if whole is not None:
        return whole.before, whole.after
    key = TableKey(*path)
    return before.table(key), after.table(key)


def _table_card(path: Path, group: Sequence[Change], before: Table | None, after: Table | None) -> Card:
    whole = next((c for c in group if len(c.place) == 1), None)
    look: Look = "changed" if whole is None else whole.action
    parts = [c for c in group if len(c.place) > 1]
    columns = {c.path[-1]: c for c in parts if c.kind == "column"}
    rows: list[Row] = []
    title = name_text(*path)
    if whole is not None and whole.path != whole.new_path:
        title += f" → {name_text(whole.new_path[-1])}"
    if whole is not None and look == "changed":
        rows += _wrapped(look, change_details(whole).removeprefix(": "))
    rows += _column_rows(before, after, columns, look)
    for change in parts:
        if change.kind == "column":
            continue
        item = change.before if change.after is None else change.after
        rows.append(_part_row(change.action, item))
        if change.fields:
            rows += _wrapped(change.action, change_details(change).removeprefix(": "))
    if look in ("added", "dropped"):
        rows += [
            _part_row(look, part) for m, held in objects_of(before or after) if m.objects is not Column for part in held
        ]
    return Card(path, look, "table", title, tuple(rows))


def _part_row(look: Look, part: Any) -> Row:
    """An index, constraint, trigger or policy."""
    words = describe(part)
    if isinstance(part, Constraint):
        kind = part.kind.replace("_", " ")
        short = words.removeprefix(f"{kind.upper()} ")
    else:
        kind = kind_words(type(part))
        short = words.partition(" USING ")[2] or words if isinstance(part, Index) else words
    return Row(look, f"{kind} {name_text(*key_of(part))}", short, words)


def _column_rows(before: Table | None, after: Table | None, changes: Mapping[str, Change], look: Look) -> Iterator[Row]:
    """Columns as they stand after, those that went where they stood; of what stayed only a few."""
    columns = _merged(before, after, {c.new_path[-1]: old for old, c in changes.items() if c.action == "renamed"})
    untouched = (look if look in ("added", "dropped") else "same") if before is None or after is None else "same"
    shown = 0
    for same, run in groupby(columns, lambda c: c.name not in changes and untouched == "same"):
        if not same:
            for column in run:
                yield from _column_row(column, changes.get(column.name), untouched)
            continue
        kept = list(run)
        few = kept[: max(0, SAME_COLUMNS - shown)]
        shown += len(few)
        yield from (Row("same", name_text(c.name), c.type, describe(c), column=c.name) for c in few)
        if left := len(kept) - len(few):
            yield Row("same", f"… {left} more as {'it was' if left == 1 else 'they were'}")


def _column_row(column: Column, change: Change | None, untouched: Look) -> Iterator[Row]:
    if change is None or change.action in ("added", "dropped"):
        look = untouched if change is None else change.action
        yield Row(look, name_text(column.name), column.type, describe(column), column=column.name)
        return
    details = change_details(change).removeprefix(": ")
    new = change.new_path[-1]
    name = name_text(column.name) if new == column.name else f"{name_text(column.name)} → {name_text(new)}"
    yield Row(change.action, name, change.after.type, details, column=new)
    if not change.fields:
        return
    yield from (replace(row, detail=True) for row in _wrapped(change.action, details))


def _merged(before: Table | None, after: Table | None, renamed: Mapping[str, str]) -> list[Column]:
    """Columns of both: in the order after, each that went behind the one it stood behind. Renamed ones by their old name."""
    news = [replace(c, name=renamed.get(c.name, c.name)) for c in (after.columns if after else ())]
    there = {c.name for c in news}
    merged = list(news)
    at = 0
    for column in before.columns if before else ():
        if column.name in there:
            at = next(i for i, c in enumerate(merged) if c.name == column.name) + 1
        else:
            merged.insert(at, column)
            at += 1
    return merged


def _object_card(path: Path, group: Sequence[Change]) -> Card:
    """What is no table: its own change, then those of what it holds."""
    whole = next((c for c in group if len(c.place) < 2), None)
    rows = [] if whole is None else _wrapped(whole.action, change_details(whole).removeprefix(": "))
    for change in (c for c in group if c is not whole):
        rows.append(_part_row(change.action, change.before if change.after is None else change.after))
        if change.fields:
            rows += _wrapped(change.action, change_details(change).removeprefix(": "))
    kind = group[0].outermost_kind
    look: Look = "changed" if whole is None else whole.action
    return Card(path, look, kind, object_name(kind, path) or "the schema", tuple(rows))


def _wrapped(look: Look, text: str) -> list[Row]:
    lines = textwrap.wrap(text, TEXT_WIDTH, break_long_words=True) if text else []
    shown = lines[:_DETAIL_LINES]
    if len(lines) > len(shown):
        shown[-1] = shown[-1][: TEXT_WIDTH - 1] + "…"
    return [Row(look, line, tip=text, detail=True) for line in shown]


def _edges(
    before: SchemaGraph, after: SchemaGraph, changes: Iterable[Change], cards: Mapping[Path, Card]
) -> Iterator[Edge]:
    """Foreign keys that changed, and those that stayed between two cards."""
    moved = {c.new_path: c.path for c in changes if c.action == "renamed" and len(c.place) == 1}
    told: set[tuple[Path, str]] = set()

    def edge(table: Path, foreign: Any, look: Look) -> Edge:
        end: Path = tuple(foreign.references)
        column = foreign.columns[0] if foreign.columns else ""
        return Edge(table, moved.get(end, end), look, column, f"{name_text(key_of(foreign)[0])}: {foreign.definition}")

    for change in changes:
        item = change.before if change.after is None else change.after
        if isinstance(item, Constraint) and item.references is not None:
            told.add((change.path[:-1], item.name))
            yield edge(change.path[:-1], item, change.action)
        elif isinstance(item, Table) and change.action in ("added", "dropped"):
            for constraint in item.constraints:
                if constraint.references is not None:
                    told.add((change.path, constraint.name))
                    yield edge(change.path, constraint, change.action)
    for table in after.tables:
        path = moved.get(table.key, table.key)
        for constraint in table.constraints if path in cards else ():
            end = constraint.references
            if end is not None and moved.get(end, end) in cards and (path, constraint.name) not in told:
                yield edge(path, constraint, "same")


def _neighbours(cards: Mapping[Path, Card], edges: Iterable[Edge]) -> list[Card]:
    """In order of names, but each followed by those it is linked with."""
    linked: defaultdict[Path, set[Path]] = defaultdict(set)
    for edge in edges:
        linked[edge.start].add(edge.end)
        linked[edge.end].add(edge.start)
    placed: dict[Path, Card] = {}
    for first in sorted(cards, key=lambda p: (cards[p].stub, p)):
        waiting = [first]
        while waiting:
            path = waiting.pop()
            if path not in placed:
                placed[path] = cards[path]
                waiting += sorted(linked[path] - placed.keys(), reverse=True)
    return list(placed.values())
