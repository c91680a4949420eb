"""From a pydantic model to a structural schema, the subset of OpenAPI v3 a CustomResourceDefinition takes.

Two rules matter to users. Objects may be left `open`: they keep keys the schema does not know
(`x-kubernetes-preserve-unknown-fields`), so a typo reaches the strict models and is answered there, whoever the client
is; a closed schema would let the API server drop it without a word. And an object that can be left out gets
`default: {}` where something inside it has a default, or the API server would not descend to fill that in.

A keyword this module does not know stops the generation: a bound lost in silence would be a check lost in silence.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from pydantic import BaseModel

Schema = dict[str, Any]

_COPIED = (
    "type", "format", "pattern", "enum", "minimum", "maximum", "multipleOf", "minLength", "maxLength", "minItems",
    "maxItems", "minProperties", "maxProperties",
)  # fmt: skip
_TRANSLATED = frozenset(
    {"description", "default", "const", "exclusiveMinimum", "exclusiveMaximum", "properties", "required", "items",
     "additionalProperties"}
)  # fmt: skip
_DROPPED = frozenset({"title", "$defs", "propertyNames"})  # names of map entries are checked by the strict models only
_PRESERVE = "x-kubernetes-preserve-unknown-fields"


def structural_schema(model: type[BaseModel], *, open_objects: bool) -> Schema:
    """The structural schema of a model, by its wire names. Raises ValueError for what such a schema cannot express."""
    root = model.model_json_schema(by_alias=True, mode="validation")
    definitions: dict[str, Schema] = root.get("$defs", {})
    for described in _models(model):
        _describe(described, root if described is model else definitions[described.__name__])
    return _convert(root, definitions, open_objects=open_objects, path=model.__name__)


def _describe(model: type[BaseModel], schema: Schema) -> None:
    """Each field's docstring as its description.

    Read here and not by pydantic (`use_attribute_docstrings`): that parses the source of every model at import, which
    every runner would pay with a fifth of its start.
    """
    for owner in model.__mro__[: model.__mro__.index(BaseModel)]:
        try:
            (definition,) = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
        except OSError:  # made at run time: there is no source to read
            continue
        assert isinstance(definition, ast.ClassDef)
        for field, docstring in pairwise(definition.body):
            match field, docstring:
                case (
                    ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str(text))),
                ) if name in model.model_fields:
                    alias = model.model_fields[name].alias or name
                    schema["properties"][alias].setdefault("description", inspect.cleandoc(text))
                case _:
                    pass


def _models(model: type[BaseModel]) -> dict[type[BaseModel], None]:
    """The model and every model its fields lead to."""
    found: dict[type[BaseModel], None] = {}
    waiting: list[Any] = [model]
    while waiting:
        kind = waiting.pop()
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            if kind not in found:
                found[kind] = None
                waiting += [field.annotation for field in kind.model_fields.values()]
        else:
            waiting += getattr(kind, "__args__", ())
    return found


def _convert(schema: Schema, definitions: dict[str, Schema], *, open_objects: bool, path: str) -> Schema:
    flat = _flatten(schema, definitions, path)
    extensions = {key: value for key, value in flat.items() if key.startswith("x-kubernetes-")}
    unknown = sorted(set(flat) - set(extensions) - set(_COPIED) - _TRANSLATED - _DROPPED)
    if unknown:
        raise ValueError(f"{path}: no structural schema for the keyword {unknown[0]}")

    def convert(inner: Schema, name: str) -> Schema:
        return _convert(inner, definitions, open_objects=open_objects, path=f"{path}.{name}")

    converted: Schema = {}
    if "description" in flat:
        converted["description"] = flat["description"]
    converted |= {key: flat[key] for key in _COPIED if key in flat}
    if "const" in flat:
        converted["enum"] = [flat["const"]]
    for bound, inclusive in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if bound in flat:  # a number in JSON schema 2020-12, a flag in OpenAPI v3.0
            converted |= {inclusive: flat[bound], bound: True}
    if flat.get("default") not in (None, "", [], {}):  # an empty default says nothing on a stored object but noise
        converted["default"] = flat["default"]
    if flat.get("type") == "array":
        converted["items"] = convert(flat["items"], "items")
    if flat.get("type") == "object":
        converted |= _object(flat, convert, open_objects=open_objects)
    return converted | extensions


def _object(flat: Schema, convert: Callable[[Schema, str], Schema], *, open_objects: bool) -> Schema:
    """The parts of a schema that only an object has: of named fields, of a map, or of anything."""
    if "properties" not in flat:
        values = flat.get("additionalProperties", True)
        return {_PRESERVE: True} if values is True else {"additionalProperties": convert(values, "*")}
    required: list[str] = flat.get("required", [])
    properties = {name: convert(inner, name) for name, inner in flat["properties"].items()}
    for name, inner in properties.items():
        # A field `X | None = None` says `default: null`, and stays absent; one made by a default_factory says nothing.
        if name not in required and "default" not in flat["properties"][name] and _fills_in(inner):
            inner["default"] = {}
    converted: Schema = {"properties": properties}
    if required:
        converted["required"] = required
    if open_objects:
        converted[_PRESERVE] = True
    return converted


def _fills_in(schema: Schema) -> bool:
    """Whether an empty object of this schema is valid and is given content by defaults."""
    if "required" in schema:
        return False
    return any("default" in inner for inner in schema.get("properties", {}).values())


def _flatten(schema: Schema, definitions: dict[str, Schema], path: str) -> Schema:
    """The schema with its reference inlined and `X | None` reduced to X; what stands beside a reference wins."""
    flat = dict(schema)
    while True:
        if "$ref" in flat:
            name = str(flat.pop("$ref")).removeprefix("#/$defs/")
            flat = definitions[name] | flat
        elif "anyOf" in flat:
            branches = [branch for branch in flat.pop("anyOf") if branch != {"type": "null"}]
            if len(branches) != 1:
                raise ValueError(f"{path}: a union of types has no structural schema")
            flat = branches[0] | flat
        else:
            return flat
