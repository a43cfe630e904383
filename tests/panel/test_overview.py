"""The card with the balance: whose it is, what its state is, and what one takes along."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.panel.conftest import PAGE, Panel
from tests.support.application import Billing
from tests.support.gunicorn import Gunicorn
from tests.support.site import Site


def test_an_account_is_called_by_its_name(panel: Callable[..., Panel], site: Site) -> None:
    screen = panel().open().ask(site.access_token, site.user_id)

    expect(screen.page.locator(".ending")).to_have_text("Account alice")


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({}, "its own figures"),
        ({"BILLING_SCOPE": "account"}, "the figures of its account"),
        ({"BILLING_SCOPE": "spendable"}, "what it can spend"),
    ],
)
def test_a_key_is_called_by_its_name_and_whose_figures_it_shows(
    panel: Callable[..., Panel],
    sqlite_billing: Billing,
    gunicorn: Callable[..., Gunicorn],
    env: dict[str, str],
    words: str,
) -> None:
    sqlite_billing.user("alice", 5_000_000)
    key = sqlite_billing.token("alice", "--usd", "10", "--name", "ci")["key"]

    screen = panel(gunicorn({**sqlite_billing.env, **env}).url).open().ask(key)

    named = f"Key “ci” (…{key[-4:]}) · {words}"
    expect(screen.page.locator(".ending")).to_have_text(named)


def test_a_key_that_is_nearly_empty_is_not_called_active(
    panel: Callable[..., Panel], sqlite_billing: Billing, gunicorn: Callable[..., Gunicorn]
) -> None:
    sqlite_billing.user("alice", 50_000_000)
    key = sqlite_billing.token("alice", "--usd", "10")["key"]
    sqlite_billing.execute("UPDATE tokens SET remain_quota = 2300, used_quota = 4997700")

    screen = panel(gunicorn(sqlite_billing.env).url).open().ask(key)

    screen.shows(".ending", "default")
    screen.shows(".chip.low", "Almost used up")
    assert screen.page.locator(".figure").inner_text() == "$0.0046"
    assert screen.facts()[:2] == ["$9.9954\n99.95% used", "$10.00"]
    meter = screen.page.get_by_role("meter", name="Used")
    expect(meter).to_have_attribute("aria-valuetext", "$9.9954 used of $10.00")
    screen.save("low")
    screen.assert_accessible()


def test_what_an_expired_key_has_left_is_not_usable(
    panel: Callable[..., Panel], site: Site
) -> None:
    screen = panel().open().ask(site.keys["example"])

    screen.shows(".unit", "cannot be used any more: the key has expired")
    figure = screen.page.locator(".figure")
    expect(figure).to_have_css("text-decoration-line", "line-through")
    screen.assert_accessible()


def test_a_period_without_use_says_when_the_last_was(
    panel: Callable[..., Panel], sqlite_billing: Billing, gunicorn: Callable[..., Gunicorn]
) -> None:
    user = sqlite_billing.user("alice", 50_000_000)
    token = sqlite_billing.token("alice", "--usd", "10")
    fresh = sqlite_billing.token("alice", "--usd", "10")
    used = ["--model", "m", "--usd", "1", "--at", "2026-03-05T06:07"]
    sqlite_billing.run("usage", "record", str(token["id"]), *used)
    url = gunicorn(sqlite_billing.env).url

    of_key = panel(url).open().ask(token["key"])
    of_account = panel(url).open().ask(user["access_token"], user["id"])
    of_fresh = panel(url).open().ask(fresh["key"])

    words = "No usage in this period. The last use was on 5 Mar 2026, 14:00 GMT+8."
    of_key.shows("#days", words)
    of_account.shows("#days", words)
    of_fresh.shows(".ending", "Key")
    expect(of_fresh.page.locator("#days .note")).to_have_text("No usage in this period.")


@pytest.mark.parametrize("is_secure", [True, False])
def test_a_summary_is_copied_without_the_key(
    panel: Callable[..., Panel], site: Site, is_secure: bool
) -> None:
    screen = panel(permissions=["clipboard-read", "clipboard-write"])
    if not is_secure:
        # As in a page without HTTPS.
        screen.page.add_init_script("Object.defineProperty(navigator, 'clipboard', {})")
    screen.open().ask(site.keys["busy"])
    screen.shows("#recent", "This month")
    screen.shows(".ending", "busy")

    screen.press("Copy summary")

    expect(screen.page.locator("#copy")).to_have_text("Copied")
    reader = screen.context.new_page()
    reader.goto(PAGE)
    text = reader.evaluate("navigator.clipboard.readText()")
    assert text.startswith("Key “busy” · its own figures\nRemaining: $60.99\n")
    assert "\nThis month: $" in text
    assert "20:00" in text.rpartition("\n")[2]
    assert site.keys["busy"][-4:] not in text
    assert len(text.split("\n")) == 9


def test_an_eye_shows_the_key_until_it_is_sent(panel: Callable[..., Panel], site: Site) -> None:
    screen = panel().open()
    key = screen.page.locator("#key")
    screen.page.fill("#key", "sk-unknown")

    screen.press("Show the key")

    expect(key).to_have_attribute("type", "text")
    expect(screen.page.locator("#eye")).to_have_attribute("aria-pressed", "true")
    screen.save("form-key-shown")
    screen.assert_accessible()
    screen.press("Hide the key")
    expect(key).to_have_attribute("type", "password")
    screen.press("Show the key")
    screen.ask(site.keys["busy"]).shows(".figure", "$")
    screen.press("Another key")
    expect(key).to_have_attribute("type", "password")
