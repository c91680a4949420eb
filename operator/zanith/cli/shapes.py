"""`zanith migrate diff` and `migrate show`: what the schema looked like, and what differs. Reads only."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from zanith.cli.outcome import warn
from zanith.cli.target import Target
from zanith.core.errors import ExitCode, SpecError
from zanith.core.graph_json import graph_to_json
from zanith.core.graph_words import diff_lines, shape_lines, visible, visible_json
from zanith.ledger.diff_json import diff_json
from zanith.ledger.diff_picture import diff_picture
from zanith.ledger.history_queries import five_tables_exist
from zanith.ledger.overview import clock
from zanith.ledger.snapshot_diff import compare_shapes, not_compared
from zanith.ledger.snapshot_queries import (
    LIVE,
    Later,
    Snapshot,
    changed_since,
    read_live,
    read_snapshot,
    read_snapshot_at,
)
from zanith.postgres.sqlstates import translated

_READING = "reading the snapshots"


def diff(dsn: str, schema: str, before: str, after: str, *, as_json: bool, html: str | None) -> int:
    """Print, or draw, what makes the second shape of the first; nothing where they are equal."""
    if as_json and html is not None:
        raise SpecError("--json and --html: give one of them")
    with Target(dsn) as target:
        one, other = (_snapshot(target, schema, name) for name in (before, after))
    changes = compare_shapes(one.graph, other.graph)
    if left_out := not_compared(one.graph, other.graph):
        warn(f"not compared: {left_out}")
    if html is not None:
        _write(html, diff_picture(one, other, changes))
    elif as_json:
        print(visible_json(diff_json(one, other, changes)))
    else:
        sys.stdout.writelines(f"{line}\n" for line in diff_lines(changes))
        if not changes:
            warn(visible(f"no difference between {_title(one)} and {_title(other)}"))
    return int(ExitCode.APPLIED)


def show(dsn: str, schema: str, name: str | None, *, at: str | None, as_json: bool) -> int:
    """Print the shape of a snapshot, of a moment, or of the live database."""
    if name is not None and at is not None:
        raise SpecError("--at: a snapshot is named already; give one of them")
    with Target(dsn) as target:
        found = _snapshot(target, schema, name or LIVE) if at is None else _at(target, schema, at)
    if as_json:
        print(visible_json(json.dumps(graph_to_json(found.graph), indent=2, ensure_ascii=False)))
        return int(ExitCode.APPLIED)
    graph = found.graph
    print(visible(f"Schema {_title(found)}: {graph.models} model(s), {graph.relations} relation(s)"))
    sys.stdout.writelines(f"{line}\n" for line in shape_lines(graph))
    return int(ExitCode.APPLIED)


def parse_moment(text: str) -> datetime | None:
    """A date, with or without a time, in UTC unless it says otherwise; None where it is none."""
    written = text.strip().removesuffix("UTC").rstrip()
    try:
        moment = datetime.fromisoformat(written)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _at(target: Target, schema: str, text: str) -> Snapshot:
    """By a name first: 20260328 is an id where a migration is called so, else a day."""
    moment = parse_moment(text)
    if moment is None or text == LIVE:
        return _snapshot(target, schema, text)
    _need_ledger(target, schema)
    conn = target.connection(schema)
    with translated(_READING):
        try:
            return read_snapshot(conn, schema, text)
        except SpecError:
            found = read_snapshot_at(conn, schema, moment)
        later = changed_since(conn, schema, found, moment)
    if later:
        warn(visible(_not_the_last_word(later)))
    return found


def _not_the_last_word(later: Sequence[Later]) -> str:
    """Why the database may have looked otherwise than the snapshot says."""
    ids = [one.migration_id for one in later]
    lost = [f"that of {one.migration_id} at {clock(one.overwritten_at)}" for one in later if one.overwritten_at]
    left = "left no later one"
    if lost:
        left = f"no later one is left, for one was overwritten when it was applied again: {', '.join(lost[:3])}"
    return (
        f"{', '.join(ids[:3])}{' and others' if len(ids) > 3 else ''} worked on the database after this snapshot and up to "
        f"that time, and {left}: it may have looked otherwise"
    )


def _snapshot(target: Target, schema: str, name: str) -> Snapshot:
    conn = target.connection(schema)
    if name == LIVE:
        return read_live(conn, schema)
    _need_ledger(target, schema)
    with translated(_READING):
        return read_snapshot(conn, schema, name)


def _need_ledger(target: Target, schema: str) -> None:
    with translated(_READING):
        if five_tables_exist(target.connection(schema), schema):
            return
    raise SpecError(
        f"no migration has run here yet: schema {schema} has no ledger (another one? give --schema), "
        f"so there is no snapshot; {LIVE} is the database as it is"
    )


def _title(snapshot: Snapshot) -> str:
    return f"{snapshot.title} ({snapshot.captured_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC)"


def _write(file: str, page: str) -> None:
    if file == "-":
        sys.stdout.write(page)
        return
    try:
        Path(file).write_text(page, encoding="utf-8")
    except OSError as error:
        raise SpecError(f"--html: {file} cannot be written: {error.strerror}") from None
    warn(f"written: {file}")
