"""A tab that is left open reads its figures again by itself, and lets a site rest that fails."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from playwright.sync_api import APIResponse, Request, Route, expect

from tests.panel.conftest import PAGE, Panel
from tests.support.application import Billing
from tests.support.gunicorn import Gunicorn
from tests.support.site import Site

ROUTES = ("subscription", "usage", "credit_grants")
HIDE = """hidden => {
    Object.defineProperty(document, "hidden", { configurable: true, value: hidden });
    document.dispatchEvent(new Event("visibilitychange"));
}"""


def is_of_figures(request: Request) -> bool:
    return request.url.partition("?")[0].rpartition("/")[2] in ROUTES


def count(screen: Panel) -> int:
    """How many reads of the balance there were."""
    return sum("/subscription" in request.url for request in screen.requests)


def settle(screen: Panel, reads: int) -> None:
    """Wait until that many reads have been answered, days and grants too."""
    while count(screen) < reads:
        screen.page.wait_for_timeout(20)
    screen.wait_until_loaded()


@pytest.fixture
def tab(
    panel: Callable[..., Panel], sqlite_billing: Billing, gunicorn: Callable[..., Gunicorn]
) -> Panel:
    """A key with $1.00, on a clock that the test moves."""
    sqlite_billing.user("alice", 5_000_000)
    key = sqlite_billing.token("alice", "--quota", "500000")["key"]
    screen = panel(gunicorn(sqlite_billing.env).url)
    screen.page.clock.install()
    screen.open(f"{PAGE}?range=7d").ask(key).shows(".ending", "default")
    settle(screen, 1)
    return screen


def count_in_flight(screen: Panel) -> list[int]:
    """How many requests for figures are in flight, from now on; the last is the number now."""
    in_flight = [0]

    def change(by: int) -> Callable[[Request], None]:
        return lambda request: (
            in_flight.append(in_flight[-1] + by) if is_of_figures(request) else None
        )

    screen.page.on("request", change(1))
    screen.page.on("requestfinished", change(-1))
    return in_flight


def test_every_five_minutes_by_one_request_after_the_other(
    tab: Panel, sqlite_billing: Billing
) -> None:
    in_flight = count_in_flight(tab)
    sqlite_billing.run("usage", "record", "1", "--model", "m", "--usd", "0.25")

    tab.page.clock.fast_forward("04:50")
    assert count(tab) == 1
    tab.page.clock.fast_forward("00:20")

    tab.shows(".figure", "$0.75")
    tab.shows(".reading strong", "$0.25")
    while sum("credit_grants" in request.url for request in tab.requests) < 2 or in_flight[-1]:
        tab.page.wait_for_timeout(20)
    assert max(in_flight) == 1
    assert len(in_flight) == 1 + 2 * 5


def test_nobody_looks_nobody_asks(tab: Panel) -> None:
    tab.page.evaluate(HIDE, True)

    tab.page.clock.fast_forward("30:00")
    assert count(tab) == 1
    tab.page.evaluate(HIDE, False)

    settle(tab, 2)


def test_errors_are_followed_by_longer_waits(tab: Panel) -> None:
    tab.page.route("**/subscription", lambda route: route.fulfill(status=503))

    tab.page.clock.fast_forward("05:10")
    tab.shows("#read", "could not be refreshed: Database unavailable")
    tab.page.clock.fast_forward("09:30")
    assert count(tab) == 2
    tab.page.clock.fast_forward("00:40")
    settle(tab, 3)
    tab.page.clock.fast_forward("19:30")
    assert count(tab) == 3
    tab.page.unroute("**/subscription")
    tab.page.clock.fast_forward("00:40")

    settle(tab, 4)
    tab.shows("#read", "As of")
    tab.shows(".figure", "$1.00")
    tab.page.clock.fast_forward("05:10")
    settle(tab, 5)


def test_days_that_cannot_be_read_are_followed_by_longer_waits_too(tab: Panel) -> None:
    tab.page.route("**/usage?include=*", lambda route: route.fulfill(status=503))

    tab.page.clock.fast_forward("05:10")
    tab.shows("#days", "could not be refreshed: Database unavailable")
    settle(tab, 2)
    tab.page.clock.fast_forward("09:30")
    assert count(tab) == 2
    tab.page.clock.fast_forward("00:40")

    settle(tab, 3)


def fill_slowly(seconds: int) -> Callable[[Route], None]:
    """Answers as a site that reads its logs for the first time."""
    body = json.dumps({"error": {"code": "usage_incomplete"}, "progress": 0.4})
    return lambda route: route.fulfill(status=503, headers={"Retry-After": str(seconds)}, body=body)


def test_a_refresh_and_days_that_go_on_by_themselves_wait_for_each_other(
    panel: Callable[..., Panel], site: Site
) -> None:
    screen = panel()
    screen.page.clock.install()
    screen.open().page.route("**/usage?include=*", fill_slowly(305))
    screen.ask(site.keys["busy"]).shows("#days", "40% done")
    settle(screen, 1)
    in_flight = count_in_flight(screen)

    # Both are due at once.
    screen.page.clock.fast_forward("05:10")
    settle(screen, 2)
    screen.page.unroute("**/usage?include=*")
    screen.page.clock.fast_forward("05:10")

    expect(screen.page.locator(".day")).to_have_count(30)
    assert max(in_flight) == 1


#: What the automatic refresh waits for, and where what is newer stands.
HELD = {
    "balance": ("**/subscription", ".figure", "$0.75"),
    "use": ("**/usage", ".figure", "$0.75"),
    "days": ("**/usage?*group_by=*", ".reading strong", "$0.25"),
    "recent": ("**/usage?*timezone=Asia%2FShanghai", "#recent dd >> nth=0", "$0.25"),
    "grants": ("**/credit_grants?*", "#limits", "its account: $0.00 left"),
}


@pytest.mark.parametrize("name", HELD)
def test_an_older_answer_does_not_replace_what_a_click_has_read(
    tab: Panel, sqlite_billing: Billing, name: str
) -> None:
    pattern, selector, text = HELD[name]
    held: list[tuple[Route, APIResponse]] = []

    def hold_first(route: Route) -> None:
        if held:
            route.continue_()
        else:
            held.append((route, route.fetch()))

    tab.page.route(pattern, hold_first)
    tab.page.clock.fast_forward("05:10")
    while not held:
        tab.page.wait_for_timeout(20)
    sqlite_billing.run("usage", "record", "1", "--model", "m", "--usd", "0.25")
    sqlite_billing.execute("UPDATE users SET quota = 0")

    tab.press("Refresh")
    tab.shows(selector, text)
    tab.shows("#limits", "its account: $0.00 left")
    tab.shows("#recent", "$0.25")
    requests = len(tab.requests)
    route, response = held[0]
    with tab.page.expect_request_finished(lambda request: request == route.request):
        route.fulfill(response=response)
    tab.page.wait_for_timeout(300)

    tab.shows(selector, text)
    # And the refresh goes no further than to the second part of the balance.
    assert not [request.url for request in tab.requests[requests:] if "?" in request.url]


def test_a_range_that_is_still_loading_is_not_taken_for_the_days_of_late(tab: Panel) -> None:
    held: list[Route] = []
    tab.page.route("**/usage?*group_by=*", lambda route: held.append(route))
    tab.page.clock.fast_forward("05:10")
    while not held:
        tab.page.wait_for_timeout(20)
    tab.pick("90 days")
    while len(held) < 2:
        tab.page.wait_for_timeout(20)

    held[0].continue_()

    while sum("credit_grants" in request.url for request in tab.requests) < 2:
        tab.page.wait_for_timeout(20)
    expect(tab.page.locator("#recent dt")).to_have_text(["Today", "7 days", "This month"])
    held[1].continue_()
    expect(tab.page.locator("#days:not([aria-busy])")).to_be_visible()


def test_a_reader_is_not_disturbed(panel: Callable[..., Panel], site: Site) -> None:
    screen = panel()
    screen.page.clock.install()
    screen.open().ask(site.keys["busy"]).shows(".ending", "busy")
    settle(screen, 1)
    screen.pick("90 days")
    screen.page.locator("summary").click()
    screen.page.focus("#models-tokens")
    screen.page.keyboard.press("Enter")
    settle(screen, 1)

    screen.page.clock.fast_forward("05:10")
    settle(screen, 2)

    expect(screen.page.locator("#models-tokens")).to_be_focused()
    expect(screen.page.locator("[aria-sort=descending]")).to_have_attribute("data-column", "tokens")
    expect(screen.page.locator(".day")).to_have_count(90)
    expect(screen.page.locator("details tbody tr")).to_have_count(90)


@pytest.mark.parametrize(
    ("failures", "seconds", "minutes"),
    [(0, 0, 5), (1, 0, 10), (3, 0, 40), (9, 0, 60), (1, 900, 15)],
)
def test_the_waits_double_up_to_an_hour(
    panel: Callable[..., Panel], failures: int, seconds: int, minutes: int
) -> None:
    script = """async (args) => {
        const { waitAfter } = await import("./panel/load.js");
        return waitAfter(...args);
    }"""

    assert panel().open().page.evaluate(script, [failures, seconds]) == minutes * 60_000
