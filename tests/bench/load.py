"""An application at work on the benchmark's tables: two readers and two writers, each in a transaction per statement.

    python -m bench.load DSN

Says `ready`, goes on until its standard input ends, then tells in JSON how many statements it ran, the longest wait of
any, and errors by SQLSTATE. A table that is taken away is an error like any other; the application goes on.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

import psycopg

ROWS = 2_000_000
PAUSE_S = 0.002

STATEMENTS = (
    ("SELECT email, age FROM accounts WHERE id = %s", "SELECT id, account_id FROM spare WHERE id = %s"),
    ("UPDATE accounts SET age = age + 1 WHERE id = %s", "UPDATE spare SET note = 'seen' WHERE id = %s"),
)


@dataclass
class Client:
    """One session and what it has seen. Waits are in seconds."""

    statements: int = 0
    waits: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)

    def run(self, dsn: str, texts: tuple[str, ...], stop: threading.Event, ready: threading.Barrier) -> None:
        chosen = random.Random()
        with psycopg.connect(dsn, autocommit=True, prepare_threshold=None) as conn:
            ready.wait()
            while not stop.is_set():
                text = texts[self.statements % len(texts)]
                began = time.perf_counter()
                try:
                    conn.execute(text.encode(), [chosen.randint(1, ROWS)])
                except psycopg.Error as error:
                    self.errors[error.sqlstate or "connection"] += 1
                took = time.perf_counter() - began
                self.statements += 1
                if not self.waits or took > min(self.waits):
                    self.waits = sorted([*self.waits, took])[-5:]
                time.sleep(PAUSE_S)


def main(dsn: str) -> int:
    stop = threading.Event()
    clients = [Client() for _ in range(4)]
    ready = threading.Barrier(len(clients) + 1)
    threads = [
        threading.Thread(target=client.run, args=(dsn, STATEMENTS[number % 2], stop, ready))
        for number, client in enumerate(clients)
    ]
    for thread in threads:
        thread.start()
    ready.wait()
    print("ready", flush=True)
    sys.stdin.read()
    stop.set()
    for thread in threads:
        thread.join()
    errors: Counter[str] = Counter()
    for client in clients:
        errors.update(client.errors)
    longest = max((max(c.waits) for c in clients if c.waits), default=0.0)
    print(json.dumps({"statements": sum(c.statements for c in clients), "longest_s": longest, "errors": errors}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
