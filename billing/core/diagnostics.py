"""What an operator runs first: whether the database is served right, and what is odd about it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from peewee import SQL, Query, fn

from billing.core.service import Service
from billing.database.connection import Build, Handle, Shape, driver_errors, fault
from billing.database.models import READABLE, GatewayToken, GatewayUser, Log
from billing.database.queries import TokenRow
from billing.errors import BillingError, DatabaseUnavailable

#: Figures older than this many seconds surprise their readers.
_OLD = 60

#: Clocks further apart than this many seconds change what counts as expired.
_SKEW = 5


@dataclass
class Report:
    """`facts` are shown as they are; any warning makes the status 1."""

    facts: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def _users(shape: Shape) -> Query:
    return GatewayUser.select(fn.COUNT(SQL("1")))


def _tokens(shape: Shape) -> Query:
    return GatewayToken.select(fn.COUNT(SQL("1")))


def _any_log(shape: Shape) -> Query:
    return Log.select(Log.id).limit(1)


def _used(shape: Shape) -> Query:
    return GatewayUser.select(fn.MAX(GatewayUser.used_quota))


def inspect(billing: Service) -> Report:
    """Raises BillingError when the service could not serve."""
    report = Report()
    billing.begin()
    billing.reads.ready()
    shape = billing.handle.shape()
    report.facts["mode"] = billing.settings.billing_mode
    report.facts["database"] = _value(billing.handle, billing.handle.kind.VERSION)
    if billing.attached:
        report.facts["gateway"] = flavour(shape)
    report.facts["users"] = _count(billing.handle, _users)
    report.facts["tokens"] = _count(billing.handle, _tokens)
    report.facts["settings"] = _sources(billing)
    try:
        _warn(billing, shape, report)
    except driver_errors() as error:
        raise fault(error, billing.settings.database_url) from error
    return report


def flavour(shape: Shape) -> str:
    """The gateway and a guess at its version, from the columns that are there."""
    if shape.columns["user_subscriptions"]:
        return "new-api, v0.10.8 or later"
    if shape.has("logs", "ip"):
        return "new-api, v0.9 or later"
    if shape.has("tokens", "allow_ips"):
        return "new-api, v0.4 to v0.8"
    if shape.columns["quota_data"] or shape.has("tokens", "deleted_at"):
        return "new-api, before v0.4"
    if shape.has("tokens", "subnet"):
        return "one-api"
    return "unknown: a fork, or a one-api before its subnets"


def _count(handle: Handle, build: Build) -> int | str:
    """Counting a large table may take longer than a read may last."""
    handle.begin()
    try:
        return int(handle.fetch(build, heavy=True)[0][0])
    except DatabaseUnavailable:
        return "too many to count in time"


def _value(handle: Handle, sql: str) -> Any:
    def build(shape: Shape) -> SQL:
        return SQL(sql)

    return handle.fetch(build)[0][0]


def _indexed(handle: Handle, table: str, column: str) -> bool:
    indexes = handle.database.get_indexes(table)
    return any(index.columns[:1] == [column] for index in indexes)


def _sources(billing: Service) -> dict[str, dict[str, str]]:
    """The settings that decide the figures, and where each comes from."""
    sources = {}
    for name in (
        "quota_per_unit",
        "display_unit",
        "usd_exchange_rate",
        "custom_exchange_rate",
        "billing_scope",
        "unlimited_tokens",
    ):
        variable = name.upper()
        if variable in billing.settings.given:
            source = "environment"
        else:
            source = "options" if variable in billing.options else "default"
        value = getattr(billing.settings, name)
        text = value if isinstance(value, str) else f"{float(value):g}"
        sources[variable] = {"value": text, "from": source}
    return sources


def _warn(billing: Service, shape: Shape, report: Report) -> None:
    warn = report.warnings.append
    handle = billing.handle
    report.warnings += [f"the option for {name} is no number above 0" for name in billing.bad]
    handle.begin()
    skew = float(_value(handle, handle.kind.CLOCK)) - time.time()
    if abs(skew) > _SKEW:
        warn(f"the database's clock is {skew:+.0f} s off ours: expiry is judged by ours")
    _follows(handle, report)
    for table, column in (("tokens", "key"), ("logs", "created_at")):
        if shape.columns[table] and not _indexed(handle, table, column):
            warn(f"{table} has no index that begins with {column}: reads will be slow")
    if not billing.attached:
        return
    if handle.kind.can_write(handle.database):
        warn("the account could write: give the service one that may only SELECT")
    _warn_of_logs(billing, shape, warn)


def _warn_of_logs(billing: Service, shape: Shape, warn: Callable[[str], None]) -> None:
    elsewhere = billing.settings.log_database_url
    if elsewhere and elsewhere.dialect == "clickhouse":
        warn("logs in ClickHouse are not supported: all but daily costs works")
    elif elsewhere and billing.logs:
        try:
            billing.logs.begin()
            if not billing.logs.shape().columns["logs"]:
                warn("LOG_DATABASE_URL names a database without logs: daily costs are 500")
        except BillingError as error:
            warn(f"LOG_DATABASE_URL: {error}: daily costs are {error.status}")
    elif not elsewhere and shape.columns["logs"]:
        billing.handle.begin()
        if not billing.handle.fetch(_any_log) and (billing.handle.fetch(_used)[0][0] or 0) > 0:
            warn(
                "logs is empty although quota was used: set LOG_DATABASE_URL if they are elsewhere"
            )


def _follows(handle: Handle, report: Report) -> None:
    """What a replica's readers must know."""
    replica = handle.kind.replica(handle.database)
    if replica is None:
        return
    behind = "unknown" if replica.behind is None else round(replica.behind)
    report.facts.update(replica="yes", seconds_behind=behind)
    if replica.trouble:
        report.warnings.append(f"the database is a replica: {replica.trouble}")
    elif replica.behind is None or replica.behind > _OLD:
        report.warnings.append(f"the database is a replica, behind by seconds: {behind}")


def explain(billing: Service, token: TokenRow | None) -> dict[str, Any]:
    """What the endpoints would answer for a token, and why. Shows no key."""
    if token is None or token.deleted_at is not None:
        return {"answer": "401 invalid_api_key", "why": "no such token, or it is deleted"}
    facts: dict[str, Any] = {"token_id": token.id, "user_id": token.user_id}
    if token.status not in READABLE:
        why = f"its status is {token.status}: switched off"
        return {**facts, "answer": "401 api_key_disabled", "why": why}
    if token.user is None or not token.user.enabled:
        why = "its user is switched off, deleted or missing"
        return {**facts, "answer": "403 user_disabled", "why": why}
    shown, ends = billing.figures(token.user, token)
    scope = "token" if billing.shown_token(token) else "account"
    now = int(time.time())
    states = []
    if token.expired_time != -1 and (token.expired_time or 0) < now:
        states.append("expired")
    if not token.balance.unlimited and token.balance.remaining <= 0:
        states.append("exhausted")
    return {
        **facts,
        "answer": "200",
        "why": f"shows the {scope}'s figures" + "".join(f"; {state}" for state in states),
        "hard_limit_usd": float(billing.display.hard_limit(shown)),
        "total_usage": float(billing.display.hundredths(shown.used)),
        "access_until": ends,
        "unlimited": shown.unlimited,
        "allow_list": (token.allow_ips or token.subnet or "").split(),
    }
