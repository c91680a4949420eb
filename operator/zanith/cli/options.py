"""What the commands share: options, where the DSN comes from, and how a command ends. Light, for `--help` reads it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Annotated, Literal

import typer

from zanith.core.errors import ZanithError

# Help is drawn with rich at a terminal only: elsewhere the frames are in the way, and it starts faster without.
_MARKUP: Literal["rich"] | None = "rich" if sys.stdout.isatty() else None


def command_group(text: str) -> typer.Typer:
    # No pretty tracebacks: they print local variables, and one of them is the DSN.
    return typer.Typer(
        help=text,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=_MARKUP,
    )


Files = Annotated[
    list[str],
    typer.Option("--file", "-f", metavar="FILE", help="Manifest, folder of manifests, or - for standard input."),
]
Dsn = Annotated[
    str | None,
    typer.Option(
        "--dsn", metavar="DSN", help="PostgreSQL connection string or URI. Default: ZANITH_DSN.", show_default=False
    ),
]
DsnFile = Annotated[
    str | None,
    typer.Option(
        "--dsn-file", metavar="FILE", help="File that holds it: process lists show --dsn.", show_default=False
    ),
]
Schema = Annotated[str, typer.Option("--schema", help="Where the five tables live: spec.database.schema.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, with everything in it.")]
MigrationId = Annotated[str | None, typer.Option("--id", metavar="ID", help="Only this migration.", show_default=False)]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what it would do, and change nothing.")]


def given_dsn(dsn: str | None, dsn_file: str | None) -> str:
    from zanith.cli.target import choose_dsn

    return choose_dsn(dsn, dsn_file, os.environ)


def end_with(command: Callable[[], int]) -> None:
    """Exit with the command's code; an expected error is told in one line."""
    try:
        code = command()
    except ZanithError as error:
        from zanith.cli.outcome import say

        code = say(error)
    raise typer.Exit(code)
