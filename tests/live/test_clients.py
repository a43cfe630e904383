"""Replays of what real clients send, and what each would then show."""

from __future__ import annotations

import datetime
import re
from typing import Any

import pytest

from tests.support.http_client import Answer
from tests.support.site import SUBSCRIPTION, USAGE, Site

NUMBER = (int, float)
TODAY = datetime.datetime.now(datetime.UTC).date()


def _ok(answer: Answer) -> dict[str, Any]:
    """The body, as a client takes it that trusts only a 200 with JSON."""
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Location"] is None
    body = answer.json
    assert isinstance(body, dict)
    assert "error" not in body
    return body


def test_nextchat_shows_used_and_total(site: Site) -> None:
    """In the browser, without /v1: preflights, then both at once for this month and a day."""
    first, tomorrow = TODAY.replace(day=1), TODAY + datetime.timedelta(days=1)
    usage_path = f"/dashboard/billing/usage?start_date={first}&end_date={tomorrow}"
    browser = {"Origin": "https://chat.example", "Sec_Fetch_Mode": "cors"}
    json = {"Accept": "application/json", "Content_Type": "application/json"}
    preflight = {
        "Access_Control_Request_Method": "GET",
        "Access_Control_Request_Headers": "authorization,content-type",
    }

    allowed = site.ask(usage_path, method="OPTIONS", **browser, **preflight)
    usage = site.ask(usage_path, "example", **browser, **json)
    subscription = site.ask("/dashboard/billing/subscription", "example", **browser, **json)

    assert 200 <= allowed.status < 300
    names = allowed.headers["Access-Control-Allow-Headers"].lower().split(", ")
    assert {"authorization", "content-type"} <= set(names)
    assert {answer.headers["Access-Control-Allow-Origin"] for answer in (usage, subscription)} == {
        "*"
    }
    used = round(_ok(usage)["total_usage"]) / 100
    total = round(_ok(subscription)["hard_limit_usd"] * 100) / 100
    assert (used, total) == (25.0, 100.0)


def test_nextchat_shows_that_a_key_is_not_authorised(site: Site) -> None:
    answer = site.ask("/dashboard/billing/usage", Authorization="Bearer sk-unknown")

    # It tells an unauthorised key by the status, and throws what `error.type` says.
    assert answer.status == 401
    assert answer.json["error"]["type"] == "new_api_error"


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("example", ("$100.000", "$75.000", "$25.000")),
        ("unlimited", ("无限", "无限制", "不进行计算")),
    ],
)
def test_neko_shows_limit_rest_and_use(site: Site, key: str, shown: tuple[str, ...]) -> None:
    """Takes only keys of its own pattern, sends dates without zeros, and calls toFixed."""
    start = TODAY - datetime.timedelta(days=100)
    dates = f"start_date={start:%Y}-{start.month}-{start.day}&end_date={TODAY:%Y}-8-5"

    balance = _ok(site.ask(SUBSCRIPTION, key))["hard_limit_usd"]
    usage = _ok(site.ask(f"{USAGE}?{dates}", key))["total_usage"] / 100

    assert re.fullmatch("sk-[a-zA-Z0-9]{48}", site.keys[key])
    assert type(balance) in NUMBER
    unlimited = balance == 100000000
    assert shown == (
        "无限" if unlimited else f"${balance:.3f}",
        "无限制" if unlimited else f"${balance - usage:.3f}",
        "不进行计算" if unlimited else f"${usage:.3f}",
    )


def _int64(value: object) -> int:
    """What Go's encoding/json puts into an int64: it fails on a float or a string."""
    assert type(value) is int
    return value


def _float64(value: object) -> float:
    """What Go's encoding/json puts into a float64: it fails on a string or null."""
    assert isinstance(value, NUMBER)
    assert not isinstance(value, bool)
    return float(value)


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize(
    ("key", "balance"), [("example", 75.0), ("unlimited", 100000000.0), ("exhausted", -1e-05)]
)
def test_a_gateways_poller_stores_the_balance(
    site: Site, key: str, balance: float, slash: str
) -> None:
    """one-api and new-api: base URLs may end in a slash; 100 days unless there is a payment."""
    go = {"User_Agent": "Go-http-client/1.1", "Accept_Encoding": "gzip"}

    subscription = _ok(site.ask(slash + SUBSCRIPTION, key, **go))
    assert subscription["has_payment_method"] is True
    dates = f"start_date={TODAY:%Y-%m}-01&end_date={TODAY}"
    usage = _ok(site.ask(f"{slash}{USAGE}?{dates}", key, **go))

    _int64(subscription["access_until"])
    stored = _float64(subscription["hard_limit_usd"]) - _float64(usage["total_usage"]) / 100
    assert stored == pytest.approx(balance, rel=1e-12)


@pytest.mark.parametrize("key", ["disabled", "revoked", "of a disabled user", "elsewhere"])
def test_a_gateways_poller_keeps_the_old_balance_of_a_refused_key(site: Site, key: str) -> None:
    answer = site.ask(SUBSCRIPTION, key, User_Agent="Go-http-client/1.1")

    # Under a 200 it would read zeros out of the error body and disable the channel.
    assert answer.status in (401, 403)


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("example", {"balance": 75.0, "granted": 100.0, "used": 25.0}),
        # A limit of a million and more is a sentinel there: only the use is shown.
        ("unlimited", {"used": 0.0}),
    ],
)
def test_all_api_hub_shows_what_the_figures_give(
    site: Site, key: str, shown: dict[str, float]
) -> None:
    """Would rather read a `data` object or a `balance`; the year to date."""
    subscription = _ok(site.ask(SUBSCRIPTION, key))
    usage = _ok(site.ask(f"{USAGE}?start_date={TODAY:%Y}-01-01&end_date={TODAY}", key))

    assert not {"data", "balance"} & (subscription.keys() | usage.keys())
    limit, used = subscription["hard_limit_usd"], usage["total_usage"] / 100
    finite = {"balance": max(0, limit - used), "granted": limit, "used": used}
    assert (finite if limit < 1_000_000 else {"used": used}) == shown


def test_deepchat_shows_the_use(site: Site) -> None:
    """One request without dates; its base URL ends in /v1."""
    answer = site.ask(USAGE, "example", Content_Type="application/json")

    assert f"${_ok(answer)['total_usage'] / 100:.2f}" == "$25.00"


def test_chatgpt_web_shows_the_use(site: Site) -> None:
    """From the first to the last of the month, on the server, with JSON's content type."""
    dates = f"start_date={TODAY:%Y}-{TODAY.month}-01&end_date={TODAY:%Y}-{TODAY.month}-31"

    answer = site.ask(f"{USAGE}?{dates}", "example", Content_Type="application/json")

    assert f"${round(_ok(answer)['total_usage']) / 100:g}" == "$25"
