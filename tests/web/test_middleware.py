"""What every request and answer gets (CONTRACT section 2): paths, methods, languages, headers."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.support.application import Billing, TwoUsers
from tests.support.http_client import bearer

SUBSCRIPTION = "/dashboard/billing/subscription"
USAGE = "/dashboard/billing/usage"
PATHS = [SUBSCRIPTION, USAGE, f"/v1{SUBSCRIPTION}", f"/v1{USAGE}"]


@pytest.fixture
def client(sqlite_billing: Billing) -> FlaskClient:
    """For what is answered without the database."""
    return sqlite_billing.client()


@pytest.fixture
def two_users(sqlite_billing: Billing) -> TwoUsers:
    """On SQLite alone: no rule of this module depends on the database."""
    return TwoUsers(sqlite_billing)


def get(client: FlaskClient, path: str, headers: dict[str, str]) -> TestResponse:
    """GET exactly that path: the client would take `//v1` for a host."""
    return client.get("/", headers=headers, environ_overrides={"PATH_INFO": path})


@pytest.mark.parametrize(
    "path",
    [
        *[f"{path}/" for path in PATHS],
        "//v1/dashboard/billing/subscription",
        "/v1//dashboard/billing/subscription",
        "///v1///dashboard//billing////subscription//",
        "//dashboard/billing/usage",
        "/dashboard//billing/usage///",
    ],
)
def test_a_run_of_slashes_counts_as_one_and_is_answered_directly(
    two_users: TwoUsers, path: str
) -> None:
    plain = re.sub("/+", "/", path).rstrip("/")

    answer = get(two_users.billing.client(), path, bearer(two_users.key))

    assert answer.status_code == 200
    assert answer.data == get(two_users.billing.client(), plain, bearer(two_users.key)).data


QUERIES = [
    "",
    "start_date=2026-08-01&end_date=2026-08-05",
    "start_date=2026-8-1&end_date=2026-8-5",
    "start_date=2026-08-05&end_date=2026-08-05",
    "start_date=2026-08-05&end_date=2026-08-01",
    "start_date=2126-01-01&end_date=2127-01-01",
    "start_date=2026-11-31&end_date=2026-02-30",
    "start_date=1754006400000&end_date=1754352000000",
    "start_date=2026-11-Mo",
    "end_date=",
    "start_date=2026-08-01&start_date=junk&start_date",
    "unknown=1&unknown=2&page=-1",
    "include=other",
    "%00=%ff&%e4%bd%a0=%",
    "&&==&?",
    "x=" + "y" * 4000,
]


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("path", PATHS)
def test_any_query_string_reads_the_lifetime_total(
    two_users: TwoUsers, path: str, query: str
) -> None:
    two_users.billing.execute("UPDATE tokens SET remain_quota = 37500000, used_quota = 12500000")
    figure = (
        {"object": "list", "total_usage": 2500.0}
        if path.endswith("usage")
        else {
            "object": "billing_subscription",
            "has_payment_method": True,
            "soft_limit_usd": 100.0,
            "hard_limit_usd": 100.0,
            "system_hard_limit_usd": 100.0,
            "access_until": 0,
        }
    )

    answer = two_users.billing.client().get(path, query_string=query, headers=bearer(two_users.key))

    assert (answer.status_code, answer.get_json()) == (200, figure)


@pytest.mark.parametrize("path", [*PATHS, "/healthz", "/readyz"])
def test_a_preflight_is_answered_without_a_token(client: FlaskClient, path: str) -> None:
    asked = {
        "Origin": "https://chat.example",
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization,x-stainless-lang",
    }

    answer = client.options(path, headers=asked)

    assert (answer.status_code, answer.data) == (200, b"")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Access-Control-Allow-Headers"] == (
        "*, Authorization, Content-Type, Accept, New-Api-User"
    )
    assert answer.headers["Access-Control-Allow-Methods"] == "GET, HEAD, OPTIONS"
    assert answer.headers["Access-Control-Max-Age"] == "86400"
    assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize("path", [*PATHS, "/healthz", "/readyz"])
def test_head_is_get_without_a_body(two_users: TwoUsers, path: str) -> None:
    client, headers = two_users.billing.client(), bearer(two_users.key, **{"X-Request-Id": "same"})

    head, whole = client.head(path, headers=headers), client.get(path, headers=headers)

    assert (head.status_code, head.data) == (200, b"")
    assert dict(head.headers) == dict(whole.headers)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"])
def test_another_method_is_refused_before_the_token_is_looked_at(
    client: FlaskClient, method: str, path: str
) -> None:
    answer = client.open(path, method=method)

    assert answer.status_code == 405
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}
    assert answer.get_json() == {
        "error": {
            "message": "该路径不支持此请求方法",
            "type": "invalid_request_error",
            "code": "method_not_allowed",
        }
    }


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v2/dashboard/billing/usage", "/dashboard/billing/Usage", "/\xff/%"]
)
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer sk-unknown"}])
def test_another_path_is_not_found_before_the_token_is_looked_at(
    client: FlaskClient, path: str, headers: dict[str, str]
) -> None:
    answer = get(client, path, headers)

    assert answer.status_code == 404
    assert answer.get_json() == {
        "error": {
            "message": "没有这个路径",
            "type": "invalid_request_error",
            "code": "not_found",
        }
    }


@pytest.mark.parametrize(
    ("accepts", "default", "message"),
    [
        (None, "zh", "没有这个路径"),
        ("", "zh", "没有这个路径"),
        ("*", "zh", "没有这个路径"),
        ("fr", "zh", "没有这个路径"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh", "没有这个路径"),
        ("zh-TW", "en", "没有这个路径"),
        ("zh-TW,en;q=0.9", "en", "没有这个路径"),
        ("en;q=0.1,zh;q=0.5", "en", "没有这个路径"),
        ("en", "zh", "no such path"),
        ("en-GB,en;q=0.9", "zh", "no such path"),
        ("en-GB,zh;q=0.5", "zh", "no such path"),
        ("fr,en;q=0.5,zh;q=0.4", "zh", "no such path"),
        ("zh;q=0,en", "zh", "no such path"),
        (None, "en", "no such path"),
        ("fr", "en", "no such path"),
        ("junk;;q=x,,\xff", "en", "no such path"),
    ],
)
def test_messages_follow_accept_language(
    sqlite_billing: Billing, accepts: str | None, default: str, message: str
) -> None:
    headers = {} if accepts is None else {"Accept-Language": accepts}

    answer = sqlite_billing.client(DEFAULT_LANGUAGE=default).get("/nowhere", headers=headers)

    assert answer.get_json()["error"]["message"] == message


@pytest.mark.parametrize("given", ["x", "a.B_c-9", "f" * 64, "sk", "ask-1"])
def test_a_plain_request_id_comes_back(client: FlaskClient, given: str) -> None:
    answer = client.get("/healthz", headers={"X-Request-Id": given})

    assert answer.headers["X-Request-Id"] == given


@pytest.mark.parametrize("given", ["", "sk-abc", "f" * 65, "a b", "a\t", "né", "１", "a,b", "<x>"])
def test_another_request_id_is_replaced(client: FlaskClient, given: str) -> None:
    raw = given.encode().decode("latin-1")

    answer = client.get("/healthz", headers={"X-Request-Id": raw})

    assert re.fullmatch("[0-9a-f]{32}", answer.headers["X-Request-Id"])


def test_two_requests_have_two_ids(client: FlaskClient) -> None:
    first, second = client.get("/healthz"), client.get("/healthz")

    assert first.headers["X-Request-Id"] != second.headers["X-Request-Id"]


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", USAGE, {}, 401),
        ("GET", USAGE, {"Authorization": "Bearer {key}"}, 200),
        ("HEAD", USAGE, {"Authorization": "Bearer {key}"}, 200),
        ("GET", USAGE, {"Authorization": "Bearer {key}", "New-Api-User": "9"}, 401),
        ("OPTIONS", USAGE, {}, 200),
        ("POST", USAGE, {}, 405),
        ("GET", "/nowhere", {}, 404),
        ("OPTIONS", "/nowhere", {}, 404),
        ("GET", "/healthz", {}, 200),
        ("GET", "/readyz", {}, 200),
    ],
)
def test_every_answer_is_readable_by_browsers_and_named(
    two_users: TwoUsers, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    sent = {name: text.format(key=two_users.key) for name, text in headers.items()}

    answer = two_users.billing.client().open(path, method=method, headers=sent)

    assert answer.status_code == status
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert (
        answer.headers["Access-Control-Expose-Headers"]
        == "X-Request-Id, Retry-After, X-Billing-Unit"
    )
    assert answer.headers["X-Request-Id"]


def test_health_needs_no_token(two_users: TwoUsers) -> None:
    client = two_users.billing.client()

    bodies: list[Any] = [client.get(path).data for path in ("/healthz", "/readyz")]

    assert bodies == [b'{"status":"ok"}\n', b'{"status":"ok"}\n']


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        (USAGE, "GET", 401),
        (USAGE, "OPTIONS", 200),
        (USAGE, "PUT", 405),
        ("/nothing", "GET", 404),
        ("/healthz", "GET", 200),
        ("/openapi.json", "GET", 200),
    ],
)
def test_no_answer_may_be_kept_or_taken_for_another_type(
    client: FlaskClient, path: str, method: str, status: int
) -> None:
    answer = client.open(path, method=method)

    assert answer.status_code == status
    assert answer.headers.getlist("Cache-Control") == ["no-store"]
    assert answer.headers.getlist("X-Content-Type-Options") == ["nosniff"]
