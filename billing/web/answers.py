"""What a view returns: a body, and the header that names the unit of its amounts."""

from __future__ import annotations

from typing import Any

#: A body, and the headers that are its own.
Answer = tuple[dict[str, Any], dict[str, str]]


def with_unit(unit: str, body: dict[str, Any]) -> Answer:
    """The answer that says what its amounts are in: USD, CNY, CUSTOM, or TOKENS for raw quota."""
    return body, {"X-Billing-Unit": unit}
