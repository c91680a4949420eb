"""The commands and their options. Nothing else: each body imports what it needs, so `--help` needs neither parser nor
driver, and calls one function that returns an exit code.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from zanith.core.errors import ZanithError

# Help is drawn with rich at a terminal only: elsewhere the frames are in the way, and it starts faster without.
_MARKUP: Literal["rich"] | None = "rich" if sys.stdout.isatty() else None


def _app(text: str) -> typer.Typer:
    # No pretty tracebacks: they print local variables, and one of them is the DSN.
    return typer.Typer(
        help=text,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=_MARKUP,
    )


app = _app("History-as-data schema migrations for PostgreSQL, with or without Kubernetes.")
migrate = _app("Plan and apply migrations on a database, and read what happened to it.")
recover = _app("What was kept when something was taken away.")
app.add_typer(migrate, name="migrate")
app.add_typer(recover, name="recover")

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


@migrate.command()
def plan(
    file: Files,
    dsn: Dsn = None,
    dsn_file: DsnFile = None,
    sql: Annotated[bool, typer.Option("--sql", help="Print the SQL.")] = False,
    as_json: Json = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Add objects, locks, risks and safer ways.")] = False,
) -> None:
    """Show what is pending and what it risks. Changes nothing; exit code 20 where a gate refuses it."""
    from zanith.cli import migrating

    _end(lambda: migrating.plan(file, _dsn(dsn, dsn_file), sql=sql, as_json=as_json, verbose=verbose))


@migrate.command()
def up(
    file: Files,
    dsn: Dsn = None,
    dsn_file: DsnFile = None,
    approve: Annotated[
        str, typer.Option("--approve", metavar="HASH", help="The plan hash you approve, where approval is required.")
    ] = "",
) -> None:
    """Apply what is pending, in order. Ctrl-C stops after the current batch; run it again to go on."""
    from zanith.cli import migrating

    _end(lambda: migrating.up(file, _dsn(dsn, dsn_file), approve=approve))


@migrate.command()
def status(
    dsn: Dsn = None,
    dsn_file: DsnFile = None,
    schema: Schema = "public",
    migration_id: MigrationId = None,
    as_json: Json = False,
) -> None:
    """Show how many migrations are applied, and where each of the others stands."""
    from zanith.cli import asking

    _end(lambda: asking.status(_dsn(dsn, dsn_file), schema, migration_id=migration_id, as_json=as_json))


@migrate.command()
def history(
    dsn: Dsn = None,
    dsn_file: DsnFile = None,
    schema: Schema = "public",
    migration_id: MigrationId = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="7d", help="Only what was applied, or tried, since then.", show_default=False),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Add steps, risks, refusals and snapshots.")] = False,
    timings: Annotated[bool, typer.Option("--timings", help="Add how long steps took; implies --verbose.")] = False,
    as_json: Json = False,
) -> None:
    """Show what ran, as the five tables tell it."""
    from zanith.cli import asking

    _end(
        lambda: asking.history(
            _dsn(dsn, dsn_file),
            schema,
            migration_id=migration_id,
            since=since,
            verbose=verbose,
            timings=timings,
            as_json=as_json,
        )
    )


@migrate.command()
def diff(
    before: Annotated[str, typer.Argument(metavar="A", help="Migration id, ID@baseline, or live.", show_default=False)],
    after: Annotated[str, typer.Argument(metavar="B", help="The same; what it has become.", show_default=False)],
    dsn: Dsn = None,
    dsn_file: DsnFile = None,
    schema: Schema = "public",
    as_json: Json = False,
    html: Annotated[
        str | None,
        typer.Option("--html", metavar="FILE", help="Draw it instead, as a page for a browser.", show_default=False),
    ] = None,
) -> None:
    """Show what changed in the schema between two migrations, or one and the live database. Prints nothing if nothing did."""
    from zanith.cli import shapes

    _end(lambda: shapes.diff(_dsn(dsn, dsn_file), schema, before, after, as_json=as_json, html=html))


@migrate.command()
def show(
    snapshot: Annotated[
        str | None,
        typer.Argument(metavar="[A]", help="Migration id, ID@baseline, or live, the default.", show_default=False),
    ] = None,
    dsn: Dsn = None,
    dsn_file: DsnFile = None,
    schema: Schema = "public",
    at: Annotated[
        str | None,
        typer.Option(
            "--at", metavar="ID|TIME", help="After this migration, or at this time, in UTC.", show_default=False
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what the schema looked like after a migration, at a time, or is like now."""
    from zanith.cli import shapes

    _end(lambda: shapes.show(_dsn(dsn, dsn_file), schema, snapshot, at=at, as_json=as_json))


@recover.command("list")
def list_artifacts(dsn: Dsn = None, dsn_file: DsnFile = None, schema: Schema = "public", as_json: Json = False) -> None:
    """Show everything that can still be brought back, and until when."""
    from zanith.cli import asking

    _end(lambda: asking.recoverable(_dsn(dsn, dsn_file), schema, as_json=as_json))


@app.command("operator")
def run_operator() -> None:
    """Run the operator, in a cluster."""
    from zanith.controller.operator import run_operator as run

    run()


@app.command("run", add_help_option=False, context_settings={"ignore_unknown_options": True})
def run_attempt(arguments: Annotated[list[str] | None, typer.Argument(hidden=True)] = None) -> None:
    """Run one attempt at a migration: what the operator's Jobs execute."""
    from zanith.execution.entry import main

    raise typer.Exit(main(arguments or []))


@app.callback(invoke_without_command=True)
def version(
    show_version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)] = False,
) -> None:
    if show_version:
        from zanith import __version__

        print(f"zanith {__version__}")
        raise typer.Exit


def run_cli(argv: Sequence[str]) -> int:
    """Run the command line; the exit code."""
    plugin = Path(sys.argv[0]).name == "kubectl-zanith"
    try:
        app(list(argv), prog_name="kubectl zanith" if plugin else "zanith")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    return 0


def _dsn(dsn: str | None, dsn_file: str | None) -> str:
    from zanith.cli.target import choose_dsn

    return choose_dsn(dsn, dsn_file, os.environ)


def _end(command: Callable[[], int]) -> None:
    """Exit with the command's code; an expected error is told in one line."""
    try:
        code = command()
    except ZanithError as error:
        from zanith.cli.outcome import say

        code = say(error)
    raise typer.Exit(code)
