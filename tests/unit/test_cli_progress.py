"""What is shown while a migration runs, in a log and at a terminal, and how errors end a command."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from zanith.cli import progress as progress_module
from zanith.cli.asking import parse_since
from zanith.cli.outcome import say
from zanith.cli.progress import progress_report, rows_text
from zanith.cli.target import choose_dsn
from zanith.core.errors import ApprovalNeeded, NotYet, SpecError, StepFailed, Stopped
from zanith.execution.assignment import Progress

STEP: dict[str, Any] = {
    "step_index": 2,
    "steps_total": 3,
    "kind": "backfill",
    "target": "public.users (email)",
    "risk_level": "medium",
}
STARTED = Progress("step_started", **STEP)
BATCH = Progress("batch", rows_done=620_000, rows_estimated=1_000_000, rows_per_second=45_000)
FINISHED = Progress("step_finished", took_s=3.44, **STEP)
EVENTS = [
    Progress("waiting", message="another runner is at work on this database"),
    Progress("planned", steps_total=3),
    STARTED,
    Progress("statement_started", step_index=2),
    BATCH,
    Progress("throttled", message="ReplicaLag"),
    FINISHED,
    Progress("applied", message="m"),
]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_module, "PLAIN_LINE_EVERY_S", 0)
    out = io.StringIO()
    with progress_report(out) as report:
        for event in EVENTS:
            report(event)
    assert out.getvalue().splitlines() == [
        "    waiting: another runner is at work on this database",
        "  · step 2/3: [medium] backfill public.users (email)",
        "    620000 of about 1000000 rows (62 %), 45000 rows/s, 8.4 s left",
        "    throttled: ReplicaLag",
        "  ✓ step 2/3: [medium] backfill  3.4 s",
    ]


def test_undoing_and_restoring_have_words_of_their_own() -> None:
    out = io.StringIO()
    with progress_report(out) as report:
        for message in ("undo", "restore"):
            report(replace(STARTED, message=message))
            report(replace(FINISHED, message=message))
    assert out.getvalue().splitlines() == [
        "  · undoing step 2/3: [medium] backfill public.users (email)",
        "  ↶ step 2/3: [medium] backfill  3.4 s",
        "  · restoring public.users (email)",
        "  ✓ restored public.users (email)  3.4 s",
    ]


def test_a_log_is_not_flooded_with_batches() -> None:
    out = io.StringIO()
    with progress_report(out) as report:
        report(STARTED)
        for _ in range(1000):
            report(BATCH)
    assert len(out.getvalue().splitlines()) == 1


def test_a_terminal_gets_a_bar_and_keeps_what_is_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    out = Terminal()
    with progress_report(out) as report:
        for event in [*EVENTS, STARTED]:
            report(event)
    text = out.getvalue()
    assert "waiting: another runner is at work on this database" in text
    assert "✓ step 2/3: [medium] backfill  3.4 s\n" in text
    assert "· step 2/3: [medium] backfill public.users (email)" in text


@pytest.mark.parametrize(
    ("batch", "text"),
    [
        (BATCH, "620000 of about 1000000 rows (62 %), 45000 rows/s, 8.4 s left"),
        (Progress("batch", rows_done=7), "7 rows"),
        (Progress("batch", rows_done=7, rows_per_second=3), "7 rows, 3 rows/s"),
        (Progress("batch", rows_done=12, rows_estimated=10, rows_per_second=3), "12 of about 10 rows (99 %), 3 rows/s"),
    ],
)
def test_rows_as_far_as_they_are_known(batch: Progress, text: str) -> None:
    assert rows_text(batch) == text


def test_errors_are_one_line_on_stderr_with_the_exit_code_of_their_class(capsys: pytest.CaptureFixture[str]) -> None:
    codes = [
        say(StepFailed("step 1\n  failed"), subject="m"),
        say(NotYet("the database cannot be reached: it does not answer in time; it is tried again")),
        say(Stopped("asked to stop")),
        say(ApprovalNeeded("plan abc waits for an approval by that hash")),
    ]
    captured = capsys.readouterr()
    assert codes == [20, 10, 30, 20]
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "zanith: m: step 1 failed",
        "zanith: the database cannot be reached: it does not answer in time",
        "zanith: asked to stop",
        "zanith: plan abc waits for an approval by that hash; look at it with `plan`, then give `up` that hash with "
        "--approve",
    ]


def test_the_dsn_comes_from_the_option_the_file_or_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "dsn"
    file.write_text("from file\n")
    environment = {"ZANITH_DSN": "from environment"}
    assert choose_dsn("given", None, environment) == "given"
    assert choose_dsn(None, str(file), environment) == "from file"
    assert choose_dsn(None, None, environment) == "from environment"
    file.write_bytes(b"\xe9")
    for dsn, dsn_file, said in [
        ("given", str(file), "--dsn and --dsn-file: give one of them"),
        (None, str(file), f"--dsn-file: {file} is not UTF-8 text"),
        (None, f"{file}.none", f"--dsn-file: {file}.none cannot be read: No such file or directory"),
        (None, None, "which database? Give --dsn, --dsn-file or ZANITH_DSN"),
        ("host=\udcff password=geheim", None, "the DSN is not a line of UTF-8 text"),
        ("", None, "which database? Give --dsn, --dsn-file or ZANITH_DSN"),
    ]:
        with pytest.raises(SpecError) as caught:
            choose_dsn(dsn, dsn_file, {})
        assert caught.value.message == said


def test_since_is_a_number_and_a_unit() -> None:
    assert [parse_since(text).total_seconds() for text in ("90s", "5m", "2h", "7d")] == [90, 300, 7200, 604_800]
    for text in ("7", "d", "-1d", "7w", "99999999d", "7d "):
        with pytest.raises(SpecError, match="such as 7d"):
            parse_since(text)
