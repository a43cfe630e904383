"""The service behind nginx and behind Caddy, each as its sample in deploy/ sets it up."""

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
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.caddy import Caddy
from tests.support.fronts import Front, behind_each
from tests.support.http_client import Answer, ask, bearer, exchange
from tests.support.nginx import Nginx
from tests.support.processes import freeze
from tests.support.site import SUBSCRIPTION, USAGE

pytestmark = behind_each

Start = Callable[..., Nginx | Caddy]


@pytest.fixture
def start_proxy(front: Front, tmp_path: Path) -> Iterator[Start]:
    """Starts a proxy of the same kind with changed lines; ends it with the test."""
    started: list[Nginx | Caddy] = []

    def start(
        upstream: Path, changes: dict[str, str] | None = None, gateway: str = ""
    ) -> Nginx | Caddy:
        started.append(type(front.proxy)(tmp_path, upstream, changes or {}, gateway))
        return started[-1]

    yield start
    for proxy in started:
        proxy.close()


#: 502, 503 and 504 on our two routes, and elsewhere.
UNAVAILABLE = {
    SUBSCRIPTION: '{"error":{"message":"获取配额失败","type":"upstream_error"}}',
    "/dashboard/billing//usage/": '{"error":{"message":"获取使用量失败","type":"new_api_error"}}',
    "/readyz": '{"error":{"message":"服务暂时不可用，请稍后重试","type":"new_api_error"}}',
}


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
def test_a_proxy_passes_the_services_answers_as_they_are(
    front: Front, path: str, key: str, method: str
) -> None:
    own = front.site.ask(path, key, method)

    answer = ask(front.proxy.url, path, front.site.headers(key), method)

    assert (answer.status, answer.body) == (own.status, own.body)
    assert lasting(answer) == lasting(own)


def lasting(answer: Answer) -> set[tuple[str, str]]:
    """The headers that no proxy changes. Caddy writes their names its own way, as it may."""
    changing = {"server", "date", "connection", "x-request-id"}
    pairs = {(name.lower(), value) for name, value in answer.headers.items()}
    return {pair for pair in pairs if pair[0] not in changing}


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
def test_an_allow_list_sees_the_address_that_the_proxy_saw(
    front: Front, key: str, forged: dict[str, str], status: int
) -> None:
    answer = ask(front.proxy.url, SUBSCRIPTION, {**front.site.headers(key), **forged})

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
    answer = ask(front.proxy.url, path, {"Accept-Language": language})

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
        host, _, _ = self.headers["Host"].partition(":")
        told = [self.path, host, self.headers["X-Forwarded-For"]]
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
    front: Front, start_proxy: Start, gateway: str
) -> None:
    proxy = start_proxy(front.socket, gateway=gateway)
    headers = front.site.headers("example")

    ours = [
        ask(proxy.url, path, headers).status
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
        path: ask(proxy.url, path, {"X-Forwarded-For": "6.6.6.6"}).json
        for path in (
            "/",
            "/v1/models?x=1",
            "/dashboard/other",
            "/v1/organization/usage",
            "/api/usage/tokens",
        )
    }
    big = urllib.request.Request(f"{proxy.url}/v1/chat/completions", b"x" * 1_000_000)
    with pytest.raises(urllib.error.HTTPError) as posted:
        urllib.request.urlopen(big)
    with posted.value:
        arrived = json.load(posted.value)

    assert ours == [200] * 8
    assert theirs == {path: [path, "127.0.0.1", "127.0.0.1", 0] for path in theirs}
    assert arrived == ["/v1/chat/completions", "127.0.0.1", "127.0.0.1", 1_000_000]


def test_a_gateway_can_answer_for_its_tokens_itself(
    front: Front, start_proxy: Start, gateway: str
) -> None:
    proxy = start_proxy(front.socket, type(front.proxy).LEAVES_TOKEN_USAGE, gateway)

    theirs = ask(proxy.url, "/api/usage/token/")
    ours = ask(proxy.url, SUBSCRIPTION, front.site.headers("example"))

    assert (theirs.status, theirs.json) == (418, ["/api/usage/token/", "127.0.0.1", "127.0.0.1", 0])
    assert ours.status == 200


def _is_unavailable(proxy: Nginx | Caddy, path: str, status: int) -> None:
    answer = ask(proxy.url, path)

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


def test_a_service_that_is_down_is_502(front: Front, start_proxy: Start, socket_path: Path) -> None:
    proxy = start_proxy(socket_path)

    for path in UNAVAILABLE:
        _is_unavailable(proxy, path, 502)


def test_a_service_that_hangs_is_504(front: Front, start_proxy: Start) -> None:
    proxy = start_proxy(front.socket, type(front.proxy).HURRIED)
    workers = front.site.server.workers()
    try:
        for pid in workers:
            freeze(pid)

        for path in UNAVAILABLE:
            _is_unavailable(proxy, path, 504)
    finally:
        for pid in workers:
            os.kill(pid, signal.SIGCONT)


def test_a_proxy_logs_neither_query_strings_nor_keys(
    front: Front, start_proxy: Start, socket_path: Path
) -> None:
    down = start_proxy(socket_path)
    key = front.site.keys["example"]
    closing = (b"Connection: close",)
    secrets = (key, key.removeprefix("sk-"), front.site.access_token)

    for proxy in (front.proxy, down):
        for secret in secrets:
            ask(proxy.url, f"{USAGE}?key={secret}", bearer(secret))
            ask(proxy.url, f"/v1/dashboard/billing/{secret}", {"Referer": f"http://x/?{secret}"})
            ask(proxy.url, f"/{secret}?{secret}", {"User-Agent": secret})
            name = secret.encode()
            exchange(proxy.port, b"GET /%b\xff" % name, b"Host: x", *closing)
            exchange(proxy.port, b"%b /usage HTTP/1.1" % name, b"Host: x", *closing)
            exchange(proxy.port, b"GET / HTTP/1.1", b"Host: %b/%b" % (name, name), *closing)
            exchange(proxy.port, b"GET / HTTP/1.1", b"X: %b" % (name * 400), *closing)

    for proxy in (front.proxy, down):
        assert USAGE in proxy.log
        assert not [secret for secret in secrets if secret in proxy.log]
        assert "?" not in proxy.log


def test_clients_that_dribble_their_requests_starve_nobody(front: Front) -> None:
    with ExitStack() as stack:
        for _ in range(200):
            slow = stack.enter_context(socket.create_connection(("127.0.0.1", front.proxy.port)))
            slow.sendall(b"GET /v1/dashboard/billing/usage HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        began = time.monotonic()
        answers = [front_answer(front) for _ in range(20)]
        took = time.monotonic() - began

    assert {answer.status for answer in answers} == {200}
    # Not one of them waited for a time limit.
    assert took < 5


def front_answer(front: Front) -> Answer:
    return ask(front.proxy.url, USAGE, front.site.headers("example"))
