"""Answers what a user used from what is remembered of its logs, and remembers more of them.

Remembered are all rows of a user within one range of ids, summed by quarter hour, token and model.
Gateways give ids in the order in which they insert, whatever time a row says it was made at. So
rows that come late have ids above the range, and every answer adds those: no row is missed or
counted twice, however late it is. The range grows in slices, up with the logs and down with the
days that are asked for.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import NamedTuple

from billing.core import log_slices
from billing.core.log_slices import CELL_SECONDS, LAST_ID, LogRow
from billing.core.log_source import LogSource
from billing.core.usage_filling import FIRST_WIDTH, Filling
from billing.database.connection import Database
from billing.database.disposable_file import DisposableFileError
from billing.database.usage_file import UsageFile
from billing.database.usage_rows import Cell, Spans, of_token
from billing.errors import DatabaseUnavailable

log = logging.getLogger("billing")

#: How often a file that cannot be used is logged, in seconds.
_WARNING_SECONDS = 60.0


class RememberedUsage(NamedTuple):
    """What a user used by span, token and model; `time` of a cell is where its span begins.

    What was before `known_since` is not known. The logs themselves begin at `logs_since`.
    """

    cells: list[Cell]
    known_since: int
    logs_since: int


class UsageCache:
    """Safe under threads. `clock` gives unix seconds; a user's first slice spans `width` ids."""

    def __init__(
        self,
        file: UsageFile,
        database: Database,
        clock: Callable[[], float] = time.time,
        width: int = FIRST_WIDTH,
    ) -> None:
        self.file, self.database, self._width = file, database, width
        self._source = LogSource(file, database, clock)
        self._warned_at = float("-inf")

    def read(
        self,
        user_id: int,
        spans: Spans,
        oldest: LogRow | None,
        token: int | str | None = None,
        by_token: bool = True,
    ) -> RememberedUsage | None:
        """What a user used in each of the spans; None to read the logs without us.

        Of one token, by its id or what else the logs name it by, or of all. `oldest` is the oldest
        row of the logs. Raises UsageIncomplete while more must be read than one request may, and
        DatabaseError.
        """
        if any(time % CELL_SECONDS for time in (*spans[:4], *spans.bounds)):
            return None
        if not log_slices.have_token_counts(self.database):
            return None
        try:
            return self._read(user_id, spans, oldest, token, by_token)
        except DisposableFileError as error:
            if time.monotonic() > self._warned_at + _WARNING_SECONDS:
                self._warned_at = time.monotonic()
                log.warning("the usage cache cannot be used, so the logs are read: %s", error)
            return None

    def _read(
        self,
        user_id: int,
        spans: Spans,
        oldest: LogRow | None,
        token: int | str | None,
        by_token: bool,
    ) -> RememberedUsage | None:
        filling = self.filling(user_id, (spans.start, spans.end), oldest)
        if filling is None:
            return None
        filling.advance()
        # All of the cache as of one moment, then the rows that came after it.
        found = self.file.sums(user_id, spans, filling.mark.time, token, by_token)
        if found is None:
            raise DatabaseUnavailable("the usage cache was emptied meanwhile")
        fill, cells = found
        newer = log_slices.cells(self.database, user_id, fill.high, LAST_ID)
        cells += [
            cell._replace(time=spans.begin_of(cell.time))
            for cell in of_token(newer, token, by_token)
            if spans.start <= cell.time < spans.end
        ]
        logs_since = self._source.deleted_before(filling.mark)
        is_gap = logs_since > fill.high_time
        known_since = logs_since if is_gap else min(logs_since, fill.known_since)
        return RememberedUsage(cells, known_since, logs_since)

    def filling(
        self, user_id: int, period: tuple[int, int], oldest: LogRow | None
    ) -> Filling | None:
        """What is to be read for the period; None while the logs have no closed hour."""
        mark = self._source.current_mark()
        if mark is None:
            return None
        return Filling(self._source, self._width, user_id, period, mark, oldest)
