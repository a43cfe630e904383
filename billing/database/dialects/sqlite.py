"""SQLite: a file, opened by the service so that no statement can write."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import peewee

from billing.database.dialects.base import READ_ONLY, Access, Dialect, ThreadState

if TYPE_CHECKING:
    from config import DatabaseURL

#: On an attached file no statement may hold its read lock longer, in seconds: one-api loses a
#: wallet's decrement beside a lock of 3.5 s, new-api locks itself out for a minute
#: (docs/gateways.md section 6).
_ATTACHED_STATEMENT_LIMIT = 2.0

#: SQLite's virtual machine instructions between two looks at the clock.
_PROGRESS_INTERVAL = 20_000

#: A lock may be waited for this many seconds past what a request has left.
_BUSY_TIMEOUT_TOLERANCE = 0.25

_WAL_ATTEMPTS = 100
_WAL_RETRY_SECONDS = 0.05


_COLUMNS_SQL = """
SELECT entry.name, field.name FROM sqlite_master AS entry
JOIN pragma_table_info(entry.name) AS field
WHERE entry.name IN (SELECT value FROM json_each(?))
"""


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
        # Our own file is in WAL mode, where even reading it needs the right to write beside it.
        mode = {"attached": "ro", "create": "rwc"}.get(access, "rw")
        self._uri = f"{url.path.as_uri()}?mode={mode}"
        super().__init__(url, access, state, str(url.path))

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._uri, uri=True, timeout=self._thread.connect_timeout, isolation_level=None
        )
        self._thread.statement_limit = self._thread.connect_timeout
        if self._access in READ_ONLY:
            connection.execute("PRAGMA query_only = 1").close()
            connection.set_progress_handler(self._is_overdue, _PROGRESS_INTERVAL)
        else:
            connection.text_factory = _decode
        return connection

    def fetch_all(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Text that is not UTF-8 is read with U+FFFD in it.

        By a second attempt: a decoder of ours would make every read slower.
        """
        try:
            return super().fetch_all(sql, *parameters)
        except (peewee.OperationalError, sqlite3.OperationalError) as error:
            if not str(error).startswith("Could not decode"):
                raise
        connection = self.connection()
        connection.text_factory = _decode
        try:
            return super().fetch_all(sql, *parameters)
        finally:
            connection.text_factory = str

    def begin_statement(self, sql: str) -> str:
        thread = self._thread
        thread.statement_started_at = time.monotonic()
        left = thread.seconds_left()
        # SQLite waits for locks in a loop of its own, which no progress handler ends.
        if abs(thread.statement_limit - left) > _BUSY_TIMEOUT_TOLERANCE:
            self.execute_sql(f"PRAGMA busy_timeout = {int(left * 1000)}").close()
            thread.statement_limit = left
        return sql

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

    @classmethod
    def error_text(cls, error: Exception) -> str:
        text = super().error_text(error)
        # The rest is the column's text, a user's settings and their secrets say.
        return re.sub("(Could not decode to UTF-8).*", r"\1", text)

    def enable_wal(self) -> None:
        """Set WAL mode, which the file remembers."""
        for attempt in range(1, _WAL_ATTEMPTS + 1):
            try:
                self.pragma("journal_mode", "wal")
                return
            except peewee.OperationalError:
                # Beside another command this is refused at once, whatever the time limit.
                if attempt == _WAL_ATTEMPTS:
                    raise
                time.sleep(_WAL_RETRY_SECONDS)

    def backup_to(self, path: Path) -> None:
        try:
            self.fetch_all("VACUUM INTO ?", str(path))
        except BaseException:
            path.unlink(missing_ok=True)
            raise
