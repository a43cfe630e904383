"""A gateway that is upgraded, limits its readers or is busy while we run."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import pytest

from tests.support.clock import Clock
from tests.support.gateways import KEY, Gateway, not_on_hubs, open_gateway
from tests.support.http_client import bearer

USAGE = "/v1/dashboard/billing/usage"

#: The default of that variable, in seconds.
OPTIONS_REFRESH = 60


@not_on_hubs
def test_a_column_that_goes_is_missed_by_nobody(gateway: Gateway) -> None:
    gateway.token(gateway.user())
    client = gateway.client()
    before = client.get(USAGE, headers=bearer(KEY))
    column = "subnet" if gateway.flavour == "oneapi" else "allow_ips"
    gateway.execute(f'ALTER TABLE "tokens" DROP COLUMN "{column}"')

    after = client.get(USAGE, headers=bearer(KEY))

    assert (before.json, after.json) == ({"object": "list", "total_usage": 0.05},) * 2


@pytest.mark.parametrize("hub", [("onehub", "sqlite")], ids="-".join, indirect=True)
def test_a_setting_that_goes_opens_no_allow_list(hub: Gateway) -> None:
    hub.token(hub.user(), setting="{}")
    client = hub.client()
    client.get(USAGE, headers=bearer(KEY))
    hub.execute('ALTER TABLE "tokens" DROP COLUMN "setting"')

    assert client.get(USAGE, headers=bearer(KEY)).status_code == 503


def test_an_allow_list_that_comes_with_an_upgrade_is_obeyed(newapi: Gateway) -> None:
    newapi.token(newapi.user())
    newapi.execute('ALTER TABLE "tokens" DROP COLUMN "allow_ips"')
    clock = Clock()
    client = newapi.client(clock)
    before = client.get(USAGE, headers=bearer(KEY))
    newapi.execute('ALTER TABLE "tokens" ADD COLUMN "allow_ips" varchar(191)')
    newapi.execute('UPDATE "tokens" SET "allow_ips" = \'10.0.0.1\'')

    clock.advance(OPTIONS_REFRESH + 1)
    after = client.get(USAGE, headers=bearer(KEY))

    assert (before.status_code, after.status_code) == (200, 403)


def test_subscriptions_that_come_with_an_upgrade_count(newapi: Gateway) -> None:
    newapi.token(newapi.user(id=1))
    newapi.execute('ALTER TABLE "user_subscriptions" RENAME TO "later"')
    clock = Clock()
    client = newapi.client(clock, BILLING_SCOPE="account", DISPLAY_UNIT="TOKENS")
    before = client.get("/dashboard/billing/subscription", headers=bearer(KEY))
    newapi.execute('ALTER TABLE "later" RENAME TO "user_subscriptions"')
    newapi.insert(
        "user_subscriptions",
        id=1,
        user_id=1,
        plan_id=1,
        amount_total=50,
        amount_used=0,
        status="active",
        end_time=int(time.time()) + 100,
        start_time=0,
    )

    clock.advance(OPTIONS_REFRESH + 1)
    after = client.get("/dashboard/billing/subscription", headers=bearer(KEY))

    assert (before.get_json()["hard_limit_usd"], after.get_json()["hard_limit_usd"]) == (1000, 1050)


def test_narrow_columns_of_old_databases_are_read(newapi: Gateway) -> None:
    kind = {"mysql": "int", "postgresql": "integer", "sqlite": "int"}[newapi.dialect]
    for table, column in (("users", "quota"), ("users", "used_quota"), ("tokens", "used_quota")):
        if newapi.dialect == "mysql":
            newapi.execute(f'ALTER TABLE "{table}" MODIFY "{column}" {kind}')
        elif newapi.dialect == "postgresql":
            newapi.execute(f'ALTER TABLE "{table}" ALTER COLUMN "{column}" TYPE {kind}')
    newapi.token(newapi.user(), remain_quota=2**40)

    assert newapi.read("usage") == {"object": "list", "total_usage": 0.05}


def test_no_statement_holds_a_gateways_file_for_more_than_two_seconds(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    with open_gateway(request, "newapi", "sqlite") as gateway:
        gateway.token(gateway.user(id=1))
        gateway.execute(
            "INSERT INTO logs (user_id, token_id, type, created_at, model_name, quota)"
            " WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)"
            " SELECT 1, 2, 2, 1793491200 + i, 'm', 1 FROM n"
        )
        # A view over logs, a thousand times as many rows: an aggregate of minutes.
        gateway.execute("ALTER TABLE logs RENAME TO few")
        gateway.execute(
            "CREATE VIEW logs AS SELECT a.* FROM few a, few b, few c WHERE b.id <= 2000"
        )
        client = gateway.client(DATABASE_TIMEOUT="30")
        query = "include=daily_costs&start_date=2026-11-01&end_date=2026-11-02"

        began = time.monotonic()
        answer = client.get(f"{USAGE}?{query}", headers=bearer(KEY))
        took = time.monotonic() - began

        assert answer.status_code == 503
        assert answer.json == {"error": {"message": "获取使用量失败", "type": "new_api_error"}}
        assert took < 4
        assert client.get(USAGE, headers=bearer(KEY)).status_code == 200
        with sqlite3.connect(tmp_path / "one-api.db", timeout=0) as writer:
            writer.execute("UPDATE users SET quota = 1")
        writer.close()
