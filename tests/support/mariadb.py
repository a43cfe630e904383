"""A MariaDB server on loopback, in a folder of its own."""

from __future__ import annotations

import contextlib
import functools
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pymysql

from tests.support.application import Billing
from tests.support.processes import VERSIONS, free_port, freeze, program, wait_for
from tests.support.secrets import SECRETS

#: A statement that takes for ever, on MariaDB and on MySQL. One that sleeps would not do: MySQL
#: ends a SLEEP with a value, and not with an error.
ENDLESS_JOIN = "SELECT COUNT(*) FROM " + ", ".join(
    f"information_schema.collations AS c{number}" for number in range(5)
)


class MariaDB:
    """A MariaDB server in a folder of its own, with the root account open on loopback.

    `options` are more options of the server, `data` an existing data folder to begin with.
    """

    ACCOUNTS = ("billing@localhost", "billing@'127.0.0.1'")
    password = "pass/w@rd:%"  # every character that a URL has to escape

    def __init__(self, *options: str, data: Path | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"billing-{type(self).__name__.lower()}-"))
        self.port, self.socket = free_port(), self.folder / "socket"
        # Root hands over to the package's own user, as state transfers between nodes want it.
        self._user = f"--user={'mysql' if os.geteuid() == 0 else os.environ.get('USER', '')}"
        self._command = [
            *self._program(),
            f"--datadir={self.folder / 'data'}",
            f"--socket={self.socket}",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            f"--pid-file={self.folder / 'pid'}",
            "--innodb-flush-log-at-trx-commit=2",
            "--innodb-buffer-pool-size=64M",
            # A file for each table makes databases several times slower to make and to drop.
            "--innodb-file-per-table=OFF",
            "--max-connections=200",
            self._user,
            *options,
        ]
        self.process: subprocess.Popen[bytes] | None = None
        if data is not None:
            # Each MySQL server writes an id of its own into auto.cnf.
            ignored = shutil.ignore_patterns("auto.cnf")
            shutil.copytree(data, self.folder / "data", ignore=ignored)
            self._hand_over()
            return
        self._hand_over()
        self._make_data()
        self.start()
        version = str(self.execute("SELECT VERSION()")[0][0])
        VERSIONS.add(version if "MariaDB" in version else f"{type(self).__name__} {version}")
        for account in self.ACCOUNTS:
            self.execute(f"CREATE USER {account} IDENTIFIED BY %s", self.password)
            self.execute(f"GRANT ALL ON `billing%%`.* TO {account}")

    def _program(self) -> list[str]:
        """The command, up to the options that come before all others."""
        return [program("mariadbd"), "--no-defaults"]

    def _make_data(self) -> None:
        """Make a data folder with an account root that has no password."""
        subprocess.run(
            [
                program("mariadb-install-db"),
                "--no-defaults",
                f"--datadir={self.folder / 'data'}",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                self._user,
            ],
            check=True,
            capture_output=True,
        )

    def _hand_over(self) -> None:
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", "mysql:", self.folder], check=True)

    def start(self, *options: str) -> None:
        log = (self.folder / "log").open("ab")
        with log:
            self.process = subprocess.Popen([*self._command, *options], stdout=log, stderr=log)
        wait_for(lambda: self.listens() and self.execute("SELECT 1"), type(self).__name__)

    def listens(self) -> bool:
        """Whether it may be asked: PyMySQL leaves a socket open when nobody listens."""
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(self.socket))
        return True

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            self.process.wait(60)
            self.process = None

    def freeze(self) -> None:
        """Stop its process: it stays, and answers nobody."""
        assert self.process is not None
        freeze(self.process.pid)

    def resume(self) -> None:
        """Wake a frozen server."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """As a power cut ends it."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def connect(self, database: str | None = None) -> pymysql.Connection:
        """A connection as root."""
        return pymysql.connect(
            unix_socket=str(self.socket),
            user="root",
            database=database,
            autocommit=True,
            ssl_disabled=True,
        )

    def execute(
        self, sql: str, *parameters: object, database: str | None = None
    ) -> list[tuple[Any, ...]]:
        """Run one statement as root."""
        with self.connect(database) as connection, connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            return list(cursor.fetchall())

    def change_password(self, password: str) -> None:
        """Give the accounts of the service another password; connections stay."""
        for account in self.ACCOUNTS:
            self.execute(f"ALTER USER {account} IDENTIFIED BY %s", password)

    def url(self, name: str) -> str:
        """An address that is read by PyMySQL, as most are, though mysqlclient is installed."""
        account = f"billing:{quote(self.password, safe='')}"
        return f"mysql://{account}@127.0.0.1:{self.port}/{name}?driver=pymysql"

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """An empty database; yields its URL."""
        name = f"billing_{random.randrange(10**12)}"
        self.execute(f"CREATE DATABASE {name}")
        try:
            yield self.url(name)
        finally:
            self.execute(f"DROP DATABASE {name}")

    @functools.cached_property
    def _template(self) -> str:
        """The name of a database that `flask init` has made, to be copied."""
        name = "billing_template"
        self.execute(f"CREATE DATABASE {name}")
        billing = Billing(self.url(name))
        billing.run("init")
        billing.close()
        return name

    def copy_our_tables(self, url: str) -> None:
        """Give an empty database our tables, in a tenth of the time of `flask init`."""
        name = database_name(url)
        with self.connect(self._template) as connection, connection.cursor() as cursor:
            cursor.execute("SHOW TABLES")
            for (table,) in cursor.fetchall():
                cursor.execute(f"CREATE TABLE {name}.{table} LIKE {table}")
            cursor.execute(f"INSERT INTO {name}.billing_schema SELECT * FROM billing_schema")

    @contextlib.contextmanager
    def billing(self) -> Iterator[Billing]:
        """A database with our tables."""
        with self.database() as url:
            self.copy_our_tables(url)
            billing = Billing(url)
            yield billing
            billing.close()

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


#: A server, MariaDB or MySQL, and a database with our tables on it.
OnMySQL = tuple[MariaDB, Billing]


def database_name(url: str) -> str:
    """The name of the database in an address of MariaDB, MySQL or PostgreSQL."""
    return urlsplit(url).path.removeprefix("/")


SECRETS.update({MariaDB.password.encode(), quote(MariaDB.password, safe="").encode()})
