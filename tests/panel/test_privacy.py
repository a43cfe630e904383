"""Where a pasted key goes: into one header of this site's own routes, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Request, expect

from tests.panel.conftest import PAGE, READY, Panel
from tests.support.processes import ROOT
from tests.support.site import Site

#: Every script of the page; traditional.js is not loaded on this walk.
MODULES = {path.name for path in (ROOT / "billing/web/panel/static").glob("*.js")}
MODULES -= {"traditional.js"}

KEPT = """async () => JSON.stringify([
    Object.entries(sessionStorage), Object.entries(localStorage), document.cookie,
    await indexedDB.databases(), await caches.keys(), history.state, name, document.title,
    document.documentElement.outerHTML,
])"""


def walk_through(screen: Panel, key: str) -> None:
    """Look at everything there is, and make every mistake."""
    screen.open().ask(key, 77).shows("#message", "Wrong user ID")
    screen.ask(key).shows(".figure", "$")
    screen.pick("7 days")
    screen.page.wait_for_selector("#chart svg")
    screen.press("中文")
    screen.press("English")
    with screen.page.expect_download():
        screen.press("Download CSV")
    screen.context.set_offline(True)
    screen.press("Refresh")
    screen.shows("#read", "You are offline")
    screen.context.set_offline(False)
    screen.press("Try again")
    screen.shows("#read", "As of")


def test_a_key_is_in_no_url_storage_title_or_console(
    panel: Callable[..., Panel], site: Site
) -> None:
    screen, key = panel(), site.keys["busy"].removeprefix("sk-")

    walk_through(screen, site.keys["busy"])

    assert key not in screen.page.evaluate(KEPT)
    assert key not in screen.page.url + screen.page.title()
    assert not [line for line in screen.console if key in line]
    assert screen.page.evaluate("history.length") <= 2
    for request in screen.requests:
        assert key not in request.url
        assert key not in (request.post_data or "")
        headers = {name: value for name, value in request.headers.items() if key in value}
        assert set(headers) <= {"authorization"}


def test_nothing_is_asked_of_anyone_else(panel: Callable[..., Panel], site: Site) -> None:
    screen = panel()

    walk_through(screen, site.keys["busy"])

    asked = {request.url.partition("?")[0] for request in screen.requests}
    base = f"{site.server.url}{PAGE}"
    assert {url for url in asked if not url.startswith("blob:")} == {
        base + path
        for path in (
            *("", *(f"panel/{name}" for name in MODULES)),
            *("subscription", "usage", "credit_grants"),
        )
    } | ({base + "panel/icon.svg"} & asked)
    links = screen.page.locator("a, area, iframe, object, embed")
    assert links.count() == 0


def test_a_key_is_forgotten_with_a_reload(panel: Callable[..., Panel], site: Site) -> None:
    screen = panel().open().ask(site.keys["busy"])
    screen.shows(".figure", "$")

    before = len(screen.requests)
    screen.reload()
    screen.wait_until_loaded()

    expect(screen.page.locator("#key")).to_have_value("")
    expect(screen.page.locator("#remember")).not_to_be_checked()
    assert not [each.url for each in screen.requests[before:] if "subscription" in each.url]
    assert screen.page.locator("#results").inner_text() == ""


def test_a_key_is_remembered_in_its_tab_if_its_owner_says_so(
    panel: Callable[..., Panel], site: Site
) -> None:
    screen = panel().open()
    screen.page.check("#remember")
    screen.ask(site.keys["example"]).shows(".figure", "$75.00")

    screen.reload()
    screen.shows(".figure", "$75.00")
    other = screen.context.new_page()
    other.goto(PAGE)
    other.wait_for_selector(READY)
    expect(other.locator("#remember")).not_to_be_checked()
    screen.press("Another key")

    expect(screen.page.locator("#key")).to_be_focused()
    assert screen.page.evaluate("sessionStorage.length + localStorage.length") == 0
    assert other.locator("#results").inner_text() == ""


@pytest.mark.parametrize("refused", ["sk-unknown"])
def test_a_key_that_is_refused_is_not_remembered(
    panel: Callable[..., Panel], site: Site, refused: str
) -> None:
    screen = panel().open()
    screen.page.check("#remember")

    screen.ask(refused).shows("#message", "Unknown key")

    assert screen.page.evaluate("sessionStorage.length") == 0


def test_a_key_goes_nowhere_when_the_script_does_not_run(
    panel: Callable[..., Panel], site: Site
) -> None:
    screen = panel()
    screen.page.route("**/panel.js", lambda route: route.abort())
    with screen.page.expect_event(
        "requestfailed", lambda request: request.url.endswith("/panel.js")
    ):
        screen.page.goto(PAGE)
    sent: list[Request] = []
    screen.page.on("request", lambda request: sent.append(request))

    screen.page.fill("#key", site.keys["busy"])
    # With the button that the script enables: the page's policy stops the browser's own submission.
    screen.page.evaluate("document.querySelector('[type=submit]').disabled = false")
    with screen.page.expect_console_message(lambda message: "form-action" in message.text):
        screen.page.keyboard.press("Enter")

    assert not [request for request in sent if "icon.svg" not in request.url]
    assert screen.page.url == f"{site.server.url}{PAGE}"
    screen.console.clear()


def test_a_model_named_like_markup_is_text(panel: Callable[..., Panel], site: Site) -> None:
    name = "<img src=x onerror=alert(1)>"
    item = {"name": name, "cost": 1, "requests": 1, "prompt_tokens": 1, "completion_tokens": 1}
    body = {
        "object": "list",
        "total_usage": 1,
        "daily_costs": [{"timestamp": 0, "line_items": [item]}],
    }
    screen = panel().open()
    screen.page.route("**/usage?include=*", lambda route: route.fulfill(json=body))

    screen.ask(site.keys["busy"])

    screen.shows("#days tbody", name)
    assert screen.page.locator("main img").count() == 0
