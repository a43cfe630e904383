"""A gateway's options are settings: below the environment, above the defaults."""

from __future__ import annotations

import logging

import pytest

from billing.core.gateway_options import settings_from_options
from tests.support.clock import Clock
from tests.support.gateways import KEY, Gateway, not_on_hubs

UNIT = "general_setting.quota_display_type"
OLD_UNIT = "DisplayInCurrencyEnabled"


@pytest.mark.parametrize(
    ("rows", "unit"),
    [
        ([], None),
        ([(OLD_UNIT, "true")], "USD"),
        ([(OLD_UNIT, "false")], "TOKENS"),
        ([(OLD_UNIT, "True")], "TOKENS"),
        ([(OLD_UNIT, "1")], "TOKENS"),
        ([(UNIT, "CNY")], "CNY"),
        ([(UNIT, "CUSTOM")], "CUSTOM"),
        ([(UNIT, "cny")], "USD"),
        ([(UNIT, "")], "USD"),
        ([(UNIT, "CNY"), (OLD_UNIT, "false")], "TOKENS"),
        ([(OLD_UNIT, "false"), (UNIT, "CNY")], "CNY"),
    ],
)
def test_the_later_display_row_wins(rows: list[tuple[str, str]], unit: str | None) -> None:
    assert settings_from_options(rows).get("DISPLAY_UNIT") == unit


@pytest.mark.parametrize(
    ("text", "scope"), [("true", "token"), ("false", "account"), ("TRUE", "account")]
)
def test_only_the_exact_text_true_is_true(text: str, scope: str) -> None:
    assert settings_from_options([("DisplayTokenStatEnabled", text)]) == {"BILLING_SCOPE": scope}


@pytest.mark.parametrize(
    ("saved", "symbol"),
    [("₿", "₿"), (" R$ ", "R$"), ("long-winded", "long-win"), ("", None), ("a\nb", None)],
)
def test_a_symbol_that_can_be_shown_is_taken(saved: str, symbol: str | None) -> None:
    found = settings_from_options([("general_setting.custom_currency_symbol", saved)])

    assert found.get("CUSTOM_CURRENCY_SYMBOL") == symbol


@not_on_hubs
@pytest.mark.parametrize(
    ("options", "limit", "usage"),
    [
        ({}, 0.002, 0.05),
        ({"QuotaPerUnit": "250000"}, 0.004, 0.1),
        ({"QuotaPerUnit": "1e6"}, 0.001, 0.025),
        ({"QuotaPerUnit": "+250_000"}, 0.004, 0.1),
        ({UNIT: "CNY"}, 0.0146, 0.365),
        ({UNIT: "CNY", "USDExchangeRate": "10"}, 0.02, 0.5),
        ({UNIT: "CUSTOM", "general_setting.custom_currency_exchange_rate": "0.5"}, 0.001, 0.025),
        ({UNIT: "TOKENS"}, 1000, 25000),
        ({OLD_UNIT: "false"}, 1000, 25000),
    ],
)
def test_options_decide_the_figures(
    gateway: Gateway, options: dict[str, str], limit: float, usage: float
) -> None:
    gateway.token(gateway.user())
    for key, value in options.items():
        gateway.option(key, value)

    assert gateway.read("subscription")["hard_limit_usd"] == limit
    assert gateway.read("usage")["total_usage"] == usage


@pytest.mark.parametrize(
    "text", ["", "abc", "0", "-1", "5__0", "_50", "++5", "NaN", "Inf", " 500000", "1e999", "１"]
)
def test_a_number_that_is_none_counts_as_absent_and_is_logged_once(
    newapi: Gateway, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    newapi.token(newapi.user())
    newapi.option("QuotaPerUnit", text)
    clock = Clock()
    client = newapi.client(clock, OPTIONS_REFRESH="1")
    headers = {"Authorization": KEY}

    with caplog.at_level(logging.WARNING, "billing"):
        first = client.get("/dashboard/billing/usage", headers=headers)
        clock.advance(1.1)
        client.get("/dashboard/billing/usage", headers=headers)

    assert first.get_json()["total_usage"] == 0.05
    assert caplog.messages == [
        "the gateway's option for QUOTA_PER_UNIT is no number above 0: ignored"
    ]


def test_the_environment_wins(newapi: Gateway) -> None:
    newapi.token(newapi.user())
    newapi.option("QuotaPerUnit", "1")
    newapi.option(UNIT, "TOKENS")

    answer = newapi.read("subscription", QUOTA_PER_UNIT="1000", DISPLAY_UNIT="USD")

    assert answer["hard_limit_usd"] == 1


def test_options_are_read_again_when_they_are_due(newapi: Gateway) -> None:
    newapi.token(newapi.user())
    clock = Clock()
    client = newapi.client(clock, OPTIONS_REFRESH="3600")
    headers = {"Authorization": KEY}
    before = client.get("/dashboard/billing/usage", headers=headers)
    newapi.option("QuotaPerUnit", "250000")

    clock.advance(3599)
    unchanged = client.get("/dashboard/billing/usage", headers=headers)
    clock.advance(2)
    changed = client.get("/dashboard/billing/usage", headers=headers)

    assert before.json == unchanged.json == {"object": "list", "total_usage": 0.05}
    assert changed.json == {"object": "list", "total_usage": 0.1}
