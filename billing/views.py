"""The billing blueprint: load, ask, dump."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, g

from billing import quota
from billing.auth import Caller, authenticate
from billing.quota import Balance
from billing.schemas import SubscriptionSchema, UsageSchema, dump
from billing.service import Service, service

billing = Blueprint("billing", __name__)
billing.before_request(authenticate)

_subscription, _usage = SubscriptionSchema(), UsageSchema()


@billing.get("/subscription")
def subscription() -> dict[str, Any]:
    shown, ends = _figures(service(), g.caller)
    limit = service().display.hard_limit(shown)
    return dump(_subscription, hard_limit=limit, access_until=ends)


@billing.get("/usage")
def usage() -> dict[str, Any]:
    """Lifetime, whatever dates the query names: clients subtract it from the lifetime limit."""
    shown, _ = _figures(service(), g.caller)
    return dump(_usage, total_usage=service().display.hundredths(shown.used))


def _figures(billing: Service, caller: Caller) -> tuple[Balance, int]:
    """The balance that the caller is shown, and when its access ends (0 for never)."""
    token, settings = caller.token, billing.settings
    if token is None or settings.billing_scope == "account":
        return caller.user.balance, 0
    ends = quota.access_until(token.expired_time or 0)
    if token.balance.unlimited and settings.unlimited_tokens == "account":
        return caller.user.balance, ends
    return token.balance, ends
