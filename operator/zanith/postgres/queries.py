"""Named queries: fixed SQL lives in `.sql` files beside the code that runs it, each under a line `-- name: word`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


@cache
def named_queries(package: str, file: str) -> Mapping[str, bytes]:
    """The queries of one file of a package, by name; bytes, for psycopg takes no built text for a query."""
    text = files(package).joinpath(file).read_text(encoding="utf-8")
    parts = _NAME.split(text)
    names, bodies = parts[1::2], parts[2::2]
    if len(set(names)) != len(names):
        raise ValueError(f"{file}: a query name is used twice")
    return MappingProxyType({name: body.strip().encode() for name, body in zip(names, bodies, strict=True)})
