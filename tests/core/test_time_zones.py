"""`timezone=`: days of other zones, on each kind of database, from logs and from our hours."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.core.days import time_zone
from tests.support.application import Billing
from tests.support.gateways import KEY, Gateway
from tests.support.http_client import bearer

HOUR = 3600
USAGE = "/v1/dashboard/billing/usage"

#: Zone, first and last day, the unix seconds when the days begin, and when the last ends.
DAYS = [
    # 2026-03-28 23:00 UTC; 23 hours.
    ("Europe/Berlin", "2026-03-29", "2026-03-31", [1774738800, 1774821600, 1774908000]),
    # 2026-10-24 22:00 UTC; 25 hours.
    ("Europe/Berlin", "2026-10-25", "2026-10-27", [1792879200, 1792969200, 1793055600]),
    # 2026-03-08 05:00 UTC; 23 hours.
    ("America/New_York", "2026-03-08", "2026-03-10", [1772946000, 1773028800, 1773115200]),
    # 2026-11-01 04:00 UTC; 25 hours.
    ("America/New_York", "2026-11-01", "2026-11-03", [1793505600, 1793595600, 1793682000]),
    # 2026-10-31 18:30 UTC.
    ("Asia/Kolkata", "2026-11-01", "2026-11-03", [1793471400, 1793557800, 1793644200]),
    # 2026-10-31 16:00 UTC.
    ("Asia/Shanghai", "2026-11-01", "2026-11-03", [1793462400, 1793548800, 1793635200]),
]
days_of_zones = pytest.mark.parametrize(("zone", "first", "last", "bounds"), DAYS)


def ask(client: FlaskClient, zone: str, first: str, last: str, key: str = KEY) -> Any:
    query = f"include=daily_costs&start_date={first}&end_date={last}&timezone={zone}"
    answer = client.get(f"{USAGE}?{query}", headers=bearer(key, **{"Accept-Language": "en"}))
    return answer.get_json()


def uses(bounds: list[int]) -> list[tuple[int, int]]:
    """Moments and quotas: the last and the first second beside each of three midnights."""
    first, second, end = bounds
    return [
        (first - 1, 1),
        (first, 20),
        (second - 1, 300),
        (second, 4000),
        (end - 1, 50_000),
        (end, 600_000),
    ]


def expected(bounds: list[int]) -> list[dict[str, Any]]:
    return [
        {
            "timestamp": day,
            "line_items": [
                {
                    "name": "m",
                    "cost": float(100 * quota),
                    "prompt_tokens": 2 * quota,
                    "completion_tokens": 3 * quota,
                    "requests": 2,
                }
            ],
        }
        for day, quota in ((bounds[0], 320), (bounds[1], 54_000))
    ]


@days_of_zones
def test_logs_are_split_at_the_zones_midnights(
    newapi: Gateway, zone: str, first: str, last: str, bounds: list[int]
) -> None:
    newapi.user(id=1)
    newapi.token(1, id=2)
    values = {"user_id": 1, "token_id": 2, "type": 2, "model_name": "m"}
    for number, (at, quota) in enumerate(uses(bounds), 1):
        tokens = {"prompt_tokens": 2 * quota, "completion_tokens": 3 * quota}
        newapi.insert("logs", id=number, created_at=at, quota=quota, **tokens, **values)

    body = ask(newapi.client(DISPLAY_UNIT="TOKENS"), zone, first, last)

    assert body["daily_costs"] == expected(bounds)
    assert body["period_usage"] == 5_432_000.0


@days_of_zones
def test_our_hours_and_logs_are_split_at_the_zones_midnights(
    billing: Billing, zone: str, first: str, last: str, bounds: list[int]
) -> None:
    billing.user()
    key = billing.token("alice")["key"]
    for at, quota in uses(bounds):
        tokens = ["--prompt-tokens", str(2 * quota), "--completion-tokens", str(3 * quota)]
        used = ["--model", "m", "--quota", str(quota), "--at", str(at), *tokens]
        billing.run("usage", "record", "1", *used)

    body = ask(billing.client(DISPLAY_UNIT="TOKENS"), zone, first, last, key)

    assert body["daily_costs"] == expected(bounds)
    assert body["period_usage"] == 5_432_000.0


def test_half_hours_are_refused_where_our_logs_are_gone(billing: Billing) -> None:
    billing.user()
    key = billing.token("alice")["key"]
    for at in (1793471400, 1793557800):
        billing.run("usage", "record", "1", "--model", "m", "--quota", "5", "--at", str(at))
    billing.execute("DELETE FROM logs WHERE type = 2 AND created_at < 1793500000")

    refused = ask(billing.client(), "Asia/Kolkata", "2026-11-01", "2026-11-03", key)
    later = ask(billing.client(), "Asia/Kolkata", "2026-11-02", "2026-11-03", key)
    whole = ask(billing.client(), "Asia/Shanghai", "2026-11-01", "2026-11-03", key)

    assert refused == {
        "error": {
            "message": "timezone: not a whole number of hours off UTC, and of a part of these days "
            "only hours are known",
            "type": "invalid_request_error",
            "param": "timezone",
        }
    }
    assert (later["period_usage"], whole["period_usage"]) == (0.001, 0.002)


def test_half_hours_are_refused_where_a_gateway_has_only_hours(newapi: Gateway) -> None:
    newapi.user(id=1)
    newapi.token(1, id=2)
    row = {"user_id": 1, "token_id": 2, "type": 2, "model_name": "m", "quota": 5}
    newapi.insert("logs", id=7, created_at=1793557800, **row)
    hours = {"model_name": "m", "user_id": 1, "username": "user1", "quota": 100}
    newapi.insert("quota_data", id=1, created_at=1793469600, **hours)
    newapi.insert("quota_data", id=2, created_at=1793556000, **{**hours, "quota": 5})
    client = newapi.client(BILLING_SCOPE="account")

    refused = ask(client, "Asia/Kolkata", "2026-11-01", "2026-11-03")
    later = ask(client, "Asia/Kolkata", "2026-11-02", "2026-11-03")
    token = ask(newapi.client(), "Asia/Kolkata", "2026-11-01", "2026-11-03")
    whole = ask(client, "Asia/Shanghai", "2026-11-01", "2026-11-03")

    assert refused["error"]["param"] == "timezone"
    assert later["period_usage"] == 0.001
    assert token["logs_since"] == 1793557800
    assert whole["period_usage"] == 0.021


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    zone=st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe"]),
    moments=st.lists(st.integers(1774600000, 1775300000), max_size=12),
)
@pytest.mark.parametrize("newapi", ["sqlite"], indirect=True)
def test_any_use_counts_on_the_day_of_its_date(
    newapi: Gateway, zone: str, moments: list[int]
) -> None:
    for table in ("users", "tokens", "logs"):
        newapi.execute(f"DELETE FROM {table}")
    newapi.user(id=1)
    newapi.token(1, id=2)
    counts: dict[str, int] = {}
    for number, at in enumerate(moments, 1):
        row = {"user_id": 1, "token_id": 2, "type": 2, "model_name": "m", "quota": 1}
        newapi.insert("logs", id=number, created_at=at, **row)
        day = date_of(at, zone)
        if "2026-03-28" <= day < "2026-04-07":
            counts[day] = counts.get(day, 0) + 1

    body = ask(newapi.client(), zone, "2026-03-28", "2026-04-07")
    newapi.close()

    assert {
        date_of(day["timestamp"], zone): day["line_items"][0]["requests"]
        for day in body["daily_costs"]
        if day["line_items"]
    } == counts


def date_of(second: int, zone: str) -> str:
    return str(datetime.datetime.fromtimestamp(second, time_zone(zone)).date())


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "localtime", "../x", "posix/UTC", "a" * 5000])
@pytest.mark.parametrize(
    "path",
    [
        f"{USAGE}?include=daily_costs&start_date=2026-11-01&end_date=2026-11-03",
        "/v1/organization/costs?start_time=1793491200",
        "/v1/organization/usage/completions?start_time=1793491200",
    ],
)
def test_a_name_that_is_no_zone_is_a_400(sqlite_billing: Billing, path: str, name: str) -> None:
    sqlite_billing.user()
    headers = bearer(sqlite_billing.token()["key"], **{"Accept-Language": "en"})

    answer = sqlite_billing.client().get(f"{path}&timezone={name}", headers=headers)

    assert answer.status_code == 400
    assert answer.get_json() == {
        "error": {
            "message": f"timezone: '{name[:64]}' is not the IANA name of a time zone, like "
            "Asia/Shanghai",
            "type": "invalid_request_error",
            "param": "timezone",
        }
    }


def test_without_daily_costs_no_zone_is_looked_at(sqlite_billing: Billing) -> None:
    sqlite_billing.user()
    headers = bearer(sqlite_billing.token()["key"])

    answer = sqlite_billing.client().get(f"{USAGE}?timezone=Mars/Olympus", headers=headers)

    assert answer.get_json() == {"object": "list", "total_usage": 0.0}
