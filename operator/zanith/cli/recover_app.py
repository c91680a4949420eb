"""The commands of `zanith recover`. As in `app.py`, nothing else: each body imports what it needs."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from zanith.cli.options import DryRun, Dsn, DsnFile, Json, MigrationId, Schema, command_group, end_with, given_dsn

recover = command_group("What was kept when something was taken away.")


class Format(StrEnum):
    """What `recover export` writes: JSON as one array, JSON Lines as an object a line."""

    CSV = "csv"
    JSON = "json"
    JSONL = "jsonl"


Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
Taken = Annotated[
    str,
    typer.Argument(
        metavar="TABLE[.COLUMN]", help="What was taken away, with or without its schema.", show_default=False
    ),
]
ArtifactId = Annotated[
    str | None,
    typer.Option(
        "--id", metavar="ARTIFACT", help="Which of several artifacts. Default: the newest.", show_default=False
    ),
]


@recover.command("list")
def list_artifacts(
    dsn: Dsn = None,
    dsn_file: DsnFile = None,
    schema: Schema = "public",
    migration_id: MigrationId = None,
    everything: Annotated[bool, typer.Option("--all", help="Also what was restored or purged.")] = False,
    as_json: Json = False,
) -> None:
    """Show everything that can still be brought back, what it takes, and until when."""
    from zanith.cli import asking

    end_with(
        lambda: asking.kept(
            given_dsn(dsn, dsn_file), schema, everything=everything, migration_id=migration_id, as_json=as_json
        )
    )


@recover.command()
def inspect(
    taken: Taken,
    dsn: Dsn = None,
    dsn_file: DsnFile = None,
    schema: Schema = "public",
    artifact_id: ArtifactId = None,
    as_json: Json = False,
) -> None:
    """Show all there is to know of an artifact, and what a restore would do. Exit code 20 where its checksum fails."""
    from zanith.cli import inspecting

    end_with(
        lambda: inspecting.inspect(given_dsn(dsn, dsn_file), schema, taken, artifact_id=artifact_id, as_json=as_json)
    )


@recover.command()
def export(
    taken: Taken,
    dsn: Dsn = None,
    dsn_file: DsnFile = None,
    schema: Schema = "public",
    artifact_id: ArtifactId = None,
    form: Annotated[Format, typer.Option("--format", help="How to write it.")] = Format.CSV,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="File to write, or - for standard output.")
    ] = "-",
    dry_run: DryRun = False,
) -> None:
    """Write what an artifact keeps: the rows of a table, or a column with the key of its rows."""
    from zanith.cli import exporting

    end_with(
        lambda: exporting.export(
            given_dsn(dsn, dsn_file),
            schema,
            taken,
            form=form.value,
            output=output,
            artifact_id=artifact_id,
            dry_run=dry_run,
        )
    )


@recover.command("restore-column")
def restore_column(
    column: Annotated[
        str, typer.Argument(metavar="TABLE.COLUMN", help="The column that was taken away.", show_default=False)
    ],
    dsn: Dsn = None,
    dsn_file: DsnFile = None,
    schema: Schema = "public",
    artifact_id: ArtifactId = None,
    dry_run: DryRun = False,
) -> None:
    """Bring a column back, beside the traffic. Ctrl-C stops after the current batch; run it again to go on."""
    from zanith.cli import recovering

    end_with(
        lambda: recovering.bring_back(
            given_dsn(dsn, dsn_file), schema, column, wanted="column", artifact_id=artifact_id, dry_run=dry_run
        )
    )


@recover.command("restore-table")
def restore_table(
    table: Annotated[str, typer.Argument(metavar="TABLE", help="The table that was taken away.", show_default=False)],
    dsn: Dsn = None,
    dsn_file: DsnFile = None,
    schema: Schema = "public",
    artifact_id: ArtifactId = None,
    dry_run: DryRun = False,
) -> None:
    """Bring a table back, with its indexes. Its sequences may be behind by then: `reseed` moves them on."""
    from zanith.cli import recovering

    end_with(
        lambda: recovering.bring_back(
            given_dsn(dsn, dsn_file), schema, table, wanted="table", artifact_id=artifact_id, dry_run=dry_run
        )
    )


@recover.command()
def reseed(
    table: Annotated[str, typer.Argument(metavar="TABLE", help="A table of the database.", show_default=False)],
    dsn: Dsn = None,
    dsn_file: DsnFile = None,
    schema: Schema = "public",
    dry_run: DryRun = False,
) -> None:
    """Put the sequences of a table beyond the greatest value there: after rows were restored or imported."""
    from zanith.cli import recovering

    end_with(lambda: recovering.reseed_table(given_dsn(dsn, dsn_file), schema, table, dry_run=dry_run))


@recover.command()
def purge(
    taken: Taken,
    dsn: Dsn = None,
    dsn_file: DsnFile = None,
    schema: Schema = "public",
    artifact_id: ArtifactId = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Drop what one artifact keeps, for good. Asks first."""
    from zanith.cli import recovering

    end_with(
        lambda: recovering.purge_one(
            given_dsn(dsn, dsn_file), schema, taken, artifact_id=artifact_id, dry_run=dry_run, yes=yes
        )
    )


@recover.command()
def cleanup(
    older_than: Annotated[
        str,
        typer.Option(
            "--older-than", metavar="30d", help="Expired or restored longer ago than that.", show_default=False
        ),
    ],
    dsn: Dsn = None,
    dsn_file: DsnFile = None,
    schema: Schema = "public",
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Drop what expired, or was restored, long ago. Never touches what is live. Asks first."""
    from zanith.cli import recovering

    end_with(
        lambda: recovering.cleanup(given_dsn(dsn, dsn_file), schema, older_than=older_than, dry_run=dry_run, yes=yes)
    )
