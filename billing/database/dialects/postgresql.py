"""PostgreSQL, by psycopg: read only, for attached gateways; we keep no tables of ours there."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import peewee
import psycopg
from psycopg import errors
from psycopg.pq import TransactionStatus
from psycopg.types.string import TextLoader

from billing.database.dialects.base import Access, Dialect, ReplicaStatus, ThreadState

if TYPE_CHECKING:
    from config import DatabaseURL


class _BoundedConnection(psycopg.Connection[Any]):
    """A connection that never waits past its request: a frozen server would hang it for ever."""

    thread: ThreadState
    #: Whether it leads to one server process, so that a statement prepared there is found again.
    can_prepare = False

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        left = self.thread.deadline - time.monotonic()
        return super().wait(gen, interval, max(left, 0.05) if timeout is None else timeout)


#: Level once all that came is replayed, however long ago the last write was. After a restart the
#: receiver begins at a segment's start, before what is replayed already, until new records come.
_REPLICA_SQL = """
SELECT pg_is_in_recovery(),
    receives AND pg_last_wal_receive_lsn() <= pg_last_wal_replay_lsn(),
    extract(epoch FROM now() - pg_last_xact_replay_timestamp()),
    CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() END, receives
FROM (SELECT EXISTS (SELECT FROM pg_stat_wal_receiver) AS receives) AS receiver
"""

#: All that was committed before the checkpoint that a standby would restart from is replayed.
_CHECKPOINT_AGE_SQL = """
SELECT extract(epoch FROM now() - checkpoint_time) FROM pg_control_checkpoint()
"""


#: Those of the first schema of the search path that has the table, as a query would find it.
_COLUMNS_SQL = """
SELECT name, attname FROM unnest(%s::text[]) AS name
JOIN pg_attribute ON attrelid = to_regclass(quote_ident(name))
WHERE attnum > 0 AND NOT attisdropped
"""


#: The process that answers; a pooler's own number is another one.
_SESSION_SQL = "SELECT pg_backend_pid(), current_setting('default_transaction_read_only')"

_NOT_READ_ONLY = (
    "a pooler before the server has dropped default_transaction_read_only: let it pass `options`,"
    " or set it for the account (ALTER ROLE … SET default_transaction_read_only = on)"
)


def _server_limit(seconds: float) -> int:
    """Milliseconds after which the server ends a statement, a little before we stop waiting."""
    return max(int(seconds * 950), 1)


class _Adapter(peewee.Psycopg3Adapter):
    """Has from psycopg what Peewee's own lacks, having been imported without psycopg."""

    txn_idle = TransactionStatus.IDLE
    txn_inerror = TransactionStatus.INERROR
    txn_unknown = TransactionStatus.UNKNOWN

    def check_driver(self) -> None:
        """psycopg is there, or this module would not be."""


class PostgreSQL(Dialect, peewee.PostgresqlDatabase):
    """libpq goes through the hosts of an address by itself."""

    DRIVER = ("psycopg", psycopg.__version__)
    ERRORS = (psycopg.Error,)
    VERSION_SQL = "SELECT split_part(version(), ' (', 1)"
    CLOCK_SQL = "SELECT extract(epoch FROM clock_timestamp())"
    PADS_CHAR_COLUMNS = True
    # Peewee takes the first when it knows of no psycopg.
    psycopg2_adapter = psycopg3_adapter = _Adapter

    def __init__(self, url: DatabaseURL, access: Access, state: ThreadState) -> None:
        self._host_count = 1 + urlsplit(url.dsn).netloc.count(",")
        super().__init__(url, access, state, url.dsn, prefer_psycopg3=True)

    def _connect(self) -> Any:
        thread = self._thread
        connection = _BoundedConnection.connect(
            self.url.dsn,
            autocommit=True,
            # Of each host of the address; the driver takes no less than 2 s.
            connect_timeout=max(int(thread.connect_timeout / self._host_count), 2),
            # One read takes one processor of the database's machine, whatever its size.
            options="-c default_transaction_read_only=on -c max_parallel_workers_per_gather=0"
            f" -c statement_timeout={_server_limit(thread.answer_timeout)}",
        )
        # JSON arrives as text, as from the other databases.
        for json_type in ("json", "jsonb"):
            connection.adapters.register_loader(json_type, TextLoader)
        connection.thread, thread.statement_limit = thread, thread.answer_timeout
        try:
            connection.can_prepare = self._check_session(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    @staticmethod
    def _check_session(connection: _BoundedConnection) -> bool:
        """Whether no pooler is between us and the server process.

        A pooler gives each statement to any process, where statements of others may have the names
        of ours. It may also drop what we ask for at the start: raises unless writes are refused.
        """
        ((process, read_only),) = connection.execute(_SESSION_SQL, prepare=False).fetchall()
        if read_only != "on":
            raise psycopg.NotSupportedError(_NOT_READ_ONLY)
        return bool(process == connection.info.backend_pid)

    def fetch_prepared(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """By a plan that the server keeps for the connection: to plan takes most of a read."""
        self._thread.require_time_for_answer()
        prepare = None if self.connection().can_prepare else False
        return self._execute(self.begin_statement(sql), parameters, prepare)

    def _fetch_rows(self, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        return self._execute(sql, parameters, prepare=False)

    def _execute(
        self, sql: str, parameters: Sequence[Any], prepare: bool | None
    ) -> list[tuple[Any, ...]]:
        """By the driver's connection; `prepare` None is for a statement that came often enough."""
        return list(self.connection().execute(sql, parameters, prepare=prepare).fetchall())

    def begin_statement(self, sql: str) -> str:
        """Our wait is bounded anyway: the server's limit costs a round trip and need not fit."""
        thread, left = self._thread, self._thread.seconds_left()
        if not left / 2 < thread.statement_limit < left * 2:
            self.execute_sql(f"SET statement_timeout = {_server_limit(left)}").close()
            thread.statement_limit = left
        return sql

    def columns_of(self, tables: Sequence[str]) -> list[tuple[str, str]]:
        return self.fetch_all(_COLUMNS_SQL, list(tables))

    @classmethod
    def is_permanent(cls, error: Exception) -> bool:
        permanent = (psycopg.ProgrammingError, psycopg.DataError, psycopg.NotSupportedError)
        return isinstance(error, permanent) and not isinstance(error, errors.InsufficientPrivilege)

    @classmethod
    def is_statement_timeout(cls, error: Exception) -> bool:
        return isinstance(error, errors.QueryCanceled)

    @classmethod
    def is_missing_table(cls, error: Exception) -> bool:
        return isinstance(error, errors.UndefinedTable)

    @classmethod
    def error_text(cls, error: Exception) -> str:
        """Without DETAIL and CONTEXT, which quote rows, and what a DataError quotes."""
        primary = error.diag.message_primary if isinstance(error, psycopg.Error) else None
        text = " ".join(primary.split()) if primary else super().error_text(error)
        is_data_error = isinstance(error, psycopg.DataError | psycopg.IntegrityError)
        return re.sub('".*"', '"…"', text) if is_data_error else text

    def account_can_write(self) -> bool:
        sql = "SELECT has_table_privilege('tokens', 'INSERT, UPDATE, DELETE')"
        return bool(self.fetch_all(sql)[0][0])

    def replica_status(self) -> ReplicaStatus | None:
        ((standby, level, lag_seconds, paused, receives),) = self.fetch_all(_REPLICA_SQL)
        if not standby:
            return None
        problem = ""
        if level:
            lag_seconds = 0
        elif lag_seconds is None:
            lag_seconds, problem = self._lag_since_checkpoint()
        if paused:
            problem = "its replay is paused"
        elif not receives:
            problem = "it receives nothing from its primary"
        return ReplicaStatus(lag_seconds, receives and not paused, problem)

    def _lag_since_checkpoint(self) -> tuple[float | None, str]:
        """The lag of a standby that has replayed no transaction since it started, at most.

        Without the right to ask for it: None, and the reason.
        """
        try:
            return self.fetch_all(_CHECKPOINT_AGE_SQL)[0][0], ""
        except errors.InsufficientPrivilege:
            return None, (
                "it is behind and has replayed nothing since it started: only an account with"
                " GRANT EXECUTE ON FUNCTION pg_control_checkpoint() may ask for its lag"
            )
