"""How often a client may ask (CONTRACT section 3, `rate_limited`), counted here and in Redis."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from werkzeug.test import TestResponse

from tests.support.application import Billing
from tests.support.gunicorn import Gunicorn
from tests.support.http_client import ask, bearer
from tests.support.processes import wait_for
from tests.support.redis import Redis

USAGE = "/v1/dashboard/billing/usage"


@pytest.fixture
def redis() -> Iterator[Redis]:
    server = Redis()
    yield server
    server.close()


def from_address(billing: Billing, limit: str, *addresses: str) -> list[TestResponse]:
    """What each client is answered, one after the other."""
    client = billing.client(RATE_LIMIT=limit)
    return [client.get(USAGE, environ_overrides={"REMOTE_ADDR": address}) for address in addresses]


def test_a_client_in_a_hurry_is_refused_even_with_bad_tokens(sqlite_billing: Billing) -> None:
    answers = from_address(sqlite_billing, "2 per hour", *["192.0.2.1"] * 3)

    assert [answer.status_code for answer in answers] == [401, 401, 429]
    last = answers[-1]
    assert last.get_json() == {
        "error": {
            "message": "请求过于频繁，请稍后重试",
            "type": "new_api_error",
            "code": "rate_limited",
        }
    }
    assert 0 < int(last.headers["Retry-After"]) <= 3600
    assert last.headers["Access-Control-Allow-Origin"] == "*"
    assert (
        last.headers["Access-Control-Expose-Headers"] == "X-Request-Id, Retry-After, X-Billing-Unit"
    )


def test_every_address_has_a_count_of_its_own(sqlite_billing: Billing) -> None:
    answers = from_address(sqlite_billing, "1/hour", "192.0.2.1", "192.0.2.2", "2001:db8::1")

    assert [answer.status_code for answer in answers] == [401, 401, 401]


def test_a_client_has_one_count_whatever_port_its_proxy_adds(sqlite_billing: Billing) -> None:
    client = sqlite_billing.client(RATE_LIMIT="1/hour", TRUSTED_PROXY_HOPS="1")
    entries = ["192.0.2.1:51234", "192.0.2.1:51235", "192.0.2.2:51234", "[2001:db8::1]:1"]
    entries += ["[2001:DB8::1]:2", "2001:db8::1", "junk", '"more junk']

    answers = [client.get(USAGE, headers={"X-Forwarded-For": entry}) for entry in entries]

    statuses = [answer.status_code for answer in answers]
    assert statuses == [401, 429, 401, 401, 429, 429, 401, 429]


@pytest.mark.parametrize("hops", ["0", "1"])
def test_clients_without_an_address_are_told_of_once(
    sqlite_billing: Billing,
    gunicorn: Callable[..., Gunicorn],
    tmp_path: Path,
    hops: str,
) -> None:
    limited = {"RATE_LIMIT": "2 per hour", "TRUSTED_PROXY_HOPS": hops, "WEB_CONCURRENCY": "1"}
    socket = f"unix:{tmp_path / 'gunicorn.sock'}"
    server = gunicorn({**sqlite_billing.env, **limited}, f"--bind={socket}")
    clients = [{"X-Forwarded-For": f"192.0.2.{number}"} for number in range(4)]

    statuses = [ask(socket, USAGE, client).status for client in clients]

    warning = "RATE_LIMIT counts all clients without an address as one: TRUSTED_PROXY_HOPS must be"
    if hops == "1":
        assert (statuses, server.log.count(warning)) == ([401] * 4, 0)
    else:
        assert (statuses, server.log.count(warning)) == ([401, 401, 429, 429], 1)


def test_a_client_may_ask_again_when_it_was_told_to(sqlite_billing: Billing) -> None:
    client = sqlite_billing.client(RATE_LIMIT="1 per second")
    wait_for(lambda: client.get(USAGE).status_code == 429, "a refusal")

    wait_for(lambda: client.get(USAGE).status_code == 401, "the next second", seconds=2)


def test_routes_share_a_count_and_some_are_free(sqlite_billing: Billing) -> None:
    client = sqlite_billing.client(RATE_LIMIT="3 per hour", METRICS="true")
    for path in ("/healthz", "/readyz", "/metrics", "/openapi.json", "/nothing"):
        for _ in range(4):
            assert client.get(path).status_code in (200, 404)
    for _ in range(4):
        assert client.options(USAGE).status_code == 200

    counted = [USAGE, "/dashboard/billing/subscription", "/v1/organization/costs", USAGE]
    statuses = [client.get(path).status_code for path in counted]

    assert statuses == [401, 401, 401, 429]
    assert client.options(USAGE).status_code == 200


def test_without_the_variable_nobody_is_counted(sqlite_billing: Billing) -> None:
    client = sqlite_billing.client()

    assert {client.get(USAGE).status_code for _ in range(500)} == {401}


def _shared(server: Gunicorn) -> list[int]:
    return [ask(server.url, USAGE, bearer("sk-unknown")).status for _ in range(12)]


def test_workers_that_share_a_redis_share_the_count(
    sqlite_billing: Billing, redis: Redis, gunicorn: Callable[..., Gunicorn]
) -> None:
    shared = {"RATE_LIMIT": "10 per hour", "RATE_LIMIT_STORAGE": redis.url}

    statuses = _shared(gunicorn({**sqlite_billing.env, **shared}))

    assert statuses == [401] * 10 + [429] * 2


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGSTOP])
def test_while_redis_is_away_nobody_is_refused_and_nobody_waits(
    sqlite_billing: Billing, redis: Redis, how: signal.Signals, caplog: pytest.LogCaptureFixture
) -> None:
    redis_env = {"RATE_LIMIT": "1 per hour", "RATE_LIMIT_STORAGE": redis.url}
    client = sqlite_billing.client(**redis_env)
    assert [client.get(USAGE).status_code for _ in range(2)] == [401, 429]

    redis.process.send_signal(how)
    if how == signal.SIGTERM:
        redis.process.wait(10)
    began = time.monotonic()
    statuses = {client.get(USAGE).status_code for _ in range(50)}
    took = time.monotonic() - began
    redis.process.send_signal(signal.SIGCONT)

    assert statuses == {401}
    assert took < 2
    lines = [line for line in caplog.messages if "rate limit off while Redis is away" in line]
    assert len(lines) == 1
    if how == signal.SIGSTOP:
        wait_for(lambda: client.get(USAGE).status_code == 429, "the count", seconds=3)


def test_the_services_start_needs_no_redis(sqlite_billing: Billing) -> None:
    nowhere = "redis://127.0.0.1:1/0"

    client = sqlite_billing.client(RATE_LIMIT="1 per hour", RATE_LIMIT_STORAGE=nowhere)

    assert [client.get(USAGE).status_code for _ in range(3)] == [401] * 3
