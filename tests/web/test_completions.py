"""`/v1/organization/usage/completions`, tokens told apart, and filters, as OpenAI has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from openai import OpenAI

from tests.core.test_daily_costs import log
from tests.support.application import Billing
from tests.support.gateways import KEY, Gateway
from tests.support.gunicorn import Gunicorn
from tests.support.http_client import bearer

HOUR, DAY = 3600, 86400
#: 2026-11-01.
START = 1793491200
COSTS = "/v1/organization/costs"
COMPLETIONS = "/v1/organization/usage/completions"


@pytest.fixture
def account(sqlite_billing: Billing) -> dict[str, str]:
    """Headers of alice's account: her tokens `web` and `batch` used two models."""
    user = sqlite_billing.user()
    for name in ("web", "batch"):
        sqlite_billing.token("alice", "--name", name, "--usd", "100")
    for token, model, usd, at, tokens in [
        ("1", "gpt-4o", "15", 0, (1000, 30)),
        ("2", "gpt-4o", "10", HOUR, (200, 4)),
        ("2", "o4-mini", "2.5", HOUR, (50, 6)),
        ("1", "gpt-4o", "1", 3 * DAY, (7, 8)),
    ]:
        counts = ["--prompt-tokens", str(tokens[0]), "--completion-tokens", str(tokens[1])]
        used = ["--model", model, "--usd", usd, "--at", str(START + at), *counts]
        sqlite_billing.run("usage", "record", token, *used)
    return {"Authorization": user["access_token"], "New-Api-User": "1"}


def ask(billing: Billing, headers: dict[str, str], path: str, query: str = "") -> Any:
    answer = billing.client().get(f"{path}?start_time={START}{query}", headers=headers)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return answer.get_json()


def result(prompt: int, completion: int, requests: int, **more: str | None) -> dict[str, Any]:
    return {
        "object": "organization.usage.completions.result",
        "input_tokens": prompt,
        "output_tokens": completion,
        "num_model_requests": requests,
        "model": None,
        "project_id": None,
        "user_id": None,
        "batch": None,
        "service_tier": None,
        **more,
    }


def test_tokens_and_requests_of_days_are_summed(
    sqlite_billing: Billing, account: dict[str, str]
) -> None:
    body = ask(sqlite_billing, account, COMPLETIONS, "&limit=2")

    assert body == {
        "object": "page",
        "data": [
            {
                "object": "bucket",
                "start_time": START,
                "end_time": START + DAY,
                "results": [result(1250, 40, 3)],
            },
            {
                "object": "bucket",
                "start_time": START + DAY,
                "end_time": START + 2 * DAY,
                "results": [],
            },
        ],
        "has_more": True,
        "next_page": str(START + 2 * DAY),
    }


def test_hours_are_buckets_too(sqlite_billing: Billing, account: dict[str, str]) -> None:
    body = ask(sqlite_billing, account, COMPLETIONS, "&bucket_width=1h&timezone=Asia/Kolkata")

    assert [(b["start_time"], b["end_time"], b["results"]) for b in body["data"][:3]] == [
        (START, START + HOUR, [result(1000, 30, 1)]),
        (START + HOUR, START + 2 * HOUR, [result(250, 10, 2)]),
        (START + 2 * HOUR, START + 3 * HOUR, []),
    ]
    assert (len(body["data"]), body["next_page"]) == (24, str(START + DAY))


def test_models_and_tokens_are_told_apart(sqlite_billing: Billing, account: dict[str, str]) -> None:
    query = "&limit=1&group_by=model&group_by=api_key_id"

    body = ask(sqlite_billing, account, COMPLETIONS, query)

    assert body["data"][0]["results"] == [
        result(1000, 30, 1, model="gpt-4o", api_key_id="1", api_key_name="web"),
        result(200, 4, 1, model="gpt-4o", api_key_id="2", api_key_name="batch"),
        result(50, 6, 1, model="o4-mini", api_key_id="2", api_key_name="batch"),
    ]


def test_costs_tell_an_accounts_tokens_apart(
    sqlite_billing: Billing, account: dict[str, str]
) -> None:
    body = ask(sqlite_billing, account, COSTS, "&limit=1&group_by[]=api_key_id")

    assert body["data"][0]["results"] == [
        {
            "object": "organization.costs.result",
            "amount": {"value": value, "currency": "usd"},
            "line_item": None,
            "project_id": None,
            "api_key_id": id,
            "api_key_name": name,
        }
        for value, id, name in ((15.0, "1", "web"), (12.5, "2", "batch"))
    ]


@pytest.mark.parametrize(
    ("query", "requests"),
    [
        ("&api_key_ids=1", 1),
        ("&api_key_ids=1&api_key_ids[]=2", 3),
        ("&api_key_ids=3", 0),
        ("&api_key_ids=web", 0),
        ("&user_ids=1", 3),
        ("&user_ids=1&user_ids=2", 3),
        ("&user_ids=2", 0),
        ("&project_ids=p", 0),
        ("&models=o4-mini", 1),
        ("&models=o4-mini&api_key_ids=1", 0),
        ("&models=gpt", 0),
    ],
)
def test_filters_find_only_the_callers_own(
    sqlite_billing: Billing, account: dict[str, str], query: str, requests: int
) -> None:
    body = ask(sqlite_billing, account, COMPLETIONS, f"&limit=1{query}")

    (bucket,) = body["data"]
    assert sum(found["num_model_requests"] for found in bucket["results"]) == requests


def test_a_token_finds_itself_and_no_other(
    sqlite_billing: Billing, account: dict[str, str]
) -> None:
    key = sqlite_billing.token("alice", "--name", "third")["key"]
    used = ["--model", "m", "--quota", "1", "--at", str(START), "--prompt-tokens", "9"]
    sqlite_billing.run("usage", "record", "3", *used)
    query = "&limit=1&group_by=api_key_id&api_key_ids="

    own = ask(sqlite_billing, bearer(key), COMPLETIONS, f"{query}3")
    other = ask(sqlite_billing, bearer(key), COMPLETIONS, f"{query}1")

    assert own["data"][0]["results"] == [result(9, 0, 1, api_key_id="3", api_key_name="third")]
    assert other["data"][0]["results"] == []


@pytest.mark.parametrize("width", ["1d", "1h"])
@pytest.mark.parametrize("limit", [1, 5, 31])
def test_pages_neither_lose_nor_repeat_a_bucket(
    sqlite_billing: Billing, account: dict[str, str], width: str, limit: int
) -> None:
    query = f"&end_time={START + 4 * DAY}&limit={limit}&bucket_width={width}"
    query += "&timezone=America/New_York"
    buckets, page = [], ""
    while page is not None:
        body = ask(sqlite_billing, account, COMPLETIONS, query + (page and f"&page={page}"))
        buckets += body["data"]
        page = body["next_page"]

    assert [one["end_time"] for one in buckets[:-1]] == [two["start_time"] for two in buckets[1:]]
    assert sum(r["num_model_requests"] for b in buckets for r in b["results"]) == 4
    # The first day begins before START, and that of the end ends after it; the first has 25 hours.
    spans = {"1d": (START - 20 * HOUR, START + 4 * DAY + 5 * HOUR), "1h": (START, START + 4 * DAY)}
    assert (buckets[0]["start_time"], buckets[-1]["end_time"]) == spans[width]


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("&bucket_width=1m", "bucket_width"),
        ("&bucket_width=1d&limit=32", "limit"),
        ("&bucket_width=1h&limit=169", "limit"),
        ("&group_by=line_item", "group_by"),
        ("&group_by=project_id", "group_by"),
        ("&batch=true", "batch"),
        (f"&page={START + 1}", "page"),
        (f"&page={START + HOUR}", "page"),
        (f"&page={START + HOUR}&timezone=Asia/Shanghai", "page"),
    ],
)
def test_a_parameter_that_cannot_be_read_is_named(
    sqlite_billing: Billing, account: dict[str, str], query: str, param: str
) -> None:
    answer = sqlite_billing.client().get(
        f"{COMPLETIONS}?start_time={START}{query}", headers=account
    )

    assert answer.status_code == 400
    assert answer.get_json()["error"]["param"] == param


def account_of(gateway: Gateway) -> dict[str, str]:
    """Headers of the access token of user 1."""
    ((access_token,),) = gateway.execute("SELECT access_token FROM users WHERE id = 1")
    return {"Authorization": str(access_token), "New-Api-User": "1"}


def test_a_key_is_told_nothing_of_other_tokens(gateway: Gateway) -> None:
    gateway.user(id=1)
    gateway.token(1, id=2, name="own")
    gateway.token(1, "2" * 48, id=3, name="another")
    day = START - 1774656000
    log(gateway, day, 5000, token_id=2, token_name="own", prompt_tokens=3, completion_tokens=4)
    log(gateway, day, 700, token_id=3, token_name="another", prompt_tokens=5, completion_tokens=6)
    path = f"{COMPLETIONS}?start_time={START}&limit=1&group_by=api_key_id"
    client = gateway.client(BILLING_SCOPE="account")

    every = client.get(path, headers=bearer(KEY)).get_json()
    others = client.get(f"{path}&api_key_ids=3", headers=bearer(KEY)).get_json()

    assert every["data"][0]["results"] == [
        result(3, 4, 1, api_key_id="2", api_key_name="own"),
        result(5, 6, 1, api_key_id=None, api_key_name=None),
    ]
    assert others["data"][0]["results"] == []


def test_every_gateways_tokens_are_told_apart(gateway: Gateway) -> None:
    gateway.user(id=1)
    gateway.token(1, id=2, name="chat")
    gateway.token(1, "2" * 48, id=3, name="Chat")
    gateway.token(9, "3" * 48, id=4, name="chat ")
    day = START - 1774656000
    log(gateway, day, 5000, token_id=2, token_name="chat", prompt_tokens=3, completion_tokens=4)
    log(gateway, day, 700, token_id=3, token_name="Chat", prompt_tokens=5)
    log(gateway, day, 80, token_id=0, token_name="chat ", prompt_tokens=None)
    path = f"{COMPLETIONS}?start_time={START}&limit=1&group_by=api_key_id"
    client = gateway.client()

    every = client.get(path, headers=account_of(gateway)).get_json()
    one = client.get(f"{path}&api_key_ids=3", headers=account_of(gateway)).get_json()

    nobodys = {"api_key_id": None, "api_key_name": None if "newapi" in gateway.flavour else "chat "}
    chat = result(5, 0, 1, api_key_id="3", api_key_name="Chat")
    assert every["data"][0]["results"] == [
        result(3, 4, 1, api_key_id="2", api_key_name="chat"),
        chat,
        result(0, 0, 1, **nobodys),
    ]
    assert one["data"][0]["results"] == [chat]


@pytest.mark.parametrize("gateway", [("oneapi", "sqlite")], indirect=True)
def test_a_name_of_two_tokens_is_no_ones_id(gateway: Gateway) -> None:
    gateway.user(id=1)
    gateway.token(1, id=2, name="same")
    gateway.token(1, "2" * 48, id=3, name="same")
    log(gateway, START - 1774656000, 5000, token_name="same")
    path = f"{COMPLETIONS}?start_time={START}&limit=1&group_by=api_key_id"

    body = gateway.client().get(path, headers=account_of(gateway)).get_json()

    (found,) = body["data"][0]["results"]
    assert (found["api_key_id"], found["api_key_name"]) == (None, "same")


def test_days_of_new_apis_own_hours_have_costs_and_no_tokens(newapi: Gateway) -> None:
    newapi.user(id=1)
    newapi.token(1, id=2)
    log(newapi, START + DAY - 1774656000, 5000, id=9, prompt_tokens=3)
    values = {"model_name": "m", "created_at": START, "quota": 500, "count": 2}
    newapi.insert("quota_data", id=1, user_id=1, username="user1", **values)
    query = f"?start_time={START}&end_time={START + 2 * DAY}"
    client = newapi.client(BILLING_SCOPE="account")

    costs = client.get(COSTS + query, headers=bearer(KEY)).get_json()
    used = client.get(COMPLETIONS + query, headers=bearer(KEY)).get_json()

    assert [b["results"][0]["amount"]["value"] for b in costs["data"]] == [0.001, 0.01]
    assert [b["results"] for b in used["data"]] == [[result(3, 0, 1)]]
    assert used["logs_since"] == START + DAY


def test_openais_own_sdk_reads_completions(
    sqlite_billing: Billing, account: dict[str, str], gunicorn: Callable[..., Gunicorn]
) -> None:
    server = gunicorn(sqlite_billing.env)
    headers = {"New-Api-User": "1"}
    access_token = account["Authorization"]
    with OpenAI(
        admin_api_key=access_token, base_url=f"{server.url}/v1", default_headers=headers
    ) as client:
        answer = client.admin.organization.usage.completions(
            start_time=START,
            end_time=START + DAY,
            bucket_width="1h",
            group_by=["model", "api_key_id"],
            api_key_ids=["2"],
        )

    found = {
        (bucket.start_time, each.model, each.api_key_id, each.input_tokens, each.output_tokens)
        for bucket in answer.data
        for each in bucket.results
        if each.object == "organization.usage.completions.result"
    }
    assert found == {
        (START + HOUR, "gpt-4o", "2", 200, 4),
        (START + HOUR, "o4-mini", "2", 50, 6),
    }
