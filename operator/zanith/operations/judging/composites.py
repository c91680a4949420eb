"""Judges changes of composite types. CASCADE carries them into the tables OF the type, whose columns they are."""

from __future__ import annotations

from zanith.core.identifiers import TableKey
from zanith.core.risk import ReasonCode, RiskLevel
from zanith.core.sql_statements import Tree
from zanith.core.statement import Lock, Work
from zanith.operations.judging.verdict import Scope, Verdict


def typed_tables(relation: Tree, scope: Scope) -> list[TableKey]:
    """Tables OF the composite type."""
    schemas = [relation["schemaname"]] if "schemaname" in relation else [scope.facts.default_schema, "public"]
    found = (scope.facts.typed_tables.get(TableKey(schema, relation["relname"]), ()) for schema in schemas)
    return list(dict.fromkeys(table for tables in found for table in tables))


def judge_alter_type(tree: Tree, scope: Scope) -> Verdict:
    """ALTER TYPE ... ADD, DROP and ALTER ATTRIBUTE."""
    verdict = Verdict("ALTER TYPE", RiskLevel.MEDIUM, unseen=True)
    for node in tree["cmds"]:
        verdict = verdict.joined(_judge(node["alter_table_cmd"], tree["relation"], scope))
    return verdict


def _judge(action: Tree, relation: Tree, scope: Scope) -> Verdict:
    cascades = action.get("behavior") == "DROP_CASCADE"
    typed = typed_tables(relation, scope) if cascades else []
    name = relation["relname"]
    verdict = Verdict("", locks=dict.fromkeys(typed, Lock.ACCESS_EXCLUSIVE))
    if typed:
        tables = ", ".join(map(str, typed))
        verdict = verdict.with_finding(
            RiskLevel.MEDIUM,
            ReasonCode.LOCKS_SECOND_TABLE,
            f"{tables} of type {name} changes with it, and all wait for it",
        )
    if action["subtype"] == "AT_DropColumn":
        return verdict.joined(_dropped(action["name"], name, [*typed, *users_of_type(scope, name)]))
    if action["subtype"] != "AT_AlterColumnType":
        return verdict
    verdict = verdict.with_finding(
        RiskLevel.HIGH, ReasonCode.CHANGES_COLUMN_TYPE, f"attribute {action['name']} of {name} gets another type"
    )
    if not typed:
        return verdict
    return verdict.joined(Verdict("", work=Work.REWRITE)).with_finding(
        RiskLevel.HIGH,
        ReasonCode.TABLE_REWRITE,
        f"{', '.join(map(str, typed))}: written anew while reads and writes wait",
    )


def _dropped(attribute: str, name: str, users: list[TableKey]) -> Verdict:
    """Destructive whoever uses it: columns may hold it in arrays, domains and other composites, which are not followed.

    Another type needs no such care: of a type that is stored anywhere, however deep, PostgreSQL refuses it.
    """
    tables = f"in {', '.join(map(str, dict.fromkeys(users)))} and " if users else ""
    return Verdict("").with_finding(
        RiskLevel.DESTRUCTIVE,
        ReasonCode.DROPS_COLUMN_WITH_DATA,
        f"attribute {attribute} of {name}, {tables}wherever {'else ' if users else ''}it is used, is gone for good",
    )


def _of_type(printed: str, name: str) -> bool:
    """Whether a column's type, as `format_type` prints it, is of this name, in whatever schema."""
    return printed.partition("(")[0].removesuffix("[]").rpartition(".")[2].strip('"') == name


def users_of_type(scope: Scope, name: str) -> list[TableKey]:
    """Tables with a column of this type."""
    return [t.key for t in scope.graph.tables if any(_of_type(c.type, name) for c in t.columns)]
