"""Parses the query parameters that OpenAI's usage routes share: pages of buckets, and filters."""

from __future__ import annotations

from datetime import tzinfo
from typing import NamedTuple

from werkzeug.datastructures import MultiDict

from billing.core.days import HOUR, Period, day_end, day_start
from billing.errors import BadParameter
from billing.web.query_params import parse_zone, values, whole_number

#: The last midnight that a four-digit year can name.
_LAST_SECOND = 253402214400


class Width(NamedTuple):
    """How many buckets of a width a page has: when nothing is said, and at most."""

    default: int
    most: int


class PageRules(NamedTuple):
    """What a route takes: widths of buckets, the first by default, what groups, what filters."""

    widths: dict[str, Width]
    model_group: str
    model_filter: str
    unsupported: tuple[str, ...] = ()


COSTS = PageRules({"1d": Width(7, 180)}, "line_item", "line_items")
COMPLETIONS = PageRules(
    {"1d": Width(7, 31), "1h": Width(24, 168)}, "model", "models", unsupported=("batch",)
)


class Page(NamedTuple):
    """One page of buckets; `next` is the second that the following page begins with.

    An empty filter lets everything pass.
    """

    period: Period
    next: int | None
    by_model: bool
    by_token: bool
    models: frozenset[str]
    token_ids: frozenset[str]
    user_ids: frozenset[str]
    project_ids: frozenset[str]


def parse_page(query: MultiDict[str, str], now: int, rules: PageRules) -> Page:
    """A page, whose times are widened to whole buckets. Raises BadParameter."""
    for name in rules.unsupported:
        if values(query, name):
            raise BadParameter(name, "不支持", "not supported here")
    groups = set(values(query, "group_by"))
    known = (rules.model_group, "api_key_id")
    if groups - set(known):
        names = f"{known[0]}、{known[1]}", f"{known[0]} and {known[1]}"
        raise BadParameter("group_by", f"只支持 {names[0]}", f"only {names[1]} are supported")
    period, next_page = _buckets(query, now, rules)
    filters = (rules.model_filter, "api_key_ids", "user_ids", "project_ids")
    return Page(
        period,
        next_page,
        rules.model_group in groups,
        "api_key_id" in groups,
        *(frozenset(values(query, name)) for name in filters),
    )


def _buckets(query: MultiDict[str, str], now: int, rules: PageRules) -> tuple[Period, int | None]:
    """The buckets of the page, and when the next page begins."""
    name = query.get("bucket_width", next(iter(rules.widths)))
    if name not in rules.widths:
        zh, en = "、".join(rules.widths), " or ".join(rules.widths)
        raise BadParameter("bucket_width", f"须为 {zh}", f"must be {en}")
    width, zone = rules.widths[name], parse_zone(query)
    start = whole_number(query, "start_time", None, _LAST_SECOND)
    end = whole_number(query, "end_time", now, _LAST_SECOND)
    if end <= start and "end_time" in query:
        raise BadParameter("end_time", "必须晚于 start_time", "must be after start_time")
    limit = whole_number(query, "limit", width.default, width.most, least=1)
    is_hourly = name == "1h"
    first, last = _start(start, zone, is_hourly), _start(end, zone, is_hourly)
    if last < end:
        last = _end(last, zone, is_hourly)
    begin = whole_number(query, "page", first, _LAST_SECOND) if "page" in query else first
    if _start(begin, zone, is_hourly) != begin or not first <= begin <= max(first, last):
        raise BadParameter("page", "须为上一页的 next_page", "must be a next_page of this query")
    bounds = [begin]
    while len(bounds) <= limit and bounds[-1] < last:
        bounds.append(_end(bounds[-1], zone, is_hourly))
    return Period(tuple(bounds)), bounds[-1] if bounds[-1] < last else None


def _start(second: int, zone: tzinfo, is_hourly: bool) -> int:
    return second - second % HOUR if is_hourly else day_start(second, zone)


def _end(second: int, zone: tzinfo, is_hourly: bool) -> int:
    """When the bucket ends; nothing is after the year 9999."""
    try:
        return second - second % HOUR + HOUR if is_hourly else day_end(second, zone)
    except OverflowError:
        return second
