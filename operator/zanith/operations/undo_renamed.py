"""The way back of a step whose table has been given another name since the plan was frozen. Pure."""

from __future__ import annotations

from dataclasses import replace

from zanith.core.identifiers import TableKey
from zanith.core.sql_statements import parse_statements
from zanith.core.statement import Probe, Statement
from zanith.operations.renaming import statement_renamed
from zanith.operations.step_context import Undo


def undo_renamed(undo: Undo, old: TableKey, new: str) -> Undo:
    """The undo with the table's new name wherever it is named. Raises SqlProblem."""
    if old.name == new:
        return undo
    return replace(
        undo,
        statements=tuple(_statement(s, old, new) for s in undo.statements),
        probes=tuple(_probe(p, old, new) for p in undo.probes),
        unless=None if undo.unless is None else _probe(undo.unless, old, new),
        otherwise=None if undo.otherwise is None else undo_renamed(undo.otherwise, old, new),
    )


def script_renamed(script: str, old: TableKey, new: str) -> str:
    """Statements separated by semicolons, with the table renamed wherever it is named. Raises SqlProblem."""
    return ";\n".join(statement_renamed(one.text, old, new) for one in parse_statements(script))


def _statement(statement: Statement, old: TableKey, new: str) -> Statement:
    table = TableKey(old.schema, new)
    walk, asked = statement.backfill, statement.done_when
    if walk is not None and (walk.schema, walk.table) == old:
        walk = replace(walk, table=new)
    if asked is not None and asked.kind != "query_is_true" and (asked.schema, asked.table) == old:
        asked = replace(asked, table=new)
    return replace(
        statement,
        sql=script_renamed(statement.sql, old, new),
        on=tuple(table if key == old else key for key in statement.on),
        cleanup=tuple(script_renamed(text, old, new) for text in statement.cleanup),
        backfill=walk,
        done_when=asked,
    )


def _probe(probe: Probe, old: TableKey, new: str) -> Probe:
    def renamed(text: str) -> str:
        return script_renamed(text, old, new) if text else ""

    return replace(
        probe, sql=renamed(probe.sql), sample_sql=renamed(probe.sample_sql), count_sql=renamed(probe.count_sql)
    )
