"""The SQLite file of what was read from a gateway's logs: its tables, and every change of them.

Each change is one transaction, so that a killed process leaves no half of one. Whatever is wrong
with the file is a UsageFileError: the file can be made anew from the logs at any time.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import threading
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from billing.database.dialects.sqlite_file import PRIVATE_MODE, SIDE_FILES

#: Of the tables below. A file of another version is made anew.
_VERSION = 1

#: How long a change waits for another process, in seconds.
_BUSY_SECONDS = 2.0

#: Rows of forgotten users that one change removes.
_FORGOTTEN_ROWS = 5000

#: Above it a sum could leave SQLite's 64 bits.
_LARGEST = 2**53

_TABLES = """
CREATE TABLE source (
    identity TEXT NOT NULL,
    mark_id INTEGER, mark_time INTEGER, row_id INTEGER, mark_row TEXT,
    claimed_by TEXT, claimed_until REAL NOT NULL DEFAULT 0
);
CREATE TABLE day_ids (day INTEGER PRIMARY KEY, first_id INTEGER NOT NULL);
CREATE TABLE fills (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id INTEGER NOT NULL UNIQUE,
    low INTEGER NOT NULL, high INTEGER NOT NULL, high_time INTEGER NOT NULL,
    known_since INTEGER NOT NULL,
    width INTEGER NOT NULL, paid_until REAL NOT NULL
);
CREATE TABLE forgotten (fill INTEGER PRIMARY KEY);
CREATE TABLE cells (
    fill INTEGER NOT NULL, time INTEGER NOT NULL, token NOT NULL, model TEXT NOT NULL,
    quota INTEGER NOT NULL CHECK (typeof(quota) = 'integer'),
    refunded INTEGER NOT NULL CHECK (typeof(refunded) = 'integer'),
    prompt_tokens INTEGER NOT NULL CHECK (typeof(prompt_tokens) = 'integer'),
    completion_tokens INTEGER NOT NULL CHECK (typeof(completion_tokens) = 'integer'),
    requests INTEGER NOT NULL,
    PRIMARY KEY (fill, time, token, model)
) WITHOUT ROWID;
CREATE TABLE sums (
    fill INTEGER NOT NULL, by_token INTEGER NOT NULL,
    start INTEGER NOT NULL, end INTEGER NOT NULL, cells TEXT NOT NULL,
    PRIMARY KEY (fill, by_token, start, end)
) WITHOUT ROWID;
"""

_ADD_CELL = """
INSERT INTO cells VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (fill, time, token, model) DO UPDATE SET
    quota = quota + excluded.quota, refunded = refunded + excluded.refunded,
    prompt_tokens = prompt_tokens + excluded.prompt_tokens,
    completion_tokens = completion_tokens + excluded.completion_tokens,
    requests = requests + excluded.requests
"""

_FILL = "SELECT id, low, high, high_time, known_since, width, paid_until FROM fills"

_SUM_DAY = """
SELECT token, model, SUM(quota), SUM(refunded), SUM(prompt_tokens), SUM(completion_tokens),
    SUM(requests)
FROM cells WHERE fill = ? AND time >= ? AND time < ? GROUP BY 1, 2
"""

_SUM_SPANS = _SUM_DAY.replace("SELECT", "SELECT (time - ?) / ?,").replace("1, 2", "1, 2, 3")

#: By whether tokens are told apart.
_SUM_DAYS = {True: _SUM_DAY, False: _SUM_DAY.replace("SELECT token", "SELECT NULL")}

#: A day is not shorter, whatever its zone's clocks do.
_SHORTEST_DAY = 20 * 3600


class UsageFileError(Exception):
    """The file cannot be used now; its text is for the operator's log."""


class Cell(NamedTuple):
    """What a token used of a model from the unix second `time` on; quota is net of refunds.

    The token is None where tokens are not told apart.
    """

    time: int
    token: int | str | None
    model: str
    quota: int
    refunded: int
    prompt_tokens: int
    completion_tokens: int
    requests: int


def of_token(cells: Iterable[Cell], token: int | str | None, by_token: bool) -> list[Cell]:
    """The cells of a token, or of all; without the token unless tokens are told apart."""
    wanted = (cell for cell in cells if token is None or cell.token == token)
    return [cell if by_token else cell._replace(token=None) for cell in wanted]


class Spans(NamedTuple):
    """From `start` to before `end`, in spans of `length` seconds that are counted from `origin`.

    Or in days, which begin at `bounds`, the last of which is where the last day ends.
    """

    origin: int
    length: int
    start: int
    end: int
    bounds: tuple[int, ...] = ()

    def begin_of(self, time: int) -> int:
        """Where the span begins that a time is in."""
        if self.bounds:
            return self.bounds[bisect_right(self.bounds, time) - 1]
        return time - (time - self.origin) % self.length

    def are_days(self) -> bool:
        """Whether sums of each are worth keeping: those of short spans have few cells."""
        shortest = min((end - start for start, end in pairwise(self.bounds)), default=self.length)
        return shortest >= _SHORTEST_DAY

    def periods(self) -> list[tuple[int, int]]:
        """Each span's part of the whole."""
        begins = range(self.begin_of(self.start), self.end + self.length, self.length)
        parts = pairwise(self.bounds or begins)
        clipped = ((max(begin, self.start), min(end, self.end)) for begin, end in parts)
        return [(begin, end) for begin, end in clipped if begin < end]


class Mark(NamedTuple):
    """All rows of the logs up to `id` are there, since younger ones were made after `time`.

    `row`, whose id is `row_id`, tells another table.
    """

    id: int
    time: int
    row_id: int
    row: str


class Fill(NamedTuple):
    """What is remembered of a user: all its rows with ids above `low` up to `high`.

    `high` was the mark's id at `high_time`. All rows since `known_since` are among them, or have
    ids above `high`; older ones were not read or had been deleted. `width` is how many ids the
    next slice spans; nothing is to be read before `paid_until` (unix seconds, as all times).
    """

    id: int
    low: int
    high: int
    high_time: int
    known_since: int
    width: int
    paid_until: float


class UsageFile:
    """Safe under threads and processes. `identity` names whose logs the file is of.

    Nothing is opened before the first use. Every method raises UsageFileError.
    """

    def __init__(self, path: Path, identity: str) -> None:
        self.path, self._identity = path, identity
        self._thread = threading.local()

    def mark(self) -> Mark | None:
        """None while nothing was read."""
        with self._reading() as connection:
            sql = "SELECT mark_id, mark_time, row_id, mark_row FROM source"
            row = connection.execute(sql).fetchone()
        return None if row[0] is None else Mark(*row)

    def set_mark(self, mark: Mark) -> None:
        """Set the first or a newer mark; one that another process set meanwhile stays if newer."""
        with self._writing() as connection:
            connection.execute(
                "UPDATE source SET mark_id = ?, mark_time = ?, row_id = ?, mark_row = ?"
                " WHERE mark_id IS NULL OR mark_id <= ?",
                (*mark, mark.id),
            )

    def forget(self, mark: Mark) -> None:
        """Forget everything that was read beside that mark: the logs are another table now."""
        with self._writing() as connection:
            forgotten = connection.execute(
                "UPDATE source SET mark_id = NULL WHERE mark_id = ? AND mark_row = ?",
                (mark.id, mark.row),
            )
            if not forgotten.rowcount:
                return
            connection.execute("INSERT INTO forgotten SELECT id FROM fills")
            connection.execute("DELETE FROM fills")
            connection.execute("DELETE FROM day_ids")

    def fill(self, user_id: int) -> Fill | None:
        with self._reading() as connection:
            row = connection.execute(f"{_FILL} WHERE user_id = ?", (user_id,)).fetchone()
        return None if row is None else Fill(*row)

    def begin_fill(self, user_id: int, mark: Mark, width: int) -> None:
        """Begin to remember a user, unless that was begun or the mark is another by now."""
        with self._writing() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO fills"
                " (user_id, low, high, high_time, known_since, width, paid_until)"
                " SELECT ?, mark_id, mark_id, mark_time, mark_time, ?, 0 FROM source"
                " WHERE mark_id = ? AND mark_row = ?",
                (user_id, width, mark.id, mark.row),
            )

    def day_ids(self, first: int, last: int) -> dict[int, int]:
        """Of the days (numbers since 1970) from `first` to `last` that are known, the first id."""
        with self._reading() as connection:
            sql = "SELECT day, first_id FROM day_ids WHERE day BETWEEN ? AND ?"
            return dict(connection.execute(sql, (first, last)))

    def add_days(self, mark: Mark, ids: dict[int, int]) -> None:
        """Add first ids of days that were read beside that mark."""
        with self._writing() as connection:
            sql = "SELECT 1 FROM source WHERE mark_row = ?"
            if connection.execute(sql, (mark.row,)).fetchone():
                sql = "INSERT OR IGNORE INTO day_ids VALUES (?, ?)"
                connection.executemany(sql, ids.items())

    def add_cells(self, old: Fill, new: Fill, cells: Iterable[Cell]) -> bool:
        """Add what was read between two states of a fill; False if another process did it."""
        cells = list(cells)
        if any(abs(value) > _LARGEST for cell in cells for value in cell[3:]):
            raise UsageFileError("sums too large for the file")
        with self._writing() as connection:
            updated = connection.execute(
                "UPDATE fills SET low = ?, high = ?, high_time = ?, known_since = ?, width = ?,"
                " paid_until = ? WHERE id = ? AND low = ? AND high = ?",
                (*new[1:], old.id, old.low, old.high),
            )
            if not updated.rowcount:
                return False
            connection.executemany(_ADD_CELL, ((old.id, *cell) for cell in cells))
            # Sums of days that have other cells now.
            for day in {cell.time // 86400 for cell in cells}:
                connection.execute(
                    "DELETE FROM sums WHERE fill = ? AND start < ? AND end > ?",
                    (old.id, (day + 1) * 86400, day * 86400),
                )
            self._remove_forgotten(connection)
        return True

    def set_width(self, fill: Fill, width: int) -> None:
        with self._writing() as connection:
            connection.execute("UPDATE fills SET width = ? WHERE id = ?", (width, fill.id))

    def sums(
        self,
        user_id: int,
        spans: Spans,
        keep_before: int,
        token: int | str | None = None,
        by_token: bool = True,
    ) -> tuple[Fill, list[Cell]] | None:
        """The fill of a user and its sums by span, token and model, as of one moment.

        Of one token alone, if it is not None. Sums of days that end at `keep_before` or earlier are
        kept for the next time.
        """
        is_by_token = by_token or token is not None
        with self._reading() as connection:
            row = connection.execute(f"{_FILL} WHERE user_id = ?", (user_id,)).fetchone()
            if row is None:
                return None
            fill = Fill(*row)
            if not spans.are_days():
                values = (spans.origin, spans.length, fill.id, spans.start, spans.end)
                found = connection.execute(_SUM_SPANS, values)
                cells = [
                    Cell(spans.origin + number * spans.length, *sums) for number, *sums in found
                ]
                return fill, of_token(cells, token, by_token)
            kept = {
                (start, end): json.loads(text)
                for start, end, text in connection.execute(
                    "SELECT start, end, cells FROM sums"
                    " WHERE fill = ? AND by_token = ? AND start >= ? AND end <= ?",
                    (fill.id, is_by_token, spans.start, spans.end),
                )
            }
            new = {
                period: connection.execute(_SUM_DAYS[is_by_token], (fill.id, *period)).fetchall()
                for period in spans.periods()
                if period not in kept
            }
        keep = {period: rows for period, rows in new.items() if period[1] <= keep_before}
        if keep:
            # What cannot be kept is summed again the next time.
            with suppress(UsageFileError):
                self._keep_sums(fill, is_by_token, keep)
        by_period = {**kept, **new}
        cells = [
            Cell(spans.begin_of(period[0]), *row)
            for period in spans.periods()
            for row in by_period[period]
            if token is None or row[0] == token
        ]
        return fill, of_token(cells, token, by_token) if token is not None else cells

    def _keep_sums(
        self, fill: Fill, is_by_token: bool, sums: dict[tuple[int, int], list[Any]]
    ) -> None:
        with self._writing() as connection:
            sql = f"{_FILL} WHERE id = ? AND low = ? AND high = ?"
            if connection.execute(sql, (fill.id, fill.low, fill.high)).fetchone():
                connection.executemany(
                    "INSERT OR REPLACE INTO sums VALUES (?, ?, ?, ?, ?)",
                    (
                        (fill.id, is_by_token, *period, json.dumps(rows))
                        for period, rows in sums.items()
                    ),
                )

    def claim(self, owner: str, now: float, until: float) -> bool:
        """Whether nobody else reads the logs for the file; the claim ends by itself at `until`."""
        with self._writing() as connection:
            return bool(
                connection.execute(
                    "UPDATE source SET claimed_by = ?, claimed_until = ?"
                    " WHERE claimed_until <= ? OR claimed_by = ?",
                    (owner, until, now, owner),
                ).rowcount
            )

    def release(self, owner: str) -> None:
        with self._writing() as connection:
            connection.execute(
                "UPDATE source SET claimed_by = NULL, claimed_until = 0 WHERE claimed_by = ?",
                (owner,),
            )

    def close(self) -> None:
        """Close this thread's connection."""
        connection = getattr(self._thread, "connection", None)
        self._thread.connection = None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def _remove_forgotten(self, connection: sqlite3.Connection) -> None:
        """Remove some rows of what was forgotten: all at once would take too long."""
        row = connection.execute("SELECT fill FROM forgotten LIMIT 1").fetchone()
        if row is None:
            return
        connection.execute("DELETE FROM sums WHERE fill = ?", row)
        removed = connection.execute(
            "DELETE FROM cells WHERE (fill, time, token, model) IN"
            " (SELECT fill, time, token, model FROM cells WHERE fill = ? LIMIT ?)",
            (*row, _FORGOTTEN_ROWS),
        )
        if removed.rowcount < _FORGOTTEN_ROWS:
            connection.execute("DELETE FROM forgotten WHERE fill = ?", row)

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._transaction("BEGIN") as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
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
        except UsageFileError:
            self.close()
            raise
        except (sqlite3.Error, OSError, OverflowError, ValueError) as error:
            # Also ends the transaction.
            self.close()
            if _is_damaged(error):
                self._remove()
            raise UsageFileError(f"{type(error).__name__}: {error} ({self.path})") from error
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
            connection = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None)
            try:
                self._check_or_create(connection)
            except BaseException:
                connection.close()
                raise
        self._thread.connection = connection
        return connection

    def _check_or_create(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA journal_mode = wal").close()
        connection.execute("PRAGMA synchronous = normal").close()
        connection.execute("BEGIN IMMEDIATE").close()
        ((version,),) = connection.execute("PRAGMA user_version").fetchall()
        is_empty = not connection.execute("SELECT 1 FROM sqlite_master").fetchone()
        if not is_empty and version != _VERSION:
            raise sqlite3.DatabaseError("another version")
        if is_empty:
            for statement in _TABLES.split(";"):
                connection.execute(statement)
            connection.execute("INSERT INTO source (identity) VALUES (?)", (self._identity,))
            connection.execute(f"PRAGMA user_version = {_VERSION}")
        elif connection.execute("SELECT identity FROM source").fetchall() != [(self._identity,)]:
            raise sqlite3.DatabaseError("another gateway's")
        connection.execute("COMMIT").close()

    def _remove(self) -> None:
        """Remove the file, so that the next use makes a new one."""
        with suppress(OSError), self._lock():
            # Side files first: beside a new file they would be another one's.
            if _inode(self.path) != self._thread.inode:
                return  # another process made a new one
            for suffix in (*SIDE_FILES, ""):
                with suppress(FileNotFoundError):
                    os.unlink(f"{self.path}{suffix}")

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Keep other processes and threads from opening or removing the file.

        By a file of its own: closing a descriptor of the file itself would drop SQLite's locks.
        """
        descriptor = os.open(f"{self.path}-lock", os.O_RDWR | os.O_CREAT, PRIVATE_MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _inode(path: Path) -> tuple[int, int]:
    stat = os.stat(path)
    return stat.st_dev, stat.st_ino


def _is_damaged(error: Exception) -> bool:
    """Whether only a new file helps: not SQLite's, torn, of another version or gateway."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return type(error) is sqlite3.DatabaseError or isinstance(error, json.JSONDecodeError)
    return code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)
