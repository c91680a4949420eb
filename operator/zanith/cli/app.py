"""The commands and their options. Nothing else: each body imports what it needs, so `--help` needs neither parser nor
driver, and calls one function that returns an exit code.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from zanith.cli.options import (
    DryRun,
    Dsn,
    DsnFile,
    Files,
    Json,
    MigrationId,
    Schema,
    command_group,
    end_with,
    given_dsn,
)
from zanith.cli.recover_app import recover

app = command_group("History-as-data schema migrations for PostgreSQL, with or without Kubernetes.")
migrate = command_group("Plan and apply migrations on a database, and read what happened to it.")
app.add_typer(migrate, name="migrate")
app.add_typer(recover, name="recover")


@migrate.command()
def plan(
    file: Files,
    dsn: Dsn = None,
    dsn_file: DsnFile = None,
    sql: Annotated[bool, typer.Option("--sql", help="Print the SQL.")] = False,
    as_json: Json = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Add objects, locks, risks and safer ways.")] = False,
    probe: Annotated[
        bool, typer.Option("--probe", help="Ask the data too, as steps do before they run; at a terminal, show keys.")
    ] = False,
) -> None:
    """Show what is pending and what it risks. Changes nothing; exit code 20 where it is refused."""
    from zanith.cli import migrating

    end_with(
        lambda: migrating.plan(file, given_dsn(dsn, dsn_file), sql=sql, as_json=as_json, verbose=verbose, probe=probe)
    )


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

    end_with(lambda: migrating.up(file, given_dsn(dsn, dsn_file), approve=approve))


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

    end_with(lambda: asking.status(given_dsn(dsn, dsn_file), schema, migration_id=migration_id, as_json=as_json))


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

    end_with(
        lambda: asking.history(
            given_dsn(dsn, dsn_file),
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

    end_with(lambda: shapes.diff(given_dsn(dsn, dsn_file), schema, before, after, as_json=as_json, html=html))


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

    end_with(lambda: shapes.show(given_dsn(dsn, dsn_file), schema, snapshot, at=at, as_json=as_json))


@migrate.command()
def down(
    dsn: Dsn = None,
    dsn_file: DsnFile = None,
    schema: Schema = "public",
    steps: Annotated[
        int | None, typer.Option("--steps", metavar="N", min=1, help="How many steps.", show_default=False)
    ] = None,
    migration_id: Annotated[
        str | None,
        typer.Option("--id", metavar="ID", help="Of this migration, not of the last ones.", show_default=False),
    ] = None,
    whole: Annotated[bool, typer.Option("--all", help="All steps of the migration of --id.")] = False,
    dry_run: DryRun = False,
) -> None:
    """Take the last steps back, the last one first, as the ledger knows them. Nothing is touched where one cannot be."""
    from zanith.cli import reverting

    end_with(
        lambda: reverting.down(
            given_dsn(dsn, dsn_file), schema, steps=steps, migration_id=migration_id, whole=whole, dry_run=dry_run
        )
    )


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
