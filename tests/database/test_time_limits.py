"""The time budget of a request, the circuit breaker that guards it, and what reconnects cost."""

from __future__ import annotations

import contextlib
import threading
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from peewee import SQL

from billing.database.columns import QueryBuilder, TableColumns
from billing.database.connection import Database, Event
from billing.database.queries import TABLES, verify_embedded
from billing.errors import DatabaseMisconfigured, DatabaseUnavailable
from config import DatabaseURL, database_url
from tests.support.application import Billing
from tests.support.mariadb import ENDLESS_JOIN, MariaDB
from tests.support.slow_proxy import SlowProxy


def statement(sql: str) -> QueryBuilder:
    """A query builder for that text."""

    def build(columns: TableColumns) -> SQL:
        return SQL(sql)

    return build


ONE = statement("SELECT 1")
ENDLESS_SQL = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT MAX(i) FROM n"


def url_of(billing: Billing) -> DatabaseURL:
    url: DatabaseURL = billing.app.extensions["billing"].settings.database_url
    return url


@pytest.fixture
def database(sqlite_billing: Billing) -> Iterator[Database]:
    """A reader that allows a request 0.3 s."""
    with contextlib.closing(Database(url_of(sqlite_billing), 0.3)) as database:
        yield database


def test_a_heavy_read_that_times_out_leaves_an_open_breaker_open(database: Database) -> None:
    def run_into_the_limit(columns: TableColumns) -> None:
        """A heavy read, while another thread's read times out and opens the breaker."""
        database._breaker.open()
        columns.dialect.fetch_all(ENDLESS_SQL)

    database.start_time_budget()
    with pytest.raises(DatabaseUnavailable, match="interrupted"):
        database.call(run_into_the_limit, heavy=True)

    database.start_time_budget()
    with pytest.raises(DatabaseUnavailable, match="circuit breaker open"):
        database.fetch(ONE)


def test_tables_that_are_not_to_be_served_are_an_answer_that_closes_the_breaker(
    sqlite_billing: Billing,
) -> None:
    def refuse(columns: TableColumns) -> None:
        raise DatabaseMisconfigured("the database does not hold our tables")

    with contextlib.closing(Database(url_of(sqlite_billing), 0.3, verify=refuse)) as database:
        database._breaker.open()
        time.sleep(1.0)
        told = []
        for _ in range(3):
            database.start_time_budget()
            with pytest.raises(DatabaseMisconfigured) as raised:
                database.fetch(ONE)
            told.append(str(raised.value))

    assert told == ["the database does not hold our tables"] * 3


def test_the_connection_of_a_thread_that_ends_is_counted_as_closed(billing: Billing) -> None:
    events: list[Event] = []
    database = Database(url_of(billing), 2)
    database.on_event = events.append

    def read() -> None:
        database.start_time_budget()
        database.fetch(ONE)

    with warnings.catch_warnings():
        # Nobody can close it any more: the driver does.
        warnings.simplefilter("ignore", ResourceWarning)
        thread = threading.Thread(target=read)
        thread.start()
        thread.join()
        del thread

    assert events == ["connect", "close"]


def test_a_request_that_has_spent_time_keeps_its_connection(billing: Billing) -> None:
    events: list[Event] = []
    with contextlib.closing(Database(url_of(billing), 2, tables=TABLES)) as database:
        database.on_event = events.append
        for _ in range(3):
            database.start_time_budget()
            database.fetch(ONE)
            time.sleep(0.4)
            database.fetch(ONE)

    assert events == ["connect", "close"]


def test_columns_outlive_a_connection(billing: Billing) -> None:
    with contextlib.closing(Database(url_of(billing), 2, tables=TABLES)) as database:
        database.start_time_budget()
        before = database.table_columns()
        database.close()
        database.fetch(ONE)

        assert database.table_columns() is before
        assert before.has("tokens", "allow_ips")
        assert before.columns["top_ups"] == frozenset()


def test_columns_are_looked_up_again_when_their_time_is_up(billing: Billing) -> None:
    clock = [0.0]
    with contextlib.closing(
        Database(url_of(billing), 2, tables=TABLES, columns_ttl=60, now=lambda: clock[0])
    ) as database:
        database.start_time_budget()
        before = database.table_columns()
        clock[0] = 60.0
        billing.execute("ALTER TABLE tokens ADD COLUMN later varchar(9)")
        early = database.table_columns()
        clock[0] = 60.1
        database.fetch(ONE)

        assert early is before
        assert database.table_columns().has("tokens", "later")


def test_columns_are_looked_up_again_after_an_error_that_no_retry_removes(
    billing: Billing,
) -> None:
    with contextlib.closing(Database(url_of(billing), 2, tables=TABLES)) as database:
        database.start_time_budget()
        database.table_columns()
        billing.execute("ALTER TABLE tokens ADD COLUMN later varchar(9)")
        with pytest.raises(DatabaseMisconfigured):
            database.fetch(statement("SELECT missing FROM tokens"))

        database.fetch(ONE)

        assert database.table_columns().has("tokens", "later")


@pytest.mark.parametrize("table", ["users", "tokens", "logs", "quota_data", "billing_schema"])
def test_columns_are_not_kept_while_a_dump_is_loaded(sqlite_billing: Billing, table: str) -> None:
    sqlite_billing.execute(f"ALTER TABLE {table} RENAME TO not_loaded_yet")
    url = url_of(sqlite_billing)
    with contextlib.closing(Database(url, 2, tables=TABLES, verify=verify_embedded)) as database:
        database.start_time_budget()
        with pytest.raises(DatabaseMisconfigured):
            database.table_columns()
        sqlite_billing.execute(f"ALTER TABLE not_loaded_yet RENAME TO {table}")

        assert database.table_columns().columns[table]


def test_a_replaced_file_has_its_columns_looked_up(sqlite_billing: Billing, tmp_path: Path) -> None:
    with contextlib.closing(Database(url_of(sqlite_billing), 2, tables=TABLES)) as database:
        database.start_time_budget()
        assert database.table_columns().columns["users"]
        sqlite_billing.execute("VACUUM INTO '%s'" % (tmp_path / "other.db"))
        other = Billing(f"sqlite:///{tmp_path / 'other.db'}")
        other.execute("ALTER TABLE tokens ADD COLUMN later varchar(9)")

        (tmp_path / "other.db").rename(tmp_path / "billing.db")
        database.fetch(ONE)

        assert database.table_columns().has("tokens", "later")


@pytest.mark.parametrize("kind", ["mariadb", "mysql"])
def test_a_later_read_is_ended_by_the_server_when_the_budget_is(
    kind: str, request: pytest.FixtureRequest
) -> None:
    server: MariaDB = request.getfixturevalue(kind)
    told = {"mariadb": "max_statement_time exceeded", "mysql": "maximum statement"}[kind]
    messages: list[str] = []
    # On a busy machine the server may come too late, and the driver's own limit ends the read.
    while len(messages) < 5 and not any(told in message for message in messages):
        with (
            server.database() as url,
            contextlib.closing(Database(database_url(url), 2)) as database,
        ):
            database.start_time_budget()
            database.fetch(statement("SELECT SLEEP(0.5)"))
            with pytest.raises(DatabaseUnavailable) as raised:
                database.fetch(statement(ENDLESS_JOIN))
        messages.append(str(raised.value))

    assert told in messages[-1]


def test_threads_do_not_wait_for_each_others_connections(mariadb: MariaDB) -> None:
    def read(database: Database) -> float:
        start = time.monotonic()
        database.start_time_budget()
        with pytest.raises(DatabaseUnavailable):
            database.fetch(ONE)
        database.close()
        return time.monotonic() - start

    with mariadb.database() as url:
        database = Database(database_url(url), 1)
        mariadb.freeze()
        try:
            with ThreadPoolExecutor(8) as pool:
                took = list(pool.map(read, [database] * 8))
        finally:
            mariadb.resume()

    assert max(took) < 2


def test_all_steps_of_connecting_share_the_budget(mariadb: MariaDB) -> None:
    with mariadb.database() as url, contextlib.closing(SlowProxy(mariadb.port)) as proxy:
        # Each of its round trips takes less than the budget, all of them 2.8 s.
        proxy.delay = 0.4
        with contextlib.closing(Database(database_url(proxy.of(url)), 1)) as database:
            database.start_time_budget()
            start = time.monotonic()
            with pytest.raises(DatabaseUnavailable):
                database.fetch(ONE)
            took = time.monotonic() - start

    assert took < 2


def test_a_connection_that_left_no_time_to_read_serves_the_next_request(
    mariadb: MariaDB,
) -> None:
    events: list[Event] = []
    with mariadb.database() as url, contextlib.closing(SlowProxy(mariadb.port)) as proxy:
        proxy.delay = 0.1
        with contextlib.closing(Database(database_url(proxy.of(url)), 0.9)) as database:
            database.on_event = events.append
            database.start_time_budget()
            with pytest.raises(DatabaseUnavailable, match="no time is left to read"):
                database.fetch(ONE)
            database.start_time_budget()
            rows = database.fetch(ONE)

    assert rows == [(1,)]
    assert events == ["connect", "close"]
