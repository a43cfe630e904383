"""What was used, by UTC day and model: from our hours, or from a gateway's logs.

Quota units throughout, refunds netted; days are the unix seconds of their midnight.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from peewee import SQL, Case, Field, Node, Select, fn

from billing.core.service import Service
from billing.database.connection import BOUND, Build, Shape
from billing.database.models import LOG_CONSUME, LOG_REFUND, Log, QuotaData
from billing.database.queries import TokenRow, UserRow
from billing.errors import DatabaseBroken

DAY = 86400

#: Above this share of the table, finding a range's ids first costs more than it saves.
_MOST = 0.5


class Spent(NamedTuple):
    """What one model cost in one day; negative when more was refunded than used."""

    day: int
    model: str
    quota: int


def spent(
    billing: Service, user: UserRow, token: TokenRow | None, start: int, end: int
) -> list[Spent]:
    """What was used from `start` to before `end`, both midnights, by day, then cost, then name.

    Of the token, or of all the user's when it is None. Raises DatabaseUnavailable when it took too
    long, DatabaseBroken when the logs are where we cannot read.
    """
    start = max(start, 0)
    if billing.attached:
        rows = _from_logs(billing, user, token, start, end)
    elif token is None:
        rows = billing.handle.fetch(_hours_of_user, user.id, start, end, heavy=True)
    else:
        rows = billing.handle.fetch(_hours_of_token, token.id, start, end, heavy=True)
    found = [Spent(int(day) * DAY, model or "", int(quota)) for day, model, quota in rows]
    return sorted(found, key=lambda each: (each.day, -each.quota, each.model))


def _hours(shape: Shape, owner: Node) -> Select:
    rows = QuotaData.select(
        shape.kind.day(QuotaData.created_at), QuotaData.model_name, fn.SUM(QuotaData.quota)
    )
    inside = (owner == BOUND, QuotaData.created_at >= BOUND, QuotaData.created_at < BOUND)
    return rows.where(*inside).group_by(SQL("1"), SQL("2"))


def _hours_of_user(shape: Shape) -> Node:
    return _hours(shape, QuotaData.user_id)


def _hours_of_token(shape: Shape) -> Node:
    return _hours(shape, QuotaData.token_id)


def _from_logs(
    billing: Service, user: UserRow, token: TokenRow | None, start: int, end: int
) -> list[tuple[Any, ...]]:
    logs = billing.logs
    if logs is None:
        raise DatabaseBroken("the gateway's logs are in ClickHouse, which is not supported")
    ((first, last),) = logs.fetch(_ends, heavy=True)
    if first is None or end <= first or last < start:
        return []
    owner: tuple[Field[Any], ...]
    whose: tuple[Any, ...]
    if token is None:
        owner, whose = (Log.user_id,), (user.id,)
    elif logs.shape().has("logs", "token_id"):
        owner, whose = (Log.token_id,), (token.id,)
    else:
        # one-api's logs know a token by its name alone.
        owner, whose = (Log.user_id, Log.token_name), (user.id, token.name or "")
    inside = (*whose, start, end, *whose[1:])
    if min(end, last) - max(start, first) >= _MOST * (last - first):
        return logs.fetch(_logged(owner, bounded=False), *inside, heavy=True)
    # Exact bounds: rows stamped late exist, so that a guess would miss some.
    ((low, high),) = logs.fetch(_ids_between, start, end, heavy=True)
    bounded = _logged(owner, bounded=True)
    return logs.fetch(bounded, *inside, low, high, heavy=True)


def _ends(shape: Shape) -> Node:
    """Two reads of an index, where one query for both would be a scan."""
    other = Log.alias()
    first = Log.select(fn.MIN(Log.created_at))
    return Select(columns=[first, other.select(fn.MAX(other.created_at))])


def _ids_between(shape: Shape) -> Node:
    inside = (Log.created_at >= BOUND, Log.created_at < BOUND)
    return Log.select(fn.MIN(Log.id), fn.MAX(Log.id)).where(*inside)


@cache
def _logged(owner: tuple[Field[Any], ...], bounded: bool) -> Build:
    """The query for rows whose `owner` columns have given values, and for ids between two."""

    def build(shape: Shape) -> Node:
        quota = fn.COALESCE(Log.quota, 0)
        net = Case(Log.type, ((LOG_REFUND, 0 - quota),), quota)
        rows = Log.select(
            shape.kind.day(Log.created_at),
            shape.kind.exact(fn.COALESCE(Log.model_name, "")),
            fn.SUM(net),
        ).where(
            *(field == BOUND for field in owner),
            Log.created_at >= BOUND,
            Log.created_at < BOUND,
            Log.type.in_((LOG_CONSUME, LOG_REFUND)),
        )
        if len(owner) > 1:
            # The name again: MySQL takes Chat and chat for one, but that comparison has the index.
            rows = rows.where(shape.kind.literal(Log.token_name) == BOUND)
        if bounded:
            rows = rows.where(Log.id >= BOUND, Log.id <= BOUND)
        return rows.group_by(SQL("1"), SQL("2"))

    return build
