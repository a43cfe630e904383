"""The database handle: connect from a URL, keep the connection, bound every read, name faults.

Reads go through Handle.fetch, which holds one request's budget; commands use Handle.database
with the models. Nothing connects before the first read, so workers may fork freely.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import peewee
import pymysql

from billing.errors import BillingError, DatabaseBroken, DatabaseUnavailable

if TYPE_CHECKING:
    from config import DatabaseURL

Access = Literal["read", "write", "create"]

#: Stands in a compiled query where each read puts its own value.
BOUND = object()

#: A connection whose time limit is this many seconds off what a request has left is replaced.
_SLACK = 0.25

#: How long a worker answers 503 at once after a read ran into its time limit.
_PAUSE = 1.0

#: A command that writes waits this many seconds for a lock or an answer.
_WRITE_PATIENCE = 60.0

#: MySQL: no such database, column or table, or SQL that this server does not know.
_MYSQL_BROKEN = {1049, 1054, 1064, 1146}

_NO_TABLES = "it does not hold our tables: run `flask init`"

_SQLITE_AWAY = {
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

#: MySQL: a deadlock, a lock waited for too long, another writer's row of the same unique key.
_LOST_RACE = {(1213,), (1205,), (1062,)}

T = TypeVar("T")

DRIVER_ERRORS = (peewee.PeeweeException, sqlite3.Error, pymysql.MySQLError, OSError, RuntimeError)


class _Local(threading.local):
    """One thread's connection state: when its request must end, and the file it has open."""

    deadline = 0.0
    patience = 0.0
    file: tuple[int, int] | None = None


class _SQLite(peewee.SqliteDatabase):
    def __init__(self, url: DatabaseURL, access: Access, local: _Local) -> None:
        mode = "rwc" if access == "create" else "rw"
        self._uri = f"{url.path.as_uri()}?mode={mode}"
        self._read_only, self._local = access == "read", local
        super().__init__(str(url.path))

    def _connect(self) -> sqlite3.Connection:
        local = self._local
        conn = sqlite3.connect(self._uri, uri=True, timeout=local.patience, isolation_level=None)
        if self._read_only:
            conn.execute("PRAGMA query_only = 1").close()
            # Ends a statement that outlives its request, at no measurable cost.
            conn.set_progress_handler(lambda: time.monotonic() > local.deadline, 20_000)
        return conn


class _MySQL(peewee.MySQLDatabase):
    def __init__(self, url: DatabaseURL, access: Access, local: _Local) -> None:
        self._url, self._read_only, self._local = url, access == "read", local
        super().__init__(url.name)

    def _connect(self) -> Any:
        url, patience = self._url, self._local.patience
        tls = {"ca": url.ssl_ca or None} if url.ssl or url.ssl_ca else None
        # MariaDB and MySQL name the statement limit differently; each skips the other's comment.
        session = "SET SESSION time_zone = '+00:00'"
        if self._read_only:
            session += (
                f" /*M!100100 , max_statement_time = {patience:.3f} */"
                f" /*!50708 , max_execution_time = {max(int(patience * 1000), 1)} */"
            )
        return pymysql.connect(
            host=url.host,
            port=url.port,
            user=url.user,
            password=url.password,
            database=url.name,
            unix_socket=url.unix_socket or None,
            charset="utf8mb4",
            autocommit=True,
            connect_timeout=patience,
            read_timeout=patience,
            write_timeout=patience,
            init_command=session,
            ssl=tls,
            ssl_disabled=tls is None,  # building a TLS context costs 20 ms a connection
        )


class Handle:
    """A database, and the time that each request may spend on it.

    `access` is "read" for the service, "write" for commands, "create" for the command that may
    make a SQLite file. `timeout` is in seconds.
    """

    def __init__(self, url: DatabaseURL, timeout: float, access: Access = "read") -> None:
        self.url, self.timeout = url, timeout
        self._local = _Local()
        self._local.patience = _WRITE_PATIENCE
        self._lock = threading.Lock()
        self._paused_until = 0.0
        dialect = _SQLite if url.dialect == "sqlite" else _MySQL
        self.database: peewee.Database = dialect(url, access, self._local)

    def begin(self) -> None:
        """Start a request's budget: every read until the next call shares it."""
        self._local.deadline = time.monotonic() + self.timeout

    def compile(self, query: peewee.Query) -> tuple[str, list[Any]]:
        """SQL and parameters of `query`, BOUND standing where each read puts a value."""
        sql, parameters = self.database.get_sql_context().sql(query).query()
        return sql, list(parameters)

    def fetch(self, query: tuple[str, list[Any]], *values: Any) -> list[tuple[Any, ...]]:
        """The rows of a compiled query, in one autocommitted read.

        A lost connection is replaced and the read repeated once, within the budget. Raises
        DatabaseUnavailable when a retry can help, DatabaseBroken when none can.
        """
        sql, parameters = query
        given = iter(values)
        bound = [next(given) if value is BOUND else value for value in parameters]
        self._admit()
        try:
            return self._read(sql, bound)
        except DRIVER_ERRORS as error:
            self._fail(error)
        try:
            return self._read(sql, bound)
        except DRIVER_ERRORS as error:
            self._fail(error)
            raise fault(error, self.url) from error

    def close(self) -> None:
        """Close this thread's connection, whatever state it is in."""
        with suppress(*DRIVER_ERRORS):
            self.database.close()

    def _read(self, sql: str, parameters: list[Any]) -> list[tuple[Any, ...]]:
        self._ready()
        rows = _run(self.database, sql, *parameters)
        self._paused_until = 0.0
        return rows

    def _ready(self) -> None:
        """Have a connection to the file that is there now, as patient as the request may be."""
        local, file = self._local, self._file()
        left = local.deadline - time.monotonic()
        if not self.database.is_closed() and (
            file != local.file or abs(local.patience - left) > _SLACK
        ):
            self.close()
        if self.database.is_closed():
            local.file, local.patience = file, max(left, 0.05)
            self.database.connect()

    def _file(self) -> tuple[int, int] | None:
        if self.url.dialect != "sqlite":
            return None
        try:
            stat = os.stat(self.url.path)
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

    def _fail(self, error: Exception) -> None:
        """Drop the connection; raise unless a second try is worth it."""
        self.close()
        now = time.monotonic()
        late = now > self._local.deadline - 0.05
        self._paused_until = now + _PAUSE if late else 0.0
        verdict = fault(error, self.url)
        if late or isinstance(verdict, DatabaseBroken):
            raise verdict from error


def fault(error: Exception, url: DatabaseURL) -> BillingError:
    """What a driver's error means for the caller; its text is for the operator's log."""
    while "cannot rollback" in str(error) and isinstance(error.__context__, Exception):
        # SQLite had rolled back by itself, on a full disk say: the cause stands behind.
        error = error.__context__
    origin = getattr(error, "orig", error)
    text = f"{type(origin).__name__}: {origin}"
    if isinstance(origin, sqlite3.Error):
        # The low byte is the primary code; errors of the module itself carry none.
        code = getattr(origin, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        broken = code not in _SQLITE_AWAY
        text = f"{text} ({url.path})"
        if code == sqlite3.SQLITE_CANTOPEN and not url.path.exists():
            text = f"no file {url.path}: run `flask init`"
    else:
        code = origin.args[0] if origin.args else None
        broken = code in _MYSQL_BROKEN or isinstance(
            origin, pymysql.ProgrammingError | pymysql.DataError | pymysql.IntegrityError
        )
    if "no such table" in text or code in (1049, 1146):
        text = f"{text}; {_NO_TABLES}"
    return DatabaseBroken(text) if broken else DatabaseUnavailable(text)


def transact(database: peewee.Database, work: Callable[[], T], tries: int = 10) -> T:
    """Run `work` in one transaction, repeated whole when the server says it lost a race."""
    try:
        # A SQLite transaction that reads before it writes must lock from the start.
        with database.atomic(*([] if database.for_update else ["IMMEDIATE"])):
            return work()
    except (peewee.OperationalError, peewee.IntegrityError) as error:
        if tries == 1 or error.args[:1] not in _LOST_RACE:
            raise
    # Jitter, so that two that met once do not meet again.
    time.sleep(secrets.randbelow(100) / 1000)
    return transact(database, work, tries - 1)


def locked(database: peewee.Database, query: peewee.Select) -> peewee.Select:
    """`query`, its rows kept from other writers until the transaction ends."""
    return query.for_update() if database.for_update else query


def insert_adding(
    database: peewee.Database,
    model: type[peewee.Model],
    rows: list[dict[str, Any]],
    key: Sequence[peewee.Field],
    sums: Sequence[peewee.Field],
) -> None:
    """Insert `rows`; where a row of that unique `key` exists, add the `sums` to it instead."""
    insert = model.insert_many(rows)
    if isinstance(database, _MySQL):
        added = {field: field + peewee.fn.VALUES(field) for field in sums}
        insert = insert.on_conflict(update=added)
    else:
        added = {field: field + peewee.EXCLUDED[field.column_name] for field in sums}
        insert = insert.on_conflict(conflict_target=key, update=added)
    insert.execute(database)


def create_missing(database: peewee.Database, models: Sequence[type[peewee.Model]]) -> None:
    """Create the tables and indexes that are not there; safe to repeat after a crash."""
    for model in models:
        meta, schema = model._meta, peewee.SchemaManager(model, database)
        if isinstance(database, _MySQL):
            # The default collation takes R1 and r1, gpt-4o and GPT-4o, for one.
            meta.table_settings = ["CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"]
        try:
            schema.create_table(safe=True)
        finally:
            meta.table_settings = None
        there = {index.name for index in database.get_indexes(meta.table_name)}
        for index in meta.fields_to_index():
            if index._name not in there:
                database.execute(index.safe(False))


def _run(database: peewee.Database, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = database.execute_sql(sql, parameters).fetchall()
    return rows


@contextmanager
def alone(database: peewee.Database) -> Iterator[None]:
    """Nobody else changes the tables meanwhile: a lock, and on SQLite one transaction."""
    if isinstance(database, _MySQL):
        _run(database, "SELECT GET_LOCK('billing tables', 60)")
        try:
            yield
        finally:
            _run(database, "SELECT RELEASE_LOCK('billing tables')")
    else:
        with database.atomic("IMMEDIATE"):
            yield


def copy_to(database: peewee.Database, path: Path) -> None:
    """A consistent copy, in an empty file of ours, of a SQLite database that is in use.

    Raises driver errors, the file then removed.
    """
    try:
        _run(database, "VACUUM INTO ?", str(path))
    except BaseException:
        path.unlink(missing_ok=True)
        raise
