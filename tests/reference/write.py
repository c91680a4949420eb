"""Writes docs/operations.md and the page of every kind; `make docs`. It needs PostgreSQL 15 and 18, and a minute."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path

if __name__ == "__main__":  # pytest sets the path itself
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from reference.examples import plan_example, read_example
from reference.pages import INDEX, index, index_row, page, page_file
from reference.planned import Seen
from servers import SERVER_VERSIONS, PostgresServer, create_database, drop_database
from zanith.operations.step import KINDS


def look(kind: str, servers: dict[int, PostgresServer]) -> Seen:
    """Plan the example of a kind on each server, in a database of its own."""
    example = read_example(kind)
    planned = {}
    for version, server in servers.items():
        database = create_database(server)
        try:
            planned[version] = plan_example(example, database)
        finally:
            drop_database(database)
    return Seen(example, planned)


def main() -> None:
    """Write every page and the index."""
    with ExitStack() as stack:
        servers = {version: stack.enter_context(PostgresServer(version)) for version in SERVER_VERSIONS}
        found = [look(kind, servers) for kind in KINDS]
    for seen in found:
        page_file(seen.example.kind).write_text(page(seen), encoding="utf-8")
    INDEX.write_text(index([index_row(seen) for seen in found]), encoding="utf-8")


if __name__ == "__main__":
    main()
