"""An account's tokens: names, what each used and has left; and the days of one of them alone."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from playwright.sync_api import expect

from tests.panel.conftest import DAY, TODAY, Panel
from tests.panel.test_looks import PHONE
from tests.support.application import Billing
from tests.support.gunicorn import Gunicorn
from tests.support.site import Site


@pytest.fixture
def account(
    panel: Callable[..., Panel], sqlite_billing: Billing, gunicorn: Callable[..., Gunicorn]
) -> Callable[..., Panel]:
    """Shows alice's account: `web` and `batch` used two models, a deleted one one, `idle` none."""
    user = sqlite_billing.user("alice", 100_000_000)
    for name in ("web", "batch", "old", "idle"):
        sqlite_billing.token("alice", "--name", name, "--usd", "10")
    for token, model, usd, ago in [
        *(("1", "gpt-4o", "3.33", 0), ("1", "o4-mini", "0.5", 1), ("2", "gpt-4o", "2.25", 1)),
        *(("2", "gpt-4o", "1.01", 20), ("3", "gpt-4o", "0.25", 5)),
    ]:
        used = ["--model", model, "--usd", usd, "--at", str(TODAY - ago * DAY)]
        counts = ["--prompt-tokens", "1000", "--completion-tokens", "34"]
        sqlite_billing.run("usage", "record", token, *used, *counts)
    sqlite_billing.run("token", "revoke", "3")
    server = gunicorn(sqlite_billing.env)

    def start(**options: object) -> Panel:
        screen = panel(server.url, **options).open().ask(user["access_token"], user["id"])
        screen.page.wait_for_selector("#tokens table")
        return screen

    return start


def rows(screen: Panel, section: str) -> list[list[str]]:
    """The cells of the table in that section, its total last."""
    lines = screen.page.locator(f"{section} .ranked :is(tbody, tfoot) tr").all()
    return [line.locator("th, td").all_inner_texts() for line in lines]


def test_an_account_sees_what_each_token_used_and_has_left(account: Callable[..., Panel]) -> None:
    screen = account()

    found = rows(screen, "#tokens")

    assert [row[:6] for row in found[:-1]] == [
        ["web", "$6.17", "$3.83", "2,068", "2", "$3.83"],
        ["batch", "$6.74", "$3.26", "2,068", "2", "$3.26"],
        ["old", "–", "$0.25", "1,034", "1", "–"],
        ["idle", "$10.00", "$0.00", "0", "0", "$0.00"],
    ]
    assert [row[6] for row in found[2:4]] == ["–", "Never"]
    assert "08:00" in found[0][6]
    assert found[-1][:5] == ["Total", "–", "$7.34", "5,170", "5"]
    screen.save("tokens")
    screen.assert_accessible()


def test_models_tokens_and_days_have_the_same_totals(account: Callable[..., Panel]) -> None:
    screen = account()

    by_token, by_model = rows(screen, "#tokens"), rows(screen, "#days")

    screen.page.locator("summary").click()
    expect(screen.page.locator("details tbody tr")).to_have_count(30)
    days = screen.page.locator("details tbody tr").all()
    by_day = [day.locator("td").all_inner_texts() for day in days]
    whole = by_model[-1]
    assert by_token[-1][2:5] == [whole[1], whole[3], whole[4]]
    assert screen.page.locator(".reading strong").inner_text() == whole[1]
    for cells, place in ((by_token[:-1], 2), (by_model[:-1], 1), (by_day, 0)):
        costs = [Decimal(row[place].strip("$")) for row in cells]
        assert sum(costs) == Decimal(whole[1].strip("$"))


def test_a_token_narrows_the_days_to_its_own(account: Callable[..., Panel]) -> None:
    screen = account()

    screen.press("batch")

    screen.shows(".narrowed", "Only the token “batch”")
    screen.shows(".reading strong", "$3.26")
    assert rows(screen, "#days")[0][:2] == ["gpt-4o", "$3.26"]
    assert rows(screen, "#tokens")[-1][2] == "$7.34"
    expect(screen.page.get_by_role("button", name="batch", exact=True)).to_be_focused()
    screen.assert_accessible()
    screen.pick("7 days")
    screen.shows(".reading strong", "$2.25")
    screen.press("Show the whole account")
    screen.shows(".reading strong", "$6.33")
    expect(screen.page.locator(".narrowed")).to_have_count(0)


def test_the_tokens_fit_a_phone(account: Callable[..., Panel]) -> None:
    screen = account(**PHONE)

    screen.save("phone-tokens")
    screen.assert_accessible()


def test_a_key_sees_no_other_token(panel: Callable[..., Panel], site: Site) -> None:
    screen = panel().open().ask(site.keys["busy"])

    screen.page.wait_for_selector("#chart svg")

    expect(screen.page.locator("#tokens")).to_be_hidden()
    assert "expiring" not in screen.page.content()
