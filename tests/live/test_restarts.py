"""No request is lost to a restart, a reload or a worker's end, as far as a server can help it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.application import Billing
from tests.support.background_load import LONGEST, RIGHT, STARTING, TIMEOUT, BackgroundLoad
from tests.support.gunicorn import Gunicorn
from tests.support.http_client import ask, bearer
from tests.support.mariadb import OnMySQL, database_name
from tests.support.nginx import Nginx
from tests.support.processes import ROOT, program, wait_for
from tests.support.site import USAGE, prepared

Start = Callable[..., Gunicorn]

#: All callers here have one address.
NO_RATE_LIMITS = {"rate=100r/s": "rate=9999r/s", "rate=20r/s": "rate=9999r/s"}


def test_a_reload_under_load_loses_nothing(sqlite_billing: Billing, gunicorn: Start) -> None:
    key = prepared(sqlite_billing)
    server = gunicorn({**sqlite_billing.env, **TIMEOUT})
    before = set(server.workers())

    with BackgroundLoad(server.url, key, RIGHT) as drill:
        server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: before.isdisjoint(server.workers()), "the new workers")
        drill.until(200, 20)

    drill.check(longest=LONGEST + STARTING)


@pytest.mark.parametrize("threads", ["1", "8"])
def test_a_killed_worker_is_replaced_and_costs_no_more_than_its_requests(
    billing: Billing, gunicorn: Start, threads: str
) -> None:
    key = prepared(billing)
    billing.close()
    server = gunicorn({**billing.env, **TIMEOUT, "WEB_THREADS": threads})

    with BackgroundLoad(server.url, key, RIGHT) as drill:
        for _ in range(3):
            worker = server.workers()[0]
            os.kill(worker, signal.SIGKILL)
            server.wait_for_successor(worker)
            drill.recovered()

    drill.check(lost=True, longest=LONGEST + STARTING)
    # Its threads may be at a request of each of the three callers.
    requests = min(int(threads), 3)
    assert sum(seen.answer is None for seen in drill.seen) <= 3 * requests


def test_a_stop_lets_the_request_in_hand_be_answered(on_mysql: OnMySQL, gunicorn: Start) -> None:
    database, billing = on_mysql
    key = prepared(billing)
    billing.close()
    server = gunicorn({**billing.env, "DATABASE_TIMEOUT": "5"})
    name = database_name(billing.env["DATABASE_URL"])
    answers: list[Any] = []

    def caller() -> None:
        answers.append(ask(server.url, USAGE, bearer(key)))

    waiting = threading.Thread(target=caller)
    with database.connect(name) as connection, connection.cursor() as cursor:
        cursor.execute("LOCK TABLES tokens WRITE")
        waiting.start()
        waits = (
            "SELECT 1 FROM information_schema.processlist"
            " WHERE user = 'billing' AND db = %s AND command = 'Query'"
        )
        wait_for(lambda: database.execute(waits, name), "the request to wait", 10)
        server.process.send_signal(signal.SIGTERM)
        wait_for(lambda: "Handling signal: term" in server.log, "the stop")
        cursor.execute("UNLOCK TABLES")
    waiting.join()

    assert (answers[0].status, answers[0].body) == (200, RIGHT[USAGE])
    assert server.process.wait(10) == 0


def test_a_stop_under_load_cuts_no_answer_short(sqlite_billing: Billing, gunicorn: Start) -> None:
    """Callers who were still queued are refused or reset; nobody gets half an answer."""
    key = prepared(sqlite_billing)
    server = gunicorn({**sqlite_billing.env, **TIMEOUT})

    with BackgroundLoad(server.url, key, RIGHT, callers=8) as drill:
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(30)
        drill.until(None, 5)

    assert not [seen for seen in drill.seen if seen.cut]
    drill.check(lost=True, longest=LONGEST + STARTING)


@pytest.fixture
def held(tmp_path: Path) -> Iterator[socket.socket]:
    """A listening socket, held as systemd holds the one of deploy/billing.socket."""
    unit = (ROOT / "deploy" / "billing.socket").read_text()
    backlog = int(re.findall(r"(?m)^Backlog=(\d+)", unit)[0])
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "gunicorn.sock"))
        listening.listen(backlog)
        yield listening


@pytest.fixture
def nginx(held: socket.socket, tmp_path: Path) -> Iterator[Nginx]:
    (tmp_path / "nginx").mkdir()
    server = Nginx(tmp_path / "nginx", Path(held.getsockname()), NO_RATE_LIMITS)
    yield server
    server.close()


@pytest.mark.parametrize("front", ["socket", "nginx"])
def test_a_restart_of_a_service_whose_socket_is_held_loses_nothing(
    sqlite_billing: Billing,
    gunicorn: Start,
    held: socket.socket,
    front: str,
    request: pytest.FixtureRequest,
) -> None:
    key = prepared(sqlite_billing)
    server = gunicorn({**sqlite_billing.env, **TIMEOUT}, held=held)
    url = server.url if front == "socket" else request.getfixturevalue("nginx").url

    with BackgroundLoad(url, key, RIGHT, callers=4) as drill:
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(30)
        gunicorn({**sqlite_billing.env, **TIMEOUT}, held=held)
        drill.until(200, 20)

    assert not [seen for seen in drill.seen if seen.answer is None or seen.answer.status != 200]
    assert all(seen.answer and seen.answer.body in (*RIGHT.values(), OK) for seen in drill.seen)


OK = b'{"status":"ok"}\n'


def test_of_two_instances_behind_nginx_each_may_restart_unnoticed(
    sqlite_billing: Billing, gunicorn: Start, tmp_path: Path
) -> None:
    key = prepared(sqlite_billing)
    sockets = [tmp_path / "one.sock", tmp_path / "two.sock"]
    bound = [(f"--bind=unix:{path}",) for path in sockets]
    servers = [gunicorn({**sqlite_billing.env, **TIMEOUT}, *options) for options in bound]
    (tmp_path / "nginx").mkdir()
    second = {"# server 10.0.0.12:8000": f"server unix:{sockets[1]}"}
    changes = {**second, **NO_RATE_LIMITS}
    nginx = Nginx(tmp_path / "nginx", sockets[0], changes)
    try:
        with BackgroundLoad(nginx.url, key, RIGHT, callers=4) as drill:
            servers[0].process.send_signal(signal.SIGTERM)
            servers[0].process.wait(30)
            drill.until(200, 20)
            gunicorn({**sqlite_billing.env, **TIMEOUT}, *bound[0])
            servers[1].process.send_signal(signal.SIGTERM)
            servers[1].process.wait(30)
            drill.until(200, 20)
    finally:
        nginx.close()

    drill.check(longest=LONGEST + STARTING)


def test_systemd_takes_the_units_and_knows_every_line(tmp_path: Path) -> None:
    verify = [program("systemd-analyze"), "verify"]
    for name in ("billing.service", "billing.socket"):
        text = (ROOT / "deploy" / name).read_text()
        # What a real machine has, and this one has elsewhere.
        here = str(Path(program("true")))
        text = re.sub(r"/srv/billing/\.venv/bin/\w+", here, text)
        text = text.replace("/srv/billing", str(tmp_path)).replace("User=billing", "User=root")
        (tmp_path / name).write_text(text)
        verify.append(str(tmp_path / name))

    result = subprocess.run(verify, capture_output=True, text=True, timeout=60, check=False)

    assert (result.returncode, result.stdout + result.stderr) == (0, "")


def test_the_unit_is_hardened() -> None:
    unit = str(ROOT / "deploy" / "billing.service")
    # Without any one of the unit's restrictions, systemd finds it exposed to 1.7 of 10 or more.
    security = [program("systemd-analyze"), "security", "--offline=true", "--threshold=16", unit]

    result = subprocess.run(security, capture_output=True, text=True, timeout=60, check=False)

    assert result.returncode == 0, result.stdout
