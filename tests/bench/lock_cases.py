"""What the lock benchmark runs, kind by kind: data only. A kind without an entry is reported as not measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

SETUP = """
CREATE TABLE accounts (
    id bigint PRIMARY KEY, email text NOT NULL, age integer NOT NULL, code integer, parent bigint, made timestamp,
    label varchar(20), note text, CONSTRAINT accounts_label_key UNIQUE (id, label)
);
INSERT INTO accounts SELECT n, 'user' || n || '@example.org', n % 90, n, n, now(), 'l' || n % 100, 'note'
    FROM generate_series(1, 2000000) n;
CREATE INDEX accounts_made ON accounts (made);
CREATE TABLE spare (id bigint PRIMARY KEY, account_id bigint NOT NULL, note text, old text);
INSERT INTO spare SELECT n, n, 'note', 'old' FROM generate_series(1, 2000000) n;
ALTER TABLE spare ADD CONSTRAINT spare_account FOREIGN KEY (account_id) REFERENCES accounts;
CREATE POLICY readers ON accounts USING (age > 17);
VACUUM ANALYZE accounts, spare;
"""
"""Two tables of 2 million rows, one referencing the other."""


@dataclass(frozen=True)
class LockCase:
    """One kind. `naive` is what one would write by hand, where that is another thing; `why` tells why a strong lock is
    held for long, where it is."""

    kind: str
    arguments: dict[str, Any]
    setup: str = ""
    naive: str = ""
    note: str = ""
    why: str = ""
    runs: int = 3

    @property
    def step(self) -> dict[str, Any]:
        return {self.kind: self.arguments}


def _on(**arguments: Any) -> dict[str, Any]:
    return {"table": "accounts", **arguments}


CASES = (
    LockCase("createTable", {"table": "fresh", "columns": [{"name": "id", "type": "bigint"}, {"name": "account", "type": "bigint"}],
                             "primaryKey": ["id"],
                             "foreignKeys": [{"columns": ["account"], "referencesTable": "accounts", "referencesColumns": ["id"]}]},
             note="with a foreign key"),
    LockCase("addColumn", _on(column="added", type="integer", default="7", nullable=False), note="NOT NULL DEFAULT 7"),
    LockCase("addColumn", _on(column="added", type="uuid", default="gen_random_uuid()", nullable=False), runs=1,
             naive="ALTER TABLE accounts ADD COLUMN added uuid NOT NULL DEFAULT gen_random_uuid()",
             note="NOT NULL, a default that differs from row to row; backfilled; one run"),
    LockCase("addGeneratedColumn", _on(column="doubled", type="integer", expression="age * 2", storage="Stored"),
             why="PostgreSQL computes a stored column for every row in one rewrite; no ALTER makes one of an ordinary column"),
    LockCase("addIndex", _on(columns=["code"]), naive="CREATE INDEX ON accounts (code)"),
    LockCase("dropIndex", {"name": "accounts_made"}, naive="DROP INDEX accounts_made"),
    LockCase("addUnique", _on(columns=["email"]), naive="ALTER TABLE accounts ADD UNIQUE (email)"),
    LockCase("dropUnique", _on(name="accounts_label_key")),
    LockCase("addForeignKey", _on(columns=["parent"], referencesTable="accounts", referencesColumns=["id"]),
             naive="ALTER TABLE accounts ADD FOREIGN KEY (parent) REFERENCES accounts (id)"),
    LockCase("dropForeignKey", {"table": "spare", "name": "spare_account"}),
    LockCase("alterColumnNullable", _on(column="note", nullable=False),
             naive="ALTER TABLE accounts ALTER COLUMN note SET NOT NULL"),
    LockCase("alterColumnType", _on(column="code", type="bigint", method="InPlace"),
             why="PostgreSQL writes the table anew under the lock; `method: InPlace` is the only one for now"),
    LockCase("alterColumnDefault", _on(column="age", default="18")),
    LockCase("renameTable", {"table": "spare", "newName": "spared"}, note="the application's statements fail from then on"),
    LockCase("renameColumn", _on(column="note", newName="remark")),
    LockCase("backfill", _on(set={"label": "'x'"}, where="id <= 200000 AND label IS DISTINCT FROM 'x'"),
             naive="UPDATE accounts SET label = 'x' WHERE id <= 200000", note="200,000 of the rows"),
    LockCase("softDropColumn", _on(column="note")),
    LockCase("dropColumn", _on(column="note")),
    LockCase("softDropTable", {"table": "spare"}, note="the application's statements fail from then on"),
    LockCase("archiveColumn", _on(column="made"), runs=1, note="copied in batches; one run",
             naive="CREATE TABLE kept AS SELECT id, made FROM accounts; ALTER TABLE accounts DROP COLUMN made"),
    LockCase("archiveTable", {"table": "spare"}, note="the application's statements fail from then on"),
    LockCase("dropTable", {"table": "spare"}, note="the application's statements fail from then on"),
    LockCase("createExtension", {"name": "pg_trgm"}),
    LockCase("dropExtension", {"name": "pg_trgm"}, setup="CREATE EXTENSION pg_trgm"),
    LockCase("enableRls", {"table": "spare"}, note="the application owns the table"),
    LockCase("disableRls", {"table": "spare"}, setup="ALTER TABLE spare ENABLE ROW LEVEL SECURITY"),
    LockCase("createPolicy", _on(name="adults", using="age > 17")),
    LockCase("dropPolicy", _on(name="readers")),
    LockCase("rawSql", {"sql": "ALTER TABLE accounts ADD CONSTRAINT aged CHECK (age >= 0) NOT VALID"},
             naive="ALTER TABLE accounts ADD CONSTRAINT aged CHECK (age >= 0)", note="a CHECK, NOT VALID"),
)  # fmt: skip
