"""The service asked over the wire, as the Procfile starts it and under another server.

Each rule is tested here once, on SQLite; all its cases, and other databases, in-process.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import servers
from tests.support.site import SUBSCRIPTION, USAGE, Callers, Site


@pytest.fixture(scope="module", params=servers.ALL, ids=lambda server: server.__name__)
def site(
    request: pytest.FixtureRequest, callers: Callers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """The service on each kind of database, under each server."""
    with callers.served(request.param, tmp_path_factory.mktemp("server")) as site:
        yield site


#: For rules that do not depend on the database.
on_sqlite = pytest.mark.parametrize("url", ["sqlite"], indirect=True)


def test_a_caller_reads_its_limits_and_expiry(site: Site) -> None:
    answer = site.ask("/dashboard/billing/subscription", "example")

    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.body == (
        b'{"object":"billing_subscription","has_payment_method":true,"soft_limit_usd":100.0,'
        b'"hard_limit_usd":100.0,"system_hard_limit_usd":100.0,"access_until":1640995200}\n'
    )


def test_a_caller_reads_what_it_used(site: Site) -> None:
    answer = site.ask("/dashboard/billing/usage", "example")

    assert answer.status == 200
    assert answer.body == b'{"object":"list","total_usage":2500.0}\n'


@on_sqlite
@pytest.mark.parametrize(
    "path",
    [
        "/v1/dashboard/billing/usage",
        "//dashboard/billing/usage/",
        "/v1//dashboard///billing/usage//",
        "/dashboard/billing/usage?start_date=2026-11-31&end_date=2026-8-5&end_date=junk&x=%ff",
    ],
)
def test_every_spelling_of_a_path_answers_the_same_bytes(site: Site, path: str) -> None:
    plain = site.ask("/dashboard/billing/usage", "example")

    answer = site.ask(path, "example")

    assert (answer.status, answer.body) == (200, plain.body)


@on_sqlite
def test_head_is_get_without_a_body(site: Site) -> None:
    full = site.ask(USAGE, "example")

    answer = site.ask(USAGE, "example", "HEAD")

    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["Content-Length"] == str(len(full.body))


@on_sqlite
def test_a_browser_may_ask_from_any_page(site: Site) -> None:
    answer = site.ask(
        USAGE,
        method="OPTIONS",
        Origin="https://chat.example",
        Access_Control_Request_Method="GET",
        Access_Control_Request_Headers="authorization,content-type,x-stainless-os",
    )

    assert answer.status == 200
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Access-Control-Allow-Headers"] == (
        "*, Authorization, Content-Type, Accept, New-Api-User"
    )
    assert answer.headers["Access-Control-Max-Age"] == "86400"
    assert answer.headers["Access-Control-Allow-Credentials"] is None


MISMATCH = '{"message":"New-Api-User 与令牌所属用户不符，请填写该令牌所属用户的 ID"'


@on_sqlite
@pytest.mark.parametrize(
    ("key", "headers", "status", "body"),
    [
        (
            "",
            {},
            401,
            '{"message":"未提供令牌，请在 Authorization 请求头中填写 Bearer sk-…",'
            '"type":"new_api_error","code":"missing_api_key"}',
        ),
        (
            "example",
            {"New_Api_User": "999"},
            401,
            MISMATCH + ',"type":"new_api_error","code":"user_mismatch"}',
        ),
        (
            "elsewhere",
            {"X_Forwarded_For": "10.0.0.1"},
            403,
            '{"message":"您的 IP 不在令牌允许访问的列表中",'
            '"type":"new_api_error","code":"ip_not_allowed"}',
        ),
    ],
)
def test_a_refused_caller_is_told_why(
    site: Site, key: str, headers: dict[str, str], status: int, body: str
) -> None:
    answer = site.ask(SUBSCRIPTION, key, **headers)

    assert answer.status == status
    assert answer.body.decode() == f'{{"error":{body}}}\n'
    assert answer.headers["WWW-Authenticate"] == ("Bearer" if status == 401 else None)
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


@on_sqlite
def test_a_caller_on_the_allow_list_is_answered(site: Site) -> None:
    assert site.ask(SUBSCRIPTION, "loopback").status == 200


@on_sqlite
@pytest.mark.parametrize("method", ["POST", "TRACE"])
def test_other_methods_are_named_the_right_ones(site: Site, method: str) -> None:
    answer = site.ask(USAGE, "example", method)

    assert answer.status == 405
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}
    assert answer.body.decode() == (
        '{"error":{"message":"该路径不支持此请求方法",'
        '"type":"invalid_request_error","code":"method_not_allowed"}}\n'
    )


@on_sqlite
@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_a_healthy_service_says_so(site: Site, path: str) -> None:
    answer = site.ask(path)

    assert (answer.status, answer.body) == (200, b'{"status":"ok"}\n')


@on_sqlite
@pytest.mark.parametrize(("given", "kept"), [("a-1.b_2", True), ("sk-abc", False), ("a b", False)])
def test_a_request_keeps_its_plain_id(site: Site, given: str, kept: bool) -> None:
    answer = site.ask(SUBSCRIPTION, X_Request_Id=given)

    assert (answer.headers["X-Request-Id"] == given) is kept
    assert answer.headers["X-Request-Id"]
