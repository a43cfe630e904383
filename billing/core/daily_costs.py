"""Sums hourly usage by day and model, and by token on request.

Quota units throughout, refunds netted.
"""

from __future__ import annotations

from typing import NamedTuple

from billing.core.days import Period
from billing.core.hour import Hour, merge
from billing.core.hours import read_hours
from billing.core.service import Service
from billing.database.queries import TokenRow, UserRow


class PeriodCosts(NamedTuple):
    """The costs of a period by day, then cost, then model, and what was refunded in it.

    The `start` of each is its day's; its quota is negative when more was refunded than used. What
    was before `known_since` (unix seconds) is unknown; 0 when all is known. What is known of before
    `pruned_before` is in the usage cache alone; 0 for nothing.
    """

    costs: list[Hour]
    refunded: int
    known_since: int
    pruned_before: int = 0

    def by_model(self) -> PeriodCosts:
        """The costs by day and model, summed over all tokens."""
        costs = merge(cost._replace(token=None) for cost in self.costs)
        return self._replace(costs=sorted(costs, key=_order))


def daily_costs(
    service: Service,
    user: UserRow,
    token: TokenRow | None,
    period: Period,
    *,
    by_token: bool = False,
    logs_alone: bool = False,
) -> PeriodCosts:
    """What was used in each part of the period, days or hours, by model.

    Of the token, or of all the user's when it is None. `by_token` and `logs_alone` are
    `read_hours`', which see for what is raised.
    """
    with service.heavy_reads():
        hours = read_hours(service, user, token, period, by_token=by_token, logs_alone=logs_alone)
    days = merge(
        hour if (day := period.start_of(hour.start)) == hour.start else hour._replace(start=day)
        for hour in hours.rows
    )
    days.sort(key=_order)
    refunded = sum(cost.refunded for cost in days)
    return PeriodCosts(days, refunded, hours.known_since, hours.pruned_before)


def _order(cost: Hour) -> tuple[int, int, str, str]:
    return cost.start, -cost.quota, cost.model, str(cost.token)
