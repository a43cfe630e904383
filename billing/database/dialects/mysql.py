"""MySQL and MariaDB, by PyMySQL: one host or several, a Galera cluster or a replica."""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

import peewee
import pymysql
from pymysql.constants import CLIENT

from billing.database.columns import PLACEHOLDER
from billing.database.dialects.base import (
    READ_ONLY,
    SHORTEST_TIMEOUT,
    Access,
    Dialect,
    ReplicaStatus,
    ThreadState,
)

if TYPE_CHECKING:
    from config import DatabaseURL

#: A host that failed is skipped for so many seconds, if there is another.
_HOST_COOLDOWN = 5.0

#: The server ends a statement a little before we stop waiting for it.
_SERVER_SHARE = 0.95

#: Above this share of its budget a request needs no limit of its own.
_WHOLE_BUDGET_SHARE = 0.9

#: Above this share the driver waits for all of it.
_NEARLY_WHOLE_BUDGET_SHARE = 0.99

#: No right to ask for the state of the replication.
_ACCESS_DENIED = 1227

_SYNTAX_ERROR = 1064


def error_code(error: Exception) -> int | None:
    """The server's or client's error number; None for what carries none."""
    code = error.args[0] if error.args else None
    return code if isinstance(code, int) else None


def without_quoted(text: str) -> str:
    """`text` without all from its first quotation mark to its last."""
    return re.sub("""['"`].*['"`]""", "'…'", text, flags=re.DOTALL)


class _BoundedConnection(pymysql.Connection):  # type: ignore[misc]
    """A connection whose `connect_timeout` bounds all steps of connecting together."""

    #: When connecting must have ended, by `time.monotonic`; None once it has.
    _connect_until: float | None = None

    def connect(self, sock: Any = None) -> None:
        self._connect_until = time.monotonic() + self.connect_timeout
        try:
            super().connect(sock)
        finally:
            self._connect_until = None

    @property
    def _read_timeout(self) -> float:
        """What the driver waits for each answer."""
        if self._connect_until is None:
            return self._answer_timeout
        return max(self._connect_until - time.monotonic(), SHORTEST_TIMEOUT)

    @_read_timeout.setter
    def _read_timeout(self, seconds: float) -> None:
        self._answer_timeout = seconds


class MySQL(Dialect, peewee.MySQLDatabase):
    """MySQL or MariaDB, by PyMySQL."""

    # Its `__version__` is that of the mysqlclient that it can stand in for.
    DRIVER: ClassVar = ("PyMySQL", pymysql.VERSION_STRING)
    ERRORS: ClassVar[tuple[type[Exception], ...]] = (pymysql.MySQLError,)
    # MariaDB names itself there, MySQL does not.
    VERSION_SQL = "SELECT CONCAT(IF(LOCATE('MariaDB', VERSION()), '', 'MySQL '), VERSION())"
    CLOCK_SQL = "SELECT UNIX_TIMESTAMP(NOW(6))"
    # The default collation takes R1 for r1, and gpt-4o for GPT-4o.
    TABLE_SETTINGS = ("CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",)
    COMMIT_CAN_BE_UNKNOWN = True
    BACKUP_TOOL = "mysqldump --single-transaction"

    #: The driver's error classes that no retry removes.
    _PERMANENT_ERRORS: ClassVar[tuple[type[Exception], ...]] = (
        pymysql.ProgrammingError,
        pymysql.DataError,
        pymysql.IntegrityError,
    )

    #: No such database, column, table or function, or SQL that this server does not know.
    _PERMANENT_CODES = frozenset({1049, 1054, _SYNTAX_ERROR, 1146, 1305})

    #: A statement's own time limit: MariaDB's, MySQL's.
    _STATEMENT_TIMEOUT_CODES = frozenset({1969, 3024})

    #: A deadlock, a lock waited for too long.
    _LOST_RACE_CODES = frozenset({1213, 1205})

    #: Errors that quote names of databases, tables, columns and accounts alone. Others may quote
    #: what a row holds, or the statement, which holds the parameters. From 2000 on they are the
    #: client's own.
    _QUOTES_NAMES_CODES = frozenset(
        {1044, 1045, 1046, 1049, 1054, 1130, 1142, 1143, 1146, 1227, 1290, 1370}
    )

    #: Failures of the statement, which say nothing against the host.
    _NOT_A_HOST_FAILURE = _STATEMENT_TIMEOUT_CODES | _LOST_RACE_CODES

    #: The connection is gone, and with it what became of a COMMIT on its way.
    _CONNECTION_LOST_CODES = frozenset({0, 1047, 1053, 1927, 2006, 2013, 4031})

    def __init__(self, url: DatabaseURL, access: Access, state: ThreadState) -> None:
        self._hosts = [(url.host, url.port), *url.fallbacks]
        #: How long one host is waited for, in seconds, so that time is left for the next.
        self._host_timeout = state.answer_timeout / len(self._hosts)
        #: Until when a host that failed is skipped.
        self._failed_until: dict[tuple[str, int], float] = {}
        # Building a TLS context costs 20 ms: once, and not at all without TLS.
        self._tls = _tls_context(url) if url.tls else None
        super().__init__(url, access, state, url.name)

    def _connect(self) -> Any:
        """A connection to the first usable host, each waited for its share of what is left."""
        end = time.monotonic() + self._thread.connect_timeout
        hosts = self._available_hosts() or self._hosts
        failures: tuple[type[Exception], ...] = (*self.ERRORS, OSError)
        for number, host in enumerate(hosts):
            share = max(end - time.monotonic(), 0.05) / (len(hosts) - number)
            self._thread.host = host
            try:
                return self._connect_host(host, share)
            except failures as error:
                self.mark_host_failed(error)
                if host == hosts[-1]:
                    raise
        raise AssertionError("a database has a host")

    def _available_hosts(self) -> list[tuple[str, int]]:
        now = time.monotonic()
        return [host for host in self._hosts if self._failed_until.get(host, 0.0) < now]

    def mark_host_failed(self, error: Exception) -> None:
        is_host_failure = not (
            self.is_permanent(error) or error_code(error) in self._NOT_A_HOST_FAILURE
        )
        if len(self._hosts) > 1 and is_host_failure:
            self._failed_until[self._thread.host] = time.monotonic() + _HOST_COOLDOWN

    def should_fail_back(self) -> bool:
        return len(self._hosts) > 1 and self._available_hosts()[:1] not in (
            [],
            [self._thread.host],
        )

    def _connect_host(self, host: tuple[str, int], connect_timeout: float) -> Any:
        thread = self._thread
        session = "SET SESSION time_zone = '+00:00'"
        if self._access in READ_ONLY:
            # MariaDB and MySQL name these differently; each skips the other's comment. The server
            # is to end a statement before we stop to wait for it.
            limit = _SERVER_SHARE * self._host_timeout
            session += (
                f" /*M!100100 , tx_read_only = 1, max_statement_time = {limit:.3f} */"
                " /*!50720 , transaction_read_only = 1,"
                f" max_execution_time = {max(int(limit * 1000), 1)} */"
            )
        connection = self._driver_connect(host, connect_timeout, session)
        version = connection.get_server_info()
        thread.is_mariadb = "MariaDB" in version
        thread.has_json_array = _has_json_array(version)
        if len(self._hosts) > 1 or self._access not in READ_ONLY:
            try:
                self._check_node(connection)
            except BaseException:
                connection.close()
                raise
        return connection

    def _check_node(self, connection: Any) -> None:
        """Raise for a node that accepts connections but cannot serve.

        Outside its cluster's primary component a Galera node answers no query; a replica takes no
        writes.
        """
        with connection.cursor() as cursor:
            cursor.execute("SHOW GLOBAL VARIABLES LIKE 'wsrep_on'")
            galera = cursor.fetchone() == ("wsrep_on", "ON")
            cursor.execute("SHOW STATUS LIKE 'wsrep_ready'")
            if galera and cursor.fetchone() != ("wsrep_ready", "ON"):
                raise pymysql.OperationalError(1047, "the node is not in its cluster")
            if self._access not in READ_ONLY:
                cursor.execute("SELECT @@GLOBAL.read_only")
                if cursor.fetchone() == (1,):
                    raise pymysql.OperationalError(1290, "the server is read-only")
                if galera:
                    # What another node has committed is seen by this one's next read.
                    cursor.execute("SET SESSION wsrep_sync_wait = 15")

    def _driver_connect(self, host: tuple[str, int], connect_timeout: float, session: str) -> Any:
        """A connection by the driver, which runs the SQL `session` at each connect.

        An UPDATE counts the rows that it found, changed or not, as on every other database.
        """
        url = self.url
        return _BoundedConnection(
            host=host[0],
            port=host[1],
            user=url.user,
            password=url.password,
            database=url.name,
            unix_socket=url.unix_socket or None,
            charset="utf8mb4",
            autocommit=True,
            connect_timeout=connect_timeout,
            # Of the session's SQL too; `begin_statement` sets that of each statement.
            read_timeout=connect_timeout,
            write_timeout=connect_timeout,
            init_command=session,
            client_flag=CLIENT.FOUND_ROWS,
            ssl=self._tls,
            ssl_disabled=self._tls is None,
        )

    def begin_statement(self, sql: str) -> str:
        left = min(self._thread.seconds_left(), self._host_timeout)
        self._limit_driver(left)
        # The session's own limit fits a request that has its whole budget left.
        if left > _WHOLE_BUDGET_SHARE * self._host_timeout or sql[:7] != "SELECT ":
            return sql
        limit = _SERVER_SHARE * left
        if self._thread.is_mariadb:
            return f"SET STATEMENT max_statement_time={limit:.3f} FOR {sql}"
        return f"SELECT /*+ MAX_EXECUTION_TIME({int(limit * 1000)}) */ {sql[7:]}"

    def _limit_driver(self, seconds: float) -> None:
        """Let the driver wait so long for each answer; it has no public way to change that.

        The same for most requests, and for both ways: each change is a system call.
        """
        if seconds > _NEARLY_WHOLE_BUDGET_SHARE * self._host_timeout:
            seconds = self._host_timeout
        connection = self.connection()
        connection._read_timeout = connection._write_timeout = seconds

    def columns_of(self, tables: Sequence[str]) -> list[tuple[str, str]]:
        known = peewee.Table("columns", schema="information_schema")
        query = known.select(known.c.table_name, known.c.column_name).where(
            known.c.table_schema == peewee.fn.DATABASE(), known.c.table_name.in_(tables)
        )
        sql, parameters = self.get_sql_context().sql(query).query()
        return self.fetch_all(sql, *parameters)

    @classmethod
    def is_permanent(cls, error: Exception) -> bool:
        return error_code(error) in cls._PERMANENT_CODES or isinstance(error, cls._PERMANENT_ERRORS)

    @classmethod
    def is_connection_lost(cls, error: Exception) -> bool:
        return error_code(error) in cls._CONNECTION_LOST_CODES

    @classmethod
    def is_lost_race(cls, error: Exception) -> bool:
        return error_code(error) in cls._LOST_RACE_CODES

    @classmethod
    def is_duplicate(cls, error: Exception) -> bool:
        return error_code(error) == 1062

    @classmethod
    def is_statement_timeout(cls, error: Exception) -> bool:
        return error_code(error) in cls._STATEMENT_TIMEOUT_CODES

    @classmethod
    def is_missing_table(cls, error: Exception) -> bool:
        return error_code(error) == 1146

    @classmethod
    def error_text(cls, error: Exception) -> str:
        code = error_code(error)
        if code is None:
            return without_quoted(super().error_text(error))
        if code in cls._QUOTES_NAMES_CODES or code >= 2000:
            return super().error_text(error)
        return "({})".format(", ".join(without_quoted(str(part)) for part in error.args))

    def packs_rows(self) -> bool:
        """PyMySQL describes columns slowly: 20 of them took 155 µs of a request, one takes 72."""
        return self._thread.has_json_array

    @staticmethod
    def pack(columns: Sequence[peewee.Node]) -> peewee.Node:
        # Without a name its whole text would come back with each row.
        return peewee.fn.JSON_ARRAY(*columns).alias("row_values")

    @staticmethod
    def span_of(time: peewee.Field[Any]) -> peewee.Node:
        return peewee.NodeList((time - PLACEHOLDER, peewee.SQL("DIV"), PLACEHOLDER))

    @staticmethod
    def case_sensitive(text: peewee.Node) -> peewee.Node:
        using = peewee.NodeList((text, peewee.SQL("USING utf8mb4")))
        return peewee.NodeList((peewee.fn.CONVERT(using), peewee.SQL("COLLATE utf8mb4_bin")))

    @staticmethod
    def space_sensitive(text: peewee.Node) -> peewee.Node:
        using = peewee.NodeList((text, peewee.SQL("USING utf8mb4")))
        binary = peewee.NodeList((peewee.fn.CONVERT(using), peewee.SQL("AS BINARY")))
        return peewee.fn.CAST(binary)

    def upsert_adding(
        self,
        model: type[peewee.Model],
        rows: list[dict[str, Any]],
        key: Sequence[peewee.Field[Any]],
        sums: Sequence[peewee.Field[Any]],
    ) -> None:
        added = {field: field + peewee.fn.VALUES(field) for field in sums}
        model.insert_many(rows).on_conflict(update=added).execute(self)

    @staticmethod
    def drop_index_sql(table: str, name: str) -> str:
        return f"DROP INDEX {name} ON {table}"

    @contextmanager
    def exclusive_lock(self) -> Iterator[None]:
        # Lock names are the whole server's, and have up to 64 characters.
        name = "CONCAT('billing ', LEFT(SHA2(DATABASE(), 256), 40))"
        if self.fetch_all(f"SELECT GET_LOCK({name}, 30)") != [(1,)]:
            raise peewee.OperationalError("another command is changing the tables")
        try:
            yield
        finally:
            self.fetch_all(f"SELECT RELEASE_LOCK({name})")

    def account_can_write(self) -> bool:
        grants = " ".join(row[0] for row in self.fetch_all("SHOW GRANTS"))
        return bool(re.search(r"\b(ALL PRIVILEGES|INSERT|UPDATE|DELETE|DROP|ALTER)\b", grants))

    def replica_status(self) -> ReplicaStatus | None:
        """Without the right to ask, a server that takes no writes counts as a replica."""
        try:
            status = self._show_replica_status()
        except peewee.PeeweeException as error:
            if error_code(error) != _ACCESS_DENIED:
                raise
            ((version, read_only),) = self.fetch_all("SELECT VERSION(), @@GLOBAL.read_only")
            grant = "SLAVE MONITOR" if "MariaDB" in version else "REPLICATION CLIENT"
            problem = f"only an account with GRANT {grant} ON *.* may ask for its lag"
            return ReplicaStatus(None, None, problem) if read_only else None
        if status is None:
            return None
        if (status["IO_Running"], status["SQL_Running"]) == ("Yes", "Yes"):
            return ReplicaStatus(status["Seconds_Behind"])
        reason = status["Last_SQL_Error"] or status["Last_IO_Error"] or "it is stopped"
        # It may quote the row, or the statement, that could not be applied.
        reason = without_quoted(reason)
        return ReplicaStatus(None, False, f"replication is not running: {reason}")

    def _show_replica_status(self) -> dict[str, Any] | None:
        """The row of the replication's state, by the names that MariaDB and MySQL share."""
        try:
            # MySQL from 8.0.22 and MariaDB from 10.5 on.
            cursor = self.execute_sql("SHOW REPLICA STATUS")
        except peewee.ProgrammingError as error:
            if error_code(error) != _SYNTAX_ERROR:
                raise
            cursor = self.execute_sql("SHOW SLAVE STATUS")
        row = cursor.fetchone()
        if row is None:
            return None
        names = [
            re.sub("^(Slave|Replica)_|_(Master|Source)$", "", column[0])
            for column in cursor.description
        ]
        return dict(zip(names, row, strict=True))


def _has_json_array(version: str) -> bool:
    """Whether a server of that version has JSON_ARRAY; proxies may hide a new one behind an old."""
    # MariaDB says 5.5.5- before its own version, for replicas that know no other.
    found = re.match(r"(?:5\.5\.5-)?(\d+)\.(\d+)\.(\d+)", version)
    numbers = tuple(map(int, found.groups())) if found else (0, 0, 0)
    return numbers >= ((10, 2, 3) if "MariaDB" in version else (5, 7, 8))


def _tls_context(url: DatabaseURL) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=url.ssl_ca or None)
    context.check_hostname = url.tls == "verify"
    if url.tls == "skip-verify":
        context.verify_mode = ssl.CERT_NONE
    return context
