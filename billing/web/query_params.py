"""Parses query parameters: the days and pages that a request asks for.

Days are the unix seconds of their UTC midnight; the end of a period is exclusive.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import NamedTuple

from werkzeug.datastructures import MultiDict

from billing.core.daily_costs import DAY
from billing.errors import BadParameter

_LONGEST_PERIOD = 366 * DAY
_DATE = re.compile(r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})", re.ASCII)

#: The last midnight that a four-digit year can name.
_LAST_DAY = 253402214400

#: Filters of OpenAI's costs that ours do not have.
_UNSUPPORTED_FILTERS = ("project_ids", "api_key_ids")


class Period(NamedTuple):
    start: int
    end: int

    def days(self) -> Iterator[int]:
        return iter(range(self.start, self.end, DAY))


class Page(NamedTuple):
    """One page of OpenAI's costs; `next` is the day that the following page begins with.

    `models` empty means all models.
    """

    period: Period
    next: int | None
    by_model: bool
    models: frozenset[str]


def parse_dates(query: MultiDict[str, str]) -> Period:
    """`start_date` to before `end_date`. Raises BadParameter, which names the wrong one."""
    start, end = _midnight(query, "start_date"), _midnight(query, "end_date")
    if end <= start:
        raise BadParameter("end_date", "必须晚于 start_date", "must be after start_date")
    if end - start > _LONGEST_PERIOD:
        raise BadParameter("end_date", "最多 366 天", "at most 366 days after start_date")
    return Period(start, end)


def _midnight(query: MultiDict[str, str], name: str) -> int:
    match = _DATE.fullmatch(query.get(name, ""))
    try:
        if match is None:
            raise ValueError
        day = date(int(match[1]), int(match[2]), int(match[3]))
    except ValueError as error:
        raise BadParameter(name, "须为 YYYY-MM-DD", "must be a date, YYYY-MM-DD") from error
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


def parse_page(query: MultiDict[str, str], now: int) -> Page:
    """A page of `/v1/organization/costs`, in whole UTC days. Raises BadParameter."""
    for name in _UNSUPPORTED_FILTERS:
        if _values(query, name):
            raise BadParameter(name, "不支持", "not supported here")
    groups = _values(query, "group_by")
    if set(groups) - {"line_item"}:
        raise BadParameter("group_by", "只支持 line_item", "only line_item is supported")
    if query.get("bucket_width", "1d") != "1d":
        raise BadParameter("bucket_width", "只支持 1d", "only 1d is supported")
    start = _integer(query, "start_time", None, _LAST_DAY)
    end = _integer(query, "end_time", now, _LAST_DAY)
    if end <= start and "end_time" in query:
        raise BadParameter("end_time", "必须晚于 start_time", "must be after start_time")
    limit = _integer(query, "limit", 7, 180, least=1)
    first, last = start - start % DAY, end + -end % DAY
    begin = _integer(query, "page", first, _LAST_DAY)
    if begin % DAY or not first <= begin <= max(first, last):
        raise BadParameter("page", "须为上一页的 next_page", "must be a next_page of this query")
    stop = min(begin + limit * DAY, last)
    next_day = stop if stop < last else None
    models = frozenset(_values(query, "line_items"))
    return Page(Period(begin, max(begin, stop)), next_day, bool(groups), models)


def _values(query: MultiDict[str, str], name: str) -> list[str]:
    """A list, which clients spell `name=a&name=b` or `name[]=a&name[]=b`."""
    return query.getlist(name) + query.getlist(f"{name}[]")


def _integer(
    query: MultiDict[str, str], name: str, default: int | None, most: int, least: int = 0
) -> int:
    text = query.get(name)
    if text is None and default is not None:
        return default
    is_plain = text is not None and re.fullmatch("[0-9]{1,12}", text, re.ASCII)
    if not is_plain or not least <= int(text or 0) <= most:
        en = f"must be a whole number from {least} to {most}"
        raise BadParameter(name, f"须为 {least} 至 {most} 的整数", en)
    return int(text or 0)
