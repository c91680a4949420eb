"""What differs between two snapshots, with the renames of tables and columns that are certain. Pure.

A snapshot knows names, not identities, so a rename is recognised only by what nothing else leaves behind:

- a column, where all but its name is the same, and either a column behind it stayed (PostgreSQL adds columns at the end
  only) or an index or constraint on it kept its name;
- a table, where all but its name is the same, an index or unique constraint included, whose names are unique in a schema.

All else is shown as dropped and added: taking a loss for a rename would be the worse mistake. What a rename explains, as
the definition of an index on the column, is not told again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from zanith.core.graph import Column, Constraint, Index, SchemaGraph, Table
from zanith.core.graph_diff import Change, Path, Renames, diff_graphs
from zanith.core.graph_formats import in_format, not_kept
from zanith.core.identifiers import TableKey
from zanith.core.sql import SqlProblem
from zanith.operations.renaming import column_renamed, table_renamed

_UNIQUE_IN_SCHEMA = frozenset({"primary_key", "unique", "exclude"})


def compare_shapes(before: SchemaGraph, after: SchemaGraph) -> tuple[Change, ...]:
    """Every change that makes `after` of `before`; none where they are equal. Of two formats, as far as both hold it."""
    version = min(before.format_version, after.format_version)
    before, after = in_format(before, version), in_format(after, version)
    after = _sharing(before, after)
    if before == after:
        return ()
    old, new = _differing(before, after), _differing(after, before)
    tables = _one_to_one(list(_renamed_tables(old, new)))
    columns = dict(_renamed_columns(old, new))
    if not tables and not columns:
        return diff_graphs(before, after)
    renames = Renames(
        tables=tables,
        columns=columns,
        foreseen=_with_renames(old, tables, columns),
        hindsight=_with_renames(new, _inverse(tables), _inverse(columns)),
    )
    return diff_graphs(before, after, renames)


def not_compared(before: SchemaGraph, after: SchemaGraph) -> str | None:
    """What one of them does not keep, in words: the difference says nothing of it. None where both are of one format."""
    older, newer = sorted((before.format_version, after.format_version))
    return f"format {older} does not keep {not_kept(older, newer)}" if older < newer else None


def _sharing(before: SchemaGraph, after: SchemaGraph) -> SchemaGraph:
    """`after`, with the very tables of `before` where they are equal: by far the most are, and are compared only here."""
    return replace(after, tables=tuple(old if (old := before.table(t.key)) == t else t for t in after.tables))


def _differing(graph: SchemaGraph, other: SchemaGraph) -> SchemaGraph:
    """The part of the graph that the other one has not in the same way: what renames could explain."""
    same = set(other.views)
    return replace(
        graph,
        tables=tuple(t for t in graph.tables if other.table(t.key) is not t),
        views=tuple(v for v in graph.views if v not in same),
    )


def _renamed_tables(before: SchemaGraph, after: SchemaGraph) -> Iterator[tuple[Path, Path]]:
    added = [t for t in after.tables if before.table(t.key) is None]
    for table in before.tables:
        names = _unique_names(table)
        if not names or after.table(table.key) is not None:
            continue
        for other in added:
            if other.schema == table.schema and _unique_names(other) == names and _same_table(table, other):
                yield table.key, other.key


def _unique_names(table: Table) -> frozenset[str]:
    """Names that no other table of the schema can have at the same time."""
    return frozenset(
        [i.name for i in table.indexes] + [c.name for c in table.constraints if c.kind in _UNIQUE_IN_SCHEMA]
    )


def _same_table(table: Table, other: Table) -> bool:
    try:
        forward = table_renamed(SchemaGraph(tables=(table,)), table.key, other.name)
        backward = table_renamed(SchemaGraph(tables=(other,)), other.key, table.name)
    except SqlProblem:
        return False
    return forward.tables == (other,) and backward.tables == (table,)


def _renamed_columns(before: SchemaGraph, after: SchemaGraph) -> Iterator[tuple[Path, Path]]:
    for table in before.tables:
        other = after.table(table.key)
        if other is None or not _distinct(table) or not _distinct(other):
            continue
        for gap, more_behind in _gaps(table, other):
            dropped, added = gap
            if len(dropped) != len(added):
                continue
            pairs = [(d, a) for d, a in zip(dropped, added, strict=True) if replace(d, name=a.name) == a]
            for old, new in pairs:
                if more_behind or (len(dropped) == 1 and _kept_name(table, other, old.name, new.name)):
                    yield (*table.key, old.name), (*table.key, new.name)


def _gaps(table: Table, other: Table) -> Iterator[tuple[tuple[list[Column], list[Column]], bool]]:
    """Columns that went and columns that came, between two that stayed; and whether one that stayed is behind them."""
    stayed = [c.name for c in table.columns if other.column(c.name) is not None]
    if stayed != [c.name for c in other.columns if table.column(c.name) is not None]:
        return
    names = frozenset(stayed)
    old, new = _runs(table.columns, names), _runs(other.columns, names)
    for number, gap in enumerate(zip(old, new, strict=True)):
        yield gap, number < len(stayed)


def _runs(columns: Iterable[Column], stayed: frozenset[str]) -> list[list[Column]]:
    """Columns that did not stay, by how many before them did."""
    runs: list[list[Column]] = [[]]
    for column in columns:
        if column.name in stayed:
            runs.append([])
        else:
            runs[-1].append(column)
    return runs


def _kept_name(table: Table, other: Table, old: str, new: str) -> bool:
    """Whether an index or constraint on the column is on the new one now, and otherwise as it was."""
    try:
        expected = column_renamed(SchemaGraph(tables=(table,)), table.key, old, new).tables[0]
        backward = column_renamed(SchemaGraph(tables=(other,)), other.key, new, old).tables[0]
    except SqlProblem:
        return False
    names = {p.name for p in _parts(table) & _parts(backward) if old in p.columns}
    return any(new in p.columns and p.name in names for p in _parts(other) & _parts(expected))


def _parts(table: Table) -> set[Index | Constraint]:
    return {*table.indexes, *table.constraints}


def _distinct(table: Table) -> bool:
    return len({c.name for c in table.columns}) == len(table.columns)


def _with_renames(graph: SchemaGraph, tables: Mapping[Path, Path], columns: Mapping[Path, Path]) -> SchemaGraph:
    """As the renames alone would leave it; nothing is foreseen where a definition is none."""
    try:
        for old, new in columns.items():
            key = TableKey(*old[:2])
            concerned = replace(graph, tables=tuple(_concerned(graph, key)))
            changed = column_renamed(concerned, key, old[2], new[2])
            tables_by_key = {t.key: t for t in changed.tables}
            there = tuple(tables_by_key.get(t.key, t) for t in graph.tables)
            graph = replace(graph, tables=there, views=changed.views)
        for old, new in tables.items():
            graph = table_renamed(graph, TableKey(*old), new[1])
    except SqlProblem:
        return SchemaGraph()
    return graph


def _concerned(graph: SchemaGraph, key: TableKey) -> Iterator[Table]:
    """Tables that may name a column of this one: looking through all others for each rename takes too long."""
    targets = {key, *graph.partitions(key)}
    for table in graph.tables:
        names = table.triggers or table.policies or any(c.references in targets for c in table.constraints)
        if names or table.key in targets:
            yield table


def _one_to_one(pairs: list[tuple[Path, Path]]) -> dict[Path, Path]:
    """Without those that have a rival: then none is certain."""
    olds, news = Counter(old for old, _ in pairs), Counter(new for _, new in pairs)
    return {old: new for old, new in pairs if olds[old] == news[new] == 1}


def _inverse(renames: Mapping[Path, Path]) -> dict[Path, Path]:
    return {new: old for old, new in renames.items()}
