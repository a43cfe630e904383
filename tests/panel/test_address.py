"""The range and the language are kept in the page's address, and nothing else ever is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

from playwright.sync_api import Route, expect

from tests.panel.conftest import PAGE, TODAY, Panel
from tests.support.site import Site

DATE = datetime.fromtimestamp(TODAY, UTC).date()


def days(screen: Panel, count: int) -> None:
    expect(screen.page.locator(".day")).to_have_count(count)


def fields(screen: Panel) -> list[str]:
    return [screen.page.locator(each).input_value() for each in ("#from", "#to")]


def test_range_and_language_outlive_a_reload(panel: Callable[..., Panel], site: Site) -> None:
    screen = panel().open()
    screen.page.check("#remember")
    screen.ask(site.keys["busy"])
    days(screen, 30)
    assert screen.page.url.endswith(PAGE)

    screen.pick("7 days")
    screen.press("繁體")
    screen.shows("h1", "餘額與用量")
    assert screen.page.url.endswith(f"{PAGE}?range=7d&lang=zh-TW")
    screen.reload()

    screen.shows("h1", "餘額與用量")
    days(screen, 7)
    expect(screen.page.get_by_role("radio", name="7 天")).to_be_checked()


def test_a_range_of_ones_own_outlives_a_reload(panel: Callable[..., Panel], site: Site) -> None:
    first, last = DATE - timedelta(12), DATE - timedelta(3)
    screen = panel().open(f"{PAGE}?range={first}..{last}&key=sk-x#y")

    screen.ask(site.keys["busy"])

    days(screen, 10)
    assert fields(screen) == [str(first), str(last)]
    expect(screen.page.locator("#recent dl")).to_be_visible()
    screen.pick("90 days")
    days(screen, 90)
    assert screen.page.url.endswith(f"{PAGE}?range=90d")


def test_the_fields_follow_the_range_that_is_shown(panel: Callable[..., Panel], site: Site) -> None:
    screen = panel().open().ask(site.keys["busy"])
    days(screen, 30)

    screen.pick("This month")
    days(screen, DATE.day)
    screen.pick("Custom")

    assert fields(screen) == [str(DATE.replace(day=1)), str(DATE)]
    days(screen, DATE.day)
    shown = screen.page.locator(".reading span").inner_text()
    assert shown.startswith(f"{DATE.replace(day=1):%-d %b}".replace("Sep", "Sept"))
    screen.pick("7 days")
    days(screen, 7)
    screen.pick("Custom")
    assert fields(screen) == [str(DATE - timedelta(6)), str(DATE)]


def test_a_year_is_shown_by_month(panel: Callable[..., Panel], site: Site) -> None:
    first = date(DATE.year - 1, DATE.month, 1)
    screen = panel().open(f"{PAGE}?range={first}..{DATE}")
    if (DATE - first).days > 365:
        first = DATE - timedelta(365)
        screen.open(f"{PAGE}?range={first}..{DATE}")

    screen.ask(site.keys["busy"])

    days(screen, 13 if first.day == 1 or first.month == DATE.month else 12)
    screen.shows(".reading strong", "$39.01")
    screen.save("year")
    screen.assert_accessible()


def test_the_language_chosen_last_stays(panel: Callable[..., Panel], site: Site) -> None:
    screen, held = panel(), list[Route]()
    screen.open().page.route("**/chinese.js", lambda route: held.append(route))
    screen.press("中文")
    screen.press("English")

    screen.page.wait_for_timeout(100)
    for route in held:
        route.continue_()
    screen.page.wait_for_load_state("networkidle")

    assert len(held) == 1
    screen.shows("header h1, h1", "Balance and usage")
    assert screen.page.evaluate("document.documentElement.lang").startswith("en")
