"""A SQLite file of ours that may be lost at any time: what is wrong with it is made anew, empty."""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from billing.database.dialects.sqlite_file import PRIVATE_MODE, SIDE_FILES

#: How long a change waits for another process, in seconds.
_BUSY_SECONDS = 2.0

_LOCK_RETRY_SECONDS = 0.01

#: What the header of each such file has as SQLite's application id: only these may be removed.
_APPLICATION_ID = 0x62696C6C

_HEADER_BYTES, _ID_OFFSET = b"SQLite format 3\0", 68


class DisposableFileError(Exception):
    """The file cannot be used now; its text is for the operator's log."""


class DisposableFile:
    """Safe under threads and processes. `identity` names what the file is about.

    A file of another identity or `version`, damaged or removed, is made anew with `tables`, whose
    first, `source`, gets a row with the identity; another program's database is left as it is.
    Nothing is opened before the first use. Each transaction is one change, so that a killed process
    leaves no half of one. Raises DisposableFileError.
    """

    def __init__(self, path: Path, identity: str, version: int, tables: str) -> None:
        self.path, self._identity = path, identity
        self._version, self._tables = version, tables
        self._thread = threading.local()

    def close(self) -> None:
        """Close this thread's connection."""
        connection = getattr(self._thread, "connection", None)
        self._thread.connection = None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A transaction that sees the file as of one moment."""
        with self._transaction("BEGIN") as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that changes the file, beside no other."""
        with self._transaction("BEGIN IMMEDIATE") as connection:
            yield connection

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        connection = None
        try:
            connection = self._connection()
            connection.execute(begin)
            yield connection
            connection.execute("COMMIT")
        except DisposableFileError:
            self.close()
            raise
        except (sqlite3.Error, OSError, OverflowError, ValueError) as error:
            # Also ends the transaction.
            self.close()
            if _is_damaged(error):
                self._remove()
            raise DisposableFileError(f"{type(error).__name__}: {error} ({self.path})") from error
        except BaseException:
            self.close()
            raise

    def _connection(self) -> sqlite3.Connection:
        """This thread's connection, to the file that has the path now."""
        connection = getattr(self._thread, "connection", None)
        if connection is not None:
            with suppress(FileNotFoundError):
                if _inode(self.path) == self._thread.inode:
                    return connection  # type: ignore[no-any-return]
            self.close()
        with self._lock():
            with suppress(FileExistsError):
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, PRIVATE_MODE))
            self._thread.inode = _inode(self.path)
            self._refuse_shared()
            if self._is_foreign():
                raise DisposableFileError(f"another program's database ({self.path})")
            connection = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None)
            try:
                self._check_or_create(connection)
            except BaseException:
                connection.close()
                raise
        self._thread.connection = connection
        return connection

    def _refuse_shared(self) -> None:
        """A neighbour who may read or write the file could read figures there, or forge them."""
        status = os.lstat(self.path)
        is_private = stat.S_ISREG(status.st_mode) and not status.st_mode & ~PRIVATE_MODE & 0o777
        if not is_private or status.st_uid != os.geteuid():
            raise DisposableFileError(
                f"not a file of this account with mode 0600: remove it, or chmod it ({self.path})"
            )

    def _is_foreign(self) -> bool:
        with self.path.open("rb") as file:
            header = file.read(_ID_OFFSET + 4)
        id = int.from_bytes(header[_ID_OFFSET:], "big")
        return header.startswith(_HEADER_BYTES) and id != _APPLICATION_ID

    def _check_or_create(self, connection: sqlite3.Connection) -> None:
        if not self.path.stat().st_size:
            # Before WAL mode, so that it is in the file itself from the start.
            connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}").close()
        connection.execute("PRAGMA journal_mode = wal").close()
        connection.execute("PRAGMA synchronous = normal").close()
        connection.execute("BEGIN IMMEDIATE").close()
        ((version,),) = connection.execute("PRAGMA user_version").fetchall()
        is_empty = not connection.execute("SELECT 1 FROM sqlite_master").fetchone()
        if not is_empty and version != self._version:
            raise sqlite3.DatabaseError("another version")
        if is_empty:
            for statement in self._tables.split(";"):
                connection.execute(statement)
            connection.execute("INSERT INTO source (identity) VALUES (?)", (self._identity,))
            connection.execute(f"PRAGMA user_version = {self._version}")
        elif connection.execute("SELECT identity FROM source").fetchall() != [(self._identity,)]:
            raise sqlite3.DatabaseError("another gateway's")
        connection.execute("COMMIT").close()

    def _remove(self) -> None:
        """Remove the file, so that the next use makes a new one."""
        with suppress(OSError), self._lock():
            if _inode(self.path) != self._thread.inode or self._is_foreign():
                return  # another process made a new one
            # Side files first: beside a new file they would be another one's.
            for suffix in (*SIDE_FILES, ""):
                with suppress(FileNotFoundError):
                    os.unlink(f"{self.path}{suffix}")

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Keep other processes and threads from opening or removing the file.

        By a file of its own: closing a descriptor of the file itself would drop SQLite's locks.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(f"{self.path}-lock", flags, PRIVATE_MODE)
        try:
            end = time.monotonic() + _BUSY_SECONDS
            while not _try_lock(descriptor):
                if time.monotonic() > end:
                    raise DisposableFileError(f"{self.path}-lock is held by another process")
                time.sleep(_LOCK_RETRY_SECONDS)
            yield
        finally:
            os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _inode(path: Path) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _is_damaged(error: Exception) -> bool:
    """Whether only a new file helps: not SQLite's, torn, of another version or gateway."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return type(error) is sqlite3.DatabaseError or isinstance(error, json.JSONDecodeError)
    # Not of a statement that cannot be computed, as a sum beyond 64 bits.
    lacks_tables = str(error).startswith(("no such table", "no such column"))
    return lacks_tables or code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
