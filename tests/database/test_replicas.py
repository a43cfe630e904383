"""Attached to a replica: following, stopped, late, promoted; and what `flask check` says of it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import Any

import peewee
import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient

from billing.database.columns import TableColumns
from billing.database.connection import Database
from config import database_url
from tests.support.gateways import Gateway
from tests.support.mariadb import database_name
from tests.support.processes import free_port, wait_for
from tests.support.replicas import MariaDBPair, MySQLPair, PostgreSQLPair

PAIRS: dict[str, type[MariaDBPair | PostgreSQLPair]] = {
    "mariadb": MariaDBPair,
    "mysql": MySQLPair,
    "postgresql": PostgreSQLPair,
}


@pytest.fixture(scope="module", params=PAIRS)
def pair(request: pytest.FixtureRequest) -> Iterator[Any]:
    pair = PAIRS[request.param]()
    yield pair
    pair.close()


@pytest.fixture
def followed(pair: Any) -> Iterator[Gateway]:
    """A gateway that writes to the primary; the service reads the replica. One token."""
    with ExitStack() as stack:
        name = database_name(stack.enter_context(pair.primary.database()))
        if isinstance(pair, MariaDBPair):
            connection: Any = pair.primary.connect(name)
            kind = "mysql" if isinstance(pair, MySQLPair) else "mariadb"
        else:
            connection = psycopg.connect(pair.primary.url(name), autocommit=True)
            kind = "postgresql"
        stack.enter_context(closing(connection))
        gateway = Gateway("newapi", kind, pair.replica.url(name), connection)
        stack.callback(gateway.close)
        if kind == "postgresql":
            gateway.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
            gateway.url = pair.replica.url(name, "reader")
        gateway.token(gateway.user())
        wait_for(lambda: pair.replica.execute("SELECT id FROM tokens", database=name), "the token")
        yield gateway


def used(gateway: Gateway) -> float:
    """In quota units."""
    return float(gateway.read("usage", DISPLAY_UNIT="TOKENS")["total_usage"]) / 100


def check(app: Flask) -> dict[str, Any]:
    result = app.test_cli_runner().invoke(args=["check", "--json"])
    assert result.exit_code in (0, 1)
    report: dict[str, Any] = json.loads(result.stdout)
    return report


def of_replica(report: dict[str, Any]) -> list[str]:
    return [warning for warning in report["warnings"] if "replica" in warning]


def test_a_replica_answers_and_is_said_to_be_one(followed: Gateway) -> None:
    app = followed.app()

    wait_for(lambda: check(app).get("seconds_behind") == 0, "the replica")

    report = check(app)
    assert (report["replica"], of_replica(report)) == ("yes", [])
    assert used(followed) == 250


@pytest.mark.parametrize("pair", ["mariadb", "mysql"], indirect=True)
def test_check_names_the_grant_without_which_it_cannot_tell(pair: Any, followed: Gateway) -> None:
    accounts = ", ".join(pair.replica.ACCOUNTS)
    pair.replica.execute(f"REVOKE {pair.GRANT} ON *.* FROM {accounts}")
    try:
        report = check(followed.app())
    finally:
        pair.replica.execute(f"GRANT {pair.GRANT} ON *.* TO {accounts}")

    assert (report["replica"], report["seconds_behind"]) == ("yes", "unknown")
    assert of_replica(report) == [
        f"the database is a replica: only an account with GRANT {pair.GRANT} ON *.* may ask for"
        " its lag"
    ]


def test_the_next_host_answers_when_the_first_is_away(followed: Gateway) -> None:
    followed.url = followed.url.replace("@", f"@127.0.0.1:{free_port()},")

    assert used(followed) == 250


def gauges(client: FlaskClient) -> tuple[float, float]:
    """`billing_replica_seconds_behind` and `billing_replica_running` of the main database."""
    text = client.get("/metrics").get_data(as_text=True)
    values = [
        float(re.findall(rf'^billing_replica_{name}{{database="main"}} (.*)$', text, re.M)[0])
        for name in ("seconds_behind", "running")
    ]
    return values[0], values[1]


def test_metrics_say_that_a_replica_follows_and_is_level(followed: Gateway) -> None:
    client = followed.client(METRICS="true")

    wait_for(lambda: gauges(client) == (0, 1), "a level replica")


def test_metrics_say_that_a_replica_has_stopped(pair: Any, followed: Gateway) -> None:
    client = followed.client(METRICS="true")
    wait_for(lambda: gauges(client) == (0, 1), "a level replica")

    with pair.paused():
        lag_seconds, running = gauges(client)

    assert running == 0
    assert math.isnan(lag_seconds) or isinstance(pair, PostgreSQLPair)
    wait_for(lambda: gauges(client) == (0, 1), "a level replica")


def test_metrics_say_how_late_a_replica_is(pair: Any, followed: Gateway) -> None:
    client = followed.client(METRICS="true")

    with pair.delayed(3600):
        followed.execute("UPDATE tokens SET used_quota = 300")
        wait_for(lambda: gauges(client)[0] > 0, "a replica behind")
        _, running = gauges(client)

    assert running == 1


def test_metrics_of_a_replica_that_is_away_hold_no_old_figure(pair: Any, followed: Gateway) -> None:
    client = followed.client(METRICS="true", DATABASE_TIMEOUT="1")
    wait_for(lambda: gauges(client) == (0, 1), "a level replica")

    pair.replica.stop()
    try:
        lag_seconds, running = gauges(client)
    finally:
        pair.replica.start()

    assert math.isnan(lag_seconds)
    assert math.isnan(running)
    wait_for(lambda: gauges(client) == (0, 1), "a level replica")


def test_a_stopped_replica_answers_as_of_then_and_check_warns(pair: Any, followed: Gateway) -> None:
    app = followed.app()

    with pair.paused():
        followed.execute("UPDATE tokens SET used_quota = 300")
        before, report = used(followed), check(app)

    assert before == 250
    (warning,) = of_replica(report)
    assert "replication is not running: it is stopped" in warning or "is paused" in warning
    wait_for(lambda: used(followed) == 300, "the replica")


def test_a_late_replica_answers_old_figures_and_check_says_how_old(
    pair: Any, followed: Gateway
) -> None:
    app = followed.app()

    with pair.delayed(3600):
        followed.execute("UPDATE tokens SET used_quota = 300")
        wait_for(lambda: check(app).get("seconds_behind") not in (0, "unknown"), "a replica behind")
        before = used(followed)

    assert before == 250
    wait_for(lambda: used(followed) == 300, "the replica")


@pytest.mark.parametrize("pair", ["mariadb", "mysql"], indirect=True)
def test_check_warns_of_figures_that_are_older_than_a_minute(pair: Any, followed: Gateway) -> None:
    app = followed.app()

    with pair.delayed(3600):
        followed.execute("SET timestamp = UNIX_TIMESTAMP() - 100")
        followed.execute("UPDATE tokens SET used_quota = 300")
        wait_for(lambda: check(app).get("seconds_behind") not in (0, "unknown"), "a replica behind")
        (warning,) = of_replica(check(app))

    assert re.fullmatch("the database is a replica, behind by seconds: 1[0-9][0-9]", warning)


@pytest.mark.parametrize("pair", ["postgresql"], indirect=True)
def test_a_standby_behind_since_its_start_says_how_old_its_figures_are(
    pair: Any, followed: Gateway
) -> None:
    app = followed.app()

    with pair.delayed(3600, restart=True):
        followed.execute("UPDATE tokens SET used_quota = 300")
        wait_for(lambda: check(app).get("seconds_behind") not in (0, "unknown"), "a replica behind")
        before = used(followed)

    assert before == 250
    wait_for(lambda: check(app).get("seconds_behind") == 0, "the replica")
    assert used(followed) == 300


@pytest.mark.parametrize("pair", ["postgresql"], indirect=True)
def test_check_names_the_right_without_which_a_standby_behind_since_its_start_cannot_tell(
    pair: Any, followed: Gateway
) -> None:
    app = followed.app()
    followed.execute("REVOKE EXECUTE ON FUNCTION pg_control_checkpoint() FROM PUBLIC")

    with pair.delayed(3600, restart=True):
        followed.execute("UPDATE tokens SET used_quota = 300")
        wait_for(lambda: check(app).get("seconds_behind") == "unknown", "a replica behind")
        report = check(app)

    assert of_replica(report) == [
        "the database is a replica: it is behind and has replayed nothing since it started:"
        " only an account with GRANT EXECUTE ON FUNCTION pg_control_checkpoint() may ask for its"
        " lag"
    ]


@pytest.mark.parametrize("pair", ["postgresql"], indirect=True)
def test_a_level_standby_is_so_before_it_replays_anything(pair: Any, followed: Gateway) -> None:
    """Asked several times: a record of the primary's own may be on its way."""
    app = followed.app()
    pair.restart_from_checkpoint()

    told = [check(app)["seconds_behind"] for _ in range(3)]

    assert 0 in told


@pytest.mark.parametrize("pair", ["postgresql"], indirect=True)
def test_a_standby_that_receives_nothing_says_how_old_its_figures_may_be(
    pair: Any, followed: Gateway
) -> None:
    app = followed.app()

    with pair.disconnected():
        wait_for(lambda: check(app).get("seconds_behind") not in (0, "unknown"), "the age")
        report = check(app)

    assert of_replica(report) == ["the database is a replica: it receives nothing from its primary"]


@pytest.mark.parametrize("pair", ["postgresql"], indirect=True)
def test_a_query_that_a_standby_cancels_is_repeated(pair: Any, followed: Gateway) -> None:
    name = database_name(followed.url)
    conflicts = "SELECT confl_snapshot FROM pg_stat_database_conflicts WHERE datname = %s"
    reading = "SELECT 1 FROM pg_stat_activity WHERE datname = %s AND wait_event = 'PgSleep'"
    database = Database(database_url(followed.url), 20, "attached")

    def read() -> list[tuple[Any, ...]]:
        database.start_time_budget()
        rows = database.fetch(_slow)
        database.close()
        return rows

    with ThreadPoolExecutor() as pool:
        rows = pool.submit(read)
        wait_for(lambda: pair.replica.execute(reading, name), "the query")
        followed.execute("UPDATE tokens SET used_quota = 300")
        followed.execute("VACUUM tokens")

        assert rows.result() == [(300,)]
    # The update and the vacuum may each have cancelled a query.
    assert pair.replica.execute(conflicts, name)[0][0] >= 1


def _slow(shape: TableColumns) -> peewee.Node:
    return peewee.SQL("SELECT used_quota FROM tokens, pg_sleep(2)")


def test_a_promoted_replica_answers_on_and_is_no_longer_one(pair: Any, followed: Gateway) -> None:
    """The last: the pair is none after it."""
    app, name = followed.app(), database_name(followed.url)
    client = followed.client(METRICS="true")
    wait_for(lambda: gauges(client) == (0, 1), "a level replica")
    before = check(app)
    pair.promote()
    wait_for(
        lambda: pair.replica.execute("UPDATE tokens SET used_quota = 400", database=name) or True,
        "a primary",
    )

    after = check(app)

    assert [math.isnan(value) for value in gauges(client)] == [True, True]
    assert "replica" in before
    assert "replica" not in after
    assert used(followed) == 400
