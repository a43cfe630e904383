"""/openapi.json says what the service answers."""

from __future__ import annotations

import re

from flask.testing import FlaskClient

from tests.support.application import Billing


def _client(billing: Billing) -> FlaskClient:
    return billing.client()


def test_the_description_is_open_to_anyone_and_names_every_route(sqlite_billing: Billing) -> None:
    answer = _client(sqlite_billing).get("/openapi.json")

    assert answer.status_code == 200
    told = answer.get_json()
    assert told["openapi"] == "3.1.0"
    served = {rule.rule for rule in sqlite_billing.app.url_map.iter_rules()}
    page = {rule for rule in served if rule.endswith("/") or "/panel/" in rule}
    assert set(told["paths"]) == served - page - {"/openapi.json"}


def test_both_prefixes_are_described_alike(sqlite_billing: Billing) -> None:
    paths = _client(sqlite_billing).get("/openapi.json").get_json()["paths"]

    for path in ("/dashboard/billing/subscription", "/dashboard/billing/usage"):
        assert paths[path] == paths[f"/v1{path}"]
        assert paths[path]["get"]["security"] == [{"token": []}]


def test_the_documented_bodies_are_described_to_the_letter(sqlite_billing: Billing) -> None:
    schemas = _client(sqlite_billing).get("/openapi.json").get_json()["components"]["schemas"]

    assert schemas["Subscription"] == {
        "type": "object",
        "properties": {
            "object": {"type": "string", "const": "billing_subscription"},
            "has_payment_method": {"type": "boolean", "const": True},
            "soft_limit_usd": {"type": "number"},
            "hard_limit_usd": {"type": "number"},
            "system_hard_limit_usd": {"type": "number"},
            "access_until": {"type": "integer"},
        },
        "additionalProperties": False,
        "required": [
            "object",
            "has_payment_method",
            "soft_limit_usd",
            "hard_limit_usd",
            "system_hard_limit_usd",
            "access_until",
        ],
    }
    assert schemas["Error"]["required"] == ["error"]
    assert schemas["ErrorBody"]["required"] == ["message", "type"]


def test_nothing_in_it_is_secret_or_of_this_machine(sqlite_billing: Billing) -> None:
    text = _client(sqlite_billing).get("/openapi.json").get_data(as_text=True)

    assert not re.search(r"sqlite|mysql|/tmp|\.db", text)
