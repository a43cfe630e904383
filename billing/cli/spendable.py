"""`--below`: which users and tokens of a list can spend less than an amount."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from billing.core.service import current_service


def rows_below(
    rows: list[dict[str, Any]], quotas: Mapping[int, int], below: Fraction
) -> list[dict[str, Any]]:
    """The rows with a quota, by their `id`, that is worth less than `below` display units.

    Each also says how much that is, as `spendable`, and the unit.
    """
    display = current_service().display
    return [
        {**row, "spendable": float(amount), "unit": display.unit}
        for row in rows
        if row["id"] in quotas and (amount := display.amount(quotas[row["id"]])) < below
    ]
