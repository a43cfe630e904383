"""One connection per thread, a time budget per request, and errors that say if a retry helps.

The service reads through Database.fetch; commands use Database.peewee with the models. Nothing
connects before the first read, so that workers may fork freely.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import peewee

from billing.database.circuit_breaker import CircuitBreaker
from billing.database.columns import QueryBuilder, TableColumns
from billing.database.dialects import dialect_for
from billing.database.dialects.base import Access, Dialect, ThreadState
from billing.database.faults import driver_error, driver_errors, translate_error
from billing.errors import DatabaseUnavailable

if TYPE_CHECKING:
    from config import DatabaseURL

#: A connection whose time limit is this many seconds off what a request has left is replaced.
_TIMEOUT_TOLERANCE = 0.25

#: How long the circuit breaker stays open after a read ran into its time limit, in seconds.
_BREAKER_OPEN_SECONDS = 1.0

#: A command that writes waits this many seconds for a lock or an answer.
_WRITE_TIMEOUT = 60.0

#: What is left of a budget counts as nothing below this many seconds.
_SHORTEST_TIMEOUT = 0.05

#: What happens to connections: a thread's first, a later one, one closed, a read that failed.
Event = Literal["connect", "reconnect", "close", "error"]

T = TypeVar("T")


class Database:
    """A database, and the time that each request may spend on it.

    `timeout` is in seconds. The columns of `tables` are looked up at each new connection, and
    again every `columns_ttl` seconds, since the program that owns the database may be upgraded.
    `verify` raises for tables that are not to be served. `now` is the clock of `columns_ttl`.
    """

    def __init__(
        self,
        url: DatabaseURL,
        timeout: float,
        access: Access = "read",
        *,
        tables: Iterable[str] = (),
        columns_ttl: float = float("inf"),
        verify: Callable[[TableColumns], None] = lambda columns: None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.url, self.timeout, self._attached = url, timeout, access == "attached"
        self._tables, self._verify = tuple(tables), verify
        self._columns_ttl, self._now = columns_ttl, now
        self._path = str(url.path) if url.dialect == "sqlite" else ""
        self._thread = ThreadState()
        #: Used by commands, which begin no request.
        self._thread.timeout = _WRITE_TIMEOUT
        self._breaker = CircuitBreaker(_BREAKER_OPEN_SECONDS, timeout + _BREAKER_OPEN_SECONDS)
        self.peewee: Dialect = dialect_for(url)(url, access, self._thread)
        self._errors = driver_errors(self.peewee)
        self._max_attempts = 2 + len(url.fallbacks)
        #: Called for each thing that happens to connections.
        self.on_event: Callable[[Event], None] = lambda event: None

    def start_time_budget(self) -> None:
        """Start a request's budget: every read until the next call shares it."""
        self._thread.deadline = time.monotonic() + self.timeout

    def fetch(
        self, build: QueryBuilder, *values: Any, heavy: bool = False
    ) -> list[tuple[Any, ...]]:
        """The rows of a query, each PLACEHOLDER replaced by the next value; autocommitted.

        Bounded, repeated and translated as `call` does.
        """

        def read(columns: TableColumns) -> list[tuple[Any, ...]]:
            query = columns.compile(build)
            return self.peewee.fetch_all(query.sql, *query.bind(values))

        return self.call(read, heavy=heavy)

    def call(self, read: Callable[[TableColumns], T], *, heavy: bool = False) -> T:
        """What `read` returns of a connected database; `read` may run several times.

        A lost connection is replaced and the read repeated, once for each host, within the budget.
        A `heavy` read that takes too long says nothing of the database's health, so it does not
        open the circuit breaker. Raises DatabaseUnavailable when a retry can help,
        DatabaseMisconfigured when none can.
        """
        if not self._breaker.admits():
            raise DatabaseUnavailable("circuit breaker open: a read timed out less than 1 s ago")
        for attempt in range(1, self._max_attempts + 1):
            try:
                return self._call_once(read)
            except self._errors as error:
                self._on_error(error, heavy)
                if attempt == self._max_attempts:
                    raise translate_error(error, self.peewee, self._attached) from error
        raise AssertionError("there is at least one attempt")

    def table_columns(self) -> TableColumns:
        """The tables as they were last looked at. Raises as `fetch` does."""
        return self._thread.columns or self.call(lambda columns: columns)

    def close(self) -> None:
        """Close this thread's connection, whatever state it is in."""
        self._thread.columns = None
        with suppress(*self._errors):
            if self.peewee.close():
                self.on_event("close")

    def _call_once(self, read: Callable[[TableColumns], T]) -> T:
        columns = self._ensure_connected()
        self._thread.statement_started_at = time.monotonic()
        result = read(columns)
        self._breaker.close()
        return result

    def _ensure_connected(self) -> TableColumns:
        """Connect, or reconnect if the SQLite file was replaced or the timeout no longer fits."""
        thread, file, now = self._thread, self._file_id(), time.monotonic()
        left = thread.deadline - now
        if not self.peewee.is_closed() and (
            file != thread.file
            or abs(thread.timeout - left) > _TIMEOUT_TOLERANCE
            or self.peewee.should_fail_back()
        ):
            self.close()
        if self.peewee.is_closed():
            thread.file, thread.timeout = file, max(left, _SHORTEST_TIMEOUT)
            thread.columns = None
            self.peewee.connect()
            self.on_event("reconnect" if thread.has_connected else "connect")
            thread.has_connected = True
        if thread.columns is None or thread.columns.expires_at < self._now():
            thread.statement_started_at = now
            columns = {table: self._columns_of(table) for table in self._tables}
            found = TableColumns(columns, self.peewee, self._now() + self._columns_ttl)
            self._verify(found)
            thread.columns = found
        return thread.columns

    def _columns_of(self, table: str) -> frozenset[str]:
        """The names of a table's columns; none of a table that is not there."""
        query = peewee.Table(table).select(peewee.SQL("*")).limit(0)
        sql, parameters = self.peewee.get_sql_context().sql(query).query()
        try:
            cursor = self.peewee.execute_sql(sql, parameters)
        except peewee.PeeweeException as error:
            if self.peewee.is_missing_table(driver_error(error)):
                return frozenset()
            raise
        cursor.fetchall()
        return frozenset(column[0] for column in cursor.description)

    def _file_id(self) -> tuple[int, int] | None:
        """Device and inode of the SQLite file that has our path now."""
        if not self._path:
            return None
        try:
            stat = os.stat(self._path)
        except OSError:
            return None
        return stat.st_dev, stat.st_ino

    def _on_error(self, error: Exception, heavy: bool) -> None:
        """Drop the connection; raise unless another attempt may do better."""
        self.on_event("error")
        origin = driver_error(error)
        self.close()
        self.peewee.mark_host_failed(origin)
        is_late = (
            self.peewee.is_statement_timeout(origin)
            or time.monotonic() > self._thread.deadline - _SHORTEST_TIMEOUT
        )
        if is_late and not heavy:
            self._breaker.open()
        else:
            self._breaker.close()
        if is_late:
            raise translate_error(error, self.peewee, self._attached) from error
