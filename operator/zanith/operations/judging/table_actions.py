"""The table that the actions of an ALTER TABLE leave behind, as far as their text shows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from zanith.core.graph import Column, Constraint, ConstraintKind, SchemaGraph, Table
from zanith.core.identifiers import TableKey
from zanith.core.sql import parse_expression, parse_type, printed
from zanith.core.sql_statements import Tree, expression_text, type_text
from zanith.operations import parts
from zanith.operations.judging.default_names import default_name
from zanith.operations.judging.verdict import Scope, names, options


def new_column(definition: Tree, table_key: TableKey) -> Column:
    """A column as ADD COLUMN or CREATE TABLE defines it."""
    given = {c["constraint"]["contype"]: c["constraint"] for c in definition.get("constraints", ())}
    kind = parse_type(type_text(definition["type_name"]))
    default = None
    if "CONSTR_DEFAULT" in given:
        default = parts.printed_default(parse_expression(expression_text(given["CONSTR_DEFAULT"]["raw_expr"])), kind)
    generated = given.get("CONSTR_GENERATED")
    identity = given.get("CONSTR_IDENTITY")
    if kind.serial:
        sequence = default_name(table_key.name, [definition["colname"]], "seq")
        default = f"nextval('{printed(table_key.schema)}.{printed(sequence)}'::regclass)"
    return Column(
        name=definition["colname"],
        type=_SERIAL.get(kind.base, kind.canonical),
        not_null=bool(given.keys() & {"CONSTR_NOTNULL", "CONSTR_PRIMARY", "CONSTR_IDENTITY"}) or kind.serial,
        default=_computed(generated["raw_expr"]) if generated is not None else default,
        identity=None if identity is None else _identity(identity.get("generated_when")),
        generated=None if generated is None else "virtual" if generated.get("generated_kind") == "v" else "stored",
    )


_SERIAL = {
    **dict.fromkeys(("serial", "serial4"), "integer"),
    **dict.fromkeys(("bigserial", "serial8"), "bigint"),
    **dict.fromkeys(("smallserial", "serial2"), "smallint"),
}


def _computed(expression: Tree) -> str:
    """As `pg_get_expr` prints the expression of a generated column: operators in parentheses."""
    text = expression_text(expression)
    return f"({text})" if "a_expr" in expression else text


def project_actions(tree: Tree, scope: Scope) -> SchemaGraph:
    graph = scope.graph
    key = scope.key(tree["relation"])
    if tree.get("objtype") != "OBJECT_TABLE" or graph.table(key) is None:
        return graph
    for node in tree["cmds"]:
        action = node["alter_table_cmd"]
        change = _ACTIONS_OF_TABLES.get(action["subtype"])
        if change is not None:
            graph = graph.with_changed(key, _bound(change, action, scope))
    return graph


def _bound(change: Callable[[Table, Tree, Scope], Table], action: Tree, scope: Scope) -> Callable[[Table], Table]:
    return lambda table: change(table, action, scope)


def _added_column(table: Table, action: Tree, scope: Scope) -> Table:
    definition = action["def"]["column_def"]
    if table.column(definition["colname"]) is not None:
        return table
    table = table.with_column(new_column(definition, table.key))
    for item in definition.get("constraints", ()):
        table = _added_constraint(table, {"def": item}, scope, [definition["colname"]])
    return table


def _added_constraint(table: Table, action: Tree, scope: Scope, columns: list[str] | None = None) -> Table:
    constraint = action["def"]["constraint"]
    if constraint["contype"] == "CONSTR_NOTNULL" and columns is None:
        return _required(table, constraint)
    kind = _KINDS.get(constraint["contype"])
    if kind is None:
        return table
    keys = columns or names(constraint.get("keys")) or names(constraint.get("fk_attrs"))
    if kind == "check":
        used = parse_expression(expression_text(constraint["raw_expr"])).columns
        keys = [c.name for c in table.columns if c.name in used]
    index = next((i for i in table.indexes if i.name == constraint.get("indexname")), None)
    if index is None and "indexname" in constraint:
        return table  # it is the constraint's own by now
    if index is not None:
        keys, table = list(index.columns), table.without_index(index.name)
    named = [] if kind == "primary_key" else keys[:1] if kind == "check" else keys
    found = Constraint(
        name=constraint.get("conname") or default_name(table.name, named, _SUFFIXES[kind]),
        kind=kind,
        definition=_definition(kind, constraint, keys, scope),
        columns=tuple(keys),
        validated=not constraint.get("skip_validation", False),
        references=scope.key(constraint["pktable"]) if kind == "foreign_key" else None,
    )
    if kind == "primary_key":
        for column in keys:
            table = parts.with_not_null(table, column, True)
    return table.with_constraint(found)


def _required(table: Table, constraint: Tree) -> Table:
    """NOT NULL by its own name (PostgreSQL 18): the column's, once it is validated."""
    (column,) = names(constraint["keys"])
    if not constraint.get("skip_validation"):
        return parts.with_not_null(table, column, True)
    name = constraint.get("conname") or default_name(table.name, [column], "not_null")
    text = f"NOT NULL {printed(column)} NOT VALID"
    return table.with_constraint(Constraint(name, "not_null", text, (column,), validated=False))


def _definition(kind: ConstraintKind, constraint: Tree, keys: list[str], scope: Scope) -> str:
    """As `pg_get_constraintdef` prints it, but for options that none of the typed kinds reads."""
    columns = ", ".join(printed(c) for c in keys)
    if kind == "check":
        text = f"CHECK (({expression_text(constraint['raw_expr'])}))"
    elif kind == "foreign_key":
        parent = scope.key(constraint["pktable"])
        found = scope.table(parent)
        primary = found.primary_key.columns if found is not None and found.primary_key is not None else ()
        referenced = ", ".join(printed(c) for c in names(constraint.get("pk_attrs")) or primary)
        where = f"({referenced})" if referenced else ""
        text = f"FOREIGN KEY ({columns}) REFERENCES {printed(parent.schema)}.{printed(parent.name)}{where}"
    else:
        text = f"{'PRIMARY KEY' if kind == 'primary_key' else 'UNIQUE'} ({columns})"
    return f"{text} NOT VALID" if constraint.get("skip_validation") else text


_KINDS: dict[str, ConstraintKind] = {
    "CONSTR_CHECK": "check",
    "CONSTR_UNIQUE": "unique",
    "CONSTR_PRIMARY": "primary_key",
    "CONSTR_FOREIGN": "foreign_key",
}
_SUFFIXES: dict[ConstraintKind, str] = {"check": "check", "unique": "key", "primary_key": "pkey", "foreign_key": "fkey"}


def _validated(table: Table, action: Tree, scope: Scope) -> Table:
    found = next((c for c in table.constraints if c.name == action["name"]), None)
    return (
        table
        if found is None
        else table.with_constraint(
            replace(found, validated=True, definition=found.definition.removesuffix(" NOT VALID"))
        )
    )


def _changed_column(change: Callable[[Column, Tree], Column]) -> Callable[[Table, Tree, Scope], Table]:
    def apply(table: Table, action: Tree, scope: Scope) -> Table:
        column = table.column(action["name"])
        return table if column is None else table.with_column(change(column, action))

    return apply


def _with_default(column: Column, action: Tree) -> Column:
    if "def" not in action:
        return replace(column, default=None)
    parsed = parse_expression(expression_text(action["def"]))
    return replace(column, default=parts.printed_default(parsed, parse_type(column.type)))


def _with_type(column: Column, action: Tree) -> Column:
    return replace(column, type=parse_type(type_text(action["def"]["column_def"]["type_name"])).canonical)


def _with_identity(column: Column, action: Tree) -> Column:
    if action["subtype"] == "AT_DropIdentity":
        return replace(column, identity=None)
    if action["subtype"] == "AT_AddIdentity":
        return replace(column, identity=_identity(action["def"]["constraint"].get("generated_when")))
    given = options({"options": action["def"]["list"]["items"]}).get("generated", {})
    always = given.get("integer", {}).get("ival") == ord("a")
    return replace(column, identity="always" if always else "by_default") if given else column


def _identity(generated_when: str | None) -> Literal["always", "by_default"]:
    return "always" if generated_when == "a" else "by_default"


_ACTIONS_OF_TABLES: dict[str, Callable[[Table, Tree, Scope], Table]] = {
    "AT_AddColumn": _added_column,
    "AT_DropColumn": lambda table, action, scope: table.without_column(action["name"]),
    "AT_AddConstraint": _added_constraint,
    "AT_ValidateConstraint": _validated,
    "AT_DropConstraint": lambda table, action, scope: without_constraint(table, action["name"]),
    "AT_SetNotNull": lambda table, action, scope: parts.with_not_null(table, action["name"], True),
    "AT_DropNotNull": lambda table, action, scope: parts.with_not_null(table, action["name"], False),
    "AT_ColumnDefault": _changed_column(_with_default),
    "AT_AlterColumnType": _changed_column(_with_type),
    "AT_AddIdentity": _changed_column(_with_identity),
    "AT_SetIdentity": _changed_column(_with_identity),
    "AT_DropIdentity": _changed_column(_with_identity),
    "AT_DropExpression": _changed_column(lambda column, action: replace(column, generated=None, default=None)),
    "AT_EnableRowSecurity": lambda table, action, scope: replace(table, row_security=True),
    "AT_DisableRowSecurity": lambda table, action, scope: replace(table, row_security=False),
    "AT_ForceRowSecurity": lambda table, action, scope: replace(table, force_row_security=True),
    "AT_NoForceRowSecurity": lambda table, action, scope: replace(table, force_row_security=False),
    "AT_SetLogged": lambda table, action, scope: replace(table, persistence="permanent"),
    "AT_SetUnLogged": lambda table, action, scope: replace(table, persistence="unlogged"),
}


def without_constraint(table: Table, name: str) -> Table:
    return replace(table, constraints=tuple(c for c in table.constraints if c.name != name))
