"""The database handle: keep a connection, bound every read, name faults, repeat lost races.

Reads go through Handle.fetch, which holds one request's budget; commands use Handle.database
with the models. Nothing connects before the first read, so workers may fork freely.
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import peewee

from billing.database.dialects import KINDS, Access, Local, run
from billing.errors import BillingError, DatabaseBroken, DatabaseUnavailable

if TYPE_CHECKING:
    from config import DatabaseURL

#: Stands in a query where each read puts a value of its own.
BOUND = peewee.Value(object(), converter=False)

#: A connection whose time limit is this many seconds off what a request has left is replaced.
_SLACK = 0.25

#: How long a worker answers 503 at once after a read ran into its time limit, in seconds.
_PAUSE = 1.0

#: A command that writes waits this many seconds for a lock or an answer.
_WRITE_PATIENCE = 60.0

#: A command repeats a transaction for so many seconds.
_PERSIST = 60.0

#: MySQL: a deadlock, a lock waited for too long, another writer's row of the same unique key.
_LOST_RACE = {(1213,), (1205,), (1062,)}

T = TypeVar("T")

log = logging.getLogger("billing")


#: What happens to connections: a thread's first, a later one, one closed, a read that failed.
Event = Literal["connect", "reconnect", "close", "error"]


class Shape:
    """The columns that each table has, the kind of database, and the queries compiled for both."""

    def __init__(self, columns: dict[str, frozenset[str]], kind: Any, ends: float) -> None:
        self.columns, self.kind, self.ends = columns, kind, ends
        self.compiled: dict[Build, tuple[str, list[Any]]] = {}

    def has(self, table: str, column: str) -> bool:
        return column in self.columns[table]


#: Writes a query that names no column that the shape lacks.
Build = Callable[[Shape], peewee.Node]


class _Local(Local):
    file: tuple[int, int] | None = None
    connected = False
    shape: Shape | None = None


class Handle:
    """A database, and the time that each request may spend on it.

    `timeout` is in seconds. The columns of `tables` are looked up at each new connection, and
    again every `refresh` seconds, since the program that owns the database may be upgraded.
    `verify` raises for a shape that is not to be served.
    """

    def __init__(
        self,
        url: DatabaseURL,
        timeout: float,
        access: Access = "read",
        *,
        tables: Iterable[str] = (),
        refresh: float = float("inf"),
        verify: Callable[[Shape], None] = lambda shape: None,
    ) -> None:
        self.url, self.timeout, self._attached = url, timeout, access == "attached"
        self._path = str(url.path) if url.dialect == "sqlite" else ""
        self._tables, self._refresh, self._verify = tuple(tables), refresh, verify
        self._local = _Local()
        self._local.patience = _WRITE_PATIENCE
        self._lock = threading.Lock()
        self._paused_until = 0.0
        self.kind = KINDS[url.dialect]
        self.database: Any = self.kind(url, access, self._local)
        self._errors = driver_errors()
        self._tries = 2 + len(url.fallbacks)
        #: Told of each thing that happens to connections.
        self.watch: Callable[[Event], None] = lambda event: None

    def begin(self) -> None:
        """Start a request's budget: every read until the next call shares it."""
        self._local.deadline = time.monotonic() + self.timeout

    def fetch(self, build: Build, *values: Any, heavy: bool = False) -> list[tuple[Any, ...]]:
        """The rows of a query, each BOUND in it replaced by the next value; one autocommitted read.

        A lost connection is replaced and the read repeated, once for each host, within the budget.
        That a `heavy` read takes too long says nothing of the database's health, so nobody else is
        refused for it. Raises DatabaseUnavailable when a retry can help, DatabaseBroken when none
        can.
        """
        self._admit()
        for _ in range(self._tries - 1):
            try:
                return self._read(build, values)
            except self._errors as error:
                self._fail(error, heavy)
        try:
            return self._read(build, values)
        except self._errors as error:
            self._fail(error, heavy)
            raise fault(error, self.url, self._attached) from error

    def shape(self) -> Shape:
        """What the database looked like when it was last looked at. Raises as `fetch` does."""
        if self._local.shape is None:
            self.fetch(_nothing)
        return self._local.shape or self.shape()

    def close(self) -> None:
        """Close this thread's connection, whatever state it is in."""
        self._local.shape = None
        with suppress(*self._errors):
            if self.database.close():
                self.watch("close")

    def _read(self, build: Build, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        shape = self._ready()
        compiled = shape.compiled.get(build)
        if compiled is None:
            sql, parameters = self.database.get_sql_context().sql(build(shape)).query()
            compiled = shape.compiled[build] = (sql, list(parameters))
        given = iter(values)
        bound = [next(given) if value is BOUND.value else value for value in compiled[1]]
        self._local.statement_began = time.monotonic()
        rows = run(self.database, compiled[0], *bound)
        self._paused_until = 0.0
        return rows

    def _ready(self) -> Shape:
        """Have a connection to the file that is there now, as patient as the request may be."""
        local, file, now = self._local, self._file(), time.monotonic()
        left = local.deadline - now
        if not self.database.is_closed() and (
            file != local.file or abs(local.patience - left) > _SLACK or self.database.strayed()
        ):
            self.close()
        if self.database.is_closed():
            local.file, local.patience = file, max(left, 0.05)
            local.shape = None
            self.database.connect()
            self.watch("reconnect" if local.connected else "connect")
            local.connected = True
        if local.shape is None or local.shape.ends < now:
            local.statement_began = now
            columns = {table: self._columns(table) for table in self._tables}
            shape = Shape(columns, self.kind, now + self._refresh)
            self._verify(shape)
            local.shape = shape
        return local.shape

    def _columns(self, table: str) -> frozenset[str]:
        """The names of a table's columns; none of a table that is not there."""
        query = peewee.Table(table).select(peewee.SQL("*")).limit(0)
        sql, parameters = self.database.get_sql_context().sql(query).query()
        try:
            cursor = self.database.execute_sql(sql, parameters)
        except peewee.PeeweeException as error:
            if self.kind.lacks_table(getattr(error, "orig", error)):
                return frozenset()
            raise
        cursor.fetchall()
        return frozenset(column[0] for column in cursor.description)

    def _file(self) -> tuple[int, int] | None:
        if not self._path:
            return None
        try:
            stat = os.stat(self._path)
        except OSError:
            return None
        return stat.st_dev, stat.st_ino

    def _admit(self) -> None:
        """After a read ran into its limit: refuse for a while, then let one request probe."""
        if not self._paused_until:
            return
        with self._lock:
            now = time.monotonic()
            if now < self._paused_until:
                raise DatabaseUnavailable("not asked: it was too slow a moment ago")
            self._paused_until = now + self.timeout + _PAUSE

    def _fail(self, error: Exception, heavy: bool) -> None:
        """Drop the connection; raise unless another try may do better."""
        self.watch("error")
        origin = getattr(error, "orig", error)
        self.close()
        self.database.failed(origin)
        now = time.monotonic()
        cut_off = self.kind.cut_off(origin)
        late = cut_off or now > self._local.deadline - 0.05
        self._paused_until = now + _PAUSE if late and not heavy else 0.0
        if late:
            raise fault(error, self.url, self._attached) from error


def _nothing(shape: Shape) -> peewee.Query:
    return peewee.Select(columns=[peewee.SQL("1")])


def driver_errors() -> tuple[type[Exception], ...]:
    """What Peewee, the drivers that are loaded and the system raise."""
    drivers = (error for kind in KINDS.values() for error in kind.errors)
    return (peewee.PeeweeException, OSError, *drivers)


def fault(error: Exception, url: DatabaseURL, attached: bool = False) -> BillingError:
    """What a driver's error means for the caller; its text is for the operator's log."""
    while "cannot rollback" in str(error) and isinstance(error.__context__, Exception):
        # SQLite had rolled back by itself, on a full disk say: the cause stands behind.
        error = error.__context__
    origin: Exception = getattr(error, "orig", error)
    kind = KINDS[url.dialect]
    text = f"{type(origin).__name__}: {' '.join(str(origin).split())}"
    if url.dialect == "sqlite" and not url.path.exists():
        text = f"no file {url.path}: restore it, or run `flask init` for a new one"
        if attached:
            text = f"no file {url.path}: mend DATABASE_URL"
    elif url.dialect == "sqlite":
        text = f"{text} ({url.path})"
    elif kind.lacks_table(origin) and not attached:
        text += ": run `flask init`"
    lasting = isinstance(origin, kind.errors) and kind.broken(origin)
    return DatabaseBroken(text) if lasting else DatabaseUnavailable(text)


def transact(database: Any, work: Callable[[], T], unsure: Callable[[], None] = lambda: None) -> T:
    """Run `work` in one transaction, repeated whole when it lost a race or its connection.

    A cluster's nodes lose races as a matter of course. When the connection goes, nobody knows
    whether a COMMIT on its way has happened: `unsure` is then called before `work` is repeated,
    on the next host, which must find out what it has done already.
    """
    end = time.monotonic() + _PERSIST
    for attempt in count():
        try:
            # A SQLite transaction that reads before it writes must lock from the start.
            with database.atomic(*([] if database.for_update else ["IMMEDIATE"])):
                return work()
        except (peewee.PeeweeException, OSError) as error:
            origin = getattr(error, "orig", error)
            lost = database.lost(origin)
            if time.monotonic() > end or not (lost or origin.args[:1] in _LOST_RACE):
                raise
            if lost:
                log.warning("the database connection was lost: going on (%s)", origin)
                database.failed(origin)
                unsure()
                _reconnect(database, end)
        # Jitter, so that two that met once do not meet again.
        time.sleep(secrets.randbelow(min(50 << attempt, 1000)) / 1000)
    raise AssertionError("only a time limit ends the attempts")


def run_each(database: Any, query: peewee.Query, rows: Iterable[tuple[Any, ...]]) -> None:
    """Run a write once for each row, whose values take the place of BOUND in it.

    Its SQL is built once: that costs ten times as much as running it.
    """
    sql, parameters = database.get_sql_context().sql(query).query()
    for row in rows:
        given = iter(row)
        bound = [next(given) if value is BOUND.value else value for value in parameters]
        database.execute_sql(sql, bound)


def new_id() -> str:
    """A request_id for what has none, so that it is found again after a lost connection."""
    return secrets.token_hex(16)


def _reconnect(database: Any, end: float) -> None:
    """Raises the driver's error when no host is usable before `end`."""
    while True:
        with suppress(*driver_errors()):
            database.close()
        try:
            database.connect()
        except driver_errors():
            if time.monotonic() > end:
                raise
            time.sleep(0.2)
        else:
            return
