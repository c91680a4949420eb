"""The CustomResourceDefinition says what the models say, and what pydantic has no words for."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from pydantic import BaseModel, Field

from zanith.api import crd
from zanith.api.spec import parse_spec
from zanith.api.structural import structural_schema
from zanith.operations.step import KINDS

REPOSITORY = Path(__file__).resolve().parents[2]
MINIMAL = {"database": {"secretRef": {"name": "db"}}, "steps": [{"addIndex": {"table": "t", "columns": ["c"]}}]}


def resource() -> dict[str, Any]:
    """The schema of the whole resource."""
    schema: dict[str, Any] = crd.custom_resource_definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def schemas(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """A schema and every one inside it, with its path."""
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from schemas(inner, f"{path}.{name}")
    if "items" in schema:
        yield from schemas(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield from schemas(schema["additionalProperties"], f"{path}.*")


def under(part: str) -> list[tuple[str, dict[str, Any]]]:
    return list(schemas(resource()["properties"][part], part))


@pytest.mark.parametrize("path", crd.COPIES)
def test_the_file_is_what_the_models_give(path: str) -> None:
    assert (REPOSITORY / path).read_text(encoding="utf-8") == crd.render(), "run `make crds`"


def test_the_copies_are_written_below_the_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for copy_of_it in crd.COPIES:
        (tmp_path / copy_of_it).parent.mkdir(parents=True)
    crd.main(["--write"])
    assert [(tmp_path / path).read_text(encoding="utf-8") for path in crd.COPIES] == [crd.render()] * 2


def test_it_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    crd.main([])
    assert yaml.safe_load(capsys.readouterr().out) == crd.custom_resource_definition()


@pytest.mark.parametrize("part", ["spec", "status"])
def test_every_field_is_described(part: str) -> None:
    fields = [(path, schema) for path, schema in under(part) if not path.endswith(("[]", ".*"))]
    assert [path for path, schema in fields if not schema.get("description")] == []


def test_every_object_of_the_spec_keeps_unknown_keys() -> None:
    objects = [(path, schema) for path, schema in under("spec") if "properties" in schema]
    assert len(objects) > 20
    assert [path for path, schema in objects if not schema.get("x-kubernetes-preserve-unknown-fields")] == []


def test_no_object_of_the_status_keeps_unknown_keys() -> None:
    assert [path for path, schema in under("status") if "x-kubernetes-preserve-unknown-fields" in schema] == []


def test_everything_the_rules_compare_is_bounded() -> None:
    """Or the API server's estimate of what a rule may cost has no bound either."""
    compared = [(path, s) for path, s in under("spec") if path.startswith(("spec.steps", "spec.database"))]
    texts = [path for path, s in compared if s.get("type") == "string" and not {"maxLength", "enum"} & set(s)]
    lists = [path for path, s in compared if s.get("type") == "array" and "maxItems" not in s]
    maps = [path for path, s in compared if "additionalProperties" in s and "maxProperties" not in s]
    assert (texts, lists, maps) == ([], [], [])


def test_every_list_and_text_of_the_status_is_bounded() -> None:
    """An object has 1.5 MB at most."""
    texts = [
        path
        for path, s in under("status")
        if s.get("type") == "string" and not {"maxLength", "enum", "format"} & set(s)
    ]
    lists = [path for path, s in under("status") if s.get("type") == "array" and "maxItems" not in s]
    assert (texts, lists) == ([], [])


def test_the_defaults_are_those_of_the_models() -> None:
    assert parse_spec(with_defaults(MINIMAL, resource()["properties"]["spec"]), name="m") == parse_spec(
        MINIMAL, name="m"
    )


def test_objects_left_out_are_filled_in() -> None:
    spec = with_defaults(MINIMAL, resource()["properties"]["spec"])
    assert spec["gates"] == {"maxRisk": 60, "allowDestructive": False, "approval": "Auto"}
    assert spec["execution"]["throttle"]["targetBatch"] == "200ms"
    assert "observerSecretRef" not in spec["database"]
    assert spec["steps"] == [
        {"addIndex": {"table": "t", "columns": ["c"], "unique": False, "method": "btree", "nullsNotDistinct": False}}
    ]


def test_a_resource_without_status_is_not_yet_observed() -> None:
    assert resource()["properties"]["status"]["default"] == {"observedGeneration": -1}


def test_the_conditions_are_a_map_by_type() -> None:
    conditions = resource()["properties"]["status"]["properties"]["conditions"]
    assert (conditions["x-kubernetes-list-type"], conditions["x-kubernetes-list-map-keys"]) == ("map", ["type"])


def test_a_step_has_exactly_one_kind_and_the_message_lists_them() -> None:
    (rule,) = resource()["properties"]["spec"]["properties"]["steps"]["items"]["x-kubernetes-validations"]
    assert all(f"has(self.{kind})" in rule["rule"] and kind in rule["message"] for kind in KINDS)


def test_it_belongs_to_no_category() -> None:
    """`kubectl delete all --all` deletes what belongs to `all`."""
    assert "categories" not in crd.custom_resource_definition()["spec"]["names"]


# --- the conversion


class Colour(StrEnum):
    """A colour."""

    RED = "Red"


def field(annotation: Any, *extra: Any) -> dict[str, Any]:
    """The schema of one field of this type."""
    model = type(
        "M", (BaseModel,), {"__annotations__": {"value": Annotated[annotation, *extra] if extra else annotation}}
    )
    schema: dict[str, Any] = structural_schema(model, open_objects=True)["properties"]["value"]
    return schema


def test_an_optional_field_is_a_field_that_may_be_absent() -> None:
    assert field(int | None) == {"type": "integer"}


def test_an_enum_is_written_out() -> None:
    assert field(Colour) == {"description": "A colour.", "type": "string", "enum": ["Red"]}


def test_one_constant_is_an_enum_of_one() -> None:
    assert field(Literal["a"]) == {"type": "string", "enum": ["a"]}


def test_an_exclusive_bound_is_a_bound_and_a_flag() -> None:
    assert field(int, Field(gt=0, lt=9)) == {
        "type": "integer", "minimum": 0, "exclusiveMinimum": True, "maximum": 9, "exclusiveMaximum": True
    }  # fmt: skip


def test_a_map_has_a_schema_for_its_values() -> None:
    assert field(dict[str, Annotated[str, Field(max_length=5)]], Field(max_length=2)) == {
        "type": "object", "maxProperties": 2, "additionalProperties": {"type": "string", "maxLength": 5}
    }  # fmt: skip


def test_a_map_of_anything_keeps_everything() -> None:
    assert field(dict[str, Any]) == {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        (int | str, "M.value: a union of types"),
        (tuple[int, str], "M.value: no structural schema for the keyword prefixItems"),
    ],
    ids=str,
)
def test_what_a_structural_schema_cannot_express_stops_the_generation(annotation: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        field(annotation)


# --- what the API server does with defaults, in a few lines


def with_defaults(value: Any, schema: dict[str, Any]) -> Any:
    """The value with defaults filled in from the outside inwards, as the API server does."""
    if isinstance(value, list):
        return [with_defaults(item, schema["items"]) for item in value]
    if not isinstance(value, dict):
        return value
    filled = dict(value)
    for name, inner in schema.get("properties", {}).items():
        if name not in filled and "default" in inner:
            filled[name] = copy.deepcopy(inner["default"])
        if name in filled:
            filled[name] = with_defaults(filled[name], inner)
    return filled


class Half(BaseModel):
    """One field has a default, the other is needed."""

    needed: int
    given: int = 1


class Whole(BaseModel):
    """Everything has a default."""

    given: int = 1


class Outer(BaseModel):
    """What is left out of it."""

    absent: Whole | None = None
    filled: Whole = Field(default_factory=Whole)
    invalid: Half = Field(default_factory=lambda: Half(needed=1))


def test_an_object_is_filled_in_only_where_it_may_be_empty_and_is_not_optional() -> None:
    properties = structural_schema(Outer, open_objects=False)["properties"]
    assert {name: schema.get("default") for name, schema in properties.items()} == {
        "absent": None,
        "filled": {},
        "invalid": None,
    }
