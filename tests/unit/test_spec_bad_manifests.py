"""The strict models and the plan refuse bad manifests by themselves: the command line has no API server before it."""

from __future__ import annotations

import pytest

from e2e.manifest_fixtures import BadManifest, bad_manifests, says
from zanith.api.spec import parse_manifest
from zanith.core.errors import SpecError
from zanith.core.graph import Column, Constraint, DatabaseIdentity, Facts, SchemaGraph, Table
from zanith.planning.planner import plan_migration

ALL = bad_manifests()
USERS = Table(
    "public",
    "users",
    columns=(
        Column("id", "bigint", not_null=True),
        Column("name", "text"),
        Column("email", "text"),
        Column("nickname", "text"),
    ),
    constraints=(Constraint("users_pkey", "primary_key", "PRIMARY KEY (id)", ("id",)),),
)
FACTS = Facts(
    graph=SchemaGraph(tables=(USERS,)),
    database=DatabaseIdentity("7000000000000000000", 5, "shop"),
    server_version=180000,
    default_schema="public",
)


def test_there_are_at_least_thirty() -> None:
    assert len(ALL) >= 30


@pytest.mark.parametrize("bad", ALL, ids=lambda bad: bad.name)
def test_it_says_what_is_expected_of_it(bad: BadManifest) -> None:
    assert bad.api or bad.plan


@pytest.mark.parametrize("bad", [m for m in ALL if m.plan], ids=lambda bad: bad.name)
def test_it_is_refused_and_the_field_is_named(bad: BadManifest) -> None:
    with pytest.raises(SpecError) as refused:
        plan(bad)
    assert says(str(refused.value), bad.plan), refused.value


def plan(bad: BadManifest) -> None:
    _, spec = parse_manifest(bad.document)
    plan_migration(spec, FACTS)
