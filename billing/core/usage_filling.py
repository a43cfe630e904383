"""Reads what is missing of a user's logs for a period into the usage cache, slice by slice."""

from __future__ import annotations

import math
import os
import threading
import time
import uuid

from billing.core import log_slices
from billing.core.days import DAY
from billing.core.log_slices import LogRow
from billing.core.log_source import LogSource
from billing.database.usage_rows import Cell, Fill, Mark
from billing.errors import DatabaseUnavailable, UsageIncomplete

#: How long one slice is to hold a read lock of the gateway's database, in seconds. SQLite's writers
#: look at 18 and 33 ms whether it is gone, and then at 53.
_SLICE_SECONDS = 0.03

#: How many ids a user's first slice spans, and one at most.
FIRST_WIDTH, _LARGEST_WIDTH = 50_000, 2**40

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

#: No pause is longer, in seconds: a quarter of the largest DATABASE_TIMEOUT 25 times, and a burst.
_LONGEST_PAUSE = 600

#: Days after today that a period may ask for.
_DAYS_AHEAD = 2


class Filling:
    """Reads what is missing for a `period` of a user, from a unix second to before another."""

    def __init__(
        self,
        source: LogSource,
        width: int,
        user_id: int,
        period: tuple[int, int],
        mark: Mark,
        oldest: LogRow | None,
    ) -> None:
        self._source, self._file, self._database = source, source.file, source.database
        self._user_id, self._width, self.mark = user_id, width, mark
        self._owner = f"{os.getpid()} {threading.get_ident()} {uuid.uuid4().hex}"
        self._is_whole = oldest is None or period[0] <= oldest.created_at
        # Rows of later days count too: one time says since when all is known.
        last_day = max((period[1] - 1) // DAY, mark.time // DAY)
        last_day = min(last_day, int(source.now()) // DAY + _DAYS_AHEAD)
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
            self._file.begin_fill(self._user_id, self.mark, self._width)
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
                wait = self.fill.paid_until - self._source.now()
                if wait > _LONGEST_PAUSE:
                    # Written while the clock was ahead.
                    wait = 0
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
        return (
            0.0 if before[0] == self.slices else self._source.pause() * (self.seconds - before[1])
        )

    def _claim(self) -> bool:
        """Keep others from reading slices, and count what they have read until now."""
        end = time.monotonic() + (0 if self._is_almost_done() else _CLAIM_WAIT_SECONDS)
        while True:
            now = self._source.now()
            until = now + self._database.timeout + _CLAIM_GRACE_SECONDS
            if self._file.claim(self._owner, now, until):
                try:
                    self.fill = self._load()
                    self._find_first_id()
                except BaseException:
                    self._file.release(self._owner)
                    raise
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
        """Read first ids of days, the newest first: of one, and for as long as a slice takes."""
        first, last = self._days
        known = self._file.day_ids(first, last)
        unknown = [day for day in range(first, last + 1) if day not in known]
        if not unknown:
            # Another process has read the last of them.
            self._find_first_id()
            return
        newest = unknown[-1]
        oldest = max((day + 1 for day in known if day < newest), default=first)
        # Rows that come later have ids above the mark, whatever day they say.
        no_row = self.mark.id + 1
        ids: dict[int, int] = {}
        end, seconds = (newest + 1) * DAY, 0.0
        while end > newest * DAY or (end > oldest * DAY and seconds < _SLICE_SECONDS):
            day = (end - 1) // DAY
            start = max(end - self._source.part_of_day, day * DAY)
            before, cpu = time.monotonic(), time.thread_time()
            id = log_slices.first_id_between(self._database, start, end)
            took = self._source.reading_seconds(before, cpu)
            ids[day] = min(id, ids.get(day, no_row))
            if end - start == self._source.part_of_day or took > _SLICE_SECONDS:
                part = self._source.part_of_day * _growth(took)
                self._source.part_of_day = int(min(max(part, 1), DAY))
            end, seconds = start, seconds + took
        self._source.deleted_before(self.mark)
        # Of the last day that was looked at perhaps not all.
        self._file.add_days(self.mark, {day: id for day, id in ids.items() if day * DAY >= end})
        self._add(self.fill, [], seconds)
        self._find_first_id()

    def _read_above(self, high: int) -> None:
        cells, seconds = self._read_slice(self.fill.high, high)
        fill, deleted_before = self.fill, self._source.deleted_before(self.mark)
        new = fill._replace(high=high)
        if deleted_before > fill.high_time:
            # Rows that nobody had read may have been deleted.
            new = new._replace(known_since=deleted_before)
        if high == self.mark.id:
            new = new._replace(high_time=self.mark.time)
        self._add(new, cells, seconds)

    def _read_below(self, low: int) -> None:
        cells, seconds = self._read_slice(low, self.fill.low)
        fill, deleted_before = self.fill, self._source.deleted_before(self.mark)
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
        return cells, self._source.reading_seconds(before, cpu)

    def _add(self, new: Fill, cells: list[Cell], seconds: float) -> None:
        """Remember the cells that were read in so many seconds, and what the fill is with them."""
        old, now, pause = self.fill, self._source.now(), self._source.pause()
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
