"""SQLite: a file, opened by the service so that no statement can write."""

from __future__ import annotations

import json
import logging
import re
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import peewee

from billing.database.dialects.base import READ_ONLY, Access, Dialect, ThreadState
from billing.database.dialects.sqlite_file import (
    CLOCK_STEP_SECONDS,
    PRIVATE_MODE,
    SQLiteFile,
    change_counter,
    has_no_wal,
    is_wal,
)
from billing.database.faults import driver_error
from billing.database.models import SCHEMA_TABLE

if TYPE_CHECKING:
    from config import DatabaseURL

#: Where Peewee says what it executes.
_peewee_log = logging.getLogger("peewee")

#: On an attached file no statement may hold its read lock longer, in seconds: one-api loses a
#: wallet's decrement beside a lock of 3.5 s, new-api locks itself out for a minute
#: (docs/gateways.md section 6).
_ATTACHED_STATEMENT_LIMIT = 2.0

#: SQLite's virtual machine instructions between two looks at the clock.
_PROGRESS_INTERVAL = 20_000

#: How long a reader sleeps between two attempts to lock the file, in seconds, and which share of
#: the time that it has waited. SQLite's own wait sleeps for up to 100 ms: beside a gateway that
#: commits all the time it meets no moment between two commits, for seconds.
_SHORTEST_LOCK_SLEEP, _LONGEST_LOCK_SLEEP, _LOCK_SLEEP_SHARE = 0.0002, 0.001, 0.005

#: How long a change of the journal mode, or the end of a WAL, may wait for other connections.
_WAL_SECONDS = 5.0
_WAL_RETRY_SECONDS = 0.05

_NO_GATEWAY = (
    "in WAL mode without its -wal and -shm, so the gateway is not running: reading would make them,"
    " owned by this service, and the gateway could not write: start the gateway"
)
_OURS = "the database is our own: BILLING_MODE=attached is for a gateway's"
_FOREIGN_WAL = (
    "not in WAL mode, but a -wal is beside it, of the file that was there before: stop the gateway"
    " and remove -wal and -shm"
)
_REPLACED = "replaced by another file while this command ran: this transaction is not recorded"
_STALE_CONNECTIONS = (
    "connections opened before the file was overwritten still hold it: restart the service, or"
    " restore the copy by `flask restore FILE`"
)

_COLUMNS_SQL = """
SELECT entry.name, field.name FROM sqlite_master AS entry
JOIN pragma_table_info(entry.name) AS field
WHERE entry.name IN (SELECT value FROM json_each(?))
"""


T = TypeVar("T")


def _decode(text: bytes) -> str:
    return text.decode(errors="replace")


class SQLite(Dialect, peewee.SqliteDatabase):
    """Any number of threads and processes may open the same file."""

    DRIVER = ("sqlite3", sqlite3.sqlite_version)
    ERRORS = (sqlite3.Error,)
    VERSION_SQL = "SELECT 'SQLite ' || sqlite_version()"
    CLOCK_SQL = "SELECT (julianday('now') - 2440587.5) * 86400"
    # A transaction that reads before it writes must lock from the start.
    BEGIN_MODE = ("IMMEDIATE",)

    _TRANSIENT_CODES: ClassVar = {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_READONLY,
    }

    def __init__(self, url: DatabaseURL, access: Access, state: ThreadState) -> None:
        # What may write moves the WAL into the file when it closes as the last: for a reader that
        # could be the WAL of the file that was there before `cp`.
        mode = "ro" if access in READ_ONLY else "rw"
        self._uri = f"{url.path.as_uri()}?mode={mode}"
        self._file = SQLiteFile(url.path)
        super().__init__(url, access, state, str(url.path))

    def _connect(self) -> sqlite3.Connection:
        thread, file = self._thread, self._file
        if self._access == "create":
            file.create()
        before = file.state()
        with ExitStack() as until_read:
            if self._side_files_are_wrong():
                until_read.enter_context(file.shared_lock(thread.connect_timeout))
                self._check_side_files()
            connection = self._open()
        after = file.state()
        if after is not None:
            if before != after:
                after = after._replace(inode_changed_at=0)  # equals no later state
            elif not after.is_settled():
                thread.file_settles_at = time.monotonic() + CLOCK_STEP_SECONDS
        thread.file, thread.change_counter = after, change_counter(file.header())
        return connection

    def _open(self) -> sqlite3.Connection:
        """A connection that has read, so that in WAL mode it keeps the side files from now on."""
        thread, reads_only = self._thread, self._access in READ_ONLY
        timeout = 0.0 if reads_only else thread.connect_timeout
        connection = sqlite3.connect(self._uri, uri=True, timeout=timeout, isolation_level=None)
        thread.statement_limit = timeout

        def read() -> None:
            connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").close()

        try:
            if reads_only:
                connection.execute("PRAGMA query_only = 1").close()
                connection.set_progress_handler(self._is_overdue, _PROGRESS_INTERVAL)
                self._when_unlocked(read, thread.connect_timeout)
            else:
                connection.text_factory = _decode
                read()
        except BaseException:
            connection.close()
            raise
        return connection

    def fetch_all(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        if not self._is_reader:
            return self._fetch_decoded(sql, parameters)
        thread = self._thread
        thread.require_time_for_answer()
        thread.statement_started_at = time.monotonic()
        try:
            return self._fetch_rows(sql, parameters)
        except (peewee.OperationalError, sqlite3.OperationalError) as error:
            if not (_is_locked(error) or _is_undecodable(error)):
                raise
        return self._when_unlocked(
            lambda: self._fetch_decoded(sql, parameters), thread.seconds_left()
        )

    def _when_unlocked(self, read: Callable[[], T], seconds: float) -> T:
        """What `read` returns, repeated for so many seconds while another has the file locked."""
        began = time.monotonic()
        while True:
            self._thread.statement_started_at = time.monotonic()
            try:
                return read()
            except (peewee.OperationalError, sqlite3.OperationalError) as error:
                waited = time.monotonic() - began
                if not _is_locked(error) or waited > seconds:
                    raise
            sleep = min(waited * _LOCK_SLEEP_SHARE, _LONGEST_LOCK_SLEEP)
            time.sleep(max(sleep, _SHORTEST_LOCK_SLEEP))

    def _fetch_decoded(self, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Text that is not UTF-8 is read with U+FFFD in it.

        By a second attempt: a decoder of ours would make every read slower.
        """
        try:
            return self._fetch_rows(sql, parameters)
        except (peewee.OperationalError, sqlite3.OperationalError) as error:
            if not _is_undecodable(error):
                raise
        connection = self.connection()
        connection.text_factory = _decode
        try:
            return self._fetch_rows(sql, parameters)
        finally:
            connection.text_factory = str

    def _fetch_rows(self, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        """By the driver's connection: Peewee's cursor and its errors would cost 2 µs."""
        _peewee_log.debug((sql, parameters))
        rows: list[tuple[Any, ...]] = self.connection().execute(sql, parameters).fetchall()
        return rows

    def _side_files_are_wrong(self) -> bool:
        """Whether `_check_side_files` may have something to do; looked at without a lock."""
        header = self._file.header()
        if self._access == "attached" and is_wal(header):
            return True
        return has_no_wal(header) and self._file.side_files() > 0

    def _check_side_files(self) -> None:
        """Let SQLite apply no other file's WAL, nor make files in another program's folder.

        A file that is not in WAL mode has no WAL: `cp` of a backup leaves that of the file before.
        """
        header, side_files = self._file.header(), self._file.side_files()
        if self._access != "attached":
            if has_no_wal(header):
                self._file.remove_side_files()
        elif is_wal(header) and side_files < 2:
            raise sqlite3.OperationalError(_OURS) if self._is_ours() else _refusal(_NO_GATEWAY)
        elif has_no_wal(header) and side_files:
            raise _refusal(_FOREIGN_WAL)

    def _is_ours(self) -> bool:
        """Whether the file is our own. No process writes it, and immutable makes no side files."""
        connection = sqlite3.connect(f"{self._uri}&immutable=1", uri=True)
        with closing(connection):
            table = "SELECT 1 FROM sqlite_master WHERE name = ?"
            return connection.execute(table, (SCHEMA_TABLE,)).fetchone() is not None

    def is_replaced(self) -> bool:
        thread, state = self._thread, self._file.state()
        known = thread.file
        if state == known:
            if thread.file_settles_at and time.monotonic() > thread.file_settles_at:
                thread.file_settles_at = 0.0
                # Drop the pages that were read while the file may have been changing unseen.
                self.connection().execute("PRAGMA shrink_memory").close()
            return False
        if self._access != "attached" or state is None or known is None:
            return True
        # A gateway outside WAL mode changes its file with every write, and SQLite notices that by
        # the counter: only what left the counter alone is another file.
        header = self._file.header()
        if state[:2] != known[:2] or is_wal(header) or self._file.side_files():
            return True
        counter = change_counter(header)
        if counter == thread.change_counter:
            return True
        thread.file, thread.change_counter = state, counter
        return False

    def _is_another_file(self) -> bool:
        state, known = self._file.state(), self._thread.file
        return state is None or known is None or state[:2] != known[:2]

    def columns_of(self, tables: Sequence[str]) -> list[tuple[str, str]]:
        return self.fetch_all(_COLUMNS_SQL, json.dumps(list(tables)))

    def _is_overdue(self) -> bool:
        """End a statement that takes too long; the look at the clock costs nothing measurable."""
        now, thread = time.monotonic(), self._thread
        if self._access == "attached":
            return now > min(
                thread.deadline, thread.statement_started_at + _ATTACHED_STATEMENT_LIMIT
            )
        return now > thread.deadline

    @classmethod
    def is_permanent(cls, error: Exception) -> bool:
        # The low byte is the primary code; errors of the module itself carry none.
        code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        return code & 0xFF not in cls._TRANSIENT_CODES

    @classmethod
    def is_statement_timeout(cls, error: Exception) -> bool:
        return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT

    @classmethod
    def is_missing_table(cls, error: Exception) -> bool:
        return str(error).startswith("no such table")

    @contextmanager
    def write_transaction(self) -> Iterator[None]:
        with super().write_transaction():
            if self._is_another_file():
                raise _refusal(_REPLACED)
            yield

    def is_wal_missing(self) -> bool:
        return self._access != "attached" and has_no_wal(self._file.header())

    def blocks_writers(self) -> bool:
        return not is_wal(self._file.header())

    @classmethod
    def error_text(cls, error: Exception) -> str:
        text = super().error_text(error)
        # The rest is the column's text, a user's settings and their secrets say.
        return re.sub("(Could not decode to UTF-8).*", r"\1", text)

    def enable_wal(self) -> None:
        """Set WAL mode, which the file remembers."""
        if is_wal(self._file.header()):
            return
        end = time.monotonic() + _WAL_SECONDS
        with self._short_busy_timeout():
            while True:
                try:
                    self.pragma("journal_mode", "wal")
                    return
                except peewee.OperationalError as error:
                    # Beside another command this is refused at once, whatever the time limit.
                    if time.monotonic() > end:
                        raise _refusal(_STALE_CONNECTIONS) from error
                    time.sleep(_WAL_RETRY_SECONDS)

    def empty_wal(self) -> None:
        """Move all of the WAL into the file, so that a `-wal` beside a restored one is empty."""
        if self.is_closed() or self._is_another_file() or not self._file.wal_size():
            return
        with self._short_busy_timeout(), suppress(peewee.PeeweeException, sqlite3.Error):
            self.fetch_all("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextmanager
    def _short_busy_timeout(self) -> Iterator[None]:
        """Wait for locks no longer than WAL mode is worth, and not the minute of a writer."""
        self.pragma("busy_timeout", int(_WAL_SECONDS * 1000 / 10))
        try:
            yield
        finally:
            self.pragma("busy_timeout", int(self._thread.statement_limit * 1000))

    def readable_by_others(self) -> list[str]:
        if self._access == "attached":
            return []
        return [path for path, mode in self._file.modes() if mode & ~PRIVATE_MODE]

    def backup_to(self, path: Path) -> None:
        try:
            self.fetch_all("VACUUM INTO ?", str(path))
        except BaseException:
            path.unlink(missing_ok=True)
            raise


def _is_locked(error: Exception) -> bool:
    """Whether another holds the file's lock."""
    code: int = getattr(driver_error(error), "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return code & 0xFF == sqlite3.SQLITE_BUSY


def _is_undecodable(error: Exception) -> bool:
    """Whether a text is not UTF-8."""
    return str(error).startswith("Could not decode")


def _refusal(text: str) -> sqlite3.OperationalError:
    """What we refuse to open, as the driver would: a retry can help."""
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
    return error
