"""Our own tables: made, marked with a schema version, recognised, backed up."""

from __future__ import annotations

from pathlib import Path

import peewee

from billing.database.dialects.base import Dialect
from billing.database.models import SCHEMA_TABLE, Log, QuotaData, Token, User
from billing.errors import CommandError

#: Raised with every change of the tables.
SCHEMA_VERSION = 1


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
    if found < SCHEMA_VERSION:
        raise CommandError("the tables are of an older release: run `flask init`")


def init(database: Dialect) -> bool:
    """Make the tables if they are missing; whether anything changed. Safe to repeat."""
    found = schema_version(database)
    _refuse_newer(found or 0)
    if found == SCHEMA_VERSION:
        return False
    database.enable_wal()
    with database.exclusive_lock():
        found = schema_version(database)
        if found == SCHEMA_VERSION:
            return False
        _create_missing(database)
        if not SchemaVersion.update(version=SCHEMA_VERSION).execute():
            SchemaVersion.create(version=SCHEMA_VERSION)
    return True


def backup(database: Dialect, path: Path) -> None:
    """Copy the database to the new file `path`. Raises CommandError when that cannot be done."""
    if database.BACKUP_TOOL:
        raise CommandError(f"this database is on MySQL: copy it with {database.BACKUP_TOOL}")
    try:
        # Two backups to one file: the loser must not remove what the winner wrote.
        path.touch(exist_ok=False)
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
        existing = {index.name for index in database.get_indexes(meta.table_name)}
        for index in meta.fields_to_index():
            if index._name not in existing:
                database.execute(index.safe(False))


def _refuse_newer(found: int) -> None:
    if found > SCHEMA_VERSION:
        raise CommandError("the tables are of a newer release: update the service")
