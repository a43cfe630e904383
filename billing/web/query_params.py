"""Parses query parameters: dates, time zones, lists and whole numbers.

Every function raises BadParameter, which names the wrong parameter.
"""

from __future__ import annotations

import re
from datetime import date, tzinfo

from werkzeug.datastructures import MultiDict

from billing.core.days import Period, days_between, time_zone
from billing.errors import BadParameter

_LONGEST_PERIOD_DAYS = 366
_DATE = re.compile(r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})", re.ASCII)


def parse_dates(query: MultiDict[str, str]) -> Period:
    """The days from `start_date` to before `end_date`, in the zone that `timezone` names."""
    start, end = _date(query, "start_date"), _date(query, "end_date")
    if end <= start:
        raise BadParameter("end_date", "必须晚于 start_date", "must be after start_date")
    if (end - start).days > _LONGEST_PERIOD_DAYS:
        raise BadParameter("end_date", "最多 366 天", "at most 366 days after start_date")
    return days_between(start, end, parse_zone(query))


def _date(query: MultiDict[str, str], name: str) -> date:
    match = _DATE.fullmatch(query.get(name, ""))
    try:
        if match is None:
            raise ValueError
        return date(int(match[1]), int(match[2]), int(match[3]))
    except ValueError as error:
        raise BadParameter(name, "须为 YYYY-MM-DD", "must be a date, YYYY-MM-DD") from error


def parse_zone(query: MultiDict[str, str]) -> tzinfo:
    """The zone whose days are asked for; UTC when none is named."""
    name = query.get("timezone", "UTC")
    try:
        return time_zone(name)
    except ValueError as error:
        zh = f"{name[:64]!r} 不是 IANA 时区名，例如 Asia/Shanghai"
        raise BadParameter("timezone", zh, f"{error}") from error


def values(query: MultiDict[str, str], name: str) -> list[str]:
    """A list, which clients spell `name=a&name=b` or `name[]=a&name[]=b`."""
    return query.getlist(name) + query.getlist(f"{name}[]")


def whole_number(
    query: MultiDict[str, str], name: str, default: int | None, most: int, least: int = 0
) -> int:
    """A whole number in bounds; `default` when it is absent, unless that is None."""
    text = query.get(name)
    if text is None and default is not None:
        return default
    is_plain = text is not None and re.fullmatch("[0-9]{1,12}", text, re.ASCII)
    if not is_plain or not least <= int(text or 0) <= most:
        en = f"must be a whole number from {least} to {most}"
        raise BadParameter(name, f"须为 {least} 至 {most} 的整数", en)
    return int(text or 0)
