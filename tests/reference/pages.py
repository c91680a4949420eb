"""A page: what the class says, the example, what was planned of it, and what was written by hand. Pure.

The parts that need no server, before and after the middle, are functions of their own: the unit tests hold the files
against them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from reference.examples import FOLDER, Example, page_name
from reference.fields import fields_table, kind_class, purpose, with_links
from reference.planned import Seen, index_cells, observed
from servers import SERVER_VERSIONS
from zanith.operations.step import KINDS

INDEX = FOLDER.parent / "operations.md"
_WRITTEN = "<!-- Written by `make docs`, and compared by a test. Edit {sources} instead. -->\n"


def page_file(kind: str) -> Path:
    """Where the page of a kind is."""
    return FOLDER / f"{page_name(kind)}.md"


def page(seen: Seen) -> str:
    """The whole page of a kind."""
    return before(seen.example) + observed(seen) + after(seen.example)


def before(example: Example) -> str:
    """Up to what was planned: what it is for, and the example."""
    name = page_name(example.kind)
    sources = f"the kind's class, behaviour/{name}.md, or examples/{name}.*"
    said = with_links(" ".join((kind_class(example.kind).__doc__ or "").split()), but=example.kind)
    versions = " and ".join(map(str, SERVER_VERSIONS))
    return f"""\
{_WRITTEN.format(sources=sources)}
# `{example.kind}`

{said}

[All kinds](../operations.md) · [Risk](../risk.md) · [The manifest](../manifest.md)

## Example

In a database made by these statements

```sql
{example.setup}```

this migration

```yaml
{example.manifest}```

does what follows. It was planned on PostgreSQL {versions}, where a test runs it, and undoes it where there is an undo.

"""


def after(example: Example) -> str:
    """From the fields on."""
    return f"""

## Fields

{fields_table(example.kind)}

## In general

More steps of this kind, what they run, and what holds beyond the example.

{example.behaviour}"""


def index_row(seen: Seen) -> str:
    """A kind's line in the table of all kinds."""
    kind = seen.example.kind
    cells = (f"[`{kind}`](operations/{page_name(kind)}.md)", purpose(kind).rstrip("."), *index_cells(seen))
    return f"| {' | '.join(cells)} |"


def index(rows: Sequence[str]) -> str:
    """docs/operations.md: the table of all kinds, one row each, between what holds for all of them and the reasons."""
    general, reasons = (
        (FOLDER / "behaviour" / f"{name}.md").read_text(encoding="utf-8") for name in ("every-kind", "reason-codes")
    )
    assert len(rows) == len(KINDS)
    table = "\n".join(["| Kind | What for | Risk | Strongest lock | Undo |", "| --- | --- | --- | --- | --- |", *rows])
    sources = "operations/behaviour/every-kind.md, operations/behaviour/reason-codes.md, or what the pages are made of,"
    return f"""\
{_WRITTEN.format(sources=sources)}
# Operations

A step is one operation: one key, its kind. Each kind has a page: an example that is run by a test, what it becomes in
PostgreSQL, which lock each statement takes, how risky it is, what is asked of the data first, how it is taken back, and
its fields. [`manifest.md`](manifest.md) describes the manifest around the steps.

## The kinds

Risk, lock and undo are those of the example on the page; other arguments, and the size of the table, change them.

{table}

{general}
{with_links(reasons, folder="operations/")}"""
