"""Every case of every family, for the harness."""

from __future__ import annotations

from operations_harness import cases

CASES = [*cases.CASES]
