"""How the page looks: in light and dark, on a phone, in Chinese; and to assistive technology."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.panel.conftest import Panel
from tests.support.site import Site

PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True}
CHINESE = {"locale": "zh-CN"}
DARK = {"color_scheme": "dark"}
WIDE = {"viewport": {"width": 1920, "height": 1000}}

#: How it is looked at, and at what: whose key, or the empty form.
LOOKS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "light": ({}, ["form", "busy", "expiring", "exhausted", "disabled"]),
    "dark": (DARK, ["form", "busy", "expiring", "exhausted", "disabled"]),
    "phone": ({**PHONE, **CHINESE}, ["form", "busy", "disabled"]),
    "phone-dark": ({**PHONE, **DARK, **CHINESE}, ["busy"]),
    "wide": ({**WIDE, **CHINESE}, ["busy"]),
}


@pytest.mark.parametrize("look", LOOKS)
def test_every_screen_is_sound(panel: Callable[..., Panel], site: Site, look: str) -> None:
    options, keys = LOOKS[look]
    screen = panel(**options)
    for key in keys:
        screen.open().page.wait_for_selector("#key")
        if key in site.keys:
            screen.ask(site.keys[key])
            screen.page.wait_for_selector("#days:not([aria-busy]), #message h2")
        screen.save(f"{look}-{key}")
        screen.assert_accessible()


def test_a_reader_switches_the_language_and_keeps_the_figures(
    panel: Callable[..., Panel], site: Site
) -> None:
    screen = panel(locale="zh-CN").open().ask(site.keys["example"])
    screen.shows(".chip", "已过期")
    screen.shows(".facts", "年前过期")
    screen.shows(".facts", "2022年1月1日 GMT+8 08:00")

    screen.press("English")

    screen.shows(".chip", "Expired")
    screen.shows(".figure", "$75.00")
    expect(screen.page).to_have_title("Balance and usage")
    assert screen.page.evaluate("document.documentElement.lang") == "en"
    screen.press("中文")
    screen.shows("h1", "余额与用量")


@pytest.mark.parametrize(
    ("locale", "heading"),
    [
        ("zh-TW", "餘額與用量"),
        ("zh-Hant-HK", "餘額與用量"),
        ("zh-SG", "余额与用量"),
        ("en-US", "Balance and usage"),
        ("fr", "Balance"),
    ],
)
def test_the_browsers_language_is_taken(
    panel: Callable[..., Panel], locale: str, heading: str
) -> None:
    screen = panel(locale=locale).open()

    screen.shows("h1", heading)


@pytest.mark.parametrize(
    ("zone", "moment"),
    [("America/New_York", "31 Dec 2021, 19:00"), ("Asia/Shanghai", "1 Jan 2022, 08:00")],
)
def test_the_expiry_is_told_in_the_browsers_time_zone(
    panel: Callable[..., Panel], site: Site, zone: str, moment: str
) -> None:
    screen = panel(timezone_id=zone).open().ask(site.keys["example"])

    screen.shows(".facts", moment)


def test_a_finger_reads_a_day(panel: Callable[..., Panel], site: Site) -> None:
    screen = panel(**PHONE).open().ask(site.keys["busy"])
    screen.page.wait_for_selector("#chart svg")
    whole = screen.page.locator(".reading").inner_text()

    screen.page.locator(".day").nth(20).tap()

    expect(screen.page.locator(".reading")).not_to_have_text(whole)
    expect(screen.page.locator(".day.chosen")).to_have_count(1)
