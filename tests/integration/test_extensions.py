"""Extensions on a real PostgreSQL: what is said before is what PostgreSQL would say."""

from __future__ import annotations

from typing import Any

import pytest
from psycopg import errors

from operations_harness.driving import Driver, spec_of
from servers import Database
from zanith.core.errors import Refusal, SpecError


def driven(pg: Database, *steps: dict[str, Any], setup: str = "") -> Driver:
    pg.execute(setup)
    return Driver(pg, spec_of(list(steps), gates={"maxRisk": 100, "allowDestructive": True}))


def test_an_undo_is_refused_where_it_is_in_use_by_now(pg: Database) -> None:
    driver = driven(pg, {"createExtension": {"name": "citext"}})
    driver.apply()
    pg.execute("CREATE TABLE t (a citext[])")
    with pytest.raises(Refusal, match="in_use: extension citext is in use"):
        driver.undo(1)
    pg.execute("DROP TABLE t")
    driver.undo(1)
    assert pg.rows("SELECT extname FROM pg_extension") == [("plpgsql",)]


def test_what_came_with_an_extension_goes_with_it(pg: Database) -> None:
    driver = driven(pg, {"createExtension": {"name": "earthdistance", "cascade": True}})
    driver.apply()
    pg.execute("CREATE TABLE t (a cube)")
    with pytest.raises(Refusal, match="extension cube or earthdistance is in use"):
        driver.undo(1)
    pg.execute("DROP TABLE t")
    driver.undo(1)
    assert pg.rows("SELECT extname FROM pg_extension") == [("plpgsql",)]


@pytest.mark.parametrize(
    ("extension", "use", "words"),
    [
        ("citext", "CREATE TABLE t (a citext)", "column public.t.a"),
        ("pg_trgm", "CREATE TABLE t (a text); CREATE INDEX i ON t USING gin (a gin_trgm_ops)", "index public.i"),
        ("cube", "CREATE EXTENSION earthdistance", "extension earthdistance"),
        ("cube", "CREATE FUNCTION f(cube) RETURNS int LANGUAGE sql AS 'SELECT 1'", "function public.f(public.cube)"),
        ("citext", "CREATE VIEW v AS SELECT 'a'::citext AS a", "view public.v"),
        ("cube", "CREATE TABLE t (a text DEFAULT cube(1)::text)", "default value for public.t.a"),
    ],
)
def test_an_extension_in_use_is_refused_as_postgresql_would(pg: Database, extension: str, use: str, words: str) -> None:
    step = {"dropExtension": {"name": extension}}
    driver = driven(pg, step, setup=f"CREATE EXTENSION {extension}; {use}")
    with pytest.raises(SpecError) as caught:
        driver.plan()
    assert f"{words} needs extension {extension}; drop or change it first" in str(caught.value)
    with pytest.raises(errors.DependentObjectsStillExist):
        pg.execute(f"DROP EXTENSION {extension}")


def test_functions_that_call_its_functions_are_said(pg: Database) -> None:
    body = "CREATE FUNCTION alike() RETURNS real LANGUAGE plpgsql AS 'BEGIN RETURN similarity(''a'', ''b''); END'"
    driver = driven(pg, {"dropExtension": {"name": "pg_trgm"}}, setup=f"CREATE EXTENSION pg_trgm; {body}")
    found = [(f.reason.value, f.why) for f in driver.plan().steps[0].findings]
    assert found[1] == (
        "drops_extension_in_use",
        "function public.alike names similarity of extension pg_trgm: calls of it may fail",
    )
    driver.apply()


def test_tables_of_an_extension_go_with_their_rows_and_for_good(pg: Database) -> None:
    setup = "CREATE EXTENSION cube; CREATE TABLE member (id int); ALTER EXTENSION cube ADD TABLE member"
    driver = driven(pg, {"dropExtension": {"name": "cube"}}, setup=setup)
    assert driver.plan().level.value == "destructive"
    driver.apply()
    with pytest.raises(Refusal, match=r"the rows of public\.member went with extension cube"):
        driver.undo(1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "citex"}, r"extension citex is not available on the server \(did you mean citext\?\)"),
        ({"name": "citext", "version": "0.1"}, "extension citext has no version 0.1 on the server, only 1.4"),
        ({"name": "earthdistance"}, "extension earthdistance needs cube; create that first, or set cascade: true"),
        ({"name": "plpgsql"}, "extension plpgsql is installed already"),
    ],
)
def test_what_the_server_cannot_install_is_said(pg: Database, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        driven(pg, {"createExtension": arguments}).plan()
