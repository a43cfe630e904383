"""How the values that people write are read."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.parsing import check_text, parse_timestamp, usd_to_quota

UNIT = Fraction(500_000)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1700000000", 1_700_000_000),
        ("253402300799", 253_402_300_799),
        ("2026-08-05", 1_785_888_000),
        ("20260805", 1_785_888_000),
        ("2026-08-05T12:00:00", 1_785_931_200),
        ("2026-08-05 12:00", 1_785_931_200),
        ("2026-08-05T12:00:00Z", 1_785_931_200),
        ("2026-08-05T20:00:00+08:00", 1_785_931_200),
        ("2026-08-05T12:00:00.999", 1_785_931_200),
    ],
)
def test_a_time_is_unix_seconds_or_iso_8601_in_utc(text: str, seconds: int) -> None:
    assert parse_timestamp(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "12",
        "1785931200000",
        "-5",
        "0",
        "2026-11-31",
        "2026-8-5",
        "1970-01-01",
        "1969-12-31",
        "0001-01-01",
        "9999-12-31T23:59:59-08:00",
        "253402300800",
        "１７８５９３１２００",
        "9" * 400,
    ],
)
def test_what_is_no_time_from_1970_to_9999_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^not a "):
        parse_timestamp(text)


@pytest.mark.parametrize(
    ("text", "quota"),
    [
        ("0", 0),
        ("1", 500_000),
        (".5", 250_000),
        ("0.000002", 1),
        ("0.000001", 0),
        ("0.000003", 2),
        ("0.000005", 2),
        ("1e2", 50_000_000),
        ("18014398509.481984", 2**53),
    ],
)
def test_dollars_become_the_nearest_quota_unit_halves_to_even(text: str, quota: int) -> None:
    assert usd_to_quota(text, UNIT) == quota


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-1",
        "+1",
        "nan",
        "inf",
        "1,5",
        "1.2.3",
        ".",
        "1e",
        "1e999",
        "$1",
        " 1",
        "1_0",
        "１",
        "9" * 41,
    ],
)
def test_what_is_no_number_of_dollars_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^not a number of dollars from 0$"):
        usd_to_quota(text, UNIT)


@pytest.mark.parametrize("text", ["18014398509.481986", "1e99", "9" * 40])
def test_more_dollars_than_json_numbers_hold_exactly_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^more than 2\^53 quota units$"):
        usd_to_quota(text, UNIT)


@given(st.integers(0, 2**53))
def test_the_dollars_of_a_quota_are_that_quota_again(quota: int) -> None:
    dollars = f"{quota * 2 // 10**6}.{quota * 2 % 10**6:06}"

    assert usd_to_quota(dollars, UNIT) == quota


@pytest.mark.parametrize("text", ["a", "m" * 64, "gpt-4o", "模型", "🙂", "two words"])
def test_a_name_is_kept_as_it_is(text: str) -> None:
    assert check_text(text, 64) == text


@pytest.mark.parametrize(
    "text", ["", "m" * 65, " a", "a ", "a\nb", "a\tb", "\x1b[31m", "a\u200b", "\ud800", "\x00"]
)
def test_a_name_that_terminals_or_collations_change_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^not 1 to 64 printable characters$"):
        check_text(text, 64)
