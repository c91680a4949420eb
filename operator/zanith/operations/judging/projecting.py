"""The graph a statement leaves behind, as far as its text shows it.

Names are exact; definitions are as the author wrote them, where the typed kind writes them so too. What code that
cannot be seen into does, and what is made of views, triggers and policies, is not shown: such a verdict is `unseen`.
Asked again of a graph where it has happened already, nothing changes; a table that is not there changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from pydantic import ValidationError

from zanith.core.errors import SpecError
from zanith.core.graph import Column, Constraint, ConstraintKind, EnumType, SchemaGraph, Table
from zanith.core.identifiers import TableKey
from zanith.core.sql import SqlProblem, parse_expression, parse_type, printed
from zanith.core.sql_statements import ParsedStatement, Tree, expression_text, index_element_text, type_text
from zanith.operations import parts
from zanith.operations.index import AddIndex
from zanith.operations.judging.default_names import default_name
from zanith.operations.judging.typed_tables import create_table_of
from zanith.operations.judging.verdict import Scope, names
from zanith.operations.step_context import StepContext


def project(statement: ParsedStatement, scope: Scope) -> SchemaGraph:
    """The graph after the statement; the same where its text is more than can be followed."""
    change = _CHANGES.get(statement.kind)
    if change is None:
        return scope.graph
    try:
        return change(statement.tree, scope)
    except (SqlProblem, SpecError, ValidationError):
        return scope.graph


def move(statement: ParsedStatement, scope: Scope) -> dict[TableKey, TableKey]:
    """Tables the statement gives another name or schema: new key by old one."""
    tree = statement.tree
    if statement.kind == "rename_stmt" and tree["rename_type"] == "OBJECT_TABLE":
        old = scope.key(tree["relation"])
        return {old: TableKey(old.schema, tree["newname"])}
    if statement.kind == "alter_object_schema_stmt" and tree["object_type"] == "OBJECT_TABLE":
        old = scope.key(tree["relation"])
        return {old: TableKey(tree["newschema"], old.name)}
    return {}


def _moved(graph: SchemaGraph, old: TableKey, new: TableKey) -> SchemaGraph:
    """The table under another key, and everything that points to it. Nothing where it is there already."""
    table = graph.table(old)
    if table is None or graph.table(new) is not None:
        return graph
    moved = graph.without_table(old).with_table(replace(table, schema=new.schema, name=new.name))

    def pointed(found: Table) -> Table:
        constraints = tuple(replace(c, references=new) if c.references == old else c for c in found.constraints)
        return replace(
            found, constraints=constraints, partition_of=new if found.partition_of == old else found.partition_of
        )

    return replace(moved, tables=tuple(pointed(t) for t in moved.tables))


def _rename(tree: Tree, scope: Scope) -> SchemaGraph:
    if "relation" not in tree:
        return scope.graph
    key, kind = scope.key(tree["relation"]), tree["rename_type"]
    old, new = tree.get("subname", ""), tree["newname"]
    if kind == "OBJECT_TABLE":
        return _moved(scope.graph, key, TableKey(key.schema, new))
    if kind == "OBJECT_COLUMN":
        return scope.graph.with_changed(key, lambda t: _with_renamed_column(t, old, new))
    if kind == "OBJECT_TABCONSTRAINT":
        return scope.graph.with_changed(key, lambda t: _with_renamed_constraint(t, old, new))
    if kind == "OBJECT_INDEX":
        table = scope.indexed_table([key.schema], key.name)
        return scope.graph if table is None else scope.graph.with_table(_with_renamed_index(table, key.name, new))
    return scope.graph


def _with_renamed_column(table: Table, old: str, new: str) -> Table:
    if table.column(old) is None or table.column(new) is not None:
        return table

    def swapped(columns: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(new if c == old else c for c in columns)

    return replace(
        table,
        columns=tuple(replace(c, name=new) if c.name == old else c for c in table.columns),
        constraints=tuple(replace(c, columns=swapped(c.columns)) for c in table.constraints),
        indexes=tuple(replace(i, columns=swapped(i.columns)) for i in table.indexes),
    )


def _with_renamed_constraint(table: Table, old: str, new: str) -> Table:
    found = next((c for c in table.constraints if c.name == old), None)
    return table if found is None else _without_constraint(table, old).with_constraint(replace(found, name=new))


def _with_renamed_index(table: Table, old: str, new: str) -> Table:
    found = next((i for i in table.indexes if i.name == old), None)
    if found is None:
        return _with_renamed_constraint(table, old, new)
    return table.without_index(old).with_index(replace(found, name=new))


def _without_constraint(table: Table, name: str) -> Table:
    return replace(table, constraints=tuple(c for c in table.constraints if c.name != name))


def _set_schema(tree: Tree, scope: Scope) -> SchemaGraph:
    if tree["object_type"] != "OBJECT_TABLE":
        return scope.graph
    key = scope.key(tree["relation"])
    return _moved(scope.graph, key, TableKey(tree["newschema"], key.name))


def _create_table(tree: Tree, scope: Scope) -> SchemaGraph:
    if tree["relation"].get("relpersistence") == "t":
        return scope.graph
    key = scope.key(tree["relation"])
    if scope.table(key) is not None:
        return scope.graph
    typed = create_table_of(tree, scope)
    if typed is not None:
        graph = typed.project(StepContext(scope.facts, "", 1))
        return graph.with_changed(key, _with_default_primary_key)
    columns = tuple(_new_column(n["column_def"], scope) for n in tree.get("table_elts", ()) if "column_def" in n)
    return scope.graph.with_table(Table(key.schema, key.name, columns))


def _with_default_primary_key(table: Table) -> Table:
    primary = table.primary_key
    return (
        table
        if primary is None
        else _with_renamed_constraint(table, primary.name, default_name(table.name, [], "pkey"))
    )


def _new_column(definition: Tree, scope: Scope) -> Column:
    """A column as ADD COLUMN or CREATE TABLE defines it."""
    given = {c["constraint"]["contype"]: c["constraint"] for c in definition.get("constraints", ())}
    kind = parse_type(type_text(definition["type_name"]))
    default = None
    if "CONSTR_DEFAULT" in given:
        default = parts.printed_default(parse_expression(expression_text(given["CONSTR_DEFAULT"]["raw_expr"])), kind)
    generated = given.get("CONSTR_GENERATED")
    identity = given.get("CONSTR_IDENTITY")
    return Column(
        name=definition["colname"],
        type=kind.canonical,
        not_null=bool(given.keys() & {"CONSTR_NOTNULL", "CONSTR_PRIMARY", "CONSTR_IDENTITY"}) or kind.serial,
        default=expression_text(generated["raw_expr"]) if generated is not None else default,
        identity=None if identity is None else "always" if identity.get("generated_when") == "a" else "by_default",
        generated=None if generated is None else "virtual" if generated.get("generated_kind") == "v" else "stored",
    )


def _alter_table(tree: Tree, scope: Scope) -> SchemaGraph:
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
    table = table.with_column(_new_column(definition, scope))
    for item in definition.get("constraints", ()):
        table = _added_constraint(table, {"def": item}, scope, [definition["colname"]])
    return table


def _added_constraint(table: Table, action: Tree, scope: Scope, columns: list[str] | None = None) -> Table:
    constraint = action["def"]["constraint"]
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


_ACTIONS_OF_TABLES: dict[str, Callable[[Table, Tree, Scope], Table]] = {
    "AT_AddColumn": _added_column,
    "AT_DropColumn": lambda table, action, scope: table.without_column(action["name"]),
    "AT_AddConstraint": _added_constraint,
    "AT_ValidateConstraint": _validated,
    "AT_DropConstraint": lambda table, action, scope: _without_constraint(table, action["name"]),
    "AT_SetNotNull": lambda table, action, scope: parts.with_not_null(table, action["name"], True),
    "AT_DropNotNull": lambda table, action, scope: parts.with_not_null(table, action["name"], False),
    "AT_ColumnDefault": _changed_column(_with_default),
    "AT_AlterColumnType": _changed_column(_with_type),
    "AT_EnableRowSecurity": lambda table, action, scope: replace(table, row_security=True),
    "AT_DisableRowSecurity": lambda table, action, scope: replace(table, row_security=False),
    "AT_ForceRowSecurity": lambda table, action, scope: replace(table, force_row_security=True),
    "AT_NoForceRowSecurity": lambda table, action, scope: replace(table, force_row_security=False),
    "AT_SetLogged": lambda table, action, scope: replace(table, persistence="permanent"),
    "AT_SetUnLogged": lambda table, action, scope: replace(table, persistence="unlogged"),
}


def _create_index(tree: Tree, scope: Scope) -> SchemaGraph:
    key = scope.key(tree["relation"])
    table = scope.table(key)
    if table is None:
        return scope.graph
    elements = [index_element_text(e["index_elem"]) for e in tree["index_params"]]
    typed = AddIndex.model_validate(
        {
            "table": key.name,
            "schema": key.schema,
            "columns": elements,
            "unique": bool(tree.get("unique")),
            "name": tree.get("idxname") or default_name(key.name, [_word(e) for e in tree["index_params"]], "idx"),
            "method": tree.get("access_method", "btree"),
            "where": expression_text(tree["where_clause"]) if "where_clause" in tree else None,
            "include": [e["index_elem"]["name"] for e in tree.get("index_including_params", ())],
            "nullsNotDistinct": bool(tree.get("nulls_not_distinct")),
        }
    )
    return typed.project(StepContext(scope.facts, "", 1))


def _word(element: Tree) -> str:
    """What an element of an index adds to its default name."""
    return str(element["index_elem"].get("name", "expr"))


def _drop(tree: Tree, scope: Scope) -> SchemaGraph:
    graph = scope.graph
    for schema, name in _dropped(tree):
        if tree["remove_type"] == "OBJECT_TABLE":
            key = scope.named(schema, name)
            for gone in (*graph.partitions(key), key):
                graph = graph.without_table(gone)
        elif tree["remove_type"] == "OBJECT_INDEX":
            table = scope.after(graph).indexed_table(schema, name)
            graph = graph if table is None else graph.with_table(table.without_index(name))
        elif tree["remove_type"] in ("OBJECT_VIEW", "OBJECT_MATVIEW"):
            found = scope.named(schema, name)
            graph = replace(graph, views=tuple(v for v in graph.views if (v.schema, v.name) != found))
    if tree["remove_type"] == "OBJECT_SCHEMA":
        schemas = {item["string"]["sval"] for item in tree["objects"]}
        graph = replace(
            graph,
            tables=tuple(t for t in graph.tables if t.schema not in schemas),
            views=tuple(v for v in graph.views if v.schema not in schemas),
        )
    left = {t.key for t in graph.tables}
    pointing = [t for t in graph.tables if any(c.references and c.references not in left for c in t.constraints)]
    for table in pointing:
        kept = tuple(c for c in table.constraints if c.references is None or c.references in left)
        graph = graph.with_table(replace(table, constraints=kept))
    return graph


def _dropped(tree: Tree) -> Iterator[tuple[list[str], str]]:
    for item in tree["objects"]:
        if "list" in item:
            *schema, name = names(item["list"]["items"])
            yield schema, name


def _comment(tree: Tree, scope: Scope) -> SchemaGraph:
    given = names(tree.get("object", {}).get("list", {}).get("items"))
    text = tree.get("comment") or None
    if tree["objtype"] == "OBJECT_TABLE":
        key = scope.named(given[:-1], given[-1])
        table = scope.table(key)
        return scope.graph if table is None else scope.graph.with_table(replace(table, comment=text))
    if tree["objtype"] == "OBJECT_COLUMN" and len(given) > 1:
        table = scope.table(scope.named(given[:-2], given[-2]))
        column = None if table is None else table.column(given[-1])
        if table is not None and column is not None:
            return scope.graph.with_table(table.with_column(replace(column, comment=text)))
    return scope.graph


def _create_enum(tree: Tree, scope: Scope) -> SchemaGraph:
    *schema, name = names(tree["type_name"])
    found = EnumType(schema[-1] if schema else scope.facts.default_schema, name, tuple(names(tree.get("vals"))))
    kept = [e for e in scope.graph.enums if (e.schema, e.name) != (found.schema, found.name)]
    return replace(scope.graph, enums=tuple(sorted([*kept, found], key=lambda e: (e.schema, e.name))))


_CHANGES: dict[str, Callable[[Tree, Scope], SchemaGraph]] = {
    "rename_stmt": _rename,
    "alter_object_schema_stmt": _set_schema,
    "create_stmt": _create_table,
    "alter_table_stmt": _alter_table,
    "index_stmt": _create_index,
    "drop_stmt": _drop,
    "comment_stmt": _comment,
    "create_enum_stmt": _create_enum,
}
