"""One connection per thread, a time budget per request, and errors that say if a retry helps.

The service reads through Database.fetch; commands use Database.peewee with the models. Nothing
connects before the first read, so that workers may fork freely.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from billing.database.circuit_breaker import CircuitBreaker
from billing.database.columns import QueryBuilder, TableColumns
from billing.database.dialects import dialect_for
from billing.database.dialects.base import (
    READ_ONLY,
    SHORTEST_TIMEOUT,
    Access,
    Dialect,
    ThreadState,
)
from billing.database.faults import driver_error, driver_errors, translate_error
from billing.errors import DatabaseError, DatabaseMisconfigured, DatabaseUnavailable

if TYPE_CHECKING:
    from config import DatabaseURL

#: How long the circuit breaker stays open after a read ran into its time limit, in seconds.
_BREAKER_OPEN_SECONDS = 1.0

#: A command that writes waits this many seconds for a lock or an answer.
_WRITE_TIMEOUT = 60.0

#: What happens to connections: a thread's first, a later one, one closed, a read that failed.
Event = Literal["connect", "reconnect", "close", "error"]

T = TypeVar("T")


class _OpenConnection:
    """Lives as long as a thread's connection: servers end idle threads without asking us."""


class Database:
    """A database, and the time that each request may spend on it.

    `timeout` is in seconds. The columns of `tables` are looked up by the first read, again every
    `columns_ttl` seconds, since the program that owns the database may be upgraded, and after an
    error that no retry removes. Pairs of a table and a column in `decisive` must stay once seen.
    `verify` raises for tables that are not to be served. `now` is the clock of `columns_ttl`.
    """

    def __init__(
        self,
        url: DatabaseURL,
        timeout: float,
        access: Access = "read",
        *,
        tables: Iterable[str] = (),
        decisive: Iterable[tuple[str, str]] = (),
        columns_ttl: float = float("inf"),
        verify: Callable[[TableColumns], None] = lambda columns: None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.url, self.timeout, self._attached = url, timeout, access == "attached"
        self._tables, self._verify = tuple(tables), verify
        self._decisive = frozenset(decisive)
        self._columns_ttl, self._now = columns_ttl, now
        self._thread = ThreadState(timeout if access in READ_ONLY else _WRITE_TIMEOUT)
        #: Shared by all threads; None when they must be looked up.
        self._columns: TableColumns | None = None
        #: Those of `decisive` that were there at some time.
        self._seen: set[tuple[str, str]] = set()
        self._breaker = CircuitBreaker(_BREAKER_OPEN_SECONDS, timeout + _BREAKER_OPEN_SECONDS)
        self.peewee: Dialect = dialect_for(url)(url, access, self._thread)
        self._errors = driver_errors(self.peewee)
        self._max_attempts = 2 + len(url.fallbacks)
        #: Called for each thing that happens to connections.
        self.on_event: Callable[[Event], None] = lambda event: None

    def start_time_budget(self) -> None:
        """Start a request's budget: every read until the next call shares it."""
        self._thread.deadline = time.monotonic() + self.timeout
        self._thread.connect_seconds = 0.0

    def seconds_left(self) -> float:
        """What is left of this thread's budget."""
        return self._thread.seconds_left()

    def fetch(
        self, build: QueryBuilder, *values: Any, heavy: bool = False
    ) -> list[tuple[Any, ...]]:
        """The rows of a query, each PLACEHOLDER replaced by the next value; autocommitted.

        Bounded, repeated and translated as `call` does. The best plan of a `heavy` read depends on
        its values.
        """
        fetch = self.peewee.fetch_all if heavy else self.peewee.fetch_prepared

        def read(columns: TableColumns) -> list[tuple[Any, ...]]:
            query = columns.compile(build)
            return fetch(query.sql, *query.bind(values))

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
                result = read(self._ensure_connected())
            except DatabaseError as error:
                # The server has answered: it has other tables, or has just let us connect.
                self._breaker.close()
                if not isinstance(error, DatabaseMisconfigured) or self._columns is None:
                    raise
                # Perhaps the tables were changed since they were looked at.
                self._columns = None
                if attempt == self._max_attempts:
                    raise
            except self._errors as error:
                self._on_error(error, heavy)
                if attempt == self._max_attempts:
                    raise translate_error(error, self.peewee, self._attached) from error
            else:
                self._breaker.close()
                return result
        raise AssertionError("there is at least one attempt")

    def table_columns(self) -> TableColumns:
        """The tables as they were last looked at. Raises as `fetch` does."""
        return self._columns or self.call(lambda columns: columns)

    def close(self) -> None:
        """Close this thread's connection, whatever state it is in."""
        with suppress(*self._errors):
            if self.peewee.close():
                self._thread.count_close()

    def _ensure_connected(self) -> TableColumns:
        """Connect, or reconnect when the SQLite file was replaced or a better host is back."""
        thread, is_closed = self._thread, self.peewee.is_closed()
        if not is_closed:
            if is_closed := self.peewee.is_replaced():
                self._columns = None
                self.close()
            elif is_closed := self.peewee.should_fail_back():
                self.close()
        if is_closed:
            thread.connect_timeout = thread.seconds_left()
            before = time.monotonic()
            self.peewee.connect()
            thread.connect_seconds = time.monotonic() - before
            self.on_event("reconnect" if thread.has_connected else "connect")
            thread.has_connected = True
            thread.open_connection = _OpenConnection()
            thread.count_close = weakref.finalize(thread.open_connection, self.on_event, "close")
            thread.count_close.atexit = False
        return self._look_up_columns()

    def _look_up_columns(self) -> TableColumns:
        """The columns of the tables, looked up if they are not known or too old."""
        known = self._columns
        if known is not None and self._now() <= known.expires_at:
            return known
        found: dict[str, set[str]] = {table: set() for table in self._tables}
        if self._tables:
            for table, column in self.peewee.columns_of(self._tables):
                found[table].add(column)
        columns = TableColumns(
            {table: frozenset(names) for table, names in found.items()},
            self.peewee,
            self._now() + self._columns_ttl,
        )
        self._verify(columns)
        self._refuse_vanished(found)
        self._columns = columns
        return columns

    def _refuse_vanished(self, found: Mapping[str, set[str]]) -> None:
        """Raises DatabaseUnavailable while what was there before is missing: in a dump's midst.

        Without it queries would count NULL or nothing where there are figures.
        """
        there = {(table, name) for table, name in self._decisive if name in found[table]}
        for table, name in sorted(self._seen - there):
            what = f"column {name} of {table}" if found[table] else f"table {table}"
            raise DatabaseUnavailable(
                f"{what} was there and is gone: bring it back, or restart to do without it"
            )
        self._seen |= there

    def _on_error(self, error: Exception, heavy: bool) -> None:
        """Drop the connection; raise unless another attempt may do better."""
        self.on_event("error")
        origin = driver_error(error)
        self.close()
        self.peewee.mark_host_failed(origin)
        if self.peewee.is_permanent(origin):
            # Perhaps the tables changed: they are looked at again.
            self._columns = None
        is_late = (
            self.peewee.is_statement_timeout(origin)
            or time.monotonic() > self._thread.deadline - SHORTEST_TIMEOUT
        )
        if not is_late:
            self._breaker.close()
            return
        if not heavy:
            self._breaker.open()
        raise translate_error(error, self.peewee, self._attached) from error
