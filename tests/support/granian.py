"""The service under granian, as the README starts it."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.support.gunicorn import Gunicorn


class Granian(Gunicorn):
    """The service under another server, as docs/deploy.md starts it."""

    THREADS = 1

    NO_KEEP_ALIVE = ("--no-http1-keep-alive",)

    def _command(self) -> list[str]:
        return [
            str(Path(sys.executable).with_name("granian")),
            *("--interface=wsgi", f"--blocking-threads={self.THREADS}"),
            f"--workers={self._workers}",
            # Else the end of one worker would be the end of all.
            "--respawn-failed-workers",
            # Else it would wait for a worker that hangs while it stops, for ever.
            "--workers-kill-timeout=10",
            *("--host=127.0.0.1", f"--port={self.port}"),
        ]


class ThreadedGranian(Granian):
    """Workers of four threads each, which share what a worker holds."""

    THREADS = 4
