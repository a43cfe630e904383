"""The routes with figures: each parses its parameters, asks the core and dumps a body."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, g, request

from billing.core.credit_grants import credit_grants as grants_of_caller
from billing.core.daily_costs import PeriodCosts, daily_costs
from billing.core.days import Period
from billing.core.service import Service, current_service
from billing.web.auth import authenticate
from billing.web.buckets import by_bucket
from billing.web.error_handlers import ErrorText, ReadFailures
from billing.web.query_params import parse_dates
from billing.web.schemas import (
    CreditSummarySchema,
    DailyUsageSchema,
    SubscriptionSchema,
    UsageSchema,
    dump,
)

billing = Blueprint("billing", __name__)
billing.before_request(authenticate)

_subscription, _usage, _daily = SubscriptionSchema(), UsageSchema(), DailyUsageSchema()
_credits = CreditSummarySchema()


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
                    {
                        "name": cost.model,
                        "cost": float(hundredths(cost.quota)),
                        "prompt_tokens": cost.prompt_tokens,
                        "completion_tokens": cost.completion_tokens,
                        "requests": cost.requests,
                    }
                    for cost in day_costs
                ],
            }
            for day, _, day_costs in by_bucket(period, found)
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


def _caller_costs(service: Service, period: Period) -> PeriodCosts:
    """What the caller may see of the period: one token's costs, or the account's."""
    token = service.token_in_scope(g.caller.token)
    return daily_costs(service, g.caller.user, token, period)


#: The documented bodies of figures that could not be read (docs/contract.md section 1).
READ_FAILURES: ReadFailures = {
    subscription: ErrorText("upstream_error", None, "获取配额失败", "failed to read the quota"),
    usage: ErrorText("new_api_error", None, "获取使用量失败", "failed to read the usage"),
}
