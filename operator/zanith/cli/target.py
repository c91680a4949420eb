"""Which database a command is for, and the connections to it. A DSN is never echoed, logged or put into an error.

`--dsn` shows in the process list of the machine, so a file or the environment can hold it instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from psycopg import Connection

from zanith.core.errors import SpecError
from zanith.postgres.connecting import ConnectionSettings, connect

ENVIRONMENT_VARIABLE = "ZANITH_DSN"
APPLICATION_NAME = "zanith cli"


def choose_dsn(dsn: str | None, dsn_file: str | None, environment: Mapping[str, str]) -> str:
    """The DSN of `--dsn`, else of the file, else of the environment. Raises SpecError where there is none, or two."""
    if dsn is not None and dsn_file is not None:
        raise SpecError("--dsn and --dsn-file: give one of them")
    if dsn_file is not None:
        try:
            dsn = Path(dsn_file).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise SpecError(f"--dsn-file: {dsn_file} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise SpecError(f"--dsn-file: {dsn_file} is not UTF-8 text") from None
    elif dsn is None:
        dsn = environment.get(ENVIRONMENT_VARIABLE, "")
    if not dsn:
        raise SpecError(f"which database? Give --dsn, --dsn-file or {ENVIRONMENT_VARIABLE}")
    if not dsn.isprintable():
        # Also what the terminal could not decode: it would fail deep inside, with the DSN in the traceback's reach.
        raise SpecError("the DSN is not a line of UTF-8 text")
    return dsn


class Target:
    """The database, and one connection per `spec.database.schema`, opened when first asked for; `with` closes them."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._open = ExitStack()
        self._connections: dict[str, Connection[Any]] = {}

    def __enter__(self) -> Target:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._open.close()

    def settings(self, schema: str) -> ConnectionSettings:
        """How to reach it for a migration of this schema. Raises SpecError where the DSN is none."""
        return ConnectionSettings.from_dsn(self._dsn, schema)

    def connection(self, schema: str) -> Connection[Any]:
        """An autocommit connection for this schema. Raises NotYet or SpecError as `connect` does."""
        if schema not in self._connections:
            conn = connect(self.settings(schema), application_name=APPLICATION_NAME)
            self._open.callback(conn.close)
            self._connections[schema] = conn
        return self._connections[schema]
