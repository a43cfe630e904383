"""MySQL and MariaDB by mysqlclient, in C; loaded only where that package is installed.

It counts its time limits in whole seconds: they are rounded up, so that a server that is frozen
holds a request for up to a second more. A healthy server keeps to the exact limit by itself.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import MySQLdb
from MySQLdb.constants import CLIENT
from MySQLdb.release import __version__

from billing.database.dialects.mysql import MySQL


class MySQLClient(MySQL):
    """Without TLS alone: `dialect_for` chooses PyMySQL for addresses that ask for it."""

    DRIVER: ClassVar = ("mysqlclient", __version__)
    ERRORS: ClassVar[tuple[type[Exception], ...]] = (*MySQL.ERRORS, MySQLdb.Error)
    _PERMANENT_ERRORS: ClassVar[tuple[type[Exception], ...]] = (
        *MySQL._PERMANENT_ERRORS,
        MySQLdb.ProgrammingError,
        MySQLdb.DataError,
        MySQLdb.IntegrityError,
    )

    def _driver_connect(self, host: tuple[str, int], connect_timeout: float, session: str) -> Any:
        url, answer_timeout = self.url, math.ceil(self._host_timeout)
        return MySQLdb.connect(
            host=host[0],
            port=host[1],
            user=url.user,
            password=url.password,
            database=url.name,
            unix_socket=url.unix_socket,
            charset="utf8mb4",
            autocommit=True,
            connect_timeout=math.ceil(connect_timeout),
            read_timeout=answer_timeout,
            write_timeout=answer_timeout,
            init_command=session,
            client_flag=CLIENT.FOUND_ROWS,
        )

    def packs_rows(self) -> bool:
        """In C columns are described as fast as an array is read: 48 µs either way."""
        return False

    def _limit_driver(self, seconds: float) -> None:
        """The driver's limit is fixed when it connects; the server's ends each statement."""
