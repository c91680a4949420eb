"""The example of each kind: the tables it starts from, its manifest, steps that are refused, and what was planned of it.

Reads files and asks a real server; it renders nothing. docs/operations/examples/ has three files per kind: `.sql`, the
tables; `.yaml`, the migration; `.refused.yaml`, steps that planning refuses on the same tables, one at a time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from operations_harness.driving import Driver
from servers import Database
from zanith.api.spec import MigrationSpec, parse_manifest
from zanith.core.errors import Refusal, SpecError
from zanith.planning.gates import refusal
from zanith.planning.plan import PlannedStep

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "operations"


def page_name(kind: str) -> str:
    """`add-column` of `addColumn`."""
    return re.sub(r"(?=[A-Z])", "-", kind).lower()


@dataclass(frozen=True)
class Example:
    """One kind's files."""

    kind: str
    setup: str
    manifest: str
    refused: str
    """YAML: a list of steps."""
    behaviour: str
    """Markdown, written by hand: what holds beyond the example."""

    @property
    def spec(self) -> MigrationSpec:
        return parse_manifest(yaml.safe_load(self.manifest))[1]

    @property
    def gates(self) -> dict[str, Any]:
        """The gates it sets; empty where the default ones let it through."""
        gates: dict[str, Any] = yaml.safe_load(self.manifest)["spec"].get("gates", {})
        return gates

    @property
    def refused_steps(self) -> list[str]:
        """The text of each step, as it stands in the file."""
        return [text.rstrip() for text in re.split(r"^(?=- )", self.refused, flags=re.MULTILINE) if text.strip()]


@dataclass(frozen=True)
class Planned:
    """What one version of PostgreSQL was planned for: the steps of the kind, and what is said against the others."""

    steps: tuple[PlannedStep, ...]
    by_default: Refusal | None
    """What the default gates say of it."""
    refusals: tuple[tuple[str, str], ...]
    """A step as YAML, and the problem."""


def read_example(kind: str) -> Example:
    """The files of a kind. Raises FileNotFoundError where one is missing: a kind has them all."""
    name = page_name(kind)
    files = (f"examples/{name}.sql", f"examples/{name}.yaml", f"examples/{name}.refused.yaml", f"behaviour/{name}.md")
    return Example(kind, *((FOLDER / file).read_text(encoding="utf-8").rstrip() + "\n" for file in files))


def plan_example(example: Example, database: Database) -> Planned:
    """Set the database up and plan; nothing is applied."""
    database.execute(example.setup)
    plan = Driver(database, example.spec).plan()
    gates = type(example.spec.gates)()
    return Planned(
        steps=tuple(step for step in plan.steps if step.kind == example.kind),
        by_default=refusal(plan, gates),
        refusals=tuple((text, _problem(example, text, database)) for text in example.refused_steps),
    )


def _problem(example: Example, step: str, database: Database) -> str:
    document = yaml.safe_load(example.manifest)
    document["spec"]["steps"] = yaml.safe_load(step)
    _, spec = parse_manifest(document)
    try:
        Driver(database, spec).plan()
    except SpecError as error:
        return "\n".join(error.problems)
    raise AssertionError(f"this step of {example.kind} is not refused when planning:\n{step}")
