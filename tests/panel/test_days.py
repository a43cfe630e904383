"""Whose days these are, and what the page does while the site reads them for the first time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Route, expect

from tests.panel.conftest import DAY, TODAY, Panel
from tests.support.application import Billing
from tests.support.gateways import KEY, Gateway, open_gateway
from tests.support.gunicorn import Gunicorn
from tests.support.site import Site


def asked(screen: Panel) -> list[dict[str, list[str]]]:
    """The queries of the daily costs that the page asked for."""
    urls = [urlsplit(request.url) for request in screen.requests]
    return [parse_qs(url.query) for url in urls if "include=daily_costs" in url.query]


@pytest.mark.parametrize(
    ("zone", "words", "today", "first_day"),
    [
        ("Asia/Shanghai", "Days in Asia/Shanghai (GMT+8)", "$1.50", "$0.25"),
        ("America/New_York", "Days in America/New_York (GMT-", "$0.00", "$1.50"),
        ("Asia/Kolkata", "(GMT+5:30)", "$1.50", "$0.25"),
        ("UTC", "Days in UTC", "$1.50", "$0.25"),
    ],
)
def test_days_are_the_browsers_own(
    panel: Callable[..., Panel],
    sqlite_billing: Billing,
    gunicorn: Callable[..., Gunicorn],
    zone: str,
    words: str,
    today: str,
    first_day: str,
) -> None:
    sqlite_billing.user()
    key = sqlite_billing.token("alice", "--usd", "10")["key"]
    # At two o'clock UTC it is yesterday evening in New York.
    for usd, at in (("1.5", TODAY + 7200), ("0.25", TODAY - DAY + 7200)):
        used = ["--model", "m", "--usd", usd, "--at", str(at)]
        sqlite_billing.run("usage", "record", "1", *used)
    server = gunicorn(sqlite_billing.env)

    screen = panel(server.url, timezone_id=zone).open().ask(key)

    screen.shows("#zone", words)
    screen.shows(".reading strong", "$1.75")
    screen.page.locator("summary").click()
    screen.page.wait_for_selector("details tbody td")
    costs = screen.page.locator("details tbody td:nth-of-type(1)").all_inner_texts()
    assert (costs[-1], costs[-2]) == (today, first_day)


@pytest.fixture
def hours_alone(request: pytest.FixtureRequest) -> Iterator[Gateway]:
    """new-api whose logs were pruned: of older days it has its own sums by hour."""
    with open_gateway(request, "newapi", "sqlite") as gateway:
        gateway.option("QuotaPerUnit", "1")
        gateway.token(gateway.user(), unlimited_quota=True)
        use = {"user_id": 1, "model_name": "m", "quota": 7}
        gateway.insert("quota_data", id=1, created_at=TODAY - 9 * DAY, count=1, **use)
        log = {"token_id": 2, "type": 2, "created_at": TODAY - DAY}
        gateway.insert("logs", id=1, **log, **use)
        yield gateway


def test_where_only_hours_are_known_half_hour_zones_get_utc_days(
    panel: Callable[..., Panel], hours_alone: Gateway, gunicorn: Callable[..., Gunicorn]
) -> None:
    env = {"BILLING_MODE": "attached", "DATABASE_URL": hours_alone.url, "BILLING_SCOPE": "account"}
    server = gunicorn(env)

    screen = panel(server.url, timezone_id="Asia/Kolkata").open().ask(KEY)

    screen.shows("#zone", "Days in UTC: of some of them the site knows only whole hours")
    screen.shows("#zone", "Asia/Calcutta")
    screen.shows(".reading strong", "$14.00")
    screen.shows("#days", "How many tokens some uses took is not known")
    screen.shows("#days tfoot", "–")
    zones = [query["timezone"] for query in asked(screen)]
    assert zones[:2] == [["Asia/Calcutta"], ["UTC"]]
    screen.assert_accessible()


def test_while_the_site_reads_the_days_a_bar_grows_by_itself(
    panel: Callable[..., Panel], site: Site
) -> None:
    """The answers of a site that fills its cache, which here no site does."""
    screen = panel()
    screen.page.clock.install()
    shares = iter([0.4, 0.75])

    def answer(route: Route) -> None:
        share = next(shares, None)
        if share is None:
            route.continue_()
            return
        error = {"message": "…", "type": "new_api_error", "code": "usage_incomplete"}
        body = json.dumps({"error": error, "progress": share})
        route.fulfill(status=503, headers={"Retry-After": "120"}, body=body)

    screen.open().page.route("**/usage?include=daily_costs*", answer)
    screen.ask(site.keys["busy"])

    bar = screen.page.get_by_role("progressbar")
    expect(bar).to_have_attribute("aria-valuenow", "40")
    screen.shows("#days", "for the first time: 40% done. It goes on by itself.")
    screen.shows(".figure", "$")
    screen.save("filling")
    screen.assert_accessible()
    # In all less than the 5 minutes after which the page reads everything again.
    screen.page.clock.fast_forward("01:40")
    assert len(asked(screen)) == 1
    screen.page.clock.fast_forward("00:20")
    expect(bar).to_have_attribute("aria-valuenow", "75")
    screen.page.clock.fast_forward("02:00")
    expect(screen.page.locator(".day")).to_have_count(30)
    expect(bar).to_have_count(0)


def test_another_range_ends_the_wait_for_the_first(panel: Callable[..., Panel], site: Site) -> None:
    screen = panel()
    screen.page.clock.install()

    def answer(route: Route) -> None:
        if "start_date" in route.request.url and len(asked(screen)) > 1:
            route.continue_()
            return
        body = json.dumps({"error": {"code": "usage_incomplete"}, "progress": None})
        route.fulfill(status=503, headers={"Retry-After": "2"}, body=body)

    screen.open().page.route("**/usage?include=daily_costs*", answer)
    screen.ask(site.keys["busy"])
    screen.shows("#days", "0% done")

    screen.pick("7 days")

    expect(screen.page.locator(".day")).to_have_count(7)
    screen.page.clock.run_for(10_000)
    expect(screen.page.locator(".day")).to_have_count(7)
    days = [query for query in asked(screen) if "group_by" in query]
    assert len(days) == 2


def test_another_key_ends_the_wait_for_the_first_ones_days(
    panel: Callable[..., Panel], site: Site
) -> None:
    screen = panel()
    screen.page.clock.install()
    body = json.dumps({"error": {"code": "usage_incomplete"}, "progress": 0.4})
    screen.open().page.route(
        "**/usage?include=daily_costs*",
        lambda route: route.fulfill(status=503, headers={"Retry-After": "60"}, body=body),
    )
    screen.ask(site.keys["busy"]).shows("#days", "40% done")

    screen.press("Another key")
    screen.page.clock.run_for(61_000)

    assert len(asked(screen)) == 1
    assert screen.errors == []
