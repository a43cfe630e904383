"""A Redis server on loopback, in memory alone."""

from __future__ import annotations

import subprocess
import tempfile

from tests.support.http_client import exchange
from tests.support.processes import free_port, program, wait_for


class Redis:
    """A Redis server in memory alone, open on loopback."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        options = ["--bind", "127.0.0.1", "--save", "", "--dir", tempfile.gettempdir()]
        self.process = subprocess.Popen(
            [program("redis-server"), "--port", str(self.port), *options],
            stdout=subprocess.DEVNULL,
        )
        wait_for(self._up, "Redis")

    def _up(self) -> bool:
        return exchange(self.port, b"PING", b"QUIT").startswith(b"+PONG")

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(30)
