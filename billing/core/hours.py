"""Reads what was used by hour: from our own sums, a gateway's logs, or new-api's own sums.

Everything that is told by time is summed from these rows. Quota units, refunds netted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, NamedTuple

from peewee import SQL, Case, Field, Node, Select, fn

from billing.core.log_slices import LogRow, oldest_row
from billing.core.logs_since import logs_since
from billing.core.service import Service
from billing.database.columns import PLACEHOLDER, QueryBuilder, TableColumns
from billing.database.connection import Database
from billing.database.models import LOG_CONSUME, LOG_REFUND, SCHEMA_TABLE, Log, QuotaData
from billing.database.queries import TokenRow, UserRow
from billing.errors import DatabaseMisconfigured, UnsupportedLogs

HOUR = 3600

#: Above this share of the table, finding a range's ids first costs more than it saves.
_FULL_SCAN_SHARE = 0.5


class Hour(NamedTuple):
    """What one token used of one model in the UTC hour that begins at `start` (unix seconds).

    `token` is its id, its name where the logs know only that, or None when tokens are not told
    apart. `quota` is net of `refunded`, and tokens are net too; a refund does not unmake its
    request. Tokens are None where only sums of both kinds are known.
    """

    start: int
    token: int | str | None
    model: str
    quota: int
    refunded: int
    prompt_tokens: int | None
    completion_tokens: int | None
    requests: int


class Hours(NamedTuple):
    """The hours of a period in no order; what was before `known_since` is unknown, 0 for nothing.

    Times are unix seconds.
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
) -> Hours:
    """What was used from `start` to before `end`.

    Of the token, or of all the user's when it is None. Each row sums a `span` of seconds, the first
    of which begins at `start`: fewer rows than hours where days are enough. Raises
    DatabaseUnavailable when it took too long, UnsupportedLogs when the logs are where we cannot
    read.
    """
    period = _Period(start, max(start, 0), end, span, by_token)
    if service.attached:
        return _from_gateway(service, user, token, period)
    return Hours(_from_our_hours(service.database, user, token, period), 0)


def hours_of_user(database: Database, user_id: int, start: int, end: int) -> list[Hour]:
    """What a gateway's logs hold of all the user's tokens in a slice of whole hours, by token."""
    period = _Period(start, start, end, HOUR, by_token=True)
    return _from_logs(database, _Owner((Log.user_id,), (user_id,)), period, is_short=True)


class _Period(NamedTuple):
    """From `start` to before `end`, in spans counted from `origin`; tokens told apart or not."""

    origin: int
    start: int
    end: int
    span: int
    by_token: bool

    def rows(self, found: Iterable[Sequence[Any]]) -> list[Hour]:
        """Of rows of number of the span, token, model and sums."""
        return [
            Hour(
                self.origin + int(number) * self.span,
                _text(token) if isinstance(token, bytes | str) else token,
                model or "",
                int(quota),
                int(refunded),
                None if prompt is None else int(prompt),
                None if completion is None else int(completion),
                int(requests),
            )
            for number, token, model, quota, refunded, prompt, completion, requests in found
        ]


def _text(name: bytes | str) -> str:
    return name.decode(errors="replace") if isinstance(name, bytes) else name


class _Owner(NamedTuple):
    """The columns that say whose a row of the logs is, and their values."""

    columns: tuple[Field[Any], ...]
    values: tuple[Any, ...]


def _from_our_hours(
    database: Database, user: UserRow, token: TokenRow | None, period: _Period
) -> list[Hour]:
    """Our hours are net of refunds, which our logs tell apart."""
    owner, id = (QuotaData.user_id, user.id) if token is None else (QuotaData.token_id, token.id)
    asked = (period.origin, period.span, id, period.start, period.end)
    hours = database.fetch(_sums_query(owner, period.by_token), *asked, heavy=True)
    owner, id = (Log.user_id, user.id) if token is None else (Log.token_id, token.id)
    asked = (period.origin, period.span, id, period.start, period.end)
    refunds = database.fetch(_refunds_query(owner, period.by_token), *asked, heavy=True)
    return period.rows([*hours, *refunds])


@cache
def _sums_query(owner: Field[Any], by_token: bool) -> QueryBuilder:
    """The query for rows of `quota_data`, ours or new-api's."""

    def build(columns: TableColumns) -> Node:
        model_name: Node = QuotaData.model_name
        if not columns.columns[SCHEMA_TABLE]:
            # A gateway's collation may take GPT-4o for gpt-4o; that of our own tables does not.
            model_name = columns.dialect.case_sensitive(fn.COALESCE(model_name, ""))
        rows = QuotaData.select(
            columns.dialect.span_of(QuotaData.created_at),
            QuotaData.token_id if by_token else SQL("NULL"),
            model_name,
            fn.SUM(QuotaData.quota),
            SQL("0"),
            SQL("NULL"),
            SQL("NULL"),
            fn.SUM(QuotaData.count),
        )
        return _within(rows, (owner,), QuotaData.created_at, by_token)

    return build


@cache
def _refunds_query(owner: Field[Any], by_token: bool) -> QueryBuilder:
    """The query for the refunds in our own logs, whose hours are net of them."""

    def build(columns: TableColumns) -> Node:
        rows = Log.select(
            columns.dialect.span_of(Log.created_at),
            Log.token_id if by_token else SQL("NULL"),
            Log.model_name,
            SQL("0"),
            fn.SUM(Log.quota),
            SQL("NULL"),
            SQL("NULL"),
            SQL("0"),
        ).where(Log.type == LOG_REFUND)
        return _within(rows, (owner,), Log.created_at, by_token)

    return build


def _within(
    rows: Select, owner: Iterable[Field[Any]], created_at: Field[Any], by_token: bool
) -> Select:
    """The rows of an owner and a period, grouped by their first three columns."""
    inside = (created_at >= PLACEHOLDER, created_at < PLACEHOLDER)
    rows = rows.where(*(field == PLACEHOLDER for field in owner), *inside)
    return rows.group_by(SQL("1"), SQL("3"), *([SQL("2")] if by_token else []))


def _from_gateway(
    service: Service, user: UserRow, token: TokenRow | None, period: _Period
) -> Hours:
    """From the logs; an account's days before them from new-api's own hours, if it kept them."""
    database = service.log_database
    if database is None:
        raise UnsupportedLogs
    oldest = oldest_row(database)
    remembered = _remembered(service, user, token, period, oldest)
    if remembered is not None:
        oldest = LogRow(0, remembered.known_since)
    known_since = 0
    if oldest is None or period.start < oldest.created_at:
        known_since = logs_since(service, oldest, user, token)
    rows: list[Hour] = []
    in_logs = period
    if known_since > period.start and token is None and (kept := _hours_kept_since(service)):
        # The hour in which the logs begin is whole in the hours alone.
        hours_end = known_since + -known_since % HOUR
        if kept < hours_end:
            before_logs = period._replace(end=min(period.end, hours_end))
            rows = _from_gateway_hours(service.database, user, before_logs)
            known_since = kept
            in_logs = period._replace(start=max(period.start, hours_end))
            if remembered is not None:
                remembered = _remembered(service, user, token, in_logs, oldest)
    if remembered is not None:
        rows += remembered.rows
    elif oldest is not None and in_logs.start < period.end and oldest.created_at < period.end:
        owner = _owner_in_logs(database, user, token)
        rows += _from_logs(database, owner, in_logs, _is_short(database, in_logs, oldest))
    return Hours(rows, known_since if known_since > period.start else 0)


class _Remembered(NamedTuple):
    """Rows that were not read now, and since when there is one for every use."""

    rows: list[Hour]
    known_since: int


def _remembered(
    service: Service, user: UserRow, token: TokenRow | None, period: _Period, oldest: LogRow | None
) -> _Remembered | None:
    """What the usage cache says of the period; None when the logs are to be read for it.

    Raises UsageIncomplete.
    """
    cache, database = service.usage_cache, service.log_database
    if cache is None or database is None or period.end <= period.start:
        return None
    found = cache.read(user.id, period.origin, period.span, period.start, period.end, oldest)
    if found is None:
        return None
    rows = [Hour(*cell) for cell in found.cells]
    if token is not None:
        value = _owner_in_logs(database, user, token).values[-1]
        rows = [row for row in rows if row.token == value]
    if not period.by_token:
        rows = [row._replace(token=None) for row in rows]
    return _Remembered(rows, found.known_since)


def _hours_kept_since(service: Service) -> int | None:
    """The first hour in new-api's own sums; None when it keeps none."""
    if not service.database.table_columns().columns["quota_data"]:
        return None
    ((first,),) = service.database.fetch(_first_hour, heavy=True)
    return None if first is None else int(first)


def _first_hour(columns: TableColumns) -> Node:
    return QuotaData.select(fn.MIN(QuotaData.created_at))


def _from_gateway_hours(database: Database, user: UserRow, period: _Period) -> list[Hour]:
    """new-api's own sums. Those of before July 2026 do not tell tokens apart: 0 is any token."""
    by_token = period.by_token and database.table_columns().has("quota_data", "token_id")
    query = _sums_query(QuotaData.user_id, by_token)
    asked = (period.origin, period.span, user.id, period.start, period.end)
    return period.rows(database.fetch(query, *asked, heavy=True))


def _owner_in_logs(database: Database, user: UserRow, token: TokenRow | None) -> _Owner:
    if token is None:
        return _Owner((Log.user_id,), (user.id,))
    if database.table_columns().has("logs", "token_id"):
        return _Owner((Log.token_id,), (token.id,))
    # The logs of one-api, one-hub and done-hub know a token by its name alone.
    if "\ufffd" in (token.name or ""):
        raise DatabaseMisconfigured(f"the name of token {token.id} is not UTF-8: rename it")
    return _Owner((Log.user_id, Log.token_name), (user.id, token.name or ""))


def _is_short(database: Database, period: _Period, oldest: LogRow) -> bool:
    """Whether a period has so small a share of the logs that finding its ids first is worth it."""
    ((last,),) = database.fetch(_last_log, heavy=True)
    last = last or oldest.created_at
    asked = min(period.end, last) - max(period.start, oldest.created_at)
    return bool(asked < _FULL_SCAN_SHARE * (last - oldest.created_at))


def _from_logs(database: Database, owner: _Owner, period: _Period, is_short: bool) -> list[Hour]:
    values = (period.origin, period.span, *owner.values, period.start, period.end)
    # A name is compared twice.
    values += owner.values[1:]
    if is_short:
        # Exact bounds: gateways write rows late, so that estimated ids would miss some.
        ((low, high),) = database.fetch(_log_id_range, period.start, period.end, heavy=True)
        if low is None:
            return []
        values += (low, high)
    query = _log_query(owner.columns, period.by_token, is_short)
    return period.rows(database.fetch(query, *values, heavy=True))


def _last_log(columns: TableColumns) -> Node:
    return Log.select(fn.MAX(Log.created_at))


def _log_id_range(columns: TableColumns) -> Node:
    inside = (Log.created_at >= PLACEHOLDER, Log.created_at < PLACEHOLDER)
    return Log.select(fn.MIN(Log.id), fn.MAX(Log.id)).where(*inside)


@cache
def _log_query(owner: tuple[Field[Any], ...], by_token: bool, bounded: bool) -> QueryBuilder:
    """The query for rows whose `owner` columns have given values, and for ids between two."""

    def build(columns: TableColumns) -> Node:
        dialect, has_ids = columns.dialect, columns.has("logs", "token_id")
        # Only new-api, whose logs name the token, writes refunds.
        types = (LOG_CONSUME, LOG_REFUND) if has_ids else (LOG_CONSUME,)
        token: Node = SQL("NULL")
        if by_token and has_ids:
            token = fn.COALESCE(Log.token_id, 0)
        elif by_token:
            token = dialect.space_sensitive(fn.COALESCE(Log.token_name, ""))
        quota = fn.COALESCE(Log.quota, 0)
        is_refund = Log.type == LOG_REFUND

        def net(counted: Any) -> Node:
            return fn.SUM(Case(None, ((is_refund, 0 - counted),), counted))

        def tokens(field: Field[Any]) -> Node:
            if not columns.has("logs", field.column_name):
                return SQL("NULL")
            return net(fn.COALESCE(field, 0))

        rows: Select = Log.select(
            dialect.span_of(Log.created_at),
            token,
            dialect.case_sensitive(fn.COALESCE(Log.model_name, "")),
            net(quota),
            fn.SUM(Case(None, ((is_refund, quota),), 0)),
            tokens(Log.prompt_tokens),
            tokens(Log.completion_tokens),
            fn.SUM(Case(None, ((is_refund, 0),), 1)),
        ).where(Log.type.in_(types))
        rows = _within(rows, owner, Log.created_at, by_token)
        if len(owner) > 1:
            # Compared twice: the first comparison uses the index, this one is exact on MySQL too.
            rows = rows.where(dialect.space_sensitive(Log.token_name) == PLACEHOLDER)
        if bounded:
            rows = rows.where(Log.id >= PLACEHOLDER, Log.id <= PLACEHOLDER)
        return rows

    return build
