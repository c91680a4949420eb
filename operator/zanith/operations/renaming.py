"""How definitions read once a column or a table has another name, as PostgreSQL will print them. Pure.

Every identifier is found by the parser's tree or by its place in a list of columns, never by searching the text: a
function, a type, an index or a string may be called like the column. Names of indexes, constraints, triggers and
sequences stay as they are, for PostgreSQL renames none of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from zanith.core.graph import Column, Constraint, Index, Policy, SchemaGraph, Table, Trigger
from zanith.core.identifiers import TableKey
from zanith.core.mentions import Scanned, Token, scan_statement
from zanith.core.sql import printed

_BEFORE_A_LIST = frozenset({"KEY", "UNIQUE", "DISTINCT", "INCLUDE", "NULL", "DEFAULT", "RANGE", "LIST", "HASH"})
"""Words of PostgreSQL's own that a list of columns follows: `PRIMARY KEY (`, `SET NULL (`, `RANGE (`."""

_EXPRESSION = ("SELECT (\n", "\n)")
_CONSTRAINT = ("ALTER TABLE t ADD ", "")
_PARTITION_KEY = ("CREATE TABLE t (c text) PARTITION BY ", "")
_STATEMENT = ("", "")


def column_renamed(
    graph: SchemaGraph, key: TableKey, old: str, new: str, *, also: Iterable[TableKey] = ()
) -> SchemaGraph:
    """The graph with the column renamed, in all partitions and in what inherits from it (`also`), and wherever it is
    named. Raises SqlProblem."""
    targets = frozenset({key, *graph.partitions(key), *also})
    views = tuple(
        replace(v, depends_on=tuple(sorted((t, new if t in targets and c == old else c) for t, c in v.depends_on)))
        for v in graph.views
    )
    tables = tuple(_InTable(t, t.key in targets, _ColumnRename(targets, old, new)).table for t in graph.tables)
    return replace(graph, tables=tables, views=views)


def table_renamed(graph: SchemaGraph, key: TableKey, new: str) -> SchemaGraph:
    """The graph with the table renamed, and wherever it is named. Raises SqlProblem.

    What a view prints changes too; its `definition_hash` cannot be foreseen and stays.
    """
    moved = TableKey(key.schema, new)

    def there(table: TableKey | None) -> TableKey | None:
        return moved if table == key else table

    tables = []
    for table in graph.tables:
        changed = _InTable(table, table.key == key, _TableRename(key, new)).table
        constraints = tuple(replace(c, references=there(c.references)) for c in changed.constraints)
        name = new if table.key == key else table.name
        tables.append(replace(changed, name=name, partition_of=there(table.partition_of), constraints=constraints))
    views = tuple(
        replace(v, depends_on=tuple(sorted((moved if t == key else t, c) for t, c in v.depends_on)))
        for v in graph.views
    )
    return replace(graph, tables=tuple(sorted(tables, key=lambda t: t.key)), views=views)


def statement_renamed(statement: str, key: TableKey, new: str) -> str:
    """One statement with the table renamed wherever it is named. Raises SqlProblem."""
    found = scan_statement(statement)
    places = sorted(_table_places(found, key))
    return _replaced(statement, 0, [(found.tokens[n], printed(new)) for n in places])


def statement_moved(statement: str, key: TableKey, schema: str) -> str:
    """One statement about the table of the same name in another schema. Raises SqlProblem."""
    found = scan_statement(statement)
    places = sorted(n - 2 for n in _table_places(found, key))
    return _replaced(statement, 0, [(found.tokens[n], printed(schema)) for n in places])


def policies_following(table: Table, key: TableKey, moved: TableKey) -> Table:
    """A table whose policies name another one, in a subquery, that is elsewhere from now on. Raises SqlProblem."""

    def followed(text: str | None) -> str | None:
        if text is None:
            return None
        before, after = _EXPRESSION
        whole = statement_moved(before + text + after, TableKey(key.schema, moved.name), moved.schema)
        return whole.removeprefix(before).removesuffix(after)

    renamed = _InTable(table, False, _TableRename(key, moved.name)).table.policies
    policies = (replace(p, using=followed(p.using), with_check=followed(p.with_check)) for p in renamed)
    return replace(table, policies=tuple(policies))


@dataclass(frozen=True, slots=True)
class _ColumnRename:
    targets: frozenset[TableKey]
    old: str
    new: str

    def name(self, column: str) -> str:
        return self.new if column == self.old else column

    def concerns(self, own: bool, constraint: Constraint) -> bool:
        return own or constraint.references in self.targets

    def pick(self, found: Scanned, table: Table, own: bool) -> Iterator[int]:
        """Where expressions name it: plainly or by the row's name in its own definitions, by table in subqueries."""
        known = _known(found)
        for mention in found.columns:
            *qualifier, last = mention.names
            if last != self.old:
                continue
            if not qualifier:
                meant = own
            elif qualifier[0] in known:
                meant = known[qualifier[0]] in self.targets
            else:
                meant = own and qualifier[0] in (table.name, "new", "old")
            if meant:
                yield mention.token + 2 * len(qualifier)

    def results(self, found: Scanned) -> Iterator[tuple[int, Token, str]]:
        """Where a subquery's result is the column: it keeps its name, with `AS` only where that is another one."""
        for mention in found.columns:
            number = mention.token + 2 * (len(mention.names) - 1)
            token = found.tokens[number]
            if mention.result == "":
                yield number, token, f"{printed(self.new)} AS {printed(self.old)}"
            elif mention.result == self.new:
                yield number, replace(token, end=found.tokens[number + 2].end), printed(self.new)

    def pick_listed(self, found: Scanned, *, own: bool, referenced: bool) -> Iterator[int]:
        """Where lists of columns name it: its own table's, and those of foreign keys that reference it."""
        for number, token in enumerate(found.tokens):
            if token.text == "(" and (
                (own and _opens_own_list(found.tokens, number))
                or (referenced and _opens_referenced_list(found.tokens, number))
            ):
                yield from (n for n in _elements(found.tokens, number) if found.tokens[n].name == self.old)
        if own:
            yield from (n for n in _outside_lists(found.tokens) if found.tokens[n].name == self.old)


@dataclass(frozen=True, slots=True)
class _TableRename:
    key: TableKey
    new: str

    @property
    def old(self) -> str:
        return self.key.name

    def name(self, column: str) -> str:
        return column

    def concerns(self, own: bool, constraint: Constraint) -> bool:
        return own or constraint.references == self.key

    def pick(self, found: Scanned, table: Table, own: bool) -> Iterator[int]:
        """Where it is named as a table, and where its columns are called by its name."""
        known = _known(found)
        called = {m.alias for m in found.tables}
        yield from _table_places(found, self.key)
        for mention in found.columns:
            if len(mention.names) == 1 or mention.names[0] != self.old or self.old in called:
                continue
            if known.get(self.old, self.key if own else None) == self.key:
                yield mention.token

    def pick_listed(self, found: Scanned, *, own: bool, referenced: bool) -> Iterator[int]:
        yield from ()

    def results(self, found: Scanned) -> Iterator[tuple[int, Token, str]]:
        yield from ()


@dataclass(frozen=True, slots=True)
class _InTable:
    """One table's definitions under a rename; `own` where the rename is the table's or a column's of it."""

    before: Table
    own: bool
    rename: _ColumnRename | _TableRename

    @property
    def table(self) -> Table:
        table = self.before
        return replace(
            table,
            columns=tuple(self._column(c) for c in table.columns),
            constraints=tuple(self._constraint(c) for c in table.constraints),
            indexes=tuple(self._index(i) for i in table.indexes),
            triggers=tuple(self._trigger(t) for t in table.triggers),
            policies=tuple(self._policy(p) for p in table.policies),
            partition_key=self._text(table.partition_key, _PARTITION_KEY) if self.own else table.partition_key,
        )

    def _column(self, column: Column) -> Column:
        if not self.own:
            return column
        default = column.default if column.generated is None else self._text(column.default, _EXPRESSION)
        return replace(column, name=self.rename.name(column.name), default=default)

    def _constraint(self, constraint: Constraint) -> Constraint:
        if not self.rename.concerns(self.own, constraint):
            return constraint
        referenced = not self.own or self.rename.concerns(False, constraint)
        definition = self._text(constraint.definition, _CONSTRAINT, referenced=referenced)
        return replace(constraint, definition=str(definition), columns=self._names(constraint.columns))

    def _index(self, index: Index) -> Index:
        if not self.own:
            return index
        return replace(index, definition=str(self._text(index.definition)), columns=self._names(index.columns))

    def _trigger(self, trigger: Trigger) -> Trigger:
        return replace(trigger, definition=str(self._text(trigger.definition)))

    def _policy(self, policy: Policy) -> Policy:
        using, with_check = (self._text(t, _EXPRESSION) for t in (policy.using, policy.with_check))
        return replace(policy, using=using, with_check=with_check)

    def _names(self, columns: Sequence[str]) -> tuple[str, ...]:
        return tuple(self.rename.name(c) if self.own else c for c in columns)

    def _text(self, text: str | None, around: tuple[str, str] = _STATEMENT, *, referenced: bool = False) -> str | None:
        if text is None or printed(self.rename.old) not in text:
            return text
        found = scan_statement(around[0] + text + around[1])
        numbers = {
            *self.rename.pick(found, self.before, self.own),
            *self.rename.pick_listed(found, own=self.own, referenced=referenced),
        }
        results = {number: (token, put) for number, token, put in self.rename.results(found)}
        put = [results.get(n, (found.tokens[n], printed(self.rename.new))) for n in sorted(numbers)]
        return _replaced(text, len(around[0]), put)


def _replaced(text: str, before: int, put: Sequence[tuple[Token, str]]) -> str:
    """The text with tokens exchanged; `before` is the length of what stood before it when it was scanned."""
    whole, pieces, at = text.encode(), [], 0
    for token, new in put:
        pieces += [whole[at : token.start - before], new.encode()]
        at = token.end - before
    return b"".join([*pieces, whole[at:]]).decode()


def _table_places(found: Scanned, key: TableKey) -> Iterator[int]:
    yield from (m.token + 2 for m in found.tables if m.names == key)


def _known(found: Scanned) -> dict[str, TableKey]:
    """Tables by what the statement calls them."""
    return {m.alias or m.names[-1]: TableKey(*m.names) for m in found.tables}


def _opens_own_list(tokens: Sequence[Token], number: int) -> bool:
    """`PRIMARY KEY (`, `USING btree (`."""
    return tokens[number - 1].text in _BEFORE_A_LIST or (number > 1 and tokens[number - 2].text == "USING")


def _opens_referenced_list(tokens: Sequence[Token], number: int) -> bool:
    """`REFERENCES schema.table(`."""
    return number > 3 and tokens[number - 4].text == "REFERENCES"


def _elements(tokens: Sequence[Token], opening: int) -> Iterator[int]:
    """First tokens of the elements that are plain columns: what follows is no call and no qualified name."""
    number, depth = opening, 1
    while depth:
        if depth == 1 and tokens[number].text in ("(", ","):
            first = number + (2 if tokens[number + 1].text == "PERIOD" else 1)
            if tokens[first + 1].text not in ("(", "."):
                yield first
        number += 1
        depth += {"(": 1, ")": -1}.get(tokens[number].text, 0)


def _outside_lists(tokens: Sequence[Token]) -> Iterator[int]:
    """Columns named without parentheses: `UPDATE OF a, b ON`, and PostgreSQL 18's `ADD NOT NULL a`."""
    texts = [t.text for t in tokens]
    for number in range(2, len(texts)):
        if texts[number - 2 : number] == ["UPDATE", "OF"] or texts[number - 3 : number] == ["ADD", "NOT", "NULL"]:
            yield from takewhile(lambda n: texts[n] not in ("ON", "OR", "NOT"), range(number, len(texts)))
