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


STRICT = {"allow_wallet_overflow": False}


@pytest.mark.parametrize("setting", [None, '{"billing_preference": "subscription_first"}', "{}"])
def test_beside_a_strict_subscription_the_wallet_cannot_be_spent(
    newapi: Gateway, setting: str | None
) -> None:
    newapi.option("QuotaPerUnit", "1000")
    newapi.option("DisplayTokenStatEnabled", "false")
    newapi.token(newapi.user(id=1, quota=5000, used_quota=999, setting=setting))
    subscribe(newapi, 1000, 999, id=7, start_time=NOW, end_time=4102444800, **STRICT)
    newapi.insert("redemptions", id=5, key="a", used_user_id=1, quota=5000, redeemed_time=200)
    newapi.insert(
        "top_ups", id=6, user_id=1, amount=5, status="success", create_time=100, trade_no="t"
    )

    assert newapi.read("subscription") == {
        "object": "billing_subscription",
        "has_payment_method": True,
        "soft_limit_usd": 1.0,
        "hard_limit_usd": 1.0,
        "system_hard_limit_usd": 1.0,
        "access_until": 0,
    }
    assert newapi.read("usage") == {"object": "list", "total_usage": 99.9}
    assert newapi.read("credit_grants") == {
        "object": "credit_summary",
        "total_granted": 1.0,
        "total_used": 0.999,
        "total_available": 0.001,
        "grants": {
            "object": "list",
            "data": [
                {
                    "object": "credit_grant",
                    "id": "subscription-7",
                    "grant_amount": 1.0,
                    "used_amount": 0.999,
                    "effective_at": NOW,
                    "expires_at": 4102444800,
                    "source": "subscription",
                    "plan": "",
                    "resets_at": 0,
                }
            ],
        },
        "token_available": 0.75,
        "account_available": 0.001,
    }


@pytest.mark.parametrize(
    ("preference", "limit"),
    [
        ("wallet_first", 5000),
        ("wallet_only", 1000),
        ("subscription_only", 4400),
        ("unheard_of", 4400),
    ],
)
def test_strictness_matters_only_where_subscriptions_come_first(
    newapi: Gateway, preference: str, limit: int
) -> None:
    subscribe(newapi, 5000, 1000, **STRICT)

    assert account(newapi, f'{{"billing_preference": "{preference}"}}') == (limit, 400)


def test_one_strict_subscription_is_enough(newapi: Gateway) -> None:
    subscribe(newapi, 5000, 1000, allow_wallet_overflow=True)
    subscribe(newapi, 300, 300, **STRICT)
    subscribe(newapi, 20, 0, allow_wallet_overflow=None)

    assert account(newapi) == (4000 + 0 + 20 + 400, 400)


@pytest.mark.parametrize(
    "values",
    [{"status": "expired"}, {"status": "cancelled"}, {"end_time": NOW - 1}, {"user_id": 2}],
)
def test_a_strict_subscription_that_is_not_active_bars_nothing(
    newapi: Gateway, values: dict[str, object]
) -> None:
    subscribe(newapi, 5000, 1000, **STRICT, **values)

    assert account(newapi) == (1000, 400)


def test_a_strict_subscription_without_a_limit_is_unlimited(newapi: Gateway) -> None:
    subscribe(newapi, 0, 6000, **STRICT)

    assert account(newapi) == (100000000, 400)


@pytest.mark.parametrize("overflow", [True, None])
def test_without_strictness_the_wallet_counts(newapi: Gateway, overflow: bool | None) -> None:
    subscribe(newapi, 5000, 1000, allow_wallet_overflow=overflow)

    assert account(newapi) == (5000, 400)


def test_a_table_without_the_column_knows_no_strictness(newapi: Gateway) -> None:
    newapi.execute('ALTER TABLE "user_subscriptions" DROP COLUMN "allow_wallet_overflow"')
    subscribe(newapi, 5000, 1000)

    assert account(newapi) == (5000, 400)


def test_a_tokens_own_figures_know_no_subscriptions(newapi: Gateway) -> None:
    newapi.token(newapi.user(id=1))
    subscribe(newapi, 5000, 1000)

    assert newapi.read("subscription")["hard_limit_usd"] == 0.002
