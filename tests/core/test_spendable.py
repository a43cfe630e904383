"""`BILLING_SCOPE=spendable`: a token's figures, capped by what its account can pay."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.core.test_subscriptions import subscribe
from tests.support.application import Billing
from tests.support.gateways import KEY, Gateway
from tests.support.http_client import bearer

SUBSCRIPTION, USAGE = "/v1/dashboard/billing/subscription", "/v1/dashboard/billing/usage"
GRANTS = "/v1/dashboard/billing/credit_grants"


def figures(gateway: Gateway, **env: str) -> tuple[float, float, int]:
    """The limit and the usage in raw quota, and the expiry."""
    env = {"BILLING_SCOPE": "spendable", "DISPLAY_UNIT": "TOKENS", **env}
    limit, usage = gateway.read("subscription", **env), gateway.read("usage", **env)
    return limit["hard_limit_usd"], usage["total_usage"] / 100, limit["access_until"]


def test_the_bodies_are_the_documented_ones(billing: Billing) -> None:
    billing.user("alice", 60_000)
    token = billing.token("alice", "--usd", "100", "--expires", "2030-01-01")
    billing.execute("UPDATE tokens SET remain_quota = 37500000, used_quota = 12500000")
    client, headers = billing.client(BILLING_SCOPE="spendable"), bearer(token["key"])

    answers = [client.get(path, headers=headers) for path in (SUBSCRIPTION, USAGE, GRANTS)]

    assert [answer.data for answer in answers] == [
        b'{"object":"billing_subscription","has_payment_method":true,"soft_limit_usd":25.12,'
        b'"hard_limit_usd":25.12,"system_hard_limit_usd":25.12,"access_until":1893456000}\n',
        b'{"object":"list","total_usage":2500.0}\n',
        b'{"object":"credit_summary","total_granted":25.12,"total_used":25.0,'
        b'"total_available":0.12,"grants":{"object":"list","data":[{"object":"credit_grant",'
        b'"id":"token-1","grant_amount":25.12,"used_amount":25.0,"effective_at":0,'
        b'"expires_at":1893456000}]},"token_available":75.0,"account_available":0.12}\n',
    ]


@pytest.mark.parametrize(
    ("token", "account", "shown"),
    [
        ({}, {}, (600 + 250, 250, 4102444800)),
        ({"remain_quota": 500}, {}, (500 + 250, 250, 4102444800)),
        ({}, {"quota": -30}, (-30 + 250, 250, 4102444800)),
        ({"remain_quota": -40}, {"quota": -30}, (-40 + 250, 250, 4102444800)),
        ({"unlimited_quota": True}, {}, (600 + 400, 400, 4102444800)),
    ],
    ids=["account", "token", "overdrawn account", "both overdrawn", "unlimited token"],
)
def test_the_smaller_of_the_two_remains(
    gateway: Gateway,
    token: dict[str, Any],
    account: dict[str, Any],
    shown: tuple[float, float, int],
) -> None:
    gateway.token(gateway.user(**account), expired_time=4102444800, **token)

    assert figures(gateway) == shown


def test_subscriptions_pay_as_the_owner_prefers(newapi: Gateway) -> None:
    user = newapi.user(id=1, setting='{"billing_preference": "subscription_only"}')
    newapi.token(user, remain_quota=9000)
    subscribe(newapi, 5000, 1000)

    assert figures(newapi) == (4000 + 250, 250, 0)


def test_an_unlimited_subscription_leaves_the_tokens_own_limit(newapi: Gateway) -> None:
    newapi.token(newapi.user(id=1))
    subscribe(newapi, 0, 1000)

    assert figures(newapi) == (750 + 250, 250, 0)


def test_an_unlimited_token_of_an_unlimited_account_is_unlimited(newapi: Gateway) -> None:
    newapi.token(newapi.user(id=1), unlimited_quota=True)
    subscribe(newapi, 0, 1000)

    assert figures(newapi) == (100000000, 400, 0)


@pytest.mark.parametrize(
    ("scope", "token", "limits"),
    [
        ("token", {}, (750, 600)),
        ("spendable", {}, (750, 600)),
        ("account", {}, (750, 600)),
        # More of the account than what limits the token is for account scope alone.
        ("token", {"remain_quota": 10}, (None, None)),
        ("spendable", {"remain_quota": 10}, (None, None)),
        ("account", {"remain_quota": 10}, (10, 600)),
        *((scope, {"remain_quota": 600}, (None, None)) for scope in ("token", "account")),
        ("account", {"unlimited_quota": True}, (None, None)),
        ("spendable", {"unlimited_quota": True}, (None, None)),
    ],
)
def test_both_limits_are_told_where_the_caller_may_know_them(
    newapi: Gateway, scope: str, token: dict[str, Any], limits: tuple[int | None, int | None]
) -> None:
    newapi.token(newapi.user(), **token)

    body = newapi.read("credit_grants", BILLING_SCOPE=scope, DISPLAY_UNIT="TOKENS")

    assert (body.get("token_available"), body.get("account_available")) == limits


def test_an_unlimited_token_is_told_what_its_account_has(newapi: Gateway) -> None:
    newapi.token(newapi.user(), unlimited_quota=True)

    body = newapi.read("credit_grants", DISPLAY_UNIT="TOKENS")

    assert (body["token_available"], body["account_available"]) == (100000000, 600)


def test_an_access_token_has_one_limit(billing: Billing) -> None:
    user = billing.user(quota=5)
    headers = bearer(user["access_token"], user["id"])

    body = billing.client().get(GRANTS, headers=headers).get_json()

    assert "token_available" not in body


def test_a_subscription_is_told_by_its_plan_and_its_next_reset(newapi: Gateway) -> None:
    newapi.token(newapi.user(id=1))
    newapi.insert(
        "subscription_plans", id=3, title="专业版", price_amount=1, currency="USD", total_amount=0
    )
    subscribe(newapi, 5000, 1000, id=7, plan_id=3, start_time=5, end_time=4102444800)
    newapi.execute("UPDATE user_subscriptions SET next_reset_time = 4070908800")

    body = newapi.read("credit_grants", BILLING_SCOPE="account", DISPLAY_UNIT="TOKENS")

    assert [(grant["id"], grant["source"]) for grant in body["grants"]["data"]] == [
        ("account-1", "wallet"),
        ("subscription-7", "subscription"),
    ]
    assert body["grants"]["data"][1] == {
        "object": "credit_grant",
        "id": "subscription-7",
        "grant_amount": 5000.0,
        "used_amount": 1000.0,
        "effective_at": 5,
        "expires_at": 4102444800,
        "source": "subscription",
        "plan": "专业版",
        "resets_at": 4070908800,
    }


@pytest.mark.parametrize(
    ("token", "limited_by"),
    [
        ({}, "what its user's account can pay"),
        ({"remain_quota": 10}, "the token's own quota"),
        ({"unlimited_quota": True}, "what its user's account can pay"),
    ],
)
def test_flask_check_says_which_of_the_two_limits(
    newapi: Gateway, token: dict[str, Any], limited_by: str
) -> None:
    id = newapi.token(newapi.user(), **token)
    runner = newapi.app(BILLING_SCOPE="spendable").test_cli_runner()

    checked = runner.invoke(args=["check", "--token-id", str(id), "--json"])

    assert json.loads(checked.stdout)["token"]["limited_by"] == limited_by


@pytest.mark.parametrize("unit", ["USD", "CNY", "TOKENS", "CUSTOM"])
def test_every_answer_with_amounts_names_its_unit(newapi: Gateway, unit: str) -> None:
    newapi.token(newapi.user())
    client, headers = newapi.client(DISPLAY_UNIT=unit), bearer(KEY)
    days = "include=daily_costs&start_date=2026-11-01&end_date=2026-11-02"

    units = [
        client.get(path, headers=headers).headers.get("X-Billing-Unit")
        for path in (
            *(SUBSCRIPTION, USAGE, f"{USAGE}?{days}", GRANTS),
            *("/v1/organization/costs?start_time=1793491200", "/api/usage/token/", "/healthz"),
        )
    ]
    exposed = client.get(USAGE, headers=headers).headers["Access-Control-Expose-Headers"]

    assert units == [unit, unit, unit, unit, "USD", "TOKENS", None]
    assert "X-Billing-Unit" in exposed
