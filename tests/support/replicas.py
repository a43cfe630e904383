"""A primary and a replica that follows it, of MariaDB, of MySQL and of PostgreSQL."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tests.support.mariadb import MariaDB
from tests.support.mysql import MySQL
from tests.support.postgresql import PostgreSQL
from tests.support.processes import wait_for

#: MySQL's transactions carry ids, by which a replica finds where it was.
_GTID = ("--gtid-mode=ON", "--enforce-gtid-consistency=ON")


class MariaDBPair:
    """A MariaDB primary, and a replica that follows it and takes no writes."""

    #: What an account needs that asks for the replica's state.
    GRANT = "SLAVE MONITOR"

    def __init__(self) -> None:
        first = MariaDB()
        first.stop()
        self.primary = MariaDB("--log-bin", "--server-id=1", data=first.folder / "data")
        self.replica = MariaDB("--server-id=2", "--read-only", data=first.folder / "data")
        first.close()
        self.primary.start()
        self.replica.start()
        self._follow(
            "MASTER_HOST = '127.0.0.1', MASTER_USER = 'root', MASTER_USE_GTID = slave_pos,"
            f" MASTER_CONNECT_RETRY = 1, MASTER_PORT = {self.primary.port}"
        )
        self._grant_status()

    def _grant_status(self) -> None:
        accounts = ", ".join(self.primary.ACCOUNTS)
        self.primary.execute(f"GRANT {self.GRANT} ON *.* TO {accounts}")

    def _follow(self, change: str) -> None:
        self.replica.execute("STOP SLAVE")
        self.replica.execute(f"CHANGE MASTER TO {change}")
        self.replica.execute("START SLAVE")

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Have the replica receive and not replay."""
        self.replica.execute("STOP SLAVE SQL_THREAD")
        try:
            yield
        finally:
            self.replica.execute("START SLAVE SQL_THREAD")

    @contextlib.contextmanager
    def delayed(self, seconds: int) -> Iterator[None]:
        """Have the replica follow so many seconds late."""
        self._follow(f"MASTER_DELAY = {seconds}")
        try:
            yield
        finally:
            self._follow("MASTER_DELAY = 0")

    def promote(self) -> None:
        self.replica.execute("STOP SLAVE")
        self.replica.execute("RESET SLAVE ALL")
        self.replica.execute("SET GLOBAL read_only = 0")

    def close(self) -> None:
        self.replica.close()
        self.primary.close()


class MySQLPair(MariaDBPair):
    """The same of MySQL, which has words of its own for it."""

    GRANT = "REPLICATION CLIENT"

    def __init__(self) -> None:
        first = MySQL()
        first.stop()
        data = first.folder / "data"
        self.primary = MySQL("--log-bin=binlog", "--server-id=1", *_GTID, data=data)
        self.replica = MySQL("--server-id=2", "--read-only", *_GTID, data=data)
        first.close()
        self.primary.start()
        self.replica.start()
        # A root account that a replica may use: MySQL's own is localhost's.
        self.primary.execute("CREATE USER follower@'127.0.0.1' IDENTIFIED BY ''")
        self.primary.execute("GRANT REPLICATION SLAVE ON *.* TO follower@'127.0.0.1'")
        self._grant_status()
        self._follow(
            "SOURCE_HOST = '127.0.0.1', SOURCE_USER = 'follower', SOURCE_AUTO_POSITION = 1,"
            " GET_SOURCE_PUBLIC_KEY = 1, SOURCE_CONNECT_RETRY = 1,"
            f" SOURCE_PORT = {self.primary.port}"
        )

    def _follow(self, change: str) -> None:
        self.replica.execute("STOP REPLICA")
        self.replica.execute(f"CHANGE REPLICATION SOURCE TO {change}")
        self.replica.execute("START REPLICA")

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Have the replica receive and not replay."""
        self.replica.execute("STOP REPLICA SQL_THREAD")
        try:
            yield
        finally:
            self.replica.execute("START REPLICA SQL_THREAD")

    @contextlib.contextmanager
    def delayed(self, seconds: int) -> Iterator[None]:
        """Have the replica follow so many seconds late."""
        self._follow(f"SOURCE_DELAY = {seconds}")
        try:
            yield
        finally:
            self._follow("SOURCE_DELAY = 0")

    def promote(self) -> None:
        self.replica.execute("STOP REPLICA")
        self.replica.execute("RESET REPLICA ALL")
        self.replica.execute("SET GLOBAL read_only = 0")


class PostgreSQLPair:
    """A PostgreSQL primary and a hot standby that waits for no reader.

    Nothing but the tests writes to it. The role `reader` may log in and has no other right.
    """

    def __init__(self) -> None:
        self.primary = PostgreSQL()
        self.primary.execute("CREATE ROLE reader LOGIN")
        self.replica = PostgreSQL(self.primary)
        self._set(self.primary, "autovacuum", "off")
        self._set(self.replica, "max_standby_streaming_delay", "0")

    @staticmethod
    def _set(server: PostgreSQL, name: str, value: str) -> None:
        """Change a setting; the server's processes learn of it a little later."""
        quoted = value.replace("'", "''")
        server.execute(f"ALTER SYSTEM SET {name} = '{quoted}'")
        server.execute("SELECT pg_reload_conf()")

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Have the standby receive and not replay."""
        self.replica.execute("SELECT pg_wal_replay_pause()")
        try:
            yield
        finally:
            self.replica.execute("SELECT pg_wal_replay_resume()")

    @contextlib.contextmanager
    def delayed(self, seconds: int, restart: bool = False) -> Iterator[None]:
        """Have the standby follow so many seconds late, if wanted from a restart on."""
        self._set(self.replica, "recovery_min_apply_delay", f"{seconds}s")
        try:
            if restart:
                self.restart_from_checkpoint()
            else:
                wait_for(self._holds_back, "the delay of a standby")
            yield
        finally:
            self._set(self.replica, "recovery_min_apply_delay", "0")

    def _holds_back(self) -> bool:
        """Write to the primary; whether the standby waits before it replays a commit.

        What it replays before it has learned of the delay is not held back.
        """
        self.primary.execute("SELECT txid_current()")
        held = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'RecoveryApplyDelay'"
        return self.replica.execute(held) != []

    def restart_from_checkpoint(self) -> None:
        """Restart the standby so that it has replayed no transaction since its start."""
        self.primary.execute("CHECKPOINT")
        ((end,),) = self.primary.execute("SELECT pg_current_wal_lsn()")
        replayed = "SELECT 1 WHERE pg_last_wal_replay_lsn() >= %s"
        wait_for(lambda: self.replica.execute(replayed, end), "the replay of a checkpoint")
        self.replica.stop()
        self.replica.start()
        wait_for(self._receives, "the standby's receiver")
        last = self.replica.execute("SELECT pg_last_xact_replay_timestamp()")
        assert last == [(None,)]

    def _receives(self) -> bool:
        return self.replica.execute("SELECT 1 FROM pg_stat_wal_receiver") != []

    @contextlib.contextmanager
    def disconnected(self) -> Iterator[None]:
        """Have the standby receive nothing from its primary."""
        ((primary,),) = self.replica.execute("SHOW primary_conninfo")
        self._set(self.replica, "primary_conninfo", "")
        try:
            wait_for(lambda: not self._receives(), "the end of the standby's receiver")
            yield
        finally:
            self._set(self.replica, "primary_conninfo", primary)

    def promote(self) -> None:
        self.replica.execute("SELECT pg_promote()")

    def close(self) -> None:
        self.replica.close()
        self.primary.close()
