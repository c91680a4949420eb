"""The graph a statement leaves behind, as far as its text shows it.

Names are exact; definitions are as the author wrote them, where the typed kind writes them so too. What code that
cannot be seen into does, and what is made of views, triggers and policies, is not shown: such a verdict is `unseen`. Of
functions, and of comments on other things than tables and columns, nothing is shown either: no step is planned by them.
Asked again of a graph where it has happened already, nothing changes; a table that is not there changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from pydantic import ValidationError

from zanith.core.errors import SpecError
from zanith.core.graph import EnumType, SchemaGraph, Table
from zanith.core.identifiers import TableKey
from zanith.core.sql import SqlProblem
from zanith.core.sql_statements import ParsedStatement, Tree, expression_text, index_element_text, nodes
from zanith.operations.index import AddIndex
from zanith.operations.judging import free_objects
from zanith.operations.judging.default_names import default_name
from zanith.operations.judging.renames import real_kind
from zanith.operations.judging.table_actions import new_column, project_actions, without_constraint
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
    if statement.kind == "rename_stmt" and _kind(tree, "rename_type", scope) == "TABLE":
        old = scope.key(tree["relation"])
        return {old: TableKey(old.schema, tree["newname"])}
    if statement.kind == "alter_object_schema_stmt" and _kind(tree, "object_type", scope) == "TABLE":
        old = scope.key(tree["relation"])
        return {old: TableKey(tree["newschema"], old.name)}
    return {}


def _kind(tree: Tree, field: str, scope: Scope) -> str:
    """What kind of object it really is about."""
    written = str(tree[field]).removeprefix("OBJECT_")
    return real_kind(written, tree["relation"], scope) if "relation" in tree else written


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
    key, kind = scope.key(tree["relation"]), _kind(tree, "rename_type", scope)
    old, new = tree.get("subname", ""), tree["newname"]
    if kind == "TABLE":
        return _moved(scope.graph, key, TableKey(key.schema, new))
    if kind == "COLUMN":
        return scope.graph.with_changed(key, lambda t: _with_renamed_column(t, old, new))
    if kind == "TABCONSTRAINT":
        return scope.graph.with_changed(key, lambda t: _with_renamed_constraint(t, old, new))
    if kind == "SEQUENCE":
        return free_objects.rename_sequence(tree, scope)
    if kind == "INDEX":
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
    return table if found is None else without_constraint(table, old).with_constraint(replace(found, name=new))


def _with_renamed_index(table: Table, old: str, new: str) -> Table:
    found = next((i for i in table.indexes if i.name == old), None)
    if found is None:
        return _with_renamed_constraint(table, old, new)
    return table.without_index(old).with_index(replace(found, name=new))


def _set_schema(tree: Tree, scope: Scope) -> SchemaGraph:
    if _kind(tree, "object_type", scope) != "TABLE":
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
    columns = tuple(new_column(n["column_def"], key) for n in tree.get("table_elts", ()) if "column_def" in n)
    return scope.graph.with_table(Table(key.schema, key.name, columns))


def _create_as(tree: Tree, scope: Scope) -> SchemaGraph:
    """CREATE TABLE AS: there from now on, with columns that nobody can tell."""
    relation = tree["into"]["rel"]
    key = scope.made_key(relation)
    known = scope.table(key) is not None or relation.get("relpersistence") == "t"
    if known or tree.get("objtype") == "OBJECT_MATVIEW":
        return scope.graph
    return scope.graph.with_table(Table(key.schema, key.name))


def _select_into(tree: Tree, scope: Scope) -> SchemaGraph:
    for into in nodes(tree, "into_clause"):
        return _create_as({"into": into}, scope)
    return scope.graph


def _with_default_primary_key(table: Table) -> Table:
    primary = table.primary_key
    return (
        table
        if primary is None
        else _with_renamed_constraint(table, primary.name, default_name(table.name, [], "pkey"))
    )


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
        elif tree["remove_type"] == "OBJECT_SEQUENCE":
            graph = free_objects.without_sequence(graph, [*schema, name], scope)
        elif tree["remove_type"] in ("OBJECT_VIEW", "OBJECT_MATVIEW"):
            found = scope.named(schema, name)
            graph = replace(graph, views=tuple(v for v in graph.views if (v.schema, v.name) != found))
    if tree["remove_type"] == "OBJECT_SCHEMA":
        schemas = {item["string"]["sval"] for item in tree["objects"]}
        graph = replace(
            free_objects.without_schemas(graph, schemas),
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


def _alter_enum(tree: Tree, scope: Scope) -> SchemaGraph:
    *schema, name = names(tree["type_name"])
    schemas = schema[-1:] or [scope.facts.default_schema, "public"]

    def changed(found: EnumType) -> EnumType:
        if found.name != name or found.schema not in schemas:
            return found
        labels = list(found.labels)
        if "old_val" in tree:
            labels = [tree["new_val"] if label == tree["old_val"] else label for label in labels]
        elif tree["new_val"] not in labels:
            neighbour = tree.get("new_val_neighbor")
            at = labels.index(neighbour) + bool(tree.get("new_val_is_after")) if neighbour in labels else len(labels)
            labels.insert(at, tree["new_val"])
        return replace(found, labels=tuple(labels))

    return replace(scope.graph, enums=tuple(changed(e) for e in scope.graph.enums))


_CHANGES: dict[str, Callable[[Tree, Scope], SchemaGraph]] = {
    "rename_stmt": _rename,
    "alter_object_schema_stmt": _set_schema,
    "create_stmt": _create_table,
    "create_table_as_stmt": _create_as,
    "select_stmt": _select_into,
    "alter_table_stmt": project_actions,
    "index_stmt": _create_index,
    "drop_stmt": _drop,
    "comment_stmt": _comment,
    "create_seq_stmt": free_objects.create_sequence,
    "alter_seq_stmt": free_objects.alter_sequence,
    "create_domain_stmt": free_objects.create_domain,
    "create_enum_stmt": _create_enum,
    "alter_enum_stmt": _alter_enum,
}
