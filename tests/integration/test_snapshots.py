"""`migrate diff` and `migrate show` on real ledgers: what was captured, what differs, and what is said where nothing is."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest

from seeded_ledger import START, seeded
from servers import Database
from zanith.core.graph_json import graph_to_json
from zanith.ledger.writing import Ledger
from zanith.main import main
from zanith.postgres.catalog import read_facts

DAY = timedelta(days=1)
ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MOMENT = re.compile(r"\([0-9]{4}-[0-9 :-]+ UTC\)")

Zanith = Callable[..., str]

SHOP = """
CREATE TABLE users (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email text, name text NOT NULL, age int);
CREATE INDEX users_email ON users (lower(email));
CREATE TABLE orders (id bigint PRIMARY KEY, user_id bigint REFERENCES users, total numeric(10,2) DEFAULT 0);
CREATE TABLE old (id int PRIMARY KEY, note text)
"""

RELEASE = """
ALTER TABLE users ALTER email TYPE varchar(50), DROP age, ADD town text;
ALTER TABLE users RENAME name TO full_name;
ALTER TABLE old RENAME TO archive;
DROP INDEX users_email;
CREATE TABLE payments (id bigint PRIMARY KEY, order_id bigint NOT NULL REFERENCES orders)
"""


@pytest.fixture
def zanith(pg: Database, capsys: pytest.CaptureFixture[str]) -> Zanith:
    """Runs `zanith migrate` on the test's database; what it printed. It has to end as expected."""

    def run(*arguments: str, code: int = 0) -> str:
        ended = main(["migrate", *arguments, "--dsn", pg.dsn])
        captured = capsys.readouterr()
        assert ended == code, captured.err
        return captured.out if code == 0 and captured.out else captured.err

    return run


def capture(database: Database, migration_id: str, at: datetime, *, phase: str = "after") -> None:
    """A snapshot of the database as it is, as the runner writes it, at a time of our choice."""
    with seeded(database) as ledger:
        writer = Ledger(ledger.conn, "public")
        graph = read_facts(ledger.conn, "public").graph
        if phase == "baseline":
            writer.write_baseline(migration_id, graph)
        else:
            writer.write_applied(migration_id, graph)
        ledger.conn.execute(
            "UPDATE _zanith_schema_snapshots SET captured_at = %s WHERE migration_id = %s AND phase = %s",
            [at, migration_id, phase],
        )


@pytest.fixture
def released(pg: Database) -> Database:
    """A database with two migrations behind it, and their snapshots."""
    pg.execute(SHOP)
    capture(pg, "20260328_shop", START, phase="baseline")
    capture(pg, "20260328_shop", START + timedelta(minutes=1))
    pg.execute(RELEASE)
    capture(pg, "20260401_release", START + 4 * DAY)
    return pg


def test_diff_says_what_a_release_changed(released: Database, zanith: Zanith) -> None:
    assert zanith("diff", "20260328_shop", "20260401_release").splitlines() == [
        "~ table public.old: renamed to archive",
        "+ table public.payments (2 columns, 2 constraints)",
        "- column public.users.age: integer",
        "~ column public.users.email: text → character varying(50)",
        # It could have been dropped and added: the last that stayed is email, and both are behind it.
        "+ column public.users.full_name: text, not null",
        "- column public.users.name: text, not null",
        "+ column public.users.town: text",
        "- index public.users.users_email: CREATE INDEX users_email ON public.users USING btree (lower(email))",
    ]


@pytest.mark.parametrize(
    ("one", "other"), [("20260401_release", "live"), ("live", "live"), ("20260328_shop@baseline", "20260328_shop")]
)
def test_what_did_not_change_has_no_difference(released: Database, zanith: Zanith, one: str, other: str) -> None:
    assert zanith("diff", one, other).startswith("zanith: no difference between ")
    assert json.loads(zanith("diff", one, other, "--json"))["changes"] == []


def test_live_is_the_database_as_it_is(released: Database, zanith: Zanith) -> None:
    released.execute("CREATE TYPE \"Mood\x1b[31m\" AS ENUM ('a\nb')")
    assert zanith("diff", "20260401_release", "live") == '+ enum type public."Mood\\x1b[31m": labels "a\\nb"\n'
    assert zanith("diff", "live", "20260401_release") == '- enum type public."Mood\\x1b[31m": labels "a\\nb"\n'


MORE = """
CREATE DOMAIN code AS varchar(3) CHECK (VALUE IN ('a', 'b'));
CREATE SEQUENCE numbers START 100;
CREATE FUNCTION total(int, text) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE MATERIALIZED VIEW counted AS SELECT count(*) AS n FROM orders; CREATE UNIQUE INDEX counted_n ON counted (n);
COMMENT ON FUNCTION total IS 'of it'; COMMENT ON CONSTRAINT users_pkey ON users IS 'who it is'
"""


def test_types_sequences_functions_and_comments_are_told(released: Database, zanith: Zanith) -> None:
    released.execute(MORE)
    assert zanith("diff", "20260401_release", "live").splitlines() == [
        "~ constraint public.users.users_pkey: comment: (none) → 'who it is'",
        "+ view public.counted: materialized, depends on public.orders, 1 index",
        "+ domain public.code: character varying(3), 1 domain check",
        "+ sequence public.numbers: start 100",
        "+ function public.total(integer, text): language sql, comment 'of it'",
    ]
    released.execute("CREATE OR REPLACE FUNCTION total(int, text) RETURNS int LANGUAGE sql AS 'SELECT 2'")
    shown = zanith("show")
    assert "Domain public.code: character varying(3)\n  Checks:\n    code_check: CHECK (" in shown
    assert "\nSequence public.numbers: start 100\n" in shown
    assert "  Indexes:\n    counted_n: CREATE UNIQUE INDEX counted_n ON public.counted USING btree (n)\n" in shown


def test_what_an_older_format_does_not_keep_is_not_compared(
    released: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    released.execute(MORE + "; ALTER TABLE orders ADD note text; DROP MATERIALIZED VIEW counted")
    with released.connect() as conn:
        conn.execute(
            "UPDATE _zanith_schema_snapshots SET graph = jsonb_set(graph, '{formatVersion}', '1') "
            "WHERE migration_id = '20260401_release' AND phase = 'after'"
        )
    assert main(["migrate", "diff", "20260401_release", "live", "--dsn", released.dsn]) == 0
    printed = capsys.readouterr()
    assert printed.out == "+ column public.orders.note: text\n"
    assert printed.err == (
        "zanith: not compared: format 1 does not keep domains, sequences, functions, options of identity columns, "
        "options, indexes and triggers of views, and comments on anything but tables and columns\n"
    )
    assert main(["migrate", "diff", "live", "20260401_release", "--json", "--dsn", released.dsn]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["notCompared"].startswith("format 1 does not keep domains, ")
    assert [c["name"] for c in content["changes"]] == [["public", "orders", "note"]]


def test_the_nearest_ids_are_offered(released: Database, zanith: Zanith) -> None:
    for number in range(5):
        capture(released, f"20260402_add_index_{number}", START + 5 * DAY)
    assert zanith("show", "20260402_add_index", code=20) == (
        "zanith: there is no snapshot of a migration 20260402_add_index; did you mean 20260402_add_index_4 or "
        "20260402_add_index_3 or 20260402_add_index_2?\n"
    )


def test_diff_draws_a_page(released: Database, zanith: Zanith, tmp_path: Path) -> None:
    page = tmp_path / "diff.html"
    assert zanith("diff", "20260328_shop", "live", "--html", str(page)) == f"zanith: written: {page}\n"
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert zanith("diff", "20260328_shop", "live", "--html", "-").startswith("<!DOCTYPE html>")
    nowhere = tmp_path / "missing" / "diff.html"
    assert zanith("diff", "live", "live", "--html", str(nowhere), code=20) == (
        f"zanith: --html: {nowhere} cannot be written: No such file or directory\n"
    )
    assert "give one of them" in zanith("diff", "live", "live", "--html", "-", "--json", code=20)


def test_show_prints_the_shape(released: Database, zanith: Zanith) -> None:
    assert zanith("show", "20260328_shop") == zanith("show", "--at", "20260328_shop")
    assert zanith("show", "20260328_shop").splitlines() == [
        "Schema after 20260328_shop (2026-03-28 10:01 UTC): 3 model(s), 1 relation(s)",
        "",
        "Table public.old",
        "  id    integer  not null",
        "  note  text",
        "  Constraints:",
        "    old_pkey: PRIMARY KEY (id)",
        "",
        "Table public.orders",
        "  id       bigint         not null",
        "  user_id  bigint",
        "  total    numeric(10,2)  default 0",
        "  Constraints:",
        "    orders_pkey: PRIMARY KEY (id)",
        "    orders_user_id_fkey: FOREIGN KEY (user_id) REFERENCES public.users(id)",
        "",
        "Table public.users",
        "  id     bigint   not null, identity always",
        "  email  text",
        "  name   text     not null",
        "  age    integer",
        "  Constraints:",
        "    users_pkey: PRIMARY KEY (id)",
        "  Indexes:",
        "    users_email: CREATE INDEX users_email ON public.users USING btree (lower(email))",
    ]


def test_show_as_json_is_the_stored_graph(released: Database, zanith: Zanith) -> None:
    stored = released.value(
        "SELECT graph FROM _zanith_schema_snapshots WHERE migration_id = '20260401_release' AND phase = 'after'"
    )
    assert json.loads(zanith("show", "20260401_release", "--json")) == stored
    with released.connect() as conn:
        assert json.loads(zanith("show", "--json")) == graph_to_json(read_facts(conn, "public").graph)


@pytest.mark.parametrize(
    ("at", "title"),
    [
        ("2026-03-28 10:00:30", "before 20260328_shop (2026-03-28 10:00 UTC)"),
        ("2026-03-28 10:00 UTC", "before 20260328_shop (2026-03-28 10:00 UTC)"),
        ("2026-03-28T10:01:00Z", "after 20260328_shop (2026-03-28 10:01 UTC)"),
        ("2026-03-28T12:01:00+02:00", "after 20260328_shop (2026-03-28 10:01 UTC)"),
        ("2026-04-01", "after 20260328_shop (2026-03-28 10:01 UTC)"),
        ("20260402", "after 20260401_release (2026-04-01 10:00 UTC)"),
        ("9999-12-31", "after 20260401_release (2026-04-01 10:00 UTC)"),
        ("20260328_shop@baseline", "before 20260328_shop (2026-03-28 10:00 UTC)"),
    ],
)
def test_show_at_a_time_is_the_last_snapshot_before(released: Database, zanith: Zanith, at: str, title: str) -> None:
    assert zanith("show", "--at", at).splitlines()[0].startswith(f"Schema {title}: ")


def test_an_id_comes_before_a_day(released: Database, zanith: Zanith) -> None:
    capture(released, "20260329", START + 9 * DAY)
    capture(released, "live", START + 9 * DAY)
    capture(released, "a@after", START + 9 * DAY)
    assert zanith("show", "--at", "20260329").startswith("Schema after 20260329 (")
    assert zanith("show", "live@after").startswith("Schema after live (")
    assert zanith("show", "live").startswith("Schema live (")
    assert zanith("show", "a@after").startswith("Schema after a@after (")


def test_what_happened_after_the_snapshot_is_told(released: Database, capsys: pytest.CaptureFixture[str]) -> None:
    with seeded(released) as ledger:
        ledger.attempt("20260328_shop", 1, "addColumn", started_at=START + timedelta(minutes=1))
        ledger.attempt(
            "20260330_refused", 1, "dropColumn", status="failed", error="refused — max risk 60", started_at=START + DAY
        )
        ledger.attempt("20260331_half", 1, "addColumn", started_at=START + 2 * DAY)
        ledger.attempt("20260410_later", 1, "addColumn", started_at=START + 9 * DAY)
    assert main(["migrate", "show", "--at", "2026-04-01", "--dsn", released.dsn]) == 0
    assert capsys.readouterr().err == (
        "zanith: 20260331_half worked on the database after this snapshot and up to that time, and left no later one: "
        "it may have looked otherwise\n"
    )
    assert main(["migrate", "show", "--at", "2026-03-29", "--dsn", released.dsn]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("20260401_relaese", "there is no snapshot of a migration 20260401_relaese; did you mean 20260401_release?"),
        ("x", "there is no snapshot of a migration x; the last of 2 is 20260401_release"),
        ("a\nb", "there is no snapshot of a migration a b; the last of 2 is 20260401_release"),
        (
            "20260401_release@baseline",
            "migration 20260401_release has no snapshot baseline; it has 20260401_release; "
            "the baseline is 20260328_shop@baseline",
        ),
        (
            "20260402_begun",
            "migration 20260402_begun is not applied, so it has no snapshot yet; live is the database as it is",
        ),
        ("\udcff", "there is no such snapshot: its name must not contain half of a surrogate pair"),
    ],
)
def test_a_snapshot_that_is_not_there(released: Database, zanith: Zanith, name: str, said: str) -> None:
    with seeded(released) as ledger:
        ledger.attempt("20260402_begun", 1, "addColumn", status="failed", error="no")
    for command in (["show", name], ["show", "--at", name], ["diff", name, "live"], ["diff", "live", name]):
        assert zanith(*command, code=20) == f"zanith: {said}\n"


def test_before_the_first_snapshot_there_is_none(released: Database, zanith: Zanith) -> None:
    assert zanith("show", "--at", "2026-01-01", code=20) == (
        "zanith: no snapshot was taken at or before 2026-01-01 00:00:00+00:00; "
        "the first is 20260328_shop@baseline of 2026-03-28 10:00:00+00:00\n"
    )
    assert "give one of them" in zanith("show", "live", "--at", "2026-01-01", code=20)


def test_an_empty_ledger_has_none_yet(pg: Database, zanith: Zanith) -> None:
    with seeded(pg):
        pass
    assert zanith("show", "--at", "2026-01-01", code=20).endswith("; there is none\n")
    assert zanith("show", "x", code=20) == (
        "zanith: there is no snapshot of a migration x; there is none at all yet, and live is the database as it is\n"
    )


def test_without_the_five_tables_only_live_is_there(pg: Database, zanith: Zanith) -> None:
    said = (
        "zanith: no migration has run here yet: schema public has no ledger (another one? give --schema), "
        "so there is no snapshot; live is the database as it is\n"
    )
    for command in (["show", "x"], ["show", "--at", "2026-01-01"], ["diff", "x", "live"]):
        assert zanith(*command, code=20) == said
    assert zanith("show", "--at", "live").startswith("Schema live (")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"formatVersion": 99}', "snapshot 20260328_shop: a schema snapshot has format 99, this Zanith reads up to "),
        ('{"formatVersion": 0}', "snapshot 20260328_shop does not say its format; "),
        ("[]", "snapshot 20260328_shop does not say its format; "),
        ('{"formatVersion": 1}', "snapshot 20260328_shop: a schema snapshot is not what Zanith writes; "),
    ],
)
def test_a_snapshot_that_cannot_be_read_is_named(released: Database, zanith: Zanith, content: str, said: str) -> None:
    with released.connect() as conn:
        conn.execute(
            "UPDATE _zanith_schema_snapshots SET graph = %s::jsonb WHERE migration_id = '20260328_shop' AND phase = 'after'",
            [content],
        )
    assert zanith("diff", "20260328_shop", "live", code=20).startswith(f"zanith: {said}")


def test_the_observers_rights_are_enough_for_snapshots(released: Database, capsys: pytest.CaptureFixture[str]) -> None:
    dsn = released.create_login()
    released.execute(
        """
        GRANT SELECT ON _zanith_migrations, _zanith_schema_snapshots, _zanith_migration_steps,
                        _zanith_migration_artifacts, _zanith_migration_checkpoints TO ROLE
        """.replace("ROLE", released.roles[-1])
    )
    for command in (
        ["show", "20260328_shop"],
        ["show", "--at", "2026-04-02"],
        ["diff", "20260328_shop", "20260401_release"],
    ):
        assert main(["migrate", *command, "--dsn", dsn]) == 0, capsys.readouterr().err


def test_the_page_about_snapshots_runs_as_it_is_written(pg: Database, tmp_path: Path) -> None:
    blocks = BLOCK.findall((ROOT / "docs" / "snapshots.md").read_text(encoding="utf-8"))
    for sql in (text for language, text in blocks if language == "sql"):
        pg.execute(sql)
    manifests = [text for language, text in blocks if language == "yaml"]
    for number, manifest in enumerate(manifests):
        (tmp_path / f"{number}.yaml").write_text(manifest)
        assert main(["migrate", "up", "-f", str(tmp_path / f"{number}.yaml"), "--dsn", pg.dsn]) == 0
    sessions = [text for language, text in blocks if language == "console"]
    assert (len(manifests), len(sessions)) == (2, 3)
    for session in sessions:
        command, _, expected = session.removeprefix("$ zanith ").partition("\n")
        with redirect_stdout(StringIO()) as shown, redirect_stderr(shown):
            assert main([*command.split(), "--dsn", pg.dsn]) == 0
        assert MOMENT.sub("(then)", shown.getvalue()) == MOMENT.sub("(then)", expected)
    (query,) = (text for language, text in blocks if language == "postgresql")
    assert [(i, c) for i, c, _ in pg.rows(query)] == [
        *(("20260328_add_index", c) for c in ("id", "email", "nick", "legacy_uuid")),
        *(("20260401_orders", c) for c in ("id", "email", "nick", "email_normalized")),
    ]
