"""Rows that are a record: refused to be changed or deleted by the model, and by the database itself."""

from __future__ import annotations

from typing import Any, NoReturn

from django.db import migrations, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


class AppendOnlyError(RuntimeError):
    """A row that is a record was about to be changed."""


class AppendOnlyQuerySet(models.QuerySet[Any, Any]):
    """Reads and adds; no update, no delete."""

    def _refuse(self) -> NoReturn:
        raise AppendOnlyError(f"{self.model._meta.verbose_name_plural} are append-only; add a new row instead")  # noqa: SLF001

    def update(self, **kwargs: Any) -> NoReturn:
        self._refuse()

    def delete(self) -> NoReturn:
        self._refuse()

    def bulk_update(self, *args: Any, **kwargs: Any) -> NoReturn:
        self._refuse()


class AppendOnlyModel(models.Model):
    """A record. Its table needs `append_only_table` in a migration, so that plain SQL cannot change it either."""

    objects = AppendOnlyQuerySet.as_manager()

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise AppendOnlyError(f"a {self._meta.verbose_name} is never changed; add a new one instead")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        raise AppendOnlyError(f"a {self._meta.verbose_name} is never deleted")


_REFUSE = "BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
_SAME = "SELECT 1 FROM {table} WHERE id = NEW.id"
_SQLITE = (
    f"CREATE TRIGGER {{table}}_no_update BEFORE UPDATE ON {{table}} {_REFUSE}",
    f"CREATE TRIGGER {{table}}_no_delete BEFORE DELETE ON {{table}} {_REFUSE}",
    # INSERT OR REPLACE takes the old row away without asking a trigger for deletions.
    f"CREATE TRIGGER {{table}}_no_replace BEFORE INSERT ON {{table}} WHEN EXISTS ({_SAME}) {_REFUSE}",
)
_RAISE = "RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation'"
_FUNCTION = "palimpsest_append_only()"
_RUN = f"EXECUTE FUNCTION {_FUNCTION}"
_POSTGRESQL = (
    f"CREATE OR REPLACE FUNCTION {_FUNCTION} RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {_RAISE}; END $$",
    f"CREATE TRIGGER {{table}}_no_update BEFORE UPDATE OR DELETE ON {{table}} FOR EACH ROW {_RUN}",
    f"CREATE TRIGGER {{table}}_no_delete BEFORE TRUNCATE ON {{table}} {_RUN}",
)


def guards_make(connection: BaseDatabaseWrapper, table: str) -> list[str]:
    """SQL that makes the database refuse changes of `table`, for SQLite and PostgreSQL."""
    statements = {"sqlite": _SQLITE, "postgresql": _POSTGRESQL}[connection.vendor]
    return [statement.format(table=table) for statement in statements]


def guards_drop(connection: BaseDatabaseWrapper, table: str) -> list[str]:
    """SQL that takes the guards of `table` away again."""
    if connection.vendor == "sqlite":
        return [f"DROP TRIGGER IF EXISTS {table}_no_{what}" for what in ("update", "delete", "replace")]
    return [f"DROP TRIGGER IF EXISTS {table}_no_{what} ON {table}" for what in ("update", "delete")]


def append_only_table(table: str) -> migrations.RunPython:
    """A migration's operation: from here on the database refuses UPDATE and DELETE on `table`.

    SQLite rebuilds a table to alter it and drops its triggers then: such a migration ends with this operation again.
    """

    def guard(_: Any, editor: BaseDatabaseSchemaEditor) -> None:
        for statement in [*guards_drop(editor.connection, table), *guards_make(editor.connection, table)]:
            editor.execute(statement, params=None)

    def unguard(_: Any, editor: BaseDatabaseSchemaEditor) -> None:
        for statement in guards_drop(editor.connection, table):
            editor.execute(statement, params=None)

    return migrations.RunPython(guard, unguard)
