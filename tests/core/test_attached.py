"""The contract, over every gateway on every kind of database that it has."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.gateways import CASES, KEY, NOT_HUBS, Gateway, not_on_hubs

BEARER = {"Authorization": f"Bearer sk-{KEY}"}
USAGE = "/v1/dashboard/billing/usage"


#: For what the rows mean; how each kind of database returns them, the other tests show.
on_sqlite = pytest.mark.parametrize(
    "gateway", [case for case in CASES if case[1] == "sqlite"], ids="-".join, indirect=True
)


def test_a_token_reads_its_own_figures(gateway: Gateway) -> None:
    gateway.token(gateway.user())
    client = gateway.client()

    subscription = client.get("/dashboard/billing/subscription", headers=BEARER)
    usage = client.get(USAGE, headers=BEARER)

    assert subscription.json == {
        "object": "billing_subscription",
        "has_payment_method": True,
        "soft_limit_usd": 0.002,
        "hard_limit_usd": 0.002,
        "system_hard_limit_usd": 0.002,
        "access_until": 0,
    }
    assert usage.json == {"object": "list", "total_usage": 0.05}


@not_on_hubs
def test_an_unlimited_token_has_the_unlimited_figure_and_its_own_usage(gateway: Gateway) -> None:
    gateway.token(gateway.user(), unlimited_quota=True, remain_quota=-250)

    assert gateway.read("subscription")["hard_limit_usd"] == 100000000
    assert gateway.read("usage")["total_usage"] == 0.05


@not_on_hubs
def test_an_unlimited_token_in_quota_units_has_a_limit_above_its_usage(gateway: Gateway) -> None:
    gateway.token(gateway.user(), unlimited_quota=True, used_quota=125_000_000)
    client = gateway.client(DISPLAY_UNIT="TOKENS")

    subscription = client.get("/dashboard/billing/subscription", headers=BEARER)
    usage = client.get(USAGE, headers=BEARER)

    assert subscription.json == {
        "object": "billing_subscription",
        "has_payment_method": True,
        "soft_limit_usd": 225000000.0,
        "hard_limit_usd": 225000000.0,
        "system_hard_limit_usd": 225000000.0,
        "access_until": 0,
    }
    assert usage.json == {"object": "list", "total_usage": 12500000000.0}


@on_sqlite
def test_an_unlimited_token_can_show_its_owners_account(gateway: Gateway) -> None:
    gateway.token(gateway.user(), unlimited_quota=True, expired_time=4102444800)

    answer = gateway.read("subscription", UNLIMITED_TOKENS="account")

    assert (answer["hard_limit_usd"], answer["access_until"]) == (0.002, 4102444800)


@on_sqlite
@pytest.mark.parametrize(
    ("column", "value"),
    [("status", 3), ("status", 4), ("remain_quota", -3), ("expired_time", 1700000000)],
)
def test_expired_and_exhausted_tokens_may_read(gateway: Gateway, column: str, value: int) -> None:
    values: dict[str, Any] = {column: value}
    gateway.token(gateway.user(), **values)

    assert gateway.read("usage")["total_usage"] == 0.05


@on_sqlite
@pytest.mark.parametrize("status", [0, 2, 5, 9, None])
def test_any_other_status_is_switched_off(gateway: Gateway, status: int | None) -> None:
    gateway.token(gateway.user(), status=status)

    answer = gateway.client().get(USAGE, headers=BEARER)

    assert (answer.status_code, answer.get_json()["error"]["code"]) == (401, "api_key_disabled")


@on_sqlite
@pytest.mark.parametrize("status", [2, 3, 0, None])
def test_a_user_of_any_status_but_1_is_refused(gateway: Gateway, status: int | None) -> None:
    gateway.token(gateway.user(status=status))

    answer = gateway.client().get(USAGE, headers=BEARER)

    assert (answer.status_code, answer.get_json()["error"]["code"]) == (403, "user_disabled")


def test_a_token_without_an_owner_is_refused(gateway: Gateway) -> None:
    gateway.token(77)

    answer = gateway.client().get(USAGE, headers=BEARER)

    assert (answer.status_code, answer.get_json()["error"]["code"]) == (403, "user_disabled")


def test_soft_deleted_rows_are_gone(gateway: Gateway) -> None:
    # one-api has no such column: it deletes a token's row, and gives a user status 3.
    gone = "2026-11-24 20:43:14"
    user_id = gateway.user()
    if "deleted_at" in gateway.columns("tokens"):
        gateway.token(user_id, deleted_at=gone)
    gateway.token(gateway.user(deleted_at=gone, status=3), key="Of1" + KEY[3:])
    client = gateway.client()

    token = client.get(USAGE, headers=BEARER)
    user = client.get(USAGE, headers={"Authorization": f"Of1{KEY[3:]}"})

    assert (token.status_code, token.get_json()["error"]["code"]) == (401, "invalid_api_key")
    assert (user.status_code, user.get_json()["error"]["code"]) == (403, "user_disabled")


def test_nulls_count_as_the_gateways_count_them(gateway: Gateway) -> None:
    gateway.token(
        gateway.user(quota=None, used_quota=None),
        used_quota=None,
        remain_quota=None,
        unlimited_quota=None,
        expired_time=None,
        allow_ips=None,
        subnet=None,
    )

    subscription = gateway.read("subscription")

    assert (subscription["hard_limit_usd"], subscription["access_until"]) == (0, 0)
    assert gateway.read("usage")["total_usage"] == 0


def test_sums_pass_64_bits_without_wrapping(gateway: Gateway) -> None:
    gateway.token(gateway.user(), remain_quota=2**63 - 1, used_quota=2**63 - 1)

    assert gateway.read("subscription")["hard_limit_usd"] == (2**64 - 2) / 500000


@pytest.mark.parametrize("other", [KEY.swapcase(), KEY + "x", KEY[:-1], "áb3" + KEY[3:]])
def test_a_key_that_differs_at_all_is_unknown(gateway: Gateway, other: str) -> None:
    gateway.token(gateway.user())

    answer = gateway.client().get(USAGE, headers={"Authorization": f"Bearer {other}"})

    assert (answer.status_code, answer.get_json()["error"]["code"]) == (401, "invalid_api_key")


def test_keys_of_two_characters_and_channel_suffixes_are_served(gateway: Gateway) -> None:
    gateway.token(gateway.user(), key="Ab")

    answer = gateway.client().get(USAGE, headers={"Authorization": "Bearer sk-Ab-17"})

    assert answer.status_code == 200


@pytest.mark.parametrize("access_token", ["0f" * 16, "IIrXJQlBXNBISSgN9LeGwF5I2722+/=="])
def test_an_access_token_reads_the_account(gateway: Gateway, access_token: str) -> None:
    user_id = gateway.user(access_token=access_token)
    client = gateway.client()

    headers = {"Authorization": access_token, "New-Api-User": str(user_id)}
    answer = client.get("/dashboard/billing/subscription", headers=headers)
    other = client.get(USAGE, headers={**headers, "New-Api-User": str(user_id + 1)})

    assert (answer.get_json()["hard_limit_usd"], answer.get_json()["access_until"]) == (0.002, 0)
    assert other.get_json()["error"]["code"] == "invalid_api_key"


@not_on_hubs
def test_the_account_is_shown_when_the_gateway_says_so(gateway: Gateway) -> None:
    gateway.token(gateway.user(quota=1_000_000, used_quota=500_000), expired_time=4102444800)
    gateway.option("DisplayTokenStatEnabled", "false")

    subscription = gateway.read("subscription")

    assert (subscription["hard_limit_usd"], subscription["access_until"]) == (3, 0)
    assert gateway.read("usage")["total_usage"] == 100


@pytest.mark.parametrize(
    "gateway",
    [case for case in NOT_HUBS if case[1] == "sqlite"],
    ids="-".join,
    indirect=True,
)
@pytest.mark.parametrize(
    ("allow_ips", "subnet", "status"),
    [
        ("127.0.0.1", "127.0.0.1/32", 200),
        ("10.0.0.1\n127.0.0.1/8", "10.0.0.0/8,127.0.0.1/8", 200),
        ("::ffff:127.0.0.1", "::ffff:127.0.0.1/128", 200),
        ("10.0.0.0/8", "10.0.0.0/8", 403),
        ("127.0.0.1,10.0.0.1", "127.0.0.1", 403),
        ("junk", "127.0.0.0/255.0.0.0", 403),
        ("127.0.0.0/255.0.0.0", " , ,", 403),
        ("/8", "/8,10.0.0.0/8", 403),
        ("127.0.0.1", "10.0.0.0/8, 127.0.0.1/32", 200),
        ("127.0.0.1", "junk,127.0.0.2, \t127.0.0.0/8 ", 200),
        ("", "", 200),
    ],
)
def test_an_allow_list_holds(gateway: Gateway, allow_ips: str, subnet: str, status: int) -> None:
    gateway.token(gateway.user(), allow_ips=allow_ips, subnet=subnet)

    answer = gateway.client().get(USAGE, headers=BEARER)

    assert answer.status_code == status


def test_columns_in_any_order_and_unknown_ones_are_no_matter(gateway: Gateway) -> None:
    gateway.execute('ALTER TABLE "tokens" ADD COLUMN "novelty" integer')
    gateway.execute('ALTER TABLE "users" ADD COLUMN "novelty" integer')
    gateway.token(gateway.user())

    assert gateway.read("usage")["total_usage"] == 0.05
