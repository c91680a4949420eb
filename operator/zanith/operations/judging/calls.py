"""What a statement runs beside its own text: functions, operators, the queries of views, defaults of columns.

Known are functions that came with PostgreSQL and are not VOLATILE, a few VOLATILE ones that change nothing of anybody's,
and the operators of PostgreSQL and of extensions. Everything else is code that cannot be seen into, and named as such.
Not looked for at all: casts and input functions of types, constraints of domains, and what has to be IMMUTABLE anyway,
as the expressions of indexes and generated columns; triggers are named by a finding of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from zanith.core.identifiers import TableKey
from zanith.core.sql import SqlProblem
from zanith.core.sql_statements import ParsedStatement, Tree, nodes, parse_statements
from zanith.operations.judging.sequences import judge_setval
from zanith.operations.judging.verdict import Scope, Verdict, names, opaque

# VOLATILE, and nevertheless nothing but answers, numbers of a sequence, and words to listeners.
_HARMLESS = frozenset(
    {"setval", "nextval", "currval", "lastval", "clock_timestamp", "timeofday", "random", "random_normal"}
    | {"gen_random_uuid", "uuidv4", "uuidv7", "pg_notify", "pg_stat_clear_snapshot", "pg_relation_size"}
    | {"pg_total_relation_size", "pg_table_size", "pg_indexes_size", "pg_database_size", "txid_current"}
)
# They run a query that somebody hands them, read through views whose queries nobody looked into, or reach beyond tables.
_RUNS_WHAT_IS_GIVEN = re.compile(
    r"(table|query|cursor|schema|database)_to_xml\w*|ts_stat|ts_rewrite|lo_\w+|loread|lowrite|dblink\w*"
    r"|pg_(read|ls|stat_file|logical|replication|file)\w*"
)
_OF_THE_RUNNER = re.compile(r"pg_(try_)?advisory_\w*|set_config|pg_terminate_backend|pg_cancel_backend", re.IGNORECASE)
"""Functions that could take the lock, the settings or the session from the runner."""


_ENDS = re.compile(r"\b(spi_)?(commit|rollback)\b", re.IGNORECASE)
_IN_QUOTES = re.compile(
    r"""--[^\n]*|/\*.*?\*/|\be'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|"[^"]*"|(\$\w*\$).*?\1""", re.IGNORECASE | re.DOTALL
)
"""Comments, literals and quoted names of a body in plpgsql."""


def forbidden(kind: str, tree: Tree) -> str:
    """Why no statement may call what this one calls, or nothing. Of CREATE FUNCTION the body is not looked at."""
    if kind == "create_function_stmt":
        return ""
    called = [n for call in nodes(tree, "func_call") if _OF_THE_RUNNER.fullmatch(n := names(call.get("funcname"))[-1])]
    if kind == "do_stmt" and (ends := _ENDS.search(_IN_QUOTES.sub(" ", code_of_do(tree)))):
        return f"{ends.group()} in DO: transactions are the runner's; a step commits together with its audit row"
    if kind == "do_stmt":
        called += [
            found.group() for found in re.finditer(r"\w+", code_of_do(tree)) if _OF_THE_RUNNER.fullmatch(found.group())
        ]
    if not called:
        return ""
    if called[0].lower() == "set_config":
        return "set_config() changes settings of the runner's session; write SET LOCAL"
    return f"{called[0]}() could take its lock or its session from the runner"


def code_of_do(tree: Tree) -> str:
    """The text of DO, with the name of its language."""
    return "\n".join(names([e["arg"] for e in nodes(tree, "def_elem") if "arg" in e]))


def judge_calls(what: str, tree: Any, scope: Scope) -> Verdict:
    """Opaque where the tree runs code that is not known; else a verdict that says nothing."""
    found = unseen_code(tree, scope)
    numbered = judge_setval(tree, scope)
    if not found:
        return Verdict(what).joined(numbered)
    shown = ", ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "")
    return opaque(what, f"what it runs cannot be seen into: {shown}").joined(numbered)


def unseen_code(tree: Any, scope: Scope, *, printed: bool = False) -> list[str]:
    """In words what code it runs that is not known, each once; `printed` as of `known_function`."""
    return list(dict.fromkeys(_Looking(scope).of(tree, printed=printed)))


def known_function(given: Sequence[str], scope: Scope, *, printed: bool = False) -> bool:
    """Whether a call of this name, schema and all, can only mean a function that is known to change nothing.

    `printed`: PostgreSQL wrote the name, so that without a schema it is its own.
    """
    *schema, name = given
    code = scope.facts.code
    if schema not in ([], ["pg_catalog"]) or name not in code.builtin_functions | _HARMLESS:
        return False
    if _RUNS_WHAT_IS_GIVEN.fullmatch(name) or (printed and name == "setval"):
        return False  # of a setval() in the statement's own text its own finding tells
    if schema or printed:
        return True
    return name not in scope.created and all(code.other_functions.get((s, name), True) for s in _path(scope))


def unknown_everywhere(name: str, scope: Scope) -> bool:
    """Whether no function of this name is known of: it does not exist, or an earlier statement makes it."""
    known = scope.facts.code.builtin_functions | scope.facts.volatile_functions
    return name in scope.created or (
        name not in known and not any(n == name for _, n in scope.facts.code.other_functions)
    )


def with_made(scope: Scope, statement: ParsedStatement) -> Scope:
    """The scope with the functions, triggers and temporary tables that the statement makes: the graph has none."""
    tree = statement.tree
    if statement.kind == "create_function_stmt":
        return replace(scope, created=scope.created | {names(tree.get("funcname"))[-1]})
    if statement.kind == "create_trig_stmt":
        return replace(scope, triggered=scope.triggered | {scope.key(tree["relation"])})
    if statement.kind == "alter_table_stmt":
        enabled = any(a["subtype"].removeprefix("AT_") in _ENABLING for a in nodes(tree, "alter_table_cmd"))
        return replace(scope, triggered=scope.triggered | {scope.key(tree["relation"])}) if enabled else scope
    into = next(nodes(tree, "into", "into_clause"), {}) if statement.kind in _INTO else {}
    relation = tree["relation"] if statement.kind == "create_stmt" else into.get("rel", {})
    if relation.get("relpersistence") != "t":
        return scope
    return replace(scope, temporary=scope.temporary | {relation["relname"]})


_ENABLING = frozenset({"EnableTrig", "EnableAlwaysTrig", "EnableReplicaTrig", "EnableTrigAll", "EnableTrigUser"})
_INTO = ("create_table_as_stmt", "select_stmt")


def named_like_builtin(name: str, scope: Scope) -> bool:
    """Whether what is made under this name could be taken for a function or an operator of PostgreSQL's own."""
    code = scope.facts.code
    return name in code.builtin_functions | _HARMLESS | code.operators


def _path(scope: Scope) -> tuple[str, str, str]:
    return ("pg_catalog", scope.facts.default_schema, "public")


class _Looking:
    """One look at a tree, and at the views it reads, each once."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._seen: set[TableKey] = set()

    def of(self, tree: Any, where: str = "", *, printed: bool = False) -> Iterator[str]:
        yield from (
            f"function {'.'.join(given)}(){where}"
            for call in nodes(tree, "func_call")
            if not known_function(given := names(call.get("funcname")), self._scope, printed=printed)
        )
        for given in _operators(tree):
            if given[:-1] not in ([], ["pg_catalog"]) or given[-1] not in self._scope.facts.code.operators:
                yield f"operator {'.'.join(given)}{where}"
        if not printed:
            yield from self._attributes(tree)
        yield from self._relations(tree)

    def _attributes(self, tree: Any) -> Iterator[str]:
        """`(row).f` and `t.f` call the function f of a row, where there is no column f."""
        code = self._scope.facts.code.other_functions
        callable_ = {n for s, n in code if s in _path(self._scope)} | self._scope.created
        for given in _attributes(tree):
            if given in callable_ and not any(t.column(given) is not None for t in self._scope.graph.tables):
                yield f"function {given}()"

    def _relations(self, tree: Any) -> Iterator[str]:
        for key in read_relations(tree, self._scope):
            if key in self._seen:
                continue
            self._seen.add(key)
            if self._scope.is_view(key):
                yield from self._view(key)
            elif not self._scope.known_relation(key):
                yield f"relation {key}, which an earlier statement or step has to make"

    def _view(self, key: TableKey) -> Iterator[str]:
        text = self._scope.facts.code.views.get(key)
        try:
            parsed = None if text is None else parse_statements(text)
        except SqlProblem:  # nested deeper than the parser goes
            parsed = None
        if parsed is None:
            yield f"view {key}"
            return
        for statement in parsed:
            yield from self.of(statement.tree, f" in view {key}", printed=True)


def read_relations(tree: Any, scope: Scope) -> list[TableKey]:
    """Relations that queries in the tree read, those of WITH and the aliases of FOR UPDATE OF left out."""
    queries = {c.get("ctename") for c in nodes(tree, "common_table_expr")}
    found = [r for r in _range_vars(tree) if "schemaname" in r or r["relname"] not in queries]
    return list(dict.fromkeys(scope.key(r) for r in found))


def _range_vars(tree: Any) -> Iterator[Tree]:
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            if key == "range_var":
                yield value
            elif key != "locked_rels":
                yield from _range_vars(value)
    elif isinstance(tree, Sequence) and not isinstance(tree, str):
        for item in tree:
            yield from _range_vars(item)


def _operators(tree: Any) -> Iterator[list[str]]:
    for expression in nodes(tree, "a_expr"):
        if "BETWEEN" not in expression["kind"]:
            yield names(expression.get("name"))
    for link in nodes(tree, "sub_link"):
        if "oper_name" in link:
            yield names(link["oper_name"])
    for order in nodes(tree, "sort_by"):
        if "use_op" in order:
            yield names(order["use_op"])


def _attributes(tree: Any) -> Iterator[str]:
    for reference in nodes(tree, "column_ref"):
        yield from names(reference.get("fields"))[1:]
    for access in nodes(tree, "a_indirection"):
        yield from names(access.get("indirection"))
