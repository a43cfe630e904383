"""LOG_FORMAT=json: every line is an object, one for each request, and tells no secret."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.support.application import Billing
from tests.support.gunicorn import Gunicorn
from tests.support.http_client import ask, bearer, exchange
from tests.support.site import SUBSCRIPTION, USAGE

FIELDS = ["time", "level", "request_id", "method", "route", "status", "duration"]
FIELDS += ["user_id", "token_id"]


def _lines(server: Gunicorn) -> list[dict[str, Any]]:
    server.close()
    return [json.loads(line) for line in server.log.splitlines()]


def _requests(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line for line in lines if "route" in line and line["route"] != "/healthz"]


def test_each_request_is_one_line_with_its_route_and_caller(
    billing: Billing, gunicorn: Callable[..., Gunicorn]
) -> None:
    user = billing.user()
    token = billing.token()
    server = gunicorn({**billing.env, "LOG_FORMAT": "json"})
    named = {"X-Request-Id": "r-1"}

    ask(server.url, f"/{USAGE}/?key=hunter2", bearer(token["key"], **named))
    ask(server.url, SUBSCRIPTION, bearer(user["access_token"], user["id"]), "HEAD")
    ask(server.url, USAGE, bearer("sk-unknown"))
    ask(server.url, f"/{token['key']}?{token['key']}", bearer(token["key"]))
    ask(server.url, USAGE, method="POST")

    lines = _lines(server)
    requests = _requests(lines)
    assert [list(line) for line in requests] == [FIELDS] * 5
    ids = ("method", "route", "status", "user_id", "token_id")
    assert [tuple(line[name] for name in ids) for line in requests] == [
        ("GET", USAGE, 200, user["id"], token["id"]),
        ("HEAD", SUBSCRIPTION, 200, user["id"], None),
        ("GET", USAGE, 401, None, None),
        ("GET", None, 404, None, None),
        ("POST", None, 405, None, None),
    ]
    assert requests[0]["request_id"] == "r-1"
    assert all(0 < line["duration"] < 30 for line in requests)
    assert {line["level"] for line in lines} == {"INFO"}
    assert "HTTP/1.1" not in server.log
    assert not [word for word in ("hunter2", token["key"], "sk-") if word in server.log]


def test_a_failure_has_its_cause_once_beside_its_request(
    billing: Billing, gunicorn: Callable[..., Gunicorn]
) -> None:
    billing.user()
    key = billing.token()["key"]
    billing.execute("DROP TABLE tokens")
    server = gunicorn({**billing.env, "LOG_FORMAT": "json"})

    answer = ask(server.url, USAGE, bearer(key, **{"X-Request-Id": "r-5"}))

    lines = [line for line in _lines(server) if line.get("request_id") == "r-5"]
    assert answer.status == 500
    cause, request = lines
    assert cause["level"] == "ERROR"
    assert cause["message"].startswith("internal_error: ")
    assert "flask init" in cause["message"]
    assert (request["route"], request["status"]) == (USAGE, 500)


def test_what_the_server_itself_refuses_is_an_object_too(
    sqlite_billing: Billing, gunicorn: Callable[..., Gunicorn]
) -> None:
    server = gunicorn({**sqlite_billing.env, "LOG_FORMAT": "json", "LOG_LEVEL": "DEBUG"})

    exchange(server.port, b"GET /usage?key=hunter2 HTTP/9.9", b"Host: x")
    exchange(server.port, b"hunter2 \xff\xfe", b"\x00")

    refusals = [line for line in _lines(server) if "Invalid" in line.get("message", "")]
    assert [line["message"] for line in refusals] == [
        "Invalid request from ip=127.0.0.1: Invalid HTTP Version",
        "Invalid request from ip=127.0.0.1: Invalid HTTP request line",
    ]
    assert "hunter2" not in server.log
