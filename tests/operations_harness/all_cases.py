"""Every case of every family, for the harness."""

from __future__ import annotations

from operations_harness import (
    cases,
    cases_alter,
    cases_archive,
    cases_constraints,
    cases_keep,
    cases_raw_sql,
    cases_security,
)

CASES = [
    *cases.CASES,
    *cases_alter.CASES,
    *cases_archive.CASES,
    *cases_constraints.CASES,
    *cases_keep.CASES,
    *cases_raw_sql.CASES,
    *cases_security.CASES,
]
