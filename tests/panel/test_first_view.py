"""The form before the modules are there: whole, in the right language, and it submits nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Request, Route, expect

from tests.panel.conftest import PAGE, Panel
from tests.support.site import Site

#: What the browser prefers: the heading, the fields, the button, the box, the end of the page.
FORMS = {
    "en-GB": [
        *("Balance and usage", "API key or access token", "User ID"),
        *("Show", "Remember in this tab", "Times are in your time zone."),
    ],
    "zh-CN": [
        *("余额与用量", "API 令牌或系统访问令牌", "用户 ID"),
        *("查看", "在此标签页中记住", "时间按您所在的时区显示。"),
    ],
    "zh-TW": [
        *("餘額與用量", "API 令牌或系統存取令牌", "使用者 ID"),
        *("查看", "在此分頁中記住", "時間按您所在的時區顯示。"),
    ],
}


class Modules:
    """The requests for the page's modules, held until the test releases them."""

    def __init__(self) -> None:
        self._held: list[Route] | None = []

    def hold(self, route: Route) -> None:
        if self._held is None:
            route.continue_()
        else:
            self._held.append(route)

    def release(self) -> None:
        """Let these through, and those that the page asks for only now."""
        held, self._held = self._held or [], None
        for route in held:
            route.continue_()


@pytest.fixture
def modules() -> Modules:
    return Modules()


@pytest.fixture
def waiting(panel: Callable[..., Panel], modules: Modules) -> Callable[..., Panel]:
    """Opens a page that goes on waiting for its modules."""

    def start(path: str = PAGE, **options: object) -> Panel:
        screen = panel(**options)
        screen.page.route("**/*.js", modules.hold)
        screen.page.goto(path, wait_until="commit")
        return screen

    return start


def shows_form(screen: Panel, locale: str) -> None:
    """The names are what a screen reader says: without those of the other languages."""
    heading, key, user, button, box, end = FORMS[locale]
    page = screen.page
    expect(page.get_by_role("heading", name=heading, exact=True)).to_be_visible()
    expect(page.get_by_role("textbox", name=key, exact=True)).to_be_visible()
    expect(page.get_by_role("textbox", name=user, exact=True)).to_be_visible()
    expect(page.get_by_role("button", name=button, exact=True)).to_be_visible()
    expect(page.get_by_role("checkbox", name=box, exact=True)).to_be_visible()
    expect(page.locator("footer")).to_have_text(end, use_inner_text=True)
    expect(page).to_have_title(heading)


@pytest.mark.parametrize("locale", FORMS)
def test_the_form_is_there_in_the_visitors_language_before_the_modules(
    waiting: Callable[..., Panel], site: Site, locale: str
) -> None:
    screen = waiting(locale=locale)

    shows_form(screen, locale)

    expect(screen.page.locator("[type=submit]")).to_be_disabled()
    expect(screen.page.get_by_role("button", name="English")).to_be_disabled()
    screen.save(f"form-before-modules-{locale}")
    screen.assert_accessible()


def test_the_modules_wait_until_the_form_is_painted(panel: Callable[..., Panel]) -> None:
    screen = panel()
    screen.page.add_init_script("requestAnimationFrame = (paint) => (globalThis.paint = paint)")

    screen.page.goto(PAGE)

    shows_form(screen, "en-GB")
    assert [request.url for request in screen.requests if request.url.endswith(".js")] == []
    screen.page.evaluate("paint()")
    expect(screen.page.locator("[type=submit]")).to_be_enabled()


def test_a_page_in_the_background_loads_its_modules_all_the_same(
    panel: Callable[..., Panel],
) -> None:
    screen = panel()
    screen.page.add_init_script(
        "Object.defineProperty(document, 'hidden', { value: true });"
        "requestAnimationFrame = () => {};"
    )

    screen.open()

    expect(screen.page.locator("[type=submit]")).to_be_enabled()


def test_a_page_that_is_hidden_before_its_first_frame_loads_its_modules_then(
    panel: Callable[..., Panel],
) -> None:
    screen = panel()
    screen.page.add_init_script("requestAnimationFrame = () => {}")
    screen.page.goto(PAGE)
    assert [request.url for request in screen.requests if request.url.endswith(".js")] == []

    screen.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")

    expect(screen.page.locator("[type=submit]")).to_be_enabled()


def test_the_language_of_the_address_comes_before_the_browsers(
    waiting: Callable[..., Panel], site: Site
) -> None:
    screen = waiting(f"{PAGE}?lang=zh-TW", locale="en-GB")

    shows_form(screen, "zh-TW")


@pytest.mark.parametrize("locale", FORMS)
def test_the_form_stays_as_it_is_when_the_modules_come(
    waiting: Callable[..., Panel], modules: Modules, site: Site, locale: str
) -> None:
    screen = waiting(locale=locale)
    shows_form(screen, locale)
    screen.page.fill("#key", site.keys["example"])
    screen.page.focus("#user")
    boxes = """[...document.querySelectorAll("h1, #key-form *:not(#eye, #eye *), footer")].map(
        (node) => JSON.stringify(node.getBoundingClientRect())
    )"""
    before = screen.page.evaluate(boxes)

    modules.release()

    expect(screen.page.locator("[type=submit]")).to_be_enabled()
    shows_form(screen, locale)
    assert screen.page.evaluate(boxes) == before
    expect(screen.page.locator("#user")).to_be_focused()
    screen.page.press("#user", "Enter")
    screen.shows(".figure", "$75.00")


def test_the_key_has_the_focus_unless_somebody_is_in_another_field(
    waiting: Callable[..., Panel], modules: Modules, site: Site
) -> None:
    screen = waiting()
    shows_form(screen, "en-GB")

    modules.release()

    expect(screen.page.locator("#key")).to_be_focused()


def test_nothing_is_submitted_before_the_modules_are_there(
    waiting: Callable[..., Panel], site: Site
) -> None:
    screen = waiting()
    shows_form(screen, "en-GB")
    sent: list[Request] = []
    screen.page.on("request", lambda request: sent.append(request))

    screen.page.fill("#key", site.keys["busy"])
    screen.page.press("#key", "Enter")
    screen.page.press("#user", "Enter")
    screen.page.click("[type=submit]", force=True)
    screen.page.wait_for_timeout(300)

    assert not [request for request in sent if "/panel/" not in request.url]
    assert screen.page.url == f"{site.server.url}{PAGE}"
    assert screen.console == []


@pytest.mark.parametrize(
    ("locale", "words"),
    [
        ("en-GB", "This page needs JavaScript."),
        ("zh-CN", "此页面需要启用 JavaScript。"),
        ("zh-TW", "此頁面需要啟用 JavaScript。"),
    ],
)
def test_a_browser_without_scripts_is_told_what_is_missing(
    panel: Callable[..., Panel], site: Site, locale: str, words: str
) -> None:
    screen = panel(locale=locale, java_script_enabled=False)
    screen.page.goto(PAGE)

    expect(screen.page.locator("#page")).to_have_text(
        f"{FORMS[locale][0]}\n{words}", use_inner_text=True
    )
    screen.save(f"form-without-scripts-{locale}")
