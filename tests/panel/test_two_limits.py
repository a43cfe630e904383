"""A key and its account that have not the same left, and subscriptions with bars of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import expect

from tests.panel.conftest import TODAY, Panel
from tests.support.gateways import KEY, Gateway, open_gateway
from tests.support.gunicorn import Gunicorn
from tests.support.http_client import bearer


@pytest.fixture
def newapi(request: pytest.FixtureRequest) -> Iterator[Gateway]:
    """Today's new-api on SQLite, whose quota units are dollars."""
    with open_gateway(request, "newapi", "sqlite") as gateway:
        gateway.option("QuotaPerUnit", "1")
        yield gateway


Open = Callable[..., Panel]


@pytest.fixture
def open_key(
    newapi: Gateway, panel: Callable[..., Panel], gunicorn: Callable[..., Gunicorn]
) -> Open:
    """Shows the key of a service with those variables."""

    def start(**env: str) -> Panel:
        address = {"BILLING_MODE": "attached", "DATABASE_URL": newapi.url}
        server = gunicorn({**address, **env, "WEB_CONCURRENCY": "1"})
        return panel(server.url).open().ask(KEY)

    return start


@pytest.mark.parametrize("scope", ["token", "spendable", "account"])
def test_an_empty_account_is_named_beside_the_key(
    newapi: Gateway, open_key: Open, scope: str
) -> None:
    newapi.token(newapi.user(quota=0), remain_quota=100)

    screen = open_key(BILLING_SCOPE=scope)

    sentence = "This key: $100.00 left; its account: $0.00 left, so requests will be refused."
    expect(screen.page.locator("#limits")).to_have_text(sentence)
    screen.save(f"two-limits-{scope}")
    screen.assert_accessible()
    screen.press("中文")
    sentence = "此令牌：剩余 $100.00；所属账户：剩余 $0.00，因此请求会被拒绝。"
    expect(screen.page.locator("#limits")).to_have_text(sentence)


def test_an_unlimited_key_is_told_what_its_account_has(newapi: Gateway, open_key: Open) -> None:
    newapi.token(newapi.user(quota=5), unlimited_quota=True)

    screen = open_key()

    screen.shows(".figure", "Unlimited")
    sentence = "This key: no limit; its account: $5.00 left. Larger requests will be refused."
    expect(screen.page.locator("#limits")).to_have_text(sentence)


@pytest.mark.parametrize("scope", ["token", "spendable"])
def test_a_rich_account_is_not_told_to_its_key(newapi: Gateway, open_key: Open, scope: str) -> None:
    newapi.token(newapi.user(quota=987_654), remain_quota=100)

    screen = open_key(BILLING_SCOPE=scope)

    screen.shows(".figure", "$100.00")
    screen.page.wait_for_load_state("networkidle")
    expect(screen.page.locator("#limits")).to_be_hidden()
    assert "987,654" not in screen.page.content()
    answer = screen.page.request.get("/v1/dashboard/billing/credit_grants", headers=bearer(KEY))
    assert answer.ok
    assert "987654" not in answer.text()


def test_in_account_scope_a_small_key_is_named(newapi: Gateway, open_key: Open) -> None:
    newapi.token(newapi.user(quota=500), remain_quota=3)

    screen = open_key(BILLING_SCOPE="account")

    screen.shows(".figure", "$500.00")
    screen.shows("#limits", "This key: $3.00 left; its account: $500.00 left.")


def test_each_subscription_has_its_bar_and_its_next_reset(newapi: Gateway, open_key: Open) -> None:
    newapi.token(newapi.user(quota=0, used_quota=1250))
    newapi.insert("subscription_plans", id=3, title="Pro <b>", price_amount=1, total_amount=0)
    for id, plan, reset in ((1, 3, TODAY + 86400 * 9), (2, 4, 0)):
        newapi.insert(
            "user_subscriptions",
            id=id,
            user_id=1,
            plan_id=plan,
            status="active",
            amount_total=5000,
            amount_used=1250 * id,
            next_reset_time=reset,
            start_time=TODAY,
            end_time=TODAY + 86400 * 40,
        )

    screen = open_key(BILLING_SCOPE="account")

    screen.shows("#grants h2", "Grants and subscriptions")
    items = [
        text.split("\n") for text in screen.page.locator(".subscriptions li").all_inner_texts()
    ]
    meters = screen.page.locator(".subscriptions [role=meter]")
    shares = [meter.get_attribute("aria-valuenow") for meter in meters.all()]
    assert [item[0] for item in items] == ["Pro <b>", "Subscription"]
    assert "$1,250.00 used of $5,000.00" in items[0]
    assert [any("Resets" in line for line in item) for item in items] == [True, False]
    assert shares == ["25", "50"]
    screen.save("subscriptions")
    screen.assert_accessible()
