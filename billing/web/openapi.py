"""GET /openapi.json: what the service answers, described from the schemas that shape it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from flask import Blueprint
from marshmallow import Schema, fields

from billing.core.service import VERSION
from billing.errors import ErrorSchema
from billing.web.schemas import (
    CostPageSchema,
    CreditSummarySchema,
    DailyUsageSchema,
    StatusSchema,
    SubscriptionSchema,
    UsageSchema,
)

openapi = Blueprint("openapi", __name__)

#: Keys that a body may lack; every other is always there.
_OPTIONAL = {"code", "param"}

_TYPES = {str: "string", bool: "boolean", type(None): "null"}

#: The statuses of routes that need a token, and why.
_REFUSALS = {
    "401": "no token, an unknown one, or one switched off",
    "403": "the user is disabled, or the address not on the token's allow-list",
    "429": "too many requests, when RATE_LIMIT is set",
}
_FAILURES = {
    "500": "the database holds no tables of ours, or is corrupt",
    "503": "the database is away, refuses, or is too slow: a retry can help",
}
_BAD = {"400": "a parameter cannot be read; `param` names it"}


def _query(name: str, description: str, **schema: Any) -> dict[str, Any]:
    required = schema.pop("required", False)
    return {
        "in": "query",
        "name": name,
        "description": description,
        "required": required,
        "schema": {"type": "string", **schema},
    }


_USER = {
    "in": "header",
    "name": "New-Api-User",
    "description": "A user's id: required with that user's access token; else, when sent, it must "
    "name the token's user.",
    "schema": {"type": "string"},
}

_DAYS = [
    _query("include", "`daily_costs` adds `daily_costs` and `period_usage`; all else is ignored."),
    _query("start_date", "The first day, YYYY-MM-DD; looked at only with `include=daily_costs`."),
    _query("end_date", "The day after the last; looked at only with `include=daily_costs`."),
]

_PAGES = [
    _query("start_time", "Unix seconds.", type="integer", minimum=0, required=True),
    _query("end_time", "Unix seconds, after `start_time`; now when absent.", type="integer"),
    _query("limit", "Days to a page.", type="integer", minimum=1, maximum=180, default=7),
    _query("page", "A `next_page` of the same query.", type="integer"),
    _query("bucket_width", "Days alone.", enum=["1d"]),
    _query("group_by", "`line_item` tells models apart.", enum=["line_item"]),
]

Bodies = Sequence[type[Schema]]

#: Path, what it is, the schemas of its 200, its parameters, and what else it may answer.
_ROUTES: list[tuple[str, str, Bodies, list[dict[str, Any]], dict[str, str]]] = [
    *(
        (f"{prefix}/dashboard/billing/{name}", summary, bodies, query, failures)
        for prefix in ("", "/v1")
        for name, summary, bodies, query, failures in (
            (
                "subscription",
                "Limits and expiry of the caller",
                [SubscriptionSchema],
                [],
                _REFUSALS | _FAILURES,
            ),
            (
                "usage",
                "What the caller has used, in hundredths",
                [UsageSchema, DailyUsageSchema],
                _DAYS,
                _BAD | _REFUSALS | _FAILURES,
            ),
            (
                "credit_grants",
                "What the caller was given",
                [CreditSummarySchema],
                [],
                _REFUSALS | _FAILURES,
            ),
        )
    ),
    (
        "/v1/organization/costs",
        "OpenAI's costs of today, by day",
        [CostPageSchema],
        _PAGES,
        _BAD | _REFUSALS | _FAILURES,
    ),
    ("/healthz", "The process is up", [StatusSchema], [], {}),
    ("/readyz", "The tables can be read", [StatusSchema], [], _FAILURES),
]


def _constants(self: Any, field: Any, **_: Any) -> dict[str, Any]:
    if not isinstance(field, fields.Constant):
        return {}
    return {"type": _TYPES[type(field.constant)], "const": field.constant}


@cache
def document() -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    plugin = MarshmallowPlugin()
    spec = APISpec("billing", VERSION, "3.1.0", plugins=[plugin])
    converter: Any = plugin.converter
    converter.add_attribute_function(_constants)
    spec.components.security_scheme("token", {"type": "http", "scheme": "bearer"})
    for path, summary, bodies, query, failures in _ROUTES:
        guarded = "401" in failures
        operation: dict[str, Any] = {
            "summary": summary,
            "parameters": [*query, _USER] if guarded else query,
            "responses": {"200": _response("as asked", bodies)}
            | {status: _response(why, [ErrorSchema]) for status, why in failures.items()},
        }
        if guarded:
            operation["security"] = [{"token": []}]
        spec.path(path, operations={"get": operation})
    told = spec.to_dict()
    for schema in told["components"]["schemas"].values():
        schema["required"] = [name for name in schema["properties"] if name not in _OPTIONAL]
        for described in schema["properties"].values():
            # Nothing here is ever sent to us.
            described.pop("readOnly", None)
            if "const" in described:
                described.pop("default", None)
    return told


def _response(description: str, bodies: Bodies) -> dict[str, Any]:
    schema: Any = bodies[0] if len(bodies) == 1 else {"anyOf": list(bodies)}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


@openapi.get("/openapi.json")
def description() -> dict[str, Any]:
    return document()
