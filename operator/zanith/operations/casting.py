"""What it means to change a column's type: what PostgreSQL rewrites, and which values would not survive. Pure.

The table below was measured by relfilenode on PostgreSQL 15 and 18 (`tests/integration/test_alter_type_work.py`). What
is not in it counts as a rewrite: too much is declared rather than too little.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from psycopg import sql

from zanith.core.graph import EnumType, Facts
from zanith.core.sql import TypeName, parse_type, printed, raw

INPUT_IS_VALID = 160000
"""From this server version `pg_input_is_valid` tells whether a text casts, without failing (manual, 9.26)."""

Misfit = Callable[[sql.Composable], sql.Composable]
"""A condition that is true for rows whose value would not survive; it fails for no value itself."""


@dataclass(frozen=True, slots=True)
class PrintedType:
    """A type as `format_type` prints it, taken apart: `numeric(10,2)` is numeric and (10, 2)."""

    text: str
    base: str
    limits: tuple[int, ...] = ()

    @property
    def family(self) -> str:
        """Of a built-in type, else empty."""
        return _FAMILIES.get(self.base, "")


@dataclass(frozen=True, slots=True)
class Change:
    """From one type to another."""

    automatic: bool = True
    """Whether PostgreSQL does it without USING, in the one way there is."""
    rewrites: bool = True
    """Whether every row is written anew; else catalog rows only."""
    keeps_indexes: bool = False
    """Whether a plain index on the column stays as it is."""
    narrows: bool = False
    """Whether there are values of the old type that the new one does not hold."""
    misfit: Misfit | None = None
    exact: bool = True
    """Whether each value that is no misfit can be cast back to what it was."""
    unasked: str = ""
    """Why no misfit can be looked for, where some value may fail or change."""


_FAMILIES = {
    "smallint": "integer",
    "integer": "integer",
    "bigint": "integer",
    "real": "float",
    "double precision": "float",
    "numeric": "numeric",
    "text": "string",
    "character varying": "string",
    "character": "padded",
    "bpchar": "padded",
    "timestamp without time zone": "timestamp",
    "timestamp with time zone": "timestamptz",
    "date": "date",
    "time without time zone": "time",
    "time with time zone": "timetz",
    "interval": "interval",
    "bit": "bit",
    "bit varying": "varbit",
    "cidr": "cidr",
    "inet": "inet",
    **{name: name for name in ("boolean", "uuid", "json", "jsonb", "xml", "bytea", "money", "name", "oid", "tsvector")},
}
_INTEGERS = {"smallint": (-(2**15), 2**15 - 1), "integer": (-(2**31), 2**31 - 1), "bigint": (-(2**63), 2**63 - 1)}
_DIGITS = {"smallint": 5, "integer": 10, "bigint": 19}
_EXACT_IN_FLOAT = {"real": 2**24, "double precision": 2**53}
_FLOAT_RANGE = {"real": ("1.2e-38", "3.4e38"), "double precision": ("2.3e-308", "1.7e308")}
_STRINGS = ("string", "padded")
_CLOCKS = ("timestamp", "timestamptz", "time", "timetz", "interval")
_ANOTHER_READING = {"timestamp": ("timestamptz",), "timestamptz": ("timestamp", "date"), "date": ("timestamptz",)}


def read_type(text: str) -> PrintedType:
    """Take apart what `format_type` printed; of a type it does not know, only the text."""
    found = re.fullmatch(r"([a-z][a-z ]*?)(?:\((-?\d+(?:,-?\d+)?)\))?( with(?:out)? time zone)?", text)
    if found is None:
        return PrintedType(text, text)
    limits = tuple(int(n) for n in found[2].split(",")) if found[2] else ()
    return PrintedType(text, found[1] + (found[3] or ""), limits)


def catalog_type(facts: Facts, kind: TypeName) -> str:
    """The type as `format_type` will print it: enums with their schema."""
    enum = enum_type(facts, kind.canonical)
    if enum is None:
        return kind.canonical
    array = "[]" if kind.canonical.endswith("[]") else ""
    return f"{printed(enum.schema)}.{printed(enum.name)}{array}"


def enum_type(facts: Facts, text: str) -> EnumType | None:
    """The enum that the text names, or an array of it; without a schema it is looked for where the runner does."""
    bare = text.removesuffix("[]")
    for schema in dict.fromkeys((facts.default_schema, "public")):
        for enum in facts.graph.enums:
            names = {f"{printed(enum.schema)}.{printed(enum.name)}"}
            names |= {printed(enum.name)} if enum.schema == schema else set()
            if bare in names:
                return enum
    return None


def another_reading(old: PrintedType, new: PrintedType) -> bool:
    """Whether what a value means depends on a time zone that only the author can name."""
    return new.family in _ANOTHER_READING.get(old.family, ())


def automatic_change(old: PrintedType, new: PrintedType) -> Change | None:
    """Without USING; None where there is no such way, or more than one."""
    if old.text == new.text:
        return Change(rewrites=False, keeps_indexes=True)
    if not old.family or not new.family:
        return _unknown(old, new)
    if new.family in _STRINGS and old.family not in _STRINGS:
        return _to_string(old, new)
    rule = _RULES.get((old.family, new.family))
    return None if rule is None else rule(old, new)


def cast_change(facts: Facts, old: PrintedType, new: PrintedType) -> Change:
    """With USING that is the plain cast of the column. The author asks for it: what it cuts or rounds is meant."""
    found = automatic_change(old, new)
    if found is not None and old.family and new.family:
        return replace(found, automatic=False, misfit=None, exact=not found.narrows)
    if another_reading(old, new) and old.family != "date" and new.family != "date":
        kept = _precision(new) >= _precision(old)
        return Change(automatic=False, rewrites=not kept, narrows=not kept, exact=kept)
    if old.family in _STRINGS:
        return _from_string(facts, new)
    return Change(
        automatic=False, exact=False, unasked=f"whether a value of {old.text} casts cannot be asked beforehand"
    )


def _unknown(old: PrintedType, new: PrintedType) -> Change | None:
    """A type of the database's own: PostgreSQL has to say itself whether it converts."""
    if new.family in _STRINGS:
        return _to_string(old, new)
    return Change(
        exact=False, unasked=f"what becomes of a value of {old.text} as {new.text} cannot be asked beforehand"
    )


def _string(old: PrintedType, new: PrintedType) -> Change:
    if not new.limits:
        return Change(rewrites=False, keeps_indexes=True)
    (limit,) = new.limits
    if old.limits and old.limits[0] <= limit:
        return Change(rewrites=False, keeps_indexes=True)
    return Change(narrows=True, misfit=lambda c: sql.SQL("char_length({}) > {}").format(c, limit))


def _padded(old: PrintedType, new: PrintedType) -> Change:
    """`character` from or to anything that is text: spaces at the end count in the one and not in the other."""
    narrower = bool(new.limits) and not (old.limits and old.limits[0] <= new.limits[0])
    limit = new.limits[0] if new.limits else 0
    if old.family == "string" and new.family == "padded":
        blank = sql.SQL("right({}, 1) = ' '")
        too_long = sql.SQL("{} OR char_length({}) > {}") if new.limits else sql.SQL("{}")
        return Change(narrows=True, misfit=lambda c: too_long.format(blank.format(c), c, limit))
    if not narrower:
        return Change()
    return Change(narrows=True, misfit=lambda c: sql.SQL("char_length({}) > {}").format(c, limit))


def _to_string(old: PrintedType, new: PrintedType) -> Change:
    if not new.limits:
        return Change()
    (limit,) = new.limits
    return Change(narrows=True, misfit=lambda c: sql.SQL("char_length({}::text) > {}").format(c, limit))


def _integer(old: PrintedType, new: PrintedType) -> Change:
    low, high = _INTEGERS[new.base]
    if low <= _INTEGERS[old.base][0]:
        return Change()
    return Change(narrows=True, misfit=lambda c: sql.SQL("{} NOT BETWEEN {} AND {}").format(c, low, high))


def _numeric(old: PrintedType, new: PrintedType) -> Change:
    if not new.limits:
        return Change(rewrites=False, keeps_indexes=True)
    precision, scale = new.limits
    if old.limits:
        whole, fraction = old.limits[0] - old.limits[1], old.limits[1]
        if fraction == scale and old.limits[0] <= precision:
            return Change(rewrites=False, keeps_indexes=True)
        if fraction <= scale and whole <= precision - scale:
            return Change()
    return Change(narrows=True, misfit=_numeric_misfit(precision, scale))


def _numeric_misfit(precision: int, scale: int) -> Misfit:
    """Too great for the type, or with more digits than it keeps. NaN fits any numeric."""
    ask = sql.SQL("{c} <> 'NaN' AND (abs({c}) >= 10::numeric ^ {power} OR round({c}, {scale}) <> {c})")
    return lambda c: ask.format(c=sql.SQL("{}::numeric").format(c), power=precision - scale, scale=scale)


def _integer_to_numeric(old: PrintedType, new: PrintedType) -> Change:
    if not new.limits or (new.limits[1] >= 0 and new.limits[0] - new.limits[1] >= _DIGITS[old.base]):
        return Change()
    return Change(narrows=True, misfit=_numeric_misfit(*new.limits))


def _number_to_integer(old: PrintedType, new: PrintedType) -> Change:
    """From numeric or float: fractions are rounded, and what is too great fails."""
    low, high = _INTEGERS[new.base]
    ask = sql.SQL("({c} >= {low} AND {c} < {above} AND trunc({c}) = {c}) IS NOT TRUE AND {c} IS NOT NULL")
    as_type = raw("::double precision" if old.family == "float" else "::numeric")
    return Change(
        narrows=True,
        misfit=lambda c: ask.format(c=sql.SQL("{}{}").format(c, as_type), low=low, above=high + 1),
    )


def _integer_to_float(old: PrintedType, new: PrintedType) -> Change:
    exact_to = _EXACT_IN_FLOAT[new.base]
    if _INTEGERS[old.base][1] <= exact_to:
        return Change()
    return Change(narrows=True, misfit=lambda c: sql.SQL("abs({}::numeric) > {}").format(c, exact_to))


def _to_float(old: PrintedType, new: PrintedType) -> Change:
    """From numeric, or from the greater float: digits are lost, and what is too great fails."""
    if old.base == "real":
        return Change()
    ask = sql.SQL("abs({c}) NOT BETWEEN {least} AND {most} AND {c} NOT IN (0, 'NaN', 'Infinity', '-Infinity')")
    least, most = (raw(bound) for bound in _FLOAT_RANGE[new.base])
    return Change(narrows=True, exact=False, misfit=lambda c: ask.format(c=c, least=least, most=most))


def _float_to_numeric(old: PrintedType, new: PrintedType) -> Change:
    if not new.limits:
        return Change(narrows=True, exact=False)
    precision, scale = new.limits
    ask = sql.SQL("abs({c}::double precision) >= 10::double precision ^ {power} AND {c} <> 'NaN'")
    return Change(narrows=True, exact=False, misfit=lambda c: ask.format(c=c, power=precision - scale))


def _clock(old: PrintedType, new: PrintedType) -> Change:
    """The same kind of time with another number of digits behind the second."""
    if _precision(new) >= _precision(old):
        return Change(rewrites=False, keeps_indexes=True)
    as_new = raw(f"::{new.text}")
    return Change(narrows=True, misfit=lambda c: sql.SQL("{c}{as_new} <> {c}").format(c=c, as_new=as_new))


def _date_to_timestamp(old: PrintedType, new: PrintedType) -> Change:
    beyond = sql.SQL("isfinite({c}) AND {c} > '294276-12-31'")
    return Change(misfit=lambda c: beyond.format(c=c))


def _timestamp_to_date(old: PrintedType, new: PrintedType) -> Change:
    return Change(narrows=True, misfit=lambda c: sql.SQL("{c}::date <> {c}").format(c=c))


def _varbit(old: PrintedType, new: PrintedType) -> Change:
    if not new.limits or (old.limits and old.limits[0] <= new.limits[0]):
        return Change(rewrites=False, keeps_indexes=True)
    (limit,) = new.limits
    return Change(narrows=True, misfit=lambda c: sql.SQL("length({}) > {}").format(c, limit))


def _inet_to_cidr(old: PrintedType, new: PrintedType) -> Change:
    return Change(narrows=True, misfit=lambda c: sql.SQL("{c}::cidr::inet <> {c}").format(c=c))


def _json_to_jsonb(old: PrintedType, new: PrintedType) -> Change:
    why = "json may hold what jsonb does not take, such as \\u0000, and that cannot be asked beforehand"
    return Change(narrows=True, exact=False, unasked=why)


_RULES: dict[tuple[str, str], Callable[[PrintedType, PrintedType], Change]] = {
    ("string", "string"): _string,
    ("string", "padded"): _padded,
    ("padded", "string"): _padded,
    ("padded", "padded"): _padded,
    ("integer", "integer"): _integer,
    ("numeric", "numeric"): _numeric,
    ("integer", "numeric"): _integer_to_numeric,
    ("numeric", "integer"): _number_to_integer,
    ("float", "integer"): _number_to_integer,
    ("integer", "float"): _integer_to_float,
    ("numeric", "float"): _to_float,
    ("float", "float"): _to_float,
    ("float", "numeric"): _float_to_numeric,
    **{(clock, clock): _clock for clock in _CLOCKS},
    ("date", "timestamp"): _date_to_timestamp,
    ("timestamp", "date"): _timestamp_to_date,
    ("varbit", "varbit"): _varbit,
    ("cidr", "inet"): lambda old, new: Change(rewrites=False, keeps_indexes=True),
    ("inet", "cidr"): _inet_to_cidr,
    ("json", "jsonb"): _json_to_jsonb,
    ("jsonb", "json"): lambda old, new: Change(),
}


def _precision(kind: PrintedType) -> int:
    return kind.limits[0] if kind.limits else 6


def _from_string(facts: Facts, new: PrintedType) -> Change:
    """Text read as something else: every value has to be one."""
    change = Change(automatic=False, narrows=True, exact=False)
    enum = enum_type(facts, new.text)
    if enum is not None and not new.text.endswith("[]"):
        labels = sql.SQL(", ").join(map(sql.Literal, enum.labels))
        return replace(change, misfit=lambda c: sql.SQL("{}::text NOT IN ({})").format(c, labels))
    if facts.server_version >= INPUT_IS_VALID:
        kind = sql.Literal(new.text)
        return replace(change, misfit=lambda c: sql.SQL("NOT pg_input_is_valid({}::text, {})").format(c, kind))
    found = _SHAPES.get(new.base)
    if found is None or (new.limits and new.family != "numeric"):
        why = f"PostgreSQL {facts.server_version // 10_000} cannot be asked whether a text is of type {new.text}"
        return replace(change, unasked=why)
    shape, fits = found[0], _below(new.limits) if new.limits else found[1]
    ask = sql.SQL("NOT CASE WHEN {}::text ~* {} THEN {} ELSE false END")
    return replace(change, misfit=lambda c: ask.format(c, shape, fits(c)))


def _within(base: str) -> Misfit:
    return lambda c: sql.SQL("{}::text::numeric BETWEEN {} AND {}").format(c, *_INTEGERS[base])


def _below(limits: tuple[int, ...]) -> Misfit:
    return lambda c: sql.SQL("abs({}::text::numeric) < 10::numeric ^ {}").format(c, limits[0] - limits[1])


def _always(column: sql.Composable) -> sql.Composable:
    return sql.SQL("true")


_GROUP = "[0-9a-f]{4}"
_SHAPES: dict[str, tuple[str, Misfit]] = {
    **{base: (r"^\s*[-+]?[0-9]{1,60}\s*$", _within(base)) for base in _INTEGERS},
    "numeric": (r"^\s*[-+]?([0-9]{1,60}\.?[0-9]{0,60}|\.[0-9]{1,60})(e[-+]?[0-9]{1,2})?\s*$", _always),
    "boolean": (r"^\s*(t|tr|tru|true|f|fa|fal|fals|false|y|ye|yes|n|no|on|of|off|0|1)\s*$", _always),
    "uuid": (rf"^({_GROUP}-?){{7}}{_GROUP}$|^\{{({_GROUP}-?){{7}}{_GROUP}\}}$", _always),
}
"""Before PostgreSQL 16: a pattern that only texts of the type match, and what has to hold beside it."""


def plain_casts(column: str, text: str) -> tuple[str, ...]:
    """The ways to write the cast of a column to a type of a spec."""
    kind = parse_type(text)
    spelled = (text, kind.canonical, kind.base) if not read_type(kind.canonical).limits else (text, kind.canonical)
    return tuple(f"{printed(column)}::{name}" for name in dict.fromkeys(spelled))
