"""The escape hatch: SQL of one's own, judged statement by statement by the same rules as the typed kinds.

All statements of a step are one transaction, with the step's audit row, or there is exactly one that cannot run in any.
What a statement works on while an earlier one of the step holds a strong lock counts as done under that lock.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

from psycopg import sql
from pydantic import AfterValidator, Field

from zanith.core.graph import SchemaGraph
from zanith.core.identifiers import TableKey, ident
from zanith.core.risk import Finding, ReasonCode, RiskLevel
from zanith.core.sql import SqlProblem, render
from zanith.core.sql_statements import ParsedStatement, nodes, parse_query, parse_statements
from zanith.core.statement import Lock, QueryIsTrue, Statement, TableWork, Work
from zanith.operations.judging.calls import unseen_code, with_made
from zanith.operations.judging.judge import judge
from zanith.operations.judging.projecting import move, project
from zanith.operations.judging.verdict import Locks, Scope, Verdict, strongest
from zanith.operations.operation import Name, Operation
from zanith.operations.step_context import StepContext, Undo

MOST_STATEMENTS = 100


def _statements(text: str) -> str:
    try:
        found = parse_statements(text)
    except SqlProblem as problem:
        raise ValueError(str(problem)) from problem
    if len(found) > MOST_STATEMENTS:
        raise ValueError(f"has {len(found)} statements; at most {MOST_STATEMENTS} to a step")
    return text


def _question(text: str) -> str:
    try:
        parse_query(text)
    except SqlProblem as problem:
        raise ValueError(str(problem)) from problem
    return text


SqlStatements = Annotated[str, AfterValidator(_statements), Field(min_length=1, max_length=100_000)]
"""One or more SQL statements, separated by semicolons, checked by PostgreSQL's own parser."""

SqlQuestion = Annotated[str, AfterValidator(_question), Field(min_length=1, max_length=10_000)]
"""A query that answers one boolean and changes nothing."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One statement with its verdict; locks are told by the names tables have when the step begins."""

    number: int
    statement: ParsedStatement
    verdict: Verdict
    moves: Mapping[TableKey, TableKey]


class RawSql(Operation):
    """Run SQL of your own. It is parsed and judged statement by statement; what cannot be seen into rates high."""

    kind: ClassVar[str] = "rawSql"

    sql: SqlStatements
    """One or more statements, separated by semicolons. All run in one transaction; one that cannot run in a transaction
    stands alone."""
    undo_sql: SqlStatements | None = Field(None, alias="undo")
    """Statements that take it back. Without them the step cannot be undone."""
    done_when: SqlQuestion | None = None
    """For a statement that cannot run in a transaction: a query that is true once it has happened. It is asked if the
    runner dies meanwhile; without it the statement is never run a second time."""
    words: str | None = Field(None, alias="target", min_length=1, max_length=200)
    """What it changes, in words, for plan and history. Default: its commands and tables."""
    schema_name: Name | None = Field(None, alias="schema")
    """Schema of unqualified names. Default: `spec.database.schema`."""

    def target(self, ctx: StepContext) -> str:
        if self.words is not None:
            return self.words
        judged = self._judged(ctx, self.sql)
        commands = dict.fromkeys(j.verdict.what for j in judged)
        tables = dict.fromkeys(str(t) for j in judged for t, lock in j.verdict.locks.items() if lock is not _READING)
        text = ", ".join(commands) + (f" ({', '.join(tables)})" if tables else "")
        return text if len(text) <= 200 else f"{text[:199]}…"

    def problems(self, ctx: StepContext) -> Iterator[str]:
        judged = self._judged(ctx, self.sql)
        yield from _problems(judged, "")
        outside = [j for j in judged if not j.verdict.transactional]
        if self.done_when is not None and not outside:
            yield "doneWhen is asked only of a statement that cannot run in a transaction; leave it out"
        if self.done_when is not None and any(j.verdict.done_when is not None for j in outside):
            yield f"of {outside[0].verdict.what} the catalog tells by itself whether it happened; leave doneWhen out"
        if self.done_when is not None:
            code = unseen_code(parse_query(self.done_when).tree, self._scope(ctx))
            if code:
                yield f"doneWhen must only ask, and what it runs cannot be seen into: {', '.join(code)}"
        if outside and self._other_schema(ctx):
            yield f"{outside[0].verdict.what} cannot run in a transaction, and so not with `schema`; qualify its names"
        if self.undo_sql is None or any(j.verdict.refused or j.verdict.missing for j in judged):
            return
        undoing = self._judged(ctx.with_graph(self.project(ctx)), self.undo_sql)
        yield from _problems(undoing, "undo: ", hidden=any(j.verdict.unseen for j in judged))
        for j in undoing:
            if not j.verdict.transactional and j.verdict.done_when is None:
                yield f"undo: {j.verdict.what} cannot run in a transaction, and nothing tells whether it happened"

    def findings(self, ctx: StepContext) -> Iterator[Finding]:
        judged = self._judged(ctx, self.sql)
        for j, statement in zip(judged, _executed(judged), strict=True):
            verdict = j.verdict
            number = f"statement {j.number}: " if len(judged) > 1 else ""
            yield Finding(verdict.level, ReasonCode.RAW_SQL, f"{number}{verdict.what} {_takes(verdict)}")
            yield from verdict.findings
            yield from self._about_its_end(verdict)
            held = _held_before(judged, j.number)
            if verdict.work is not Work.CATALOG and strongest(held.values()).blocks_writes:
                table, lock = max(held.items(), key=lambda item: item[1].strength)
                yield Finding(
                    RiskLevel.HIGH,
                    ReasonCode.FULL_SCAN_UNDER_LOCK,
                    f"statement {j.number} works while {lock.value} on {table}, taken before, is held{_for_how_long(j)}",
                    safer="give it a rawSql step of its own: the lock is then gone before it begins",
                )
            if _of_unknown_size(statement, ctx):
                yield Finding(
                    RiskLevel.HIGH,
                    ReasonCode.FULL_SCAN_UNDER_LOCK,
                    f"{number}how big {statement.on[0]} is cannot be told, and others wait while it is worked through",
                )

    def statements(self, ctx: StepContext) -> tuple[Statement, ...]:
        return self._prepared(ctx, _executed(self._judged(ctx, self.sql), done_when=self.done_when))

    def undo(self, ctx: StepContext) -> Undo:
        if self.undo_sql is None:
            return Undo(refused="a rawSql without `undo` cannot be taken back")
        judged = self._judged(ctx.with_graph(self.project(ctx)), self.undo_sql)
        return Undo(statements=self._prepared(ctx, _executed(judged)))

    def hides(self, ctx: StepContext) -> bool:
        return any(j.verdict.unseen for j in self._judged(ctx, self.sql))

    def moves(self, ctx: StepContext) -> Mapping[TableKey, TableKey]:
        moved: dict[TableKey, TableKey] = {}
        for j in self._judged(ctx, self.sql):
            for old, new in j.moves.items():
                first = next((o for o, n in moved.items() if n == old), old)
                moved[first] = new
        return {old: new for old, new in moved.items() if ctx.graph.table(old) is not None}

    def project(self, ctx: StepContext) -> SchemaGraph:
        scope = self._scope(ctx)
        for statement in parse_statements(self.sql):
            scope = scope.after(project(statement, scope))
        return scope.graph

    def _judged(self, ctx: StepContext, text: str) -> tuple[Judged, ...]:
        """Each statement in the database the ones before leave behind."""
        scope = self._scope(ctx)
        started, origins, hidden = scope, dict[TableKey, TableKey](), False
        found = []
        for number, statement in enumerate(parse_statements(text), start=1):
            verdict = judge(statement, scope)
            locks = {origins.get(key, key): lock for key, lock in verdict.locks.items()}
            known = {k: lock for k, lock in locks.items() if _is_there(k, started)}
            moves = {} if verdict.refused else move(statement, scope)
            worked = tuple(origins.get(key, key) for key in verdict.worked)
            verdict = replace(verdict, locks=known, works_on=worked, missing=() if hidden else verdict.missing)
            found.append(Judged(number, statement, _of_new_tables(verdict), moves))
            hidden = hidden or verdict.unseen
            origins |= {new: origins.get(old, old) for old, new in moves.items()}
            if not verdict.refused:
                scope = with_made(scope, statement).after(project(statement, scope), moves)
        return tuple(found)

    def _scope(self, ctx: StepContext) -> Scope:
        facts = replace(ctx.facts, default_schema=self.schema_name or ctx.facts.default_schema)
        return Scope(facts, before=ctx.before)

    def _other_schema(self, ctx: StepContext) -> bool:
        return self.schema_name not in (None, ctx.facts.default_schema)

    def _prepared(self, ctx: StepContext, statements: tuple[Statement, ...]) -> tuple[Statement, ...]:
        """With the schema that unqualified names are looked for in, where it is not the session's."""
        if not self._other_schema(ctx) or self.schema_name is None:
            return statements
        path = sql.SQL("SET LOCAL search_path = {}, public, pg_temp").format(ident(self.schema_name))
        first = Statement(sql=render(path), lock=Lock.NONE, locks_itself=True)
        return (first, *(replace(s, with_previous=True) for s in statements))

    def _about_its_end(self, verdict: Verdict) -> Iterator[Finding]:
        if verdict.transactional or verdict.done_when is not None or self.done_when is not None:
            return
        yield Finding(
            RiskLevel.MEDIUM,
            ReasonCode.RAW_SQL,
            f"{verdict.what} cannot run in a transaction, and nothing tells afterwards whether it happened: if the runner "
            "dies meanwhile, a person has to look",
            safer="give doneWhen, a query that is true once it has happened",
        )


_READING = Lock.ACCESS_SHARE


def _is_there(key: TableKey, started: Scope) -> bool:
    """Whether it was there when the step began, so that others may know of it."""
    return started.table(key) is not None or started.is_view(key) or key in started.facts.other_relations


def _of_new_tables(verdict: Verdict) -> Verdict:
    """Without the warnings about waiting, where all it locks was made by this step: nobody knows of it yet."""
    if verdict.lock.blocks_writes:
        return verdict
    waiting = [ReasonCode.FULL_SCAN_UNDER_LOCK, ReasonCode.TABLE_REWRITE]
    if verdict.lock in (Lock.NONE, _READING):
        waiting += [ReasonCode.REQUIRES_BACKFILL, ReasonCode.LOCKS_ROWS]
    return replace(verdict, findings=tuple(f for f in verdict.findings if f.reason not in waiting))


def _problems(judged: tuple[Judged, ...], prefix: str, *, hidden: bool = False) -> Iterator[str]:
    for j in judged:
        where = f"{prefix}statement {j.number}: " if len(judged) > 1 else prefix
        if j.verdict.refused:
            yield f"{where}{j.verdict.what} is refused: {j.verdict.refused}"
        elif not hidden:
            yield from (f"{where}{missing}" for missing in j.verdict.missing)
        if not j.verdict.transactional and len(judged) > 1:
            yield f"{where}{j.verdict.what} cannot run in a transaction; give it a rawSql step of its own"


def _executed(judged: tuple[Judged, ...], *, done_when: str | None = None) -> tuple[Statement, ...]:
    """The statements as they are executed, each with the locks in force while it works."""
    made = []
    for j in judged:
        verdict = j.verdict
        locks = dict(verdict.locks)
        if verdict.work is not Work.CATALOG:
            for table, lock in _held_before(judged, j.number).items():
                locks[table] = strongest([locks.get(table, Lock.NONE), lock])
        lock = strongest([*locks.values(), verdict.elsewhere])
        asked = QueryIsTrue(done_when) if done_when is not None and not verdict.transactional else verdict.done_when
        moves = next(iter(j.moves.items()), None)
        made.append(
            Statement(
                sql=j.statement.text,
                lock=lock,
                on=tuple(t for t, own in locks.items() if own is not _READING or lock is _READING),
                transactional=verdict.transactional,
                with_previous=j.number > 1,
                work=verdict.work,
                works_on=_worked_through(verdict, tuple(locks)),
                done_when=asked,
                elsewhere=verdict.elsewhere,
                locks_itself=True,
                renames=moves if moves is not None and moves[0] in verdict.locks else None,
            )
        )
    return tuple(made)


def _held_before(judged: tuple[Judged, ...], number: int) -> Locks:
    """What the statements before hold until the step's transaction ends."""
    held: Locks = {}
    for j in judged:
        if j.number < number and j.verdict.transactional:
            for table, lock in j.verdict.locks.items():
                held[table] = strongest([held.get(table, Lock.NONE), lock])
    return held


def _worked_through(verdict: Verdict, locked: tuple[TableKey, ...]) -> tuple[TableWork, ...]:
    """Tables that what it takes is told by; of work on none of them, as calls are, no time is foretold by those locked."""
    if verdict.work is Work.CATALOG or verdict.worked:
        return tuple(TableWork(table, verdict.work) for table in verdict.worked)
    return tuple(TableWork(table, Work.CATALOG) for table in locked[:1])


def _for_how_long(judged: Judged) -> str:
    """That no size tells how long it works, where rows come from functions or it reads no table."""
    calls = any(True for _ in nodes(judged.statement.tree, "range_function"))
    return ", for how long cannot be told" if calls or not judged.verdict.worked else ""


def _takes(verdict: Verdict) -> str:
    if verdict.lock is Lock.NONE:
        return "locks no table that others use"
    tables = ", ".join(str(t) for t, lock in verdict.locks.items() if lock is verdict.lock)
    unknown = "tables that cannot be told before" if verdict.elsewhere is verdict.lock else ""
    return f"takes {verdict.lock.value} on {' and '.join(filter(None, [tables, unknown]))}"


def _of_unknown_size(statement: Statement, ctx: StepContext) -> bool:
    """Whether others wait for work on a table that was there before and whose size the catalog does not tell."""
    if not statement.lock.blocks_writes or statement.work is Work.CATALOG or not statement.on:
        return False
    table = statement.on[0]
    if statement.lock is Lock.EXCLUSIVE and ctx.graph.table(table) is None:
        return False  # REFRESH MATERIALIZED VIEW CONCURRENTLY: readers do not wait, and nobody else writes to one
    return ctx.size(table) is None and (ctx.before.table(table) is not None or ctx.graph.table(table) is None)
