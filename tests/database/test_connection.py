"""Database: which faults it survives, and the time that it allows a request."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from peewee import SQL

from billing.database.columns import QueryBuilder
from billing.database.connection import Database
from billing.errors import DatabaseUnavailable
from tests.support.application import Billing, TwoUsers, error_code
from tests.support.gateways import Gateway
from tests.support.http_client import bearer
from tests.support.mariadb import ENDLESS_JOIN, MariaDB, database_name
from tests.support.processes import wait_for


def statement(sql: str) -> QueryBuilder:
    return lambda shape: SQL(sql)


ENDLESS = statement(
    "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT MAX(n) FROM c"
)
ONE = statement("SELECT 1")


@pytest.fixture(params=["mariadb", "mysql"])
def server(request: pytest.FixtureRequest) -> MariaDB:
    server: MariaDB = request.getfixturevalue(request.param)
    return server


@pytest.fixture
def users_on_server(server: MariaDB) -> Iterator[TwoUsers]:
    with server.billing() as billing:
        yield TwoUsers(billing)


@pytest.fixture
def database(sqlite_billing: Billing) -> Iterator[Database]:
    """A reader that allows a request 0.3 s."""
    database = Database(sqlite_billing.app.extensions["billing"].settings.database_url, 0.3)
    yield database
    database.close()


def connections(server: MariaDB, two_users: TwoUsers) -> list[int]:
    name = database_name(two_users.billing.env["DATABASE_URL"])
    rows = server.execute("SELECT id FROM information_schema.processlist WHERE db = %s", name)
    return [row[0] for row in rows]


def test_a_killed_connection_costs_the_caller_nothing(
    server: MariaDB, users_on_server: TwoUsers
) -> None:
    database = users_on_server.billing.app.extensions["billing"].database
    database.start_time_budget()
    ((first,),) = database.fetch(statement("SELECT CONNECTION_ID()"))
    server.execute("KILL %s", first)
    wait_for(lambda: first not in connections(server, users_on_server), "the end of the connection")

    answer = users_on_server.ask()

    assert error_code(answer) == "ok"


def test_no_transaction_is_held_between_requests(
    server: MariaDB, users_on_server: TwoUsers
) -> None:
    assert error_code(users_on_server.ask()) == "ok"

    open_now = server.execute("SELECT trx_mysql_thread_id FROM information_schema.innodb_trx")

    assert not {row[0] for row in open_now} & set(connections(server, users_on_server))


def test_the_reads_of_one_request_share_its_budget(users_on_server: TwoUsers) -> None:
    url = users_on_server.billing.app.extensions["billing"].settings.database_url
    database = Database(url, 1)
    slow = statement("SELECT SLEEP(0.7)")

    with contextlib.closing(database):
        for _ in range(2):
            database.start_time_budget()
            assert list(database.fetch(slow)) == [(0,)]
        with pytest.raises(DatabaseUnavailable):
            database.fetch(statement(ENDLESS_JOIN))


def test_a_read_that_was_given_up_ends_on_the_server_too(
    server: MariaDB, users_on_server: TwoUsers
) -> None:
    database = Database(
        users_on_server.billing.app.extensions["billing"].settings.database_url, 0.5
    )
    database.start_time_budget()

    with contextlib.closing(database), pytest.raises(DatabaseUnavailable):
        database.fetch(statement(ENDLESS_JOIN))

    wait_for(lambda: not connections(server, users_on_server), "the end of the statement", 5)


def test_a_statement_without_end_is_ended(database: Database) -> None:
    database.start_time_budget()

    with pytest.raises(DatabaseUnavailable, match="interrupted"):
        database.fetch(ENDLESS)


def test_after_a_timeout_nobody_waits_until_the_pause_is_over(database: Database) -> None:
    database.start_time_budget()
    with pytest.raises(DatabaseUnavailable, match="interrupted"):
        database.fetch(ENDLESS)

    database.start_time_budget()
    with pytest.raises(DatabaseUnavailable, match="circuit breaker open"):
        database.fetch(ONE)

    wait_for(lambda: answers(database), "the database", seconds=3)


def answers(database: Database) -> bool:
    database.start_time_budget()
    with contextlib.suppress(DatabaseUnavailable):
        return database.fetch(ONE) == [(1,)]
    return False


def test_after_the_pause_a_single_request_probes(database: Database) -> None:
    database.start_time_budget()
    with pytest.raises(DatabaseUnavailable):
        database.fetch(ENDLESS)
    asked: list[str] = []

    def ask_until_somebody_was_let_through() -> None:
        while not asked:
            database.start_time_budget()
            try:
                database.fetch(ENDLESS)
            except DatabaseUnavailable as error:
                if "circuit breaker open" not in str(error):
                    asked.append(str(error))
            time.sleep(0.001)
        database.close()

    threads = [threading.Thread(target=ask_until_somebody_was_let_through) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(asked) == 1


def test_a_file_that_was_replaced_is_reopened(sqlite_billing: Billing, tmp_path: Path) -> None:
    two_users = TwoUsers(sqlite_billing)
    assert error_code(two_users.ask()) == "ok"
    other = Billing(f"sqlite:///{tmp_path / 'other.db'}")
    other.run("init")
    other.user("carol")
    token = other.token("carol")

    (tmp_path / "other.db").rename(tmp_path / "billing.db")

    assert error_code(two_users.ask()) == "invalid_api_key"
    assert error_code(two_users.ask(bearer(token["key"]))) == "ok"


def test_a_file_that_went_and_came_back_is_read_again(
    sqlite_billing: Billing, tmp_path: Path
) -> None:
    two_users = TwoUsers(sqlite_billing)
    assert error_code(two_users.ask()) == "ok"
    (tmp_path / "billing.db").rename(tmp_path / "away.db")
    assert two_users.ask().status_code == 503

    (tmp_path / "away.db").rename(tmp_path / "billing.db")

    assert error_code(two_users.ask()) == "ok"


def test_the_services_connection_refuses_to_write(sqlite_billing: Billing) -> None:
    sqlite_billing.user("alice")
    database = sqlite_billing.app.extensions["billing"].database
    database.start_time_budget()

    with pytest.raises(DatabaseUnavailable, match="attempt to write a readonly database"):
        database.fetch(statement("DELETE FROM users"))

    assert sqlite_billing.execute("SELECT username FROM users") == [("alice",)]


def test_a_heavy_read_that_took_too_long_refuses_nobody_else(database: Database) -> None:
    database.start_time_budget()
    with pytest.raises(DatabaseUnavailable, match="interrupted"):
        database.fetch(ENDLESS, heavy=True)

    database.start_time_budget()

    assert database.fetch(ONE) == [(1,)]


@pytest.mark.parametrize("newapi", ["postgresql"], indirect=True)
def test_a_read_takes_one_processor_of_postgresqls_machine(newapi: Gateway) -> None:
    database = newapi.app().extensions["billing"].database
    database.start_time_budget()

    rows = database.fetch(statement("SHOW max_parallel_workers_per_gather"))

    assert rows == [("0",)]
