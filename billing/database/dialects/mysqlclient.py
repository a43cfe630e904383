"""MySQL and MariaDB by mysqlclient, in C; loaded only where that package is installed.

It counts its time limits in whole seconds: they are rounded up, so that a server that is frozen
holds a request for up to a second more. A healthy server keeps to the exact limit by itself.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import MySQLdb

from billing.database.dialects import KINDS, MySQL


class MySQLClient(MySQL):
    """Only without TLS, which PyMySQL checks as the address asks."""

    errors: ClassVar[tuple[type[Exception], ...]] = (*MySQL.errors, MySQLdb.Error)
    LASTING: ClassVar[tuple[type[Exception], ...]] = (
        *MySQL.LASTING,
        MySQLdb.ProgrammingError,
        MySQLdb.DataError,
        MySQLdb.IntegrityError,
    )

    def _dial(self, host: tuple[str, int], patience: float, session: str) -> Any:
        if self._tls is not None:
            return super()._dial(host, patience, session)
        url, patience = self._url, math.ceil(patience)
        return MySQLdb.connect(
            host=host[0],
            port=host[1],
            user=url.user,
            password=url.password,
            database=url.name,
            unix_socket=url.unix_socket,
            charset="utf8mb4",
            autocommit=True,
            connect_timeout=patience,
            read_timeout=patience,
            write_timeout=patience,
            init_command=session,
        )


def init() -> None:
    """Make addresses of MySQL databases open by it."""
    KINDS["mysql"] = MySQLClient
