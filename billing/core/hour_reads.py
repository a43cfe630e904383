"""Reads rows of hours from sums by hour, ours or new-api's, and from logs."""

from __future__ import annotations

from typing import Any, NamedTuple

from peewee import Field

from billing.core.hour import Hour, HourPeriod
from billing.core.hour_queries import last_log, log_id_range, logs_query, sums_query
from billing.core.log_slices import LogRow
from billing.database.connection import Database
from billing.database.models import LOG_REFUND, Log
from billing.database.queries import TokenRow, UserRow
from billing.errors import BadParameter, DatabaseMisconfigured

#: Above this share of the table, finding a range's ids first costs more than it saves.
_FULL_SCAN_SHARE = 0.5


def only_hours_known() -> BadParameter:
    return BadParameter(
        "timezone",
        "该时区与 UTC 相差不是整小时，而该时段的日志已不全，只有按小时的记录",
        "not a whole number of hours off UTC, and of a part of these days only hours are known",
    )


def from_sums(database: Database, owner: Field[Any], id: int, period: HourPeriod) -> list[Hour]:
    """Rows of `quota_data`, ours or new-api's.

    new-api's did not tell tokens apart before July 2026; the id of older rows is 0.
    """
    by_token = period.by_token and database.table_columns().has("quota_data", "token_id")
    values = (period.origin, period.span, id, period.start, period.end)
    rows = database.fetch(sums_query(owner, by_token), *values, heavy=True)
    return [period.row(*row) for row in rows]


class _Owner(NamedTuple):
    """The columns that say whose a row of the logs is, and their values."""

    columns: tuple[Field[Any], ...]
    values: tuple[Any, ...]


def from_all_logs(
    database: Database,
    user: UserRow,
    token: TokenRow | None,
    period: HourPeriod,
    oldest: LogRow | None,
) -> list[Hour]:
    """Rows of the logs, whose oldest is `oldest`."""
    if oldest is None or oldest.created_at >= period.end or period.start >= period.end:
        return []
    ((last,),) = database.fetch(last_log, heavy=True)
    if last is None or last < period.start:
        return []
    owner = owner_in_logs(database, user, token)
    seconds = min(period.end, last) - max(period.start, oldest.created_at)
    is_short = seconds < _FULL_SCAN_SHARE * (last - oldest.created_at)
    return _from_logs(database, owner, period, is_short)


def owner_in_logs(database: Database, user: UserRow, token: TokenRow | None) -> _Owner:
    if token is None:
        return _Owner((Log.user_id,), (user.id,))
    if database.table_columns().has("logs", "token_id"):
        return _Owner((Log.token_id,), (token.id,))
    # The logs of one-api, one-hub and done-hub know a token by its name alone.
    if "\ufffd" in (token.name or ""):
        raise DatabaseMisconfigured(f"the name of token {token.id} is not UTF-8: rename it")
    return _Owner((Log.user_id, Log.token_name), (user.id, token.name or ""))


def _from_logs(database: Database, owner: _Owner, period: HourPeriod, is_short: bool) -> list[Hour]:
    """Rows of the logs, uses and refunds apart; of a short period, found by their ids."""
    values = (period.origin, period.span, *owner.values, period.start, period.end)
    # A name is compared twice.
    values += owner.values[1:]
    if is_short:
        # Exact bounds: gateways write rows late, so that estimated ids would miss some.
        ((low, high),) = database.fetch(log_id_range, period.start, period.end, heavy=True)
        if low is None:
            return []
        values += (low, high)
    query = logs_query(owner.columns, period.by_token, is_short)
    rows = []
    for number, token, model, type, *sums in database.fetch(query, *values, heavy=True):
        quota, prompt, completion, count = sums
        row = period.row(number, token, model, quota, 0, prompt, completion, count)
        rows.append(row.as_refund() if type == LOG_REFUND else row)
    return rows
