"""The service asked over the wire, as the Procfile starts it and under another server."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.support.application import Billing
from tests.support.granian import Granian
from tests.support.gunicorn import Gunicorn
from tests.support.http_client import ask, bearer
from tests.support.site import SUBSCRIPTION, USAGE, Callers, Site


@pytest.fixture(scope="module", params=[Gunicorn, Granian], ids=["gunicorn", "granian"])
def site(
    request: pytest.FixtureRequest, callers: Callers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """The service on each kind of database, under each server."""
    with callers.served(request.param, tmp_path_factory.mktemp("server")) as site:
        yield site


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


def test_an_exhausted_token_still_reads_what_it_overspent(site: Site) -> None:
    subscription = site.ask(SUBSCRIPTION, "exhausted").json
    usage = site.ask(USAGE, "exhausted").json

    assert (subscription["hard_limit_usd"], usage["total_usage"]) == (2e-05, 0.003)


def test_an_access_token_reads_its_users_account(site: Site) -> None:
    headers = bearer(site.access_token, site.user_id)

    subscription = ask(site.server.url, SUBSCRIPTION, headers)
    usage = ask(site.server.url, USAGE, headers)

    assert subscription.json == {
        "object": "billing_subscription",
        "has_payment_method": True,
        "soft_limit_usd": 200.0,
        "hard_limit_usd": 200.0,
        "system_hard_limit_usd": 200.0,
        "access_until": 0,
    }
    assert usage.json == {"object": "list", "total_usage": 2500.0}


@pytest.mark.parametrize("route", ["subscription", "usage"])
@pytest.mark.parametrize(
    "path",
    [
        "/v1/dashboard/billing/{}",
        "/dashboard/billing/{}/",
        "//v1/dashboard/billing/{}",
        "/v1//dashboard///billing/{}//",
        "/v1/dashboard/billing/{}?start_date=2026-11-31&end_date=2026-8-5&end_date=junk&x=%ff",
    ],
)
def test_every_spelling_of_a_path_answers_the_same_bytes(site: Site, path: str, route: str) -> None:
    plain = site.ask(f"/dashboard/billing/{route}", "example")

    answer = site.ask(path.format(route), "example")

    assert (answer.status, answer.body) == (200, plain.body)


def test_head_is_get_without_a_body(site: Site) -> None:
    full = site.ask(USAGE, "example")

    answer = site.ask(USAGE, "example", "HEAD")

    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["Content-Length"] == str(len(full.body))


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


INVALID = '{"message":"无效的令牌，请检查令牌是否填写正确（使用系统访问令牌时须带 New-Api-User）"'
MISMATCH = '{"message":"New-Api-User 与令牌所属用户不符，请填写该令牌所属用户的 ID"'


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
            "",
            {"Authorization": "Bearer sk-unknown"},
            401,
            INVALID + ',"type":"new_api_error","code":"invalid_api_key"}',
        ),
        ("revoked", {}, 401, INVALID + ',"type":"new_api_error","code":"invalid_api_key"}'),
        (
            "disabled",
            {},
            401,
            '{"message":"该令牌已被禁用，请启用或更换令牌",'
            '"type":"new_api_error","code":"api_key_disabled"}',
        ),
        (
            "example",
            {"New_Api_User": "alice"},
            401,
            MISMATCH + ',"type":"new_api_error","code":"user_mismatch"}',
        ),
        (
            "example",
            {"New_Api_User": "999"},
            401,
            MISMATCH + ',"type":"new_api_error","code":"user_mismatch"}',
        ),
        (
            "of a disabled user",
            {},
            403,
            '{"message":"用户已被禁用，请联系管理员",'
            '"type":"new_api_error","code":"user_disabled"}',
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


def test_an_access_token_without_its_user_is_refused(site: Site) -> None:
    answer = ask(site.server.url, USAGE, bearer(site.access_token))

    assert (answer.status, answer.json["error"]["code"]) == (401, "invalid_api_key")


def test_an_english_reader_gets_english(site: Site) -> None:
    answer = site.ask(SUBSCRIPTION, "disabled", Accept_Language="en-GB,en;q=0.9")

    assert answer.json["error"]["message"] == (
        "this API key is switched off: enable it or use another"
    )


def test_a_caller_on_the_allow_list_is_answered(site: Site) -> None:
    assert site.ask(SUBSCRIPTION, "loopback").status == 200


def test_an_unknown_path_is_not_found(site: Site) -> None:
    answer = site.ask("/v1/dashboard/billing/nothing", "example")

    assert answer.status == 404
    assert answer.body.decode() == (
        '{"error":{"message":"没有这个路径","type":"invalid_request_error","code":"not_found"}}\n'
    )


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE"])
def test_other_methods_are_named_the_right_ones(site: Site, method: str) -> None:
    answer = site.ask(USAGE, "example", method)

    assert answer.status == 405
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}
    assert answer.body.decode() == (
        '{"error":{"message":"该路径不支持此请求方法",'
        '"type":"invalid_request_error","code":"method_not_allowed"}}\n'
    )


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_a_healthy_service_says_so(site: Site, path: str) -> None:
    answer = site.ask(path)

    assert (answer.status, answer.body) == (200, b'{"status":"ok"}\n')


@pytest.mark.parametrize("path", [SUBSCRIPTION, "/nothing", "/healthz"])
@pytest.mark.parametrize(("given", "kept"), [("a-1.b_2", True), ("sk-abc", False), ("a b", False)])
def test_a_request_keeps_its_plain_id(site: Site, path: str, given: str, kept: bool) -> None:
    answer = site.ask(path, X_Request_Id=given)

    assert (answer.headers["X-Request-Id"] == given) is kept
    assert answer.headers["X-Request-Id"]


def test_new_api_user_may_be_required_of_everyone(
    sqlite_billing: Billing, gunicorn: Callable[..., Gunicorn]
) -> None:
    user = sqlite_billing.user()
    key = sqlite_billing.token()["key"]
    server = gunicorn({**sqlite_billing.env, "REQUIRE_NEW_API_USER": "true"})

    without, named = (ask(server.url, USAGE, bearer(key, id)) for id in (None, user["id"]))

    assert (without.status, without.json["error"]["code"]) == (401, "user_mismatch")
    assert named.status == 200
