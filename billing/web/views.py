"""The routes with figures: each parses its parameters, asks the core and dumps a body."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from flask import Blueprint, g, request

from billing.core.credit_grants import credit_grants as grants_of_caller
from billing.core.daily_costs import DAY, DailyCost, PeriodCosts, daily_costs
from billing.core.service import Service, current_service
from billing.web.auth import authenticate
from billing.web.error_handlers import ErrorText, ReadFailures
from billing.web.query_params import Period, parse_dates, parse_page
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
    service = current_service()
    balance, expires_at = service.visible_balance(*g.caller)
    hard_limit = service.display.hard_limit(balance)
    return dump(_subscription, hard_limit=hard_limit, access_until=expires_at)


@billing.get("/usage")
def usage() -> dict[str, Any]:
    """Lifetime, whatever dates the query names: clients subtract it from the lifetime limit."""
    if "daily_costs" in request.args.getlist("include"):
        return _daily_usage()
    service = current_service()
    balance, _ = service.visible_balance(*g.caller)
    return dump(_usage, total_usage=service.display.hundredths(balance.used))


def _daily_usage() -> dict[str, Any]:
    period = parse_dates(request.args)
    service = current_service()
    balance, _ = service.visible_balance(*g.caller)
    found = _caller_costs(service, period)
    hundredths = service.display.hundredths
    return dump(
        _daily,
        total_usage=hundredths(balance.used),
        daily_costs=[
            {
                "timestamp": day,
                "line_items": [
                    {"name": cost.model, "cost": hundredths(cost.quota)} for cost in day_costs
                ],
            }
            for day, day_costs in _by_day(period, found)
        ],
        period_usage=hundredths(sum(cost.quota for cost in found.costs)),
        period_refunded=hundredths(found.refunded),
        **_unknown(service, found),
    )


def _unknown(service: Service, found: PeriodCosts) -> dict[str, Any]:
    """Fields that are there only where figures are not: days without logs, uncounted usage."""
    fields: dict[str, Any] = {}
    if found.known_since:
        fields["logs_since"] = found.known_since
    token = service.token_in_scope(g.caller.token)
    if token is not None and not service.counts_usage_of(token):
        fields["total_usage_counted"] = False
    return fields


@billing.get("/credit_grants")
def credit_grants() -> dict[str, Any]:
    service = current_service()
    balance, expires_at = service.visible_balance(*g.caller)
    grants = grants_of_caller(service, g.caller.user, g.caller.token, balance, expires_at)
    granted, used = service.display.hard_limit(balance), service.display.amount(balance.used)
    return dump(
        _credits,
        total_granted=granted,
        total_used=used,
        total_available=granted - used,
        grants={"data": [grant._asdict() for grant in grants]},
    )


@organization.get("/costs")
def costs() -> dict[str, Any]:
    """OpenAI's costs of today: dollars whatever the display unit, in whole UTC days."""
    page = parse_page(request.args, int(time.time()))
    service = current_service()
    found = _caller_costs(service, page.period)
    if page.models:
        wanted = [cost for cost in found.costs if cost.model in page.models]
        found = found._replace(costs=wanted)
    data = [
        {
            "start_time": day,
            "end_time": day + DAY,
            "results": _results(service, day_costs, page.by_model),
        }
        for day, day_costs in _by_day(page.period, found)
    ]
    since = {"logs_since": found.known_since} if found.known_since else {}
    return dump(_costs, data=data, has_more=page.next is not None, next_page=page.next, **since)


def _caller_costs(service: Service, period: Period) -> PeriodCosts:
    """What the caller may see of the period: one token's costs, or the account's."""
    token = service.token_in_scope(g.caller.token)
    return daily_costs(service, g.caller.user, token, *period)


def _results(service: Service, day_costs: list[DailyCost], by_model: bool) -> list[dict[str, Any]]:
    dollars = 1 / service.settings.quota_per_unit
    if day_costs and not by_model:
        total = sum(cost.quota for cost in day_costs)
        day_costs = [DailyCost(day_costs[0].day, "", total)]
    return [
        {
            "amount": {"value": cost.quota * dollars},
            "line_item": cost.model if by_model else None,
        }
        for cost in day_costs
    ]


def _by_day(period: Period, found: PeriodCosts) -> Iterator[tuple[int, list[DailyCost]]]:
    """Every day of the period with its costs, which may be none.

    A day that is not known from its beginning is left out unless something of it is known.
    """
    costs = {day: list(group) for day, group in groupby(found.costs, key=lambda cost: cost.day)}
    days = (day for day in period.days() if day >= found.known_since or day in costs)
    return ((day, costs.get(day, [])) for day in days)


#: The documented bodies of figures that could not be read (docs/contract.md section 1).
READ_FAILURES: ReadFailures = {
    subscription: ErrorText("upstream_error", None, "获取配额失败", "failed to read the quota"),
    usage: ErrorText("new_api_error", None, "获取使用量失败", "failed to read the usage"),
}
