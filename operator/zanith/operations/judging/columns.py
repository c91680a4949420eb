"""Judges what is done to columns: when PostgreSQL reads or rewrites the table for them (manual, ALTER TABLE, Notes)."""

from __future__ import annotations

from zanith.core.definitions import read_index
from zanith.core.graph import Column, Index, Table
from zanith.core.identifiers import TableKey
from zanith.core.risk import ReasonCode, RiskLevel
from zanith.core.sql import SqlProblem, TypeName, parse_expression, parse_type, referenced_columns
from zanith.core.sql_statements import Tree, expression_text, type_text
from zanith.core.statement import Lock, Work
from zanith.operations import parts
from zanith.operations.judging import constraints
from zanith.operations.judging.calls import unknown_everywhere
from zanith.operations.judging.verdict import Scope, Verdict
from zanith.operations.judging.yaml_steps import yaml_step

_BY_BACKFILL = "the default differs from row to row"


def judge_new_column(scope: Scope, key: TableKey, table: Table | None, definition: Tree) -> Verdict:
    """ADD COLUMN with what is written after its type."""
    name = definition["colname"]
    target = f"{key}.{name}"
    verdict = Verdict("ALTER TABLE", locks={key: Lock.ACCESS_EXCLUSIVE})
    if table is not None and table.column(name) is not None:
        return verdict  # IF NOT EXISTS does nothing; without it PostgreSQL refuses
    given = [c["constraint"] for c in definition.get("constraints", ())]
    kinds = {c["contype"] for c in given}
    default = next((expression_text(c["raw_expr"]) for c in given if c["contype"] == "CONSTR_DEFAULT"), None)
    required = bool(kinds & {"CONSTR_NOTNULL", "CONSTR_PRIMARY"})
    type_name = parse_type(type_text(definition["type_name"]))
    reason = _rewrite_reason(scope, type_name, given, default)
    if reason:
        safer = (
            yaml_step(
                scope, "addColumn", key, column=name, type=type_name.text, default=default,
                nullable=False if required else None,
            )
            if reason == _BY_BACKFILL
            else "add it nullable, fill it with a backfill step, then alterColumnNullable"
        )  # fmt: skip
        verdict = verdict.joined(Verdict("ALTER TABLE", RiskLevel.HIGH, work=Work.REWRITE)).with_finding(
            RiskLevel.HIGH, ReasonCode.TABLE_REWRITE, f"adding {target} rewrites {key}: {reason}", safer
        )
    elif required and default is None:
        verdict = verdict.with_finding(
            RiskLevel.HIGH,
            ReasonCode.ADDS_REQUIRED_COLUMN_WITHOUT_DEFAULT,
            f"{target} is required and has no default: it fails on a table with rows, and inserts that do not know it",
            "add it nullable, fill it with a backfill step, then alterColumnNullable",
        )
    elif default is not None:
        verdict = verdict.with_finding(
            RiskLevel.LOW, ReasonCode.ADDS_COLUMN_WITH_DEFAULT, f"{target} is added with a default; no row is rewritten"
        )
    else:
        verdict = verdict.with_finding(
            RiskLevel.SAFE, ReasonCode.ADDS_NULLABLE_COLUMN, f"{target} is nullable; no row is touched"
        )
    for constraint in given:
        if constraint["contype"] in constraints.TABLE_CONSTRAINTS:
            verdict = verdict.joined(_inline(scope, key, table, name, constraint, filled=default is not None))
    return verdict


def _inline(scope: Scope, key: TableKey, table: Table | None, name: str, constraint: Tree, *, filled: bool) -> Verdict:
    """A constraint written behind a new column. A foreign key over nothing but NULLs need not be checked."""
    judged = constraints.judge_new_constraint(scope, key, table, constraint, columns=[name])
    if constraint["contype"] != "CONSTR_FOREIGN" or filled:
        return judged
    return Verdict(judged.what, locks=judged.locks, findings=judged.findings[:1])


def _rewrite_reason(scope: Scope, type_name: TypeName, given: list[Tree], default: str | None) -> str:
    """Why adding the column writes every row anew; empty where it does not."""
    kinds = {c["contype"] for c in given}
    if type_name.serial or "CONSTR_IDENTITY" in kinds:
        return "every row gets a number of its own"
    if any(c["contype"] == "CONSTR_GENERATED" and c.get("generated_kind", "s") == "s" for c in given):
        return "a stored generated column is computed for every row"
    if type_name.canonical in scope.facts.constrained_domains:
        return f"domain {type_name.canonical} has constraints"
    if default is None:
        return ""
    try:
        parsed = parse_expression(default)
    except SqlProblem:
        return "its default is more than an expression over one row"
    # What is not there yet may be VOLATILE for all anybody knows.
    volatile = parts.is_volatile(parsed, scope.facts) or any(unknown_everywhere(f, scope) for f in parsed.functions)
    return _BY_BACKFILL if volatile else ""


def judge_type_change(
    scope: Scope,
    key: TableKey,
    table: Table | None,
    name: str,
    *,
    new: TypeName,
    using: str | None,
    collated: bool,
) -> Verdict:
    """ALTER COLUMN ... TYPE. What is not known to keep the stored values as they are counts as a rewrite."""
    column = None if table is None else table.column(name)
    plain = using is None or using.strip('"') == name
    rewrites = table is None or column is None or not plain or not keeps_values(column, new)
    level = RiskLevel.HIGH if rewrites else RiskLevel.MEDIUM
    locks = {key: Lock.ACCESS_EXCLUSIVE}
    if column is not None and table is not None:
        # Foreign keys over the column are made anew, which locks the tables at their other end.
        over = [c.references for c in table.constraints if c.references and name in c.columns]
        locks |= dict.fromkeys([p for p in over if p], Lock.ACCESS_EXCLUSIVE)
        for child, constraint in scope.graph.incoming_foreign_keys(key):
            if child.key != key and name in referenced_columns(constraint.definition):
                locks[child.key] = Lock.ACCESS_EXCLUSIVE
    work = Work.REWRITE
    if not rewrites and table is not None and column is not None:
        parts_of_it = [t for t in map(scope.table, scope.family(key)) if t is not None]
        work = max((_rechecks(t, column, new, collated=collated) for t in parts_of_it), key=list(Work).index)
    verdict = Verdict("ALTER TABLE", level, locks, work=work).with_finding(
        level, ReasonCode.CHANGES_COLUMN_TYPE, f"{key}.{name} becomes {new.canonical}"
    )
    if rewrites:
        verdict = verdict.with_finding(
            RiskLevel.HIGH,
            ReasonCode.TABLE_REWRITE,
            f"{key} and its indexes are written anew while reads and writes wait",
            "add a column of the new type, fill it with a backfill step, then change over to it",
        )
    elif work is not Work.CATALOG:
        verdict = verdict.with_finding(
            RiskLevel.MEDIUM,
            ReasonCode.FULL_SCAN_UNDER_LOCK,
            f"constraints or indexes over {key}.{name} are checked or built anew while reads and writes wait",
        )
    return verdict


def _rechecks(table: Table, column: Column, new: TypeName, *, collated: bool) -> Work:
    """What is read for a type change that leaves the rows as they are."""
    other_order = collated or _parsed(column.type)[0] != _parsed(new.canonical)[0]
    indexed = any(column.name in i.columns for i in table.indexes) or any(
        column.name in c.columns for c in table.constraints if c.kind in ("primary_key", "unique", "exclude")
    )
    if indexed and other_order:
        return Work.BUILD
    over = [c for c in table.constraints if column.name in c.columns]
    if any(c.kind == "exclude" for c in over) or any(column.name in i.columns and not _stays(i) for i in table.indexes):
        return Work.BUILD
    checked = any(c.kind in ("check", "foreign_key") for c in over)
    return Work.SCAN if checked else Work.CATALOG


def _stays(index: Index) -> bool:
    """Only one of plain columns without a condition can; others are built anew whatever the type."""
    definition = read_index(index.definition)
    return definition is not None and definition.columns is not None and definition.where is None


def keeps_values(column: Column, new: TypeName) -> bool:
    """Whether PostgreSQL takes the stored values as they are: the casts it knows to change nothing.

    Measured on 15 and 18. Between timestamp and timestamptz that holds because the session's TimeZone is UTC.
    """
    old_base, old_mods = _parsed(column.type)
    new_base, new_mods = _parsed(new.canonical)
    if (old_base, old_mods) == (new_base, new_mods):
        return True
    if old_base in _TEXTS and new_base in _TEXTS:
        return not new_mods or (bool(old_mods) and new_mods[0] >= old_mods[0])
    if old_base == new_base == "numeric":
        return not new_mods or (
            len(old_mods) == len(new_mods) == 2 and new_mods[0] >= old_mods[0] and new_mods[1] == old_mods[1]
        )
    if old_base == new_base == "bit varying":
        return not new_mods or (bool(old_mods) and new_mods[0] >= old_mods[0])
    if {old_base, new_base} <= _TIMES:
        return not new_mods or (bool(old_mods) and new_mods[0] >= old_mods[0])
    return (old_base, new_base) == ("cidr", "inet")


_TEXTS = frozenset({"text", "character varying"})
_TIMES = frozenset({"timestamp without time zone", "timestamp with time zone"})


def _parsed(canonical: str) -> tuple[str, list[int]]:
    """Base and modifiers: `timestamp(3) without time zone` has the base `timestamp without time zone`."""
    base, _, tail = canonical.partition("(")
    modifiers, _, rest = tail.partition(")")
    numbers = [part.strip() for part in modifiers.split(",")]
    if not all(number.isdigit() for number in numbers):
        return canonical, []
    return f"{base}{rest}", [int(number) for number in numbers]
