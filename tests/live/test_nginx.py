"""The service behind nginx, each as its sample in deploy/ sets it up."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.http_client import Answer, ask, bearer, exchange
from tests.support.nginx import Front, Nginx
from tests.support.processes import freeze, wait_for
from tests.support.site import SUBSCRIPTION, USAGE

#: 502, 503 and 504 on our two routes, and elsewhere.
UNAVAILABLE = {
    SUBSCRIPTION: '{"error":{"message":"获取配额失败","type":"upstream_error"}}',
    "/dashboard/billing//usage/": '{"error":{"message":"获取使用量失败","type":"new_api_error"}}',
    "/readyz": '{"error":{"message":"服务暂时不可用，请稍后重试","type":"new_api_error"}}',
}


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


@pytest.mark.parametrize(
    ("path", "key", "method"),
    [
        (SUBSCRIPTION, "example", "GET"),
        ("//v1//dashboard/billing///usage/?start_date=2026-8-5", "example", "GET"),
        (USAGE, "example", "HEAD"),
        (USAGE, "example", "POST"),
        (USAGE, "disabled", "GET"),
        (USAGE, "", "OPTIONS"),
        ("/v1/dashboard/billing/nothing", "example", "GET"),
        ("/dashboard/billing", "", "GET"),
        ("//v1/dashboard//billing/", "", "GET"),
        ("/v1/dashboard/billing/panel/panel.js", "", "GET"),
        ("/dashboard/billing/panel/nothing.js", "", "GET"),
        ("//healthz/", "", "GET"),
        ("/readyz", "", "GET"),
    ],
)
def test_nginx_passes_the_services_answers_as_they_are(
    front: Front, path: str, key: str, method: str
) -> None:
    own = front.site.ask(path, key, method)

    answer = ask(front.nginx.url, path, front.site.headers(key), method)

    assert (answer.status, answer.body) == (own.status, own.body)
    changing = {"Server", "Date", "Connection", "X-Request-Id"}
    assert {pair for pair in answer.headers.items() if pair[0] not in changing} == {
        pair for pair in own.headers.items() if pair[0] not in changing
    }


@pytest.mark.parametrize(
    ("key", "forged", "status"),
    [
        ("loopback", {}, 200),
        ("loopback", {"X-Forwarded-For": "10.0.0.1"}, 200),
        ("elsewhere", {}, 403),
        ("elsewhere", {"X-Forwarded-For": "10.0.0.1"}, 403),
        ("elsewhere", {"X_Forwarded_For": "10.0.0.1", "Forwarded": "for=10.0.0.1"}, 403),
        ("elsewhere", {"X-Real-IP": "10.0.0.1"}, 403),
    ],
)
def test_an_allow_list_sees_the_address_that_nginx_saw(
    front: Front, key: str, forged: dict[str, str], status: int
) -> None:
    answer = ask(front.nginx.url, SUBSCRIPTION, {**front.site.headers(key), **forged})

    assert answer.status == status


@pytest.mark.parametrize(
    ("language", "message"), [("zh-CN", "没有这个路径"), ("en-US,en", "no such path")]
)
@pytest.mark.parametrize(
    "path",
    [
        *("/", "/v1/chat/completions", "/x.html", "/healthz/x", "/dashboard/billings"),
        *("/metrics", "/openapi.json", "/v1/dashboard/billing/../../../metrics", "/%6detrics"),
    ],
)
def test_what_is_not_ours_is_not_found(
    front: Front, path: str, language: str, message: str
) -> None:
    answer = ask(front.nginx.url, path, {"Accept-Language": language})

    assert answer.status == 404
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Retry-After"] is None
    assert answer.json == {
        "error": {"message": message, "type": "invalid_request_error", "code": "not_found"}
    }


class Gateway(BaseHTTPRequestHandler):
    """A stand-in for a gateway: says what reached it."""

    def do_POST(self) -> None:
        told = [self.path, self.headers["Host"], self.headers["X-Forwarded-For"]]
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        answer = json.dumps([*told, len(body)]).encode()
        self.send_response(418)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST

    def log_message(self, *_: object) -> None:
        """Tests need no log."""


@pytest.fixture
def gateway() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_all_but_the_billing_paths_goes_to_the_gateway(
    front: Front, tmp_path: Path, gateway: str
) -> None:
    socket = front.nginx.folder.parent / "gunicorn.sock"
    nginx = Nginx(tmp_path, socket, {}, gateway)
    headers = front.site.headers("example")
    try:
        ours = [
            ask(nginx.url, path, headers).status
            for path in (
                SUBSCRIPTION,
                USAGE,
                "/dashboard/billing/credit_grants",
                "/v1/organization/costs?start_time=1793491200",
                "/api/usage/token",
                "//api/usage//token/",
                "/v1/organization/usage/completions?start_time=1793491200",
                "/healthz",
            )
        ]
        theirs = {
            path: ask(nginx.url, path, {"X-Forwarded-For": "6.6.6.6"}).json
            for path in (
                "/",
                "/v1/models?x=1",
                "/dashboard/other",
                "/v1/organization/usage",
                "/api/usage/tokens",
            )
        }
        big = urllib.request.Request(f"{nginx.url}/v1/chat/completions", b"x" * 1_000_000)
        with pytest.raises(urllib.error.HTTPError) as posted:
            urllib.request.urlopen(big)
        with posted.value:
            arrived = json.load(posted.value)
    finally:
        nginx.close()

    assert ours == [200] * 8
    assert theirs == {path: [path, "127.0.0.1", "127.0.0.1", 0] for path in theirs}
    assert arrived == ["/v1/chat/completions", "127.0.0.1", "127.0.0.1", 1_000_000]


def test_a_gateway_can_answer_for_its_tokens_itself(
    front: Front, tmp_path: Path, gateway: str
) -> None:
    socket = front.nginx.folder.parent / "gunicorn.sock"
    nginx = Nginx(tmp_path, socket, {r"|api/usage/token/?$": ""}, gateway)
    try:
        theirs = ask(nginx.url, "/api/usage/token/")
        ours = ask(nginx.url, SUBSCRIPTION, front.site.headers("example"))
    finally:
        nginx.close()

    assert (theirs.status, theirs.json) == (418, ["/api/usage/token/", "127.0.0.1", "127.0.0.1", 0])
    assert ours.status == 200


def _is_unavailable(nginx: Nginx, path: str, status: int) -> None:
    answer = ask(nginx.url, path)

    assert answer.status == status
    assert answer.body.decode() == UNAVAILABLE[path]
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers.get_all("Access-Control-Allow-Origin") == ["*"]
    assert (
        answer.headers["Access-Control-Expose-Headers"]
        == "X-Request-Id, Retry-After, X-Billing-Unit"
    )
    assert answer.headers["Retry-After"] == "2"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_service_that_is_down_is_502(
    start_nginx: Callable[..., Nginx], socket_path: Path
) -> None:
    nginx = start_nginx(socket_path)

    for path in UNAVAILABLE:
        _is_unavailable(nginx, path, 502)


def test_a_service_that_hangs_is_504(front: Front, start_nginx: Callable[..., Nginx]) -> None:
    socket = front.nginx.folder.parent / "gunicorn.sock"
    nginx = start_nginx(socket, {"proxy_read_timeout 10s;": "proxy_read_timeout 300ms;"})
    workers = front.site.server.workers()
    try:
        for pid in workers:
            freeze(pid)

        for path in UNAVAILABLE:
            _is_unavailable(nginx, path, 504)
    finally:
        for pid in workers:
            os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("status", [429, 503])
def test_a_client_in_a_hurry_is_told_to_wait(
    front: Front, start_nginx: Callable[..., Nginx], status: int
) -> None:
    changes = {
        "rate=100r/s": "rate=1r/m",
        "burst=200 nodelay": "nodelay",
        "limit_req_status 429;": f"limit_req_status {status};",
    }
    nginx = start_nginx(front.nginx.folder.parent / "gunicorn.sock", changes)

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
            both = [pool.submit(ask, front.nginx.url, days, headers) for _ in range(2)]
            wait_for(lambda: any(asked.done() for asked in both), "a refusal", 5)
        finally:
            for pid in workers:
                os.kill(pid, signal.SIGCONT)

    refused, answered = sorted((asked.result() for asked in both), key=lambda told: -told.status)
    assert (answered.status, refused.status, refused.headers["Retry-After"]) == (200, 429, "2")
    assert refused.json["error"]["code"] == "rate_limited"
    # A query that adds nothing to the figures would prove nothing.
    assert answered.json.keys() & {"daily_costs", "data", "grants"}
    assert ask(front.nginx.url, days, headers).status == 200


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
                pool.submit(ask, front.nginx.url, path, headers, method)
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
    socket = front.nginx.folder.parent / "gunicorn.sock"
    nginx = start_nginx(socket, {"rate=5r/s": "rate=1r/m"})

    answers = [ask(nginx.url, path) for _ in range(23)]
    another = ask(nginx.url, path, client="127.0.0.2")

    assert [answer.status for answer in answers] == [200] * 21 + [429] * 2
    assert answers[-1].json["error"]["code"] == "rate_limited"
    assert answers[-1].headers["Retry-After"] == "2"
    assert another.status == 200
    assert {ask(nginx.url, "/healthz").status for _ in range(50)} == {200}


def test_nginx_logs_neither_query_strings_nor_keys(
    front: Front, start_nginx: Callable[..., Nginx], socket_path: Path
) -> None:
    down = start_nginx(socket_path)
    key = front.site.keys["example"]
    secrets = (key, key.removeprefix("sk-"), front.site.access_token)

    for nginx in (front.nginx, down):
        for secret in secrets:
            ask(nginx.url, f"{USAGE}?key={secret}", bearer(secret))
            ask(nginx.url, f"/v1/dashboard/billing/{secret}", {"Referer": f"http://x/?{secret}"})
            ask(nginx.url, f"/{secret}?{secret}", {"User-Agent": secret})
            name = secret.encode()
            exchange(nginx.port, b"GET /%b\xff" % name, b"Host: x")
            exchange(nginx.port, b"%b /usage HTTP/1.1" % name, b"Host: x")
            exchange(nginx.port, b"GET / HTTP/1.1", b"Host: %b/%b" % (name, name))
            exchange(nginx.port, b"GET / HTTP/1.1", b"X: %b" % (name * 400), b"Connection: close")

    for nginx in (front.nginx, down):
        assert '"GET /v1/dashboard/billing/usage" ' in nginx.log
        assert not [secret for secret in secrets if secret in nginx.log]
        assert "?" not in nginx.log


def test_clients_that_dribble_their_requests_starve_nobody(front: Front) -> None:
    with ExitStack() as stack:
        for _ in range(200):
            slow = stack.enter_context(socket.create_connection(("127.0.0.1", front.nginx.port)))
            slow.sendall(b"GET /v1/dashboard/billing/usage HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        began = time.monotonic()
        answers = [front_answer(front) for _ in range(20)]
        took = time.monotonic() - began

    assert {answer.status for answer in answers} == {200}
    # Not one of them waited for a time limit.
    assert took < 5


def front_answer(front: Front) -> Answer:
    return ask(front.nginx.url, USAGE, front.site.headers("example"))


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
        front.nginx.folder.parent / "gunicorn.sock",
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
        front.nginx.folder.parent / "gunicorn.sock",
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
    nginx = start_nginx(front.nginx.folder.parent / "gunicorn.sock")
    with ExitStack() as stack:
        for _ in range(4000):
            idle = stack.enter_context(socket.create_connection(("127.0.0.1", nginx.port)))
            idle.sendall(b"GET / HTTP/1.1\r\n")

        statuses = [ask(nginx.url, "/healthz").status for _ in range(20)]

    assert statuses == [200] * 20
