"""docs/manifest.md describes every field with its default, and every manifest in it is one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from zanith.api.conditions import Condition, ConditionType, Phase, Reason
from zanith.api.spec import (
    Database,
    Execution,
    Gates,
    JobSettings,
    MigrationSpec,
    Throttle,
    parse_manifest,
    parse_spec,
)
from zanith.api.status import DisplayStatus, MigrationStatus
from zanith.operations.step import KINDS, Step

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "manifest.md").read_text(encoding="utf-8")
BLOCKS = [yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)]
MANIFESTS = [block for block in BLOCKS if isinstance(block, dict) and block["kind"] == "ZanithMigration"]
STEPS = [block for block in BLOCKS if isinstance(block, list)]
SECTIONS: dict[str, type[BaseModel]] = {
    "spec": MigrationSpec,
    "spec.database": Database,
    "spec.gates": Gates,
    "spec.execution": Execution,
    "spec.execution.throttle": Throttle,
    "spec.execution.job": JobSettings,
}
ELSEWHERE = (Database, Gates, Execution, Throttle, JobSettings, Step)


def model_in(annotation: Any) -> type[BaseModel] | None:
    """The model inside `X`, `X | None` or `list[X]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = (model_in(part) for part in getattr(annotation, "__args__", ()))
    return next((model for model in inner if model is not None), None)


def kind_models() -> dict[str, type[BaseModel]]:
    found = {kind: model_in(f.annotation) for kind, f in zip(KINDS, Step.model_fields.values(), strict=True)}
    return {kind: model for kind, model in found.items() if model is not None}


def rows(heading: str) -> dict[str, str]:
    """Field and default of the table below a heading."""
    section = re.search(rf"^##+ `{re.escape(heading)}`\n(.*?)(?=^##|\Z)", DOCUMENT, re.MULTILINE | re.DOTALL)
    assert section, f"docs/manifest.md has no section for {heading}"
    return dict(re.findall(r"^\| `([^`|]+)` \| ([^|]+) \|", section[1], re.MULTILINE))


def fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every field by path; objects with one field only by that field, lists of objects also by themselves."""
    for name, field in model.model_fields.items():
        path = prefix + (field.alias or name)
        inner = model_in(field.annotation)
        is_list = str(field.annotation).startswith("list[")
        if inner is None or inner in ELSEWHERE:
            yield path, field
            continue
        nested = list(fields(inner, f"{path}[]." if is_list else f"{path}."))
        if len(nested) == 1:
            yield nested[0][0], field
            continue
        if is_list:
            yield path, field
        yield from nested


def default_of(field: FieldInfo) -> str | None:
    """As it has to be written; None where any words will do."""
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True)
    if default in (None, "", [], {}) or isinstance(default, BaseModel):
        return None
    return f"`{str(default).lower() if isinstance(default, bool) else getattr(default, 'value', default)}`"


@pytest.mark.parametrize(("heading", "model"), [*SECTIONS.items(), *kind_models().items()])
def test_every_field_is_described_with_its_default(heading: str, model: type[BaseModel]) -> None:
    described = rows(heading)
    expected = {path: default_of(field) for path, field in fields(model)}
    assert set(described) == set(expected)
    checked = {path: default for path, default in expected.items() if default is not None}
    assert {path: described[path] for path in checked} == checked
    assert [path for path in expected if path not in checked and described[path] == "required"] == []


def test_there_are_examples() -> None:
    assert len(MANIFESTS) >= 4
    assert {kind for block in STEPS for step in block for kind in step} == set(KINDS)


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda m: m["metadata"]["name"])
def test_every_manifest_is_one(manifest: dict[str, Any]) -> None:
    assert parse_manifest(manifest)


@pytest.mark.parametrize("steps", STEPS, ids=lambda s: next(iter(s[0])))
def test_every_step_is_one(steps: list[Any]) -> None:
    assert parse_spec({"database": {"secretRef": {"name": "db"}}, "steps": steps}, name="m")


def test_every_field_of_the_status_is_described() -> None:
    section = DOCUMENT[DOCUMENT.index("## `status`") : DOCUMENT.index("### Conditions")]
    described = re.findall(r"^\| `([^`|]+)` \|", section, re.MULTILINE)
    assert sorted(described) == sorted(status_fields(MigrationStatus))


def status_fields(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Every field by path; conditions and display, whose fields are named in one line, as one."""
    for name, field in model.model_fields.items():
        inner = model_in(field.annotation)
        is_list = str(field.annotation).startswith("tuple[")
        path = f"{prefix}{field.alias or name}{'[]' if is_list else ''}"
        if inner is None or inner in (Condition, DisplayStatus):
            yield path
        else:
            yield from status_fields(inner, f"{path}.")


def test_every_reason_is_described_as_it_stands() -> None:
    row = re.compile(r"^\| `(\w+)` \| (\w+) \| (\w+) \| (\w+) \| \S", re.MULTILINE)
    described = {found[0]: found[1:] for found in row.findall(DOCUMENT)}
    assert described == {r.value: (r.row.ready, r.row.reconciling, r.row.stalled) for r in Reason}


def test_every_other_condition_and_phase_is_named() -> None:
    assert [word for word in (*ConditionType, *Phase) if word not in DOCUMENT] == []
