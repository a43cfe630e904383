"""Errors in the page's own script: they reach the console, and are never shown as a failure."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.panel.conftest import Panel
from tests.support.site import Site

#: Browser functions that every request of the page calls, made to throw as a programming error.
DEFECTS = {
    "building a request": "AbortSignal.timeout",
    "reading a response": "Response.prototype.json",
}


def break_function(screen: Panel, function: str) -> None:
    script = f"void ({function} = () => {{ throw new TypeError('broken on purpose') }})"
    screen.page.evaluate(script)


def take_errors(screen: Panel) -> list[str]:
    """The uncaught errors, once there is one; the fixture accepts none that a test leaves."""
    if not screen.errors:
        screen.page.wait_for_event("pageerror")
    errors = list(screen.errors)
    screen.errors.clear()
    return errors


@pytest.mark.parametrize("function", DEFECTS.values(), ids=DEFECTS)
def test_a_defect_while_the_days_load_reaches_the_console(
    panel: Callable[..., Panel], site: Site, function: str
) -> None:
    screen = panel().open().ask(site.keys["busy"])
    screen.page.wait_for_selector("#chart svg")
    screen.wait_until_loaded()
    break_function(screen, function)

    screen.pick("7 days")

    assert take_errors(screen) == ["broken on purpose"]
    screen.shows(".reason", "this page has an error")
    expect(screen.page.locator("#days[aria-busy]")).to_have_count(0)


@pytest.mark.parametrize("function", DEFECTS.values(), ids=DEFECTS)
def test_a_defect_while_the_figures_load_reaches_the_console(
    panel: Callable[..., Panel], site: Site, function: str
) -> None:
    screen = panel().open()
    break_function(screen, function)

    screen.ask(site.keys["busy"])

    assert take_errors(screen) == ["broken on purpose"]
    expect(screen.page.get_by_role("button", name="Show", exact=True)).to_be_enabled()
    assert screen.page.locator("#message, #results").all_inner_texts() == ["", ""]
