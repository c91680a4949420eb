"""`zanith migrate down`: takes back what was done last, from the ledger. The manifests are not asked.

Looks at every step of every migration it is about before it touches the first. What cannot be taken back is told by step
and reason, and then nothing is.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from zanith.cli.asking import has_ledger
from zanith.cli.outcome import say, warn
from zanith.cli.progress import progress_report
from zanith.cli.stopping import stop_on_signals, stopped
from zanith.cli.target import APPLICATION_NAME, Target
from zanith.core.errors import Conflict, ExitCode, NotYet, Refusal, SpecError, Stopped
from zanith.execution.looking_ahead import LookAhead
from zanith.execution.reverting import look, revert
from zanith.execution.session import Session, open_recovery
from zanith.execution.undoing import way_back
from zanith.ledger.history import printable
from zanith.ledger.history_queries import done_steps
from zanith.operations.step_context import Undo
from zanith.planning.plan import PlannedStep
from zanith.planning.rendering import statements_sql
from zanith.postgres.sqlstates import translated


@dataclass(frozen=True, slots=True)
class Share:
    """How many steps of which migration."""

    migration_id: str
    steps: int


@dataclass(frozen=True, slots=True)
class StepBack:
    """A step that would be taken back, how, and what speaks against it."""

    step: PlannedStep
    undo: Undo
    refused: Refusal | Conflict | None


def down(dsn: str, schema: str, *, steps: int | None, migration_id: str | None, whole: bool, dry_run: bool) -> int:
    """Take the last steps back, or print what that would execute."""
    _check_asked(steps, migration_id, whole)
    with Target(dsn) as target:
        with translated("reading the ledger"):
            done = done_steps(target.connection(schema), schema) if has_ledger(target, schema) else []
        shares = choose_shares(done, steps=steps, migration_id=migration_id)
        if not shares:
            print("Nothing to take back.")
            return int(ExitCode.APPLIED)
        _warn_of_later(done, shares)
        taken = 0
        try:
            with _session(target, schema, shares[0].migration_id) as session:
                with translated("reading the ledger"):
                    if done_steps(session.conn, schema) != done:
                        raise NotYet("another runner has just changed what was done last; look again")
                ahead = LookAhead()
                looked = [
                    # The first one's data is asked by `revert`, before it touches anything, and its refusal recorded.
                    (share, _looked(_for(session, share), share, ahead, ask_data=dry_run or share is not shares[0]))
                    for share in shares
                ]
                refused = _refused(looked)
                if not dry_run and not refused:
                    for share in shares:
                        revert(_for(session, share), steps=share.steps)
                        taken += share.steps
        except Stopped:
            return stopped("steps that were taken back stay so, the one at work goes on where it stands")
    if dry_run:
        sys.stdout.writelines(f"{line}\n" for line in rehearsal_lines(looked))
    if refused:
        return max(say(error, subject=printable(where)) for where, error in refused)
    if not dry_run:
        print(f"Took back {_count(taken)} of {len(shares)} migration(s).")
    return int(ExitCode.APPLIED)


def _check_asked(steps: int | None, migration_id: str | None, whole: bool) -> None:
    if (steps is None) == (not whole):
        raise SpecError("say how much: --steps N, or --id ID with --all for all of one migration")
    if whole and migration_id is None:
        raise SpecError("--all: say of which migration, with --id ID")


def choose_shares(done: Sequence[tuple[str, int]], *, steps: int | None, migration_id: str | None) -> list[Share]:
    """The last `steps` steps, or all, over (migration, done steps), last first. Raises SpecError where ID has none."""
    if migration_id is not None:
        of_it = [count for known, count in done if known == migration_id]
        if not of_it:
            raise SpecError(f"--id: no step of migration {printable(migration_id)} is done here: nothing to take back")
        return [Share(migration_id, of_it[0] if steps is None else min(steps, of_it[0]))]
    shares, left = [], steps or 0
    for known, count in done:
        if left <= 0:
            break
        shares.append(Share(known, min(left, count)))
        left -= count
    return shares


def _warn_of_later(done: Sequence[tuple[str, int]], shares: Sequence[Share]) -> None:
    """Who takes back what is not the last should know what was built on it, perhaps."""
    chosen = {share.migration_id for share in shares}
    later = []
    for known, _ in done:
        if known in chosen:
            break
        later.append(known)
    if later:
        names = ", ".join(later[:3]) + (f" and {len(later) - 3} more" if len(later) > 3 else "")
        warn(printable(f"done after it, and perhaps built on it: {names}; these stay"))


def _looked(session: Session, share: Share, ahead: LookAhead, *, ask_data: bool) -> list[StepBack]:
    return [
        StepBack(step, Undo() if refused else way_back(session, step), refused)
        for step, refused in look(session, steps=share.steps, ahead=ahead, ask_data=ask_data)
    ]


def _refused(looked: Sequence[tuple[Share, Sequence[StepBack]]]) -> list[tuple[str, Refusal | Conflict]]:
    return [
        (f"{share.migration_id}, step {back.step.index} {back.step.kind}", back.refused)
        for share, steps in looked
        for back in steps
        if back.refused is not None
    ]


def rehearsal_lines(looked: Sequence[tuple[Share, Sequence[StepBack]]]) -> Iterator[str]:
    """What would be executed, or what is refused, step by step."""
    for share, steps in looked:
        yield f"▸ {printable(share.migration_id)}"
        for back in steps:
            step = f"step {back.step.index}: [{back.step.level.value}] {back.step.kind} {printable(back.step.target)}"
            if back.refused is not None:
                yield f"  ✗ {step}"
                yield f"    {printable(_words(back.refused))}"
                continue
            yield f"  ↶ {step}"
            yield from (f"    {line}" for text in _undo_lines(back.undo) for line in text.splitlines())


def _words(error: Refusal | Conflict) -> str:
    return error.recorded if isinstance(error, Refusal) else error.message


def _undo_lines(undo: Undo) -> Iterator[str]:
    if not undo.statements and undo.unless is None:
        yield "-- nothing to execute: what it did is gone, or was brought back already"
    yield from statements_sql(undo.statements)
    if undo.unless is None or undo.otherwise is None:
        return
    yield printable(
        f"-- but where {undo.unless.question}: {undo.otherwise.refused or undo.otherwise.says or 'instead'}"
    )
    if not undo.otherwise.refused:
        yield from _undo_lines(undo.otherwise)


def _count(steps: int) -> str:
    return f"{steps} step" if steps == 1 else f"{steps} steps"


def _for(session: Session, share: Share) -> Session:
    """The same connection, and so the same lock, for another migration."""
    return replace(session, migration_id=share.migration_id)


@contextmanager
def _session(target: Target, schema: str, migration_id: str) -> Iterator[Session]:
    with stop_on_signals() as stop, progress_report(sys.stdout) as report:
        session = open_recovery(
            target.settings(schema), migration_id, application_name=APPLICATION_NAME, stop=stop, report=report
        )
        with session.conn:
            yield session
