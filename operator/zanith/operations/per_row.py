"""What is slower for each row than a plain column in a btree: expressions that call functions, and other kinds of indexes.

Meant for predictions only. What a name stands for is not looked up: a function of the user's own that is named like one
of the cheap ones is taken for it.
"""

from __future__ import annotations

from collections.abc import Iterable

from zanith.core.definitions import read_index
from zanith.core.graph import Index
from zanith.core.sql import SqlProblem, parse_expression

_CHEAP = frozenset(
    {
        "abs",
        "btrim",
        "ceil",
        "ceiling",
        "char_length",
        "character_length",
        "concat",
        "date_part",
        "date_trunc",
        "extract",
    }
    | {
        "floor",
        "left",
        "length",
        "lower",
        "lpad",
        "ltrim",
        "make_date",
        "md5",
        "mod",
        "now",
        "octet_length",
        "position",
    }
    | {"right", "round", "rpad", "rtrim", "sign", "strpos", "substr", "substring", "timezone", "trunc", "upper"}
)
"""Functions that cost no more than reading the row does. COALESCE, NULLIF and casts are no calls at all."""
_QUICK_TO_BUILD = frozenset({"btree", "hash", "brin"})


def calls_functions(functions: Iterable[str]) -> bool:
    """Whether an expression of these functions takes its time; of `Expression.functions` and the like."""
    return not _CHEAP.issuperset(functions)


def slow_method(method: str) -> bool:
    """Whether an index of the access method is slower to build than a btree."""
    return method not in _QUICK_TO_BUILD


def slow_indexes(indexes: Iterable[Index]) -> tuple[bool, bool]:
    """Of indexes that are built anew: does one call functions for each row, and is one of them slow to build?"""
    calling = slow = False
    for index in indexes:
        shape = read_index(index.definition)
        texts = (
            [] if shape is None else [k.expression for k in shape.keys if k.column is None] + [shape.where or "true"]
        )
        calling = calling or shape is None or any(calls(text) for text in texts)
        slow = slow or (shape is not None and slow_method(shape.method))
    return calling, slow


def calls(expression: str) -> bool:
    """Whether an expression out of the catalog takes its time; yes where it is too deep for the parser."""
    try:
        return calls_functions(parse_expression(expression).functions)
    except SqlProblem:
        return True
