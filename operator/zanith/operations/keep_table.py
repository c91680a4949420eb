"""Operations that take a table away from applications but keep it: renamed in its schema, or moved into our own.

Indexes are renamed with it, so that another table of its name can have indexes of their names; a moved table's
sequences too, for all moved tables share one schema. Everything is one transaction of catalog rows. Foreign keys, views
and publications follow the table; what goes on through them is said before.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import ClassVar

from psycopg import sql
from pydantic import Field

from zanith.core.graph import Constraint, SchemaGraph, Table
from zanith.core.identifiers import TableKey, fit, ident, table_ident
from zanith.core.mentions import scan_statement
from zanith.core.risk import Finding, ReasonCode, RiskLevel
from zanith.core.sql import SqlProblem, printed, render
from zanith.core.statement import ArtifactDraft, Lock, Probe, ProbeKind, Statement
from zanith.operations import surroundings
from zanith.operations.advice import as_yaml
from zanith.operations.drop_table import partition_problem, whose_table, without_family
from zanith.operations.operation import Name, Operation
from zanith.operations.renaming import policies_following
from zanith.operations.step_context import StepContext, Undo

SHADOW = "_zanith_shadow"


class _KeepTable(Operation):
    """What both share. A partitioned table is kept with all of its partitions."""

    artifact_type: ClassVar[str]
    reason: ClassVar[ReasonCode]

    table: Name
    """Name of the table."""
    schema_name: Name | None = Field(None, alias="schema")
    """Schema of the table. Default: `spec.database.schema`."""

    def target(self, ctx: StepContext) -> str:
        return str(self._key(ctx))

    def problems(self, ctx: StepContext) -> Iterator[str]:
        key = self._key(ctx)
        table = ctx.graph.table(key)
        if table is None:
            yield whose_table(ctx, key)
        elif table.partition_of is not None:
            yield partition_problem(table, self.kind)
        else:
            try:
                self.project(ctx)
            except SqlProblem as problem:
                yield f"a policy that names {key} {problem}; what it says after the rename cannot be told"

    def findings(self, ctx: StepContext) -> Iterator[Finding]:
        key = self._key(ctx)
        aside = self.moves(ctx)[key]
        yield Finding(
            RiskLevel.MEDIUM, self.reason, f"queries that name {key} fail from now on; its data is kept as {aside}"
        )
        for member in self._family(ctx):
            yield from _followers(ctx, member, self._family(ctx))
        yield from surroundings.code_naming_table(ctx, key)

    def statements(self, ctx: StepContext) -> tuple[Statement, ...]:
        family = self._family(ctx)
        texts = [*self._prepared(ctx), *(text for member in family for text in self._taken(ctx, member))]
        found = _one_transaction(texts, family)
        return (replace(found[0], artifact=self._artifact(ctx)), *found[1:])

    def undo(self, ctx: StepContext) -> Undo:
        family = self._family(ctx)
        there = self.moves(ctx)
        return Undo(
            statements=_one_transaction(
                [text for member in family for text in self._given_back(ctx, member)], tuple(there[m] for m in family)
            ),
            probes=tuple(_name_taken(ctx, member) for member in family),
        )

    def moves(self, ctx: StepContext) -> Mapping[TableKey, TableKey]:
        return {key: TableKey(self._schema(key), self._aside(ctx, key.schema, key.name)) for key in self._family(ctx)}

    def project(self, ctx: StepContext) -> SchemaGraph:
        moves = self.moves(ctx)
        graph = without_family(ctx.graph, self._key(ctx))
        views = tuple(
            replace(v, depends_on=tuple((t, c) for t, c in v.depends_on if t not in moves)) for v in graph.views
        )
        tables = tuple(_following(t, moves) for t in graph.tables)
        return replace(graph, tables=tables, views=views)

    @abstractmethod
    def _schema(self, key: TableKey) -> str:
        """Where it is kept."""

    @abstractmethod
    def _aside(self, ctx: StepContext, schema: str, name: str) -> str:
        """What a table, index or sequence is called there."""

    @abstractmethod
    def _prepared(self, ctx: StepContext) -> Iterator[sql.Composable]:
        """What has to be done before the first table is taken."""

    @abstractmethod
    def _taken(self, ctx: StepContext, key: TableKey) -> Iterator[sql.Composable]:
        """Taking one table away."""

    @abstractmethod
    def _given_back(self, ctx: StepContext, key: TableKey) -> Iterator[sql.Composable]:
        """The same in reverse."""

    def _renamed(self, ctx: StepContext, key: TableKey, *, back: bool = False) -> Iterator[sql.Composable]:
        """The table renamed with its indexes, inside of the schema it is in when it is taken away."""
        kinds = [("TABLE", key.name), *(("INDEX", name) for name in _indexes(ctx, key))]
        for kind, name in kinds:
            yield _rename(kind, key.schema, *self._pair(ctx, key, name, back=back))

    def _pair(self, ctx: StepContext, key: TableKey, name: str, *, back: bool) -> tuple[str, str]:
        aside = self._aside(ctx, key.schema, name)
        return (aside, name) if back else (name, aside)

    def _artifact(self, ctx: StepContext) -> ArtifactDraft:
        key = self._key(ctx)
        back = [render(text) for member in self._family(ctx) for text in self._given_back(ctx, member)]
        return ArtifactDraft(
            artifact_type=self.artifact_type,
            source_schema=key.schema,
            source_table=key.name,
            source_column=None,
            physical_name=self.moves(ctx)[key].name,
            recovery_sql=";\n".join(back),
        )

    def _family(self, ctx: StepContext) -> tuple[TableKey, ...]:
        key = self._key(ctx)
        return (key, *ctx.graph.partitions(key))

    def _key(self, ctx: StepContext) -> TableKey:
        return ctx.key(self.schema_name, self.table)


class SoftDropTable(_KeepTable):
    """Take a table away from applications at once, but keep it: renamed aside, with an artifact to get it back by."""

    kind: ClassVar[str] = "softDropTable"
    artifact_type: ClassVar[str] = "soft_drop_table"
    reason: ClassVar[ReasonCode] = ReasonCode.SOFT_DROPS_TABLE

    def _schema(self, key: TableKey) -> str:
        return key.schema

    def _aside(self, ctx: StepContext, schema: str, name: str) -> str:
        return fit(f"_zanith_dropped_{name}_{ctx.migration_id}")

    def _prepared(self, ctx: StepContext) -> Iterator[sql.Composable]:
        yield from ()

    def _taken(self, ctx: StepContext, key: TableKey) -> Iterator[sql.Composable]:
        yield from self._renamed(ctx, key)

    def _given_back(self, ctx: StepContext, key: TableKey) -> Iterator[sql.Composable]:
        yield from self._renamed(ctx, key, back=True)


class ArchiveTable(_KeepTable):
    """Move a table out of the way into the schema `_zanith_shadow`, which nobody else has rights on. No row is copied."""

    kind: ClassVar[str] = "archiveTable"
    artifact_type: ClassVar[str] = "archive_table"
    reason: ClassVar[ReasonCode] = ReasonCode.ARCHIVES_TABLE

    def _schema(self, key: TableKey) -> str:
        return SHADOW

    def _aside(self, ctx: StepContext, schema: str, name: str) -> str:
        return fit(f"_zanith_archived_{schema}_{name}_{ctx.migration_id}")

    def _prepared(self, ctx: StepContext) -> Iterator[sql.Composable]:
        for key in self._family(ctx):
            yield _shadow_for(key)

    def _taken(self, ctx: StepContext, key: TableKey) -> Iterator[sql.Composable]:
        yield from self._renamed(ctx, key)
        yield from self._sequences(ctx, key)
        yield _moved(TableKey(key.schema, self.moves(ctx)[key].name), SHADOW)

    def _given_back(self, ctx: StepContext, key: TableKey) -> Iterator[sql.Composable]:
        yield _moved(self.moves(ctx)[key], key.schema)
        yield from self._renamed(ctx, key, back=True)
        yield from self._sequences(ctx, key, back=True)

    def _sequences(self, ctx: StepContext, key: TableKey, *, back: bool = False) -> Iterator[sql.Composable]:
        for name in ctx.facts.sequences.get(key, ()):
            yield _rename("SEQUENCE", key.schema, *self._pair(ctx, key, name, back=back))


def _indexes(ctx: StepContext, key: TableKey) -> list[str]:
    """All of its indexes: those of constraints and those the graph leaves out have names as well."""
    table = ctx.table(key)
    own = {c.name for c in table.constraints if c.kind in ("primary_key", "unique", "exclude")}
    return sorted(own | {i.name for i in table.indexes} | set(ctx.facts.hidden_indexes.get(key, ())))


def _rename(kind: str, schema: str, old: str, new: str) -> sql.Composable:
    return sql.SQL("ALTER {} {} RENAME TO {}").format(sql.SQL(kind), ident(schema, old), ident(new))


def _moved(table: TableKey, schema: str) -> sql.Composable:
    return sql.SQL("ALTER TABLE {} SET SCHEMA {}").format(table_ident(table), ident(schema))


_SHADOW_FOR = """
DECLARE owner name := (SELECT pg_catalog.pg_get_userbyid(relowner) FROM pg_catalog.pg_class WHERE oid = {table}::regclass);
BEGIN
    IF pg_catalog.to_regnamespace({shadow}) IS NULL THEN
        CREATE SCHEMA {schema};
        REVOKE ALL ON SCHEMA {schema} FROM PUBLIC;
    END IF;
    IF NOT pg_catalog.has_schema_privilege(owner, {shadow}, 'USAGE') THEN
        EXECUTE pg_catalog.format('GRANT USAGE ON SCHEMA {schema} TO %I', owner);
    END IF;
END
"""


def _shadow_for(key: TableKey) -> sql.Composable:
    """Our schema, made where it is missing. Foreign keys are checked in the name of the table's owner, who therefore
    has to reach the table in it."""
    table = sql.Literal(render(table_ident(key)))
    body = sql.SQL(_SHADOW_FOR).format(table=table, shadow=sql.Literal(SHADOW), schema=ident(SHADOW))
    return sql.SQL("DO {}").format(sql.Literal(render(body)))


def _one_transaction(texts: list[sql.Composable], tables: tuple[TableKey, ...]) -> tuple[Statement, ...]:
    return tuple(
        Statement(sql=render(text), lock=Lock.ACCESS_EXCLUSIVE, on=tables, with_previous=number > 0)
        for number, text in enumerate(texts)
    )


def _name_taken(ctx: StepContext, key: TableKey) -> Probe:
    """Is there another table, view, index or sequence by now that has the name?"""
    question = sql.SQL(
        "SELECT 1 FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace "
        "WHERE n.nspname = {} AND c.relname = ANY({}::name[]) LIMIT 1"
    ).format(sql.Literal(key.schema), sql.Literal([key.name, *_indexes(ctx, key)]))
    return Probe(
        kind=ProbeKind.NAME_TAKEN,
        sql=render(question),
        question=f"something else has the name {key} by now, or that of one of its indexes",
        remedy="rename or drop that first",
    )


def _following(table: Table, moves: Mapping[TableKey, TableKey]) -> Table:
    """Another table, once those it names are elsewhere."""
    for old, new in moves.items():
        if any(old.name in text for p in table.policies for text in (p.using, p.with_check) if text):
            table = policies_following(table, old, new)
    return replace(table, constraints=tuple(_repointed(c, moves) for c in table.constraints))


def _repointed(constraint: Constraint, moves: Mapping[TableKey, TableKey]) -> Constraint:
    """A foreign key of another table, as PostgreSQL prints it once the table it references is elsewhere."""
    old = constraint.references
    if old is None or old not in moves:
        return constraint
    before = "ALTER TABLE t ADD "
    found = scan_statement(before + constraint.definition)
    (first,) = (m.token for m in found.tables if m.names == old)
    text = constraint.definition.encode()
    start, end = (at - len(before) for at in (found.tokens[first].start, found.tokens[first + 2].end))
    new = ".".join(map(printed, moves[old])).encode()
    definition = (text[:start] + new + text[end:]).decode()
    return replace(constraint, references=moves[old], definition=definition)


def _followers(ctx: StepContext, key: TableKey, family: tuple[TableKey, ...]) -> Iterator[Finding]:
    """What goes on through the table while it is kept."""
    for view in ctx.graph.views:
        if any(read == key for read, _ in view.depends_on):
            yield _breaks(RiskLevel.MEDIUM, f"view {view.schema}.{view.name} goes on showing the rows of {key}")
    for other, constraint in ctx.graph.incoming_foreign_keys(key):
        if other.key not in family:
            yield _breaks(
                RiskLevel.MEDIUM,
                f"foreign key {constraint.name} of {other.key} goes on: its rows must still match rows of {key}",
                safer=as_yaml(
                    {"dropForeignKey": {"schema": other.schema, "table": other.name, "name": constraint.name}}
                ),
            )
    yield from _outgoing(ctx.table(key), family)
    yield from surroundings.published_findings(ctx, key, "meet it under another name if it is ever written again")


def _outgoing(table: Table, family: tuple[TableKey, ...]) -> Iterator[Finding]:
    for constraint in table.constraints:
        if constraint.references is None or constraint.references in family:
            continue
        if "ON DELETE CASCADE" in constraint.definition or "ON DELETE SET" in constraint.definition:
            what = "rows that are kept go or change with them"
        else:
            what = "rows that kept ones reference cannot be deleted there"
        yield _breaks(
            RiskLevel.MEDIUM,
            f"foreign key {constraint.name} of {table.key} to {constraint.references} goes on: {what}",
            safer=as_yaml({"dropForeignKey": {"schema": table.schema, "table": table.name, "name": constraint.name}}),
        )


def _breaks(level: RiskLevel, why: str, *, safer: str = "") -> Finding:
    return Finding(level, ReasonCode.BREAKS_DEPENDENTS, why, safer=safer)
