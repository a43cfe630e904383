"""The server's settings; gunicorn reads this file by itself."""

import itertools
import logging
import os
import runpy
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from gunicorn.glogging import Logger

# `gunicorn -c` may be run from anywhere.
chdir = str(Path(__file__).parent)
sys.path.insert(0, chdir)

from config import Settings  # noqa: E402

settings = Settings.from_env()

# A host that sets PORT (Heroku) routes to every address; without it only this machine may ask.
bind = f"{'0.0.0.0' if 'PORT' in settings.set_by_environment else '127.0.0.1'}:{settings.port}"
workers = settings.web_concurrency
if settings.web_threads > 1:
    threads = settings.web_threads
    # By its path, as billing/logs.py below.
    worker_class = runpy.run_path(str(Path(__file__).parent / "gunicorn_worker.py"))["Worker"]
    # Below the usual limit of 1024 open files, which would end a worker.
    worker_connections = 500
    # One request a connection: idle ones hold no place, and no request waits behind another.
    keepalive = 0
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
timeout = int(settings.database_timeout) + 30
graceful_timeout = 30
max_requests = 20_000
# Wide, so that workers which answer as many requests are not replaced at the same moment.
max_requests_jitter = 10_000
control_socket_disable = True
# A client on loopback could otherwise set SCRIPT_NAME and PATH_INFO through headers.
forwarder_headers = ""
# Nor does any header tell http from https, which the service never asks. So nobody needs to be
# looked for among the proxies: to parse the client's address took 10 µs of each request.
secure_scheme_headers: dict[str, str] = {}
forwarded_allow_ips = "*"

# By its path: workers forked at a reload (HUP) must import our modules as they are then.
logs = runpy.run_path(str(Path(__file__).parent / "billing" / "logs.py"))
del sys.modules["config"]
redact = logs["RedactingFilter"]()
for name in ("gunicorn.error", "gunicorn.access"):
    log = logging.getLogger(name)
    log.filters[:] = [redact]

loglevel = settings.log_level.lower()


def pre_request(worker: Any, request: Any) -> None:
    """In place of gunicorn's own, which logs the path at DEBUG: it may hold a misplaced key."""


if settings.log_format == "json":
    # The service writes a line of its own for each request.
    accesslog = None

    class logger_class(Logger):
        """gunicorn's own lines, as objects too."""

        def setup(self, cfg: Any) -> None:
            super().setup(cfg)
            for handler in self.error_log.handlers:
                handler.setFormatter(logs["JSONFormatter"]())
else:
    accesslog = "-"
    # No query string, no headers: old tools put keys there.
    access_log_format = '%(h)s "%(m)s %(U)s" %(s)s %(L)ss %({x-request-id}o)s'

if settings.metrics:
    # One for all workers, the same after a reload: this file is always read by the first process.
    folder = Path(worker_tmp_dir or tempfile.gettempdir()) / f"billing-metrics-{os.getpid()}"

    def is_running(pid: int) -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        return True

    raw_env = [f"PROMETHEUS_MULTIPROC_DIR={folder}"]

    def on_starting(server: Any) -> None:
        # A first process that was killed could not remove its own.
        for left in folder.parent.glob("billing-metrics-*"):
            pid = left.name.rpartition("-")[2]
            if pid.isdecimal() and left.stat().st_uid == os.geteuid() and not is_running(int(pid)):
                shutil.rmtree(left, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)

    # Workers count in files named by their slot and not by their pid: a worker that replaces
    # another goes on in its files, or a year of replaced workers would fill the folder.
    def pre_fork(server: Any, worker: Any) -> None:
        taken = {other.slot for other in server.WORKERS.values()}
        worker.slot = next(slot for slot in itertools.count() if slot not in taken)

    # Imported late: without that variable, prometheus_client counts for one process alone.
    def post_fork(server: Any, worker: Any) -> None:
        from prometheus_client import values

        values.ValueClass = values.MultiProcessValue(lambda: worker.slot)

    def child_exit(server: Any, worker: Any) -> None:
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(worker.slot)

    def on_exit(server: Any) -> None:
        shutil.rmtree(folder, ignore_errors=True)
