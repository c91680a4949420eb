"""`zanith migrate plan --probe`: what the data says to the questions that steps ask before they run. Reads only.

The one place where keys of rows are read to be shown: at the terminal of the person who asks. They go nowhere else.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import psycopg
from psycopg import Connection

from zanith.api.spec import MigrationSpec, seconds
from zanith.cli.manifests import Manifest
from zanith.cli.pending import MigrationProblem
from zanith.cli.target import Target
from zanith.core.errors import Refusal, ZanithError
from zanith.core.sql import raw
from zanith.core.statement import Probe
from zanith.execution.probing import askable_at_once, bounded, ran_out, refused, unanswered
from zanith.planning.plan import PlannedStep
from zanith.planning.rendering import Answer, PendingMigration, ProbeAnswer
from zanith.postgres.sqlstates import translate

Planned = tuple[PendingMigration, ZanithError | None]

LONGEST_VALUE = 100


def with_answers(
    target: Target, manifests: Sequence[Manifest], planned: Sequence[Planned], *, keys: bool
) -> list[Planned]:
    """The plans of these manifests with what the data says; the first step that it is against refuses a migration that
    no gate does.

    Asked is what no earlier pending step changes; `keys` says whether keys of rows may be read. Raises MigrationProblem.
    """
    steps = [step for p, _ in planned for step in _ahead(p)]
    askable = {id(step) for step, _ in askable_at_once(steps)}
    found = []
    for manifest, (pending, refusal) in zip(manifests, planned, strict=True):
        spec = manifest.spec
        try:
            conn = target.connection(spec.database.schema_name)
            answers = tuple(_answers(conn, spec, pending, askable, keys=keys))
        except ZanithError as error:
            raise MigrationProblem(manifest.name, error) from error
        refusal = refusal or _refusal(spec, pending, answers)
        found.append((replace(pending, answers=answers, refused=_recorded(pending, refusal)), refusal))
    return found


def _ahead(pending: PendingMigration) -> Iterator[PlannedStep]:
    """Steps that are not done yet."""
    yield from (step for step in pending.plan.steps if step.index not in pending.done)


def _answers(
    conn: Connection[Any], spec: MigrationSpec, pending: PendingMigration, askable: set[int], *, keys: bool
) -> Iterator[ProbeAnswer]:
    limit_s = seconds(spec.execution.probe_timeout)
    for step in _ahead(pending):
        for probe in step.probes:
            if id(step) not in askable:
                yield ProbeAnswer(step.index, probe, Answer.LATER)
                continue
            answer = _ask(conn, probe, step, limit_s)
            shown = _keys(conn, probe, step, limit_s) if keys and answer is Answer.YES else ()
            yield ProbeAnswer(step.index, probe, answer, shown)


def _ask(conn: Connection[Any], probe: Probe, step: PlannedStep, limit_s: float) -> Answer:
    found = _rows(conn, probe.sql, probe, step, limit_s)
    if found is None:
        return Answer.UNANSWERED
    return Answer.YES if found[1] else Answer.NO


def _keys(conn: Connection[Any], probe: Probe, step: PlannedStep, limit_s: float) -> tuple[str, ...]:
    """`id = 17` of a few of the rows; nothing where the table has no key, or it takes too long to find them."""
    found = _rows(conn, probe.sample_sql, probe, step, limit_s) if probe.sample_sql else None
    if found is None:
        return ()
    names, rows = found
    return tuple(", ".join(f"{n} = {_shown(v)}" for n, v in zip(names, row, strict=True)) for row in rows)


def _rows(
    conn: Connection[Any], query: str, probe: Probe, step: PlannedStep, limit_s: float
) -> tuple[list[str], list[tuple[Any, ...]]] | None:
    """Names and rows of the answer; None where the time was not enough."""
    began = time.monotonic()
    try:
        with bounded(conn, limit_s):
            cursor = conn.execute(raw(query))
            return [c.name for c in cursor.description or ()], cursor.fetchall()
    except psycopg.Error as error:
        if ran_out(error, began, limit_s):
            return None
        raise translate(error, doing=f"asking whether {probe.question}", step=step.index) from None


def _shown(value: object) -> str:
    """A value on one line, whatever is in it: it goes to a terminal."""
    text = "".join(c if c.isprintable() else "?" for c in str(value))
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"


def _refusal(spec: MigrationSpec, pending: PendingMigration, answers: Sequence[ProbeAnswer]) -> ZanithError | None:
    for given in answers:
        step = pending.plan.steps[given.step_index - 1]
        if given.answer is Answer.YES:
            return refused(step, given.probe)
        if given.answer is Answer.UNANSWERED:
            return unanswered(step, given.probe, seconds(spec.execution.probe_timeout))
    return None


def _recorded(pending: PendingMigration, refusal: ZanithError | None) -> str:
    return refusal.recorded if not pending.refused and isinstance(refusal, Refusal) else pending.refused
