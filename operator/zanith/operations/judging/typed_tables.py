"""CREATE TABLE as the typed step that says the same, to project it by."""

from __future__ import annotations

from pydantic import ValidationError

from zanith.core.sql_statements import Tree, expression_text, type_text
from zanith.operations.create import CreateTable
from zanith.operations.judging.default_names import default_name
from zanith.operations.judging.verdict import Scope, names


def create_table_of(tree: Tree, scope: Scope) -> CreateTable | None:
    """The typed step that says the same; None where there is none."""
    if set(tree) - {"relation", "table_elts", "oncommit", "if_not_exists"}:
        return None
    key = scope.key(tree["relation"])
    arguments: dict[str, list[object]] = {
        "columns": [],
        "primaryKey": [],
        "checks": [],
        "foreignKeys": [],
        "uniques": [],
    }
    for node in tree.get("table_elts", ()):
        if not _takes(node, arguments, scope, key.name):
            return None
    try:
        return CreateTable.model_validate({"table": key.name, "schema": key.schema, **arguments})
    except ValidationError:
        return None


_PLAIN_COLUMN = {"colname", "type_name", "is_local", "constraints", "location"}


def _takes(node: Tree, arguments: dict[str, list[object]], scope: Scope, name: str) -> bool:
    """Whether createTable can say it; then it is added to its arguments."""
    if "constraint" in node:
        return _takes_constraint(node["constraint"], arguments, scope, name, names(node["constraint"].get("keys")))
    if "column_def" not in node or set(node["column_def"]) - _PLAIN_COLUMN:
        return False
    definition = node["column_def"]
    column: dict[str, object] = {"name": definition["colname"], "type": type_text(definition["type_name"])}
    for item in definition.get("constraints", ()):
        constraint = item["constraint"]
        kind = constraint["contype"]
        if kind == "CONSTR_NOTNULL" and "conname" not in constraint:
            column["nullable"] = False
        elif kind == "CONSTR_DEFAULT":
            column["default"] = expression_text(constraint["raw_expr"])
        elif kind == "CONSTR_IDENTITY" and "options" not in constraint:
            column["identity"] = "Always" if constraint.get("generated_when") == "a" else "ByDefault"
        elif kind != "CONSTR_NULL" and not _takes_constraint(
            constraint, arguments, scope, name, [definition["colname"]]
        ):
            return False
    arguments["columns"].append(column)
    return True


def _takes_constraint(
    constraint: Tree, arguments: dict[str, list[object]], scope: Scope, table_name: str, columns: list[str]
) -> bool:
    kind, name = constraint["contype"], constraint.get("conname")
    if kind == "CONSTR_PRIMARY" and name is None:
        arguments["primaryKey"] = list(columns)
    elif kind == "CONSTR_UNIQUE" and set(constraint) <= {"contype", "conname", "keys", "location"}:
        given = name or default_name(table_name, columns, "key")
        arguments["uniques"].append({"name": given, "columns": columns})
    elif kind == "CONSTR_CHECK" and name is not None:
        arguments["checks"].append({"name": name, "expression": expression_text(constraint["raw_expr"])})
    elif kind == "CONSTR_FOREIGN" and constraint.get("fk_matchtype", "s") == "s" and "deferrable" not in constraint:
        keys = names(constraint.get("fk_attrs")) or columns
        parent = scope.key(constraint["pktable"])
        table = scope.table(parent)
        primary = table.primary_key.columns if table is not None and table.primary_key is not None else ()
        arguments["foreignKeys"].append(
            {
                "name": name or default_name(table_name, keys, "fkey"),
                "columns": keys,
                "referencesSchema": parent.schema,
                "referencesTable": parent.name,
                "referencesColumns": names(constraint.get("pk_attrs")) or list(primary),
                "onDelete": _ACTIONS[constraint.get("fk_del_action", "a")],
                "onUpdate": _ACTIONS[constraint.get("fk_upd_action", "a")],
            }
        )
    else:
        return False
    return True


_ACTIONS = {"a": "NoAction", "r": "Restrict", "c": "Cascade", "n": "SetNull", "d": "SetDefault"}
