"""The service under gunicorn, as the Procfile starts it."""

from __future__ import annotations

import random
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.support.http_client import ask
from tests.support.processes import ROOT, environment, free_port, wait_for
from tests.support.secrets import SERVER_LOGS

#: Starts a program as systemd does for a socket unit.
_ACTIVATE = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"""


class Gunicorn:
    """The service as the Procfile starts it, on a free port; its log is in `log`.

    `held` is a listening unix socket to serve instead, as systemd would pass it on; `wrapper` is a
    command that starts the server.
    """

    def __init__(
        self,
        env: dict[str, str],
        folder: Path,
        *options: str,
        held: socket.socket | None = None,
        wrapper: Sequence[str] = (),
    ) -> None:
        self.port, self.log_path = free_port(), folder / f"gunicorn-{random.randrange(10**9)}.log"
        SERVER_LOGS.append(self.log_path)
        self.url = f"unix:{held.getsockname()}" if held else f"http://127.0.0.1:{self.port}"
        if held:
            wrapper = [sys.executable, "-c", _ACTIVATE, str(held.fileno())]
        self._workers = int(env.get("WEB_CONCURRENCY", "2"))
        log = self.log_path.open("wb")
        with log:
            self.process = subprocess.Popen(
                [*wrapper, *self._command(), *options, "wsgi:app"],
                cwd=ROOT,
                env=environment(env),
                stdout=log,
                stderr=log,
                pass_fds=[held.fileno()] if held else [],
            )
        try:
            wait_for(self.is_healthy, type(self).__name__)
        except TimeoutError:
            self.close()
            raise AssertionError(self.log) from None

    #: More of the command line.
    OPTIONS: tuple[str, ...] = ()

    #: Options that make it close each connection after one answer.
    NO_KEEP_ALIVE: tuple[str, ...] = ("--keep-alive=0",)

    def _command(self) -> list[str]:
        program = str(Path(sys.executable).with_name("gunicorn"))
        return [program, f"--bind=127.0.0.1:{self.port}", *self.OPTIONS]

    def is_healthy(self) -> bool:
        return ask(self.url, "/healthz").status == 200 and len(self.workers()) == self._workers

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def workers(self) -> list[int]:
        """The worker processes' ids."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    def wait_for_successor(self, worker: int) -> None:
        """Wait until `worker` has ended and as many as before are there."""

        def replaced() -> bool:
            workers = self.workers()
            return worker not in workers and len(workers) == self._workers

        wait_for(replaced, "another worker")

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(40)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class ThreadedGunicorn(Gunicorn):
    """Workers of four threads each, which share what a worker holds."""

    OPTIONS = ("--worker-class=gthread", "--threads=4")
