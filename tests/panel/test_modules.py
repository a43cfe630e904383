"""The pure functions of the page's modules, called in the browser that runs them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.panel.conftest import DAY, Panel
from tests.support.hostile_names import CSV_CELLS
from tests.support.site import Site

#: The colours of six names.
COLOURS_OF_NAMES = [0, 1, 4, 0, 1, 2]

#: Calls an exported function; the result as JSON has it.
CALL = """async ([module, name, args]) => {
    const { [name]: called } = await import(`./panel/${module}.js`);
    try {
        return JSON.parse(JSON.stringify(called(...args)));
    } catch (error) {
        if (error.kind === undefined) throw error;
        return { kind: error.kind, details: error.details };
    }
}"""

Call = Callable[..., Any]


@pytest.fixture(scope="module")
def call(chromium: Browser, site: Site) -> Iterator[Call]:
    """Calls `module.function(*arguments)`; a Failure is returned as its kind and details.

    In one page for all tests: no pure function can leave anything in it.
    """
    screen = Panel(chromium, site.server.url).open()
    yield lambda module, name, *args: screen.page.evaluate(CALL, [module, name, args])
    screen.close()


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 0, [0, 1]),
        (0, 1, [0, 0.25, 0.5, 0.75, 1]),
        (0, 7, [0, 2, 4, 6, 8]),
        (0, 100, [0, 25, 50, 75, 100]),
        (-3, 9, [-5, 0, 5, 10]),
        (0, 1e12, [0, 2.5e11, 5e11, 7.5e11, 1e12]),
    ],
)
def test_the_ticks_are_round_and_enclose_every_value(
    call: Call, low: float, high: float, expected: list[float]
) -> None:
    assert call("chart", "ticks", low, high) == expected


def test_the_ticks_keep_equal_steps_at_every_size(call: Call) -> None:
    for power in range(-9, 12):
        for factor in (1.01, 2.4, 3.3, 5.0, 9.99):
            high = factor * 10.0**power
            marks = call("chart", "ticks", -high / 3, high)

            steps = [after - before for before, after in pairwise(marks)]
            assert marks[0] <= -high / 3 * 0.999999
            assert marks[-1] >= high * 0.999999
            assert 3 <= len(marks) <= 8
            assert max(steps) == pytest.approx(min(steps))


@pytest.mark.parametrize(
    ("period", "today", "first", "last"),
    [
        ({"range": "7d"}, "2026-12-31", "2026-12-25", "2026-12-31"),
        ({"range": "90d"}, "2026-12-31", "2026-10-03", "2026-12-31"),
        ({"range": "month"}, "2026-12-31", "2026-12-01", "2026-12-31"),
        ({"range": "month"}, "2028-02-29", "2028-02-01", "2028-02-29"),
        ({"range": "30d"}, "2026-03-01", "2026-01-31", "2026-03-01"),
        (
            {"range": "custom", "first": "1970-01-02", "last": "1970-01-02"},
            *("2026-12-31", "1970-01-02", "1970-01-02"),
        ),
        ({"range": "7d", "first": "1970-01-02"}, "2027-01-01", "2026-12-26", "2027-01-01"),
    ],
)
def test_a_period_ends_today_unless_it_is_custom(
    call: Call, period: dict[str, object], today: str, first: str, last: str
) -> None:
    assert call("dates", "bounds", period, today) == {"first": first, "last": last}


@pytest.mark.parametrize(
    ("name", "period"),
    [
        ("7d", {"range": "7d"}),
        ("month", {"range": "month"}),
        (
            "2026-01-31..2026-02-01",
            {"range": "custom", "first": "2026-01-31", "last": "2026-02-01"},
        ),
        ("2026-02-01..2026-01-31", None),
        ("2025-01-01..2026-01-02", None),
        ("2026-13-01..2026-13-02", None),
        ("2026-01-01..2026-01-02..2026-01-03", None),
        ("8d", None),
        ("toString", None),
        ("", None),
        (None, None),
    ],
)
def test_an_address_names_a_range_or_none(
    call: Call, name: str | None, period: dict[str, str] | None
) -> None:
    assert call("dates", "namedPeriod", name) == period
    if period is not None:
        assert call("dates", "periodName", period) == name


def item(name: str, cost: float, requests: int = 1, tokens: int | None = 0) -> dict[str, object]:
    """A line item as the routes return it, its cost in cents."""
    return {
        "name": name,
        "cost": cost,
        "prompt_tokens": tokens,
        "completion_tokens": tokens,
        "requests": requests,
    }


def day(date: str, **costs: float) -> dict[str, object]:
    """A day as the page has it."""
    return {"date": date, "items": [item(name, cost) for name, cost in costs.items()]}


#: Calls byModel and the functions that take its rows.
ROWS = """async ([lists, metric]) => {
    const { byModel, ranked, total } = await import("./panel/sums.js");
    const rows = byModel(lists);
    return [ranked(rows.values(), metric), total(rows.values(), "all")];
}"""


def row(
    name: str, cost: float, tokens: int = 0, requests: int = 1, partly: bool = False
) -> dict[str, object]:
    return {"name": name, "cost": cost, "tokens": tokens, "requests": requests, "partly": partly}


def test_totals_are_in_dollars_with_the_highest_first(chromium: Browser, site: Site) -> None:
    lists = [
        [item("a", 100), item("b", 250, 2, 7)],
        [],
        [item("a", 300), item("c", -50, 0), item("d", 250, 9, None), item("d", 0, 0, 3)],
    ]
    screen = Panel(chromium, site.server.url).open()

    by_cost, whole = screen.page.evaluate(ROWS, [lists, "cost"])
    by_requests, _ = screen.page.evaluate(ROWS, [lists, "requests"])
    nothing = screen.page.evaluate(ROWS, [[], "cost"])
    screen.close()

    assert by_cost == [
        row("a", 4, requests=2),
        row("b", 2.5, 14, 2),
        row("d", 2.5, 6, 9, partly=True),
        row("c", -0.5, requests=0),
    ]
    assert [each["name"] for each in by_requests] == ["d", "a", "b", "c"]
    assert whole == row("all", 8.5, 20, 13, partly=True)
    assert nothing == [[], row("all", 0, requests=0)]


@pytest.mark.parametrize(
    ("models", "named", "rest"), [(1, 1, False), (6, 6, False), (7, 7, False), (8, 6, True)]
)
def test_the_chart_has_seven_series_at_most(
    call: Call, models: int, named: int, rest: bool
) -> None:
    names = [f"model-{number}" for number in range(models)]

    assert call("daily", "series", names) == {"named": names[:named], "hasRest": rest}


def test_a_name_has_one_colour_for_ever(call: Call) -> None:
    """Literal: another release gives no model another colour."""
    names = ["gpt-4o", "claude-sonnet-4", "deepseek-chat", "gemini-2.5-pro", "文心-4.5", ""]

    assert [call("chart", "colourOf", name) for name in names] == COLOURS_OF_NAMES
    many = [call("chart", "colourOf", f"model-{number}") for number in range(120)]
    assert {*range(6)} == set(many)
    assert max(Counter(many).values()) < 40


@pytest.mark.parametrize(
    ("days", "unit", "bars"), [(1, "day", 1), (92, "day", 92), (93, "week", 14), (366, "month", 13)]
)
def test_long_ranges_have_bars_of_weeks_and_months(
    call: Call, days: int, unit: str, bars: int
) -> None:
    """From Wednesday, 2026-01-28."""
    dates = [date(2026, 1, 28) + timedelta(each) for each in range(days)]

    found = call("sums", "bars", [day(str(each), m=1) for each in dates])

    assert (len(found), {bar["unit"] for bar in found}) == (bars, {unit})
    assert (found[0]["first"], found[-1]["last"]) == ("2026-01-28", str(dates[-1]))
    assert sum(len(bar["lists"]) for bar in found) == days
    starts = [date.fromisoformat(bar["first"]) for bar in found[1:]]
    assert all(start.weekday() == 0 for start in starts if unit == "week")
    assert all(start.day == 1 for start in starts if unit == "month")


def test_the_csv_quotes_cells_and_computes_none(call: Call) -> None:
    names = {"a,b": 10, 'say "x"': 0.1, "+1": 20, "two\nlines": 1e-7}
    days = [day("1970-01-02", **names), {"date": "1970-01-03", "items": [item("m", 5, 2, None)]}]

    text = call("takeaway", "csvText", days, "USD")

    assert text == (
        "\ufeffday,model,cost (USD),prompt_tokens,completion_tokens,requests\r\n"
        '1970-01-02,"a,b",0.1,0,0,1\r\n'
        '1970-01-02,"say ""x""",0.001,0,0,1\r\n'
        "1970-01-02,'+1,0.2,0,0,1\r\n"
        "1970-01-02,two?lines,1e-9,0,0,1\r\n"
        "1970-01-03,m,0.05,,,2\r\n"
    )
    assert call("takeaway", "csvText", [], None) == (
        "\ufeffday,model,cost,prompt_tokens,completion_tokens,requests\r\n"
    )


def test_no_name_is_a_formula_or_a_control_sequence_in_a_csv_file(call: Call) -> None:
    assert {name: call("takeaway", "csvCell", name) for name in CSV_CELLS} == CSV_CELLS


@pytest.mark.parametrize(
    ("key", "user", "caller"),
    [
        ("sk-abc", "", {"key": "sk-abc", "user": ""}),
        ("  sk-abc\n", " 7 ", {"key": "sk-abc", "user": "7"}),
        ("Bearer sk-abc", "", {"key": "sk-abc", "user": ""}),
        ("bearer \t sk-abc", "", {"key": "sk-abc", "user": ""}),
        ("Bearersk-abc", "", {"key": "Bearersk-abc", "user": ""}),
        ("", "7", {"kind": "empty", "details": []}),
        (" \t ", "", {"kind": "empty", "details": []}),
        ("sk-a b", "", {"kind": "malformed", "details": []}),
        ("sk-密钥", "", {"kind": "malformed", "details": []}),
        ("sk-a\x7f", "", {"kind": "malformed", "details": []}),
        ("sk-abc", "alice", {"kind": "badUser", "details": []}),
        ("sk-abc", "-7", {"kind": "badUser", "details": []}),
        ("sk-abc", "٧", {"kind": "badUser", "details": []}),
        ("“sk-abc”", "", {"key": "sk-abc", "user": ""}),
        ("'sk-abc',", '"7"', {"key": "sk-abc", "user": "7"}),
        ("「sk-abc」", "", {"key": "sk-abc", "user": ""}),
        ("OPENAI_API_KEY=sk-abc", "", {"key": "sk-abc", "user": ""}),
        ('export OPENAI_API_KEY="sk-abc";', "", {"key": "sk-abc", "user": ""}),
        ("$env:OPENAI_API_KEY = 'sk-abc'", "", {"key": "sk-abc", "user": ""}),
        ('"api_key": "sk-abc",', "", {"key": "sk-abc", "user": ""}),
        ("Authorization: Bearer sk-abc", "", {"key": "sk-abc", "user": ""}),
        ('"Authorization: Bearer sk-abc"', "", {"key": "sk-abc", "user": ""}),
        ("\u200bsk-a\u2060bc\ufeff", "\u200b7", {"key": "sk-abc", "user": "7"}),
        ("ｓｋ－ａｂｃ１", "４２", {"key": "sk-abc1", "user": "42"}),
        ("sk-a=b", "", {"key": "sk-a=b", "user": ""}),
        ("sk-a'b", "", {"key": "sk-a'b", "user": ""}),
        ('""', "", {"kind": "empty", "details": []}),
        ("OPENAI_API_KEY=", "", {"kind": "empty", "details": []}),
    ],
)
def test_a_pasted_key_is_trimmed_and_checked(
    call: Call, key: str, user: str, caller: dict[str, object]
) -> None:
    assert call("pasted", "parseCaller", key, user) == caller


UNEXPECTED = {"kind": "unexpected", "details": [200, ""]}


@pytest.mark.parametrize(
    ("limit", "used", "until", "expected"),
    [
        (100, 2500, 0, {"limit": 100, "used": 25, "remaining": 75, "until": 0, "unlimited": False}),
        # In doubles, 0.3 - 0.1 - 0.2 leaves -2.8e-17.
        (0.1 + 0.2, 30, 7, {"remaining": 0, "used": 0.3, "until": 7}),
        (1, 250, 0, {"remaining": -1.5}),
        (100000000, 1, 0, {"unlimited": True}),
        (225000000, 12500000000, 0, {"unlimited": True, "used": 125000000}),
        (1.25e18 + 1e8, 1.25e20, 0, {"unlimited": True}),
        (225000001, 12500000000, 0, {"unlimited": False, "remaining": 100000001}),
        (100000001, 100, 0, {"unlimited": False}),
        (None, 0, 0, UNEXPECTED),
        (1, None, 0, UNEXPECTED),
        (1, "0", 0, UNEXPECTED),
        (1, 0, None, UNEXPECTED),
    ],
)
def test_figures_are_read_exactly_or_not_at_all(
    call: Call, limit: object, used: object, until: object, expected: dict[str, object]
) -> None:
    subscription = {"hard_limit_usd": limit, "access_until": until}

    figures = call("api", "parseFigures", subscription, {"total_usage": used})

    assert {name: figures.get(name) for name in expected} == expected


GOOD = item("m", 1)


@pytest.mark.parametrize(
    "days",
    [
        None,
        {},
        [None],
        [{"timestamp": 0}],
        [{"timestamp": None, "line_items": []}],
        [{"timestamp": 0, "line_items": [{**GOOD, "cost": None}]}],
        [{"timestamp": 0, "line_items": [{**GOOD, "name": None}]}],
        [{"timestamp": 0, "line_items": [{**GOOD, "requests": None}]}],
        [{"timestamp": 0, "line_items": [{**GOOD, "prompt_tokens": "1"}]}],
        [{"timestamp": 0, "line_items": [{"name": "m", "cost": 1}]}],
        [{"timestamp": 0, "line_items": [None]}],
    ],
)
def test_a_day_without_its_costs_is_no_zero(call: Call, days: object) -> None:
    assert call("api", "parseDailyCosts", {"daily_costs": days}, "UTC") == UNEXPECTED


def test_days_without_usage_are_days(call: Call) -> None:
    items = [item("m", 0, tokens=None)]
    days = [{"timestamp": 0, "line_items": []}, {"timestamp": DAY, "line_items": items}]
    tokens = [{**item("ci", 3), "id": "1"}]

    body = {"daily_costs": days, "period_refunded": 5, "logs_since": 7, "api_keys": tokens}
    known = [{"date": "1970-01-01", "items": []}, {"date": "1970-01-02", "items": items}]
    assert call("api", "parseDailyCosts", body, "UTC") == {
        "days": known,
        "refunded": 5,
        "since": 7,
        "counted": True,
        "tokens": tokens,
    }


@pytest.mark.parametrize(
    ("zone", "midnights", "dates"),
    [
        # Berlin's clocks change on 2026-10-25, which has 25 hours.
        (
            "Europe/Berlin",
            [1792792800, 1792879200, 1792969200],
            ["2026-10-24", "2026-10-25", "2026-10-26"],
        ),
        ("Asia/Kolkata", [1793471400], ["2026-11-01"]),
        # Clocks leap over midnight: the day begins at 01:00.
        ("America/Havana", [1772946000], ["2026-03-08"]),
    ],
)
def test_days_are_the_zones_dates(
    call: Call, zone: str, midnights: list[int], dates: list[str]
) -> None:
    days = [{"timestamp": second, "line_items": []} for second in midnights]

    found = call("api", "parseDailyCosts", {"daily_costs": days}, zone)

    assert [each["date"] for each in found["days"]] == dates


@pytest.mark.parametrize("field", ["period_refunded", "logs_since", "api_keys"])
def test_a_figure_that_is_none_is_no_figure(call: Call, field: str) -> None:
    assert call("api", "parseDailyCosts", {"daily_costs": [], field: "1"}, "UTC") == UNEXPECTED
