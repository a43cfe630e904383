"""A site with callers in every state, and Debian's Chromium to look at it with."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from tests.support.application import Billing
from tests.support.gunicorn import Gunicorn
from tests.support.processes import ROOT, VERSIONS, program
from tests.support.site import Site, fill

#: Where the tests leave what they saw; people look there, git does not.
SCREENSHOTS = ROOT / "tests" / "screenshots"

PAGE = "/dashboard/billing/"

#: Matches once the page's modules have run.
READY = "#languages:enabled"

#: Milliseconds to wait for the screen on a machine that is busy with other things.
PATIENCE = 20_000
expect.set_options(timeout=PATIENCE)

#: How many answers the page waits for.
IN_FLIGHT = """async () => (await import("./panel/api.js")).requestsInFlight()"""

DAY = 86400
TODAY = int(time.time()) // DAY * DAY
NOON = TODAY + DAY // 2

MODELS = ["gpt-4o", "claude-sonnet-4", "deepseek-chat", "gemini-2.5-pro", "qwen3-max", "o4-mini"]
MODELS += ["glm-4.6", "文心-4.5", "=cmd()"]

#: What "busy" used, in quota units: days ago, model, quota. The dearest model comes first. Each use
#: took as many prompt tokens, and a tenth as many completion tokens.
USED = [
    (ago, model, 20_000 * (3 + (ago * 5 + place * 3) % 7) // (place + 1))
    for ago in range(80)
    for place, model in enumerate(MODELS)
    if (ago + place) % 7 != 3 and (place < 4 or ago % place < 2)
]


def used(days: int) -> float:
    """The dollars that "busy" used in the last `days` days."""
    return sum(quota for ago, _, quota in USED if ago < days) / 500_000


def in_dollars(amount: float) -> str:
    return f"${amount:,.2f}"


def fill_with_days(billing: Billing) -> tuple[dict[str, Any], dict[str, str]]:
    """`fill`, and dave's tokens: one with 80 days of use, one that ends in three days."""
    alice, keys = fill(billing)
    billing.user("dave")
    busy = billing.token("dave", "--quota", "50000000", "--name", "busy")
    lines = [
        {
            "token_id": busy["id"],
            "model": model,
            "quota": quota,
            "prompt_tokens": quota,
            "completion_tokens": quota // 10,
            "at": TODAY - ago * DAY,
        }
        for ago, model, quota in USED
    ]
    text = "\n".join(json.dumps(line) for line in lines)
    billing.run("usage", "import", "-", input=text)
    expiring = billing.token("dave", "--quota", "5000000", "--expires", "+3d")
    return alice, {**keys, "busy": busy["key"], "expiring": expiring["key"]}


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The service as the Procfile starts it, over SQLite."""
    folder = tmp_path_factory.mktemp("panel")
    billing = Billing(f"sqlite:///{folder / 'billing.db'}")
    billing.run("init")
    alice, keys = fill_with_days(billing)
    billing.close()
    server = Gunicorn({**billing.env, "WEB_CONCURRENCY": "2"}, folder)
    yield Site(server, alice["id"], alice["access_token"], keys)
    server.close()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    path = program("chromium")
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=quiet)
        VERSIONS.add(f"Chromium {browser.version}")
        yield browser
        browser.close()


class Panel:
    """The page in a browser of its own, and what that browser asked for and said."""

    def __init__(self, browser: Browser, url: str, **options: Any) -> None:
        given = {"locale": "en-GB", "timezone_id": "Asia/Shanghai", **options}
        self.context = browser.new_context(base_url=url, **given)
        self.context.set_default_timeout(PATIENCE)
        self.page: Page = self.context.new_page()
        # A midnight during the tests is none on the screen.
        self.page.add_init_script(f"Date.now = () => {NOON * 1000}")
        self.requests: list[Any] = []
        self.console: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request))
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))

    def _said(self, message: ConsoleMessage) -> None:
        self.console.append(message.text)

    def open(self, path: str = PAGE) -> Panel:
        """Load the page, and wait until its modules are there."""
        self.page.goto(path)
        self.page.wait_for_selector(READY)
        return self

    def reload(self) -> Panel:
        self.page.reload()
        self.page.wait_for_selector(READY)
        return self

    def ask(self, key: str, user_id: object = "") -> Panel:
        """Paste a key, and a user's id, and press Enter."""
        self.page.fill("#key", key)
        self.page.fill("#user", str(user_id))
        self.page.press("#key", "Enter")
        return self

    def press(self, name: str) -> None:
        """Press the button of that name."""
        self.page.get_by_role("button", name=name, exact=True).click()

    def pick(self, name: str) -> None:
        """Choose the range of that name."""
        self.page.get_by_role("radio", name=name, exact=True).check()

    def shows(self, selector: str, text: str) -> None:
        """Wait until the screen says so; the page has texts that are not on it."""
        expect(self.page.locator(selector)).to_contain_text(text, use_inner_text=True)

    def wait_until_loaded(self) -> None:
        """Wait until nothing is being loaded: what comes last moves what is below it."""
        # Not by wait_for_function, which takes the promise itself for true.
        while self.page.evaluate(IN_FLIGHT):
            self.page.wait_for_timeout(20)

    def facts(self) -> list[str]:
        """Used, limit and expiry, as the screen has them."""
        return self.page.locator(".facts dd").all_inner_texts()

    def save(self, name: str) -> None:
        """A screenshot of the whole page, for people."""
        SCREENSHOTS.mkdir(exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)

    def assert_accessible(self) -> None:
        """axe-core finds nothing, and nothing has to be scrolled sideways."""
        found = Axe().run(self.page).response["violations"]
        assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found] == []
        assert self.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0

    def close(self) -> None:
        self.context.close()


@pytest.fixture
def panel(chromium: Browser, site: Site) -> Iterator[Callable[..., Panel]]:
    """Opens browsers on the site, or on another `url`; closes them with the test."""
    opened: list[Panel] = []

    def start(url: str = site.server.url, **options: Any) -> Panel:
        opened.append(Panel(chromium, url, **options))
        return opened[-1]

    yield start
    for each in opened:
        each.close()
        # No script failed, and the page's own policy stopped nothing of it.
        assert each.errors == []
        assert not [line for line in each.console if "Content Security Policy" in line]
