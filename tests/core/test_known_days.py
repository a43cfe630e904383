"""Days that nobody knows are left out and never 0: gateways' logs that were pruned, and refunds."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.core.test_daily_costs import DAY, START, item, query
from tests.core.test_daily_costs import log as daily_costs_log
from tests.support.application import Billing
from tests.support.gateways import KEY, Gateway
from tests.support.http_client import bearer


def log(gateway: Gateway, id: int, at: int, quota: int = 5000, **values: object) -> None:
    """A use by the first user's token `default`, `at` seconds after START."""
    daily_costs_log(gateway, at, quota, id=id, **values)


def ask(gateway: Gateway, path: str = query(0, 4), **env: str) -> Any:
    """The body; a busy machine may read the logs for the usage cache in several requests."""
    client = gateway.client(**env)
    for _ in range(20):
        answer = client.get(path, headers=bearer(KEY))
        if answer.status_code != 503:
            break
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return answer.json


def pruned(gateway: Gateway) -> None:
    """A token that is older than the logs, whose rows before the third day are gone."""
    gateway.user(id=1)
    gateway.token(1, id=2, created_time=START - DAY)
    log(gateway, 71, 2 * DAY + 3600)


def test_days_before_pruned_logs_are_left_out_and_said(gateway: Gateway) -> None:
    pruned(gateway)

    body = ask(gateway)

    assert body == {
        "object": "list",
        "total_usage": 0.05,
        "daily_costs": [
            {"timestamp": START + 2 * DAY, "line_items": [item("gpt-4o", 1.0)]},
            {"timestamp": START + 3 * DAY, "line_items": []},
        ],
        "period_usage": 1.0,
        "period_refunded": 0.0,
        "logs_since": START + 2 * DAY + 3600,
    }


def test_openais_costs_leave_those_days_out_too(newapi: Gateway) -> None:
    pruned(newapi)
    path = f"/v1/organization/costs?start_time={START}&end_time={START + 3 * DAY}"

    body = ask(newapi, path)

    assert [bucket["start_time"] for bucket in body["data"]] == [START + 2 * DAY]
    assert body["logs_since"] == START + 2 * DAY + 3600


def test_days_that_the_usage_cache_alone_knows_are_marked(newapi: Gateway, tmp_path: Path) -> None:
    newapi.user(id=1)
    newapi.token(1, id=2, created_time=START - DAY)
    for day in range(4):
        log(newapi, 70 + day, day * DAY + 3600)
    usage, costs = query(0, 4), f"costs?start_time={START}&end_time={START + 4 * DAY}"
    completions = f"usage/completions?start_time={START}&end_time={START + 4 * DAY}"
    paths = [usage, *(f"/v1/organization/{path}" for path in (costs, completions))]
    cache = {"USAGE_CACHE": str(tmp_path / "usage.db")}
    before = [ask(newapi, path, **cache) for path in paths]
    newapi.execute("DELETE FROM logs WHERE created_at < ?", START + 2 * DAY)

    pruned = [ask(newapi, path, **cache) for path in paths]
    later = ask(newapi, query(3, 4), **cache)

    mark = {"pruned_before": START + 2 * DAY + 3600}
    assert pruned == [{**body, **mark} for body in before]
    assert not any("pruned_before" in body for body in (*before, later))


@pytest.mark.parametrize("newapi", ["sqlite"], indirect=True)
def test_days_of_a_caller_who_is_newer_than_the_pruning_are_not_marked(
    newapi: Gateway, tmp_path: Path
) -> None:
    newapi.user(id=1)
    newapi.token(1, id=2, created_time=START + 3 * DAY)
    for day in range(4):
        log(newapi, 70 + day, day * DAY + 3600, user_id=9 if day < 3 else 1)
    cache = {"USAGE_CACHE": str(tmp_path / "usage.db")}
    before = ask(newapi, **cache)
    newapi.execute("DELETE FROM logs WHERE created_at < ?", START + 2 * DAY)

    assert ask(newapi, **cache) == before


@pytest.mark.parametrize("newapi", ["sqlite"], indirect=True)
@pytest.mark.parametrize("reason", ["the token is newer", "nobody used anything", "asked later"])
def test_days_without_usage_are_zero_where_that_is_known(newapi: Gateway, reason: str) -> None:
    is_newer = reason == "the token is newer"
    newapi.user(id=1, used_quota=0 if reason == "nobody used anything" else 400)
    newapi.token(1, id=2, created_time=START + (3 * DAY if is_newer else 0))
    log(newapi, 1, -5, type=4)
    log(newapi, 9, 2 * DAY)

    body = ask(newapi, query(2, 6) if reason == "asked later" else query(0, 4))

    assert len(body["daily_costs"]) == 4
    assert "logs_since" not in body


def test_all_days_are_unknown_when_the_logs_are_empty(newapi: Gateway) -> None:
    newapi.user(id=1)
    newapi.token(1, id=2)
    before = int(time.time())

    body = ask(newapi)

    assert body["daily_costs"] == []
    assert before <= body["logs_since"] <= time.time()


def test_logs_that_were_emptied_know_nothing_of_before(newapi: Gateway) -> None:
    newapi.user(id=1)
    newapi.token(1, id=2, created_time=START - DAY)
    newapi.insert("logs", user_id=1, type=2, created_at=START, quota=1)
    newapi.execute("DELETE FROM logs")
    # On SQLite its id is 1 again, so that no id is missing.
    row = {"user_id": 1, "token_id": 2, "type": 2, "model_name": "m", "quota": 5000}
    newapi.insert("logs", created_at=START + 2 * DAY, **row)

    assert ask(newapi)["logs_since"] == START + 2 * DAY


@pytest.mark.parametrize("newapi", ["sqlite"], indirect=True)
def test_a_day_that_is_not_known_from_its_beginning_is_listed_with_costs_alone(
    newapi: Gateway,
) -> None:
    newapi.user(id=1)
    newapi.token(1, id=2, created_time=START - DAY)
    log(newapi, 70, DAY + 30, user_id=9, token_id=9, token_name="other")
    log(newapi, 71, 3 * DAY)

    body = ask(newapi)

    assert [day["timestamp"] for day in body["daily_costs"]] == [START + 2 * DAY, START + 3 * DAY]
    assert body["logs_since"] == START + DAY + 30


def test_a_refund_counts_when_its_use_was_deleted(newapi: Gateway) -> None:
    newapi.user(id=1)
    newapi.token(1, id=2, created_time=START - DAY)
    log(newapi, 500, 0, quota=700, type=6)

    body = ask(newapi)

    assert (body["period_usage"], body["period_refunded"]) == (-0.14, 0.14)


def test_the_gateways_own_hours_tell_names_apart(newapi: Gateway) -> None:
    pruned(newapi)
    for number, (model, quota) in enumerate([("gpt-4o", 1500), ("GPT-4o", 250), (None, 10)], 1):
        values = {"model_name": model, "created_at": START, "quota": quota, "count": 3 + number}
        newapi.insert("quota_data", id=number, user_id=1, **values)

    body = ask(newapi, BILLING_SCOPE="account")

    assert body["daily_costs"][0]["line_items"] == [
        item("gpt-4o", 0.3, 4, tokens=None),
        item("GPT-4o", 0.05, 5, tokens=None),
        item("", 0.002, 6, tokens=None),
    ]


def test_the_gateways_own_hours_reach_further_back_than_its_logs(newapi: Gateway) -> None:
    pruned(newapi)
    newapi.execute('UPDATE "logs" SET created_at = created_at + 100')
    log(newapi, 72, 2 * DAY + 7200, quota=100)
    hours = [(DAY, "o4-mini", 900), (2 * DAY, "gpt-4o", 700), (2 * DAY + 3600, "gpt-4o", 5500)]
    for number, (at, model, quota) in enumerate(hours, 1):
        values = {"user_id": 1, "username": "user1", "model_name": model}
        newapi.insert("quota_data", id=number, created_at=START + at, quota=quota, **values)

    account = ask(newapi, BILLING_SCOPE="account")
    token = ask(newapi)

    assert account["logs_since"] == START + DAY
    assert account["daily_costs"] == [
        {"timestamp": START + DAY, "line_items": [item("o4-mini", 0.18, 0, tokens=None)]},
        # Hours up to the one in which the logs begin, 700 + 5500, and the logs after it, 100.
        {"timestamp": START + 2 * DAY, "line_items": [item("gpt-4o", 1.26, tokens=None)]},
        {"timestamp": START + 3 * DAY, "line_items": []},
    ]
    assert token["logs_since"] == START + 2 * DAY + 3700


def test_what_was_refunded_in_the_period_is_said(newapi: Gateway) -> None:
    newapi.user(id=1, quota=35_000_000, used_quota=20_000_000)
    newapi.token(1, id=2)
    log(newapi, 1, 0, quota=20_000_000)
    log(newapi, 2, DAY, quota=5_000_000, type=6)
    log(newapi, 3, 9 * DAY, quota=1, type=6)

    body = ask(newapi, query(0, 2), BILLING_SCOPE="account")

    assert body == {
        "object": "list",
        "total_usage": 4000.0,
        "daily_costs": [
            {"timestamp": START, "line_items": [item("gpt-4o", 4000.0)]},
            {"timestamp": START + DAY, "line_items": [item("gpt-4o", -1000.0, 0)]},
        ],
        "period_usage": 3000.0,
        "period_refunded": 1000.0,
    }


def test_our_own_refunds_are_said_too(billing: Billing) -> None:
    billing.user()
    used, other = billing.token("alice"), billing.token("alice")
    for token, at, more in ((used, 0, []), (used, DAY, ["--refund"]), (other, 0, ["--refund"])):
        record = ("usage", "record", str(token["id"]), "--model", "m", "--quota", "5000")
        billing.run(*record, "--at", str(START + at), *more)

    body = billing.client().get(query(0, 2), headers=bearer(used["key"])).get_json()

    assert (body["period_usage"], body["period_refunded"]) == (0.0, 1.0)


@pytest.mark.parametrize("gateway", [("oneapi", "sqlite")], indirect=True)
def test_one_api_does_not_count_what_an_unlimited_token_used(gateway: Gateway) -> None:
    gateway.user(id=1)
    gateway.token(1, id=2, unlimited_quota=True, used_quota=0)
    log(gateway, 1, 0, quota=2000)

    days, plain = ask(gateway), ask(gateway, "/v1/dashboard/billing/usage")

    assert (days["total_usage"], days["period_usage"]) == (0.0, 0.4)
    assert days["total_usage_counted"] is False
    assert plain == {"object": "list", "total_usage": 0.0}


@pytest.mark.parametrize("newapi", ["sqlite"], indirect=True)
def test_check_warns_of_pruned_logs(newapi: Gateway) -> None:
    pruned(newapi)

    result = newapi.app().test_cli_runner().invoke(args=["check"])

    assert "logs begin at 2026-03-30 01:00 UTC, older rows were deleted" in result.output
