"""Our own tables: made, migrated, marked with a schema version, recognised, backed up."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import peewee

from billing.database.dialects.base import Dialect
from billing.database.dialects.sqlite_file import PRIVATE_MODE
from billing.database.migrations import MIGRATIONS, add_index
from billing.database.models import SCHEMA_TABLE, Log, QuotaData, Token, User
from billing.errors import CommandError

#: The version of tables before any migration.
_FIRST_VERSION = 1


def newest_version() -> int:
    """The schema version that this release makes and needs."""
    return MIGRATIONS[-1].version if MIGRATIONS else _FIRST_VERSION


class SchemaVersion(peewee.Model):
    """One row, in our own databases only; none while the tables are being made."""

    version = peewee.IntegerField()

    class Meta:
        table_name = SCHEMA_TABLE


MODELS = (SchemaVersion, User, Token, Log, QuotaData)


def schema_version(database: Dialect) -> int | None:
    """The schema version of our database, None of an empty one.

    Raises CommandError for a database that is not empty and not ours.
    """
    tables = database.get_tables()
    if SchemaVersion._meta.table_name in tables:
        return SchemaVersion.select(peewee.fn.MAX(SchemaVersion.version)).scalar() or 0
    if tables:
        raise CommandError(
            "this database has tables, but not ours: nothing was touched. To answer from a "
            "running gateway's database set BILLING_MODE=attached; else name an empty database"
        )
    return None


def check_version(database: Dialect) -> None:
    """Raises CommandError unless the database has our tables, at this version."""
    found = schema_version(database)
    if not found:
        raise CommandError("the database does not hold our tables yet: run `flask init`")
    _refuse_newer(found)
    if found < newest_version():
        raise CommandError("the tables are of an older release: run `flask init`")


class InitResult(NamedTuple):
    """What `init` did: made the tables, or applied the migrations of those descriptions."""

    created: bool
    migrations: list[str]


def init(database: Dialect) -> InitResult:
    """Make the tables if they are missing, or bring older ones up to date. Safe to repeat.

    Each migration is recorded with the version that it leads to, so that one which was killed half
    way is applied again. Raises CommandError for tables that are not ours, or newer.
    """
    found = schema_version(database)
    _refuse_newer(found or 0)
    # Also of tables that need nothing: a restored backup is not in WAL mode.
    database.enable_wal()
    if found == newest_version():
        return InitResult(False, [])
    with database.exclusive_lock():
        found = schema_version(database)
        if not found:
            _create_missing(database)
            _set_version(newest_version())
            return InitResult(True, [])
        due = [migration for migration in MIGRATIONS if migration.version > found]
        for migration in due:
            migration.apply(database)
            _set_version(migration.version)
        return InitResult(False, [migration.description for migration in due])


def _set_version(version: int) -> None:
    if not SchemaVersion.update(version=version).execute():
        SchemaVersion.create(version=version)


def backup(database: Dialect, path: Path) -> None:
    """Copy the database to the new file `path`. Raises CommandError when that cannot be done."""
    if database.BACKUP_TOOL:
        raise CommandError(f"this database is on MySQL: copy it with {database.BACKUP_TOOL}")
    try:
        # Two backups to one file: the loser must not remove what the winner wrote.
        path.touch(mode=PRIVATE_MODE, exist_ok=False)
    except FileExistsError as error:
        raise CommandError(f"{path} exists already: name a new file") from error
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror}") from error
    database.backup_to(path)


def _create_missing(database: Dialect) -> None:
    """Create the tables and indexes that are not there; safe to repeat after a crash."""
    for model in MODELS:
        meta, schema = model._meta, peewee.SchemaManager(model, database)
        meta.table_settings = database.TABLE_SETTINGS
        try:
            schema.create_table(safe=True)
        finally:
            meta.table_settings = None
        for index in meta.fields_to_index():
            add_index(database, model, index)


def _refuse_newer(found: int) -> None:
    if found > newest_version():
        raise CommandError("the tables are of a newer release: update the service")
