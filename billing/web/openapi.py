"""GET /openapi.json: describes the routes, from the schemas that shape their bodies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from flask import Blueprint
from marshmallow import Schema, fields

from billing.version import VERSION
from billing.web.page_params import COMPLETIONS, COSTS, PageRules
from billing.web.schemas import (
    CompletionsPageSchema,
    CostPageSchema,
    CreditSummarySchema,
    DailyUsageSchema,
    ErrorSchema,
    StatusSchema,
    SubscriptionSchema,
    TokenUsageSchema,
    UsageSchema,
)

openapi = Blueprint("openapi", __name__)

#: Keys that a body may lack; all others are required, but for those of one schema alone.
_OPTIONAL_KEYS = {
    *("code", "param", "logs_since", "pruned_before", "total_usage_counted"),
    *("source", "plan", "resets_at", "token_available", "account_available"),
    *("api_key_id", "api_key_name", "api_keys", "caller"),
}

_OPTIONAL_KEYS_OF = {"APIKey": {"remaining", "used", "unlimited", "last_used_at"}}

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
_NO_LOGS = {"501": "daily costs of a gateway that keeps its logs in ClickHouse: no retry can help"}
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

_UNIT = {
    "description": "The unit of the amounts.",
    "required": True,
    "schema": {"type": "string", "enum": ["USD", "CNY", "TOKENS", "CUSTOM"]},
}

_ZONE = _query(
    "timezone",
    "An IANA name: days begin at that zone's midnight. On `usage` only with daily costs.",
    default="UTC",
)

_DAYS = [
    _query("include", "`daily_costs` adds `daily_costs` and `period_usage`; all else is ignored."),
    _query("start_date", "The first day, YYYY-MM-DD; looked at only with `include=daily_costs`."),
    _query("end_date", "The day after the last; looked at only with `include=daily_costs`."),
    _query("group_by", "With an access token: adds `api_keys`.", enum=["api_key_id"]),
    _query("api_key_ids", "With an access token: a token's id, repeated for several."),
    _ZONE,
]

_CALLER = _query("include", "`caller` adds `caller`; all else is ignored.")


def _pages(rules: PageRules) -> list[dict[str, Any]]:
    """The parameters of one of OpenAI's routes."""
    groups = [rules.model_group, "api_key_id"]
    most = max(width.most for width in rules.widths.values())
    own = "; only what is the caller's own is found."
    return [
        _query("start_time", "Unix seconds.", type="integer", minimum=0, required=True),
        _query("end_time", "Unix seconds, after `start_time`; now when absent.", type="integer"),
        _query("limit", "Buckets to a page.", type="integer", minimum=1, maximum=most),
        _query("page", "A `next_page` of the same query.", type="integer"),
        _query("bucket_width", "Days, or UTC hours.", enum=list(rules.widths)),
        _query("group_by", "What results are grouped by; repeated for both.", enum=groups),
        _query(rules.model_filter, "A model's name, repeated for several."),
        _query("api_key_ids", "A token's id, repeated for several" + own),
        _query("user_ids", "A user's id" + own),
        _query("project_ids", "There are no projects: finds nothing."),
        _ZONE,
    ]


class Route(NamedTuple):
    """A GET route: its path, what it answers, and which statuses besides 200, and why."""

    path: str
    summary: str
    bodies: Sequence[type[Schema]]
    query: Sequence[dict[str, Any]] = ()
    failures: Mapping[str, str] = {}
    #: Whether it names the unit of its amounts.
    has_unit: bool = False


def _routes() -> Iterator[Route]:
    figures = _REFUSALS | _FAILURES
    for prefix in ("/dashboard/billing", "/v1/dashboard/billing"):
        yield Route(
            f"{prefix}/subscription",
            "Limits and expiry of the caller",
            [SubscriptionSchema],
            failures=figures,
            has_unit=True,
        )
        yield Route(
            f"{prefix}/usage",
            "What the caller has used, in hundredths",
            [UsageSchema, DailyUsageSchema],
            _DAYS,
            _BAD | figures | _NO_LOGS,
            has_unit=True,
        )
        yield Route(
            f"{prefix}/credit_grants",
            "What the caller was given",
            [CreditSummarySchema],
            [_CALLER],
            figures,
            has_unit=True,
        )
    yield Route(
        "/v1/organization/costs",
        "OpenAI's costs of today, by day",
        [CostPageSchema],
        _pages(COSTS),
        _BAD | figures | _NO_LOGS,
        has_unit=True,
    )
    yield Route(
        "/v1/organization/usage/completions",
        "OpenAI's usage of today: tokens and requests, by day or hour",
        [CompletionsPageSchema],
        _pages(COMPLETIONS),
        _BAD | figures | _NO_LOGS,
    )
    yield Route(
        "/api/usage/token",
        "What the caller has, in raw quota, in new-api's own words",
        [TokenUsageSchema],
        failures=figures,
        has_unit=True,
    )
    yield Route("/healthz", "The process is up", [StatusSchema])
    yield Route("/readyz", "The tables can be read", [StatusSchema], failures=_FAILURES)


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
    for route in _routes():
        needs_token = "401" in route.failures
        operation: dict[str, Any] = {
            "summary": route.summary,
            "parameters": [*route.query, _USER] if needs_token else [*route.query],
            "responses": {"200": _response("as asked", route.bodies)}
            | {status: _response(why, [ErrorSchema]) for status, why in route.failures.items()},
        }
        if needs_token:
            operation["security"] = [{"token": []}]
        if route.has_unit:
            operation["responses"]["200"]["headers"] = {"X-Billing-Unit": _UNIT}
        spec.path(route.path, operations={"get": operation})
    described = spec.to_dict()
    for title, schema in described["components"]["schemas"].items():
        optional = _OPTIONAL_KEYS | _OPTIONAL_KEYS_OF.get(title, set())
        schema["required"] = [name for name in schema["properties"] if name not in optional]
        for field in schema["properties"].values():
            # Clients send none of these bodies, so that readOnly says nothing.
            field.pop("readOnly", None)
            if "const" in field:
                field.pop("default", None)
    return described


def _response(description: str, bodies: Sequence[type[Schema]]) -> dict[str, Any]:
    schema: Any = bodies[0] if len(bodies) == 1 else {"anyOf": list(bodies)}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


@openapi.get("/openapi.json")
def description() -> dict[str, Any]:
    return document()
