"""new-api's subscriptions count in the account's figures."""

from __future__ import annotations

import itertools
import time

import pytest

from tests.support.gateways import Gateway

NOW = int(time.time())
DAY = 86400
_ids = itertools.count(1)


def subscribe(gateway: Gateway, total: int, used: int, **values: object) -> None:
    row: dict[str, object] = {
        "id": next(_ids),
        "user_id": 1,
        "plan_id": 1,
        "amount_total": total,
        "amount_used": used,
        "start_time": NOW - DAY,
        "end_time": NOW + DAY,
        "status": "active",
        "next_reset_time": 0,
    }
    gateway.insert("user_subscriptions", **{**row, **values})


def account(gateway: Gateway, setting: str | None = None) -> tuple[float, float]:
    """The limit and the usage that the account shows, in raw quota."""
    gateway.token(gateway.user(id=1, setting=setting))
    limit = gateway.read("subscription", BILLING_SCOPE="account", DISPLAY_UNIT="TOKENS")
    usage = gateway.read("usage", BILLING_SCOPE="account", DISPLAY_UNIT="TOKENS")
    return limit["hard_limit_usd"], usage["total_usage"] / 100


def test_what_active_subscriptions_have_left_is_added_to_the_wallet(newapi: Gateway) -> None:
    subscribe(newapi, 5000, 1000)
    subscribe(newapi, 300, 100)

    assert account(newapi) == (600 + 4000 + 200 + 400, 400)


@pytest.mark.parametrize(
    "values",
    [{"status": "expired"}, {"status": "cancelled"}, {"end_time": NOW - 1}, {"user_id": 2}],
)
def test_any_other_subscription_adds_nothing(newapi: Gateway, values: dict[str, object]) -> None:
    subscribe(newapi, 5000, 1000, **values)

    assert account(newapi) == (1000, 400)


@pytest.mark.parametrize(
    ("reset", "left"),
    [(NOW - 1, 5000), (NOW + DAY, 4000), (0, 4000)],
    ids=["due", "tomorrow", "never"],
)
def test_a_reset_that_is_due_has_happened(newapi: Gateway, reset: int, left: int) -> None:
    subscribe(newapi, 5000, 1000, next_reset_time=reset)

    assert account(newapi) == (1000 + left, 400)


def test_an_overspent_subscription_takes_nothing_from_the_wallet(newapi: Gateway) -> None:
    subscribe(newapi, 5000, 6000)

    assert account(newapi) == (1000, 400)


def test_an_unlimited_subscription_makes_the_account_unlimited(newapi: Gateway) -> None:
    subscribe(newapi, 0, 6000)

    assert account(newapi) == (100000000, 400)


@pytest.mark.parametrize(
    ("setting", "limit"),
    [
        ('{"billing_preference": "subscription_first"}', 5000),
        ('{"billing_preference": "wallet_first"}', 5000),
        ('{"billing_preference": "wallet_only"}', 1000),
        ('{"billing_preference": "subscription_only"}', 4400),
        ("{}", 5000),
        ("", 5000),
        ("no JSON", 5000),
        ("[1]", 5000),
    ],
)
def test_the_users_preference_is_obeyed(newapi: Gateway, setting: str, limit: int) -> None:
    subscribe(newapi, 5000, 1000)

    assert account(newapi, setting) == (limit, 400)


def test_subscription_only_without_one_has_nothing_left(newapi: Gateway) -> None:
    assert account(newapi, '{"billing_preference": "subscription_only"}') == (400, 400)


def test_a_tokens_own_figures_know_no_subscriptions(newapi: Gateway) -> None:
    newapi.token(newapi.user(id=1))
    subscribe(newapi, 5000, 1000)

    assert newapi.read("subscription")["hard_limit_usd"] == 0.002
