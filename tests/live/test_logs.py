"""What the server writes, whoever writes it, holds no secret."""

from __future__ import annotations

import base64
import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPException

import pytest

from tests.support.application import Billing
from tests.support.gunicorn import Gunicorn
from tests.support.http_client import ask, bearer, exchange
from tests.support.mariadb import MariaDB
from tests.support.processes import freeze, wait_for
from tests.support.site import SUBSCRIPTION, USAGE


def _knock(server: Gunicorn, secret: str) -> None:
    """Send `secret` in every place where somebody may put it, well or badly formed."""
    name = secret.encode()
    for path in (SUBSCRIPTION, "/nothing", "/healthz"):
        ask(server.url, f"{path}?key={secret}&x={secret}", {"Referer": f"http://x/?k={secret}"})
        ask(server.url, path, {**bearer(secret, secret), "User-Agent": secret, "Cookie": secret})
        ask(server.url, path, bearer(secret), "POST")
    for path in (f"/{secret}", f"/v1/dashboard/billing/{secret}/usage", f"/v1{USAGE}/{secret}/"):
        ask(server.url, path, bearer(secret))
    basic = base64.b64encode(name + b":" + name)
    start = (b"GET /healthz?key=%b HTTP/1.1" % name, b"Host: x", b"Connection: close")
    for lines in (
        [b"%b /usage HTTP/1.1" % name],
        [b"GET /usage?key=%b HTTP/9.9" % name],
        [b"GET /usage?key=%b" % name],
        [b"GET /usage?key= %b HTTP/1.1" % name],
        [b"GET %b HTTP/1.1" % name],
        [b"GET http://%b@x/usage HTTP/1.1" % name],
        [b"GET /usage HTTP/%b" % name],
        [b"GET /%b HTTP/1.1" % (name * 100)],
        [name],
        [b"\x16\x03\x01%b" % name],
        [*start, b"Authorization Bearer %b" % name],
        [*start, b"Authorization : Bearer %b" % name],
        [*start, b"Authorization: Bearer \x00%b" % name],
        [*start, b"Authorization: Bearer x", b" %b" % name],
        [*start, b"Authorization: Basic " + basic],
        [*start, b"%b: x" % name],
        [*start, b"%b" % name],
        [*start, b"Authorization: Bearer %b" % (name * 400)],
        [*start, *[b"X-%d: %b" % (number, name) for number in range(200)]],
        [*start, b"Content-Length: %b" % name],
        [*start, b"Transfer-Encoding: %b" % name],
        [*start, b"Transfer-Encoding: chunked", b"", name],
        [*start, b"Expect: %b" % name],
        [*start, b"X-Forwarded-Proto: %b" % name, b"X-Forwarded-Ssl: on"],
    ):
        exchange(server.port, *lines)


@pytest.mark.parametrize("level", ["DEBUG", "INFO"])
def test_the_log_holds_no_key_no_access_token_and_no_password(
    billing: Billing, gunicorn: Callable[..., Gunicorn], level: str
) -> None:
    user, token = billing.user(), billing.token()
    key = token["key"].removeprefix("sk-")
    server = gunicorn({**billing.env, "LOG_LEVEL": level})

    for secret in (f"sk-{key}", key, user["access_token"]):
        _knock(server, secret)
    billing.execute("DROP TABLE tokens")
    ask(server.url, f"{USAGE}?key={key}", bearer(key))
    server.close()

    assert '"GET /v1/dashboard/billing/subscription" 401' in server.log
    assert "Invalid request from ip=127.0.0.1" in server.log
    assert "internal_error" in server.log
    hidden = (key, user["access_token"], MariaDB.password, "pass%2Fw")
    assert not [line for line in server.log.splitlines() if any(word in line for word in hidden)]


def test_no_level_logs_a_path_that_is_none_of_ours(
    sqlite_billing: Billing, gunicorn: Callable[..., Gunicorn]
) -> None:
    server = gunicorn({**sqlite_billing.env, "LOG_LEVEL": "DEBUG"})

    ask(server.url, "/sh0rt-s3cr3t")
    server.close()

    assert '"GET other" 404' in server.log
    assert "s3cr3t" not in server.log


def test_a_worker_that_is_stopped_amid_a_request_logs_no_query(
    mariadb: MariaDB, gunicorn: Callable[..., Gunicorn]
) -> None:
    """gunicorn ends a worker that hangs with SIGABRT; a sync one logs the request it was at."""
    with mariadb.database() as url:
        server = gunicorn(
            {
                "DATABASE_URL": url,
                "WEB_CONCURRENCY": "1",
                "WEB_THREADS": "1",
                "DATABASE_TIMEOUT": "30",
            }
        )
        (worker,) = server.workers()

        def wait_in_vain() -> None:
            with suppress(HTTPException, OSError):
                ask(server.url, f"{USAGE}?key=sk-s3cr3t&k=h1dd3n", bearer("sk-s3cr3t"))

        client = threading.Thread(target=wait_in_vain)
        assert mariadb.process is not None
        freeze(mariadb.process.pid)
        try:
            client.start()
            wait_for(lambda: mariadb.port in _peers(worker), "the worker's connection")
            os.kill(worker, signal.SIGABRT)
            client.join()
        finally:
            mariadb.process.send_signal(signal.SIGCONT)
        server.close()

    assert "Error handling request" in server.log
    assert "s3cr3t" not in server.log
    assert "h1dd3n" not in server.log


def _peers(pid: int) -> set[int]:
    """The ports that the process has connections to."""
    inodes = set()
    for entry in os.scandir(f"/proc/{pid}/fd"):
        with suppress(OSError):
            inodes.add(os.readlink(entry.path))
    with open("/proc/net/tcp") as table:
        rows = [line.split() for line in table][1:]
    return {int(row[2][-4:], 16) for row in rows if f"socket:[{row[9]}]" in inodes}


def test_access_lines_have_the_clients_address_without_its_port(
    sqlite_billing: Billing, gunicorn: Callable[..., Gunicorn]
) -> None:
    server = gunicorn({**sqlite_billing.env, "TRUSTED_PROXY_HOPS": "1"})

    for entry in ("203.0.113.7:51234", "6.6.6.6, [2001:db8::1]:443", "6.6.6.6, junk"):
        ask(server.url, USAGE, {"X-Forwarded-For": entry})

    def addresses() -> list[str]:
        lines = [line for line in server.log.splitlines() if USAGE in line]
        return sorted(line.partition(' "')[0] for line in lines)

    # A line is written after its answer.
    wait_for(lambda: len(addresses()) == 3, "the last line", 5)
    assert addresses() == ["", "2001:db8::1", "203.0.113.7"]
