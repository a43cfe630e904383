"""The pure functions of the page's modules, called in the browser that runs them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.panel.conftest import DAY, Panel
from tests.support.hostile_names import CSV_CELLS
from tests.support.site import Site

#: A Thursday, the last day of a month of 31 days: 2026-12-31, 15:00 UTC.
NOW = 1798729200
TODAY = NOW // DAY * DAY

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
    ("period", "start", "end"),
    [
        ({"choice": "7"}, TODAY - 6 * DAY, TODAY + DAY),
        ({"choice": "90"}, TODAY - 89 * DAY, TODAY + DAY),
        ({"choice": "month"}, TODAY - 30 * DAY, TODAY + DAY),
        ({"choice": "custom", "start": 86400, "end": 172800}, 86400, 172800),
        ({"choice": "7", "start": 86400, "end": 172800}, TODAY - 6 * DAY, TODAY + DAY),
    ],
)
def test_a_period_ends_after_today_unless_it_is_custom(
    call: Call, period: dict[str, object], start: int, end: int
) -> None:
    assert call("daily", "bounds", period, NOW) == {"start": start, "end": end}


def test_a_day_begins_at_midnight_utc(call: Call) -> None:
    before, after = (call("daily", "bounds", {"choice": "7"}, TODAY + DAY + s) for s in (-1, 0))

    assert after["start"] - before["start"] == after["end"] - before["end"] == DAY


def day(timestamp: int, **costs: float) -> dict[str, object]:
    """A day as the routes return it: costs in cents by model."""
    items = [{"name": name, "cost": cost} for name, cost in costs.items()]
    return {"timestamp": timestamp, "line_items": items}


def test_totals_are_in_dollars_with_the_highest_first(call: Call) -> None:
    days = [day(0, a=100, b=250), day(DAY), day(2 * DAY, a=300, c=-50, d=250)]

    assert call("daily", "totals", days) == [["a", 4], ["b", 2.5], ["d", 2.5], ["c", -0.5]]
    assert call("daily", "totals", []) == []


@pytest.mark.parametrize(
    ("models", "named", "rest"), [(1, 1, False), (6, 6, False), (7, 7, False), (8, 6, True)]
)
def test_the_chart_has_seven_colours_at_most(
    call: Call, models: int, named: int, rest: bool
) -> None:
    names = [f"model-{number}" for number in range(models)]

    series = call("daily", "series", [[name, 1] for name in names])

    assert series == {"names": names[:named], "hasRest": rest}


def test_the_csv_quotes_cells_and_computes_none(call: Call) -> None:
    names = {"a,b": 10, 'say "x"': 0.1, "+1": 20, "two\nlines": 1e-7}

    text = call("daily", "csvText", [day(DAY, **names)], "USD")

    assert text == (
        "\ufeffday,model,cost (USD)\r\n"
        '1970-01-02,"a,b",0.1\r\n'
        '1970-01-02,"say ""x""",0.001\r\n'
        "1970-01-02,'+1,0.2\r\n"
        "1970-01-02,two?lines,1e-9\r\n"
    )
    assert call("daily", "csvText", [], None) == "\ufeffday,model,cost\r\n"


def test_no_name_is_a_formula_or_a_control_sequence_in_a_csv_file(call: Call) -> None:
    assert {name: call("daily", "csvCell", name) for name in CSV_CELLS} == CSV_CELLS


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
    ],
)
def test_a_pasted_key_is_trimmed_and_checked(
    call: Call, key: str, user: str, caller: dict[str, object]
) -> None:
    assert call("api", "parseCaller", key, user) == caller


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


@pytest.mark.parametrize(
    "days",
    [
        None,
        {},
        [None],
        [{"timestamp": 0}],
        [{"timestamp": None, "line_items": []}],
        [{"timestamp": 0, "line_items": [{"name": "m", "cost": None}]}],
        [{"timestamp": 0, "line_items": [{"name": None, "cost": 1}]}],
        [{"timestamp": 0, "line_items": [None]}],
    ],
)
def test_a_day_without_its_costs_is_no_zero(call: Call, days: object) -> None:
    assert call("api", "parseDailyCosts", {"daily_costs": days}) == UNEXPECTED


def test_days_without_usage_are_days(call: Call) -> None:
    days = [day(0), day(DAY, m=0)]

    body = {"daily_costs": days, "period_refunded": 5, "logs_since": 7}
    known = {"days": days, "refunded": 5, "since": 7, "counted": True}
    assert call("api", "parseDailyCosts", body) == known


@pytest.mark.parametrize("field", ["period_refunded", "logs_since"])
def test_a_figure_that_is_none_is_no_figure(call: Call, field: str) -> None:
    assert call("api", "parseDailyCosts", {"daily_costs": [], field: "1"}) == UNEXPECTED
