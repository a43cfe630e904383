"""`/api/usage/token/`: new-api's own route for a key, in raw quota, with our errors."""

from __future__ import annotations

import pytest

from tests.support.application import Billing
from tests.support.gateways import DIALECTS, KEY, Gateway
from tests.support.http_client import bearer

PATHS = ["/api/usage/token", "/api/usage/token/", "/api//usage///token/"]


@pytest.mark.parametrize("path", PATHS)
def test_a_token_of_ours_is_answered_to_the_letter(billing: Billing, path: str) -> None:
    billing.user(quota=9_000_000)
    token = billing.token("alice", "--name", "手机", "--quota", "1000", "--expires", "2030-01-01")
    billing.run("usage", "record", str(token["id"]), "--model", "m", "--quota", "250")

    answer = billing.client(DISPLAY_UNIT="CNY").get(path, headers=bearer(token["key"]))

    assert answer.status_code == 200
    assert answer.headers["X-Billing-Unit"] == "TOKENS"
    assert answer.get_data(as_text=True) == (
        '{"code":true,"message":"ok","data":{"object":"token_usage","name":"手机",'
        '"total_granted":1000,"total_used":250,"total_available":750,"unlimited_quota":false,'
        '"model_limits":{},"model_limits_enabled":false,"expires_at":1893456000}}\n'
    )


def test_a_gateways_token_is_answered_to_the_letter(gateway: Gateway) -> None:
    gateway.token(gateway.user(), name="cli")

    answer = gateway.client().get(PATHS[1], headers=bearer(KEY))

    assert answer.get_data(as_text=True) == (
        '{"code":true,"message":"ok","data":{"object":"token_usage","name":"cli",'
        '"total_granted":1000,"total_used":250,"total_available":750,"unlimited_quota":false,'
        '"model_limits":{},"model_limits_enabled":false,"expires_at":0}}\n'
    )


@pytest.mark.parametrize("enabled", [True, False])
def test_new_apis_model_limits_are_listed(newapi: Gateway, enabled: bool) -> None:
    newapi.token(newapi.user(), model_limits="gpt-4o,o4-mini", model_limits_enabled=enabled)

    data = newapi.client().get(PATHS[1], headers=bearer(KEY)).get_json()["data"]

    assert data["model_limits"] == {"gpt-4o": True, "o4-mini": True}
    assert data["model_limits_enabled"] is enabled


def test_one_hubs_model_limits_are_listed(hub: Gateway) -> None:
    setting = '{"limits":{"limit_model_setting":{"enabled":true,"models":["gpt-4o"]}}}'
    hub.token(hub.user(), setting=setting)

    data = hub.client().get(PATHS[1], headers=bearer(KEY)).get_json()["data"]

    assert (data["model_limits"], data["model_limits_enabled"]) == ({"gpt-4o": True}, True)


def test_an_unlimited_token_is_a_flag_and_no_figure(newapi: Gateway) -> None:
    newapi.token(newapi.user(), unlimited_quota=True, remain_quota=-250)

    data = newapi.client().get(PATHS[1], headers=bearer(KEY)).get_json()["data"]

    assert data["unlimited_quota"] is True
    assert (data["total_granted"], data["total_used"], data["total_available"]) == (0, 250, -250)


@pytest.mark.parametrize(
    ("env", "available"),
    [({}, 750), ({"BILLING_SCOPE": "spendable"}, 600), ({"BILLING_SCOPE": "account"}, 600)],
)
def test_it_follows_the_scope(gateway: Gateway, env: dict[str, str], available: int) -> None:
    gateway.token(gateway.user())

    data = gateway.client(**env).get(PATHS[1], headers=bearer(KEY)).get_json()["data"]

    assert data["total_available"] == available
    assert data["total_granted"] == data["total_available"] + data["total_used"]


def test_an_access_token_reads_the_account_without_a_name(billing: Billing) -> None:
    user = billing.user(quota=700)

    headers = bearer(user["access_token"], user["id"])
    data = billing.client().get(PATHS[1], headers=headers).get_json()["data"]

    assert (data["name"], data["total_available"]) == ("", 700)


def test_its_errors_have_the_one_shape(billing: Billing) -> None:
    billing.user()
    token = billing.token()
    billing.run("token", "disable", str(token["id"]))
    client = billing.client()

    answers = [
        client.get(PATHS[1], headers=headers)
        for headers in ({}, bearer("sk-wrong"), bearer(token["key"]))
    ]

    assert [(answer.status_code, answer.get_json()["error"]["code"]) for answer in answers] == [
        (401, "missing_api_key"),
        (401, "invalid_api_key"),
        (401, "api_key_disabled"),
    ]
    assert "X-Billing-Unit" not in answers[0].headers
    assert client.post(PATHS[1]).status_code == 405


@pytest.mark.parametrize("gateway", [("oneapi", kind) for kind in DIALECTS], indirect=True)
@pytest.mark.parametrize(
    ("models", "limits"), [("gpt-4o,o4-mini", {"gpt-4o": True, "o4-mini": True}), (None, {})]
)
def test_one_apis_list_of_models_limits_where_there_is_one(
    gateway: Gateway, models: str | None, limits: dict[str, bool]
) -> None:
    gateway.token(gateway.user(), models=models)

    answer = gateway.client().get("/api/usage/token/", headers=bearer(KEY)).get_json()

    assert answer["data"]["model_limits"] == limits
    assert answer["data"]["model_limits_enabled"] is bool(limits)
