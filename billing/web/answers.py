"""What a view answers: a body, and the header that names the unit of its amounts."""

from __future__ import annotations

from typing import Any

from billing.web.json_response import JSONResponse


def with_unit(unit: str, body: dict[str, Any]) -> JSONResponse:
    """The answer that says what its amounts are in: USD, CNY, CUSTOM, or TOKENS for raw quota."""
    return JSONResponse(body, headers=[("X-Billing-Unit", unit)])
