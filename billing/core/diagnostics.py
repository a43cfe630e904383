"""Verifies that the service can answer from its database, and lists warnings: `flask check`."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from peewee import SQL, Query, fn

from billing.core.log_slices import oldest_row
from billing.core.logs_since import lacks_older_rows
from billing.core.restrictions import unknown_restrictions
from billing.core.service import Service
from billing.core.token_setting import parse_setting
from billing.database.columns import QueryBuilder, TableColumns
from billing.database.connection import Database
from billing.database.models import (
    ALLOW_LIST_LENGTH,
    ALLOW_LIST_NETWORKS,
    READABLE_STATUSES,
    GatewayToken,
    GatewayUser,
)
from billing.database.queries import TokenRow, tokens_with_long_allow_lists
from billing.errors import BillingError, DatabaseUnavailable
from billing.quota import has_expired, limited_by

#: `limited_by` in words.
_LIMITS = {
    "token": "the token's own quota",
    "account": "what its user's account can pay",
    "nothing": "nothing",
}

#: A replica's lag, in seconds, above which its figures are worth a warning.
STALE_SECONDS = 60

#: Clocks further apart than this many seconds change what counts as expired.
MAX_CLOCK_SKEW = 5

#: `DatabaseURL.tls` in words.
_TLS = {
    "": "not required",
    "skip-verify": "required; neither certificate nor name of the server is checked",
    "verify-ca": "required; the server's certificate is checked, its name is not",
    "verify": "required; certificate and name of the server are checked",
}


@dataclass
class Report:
    """`facts` are printed as they are; any warning makes the exit status 1."""

    facts: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def _count_users(columns: TableColumns) -> Query:
    return GatewayUser.select(fn.COUNT(SQL("1")))


def _count_tokens(columns: TableColumns) -> Query:
    return GatewayToken.select(fn.COUNT(SQL("1")))


def _most_used(columns: TableColumns) -> Query:
    return GatewayUser.select(fn.MAX(GatewayUser.used_quota))


def inspect(service: Service) -> Report:
    """Raises BillingError when the service could not serve."""
    report = Report()
    service.start_request()
    service.queries.ready()
    database = service.database
    columns = database.table_columns()
    report.facts["mode"] = service.settings.billing_mode
    report.facts["database"] = _value(database, database.peewee.VERSION_SQL)
    report.facts["driver"] = database.peewee.driver
    _check_tls(service, report)
    if service.attached:
        report.facts["gateway"] = service.terms.gateway.name
    report.facts["users"] = _count(database, _count_users)
    report.facts["tokens"] = _count(database, _count_tokens)
    report.facts["settings"] = _setting_sources(service)
    _check_settings(service, columns, report)
    return report


def _check_tls(service: Service, report: Report) -> None:
    """Say what the addresses ask of TLS: without the server's name anybody could answer."""
    settings = service.settings
    if settings.database_url.dialect != "sqlite":
        report.facts["tls"] = _TLS[settings.database_url.tls]
    addresses = {"DATABASE_URL": settings.database_url}
    if settings.log_database_url and service.attached:
        addresses["LOG_DATABASE_URL"] = settings.log_database_url
    report.warnings += [
        f"{name} encrypts but does not check who answers: name the server's authority (ssl_ca)"
        for name, url in addresses.items()
        if url.tls == "skip-verify"
    ]


def _count(database: Database, build: QueryBuilder) -> int | str:
    """Counting a large table may take longer than a read may last."""
    database.start_time_budget()
    try:
        return int(database.fetch(build, heavy=True)[0][0])
    except DatabaseUnavailable:
        return "too many to count in time"


def _value(database: Database, sql: str) -> Any:
    return database.call(lambda columns: columns.dialect.fetch_all(sql)[0][0])


def _has_index(database: Database, table: str, column: str) -> bool:
    indexes = database.call(lambda columns: columns.dialect.get_indexes(table))
    return any(index.columns[:1] == [column] for index in indexes)


def _setting_sources(service: Service) -> dict[str, dict[str, str]]:
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
        if variable in service.settings.set_by_environment:
            source = "environment"
        elif variable in service.terms.options:
            source = "options"
        else:
            source = "gateway" if variable in service.terms.gateway.defaults else "default"
        value = getattr(service.settings, name)
        text = value if isinstance(value, str) else f"{float(value):g}"
        sources[variable] = {"value": text, "from": source}
    return sources


def _check_settings(service: Service, columns: TableColumns, report: Report) -> None:
    warn = report.warnings.append
    database = service.database
    report.warnings += [
        f"the option for {name} is no number above 0" for name in service.terms.invalid_options
    ]
    database.start_time_budget()
    skew = float(_value(database, database.peewee.CLOCK_SQL)) - time.time()
    if abs(skew) > MAX_CLOCK_SKEW:
        warn(f"the database's clock is {skew:+.0f} s off ours: expiry is judged by ours")
    _check_replica(database, report)
    _check_allow_lists(database, warn)
    for table, column in (("tokens", "key"), ("logs", "created_at")):
        if columns.columns[table] and not _has_index(database, table, column):
            warn(f"{table} has no index that begins with {column}: reads will be slow")
    report.warnings += [
        f"others may read {path}: chmod 600 it" for path in database.peewee.readable_by_others()
    ]
    if not service.attached:
        return
    _check_tables(database, columns, warn)
    if database.call(lambda columns: columns.dialect.account_can_write()):
        warn("the account could write: give the service one that may only SELECT")
    report.warnings += unknown_restrictions(database)
    _check_logs(service, columns, warn)


def _check_tables(database: Database, columns: TableColumns, warn: Callable[[str], None]) -> None:
    """Warn of tables that decide figures and are missing, by what else is there."""
    expected = ["options", "redemptions"]
    if columns.has("tokens", "allow_ips"):
        expected.append("top_ups")
    if "subscription_plans" in database.call(lambda columns: columns.dialect.get_tables()):
        expected.append("user_subscriptions")
    for table in expected:
        if not columns.columns[table]:
            warn(f"the database has no table {table}: figures are shown as if it were empty")


def _check_allow_lists(database: Database, warn: Callable[[str], None]) -> None:
    database.start_time_budget()
    # In a large table the search may take longer than a read may last.
    with suppress(DatabaseUnavailable):
        ((count, first_id),) = database.fetch(tokens_with_long_allow_lists, heavy=True)
        if count:
            warn(
                f"tokens whose allow-list is too long and allows no address: {count},"
                f" the first is {first_id} (at most {ALLOW_LIST_NETWORKS} networks,"
                f" {ALLOW_LIST_LENGTH} characters)"
            )
    database.start_time_budget()


def _check_logs(service: Service, columns: TableColumns, warn: Callable[[str], None]) -> None:
    elsewhere, database = service.settings.log_database_url, service.log_database
    if database is None:
        warn("logs in ClickHouse are not supported: all but daily costs works")
        return
    try:
        database.start_time_budget()
        if not elsewhere and not columns.columns["logs"]:
            warn(
                "the database has no table logs: daily costs are 500 unless LOG_DATABASE_URL is set"
            )
            return
        if not database.table_columns().columns["logs"]:
            warn("LOG_DATABASE_URL names a database without logs: daily costs are 500")
            return
        _check_log_rows(service, database, warn)
    except BillingError as error:
        if not elsewhere:
            raise
        warn(f"LOG_DATABASE_URL: {error}: daily costs are {error.status}")


def _check_log_rows(service: Service, database: Database, warn: Callable[[str], None]) -> None:
    oldest = oldest_row(database)
    if oldest is None:
        service.database.start_time_budget()
        is_used = (service.database.fetch(_most_used)[0][0] or 0) > 0
        if is_used and not service.settings.log_database_url:
            warn(
                "logs is empty although quota was used: set LOG_DATABASE_URL if they are elsewhere"
            )
    elif lacks_older_rows(database, oldest):
        since = datetime.fromtimestamp(oldest.created_at, UTC)
        warn(
            f"logs begin at {since:%Y-%m-%d %H:%M} UTC, older rows were deleted: daily costs "
            "before it are left out for tokens and users that are older"
        )


def _check_replica(database: Database, report: Report) -> None:
    """Report the lag of a replica, or why it is not known."""
    status = database.call(lambda columns: columns.dialect.replica_status())
    if status is None:
        return
    lag = "unknown" if status.lag_seconds is None else round(status.lag_seconds)
    report.facts.update(replica="yes", seconds_behind=lag)
    if status.problem:
        report.warnings.append(f"the database is a replica: {status.problem}")
    elif status.lag_seconds is None or status.lag_seconds > STALE_SECONDS:
        report.warnings.append(f"the database is a replica, behind by seconds: {lag}")


def explain(service: Service, token: TokenRow | None) -> dict[str, Any]:
    """What the endpoints would answer for a token, and why. Holds no key."""
    if token is None or token.deleted_at is not None:
        return {"answer": "401 invalid_api_key", "why": "no such token, or it is deleted"}
    facts: dict[str, Any] = {"token_id": token.id, "user_id": token.user_id}
    if token.status not in READABLE_STATUSES:
        why = f"its status is {token.status}: switched off"
        return {**facts, "answer": "401 api_key_disabled", "why": why}
    if token.user is None or not token.user.enabled:
        why = "its user is switched off, deleted or missing"
        return {**facts, "answer": "403 user_disabled", "why": why}
    if token.allow_list_is_too_long:
        why = "its allow-list is too long: it allows no address"
        return {**facts, "answer": "403 ip_not_allowed", "why": why}
    balance, expires_at = service.visible_balance(token.user, token)
    tighter = limited_by(token.balance, service.account_balance(token.user))
    figures = "the token's figures" if service.token_in_scope(token) else "the account's figures"
    if service.settings.billing_scope == "spendable" and service.token_in_scope(token):
        figures += ", with no more remaining than its account can pay"
    now = int(time.time())
    states = []
    if has_expired(token.expired_time, now):
        states.append("expired")
    if not token.balance.unlimited and token.balance.remaining <= 0:
        states.append("exhausted")
    return {
        **facts,
        "answer": "200",
        "why": f"shows {figures}" + "".join(f"; {state}" for state in states),
        "hard_limit_usd": float(service.display.hard_limit(balance)),
        "total_usage": float(service.display.hundredths(balance.used)),
        "access_until": expires_at,
        "unlimited": balance.unlimited,
        "limited_by": _LIMITS[tighter],
        "allow_list": _allow_list(token),
    }


def _allow_list(token: TokenRow) -> list[str]:
    """The entries of the token's allow-lists, or why they hold no address."""
    entries = (token.allow_ips or token.subnet or "").split()
    try:
        return [*entries, *parse_setting(token.setting).whitelist]
    except ValueError as error:
        return [f"refuses everybody: {error}"]
