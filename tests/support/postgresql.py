"""A PostgreSQL server on loopback, in a folder of its own, or a standby of one."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

from tests.support.processes import VERSIONS, free_port, program, wait_for


class PostgreSQL:
    """A PostgreSQL server in a folder of its own, open to every role on loopback.

    With a `primary` it is a standby that follows it.
    """

    def __init__(self, primary: PostgreSQL | None = None) -> None:
        as_root = os.geteuid() == 0
        self._user: dict[str, Any] = {"user": "postgres", "group": "postgres"} if as_root else {}
        server = program("postgres")
        self.folder = Path(tempfile.mkdtemp(prefix="billing-postgresql-"))
        if as_root:
            shutil.chown(self.folder, "postgres", "postgres")
        self.port = free_port()
        data = str(self.folder / "data")
        make = [program("initdb"), "-A", "trust", "--locale=C.UTF-8"]
        if primary is not None:
            make = [program("pg_basebackup"), "-R", "-h", "127.0.0.1", "-p", str(primary.port)]
            make += ["--checkpoint=fast"]
        subprocess.run(
            [*make, "-D", data, "-U", "postgres", "--no-sync"],
            check=True,
            capture_output=True,
            cwd=self.folder,
            **self._user,
        )
        self._command = [server, "-D", data, "-p", str(self.port), "-k", str(self.folder)]
        self._command += ["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
        self.process: subprocess.Popen[bytes] | None = None
        self.start()
        VERSIONS.add(str(self.execute("SELECT split_part(version(), ' (', 1)")[0][0]))

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self._command, stdout=log, stderr=log, cwd=self.folder, **self._user
            )
        wait_for(lambda: self.execute("SELECT 1"), "PostgreSQL")

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(signal.SIGINT)
            self.process.wait(60)
            self.process = None

    def execute(
        self, sql: str, *parameters: object, database: str = "postgres"
    ) -> list[tuple[Any, ...]]:
        """Run one statement as the superuser."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(sql, parameters or None)
            return cursor.fetchall() if cursor.description else []

    def url(self, name: str, user: str = "postgres") -> str:
        return f"postgresql://{user}@127.0.0.1:{self.port}/{name}"

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """An empty database; yields its name."""
        name = f"gateway_{random.randrange(10**12)}"
        self.execute(f"CREATE DATABASE {name}")
        try:
            yield name
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
