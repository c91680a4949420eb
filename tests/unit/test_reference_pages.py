"""What of the reference pages can be told without a server: fields, words, the frame of the index, and links.

The rest, what PostgreSQL was planned for, is compared by tests/integration/test_reference.py.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from reference.examples import FOLDER, page_name, read_example
from reference.fields import fields_table, kind_class, with_links
from reference.pages import INDEX, after, before, index, page_file
from zanith.core.risk import ReasonCode
from zanith.operations.step import KINDS

ROOT = FOLDER.parents[1]
SAID = "run `make docs`"
every_kind = pytest.mark.parametrize("kind", KINDS)


@every_kind
def test_the_page_says_what_the_class_the_example_and_the_words_by_hand_say(kind: str) -> None:
    example = read_example(kind)
    text = page_file(kind).read_text(encoding="utf-8")
    assert text.startswith(before(example)), SAID
    assert text.endswith(after(example)), SAID


@every_kind
def test_every_field_is_in_the_table(kind: str) -> None:
    wire_names = [field.alias or name for name, field in kind_class(kind).model_fields.items()]
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+?) \| (.+) \|$", fields_table(kind), re.MULTILINE)
    assert [row[0] for row in rows] == wire_names
    assert [row for row in rows if not all(row)] == []


@every_kind
def test_the_words_by_hand_tell_locks_risk_questions_undo_and_refusals(kind: str) -> None:
    behaviour = read_example(kind).behaviour
    wanted = ("**Risk**", "**Probes**", "**Undo**", "**Refused when planning**", f"- {kind}:")
    assert [words for words in wanted if words not in behaviour] == []
    assert "| Lock |" in behaviour or "**Locks**" in behaviour


@every_kind
def test_the_example_is_of_the_kind_and_so_is_all_that_is_refused(kind: str) -> None:
    example = read_example(kind)
    assert kind in [step.operation.kind for step in example.spec.steps]
    refused = [next(iter(step)) for step in yaml.safe_load(example.refused)]
    assert refused == [kind] * len(example.refused_steps) != []


def test_the_index_has_a_row_per_kind_in_order() -> None:
    text = INDEX.read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if re.match(r"\| \[`\w+`\]\(operations/", line)]
    assert [re.findall(r"`(\w+)`", row)[0] for row in rows] == list(KINDS), SAID
    assert text == index(rows), SAID


def test_there_is_no_file_of_a_kind_that_is_gone() -> None:
    names = {page_name(kind) for kind in KINDS}
    assert {file.stem for file in FOLDER.glob("*.md")} == names
    assert {file.name.split(".")[0] for file in (FOLDER / "examples").iterdir()} == names
    assert {file.stem for file in (FOLDER / "behaviour").iterdir()} == names | {"every-kind", "reason-codes"}


def test_every_reason_in_the_index_is_one() -> None:
    text = INDEX.read_text(encoding="utf-8")
    described = re.findall(r"^\| `(\w+)` \|", text[text.index("## Reason codes") :], re.MULTILINE)
    assert sorted(described) == sorted(set(described))
    assert {code.value for code in ReasonCode} - set(described) <= {"rebuilds_table"}, "of no kind there is"
    assert set(described) <= {code.value for code in ReasonCode}


def test_names_of_other_kinds_become_links() -> None:
    assert with_links("as `backfill`, or a backfill", folder="x/") == "as [`backfill`](x/backfill.md), or a backfill"
    assert with_links("prefer softDropColumn to dropColumn", but="dropColumn") == (
        "prefer [`softDropColumn`](soft-drop-column.md) to dropColumn"
    )


PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md"), *FOLDER.glob("*.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    local = [link.partition("#") for link in links if "://" not in link]
    missing = [f"{path}{sharp}{anchor}" for path, sharp, anchor in local if not leads(page, path, anchor)]
    assert missing == []


def leads(page: Path, path: str, anchor: str) -> bool:
    """Whether the file is there and has the heading, if one is named."""
    target = (page.parent / path).resolve() if path else page
    return target.exists() and (not anchor or anchor in anchors(target))


def anchors(page: Path) -> set[str]:
    """The anchors of its headings, as Markdown viewers make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}
