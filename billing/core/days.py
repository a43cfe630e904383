"""The days of a time zone: which unix second each begins with."""

from __future__ import annotations

import math
import re
import zoneinfo
from bisect import bisect_right
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import cache
from itertools import pairwise
from typing import NamedTuple

HOUR, DAY = 3600, 86400

#: The form of every name, so that none is a path; those without a zone's place are left out below.
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_+-]{0,31}(/[A-Za-z][A-Za-z0-9_+-]{0,31}){0,2}", re.ASCII)

#: Files beside the zones: the machine's own zone, and one that says it is none.
_NO_ZONES = {"localtime", "Factory"}

_ONE_DAY = timedelta(days=1)


def time_zone(name: str) -> tzinfo:
    """The zone of an IANA name, spelled as IANA does. Raises ValueError, which names it."""
    if name == "UTC":
        return UTC
    if not _NAME.fullmatch(name) or name not in _known_names():
        raise ValueError(f"{name[:64]!r} is not the IANA name of a time zone, like Asia/Shanghai")
    return zoneinfo.ZoneInfo(name)


@cache
def _known_names() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones() - _NO_ZONES)


def midnight(day: date, zone: tzinfo) -> int:
    """The first second of a day: 00:00, or when clocks leapt over that, the leap."""
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp())


def date_at(second: int, zone: tzinfo) -> date:
    return datetime.fromtimestamp(second, zone).date()


def day_start(second: int, zone: tzinfo) -> int:
    """When the day began that a second is in."""
    return midnight(date_at(second, zone), zone)


def day_end(second: int, zone: tzinfo) -> int:
    """When the day ends that a second is in. Raises OverflowError after the year 9999."""
    day = date_at(second, zone)
    while True:
        day += _ONE_DAY
        # Where a date was left out (Samoa's 2011-12-30), it begins when the next one does.
        if (end := midnight(day, zone)) > second:
            return end


class Period(NamedTuple):
    """Days, or hours, without a gap: the unix seconds when each begins, and when the last ends."""

    bounds: tuple[int, ...]

    @property
    def start(self) -> int:
        return self.bounds[0]

    @property
    def end(self) -> int:
        return self.bounds[-1]

    @property
    def span(self) -> int:
        """The longest time in seconds of which all that is between bounds is a multiple."""
        return math.gcd(*(end - start for start, end in self.parts())) or DAY

    def parts(self) -> Iterator[tuple[int, int]]:
        """The start and the end of each."""
        return pairwise(self.bounds)

    def start_of(self, second: int) -> int:
        """When the part began that holds a second of this period."""
        return self.bounds[bisect_right(self.bounds, second) - 1]


def days_between(first: date, last: date, zone: tzinfo) -> Period:
    """The days from `first` to before `last`, each as long as the zone's clocks make it."""
    days = (first + number * _ONE_DAY for number in range((last - first).days + 1))
    # Sorted and each once: a date that a zone left out has no length.
    return Period(tuple(sorted({midnight(day, zone) for day in days})))
