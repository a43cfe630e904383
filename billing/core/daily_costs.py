"""Sums the hours of what was used by UTC day and model.

Quota units throughout, refunds netted; days are the unix seconds of their midnight.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from billing.core.hours import read_hours
from billing.core.service import Service
from billing.database.queries import TokenRow, UserRow

DAY = 86400


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
    hours = read_hours(service, user, token, start, end, span=DAY)
    sums: Counter[tuple[int, str]] = Counter()
    for hour in hours.rows:
        sums[hour.start, hour.model] += hour.quota
    costs = [DailyCost(day, model, quota) for (day, model), quota in sums.items()]
    costs.sort(key=lambda cost: (cost.day, -cost.quota, cost.model))
    refunded = sum(hour.refunded for hour in hours.rows)
    return PeriodCosts(costs, refunded, hours.known_since)
