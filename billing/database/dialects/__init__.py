"""Chooses the dialect of a database address; a driver is loaded only when an address needs it."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from billing.database.dialects.base import Dialect

if TYPE_CHECKING:
    from config import DatabaseURL


def dialect_for(url: DatabaseURL) -> type[Dialect]:
    """The dialect, and with it the driver, of an address.

    mysqlclient is used where it is installed, unless the address asks for PyMySQL, for TLS (PyMySQL
    checks the server's certificate as the address asks) or names several hosts (mysqlclient waits
    for each in whole seconds, which together would be more than a request may take).
    """
    if url.dialect == "sqlite":
        from billing.database.dialects.sqlite import SQLite

        return SQLite
    if url.dialect == "postgresql":
        from billing.database.dialects.postgresql import PostgreSQL

        return PostgreSQL
    needs_pymysql = url.driver or url.tls or url.fallbacks
    if not needs_pymysql and find_spec("MySQLdb") is not None:
        from billing.database.dialects.mysqlclient import MySQLClient

        return MySQLClient
    from billing.database.dialects.mysql import MySQL

    return MySQL
