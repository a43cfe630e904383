"""The limits that nginx sets with deploy/nginx.conf, for each client."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.fronts import Front
from tests.support.http_client import ask
from tests.support.nginx import Nginx
from tests.support.processes import freeze, wait_for
from tests.support.site import USAGE


@pytest.fixture
def start_nginx(tmp_path: Path) -> Iterator[Callable[..., Nginx]]:
    """Starts an nginx with changed lines in front of a socket; ends it with the test."""
    started: list[Nginx] = []

    def start(upstream: Path, changes: dict[str, str] | None = None) -> Nginx:
        started.append(Nginx(tmp_path, upstream, changes or {}))
        return started[-1]

    yield start
    for nginx in started:
        nginx.close()


@pytest.mark.parametrize("status", [429, 503])
def test_a_client_in_a_hurry_is_told_to_wait(
    front: Front, start_nginx: Callable[..., Nginx], status: int
) -> None:
    changes = {
        "rate=100r/s": "rate=1r/m",
        "burst=200 nodelay": "nodelay",
        "limit_req_status 429;": f"limit_req_status {status};",
    }
    nginx = start_nginx(front.socket, changes)

    preflights = [ask(nginx.url, USAGE, method="OPTIONS").status for _ in range(3)]
    first = ask(nginx.url, USAGE, front.site.headers("example"))
    second = ask(nginx.url, USAGE, front.site.headers("example"))

    assert [*preflights, first.status, second.status] == [200, 200, 200, 200, status]
    error = {"message": "获取使用量失败", "type": "new_api_error"}
    if status == 429:
        message = "请求过于频繁，请稍后重试"
        error = {"message": message, "type": "new_api_error", "code": "rate_limited"}
    assert second.json == {"error": error}
    assert second.headers["Access-Control-Allow-Origin"] == "*"
    assert second.headers["Retry-After"] == "2"


@pytest.mark.parametrize(
    "days",
    [
        f"{USAGE}?include=daily_costs&start_date=2026-11-01&end_date=2026-11-02",
        "/dashboard//billing/usage/?start_date=2026-11-01&end_date=2026-11-02&include=daily_costs",
        "/v1/organization/costs?start_time=1793491200",
        "//v1//organization/costs/?start_time=1793491200",
        "/v1/organization/usage/completions?start_time=1793491200",
        *(
            f"{USAGE}?{include}&start_date=2026-11-01&end_date=2026-11-02"
            for include in (
                "include=x&include=daily_costs",
                "include=daily%5Fcosts",
                "include=daily%5fcosts",
                "include=%64aily_costs",
                "%69nclude=daily_costs",
                "&&include=x&%69nclude=%64%61%69%6c%79%5f%63%6f%73%74%73&",
            )
        ),
        "/v1/dashboard/billing/us%61ge?include=daily_costs&start_date=2026-11-1&end_date=2026-11-2",
        "/v1/%6frganization/costs?start_time=1793491200",
        "/v1/dashboard/billing/credit_grants",
        "/dashboard//billing/credit_grants/?x=1",
    ],
)
def test_one_address_reads_one_range_of_days_at_a_time(front: Front, days: str) -> None:
    headers = front.site.headers("example")
    workers = front.site.server.workers()
    with ThreadPoolExecutor(2) as pool:
        try:
            for pid in workers:
                freeze(pid)
            both = [pool.submit(ask, front.proxy.url, days, headers) for _ in range(2)]
            wait_for(lambda: any(asked.done() for asked in both), "a refusal", 5)
        finally:
            for pid in workers:
                os.kill(pid, signal.SIGCONT)

    refused, answered = sorted((asked.result() for asked in both), key=lambda told: -told.status)
    assert (answered.status, refused.status, refused.headers["Retry-After"]) == (200, 429, "2")
    assert refused.json["error"]["code"] == "rate_limited"
    # A query that adds nothing to the figures would prove nothing.
    assert answered.json.keys() & {"daily_costs", "data", "grants"}
    assert ask(front.proxy.url, days, headers).status == 200


def test_preflights_and_other_heavy_reads_do_not_wait_for_daily_costs(front: Front) -> None:
    days = f"{USAGE}?include=daily_costs&start_date=2026-11-01&end_date=2026-11-02"
    grants = "/v1/dashboard/billing/credit_grants"
    requests = [(days, "GET"), (days, "OPTIONS"), (days, "OPTIONS"), (grants, "GET")]
    headers = front.site.headers("example")
    workers = front.site.server.workers()
    with ThreadPoolExecutor(len(requests)) as pool:
        try:
            for pid in workers:
                freeze(pid)
            asked = [
                pool.submit(ask, front.proxy.url, path, headers, method)
                for path, method in requests
            ]
            time.sleep(0.5)
            refused = [answer.result().status for answer in asked if answer.done()]
        finally:
            for pid in workers:
                os.kill(pid, signal.SIGCONT)

    assert refused == []
    assert [answer.result().status for answer in asked] == [200] * 4


@pytest.mark.parametrize("path", ["/readyz", "//readyz/", "/%72eadyz?x=1"])
def test_readiness_is_not_asked_without_limit(
    front: Front, start_nginx: Callable[..., Nginx], path: str
) -> None:
    socket = front.socket
    nginx = start_nginx(socket, {"rate=5r/s": "rate=1r/m"})

    answers = [ask(nginx.url, path) for _ in range(23)]
    another = ask(nginx.url, path, client="127.0.0.2")

    assert [answer.status for answer in answers] == [200] * 21 + [429] * 2
    assert answers[-1].json["error"]["code"] == "rate_limited"
    assert answers[-1].headers["Retry-After"] == "2"
    assert another.status == 200
    assert {ask(nginx.url, "/healthz").status for _ in range(50)} == {200}


@pytest.mark.parametrize(
    ("path", "method", "zone", "burst", "rate"),
    [
        ("/healthz", "GET", "health:10m", 100, 20),
        ("/readyz", "GET", "readiness:1m", 20, 5),
        (USAGE, "OPTIONS", "preflights:10m", 100, 50),
    ],
)
def test_every_path_of_ours_is_limited(
    front: Front,
    start_nginx: Callable[..., Nginx],
    path: str,
    method: str,
    zone: str,
    burst: int,
    rate: int,
) -> None:
    name = zone.partition(":")[0]
    nginx = start_nginx(
        front.socket,
        {
            f"zone={name} burst={burst} nodelay": f"zone={name} burst=1 nodelay",
            f"zone={zone} rate={rate}r/s": f"zone={zone} rate=1r/m",
        },
    )

    statuses = [ask(nginx.url, path, method=method).status for _ in range(4)]

    assert [status < 300 for status in statuses] == [True, True, False, False]
    assert statuses[2:] == [429, 429]


def test_the_addresses_of_one_ipv6_network_are_one_client(
    front: Front, start_nginx: Callable[..., Nginx]
) -> None:
    # nginx takes the address from a header here, as no machine has these.
    real_ip = "set_real_ip_from 127.0.0.1; real_ip_header X-Test-Address; server_tokens off;"
    nginx = start_nginx(
        front.socket,
        {
            "server_tokens off;": real_ip,
            "rate=20r/s": "rate=1r/m",
            "health burst=100 nodelay": "health nodelay",
        },
    )

    def status(address: str) -> int:
        return ask(nginx.url, "/healthz", {"X-Test-Address": address}).status

    # The tenth byte is a line break in the second network.
    addresses = ["2001:db8::1", "2001:db8::a:2", "2001:db8:0:1::1", "2001:db8:0:a0a::1"]
    addresses += ["2001:db8:0:a0a:a0a::", "203.0.113.7", "203.0.113.8", "203.0.113.7"]
    assert [status(address) for address in addresses] == [200, 429, 200, 200, 429, 200, 200, 429]
    # A socket of both families sees IPv4 addresses so.
    mapped = ["::ffff:203.0.113.9", "::ffff:203.0.113.10", "::ffff:203.0.113.8"]
    assert [status(address) for address in mapped] == [200, 200, 429]


def test_thousands_of_idle_connections_shut_nobody_out(
    front: Front, start_nginx: Callable[..., Nginx]
) -> None:
    nginx = start_nginx(front.socket)
    with ExitStack() as stack:
        for _ in range(4000):
            idle = stack.enter_context(socket.create_connection(("127.0.0.1", nginx.port)))
            idle.sendall(b"GET / HTTP/1.1\r\n")

        statuses = [ask(nginx.url, "/healthz").status for _ in range(20)]

    assert statuses == [200] * 20
