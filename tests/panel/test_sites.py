"""What differs from site to site: the unit, where the logs are, and what is away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.panel.conftest import DAY, PAGE, TODAY, Panel
from tests.support.application import Billing
from tests.support.gateways import KEY, Gateway, open_gateway
from tests.support.gunicorn import Gunicorn
from tests.support.http_client import ask


@pytest.fixture
def newapi(request: pytest.FixtureRequest) -> Iterator[Gateway]:
    """Today's new-api on SQLite, with one token: 750 of 1000 units remain."""
    with open_gateway(request, "newapi", "sqlite") as held:
        held.user()
        held.token()
        yield held


def attached(gateway: Gateway, **env: str) -> dict[str, str]:
    return {"BILLING_MODE": "attached", "DATABASE_URL": gateway.url, **env}


@pytest.mark.parametrize(
    ("env", "remaining", "unit"),
    [
        ({}, "$2.00", "in US dollars"),
        ({"DISPLAY_UNIT": "CNY"}, "¥14.60", "in yuan"),
        ({"DISPLAY_UNIT": "TOKENS"}, "1,000,000", "in quota units"),
        ({"DISPLAY_UNIT": "CUSTOM", "CUSTOM_EXCHANGE_RATE": "1e3"}, "¤2,000.00", "the site's own"),
        ({"DISPLAY_UNIT": "CUSTOM", "CUSTOM_CURRENCY_SYMBOL": 'C"<'}, 'C"<2.00', "the site's own"),
    ],
)
def test_amounts_are_in_the_sites_unit_with_its_symbol(
    panel: Callable[..., Panel],
    sqlite_billing: Billing,
    gunicorn: Callable[..., Gunicorn],
    env: dict[str, str],
    remaining: str,
    unit: str,
) -> None:
    sqlite_billing.user()
    key = sqlite_billing.token("alice", "--quota", "1000000")["key"]
    server = gunicorn({**sqlite_billing.env, **env, "WEB_CONCURRENCY": "1"})

    screen = panel(server.url).open().ask(key)

    screen.shows(".unit", unit)
    assert screen.page.locator(".figure").inner_text() == remaining


def test_a_gateways_own_symbol_is_used(
    panel: Callable[..., Panel], newapi: Gateway, gunicorn: Callable[..., Gunicorn]
) -> None:
    newapi.option("general_setting.quota_display_type", "CUSTOM")
    newapi.option("general_setting.custom_currency_symbol", "₿")
    newapi.option("general_setting.custom_currency_exchange_rate", "500000")
    server = gunicorn(attached(newapi))

    screen = panel(server.url).open(f"/v1{PAGE}").ask(KEY)

    screen.shows(".figure", "₿750.00")


def test_a_site_that_wants_the_users_id_says_that_it_is_missing(
    panel: Callable[..., Panel], sqlite_billing: Billing, gunicorn: Callable[..., Gunicorn]
) -> None:
    user = sqlite_billing.user()
    key = sqlite_billing.token("alice", "--quota", "500000")["key"]
    server = gunicorn({**sqlite_billing.env, "REQUIRE_NEW_API_USER": "true"})

    screen = panel(server.url).open().ask(key)

    screen.shows("#message", "User ID required")
    screen.ask(key, user["id"]).shows(".figure", "$1.00")


def test_without_daily_figures_the_rest_shows_with_the_reason(
    panel: Callable[..., Panel], newapi: Gateway, gunicorn: Callable[..., Gunicorn]
) -> None:
    newapi.option("QuotaPerUnit", "1")
    server = gunicorn(attached(newapi, LOG_DATABASE_URL="clickhouse://logs:9000/logs"))

    screen = panel(server.url).open().ask(KEY)

    screen.shows(".reason", "keeps its logs in a database that this service cannot read")
    screen.shows(".figure", "$750.00")
    screen.save("daily-elsewhere")
    screen.assert_accessible()


def test_daily_figures_that_take_too_long_can_be_asked_for_again(
    panel: Callable[..., Panel], newapi: Gateway, gunicorn: Callable[..., Gunicorn]
) -> None:
    newapi.option("QuotaPerUnit", "1")
    logs = Path(newapi.url.removeprefix("sqlite:///")).with_name("logs.db")
    server = gunicorn(attached(newapi, LOG_DATABASE_URL=f"sqlite:///{logs}"))

    screen = panel(server.url).open().ask(KEY)

    screen.shows(".reason", "the query took too long or the database is unavailable")
    screen.shows(".figure", "$750.00")
    logs.write_bytes(Path(newapi.url.removeprefix("sqlite:///")).read_bytes())
    screen.press("Try again")
    screen.shows("#days", "No usage in this period.")


def test_a_subscription_shows_with_its_end(
    panel: Callable[..., Panel], newapi: Gateway, gunicorn: Callable[..., Gunicorn]
) -> None:
    newapi.option("QuotaPerUnit", "1")
    newapi.insert(
        "user_subscriptions",
        user_id=1,
        status="active",
        amount_total=5000,
        amount_used=1250,
        start_time=TODAY,
        end_time=TODAY + 40 * 86400,
    )
    newapi.execute("UPDATE users SET quota = 0, used_quota = 1250")
    server = gunicorn(attached(newapi, BILLING_SCOPE="account"))

    screen = panel(server.url).open().ask(KEY)

    screen.shows("#grants h2", "Grants and subscriptions")
    rows = screen.page.locator("#grants tbody tr").all_inner_texts()
    assert ["Subscription", "$5,000.00", "$1,250.00"] in [row.split("\t")[:3] for row in rows]
    screen.save("subscription")


def test_the_page_comes_up_while_the_database_is_away(
    panel: Callable[..., Panel], newapi: Gateway, gunicorn: Callable[..., Gunicorn], tmp_path: Path
) -> None:
    newapi.option("QuotaPerUnit", "1")
    server = gunicorn(attached(newapi))
    database, away = tmp_path / "one-api.db", tmp_path / "away.db"
    database.rename(away)

    html = ask(server.url, PAGE)
    screen = panel(server.url).open().ask(KEY)
    screen.shows("#message", "Database unavailable")
    away.rename(database)
    screen.press("Try again")

    assert html.status == 200
    assert b"data-unit" not in html.body
    screen.shows(".figure", "750.00")
    screen.shows(".overview .note", "The unit of this site's amounts is unavailable")


def test_refunds_and_days_without_logs_are_said(
    panel: Callable[..., Panel], newapi: Gateway, gunicorn: Callable[..., Gunicorn]
) -> None:
    row = {"user_id": 1, "token_id": 2, "model_name": "gpt-4o"}
    newapi.insert("logs", id=71, type=2, quota=1_000_000, created_at=TODAY - DAY, **row)
    newapi.insert("logs", id=72, type=6, quota=250_000, created_at=TODAY, **row)
    server = gunicorn(attached(newapi))

    screen = panel(server.url).open().ask(KEY)

    screen.shows("#days", "Refunded in this period: $0.50.")
    screen.shows("#days", f"Usage before {datetime.fromtimestamp(TODAY - DAY, UTC):%-d} ")
    assert screen.page.locator(".day").count() == 2
    screen.assert_accessible()


def test_a_refund_has_a_line_of_its_own_beside_shares_of_what_was_used(
    panel: Callable[..., Panel], newapi: Gateway, gunicorn: Callable[..., Gunicorn]
) -> None:
    row = {"user_id": 1, "token_id": 2, "created_at": TODAY}
    for id, (model, type, quota) in enumerate(
        [("a", 2, 3_000_000), ("b", 2, 1_000_000), ("c", 2, 500_000), ("c", 6, 2_500_000)], 71
    ):
        newapi.insert("logs", id=id, type=type, quota=quota, model_name=model, **row)
    server = gunicorn(attached(newapi))

    screen = panel(server.url).open().ask(KEY)

    expect(screen.page.locator("#days tfoot")).to_be_visible()
    lines = screen.page.locator("#days .ranked tr:not(thead tr)").all()
    cells = [line.locator("th, td").all_inner_texts()[:3] for line in lines]
    assert cells == [
        ["a", "$6.00", "75.0%"],
        ["b", "$2.00", "25.0%"],
        ["c", "−$4.00", "Refund"],
        ["Total", "$4.00", "–"],
    ]
    screen.save("refund")
    screen.assert_accessible()
