"""The order migrations run in: what one depends on comes before it, otherwise the order they were given in. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from zanith.cli.manifests import Manifest
from zanith.core.errors import SpecError


def in_order(manifests: Sequence[Manifest]) -> list[Manifest]:
    """Every manifest after those it depends on. Raises SpecError (DependencyCycle) naming the cycle."""
    by_name = {m.name: m for m in manifests}
    ordered: dict[str, Manifest] = {}
    path: list[str] = []
    # A stack of its own, so that a chain of a thousand needs no deep recursion: None says that a name is finished.
    waiting: list[tuple[str, Manifest | None]] = [(m.name, m) for m in reversed(manifests)]
    while waiting:
        name, manifest = waiting.pop()
        if manifest is None:
            ordered[path.pop()] = by_name[name]
        elif name in path:
            cycle = [*path[path.index(name) :], name]
            raise SpecError(f"spec.dependsOn goes in a circle: {' → '.join(cycle)}", reason="DependencyCycle")
        elif name not in ordered:
            path.append(name)
            waiting.append((name, None))
            waiting += [(d, by_name[d]) for d in reversed(manifest.spec.depends_on) if d in by_name]
    return list(ordered.values())


def outside(pending: Sequence[Manifest], manifests: Sequence[Manifest]) -> dict[str, Manifest]:
    """Dependencies of `pending` that are not among `manifests`, each with the first that asks for it."""
    names = {m.name for m in manifests}
    found: dict[str, Manifest] = {}
    for manifest in pending:
        for dependency in manifest.spec.depends_on:
            if dependency not in names:
                found.setdefault(dependency, manifest)
    return found
