"""Tables, columns and options that were there and are gone, as while a dump is restored."""

from __future__ import annotations

import logging
import time

import pytest
from flask.testing import FlaskClient

from tests.support.clock import Clock
from tests.support.gateways import KEY, Gateway
from tests.support.http_client import bearer

SUBSCRIPTION = "/v1/dashboard/billing/subscription"

#: The default of that variable, in seconds.
OPTIONS_REFRESH = 60


def limit(client: FlaskClient) -> float:
    """The token's limit, or the status."""
    answer = client.get(SUBSCRIPTION, headers=bearer(KEY))
    if answer.status_code != 200:
        return answer.status_code
    return float(answer.get_json()["hard_limit_usd"])


def at_a_third(newapi: Gateway) -> tuple[Clock, FlaskClient]:
    """A gateway whose option makes 300 dollars of what is 100 by the default, just asked."""
    newapi.token(newapi.user(), remain_quota=40_000_000, used_quota=10_000_000)
    newapi.option("Notice", "none")
    newapi.option("QuotaPerUnit", "166666.66666666666")
    clock = Clock()
    client = newapi.client(clock)
    assert round(limit(client)) == 300
    return clock, client


def test_options_that_are_gone_for_a_moment_are_503_and_no_default(newapi: Gateway) -> None:
    clock, client = at_a_third(newapi)
    newapi.execute('ALTER TABLE "options" RENAME TO "elsewhere"')

    seen = []
    for _ in range(3):
        clock.advance(OPTIONS_REFRESH + 1)
        seen.append(limit(client))
    newapi.execute('ALTER TABLE "elsewhere" RENAME TO "options"')

    assert seen == [503, 503, 503]
    assert round(limit(client)) == 300


@pytest.mark.parametrize("left", ["nothing", "other options"])
def test_options_without_the_rows_that_were_there_keep_their_values(
    newapi: Gateway, left: str, caplog: pytest.LogCaptureFixture
) -> None:
    clock, client = at_a_third(newapi)
    where = "" if left == "nothing" else " WHERE \"key\" = 'QuotaPerUnit'"
    newapi.execute(f'DELETE FROM "options"{where}')

    with caplog.at_level(logging.WARNING, "billing"):
        clock.advance(OPTIONS_REFRESH + 1)
        meanwhile = limit(client)
    newapi.execute('DELETE FROM "options"')
    newapi.option("QuotaPerUnit", "250000")
    clock.advance(OPTIONS_REFRESH + 1)

    assert round(meanwhile) == 300
    assert limit(client) == 200
    assert caplog.messages == [
        "the gateway's options QuotaPerUnit were there and are gone: the last values stay until"
        " they are back or the service restarts"
    ]


def test_after_a_restart_missing_options_are_defaults_and_check_warns(newapi: Gateway) -> None:
    at_a_third(newapi)
    newapi.execute('ALTER TABLE "options" RENAME TO "elsewhere"')

    result = newapi.app().test_cli_runner().invoke(args=["check"])

    assert limit(newapi.client()) == 100
    assert result.exit_code == 1
    assert (
        "warning: the database has no table options: figures are shown as if it were empty\n"
        in result.stderr
    )


@pytest.mark.parametrize("table", ["user_subscriptions", "redemptions", "top_ups", "logs"])
def test_a_table_of_figures_that_is_gone_is_503_until_it_is_back(
    newapi: Gateway, table: str, caplog: pytest.LogCaptureFixture
) -> None:
    newapi.token(newapi.user(id=1))
    newapi.insert(
        "user_subscriptions",
        id=1,
        user_id=1,
        plan_id=1,
        amount_total=50,
        amount_used=0,
        status="active",
        start_time=0,
        end_time=int(time.time()) + 1000,
    )
    clock = Clock()
    client = newapi.client(clock, BILLING_SCOPE="account", DISPLAY_UNIT="TOKENS")
    before = limit(client)
    newapi.execute(f'ALTER TABLE "{table}" RENAME TO "elsewhere"')

    clock.advance(OPTIONS_REFRESH + 1)
    meanwhile = limit(client)
    newapi.execute(f'ALTER TABLE "elsewhere" RENAME TO "{table}"')

    assert (before, meanwhile, limit(client)) == (1050, 503, 1050)
    assert (
        f"database_unavailable: table {table} was there and is gone: bring it back, or restart to"
        " do without it"
    ) in caplog.messages


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("tokens", "remain_quota"),
        ("tokens", "unlimited_quota"),
        ("users", "setting"),
        ("user_subscriptions", "allow_wallet_overflow"),
    ],
)
def test_a_column_of_figures_that_is_gone_is_503(newapi: Gateway, table: str, column: str) -> None:
    newapi.token(newapi.user())
    clock = Clock()
    client = newapi.client(clock, DISPLAY_UNIT="TOKENS")
    before = limit(client)
    newapi.execute(f'ALTER TABLE "{table}" RENAME COLUMN "{column}" TO "elsewhere"')

    clock.advance(OPTIONS_REFRESH + 1)
    meanwhile = limit(client)
    newapi.execute(f'ALTER TABLE "{table}" RENAME COLUMN "elsewhere" TO "{column}"')

    assert (before, meanwhile, limit(client)) == (1000, 503, 1000)


def test_old_logs_are_missed_by_nobody_once_they_are_elsewhere(newapi: Gateway) -> None:
    newapi.token(newapi.user())
    clock = Clock()
    client = newapi.client(
        clock, DISPLAY_UNIT="TOKENS", LOG_DATABASE_URL="clickhouse://ch:9000/logs"
    )
    before = limit(client)
    newapi.execute('DROP TABLE "logs"')

    clock.advance(OPTIONS_REFRESH + 1)

    assert (before, limit(client)) == (1000, 1000)


def test_check_warns_of_each_table_that_is_missing(newapi: Gateway) -> None:
    newapi.token(newapi.user())
    for table in ("user_subscriptions", "redemptions", "top_ups", "logs"):
        newapi.execute(f'ALTER TABLE "{table}" RENAME TO "{table}_elsewhere"')

    result = newapi.app().test_cli_runner().invoke(args=["check"])

    assert result.exit_code == 1
    for table in ("user_subscriptions", "redemptions", "top_ups"):
        assert f"the database has no table {table}: figures" in result.stderr
    assert "the database has no table logs: daily costs are 500" in result.stderr
