"""The SQLite file of what was read from a gateway's logs: its tables, and every change of them.

Whatever is wrong with the file is a DisposableFileError: it can be made anew from the logs.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from billing.database.disposable_file import DisposableFile, DisposableFileError
from billing.database.usage_rows import Cell, Fill, Mark, Spans, of_token

#: Of the tables below. A file of another version is made anew.
_VERSION = 1

#: Rows of forgotten users that one change removes.
_FORGOTTEN_ROWS = 5000

#: A user's sums are kept for days that begin at so many different times: two zones with their
#: summer times. Callers choose the zone, and could fill the disk with sums of all zones' days.
_DAY_BEGINS = 4

#: No claim lasts longer, in seconds: the largest DATABASE_TIMEOUT and its grace.
_LONGEST_CLAIM = 120

#: The most that one slice may add to a cell.
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

#: With a row for each token, and with one for all.
_SUM_DAYS = {True: _SUM_DAY, False: _SUM_DAY.replace("SELECT token", "SELECT NULL")}


class UsageFile(DisposableFile):
    """Safe under threads and processes. `identity` names whose logs the file is of.

    Every method raises DisposableFileError.
    """

    def __init__(self, path: Path, identity: str) -> None:
        super().__init__(path, identity, _VERSION, _TABLES)

    def mark(self) -> Mark | None:
        """None while nothing was read."""
        with self.reading() as connection:
            sql = "SELECT mark_id, mark_time, row_id, mark_row FROM source"
            row = connection.execute(sql).fetchone()
        return None if row[0] is None else Mark(*row)

    def set_mark(self, mark: Mark) -> None:
        """Set the first or a newer mark; one that another process set meanwhile stays if newer."""
        with self.writing() as connection:
            connection.execute(
                "UPDATE source SET mark_id = ?, mark_time = ?, row_id = ?, mark_row = ?"
                " WHERE mark_id IS NULL OR mark_id <= ?",
                (*mark, mark.id),
            )

    def forget(self, mark: Mark) -> None:
        """Forget everything that was read beside that mark: the logs are another table now."""
        with self.writing() as connection:
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
        with self.reading() as connection:
            row = connection.execute(f"{_FILL} WHERE user_id = ?", (user_id,)).fetchone()
        return None if row is None else Fill(*row)

    def begin_fill(self, user_id: int, mark: Mark, width: int) -> None:
        """Begin to remember a user, unless that was begun or the mark is another by now."""
        with self.writing() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO fills"
                " (user_id, low, high, high_time, known_since, width, paid_until)"
                " SELECT ?, mark_id, mark_id, mark_time, mark_time, ?, 0 FROM source"
                " WHERE mark_id = ? AND mark_row = ?",
                (user_id, width, mark.id, mark.row),
            )

    def day_ids(self, first: int, last: int) -> dict[int, int]:
        """Of the days (numbers since 1970) from `first` to `last` that are known, the first id."""
        with self.reading() as connection:
            sql = "SELECT day, first_id FROM day_ids WHERE day BETWEEN ? AND ?"
            return dict(connection.execute(sql, (first, last)))

    def add_days(self, mark: Mark, ids: dict[int, int]) -> None:
        """Add first ids of days that were read beside that mark."""
        with self.writing() as connection:
            sql = "SELECT 1 FROM source WHERE mark_row = ?"
            if connection.execute(sql, (mark.row,)).fetchone():
                sql = "INSERT OR IGNORE INTO day_ids VALUES (?, ?)"
                connection.executemany(sql, ids.items())

    def add_cells(self, old: Fill, new: Fill, cells: Iterable[Cell]) -> bool:
        """Add what was read between two states of a fill; False if another process did it."""
        cells = list(cells)
        if any(abs(value) > _LARGEST for cell in cells for value in cell[3:]):
            raise DisposableFileError("sums too large for the file")
        with self.writing() as connection:
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
        with self.writing() as connection:
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
        with self.reading() as connection:
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
        # Days without use cost nothing to sum, and callers may ask for any that ever were.
        keep = {period: rows for period, rows in new.items() if rows and period[1] <= keep_before}
        if keep:
            # What cannot be kept is summed again the next time.
            with suppress(DisposableFileError):
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
        with self.writing() as connection:
            sql = f"{_FILL} WHERE id = ? AND low = ? AND high = ?"
            if connection.execute(sql, (fill.id, fill.low, fill.high)).fetchone():
                sql = "SELECT DISTINCT start % 86400 FROM sums WHERE fill = ?"
                begins = {begin for (begin,) in connection.execute(sql, (fill.id,))}
                if len(begins | {start % 86400 for start, _ in sums}) > _DAY_BEGINS:
                    connection.execute("DELETE FROM sums WHERE fill = ?", (fill.id,))
                connection.executemany(
                    "INSERT OR REPLACE INTO sums VALUES (?, ?, ?, ?, ?)",
                    (
                        (fill.id, is_by_token, *period, json.dumps(rows))
                        for period, rows in sums.items()
                    ),
                )

    def claim(self, owner: str, now: float, until: float) -> bool:
        """Claim the reading of the logs for one process; False while another has it.

        The claim ends by itself at `until`.

        One that would last longer than any may was made while the clock was ahead: it counts for
        nothing.
        """
        with self.writing() as connection:
            return bool(
                connection.execute(
                    "UPDATE source SET claimed_by = ?, claimed_until = ?"
                    " WHERE claimed_until <= ? OR claimed_until > ? OR claimed_by = ?",
                    (owner, until, now, now + _LONGEST_CLAIM, owner),
                ).rowcount
            )

    def release(self, owner: str) -> None:
        with self.writing() as connection:
            connection.execute(
                "UPDATE source SET claimed_by = NULL, claimed_until = 0 WHERE claimed_by = ?",
                (owner,),
            )

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
