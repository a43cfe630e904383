"""Finds what may restrict who uses a token and is not enforced here, for `flask check`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from peewee import Query

from billing.core.token_setting import parse_setting
from billing.database.columns import TableColumns
from billing.database.connection import Database
from billing.database.models import ALLOW_LIST_LENGTH, GatewayToken
from billing.errors import DatabaseUnavailable

#: The columns of `tokens` in every version of the gateways that is known.
_KNOWN_COLUMNS = {
    *("id", "user_id", "key", "status", "name", "created_time", "accessed_time", "expired_time"),
    *("remain_quota", "unlimited_quota", "used_quota", "deleted_at", "group", "backup_group"),
    *("models", "subnet", "model_limits_enabled", "model_limits", "allow_ips"),
    *("cross_group_retry", "setting"),
}

_RESTRICTION = re.compile(
    "allow|deny|forbid|block|ban|limit|restrict|white|black|subnet|cidr|network|host|domain"
    "|origin|referer|country|region|geo|device|agent|address|(?:^|[_.])ips?(?:$|[_.])",
    re.IGNORECASE,
)

#: Settings that are looked through, of those that differ from each other.
_MOST_SETTINGS = 10_000


def unknown_restrictions(database: Database) -> Iterator[str]:
    """A warning for each column and setting that looks like a restriction, and is not known."""
    columns = database.table_columns()
    for column in sorted(columns.columns["tokens"] - _KNOWN_COLUMNS):
        if _RESTRICTION.search(column):
            yield f"tokens.{column} is not known and not enforced, if it restricts a token"
    if columns.has("tokens", "setting"):
        yield from _unknown_settings(database)


def _unknown_settings(database: Database) -> Iterator[str]:
    database.start_time_budget()
    try:
        rows = database.fetch(_settings, heavy=True)
    except DatabaseUnavailable:
        yield "tokens.setting has too many different texts to look through in time"
        return
    unreadable = too_long = 0
    unknown: set[str] = set()
    for (text,) in rows:
        too_long += isinstance(text, str | bytes) and len(text) > ALLOW_LIST_LENGTH
        try:
            unknown.update(parse_setting(text).unknown)
        except ValueError:
            unreadable += 1
    for path in sorted(filter(_RESTRICTION.search, unknown)):
        yield f"tokens.setting: {path} is not known and not enforced, if it restricts a token"
    if too_long:
        yield f"tokens.setting: {too_long} texts are too long: their tokens are refused"
    if unreadable:
        yield f"tokens.setting: {unreadable} texts cannot be understood: their tokens are refused"


def _settings(columns: TableColumns) -> Query:
    setting = GatewayToken.setting
    rows = GatewayToken.select(setting).where(setting.is_null(False))
    return rows.distinct().limit(_MOST_SETTINGS)
