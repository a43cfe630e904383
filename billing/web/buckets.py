"""Lists the days or hours of a period with what is known of each."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from billing.core.daily_costs import PeriodCosts
from billing.core.days import Period
from billing.core.hours import Hour


def by_bucket(period: Period, found: PeriodCosts) -> Iterator[tuple[int, int, list[Hour]]]:
    """The start and end of each part of the period, and its costs, which may be none.

    One that is not known from its beginning is left out unless something of it is known.
    """
    costs = {start: list(group) for start, group in groupby(found.costs, lambda cost: cost.start)}
    for start, end in period.parts():
        if start >= found.known_since or start in costs:
            yield start, end, costs.get(start, [])
