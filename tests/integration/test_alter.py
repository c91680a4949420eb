"""Changes to what is there, on a real PostgreSQL: under load, killed, stopped, refused, and with what was kept inside."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from operations_harness.driving import Driver, spec_of
from operations_harness.processes import start_runner, wait_until
from servers import Database
from zanith.core.errors import Refusal, SpecError
from zanith.core.sql import raw
from zanith.operations.step_context import StepContext
from zanith.postgres.catalog import read_facts
from zanith.postgres.connecting import connect

LONGEST_WAIT_S = 3.2
"""lockTimeout, 2 s, and the second of grace that brief DDL has for the locks that follow; a little for the machine."""
USERS = """
CREATE TABLE users (id integer PRIMARY KEY, email varchar(40), age integer NOT NULL DEFAULT 7);
INSERT INTO users SELECT n, 'value ' || n, n FROM generate_series(1, 500) n;
CREATE TABLE orders (id integer PRIMARY KEY, user_id integer REFERENCES users);
INSERT INTO orders SELECT n, n FROM generate_series(1, 500) n;
"""
SEEN = USERS + "CREATE VIEW people AS SELECT id, age FROM users;"
BIG = """
CREATE TABLE users (id integer PRIMARY KEY, email text NOT NULL, age integer NOT NULL);
INSERT INTO users SELECT n, 'somebody with a long address ' || n, n FROM generate_series(1, 600000) n;
CREATE INDEX ON users (email); CREATE INDEX ON users (age); ANALYZE users;
"""
REWRITE = {"alterColumnType": {"table": "users", "column": "age", "type": "bigint"}}
REWRITING = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'ALTER TABLE%' AND state = 'active' AND wait_event_type IS DISTINCT FROM 'Lock'"
TYPE = (
    "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'users'::regclass AND attname = 'age'"
)


def driven(pg: Database, *steps: dict[str, Any], setup: str = USERS, **spec: Any) -> Driver:
    pg.execute(setup)
    return Driver(pg, spec_of(list(steps), **{"gates": {"maxRisk": 100, "allowDestructive": True}, **spec}))


@dataclass
class Application:
    """Sessions that read and write all along, each statement timed."""

    statements: tuple[str, ...]
    waits: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    count: int = 0

    @contextmanager
    def running(self, pg: Database) -> Iterator[Application]:
        over = threading.Event()
        threads = [threading.Thread(target=self._work, args=(pg, s, over)) for s in self.statements]
        for thread in threads:
            thread.start()
        wait_until(lambda: self.count > len(threads), "the application is at work")
        try:
            yield self
        finally:
            seen = self.count
            wait_until(lambda: self.count > seen + len(threads), "the application goes on")
            over.set()
            for thread in threads:
                thread.join()

    def _work(self, pg: Database, statement: str, over: threading.Event) -> None:
        with pg.connect() as conn:
            # A prepared statement whose columns change their type fails once: PostgreSQL's own, and documented.
            conn.prepare_threshold = None
            while not over.is_set():
                began = time.monotonic()
                try:
                    conn.execute(statement.encode())
                except Exception as error:  # noqa: BLE001  # whatever an application sees is what the test is about
                    self.errors.append(str(error))
                    return
                self.waits.append(time.monotonic() - began)
                self.count += 1


BY_TABLE = (
    "UPDATE users SET age = age + 1 WHERE id % 50 = 1",
    "SELECT email FROM users",
    "SELECT id FROM orders FOR SHARE",
)
BY_VIEW = (
    "UPDATE people SET age = age + 1 WHERE id % 50 = 1",
    "SELECT age FROM people",
    "INSERT INTO people VALUES (0, 0) ON CONFLICT DO NOTHING",
)


# Under load


@pytest.mark.parametrize(
    ("step", "statements", "since"),
    [
        ({"alterColumnType": {"table": "users", "column": "email", "type": "text"}}, BY_TABLE, 15),
        ({"alterColumnType": {"table": "orders", "column": "user_id", "type": "bigint"}}, BY_TABLE, 15),
        ({"alterColumnDefault": {"table": "users", "column": "age", "default": "8"}}, BY_TABLE, 15),
        ({"renameTable": {"table": "users", "newName": "customers"}}, BY_VIEW, 15),
        ({"renameColumn": {"table": "users", "column": "age", "newName": "years"}}, BY_VIEW, 15),
        ({"addGeneratedColumn": {"table": "users", "column": "low", "type": "text",
                                 "expression": "lower((email)::text)", "storage": "Virtual"}}, BY_TABLE, 18),
        ({"addGeneratedColumn": {"table": "users", "column": "low", "type": "text",
                                 "expression": "lower((email)::text)", "storage": "Stored"}}, BY_TABLE, 15),
    ],
    ids=lambda v: next(iter(v)) if isinstance(v, dict) else "",
)  # fmt: skip
def test_an_application_sees_no_error_and_waits_no_longer_than_the_rules_allow(
    pg: Database, step: dict[str, Any], statements: tuple[str, ...], since: int
) -> None:
    if pg.version < since:
        pytest.skip(f"PostgreSQL {pg.version} cannot do this; {since} can")
    driver = driven(pg, step, setup=SEEN if statements is BY_VIEW else USERS)
    with Application(statements).running(pg) as application:
        assert driver.apply().applied_at is not None
    assert application.errors == []
    assert max(application.waits) < LONGEST_WAIT_S


def test_a_rewrite_waits_for_an_old_reader_without_making_others_queue(pg: Database) -> None:
    driver = driven(pg, REWRITE)
    with pg.connect() as reader, Application(BY_TABLE).running(pg) as application:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM users")
        migrating = threading.Thread(target=driver.apply)
        migrating.start()
        wait_until(lambda: driver.record().attempts, "the step has begun")
        seen = application.count
        wait_until(lambda: application.count > seen + 200, "the application goes on meanwhile")
        assert pg.value(TYPE) == "integer"
        reader.execute("COMMIT")
        migrating.join(60)
    assert application.errors == []
    assert max(application.waits) < LONGEST_WAIT_S
    assert pg.value(TYPE) == "bigint"


def test_a_real_rewrite_holds_readers_up_and_loses_nobody(pg18: Database) -> None:
    driver = driven(pg18, REWRITE, setup=BIG)
    reading = ("SELECT max(age) FROM users WHERE id < 1000", "UPDATE users SET email = 'x' WHERE id = 600000")
    with Application(reading).running(pg18) as application:
        record = driver.apply()
    assert application.errors == []
    assert record.applied_at is not None
    assert pg18.value(TYPE) == "bigint"
    assert pg18.value("SELECT count(*) FROM users WHERE age = id") == 600_000


# Stopped and killed


def test_a_rewrite_that_is_stopped_leaves_the_table_as_it_was(pg18: Database, tmp_path: Path) -> None:
    driver = driven(pg18, REWRITE, setup=BIG)
    file = "SELECT relfilenode FROM pg_class WHERE relname = 'users'"
    before = pg18.value(file)
    process = start_runner(driver, tmp_path)
    wait_until(lambda: pg18.rows(REWRITING), "the table is being rewritten")
    began = time.monotonic()
    process.terminate()
    _, said = process.communicate(timeout=20)
    assert process.returncode == 30, said
    assert time.monotonic() - began < 5
    assert (_columns(pg18)["age"], pg18.value(file)) == ("integer", before)
    assert driver.record().attempts[-1].status == "interrupted"
    assert driver.apply().applied_at is not None
    assert _columns(pg18)["age"] == "bigint"


def test_a_rewrite_whose_runner_is_killed_is_done_once_by_the_next(pg18: Database, tmp_path: Path) -> None:
    driver = driven(pg18, REWRITE, setup=BIG)
    first = start_runner(driver, tmp_path, attempt=1)
    ((pid,),) = wait_until(lambda: pg18.rows(REWRITING), "the table is being rewritten")
    first.send_signal(signal.SIGKILL)
    first.communicate()
    second = start_runner(driver, tmp_path, attempt=2)
    _, said = second.communicate(timeout=90)
    assert second.returncode == 0, said
    assert pg18.rows(f"SELECT FROM pg_stat_activity WHERE pid = {pid}") == []
    assert pg18.value("SELECT count(*) FROM users WHERE age = id") == 600_000
    assert pg18.rows("SELECT status FROM _zanith_migration_steps ORDER BY started_at") == [("interrupted",), ("done",)]


EVERY_KIND: list[dict[str, Any]] = [
    {"alterColumnDefault": {"table": "users", "column": "age", "drop": True}},
    {"alterColumnType": {"table": "orders", "column": "user_id", "type": "bigint"}},
    {"addGeneratedColumn": {"table": "users", "column": "low", "type": "text",
                            "expression": "lower((email)::text)", "storage": "Stored"}},
    {"renameColumn": {"table": "users", "column": "age", "newName": "years"}},
    {"renameTable": {"table": "users", "newName": "customers"}},
    {"alterColumnType": {"table": "customers", "column": "years", "type": "numeric(10,0)"}},
]  # fmt: skip


@pytest.mark.parametrize("at", range(1, 31))
def test_a_runner_killed_at_any_event_reaches_the_same_end(pg18: Database, tmp_path: Path, at: int) -> None:
    driver = driven(pg18, *EVERY_KIND, setup=USERS)
    with connect(driver.settings, application_name="test") as conn:
        facts = read_facts(conn, "public")
    for index, step in enumerate(driver.spec.steps, start=1):
        ctx = StepContext(facts, driver.spec.migration_id, index, facts.graph)
        facts = facts.after(step.operation.project(ctx), step.operation.moves(ctx))
    process = start_runner(driver, tmp_path, kill_at=at)
    _, said = process.communicate(timeout=60)
    assert process.returncode in (0, -signal.SIGKILL), said
    assert driver.apply().applied_at is not None
    assert driver.graph() == facts.graph
    done = "SELECT step_index, count(*) FROM _zanith_migration_steps WHERE status = 'done' GROUP BY 1 ORDER BY 1"
    assert pg18.rows(done) == [(index, 1) for index in range(1, len(EVERY_KIND) + 1)]
    for index in range(len(EVERY_KIND), 0, -1):
        driver.undo(index)
    assert _columns(pg18) == {"id": "integer", "email": "character varying(40)", "age": "integer"}


def _columns(pg: Database) -> dict[str, str]:
    query = """SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
               WHERE attrelid = 'users'::regclass AND attnum > 0 AND NOT attisdropped"""
    return dict(pg.rows(query))


# Refused


@pytest.mark.parametrize(
    "step",
    [REWRITE, {"addGeneratedColumn": {"table": "users", "column": "low", "type": "text",
                                      "expression": "lower((email)::text)", "storage": "Stored"}}],
    ids=lambda s: next(iter(s)),
)  # fmt: skip
def test_a_rewrite_of_a_table_that_is_big_is_refused_unless_95_is_allowed(pg: Database, step: dict[str, Any]) -> None:
    pg.execute(USERS)
    driver = Driver(pg, spec_of([step]))
    assert driver.plan().level.value in ("high", "medium")
    small = driver.plan().hash
    # What a table of fifty million rows looks like to the catalog.
    pg.execute("UPDATE pg_class SET reltuples = 5e7 WHERE relname = 'users'")
    assert driver.plan().level.value == "blocked"
    assert driver.plan().hash == small
    with pytest.raises(Refusal, match="refused — max risk 60"):
        driver.apply()
    driver = Driver(pg, spec_of([step], gates={"maxRisk": 95}))
    assert driver.apply().applied_at is not None


def test_values_that_do_not_fit_refuse_the_step_before_anything_happens(pg: Database) -> None:
    driver = driven(pg, {"alterColumnType": {"table": "users", "column": "email", "type": "varchar(8)"}})
    with pytest.raises(Refusal, match=r"misfits: column public.users.email has values that do not survive as"):
        driver.apply()
    assert _columns(pg)["email"] == "character varying(40)"
    pg.execute("UPDATE users SET email = left(email, 8)")
    driver.spec = driver.spec.model_copy()
    pg.execute("TRUNCATE _zanith_migration_steps")
    assert driver.apply().applied_at is not None


def test_a_type_change_is_taken_back_only_while_every_value_fits(pg: Database) -> None:
    driver = driven(pg, REWRITE)
    driver.apply()
    pg.execute("UPDATE users SET age = 3000000000 WHERE id = 1")
    with pytest.raises(Refusal, match="has values by now that integer cannot hold"):
        driver.undo(1)
    pg.execute("UPDATE users SET age = 3 WHERE id = 1")
    driver.undo(1)
    assert pg.value(TYPE) == "integer"


@pytest.mark.parametrize(
    "expression", ["now()::text", "concat(email, age)", "current_setting('x')", "gen_random_uuid()::text"]
)
def test_functions_that_are_never_immutable_are_refused_when_planning(pg: Database, expression: str) -> None:
    step = {"table": "users", "column": "low", "type": "text", "expression": expression, "storage": "Stored"}
    with pytest.raises(SpecError, match="which is not IMMUTABLE"):
        driven(pg, {"addGeneratedColumn": step}).plan()
    with pg.connect() as conn, pytest.raises(Exception, match="generation expression is not immutable"):
        conn.execute(raw(f"ALTER TABLE users ADD low text GENERATED ALWAYS AS ({expression}) STORED"))


def test_a_function_immutable_for_other_types_only_is_refused_before_anything_is_begun(pg: Database) -> None:
    """`date_trunc` of a timestamp is IMMUTABLE, of a timestamptz it is not: only PostgreSQL knows which is meant."""
    setup = "CREATE TABLE users (id integer PRIMARY KEY, at timestamptz)"
    step = {
        "table": "users",
        "column": "day",
        "type": "timestamptz",
        "expression": "date_trunc('day', at)",
        "storage": "Stored",
    }
    driver = driven(pg, {"addGeneratedColumn": step}, setup=setup)
    with pytest.raises(SpecError, match="generation expression is not immutable"):
        driver.apply()
    assert "day" not in _columns(pg)
    assert driver.record().frozen is None


@pytest.mark.parametrize(
    ("made", "taken"),
    [("CREATE SEQUENCE taken", "relation"), ("CREATE TYPE taken AS (a integer)", "relation"),
     ("CREATE TYPE taken AS ENUM ('a')", "type"), ("CREATE VIEW taken AS SELECT 1", "relation"),
     ("CREATE MATERIALIZED VIEW taken AS SELECT 1 AS one", "relation"), ("CREATE INDEX taken ON users (age)", "relation"),
     ("ALTER TABLE users ADD CONSTRAINT taken UNIQUE (age)", "relation"),
     ("ALTER TABLE users ADD _zanith_dropped_x text; CREATE INDEX taken ON users (_zanith_dropped_x)", "relation")],
    ids=lambda v: v.split(" taken", maxsplit=1)[0] if " taken" in v else "",
)  # fmt: skip
def test_a_name_that_anything_has_is_refused(pg: Database, made: str, taken: str) -> None:
    driver = driven(pg, {"renameTable": {"table": "users", "newName": "taken"}}, setup=USERS + made)
    with pytest.raises(SpecError, match=f"a {taken} named public.taken exists already"):
        driver.plan()


REFUSED_BY_POSTGRESQL: list[tuple[str, str]] = [
    ("CREATE VIEW v AS SELECT age FROM users", "view public.v uses public.users.age"),
    ("CREATE MATERIALIZED VIEW v AS SELECT age + 1 AS x FROM users", "view public.v uses public.users.age"),
    ("ALTER TABLE users ADD g integer GENERATED ALWAYS AS (age + 1) STORED", "generated column public.users.g"),
    ("CREATE POLICY p ON users USING (age > 0)", "policy p of public.users"),
    (
        "CREATE POLICY p ON orders USING (EXISTS (SELECT 1 FROM users u WHERE u.age = orders.id))",
        "policy p of public.orders",
    ),
    (
        "CREATE TRIGGER t BEFORE UPDATE OF age ON users FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "trigger t of public.users",
    ),
    (
        "CREATE TRIGGER t BEFORE UPDATE ON users FOR EACH ROW WHEN (new.age > 0) "
        "EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "trigger t of public.users",
    ),
    ("CREATE FUNCTION f() RETURNS integer BEGIN ATOMIC SELECT max(age) FROM users; END", "function public.f"),
    ("CREATE RULE r AS ON UPDATE TO users WHERE new.age < 0 DO INSTEAD NOTHING", "rule r on public.users"),
    ("CREATE PUBLICATION p FOR TABLE users WHERE (age > 0)", "publication p chooses rows by public.users.age"),
    (
        "ALTER TABLE users ADD UNIQUE (age); CREATE TABLE kids (of integer REFERENCES users (age))",
        "foreign key kids_of_fkey",
    ),
]


@pytest.mark.parametrize(("made", "words"), REFUSED_BY_POSTGRESQL, ids=lambda v: " ".join(v.split()[:5]))
def test_whatever_postgresql_refuses_a_change_of_type_for_is_said_by_name(pg: Database, made: str, words: str) -> None:
    setup = USERS + made
    step = {"table": "users", "column": "age", "type": "uuid", "using": "gen_random_uuid()"}
    driver = driven(pg, {"alterColumnDefault": {"table": "users", "column": "age", "drop": True}},
                    {"alterColumnType": step}, setup=setup)  # fmt: skip
    pg.execute("ALTER TABLE users ALTER age DROP DEFAULT")
    with pg.connect() as conn, pytest.raises(Exception, match=r"type|operator"):
        conn.execute("ALTER TABLE users ALTER age TYPE uuid USING gen_random_uuid()")
    pg.execute("ALTER TABLE users ALTER age SET DEFAULT 7")
    with pytest.raises(SpecError) as refused:
        driver.plan()
    assert any(words in problem for problem in refused.value.problems), refused.value.problems


# What was kept inside a table


def test_a_soft_dropped_column_is_recovered_from_where_its_table_is_now(pg: Database) -> None:
    driver = driven(
        pg,
        {"softDropColumn": {"table": "users", "column": "email"}},
        {"renameTable": {"table": "users", "newName": "my \"people\""}},
        {"addIndex": {"table": "my \"people\"", "columns": ["age"]}},
    )  # fmt: skip
    # An artifact of an earlier table of this name, which was renamed or dropped, is not in the one that is renamed now.
    session = driver.session()
    with session.conn:
        session.ledger.create_tables()
    pg.execute(
        "INSERT INTO _zanith_migration_artifacts SELECT 'old', 'old', 'soft_drop_column', 'public', 'users', 'email', "
        "'_zanith_dropped_email_old', 1, NULL, 'ALTER TABLE public.users RENAME COLUMN x TO email'"
    )
    driver.apply()
    artifacts = "SELECT source_table, recovery_sql FROM _zanith_migration_artifacts ORDER BY id DESC"
    (_, kept_sql), (moved, recovery_sql) = pg.rows(artifacts)
    assert (moved, kept_sql) == ('my "people"', "ALTER TABLE public.users RENAME COLUMN x TO email")
    driver.undo(3)
    driver.undo(2)
    assert pg.rows(artifacts)[1][0] == "users"
    driver.apply()
    pg.execute(recovery_sql)
    assert pg.value('SELECT count(email) FROM "my ""people"""') == 500


def test_probes_of_a_renamed_table_are_asked_once_it_has_the_name(pg: Database) -> None:
    report: Callable[[Any], None] = lambda progress: None  # noqa: E731  # a report that keeps nothing
    driver = driven(
        pg,
        {"renameTable": {"table": "orders", "newName": "sales"}},
        {"alterColumnNullable": {"table": "sales", "column": "user_id", "nullable": False}},
        {"alterColumnType": {"table": "sales", "column": "user_id", "type": "smallint"}},
    )
    assert driver.apply(report).applied_at is not None
