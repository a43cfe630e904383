"""A gateway's logs as the usage cache reads them: up to a mark, while they are the same table."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from billing.core import log_slices
from billing.database.connection import Database
from billing.database.usage_file import UsageFile
from billing.database.usage_rows import Mark
from billing.errors import DatabaseUnavailable

log = logging.getLogger("billing")

#: Rows younger than this may be on their way: their ids are not in order yet.
_OPEN_SECONDS = 2 * 3600

#: For how many seconds nothing of a user is read after each second of reading: where a read keeps
#: the gateway from writing, and elsewhere.
_PAUSE_BLOCKING, _PAUSE = 25.0, 2.0

#: Where a day has many rows, so much is read soon enough.
_FIRST_PART_OF_DAY = 3600

#: How many times its processor time a read of a local file may last, files' own waits included.
_WAITING_FACTOR = 3.0


class LogSource:
    """The logs in `database`, whose mark is in `file`. `clock` gives unix seconds."""

    def __init__(self, file: UsageFile, database: Database, clock: Callable[[], float]) -> None:
        self.file, self.database, self.now = file, database, clock
        #: Of how many seconds of a day all rows are looked at in one read.
        self.part_of_day = _FIRST_PART_OF_DAY

    def current_mark(self) -> Mark | None:
        """The mark of the file, moved on when another hour is closed.

        None while no hour is closed that has a use.
        """
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
        lock, which does not block writers; the read itself runs in this thread.
        """
        seconds = time.monotonic() - before
        if self.database.peewee.blocks_writers():
            return min(seconds, _WAITING_FACTOR * (time.thread_time() - cpu))
        return seconds
