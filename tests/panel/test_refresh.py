"""A tab that is left open reads its figures again by itself, and lets a site rest that fails."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Request, expect

from tests.panel.conftest import Panel
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
    screen.page.wait_for_load_state("networkidle")


@pytest.fixture
def tab(
    panel: Callable[..., Panel], sqlite_billing: Billing, gunicorn: Callable[..., Gunicorn]
) -> Panel:
    """A key with $1.00, on a clock that the test moves."""
    sqlite_billing.user("alice", 5_000_000)
    key = sqlite_billing.token("alice", "--quota", "500000")["key"]
    screen = panel(gunicorn(sqlite_billing.env).url)
    screen.page.clock.install()
    screen.open().ask(key).shows(".ending", "default")
    settle(screen, 1)
    return screen


def test_every_five_minutes_by_one_request_after_the_other(
    tab: Panel, sqlite_billing: Billing
) -> None:
    in_flight: list[int] = [0]

    def change(by: int) -> Callable[[Request], None]:
        return lambda request: (
            in_flight.append(in_flight[-1] + by) if is_of_figures(request) else None
        )

    tab.page.on("request", change(1))
    tab.page.on("requestfinished", change(-1))
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
