"""How people read the figures: by day and model, by pointer and keyboard, and take them along."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from playwright.sync_api import expect

from tests.panel.conftest import DAY, MODELS, TODAY, USED, Panel, in_dollars, used
from tests.support.site import Site


@pytest.fixture
def busy(panel: Callable[..., Panel], site: Site) -> Panel:
    """The page with the figures of the busy key, and its days."""
    screen = panel().open().ask(site.keys["busy"])
    screen.page.wait_for_selector("#chart svg")
    return screen


def days(screen: Panel) -> int:
    """How many days the chart has."""
    return screen.page.locator(".day").count()


def date(timestamp: int) -> str:
    """As the browser writes it, in British English."""
    return f"{datetime.fromtimestamp(timestamp, UTC):%-d %b %Y}".replace("Sep", "Sept")


def test_the_last_thirty_days_come_first(busy: Panel) -> None:
    assert days(busy) == 30
    busy.shows(".reading strong", in_dollars(used(30)))
    busy.shows(".reading", f"{date(TODAY - 29 * DAY)} – {date(TODAY)}")


@pytest.mark.parametrize(
    ("name", "length"),
    [("7 days", 7), ("90 days", 90), ("This month", datetime.fromtimestamp(TODAY, UTC).day)],
)
def test_a_range_is_picked_with_one_press(busy: Panel, name: str, length: int) -> None:
    busy.pick(name)

    busy.shows(".reading strong", in_dollars(used(length)))
    assert days(busy) == length
    assert busy.page.locator("tfoot td").first.inner_text() == in_dollars(used(length))


def test_a_range_of_ones_own_includes_its_last_day(busy: Panel) -> None:
    first, last = (f"{datetime.fromtimestamp(TODAY - ago * DAY, UTC):%Y-%m-%d}" for ago in (12, 3))
    busy.pick("Custom")

    busy.page.fill("#from", last)
    busy.page.fill("#to", first)
    busy.press("Apply")
    busy.shows("#custom-message", "The last day must not be before the first day")
    busy.save("custom")
    busy.assert_accessible()
    busy.page.fill("#from", first)
    busy.page.fill("#to", last)
    busy.page.press("#to", "Enter")

    busy.shows(".reading strong", in_dollars(used(13) - used(3)))
    assert days(busy) == 10
    assert busy.page.locator("#custom-message").inner_text() == ""


def test_the_table_lists_every_model_and_the_total(busy: Panel) -> None:
    sums: Counter[str] = Counter()
    for ago, model, quota in USED:
        sums[model] += quota if ago < 30 else 0

    lines = busy.page.locator("#days .ranked tbody tr").all()
    rows = [line.locator("th, td").all_inner_texts() for line in lines]

    total = sum(sums.values())
    assert rows == [
        [
            model,
            in_dollars(quota / 500_000),
            f"{quota / total:.1%}",
            f"{tokens(model, 30):,}",
            f"{requests(model, 30)}",
        ]
        for model, quota in sums.most_common()
    ]
    assert busy.page.locator("tfoot").inner_text().split("\t") == [
        "Total",
        in_dollars(used(30)),
        "100.0%",
        f"{sum(tokens(model, 30) for model in sums):,}",
        f"{sum(requests(model, 30) for model in sums)}",
    ]


@pytest.mark.parametrize("metric", ["Tokens", "Requests", "Cost"])
@pytest.mark.parametrize("name", ["7 days", "90 days"])
def test_what_is_shown_agrees_with_the_table_to_the_last_digit(
    busy: Panel, metric: str, name: str
) -> None:
    busy.pick(metric)
    busy.pick(name)
    length = int(name.split()[0])
    expect(busy.page.locator(".day")).to_have_count(length)

    shown = busy.page.locator(".reading strong").inner_text()
    column = ["Cost", "", "Tokens", "Requests"].index(metric)
    cells = busy.page.locator(f"#days .ranked tr > td:nth-of-type({column + 1})").all_inner_texts()
    *rows, total = [Decimal(cell.strip("$").replace(",", "")) for cell in cells]
    assert shown == cells[-1]
    if metric != "Cost":
        assert sum(rows) == total
        counted = {"Tokens": tokens, "Requests": requests}[metric]
        assert total == sum(counted(model, length) for model in MODELS)


def tokens(model: str, days: int) -> int:
    return sum(q + q // 10 for ago, name, q in USED if name == model and ago < days)


def requests(model: str, days: int) -> int:
    return sum(name == model and ago < days for ago, name, _ in USED)


def test_pointing_at_a_day_shows_its_values(busy: Panel) -> None:
    today = [quota for ago, _, quota in USED if ago == 0]

    busy.page.locator(".day").last.hover()

    busy.shows(".reading", date(TODAY))
    busy.shows(".reading strong", in_dollars(sum(today) / 500_000))
    busy.page.locator("h1").hover()
    busy.shows(".reading strong", in_dollars(used(30)))


def test_the_arrow_keys_read_each_day_aloud(busy: Panel) -> None:
    chart = busy.page.get_by_role("slider")
    chart.focus()

    said = []
    for key in ("ArrowLeft", "ArrowLeft", "Home", "End"):
        chart.press(key)
        said.append(chart.get_attribute("aria-valuetext") or "")

    assert [text.partition(":")[0] for text in said] == [
        date(TODAY - ago * DAY) for ago in (0, 1, 29, 0)
    ]
    model, quota = next((model, quota) for ago, model, quota in USED if ago == 0)
    assert f"; {model} {in_dollars(quota / 500_000)}" in said[0]
    busy.shows(".reading", date(TODAY))


def test_the_csv_holds_every_day_and_model_and_no_formula(busy: Panel) -> None:
    with busy.page.expect_download() as download:
        busy.press("Download CSV")

    name, path = download.value.suggested_filename, download.value.path()
    raw = path.read_bytes().decode("utf-8")
    assert name.startswith("usage-")
    assert name.endswith(f"{datetime.fromtimestamp(TODAY, UTC):%Y-%m-%d}.csv")
    assert raw.startswith("\ufeffday,model,cost (USD),")
    header, *rows = csv.reader(io.StringIO(raw.removeprefix("\ufeff"), newline=""))
    counts = ["prompt_tokens", "completion_tokens", "requests"]
    assert header == ["day", "model", "cost (USD)", *counts]
    assert {model for _, model, *_ in rows} == {*MODELS[:-1], "'=cmd()"}
    assert sorted(
        (float(cost), model.removeprefix("'"), *map(int, more)) for _, model, cost, *more in rows
    ) == sorted(
        (quota / 500_000, model, quota, quota // 10, 1) for ago, model, quota in USED if ago < 30
    )


def test_an_account_shows_where_its_credit_came_from(
    panel: Callable[..., Panel], site: Site
) -> None:
    screen = panel().open().ask(site.access_token, site.user_id)

    screen.shows("#grants h2", "Grants and subscriptions")
    row = screen.page.locator("#grants tbody tr").inner_text().split("\t")
    assert (row[:3], row[4]) == (["Credit", "$200.00", "$25.00"], "Never expires")
    screen.save("account")
    screen.assert_accessible()


def test_one_person_reads_it_all_by_keyboard(panel: Callable[..., Panel], site: Site) -> None:
    screen = panel().open()
    press = screen.page.keyboard.press
    focused = screen.page.locator(":focus")

    screen.page.keyboard.insert_text(site.keys["busy"])
    press("Enter")

    screen.shows(".figure", "$")
    screen.page.wait_for_selector("#chart svg")
    expect(focused).to_have_attribute("id", "remaining")
    order = []
    for _ in range(9):
        press("Tab")
        order.append(focused.get_attribute("value") or focused.get_attribute("id"))
    columns = [f"models-{each}" for each in ("title", "cost", "tokens", "requests")]
    assert order == ["30d", "cost", "chart", None, *columns, "csv"]
    press("Tab")
    press("Enter")
    screen.shows("details table", in_dollars(used(1)))
    screen.page.focus("#range-30d")
    press("ArrowRight")
    expect(screen.page.locator(".day")).to_have_count(90)
    press("Tab")
    press("ArrowRight")
    expect(screen.page.locator("#metric-tokens")).to_be_focused()
    press("Tab")
    press("Home")
    screen.shows(".reading", date(TODAY - 89 * DAY))
