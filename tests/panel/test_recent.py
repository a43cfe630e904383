"""What was used of late beside what was before, and how long the rest lasts at that pace."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.panel.conftest import DAY, TODAY, Panel, in_dollars, used
from tests.support.application import Billing
from tests.support.gunicorn import Gunicorn
from tests.support.site import Site

#: Takes uses as days ago and dollars, and options of the token; `grants`: whether they can be read.
Show = Callable[..., Panel]


@pytest.fixture
def show(
    panel: Callable[..., Panel], sqlite_billing: Billing, gunicorn: Callable[..., Gunicorn]
) -> Show:
    """Shows a key with $70 left after those uses, in dollars."""

    def start(uses: list[tuple[int, float]], *options: str, grants: bool = True) -> Panel:
        sqlite_billing.user("alice", 5_000_000_000)
        limit = 70 + sum(usd for _, usd in uses)
        key = sqlite_billing.token("alice", *(options or ("--usd", f"{limit:.2f}")))["key"]
        for ago, usd in uses:
            used = ["--model", "m", "--usd", str(usd), "--at", str(TODAY - ago * DAY)]
            sqlite_billing.run("usage", "record", "1", *used)
        screen = panel(gunicorn(sqlite_billing.env).url).open()
        if not grants:
            screen.page.route("**/credit_grants?*", lambda route: route.fulfill(status=503))
        screen.ask(key)
        expect(screen.page.locator("#recent dl")).to_be_visible()
        screen.shows(".ending", "Key “default”" if grants else key[-4:])
        return screen

    return start


def test_today_the_week_and_the_month_stand_beside_what_was_before(
    panel: Callable[..., Panel], site: Site
) -> None:
    screen = panel().open().ask(site.keys["busy"])

    expect(screen.page.locator("#recent dl")).to_be_visible()
    terms = screen.page.locator("#recent dt").all_inner_texts()
    amounts = screen.page.locator("#recent dd").all_inner_texts()
    day = datetime.fromtimestamp(TODAY, UTC).day
    before = [used(2) - used(1), used(14) - used(7)]
    assert terms == ["Today", "7 days", "This month"]
    assert [text.split("\n")[0] for text in amounts] == [
        in_dollars(used(days)) for days in (1, 7, day)
    ]
    assert amounts[0].endswith(f"yesterday {in_dollars(before[0])}")
    assert amounts[1].endswith(f"the 7 days before {in_dollars(before[1])}")
    change = round((used(7) / before[1] - 1) * 100)
    assert f"{change:+}%".replace("-", "−") in amounts[1]
    assert "the same days last month" in amounts[2]


@pytest.mark.parametrize(
    ("uses", "words"),
    [
        ([(0, 3), (1, 3), (6, 1)], "Lasts about 70 days at the pace of the last 7."),
        ([(0, 490), (1, 490), (6, 980)], "Lasts less than a day at the pace of the last 7."),
        ([(0, 100), (1, 100), (6, 100)], "Lasts about 1 day at the pace of the last 7."),
        ([(0, 0.01), (1, 0.01), (2, 0.01)], "Lasts more than a year"),
    ],
)
def test_the_rest_lasts_so_long_at_the_pace_of_a_week(
    show: Show, uses: list[tuple[int, float]], words: str
) -> None:
    screen = show(uses)

    screen.shows("#recent", words)


@pytest.mark.parametrize(
    ("uses", "options"),
    [
        ([(0, 3.0), (1, 3.0), (7, 1.0)], ()),
        ([(0, 3.0), (1, 3.0), (2, 1.0)], ("--unlimited",)),
        ([(0, 3.0), (1, 3.0), (2, 1.0)], ("--usd", "7")),
    ],
    ids=["two days", "unlimited", "nothing left"],
)
def test_nothing_is_said_where_it_would_be_a_guess(
    show: Show, uses: list[tuple[int, float]], options: tuple[str, ...]
) -> None:
    screen = show(uses, *options)

    assert "at the pace" not in screen.page.locator("#recent").inner_text()


def test_no_pace_of_an_unlimited_key_is_said_while_its_account_is_not_known(show: Show) -> None:
    screen = show([(0, 3), (1, 3), (2, 1)], "--unlimited", grants=False)

    assert "at the pace" not in screen.page.locator("#recent").inner_text()


def test_a_key_that_ends_before_it_is_used_up_is_said_to_last(show: Show) -> None:
    screen = show([(0, 1), (1, 1), (2, 1)], "--usd", "100", "--expires", "+5d")

    screen.shows("#recent", "At the pace of the last 7 days it lasts until the key expires.")


#: Calls a function of recent.js.
CALL = """async ([name, args]) => {
    const { [name]: called } = await import("./panel/recent.js");
    return called(...args);
}"""


def day(date: str, cost: float) -> dict[str, Any]:
    item = {"name": "m", "cost": cost, "prompt_tokens": 0, "completion_tokens": 0, "requests": 1}
    return {"date": date, "items": [item] if cost else []}


def test_days_before_are_the_calendars(chromium: Browser, site: Site) -> None:
    screen = Panel(chromium, site.server.url).open()

    march, february = (
        screen.page.evaluate(CALL, ["periods", [today]]) for today in ("2026-03-31", "2026-02-09")
    )
    starts = [
        screen.page.evaluate(CALL, ["recentStart", [today]])
        for today in ("2026-03-31", "2026-03-01", "2026-01-05")
    ]
    refunded = [*(day(f"2026-03-0{n}", 5) for n in range(1, 7)), day("2026-03-07", -40)]
    gap = [day(f"2026-03-0{n}", 5) for n in (1, 2, 3, 5, 6, 7)]
    left = [
        screen.page.evaluate(CALL, ["daysLeft", [days, "2026-03-07", 10]])
        for days in (refunded, gap, [*refunded[:6], day("2026-03-07", -10)])
    ]
    screen.close()

    # The whole of February stands beside 31 days of March.
    assert march[2] == ["month", "2026-03-01", "2026-03-31", "2026-02-01", "2026-02-28"]
    assert february == [
        ["today", "2026-02-09", "2026-02-09", "2026-02-08", "2026-02-08"],
        ["week", "2026-02-03", "2026-02-09", "2026-01-27", "2026-02-02"],
        ["month", "2026-02-01", "2026-02-09", "2026-01-01", "2026-01-09"],
    ]
    assert starts == ["2026-02-01", "2026-02-01", "2025-12-01"]
    assert left == [None, None, 10 / 0.2 * 7]
