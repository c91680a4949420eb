"""The difference between two snapshots as a picture: one HTML page with an SVG in it, for a browser or a ticket. Pure.

Needs nothing but itself: no script, no font and no style from elsewhere, and forbids the browser to load any. It follows
the reader's light or dark setting, and reads on paper. Every name in it is escaped.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from html import escape
from importlib.resources import files

from zanith.core.graph_diff import Change
from zanith.core.graph_words import SIGNS, diff_lines, visible
from zanith.ledger.picture_cards import TEXT_WIDTH, Card, Edge, Look, Row, cards_of
from zanith.ledger.snapshot_diff import not_compared
from zanith.ledger.snapshot_queries import Snapshot

_COLUMNS = 2  # with more, lines would pass behind cards
_CARD = 552
_GUTTER = 84
_GAP = 26
_HEAD = 34
_LINE = 20
_PAD = 8
_MARGIN = 6
_WIDTH = _COLUMNS * _CARD + (_COLUMNS - 1) * _GUTTER + 2 * _MARGIN

MOST_EDGES = 400
"""More lines than this hide each other; then none is drawn, and the page says so."""

_SIGN: Mapping[str, str] = {**SIGNS, "renamed": "→", "same": ""}
_LEGEND = ("added", "dropped", "changed", "renamed")


@dataclass(frozen=True, slots=True)
class _Placed:
    """A card and where it stands."""

    card: Card
    column: int
    x: int
    y: int

    @property
    def height(self) -> int:
        return _height(self.card)

    def row_y(self, column: str) -> int:
        """The middle of the row of a column; of the head where it has none."""
        for number, row in enumerate(self.card.rows):
            if row.column and row.column == column:
                return self.y + _HEAD + _PAD + number * _LINE + _LINE // 2
        return self.y + _HEAD // 2


def diff_picture(before: Snapshot, after: Snapshot, changes: Sequence[Change]) -> str:
    """The whole page."""
    cards, edges = cards_of(before.graph, after.graph, changes)
    hidden = len(edges) if len(edges) > MOST_EDGES else 0
    title = f"{before.title} → {after.title}"
    style = (files("zanith.ledger") / "diff_picture.css").read_text(encoding="utf-8")
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        f"<title>{_safe(title)}</title><style>\n{style}</style></head><body>",
        f"<h1>{_safe(before.title)} <span>→</span> {_safe(after.title)}</h1>",
        f"<p class=when>{_safe(_about(before))} <span>→</span> {_safe(_about(after))}</p>",
        *_summary(changes),
    ]
    if left_out := not_compared(before.graph, after.graph):
        parts.append(f"<p>Not compared: {_safe(left_out)}.</p>")
    if changes:
        parts += _drawing(cards, [] if hidden else edges, title)
        if hidden:
            parts.append(f"<p>{hidden} foreign keys are not drawn: they would hide each other.</p>")
        parts.append(f"<h2>Every change ({len(changes)})</h2><ul>")
        for change, line in zip(changes, diff_lines(changes), strict=True):
            parts.append(
                f'<li class="{change.action}"><b>{_SIGN[change.action]}</b><span>{_safe(line[2:])}</span></li>'
            )
        parts.append("</ul>")
    return "\n".join([*parts, "</body></html>", ""])


def _about(snapshot: Snapshot) -> str:
    at = snapshot.captured_at.astimezone(UTC)
    return f"{at:%Y-%m-%d %H:%M} UTC, {snapshot.graph.models} model(s), {snapshot.graph.relations} relation(s)"


def _summary(changes: Sequence[Change]) -> Iterator[str]:
    if not changes:
        yield "<p class=none>No difference.</p>"
        return
    yield "<p class=legend>"
    for look in _LEGEND:
        counted = Counter(c.kind for c in changes if c.action == look)
        if counted:
            kinds = ", ".join(f"{n} {kind if n == 1 else _plural(kind)}" for kind, n in counted.items())
            yield f'<span class="chip {look}"><b>{_SIGN[look]}</b> {look}: {_safe(kinds)}</span>'
    yield "</p>"


def _plural(kind: str) -> str:
    if kind.endswith("y"):
        return kind[:-1] + "ies"
    return kind + ("es" if kind.endswith(("x", "s")) else "s")


def _drawing(cards: Sequence[Card], edges: Sequence[Edge], title: str) -> Iterator[str]:
    placed = _layout(cards)
    height = max(p.y + p.height for p in placed) + _MARGIN
    yield f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{_safe(title)}">'
    yield "<defs>"
    for look in ("added", "dropped", "changed", "same"):
        yield (
            f'<marker id="end-{look}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
            f'orient="auto"><path class="tip {look}" d="M0 0 8 4 0 8z"/></marker>'
        )
    yield "</defs>"
    by_path = {p.card.path: p for p in placed if p.card.kind == "table"}
    for number, edge in enumerate(sorted(edges, key=lambda e: e.look != "same")):
        yield _line(by_path[edge.start], by_path[edge.end], edge, number)
    for place in placed:
        yield from _draw_card(place)
    yield "</svg>"


def _layout(cards: Sequence[Card]) -> list[_Placed]:
    """Each card below the others of the column that is the shortest so far."""
    heights = [_MARGIN] * min(_COLUMNS, max(1, len(cards)))
    placed = []
    for card in cards:
        column = heights.index(min(heights))
        placed.append(_Placed(card, column, _MARGIN + column * (_CARD + _GUTTER), heights[column]))
        heights[column] += _height(card) + _GAP
    return placed


def _height(card: Card) -> int:
    return _HEAD + (2 * _PAD + len(card.rows) * _LINE if card.rows else 0)


def _line(start: _Placed, end: _Placed, edge: Edge, number: int) -> str:
    """A curve from the column's row to the head of the other table, through the space between the cards."""
    leaves_right = start.column < end.column or (start.column == end.column and start.column < _COLUMNS - 1)
    enters_right = start.column > end.column or (start.column == end.column and leaves_right)
    x1, y1 = start.x + (_CARD if leaves_right else 0), start.row_y(edge.column)
    # Lines that end at one card are kept apart a little.
    x2, y2 = end.x + (_CARD if enters_right else 0), end.y + _HEAD // 2 + (number % 5 - 2) * 4
    # Between cards of one column the farther the wider, within the space there is.
    reach = min(70, 24 + abs(y2 - y1) // 12) if start.column == end.column else _GUTTER // 2 + 8
    c1, c2 = x1 + (reach if leaves_right else -reach), x2 + (reach if enters_right else -reach)
    look = "changed" if edge.look == "renamed" else edge.look
    return (
        f'<path class="edge {look}" d="M{x1} {y1}C{c1} {y1} {c2} {y2} {x2} {y2}" marker-end="url(#end-{look})">'
        f"<title>{_safe(edge.tip)}</title></path>"
    )


def _draw_card(place: _Placed) -> Iterator[str]:
    card = place.card
    stub = " stub" if card.stub else ""
    yield f'<g class="card {card.look}{stub}" transform="translate({place.x} {place.y})">'
    yield f'<rect class=box width="{_CARD}" height="{place.height}" rx="7"/>'
    yield f'<path class=head d="{_head_shape(place)}"/>'
    room = TEXT_WIDTH - 3 - len(card.kind)
    yield (
        f'<text class=title x="12" y="22"><title>{_safe(f"{card.kind} {card.title}")}</title>'
        f"{_safe(_cut(f'{_SIGN[card.look]} {card.title}'.strip(), room))}</text>"
        f'<text class=kind x="{_CARD - 12}" y="22">{_safe(card.kind)}</text>'
    )
    for number, row in enumerate(card.rows):
        yield _draw_row(row, _HEAD + _PAD + number * _LINE)
    yield "</g>"


def _head_shape(place: _Placed) -> str:
    """The upper part of the box; all of it where there are no rows."""
    below = f"V{_HEAD}H0V7" if place.card.rows else f"V{_HEAD - 7}a7 7 0 0 1-7 7H7a7 7 0 0 1-7-7V7"
    return f"M0 7a7 7 0 0 1 7-7H{_CARD - 7}a7 7 0 0 1 7 7{below}z"


def _draw_row(row: Row, y: int) -> str:
    right = _cut(row.right, TEXT_WIDTH - 20) if row.right else ""
    left = _cut(row.left, TEXT_WIDTH - (_width(right) + 2 if right else 0))
    tip = f"<title>{_safe(row.tip)}</title>" if row.tip else ""
    look: Look = row.look
    sign = "" if row.detail else _SIGN[look]
    stripe = "" if look == "same" else f'<rect class=stripe x="1" y="{y}" width="{_CARD - 2}" height="{_LINE}"/>'
    return (
        f'<g class="row {look}{" detail" if row.detail else ""}">{tip}{stripe}'
        f'<text class=sign x="12" y="{y + 14}">{sign}</text>'
        f'<text class=left x="28" y="{y + 14}">{_safe(left)}</text>'
        + (f'<text class=right x="{_CARD - 12}" y="{y + 14}">{_safe(right)}</text>' if right else "")
        + "</g>"
    )


def _cut(text: str, most: int) -> str:
    """At most so many columns of a fixed-width font."""
    text = visible(text)
    if _width(text) <= most:
        return text
    while _width(text) > most - 1:
        text = text[:-1]
    return text + "…"


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _safe(text: str) -> str:
    return escape(visible(text), quote=True)
