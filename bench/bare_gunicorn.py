"""The service's own gunicorn settings, but no access log, and workers that are never replaced."""

import runpy
from pathlib import Path

globals().update(runpy.run_path(str(Path(__file__).resolve().parent.parent / "gunicorn.conf.py")))
accesslog = None
max_requests = 0
