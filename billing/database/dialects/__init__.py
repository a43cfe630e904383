"""Where SQLite, MySQL and PostgreSQL differ: connecting, judging faults, and their own SQL."""

from __future__ import annotations

import re
import sqlite3
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import peewee
import pymysql

if TYPE_CHECKING:
    from config import DatabaseURL

#: "attached" reads another program's database and "read" our own; "write" is for commands,
#: "create" for those that may make a SQLite file.
Access = Literal["attached", "read", "write", "create"]

#: On an attached SQLite file no statement may hold its read lock longer, in seconds: one-api
#: loses a wallet's decrement beside a lock of 3.5 s, new-api shuts itself out for a minute.
_ATTACHED_LIMIT = 2.0


#: A host that failed is passed over for so many seconds, if there is another.
_SHUN = 5.0


class Local(threading.local):
    """One thread's connection: when its request must end, how long it may wait for an answer."""

    deadline = 0.0
    patience = 0.0
    statement_began = 0.0
    host = ("", 0)


class Replica(NamedTuple):
    """A copy that follows a primary, `behind` it by so many seconds, None when nobody can say.

    `trouble` is for the operator: why it does not follow, or why it cannot be asked.
    """

    behind: float | None
    trouble: str = ""


class SQLite(peewee.SqliteDatabase):
    """A file. The service opens it so that no statement can write."""

    errors: ClassVar[tuple[type[Exception], ...]] = (sqlite3.Error,)
    #: Whether `char` columns come back padded with blanks.
    PADS = False
    VERSION = "SELECT 'SQLite ' || sqlite_version()"
    CLOCK = "SELECT (julianday('now') - 2440587.5) * 86400"

    _AWAY: ClassVar = {
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

    def __init__(self, url: DatabaseURL, access: Access, local: Local) -> None:
        # Our own file is in WAL mode, where even reading it needs the right to write beside it.
        mode = {"attached": "ro", "create": "rwc"}.get(access, "rw")
        self._uri = f"{url.path.as_uri()}?mode={mode}"
        self._access, self._local = access, local
        super().__init__(str(url.path))

    def _connect(self) -> sqlite3.Connection:
        conn = sqlite3.connect(
            self._uri, uri=True, timeout=self._local.patience, isolation_level=None
        )
        if self._access in ("attached", "read"):
            conn.execute("PRAGMA query_only = 1").close()
            conn.set_progress_handler(self._overdue, 20_000)
        return conn

    def _overdue(self) -> bool:
        """Ends a statement that takes too long, at no measurable cost."""
        now, local = time.monotonic(), self._local
        attached = self._access == "attached"
        return now > local.deadline or (attached and now - local.statement_began > _ATTACHED_LIMIT)

    @classmethod
    def broken(cls, error: Exception) -> bool:
        """Whether only an operator can mend it, so that no retry helps."""
        # The low byte is the primary code; errors of the module itself carry none.
        return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF not in cls._AWAY

    def failed(self, error: Exception) -> None:
        """A file has no other host."""

    def strayed(self) -> bool:
        return False

    @staticmethod
    def lost(error: Exception) -> bool:
        """Whether the connection is gone, so that a COMMIT may or may not have happened."""
        return False

    @staticmethod
    def cut_off(error: Exception) -> bool:
        """Whether the statement was ended by its own time limit."""
        return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT

    @staticmethod
    def lacks_table(error: Exception) -> bool:
        return str(error).startswith("no such table")

    @staticmethod
    def day(time: peewee.Field[Any]) -> peewee.Node:
        """The number of the UTC day that unix seconds fall in."""
        return peewee.Expression(time, "/", peewee.SQL("86400"))

    @staticmethod
    def exact(text: peewee.Node) -> peewee.Node:
        """Text to group by, without a collation that takes two for one."""
        return text

    @staticmethod
    def literal(text: peewee.Node) -> peewee.Node:
        """Text to compare to the last blank."""
        return text

    @staticmethod
    def can_write(database: peewee.Database) -> bool:
        """Whether the account may change another program's tables; a file knows no accounts."""
        return False

    @staticmethod
    def replica(database: peewee.Database) -> Replica | None:
        """What the database says of itself when it is a replica; a file is none."""
        return None


class MySQL(peewee.MySQLDatabase):
    """MySQL or MariaDB, by PyMySQL."""

    errors: ClassVar[tuple[type[Exception], ...]] = (pymysql.MySQLError,)
    LASTING: ClassVar[tuple[type[Exception], ...]] = (
        pymysql.ProgrammingError,
        pymysql.DataError,
        pymysql.IntegrityError,
    )
    PADS = False
    VERSION = "SELECT VERSION()"
    CLOCK = "SELECT UNIX_TIMESTAMP(NOW(6))"

    #: No such database, column or table, or SQL that this server does not know.
    _BROKEN: ClassVar = {1049, 1054, 1064, 1146}

    #: Not the host's fault: its own limit on a statement, a deadlock, a lock waited for too long.
    _NO_HOSTS: ClassVar = {(1969,), (3024,), (1213,), (1205,)}

    #: The connection is gone, and with it what became of a COMMIT on its way.
    _LOST: ClassVar = {(0,), (1047,), (1053,), (1927,), (2006,), (2013,), (4031,)}

    def __init__(self, url: DatabaseURL, access: Access, local: Local) -> None:
        self._url, self._access, self._local = url, access, local
        self._hosts = [(url.host, url.port), *url.fallbacks]
        #: Hosts that failed, and until when they are passed over.
        self._shunned: dict[tuple[str, int], float] = {}
        # Building one costs 20 ms: not at every connection, and not at all without TLS.
        self._tls = _tls(url) if url.ssl or url.ssl_ca else None
        super().__init__(url.name)

    def _connect(self) -> Any:
        """A connection to the first usable host, each waited for its share of what is left."""
        end = time.monotonic() + self._local.patience
        hosts = self._usable() or self._hosts
        failures: tuple[type[Exception], ...] = (*self.errors, OSError)
        for number, host in enumerate(hosts):
            share = max(end - time.monotonic(), 0.05) / (len(hosts) - number)
            self._local.host = host
            try:
                return self._open(host, share)
            except failures as error:
                self.failed(error)
                if host == hosts[-1]:
                    raise
        raise AssertionError("a database has a host")

    def _usable(self) -> list[tuple[str, int]]:
        now = time.monotonic()
        return [host for host in self._hosts if self._shunned.get(host, 0.0) < now]

    def failed(self, error: Exception) -> None:
        """Pass this thread's host over for a while, if there is another and `error` is its."""
        if len(self._hosts) > 1 and not (self.broken(error) or error.args[:1] in self._NO_HOSTS):
            self._shunned[self._local.host] = time.monotonic() + _SHUN

    def strayed(self) -> bool:
        """Whether a host before this thread's may be usable again."""
        return len(self._hosts) > 1 and self._usable()[:1] not in ([], [self._local.host])

    def _open(self, host: tuple[str, int], patience: float) -> Any:
        session = "SET SESSION time_zone = '+00:00'"
        if self._access in ("attached", "read"):
            # MariaDB and MySQL name these differently; each skips the other's comment. The server
            # is to end a statement before we stop to wait for it.
            limit = 0.95 * patience
            session += (
                f" /*M!100100 , tx_read_only = 1, max_statement_time = {limit:.3f} */"
                " /*!50720 , transaction_read_only = 1,"
                f" max_execution_time = {max(int(limit * 1000), 1)} */"
            )
        try:
            connection = self._dial(host, patience, session)
        except RuntimeError as error:
            # The account's authentication method needs a package that is not installed.
            raise pymysql.OperationalError(2059, str(error)) from error
        if len(self._hosts) > 1 or self._access not in ("attached", "read"):
            try:
                self._try(connection)
            except BaseException:
                connection.close()
                raise
        return connection

    def _try(self, connection: Any) -> None:
        """Raise for a node of no use, which an open port does not tell.

        Outside its cluster's primary component a Galera node takes connections and answers
        nothing; a replica takes no writes.
        """
        with connection.cursor() as cursor:
            cursor.execute("SHOW GLOBAL VARIABLES LIKE 'wsrep_on'")
            galera = cursor.fetchone() == ("wsrep_on", "ON")
            cursor.execute("SHOW STATUS LIKE 'wsrep_ready'")
            if galera and cursor.fetchone() != ("wsrep_ready", "ON"):
                raise pymysql.OperationalError(1047, "the node is not in its cluster")
            if self._access not in ("attached", "read"):
                cursor.execute("SELECT @@GLOBAL.read_only")
                if cursor.fetchone() == (1,):
                    raise pymysql.OperationalError(1290, "the server is read-only")
                if galera:
                    # What another node has committed is seen by this one's next read.
                    cursor.execute("SET SESSION wsrep_sync_wait = 15")

    def _dial(self, host: tuple[str, int], patience: float, session: str) -> Any:
        url = self._url
        return pymysql.connect(
            host=host[0],
            port=host[1],
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
            ssl=self._tls,
            ssl_disabled=self._tls is None,
        )

    @classmethod
    def broken(cls, error: Exception) -> bool:
        """Whether only an operator can mend it, so that no retry helps."""
        return error.args[:1] in {(code,) for code in cls._BROKEN} or isinstance(error, cls.LASTING)

    @classmethod
    def lost(cls, error: Exception) -> bool:
        """Whether the connection is gone, so that a COMMIT may or may not have happened."""
        return error.args[:1] in cls._LOST

    @staticmethod
    def cut_off(error: Exception) -> bool:
        """Whether the statement was ended by its own time limit, MariaDB's or MySQL's."""
        return error.args[:1] in ((1969,), (3024,))

    @staticmethod
    def lacks_table(error: Exception) -> bool:
        return error.args[:1] == (1146,)

    @staticmethod
    def day(time: peewee.Field[Any]) -> peewee.Node:
        """The number of the UTC day that unix seconds fall in."""
        return peewee.NodeList((time, peewee.SQL("DIV 86400")))

    @staticmethod
    def exact(text: peewee.Node) -> peewee.Node:
        """Text to group by: the usual collation takes gpt-4o and GPT-4o for one."""
        using = peewee.NodeList((text, peewee.SQL("USING utf8mb4")))
        return peewee.NodeList((peewee.fn.CONVERT(using), peewee.SQL("COLLATE utf8mb4_bin")))

    @staticmethod
    def literal(text: peewee.Node) -> peewee.Node:
        """Text to compare to the last blank, which every collation pads; slower to group by."""
        using = peewee.NodeList((text, peewee.SQL("USING utf8mb4")))
        binary = peewee.NodeList((peewee.fn.CONVERT(using), peewee.SQL("AS BINARY")))
        return peewee.fn.CAST(binary)

    @staticmethod
    def can_write(database: peewee.Database) -> bool:
        """Whether the account may change another program's tables."""
        grants = " ".join(row[0] for row in run(database, "SHOW GRANTS"))
        return bool(re.search(r"\b(ALL PRIVILEGES|INSERT|UPDATE|DELETE|DROP|ALTER)\b", grants))

    @classmethod
    def replica(cls, database: peewee.Database) -> Replica | None:
        """What the database says of itself when it is a replica.

        Without the right to ask, a server that takes no writes is taken for one.
        """
        try:
            status = _replica_status(database)
        except peewee.PeeweeException as error:
            if error.args[:1] != (1227,):
                raise
            ((version, read_only),) = run(database, "SELECT VERSION(), @@GLOBAL.read_only")
            grant = "SLAVE MONITOR" if "MariaDB" in version else "REPLICATION CLIENT"
            why = f"how far behind only an account with GRANT {grant} ON *.* may ask"
            return Replica(None, why) if read_only else None
        if status is None:
            return None
        # MySQL has new words for all of these.
        told = {
            re.sub("^(Slave|Replica)_|_(Master|Source)$", "", name): status[name] for name in status
        }
        if (told["IO_Running"], told["SQL_Running"]) == ("Yes", "Yes"):
            return Replica(told["Seconds_Behind"])
        why = told["Last_SQL_Error"] or told["Last_IO_Error"] or "it is stopped"
        return Replica(None, f"it does not follow its primary: {why}")


def _replica_status(database: peewee.Database) -> dict[str, Any] | None:
    try:
        cursor = database.execute_sql("SHOW SLAVE STATUS")
    except peewee.ProgrammingError as error:
        if error.args[:1] != (1064,):
            raise
        cursor = database.execute_sql("SHOW REPLICA STATUS")  # MySQL from 8.4 on
    row = cursor.fetchone()
    return row and dict(zip((column[0] for column in cursor.description), row, strict=True))


def _tls(url: DatabaseURL) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=url.ssl_ca or None)
    if url.ssl == "skip-verify":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


#: The kinds of database by the dialect of their address. postgresql.py adds its own when it is
#: loaded, because its driver is an optional package.
KINDS: dict[str, Any] = {"sqlite": SQLite, "mysql": MySQL}


def run(database: peewee.Database, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """The rows of one statement, all of them, so that no cursor stays open."""
    return list(database.execute_sql(sql, parameters).fetchall())


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
    if isinstance(database, MySQL):
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
        if isinstance(database, MySQL):
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


def keep_readers_free(database: peewee.Database) -> None:
    """Readers are never to wait for a writer: SQLite's WAL mode, which the file remembers."""
    if not isinstance(database, SQLite):
        return
    for last in (False,) * 100 + (True,):
        try:
            database.pragma("journal_mode", "wal")
            return
        except peewee.OperationalError:
            # Beside another command this is refused at once, whatever the time limit.
            if last:
                raise
            time.sleep(0.05)


@contextmanager
def alone(database: peewee.Database) -> Iterator[None]:
    """Nobody else changes the tables meanwhile: a lock, and on SQLite one transaction."""
    if isinstance(database, MySQL):
        # Such names are the whole server's.
        name = "CONCAT('billing ', SHA1(DATABASE()))"
        if run(database, f"SELECT GET_LOCK({name}, 30)") != [(1,)]:
            raise peewee.OperationalError("another command is changing the tables")
        try:
            yield
        finally:
            run(database, f"SELECT RELEASE_LOCK({name})")
    else:
        with database.atomic("IMMEDIATE"):
            yield


def copy_to(database: peewee.Database, path: Path) -> None:
    """A consistent copy, in an empty file of ours, of a SQLite database that is in use.

    Raises driver errors, the file then removed.
    """
    try:
        run(database, "VACUUM INTO ?", str(path))
    except BaseException:
        path.unlink(missing_ok=True)
        raise
