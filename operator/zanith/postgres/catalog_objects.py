"""Rows of the catalog's queries into what the graph holds beside tables: domains, sequences, functions, parts of views.

Pure, like `catalog_rows`, which calls it and leaves out what is ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any, TypeVar

from zanith.core import graph_objects as objects
from zanith.core.graph import Index, Trigger
from zanith.core.graph_objects import Domain, DomainCheck, Function, FunctionKind
from zanith.postgres.catalog_texts import printed, text_hash, verbatim

Row = Mapping[str, Any]
_Part = TypeVar("_Part", Index, Trigger, DomainCheck)

_KINDS: dict[str, FunctionKind] = {"f": "function", "p": "procedure", "a": "aggregate", "w": "window"}
_LARGEST = {"smallint": 2**15 - 1, "integer": 2**31 - 1, "bigint": 2**63 - 1}


def domains(rows: Iterable[Row], checks: Iterable[Row]) -> tuple[Domain, ...]:
    by_domain = _parts(checks, "domain_oid", _check)
    found = (
        Domain(
            schema=row["schema"],
            name=row["name"],
            type=printed(row["type"]),
            not_null=row["not_null"],
            default=printed(row["default"]) if row["has_default"] else None,
            collation=row["collation"],
            checks=by_domain.get(row["oid"], ()),
            comment=row["comment"],
        )
        for row in rows
    )
    return tuple(sorted(found, key=lambda d: (d.schema, d.name)))


def _check(row: Row) -> DomainCheck:
    return DomainCheck(row["name"], printed(row["definition"]), row["validated"], row["comment"])


def free_sequences(rows: Iterable[Row]) -> tuple[objects.Sequence, ...]:
    found = (
        objects.Sequence(
            schema=row["schema"],
            name=row["name"],
            type=row["type"],
            start=row["start"],
            increment=row["increment"],
            minimum=row["minimum"],
            maximum=row["maximum"],
            cache=row["cache"],
            cycle=row["cycle"],
            persistence="unlogged" if row["persistence"] == "u" else "permanent",
            comment=row["comment"],
        )
        for row in rows
    )
    return tuple(sorted(found, key=lambda s: (s.schema, s.name)))


def identity_options(sequence: Row) -> str | None:
    """Options of an identity column's sequence, as SQL; those that PostgreSQL takes by itself are left out."""
    return " ".join(_options(sequence)) or None


def _options(row: Row) -> Iterator[str]:
    largest = _LARGEST[row["type"]]
    low, high = (1, largest) if row["increment"] > 0 else (-largest - 1, -1)
    if row["start"] != (row["minimum"] if row["increment"] > 0 else row["maximum"]):
        yield f"START WITH {row['start']}"
    for words, value, usual in (
        ("INCREMENT BY", row["increment"], 1),
        ("MINVALUE", row["minimum"], low),
        ("MAXVALUE", row["maximum"], high),
        ("CACHE", row["cache"], 1),
    ):
        if value != usual:
            yield f"{words} {value}"
    if row["cycle"]:
        yield "CYCLE"


def functions(rows: Iterable[Row]) -> tuple[Function, ...]:
    found = (
        Function(
            schema=row["schema"],
            name=row["name"],
            arguments=row["arguments"],
            language=row["language"],
            definition_hash=text_hash((printed if row["is_printed"] else verbatim)(row["definition"])),
            kind=_KINDS[row["kind"]],
            comment=row["comment"],
        )
        for row in rows
    )
    return tuple(sorted(found, key=lambda f: (f.schema, f.name, f.arguments)))


def view_indexes(rows: Iterable[Row]) -> Mapping[int, tuple[Index, ...]]:
    """Indexes by the oid of their materialised view."""
    return _parts(
        rows,
        "view_oid",
        lambda r: Index(
            r["name"], printed(r["definition"]), unique=r["unique"], valid=r["valid"], comment=r["comment"]
        ),
    )


def view_triggers(rows: Iterable[Row]) -> Mapping[int, tuple[Trigger, ...]]:
    """Triggers by the oid of their view."""
    return _parts(rows, "view_oid", trigger)


def trigger(row: Row) -> Trigger:
    return Trigger(row["name"], printed(row["definition"]), row["enabled"], row["on_update"], row["comment"])


def _parts(rows: Iterable[Row], owner: str, make: Callable[[Row], _Part]) -> dict[int, tuple[_Part, ...]]:
    """What belongs to objects, by the oid of the object, in order of name."""
    made = ((row[owner], make(row)) for row in sorted(rows, key=lambda r: str(r["name"])))
    return {oid: tuple(part for _, part in group) for oid, group in groupby(sorted(made, key=_first), key=_first)}


def _first(pair: tuple[int, object]) -> int:
    return pair[0]
