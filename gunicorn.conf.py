"""The server's settings; gunicorn reads this file by itself."""

import logging
import os
import runpy
import sys
from pathlib import Path

# `gunicorn -c` may be run from anywhere.
chdir = str(Path(__file__).parent)
sys.path.insert(0, chdir)

from config import Settings  # noqa: E402

settings = Settings.from_env()

# A host that sets PORT (Heroku) routes to every address; without it nobody outside is meant.
bind = f"{'0.0.0.0' if 'PORT' in settings.given else '127.0.0.1'}:{settings.port}"
workers = settings.web_concurrency
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
timeout = int(settings.database_timeout) + 30
graceful_timeout = 30
max_requests = 20_000
max_requests_jitter = 2_000
control_socket_disable = True
# A client on loopback could otherwise set SCRIPT_NAME and PATH_INFO through headers.
forwarder_headers = ""

loglevel = settings.log_level.lower()
accesslog = "-"
# No query string, no headers: old tools put keys there.
access_log_format = '%(h)s "%(m)s %(U)s" %(s)s %(L)ss %({x-request-id}o)s'
# By its path: workers forked at a reload (HUP) must import our modules as they are then.
redact = runpy.run_path(str(Path(__file__).parent / "billing" / "logs.py"))["Redact"]()
del sys.modules["config"]
for name in ("gunicorn.error", "gunicorn.access"):
    log = logging.getLogger(name)
    log.filters[:] = [redact]
