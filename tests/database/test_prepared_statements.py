"""PostgreSQL keeps the plans of light reads for a connection, and for none through a pooler."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from billing.core.service import Service
from tests.support.gateways import KEY, Gateway, open_gateway
from tests.support.http_client import bearer
from tests.support.pgbouncer import PgBouncer
from tests.support.postgresql import PostgreSQL

SUBSCRIPTION = "/v1/dashboard/billing/subscription"
COSTS = "/v1/organization/costs?start_time=1793491200"


@pytest.fixture
def gateway(request: pytest.FixtureRequest) -> Iterator[Gateway]:
    """A new-api on PostgreSQL, with a token."""
    with open_gateway(request, "newapi", "postgresql") as gateway:
        gateway.token(gateway.user())
        yield gateway


@pytest.fixture
def pooler(postgresql: PostgreSQL) -> Iterator[PgBouncer]:
    pooler = PgBouncer(postgresql)
    yield pooler
    pooler.close()


def prepared(client: FlaskClient) -> str:
    """The statements that the server process of the client's thread has prepared."""
    service: Service = client.application.extensions["billing"]
    sql = "SELECT statement FROM pg_prepared_statements"
    rows = service.database.call(lambda columns: columns.dialect.fetch_all(sql))
    return "\n".join(text for (text,) in rows)


def ask(client: FlaskClient, path: str = SUBSCRIPTION, times: int = 12) -> set[int]:
    return {client.get(path, headers=bearer(KEY)).status_code for _ in range(times)}


def test_a_light_read_that_comes_again_is_prepared_and_a_heavy_one_is_not(gateway: Gateway) -> None:
    gateway.insert("logs", user_id=1, created_at=1793500000, type=2, model_name="m", quota=1)
    client = gateway.client()

    statuses = ask(client) | ask(client, COSTS)

    assert statuses == {200}
    assert 'FROM "tokens"' in prepared(client)
    assert 'FROM "logs"' not in prepared(client)


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE tokens ALTER COLUMN remain_quota TYPE numeric",
        "ALTER TABLE tokens DROP COLUMN allow_ips",
        "ALTER TABLE tokens RENAME TO old; CREATE TABLE tokens AS TABLE old; DROP TABLE old",
    ],
)
def test_a_plan_that_no_longer_fits_costs_no_request(gateway: Gateway, change: str) -> None:
    client = gateway.client()
    assert ask(client) == {200}

    gateway.execute(change)

    assert ask(client) == {200}


def test_a_pooler_that_drops_the_read_only_setting_is_refused(
    gateway: Gateway, pooler: PgBouncer
) -> None:
    gateway.url = pooler.url(gateway.url.rpartition("/")[2])
    client = gateway.client()

    answer = client.get(SUBSCRIPTION, headers=bearer(KEY))
    checked = client.application.test_cli_runner().invoke(args=["check"])

    assert answer.status_code == 500
    assert checked.exit_code == 2
    assert "a pooler before the server has dropped default_transaction_read_only" in checked.output


def test_nothing_is_prepared_through_a_pooler(gateway: Gateway, pooler: PgBouncer) -> None:
    name = gateway.url.rpartition("/")[2]
    gateway.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    gateway.url = pooler.url(name)
    # Two threads of two workers, say: the pooler has one server process for both.
    clients = [gateway.client(), gateway.client()]

    statuses = [ask(client) for _ in range(3) for client in clients]

    assert statuses == [{200}] * 6
    assert [prepared(client) for client in clients] == ["", ""]
