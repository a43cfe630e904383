"""What was used by day and model: from our hours and from every gateway's logs."""

from __future__ import annotations

import datetime
import itertools
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.application import Billing
from tests.support.gateways import KEY, Gateway
from tests.support.http_client import bearer
from tests.support.mariadb import MariaDB, database_name

DAY = 86400
#: 2026-03-28, the day before Europe's clocks change, and three days before a month's end.
START = 1774656000
USAGE = "/v1/dashboard/billing/usage"
ids = itertools.count(1)


def date(day: int) -> str:
    return f"{datetime.datetime.fromtimestamp(START + day * DAY, datetime.UTC):%Y-%m-%d}"


def query(first: int = 0, last: int = 5) -> str:
    return f"{USAGE}?include=daily_costs&start_date={date(first)}&end_date={date(last)}"


def item(name: str, cost: float, requests: int = 1, tokens: int | None = 0) -> dict[str, Any]:
    """A line item; `tokens` is None where nobody knows how many of either kind there were."""
    return {
        "name": name,
        "cost": cost,
        "prompt_tokens": tokens,
        "completion_tokens": tokens,
        "requests": requests,
    }


def daily(answer: Any) -> dict[int, list[tuple[str, float]]]:
    """The days that cost something, with their line items."""
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return {
        (day["timestamp"] - START) // DAY: [(i["name"], i["cost"]) for i in day["line_items"]]
        for day in answer.json["daily_costs"]
        if day["line_items"]
    }


def log(gateway: Gateway, at: int, quota: int | None, **values: object) -> None:
    """A row of the first user's token `default`, unless `values` say otherwise."""
    row: dict[str, object] = {
        "id": next(ids),
        "user_id": 1,
        "token_id": 2,
        "token_name": "default",
        "created_at": START + at,
        "type": 2,
        "model_name": "gpt-4o",
        "quota": quota,
    }
    gateway.insert("logs", **{**row, **values})


def test_days_and_models_are_told_apart(billing: Billing) -> None:
    billing.user()
    token = billing.token("alice", "--quota", "500000")
    for model, quota, at in [
        ("gpt-4o", 5000, 0),
        ("GPT-4o", 10000, 3600),
        ("gpt-4o", 2500, DAY - 1),
        ("gpt-4o", 500, DAY),
        ("gpt-4o", 7, 5 * DAY),
    ]:
        used = ["--model", model, "--quota", str(quota), "--at", str(START + at)]
        billing.run("usage", "record", str(token["id"]), *used)

    answer = billing.client().get(query(0, 3), headers=bearer(token["key"]))

    assert answer.json == {
        "object": "list",
        "total_usage": 3.6014,
        "daily_costs": [
            {
                "timestamp": START,
                "line_items": [item("GPT-4o", 2.0), item("gpt-4o", 1.5, 2)],
            },
            {"timestamp": START + DAY, "line_items": [item("gpt-4o", 0.1)]},
            {"timestamp": START + 2 * DAY, "line_items": []},
        ],
        "period_usage": 3.6,
        "period_refunded": 0.0,
    }


def test_every_gateways_logs_are_netted(gateway: Gateway) -> None:
    gateway.user(id=1)
    gateway.token(1, id=2)
    log(gateway, 0, 5000)
    log(gateway, 10, 1000, model_name="GPT-4o")
    log(gateway, DAY, None)
    log(gateway, DAY, 500, type=5)
    log(gateway, DAY, 700, type=1)
    log(gateway, DAY, 300, user_id=9, token_id=9)
    log(gateway, 2 * DAY, 400, token_id=3, token_name="other")
    log(gateway, 3 * DAY, 2000, type=6)

    answer = gateway.client().get(query(), headers=bearer(KEY))

    refunds = {3: [("gpt-4o", -0.4)]} if "newapi" in gateway.flavour else {}
    assert daily(answer) == {
        0: [("gpt-4o", 1.0), ("GPT-4o", 0.2)],
        1: [("gpt-4o", 0.0)],
        **refunds,
    }


def test_the_account_sees_all_of_its_tokens(gateway: Gateway) -> None:
    gateway.user(id=1)
    gateway.token(1, id=2)
    log(gateway, 0, 5000)
    log(gateway, 0, 2500, token_id=0, token_name="playground-default")
    log(gateway, 0, 300, user_id=9)

    answer = gateway.client(BILLING_SCOPE="account").get(query(), headers=bearer(KEY))

    assert daily(answer) == {0: [("gpt-4o", 1.5)]}


def test_rows_that_were_stamped_late_are_counted(newapi: Gateway) -> None:
    newapi.user(id=1)
    newapi.token(1, id=2)
    for at, quota in [(9 * DAY, 1), (0, 5000), (30 * DAY, 1), (DAY, 500), (90 * DAY, 1)]:
        log(newapi, at, quota)

    answer = newapi.client().get(query(), headers=bearer(KEY))

    assert daily(answer) == {0: [("gpt-4o", 1.0)], 1: [("gpt-4o", 0.1)]}


def test_logs_in_a_database_of_their_own_are_read_there(newapi: Gateway, mariadb: MariaDB) -> None:
    newapi.user(id=1)
    newapi.token(1, id=2)
    log(newapi, 0, 1)
    with mariadb.database() as url:
        name = database_name(url)
        mariadb.execute(
            "CREATE TABLE logs (id bigint PRIMARY KEY, user_id bigint, token_id bigint,"
            " created_at bigint, type bigint, model_name varchar(191), quota bigint)",
            database=name,
        )
        row = (1, 1, 2, START, 2, "elsewhere", 5000)
        marks = ", ".join(["%s"] * len(row))
        mariadb.execute(f"INSERT INTO logs VALUES ({marks})", *row, database=name)
        client = newapi.client(LOG_DATABASE_URL=url)

        answer = client.get(query(), headers=bearer(KEY))
        client.application.extensions["billing"].close()

    assert daily(answer) == {0: [("elsewhere", 1.0)]}


def test_logs_in_clickhouse_are_no_zero(newapi: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    newapi.token(newapi.user(), unlimited_quota=True)
    client = newapi.client(LOG_DATABASE_URL="clickhouse://h/logs")

    plain = client.get(USAGE, headers=bearer(KEY))
    days = client.get(query(), headers=bearer(KEY))

    assert plain.status_code == 200
    assert days.status_code == 501
    assert days.headers.get("Retry-After") is None
    assert days.json == {
        "error": {
            "message": "该网关的日志保存在 ClickHouse 中，本服务无法读取：不提供每日费用，"
            "其他数字不受影响",
            "type": "new_api_error",
            "code": "unsupported_logs",
        }
    }
    costs = client.get(
        f"/v1/organization/costs?start_time={START}",
        headers=bearer(KEY, **{"Accept-Language": "en"}),
    )
    assert costs.status_code == 501
    assert costs.json == {
        "error": {
            "message": "the gateway keeps its logs in ClickHouse, which this service cannot read: "
            "there are no daily costs; all other figures are right",
            "type": "new_api_error",
            "code": "unsupported_logs",
        }
    }
    assert caplog.records == []


def test_an_unlimited_token_shown_as_its_account_shows_the_accounts_days(newapi: Gateway) -> None:
    newapi.user(id=1)
    newapi.token(1, id=2, unlimited_quota=True)
    log(newapi, 0, 5000, token_id=7)

    own = newapi.client().get(query(), headers=bearer(KEY))
    owners = newapi.client(UNLIMITED_TOKENS="account").get(query(), headers=bearer(KEY))

    assert (daily(own), daily(owners)) == ({}, {0: [("gpt-4o", 1.0)]})


@pytest.mark.parametrize(
    ("parameters", "param"),
    [
        ("", "start_date"),
        ("start_date=2026-08-01", "end_date"),
        ("start_date=&end_date=2026-08-02", "start_date"),
        ("start_date=2026-11-31&end_date=2026-12-02", "start_date"),
        ("start_date=2026-11-Mo&end_date=2026-12-02", "start_date"),
        ("start_date=1796083200&end_date=2026-12-02", "start_date"),
        ("start_date=٢٠٢٦-08-01&end_date=2026-12-02", "start_date"),
        ("start_date=2026-08-01&end_date=2026-08-01", "end_date"),
        ("start_date=2026-08-02&end_date=2026-08-01", "end_date"),
        ("start_date=2026-08-01&end_date=2027-08-03", "end_date"),
        ("start_date=2026-08-01&end_date=0000-00-00", "end_date"),
    ],
)
def test_a_bad_date_is_named(sqlite_billing: Billing, parameters: str, param: str) -> None:
    sqlite_billing.user()
    headers = bearer(sqlite_billing.token()["key"])

    answer = sqlite_billing.client().get(
        f"{USAGE}?include=daily_costs&{parameters}", headers=headers
    )

    assert answer.status_code == 400
    assert answer.get_json()["error"]["type"] == "invalid_request_error"
    assert answer.get_json()["error"]["param"] == param


@pytest.mark.parametrize(
    ("parameters", "days"),
    [
        ("start_date=2026-8-5&end_date=2026-08-6", 1),
        ("start_date=2024-02-28&end_date=2024-03-01", 2),
        ("start_date=2026-08-01&end_date=2027-08-02", 366),
        ("start_date=2026-08-01&start_date=junk&end_date=2026-08-03&include=x", 2),
    ],
)
def test_good_dates_give_every_day(sqlite_billing: Billing, parameters: str, days: int) -> None:
    sqlite_billing.user()
    headers = bearer(sqlite_billing.token()["key"])

    answer = sqlite_billing.client().get(
        f"{USAGE}?include=daily_costs&{parameters}", headers=headers
    )

    assert len(answer.get_json()["daily_costs"]) == days
    assert answer.get_json()["period_usage"] == 0


def test_without_include_no_date_is_looked_at(sqlite_billing: Billing) -> None:
    sqlite_billing.user()
    headers = bearer(sqlite_billing.token()["key"])

    answer = sqlite_billing.client().get(f"{USAGE}?start_date=junk&include=x", headers=headers)

    assert answer.json == {"object": "list", "total_usage": 0.0}


ROWS = st.lists(
    st.tuples(
        st.integers(-DAY, 7 * DAY),
        st.integers(0, 10**6),
        st.sampled_from([2, 2, 2, 6, 1, 5]),
        st.sampled_from([2, 2, 3]),
        st.sampled_from(["gpt-4o", "o4-mini"]),
    ),
    max_size=30,
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=ROWS, first=st.integers(0, 5), length=st.integers(1, 5))
def test_the_days_are_those_of_a_brute_force_sum(
    newapi: Gateway, rows: list[tuple[int, int, int, int, str]], first: int, length: int
) -> None:
    for table in ("users", "tokens", "logs"):
        newapi.execute(f"DELETE FROM {table}")
    newapi.user(id=1)
    newapi.token(1, id=2)
    expected: dict[int, Counter[str]] = {}
    for at, quota, kind, token, model in rows:
        log(newapi, at, quota, type=kind, token_id=token, model_name=model)
        if kind in (2, 6) and token == 2 and first * DAY <= at < (first + length) * DAY:
            day = expected.setdefault(at // DAY, Counter())
            day[model] += -quota if kind == 6 else quota

    answer = newapi.client(DISPLAY_UNIT="TOKENS").get(
        query(first, first + length), headers=bearer(KEY)
    )
    newapi.close()

    assert daily(answer) == {
        day: [
            (model, quota * 100)
            for model, quota in sorted(sums.items(), key=lambda pair: (-pair[1], pair[0]))
        ]
        for day, sums in expected.items()
    }
    assert answer.get_json()["period_usage"] == 100 * sum(
        sum(d.values()) for d in expected.values()
    )


def test_names_that_a_collation_takes_for_one_are_told_apart(gateway: Gateway) -> None:
    gateway.user(id=1)
    gateway.token(1, id=2, name="chat")
    log(gateway, 0, 5000, token_id=2, token_name="chat")
    log(gateway, 0, 700, token_id=3, token_name="Chat")
    log(gateway, 0, 80, token_id=4, token_name="chat ")

    answer = gateway.client().get(query(), headers=bearer(KEY))

    assert daily(answer) == {0: [("gpt-4o", 1.0)]}


def test_odd_rows_stay_within_the_sums(newapi: Gateway) -> None:
    newapi.user(id=1)
    newapi.token(1, id=2)
    log(newapi, 0, 500, model_name=None)
    log(newapi, 0, 500, model_name="")
    log(newapi, -START - 5, 500)

    days = newapi.client().get(query(), headers=bearer(KEY))
    dawn = f"{USAGE}?include=daily_costs&start_date=1969-12-31&end_date=1970-01-02"
    first = newapi.client().get(dawn, headers=bearer(KEY))

    assert daily(days) == {0: [("", 0.2)]}
    assert first.get_json()["period_usage"] == 0
