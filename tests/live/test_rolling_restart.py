"""Two web nodes behind nginx, restarted in turn under load."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path

from tests.support.application import Billing
from tests.support.gunicorn import Gunicorn
from tests.support.http_client import bearer
from tests.support.nginx import Nginx
from tests.support.site import USAGE

REQUESTS = 6000


def test_no_request_fails_while_the_web_nodes_restart_in_turn(
    sqlite_billing: Billing, gunicorn: Callable[..., Gunicorn], tmp_path: Path
) -> None:
    sqlite_billing.user()
    headers = bearer(sqlite_billing.token()["key"])
    sockets = [tmp_path / "a.sock", tmp_path / "b.sock"]

    def start(path: Path) -> Gunicorn:
        return gunicorn(sqlite_billing.env, f"--bind=unix:{path}")

    nodes = [start(path) for path in sockets]
    (tmp_path / "nginx").mkdir()
    changes = {
        "# server 10.0.0.12:8000": f"server unix:{sockets[1]}",
        "rate=100r/s": "rate=10000r/s",
    }
    nginx = Nginx(tmp_path / "nginx", sockets[0], changes)
    told: Counter[object] = Counter()
    restarted = 0

    def ask_on() -> None:
        connection = HTTPConnection("127.0.0.1", nginx.port, timeout=30)
        while told.total() < REQUESTS or restarted < 4:
            try:
                connection.request("GET", USAGE, headers=headers)
                answer = connection.getresponse()
                told[answer.status, answer.read()] += 1
            except Exception as error:
                told[repr(error)] += 1
                connection.close()
        connection.close()

    callers = [threading.Thread(target=ask_on) for _ in range(4)]
    for caller in callers:
        caller.start()
    try:
        while any(caller.is_alive() for caller in callers):
            number = restarted % 2
            nodes[number].close()
            nodes[number] = start(sockets[number])
            restarted += 1
    finally:
        restarted += 4
        for caller in callers:
            caller.join()
        nginx.close()

    assert set(told) == {(200, b'{"object":"list","total_usage":0.0}\n')}
    assert told.total() >= REQUESTS
