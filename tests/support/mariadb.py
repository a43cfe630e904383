"""A MariaDB server on loopback, in a folder of its own."""

from __future__ import annotations

import contextlib
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
from urllib.parse import quote

import pymysql

from tests.support.processes import VERSIONS, free_port, freeze, program, wait_for
from tests.support.secrets import SECRETS


class MariaDB:
    """A MariaDB server in a folder of its own, with the root account open on loopback.

    `options` are more options of the server, `data` an existing data folder to begin with.
    """

    password = "pass/w@rd:%"  # every character that a URL has to escape

    def __init__(self, *options: str, data: Path | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="billing-mariadb-"))
        self.port, self.socket = free_port(), self.folder / "socket"
        # Root hands over to the package's own user, as state transfers between nodes want it.
        user = "--user=mysql" if os.geteuid() == 0 else f"--user={os.environ.get('USER', '')}"
        self._command = [
            program("mariadbd"),
            "--no-defaults",
            f"--datadir={self.folder / 'data'}",
            f"--socket={self.socket}",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            f"--pid-file={self.folder / 'pid'}",
            "--innodb-flush-log-at-trx-commit=2",
            "--innodb-buffer-pool-size=64M",
            "--max-connections=200",
            user,
            *options,
        ]
        self.process: subprocess.Popen[bytes] | None = None
        if data is not None:
            shutil.copytree(data, self.folder / "data")
            self._hand_over()
            return
        self._hand_over()
        subprocess.run(
            [
                program("mariadb-install-db"),
                "--no-defaults",
                f"--datadir={self.folder / 'data'}",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                user,
            ],
            check=True,
            capture_output=True,
        )
        self.start()
        VERSIONS.add(str(self.execute("SELECT VERSION()")[0][0]))
        self.execute("CREATE USER billing@localhost IDENTIFIED BY %s", self.password)
        self.execute("CREATE USER billing@'127.0.0.1' IDENTIFIED BY %s", self.password)
        self.execute("GRANT ALL ON `billing%%`.* TO billing@localhost")
        self.execute("GRANT ALL ON `billing%%`.* TO billing@'127.0.0.1'")

    def _hand_over(self) -> None:
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", "mysql:", self.folder], check=True)

    def start(self, *options: str) -> None:
        log = (self.folder / "log").open("ab")
        with log:
            self.process = subprocess.Popen([*self._command, *options], stdout=log, stderr=log)
        wait_for(lambda: self.listens() and self.execute("SELECT 1"), "MariaDB")

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

    def url(self, name: str) -> str:
        return f"mysql://billing:{quote(self.password, safe='')}@127.0.0.1:{self.port}/{name}"

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """An empty database; yields its URL."""
        name = f"billing_{random.randrange(10**12)}"
        self.execute(f"CREATE DATABASE {name}")
        try:
            yield self.url(name)
        finally:
            self.execute(f"DROP DATABASE {name}")

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


SECRETS.update({MariaDB.password.encode(), quote(MariaDB.password, safe="").encode()})
