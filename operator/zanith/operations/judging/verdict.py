"""What the judge says of one statement, and the context it says it in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from zanith.core.graph import Facts, SchemaGraph, Table
from zanith.core.identifiers import TableKey
from zanith.core.risk import Finding, ReasonCode, RiskLevel
from zanith.core.sql_statements import Tree
from zanith.core.statement import DoneWhen, Lock, Work
from zanith.operations.step_context import nearest

Locks = dict[TableKey, Lock]

SYSTEM_SCHEMAS = ("pg_catalog", "information_schema", "pg_toast")
BIG_ROWS = 100_000
BIG_BYTES = 64 << 20
"""From here on changing every row of a table takes longer than a second or so (`docs/risk.md`)."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One statement, judged."""

    what: str
    """The command, for people: `CREATE INDEX`."""
    level: RiskLevel = RiskLevel.LOW
    locks: Locks = field(default_factory=dict)
    """Each table it locks, with the strongest lock; the one it works through first."""
    elsewhere: Lock = Lock.NONE
    """The strongest lock it may take on tables that cannot be told before."""
    work: Work = Work.CATALOG
    works_on: tuple[TableKey, ...] = ()
    """Tables it works through, where that is not just the first that it locks."""
    findings: tuple[Finding, ...] = ()
    transactional: bool = True
    done_when: DoneWhen | None = None
    """What the catalog tells about it after a crash, where it runs outside a transaction."""
    missing: tuple[str, ...] = ()
    """What it names that does not exist, said in words."""
    refused: str = ""
    """Why it has no place in a migration; the rest then means nothing."""
    unseen: bool = False
    """Whether it changes the schema in a way the projected graph does not show."""

    @property
    def lock(self) -> Lock:
        """The strongest lock on any table."""
        return strongest([*self.locks.values(), self.elsewhere])

    @property
    def worked(self) -> tuple[TableKey, ...]:
        """Tables it works through."""
        return () if self.work is Work.CATALOG else self.works_on or tuple(self.locks)[:1]

    def with_finding(self, level: RiskLevel, reason: ReasonCode, why: str, safer: str = "") -> Verdict:
        return replace(self, findings=(*self.findings, Finding(level, reason, why, safer)))

    def joined(self, other: Verdict) -> Verdict:
        """Both at once, as the actions of one ALTER TABLE are."""
        locks = dict(self.locks)
        for table, lock in other.locks.items():
            locks[table] = strongest([locks.get(table, Lock.NONE), lock])
        return replace(
            self,
            level=max(self.level, other.level, key=lambda level: level.score),
            locks=locks,
            elsewhere=strongest([self.elsewhere, other.elsewhere]),
            work=hardest([self.work, other.work]),
            works_on=tuple(dict.fromkeys([*self.worked, *other.worked])) if self.works_on or other.works_on else (),
            findings=(*self.findings, *(f for f in other.findings if f not in self.findings)),
            transactional=self.transactional and other.transactional,
            done_when=self.done_when or other.done_when,
            missing=(*self.missing, *(m for m in other.missing if m not in self.missing)),
            refused=self.refused or other.refused,
            unseen=self.unseen or other.unseen,
        )


def strongest(locks: Iterable[Lock]) -> Lock:
    return max(locks, key=lambda lock: lock.strength, default=Lock.NONE)


def hardest(works: Iterable[Work]) -> Work:
    return max(works, key=list(Work).index, default=Work.CATALOG)


def refused(what: str, why: str) -> Verdict:
    """No place in a migration, with the reason."""
    return Verdict(what, refused=why)


def opaque(what: str, why: str) -> Verdict:
    """Code that cannot be seen into: any lock on any table, for any time."""
    finding = Finding(RiskLevel.HIGH, ReasonCode.OPAQUE_CODE, why)
    return Verdict(
        what, RiskLevel.HIGH, elsewhere=Lock.ACCESS_EXCLUSIVE, work=Work.SCAN, findings=(finding,), unseen=True
    )


@dataclass(frozen=True, slots=True)
class Scope:
    """The database as it is when a statement runs, and how the session finds names in it."""

    facts: Facts
    before: SchemaGraph = field(default_factory=SchemaGraph)
    """The graph when the migration began: nobody waits for a table that was not there then."""
    created: frozenset[str] = frozenset()
    """Functions that an earlier statement of the step makes."""
    temporary: frozenset[str] = frozenset()
    """Temporary tables that an earlier statement of the step makes."""
    triggered: frozenset[TableKey] = frozenset()
    """Tables that an earlier statement of the step makes triggers on, or enables them."""

    @property
    def graph(self) -> SchemaGraph:
        return self.facts.graph

    def key(self, relation: Tree) -> TableKey:
        """The relation of a RangeVar, by the session's search_path: the migration's schema, then public."""
        return self.named([relation["schemaname"]] if "schemaname" in relation else [], relation["relname"])

    def made_key(self, relation: Tree) -> TableKey:
        """The relation that a statement makes: without a schema, in the first of the search_path."""
        return TableKey(relation.get("schemaname", self.facts.default_schema), relation["relname"])

    def named(self, schema: list[str], name: str) -> TableKey:
        if schema:
            return TableKey(schema[-1], name)
        default = self.facts.default_schema
        if name.startswith("pg_") and not any(self._relation(TableKey(s, name)) for s in (default, "public")):
            return TableKey("pg_catalog", name)
        here = {s for s in (default, "public") if self._relation(TableKey(s, name))}
        return TableKey("public" if here == {"public"} else default, name)

    def table(self, key: TableKey) -> Table | None:
        return self.graph.table(key)

    def family(self, key: TableKey) -> list[TableKey]:
        """The table and its partitions, those that are there."""
        return [] if self.table(key) is None else [key, *self.graph.partitions(key)]

    def parents(self, key: TableKey) -> list[TableKey]:
        """Tables that foreign keys of the table reference, itself not counted."""
        table = self.table(key)
        found = dict.fromkeys(c.references for c in table.constraints if c.references) if table is not None else {}
        return [parent for parent in found if parent is not None and parent != key]

    def children(self, key: TableKey) -> list[TableKey]:
        """Tables whose foreign keys reference the table, itself not counted."""
        return list(dict.fromkeys(t.key for t, _ in self.graph.incoming_foreign_keys(key) if t.key != key))

    def views(self, key: TableKey) -> list[TableKey]:
        """Views that read the table."""
        return [TableKey(v.schema, v.name) for v in self.graph.views if any(t == key for t, _ in v.depends_on)]

    def dependents(self, key: TableKey) -> list[TableKey]:
        """What CASCADE reaches from the table: those that reference it, and views of it."""
        return [*self.children(key), *self.views(key)]

    def indexed_table(self, schema: list[str], index: str) -> Table | None:
        """The table of an index, constraints' own included."""
        schemas = schema[-1:] or [self.facts.default_schema, "public"]
        for table in self.graph.tables:
            names = {i.name for i in table.indexes}
            names |= {c.name for c in table.constraints if c.kind in ("primary_key", "unique", "exclude")}
            if table.schema in schemas and index in names:
                return table
        return None

    def default_partition(self, parent: TableKey) -> TableKey | None:
        """The DEFAULT partition, which has to be read when another one takes rows it could hold."""
        for table in self.graph.tables:
            if table.partition_of == parent and table.partition_bound == "DEFAULT":
                return table.key
        return None

    def is_view(self, key: TableKey) -> bool:
        return any((v.schema, v.name) == key for v in self.graph.views)

    def is_materialized(self, key: TableKey) -> bool:
        return any((v.schema, v.name) == key and v.materialized for v in self.graph.views)

    def absent(self, key: TableKey) -> tuple[str, ...]:
        """`table s.t` where nothing of that name is known, with the nearest name there is; else nothing."""
        if self.known_relation(key):
            return ()
        near = nearest(key.name, [t.name for t in self.graph.tables if t.schema == key.schema])
        return (f"table {key} does not exist{near}",)

    def known_relation(self, key: TableKey) -> bool:
        """Whether it is there, as far as anybody can tell before."""
        if self._relation(key) or key in self.facts.other_relations or key in self.facts.extension_tables:
            return True
        return key.name in self.temporary or key.schema in (*SYSTEM_SCHEMAS, "pg_temp")

    def big(self, key: TableKey) -> bool:
        """Whether changing every row takes long enough for others to wait. What was there before and has no size counts."""
        return any(self._big(k) for k in (key, *self.heirs(key)))

    def heirs(self, key: TableKey) -> list[TableKey]:
        """Tables that inherit from it (INHERITS), however far: statements on it that do not say ONLY are about them too."""
        found: dict[TableKey, None] = {}
        left = [key]
        while left:
            new = [c for c in self.facts.inheritors.get(left.pop(), ()) if c not in found]
            found |= dict.fromkeys(new)
            left += new
        return list(found)

    def _big(self, key: TableKey) -> bool:
        size = self.facts.sizes.get(key)
        if size is None:
            return self.before.table(key) is not None
        return (size.rows or 0) >= BIG_ROWS or size.bytes >= BIG_BYTES

    def base_tables(self, key: TableKey) -> list[TableKey]:
        """Tables and materialised views that a view reads, through other views as well."""
        found: dict[TableKey, None] = {}
        left = [key]
        while left:
            at = left.pop()
            for view in self.graph.views:
                if (view.schema, view.name) == at:
                    new = [t for t, _ in view.depends_on if t not in found]
                    found |= dict.fromkeys(new)
                    left += new
        return [t for k in found for t in self.family(k)]

    def after(self, graph: SchemaGraph, moves: Mapping[TableKey, TableKey] | None = None) -> Scope:
        """The database with this graph; sizes go with tables that got another name."""
        sizes = {(moves or {}).get(key, key): size for key, size in self.facts.sizes.items()}
        triggered = frozenset((moves or {}).get(key, key) for key in self.triggered)
        return replace(self, facts=replace(self.facts, graph=graph, sizes=sizes), triggered=triggered)

    def _relation(self, key: TableKey) -> bool:
        return self.table(key) is not None or self.is_view(key)


def names(items: Any) -> list[str]:
    """The strings of a list of String nodes: a qualified name."""
    return [item["string"].get("sval", "") for item in items or [] if "string" in item]


def options(tree: Tree, key: str = "options") -> dict[str, Any]:
    """The DefElems of a list, by name; a bare one is True."""
    found: dict[str, Any] = {}
    for item in tree.get(key, ()):
        element = item.get("def_elem", {})
        argument = element.get("arg")
        found[element.get("defname", "")] = True if argument is None else argument
    return found


def is_on(option: Any) -> bool:
    """Whether a boolean option is set: bare, or by one of PostgreSQL's words."""
    if not isinstance(option, dict):
        return bool(option)
    if "boolean" in option:
        return bool(option["boolean"].get("boolval"))
    if "integer" in option:
        return bool(option["integer"].get("ival"))
    return str(option.get("string", {}).get("sval", "")).lower() in ("true", "on", "yes", "1")
