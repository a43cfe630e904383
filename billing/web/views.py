"""The billing blueprint, and OpenAI's costs beside it: load, ask, dump."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from flask import Blueprint, g, request

from billing.core.credit_grants import grants
from billing.core.daily_costs import DAY, Spent, spent
from billing.core.service import service
from billing.web import query_params as periods
from billing.web.auth import authenticate
from billing.web.query_params import Period
from billing.web.schemas import (
    CostPageSchema,
    CreditSummarySchema,
    DailyUsageSchema,
    SubscriptionSchema,
    UsageSchema,
    dump,
)

billing = Blueprint("billing", __name__)
billing.before_request(authenticate)

organization = Blueprint("organization", __name__)
organization.before_request(authenticate)

_subscription, _usage, _daily = SubscriptionSchema(), UsageSchema(), DailyUsageSchema()
_credits, _costs = CreditSummarySchema(), CostPageSchema()


@billing.get("/subscription")
def subscription() -> dict[str, Any]:
    held = service()
    shown, ends = held.figures(*g.caller)
    limit = held.display.hard_limit(shown)
    return dump(_subscription, hard_limit=limit, access_until=ends)


@billing.get("/usage")
def usage() -> dict[str, Any]:
    """Lifetime, whatever dates the query names: clients subtract it from the lifetime limit."""
    if "daily_costs" in request.args.getlist("include"):
        return _daily_usage()
    held = service()
    shown, _ = held.figures(*g.caller)
    return dump(_usage, total_usage=held.display.hundredths(shown.used))


def _daily_usage() -> dict[str, Any]:
    period = periods.dates(request.args)
    shown, _ = service().figures(*g.caller)
    rows = spent(service(), g.caller.user, service().shown_token(g.caller.token), *period)
    cents = service().display.hundredths
    return dump(
        _daily,
        total_usage=cents(shown.used),
        daily_costs=[
            {
                "timestamp": day,
                "line_items": [{"name": row.model, "cost": cents(row.quota)} for row in items],
            }
            for day, items in _by_day(period, rows)
        ],
        period_usage=cents(sum(row.quota for row in rows)),
    )


@billing.get("/credit_grants")
def credit_grants() -> dict[str, Any]:
    shown, ends = service().figures(*g.caller)
    data = grants(service(), g.caller.user, g.caller.token, shown, ends)
    granted, used = service().display.hard_limit(shown), service().display.amount(shown.used)
    return dump(
        _credits,
        total_granted=granted,
        total_used=used,
        total_available=granted - used,
        grants={"data": [grant._asdict() for grant in data]},
    )


@organization.get("/costs")
def costs() -> dict[str, Any]:
    """OpenAI's costs of today: dollars whatever the display unit, in whole UTC days."""
    page = periods.page(request.args, int(time.time()))
    rows = spent(service(), g.caller.user, service().shown_token(g.caller.token), *page.period)
    if page.models:
        rows = [row for row in rows if row.model in page.models]
    data = [
        {"start_time": day, "end_time": day + DAY, "results": _results(items, page.by_model)}
        for day, items in _by_day(page.period, rows)
    ]
    more = page.next is not None
    return dump(_costs, data=data, has_more=more, next_page=page.next)


def _results(items: list[Spent], by_model: bool) -> list[dict[str, Any]]:
    dollars = 1 / service().settings.quota_per_unit
    if items and not by_model:
        items = [Spent(items[0].day, "", sum(item.quota for item in items))]
    return [
        {"amount": {"value": item.quota * dollars}, "line_item": item.model if by_model else None}
        for item in items
    ]


def _by_day(period: Period, rows: Iterable[Spent]) -> Iterator[tuple[int, list[Spent]]]:
    """Every day of the period with what was spent in it, which may be nothing."""
    spending = {day: list(items) for day, items in groupby(rows, key=lambda row: row.day)}
    return ((day, spending.get(day, [])) for day in period.days())
