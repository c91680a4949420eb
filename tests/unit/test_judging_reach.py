"""rawSql: what reaches further than its text says. Foreign keys, heirs, new triggers, sequences, extensions, partitions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from unit.builders import CODE, ID, MIGRATION, foreign_key, graph, plan, primary_key, unique
from unit.builders import facts as some_facts
from zanith.core.graph import Column, Constraint, Facts, Index, Table, TableSize, Trigger, View
from zanith.core.graph_objects import Sequence
from zanith.core.identifiers import TableKey
from zanith.core.risk import ReasonCode, RiskLevel
from zanith.core.statement import Lock, Work
from zanith.operations.judging.verdict import Scope
from zanith.operations.raw_sql import RawSql
from zanith.operations.step_context import StepContext

PARENT, CHILD, THIRD = (TableKey("public", name) for name in ("parent", "child", "third"))
CODE_COLUMN = Column("code", "integer", not_null=True)
WITH_KEY = Table("public", "parent", (ID, CODE_COLUMN, Column("v", "text")), (primary_key("id", table="parent"),))
SMALL, LARGE = TableSize(10, 8192), TableSize(400_000, 20 << 20)


def child(actions: str, *, table: str = "child", parent: TableKey = PARENT, column: str = "parent_id") -> Table:
    found = foreign_key(f"{table}_fkey", column, parent)
    found = replace(found, definition=f"{found.definition} {actions}".strip())
    columns = (ID, Column(column, "bigint"), Column("v", "text"))
    return Table("public", table, columns, (primary_key("id", table=table), found))


def known(*tables: Table, size: TableSize = SMALL, **changes: Any) -> Facts:
    found = some_facts(*tables, sizes={t.key: size for t in tables})
    return replace(found, **changes)


def level(sql: str, of: Facts) -> RiskLevel:
    return plan({"rawSql": {"sql": sql}}, of=of).level


def found(sql: str, of: Facts) -> list[str]:
    return [f"{f.level.value}: {f.why}" for f in RawSql(sql=sql).findings(StepContext(of, MIGRATION, 1, of.graph))]


def says(sql: str, of: Facts, words: str) -> bool:
    return any(words in line for line in found(sql, of))


CHANGES_A_KEY = (
    "UPDATE parent SET id = 2 WHERE id = 1",
    "UPDATE parent SET (v, id) = ('a', 2) WHERE id = 1",
    "INSERT INTO parent VALUES (1, 1, 'a') ON CONFLICT (id) DO UPDATE SET id = 2",
    "MERGE INTO parent USING (SELECT 1 AS n) AS s ON parent.id = 1 WHEN MATCHED THEN UPDATE SET id = 2",
    "WITH a AS (UPDATE parent SET id = 2 WHERE id = 1 RETURNING id) SELECT id FROM a",
)


@pytest.mark.parametrize("sql", CHANGES_A_KEY)
@pytest.mark.parametrize(
    ("actions", "expected"),
    [
        ("ON UPDATE SET NULL", RiskLevel.DESTRUCTIVE),
        ("ON UPDATE SET DEFAULT", RiskLevel.DESTRUCTIVE),
        ("ON UPDATE CASCADE", RiskLevel.HIGH),
    ],
)
def test_a_key_that_changes_is_carried_into_the_tables_that_reference_it(
    sql: str, actions: str, expected: RiskLevel
) -> None:
    of = known(WITH_KEY, child(actions))
    assert level(sql, of) is expected
    (statement,) = RawSql(sql=sql).statements(StepContext(of, MIGRATION, 1, of.graph))
    assert CHILD in statement.on
    assert statement.work is Work.SCAN, "rows that reference it are looked for"


@pytest.mark.parametrize(
    "sql", ["UPDATE parent SET v = 'a' WHERE id = 1", "INSERT INTO parent VALUES (1, 1, 'a') ON CONFLICT DO NOTHING"]
)
def test_what_leaves_keys_as_they_are_carries_nothing(sql: str) -> None:
    of = known(WITH_KEY, child("ON UPDATE SET NULL ON DELETE CASCADE"))
    assert level(sql, of) is RiskLevel.LOW


def test_a_foreign_key_without_an_action_is_looked_up_and_carries_nothing() -> None:
    assert level(CHANGES_A_KEY[0], known(WITH_KEY, child(""))) is RiskLevel.LOW


def test_what_is_carried_goes_on_to_tables_that_reference_the_child() -> None:
    middle = child("ON UPDATE CASCADE")
    middle = replace(middle, constraints=(*middle.constraints, unique("parent_id", name="child_key")))
    last = child("ON UPDATE SET NULL", table="third", parent=CHILD, column="of")
    last = replace(
        last,
        constraints=tuple(
            replace(c, definition=c.definition.replace("(id)", "(parent_id)")) if c.references else c
            for c in last.constraints
        ),
    )
    of = known(WITH_KEY, middle, last)
    assert level(CHANGES_A_KEY[0], of) is RiskLevel.DESTRUCTIVE
    assert says(CHANGES_A_KEY[0], of, "public.third.of of every row that references what changes in public.parent")


@pytest.mark.parametrize(
    ("actions", "words"),
    [
        ("ON DELETE CASCADE", "rows of public.child are deleted with those of public.parent"),
        ("ON DELETE SET NULL", "public.child.parent_id of every row"),
        ("ON DELETE SET NULL (parent_id)", "public.child.parent_id of every row"),
    ],
)
@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM parent WHERE id = 1",
        "MERGE INTO parent USING (SELECT 1 AS n) AS s ON parent.id = 1 WHEN MATCHED THEN DELETE",
    ],
)
def test_deleted_rows_say_what_goes_with_them(sql: str, actions: str, words: str) -> None:
    assert says(sql, known(WITH_KEY, child(actions)), f"destructive: {words}")


def test_rows_of_a_partition_are_referenced_through_its_parent_too() -> None:
    whole = replace(WITH_KEY, partition_key="RANGE (id)")
    part = replace(WITH_KEY, name="part", partition_of=PARENT, partition_bound="FOR VALUES FROM (1) TO (9)")
    of = known(whole, part, child("ON UPDATE SET NULL"))
    assert level("UPDATE part SET id = 2 WHERE id = 1", of) is RiskLevel.DESTRUCTIVE
    of = known(whole, part, child("ON UPDATE SET NULL", parent=part.key))
    assert level("UPDATE parent SET id = 2 WHERE id = 1", of) is RiskLevel.DESTRUCTIVE


def test_a_foreign_key_that_references_its_own_table_ends() -> None:
    own = child("ON UPDATE CASCADE ON DELETE CASCADE", table="parent")
    assert level("UPDATE parent SET id = 2 WHERE id = 1", known(own)) is RiskLevel.HIGH
    assert says("DELETE FROM parent WHERE id = 1", known(own), "rows of public.parent are deleted with those of")


HEIR = Table("public", "heir", WITH_KEY.columns)
INHERITED = {PARENT: (TableKey("public", "heir"),)}


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("UPDATE parent SET v = 'a' WHERE id = 1", RiskLevel.HIGH),
        ("UPDATE ONLY parent SET v = 'a' WHERE id = 1", RiskLevel.LOW),
        ("SELECT 1 FROM parent WHERE id = 1 FOR UPDATE", RiskLevel.HIGH),
        ("SELECT 1 FROM ONLY parent WHERE id = 1 FOR UPDATE", RiskLevel.LOW),
    ],
)
def test_a_key_does_not_bound_a_table_that_others_inherit_from(sql: str, expected: RiskLevel) -> None:
    of = known(WITH_KEY, HEIR, inheritors=INHERITED)
    of = replace(of, sizes={PARENT: SMALL, HEIR.key: LARGE})
    assert level(sql, of) is expected


def test_heirs_are_found_however_far_and_locked() -> None:
    last = TableKey("public", "last")
    of = known(
        WITH_KEY, HEIR, replace(HEIR, name="last"), inheritors={PARENT: (HEIR.key,), HEIR.key: (last,), last: (last,)}
    )
    assert Scope(of).heirs(PARENT) == [HEIR.key, last]
    (statement,) = RawSql(sql="UPDATE parent SET v = 'a'").statements(StepContext(of, MIGRATION, 1, of.graph))
    assert {HEIR.key, last} <= set(statement.on)


@pytest.mark.parametrize(
    ("sql", "locked"),
    [
        ("SELECT 1 FROM (SELECT id - 1 AS id FROM parent) s WHERE id = 1 FOR UPDATE", True),
        ("SELECT 1 FROM (SELECT id - 1 AS id FROM parent) s WHERE id = 1 FOR UPDATE OF s", True),
        ("SELECT 1 FROM (SELECT id - 1 AS id FROM parent) parent WHERE parent.id = 1 FOR UPDATE", True),
        ("SELECT 1 FROM parent AS p (code, id) WHERE id = 1 FOR UPDATE", True),
        ("SELECT 1 FROM (parent JOIN child ON true) AS j (a, id) WHERE id = 1 FOR UPDATE", True),
        ("SELECT 1 FROM parent, (SELECT 1 AS n FROM child) s WHERE parent.id = 1 FOR UPDATE OF parent", False),
        ("SELECT 1 FROM parent JOIN (SELECT 1) AS s ON true WHERE parent.id = 1 FOR UPDATE OF parent", False),
        ("SELECT 1 FROM parent WHERE id = 1 FOR UPDATE", False),
    ],
)
def test_rows_are_bounded_by_columns_of_their_own_table_only(sql: str, locked: bool) -> None:
    of = known(WITH_KEY, child(""), size=LARGE)
    reasons = {f.reason for f in RawSql(sql=sql).findings(StepContext(of, MIGRATION, 1, of.graph))}
    assert (ReasonCode.LOCKS_ROWS in reasons) is locked


def test_a_subquery_needs_no_name() -> None:
    of = known(WITH_KEY, size=LARGE, code=CODE)
    assert says(
        "SELECT 1 FROM (SELECT id FROM parent) WHERE id = 1 FOR UPDATE", of, "rows of public.parent stay locked"
    )


MAKES = "CREATE TRIGGER tr AFTER UPDATE ON parent FOR EACH ROW EXECUTE FUNCTION f()"


@pytest.mark.parametrize(
    "sql",
    [
        f"{MAKES}; UPDATE parent SET v = 'a' WHERE id = 1",
        f"{MAKES}; ALTER TABLE parent RENAME TO other; UPDATE other SET v = 'a' WHERE id = 1",
        "CREATE TRIGGER tr AFTER UPDATE ON child FOR EACH ROW EXECUTE FUNCTION f(); UPDATE parent SET v = 'a' WHERE id = 1",
        "ALTER TABLE parent ENABLE TRIGGER ALL; UPDATE parent SET v = 'a' WHERE id = 1",
    ],
)
def test_a_trigger_that_the_step_makes_and_fires_is_opaque(sql: str) -> None:
    of = known(
        replace(WITH_KEY, triggers=(Trigger("off", "CREATE TRIGGER", enabled=False),)), child("ON UPDATE CASCADE")
    )
    assert says(sql, of, "that this step makes fire with it, and their code cannot be seen into")
    assert level(sql, of).score >= RiskLevel.HIGH.score


def test_a_trigger_on_another_table_does_not_fire() -> None:
    sql = f"{MAKES}; ALTER TABLE child ADD COLUMN a text; UPDATE child SET v = 'a' WHERE id = 1"
    assert not says(sql, known(WITH_KEY, child("")), "that this step makes")


OWNED = {PARENT: ("parent_id_seq",)}
DRAWN = replace(WITH_KEY, columns=(replace(ID, default="nextval('drawn'::regclass)"), CODE_COLUMN))


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT setval('parent_id_seq', 1)", RiskLevel.HIGH),
        ("SELECT setval('public.parent_id_seq'::regclass, 1)", RiskLevel.HIGH),
        ("SELECT setval('drawn', 1)", RiskLevel.HIGH),
        ("SELECT setval('free', 1)", RiskLevel.MEDIUM),
        ("SELECT setval('not a name', 1)", RiskLevel.HIGH),
        ("SELECT setval('a, b', 1)", RiskLevel.HIGH),
        ("SELECT setval(pg_get_serial_sequence('parent', 'id'), 1)", RiskLevel.HIGH),
        ("INSERT INTO child VALUES (setval('parent_id_seq', 1), 1, 'a')", RiskLevel.HIGH),
        ("ALTER SEQUENCE parent_id_seq RESTART", RiskLevel.HIGH),
        ("ALTER SEQUENCE free RESTART WITH 1", RiskLevel.MEDIUM),
        ("ALTER SEQUENCE free INCREMENT 2", RiskLevel.LOW),
        ("ALTER TABLE parent ALTER COLUMN id RESTART WITH 1", RiskLevel.HIGH),
        ("ALTER TABLE parent ALTER COLUMN id SET GENERATED ALWAYS", RiskLevel.LOW),
    ],
)
def test_a_sequence_that_is_told_where_to_go_on(sql: str, expected: RiskLevel) -> None:
    of = known(DRAWN, child(""), sequences=OWNED)
    of = replace(of, graph=replace(of.graph, sequences=tuple(Sequence("public", n) for n in ("drawn", "free"))))
    of = replace(of, code=replace(CODE, builtin_functions=CODE.builtin_functions | {"pg_get_serial_sequence"}))
    assert level(sql, of) is expected
    if expected is not RiskLevel.LOW:
        assert says(sql, of, "goes on at another number")


def test_opaque_code_hides_no_setval_and_a_view_that_calls_it_is_opaque() -> None:
    of = known(WITH_KEY, sequences=OWNED)
    assert says("SELECT setval('parent_id_seq', 1), unknown()", of, "public.parent_id_seq goes on")
    view = View("public", "resets", materialized=False, definition_hash="h")
    text = "SELECT setval('parent_id_seq'::regclass, 1) AS setval"
    of = replace(of, graph=replace(of.graph, views=(view,)))
    of = replace(of, code=replace(CODE, views={TableKey("public", "resets"): text}))
    assert says("SELECT * FROM resets", of, "function setval() in view public.resets")


@pytest.mark.parametrize(
    "call",
    [
        "table_to_xml('ev'::regclass, true, false, '')",
        "query_to_xml_and_xmlschema('SELECT 1', true, false, '')",
        "pg_catalog.schema_to_xml('public', true, false, '')",
        "database_to_xml(true, false, '')",
        "cursor_to_xml('c', 1, true, false, '')",
        "ts_stat('SELECT a FROM b')",
        "lo_get(1)",
        "pg_read_file('a')",
        "pg_ls_dir('a')",
    ],
)
def test_what_runs_a_query_that_is_handed_to_it_is_not_trusted(call: str) -> None:
    name = call.partition("(")[0].removeprefix("pg_catalog.")
    of = known(WITH_KEY, code=replace(CODE, builtin_functions=CODE.builtin_functions | {name, "lower", "log"}))
    assert level(f"SELECT {call}", of) is RiskLevel.HIGH
    assert level("SELECT lower('a'), log(2)", of) is RiskLevel.LOW


def test_tables_of_an_extension_go_with_it() -> None:
    table = TableKey("public", "words")
    of = known(WITH_KEY, extension_tables={table: "dictionary", TableKey("public", "z"): "other"})
    assert level("DROP EXTENSION dictionary", of) is RiskLevel.DESTRUCTIVE
    assert says("DROP EXTENSION a, dictionary", of, "destructive: table public.words belongs to extension dictionary")
    assert level("DROP EXTENSION a", of) is RiskLevel.HIGH


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("ALTER ROLE app NOLOGIN", RiskLevel.HIGH),
        ("ALTER ROLE app CONNECTION LIMIT 0", RiskLevel.HIGH),
        ("ALTER ROLE app VALID UNTIL '2020-01-01'", RiskLevel.HIGH),
        ("ALTER ROLE app LOGIN", RiskLevel.MEDIUM),
        ("CREATE ROLE app NOLOGIN", RiskLevel.MEDIUM),
        ("REVOKE ALL ON parent FROM app", RiskLevel.HIGH),
        ("REVOKE SELECT ON ALL TABLES IN SCHEMA public FROM app", RiskLevel.HIGH),
        ("REVOKE USAGE ON SCHEMA public FROM app", RiskLevel.HIGH),
        ("REVOKE CONNECT ON DATABASE shop FROM app", RiskLevel.HIGH),
        ("REVOKE SELECT ON parent FROM app", RiskLevel.MEDIUM),
        ("GRANT ALL ON parent TO app", RiskLevel.LOW),
        ("DROP VIEW shown", RiskLevel.HIGH),
        ("DROP SEQUENCE numbers", RiskLevel.MEDIUM),
    ],
)
def test_what_makes_others_fail(sql: str, expected: RiskLevel) -> None:
    view = View("public", "shown", materialized=False, definition_hash="h")
    of = known(WITH_KEY)
    assert level(sql, replace(of, graph=replace(of.graph, views=(view,)))) is expected


@pytest.mark.parametrize(
    ("body", "refused"),
    [
        ("BEGIN COMMIT; END", True),
        ("BEGIN IF true THEN rollback; END IF; END", True),
        ("BEGIN RAISE NOTICE 'COMMIT'; -- ROLLBACK\n END", False),
        ("BEGIN RAISE NOTICE E'it\\'s COMMIT'; /* ROLLBACK */ END", False),
        ('BEGIN UPDATE t SET "commit" = $a$ ROLLBACK $a$; END', False),
    ],
)
def test_a_body_that_ends_the_transaction_is_refused(body: str, refused: bool) -> None:
    of = known(WITH_KEY)
    problems = list(RawSql(sql=f"DO $do$ {body} $do$").problems(StepContext(of, MIGRATION, 1, of.graph)))
    assert any("transactions are the runner's" in p for p in problems) is refused


@pytest.mark.parametrize(
    ("index", "work"),
    [
        ("CREATE INDEX i ON public.parent USING btree (name)", Work.CATALOG),
        ("CREATE INDEX i ON public.parent USING btree (lower((name)::text))", Work.BUILD),
        ("CREATE INDEX i ON public.parent USING btree (id) WHERE ((name)::text <> ''::text)", Work.BUILD),
    ],
)
@pytest.mark.parametrize("partitioned", [False, True])
def test_indexes_of_expressions_and_conditions_are_built_anew_by_a_wider_type(
    index: str, work: Work, partitioned: bool
) -> None:
    table = Table("public", "parent", (ID, Column("name", "character varying(10)")))
    indexed = replace(table, indexes=(Index("i", index, ("name",)),))
    tables = [indexed]
    if partitioned:
        tables = [replace(table, partition_key="RANGE (id)"), replace(indexed, name="part", partition_of=PARENT)]
    of = known(*tables)
    raw = RawSql(sql="ALTER TABLE parent ALTER COLUMN name TYPE varchar(20)")
    assert raw.statements(StepContext(of, MIGRATION, 1, of.graph))[0].work is work


def test_an_exclusion_constraint_is_built_anew_by_a_wider_type() -> None:
    over = Constraint("e", "exclude", "EXCLUDE USING btree (name WITH =)", ("name",))
    of = known(Table("public", "parent", (ID, Column("name", "character varying(10)")), (over,)))
    raw = RawSql(sql="ALTER TABLE parent ALTER COLUMN name TYPE varchar(20)")
    assert raw.statements(StepContext(of, MIGRATION, 1, of.graph))[0].work is Work.BUILD


def _to_attach(*made: Index, constraints: tuple[Constraint, ...] = ()) -> Facts:
    columns = (ID, Column("r", "bigint"))
    indexes = (
        Index("whole_r", "CREATE INDEX whole_r ON ONLY public.whole USING btree (r)", ("r",)),
        Index("whole_ir", "CREATE INDEX whole_ir ON ONLY public.whole USING btree (id, r)", ("id", "r")),
    )
    keys = (primary_key("id", table="whole"), foreign_key("whole_r_fkey", "r", PARENT))
    whole = Table("public", "whole", columns, keys, indexes, partition_key="RANGE (id)")
    return known(whole, Table("public", "part", columns, constraints, made), WITH_KEY, size=LARGE)


ATTACH = "ALTER TABLE whole ATTACH PARTITION part FOR VALUES FROM (1) TO (9)"


def test_attaching_builds_each_index_and_checks_each_foreign_key_that_is_lacking() -> None:
    of = _to_attach()
    assert level(ATTACH, of).score >= RiskLevel.HIGH.score
    assert says(
        ATTACH, of, "index whole_r, index whole_ir, constraint whole_pkey, foreign key whole_r_fkey are made on it"
    )
    assert says(ATTACH, of, "worked through once for each of the 4")


def test_attaching_what_has_them_all_reads_it_once() -> None:
    made = (
        Index("a", "CREATE INDEX a ON public.part USING btree (r)", ("r",)),
        Index("b", "CREATE INDEX b ON public.part USING btree (id, r)", ("id", "r")),
    )
    has = (primary_key("id", table="part"), foreign_key("part_r_fkey", "r", PARENT))
    of = _to_attach(*made, constraints=has)
    assert not says(ATTACH, of, "made on it")
    raw = RawSql(sql=ATTACH).statements(StepContext(of, MIGRATION, 1, of.graph))
    assert raw[0].work is Work.SCAN
    of = _to_attach(*made[:1], constraints=has)
    assert says(ATTACH, of, "index whole_ir is made on it")


def test_attaching_to_what_nobody_knows_is_no_guess() -> None:
    of = known(WITH_KEY)
    assert not says("ALTER TABLE nowhere ATTACH PARTITION parent DEFAULT", of, "made on it")
    of = _to_attach()
    of = replace(of, graph=graph(*[t for t in of.graph.tables if t.name != "part"]))
    assert says(ATTACH, of, "constraint whole_pkey")


@pytest.mark.parametrize(
    ("query", "unknown"),
    [
        ("SELECT count(*) FROM generate_series(1, 40000000)", True),
        ("SELECT count(*) FROM child, generate_series(1, 40000000)", True),
        ("SELECT count(*) FROM child", False),
    ],
)
def test_how_long_calls_work_under_a_lock_is_not_foretold_by_the_locked_table(query: str, unknown: bool) -> None:
    known_series = replace(CODE, builtin_functions=CODE.builtin_functions | {"generate_series"})
    of = known(WITH_KEY, child(""), size=TableSize(1_000_000, 100 << 20), code=known_series)
    sql = f"LOCK TABLE parent IN ACCESS EXCLUSIVE MODE; {query}"
    assert says(sql, of, "for how long cannot be told") is unknown
    planned = plan({"rawSql": {"sql": sql}}, of=of)
    assert planned.level.score >= RiskLevel.HIGH.score
    foretold = [f for s in planned.steps for f in s.findings if f.blocked_s is not None]
    assert bool(foretold) is ("child" in query)
    assert planned.steps[0].statements[-1].lock is Lock.ACCESS_EXCLUSIVE
