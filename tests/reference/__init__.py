"""The reference pages of the kinds: docs/operations.md and docs/operations/, written by `make docs`.

It stands with the tests because a page tells what PostgreSQL was really planned for: it needs the throw-away servers of
both versions, and what writes the pages is what the integration tests compare them with. Nothing of it is shipped.
"""
