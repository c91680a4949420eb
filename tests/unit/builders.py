"""Builders of graphs, facts, contexts and plans. Each test says only what it is about."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from hypothesis import settings

from zanith.api.spec import MigrationSpec, parse_spec
from zanith.core.graph import Column, Constraint, DatabaseIdentity, Facts, SchemaGraph, Table
from zanith.core.identifiers import TableKey
from zanith.core.known_code import KnownCode
from zanith.core.risk import Finding
from zanith.operations.operation import Operation
from zanith.operations.step_context import StepContext
from zanith.planning.plan import Plan
from zanith.planning.planner import plan_migration

unhurried = settings(deadline=None)
"""Properties take the time they take: the first example loads the parser."""
VERSIONS = (150018, 180006)
MIGRATION = "20260328_m"
USERS = TableKey("public", "users")
DATABASE = DatabaseIdentity("7000000000000000000", 5, "shop")

CODE = KnownCode(
    builtin_functions=frozenset({"lower", "upper", "now", "count", "sum", "coalesce", "md5", "extract", "left"}),
    operators=frozenset({"=", "<>", "<", ">", "<=", ">=", "+", "-", "*", "/", "||", "~~"}),
)
"""A few of what every PostgreSQL has."""

ID = Column("id", "bigint", not_null=True)
EMAIL = Column("email", "text")
AGE = Column("age", "integer", not_null=True)


def primary_key(*columns: str, table: str = "users") -> Constraint:
    return Constraint(f"{table}_pkey", "primary_key", f"PRIMARY KEY ({', '.join(columns)})", columns)


def unique(*columns: str, name: str = "users_key", definition: str = "") -> Constraint:
    return Constraint(name, "unique", definition or f"UNIQUE ({', '.join(columns)})", columns)


def foreign_key(name: str, column: str, parent: TableKey, referenced: str = "id") -> Constraint:
    definition = f"FOREIGN KEY ({column}) REFERENCES {parent}({referenced})"
    return Constraint(name, "foreign_key", definition, (column,), references=parent)


def users(*more: Column, **changes: Any) -> Table:
    """`users (id bigint PRIMARY KEY, email text, age integer NOT NULL)`, and what is added or changed."""
    table = Table("public", "users", columns=(ID, EMAIL, AGE, *more), constraints=(primary_key("id"),))
    return replace(table, **changes)


def graph(*tables: Table, **changes: Any) -> SchemaGraph:
    return SchemaGraph(tables=tuple(sorted(tables or (users(),), key=lambda t: t.key)), **changes)


def facts(*tables: Table, version: int = 180006, **changes: Any) -> Facts:
    known = Facts(
        graph=graph(*tables),
        database=DATABASE,
        server_version=version,
        default_schema="public",
        volatile_functions=frozenset({"gen_random_uuid", "random", "nextval", "clock_timestamp"}),
        code=CODE,
    )
    return replace(known, **changes)


def ctx(*tables: Table, version: int = 180006, step: int = 1, **changes: Any) -> StepContext:
    """Where the first step of a migration stands, in a database of these tables."""
    known = facts(*tables, version=version, **changes)
    return StepContext(known, MIGRATION, step, known.graph)


def spec(*steps: dict[str, Any], **changes: Any) -> MigrationSpec:
    """A spec of these steps, parsed as a user's is."""
    written = {"migrationId": MIGRATION, "database": {"secretRef": {"name": "db"}}, "steps": list(steps), **changes}
    return parse_spec(written, name="m")


def operation(kind: str, **arguments: Any) -> Operation:
    """One operation as a user writes it, on `users` unless told."""
    return spec({kind: {"table": "users", **arguments}}).steps[0].operation


def plan(*steps: dict[str, Any], of: Facts | None = None, **changes: Any) -> Plan:
    return plan_migration(spec(*steps, **changes), of or facts())


def problems(asked: Operation, *tables: Table, **changes: Any) -> list[str]:
    return list(asked.problems(ctx(*tables, **changes)))


def brief(findings: Iterable[Finding]) -> list[tuple[str, str]]:
    """Findings by level and reason."""
    return [(f.level.value, f.reason.value) for f in findings]


ADD = {"addColumn": {"table": "users", "column": "added", "type": "text"}}
FILL = {"backfill": {"table": "users", "set": {"added": "lower(email)"}, "where": "added IS NULL"}}
REQUIRE = {"alterColumnNullable": {"table": "users", "column": "added", "nullable": False}}
INDEX = {"addIndex": {"table": "users", "columns": ["added"]}}
SOFT_DROP = {"softDropColumn": {"table": "users", "column": "email"}}
DROP = {"dropColumn": {"table": "users", "column": "email"}}
CREATE = {"createTable": {"table": "orders", "columns": [{"name": "id", "type": "bigint"}], "primaryKey": ["id"]}}
EVERY_KIND = (CREATE, ADD, FILL, REQUIRE, INDEX, SOFT_DROP, {"dropColumn": {"table": "users", "column": "age"}})
