"""Sums what was used by UTC day and model: from our hours, or from a gateway's logs.

Quota units throughout, refunds netted; days are the unix seconds of their midnight.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from peewee import SQL, Case, Field, Node, Select, fn

from billing.core.service import Service
from billing.database.columns import PLACEHOLDER, QueryBuilder, TableColumns
from billing.database.models import LOG_CONSUME, LOG_REFUND, Log, QuotaData
from billing.database.queries import TokenRow, UserRow
from billing.errors import DatabaseMisconfigured

DAY = 86400

#: Above this share of the table, finding a range's ids first costs more than it saves.
_FULL_SCAN_SHARE = 0.5


class DailyCost(NamedTuple):
    """What one model cost in one day; negative when more was refunded than used."""

    day: int
    model: str
    quota: int


def daily_costs(
    service: Service, user: UserRow, token: TokenRow | None, start: int, end: int
) -> list[DailyCost]:
    """What was used from `start` to before `end`, both midnights, by day, then cost, then model.

    Of the token, or of all the user's when it is None. Raises DatabaseUnavailable when it took too
    long, DatabaseMisconfigured when the logs are where we cannot read.
    """
    start = max(start, 0)
    if service.attached:
        rows = _from_logs(service, user, token, start, end)
    elif token is None:
        rows = service.database.fetch(_hours_of_user, user.id, start, end, heavy=True)
    else:
        rows = service.database.fetch(_hours_of_token, token.id, start, end, heavy=True)
    costs = [DailyCost(int(day) * DAY, model or "", int(quota)) for day, model, quota in rows]
    return sorted(costs, key=lambda cost: (cost.day, -cost.quota, cost.model))


def _hours(columns: TableColumns, owner: Node) -> Select:
    rows = QuotaData.select(
        columns.dialect.utc_day(QuotaData.created_at), QuotaData.model_name, fn.SUM(QuotaData.quota)
    )
    inside = (
        owner == PLACEHOLDER,
        QuotaData.created_at >= PLACEHOLDER,
        QuotaData.created_at < PLACEHOLDER,
    )
    return rows.where(*inside).group_by(SQL("1"), SQL("2"))


def _hours_of_user(columns: TableColumns) -> Node:
    return _hours(columns, QuotaData.user_id)


def _hours_of_token(columns: TableColumns) -> Node:
    return _hours(columns, QuotaData.token_id)


def _from_logs(
    service: Service, user: UserRow, token: TokenRow | None, start: int, end: int
) -> list[tuple[Any, ...]]:
    database = service.log_database
    if database is None:
        raise DatabaseMisconfigured("the gateway's logs are in ClickHouse, which is not supported")
    ((first, last),) = database.fetch(_log_time_range, heavy=True)
    if first is None or end <= first or last < start:
        return []
    owner_columns: tuple[Field[Any], ...]
    owner: tuple[Any, ...]
    if token is None:
        owner_columns, owner = (Log.user_id,), (user.id,)
    elif database.table_columns().has("logs", "token_id"):
        owner_columns, owner = (Log.token_id,), (token.id,)
    else:
        # one-api's logs know a token by its name alone.
        if "\ufffd" in (token.name or ""):
            raise DatabaseMisconfigured(f"the name of token {token.id} is not UTF-8: rename it")
        owner_columns = (Log.user_id, Log.token_name)
        owner = (user.id, token.name or "")
    values = (*owner, start, end, *owner[1:])
    if min(end, last) - max(start, first) >= _FULL_SCAN_SHARE * (last - first):
        return database.fetch(_cost_query(owner_columns, bounded=False), *values, heavy=True)
    # Exact bounds: gateways write rows late, so that estimated ids would miss some.
    ((low, high),) = database.fetch(_log_id_range, start, end, heavy=True)
    bounded = _cost_query(owner_columns, bounded=True)
    return database.fetch(bounded, *values, low, high, heavy=True)


def _log_time_range(columns: TableColumns) -> Node:
    """The first and the last second of the logs; two reads of an index, as MIN and MAX in one
    query would be a scan."""
    other = Log.alias()
    first = Log.select(fn.MIN(Log.created_at))
    return Select(columns=[first, other.select(fn.MAX(other.created_at))])


def _log_id_range(columns: TableColumns) -> Node:
    inside = (Log.created_at >= PLACEHOLDER, Log.created_at < PLACEHOLDER)
    return Log.select(fn.MIN(Log.id), fn.MAX(Log.id)).where(*inside)


@cache
def _cost_query(owner: tuple[Field[Any], ...], bounded: bool) -> QueryBuilder:
    """The query for rows whose `owner` columns have given values, and for ids between two."""

    def build(columns: TableColumns) -> Node:
        quota = fn.COALESCE(Log.quota, 0)
        net = Case(Log.type, ((LOG_REFUND, 0 - quota),), quota)
        rows = Log.select(
            columns.dialect.utc_day(Log.created_at),
            columns.dialect.case_sensitive(fn.COALESCE(Log.model_name, "")),
            fn.SUM(net),
        ).where(
            *(field == PLACEHOLDER for field in owner),
            Log.created_at >= PLACEHOLDER,
            Log.created_at < PLACEHOLDER,
            Log.type.in_((LOG_CONSUME, LOG_REFUND)),
        )
        if len(owner) > 1:
            # Compared twice: the first comparison uses the index, this one is exact on MySQL too.
            rows = rows.where(columns.dialect.space_sensitive(Log.token_name) == PLACEHOLDER)
        if bounded:
            rows = rows.where(Log.id >= PLACEHOLDER, Log.id <= PLACEHOLDER)
        return rows.group_by(SQL("1"), SQL("2"))

    return build
