"""The routes with figures: each parses its parameters, asks the core and dumps a body."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, g, request

from billing.core.callers import caller_names
from billing.core.credit_grants import Grant
from billing.core.credit_grants import credit_grants as grants_of_caller
from billing.core.model_limits import model_limits
from billing.core.service import Service, current_service
from billing.quota import Balance, limited_by
from billing.web.answers import with_unit
from billing.web.auth import authenticate
from billing.web.daily_usage import daily_usage
from billing.web.error_handlers import ErrorText, ReadFailures
from billing.web.json_response import JSONResponse
from billing.web.schemas import (
    CreditSummarySchema,
    SubscriptionSchema,
    TokenUsageSchema,
    UsageSchema,
    dump,
)

billing = Blueprint("billing", __name__)
billing.before_request(authenticate)

token_usage = Blueprint("token_usage", __name__)
token_usage.before_request(authenticate)

_subscription, _usage = SubscriptionSchema(), UsageSchema()
_credits, _token_usage = CreditSummarySchema(), TokenUsageSchema()


@billing.get("/subscription")
def subscription() -> JSONResponse:
    service = current_service()
    balance, expires_at = service.visible_balance(*g.caller)
    hard_limit = service.display.nearest_hard_limit(balance)
    body = dump(_subscription, hard_limit=hard_limit, access_until=expires_at)
    return with_unit(service.display.unit, body)


@billing.get("/usage")
def usage() -> JSONResponse:
    """Lifetime, whatever dates the query names: clients subtract it from the lifetime limit."""
    service = current_service()
    if request.query_string and "daily_costs" in request.args.getlist("include"):
        body = daily_usage(service, g.caller.user, g.caller.token, request.args)
        return with_unit(service.display.unit, body)
    balance, _ = service.visible_balance(*g.caller)
    body = dump(_usage, total_usage=service.display.nearest_hundredths(balance.used))
    return with_unit(service.display.unit, body)


@billing.get("/credit_grants")
def credit_grants() -> JSONResponse:
    service = current_service()
    balance, expires_at = service.visible_balance(*g.caller)
    grants = grants_of_caller(service, g.caller.user, g.caller.token, balance, expires_at)
    granted, used = service.display.hard_limit(balance), service.display.amount(balance.used)
    body = dump(
        _credits,
        total_granted=granted,
        total_used=used,
        total_available=granted - used,
        grants={"data": [_known_fields(grant) for grant in grants]},
        **_two_limits(service, balance),
        **_names(service),
    )
    return with_unit(service.display.unit, body)


def _names(service: Service) -> dict[str, Any]:
    """Who the caller is, for the page, which asks for it."""
    if "caller" not in request.args.getlist("include"):
        return {}
    return {"caller": caller_names(service, *g.caller)._asdict()}


def _known_fields(grant: Grant) -> dict[str, Any]:
    """The grant without what it has no value for."""
    return {name: value for name, value in grant._asdict().items() if value is not None}


def _two_limits(service: Service, visible: Balance) -> dict[str, Any]:
    """What remains on a token and on its account, where they differ and the caller may see both.

    Unless it is shown its account, a token sees the account's amount only when that is the smaller
    one. An unlimited token that is shown its account has no amount of its own to compare.
    """
    user, token = g.caller
    if token is None:
        return {}
    shows_account = service.token_in_scope(token) is None
    account = visible if shows_account else service.account_balance(user)
    tighter = limited_by(token.balance, account)
    if token.balance.unlimited and (shows_account or account.unlimited):
        return {}
    if tighter == "token" and not shows_account:
        return {}
    available = service.display.available
    own, accounts = available(token.balance), available(account)
    return {} if own == accounts else {"token_available": own, "account_available": accounts}


@token_usage.get("/token")
def usage_of_token() -> JSONResponse:
    """new-api's own route for a key: raw quota, whatever the display unit."""
    service = current_service()
    balance, expires_at = service.visible_balance(*g.caller)
    token = g.caller.token
    limits = model_limits(service, token)
    body = dump(
        _token_usage,
        data={
            "name": (token and token.name) or "",
            "total_granted": balance.remaining + balance.used,
            "total_used": balance.used,
            "total_available": balance.remaining,
            "unlimited_quota": balance.unlimited,
            "model_limits": dict.fromkeys(limits.models, True),
            "model_limits_enabled": limits.enabled,
            "expires_at": expires_at,
        },
    )
    return with_unit("TOKENS", body)


#: The documented bodies of figures that could not be read (docs/contract.md section 1).
READ_FAILURES: ReadFailures = {
    subscription: ErrorText("upstream_error", None, "获取配额失败", "failed to read the quota"),
    usage: ErrorText("new_api_error", None, "获取使用量失败", "failed to read the usage"),
}
