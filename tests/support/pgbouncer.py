"""PgBouncer on loopback: one process of a PostgreSQL server answers the transactions of all."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import psycopg

from tests.support.postgresql import PostgreSQL
from tests.support.processes import free_port, program, wait_for

_SETTINGS = """
[databases]
* = host=127.0.0.1 port={server} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 1
ignore_startup_parameters = options
"""


class PgBouncer:
    """A pooler with one server process for all clients; it drops the `options` of each."""

    def __init__(self, server: PostgreSQL) -> None:
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="billing-pgbouncer-"))
        settings = self.folder / "pgbouncer.ini"
        settings.write_text(_SETTINGS.format(server=server.port, port=self.port))
        more: dict[str, Any] = {}
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
            more = {"user": "postgres", "group": "postgres"}
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [program("pgbouncer"), str(settings)], stdout=log, stderr=log, **more
            )
        wait_for(self._is_up, "PgBouncer")

    def _is_up(self) -> bool:
        psycopg.connect(self.url("postgres")).close()
        return True

    def url(self, name: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{name}"

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(30)
        shutil.rmtree(self.folder, ignore_errors=True)
