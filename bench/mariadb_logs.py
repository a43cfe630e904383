"""A MariaDB server with a new-api's logs, as large as bench/data.py makes them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pymysql

from bench.data import mysql
from tests.support.mariadb import MariaDB


@contextmanager
def mariadb(rows: int) -> Iterator[tuple[str, Any]]:
    """The address of the database, and a connection to it; the server ends with the block."""
    # What a server of its own would have: the logs fit.
    server = MariaDB("--innodb-buffer-pool-size=3G")
    try:
        server.execute("CREATE DATABASE billing_logs")
        with closing(
            pymysql.connect(
                unix_socket=str(server.socket),
                user="root",
                database="billing_logs",
                ssl_disabled=True,
            )
        ) as connection:
            mysql(connection, rows)
            yield server.url("billing_logs"), connection
    finally:
        server.close()
