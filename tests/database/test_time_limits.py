"""The time budget of a request, the circuit breaker that guards it, and what reconnects cost."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from peewee import SQL

from billing.database.columns import QueryBuilder, TableColumns
from billing.database.connection import Database, Event
from billing.database.queries import TABLES
from billing.errors import DatabaseMisconfigured, DatabaseUnavailable
from config import DatabaseURL, database_url
from tests.support.application import Billing
from tests.support.mariadb import ENDLESS_JOIN, MariaDB


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
    with (
        server.database() as url,
        contextlib.closing(Database(database_url(url), 1)) as database,
    ):
        database.start_time_budget()
        database.fetch(statement("SELECT SLEEP(0.6)"))
        with pytest.raises(DatabaseUnavailable) as raised:
            database.fetch(statement(ENDLESS_JOIN))

    assert {"mariadb": "max_statement_time exceeded", "mysql": "maximum statement"}[kind] in str(
        raised.value
    )
