"""granian as docs/deploy.md starts it: the end of a worker is not the end of the service."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.support.application import Billing
from tests.support.background_load import RIGHT
from tests.support.granian import Granian, ThreadedGranian
from tests.support.http_client import ask, bearer
from tests.support.processes import ROOT, wait_for
from tests.support.site import USAGE, prepared


def test_a_killed_worker_is_replaced(sqlite_billing: Billing, tmp_path: Path) -> None:
    key = prepared(sqlite_billing)
    server = ThreadedGranian({**sqlite_billing.env, "WEB_CONCURRENCY": "2"}, tmp_path)
    try:
        worker = server.workers()[-1]
        os.kill(worker, signal.SIGKILL)
        server.wait_for_successor(worker)
        # A worker listens some time after its start, and the other may have started as late.
        wait_for(server.is_healthy, "a worker that listens")
        answer = ask(server.url, USAGE, bearer(key))

        assert (answer.status, answer.body) == (200, RIGHT[USAGE])
        assert server.process.poll() is None
    finally:
        server.close()


def test_the_documented_command_is_the_tested_one(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "deploy.md").read_text()

    command = text.partition("granian --interface wsgi")[2].partition("wsgi:app")[0]

    server = Granian.__new__(Granian)
    server.port, server._workers = 8000, 2
    options = {part.partition("=")[0] for part in server._command()[1:]} - {"--interface", "--host"}
    assert options <= set(command.split()), command
