"""Whose turn it is: one Job at a time per database, so many in all, first come first served.

Who works is read off the Jobs themselves, so it is known after a restart too; who waits is not kept.
"""

from __future__ import annotations

from datetime import datetime

from zanith.controller.cache import Cache, Key


class Turns:
    """Reservations and waiting lines, by database."""

    def __init__(self, cache: Cache, *, job_limit: int) -> None:
        self._cache = cache
        self._job_limit = job_limit
        self._starting: dict[Key, str] = {}
        self._lines: dict[str, list[Key]] = {}

    def waits_for(self, key: Key, database: str, now: datetime) -> str:
        """Who has to finish before this one may start a Job, in words; nothing where nobody has to."""
        working = {**dict(self._cache.jobs_at_work(now)), **self._starting}
        holder = next((other for other, its in working.items() if its == database and other != key), None)
        if holder is not None:
            return f"{holder}, which is working on the same database"
        line = self._lines.get(database, [])
        if line and line[0] != key:
            return f"{line[0]}, which is first in line for the same database"
        if len(working.keys() - {key}) >= self._job_limit:
            return f"one of the {self._job_limit} Jobs that may run at a time"
        return ""

    def reserve(self, key: Key, database: str) -> None:
        """Count a Job that is about to be created."""
        self._starting[key] = database

    def release(self, key: Key) -> None:
        """The Job was created, or was not."""
        self._starting.pop(key, None)

    def wait(self, key: Key, database: str) -> None:
        """Stand in line, keeping the place of before."""
        line = self._lines.setdefault(database, [])
        if key not in line:
            line.append(key)

    def leave(self, key: Key) -> list[Key]:
        """No longer wait; who is first in a line now and should look."""
        moved = []
        for database, line in list(self._lines.items()):
            if key in line:
                line.remove(key)
                moved += line[:1]
            if not line:
                del self._lines[database]
        return moved

    def first_in_line(self) -> list[Key]:
        """The first of every line: those to wake when a Job has ended."""
        return [line[0] for line in self._lines.values()]
