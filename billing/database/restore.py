"""Puts a backup in the place of our SQLite file: checked first, then swapped in at once.

The service may run meanwhile: whoever asks sees all of the old file or all of the new one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from billing.database import schema
from billing.database.connection import Database
from billing.database.dialects import dialect_for
from billing.database.dialects.base import Dialect
from billing.database.dialects.sqlite_file import MAGIC, PRIVATE_MODE
from billing.database.faults import translated_errors
from billing.errors import CommandError, DatabaseError, DatabaseMisconfigured

if TYPE_CHECKING:
    from config import DatabaseURL

#: What SQLite may have left beside a copy, without which it is not whole.
_PARTS = ("", "-wal", "-journal")


class Restored(NamedTuple):
    """Where the file that was there before is now (None for none), and what was migrated."""

    kept: Path | None
    migrations: list[str]


def restore(url: DatabaseURL, timeout: float, file: Path) -> Restored:
    """Make the backup `file` the database of `url`; migrated, when it is of an older release.

    `timeout` is in seconds. Raises CommandError, nothing then changed, for a file that is no good
    backup of ours, and OSError.
    """
    if dialect_for(url).BACKUP_TOOL:
        raise CommandError("this database is on MySQL: restore what mysqldump wrote with mysql")
    _refuse_other_files(url.path, file)
    if not url.path.parent.is_dir():
        raise CommandError(f"no folder {url.path.parent}")
    with tempfile.TemporaryDirectory(dir=url.path.parent, prefix=f".{url.path.name}-") as folder:
        copy = Path(folder) / "copy.db"
        for part in _PARTS:
            if part == "" or os.path.exists(f"{file}{part}"):
                shutil.copyfile(f"{file}{part}", f"{copy}{part}")
        migrations = _make_current(dataclasses.replace(url, path=copy), timeout, file)
        kept = _swap_in(url, timeout, copy)
    # The new file is in WAL mode from now on; while others keep it busy, the next command sets it.
    with contextlib.suppress(DatabaseError), _opened(url, timeout) as database:
        database.enable_wal()
    return Restored(kept, migrations)


def _refuse_other_files(path: Path, file: Path) -> None:
    if not file.is_file():
        raise CommandError(f"no file {file}")
    if path.exists() and file.samefile(path):
        raise CommandError(f"{file} is the database itself: name a backup")
    with file.open("rb") as opened:
        if opened.read(len(MAGIC)) != MAGIC:
            raise CommandError(f"{file} is no SQLite database")


@contextlib.contextmanager
def _opened(url: DatabaseURL, timeout: float) -> Iterator[Dialect]:
    """Raises DatabaseError for what the driver raises within."""
    database = Database(url, timeout, "write")
    try:
        with translated_errors(database.peewee), database.peewee.bind_ctx(schema.MODELS):
            database.peewee.connect()
            yield database.peewee
    finally:
        database.close()


def _make_current(url: DatabaseURL, timeout: float, file: Path) -> list[str]:
    """Check the copy of `file`, and migrate it to this release's version; what was migrated."""
    try:
        with _opened(url, timeout) as database:
            if database.fetch_all("PRAGMA integrity_check(1)") != [("ok",)]:
                raise CommandError(f"{file} is damaged")
            tables = {model._meta.table_name for model in schema.MODELS}
            if not tables.issubset(database.get_tables()) or not schema.schema_version(database):
                raise CommandError(f"{file} is no backup of this service's database")
            migrations = schema.init(database).migrations
            # Whoever opens it now removes the WAL of the file before, which is not this one's.
            database.fetch_all("PRAGMA journal_mode = delete")
    except DatabaseError as error:
        raise CommandError(f"{file} is damaged: {error}") from error
    with url.path.open("rb") as copy:
        os.fsync(copy.fileno())
    return migrations


def _swap_in(url: DatabaseURL, timeout: float, copy: Path) -> Path | None:
    """Give the copy the database's path; where the file before is now."""
    path = url.path
    if not path.exists():
        copy.chmod(PRIVATE_MODE)
        copy.replace(path)
        return None
    stat = path.stat()
    copy.chmod(stat.st_mode & 0o770 | PRIVATE_MODE)
    if (stat.st_uid, stat.st_gid) != (copy.stat().st_uid, copy.stat().st_gid):
        # Root restores, and the service reads by its own account.
        os.chown(copy, stat.st_uid, stat.st_gid)
    kept = path.with_name(f"{path.name}.before-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}")
    with _writers_kept_out(url, timeout):
        # A link, so that there is no moment without a file.
        kept.hardlink_to(path)
        wal = Path(f"{path}-wal")
        if wal.exists() and wal.stat().st_size:
            Path(f"{kept}-wal").hardlink_to(wal)
        copy.replace(path)
    _sync_folder(path.parent)
    return kept


@contextlib.contextmanager
def _writers_kept_out(url: DatabaseURL, timeout: float) -> Iterator[None]:
    """No other command is writing the file that is replaced; one that cannot be read has none."""
    with contextlib.ExitStack() as stack:
        try:
            database = stack.enter_context(_opened(url, timeout))
            with translated_errors(database):
                database.empty_wal()
                stack.enter_context(database.exclusive_lock())
        except DatabaseMisconfigured:
            stack.pop_all().close()
        except DatabaseError as error:
            raise CommandError(f"the database is in use by another command: {error}") from error
        yield


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
