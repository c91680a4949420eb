"""What a statement leaves behind of sequences and domains, in the graph. Pure.

Of functions nothing is foreseen, for the graph has only a hash of them, and no step is planned by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from zanith.core.graph import SchemaGraph
from zanith.core.graph_objects import Domain, DomainCheck
from zanith.core.graph_objects import Sequence as FreeSequence
from zanith.core.sql import parse_type
from zanith.core.sql_statements import Tree, expression_text, type_text
from zanith.operations.judging.default_names import default_name
from zanith.operations.judging.verdict import Scope, names, options

_Named = TypeVar("_Named", FreeSequence, Domain)

_NUMBERS = {"start": "start", "increment": "increment", "minvalue": "minimum", "maxvalue": "maximum", "cache": "cache"}
_LARGEST = {"smallint": 2**15 - 1, "integer": 2**31 - 1, "bigint": 2**63 - 1}


def create_sequence(tree: Tree, scope: Scope) -> SchemaGraph:
    relation, given = tree["sequence"], options(tree)
    key = scope.made_key(relation)
    there = any((s.schema, s.name) == key for s in scope.graph.sequences)
    if there or _owner(given) or relation.get("relpersistence") == "t":
        return scope.graph
    kind = parse_type(type_text(given["as"]["type_name"])).canonical if "as" in given else "bigint"
    ascending = _number(given.get("increment"), 1) > 0
    low, high = (1, _LARGEST[kind]) if ascending else (-_LARGEST[kind] - 1, -1)
    low, high = _number(given.get("minvalue"), low), _number(given.get("maxvalue"), high)
    made = FreeSequence(
        *key,
        type=kind,
        start=_number(given.get("start"), low if ascending else high),
        increment=_number(given.get("increment"), 1),
        minimum=low,
        maximum=high,
        cache=_number(given.get("cache"), 1),
        cycle=_is_true(given.get("cycle")),
        persistence="unlogged" if relation.get("relpersistence") == "u" else "permanent",
    )
    return replace(scope.graph, sequences=_sorted([*scope.graph.sequences, made]))


def alter_sequence(tree: Tree, scope: Scope) -> SchemaGraph:
    """The numbers that are given; what follows from another type is not foreseen."""
    relation, given = tree["sequence"], options(tree)
    found = _find(scope.graph.sequences, names_of(relation), scope)
    if found is None:
        return scope.graph
    others = [s for s in scope.graph.sequences if s is not found]
    if _owner(given):
        return replace(scope.graph, sequences=tuple(others))
    put: dict[str, Any] = {
        field: _number(given[word], 0) for word, field in _NUMBERS.items() if _is_number(given, word)
    }
    if "cycle" in given:
        put["cycle"] = _is_true(given["cycle"])
    return replace(scope.graph, sequences=_sorted([*others, replace(found, **put)]))


def rename_sequence(tree: Tree, scope: Scope) -> SchemaGraph:
    found = _find(scope.graph.sequences, names_of(tree["relation"]), scope)
    if found is None:
        return scope.graph
    others = [s for s in scope.graph.sequences if s is not found]
    return replace(scope.graph, sequences=_sorted([*others, replace(found, name=tree["newname"])]))


def create_domain(tree: Tree, scope: Scope) -> SchemaGraph:
    """CHECK and DEFAULT as the author wrote them; what ALTER DOMAIN does to them later is not foreseen."""
    *schema, name = names(tree["domainname"])
    made_in = schema[-1] if schema else scope.facts.default_schema
    if any((d.schema, d.name) == (made_in, name) for d in scope.graph.domains):
        return scope.graph
    given = [c["constraint"] for c in tree.get("constraints", ())]
    checks = [
        DomainCheck(c.get("conname") or default_name(name, [], "check"), f"CHECK (({expression_text(c['raw_expr'])}))")
        for c in given
        if c["contype"] == "CONSTR_CHECK"
    ]
    defaults = [expression_text(c["raw_expr"]) for c in given if c["contype"] == "CONSTR_DEFAULT"]
    made = Domain(
        made_in,
        name,
        parse_type(type_text(tree["type_name"])).canonical,
        not_null=any(c["contype"] == "CONSTR_NOTNULL" for c in given),
        default=defaults[0] if defaults else None,
        checks=tuple(sorted(checks, key=lambda c: c.name)),
    )
    return replace(scope.graph, domains=_sorted([*scope.graph.domains, made]))


def without_sequence(graph: SchemaGraph, given: list[str], scope: Scope) -> SchemaGraph:
    found = _find(graph.sequences, given, scope)
    return replace(graph, sequences=tuple(s for s in graph.sequences if s is not found))


def without_schemas(graph: SchemaGraph, schemas: Iterable[str]) -> SchemaGraph:
    """Without the sequences, domains and functions of schemas that are dropped."""
    gone = frozenset(schemas)
    return replace(
        graph,
        sequences=tuple(s for s in graph.sequences if s.schema not in gone),
        domains=tuple(d for d in graph.domains if d.schema not in gone),
        functions=tuple(f for f in graph.functions if f.schema not in gone),
    )


def names_of(relation: Tree) -> list[str]:
    return [*([relation["schemaname"]] if "schemaname" in relation else []), relation["relname"]]


def _find(items: Sequence[_Named], given: list[str], scope: Scope) -> _Named | None:
    """By the session's search_path, where the name has no schema."""
    *schema, name = given
    for where in schema[-1:] or [scope.facts.default_schema, "public"]:
        for item in items:
            if (item.schema, item.name) == (where, name):
                return item
    return None


def _owner(given: dict[str, Any]) -> bool:
    """Whether it belongs to a column from then on; OWNED BY NONE is a list of one."""
    return len(names(given.get("owned_by", {}).get("list", {}).get("items"))) > 1


def _is_number(given: dict[str, Any], word: str) -> bool:
    return isinstance(given.get(word), dict)


def _number(option: Any, otherwise: int) -> int:
    """The number of an option; what is too long for 32 bits is a float of the parser's."""
    if not isinstance(option, dict):
        return otherwise
    return int(option["float"]["fval"]) if "float" in option else int(option["integer"].get("ival", 0))


def _is_true(option: Any) -> bool:
    return isinstance(option, dict) and bool(option["boolean"].get("boolval"))


def _sorted(items: Iterable[_Named]) -> tuple[_Named, ...]:
    return tuple(sorted(items, key=lambda i: (i.schema, i.name)))
