"""Sums what was used by UTC day and model: from our hours, or from a gateway's logs.

Quota units throughout, refunds netted; days are the unix seconds of their midnight.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, NamedTuple

from peewee import SQL, Case, Field, Node, Select, fn

from billing.core.log_slices import LogRow, oldest_row
from billing.core.logs_since import logs_since
from billing.core.service import Service
from billing.core.usage_cache import Remembered
from billing.database.columns import PLACEHOLDER, QueryBuilder, TableColumns
from billing.database.connection import Database
from billing.database.models import LOG_CONSUME, LOG_REFUND, Log, QuotaData
from billing.database.queries import TokenRow, UserRow
from billing.errors import DatabaseMisconfigured, UnsupportedLogs

DAY, _HOUR = 86400, 3600

#: Above this share of the table, finding a range's ids first costs more than it saves.
_FULL_SCAN_SHARE = 0.5


class DailyCost(NamedTuple):
    """What one model cost in one day; negative when more was refunded than used."""

    day: int
    model: str
    quota: int


class PeriodCosts(NamedTuple):
    """The costs of a period by day, then cost, then model, and what was refunded in it.

    What was before `known_since` (unix seconds) is unknown; 0 when all is known.
    """

    costs: list[DailyCost]
    refunded: int
    known_since: int


def daily_costs(
    service: Service, user: UserRow, token: TokenRow | None, start: int, end: int
) -> PeriodCosts:
    """What was used from `start` to before `end`, both midnights.

    Of the token, or of all the user's when it is None. Raises DatabaseUnavailable when it took too
    long, UnsupportedLogs when they are where we cannot read.
    """
    start = max(start, 0)
    if service.attached:
        return _from_gateway(service, user, token, start, end)
    return _from_our_hours(service, user, token, start, end)


def _sum_rows(rows: Iterable[Sequence[Any]], known_since: int = 0) -> PeriodCosts:
    """Of rows of the days since 1970, the model, its net quota and its refunded quota."""
    sums: Counter[tuple[int, str]] = Counter()
    refunded = 0
    for day, model, quota, refund in rows:
        sums[int(day) * DAY, model or ""] += int(quota)
        refunded += int(refund)
    costs = [DailyCost(day, model, quota) for (day, model), quota in sums.items()]
    costs.sort(key=lambda cost: (cost.day, -cost.quota, cost.model))
    return PeriodCosts(costs, refunded, known_since)


def _from_our_hours(
    service: Service, user: UserRow, token: TokenRow | None, start: int, end: int
) -> PeriodCosts:
    """Our hours are net of refunds, which our logs tell apart."""
    fetch = service.database.fetch
    if token is None:
        hours = fetch(_hours_of_user, user.id, start, end, heavy=True)
        refunds = fetch(_refunds_of_user, user.id, start, end, heavy=True)
    else:
        hours = fetch(_hours_of_token, token.id, start, end, heavy=True)
        refunds = fetch(_refunds_of_token, user.id, start, end, token.id, heavy=True)
    return _sum_rows((*row, 0) for row in hours)._replace(refunded=int(refunds[0][0] or 0))


def _hours(columns: TableColumns, owner: Node, model_name: Node = QuotaData.model_name) -> Select:
    rows = QuotaData.select(
        columns.dialect.utc_day(QuotaData.created_at), model_name, fn.SUM(QuotaData.quota)
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


def _gateway_hours_of_user(columns: TableColumns) -> Node:
    """A gateway's collation may take GPT-4o for gpt-4o; that of our own tables does not."""
    model_name = columns.dialect.case_sensitive(fn.COALESCE(QuotaData.model_name, ""))
    return _hours(columns, QuotaData.user_id, model_name)


def _refunds_of_user(columns: TableColumns) -> Select:
    return Log.select(fn.SUM(Log.quota)).where(
        Log.user_id == PLACEHOLDER,
        Log.type == LOG_REFUND,
        Log.created_at >= PLACEHOLDER,
        Log.created_at < PLACEHOLDER,
    )


def _refunds_of_token(columns: TableColumns) -> Node:
    return _refunds_of_user(columns).where(Log.token_id == PLACEHOLDER)


def _from_gateway(
    service: Service, user: UserRow, token: TokenRow | None, start: int, end: int
) -> PeriodCosts:
    """From the logs; an account's days before them from new-api's own hours, if it kept them."""
    database = service.log_database
    if database is None:
        raise UnsupportedLogs
    oldest = oldest_row(database)
    remembered = _remembered(service, user, start, end, oldest)
    if remembered is not None:
        oldest = LogRow(0, remembered.known_since)
    known_since = 0
    if oldest is None or start < oldest.created_at:
        known_since = logs_since(service, oldest, user, token)
    hours: list[tuple[Any, ...]] = []
    logs_start = start
    if known_since > start and token is None and (kept := _hours_kept_since(service)):
        # The hour in which the logs begin is whole in the hours alone.
        hours_end = known_since + -known_since % _HOUR
        if kept < hours_end:
            hours_range = (start, min(end, hours_end))
            hours = service.database.fetch(
                _gateway_hours_of_user, user.id, *hours_range, heavy=True
            )
            known_since, logs_start = kept, max(start, hours_end)
            if remembered is not None:
                remembered = _remembered(service, user, logs_start, end, oldest)
    rows: list[tuple[Any, ...]] = []
    if remembered is not None:
        rows = _remembered_rows(database, remembered, token)
    elif oldest is not None and logs_start < end and oldest.created_at < end:
        rows = _from_logs(database, user, token, logs_start, end, oldest.created_at)
    known_since = known_since if known_since > start else 0
    return _sum_rows([*((*row, 0) for row in hours), *rows], known_since)


def _remembered(
    service: Service, user: UserRow, start: int, end: int, oldest: LogRow | None
) -> Remembered | None:
    """By day, the first of which may begin later than midnight; None to read the logs."""
    if service.usage_cache is None or end <= start:
        return None
    days = [(max(day, start), day + DAY) for day in range(start // DAY * DAY, end, DAY)]
    return service.usage_cache.read(user.id, days, oldest)


def _remembered_rows(
    database: Database, remembered: Remembered, token: TokenRow | None
) -> list[tuple[Any, ...]]:
    wanted = None if token is None else _token_in_logs(database, token)
    return [
        (cell.time // DAY, cell.model, cell.quota, cell.refunded)
        for cell in remembered.cells
        if wanted is None or cell.token == wanted
    ]


def _token_in_logs(database: Database, token: TokenRow) -> int | str:
    """What the logs know a token by: the logs of one-api, one-hub and done-hub have its name."""
    if database.table_columns().has("logs", "token_id"):
        return token.id
    if "\ufffd" in (token.name or ""):
        raise DatabaseMisconfigured(f"the name of token {token.id} is not UTF-8: rename it")
    return token.name or ""


def _hours_kept_since(service: Service) -> int | None:
    """The first hour in new-api's own sums; None when it keeps none."""
    if not service.database.table_columns().columns["quota_data"]:
        return None
    ((first,),) = service.database.fetch(_first_hour, heavy=True)
    return None if first is None else int(first)


def _first_hour(columns: TableColumns) -> Node:
    return QuotaData.select(fn.MIN(QuotaData.created_at))


def _from_logs(
    database: Database, user: UserRow, token: TokenRow | None, start: int, end: int, oldest: int
) -> list[tuple[Any, ...]]:
    """Rows of the logs, whose oldest is of second `oldest`."""
    ((last,),) = database.fetch(_last_log, heavy=True)
    if last is None or last < start:
        return []
    owner_columns: tuple[Field[Any], ...]
    owner: tuple[Any, ...]
    if token is None:
        owner_columns, owner = (Log.user_id,), (user.id,)
    elif database.table_columns().has("logs", "token_id"):
        owner_columns, owner = (Log.token_id,), (token.id,)
    else:
        # The logs of one-api, one-hub and done-hub know a token by its name alone.
        if "\ufffd" in (token.name or ""):
            raise DatabaseMisconfigured(f"the name of token {token.id} is not UTF-8: rename it")
        owner_columns = (Log.user_id, Log.token_name)
        owner = (user.id, token.name or "")
    values = (*owner, start, end, *owner[1:])
    if min(end, last) - max(start, oldest) >= _FULL_SCAN_SHARE * (last - oldest):
        return database.fetch(_cost_query(owner_columns, bounded=False), *values, heavy=True)
    # Exact bounds: gateways write rows late, so that estimated ids would miss some.
    ((low, high),) = database.fetch(_log_id_range, start, end, heavy=True)
    bounded = _cost_query(owner_columns, bounded=True)
    return database.fetch(bounded, *values, low, high, heavy=True)


def _last_log(columns: TableColumns) -> Node:
    return Log.select(fn.MAX(Log.created_at))


def _log_id_range(columns: TableColumns) -> Node:
    inside = (Log.created_at >= PLACEHOLDER, Log.created_at < PLACEHOLDER)
    return Log.select(fn.MIN(Log.id), fn.MAX(Log.id)).where(*inside)


@cache
def _cost_query(owner: tuple[Field[Any], ...], bounded: bool) -> QueryBuilder:
    """The query for rows whose `owner` columns have given values, and for ids between two."""

    def build(columns: TableColumns) -> Node:
        quota = fn.COALESCE(Log.quota, 0)
        # Only new-api, whose logs name the token, writes refunds.
        types = (LOG_CONSUME, LOG_REFUND) if columns.has("logs", "token_id") else (LOG_CONSUME,)
        net = Case(Log.type, ((LOG_REFUND, 0 - quota),), quota)
        rows = Log.select(
            columns.dialect.utc_day(Log.created_at),
            columns.dialect.case_sensitive(fn.COALESCE(Log.model_name, "")),
            fn.SUM(net),
            fn.SUM(Case(Log.type, ((LOG_REFUND, quota),), 0)),
        ).where(
            *(field == PLACEHOLDER for field in owner),
            Log.created_at >= PLACEHOLDER,
            Log.created_at < PLACEHOLDER,
            Log.type.in_(types),
        )
        if len(owner) > 1:
            # Compared twice: the first comparison uses the index, this one is exact on MySQL too.
            rows = rows.where(columns.dialect.space_sensitive(Log.token_name) == PLACEHOLDER)
        if bounded:
            rows = rows.where(Log.id >= PLACEHOLDER, Log.id <= PLACEHOLDER)
        return rows.group_by(SQL("1"), SQL("2"))

    return build
