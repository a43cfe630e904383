"""The figures (CONTRACT sections 1 and 4): whose balance, in which unit, in which bytes."""

from __future__ import annotations

from typing import Any

import peewee
import pytest
from flask.testing import FlaskClient

from billing.database.models import Token, User
from tests.support.application import Billing
from tests.support.http_client import bearer

PREFIXES = ["/dashboard/billing", "/v1/dashboard/billing"]


@pytest.fixture
def alice(billing: Billing) -> dict[str, Any]:
    """A user with $30 left of $50, and her access token."""
    user = billing.user("alice")
    billing.execute("UPDATE users SET quota = 15000000, used_quota = 10000000")
    return user


@pytest.fixture
def token(billing: Billing, alice: dict[str, Any]) -> dict[str, Any]:
    """A token with $75 left of $100, which ends in 2030."""
    token = billing.token("alice", "--expires", "2030-01-01")
    billing.execute("UPDATE tokens SET remain_quota = 37500000, used_quota = 12500000")
    return token


def figures(client: FlaskClient, headers: dict[str, str]) -> tuple[float, float, int]:
    """hard_limit_usd, total_usage and access_until as the caller reads them."""
    subscription = client.get("/v1/dashboard/billing/subscription", headers=headers)
    usage = client.get("/v1/dashboard/billing/usage", headers=headers)
    assert (subscription.status_code, usage.status_code) == (200, 200), subscription.text
    body = subscription.get_json()
    assert body["soft_limit_usd"] == body["hard_limit_usd"] == body["system_hard_limit_usd"]
    return body["hard_limit_usd"], usage.get_json()["total_usage"], body["access_until"]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_the_subscription_is_the_documented_one(
    billing: Billing, token: dict[str, Any], prefix: str
) -> None:
    answer = billing.client().get(f"{prefix}/subscription", headers=bearer(token["key"]))

    assert (answer.status_code, answer.mimetype) == (200, "application/json")
    assert answer.data == (
        b'{"object":"billing_subscription","has_payment_method":true,"soft_limit_usd":100.0,'
        b'"hard_limit_usd":100.0,"system_hard_limit_usd":100.0,"access_until":1893456000}\n'
    )


@pytest.mark.parametrize("prefix", PREFIXES)
def test_the_usage_is_the_documented_one(
    billing: Billing, token: dict[str, Any], prefix: str
) -> None:
    answer = billing.client().get(f"{prefix}/usage", headers=bearer(token["key"]))

    assert (answer.status_code, answer.mimetype) == (200, "application/json")
    assert answer.data == b'{"object":"list","total_usage":2500.0}\n'


def test_a_recorded_use_moves_from_remaining_to_used(billing: Billing) -> None:
    billing.user("bob")
    token = billing.token("bob", "--usd", "10")

    billing.run("usage", "record", str(token["id"]), "--model", "gpt-4o", "--quota", "1")

    assert figures(billing.client(), bearer(token["key"])) == (10.0, 0.0002, 0)


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ("expired_time = 1640995200", (100.0, 2500.0, 1640995200)),
        ("status = 3, expired_time = 1640995200", (100.0, 2500.0, 1640995200)),
        ("status = 4", (100.0, 2500.0, 1893456000)),
        ("remain_quota = 0", (25.0, 2500.0, 1893456000)),
        ("remain_quota = -2500000", (20.0, 2500.0, 1893456000)),
        ("expired_time = -1", (100.0, 2500.0, 0)),
        ("expired_time = 0", (100.0, 2500.0, 0)),
    ],
)
def test_an_expired_or_exhausted_token_still_reads_its_figures(
    billing: Billing, token: dict[str, Any], changes: str, shown: tuple[float, float, int]
) -> None:
    billing.execute(f"UPDATE tokens SET {changes}")

    assert figures(billing.client(), bearer(token["key"])) == shown


UNITS = [
    ({}, 100.0, 2500.0),
    ({"QUOTA_PER_UNIT": "250000"}, 200.0, 5000.0),
    ({"DISPLAY_UNIT": "CNY"}, 730.0, 18250.0),
    ({"DISPLAY_UNIT": "CNY", "USD_EXCHANGE_RATE": "7"}, 700.0, 17500.0),
    ({"DISPLAY_UNIT": "CUSTOM", "CUSTOM_EXCHANGE_RATE": "0.5"}, 50.0, 1250.0),
    ({"DISPLAY_UNIT": "TOKENS"}, 50_000_000.0, 1_250_000_000.0),
]


@pytest.mark.parametrize(("env", "limit", "total"), UNITS)
def test_a_token_is_shown_in_the_display_unit(
    billing: Billing, token: dict[str, Any], env: dict[str, str], limit: float, total: float
) -> None:
    shown = figures(billing.client(**env), bearer(token["key"]))

    assert shown == (limit, total, 1893456000)


@pytest.mark.parametrize(("env", "_limit", "total"), UNITS)
def test_unlimited_is_the_same_figure_in_every_unit(
    billing: Billing, token: dict[str, Any], env: dict[str, str], _limit: float, total: float
) -> None:
    billing.execute("UPDATE tokens SET unlimited_quota = 1")

    shown = figures(billing.client(**env), bearer(token["key"]))

    assert shown == (100000000, total, 1893456000)


@pytest.mark.parametrize(
    ("env", "total"),
    [
        ({"BILLING_SCOPE": "account"}, (50.0, 2000.0, 0)),
        ({"BILLING_SCOPE": "account", "DISPLAY_UNIT": "CNY"}, (365.0, 14600.0, 0)),
        ({"BILLING_SCOPE": "account", "UNLIMITED_TOKENS": "account"}, (50.0, 2000.0, 0)),
    ],
)
@pytest.mark.parametrize("unlimited", [0, 1])
def test_account_scope_shows_the_owner_to_every_token(
    billing: Billing,
    token: dict[str, Any],
    env: dict[str, str],
    total: tuple[float, float, int],
    unlimited: int,
) -> None:
    billing.execute("UPDATE tokens SET unlimited_quota = ?", unlimited)

    assert figures(billing.client(**env), bearer(token["key"])) == total


@pytest.mark.parametrize(
    ("unlimited", "shown"), [(0, (100.0, 2500.0, 1893456000)), (1, (50.0, 2000.0, 1893456000))]
)
def test_an_unlimited_token_can_show_its_owner_and_its_own_expiry(
    billing: Billing, token: dict[str, Any], unlimited: int, shown: tuple[float, float, int]
) -> None:
    billing.execute("UPDATE tokens SET unlimited_quota = ?", unlimited)

    assert figures(billing.client(UNLIMITED_TOKENS="account"), bearer(token["key"])) == shown


def test_an_access_token_reads_the_account_whatever_the_scope(
    billing: Billing, alice: dict[str, Any], token: dict[str, Any]
) -> None:
    headers = bearer(alice["access_token"], alice["id"])

    assert figures(billing.client(), headers) == (50.0, 2000.0, 0)


def with_nulls(billing: Billing, model: type[peewee.Model], *nulls: str) -> None:
    """Rebuild a table without constraints, as older gateways have them, and NULL columns in it."""
    table = model._meta.table_name
    columns = ", ".join(
        f"NULLIF(`{name}`, `{name}`) AS `{name}`" if name in nulls else f"`{name}`"
        for name in model._meta.columns
    )
    billing.execute(f"CREATE TABLE loose AS SELECT {columns} FROM {table}")
    billing.execute(f"DROP TABLE {table}")
    billing.execute(f"ALTER TABLE loose RENAME TO {table}")


def test_null_in_a_tokens_columns_reads_as_nothing(billing: Billing, token: dict[str, Any]) -> None:
    with_nulls(
        billing, Token, "expired_time", "remain_quota", "used_quota", "unlimited_quota", "allow_ips"
    )

    assert figures(billing.client(), bearer(token["key"])) == (0.0, 0.0, 0)


def test_null_in_a_users_columns_reads_as_nothing(
    billing: Billing, alice: dict[str, Any], token: dict[str, Any]
) -> None:
    with_nulls(billing, User, "quota", "used_quota", "access_token")

    shown = figures(billing.client(BILLING_SCOPE="account"), bearer(token["key"]))

    assert shown == (0.0, 0.0, 0)


def test_a_null_status_counts_as_switched_off(billing: Billing, token: dict[str, Any]) -> None:
    with_nulls(billing, Token, "status")

    answer = billing.client().get(f"{PREFIXES[0]}/usage", headers=bearer(token["key"]))

    assert (answer.status_code, answer.get_json()["error"]["code"]) == (401, "api_key_disabled")


@pytest.mark.parametrize(
    ("route", "body"),
    [
        ("subscription", {"error": {"message": "获取配额失败", "type": "upstream_error"}}),
        ("usage", {"error": {"message": "获取使用量失败", "type": "new_api_error"}}),
    ],
)
def test_figures_that_are_no_numbers_are_a_documented_500_never_zero(
    sqlite_billing: Billing, route: str, body: dict[str, Any]
) -> None:
    sqlite_billing.user("alice")
    token = sqlite_billing.token()
    sqlite_billing.execute("UPDATE tokens SET used_quota = 'junk'")

    answer = sqlite_billing.client().get(f"{PREFIXES[0]}/{route}", headers=bearer(token["key"]))

    assert (answer.status_code, answer.get_json()) == (500, body)
    assert "Retry-After" not in answer.headers
