"""Manifest files as the CLI reads them: several documents a file, folders, standard input; strict about duplicate keys.

Resources of other kinds are skipped and named, so a folder may hold a Secret beside its migrations. No message quotes a
file's text: it may be that Secret's.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from zanith.api.names import KIND
from zanith.api.spec import MigrationSpec, parse_manifest
from zanith.core.errors import SpecError

SUFFIXES = frozenset({".yaml", ".yml", ".json"})
STANDARD_INPUT = "-"


@dataclass(frozen=True, slots=True)
class Manifest:
    """A ZanithMigration and the file it came from."""

    name: str
    spec: MigrationSpec
    source: str


def read_manifests(paths: Sequence[str], *, note: Callable[[str], None]) -> list[Manifest]:
    """All ZanithMigrations of the given files and folders, in the order given, a folder's files by name.

    `note` is told, in one line each, what was skipped. Raises SpecError with every problem of every file.
    """
    manifests: list[Manifest] = []
    problems: list[str] = []
    for path in [file for given in paths for file in _files(given)]:
        try:
            documents = [d for document in _documents(path) for d in _unwrapped(document)]
        except SpecError as error:
            problems += error.problems
            continue
        for document in documents:
            if _is_other(document):
                note(f"skipped {_described(document)} in {path}: not a {KIND}")
                continue
            try:
                name, spec = parse_manifest(document)
                manifests.append(Manifest(name, spec, path))
            except SpecError as error:
                problems += [f"{path}: {_described(document)}: {problem}" for problem in error.problems]
    if problems:
        raise SpecError(problems)
    if not manifests:
        raise SpecError(f"no {KIND} in {', '.join(paths)}")
    _refuse_repeated(manifests)
    return manifests


def _files(given: str) -> list[str]:
    if given == STANDARD_INPUT:
        return [given]
    path = Path(given)
    if not path.is_dir():
        return [given]
    files = sorted(str(p) for p in path.iterdir() if p.suffix in SUFFIXES and p.is_file())
    if not files:
        raise SpecError(f"{given}: no file ending in {', '.join(sorted(SUFFIXES))} in this folder")
    return files


def _documents(path: str) -> list[Any]:
    try:
        text = sys.stdin.read() if path == STANDARD_INPUT else Path(path).read_text(encoding="utf-8")
        return [d for d in yaml.load_all(text, Loader=_StrictLoader) if d is not None]
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SpecError(f"{path}: is not UTF-8 text") from None
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark is not None else ""
        raise SpecError(f"{path}{line}: {error.problem or 'is not YAML'}") from None
    except yaml.YAMLError:
        raise SpecError(f"{path}: is not YAML") from None


def _unwrapped(document: Any) -> Iterator[Any]:
    """The items of a `kind: List`, as `kubectl get -o yaml` prints it; else the document itself."""
    if isinstance(document, dict) and document.get("kind") in ("List", f"{KIND}List"):
        items = document.get("items")
        yield from items if isinstance(items, list) else ()
    else:
        yield document


def _is_other(document: Any) -> bool:
    """Whether it is a resource of another kind; what is no resource at all is an error of its own."""
    return isinstance(document, dict) and isinstance(document.get("kind"), str) and document["kind"] != KIND


def _described(document: Any) -> str:
    """`Secret shop-db`, as far as the document says."""
    if not isinstance(document, dict):
        return "document"
    metadata = document.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    words = [w for w in (document.get("kind"), name) if isinstance(w, str) and w]
    return " ".join(words) or "document"


def _refuse_repeated(manifests: Sequence[Manifest]) -> None:
    names: dict[str, Manifest] = {}
    ids: dict[tuple[str, str], Manifest] = {}
    for manifest in manifests:
        spec = manifest.spec
        first = names.setdefault(manifest.name, manifest)
        if first is not manifest:
            raise SpecError(f"metadata.name {manifest.name} is in {first.source} and again in {manifest.source}")
        first = ids.setdefault((spec.database.schema_name, spec.migration_id), manifest)
        if first is not manifest:
            raise SpecError(f"spec.migrationId {spec.migration_id} is that of {first.name} and of {manifest.name}")


class _StrictLoader(yaml.SafeLoader):
    """YAML as kubectl reads it: a repeated key is an error, an unquoted date is a string."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(None, None, "a key is not a string", key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key} is repeated", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


_StrictLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
