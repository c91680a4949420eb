"""Which ways back can be judged by the data at once, though other steps are taken back before them."""

from __future__ import annotations

from typing import Any

from zanith.core.identifiers import TableKey
from zanith.core.statement import Lock, Probe, ProbeKind, Statement
from zanith.execution.looking_ahead import LookAhead
from zanith.operations.step_context import Undo
from zanith.planning.plan import PlannedStep

A, B, C = (TableKey("public", name) for name in "abc")


def step(*tables: TableKey, undo: Undo | None = None, sql: str = "x", **statement: Any) -> PlannedStep:
    back = Statement(sql=sql, lock=Lock.ACCESS_EXCLUSIVE, on=tables, **statement)
    return PlannedStep(1, "kind", "target", "", (), (), undo=undo or Undo(statements=(back,)))


def asked(*steps: PlannedStep) -> list[bool]:
    ahead = LookAhead()
    return [ahead.may_ask(s) for s in steps]


def test_tables_that_nothing_before_touches_are_asked_about() -> None:
    assert asked(step(A), step(B), step(A), step(C)) == [True, True, False, True]


def test_a_name_that_a_statement_before_mentions_is_not() -> None:
    assert asked(step(A, sql='DROP TABLE "public"."b"'), step(B), step(C)) == [True, False, True]


def test_a_rename_before_touches_both_names() -> None:
    assert asked(step(A, renames=(A, B)), step(B)) == [True, False]


def test_after_code_that_cannot_be_seen_into_nothing_is_asked() -> None:
    assert asked(step(A, elsewhere=Lock.ROW_SHARE), step(B)) == [True, False]
    assert asked(step(A, locks_itself=True), step(B)) == [True, False]


def test_every_alternative_counts() -> None:
    other = Undo(statements=(Statement(sql="y", lock=Lock.ACCESS_EXCLUSIVE, on=(B,)),))
    unless = Probe(ProbeKind.NULLS, "SELECT", "question", "")
    assert asked(step(A, undo=Undo(unless=unless, otherwise=other)), step(B)) == [True, False]


def test_who_uses_something_may_be_what_goes_before() -> None:
    in_use = Undo(probes=(Probe(ProbeKind.IN_USE, "SELECT", "question", ""),))
    assert asked(step(A, undo=in_use), step(B)) == [True, True]
    assert asked(step(B), step(C, undo=in_use)) == [True, False]
