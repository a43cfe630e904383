"""PostgreSQL, by psycopg; loaded only when an address names it, since the driver is optional."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

import peewee
import psycopg
from psycopg import errors

from billing.database.dialects import KINDS, Access, Local, Replica, run

if TYPE_CHECKING:
    from config import DatabaseURL


class _Bounded(psycopg.Connection[Any]):
    """A connection that never waits past its request: a frozen server would hang it for ever."""

    local: Local

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        left = self.local.deadline - time.monotonic()
        return super().wait(gen, interval, max(left, 0.05) if timeout is None else timeout)


#: Level once all that came is replayed, however long ago the last write was. After a restart the
#: receiver begins at a segment's start, before what is replayed already, until new records come.
_REPLICA = """
SELECT pg_is_in_recovery(),
    receives AND pg_last_wal_receive_lsn() <= pg_last_wal_replay_lsn(),
    extract(epoch FROM now() - pg_last_xact_replay_timestamp()),
    CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() END, receives
FROM (SELECT EXISTS (SELECT FROM pg_stat_wal_receiver) AS receives) AS receiver
"""

#: All that was committed before the checkpoint that a standby would restart from is replayed.
_CHECKPOINT_AGE = """
SELECT extract(epoch FROM now() - checkpoint_time) FROM pg_control_checkpoint()
"""


class PostgreSQL(peewee.PostgresqlDatabase):
    """Read only: new-api and one-api keep tables there, we keep none."""

    errors: ClassVar[tuple[type[Exception], ...]] = (psycopg.Error,)
    PADS = True
    VERSION = "SELECT split_part(version(), ' (', 1)"
    CLOCK = "SELECT extract(epoch FROM clock_timestamp())"

    def __init__(self, url: DatabaseURL, access: Access, local: Local) -> None:
        self._url, self._local = url, local
        self._hosts = 1 + urlsplit(url.dsn).netloc.count(",")
        super().__init__(url.dsn, prefer_psycopg3=True)

    def _connect(self) -> Any:
        patience = self._local.patience
        kind: Any = type("Connection", (_Bounded,), {"local": self._local})
        return kind.connect(
            self._url.dsn,
            autocommit=True,
            # Of each host of the address; the driver takes no less than 2 s.
            connect_timeout=max(int(patience / self._hosts), 2),
            options="-c default_transaction_read_only=on"
            f" -c statement_timeout={max(int(patience * 950), 1)}",
            prepare_threshold=None,  # poolers between us and the server do not know them
        )

    @staticmethod
    def broken(error: Exception) -> bool:
        """Whether only an operator can mend it, so that no retry helps."""
        lasting = (psycopg.ProgrammingError, psycopg.DataError, psycopg.NotSupportedError)
        return isinstance(error, lasting) and not isinstance(error, errors.InsufficientPrivilege)

    def failed(self, error: Exception) -> None:
        """libpq goes through the hosts of an address by itself."""

    def strayed(self) -> bool:
        return False

    @staticmethod
    def lost(error: Exception) -> bool:
        """We write nothing there."""
        return False

    @staticmethod
    def cut_off(error: Exception) -> bool:
        """Whether the statement was ended by its own time limit."""
        return isinstance(error, errors.QueryCanceled)

    @staticmethod
    def lacks_table(error: Exception) -> bool:
        return isinstance(error, errors.UndefinedTable)

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
        """Whether the account may change another program's tables."""
        sql = "SELECT has_table_privilege('tokens', 'INSERT, UPDATE, DELETE')"
        return bool(run(database, sql)[0][0])

    @staticmethod
    def replica(database: peewee.Database) -> Replica | None:
        """What the database says of itself when it is a standby."""
        ((standby, level, behind, paused, receives),) = run(database, _REPLICA)
        if not standby:
            return None
        trouble = ""
        if level:
            behind = 0
        elif behind is None:
            behind, trouble = _since_checkpoint(database)
        if paused:
            trouble = "its replay is paused"
        elif not receives:
            trouble = "it receives nothing from its primary"
        return Replica(behind, trouble)


def _since_checkpoint(database: peewee.Database) -> Replica:
    """How far behind a standby is that has replayed no transaction since it started."""
    try:
        return Replica(run(database, _CHECKPOINT_AGE)[0][0])
    except peewee.ProgrammingError as error:
        if not isinstance(getattr(error, "orig", error), errors.InsufficientPrivilege):
            raise
        return Replica(
            None,
            "it is behind and has replayed nothing since it started: how far behind only an account"
            " with GRANT EXECUTE ON FUNCTION pg_control_checkpoint() may ask",
        )


def init() -> None:
    """Make addresses of PostgreSQL databases usable."""
    KINDS["postgresql"] = PostgreSQL
