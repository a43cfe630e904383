"""Reads what was used by hour: from our own sums, from logs, or from new-api's own sums.

Everything that is told by time is summed from these rows. Quota units, refunds netted.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import Any, NamedTuple

from peewee import Field

from billing.core.days import HOUR
from billing.core.hour_queries import first_hour, last_log, log_id_range, logs_query, sums_query
from billing.core.logs_since import LogRow, logs_since, oldest_row
from billing.core.service import Service
from billing.database.connection import Database
from billing.database.models import LOG_REFUND, Log, QuotaData
from billing.database.queries import TokenRow, UserRow
from billing.errors import BadParameter, DatabaseMisconfigured, UnsupportedLogs

#: Above this share of the table, finding a range's ids first costs more than it saves.
_FULL_SCAN_SHARE = 0.5


class Hour(NamedTuple):
    """What one token used of one model in the UTC hour that begins at `start` (unix seconds).

    `token` is its id, its name where the logs know only that, or None when tokens are not told
    apart. `quota` is net of `refunded`, and tokens are net too; a refund does not unmake its
    request. Prompt and completion tokens are None where they are not known.
    """

    start: int
    token: int | str | None
    model: str
    quota: int
    refunded: int
    prompt_tokens: int | None
    completion_tokens: int | None
    requests: int

    def as_refund(self) -> Hour:
        """What giving back this use adds to sums."""
        return self._replace(
            quota=-self.quota,
            refunded=self.quota,
            prompt_tokens=None if self.prompt_tokens is None else -self.prompt_tokens,
            completion_tokens=None if self.completion_tokens is None else -self.completion_tokens,
            requests=0,
        )

    def add(self, other: Hour) -> Hour:
        """The sum of two rows of one span, token and model."""
        return self._replace(
            quota=self.quota + other.quota,
            refunded=self.refunded + other.refunded,
            prompt_tokens=_sum(self.prompt_tokens, other.prompt_tokens),
            completion_tokens=_sum(self.completion_tokens, other.completion_tokens),
            requests=self.requests + other.requests,
        )


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other


def merge(rows: Iterable[Hour]) -> list[Hour]:
    """The rows with those of one span, token and model added up."""
    found: dict[Any, Hour] = {}
    for row in rows:
        # Its span, token and model.
        known = found.get(key := row[:3])
        found[key] = row if known is None else known.add(row)
    return list(found.values())


class Hours(NamedTuple):
    """The hours of a period in no order, some in parts.

    What was before `known_since` (unix seconds) is unknown; 0 when all is known.
    """

    rows: list[Hour]
    known_since: int


def read_hours(
    service: Service,
    user: UserRow,
    token: TokenRow | None,
    start: int,
    end: int,
    *,
    span: int = HOUR,
    by_token: bool = False,
    logs_alone: bool = False,
) -> Hours:
    """What was used from `start` to before `end`.

    Of the token, or of all the user's when it is None. Each row sums a `span` of seconds, the first
    of which begins at `start`: fewer rows than hours where days are enough. `logs_alone` leaves out
    new-api's own sums of the days before its logs, which do not know all that logs do. Raises
    DatabaseUnavailable when it took too long, UnsupportedLogs when the logs are where we cannot
    read, BadParameter when spans are no whole hours and only hours are known.
    """
    period = _Period(start, max(start, 0), end, span, by_token)
    if service.attached:
        return _from_gateway(service, user, token, period, logs_alone)
    return Hours(_from_our_tables(service.database, user, token, period), 0)


class _Period(NamedTuple):
    """From `start` to before `end`, in spans counted from `origin`; tokens told apart or not."""

    origin: int
    start: int
    end: int
    span: int
    by_token: bool

    def has_whole_hours(self) -> bool:
        return all(second % HOUR == 0 for second in (self.origin, self.end, self.span))

    def row(
        self,
        number: Any,
        token: Any,
        model: str | None,
        quota: Any,
        refunded: Any,
        prompt: Any,
        completion: Any,
        requests: Any,
    ) -> Hour:
        """A row as the database gives it, with the number of the span; MySQL sums to Decimals."""
        return Hour(
            self.origin + int(number) * self.span,
            token.decode(errors="replace") if isinstance(token, bytes) else token,
            model or "",
            int(quota),
            int(refunded),
            None if prompt is None else int(prompt),
            None if completion is None else int(completion),
            int(requests),
        )


class _Owner(NamedTuple):
    """The columns that say whose a row of the logs is, and their values."""

    columns: tuple[Field[Any], ...]
    values: tuple[Any, ...]


def _from_our_tables(
    database: Database, user: UserRow, token: TokenRow | None, period: _Period
) -> list[Hour]:
    """From our hours; from our logs, where they are whole, what hours cannot tell."""
    owner, id = (QuotaData.user_id, user.id) if token is None else (QuotaData.token_id, token.id)
    if period.has_whole_hours():
        return _from_sums(database, owner, id, period)
    low, high = period.start - period.start % HOUR, period.end + -period.end % HOUR
    whole = _Period(low, low, high, high - low, by_token=False)
    # Read before the logs, so that a use that is recorded meanwhile makes these no less whole.
    known = _from_sums(database, owner, id, whole)
    oldest = oldest_row(database)
    rows = _from_all_logs(database, user, token, period, oldest)
    logged = list(rows)
    for edge in ((low, period.start), (period.end, high)):
        hour = whole._replace(start=edge[0], end=edge[1])
        logged += _from_all_logs(database, user, token, hour, oldest)
    if any(
        sum(counted(hour) for hour in logged) < sum(counted(hour) for hour in known)
        for counted in (attrgetter("requests"), attrgetter("refunded"))
    ):
        # Operators may delete what was used from our logs (docs/performance.md).
        raise _only_hours_known()
    return rows


def _only_hours_known() -> BadParameter:
    return BadParameter(
        "timezone",
        "该时区与 UTC 相差不是整小时，而该时段的日志已不全，只有按小时的记录",
        "not a whole number of hours off UTC, and of a part of these days only hours are known",
    )


def _from_sums(database: Database, owner: Field[Any], id: int, period: _Period) -> list[Hour]:
    """Rows of `quota_data`, ours or new-api's.

    new-api's did not tell tokens apart before July 2026; the id of older rows is 0.
    """
    by_token = period.by_token and database.table_columns().has("quota_data", "token_id")
    values = (period.origin, period.span, id, period.start, period.end)
    rows = database.fetch(sums_query(owner, by_token), *values, heavy=True)
    return [period.row(*row) for row in rows]


def _from_gateway(
    service: Service,
    user: UserRow,
    token: TokenRow | None,
    period: _Period,
    logs_alone: bool,
) -> Hours:
    """From the logs; an account's days before them from new-api's own hours, if it kept them."""
    database = service.log_database
    if database is None:
        raise UnsupportedLogs
    oldest = oldest_row(database)
    known_since = 0
    if oldest is None or period.start < oldest.created_at:
        known_since = logs_since(service, oldest, user, token)
    rows: list[Hour] = []
    in_logs = period
    has_hours = token is None and not logs_alone and known_since > period.start
    if has_hours and (kept := _hours_kept_since(service)):
        # The hour in which the logs begin is whole in the hours alone.
        hours_end = known_since + -known_since % HOUR
        if kept < hours_end:
            if not period.has_whole_hours():
                raise _only_hours_known()
            before_logs = period._replace(end=min(period.end, hours_end))
            rows = _from_sums(service.database, QuotaData.user_id, user.id, before_logs)
            known_since = kept
            in_logs = period._replace(start=max(period.start, hours_end))
    rows += _from_all_logs(database, user, token, in_logs, oldest)
    return Hours(rows, known_since if known_since > period.start else 0)


def _hours_kept_since(service: Service) -> int | None:
    """The first hour in new-api's own sums; None when it keeps none."""
    if not service.database.table_columns().columns["quota_data"]:
        return None
    ((first,),) = service.database.fetch(first_hour, heavy=True)
    return None if first is None else int(first)


def _from_all_logs(
    database: Database,
    user: UserRow,
    token: TokenRow | None,
    period: _Period,
    oldest: LogRow | None,
) -> list[Hour]:
    """Rows of the logs, whose oldest is `oldest`."""
    if oldest is None or oldest.created_at >= period.end or period.start >= period.end:
        return []
    ((last,),) = database.fetch(last_log, heavy=True)
    if last is None or last < period.start:
        return []
    owner = _owner_in_logs(database, user, token)
    asked = min(period.end, last) - max(period.start, oldest.created_at)
    is_short = asked < _FULL_SCAN_SHARE * (last - oldest.created_at)
    return _from_logs(database, owner, period, is_short)


def _owner_in_logs(database: Database, user: UserRow, token: TokenRow | None) -> _Owner:
    if token is None:
        return _Owner((Log.user_id,), (user.id,))
    if database.table_columns().has("logs", "token_id"):
        return _Owner((Log.token_id,), (token.id,))
    # The logs of one-api, one-hub and done-hub know a token by its name alone.
    if "\ufffd" in (token.name or ""):
        raise DatabaseMisconfigured(f"the name of token {token.id} is not UTF-8: rename it")
    return _Owner((Log.user_id, Log.token_name), (user.id, token.name or ""))


def _from_logs(database: Database, owner: _Owner, period: _Period, is_short: bool) -> list[Hour]:
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
