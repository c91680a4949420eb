"""One form for what PostgreSQL prints in two. Pure.

Of `varchar IN ('a', 'b')` it prints `= ANY ((ARRAY['a'::character varying, ...])::text[])`, and of what it has printed, once
that was read again, as by psql from a dump or by an ALTER TABLE that builds a constraint anew,
`= ANY (ARRAY[('a'::character varying)::text, ...])`. Both mean the same, and only the second stays as it is. Changes
nothing else, and nothing in strings and names.
"""

from __future__ import annotations

import re

_MARKS = re.compile(r"""'[^']*'|"[^"]*"|[][(),]""")
_BEGINS = "(ARRAY["
_ARRAY_TYPE = re.compile(r'\)::((?:"[^"]*"|[\w$ .]|\([0-9,]+\))+?)\[\]')


def settled(printed: str) -> str:
    """A definition or expression as PostgreSQL prints it once it has read what it printed."""
    if _BEGINS not in printed:
        return printed
    casts = [m.start() for m in _MARKS.finditer(printed) if printed.startswith(_BEGINS, m.start())]
    for at in reversed(casts):  # what is inside another one stands behind its beginning
        printed = printed[:at] + _with_cast_elements(printed[at:])
    return printed


def _with_cast_elements(text: str) -> str:
    """`(ARRAY[a, b])::t[]`, and what follows, as `ARRAY[(a)::t, (b)::t]`; unchanged where it is no such cast."""
    elements, end = _elements(text, len(_BEGINS))
    cast = _ARRAY_TYPE.match(text, end)
    if cast is None or elements == [""]:
        return text
    return f"ARRAY[{', '.join(_cast(e, cast[1]) for e in elements)}]" + text[cast.end() :]


def _cast(element: str, type_name: str) -> str:
    if not element.startswith("ARRAY["):
        return f"({element})::{type_name}"
    inner, _ = _elements(element, len("ARRAY["))
    return f"ARRAY[{', '.join(_cast(e, type_name) for e in inner)}]"


def _elements(text: str, at: int) -> tuple[list[str], int]:
    """The elements of an array that begin there, and where it is closed."""
    found: list[str] = []
    begin, depth = at, 0
    for mark in _MARKS.finditer(text, at):
        if mark[0] in "([":
            depth += 1
        elif mark[0] in ")]" and depth:
            depth -= 1
        elif mark[0] == "]":
            return [*found, text[begin : mark.start()]], mark.end()
        elif mark[0] == "," and not depth:
            found.append(text[begin : mark.start()])
            begin = mark.end() + 1  # a space follows
    return [text], len(text)
