"""One manifest, one plan: the operator's and the command line's, today's and next year's."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from operations_harness.driving import spec_of
from servers import Database
from zanith.api.spec import MigrationSpec
from zanith.controller.databases import Databases
from zanith.main import main
from zanith.postgres.connecting import ConnectionSettings

NOT_NULL = {"alterColumnNullable": {"table": "users", "column": "email", "nullable": False}}
UNIQUE = {"addUnique": {"table": "users", "columns": ["email"]}}
NARROWER = {"alterColumnType": {"table": "users", "column": "price", "type": "numeric(10,2)"}}


def manifest(folder: Path, *steps: dict[str, Any], name: str = "m", **spec: Any) -> Path:
    document = {
        "apiVersion": "zanith.io/v1alpha1",
        "kind": "ZanithMigration",
        "metadata": {"name": name},
        "spec": {"database": {"secretRef": {"name": "shop-db"}}, "steps": list(steps)} | spec,
    }
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(document))
    return file


def test_the_operator_and_the_command_line_make_the_same_plan_however_the_tables_grow(
    pg: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pg.execute("CREATE TABLE users (id bigint PRIMARY KEY, email text, price numeric(10,4))")
    steps: list[dict[str, Any]] = [
        {"addColumn": {"table": "users", "column": "token", "type": "uuid", "default": "gen_random_uuid()"}},
        NOT_NULL,
        UNIQUE,
        NARROWER,
        {"rawSql": {"sql": "ALTER TABLE users ADD COLUMN a int; SELECT count(*) FROM users"}},
    ]
    file = manifest(tmp_path, *steps, gates={"maxRisk": 100})

    def both() -> tuple[str, dict[str, Any]]:
        main(["migrate", "plan", "-f", str(file), "--json", "--dsn", pg.dsn])
        (told,) = json.loads(capsys.readouterr().out)["migrations"]
        of_operator = planned_by_operator(pg, spec_of(steps, migration_id="m", gates={"maxRisk": 100}))
        assert of_operator == (told["planHash"], told["risk"]["totalScore"], told["risk"]["reasons"])
        return told["planHash"], told

    empty, before = both()
    again, same = both()
    assert (again, same) == (empty, before), "twice the same"
    pg.execute("INSERT INTO users SELECT i, i::text, 1 FROM generate_series(1, 300000) AS i; ANALYZE users")
    grown, after = both()
    assert grown == empty
    statements = [[s["statements"] for s in told["steps"]] for told in (before, after)]
    assert statements[0] == statements[1]
    assert after["steps"][3]["riskScore"] >= before["steps"][3]["riskScore"]
    assert any(f["blockedSeconds"] for f in after["steps"][3]["findings"]), "size changes findings"


def planned_by_operator(pg: Database, spec: MigrationSpec) -> tuple[str, int, list[str]]:
    """Through the operator's own reading of databases, by a role that may read the catalog and nothing else."""
    settings = ConnectionSettings.from_dsn(pg.create_login(), "public")
    databases = Databases(connections=1)
    try:
        plan = asyncio.run(databases.look(settings, spec, lambda record: True)).plan
    finally:
        databases.close()
    assert plan is not None
    return plan.hash, plan.total_score, [reason.value for reason in plan.reasons]


def test_what_stands_around_a_table_is_carried_from_one_pending_migration_to_the_next(
    pg: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A rule needs `old_email`; the table it is on is renamed by the migration before."""
    pg.execute(
        "CREATE TABLE users (id int PRIMARY KEY, old_email text, note text); CREATE TABLE log (note text);"
        "CREATE RULE kept AS ON DELETE TO users DO ALSO INSERT INTO log VALUES (old.old_email)"
    )
    manifest(tmp_path, {"renameTable": {"table": "users", "newName": "people"}}, name="1")
    drop = {"dropColumn": {"table": "people", "column": "old_email"}}
    manifest(tmp_path, drop, name="2", gates={"maxRisk": 100, "allowDestructive": True})
    assert main(["migrate", "plan", "-f", str(tmp_path), "--dsn", pg.dsn]) == 20
    said = capsys.readouterr().err
    assert said.startswith("zanith: 2: spec.steps[0].dropColumn: rule kept on ")
    assert said.endswith("uses public.people.old_email; drop it first\n")
