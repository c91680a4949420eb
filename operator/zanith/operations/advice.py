"""Steps as YAML to paste: the safer way that a finding names. Pure, and on one line, for plans print it so."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_READ_OTHERWISE = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})

Step = Mapping[str, Mapping[str, Any]]


def as_yaml(*steps: Step) -> str:
    """One step as an item of `steps:`, several as the whole list."""
    if len(steps) == 1:
        ((kind, arguments),) = steps[0].items()
        return f"- {kind}: {_flow(arguments)}"
    return _flow(list(steps))


def _flow(value: Any) -> str:
    """YAML's flow style, which one line can hold; what is no plain word is in JSON's quotes, which are YAML's too."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_flow(k)}: {_flow(v)}" for k, v in value.items() if v is not None) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    plain = isinstance(value, str) and re.fullmatch("[A-Za-z][A-Za-z0-9_]*", value)
    if plain and str(value).lower() not in _READ_OTHERWISE:
        return str(value)
    return json.dumps(value, ensure_ascii=False)
