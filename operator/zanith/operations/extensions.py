"""Operations on extensions. What the server cannot install is said before; nothing is ever dropped with CASCADE."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, ClassVar

from psycopg import sql
from pydantic import Field, StrictBool

from zanith.core.graph import Extension, SchemaGraph
from zanith.core.identifiers import TableKey, ident
from zanith.core.risk import Finding, ReasonCode, RiskLevel
from zanith.core.sql import render
from zanith.core.statement import Lock, Probe, ProbeKind, Statement
from zanith.core.surroundings import ExtensionVersion
from zanith.operations.operation import Name, Operation
from zanith.operations.step_context import StepContext, Undo, nearest

ALWAYS_THERE = "plpgsql"
"""In every database from the start; the graph leaves it out."""


class CreateExtension(Operation):
    """Install an extension that the server has."""

    kind: ClassVar[str] = "createExtension"

    name: Name
    """Name of the extension, such as `pg_trgm`."""
    schema_name: Name | None = Field(None, alias="schema")
    """Schema its objects go into. Default: the extension's own, or `spec.database.schema`."""
    version: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """Version to install. Default: the server's default one."""
    cascade: StrictBool = False
    """Whether extensions it needs are installed too."""

    def target(self, ctx: StepContext) -> str:
        return self.name

    def problems(self, ctx: StepContext) -> Iterator[str]:
        facts = ctx.facts
        if self.name == ALWAYS_THERE or self.name in _installed(ctx):
            yield f"extension {self.name} is installed already"
        elif self.name not in facts.available_extensions:
            near = nearest(self.name, facts.available_extensions)
            yield f"extension {self.name} is not available on the server{near}; install its package there first"
        elif (self.name, self._version(ctx)) not in facts.extension_versions:
            versions = sorted(version for name, version in facts.extension_versions if name == self.name)
            yield f"extension {self.name} has no version {self.version} on the server, only {', '.join(versions)}"
        else:
            found = facts.extension_versions[self.name, self._version(ctx)]
            if self.schema_name is not None and found.schema not in (None, self.schema_name):
                yield f"extension {self.name} can only be in schema {found.schema}"
            yield from self._requirement_problems(ctx, found)

    def _requirement_problems(self, ctx: StepContext, found: ExtensionVersion) -> Iterator[str]:
        for needed in found.requires:
            if needed not in (*_installed(ctx), ALWAYS_THERE) and not self.cascade:
                yield f"extension {self.name} needs {needed}; create that first, or set cascade: true"
        for needed in self._added(ctx)[:-1]:
            if needed not in ctx.facts.available_extensions:
                yield f"extension {needed}, which {self.name} needs, is not available on the server"

    def findings(self, ctx: StepContext) -> Iterator[Finding]:
        for name in self._added(ctx):
            found = self._found(ctx, name)
            if found is not None and found.untrusted:
                level, why = RiskLevel.MEDIUM, f"extension {name} is not trusted: only a superuser may create it"
            else:
                level, why = RiskLevel.LOW, f"extension {name} is installed; no table is touched"
            yield Finding(level, ReasonCode.ADDS_EXTENSION, why)

    def statements(self, ctx: StepContext) -> tuple[Statement, ...]:
        return (_create(self.name, self.schema_name, self.version, cascade=self.cascade),)

    def undo(self, ctx: StepContext) -> Undo:
        added = self._added(ctx)
        return Undo(statements=(_drop(added, ()),), probes=(_in_use(added),))

    def project(self, ctx: StepContext) -> SchemaGraph:
        added = {name: self._projected(ctx, name) for name in self._added(ctx)}
        kept = [e for e in ctx.graph.extensions if e.name not in added]
        return replace(ctx.graph, extensions=tuple(sorted([*kept, *added.values()], key=lambda e: e.name)))

    def _projected(self, ctx: StepContext, name: str) -> Extension:
        found = self._found(ctx, name)
        own = None if found is None else found.schema
        version = self._version(ctx) if name == self.name else ctx.facts.available_extensions.get(name, "")
        return Extension(name, own or self.schema_name or ctx.facts.default_schema, version)

    def _version(self, ctx: StepContext) -> str:
        return self.version or ctx.facts.available_extensions.get(self.name, "")

    def _found(self, ctx: StepContext, name: str) -> ExtensionVersion | None:
        version = self._version(ctx) if name == self.name else ctx.facts.available_extensions.get(name, "")
        return ctx.facts.extension_versions.get((name, version))

    def _added(self, ctx: StepContext) -> tuple[str, ...]:
        """What is installed by it, each after those it needs; itself last."""
        there = {*_installed(ctx) - {self.name}, ALWAYS_THERE}
        order: list[str] = []

        def add(name: str) -> None:
            if name in there:
                return
            there.add(name)
            found = self._found(ctx, name)
            for needed in found.requires if found is not None and self.cascade else ():
                add(needed)
            order.append(name)

        add(self.name)
        return tuple(order)


class DropExtension(Operation):
    """Drop an extension that nothing needs any more."""

    kind: ClassVar[str] = "dropExtension"

    name: Name
    """Name of the extension."""

    def target(self, ctx: StepContext) -> str:
        return self.name

    def problems(self, ctx: StepContext) -> Iterator[str]:
        if self.name not in _installed(ctx):
            yield f"extension {self.name} is not installed{nearest(self.name, _installed(ctx))}"
            return
        for user in ctx.facts.extension_users.get(self.name, ()):
            yield f"{user} needs extension {self.name}; drop or change it first"

    def findings(self, ctx: StepContext) -> Iterator[Finding]:
        yield Finding(
            RiskLevel.HIGH, ReasonCode.DROPS_EXTENSION, f"types, functions and operators of {self.name} are gone"
        )
        for table in self._tables(ctx):
            yield Finding(
                RiskLevel.DESTRUCTIVE,
                ReasonCode.DROPS_TABLE_WITH_DATA,
                f"table {table} belongs to extension {self.name} and goes with its rows",
            )
        used = ctx.facts.extension_functions.get(self.name, frozenset())
        for function in ctx.facts.functions:
            named = sorted(name for name in used if function.mentions(name))
            if named:
                yield Finding(
                    RiskLevel.HIGH,
                    ReasonCode.DROPS_EXTENSION_IN_USE,
                    f"function {function.name} names {named[0]} of extension {self.name}: calls of it may fail",
                    safer="change the function first",
                )

    def statements(self, ctx: StepContext) -> tuple[Statement, ...]:
        return (_drop((self.name,), self._tables(ctx)),)

    def undo(self, ctx: StepContext) -> Undo:
        found = next(e for e in ctx.graph.extensions if e.name == self.name)
        if tables := self._tables(ctx):
            return Undo(refused=f"the rows of {', '.join(map(str, tables))} went with extension {self.name}")
        # Of an extension that an earlier step creates, the server's default version is the one.
        version = found.version or None
        return Undo(statements=(_create(found.name, found.schema, version),))

    def project(self, ctx: StepContext) -> SchemaGraph:
        return replace(ctx.graph, extensions=tuple(e for e in ctx.graph.extensions if e.name != self.name))

    def _tables(self, ctx: StepContext) -> tuple[TableKey, ...]:
        return tuple(sorted(key for key, name in ctx.facts.extension_tables.items() if name == self.name))


def _installed(ctx: StepContext) -> set[str]:
    return {e.name for e in ctx.graph.extensions}


def _create(name: str, schema: str | None, version: str | None, *, cascade: bool = False) -> Statement:
    text = sql.SQL("CREATE EXTENSION {}").format(ident(name))
    if schema is not None:
        text += sql.SQL(" SCHEMA {}").format(ident(schema))
    if version is not None:
        text += sql.SQL(" VERSION {}").format(sql.Literal(version))
    if cascade:
        text += sql.SQL(" CASCADE")
    return Statement(sql=render(text), lock=Lock.NONE)


def _drop(names: tuple[str, ...], tables: tuple[TableKey, ...]) -> Statement:
    text = sql.SQL("DROP EXTENSION {}").format(sql.SQL(", ").join(ident(name) for name in names))
    return Statement(sql=render(text), lock=Lock.ACCESS_EXCLUSIVE if tables else Lock.NONE, on=tables)


_USED = """
WITH RECURSIVE owned (classid, objid) AS (
    SELECT 'pg_catalog.pg_extension'::regclass::oid, e.oid FROM pg_catalog.pg_extension AS e WHERE e.extname = ANY({added})
    UNION
    SELECT d.classid, d.objid
    FROM owned AS o
    JOIN pg_catalog.pg_depend AS d ON d.refclassid = o.classid AND d.refobjid = o.objid AND d.objsubid = 0
                                  AND d.deptype IN ('a', 'i', 'e', 'x', 'P', 'S')
)
SELECT 1
FROM owned AS o
JOIN pg_catalog.pg_depend AS d ON d.refclassid = o.classid AND d.refobjid = o.objid AND d.deptype = 'n'
WHERE NOT EXISTS (SELECT FROM owned AS s WHERE s.classid = d.classid AND s.objid = d.objid)
LIMIT 1
"""


def _in_use(names: tuple[str, ...]) -> Probe:
    """Does anything need one of them by now that does not go with them?"""
    return Probe(
        kind=ProbeKind.IN_USE,
        sql=render(sql.SQL(_USED).format(added=sql.Literal(list(names)))),
        question=f"extension {' or '.join(names)} is in use",
        remedy="drop or change what uses it first",
    )
