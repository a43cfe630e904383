"""Daily costs of an account by token, one token's alone, and who a caller is: names, never keys."""

from __future__ import annotations

from typing import Any

import pytest

from tests.core.test_daily_costs import START, item, log, query
from tests.support.application import Billing
from tests.support.gateways import KEY, Gateway
from tests.support.http_client import bearer

HOUR, DAY = 3600, 86400
GRANTS = "/v1/dashboard/billing/credit_grants?include=caller"


@pytest.fixture
def account(billing: Billing) -> dict[str, str]:
    """Headers of alice's account: `web` and `batch` used two models, `idle` none."""
    user = billing.user()
    for name in ("web", "batch", "idle"):
        billing.token("alice", "--name", name, "--usd", "100")
    for token, model, usd, at, tokens in [
        ("1", "gpt-4o", "15", 0, (1000, 30)),
        ("2", "gpt-4o", "10", HOUR, (200, 4)),
        ("2", "o4-mini", "2.5", DAY + HOUR + 7, (50, 6)),
    ]:
        counts = ["--prompt-tokens", str(tokens[0]), "--completion-tokens", str(tokens[1])]
        used = ["--model", model, "--usd", usd, "--at", str(START + at), *counts]
        billing.run("usage", "record", token, *used)
    return {"Authorization": user["access_token"], "New-Api-User": "1"}


def ask(billing: Billing, headers: dict[str, str], path: str, **env: str) -> Any:
    answer = billing.client(**env).get(path, headers=headers)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return answer.get_json()


def costs(cost: float, prompt: int, completion: int, requests: int) -> dict[str, Any]:
    return {
        "cost": cost,
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "requests": requests,
    }


def test_an_account_is_told_what_each_token_used_and_has(
    billing: Billing, account: dict[str, str]
) -> None:
    body = ask(billing, account, f"{query()}&group_by=api_key_id")

    has = {"unlimited": False}
    assert body["api_keys"] == [
        {"id": "1", "name": "web", **costs(1500.0, 1000, 30, 1)}
        | {"remaining": 85.0, "used": 15.0, "last_used_at": START, **has},
        {"id": "2", "name": "batch", **costs(1250.0, 250, 10, 2)}
        | {"remaining": 87.5, "used": 12.5, "last_used_at": START + DAY + HOUR, **has},
        {"id": "3", "name": "idle", **costs(0.0, 0, 0, 0)}
        | {"remaining": 100.0, "used": 0.0, "last_used_at": 0, **has},
    ]


def test_the_days_are_the_same_with_and_without_tokens(
    billing: Billing, account: dict[str, str]
) -> None:
    alone = ask(billing, account, query())

    body = ask(billing, account, f"{query()}&group_by[]=api_key_id")

    del body["api_keys"]
    assert body == alone
    assert body["daily_costs"][0]["line_items"] == [{"name": "gpt-4o", **costs(2500, 1200, 34, 2)}]


@pytest.mark.parametrize(
    ("ids", "period", "first"),
    [("1", 1500.0, ["gpt-4o"]), ("2", 1250.0, ["gpt-4o"]), ("3", 0, []), ("77", 0, [])],
)
def test_one_tokens_days_are_told_alone(
    billing: Billing, account: dict[str, str], ids: str, period: float, first: list[str]
) -> None:
    body = ask(billing, account, f"{query()}&group_by=api_key_id&api_key_ids={ids}")

    assert body["period_usage"] == period
    assert [each["name"] for each in body["daily_costs"][0]["line_items"]] == first
    # The list is of the whole account still.
    assert [each["cost"] for each in body["api_keys"]] == [1500.0, 1250.0, 0.0]


@pytest.mark.parametrize("env", [{}, {"BILLING_SCOPE": "account"}, {"BILLING_SCOPE": "spendable"}])
def test_a_key_is_told_of_no_other(
    billing: Billing, account: dict[str, str], env: dict[str, str]
) -> None:
    key = billing.token("alice", "--unlimited")["key"]

    body = ask(billing, bearer(key), f"{query()}&group_by=api_key_id&api_key_ids=1", **env)

    assert body == ask(billing, bearer(key), query(), **env)
    assert "api_keys" not in body


def test_a_deleted_token_is_listed_with_what_it_used_alone(
    billing: Billing, account: dict[str, str]
) -> None:
    billing.run("token", "revoke", "2")
    billing.run("token", "revoke", "3")

    body = ask(billing, account, f"{query()}&group_by=api_key_id")

    assert body["api_keys"][1:] == [{"id": "2", "name": "batch", **costs(1250.0, 250, 10, 2)}]


def test_an_unlimited_token_is_said_to_be_so(billing: Billing, account: dict[str, str]) -> None:
    billing.token("alice", "--unlimited", "--name", "free")

    body = ask(billing, account, f"{query()}&group_by=api_key_id", DISPLAY_UNIT="TOKENS")

    free = next(each for each in body["api_keys"] if each["name"] == "free")
    assert (free["remaining"], free["used"], free["unlimited"]) == (100_000_000, 0, True)
    assert body["api_keys"][0]["used"] == 7_500_000


def test_callers_are_told_who_they_are(billing: Billing, account: dict[str, str]) -> None:
    web = billing.token("alice", "--name", "fresh")["key"]
    free = billing.token("alice", "--unlimited", "--name", "free")["key"]

    told = [
        ask(billing, headers, GRANTS, **env)["caller"]
        for headers, env in [
            (account, {}),
            (bearer(web), {}),
            (bearer(web), {"BILLING_SCOPE": "account"}),
            (bearer(web), {"BILLING_SCOPE": "spendable"}),
            (bearer(free), {"UNLIMITED_TOKENS": "account"}),
        ]
    ]

    def caller(scope: str, user: str | None, token: str | None, last: int | None) -> dict[str, Any]:
        return {"scope": scope, "user": user, "token": token, "last_used_at": last}

    assert told == [
        caller("account", "alice", None, None),
        caller("token", None, "fresh", 0),
        caller("account", None, "fresh", 0),
        caller("spendable", None, "fresh", 0),
        caller("account", None, "free", 0),
    ]
    assert "caller" not in ask(billing, account, GRANTS.partition("?")[0])


def test_a_gateways_tokens_are_listed_with_their_last_use(gateway: Gateway) -> None:
    gateway.option("QuotaPerUnit", "1")
    user = gateway.user()
    token = gateway.token(user, created_time=START - DAY, accessed_time=START + 5)
    gateway.token(user, "c" * 48, name="new", created_time=START, accessed_time=START)
    log(gateway, 0, 100, token_id=token, prompt_tokens=7, completion_tokens=3)
    log(gateway, 1, 1, token_id=77, token_name="gone")
    secret = gateway.execute('SELECT "access_token" FROM "users"')[0][0].strip()
    headers = {"Authorization": secret, "New-Api-User": str(user)}
    client = gateway.client()

    answer = client.get(f"{query(0, 1)}&group_by=api_key_id", headers=headers)
    alone = client.get(f"{query(0, 1)}&api_key_ids={token}", headers=headers).get_json()
    caller = gateway.read("credit_grants?include=caller")["caller"]

    assert answer.status_code == 200
    found = answer.get_json()["api_keys"]
    knows_ids = "newapi" in gateway.flavour
    assert [(each["id"], each["name"]) for each in found] == [
        (str(token), "default"),
        ("77", None) if knows_ids else (None, "gone"),
        (str(token + 1), "new"),
    ]
    assert found[0] == {"id": str(token), "name": "default", **costs(10_000, 7, 3, 1)} | {
        "remaining": 750.0,
        "used": 250.0,
        "unlimited": False,
        "last_used_at": START + 5,
    }
    assert [each.get("last_used_at") for each in found[1:]] == [None, 0]
    assert alone["daily_costs"][0]["line_items"] == [
        {**item("gpt-4o", 10_000.0), "prompt_tokens": 7, "completion_tokens": 3}
    ]
    assert caller["last_used_at"] == START + 5
    assert KEY not in answer.text
