"""Rows of the catalog's queries into what is known around the tables: extensions, dependents, sources, publications.

Pure, like `catalog_rows`, which calls it. What the graph shows already is left out of the dependents.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from zanith.core.graph import Extension, SchemaGraph
from zanith.core.identifiers import TableKey
from zanith.core.sql import SqlProblem, parse_expression
from zanith.core.surroundings import Dependent, ExtensionVersion, FunctionBody, Publication, SyncTrigger, TriggerBody

Row = Mapping[str, Any]
Keys = Mapping[int, TableKey]
Names = Mapping[tuple[int, int], str]
"""Column names by (oid of the table, number)."""


def installed(rows: Sequence[Row]) -> tuple[Extension, ...]:
    return tuple(sorted((Extension(r["name"], r["schema"], r["version"]) for r in rows), key=lambda e: e.name))


def extension_facts(extensions: Sequence[Row], tables: Sequence[Row], available: Sequence[Row]) -> dict[str, Any]:
    """The fields of Facts that are about extensions, but for who uses them."""
    return {
        "available_extensions": {r["name"]: r["version"] for r in available if r["is_default"]},
        "extension_versions": {
            (r["name"], r["version"]): ExtensionVersion(r["schema"], tuple(r["requires"] or ()), r["untrusted"])
            for r in available
        },
        "extension_functions": {r["name"]: frozenset(r["functions"]) for r in extensions},
        "extension_tables": {TableKey(r["schema"], r["name"]): r["extension"] for r in tables},
    }


def dependent_facts(rows: Sequence[Row], graph: SchemaGraph, keys: Keys, names: Names) -> dict[str, Any]:
    """Who needs extensions, and who needs tables beside what the graph shows."""
    users: defaultdict[str, list[Dependent]] = defaultdict(list)
    dependents: defaultdict[TableKey, list[Dependent]] = defaultdict(list)
    for row in rows:
        if row["extension"] is not None:
            users[row["extension"]].append(_dependent(row, ()))
        elif row["table_oid"] in keys and not _shown_in(graph, row):
            needed = (names.get((row["table_oid"], n)) for n in row["numbers"] or ())
            dependents[keys[row["table_oid"]]].append(_dependent(row, tuple(n for n in needed if n is not None)))
    return {
        "extension_users": {name: tuple(dict.fromkeys(found)) for name, found in users.items()},
        "dependents": {key: tuple(dict.fromkeys(found)) for key, found in dependents.items()},
    }


def rules(rows: Sequence[Row], keys: Keys, names: Names) -> dict[TableKey, tuple[Dependent, ...]]:
    """Rules of tables, by the tables whose columns they use."""
    found: defaultdict[TableKey, list[Dependent]] = defaultdict(list)
    for row in rows:
        if row["table_oid"] in keys:
            needed = (names.get((row["table_oid"], n)) for n in row["numbers"])
            found[keys[row["table_oid"]]].append(
                Dependent(row["words"], needs=tuple(n for n in needed if n is not None))
            )
    return {key: tuple(each) for key, each in found.items()}


def source_facts(functions: Sequence[Row], triggers: Sequence[Row], keys: Keys) -> dict[str, Any]:
    """Sources of functions, and of those that triggers call by table."""
    sources = {r["oid"]: r["source"] for r in functions}
    bodies: defaultdict[TableKey, list[TriggerBody]] = defaultdict(list)
    for row in sorted(triggers, key=lambda r: str(r["name"])):
        if row["table_oid"] in keys and row["enabled"] and row["function_oid"] in sources:
            bodies[keys[row["table_oid"]]].append(TriggerBody(row["name"], sources[row["function_oid"]]))
    return {
        "functions": tuple(
            sorted((FunctionBody(f"{r['schema']}.{r['name']}", r["source"]) for r in functions), key=lambda f: f.name)
        ),
        "trigger_bodies": {key: tuple(found) for key, found in bodies.items()},
    }


def sync_triggers(triggers: Sequence[Row], keys: Keys) -> dict[TableKey, tuple[SyncTrigger, ...]]:
    """Our triggers that keep the copy of a column in step: those of a partition are its parent's, and go with them."""
    found: defaultdict[TableKey, list[SyncTrigger]] = defaultdict(list)
    for row in sorted(triggers, key=lambda r: str(r["name"])):
        if row["name"].startswith("_zanith_sync_") and row["table_oid"] in keys and not row["inherited"]:
            found[keys[row["table_oid"]]].append(SyncTrigger(row["name"], row["function"], row["argument"] or ""))
    return {key: tuple(each) for key, each in found.items()}


def grouped_names(rows: Iterable[Row], keys: Keys) -> dict[TableKey, tuple[str, ...]]:
    """Names by table, in order."""
    grouped: defaultdict[TableKey, set[str]] = defaultdict(set)
    for row in rows:
        if row["table_oid"] in keys:
            grouped[keys[row["table_oid"]]].add(row["name"])
    return {key: tuple(sorted(found)) for key, found in grouped.items()}


def publication_facts(
    publications: Sequence[Row], members: Sequence[Row], tables: Sequence[Row], names: Names
) -> dict[str, Any]:
    """What is published, how, and where an UPDATE fails for it.

    PostgreSQL looks at the partition a row is in: it is published with any table above it, and needs a replica identity
    of its own. What is true of a partition is true of the tables above it here.
    """
    by_key = {TableKey(r["schema"], r["name"]): r for r in tables}
    named = {(m["publication_oid"], m["table_oid"]): m for m in members}
    published: dict[TableKey, list[Publication]] = {}
    failing: set[TableKey] = set()
    for key, row in by_key.items():
        uses = list(_uses_of(list(_above(key, by_key)), publications, named, names))
        if uses and row["persistence"] == "p":
            family = [TableKey(r["schema"], r["name"]) for r in _above(key, by_key)]
            for member in family:
                published.setdefault(member, []).extend(use for use, _ in uses)
            identity = _identity(row, names)
            if row["kind"] != "p" and any(updates and not _usable(identity, use) for use, updates in uses):
                failing.update(family)
    return {
        "published": frozenset(published),
        "publishing": _publishing(publications),
        "publications": {key: tuple(dict.fromkeys(found)) for key, found in published.items()},
        "without_replica_identity": frozenset(failing),
    }


def _publishing(publications: Sequence[Row]) -> dict[str | None, tuple[str, ...]]:
    found: defaultdict[str | None, list[str]] = defaultdict(list)
    for row in publications:
        for schema in (None,) if row["all_tables"] else row["schemas"]:
            if row["updates"]:
                found[schema].append(row["name"])
    return {schema: tuple(sorted(names)) for schema, names in found.items()}


def _dependent(row: Row, needs: tuple[str, ...]) -> Dependent:
    belongs = row["name"] is not None and not row["is_view"]
    return Dependent(
        words=_words(row),
        table=TableKey(row["schema"], row["name"]) if belongs else None,
        column=row["column"] if belongs else None,
        policy=row["policy"],
        needs=needs,
    )


def _words(row: Row) -> str:
    """`column public.users.email`, in the catalog's own spelling; a view instead of the rule that makes it one."""
    if row["is_view"]:
        return f"view {row['schema']}.{row['name']}"
    kind = {"table column": "column", "default value": "default value"}.get(row["type"], row["type"])
    return f"{kind} {row['identity']}"


def _shown_in(graph: SchemaGraph, row: Row) -> bool:
    if row["is_view"]:
        return any((v.schema, v.name) == (row["schema"], row["name"]) for v in graph.views)
    in_graph = row["name"] is not None and graph.table(TableKey(row["schema"], row["name"])) is not None
    return in_graph and bool(row["is_foreign_key"])


def _above(key: TableKey, by_key: Mapping[TableKey, Row]) -> Iterator[Row]:
    """The table and the partitioned tables it is in."""
    found: TableKey | None = key
    while found is not None and found in by_key:
        row = by_key[found]
        yield row
        found = None if row["parent_name"] is None else TableKey(row["parent_schema"], row["parent_name"])


def _uses_of(
    family: Sequence[Row], publications: Sequence[Row], named: Mapping[tuple[int, int], Row], names: Names
) -> Iterator[tuple[Publication, bool]]:
    """How publications publish the first of the family, each with whether it publishes updates."""
    for publication in publications:
        listed = [(named[at], r) for r in family if (at := (publication["oid"], r["oid"])) in named]
        for member, row in listed:
            columns = tuple(names[row["oid"], n] for n in member["numbers"] if (row["oid"], n) in names)
            yield Publication(publication["name"], columns, member["row_filter"]), publication["updates"]
        whole = publication["all_tables"] or any(r["schema"] in publication["schemas"] for r in family)
        if whole and not listed:
            yield Publication(publication["name"]), publication["updates"]


def _identity(row: Row, names: Names) -> frozenset[str] | None:
    """Columns of the replica identity; None for FULL, which is all of them."""
    if row["replica_identity"] == "f":
        return None
    return frozenset(names[row["oid"], n] for n in row["replica_numbers"] if (row["oid"], n) in names)


def _usable(identity: frozenset[str] | None, use: Publication) -> bool:
    """Whether updates can be published: there is an identity, inside of the column list, and with all of the filter."""
    if identity is None:
        return not use.columns
    inside = not use.columns or identity <= set(use.columns)
    return bool(identity) and inside and (use.row_filter is None or _columns(use.row_filter) <= identity)


def _columns(row_filter: str) -> frozenset[str]:
    try:
        return parse_expression(row_filter).columns
    except SqlProblem:  # nested deeper than the parser goes; PostgreSQL has the last word
        return frozenset()
