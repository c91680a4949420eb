"""The CustomResourceDefinition `zanithmigrations.zanith.io`, made from the pydantic models: the models are the source.

`python -m zanith.api.crd` prints it; with `--write`, in the checkout, it writes the copies kept there. Nothing in it is written by hand but the
rules pydantic has no words for (CEL, columns, list maps) and those stand here.

No `categories`: `kubectl delete all --all` deletes what is in the category `all`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

from zanith.api.names import GROUP, KIND, MAX_NAME_LENGTH, PLURAL, SHORT_NAME, VERSION
from zanith.api.spec import MigrationSpec
from zanith.api.status import MigrationStatus
from zanith.api.structural import Schema, structural_schema
from zanith.operations.step import KINDS

COPIES = ("crds/zanithmigrations.yaml", "charts/zanith/files/zanithmigrations.yaml")
"""Where the repository keeps it: for `kubectl apply -f crds/`, and for the chart, which cannot read outside itself."""

_HEADER = "# Generated from the models in operator/zanith/api by `make crds`; a test compares. Do not edit.\n"

_STARTED = "has(oldSelf.status) && has(oldSelf.status.startedAt)"
_APPLIED = "has(oldSelf.status) && has(oldSelf.status.appliedAt)"
_STEPS_KEPT = (
    "size(self.spec.steps) >= size(oldSelf.spec.steps) && oldSelf.spec.steps.all(i, step, self.spec.steps[i] == step)"
)
_SAME_ID = "({id_of_self}) == ({id_of_old})".format(
    id_of_self="has(self.spec.migrationId) && self.spec.migrationId != '' ? self.spec.migrationId : self.metadata.name",
    id_of_old="has(oldSelf.spec.migrationId) && oldSelf.spec.migrationId != '' ? "
    "oldSelf.spec.migrationId : oldSelf.metadata.name",
)  # fmt: skip


def custom_resource_definition() -> dict[str, Any]:
    """The whole definition as data."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": [SHORT_NAME],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "additionalPrinterColumns": _columns(),
                    "subresources": {"status": {}},
                    "schema": {"openAPIV3Schema": _resource()},
                }
            ],
        },
    }


def render() -> str:
    """The definition as YAML, the same bytes for the same models."""
    text = yaml.dump(custom_resource_definition(), Dumper=_Plain, sort_keys=False, width=120, allow_unicode=True)
    return _HEADER + text


def _resource() -> Schema:
    spec = structural_schema(MigrationSpec, open_objects=True)
    spec["properties"]["steps"]["items"]["x-kubernetes-validations"] = [_one_kind()]
    status = structural_schema(MigrationStatus, open_objects=False)
    status["default"] = {"observedGeneration": -1}
    return {
        "description": "A migration of one PostgreSQL database: steps that are run once, in order, and kept as history.",
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": f"Always {GROUP}/{VERSION}."},
            "kind": {"type": "string", "description": f"Always {KIND}."},
            # Nothing but bounds of the name may stand here; Kubernetes describes metadata itself.
            "metadata": {
                "type": "object",
                "properties": {"name": {"type": "string", "maxLength": MAX_NAME_LENGTH}},
            },
            "spec": spec,
            "status": status,
        },
        "x-kubernetes-validations": _fixed_fields(),
    }


def _one_kind() -> Schema:
    """Exactly one key of a step is a kind. A mistyped kind is a step without one."""
    present = ", ".join(f"has(self.{kind})" for kind in KINDS)
    return {
        "rule": f"[{present}].exists_one(found, found)",
        "message": f"a step has exactly one key, its kind: one of {', '.join(KINDS)}",
    }


def _fixed_fields() -> list[Schema]:
    """What may no longer change. The operator checks the same against the ledger, for `status` can be cleared."""
    return [
        {
            "rule": f"!({_STARTED}) || {_SAME_ID}",
            "fieldPath": ".spec.migrationId",
            "reason": "FieldValueForbidden",
            "message": "is fixed once the migration has started; make a new migration",
        },
        {
            "rule": f"!({_STARTED}) || self.spec.database == oldSelf.spec.database",
            "fieldPath": ".spec.database",
            "reason": "FieldValueForbidden",
            "message": "is fixed once the migration has started; make a new migration",
        },
        {
            "rule": f"!({_STARTED}) || ({_APPLIED}) || ({_STEPS_KEPT})",
            "fieldPath": ".spec.steps",
            "reason": "FieldValueForbidden",
            "message": "steps may only be appended once the migration has started",
        },
        {
            "rule": f"!({_APPLIED}) || self.spec.steps == oldSelf.spec.steps",
            "fieldPath": ".spec.steps",
            "reason": "FieldValueForbidden",
            "message": "steps are fixed once the migration is applied; make a new migration",
        },
    ]


def _columns() -> list[dict[str, Any]]:
    ready = '.status.conditions[?(@.type=="Ready")]'
    shown = [
        ("Phase", ".status.phase", "Where the migration is."),
        ("Steps", ".status.display.steps", "Steps done, of all."),
        ("Risk", ".status.display.risk", "Level and score of the worst step."),
        ("Progress", ".status.display.progress", "How far the running backfill is."),
        ("Recoverable Until", ".status.display.recoverableUntil", "When the first artifact expires."),
    ]
    wide = [
        ("Database", ".status.display.database", "Name of the database."),
        ("Ready", f"{ready}.reason", "Reason of the condition Ready."),
        ("Message", f"{ready}.message", "Message of the condition Ready."),
    ]
    columns: list[dict[str, Any]] = [
        {"name": name, "type": "string", "jsonPath": path, "description": what} for name, path, what in shown
    ]
    columns.append(
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp", "description": "Since it was made."}
    )
    columns += [
        {"name": name, "type": "string", "jsonPath": path, "priority": 1, "description": what}
        for name, path, what in wide
    ]
    return columns


class _Plain(yaml.SafeDumper):
    """No anchors: equal parts are written out, as every reader of a CRD expects."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def main(arguments: list[str]) -> None:
    """Print the definition, or write the copies below the current directory."""
    if arguments == ["--write"]:
        for copy in COPIES:
            Path(copy).write_text(render(), encoding="utf-8")
    else:
        sys.stdout.write(render())


if __name__ == "__main__":  # pragma: no cover -- `make crds`
    main(sys.argv[1:])
