"""The billing blueprint: load, ask, dump."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, g

from billing.auth import authenticate
from billing.schemas import SubscriptionSchema, UsageSchema, dump
from billing.service import service

billing = Blueprint("billing", __name__)
billing.before_request(authenticate)

_subscription, _usage = SubscriptionSchema(), UsageSchema()


@billing.get("/subscription")
def subscription() -> dict[str, Any]:
    shown, ends = service().figures(*g.caller)
    limit = service().display.hard_limit(shown)
    return dump(_subscription, hard_limit=limit, access_until=ends)


@billing.get("/usage")
def usage() -> dict[str, Any]:
    """Lifetime, whatever dates the query names: clients subtract it from the lifetime limit."""
    shown, _ = service().figures(*g.caller)
    return dump(_usage, total_usage=service().display.hundredths(shown.used))
