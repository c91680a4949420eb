"""What was planned, in words: statements with their locks, risk, questions, undo, refusals. Pure; it decides nothing.

A version of PostgreSQL is named only where another one is planned otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from reference.examples import Example, Planned
from zanith.core.risk import Finding
from zanith.core.statement import Lock, Probe, ProbeKind, Statement, Work
from zanith.execution.steps import transactions
from zanith.operations.step_context import Undo
from zanith.planning.plan import PlannedStep

_MEANWHILE = {
    Work.CATALOG: "for an instant",
    Work.SCAN: "while the table is read",
    Work.BUILD: "while the index is built",
    Work.REWRITE: "while the table is written anew",
}
_BY_THEN = {
    ProbeKind.NULLS: "there are NULLs",
    ProbeKind.POPULATED_TABLE: "the table has rows",
    ProbeKind.DUPLICATES: "there are duplicates",
    ProbeKind.ORPHANS: "there are orphans",
    ProbeKind.MISFITS: "values do not fit the old type",
    ProbeKind.NAME_TAKEN: "something else has the name",
    ProbeKind.IN_USE: "it is in use",
}


@dataclass(frozen=True)
class Seen:
    """An example as each version planned it."""

    example: Example
    by_version: Mapping[int, Planned]

    @property
    def newest(self) -> Planned:
        return self.by_version[max(self.by_version)]


def observed(seen: Seen) -> str:
    """The middle of a page: all that only a server could tell."""
    versions = sorted(seen.by_version, reverse=True)
    blocks = {version: _blocks(seen.example, seen.by_version[version]) for version in versions}
    parts = []
    for title, newest in blocks[versions[0]].items():
        parts.append(f"### {title}")
        if all(blocks[version][title] == newest for version in versions):
            parts.append(newest)
        else:
            parts += [part for v in versions for part in (f"On PostgreSQL {v}:", blocks[v][title])]
    return "\n\n".join(parts)


def index_cells(seen: Seen) -> tuple[str, str, str]:
    """Level, strongest lock and undo of the example, for the table of all kinds."""
    steps = seen.newest.steps
    level = max((step.level for step in steps), key=lambda found: found.score)
    statements = [s for step in steps for s in step.statements]
    strongest = max(statements, key=lambda s: (s.lock.strength, list(Work).index(s.work)))
    held = f", {_held(strongest)}" if strongest.lock.blocks_writes else ""
    lock = f"{strongest.lock.value}{held}" if strongest.lock.strength else "none"
    return f"{level.value} ({level.score})", lock, "; ".join(_undo_briefly(step.undo) for step in steps)


def _blocks(example: Example, planned: Planned) -> dict[str, str]:
    steps = planned.steps
    return {
        "What it runs": "\n\n".join(_statements(step.statements) for step in steps),
        "Risk": "\n\n".join(map(_risk, steps)),
        "Gates": _gates(example, planned),
        "Asked of the data first": _questions([p for step in steps for p in step.probes]),
        "Undo": "\n\n".join("\n\n".join(_undo(step.undo)) for step in steps),
        "Refused when planning": "\n\n".join(
            f"{_fenced('yaml', step)}\n\n{_fenced('text', problem)}" for step, problem in planned.refusals
        ),
    }


def _statements(statements: tuple[Statement, ...]) -> str:
    """The SQL, each statement below its lock; a transaction's statements stand together, and its lock once."""
    blocks = []
    for together in transactions(statements):
        lines: list[str] = []
        for statement in together:
            lock = f"-- {_lock(statement)}"
            if lock not in lines:
                lines.append(lock)
            lines.append(f"{statement.sql.rstrip().rstrip(';')};")
        blocks.append("\n".join(lines))
    text = _fenced("sql", "\n\n".join(blocks))
    if any(statement.with_previous for statement in statements):
        text = f"Statements that stand together are one transaction.\n\n{text}"
    kept = [f"{s.artifact.recovery_sql.rstrip(';')};" for s in statements if s.artifact is not None]
    return "\n\n".join(
        [text, *(f"What is kept is an artifact. This brings it back:\n\n{_fenced('sql', k)}" for k in kept)]
    )


def _lock(statement: Statement) -> str:
    """Which lock, on what, and what others notice of it."""
    said = _known_lock(statement)
    if statement.elsewhere.strength:
        said += f"; up to {statement.elsewhere.value} on tables that cannot be told before"
    return said if statement.transactional else f"{said}; outside of any transaction"


def _known_lock(statement: Statement) -> str:
    lock = statement.lock
    if lock is Lock.NONE:
        return "no lock on a table that was there before"
    most = " at most" if len(statement.on) > 1 else ""
    return f"{lock.value}{most} on {' and '.join(map(str, statement.on))}, {_held(statement)}: {_waiting(lock)}"


def _held(statement: Statement) -> str:
    return "one batch of rows at a time" if statement.backfill is not None else _MEANWHILE[statement.work]


def _waiting(lock: Lock) -> str:
    if lock is Lock.ACCESS_EXCLUSIVE:
        return "reads and writes wait"
    return "writes wait, reads go on" if lock.blocks_writes else "reads and writes go on"


def _risk(step: PlannedStep) -> str:
    return "\n".join([f"**{step.level.value}** ({step.score})", "", *map(_finding, step.findings)])


def _finding(finding: Finding) -> str:
    line = f"- `{finding.reason.value}`, {finding.level.value}: {_sentence(finding.why)}"
    if not finding.safer:
        return line
    if not finding.safer.startswith("- "):
        return f"{line} Safer: {_sentence(finding.safer)}"
    indented = "\n".join(f"  {text}".rstrip() for text in _fenced("yaml", finding.safer).splitlines())
    return f"{line} The safer way:\n\n{indented}"


def _gates(example: Example, planned: Planned) -> str:
    if planned.by_default is None:
        return "The default ones let it through."
    given = ", ".join(f"{key}: {str(value).lower()}" for key, value in example.gates.items())
    return (
        f"It needs `gates: {{{given}}}`. The default ones refuse it:\n\n{_fenced('text', planned.by_default.message)}"
    )


def _questions(probes: Sequence[Probe]) -> str:
    if not probes:
        return "Nothing."
    return "\n".join(
        f"- Where {probe.question}, the step is refused{f': {probe.remedy}' if probe.remedy else ''}."
        for probe in probes
    )


def _undo(undo: Undo) -> Iterator[str]:
    if undo.says:
        yield _sentence(undo.says)
    if undo.refused:
        yield f"Refused: {_sentence(undo.refused)}"
        return
    yield from (f"Where {probe.question}, the undo is refused." for probe in undo.probes)
    if undo.statements:
        yield _statements(undo.statements)
    else:
        yield "Nothing to do: the undo of an earlier step of this migration takes it along."
    if undo.unless is not None and undo.otherwise is not None:
        yield f"Where {undo.unless.question} by then, instead:"
        yield from _undo(undo.otherwise)


def _undo_briefly(undo: Undo) -> str:
    if undo.refused:
        return "none"
    if not undo.statements:
        return "with the step before"
    probes = list(undo.probes)
    if undo.unless is not None and undo.otherwise is not None and undo.otherwise.refused:
        probes.append(undo.unless)
    return f"unless {' or '.join(_BY_THEN[probe.kind] for probe in probes)} by then" if probes else "yes"


def _sentence(text: str) -> str:
    line = " ".join(text.split())
    return line if line.endswith(".") else f"{line}."


def _fenced(language: str, text: str) -> str:
    return f"```{language}\n{text}\n```"
