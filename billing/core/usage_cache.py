"""Answers what a user used from what is remembered of its logs, and remembers more of them.

Remembered are all rows of a user within one range of ids, summed by quarter hour, token and model.
Gateways give ids in the order in which they insert, whatever time a row says it was made at. So
rows that come late have ids above the range, and every answer adds those: no row is missed or
counted twice, however late it is. The range grows in slices, up with the logs and down with the
days that are asked for.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
import uuid
from collections.abc import Callable
from typing import NamedTuple

from billing.core import log_slices
from billing.core.log_slices import CELL_SECONDS, DAY, LAST_ID, LogRow
from billing.database.connection import Database
from billing.database.usage_file import Cell, Fill, Mark, Spans, UsageFile, UsageFileError, of_token
from billing.errors import DatabaseUnavailable, UsageIncomplete

log = logging.getLogger("billing")

#: Rows younger than this may be on their way: their ids are not in order yet.
_OPEN_SECONDS = 2 * 3600

#: How long one slice is to hold a read lock of the gateway's database, in seconds.
_SLICE_SECONDS = 0.04

#: How many ids a slice spans.
_FIRST_WIDTH, _LARGEST_WIDTH = 50_000, 2**40

#: The share of DATABASE_TIMEOUT that one request may read slices for.
_READING_SHARE = 0.25

#: A user may be read for so many seconds at once after a while without.
_BURST_SECONDS = 0.75

#: How long a request waits for another's slices, in seconds.
_CLAIM_WAIT_SECONDS, _CLAIM_RETRY_SECONDS = 0.3, 0.02

#: A claim ends by itself so many seconds after the request of its owner must have ended.
_CLAIM_GRACE_SECONDS = 1.0

#: How long a caller is told to wait at least and at most, in seconds.
_SHORTEST_RETRY, _LONGEST_RETRY = 1, 10

#: Days after today that a period may ask for.
_DAYS_AHEAD = 2

#: For how many seconds nothing of a user is read after each second of reading: where a read keeps
#: the gateway from writing, and elsewhere.
_PAUSE_BLOCKING, _PAUSE = 25.0, 2.0

#: How many times its processor time a read of a local file may last, files' own waits included.
_WAITING_FACTOR = 3.0

#: How often a file that cannot be used is logged, in seconds.
_WARNING_SECONDS = 60.0

Period = tuple[int, int]


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
        width: int = _FIRST_WIDTH,
    ) -> None:
        self.file, self.database, self.now, self.width = file, database, clock, width
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
        try:
            return self._read(user_id, spans, oldest, token, by_token)
        except UsageFileError as error:
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
        logs_since = self.deleted_before(filling.mark)
        is_gap = logs_since > fill.high_time
        known_since = logs_since if is_gap else min(logs_since, fill.known_since)
        return RememberedUsage(cells, known_since, logs_since)

    def filling(self, user_id: int, period: Period, oldest: LogRow | None) -> Filling | None:
        """What is to be read for the period; None while the logs have no closed hour."""
        mark = self._current_mark()
        return None if mark is None else Filling(self, user_id, period, mark, oldest)

    def _current_mark(self) -> Mark | None:
        """The mark of the file, moved on when another hour is closed."""
        closed = (int(self.now()) - _OPEN_SECONDS) // 3600 * 3600
        mark = self.file.mark()
        if mark is not None and mark.time >= closed:
            return mark
        if mark is not None:
            self.deleted_before(mark)
        newer = log_slices.newest_mark(self.database, closed, self.now())
        if newer is not None and (mark is None or newer.id >= mark.id):
            self.file.set_mark(newer)
        return self.file.mark()

    def deleted_before(self, mark: Mark) -> int:
        """The time of the oldest row of the logs, or now when there is none.

        If they are another table than the mark's, everything is forgotten and DatabaseUnavailable
        raised: an answer may hold rows of both.
        """
        is_same, oldest = log_slices.oldest_unless_replaced(self.database, mark)
        if is_same:
            return oldest.created_at if oldest else int(self.now())
        self.file.forget(mark)
        log.warning("the gateway's logs are another table than before: they are read again")
        raise DatabaseUnavailable("the gateway's logs were replaced while they were read")

    def pause(self) -> float:
        """For how many seconds nothing of a user is read after each second of reading."""
        return _PAUSE_BLOCKING if self.database.peewee.blocks_writers() else _PAUSE

    def reading_seconds(self, before: float, cpu: float) -> float:
        """How long was read since then, by the clock and by this thread's processor time.

        Where reads and writes exclude each other, most of the time may be spent waiting for a
        lock, which keeps nobody from writing; the read itself runs in this thread.
        """
        seconds = time.monotonic() - before
        if self.database.peewee.blocks_writers():
            return min(seconds, _WAITING_FACTOR * (time.thread_time() - cpu))
        return seconds


class Filling:
    """Reads what is missing for a period of a user, slice by slice."""

    def __init__(
        self, cache: UsageCache, user_id: int, period: Period, mark: Mark, oldest: LogRow | None
    ) -> None:
        self._cache, self._file, self._database = cache, cache.file, cache.database
        self._user_id, self.mark = user_id, mark
        self._owner = f"{os.getpid()} {threading.get_ident()} {uuid.uuid4().hex}"
        self._is_whole = oldest is None or period[0] <= oldest.created_at
        # Rows of later days count too: how long all is known is told by one time.
        last_day = max((period[1] - 1) // DAY, mark.time // DAY)
        last_day = min(last_day, int(cache.now()) // DAY + _DAYS_AHEAD)
        self._days = (min(period[0] // DAY, last_day), last_day)
        #: The lowest id that the period needs; None while it is not known.
        self._first_id: int | None = None
        #: What was read by this object: slices, and how long that took.
        self.slices, self.seconds = 0, 0.0
        self.fill = self._load()
        self._find_first_id()

    def _load(self) -> Fill:
        fill = self._file.fill(self._user_id)
        if fill is None:
            self._file.begin_fill(self._user_id, self.mark, self._cache.width)
            fill = self._file.fill(self._user_id)
        if fill is None:
            raise DatabaseUnavailable("the usage cache was emptied meanwhile")
        return fill

    def is_done(self) -> bool:
        """Whether all rows of the period up to the mark are remembered."""
        return self._missing_below() == 0 == self._missing_above()

    def _is_almost_done(self) -> bool:
        """Whether no more is missing than every answer may read beside the cache."""
        return self._missing_below() == 0 and self._missing_above() <= self.fill.width

    def _missing_above(self) -> int:
        return max(self.mark.id - self.fill.high, 0)

    def _missing_below(self) -> int | None:
        """How many ids below those that are remembered are needed; None while it is not known."""
        return None if self._first_id is None else max(self.fill.low - self._first_id + 1, 0)

    def _find_first_id(self) -> None:
        if self._is_whole:
            self._first_id = log_slices.first_id(self._database)
            return
        known = self._file.day_ids(*self._days)
        if len(known) == self._days[1] - self._days[0] + 1:
            self._first_id = min(known.values())

    def progress(self) -> float:
        """The share of what the period needs that is known, rounded down to hundredths."""
        first, last = self._days
        missing = self._missing_below()
        if missing is None:
            share = 0.1 * len(self._file.day_ids(first, last)) / (last - first + 1)
        else:
            needed = max(self.mark.id - (self._first_id or 0) + 1, 1)
            share = 0.1 + 0.9 * (1 - (missing + self._missing_above()) / needed)
        return max(0.0, min(0.99, math.floor(share * 100) / 100))

    def advance(self) -> None:
        """Read slices until nothing is missing, or for as long as a request may.

        Raises UsageIncomplete when more is missing than an answer may read beside the cache.
        """
        if self.is_done():
            return
        if not self._claim():
            if not self._is_almost_done():
                raise UsageIncomplete(self.progress(), _SHORTEST_RETRY)
            return
        try:
            end = time.monotonic() + _READING_SHARE * self._database.timeout
            while not self.is_done():
                wait = self.fill.paid_until - self._cache.now()
                if wait <= 0 and time.monotonic() <= end:
                    self.step()
                elif self._is_almost_done():
                    break
                else:
                    seconds = min(max(math.ceil(wait), _SHORTEST_RETRY), _LONGEST_RETRY)
                    raise UsageIncomplete(self.progress(), seconds)
        finally:
            self._file.release(self._owner)

    def read_on(self) -> float:
        """Read one slice, unless another process does; for how many seconds to pause then."""
        if not self._claim():
            return _SHORTEST_RETRY
        try:
            before = self.slices, self.seconds
            if not self.is_done():
                self.step()
        finally:
            self._file.release(self._owner)
        return 0.0 if before[0] == self.slices else self._cache.pause() * (self.seconds - before[1])

    def _claim(self) -> bool:
        """Keep others from reading slices, and count what they have read until now."""
        end = time.monotonic() + (0 if self._is_almost_done() else _CLAIM_WAIT_SECONDS)
        while True:
            now = self._cache.now()
            until = now + self._database.timeout + _CLAIM_GRACE_SECONDS
            if self._file.claim(self._owner, now, until):
                self.fill = self._load()
                self._find_first_id()
                return True
            if time.monotonic() >= end:
                return False
            time.sleep(_CLAIM_RETRY_SECONDS)

    def step(self) -> None:
        """Read one slice: newer rows first, then which ids the days have, then older rows."""
        missing = self._missing_below()
        if self._missing_above():
            self._read_above(min(self.fill.high + self.fill.width, self.mark.id))
        elif missing is None:
            self._read_days()
        else:
            self._read_below(self.fill.low - min(self.fill.width, missing))

    def _read_days(self) -> None:
        """Read the first ids of days, the newest first, for as long as a slice may take."""
        first, last = self._days
        known = self._file.day_ids(first, last)
        before, cpu, ids = time.monotonic(), time.thread_time(), {}
        # Rows that come later have ids above the mark, whatever day they say.
        newest = self.mark.id + 1
        for day in range(last, first - 1, -1):
            if day not in known:
                ids[day] = min(log_slices.first_id_of_day(self._database, day), newest)
            if time.monotonic() > before + _SLICE_SECONDS:
                break
        seconds = self._cache.reading_seconds(before, cpu)
        self._cache.deleted_before(self.mark)
        self._file.add_days(self.mark, ids)
        self._add(self.fill, [], seconds)
        self._find_first_id()

    def _read_above(self, high: int) -> None:
        cells, seconds = self._read_slice(self.fill.high, high)
        fill, deleted_before = self.fill, self._cache.deleted_before(self.mark)
        new = fill._replace(high=high)
        if deleted_before > fill.high_time:
            # Rows that nobody had read may have been deleted.
            new = new._replace(known_since=deleted_before)
        if high == self.mark.id:
            new = new._replace(high_time=self.mark.time)
        self._add(new, cells, seconds)

    def _read_below(self, low: int) -> None:
        cells, seconds = self._read_slice(low, self.fill.low)
        fill, deleted_before = self.fill, self._cache.deleted_before(self.mark)
        # Rows that were deleted before the slice was read are older than the oldest.
        since = max(self._complete_since(low), min(deleted_before, fill.known_since))
        self._add(fill._replace(low=low, known_since=since), cells, seconds)

    def _complete_since(self, low: int) -> int:
        """A time since which all rows have ids above `low`; 0 for all rows."""
        if self._is_whole:
            return 0 if low < (self._first_id or 0) else self.fill.known_since
        first, last = self._days
        days = self._file.day_ids(first, last)
        before = max((day for day, id in days.items() if id <= low), default=first - 1)
        return (before + 1) * DAY

    def _read_slice(self, low: int, high: int) -> tuple[list[Cell], float]:
        before, cpu = time.monotonic(), time.thread_time()
        try:
            cells = log_slices.cells(self._database, self._user_id, low, high)
        except DatabaseUnavailable:
            self._file.set_width(self.fill, max(self.fill.width // 4, 1))
            raise
        return cells, self._cache.reading_seconds(before, cpu)

    def _add(self, new: Fill, cells: list[Cell], seconds: float) -> None:
        """Remember the cells that were read in so many seconds, and what the fill is with them."""
        old, now, pause = self.fill, self._cache.now(), self._cache.pause()
        self.slices, self.seconds = self.slices + 1, self.seconds + seconds
        width, ids = old.width, (old.low - new.low) + (new.high - old.high)
        if ids >= width or (ids and seconds > _SLICE_SECONDS):
            width = int(min(max(width * _growth(seconds), 1), _LARGEST_WIDTH))
        paid_until = max(old.paid_until, now - _BURST_SECONDS * pause) + seconds * pause
        self._file.add_cells(old, new._replace(width=width, paid_until=paid_until), cells)
        self.fill = self._load()


def _growth(seconds: float) -> float:
    """What to multiply a slice's size by after it took so long."""
    return min(max(_SLICE_SECONDS / max(seconds, 1e-6), 0.25), 2.0)
