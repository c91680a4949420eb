"""What PostgreSQL's printing functions answered, as the graph keeps it. Pure."""

from __future__ import annotations

import hashlib

from zanith.core.graph_forms import settled


class CatalogChanged(Exception):
    """An object went away between two queries; read again."""


def printed(text: str | None) -> str:
    """A definition in its settled form. Raises CatalogChanged for NULL, which is printed of an object that is gone."""
    return settled(verbatim(text))


def verbatim(text: str | None) -> str:
    """A text that is not PostgreSQL's, as the source of a function. Raises as above."""
    if text is None:
        raise CatalogChanged
    return text


def text_hash(text: str) -> str:
    """Stands for a text that is not kept."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]
