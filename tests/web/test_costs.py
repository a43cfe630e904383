"""`/v1/organization/costs`: OpenAI's costs of today, in dollars and whole UTC days."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from openai import OpenAI

from tests.support.application import Billing
from tests.support.gunicorn import Gunicorn
from tests.support.http_client import bearer

DAY = 86400
#: 2026-11-01.
START = 1793491200
COSTS = "/v1/organization/costs"


@pytest.fixture
def spender(sqlite_billing: Billing) -> dict[str, str]:
    """Headers of a token that used two models on the first day and one on the tenth."""
    sqlite_billing.user()
    token = sqlite_billing.token("alice", "--usd", "100")
    for model, usd, at in [
        ("gpt-4o", "15", 0),
        ("o4-mini", "10", 3600),
        ("gpt-4o", "2.5", 9 * DAY),
    ]:
        used = ["--model", model, "--usd", usd, "--at", str(START + at)]
        sqlite_billing.run("usage", "record", str(token["id"]), *used)
    return bearer(token["key"])


def ask(billing: Billing, headers: dict[str, str], query: str, **env: str) -> Any:
    return billing.client(**env).get(f"{COSTS}?{query}", headers=headers)


def result(value: float, line_item: str | None) -> dict[str, Any]:
    return {
        "object": "organization.costs.result",
        "amount": {"value": value, "currency": "usd"},
        "line_item": line_item,
        "project_id": None,
    }


def test_days_are_summed_in_dollars_whatever_the_display_unit(
    sqlite_billing: Billing, spender: dict[str, str]
) -> None:
    query = f"start_time={START}&end_time={START + 2 * DAY}"

    answer = ask(sqlite_billing, spender, query, DISPLAY_UNIT="CNY")

    assert answer.json == {
        "object": "page",
        "data": [
            {
                "object": "bucket",
                "start_time": START,
                "end_time": START + DAY,
                "results": [result(25.0, None)],
            },
            {
                "object": "bucket",
                "start_time": START + DAY,
                "end_time": START + 2 * DAY,
                "results": [],
            },
        ],
        "has_more": False,
        "next_page": None,
    }


@pytest.mark.parametrize("spelling", ["group_by", "group_by[]"])
def test_models_are_told_apart(
    sqlite_billing: Billing, spender: dict[str, str], spelling: str
) -> None:
    query = f"start_time={START}&limit=1&{spelling}=line_item"

    answer = ask(sqlite_billing, spender, query)

    assert answer.json["data"][0]["results"] == [result(15.0, "gpt-4o"), result(10.0, "o4-mini")]


def test_models_can_be_picked(sqlite_billing: Billing, spender: dict[str, str]) -> None:
    answer = ask(sqlite_billing, spender, f"start_time={START}&limit=1&line_items[]=o4-mini")

    assert answer.json["data"][0]["results"] == [result(10.0, None)]


@pytest.mark.parametrize("limit", [1, 3, 7, 180])
def test_pages_neither_lose_nor_repeat_a_bucket(
    sqlite_billing: Billing, spender: dict[str, str], limit: int
) -> None:
    query = f"start_time={START}&end_time={START + 10 * DAY}&limit={limit}"
    buckets, page = [], ""
    while page is not None:
        answer = ask(sqlite_billing, spender, query + (page and f"&page={page}")).json
        assert len(answer["data"]) <= limit
        buckets += answer["data"]
        page = answer["next_page"]
        assert answer["has_more"] == (page is not None)

    assert [bucket["start_time"] for bucket in buckets] == [START + n * DAY for n in range(10)]
    assert sum(r["amount"]["value"] for b in buckets for r in b["results"]) == 27.5


def test_times_within_a_day_mean_the_whole_day(
    sqlite_billing: Billing, spender: dict[str, str]
) -> None:
    answer = ask(sqlite_billing, spender, f"start_time={START + 7200}&end_time={START + 7300}")

    assert [b["results"] for b in answer.json["data"]] == [[result(25.0, None)]]


def test_seven_days_are_the_default(sqlite_billing: Billing, spender: dict[str, str]) -> None:
    answer = ask(sqlite_billing, spender, f"start_time={START}")

    assert len(answer.json["data"]) == 7
    assert answer.json["next_page"] == str(START + 7 * DAY)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("", "start_time"),
        ("start_time=", "start_time"),
        ("start_time=2026-11-01", "start_time"),
        ("start_time=-1", "start_time"),
        ("start_time=" + "9" * 400, "start_time"),
        (f"start_time={START}&end_time=x", "end_time"),
        (f"start_time={START}&end_time={START}", "end_time"),
        (f"start_time={START}&limit=0", "limit"),
        (f"start_time={START}&limit=181", "limit"),
        (f"start_time={START}&bucket_width=1h", "bucket_width"),
        (f"start_time={START}&group_by=project_id", "group_by"),
        (f"start_time={START}&group_by[]=line_item&group_by[]=user_id", "group_by"),
        (f"start_time={START}&timezone=Mars/Olympus", "timezone"),
        (f"start_time={START}&page=x", "page"),
        (f"start_time={START}&page={START + 1}", "page"),
        (f"start_time={START}&page={START - DAY}", "page"),
    ],
)
def test_a_parameter_that_cannot_be_read_is_named(
    sqlite_billing: Billing, spender: dict[str, str], query: str, param: str
) -> None:
    answer = ask(sqlite_billing, spender, query)

    assert answer.status_code == 400
    assert answer.json["error"]["type"] == "invalid_request_error"
    assert answer.json["error"]["param"] == param


def test_it_is_guarded_and_there_under_v1_alone(sqlite_billing: Billing) -> None:
    client = sqlite_billing.client()

    refused = client.get(f"{COSTS}?start_time={START}")
    missing = client.get("/organization/costs")

    assert (refused.status_code, refused.get_json()["error"]["code"]) == (401, "missing_api_key")
    assert missing.status_code == 404


def test_a_database_that_is_away_has_the_general_body(
    sqlite_billing: Billing, tmp_path: Any
) -> None:
    (tmp_path / "billing.db").unlink()

    answer = ask(sqlite_billing, bearer("sk-x", **{"Accept-Language": "en"}), f"start_time={START}")

    assert answer.status_code == 503
    assert answer.json["error"]["code"] == "database_unavailable"


def test_openais_own_sdk_walks_all_pages(
    sqlite_billing: Billing, spender: dict[str, str], gunicorn: Callable[..., Gunicorn]
) -> None:
    server = gunicorn(sqlite_billing.env)
    key = spender["Authorization"].removeprefix("Bearer ")
    found: dict[str, float] = {}
    with OpenAI(admin_api_key=key, base_url=f"{server.url}/v1") as client:
        page = None
        while True:
            more: dict[str, Any] = {} if page is None else {"page": page}
            answer = client.admin.organization.usage.costs(
                start_time=START,
                end_time=START + 12 * DAY,
                limit=5,
                group_by=["line_item"],
                **more,
            )
            for bucket in answer.data:
                for each in bucket.results:
                    assert each.object == "organization.costs.result"
                    assert each.amount is not None
                    assert each.amount.value is not None
                    assert each.amount.currency == "usd"
                    name = str(each.line_item)
                    found[name] = found.get(name, 0) + each.amount.value
            page = answer.next_page
            if not answer.has_more:
                break

    assert found == {"gpt-4o": 17.5, "o4-mini": 10.0}
