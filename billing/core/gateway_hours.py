"""Reads the hours of an attached gateway: from its logs or what is remembered of them.

An account's days before the logs come from new-api's own sums, where it kept them.
"""

from __future__ import annotations

from typing import NamedTuple

from billing.core.days import HOUR
from billing.core.hour import Hour, HourPeriod, Hours
from billing.core.hour_queries import first_hour
from billing.core.hour_reads import from_all_logs, from_sums, only_hours_known, owner_in_logs
from billing.core.log_slices import LogRow, oldest_row
from billing.core.logs_since import logs_since
from billing.core.service import Service
from billing.database.models import QuotaData
from billing.database.queries import TokenRow, UserRow
from billing.database.usage_rows import Spans
from billing.errors import UnsupportedLogs


def from_gateway(
    service: Service,
    user: UserRow,
    token: TokenRow | None,
    period: HourPeriod,
    logs_alone: bool,
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
    has_hours = token is None and not logs_alone and known_since > period.start
    if has_hours and (kept := _hours_kept_since(service)):
        # The hour in which the logs begin is whole in the hours alone.
        hours_end = known_since + -known_since % HOUR
        if kept < hours_end:
            if not period.has_whole_hours():
                raise only_hours_known()
            before_logs = period._replace(end=min(period.end, hours_end))
            rows = from_sums(service.database, QuotaData.user_id, user.id, before_logs)
            known_since = kept
            in_logs = period._replace(start=max(period.start, hours_end))
            if remembered is not None:
                remembered = _remembered(service, user, token, in_logs, oldest)
    if remembered is not None:
        rows += remembered.rows
    else:
        rows += from_all_logs(database, user, token, in_logs, oldest)
    pruned_before = _pruned_before(service, user, token, in_logs, remembered)
    return Hours(rows, known_since if known_since > period.start else 0, pruned_before)


class _Remembered(NamedTuple):
    """Rows that were not read now, since when there is one for every use, and in the logs too."""

    rows: list[Hour]
    known_since: int
    logs_since: int


def _remembered(
    service: Service,
    user: UserRow,
    token: TokenRow | None,
    period: HourPeriod,
    oldest: LogRow | None,
) -> _Remembered | None:
    """What the usage cache says of the period; None when the logs are to be read for it.

    Raises UsageIncomplete.
    """
    cache, database = service.usage_cache, service.log_database
    if cache is None or database is None or period.end <= period.start:
        return None
    spans = Spans(period.origin, period.span, period.start, period.end, period.bounds)
    name = None if token is None else owner_in_logs(database, user, token).values[-1]
    found = cache.read(user.id, spans, oldest, name, period.by_token)
    if found is None:
        return None
    rows = [Hour(*cell) for cell in found.cells]
    return _Remembered(rows, found.known_since, found.logs_since)


def _pruned_before(
    service: Service,
    user: UserRow,
    token: TokenRow | None,
    period: HourPeriod,
    remembered: _Remembered | None,
) -> int:
    """Since when the logs know what of the period the cache alone knew before; 0 for always."""
    if remembered is None:
        return 0
    known_since = max(period.start, remembered.known_since)
    if known_since >= remembered.logs_since:
        return 0
    # A caller who is newer than the pruning lost nothing by it.
    return logs_since(service, LogRow(0, remembered.logs_since), user, token)


def _hours_kept_since(service: Service) -> int | None:
    """The first hour in new-api's own sums; None when it keeps none."""
    if not service.database.table_columns().columns["quota_data"]:
        return None
    ((first,),) = service.database.fetch(first_hour, heavy=True)
    return None if first is None else int(first)
