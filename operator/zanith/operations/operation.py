"""The contract of an operation kind: fields plus seven questions. It returns data and never executes.

A kind is one frozen pydantic class. Wire names are camelCase; unknown keys are refused. Registration is one field on
`Step` in `zanith.operations.step`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Annotated, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from zanith.core.graph import SchemaGraph
from zanith.core.identifiers import MAX_IDENTIFIER_BYTES, TableKey, name_problem, text_problem
from zanith.core.risk import Finding
from zanith.core.sql import SqlProblem, parse_condition, parse_expression, parse_index_element, parse_type
from zanith.core.statement import Probe, Statement
from zanith.operations.step_context import StepContext, Undo


class SpecModel(BaseModel):
    """Base of everything a user writes: frozen, strict about unknown keys, camelCase on the wire.

    `hide_input_in_errors` keeps values of the spec out of error texts; the path says where.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        hide_input_in_errors=True,
    )


class Operation(SpecModel, ABC):
    """One change to the schema or its data, declared by its outcome."""

    kind: ClassVar[str]
    rehearsed: ClassVar[bool] = False
    """Whether it makes what PostgreSQL may refuse for reasons only it knows, such as a default of the wrong type: then
    what `project` says is asked of an empty copy of the table first (`zanith.postgres.rehearsing`)."""

    reaches_heirs: ClassVar[bool] = False
    """Whether its ALTER TABLE and UPDATE are done to tables that inherit (INHERITS) from its table too."""

    @abstractmethod
    def target(self, ctx: StepContext) -> str:
        """What it changes, for people: `public.users.email`."""

    def problems(self, ctx: StepContext) -> Iterator[str]:
        """What the author has to mend, each naming the object; nothing where the step can be planned."""
        yield from ()

    @abstractmethod
    def findings(self, ctx: StepContext) -> Iterator[Finding]:
        """The risks, at least one."""

    @abstractmethod
    def statements(self, ctx: StepContext) -> tuple[Statement, ...]:
        """What is executed, in order. A function of the schema only, never of sizes or data."""

    def probes(self, ctx: StepContext) -> tuple[Probe, ...]:
        """Questions to the data before statements that would fail on it."""
        return ()

    @abstractmethod
    def undo(self, ctx: StepContext) -> Undo:
        """How to take it back, planned from the same `ctx` as the statements."""

    def hides(self, ctx: StepContext) -> bool:
        """Whether it may change the schema in ways `project` cannot show: code that cannot be seen into."""
        return False

    def moves(self, ctx: StepContext) -> Mapping[TableKey, TableKey]:
        """Tables it gives another name or schema: new key by old one. Their sizes and rows move along."""
        return {}

    def adds(self, ctx: StepContext) -> Iterable[tuple[TableKey, str]]:
        """Columns that were not there before: a backfill of them needs no undo of its own."""
        return ()

    @abstractmethod
    def project(self, ctx: StepContext) -> SchemaGraph:
        """The graph after it; asked again of a graph where it has happened already, it changes nothing."""


def _checked(parse: Callable[[str], object]) -> Callable[[str], str]:
    def check(value: str) -> str:
        try:
            parse(value)
        except SqlProblem as problem:
            raise ValueError(str(problem)) from problem
        return value

    return check


def _without(problem_of: Callable[[str], str | None]) -> Callable[[str], str]:
    def check(value: str) -> str:
        problem = problem_of(value)
        if problem:
            raise ValueError(problem)
        return value

    return check


Name = Annotated[str, AfterValidator(_without(name_problem)), Field(min_length=1, max_length=MAX_IDENTIFIER_BYTES)]
"""An identifier, exactly as the catalog spells it; quoted by us, so case and reserved words are safe."""

Comment = Annotated[str, AfterValidator(_without(text_problem)), Field(max_length=1000)]
"""A comment on an object of the database."""

SqlExpression = Annotated[str, AfterValidator(_checked(parse_expression)), Field(min_length=1, max_length=10_000)]
"""One SQL value expression, checked by PostgreSQL's own parser."""

SqlCondition = Annotated[str, AfterValidator(_checked(parse_condition)), Field(min_length=1, max_length=10_000)]
"""One SQL condition over the columns of one table."""

SqlType = Annotated[str, AfterValidator(_checked(parse_type)), Field(min_length=1, max_length=200)]
"""A type name with modifiers, e.g. `numeric(10,2)`."""

SqlIndexElement = Annotated[str, Field(min_length=1, max_length=1_000)]
"""A column's exact name, or an index element as in CREATE INDEX: `lower(email)`, `created_at DESC NULLS LAST`."""

__all__ = [
    "Comment",
    "Name",
    "Operation",
    "SpecModel",
    "SqlCondition",
    "SqlExpression",
    "SqlIndexElement",
    "SqlType",
    "parse_index_element",
]
