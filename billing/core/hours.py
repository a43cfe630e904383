"""Reads what was used by hour: from our own sums and logs, or from a gateway's tables.

Daily costs and usage by hour are sums of these rows. Quota units, refunds netted.
"""

from __future__ import annotations

from operator import attrgetter

from billing.core.days import HOUR, Period
from billing.core.gateway_hours import from_gateway
from billing.core.hour import Hour, HourPeriod, Hours
from billing.core.hour_reads import from_all_logs, from_sums, only_hours_known
from billing.core.log_slices import oldest_row
from billing.core.service import Service
from billing.database.connection import Database
from billing.database.models import QuotaData
from billing.database.queries import TokenRow, UserRow


def read_hours(
    service: Service,
    user: UserRow,
    token: TokenRow | None,
    period: Period,
    *,
    by_token: bool = False,
    logs_alone: bool = False,
) -> Hours:
    """The token's use in the period, or that of all the user's tokens when it is None.

    A row sums the period's span or one of its parts: fewer rows than hours where days are enough.
    `by_token` keeps a row for each token. `logs_alone` leaves out new-api's own sums of the days
    before its logs, which have neither tokens of models nor, before July 2026, ids of tokens.
    Raises DatabaseUnavailable when it took too long, UnsupportedLogs when the logs are where we
    cannot read, BadParameter when spans are no whole hours and only hours are known.
    """
    start = period.start
    hours = HourPeriod(start, max(start, 0), period.end, period.span, by_token, period.bounds)
    if service.attached:
        return from_gateway(service, user, token, hours, logs_alone)
    return Hours(_from_our_tables(service.database, user, token, hours), 0)


def _from_our_tables(
    database: Database, user: UserRow, token: TokenRow | None, period: HourPeriod
) -> list[Hour]:
    """From our hours; from our logs, where they are whole, what hours cannot tell."""
    owner, id = (QuotaData.user_id, user.id) if token is None else (QuotaData.token_id, token.id)
    if period.has_whole_hours():
        return from_sums(database, owner, id, period)
    low, high = period.start - period.start % HOUR, period.end + -period.end % HOUR
    whole = HourPeriod(low, low, high, high - low, by_token=False)
    # Read before the logs, so that a use that is recorded meanwhile makes these no less whole.
    known = from_sums(database, owner, id, whole)
    oldest = oldest_row(database)
    rows = from_all_logs(database, user, token, period, oldest)
    logged = list(rows)
    for edge in ((low, period.start), (period.end, high)):
        hour = whole._replace(start=edge[0], end=edge[1])
        logged += from_all_logs(database, user, token, hour, oldest)
    if any(
        sum(counted(hour) for hour in logged) < sum(counted(hour) for hour in known)
        for counted in (attrgetter("requests"), attrgetter("refunded"))
    ):
        # Operators may delete what was used from our logs (docs/performance.md).
        raise only_hours_known()
    return rows
