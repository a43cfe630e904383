"""What people see when there is no answer: each failure in its own words, and never a figure."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Route, expect

from tests.panel.conftest import PAGE, Panel, fill_with_days
from tests.support.application import Billing
from tests.support.gunicorn import Gunicorn
from tests.support.nginx import Nginx
from tests.support.processes import ROOT, program
from tests.support.site import Site

#: Whose key (or what is pasted), the user's id beside it, and the words.
REFUSALS = {
    "empty": ("", "", "No key entered"),
    "malformed": ("sk-two words", "", "Invalid key"),
    "malformed-zh": ("sk-密钥", "", "Invalid key"),
    "bad-user": ("busy", "alice", "Invalid user ID"),
    "unknown": ("sk-unknown", "", "Unknown key"),
    "revoked": ("revoked", "", "Unknown key"),
    "disabled": ("disabled", "", "Key disabled"),
    "wrong-user": ("busy", "77", "Wrong user ID"),
    "disabled-user": ("of a disabled user", "", "User disabled"),
    "address": ("elsewhere", "", "IP address not allowed"),
}


def tells(screen: Panel, title: str) -> None:
    """The screen says so, in an alert, and shows no figure; there is a way on."""
    screen.shows("#message[role=alert] h2", title)
    assert screen.page.locator("#results").inner_text() == ""
    assert screen.page.locator("#key-form").is_visible()


def keeps(screen: Panel, figure: str, reason: str) -> None:
    """The figures that were read before are there still, with why there are no newer ones."""
    screen.shows("#read[role=alert]", f"They could not be refreshed: {reason}.")
    screen.shows("#read", "These are the figures of 20:00.")
    screen.shows(".figure", figure)
    expect(screen.page.locator("#message")).to_be_empty()
    expect(screen.page.locator("#key-form")).to_be_hidden()
    screen.assert_accessible()


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refused_key_is_told_why(panel: Callable[..., Panel], site: Site, name: str) -> None:
    key, user_id, title = REFUSALS[name]

    screen = panel().open().ask(site.keys.get(key, key), user_id)

    tells(screen, title)
    screen.save(f"error-{name}")


def test_an_access_token_without_its_users_id_is_told_what_is_missing(
    panel: Callable[..., Panel], site: Site
) -> None:
    screen = panel().open().ask(site.access_token)

    tells(screen, "Unknown key")
    screen.shows("#message", "An access token also needs its user ID")
    screen.ask(site.access_token, site.user_id).shows(".figure", "$175.00")


def test_the_reasons_are_told_in_chinese_too(panel: Callable[..., Panel], site: Site) -> None:
    screen = panel(locale="zh-CN").open().ask(site.keys["disabled"])

    tells(screen, "该令牌已被禁用")
    screen.save("error-disabled-chinese")


@pytest.fixture
def billing(tmp_path: Path) -> Billing:
    """A database that a test may take away."""
    held = Billing(f"sqlite:///{tmp_path / 'billing.db'}")
    held.run("init")
    return held


def test_while_the_database_is_away_the_page_says_so_and_can_try_again(
    panel: Callable[..., Panel],
    billing: Billing,
    gunicorn: Callable[..., Gunicorn],
    tmp_path: Path,
) -> None:
    _, keys = fill_with_days(billing)
    billing.close()
    server = gunicorn(billing.env)
    database, away = tmp_path / "billing.db", tmp_path / "away.db"
    database.rename(away)

    screen = panel(server.url).open().ask(keys["example"])

    tells(screen, "Database unavailable")
    screen.save("error-database")
    away.rename(database)
    screen.press("Try again")
    screen.shows(".figure", "$75.00")


def test_when_the_service_stops_the_page_says_so_and_can_try_again(
    panel: Callable[..., Panel], billing: Billing, gunicorn: Callable[..., Gunicorn], tmp_path: Path
) -> None:
    billing.user()
    key = billing.token("alice", "--quota", "500000")["key"]
    billing.close()
    server = gunicorn(billing.env)
    screen = panel(server.url).open().ask(key)
    screen.shows(".figure", "$1.00")

    server.close()
    screen.press("Refresh")

    keeps(screen, "$1.00", "Service unavailable")
    screen.save("error-service")


def test_a_refresh_that_fails_leaves_the_figures_and_can_be_tried_again(
    panel: Callable[..., Panel],
    billing: Billing,
    gunicorn: Callable[..., Gunicorn],
    tmp_path: Path,
) -> None:
    _, keys = fill_with_days(billing)
    billing.close()
    server = gunicorn(billing.env)
    database, away = tmp_path / "billing.db", tmp_path / "away.db"
    screen = panel(server.url).open().ask(keys["busy"])
    screen.shows(".figure", "$60.99")
    expect(screen.page.locator(".day")).to_have_count(30)
    database.rename(away)

    screen.press("Refresh")

    keeps(screen, "$60.99", "Database unavailable")
    expect(screen.page.locator(".day")).to_have_count(30)
    screen.save("stale")
    away.rename(database)
    screen.press("Try again")
    screen.shows("#read", "As of 20:00")
    expect(screen.page.locator("#read[role=alert]")).to_have_count(0)


def test_a_key_that_is_refused_by_now_takes_its_figures_along(
    panel: Callable[..., Panel], billing: Billing, gunicorn: Callable[..., Gunicorn]
) -> None:
    billing.user()
    token = billing.token("alice", "--quota", "500000")
    screen = panel(gunicorn(billing.env).url).open().ask(token["key"])
    screen.shows(".figure", "$1.00")
    billing.run("token", "disable", str(token["id"]))

    screen.press("Refresh")

    tells(screen, "Key disabled")


@pytest.mark.parametrize(
    ("status", "title"), [(500, "The service cannot read its database"), (429, "Too many requests")]
)
def test_nothing_is_said_of_a_key_that_nobody_looked_at(
    panel: Callable[..., Panel], site: Site, status: int, title: str
) -> None:
    screen = panel().open()
    screen.page.route("**/subscription", lambda route: route.fulfill(status=status))

    screen.ask(site.keys["example"])

    tells(screen, title)
    text = screen.page.locator("#message p").inner_text()
    assert "Nothing is wrong" not in text
    assert "could not be checked" in text or "did not look at the key" in text


#: A style of an element so many milliseconds after it came, read from a copy that is paused then.
STYLE_AFTER = """(node, [milliseconds, style]) => {
    const copy = node.cloneNode(true);
    node.after(copy);
    const [animation] = copy.getAnimations();
    animation.pause();
    animation.currentTime = milliseconds;
    const found = getComputedStyle(copy)[style];
    copy.remove();
    return found;
}"""


def test_while_the_first_figures_are_read_the_page_says_so(
    panel: Callable[..., Panel], site: Site
) -> None:
    held: list[Route] = []
    screen = panel().open()
    screen.page.route("**/subscription", lambda route: held.append(route))

    screen.ask(site.keys["example"])

    expect(screen.page.locator(".skeleton [role=status]")).to_have_text("Loading…")
    expect(screen.page.locator(".skeleton")).to_be_visible()
    screen.save("loading")
    screen.assert_accessible()
    for route in held:
        route.continue_()
    screen.shows(".figure", "$75.00")
    expect(screen.page.locator(".skeleton")).to_have_count(0)


def test_what_is_being_read_again_can_be_read(panel: Callable[..., Panel], site: Site) -> None:
    held: list[Route] = []
    screen = panel().open().ask(site.keys["busy"])
    screen.shows("#recent", "Today")
    screen.wait_until_loaded()
    screen.page.route("**/billing/*", lambda route: held.append(route))

    screen.pick("7 days")
    screen.press("Refresh")

    expect(screen.page.locator("main[aria-busy=true] #days[aria-busy=true]")).to_be_visible()
    days = screen.page.locator("#days")
    # axe looks at no filter: tests/web/test_panel.py computes what this one leaves of the contrast.
    filters = [days.evaluate(STYLE_AFTER, [at, "filter"]) for at in (290, 310)]
    assert filters == ["grayscale(0)", "grayscale(1)"]
    screen.save("reading-again")
    screen.assert_accessible()


def test_while_the_first_days_are_read_the_page_says_so(
    panel: Callable[..., Panel], site: Site
) -> None:
    screen = panel().open()
    screen.page.route("**/usage?*", lambda route: None)

    screen.ask(site.keys["example"])

    expect(screen.page.locator("#days .skeleton [role=status]")).to_be_visible()
    screen.assert_accessible()


def test_a_short_wait_shows_nothing_of_it(panel: Callable[..., Panel], site: Site) -> None:
    screen = panel().open()
    screen.page.route("**/subscription", lambda route: None)
    screen.ask(site.keys["example"])
    skeleton = screen.page.locator(".skeleton")

    seen = [skeleton.evaluate(STYLE_AFTER, [at, "visibility"]) for at in (0, 290, 310)]

    assert seen == ["hidden", "hidden", "visible"]


def test_a_service_behind_nginx_that_hangs_or_is_down_is_away(
    panel: Callable[..., Panel], behind_nginx: tuple[Nginx, Gunicorn], site: Site
) -> None:
    nginx, server = behind_nginx
    screen = panel(nginx.url).open()

    # The first process first: it would start other workers.
    for pid in [server.process.pid, *server.workers()]:
        os.kill(pid, signal.SIGKILL)
    server.process.wait()
    screen.ask("sk-whatever")

    tells(screen, "Service unavailable")


def test_an_offline_browser_says_so_and_goes_on_when_it_is_back(
    panel: Callable[..., Panel], site: Site
) -> None:
    screen = panel().open()
    screen.context.set_offline(True)

    screen.ask(site.keys["example"])

    tells(screen, "You are offline")
    screen.save("error-offline")
    screen.context.set_offline(False)
    screen.press("Try again")
    screen.shows(".figure", "$75.00")


@pytest.fixture
def behind_nginx(
    billing: Billing, gunicorn: Callable[..., Gunicorn], tmp_path: Path
) -> Iterator[tuple[Nginx, Gunicorn]]:
    """nginx with deploy/nginx.conf and a low limit: the page and one load of it pass."""
    program("nginx")
    files = len(list((ROOT / "billing/web/panel/static").iterdir()))
    billing.user()
    billing.close()
    server = gunicorn(billing.env, f"--bind=unix:{tmp_path}/socket")
    (tmp_path / "nginx").mkdir()
    changes = {"rate=100r/s": "rate=1r/m", "burst=200 nodelay": f"burst={files + 3} nodelay"}
    nginx = Nginx(tmp_path / "nginx", tmp_path / "socket", changes)
    yield nginx, server
    nginx.close()


def test_too_many_requests_are_told_with_the_seconds_to_wait(
    panel: Callable[..., Panel], behind_nginx: tuple[Nginx, Gunicorn], billing: Billing
) -> None:
    nginx, _ = behind_nginx
    key = billing.token("alice", "--quota", "500000")["key"]
    billing.close()
    screen = panel(nginx.url).open(PAGE.rstrip("/")).ask(key)
    screen.shows(".figure", "$1.00")

    screen.press("Refresh")
    keeps(screen, "$1.00", "Too many requests")
    screen.press("Another key")
    screen.ask(key)

    tells(screen, "Too many requests")
    screen.shows("#message", "did not look at the key. Try again in 2 s.")
    screen.save("error-too-many")


def test_switching_the_language_does_not_extend_the_wait(
    panel: Callable[..., Panel], site: Site
) -> None:
    screen = panel()
    screen.page.clock.install()
    screen.open()
    screen.page.route(
        "**/subscription", lambda route: route.fulfill(status=429, headers={"Retry-After": "600"})
    )
    screen.ask(site.keys["example"])
    tells(screen, "Too many requests")

    screen.page.clock.fast_forward("06:00")
    screen.press("中文")
    expect(screen.page.get_by_role("button", name="重试")).to_be_disabled()
    screen.page.clock.fast_forward("05:00")

    expect(screen.page.get_by_role("button", name="重试")).to_be_enabled()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('{"object":"list"}', "The site answered 200"),
        ('{"object":"list","hard_limit_usd":null,"total_usage":null}', "The site answered 200"),
        ("<html>the gateway's own page</html>", "The site answered 200"),
    ],
)
def test_an_answer_without_figures_is_no_zero(
    panel: Callable[..., Panel], site: Site, body: str, words: str
) -> None:
    screen = panel().open()
    screen.page.route("**/subscription", lambda route: route.fulfill(body=body))

    screen.ask(site.keys["example"])

    tells(screen, "Unexpected response")
    screen.shows("#message", words)
