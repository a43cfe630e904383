"""Our own tables: made, marked with a schema version, recognised, copied."""

from __future__ import annotations

from pathlib import Path

import peewee

from billing.database import dialects
from billing.database.models import Log, QuotaData, Token, User
from billing.errors import CommandError

#: Raised with every change of the tables; `init` brings older databases up to it.
VERSION = 1


class Marker(peewee.Model):
    """One row, in our own databases only; none while the tables are being made."""

    version = peewee.IntegerField()

    class Meta:
        table_name = "billing_schema"


MODELS = (Marker, User, Token, Log, QuotaData)


def version(database: peewee.Database) -> int | None:
    """The schema version of our database, None of an empty one.

    Raises CommandError for a database that is not empty and not ours.
    """
    tables = database.get_tables()
    if Marker._meta.table_name in tables:
        return Marker.select(peewee.fn.MAX(Marker.version)).scalar() or 0
    if tables:
        raise CommandError(
            "this database has tables, but not ours: nothing was touched. To answer from a "
            "running gateway's database set BILLING_MODE=attached; else name an empty database"
        )
    return None


def check(database: peewee.Database) -> None:
    """Raises CommandError unless the database has our tables, at this version."""
    found = version(database)
    if not found:
        raise CommandError("the database does not hold our tables yet: run `flask init`")
    _not_newer(found)
    if found < VERSION:
        raise CommandError("the tables are of an older release: run `flask init`")


def init(database: peewee.Database) -> bool:
    """Make the tables if they are missing; whether anything changed. Safe to repeat."""
    found = version(database)
    _not_newer(found or 0)
    if found == VERSION:
        return False
    dialects.keep_readers_free(database)
    with dialects.alone(database):
        found = version(database)
        if found == VERSION:
            return False
        dialects.create_missing(database, MODELS)
        if not Marker.update(version=VERSION).execute():
            Marker.create(version=VERSION)
    return True


def backup(database: peewee.Database, path: Path) -> None:
    """Raises CommandError when there is no copying to `path`."""
    if not isinstance(database, peewee.SqliteDatabase):
        raise CommandError("this database is on MySQL: copy it with mysqldump --single-transaction")
    try:
        # Two backups to one file: the loser must not remove what the winner wrote.
        path.touch(exist_ok=False)
    except FileExistsError as error:
        raise CommandError(f"{path} exists already: name a new file") from error
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror}") from error
    dialects.copy_to(database, path)


def _not_newer(found: int) -> None:
    if found > VERSION:
        raise CommandError("the tables are of a newer release: update the service")
