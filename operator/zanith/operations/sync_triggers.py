"""Triggers that keep the copy of a column in step with its table until the column goes.

They fire for every writer, replication included (ENABLE ALWAYS), and write with the rights of the role that migrates,
for applications have none on the copy. One function for INSERT, UPDATE, DELETE and TRUNCATE.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from psycopg import sql

from zanith.core.graph import Facts
from zanith.core.identifiers import TableKey, fit, ident, table_ident
from zanith.core.sql import render
from zanith.operations.keep_table import SHADOW

PREFIX = "_zanith_sync_"

_BODY = """
#variable_conflict use_column
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM {copy};
        RETURN NULL;
    END IF;
    IF TG_OP = 'DELETE' OR (TG_OP = 'UPDATE' AND ROW({old}) IS DISTINCT FROM ROW({new})) THEN
        DELETE FROM {copy} AS kept WHERE ROW({kept}) = ROW({old});
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO {copy} AS kept ({keys}, {column}) VALUES ({new}, NEW.{column})
        ON CONFLICT ({keys}) DO UPDATE SET {column} = EXCLUDED.{column};
    END IF;
    RETURN NULL;
END
"""


@dataclass(frozen=True, slots=True)
class SyncTriggers:
    """What keeps `copy` in step with `column` of `table`, by the columns of `key`."""

    table: TableKey
    copy: TableKey
    column: str
    key: tuple[str, ...]
    migration_id: str

    @property
    def name(self) -> str:
        """Of the function, and of the trigger for rows."""
        return fit(self._words)

    @property
    def truncated(self) -> str:
        """Of the trigger for TRUNCATE."""
        return fit(f"{self._words}_truncate")

    @property
    def _words(self) -> str:
        return f"{PREFIX}{self.table.schema}_{self.table.name}_{self.column}_{self.migration_id}"

    def made(self) -> Iterator[str]:
        """Function and triggers. The column's name is the trigger's argument: so it is found where it was left over."""
        yield render(
            sql.SQL(
                "CREATE FUNCTION {}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER "
                "SET search_path = pg_catalog, pg_temp AS {}"
            ).format(ident(SHADOW, self.name), sql.Literal(self._body()))
        )
        for name, events, each in (
            (self.name, "INSERT OR UPDATE OR DELETE", "ROW"),
            (self.truncated, "TRUNCATE", "STATEMENT"),
        ):
            yield render(
                sql.SQL("CREATE TRIGGER {} AFTER {} ON {} FOR EACH {} EXECUTE FUNCTION {}({})").format(
                    ident(name),
                    sql.SQL(events),
                    table_ident(self.table),
                    sql.SQL(each),
                    ident(SHADOW, self.name),
                    sql.Literal(self.column),
                )
            )
            always = sql.SQL("ALTER TABLE {} ENABLE ALWAYS TRIGGER {}")
            yield render(always.format(table_ident(self.table), ident(name)))

    def gone(self, *, if_exists: bool = False) -> Iterator[str]:
        """Triggers and function away."""
        for name in (self.name, self.truncated):
            yield _drop_trigger(self.table, name, if_exists=if_exists)
        yield _drop_function(self.name, if_exists=if_exists)

    def _body(self) -> str:
        def columns(row: str) -> sql.Composable:
            return sql.SQL(", ").join(sql.SQL("{}.{}").format(sql.SQL(row), ident(c)) for c in self.key)

        filled = sql.SQL(_BODY).format(
            copy=table_ident(self.copy),
            old=columns("OLD"),
            new=columns("NEW"),
            kept=columns("kept"),
            keys=sql.SQL(", ").join(map(ident, self.key)),
            column=ident(self.column),
        )
        return render(filled)


def leftovers(facts: Facts, table: TableKey, column: str, *, but: str = "") -> tuple[str, ...]:
    """Away with triggers of ours over the column that a migration which never ended left: without the column every write
    of the table would fail in them. Not those of the function `but`."""
    found = [s for s in facts.sync_triggers.get(table, ()) if s.column == column and s.function != but]
    triggers = [_drop_trigger(table, s.name) for s in found]
    return (*triggers, *(_drop_function(f) for f in dict.fromkeys(s.function for s in found)))


def _drop_trigger(table: TableKey, name: str, *, if_exists: bool = False) -> str:
    drop = sql.SQL("DROP TRIGGER {}{} ON {}")
    return render(drop.format(sql.SQL("IF EXISTS " if if_exists else ""), ident(name), table_ident(table)))


def _drop_function(name: str, *, if_exists: bool = False) -> str:
    drop = sql.SQL("DROP FUNCTION {}{}()")
    return render(drop.format(sql.SQL("IF EXISTS " if if_exists else ""), ident(SHADOW, name)))
