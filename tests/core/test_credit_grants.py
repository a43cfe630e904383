"""`credit_grants`: where the credit came from; its totals agree with the other two routes."""

from __future__ import annotations

import time
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.support.application import Billing
from tests.support.gateways import KEY, Gateway, not_on_hubs
from tests.support.http_client import bearer

GRANTS = "/dashboard/billing/credit_grants"
NOW = int(time.time())


def grants(client: FlaskClient, headers: dict[str, str]) -> tuple[list[Any], tuple[float, ...]]:
    """The grants' (id, amount, used), and the totals, which agree with everything else."""
    body = client.get(GRANTS, headers=headers).get_json()
    subscription = client.get("/dashboard/billing/subscription", headers=headers).get_json()
    usage = client.get("/dashboard/billing/usage", headers=headers).get_json()
    totals = (body["total_granted"], body["total_used"], body["total_available"])
    data = [(g["id"], g["grant_amount"], g["used_amount"]) for g in body["grants"]["data"]]
    assert totals[0] == subscription["hard_limit_usd"]
    assert totals[1] == usage["total_usage"] / 100
    assert totals[0] - totals[1] == totals[2]
    assert sum(amount for _, amount, _ in data) == totals[0]
    assert sum(used for _, _, used in data) == totals[1]
    return data, totals


def test_a_token_has_one_grant(gateway: Gateway) -> None:
    token_id = gateway.token(gateway.user(), expired_time=4102444800)

    body = gateway.client().get(GRANTS, headers=bearer(KEY)).json

    assert body == {
        "object": "credit_summary",
        "total_granted": 0.002,
        "total_used": 0.0005,
        "total_available": 0.0015,
        "grants": {
            "object": "list",
            "data": [
                {
                    "object": "credit_grant",
                    "id": f"token-{token_id}",
                    "grant_amount": 0.002,
                    "used_amount": 0.0005,
                    "effective_at": 0,
                    "expires_at": 4102444800,
                }
            ],
        },
        "token_available": 0.0015,
        "account_available": 0.0012,
    }


@not_on_hubs
def test_an_unlimited_token_is_granted_the_unlimited_figure(gateway: Gateway) -> None:
    token_id = gateway.token(gateway.user(), unlimited_quota=True, used_quota=500000)

    data, totals = grants(gateway.client(), bearer(KEY))

    assert data == [(f"token-{token_id}", 100000000, 1)]
    assert totals == (100000000, 1, 99999999)


def test_an_account_of_ours_lists_the_operators_credits(billing: Billing) -> None:
    user = billing.user(quota=1000)
    billing.run("user", "credit", "alice", "--quota", "500")
    token = billing.token("alice", "--quota", "9000")
    billing.run("usage", "record", str(token["id"]), "--model", "m", "--quota", "1200")
    client = billing.client(DISPLAY_UNIT="TOKENS")

    data, totals = grants(client, bearer(user["access_token"], user["id"]))

    assert data == [("credit-1", 1000, 1000), ("credit-2", 500, 200)]
    assert totals == (1500, 1200, 300)


def test_what_was_overspent_is_still_in_the_sums(billing: Billing) -> None:
    user = billing.user(quota=1000)
    token = billing.token("alice", "--unlimited")
    billing.run("usage", "record", str(token["id"]), "--model", "m", "--quota", "1200")
    client = billing.client(DISPLAY_UNIT="TOKENS")

    data, totals = grants(client, bearer(user["access_token"], user["id"]))

    assert data == [("account-1", 0, 200), ("credit-1", 1000, 1000)]
    assert totals == (1000, 1200, -200)


def test_more_credits_than_are_listed_are_summed_up(billing: Billing) -> None:
    user = billing.user()
    for number in range(120):
        billing.execute(
            "INSERT INTO logs (user_id, created_at, type, content, username, token_name,"
            " model_name, quota, prompt_tokens, completion_tokens, token_id)"
            " VALUES (?, ?, 1, '', '', '', '', 10, 0, 0, 0)",
            user["id"],
            number,
        )
    billing.execute("UPDATE users SET quota = 1200")
    client = billing.client(DISPLAY_UNIT="TOKENS")

    data, totals = grants(client, bearer(user["access_token"], user["id"]))

    assert (data[0], len(data)) == (("account-1", 200, 0), 101)
    assert totals == (1200, 0, 1200)


def test_a_gateways_account_is_told_as_far_as_its_tables_say(newapi: Gateway) -> None:
    newapi.token(newapi.user(id=1, quota=2_000_000, used_quota=700_000))
    newapi.insert("redemptions", id=5, key="a", used_user_id=1, quota=600_000, redeemed_time=200)
    newapi.insert("redemptions", id=6, key="b", used_user_id=2, quota=1, redeemed_time=200)
    for id, status in ((7, "success"), (8, "pending")):
        newapi.insert(
            "top_ups", id=id, user_id=1, amount=1, status=status, create_time=100, trade_no=f"t{id}"
        )
    newapi.insert(
        "user_subscriptions",
        id=9,
        user_id=1,
        plan_id=1,
        amount_total=300_000,
        amount_used=50_000,
        status="active",
        start_time=300,
        end_time=NOW + 1000,
        next_reset_time=0,
    )
    client = newapi.client(BILLING_SCOPE="account", DISPLAY_UNIT="TOKENS")

    data, totals = grants(client, bearer(KEY))

    assert data == [
        ("account-1", 1_550_000, 0),
        ("topup-7", 500_000, 500_000),
        ("redemption-5", 600_000, 150_000),
        ("subscription-9", 300_000, 50_000),
    ]
    assert totals == (2_950_000, 700_000, 2_250_000)


def test_an_account_without_any_table_has_one_grant(gateway: Gateway) -> None:
    gateway.token(gateway.user(id=1))
    client = gateway.client(BILLING_SCOPE="account", DISPLAY_UNIT="TOKENS")

    data, totals = grants(client, bearer(KEY))

    assert data == [("account-1", 1000, 400)]
    assert totals == (1000, 400, 600)


def test_one_apis_poller_reads_what_is_left(gateway: Gateway) -> None:
    gateway.token(gateway.user(), remain_quota=1_000_000)
    headers = {"Authorization": f"Bearer sk-{KEY}", "User-Agent": "Go-http-client/1.1"}

    answer = gateway.client().get(GRANTS, headers=headers)

    assert (answer.status_code, answer.get_json()["total_available"]) == (200, 2)


def test_an_empty_account_has_no_grants(billing: Billing) -> None:
    user = billing.user()

    data, totals = grants(billing.client(), bearer(user["access_token"], user["id"]))

    assert (data, totals) == ([], (0, 0, 0))


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_other_methods_are_refused(sqlite_billing: Billing, method: str) -> None:
    assert sqlite_billing.client().open(GRANTS, method=method).status_code == 405


def test_nulls_in_a_gateways_tables_count_as_nothing(newapi: Gateway) -> None:
    newapi.token(newapi.user(id=1))
    for id in (5, 6):
        newapi.insert("redemptions", id=id, key=f"{id}", used_user_id=1, quota=None)
    newapi.insert("top_ups", id=7, user_id=1, amount=1, status="success", trade_no="t")
    client = newapi.client(BILLING_SCOPE="account", DISPLAY_UNIT="TOKENS")

    _, totals = grants(client, bearer(KEY))

    assert totals == (1000, 400, 600)


def test_redeemed_codes_are_remembered_for_a_minute(newapi: Gateway) -> None:
    clock = [0.0]
    user_id = newapi.user(quota=1500, used_quota=0)
    newapi.token(user_id)
    newapi.insert("redemptions", id=1, key="1", quota=1000, used_user_id=user_id, status=3)
    client = newapi.client(lambda: clock[0], DISPLAY_UNIT="TOKENS", BILLING_SCOPE="account")
    rest = f"account-{user_id}"
    known = [(rest, 500, 0), ("redemption-1", 1000, 0)]
    assert grants(client, bearer(KEY))[0] == known

    newapi.insert("redemptions", id=2, key="2", quota=500, used_user_id=user_id, status=3)
    newapi.execute("UPDATE users SET quota = 2500")
    clock[0] = 59.0
    remembered = grants(client, bearer(KEY))
    clock[0] = 61.0
    read_again = grants(client, bearer(KEY))

    # What is not known yet is in the rest: the totals are those of now.
    assert remembered[0] == [(rest, 1500, 0), ("redemption-1", 1000, 0)]
    assert read_again[0] == [(rest, 1000, 0), ("redemption-1", 1000, 0), ("redemption-2", 500, 0)]
    assert remembered[1] == read_again[1] == (2500, 0, 2500)
