"""Reads what was used by hour: from our own sums and logs, or from a gateway's tables.

Everything that is told by time is summed from these rows. Quota units, refunds netted.
"""

from __future__ import annotations

from operator import attrgetter

from billing.core.days import HOUR
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
    start: int,
    end: int,
    *,
    span: int = HOUR,
    by_token: bool = False,
    logs_alone: bool = False,
    bounds: tuple[int, ...] = (),
) -> Hours:
    """What was used from `start` to before `end`.

    Of the token, or of all the user's when it is None. Each row sums a `span` of seconds, the first
    of which begins at `start`: fewer rows than hours where days are enough. `logs_alone` leaves out
    new-api's own sums of the days before its logs, which do not know all that logs do. Rows may
    also sum what is between two `bounds`, which are multiples of `span` apart. Raises
    DatabaseUnavailable when it took too long, UnsupportedLogs when the logs are where we cannot
    read, BadParameter when spans are no whole hours and only hours are known.
    """
    period = HourPeriod(start, max(start, 0), end, span, by_token, bounds)
    if service.attached:
        return from_gateway(service, user, token, period, logs_alone)
    return Hours(_from_our_tables(service.database, user, token, period), 0)


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
