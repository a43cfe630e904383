"""The days of time zones: their lengths, odd midnights, and which names are zones."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.core.days import Period, date_at, day_end, day_start, days_between, time_zone

HOUR = 3600


def hours(first: str, last: str, zone: str) -> list[float]:
    """How long each day is."""
    days = days_between(date.fromisoformat(first), date.fromisoformat(last), time_zone(zone))
    return [(end - start) / HOUR for start, end in days.parts()]


@pytest.mark.parametrize(
    ("zone", "first", "last", "lengths"),
    [
        ("UTC", "2026-03-28", "2026-03-31", [24, 24, 24]),
        ("Europe/Berlin", "2026-03-28", "2026-03-31", [24, 23, 24]),
        ("Europe/Berlin", "2026-10-24", "2026-10-27", [24, 25, 24]),
        ("America/New_York", "2026-03-07", "2026-03-10", [24, 23, 24]),
        ("America/New_York", "2026-10-31", "2026-11-03", [24, 25, 24]),
        ("Australia/Lord_Howe", "2026-04-04", "2026-04-07", [24, 24.5, 24]),
        # Clocks leap from 00:00 to 01:00, and back from 01:00 to 00:00.
        ("America/Havana", "2026-03-07", "2026-03-10", [24, 23, 24]),
        ("America/Havana", "2026-10-31", "2026-11-03", [24, 25, 24]),
        # Samoa went without 2011-12-30.
        ("Pacific/Apia", "2011-12-29", "2012-01-01", [24, 24]),
    ],
)
def test_days_are_as_long_as_clocks_make_them(
    zone: str, first: str, last: str, lengths: list[float]
) -> None:
    assert hours(first, last, zone) == lengths


def test_midnights_are_the_zones() -> None:
    kolkata = days_between(date(2026, 11, 1), date(2026, 11, 3), time_zone("Asia/Kolkata"))
    shanghai = days_between(date(2026, 11, 1), date(2026, 11, 2), time_zone("Asia/Shanghai"))

    # 2026-10-31 18:30, 2026-11-01 18:30 and 2026-11-02 18:30 UTC; 16:00 UTC.
    assert kolkata.bounds == (1793471400, 1793557800, 1793644200)
    assert shanghai.bounds == (1793462400, 1793548800)


@pytest.mark.parametrize(
    ("zone", "first", "last", "span"),
    [
        ("Asia/Shanghai", "2026-01-01", "2026-12-31", 86400),
        ("Asia/Kolkata", "2026-01-01", "2026-12-31", 86400),
        ("Europe/Berlin", "2026-03-01", "2026-04-30", 3600),
        ("Europe/Berlin", "2026-06-01", "2026-08-30", 86400),
        ("Australia/Lord_Howe", "2026-03-01", "2026-04-30", 1800),
    ],
)
def test_as_much_is_summed_at_once_as_all_days_allow(
    zone: str, first: str, last: str, span: int
) -> None:
    days = days_between(date.fromisoformat(first), date.fromisoformat(last), time_zone(zone))

    assert days.span == span


@given(
    st.integers(0, 2**32),
    st.sampled_from(["Europe/Berlin", "Asia/Kolkata", "America/Havana", "Pacific/Apia", "UTC"]),
)
def test_every_second_is_in_the_day_of_its_date(second: int, name: str) -> None:
    zone = time_zone(name)

    start, end = day_start(second, zone), day_end(second, zone)

    assert start <= second < end
    assert date_at(start, zone) == date_at(second, zone) == date_at(end - 1, zone)
    assert Period((start, end)).start_of(second) == start


@pytest.mark.parametrize("name", ["Asia/Shanghai", "Etc/GMT+8", "America/Argentina/Buenos_Aires"])
def test_iana_names_are_zones(name: str) -> None:
    assert time_zone(name) == ZoneInfo(name)
    assert time_zone("UTC") is UTC


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "Mars/Olympus",
        "asia/shanghai",
        "ASIA/SHANGHAI",
        "Asia/Shanghai ",
        "Asia/Shanghai\0",
        "Asia/Shanghai\n",
        "Asia",
        "Asia/",
        "/Asia/Shanghai",
        "Asia//Shanghai",
        "../Asia/Shanghai",
        "Asia/../Asia/Shanghai",
        "/etc/passwd",
        "/etc/localtime",
        "localtime",
        "Factory",
        "posix/Asia/Shanghai",
        "right/Asia/Shanghai",
        "posixrules",
        "tzdata.zi",
        "zone.tab",
        "UTC+8",
        "+08:00",
        "时区",
        "\ud800",
        "A" * 100_000,
        "A/" * 50_000,
    ],
)
def test_what_is_no_iana_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not the IANA name of a time zone"):
        time_zone(name)


def test_dates_at_the_ends_of_the_calendar_have_days() -> None:
    for name in ("Pacific/Kiritimati", "Etc/GMT+12"):
        zone = time_zone(name)
        assert len(days_between(date(1, 1, 1), date(1, 1, 3), zone).bounds) == 3
        assert len(days_between(date(9999, 12, 29), date(9999, 12, 31), zone).bounds) == 3
    with pytest.raises(OverflowError):
        day_end(int(datetime(9999, 12, 31, tzinfo=UTC).timestamp()), UTC)
